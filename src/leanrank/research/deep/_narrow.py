r"""Hidden layers without the directions that have faded: the same descent in narrower ones.

The gradient in :math:`W_l` is :math:`W_{l+1}^\top` times something, that in :math:`W_{l+1}^\top` is
:math:`W_l` times something: an update multiplies :math:`J_l = [W_l \mid W_{l+1}^\top]` from the
right alone. What its columns span in hidden layer l never grows, and an orthonormal basis Q of that
makes of it a network of as many neurons, :math:`Q^\top W_l` and :math:`W_{l+1} Q`, that descends in
the same way. A ridge lets all fade that the measurements do not hold up, about all but min(n1, n2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import linalg

__all__ = ["FADING", "narrowed", "widened"]

FADING = 15.0 * math.log(10.0)
"""The logarithm of what decay alone leaves at rounding."""

_FADED = 1e-14


def narrowed(
    layers: Sequence[np.ndarray],
) -> tuple[list[np.ndarray], list[np.ndarray]] | None:
    """Layers in bases of what has not faded, and these, one for each hidden layer.

    None where there is nothing to gain. What is lost is at most 1e-14 of the largest column.
    """
    narrow, bases = list(layers), []
    for number in range(len(layers) - 1):
        J = np.hstack([narrow[number], narrow[number + 1].T])
        Q = _span(J)
        if Q.shape[1] < Q.shape[0]:
            narrow[number], narrow[number + 1] = Q.T @ narrow[number], narrow[number + 1] @ Q
        bases.append(Q)
    if all(Q.shape[0] == Q.shape[1] for Q in bases):
        return None
    return narrow, bases


def widened(layers: Sequence[np.ndarray], bases: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The layers of which :func:`narrowed` made these."""
    wide = list(layers)
    for number, Q in enumerate(bases):
        wide[number], wide[number + 1] = Q @ wide[number], wide[number + 1] @ Q.T
    return wide


def _span(J: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span those of J, or the identity if these are many."""
    half = J.shape[0] // 2 + 1
    if _rank(linalg.lu(J[:half, :half], p_indices=True)[2]) == half:
        return np.eye(J.shape[0])  # most often nothing has faded, and this shows it cheaply
    Q, R, _ = linalg.qr(J, mode="economic", pivoting=True)
    return Q[:, : max(_rank(R), 1)]


def _rank(R: np.ndarray) -> int:
    sizes = np.abs(np.diag(R))
    return int(np.sum(sizes > _FADED * sizes.max()))

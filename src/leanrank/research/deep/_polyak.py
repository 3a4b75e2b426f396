"""Global minima around which descent of a deep linear network comes down at a linear rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from leanrank import _checks
from leanrank.research.deep._engines import products
from leanrank.research.deep._factors import DeepFactors

__all__ = ["full_rank_neighbour", "polyak_constant"]


def polyak_constant(network: DeepFactors, size: int) -> float:
    r"""A constant of the inequality of Polyak and Lojasiewicz at a network; zero if it has none.

    .. math:: \tfrac12 |\nabla L(\theta)|^2 \ge \beta L(\theta), \qquad
        \beta = \tfrac2m s_{\min}(W_{L-1} \cdots W_1)^2,

    L being the mean of m squared residuals of entries, without a ridge; the singular value is the
    last one of n2, zero if the product has fewer rows.

    Parameters
    ----------
    network : DeepFactors
    size : int
        m.

    Raises
    ------
    ValueError, TypeError
        If the size is not a whole number of at least 1.

    Notes
    -----
    Wang and Jacot (2024), Proposition A.7; half of the constant there, which is that of
    :math:`|\nabla L|^2 \ge \beta L`. The gradient in :math:`W_L` alone is at least that large.

    Examples
    --------
    >>> polyak_constant(DeepFactors.balanced(np.eye(2), 3), 4), polyak_constant(
    ...     DeepFactors.balanced(np.ones((2, 2)), 3), 4
    ... )
    (0.5, 0.0)
    """
    size = _checks.whole_number(size, "size", least=1)
    below = products(network.layers[:-1])[-1]
    if below.shape[0] < below.shape[1]:
        return 0.0
    return 2.0 / size * float(np.linalg.svd(below, compute_uv=False)[-1]) ** 2


def full_rank_neighbour(
    network: DeepFactors, distance: float, *, random_state: Any = None
) -> DeepFactors:
    r"""A network close by, of the same product, around which :func:`polyak_constant` is positive.

    Layers change at random in directions that the layers above do not see.

    Parameters
    ----------
    network : DeepFactors
        Of hidden widths of at least n1 + n2.
    distance : float
        Euclidean, of all weights together.
    random_state : int, Generator or None

    Raises
    ------
    ValueError, TypeError
        If a width is too small, or an argument is not valid.

    Notes
    -----
    Wang and Jacot (2024), Proposition A.7.

    Examples
    --------
    >>> one = DeepFactors.balanced(np.ones((2, 2)), 3, width=4)
    >>> near = full_rank_neighbour(one, 0.1, random_state=0)
    >>> bool(np.allclose(near.product(), 1.0)), polyak_constant(near, 4) > 0.0
    (True, True)
    """
    distance = _checks.real_number(distance, "distance", above=0.0)
    rng = _checks.generator(random_state)
    least = sum(network.shape)
    if min(network.widths) < least:
        raise ValueError(
            f"network must have hidden widths of at least {least}, the sum of both sides of its "
            f"product, got {min(network.widths)}"
        )
    changes = []
    for number, W in enumerate(network.layers[:-1]):
        above = products([V.T for V in network.layers[:number:-1]])[-1].T
        unseen = np.linalg.svd(above)[2][above.shape[0] :].T
        changes.append(unseen @ rng.standard_normal((unseen.shape[1], W.shape[1])))
    scale = distance / np.sqrt(sum(np.sum(change**2) for change in changes))
    changed = [W + scale * D for W, D in zip(network.layers[:-1], changes, strict=True)]
    return DeepFactors([*changed, network.layers[-1]])

"""Restricted isometry: what one can say for certain about an operator that one has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, device_of, gaussian, norm
from leanrank.factors import Factors
from leanrank.operators import Measurement

__all__ = ["IsometryBounds", "isometry_ceiling", "nearest_low_rank", "restricted_isometry"]


@dataclass(frozen=True)
class IsometryBounds:
    r"""Range of :math:`\tfrac1m\sum_i\langle A_i, X\rangle^2 / |X|_F^2` over matrices of low rank.

    Attributes
    ----------
    low, high : float
        Smallest and largest value that was found; the true range contains them.
    low_at, high_at : Factors
        Where.
    """

    low: float
    high: float
    low_at: Factors
    high_at: Factors

    @property
    def delta(self) -> float:
        """A lower bound on the restricted isometry constant."""
        return max(self.high - 1.0, 1.0 - self.low)


def restricted_isometry(
    op: Measurement,
    rank: int,
    *,
    symmetric: bool | None = None,
    restarts: int = 3,
    max_iter: int = 200,
    tol: float = 1e-4,
    random_state: Any = None,
) -> IsometryBounds:
    r"""Lower bound on the restricted isometry constant, by power iteration on matrices of low rank.

    .. math:: X \leftarrow \frac{\mathcal P_r(c X \pm w \mathcal A^* \mathcal A X)}{|\cdot|_F}

    with the best approximation :math:`\mathcal P_r` of rank r, the operator's weight w (1/m), and
    the sign that makes the value grow or fall (c = 0, or slightly above the largest value).

    Parameters
    ----------
    op : Measurement
    rank : int
        The constant at rank r is over all X of rank at most r.
    symmetric : bool, optional
        Only symmetric X (not only positive ones). By default as the operator is: of others an
        operator that sees the symmetric part knows nothing.
    restarts : int
        Random starting points for each end.
    max_iter : int
        Largest number of steps from each.
    tol : float
        Stop when the value changes by less than this, relatively.
    random_state : int, Generator or None

    Returns
    -------
    IsometryBounds
        ``delta`` is certain as a lower bound: each end is the value at a matrix of that rank.
        Nothing is said from above; finding the constant itself is hard.

    Raises
    ------
    ValueError, TypeError
        If the rank is not in [1, min(n1, n2)], symmetric matrices are asked for that are not
        square, or a number is out of range.

    Notes
    -----
    Definition 2.1 of Li, Ma and Zhang (2018) and 2.7 of Wind (2025), with the mean over
    measurements. It needs entries of unit variance. Those of variance 1/d, which the pruning
    paper writes, give a mean of :math:`|X|_F^2/d`, and a constant of at least 1 - 1/d. Symmetric
    sensing matrices measure every antisymmetric X as 0, so that "for any d x d matrix" cannot be
    meant for them. Random X show next to nothing of the constant.

    Examples
    --------
    >>> from leanrank.operators import FullObservation
    >>> bounds = restricted_isometry(FullObservation((6, 5)), 2, random_state=0)
    >>> round(bounds.low, 6), round(bounds.high, 6)
    (1.0, 1.0)
    """
    symmetric = op.symmetric if symmetric is None else symmetric
    if symmetric and op.shape[0] != op.shape[1]:
        raise ValueError(f"op must measure square matrices for symmetric X, got {op.shape}")
    rank = _checks.whole_number(rank, "rank", least=1, most=min(op.shape))
    restarts = _checks.whole_number(restarts, "restarts", least=1)
    max_iter = _checks.whole_number(max_iter, "max_iter", least=1)
    tol = _checks.real_number(tol, "tol", least=0.0)
    rng = _checks.generator(random_state)
    starts = [
        nearest_low_rank(gaussian(rng, op.shape, op.reference), rank, symmetric)
        for _ in range(restarts)
    ]
    ascents = [_extreme(op, start, rank, symmetric, 0.0, max_iter, tol) for start in starts]
    high, high_at = max(ascents, key=lambda found: found[0])
    shift = 1.02 * high
    descents = [_extreme(op, start, rank, symmetric, shift, max_iter, tol) for start in starts]
    low, low_at = min(descents, key=lambda found: found[0])
    return IsometryBounds(low, high, low_at, high_at)


def isometry_ceiling(op: Measurement) -> float:
    r"""What no restricted isometry constant of the operator exceeds, at whatever rank.

    The largest distance from 1 of an eigenvalue of :math:`\tfrac1m\sum_i A_i A_i^\top` on all
    matrices, or on the symmetric ones where the operator sees no others. At least 1 if there are
    fewer measurements than entries; with many more it closes in on :func:`restricted_isometry`
    from above.

    Parameters
    ----------
    op : Measurement
        Small: an eigenproblem of the size of all entries.

    Examples
    --------
    >>> from leanrank.operators import FullObservation
    >>> isometry_ceiling(FullObservation((3, 2)))
    0.0
    """
    A = np.asarray(op.matrices(np.arange(op.size)), dtype=float)
    if op.symmetric:
        i, j = np.triu_indices(op.shape[0])
        rows = A[:, i, j] * np.where(i == j, 1.0, math.sqrt(2.0))
    else:
        rows = A.reshape(op.size, -1)
    values = np.linalg.eigvalsh(op.weight * (rows.T @ rows))
    return float(max(values[-1] - 1.0, 1.0 - values[0]))


def nearest_low_rank(X: Array, rank: int, symmetric: bool) -> Factors:
    """Best approximation of unit norm; exactly symmetric if asked, so that no drift can grow."""
    xp = array_namespace(X)
    if symmetric:
        values, vectors = xp.linalg.eigh((X + X.T) / 2)
        order = xp.argsort(xp.abs(values), descending=True)[:rank]
        P = xp.take(vectors, order, axis=1)
        values = xp.take(values, order, axis=0)
        return Factors(P * (values / norm(values)), P)
    P, values, Q = xp.linalg.svd(X, full_matrices=False)
    return Factors(P[:, :rank] * (values[:rank] / norm(values[:rank])), Q.T[:, :rank])


def _extreme(
    op: Measurement,
    X: Factors,
    rank: int,
    symmetric: bool,
    shift: float,
    max_iter: int,
    tol: float,
) -> tuple[float, Factors]:
    """The best value on the way up (no shift), or down from a shift above the largest."""
    xp = array_namespace(op.reference)
    eye = xp.eye(op.shape[1], dtype=op.reference.dtype, device=device_of(op.reference))
    best, best_at, last = (float("inf") if shift else 0.0), X, float("inf")
    for _ in range(max_iter):
        image = op.forward(X)
        value = op.weight * norm(image) ** 2
        if value < best if shift else value >= best:
            best, best_at = value, X
        if abs(value - last) <= tol * max(value, last if last < float("inf") else value):
            break
        last = value
        slope = op.weight * (op.adjoint(image) @ eye)
        following = shift * X.to_dense() - slope if shift else slope
        if norm(following) == 0:
            break
        X = nearest_low_rank(following, rank, symmetric)
    return best, best_at

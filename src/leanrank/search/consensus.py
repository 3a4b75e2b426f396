"""Consensus: rows that follow an outlier are fitted anew to those of their entries that agree.

A loss that resists outliers is not convex, and a row of few entries may be caught where it follows
an outlier, with huge values elsewhere. Given the other factor, each row is a small regression: of
fits to as many entries as there are factors, drawn at random, the one of least cost is taken
(random sampling of elemental subsets, Rousseeuw, 1984), if it costs less than what is there.
"""

from __future__ import annotations

import numpy as np

from leanrank._arrays import like, to_numpy
from leanrank.factors import Factors
from leanrank.problem import Point, Problem

__all__ = ["agreed_rows"]

_SUBSETS = 60
"""Where a fifth of the entries are outliers, one of so many subsets of eight is clean: 99.99 %."""
_MOST_CONDITION = 1e6


def agreed_rows(problem: Problem, point: Point, rng: np.random.Generator) -> Factors:
    """The factors with rows of V, then of U, fitted to the entries that agree.

    As they are where measurements are not single entries, or the matrix is symmetric.
    """
    factors, entries = point.factors, problem.op.entries()
    if entries is None or factors.symmetric or not factors.width:
        return factors
    rows, cols, scale = entries
    y, W, n1 = to_numpy(problem.y), np.array(to_numpy(factors.W)), factors.shape[0]
    for mine, others in ((cols + n1, rows), (rows, cols + n1)):
        order = np.argsort(mine, kind="stable")
        starts = np.searchsorted(mine[order], np.arange(W.shape[0] + 1))
        for i in np.unique(mine):
            of_row = order[starts[i] : starts[i + 1]]
            design = W[others[of_row]] * scale[of_row, None]
            fits = np.stack([W[i], *_elemental(design, y[of_row], rng)])
            residuals = fits @ design.T - y[of_row]
            loss = problem.loss.subset(of_row)
            costs = [float(np.sum(to_numpy(loss.value(like(r, problem.y))))) for r in residuals]
            W[i] = fits[int(np.argmin(costs))]
    return factors.with_stacked(like(W, factors.W))


def _elemental(design: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fits to as many entries as there are factors, drawn at random; shape (fits, k)."""
    n, k = design.shape
    if n <= k:
        return np.zeros((0, k))
    chosen = rng.random((_SUBSETS, n)).argsort(axis=1)[:, :k]
    square = design[chosen]
    # Subsets that hardly determine a fit extrapolate without bound.
    sound = np.linalg.cond(square) < _MOST_CONDITION
    return np.linalg.solve(square[sound], y[chosen[sound]][:, :, None])[:, :, 0]

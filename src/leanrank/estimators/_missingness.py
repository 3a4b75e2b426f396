"""Whether what is missing of a table depends on what is in it."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

__all__ = ["missing_by_others", "missing_by_size"]

_CHANCE = 1e-4
"""Chance, over the whole table, of a finding where entries are missing at random."""

_FEWEST = 30
"""Entries on either side of a comparison, whose means are about normal."""


def missing_by_others(Z: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of columns (j, k): where j is missing, entries of k differ from where it is not.

    Welch's statistic for every pair, Bonferroni's correction for their number.

    Parameters
    ----------
    Z : ndarray, shape (n, p)
        NaN where entries are missing.
    """
    seen = ~np.isnan(Z)
    gone, there, values = (~seen).astype(float), seen.astype(float), np.where(seen, Z, 0.0)
    sides = []
    for side in (gone, there):
        count, total, square = (side.T @ x for x in (there, values, values**2))
        size = np.maximum(count, 1.0)
        mean = total / size
        sides.append((count, mean, np.maximum(square / size - mean**2, 0.0) / size))
    (n1, m1, v1), (n0, m0, v0) = sides
    enough = (n1 >= _FEWEST) & (n0 >= _FEWEST) & (v1 + v0 > 0)
    statistic = np.abs(m1 - m0) / np.sqrt(np.where(enough, v1 + v0, 1.0))
    limit = norm.isf(0.5 * _CHANCE / max(int(enough.sum()), 1))
    found = np.argwhere(enough & (statistic > limit))
    order = np.argsort(-statistic[tuple(found.T)], kind="stable")
    return [(int(j), int(k)) for j, k in found[order]]


def missing_by_size(
    filled: np.ndarray, missing: np.ndarray, cols: np.ndarray, predicted: np.ndarray
) -> list[tuple[int, bool]]:
    """Columns whose missing entries are predicted to be larger or smaller than observed ones.

    Parameters
    ----------
    filled : ndarray, shape (n, p)
        Predictions.
    missing : ndarray of bool, shape (n, p)
    cols, predicted : ndarray, shape (held,)
        Columns of observed entries that were held out, and what was predicted of them.

    Returns
    -------
    list of (int, bool)
        The column, and whether what is missing is larger.
    """
    p = missing.shape[1]
    counts = np.minimum(np.bincount(cols, minlength=p), missing.sum(axis=0))
    tested = np.flatnonzero(counts >= _FEWEST)
    limit, found = norm.isf(0.5 * _CHANCE / max(tested.size, 1)), []
    for j in tested:
        gone, there = filled[missing[:, j], j], predicted[cols == j]
        spread = float(gone.var() / gone.size + there.var() / there.size)
        difference = float(gone.mean() - there.mean())
        if spread > 0 and abs(difference) > limit * np.sqrt(spread):
            found.append((int(j), difference > 0))
    return found

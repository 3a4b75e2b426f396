"""Random positions in a matrix that determine each of its rows and columns."""

from __future__ import annotations

import numpy as np

from leanrank.operators._pattern import Pattern

__all__ = ["determining_positions"]

_REDRAWS = 20
"""Samples of positions drawn whole before one is repaired."""


def determining_positions(
    shape: tuple[int, int], m: int, rank: int, rng: np.random.Generator
) -> np.ndarray:
    """Sorted flat positions of m entries, ``rank`` or more in each row and each column.

    They determine each, unless m is close to the degrees of freedom: see
    :func:`leanrank.simulate.matrix_completion`.
    """
    n1, n2 = shape
    for _ in range(_REDRAWS):
        flat = np.sort(rng.choice(n1 * n2, m, replace=False, shuffle=False))
        if not Pattern(*np.divmod(flat, n2), shape, symmetric=False).undetermined(rank).any():
            return flat
    # One more than the rank in each row and column keeps any two from hanging on one another.
    least = rank + 1 if m >= (rank + 1) * (n1 + n2 - rank - 1) and rank < min(shape) else rank
    flat = _fill(flat, shape, least, rng)
    flat = _transpose(_fill(_transpose(flat, n1, n2), (n2, n1), least, rng), n2, n1)
    return _thin(flat, shape, m, least, rng)


def _degrees(flat: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of entries in each row and each column."""
    rows, cols = np.divmod(flat, shape[1])
    return np.bincount(rows, minlength=shape[0]), np.bincount(cols, minlength=shape[1])


def _transpose(flat: np.ndarray, n1: int, n2: int) -> np.ndarray:
    """Sorted flat positions in the transposed matrix."""
    rows, cols = np.divmod(flat, n2)
    return np.sort(cols * n1 + rows)


def _fill(
    flat: np.ndarray, shape: tuple[int, int], rank: int, rng: np.random.Generator
) -> np.ndarray:
    """The positions and, in every row that has fewer than ``rank``, random ones that lack."""
    n2 = shape[1]
    degrees = _degrees(flat, shape)[0]
    starts = np.concatenate([[0], np.cumsum(degrees)])
    added = [flat]
    for i in np.flatnonzero(degrees < rank):
        seen = flat[starts[i] : starts[i + 1]] - i * n2
        free = np.setdiff1d(np.arange(n2), seen, assume_unique=True)
        added.append(i * n2 + rng.choice(free, rank - degrees[i], replace=False))
    return np.sort(np.concatenate(added))


def _thin(
    flat: np.ndarray, shape: tuple[int, int], m: int, rank: int, rng: np.random.Generator
) -> np.ndarray:
    """The positions without as many random ones as are too many, none of them needed."""
    rows, cols = np.divmod(flat, shape[1])
    in_row, in_col = _degrees(flat, shape)
    kept = np.ones(flat.size, dtype=bool)
    surplus = flat.size - m
    for p in rng.permutation(flat.size):
        if surplus == 0:
            break
        i, j = rows[p], cols[p]
        if in_row[i] > rank and in_col[j] > rank:
            in_row[i] -= 1
            in_col[j] -= 1
            kept[p] = False
            surplus -= 1
    return flat[kept]

"""Joining: parts of a matrix of which few observed entries, or none, tell how they lie together.

Two parts of rank r that are told by their own entries leave an invertible matrix of size r between
them open (a rotation, where the matrix is symmetric). So of the entries in the rows of one and the
columns of the other at least as many must be seen as that has unknowns.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from leanrank.linalg import leading_pairs
from leanrank.operators import ObservedEntries

__all__ = ["apart", "loosely_joined"]


def apart(seen: ObservedEntries) -> float:
    """Share of the unobserved entries whose row and column no chain of observed ones joins."""
    n1, n2 = seen.shape
    links = (np.ones(seen.size), (seen.rows, n1 + seen.cols))
    graph = sparse.coo_array(links, shape=(n1 + n2, n1 + n2))
    count, label = connected_components(graph, directed=False)
    if count == 1:
        return 0.0
    rows, cols = (np.bincount(part, minlength=count) for part in (label[:n1], label[n1:]))
    joined = float(np.sum(rows.astype(float) * cols))
    return (n1 * n2 - joined) / (n1 * n2 - seen.size)


def loosely_joined(
    seen: ObservedEntries, rank: int, rng: np.random.Generator, *, symmetric: bool = False
) -> float:
    """Share of the unobserved entries between two parts that too few observed ones join.

    Parts are looked for along the second singular vectors of the pattern, rows and columns divided
    by the roots of their counts, which are nearly constant on parts that few entries join (Dhillon
    2001). Only those count that have as many entries as unknowns.

    Parameters
    ----------
    seen : ObservedEntries
        Of a symmetric matrix both (i, j) and (j, i).
    rank : int
    rng : Generator
    symmetric : bool
    """
    order = _along_second_vectors(seen, rng)
    n1, n2 = seen.shape
    position = np.empty(n1 + n2, dtype=np.intp)
    position[order] = np.arange(n1 + n2)
    ends = np.sort(np.stack([position[seen.rows], position[n1 + seen.cols]]), axis=0)
    # The first t + 1 in order, for every t, and the others.
    first, last = (np.cumsum(np.bincount(end, minlength=n1 + n2)) for end in ends)
    crossing = first - last
    rows = np.cumsum(order < n1)
    cols = np.arange(1, n1 + n2 + 1) - rows
    open_ = rank * (rank - 1) if symmetric else rank * rank
    loose = crossing < max(open_, 1)
    for r, c, inside in ((rows, cols, last), (n1 - rows, n2 - cols, seen.size - first)):
        loose &= (np.minimum(r, c) >= rank) & (inside >= rank * (r + c) - open_)
    if not loose.any():
        return 0.0
    between = rows * (n2 - cols) + (n1 - rows) * cols - crossing
    return float(between[loose].max()) / (math.prod(seen.shape) - seen.size)


def _along_second_vectors(seen: ObservedEntries, rng: np.random.Generator) -> np.ndarray:
    """Rows, and columns after them, in the order of the second singular vectors of the pattern."""
    n1, n2 = seen.shape
    scales = [
        1.0 / np.sqrt(np.maximum(np.bincount(index, minlength=n), 1))
        for index, n in ((seen.rows, n1), (seen.cols, n2))
    ]
    values = scales[0][seen.rows] * scales[1][seen.cols]
    pattern = sparse.csr_array((values, (seen.rows, seen.cols)), shape=seen.shape)
    left, _, right = leading_pairs(pattern, 2, rng, values)
    of_rows, of_cols = left[:, -1] * scales[0], right[:, -1] * scales[1]
    return np.argsort(np.concatenate([of_rows, of_cols]), kind="stable")

"""Entries in the order of their rows, and those of a block in the order of their columns."""

from __future__ import annotations

import numpy as np

from leanrank._compile import compiled

__all__ = ["by_column", "by_row"]

_BITS = 11
"""Of a digit: counts of all its values stay in cache."""


@compiled(fastmath=False)
def by_row(rows, indptr, place):  # type: ignore[no-untyped-def]
    """Where each entry goes, in the order of rows, and where each row begins (a counting sort).

    ``indptr`` holds zeros, and ``place`` is written.
    """
    for e in range(rows.size):
        indptr[rows[e] + 1] += 1
    for i in range(1, indptr.size):
        indptr[i] += indptr[i - 1]
    following = indptr.copy()
    for e in range(rows.size):
        place[e] = following[rows[e]]
        following[rows[e]] += 1


@compiled(fastmath=False)
def by_column(indptr, cols, columns):  # type: ignore[no-untyped-def]
    """The entries of a block column by column, those of a column in the order of rows.

    A radix sort: time is linear in the entries, whatever the number of columns.

    Returns
    -------
    which, ptr : ndarray of int32
        Columns that have entries, and where those of each begin and end.
    order, rows : ndarray of int32, shape (entries,)
        Where each entry is in the block, and in which of its rows.
    """
    m = cols.size
    order, other = np.arange(m).astype(np.int32), np.empty(m, np.int32)
    counts = np.empty(1 << _BITS, np.int64)
    shift = 0
    while (columns - 1) >> shift > 0:
        counts[:] = 0
        for e in range(m):
            counts[(cols[e] >> shift) & (counts.size - 1)] += 1
        before = 0
        for digit in range(counts.size):
            before, counts[digit] = before + counts[digit], before
        for e in range(m):
            digit = (cols[order[e]] >> shift) & (counts.size - 1)
            other[counts[digit]] = order[e]
            counts[digit] += 1
        order, other = other, order
        shift += _BITS
    of_entry = other
    for i in range(indptr.size - 1):
        of_entry[indptr[i] : indptr[i + 1]] = i
    rows, distinct = np.empty(m, np.int32), 0
    for e in range(m):
        rows[e] = of_entry[order[e]]
        distinct += e == 0 or cols[order[e]] != cols[order[e - 1]]
    which, ptr = np.empty(distinct, np.int32), np.empty(distinct + 1, np.int32)
    at = 0
    for e in range(m):
        if e == 0 or cols[order[e]] != cols[order[e - 1]]:
            which[at], ptr[at] = cols[order[e]], e
            at += 1
    ptr[at] = m
    return which, ptr, order, rows

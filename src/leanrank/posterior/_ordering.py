"""Entries in the order of their rows, and those of a block in the order of their columns."""

from __future__ import annotations

import numpy as np

from leanrank._compile import compiled

__all__ = ["by_column", "by_row"]

_BITS = 16
"""Of a digit, at most: counts of all its values stay in cache."""


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
    bits = 1
    while (columns - 1) >> bits > 0:
        bits += 1
    digits = (bits + _BITS - 1) // _BITS
    step = (bits + digits - 1) // digits
    counts = np.empty(1 << step, np.int64)
    for shift in range(0, bits, step):
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

"""Numba kernels: what arrays cannot say at memory bandwidth.

Observed entries come sorted by row (``indptr``, ``cols`` as in CSR); factors are C-contiguous.
All kernels run in one thread, so that the same input gives the same bits.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = [
    "entries_blocks",
    "entries_forward",
    "entries_normal",
    "entries_pull_back",
    "packed_tangent",
    "rows_times_blocks",
]


@njit(cache=True, fastmath=True, nogil=True)
def entries_forward(indptr, cols, U, V, out):  # type: ignore[no-untyped-def]
    """out[p] = <U[row p], V[cols[p]]>."""
    k = U.shape[1]
    for i in range(indptr.size - 1):
        for p in range(indptr[i], indptr[i + 1]):
            j = cols[p]
            t = U.dtype.type(0.0)
            for c in range(k):
                t += U[i, c] * V[j, c]
            out[p] = t


@njit(cache=True, fastmath=True, nogil=True)
def entries_pull_back(indptr, cols, values, U, V, out_u, out_v):  # type: ignore[no-untyped-def]
    """out_u = S V and out_v = S^T U in one sweep over the sparse matrix S of ``values``."""
    k = U.shape[1]
    out_u[:] = 0.0
    out_v[:] = 0.0
    for i in range(indptr.size - 1):
        for p in range(indptr[i], indptr[i + 1]):
            j = cols[p]
            t = values[p]
            for c in range(k):
                out_u[i, c] += t * V[j, c]
            for c in range(k):
                out_v[j, c] += t * U[i, c]


@njit(cache=True, fastmath=True, nogil=True)
def entries_normal(indptr, cols, U, V, Zu, Zv, out_u, out_v):  # type: ignore[no-untyped-def]
    """(out_u; out_v) = J^T J (Zu; Zv), forward and adjoint fused into one sweep."""
    k = U.shape[1]
    out_u[:] = 0.0
    out_v[:] = 0.0
    for i in range(indptr.size - 1):
        for p in range(indptr[i], indptr[i + 1]):
            j = cols[p]
            t = U.dtype.type(0.0)
            for c in range(k):
                t += Zu[i, c] * V[j, c] + U[i, c] * Zv[j, c]
            for c in range(k):
                out_u[i, c] += t * V[j, c]
                out_v[j, c] += t * U[i, c]


@njit(cache=True, fastmath=True, nogil=True)
def entries_blocks(indptr, cols, U, V, blocks_u, blocks_v):  # type: ignore[no-untyped-def]
    """Diagonal k x k blocks of J^T J: Gram matrices of what each row and column is seen with."""
    k = U.shape[1]
    blocks_u[:] = 0.0
    blocks_v[:] = 0.0
    for i in range(indptr.size - 1):
        for p in range(indptr[i], indptr[i + 1]):
            j = cols[p]
            for a in range(k):
                x = V[j, a]
                z = U[i, a]
                for b in range(k):
                    blocks_u[i, a, b] += x * V[j, b]
                for b in range(k):
                    blocks_v[j, a, b] += z * U[i, b]


@njit(cache=True, fastmath=True, nogil=True)
def rows_times_blocks(blocks, R, out):  # type: ignore[no-untyped-def]
    """out[i] = blocks[i] @ R[i] for every row i."""
    n, k = R.shape
    for i in range(n):
        for a in range(k):
            t = R.dtype.type(0.0)
            for b in range(k):
                t += blocks[i, a, b] * R[i, b]
            out[i, a] = t


@njit(cache=True, fastmath=True, nogil=True)
def packed_tangent(packed, Ut, out, value):  # type: ignore[no-untyped-def]
    """out[i] = 2 A_i U and value[i] = <A_i, U U^T> from packed upper triangles, one sweep.

    ``Ut`` is U^T, so that the inner loops run along contiguous memory.
    """
    m = packed.shape[0]
    k, d = Ut.shape
    product = np.empty((k, d), dtype=packed.dtype)
    for i in range(m):
        row = packed[i]
        product[:] = 0.0
        start = 0
        for a in range(d):
            rest = row[start : start + d - a]
            start += d - a
            for c in range(k):
                u = Ut[c, a:]
                target = product[c, a:]
                ua = Ut[c, a]
                dot = rest[0] * ua
                for b in range(1, d - a):
                    dot += rest[b] * u[b]
                    target[b] += rest[b] * ua
                target[0] += dot
        t = packed.dtype.type(0.0)
        for c in range(k):
            for a in range(d):
                t += product[c, a] * Ut[c, a]
                out[i, a, c] = 2.0 * product[c, a]
        value[i] = t

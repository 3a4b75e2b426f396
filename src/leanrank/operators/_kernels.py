"""Numba kernels: what arrays cannot say at memory bandwidth.

Observed entries come sorted by row (``indptr``, ``cols`` as in CSR); factors are C-contiguous.
All kernels run in one thread, so that the same input gives the same bits.
"""

from __future__ import annotations

import numpy as np

from leanrank._compile import compiled

__all__ = [
    "entries_blocks",
    "entries_forward",
    "entries_normal",
    "entries_pull_back",
    "packed_tangent",
    "rows_times_blocks",
    "sweep",
    "sweep_many",
]


@compiled(fastmath=True)
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


@compiled(fastmath=True)
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


@compiled(fastmath=True)
def entries_normal(indptr, cols, weights, U, V, Zu, Zv, out_u, out_v):  # type: ignore[no-untyped-def]
    """(out_u; out_v) = J^T diag(weights) J (Zu; Zv), forward and adjoint fused into one sweep.

    No weights at all stand for ones.
    """
    k, weighted = U.shape[1], weights.size > 0
    out_u[:] = 0.0
    out_v[:] = 0.0
    for i in range(indptr.size - 1):
        for p in range(indptr[i], indptr[i + 1]):
            j = cols[p]
            t = U.dtype.type(0.0)
            for c in range(k):
                t += Zu[i, c] * V[j, c] + U[i, c] * Zv[j, c]
            if weighted:
                t *= weights[p]
            for c in range(k):
                out_u[i, c] += t * V[j, c]
                out_v[j, c] += t * U[i, c]


@compiled(fastmath=True)
def entries_blocks(indptr, cols, weights, U, V, blocks_u, blocks_v):  # type: ignore[no-untyped-def]
    """Diagonal k x k blocks of J^T diag(weights) J: Gram matrices of what rows are seen with.

    No weights at all stand for ones. Lower triangles are added up, row after row in one run of
    numbers: half of the work, in whole vectors.
    """
    k, weighted = U.shape[1], weights.size > 0
    size = k * (k + 1) // 2
    one, mine = np.empty(size, U.dtype), np.empty(size, U.dtype)
    squares, theirs = np.empty((V.shape[0], size), U.dtype), np.zeros((V.shape[0], size), U.dtype)
    for j in range(V.shape[0]):
        _square(V[j], squares[j])
    for i in range(indptr.size - 1):
        _square(U[i], one)
        mine[:] = 0.0
        for p in range(indptr[i], indptr[i + 1]):
            j = cols[p]
            w = weights[p] if weighted else U.dtype.type(1.0)
            square, total = squares[j], theirs[j]
            for t in range(size):
                mine[t] += w * square[t]
                total[t] += w * one[t]
        _unpack(mine, blocks_u[i])
    for j in range(V.shape[0]):
        _unpack(theirs[j], blocks_v[j])


@compiled(fastmath=True)
def _square(row, out):  # type: ignore[no-untyped-def]
    """The lower triangle of row row^T, row after row."""
    t = 0
    for a in range(row.size):
        for b in range(a + 1):
            out[t] = row[a] * row[b]
            t += 1


@compiled(fastmath=True)
def _unpack(triangle, out):  # type: ignore[no-untyped-def]
    """The symmetric matrix of a lower triangle."""
    t = 0
    for a in range(out.shape[0]):
        for b in range(a + 1):
            out[a, b] = triangle[t]
            out[b, a] = triangle[t]
            t += 1


@compiled(fastmath=True)
def rows_times_blocks(blocks, R, out):  # type: ignore[no-untyped-def]
    """out[i] = blocks[i] @ R[i] for every row i."""
    n, k = R.shape
    for i in range(n):
        for a in range(k):
            t = R.dtype.type(0.0)
            for b in range(k):
                t += blocks[i, a, b] * R[i, b]
            out[i, a] = t


@compiled(fastmath=True)
def packed_tangent(packed, Ut, out, value):  # type: ignore[no-untyped-def]
    """out[i] = 2 (A_i U)^T and value[i] = <A_i, U U^T> from packed upper triangles, one sweep.

    With A = S + S^T, S the upper triangle with half the diagonal, four rows of S at a time give
    four entries of S U and an update of S^T U. Rows are copied between zeros and end at the same
    column, so that all loops run over whole vectors of twice the widest register.
    """
    m = packed.shape[0]
    k, d = Ut.shape
    zero, two = packed.dtype.type(0.0), packed.dtype.type(2.0)
    lane = 128 // packed.itemsize
    offset = -d % lane
    end = d + offset
    S = np.zeros((4, end), dtype=packed.dtype)
    right = np.zeros((k, end), dtype=packed.dtype)
    product = np.zeros((k, end), dtype=packed.dtype)
    # An array assigned to a slice would take Numba three times as long to compile as all the rest.
    for c in range(k):
        for a in range(d):
            right[c, offset + a] = Ut[c, a]
    for i in range(m):
        product[:] = zero
        start = 0
        for a in range(offset, end, 4):
            n = min(4, end - a)
            S[n:] = zero
            for r in range(n):
                diagonal = a + r
                # Further left there are zeros from the blocks before.
                for b in range(max(diagonal - 4, 0), diagonal):
                    S[r, b] = zero
                source = packed[i, start : start + end - diagonal]
                target = S[r, diagonal:]
                for b in range(end - diagonal):
                    target[b] = source[b]
                target[0] /= two
                start += end - diagonal
            left = a // lane * lane
            s0, s1, s2, s3 = S[0, left:], S[1, left:], S[2, left:], S[3, left:]
            first = a - left
            for c in range(k):
                u = right[c, left:]
                t = product[c, left:]
                u0 = u[first]
                u1 = u[first + 1] if n > 1 else zero
                u2 = u[first + 2] if n > 2 else zero
                u3 = u[first + 3] if n > 3 else zero
                t0, t1, t2, t3 = zero, zero, zero, zero
                for b in range(end - left):
                    t0 += s0[b] * u[b]
                    t1 += s1[b] * u[b]
                    t2 += s2[b] * u[b]
                    t3 += s3[b] * u[b]
                    t[b] += (s0[b] * u0 + s1[b] * u1) + (s2[b] * u2 + s3[b] * u3)
                t[first] += t0
                if n > 1:
                    t[first + 1] += t1
                if n > 2:
                    t[first + 2] += t2
                if n > 3:
                    t[first + 3] += t3
        total = zero
        for c in range(k):
            t = product[c, offset:]
            u = right[c, offset:]
            target = out[i, c]
            for a in range(d):
                total += t[a] * u[a]
                target[a] = two * t[a]
        value[i] = total


@compiled(fastmath=True)
def sweep(data, vector, shift, weights, out, total):  # type: ignore[no-untyped-def]
    """One sweep: out = data @ vector - shift and total = (weights * out) @ data.

    Four rows are multiplied both ways while they are in cache.
    """
    m, n = data.shape
    zero = data.dtype.type(0.0)
    total[:] = zero
    whole = m - m % 4
    for i in range(0, whole, 4):
        a0, a1, a2, a3 = data[i], data[i + 1], data[i + 2], data[i + 3]
        t0, t1, t2, t3 = zero, zero, zero, zero
        for j in range(n):
            t0 += a0[j] * vector[j]
            t1 += a1[j] * vector[j]
            t2 += a2[j] * vector[j]
            t3 += a3[j] * vector[j]
        t0, t1, t2, t3 = t0 - shift[i], t1 - shift[i + 1], t2 - shift[i + 2], t3 - shift[i + 3]
        out[i], out[i + 1], out[i + 2], out[i + 3] = t0, t1, t2, t3
        t0, t1 = weights[i] * t0, weights[i + 1] * t1
        t2, t3 = weights[i + 2] * t2, weights[i + 3] * t3
        for j in range(n):
            total[j] += (a0[j] * t0 + a1[j] * t1) + (a2[j] * t2 + a3[j] * t3)
    for i in range(whole, m):
        a0 = data[i]
        t0 = zero
        for j in range(n):
            t0 += a0[j] * vector[j]
        t0 = t0 - shift[i]
        out[i] = t0
        t0 = weights[i] * t0
        for j in range(n):
            total[j] += a0[j] * t0


_CHUNK = 512
"""Columns of four rows that stay in the first-level cache while all vectors meet them."""


@compiled(fastmath=True)
def sweep_many(data, vectors, shift, weights, out, total):  # type: ignore[no-untyped-def]
    """As :func:`sweep` for many vectors, (b, n).

    Data are read once, whatever the number of vectors. BLAS is slow on products so thin.
    """
    m, n = data.shape
    b = vectors.shape[0]
    zero = data.dtype.type(0.0)
    total[:] = zero
    for i in range(0, m, 4):
        # Where the rows end, the last one is met again, with nothing of it added.
        a = min(i + 1, m - 1), min(i + 2, m - 1), min(i + 3, m - 1)
        products = np.zeros((b, 4), data.dtype)
        for at in range(0, n, _CHUNK):
            chunk = slice(at, min(at + _CHUNK, n))
            a0, a1, a2, a3 = data[i, chunk], data[a[0], chunk], data[a[1], chunk], data[a[2], chunk]
            for v in range(b):
                x = vectors[v, chunk]
                t0, t1, t2, t3 = zero, zero, zero, zero
                for j in range(x.size):
                    t0 += a0[j] * x[j]
                    t1 += a1[j] * x[j]
                    t2 += a2[j] * x[j]
                    t3 += a3[j] * x[j]
                products[v, 0] += t0
                products[v, 1] += t1
                products[v, 2] += t2
                products[v, 3] += t3
        for v in range(b):
            for r in range(4):
                if i + r < m:
                    products[v, r] -= shift[i + r]
                    out[v, i + r] = products[v, r]
                    products[v, r] *= weights[i + r]
                else:
                    products[v, r] = zero
        for at in range(0, n, _CHUNK):
            chunk = slice(at, min(at + _CHUNK, n))
            a0, a1, a2, a3 = data[i, chunk], data[a[0], chunk], data[a[1], chunk], data[a[2], chunk]
            for v in range(b):
                t0, t1, t2, t3 = products[v]
                x = total[v, chunk]
                for j in range(x.size):
                    x[j] += (a0[j] * t0 + a1[j] * t1) + (a2[j] * t2 + a3[j] * t3)

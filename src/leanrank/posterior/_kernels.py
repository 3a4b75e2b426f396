"""The row sweep: every row of one factor given the moments of the other, and what it tells those.

A row of either factor has K coordinates, of which one at most is fixed at one (the partner of an
intercept). Second moments are kept as packed lower triangles, row after row: K (K + 1) / 2 numbers.
Data are read in order, once for the rows that are solved and once, while they are in cache, for
what the solved rows add to the columns.
"""

from __future__ import annotations

import math

import numpy as np

from leanrank._compile import compiled

__all__ = ["add_to_columns", "gather", "solve_each"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)


@compiled(fastmath=False)
def _mixed(z):  # type: ignore[no-untyped-def]
    """SplitMix64's finaliser: a bijection of 64 bits without visible structure."""
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@compiled(fastmath=False)
def _normals(key, row, out):  # type: ignore[no-untyped-def]
    """Standard normal numbers that depend on key and row alone (Box and Muller)."""
    state = _mixed(key + _GOLDEN * np.uint64(row + 1))
    for i in range(0, out.size, 2):
        state += _GOLDEN
        a = (float(_mixed(state) >> _S11) + 0.5) * 2.0**-53
        state += _GOLDEN
        b = float(_mixed(state) >> _S11) * 2.0**-53
        size = math.sqrt(-2.0 * math.log(a))
        out[i] = size * math.cos(2.0 * math.pi * b)
        if i + 1 < out.size:
            out[i + 1] = size * math.sin(2.0 * math.pi * b)


@compiled(fastmath=True)
def gather(indptr, cols, y, weights, scale, mean, second, first, last, A, h):  # type: ignore[no-untyped-def]
    """Normal equations of rows ``first`` to ``last``: A = sum w S_j, h = sum w y s_j.

    ``weights`` of entries may be empty, for ones; ``scale`` multiplies those of a column.
    """
    weighted = weights.size > 0
    for i in range(first, last):
        a, b = A[i - first], h[i - first]
        a[:] = 0.0
        b[:] = 0.0
        for e in range(indptr[i], indptr[i + 1]):
            j = cols[e]
            w = scale[j] * weights[e] if weighted else scale[j]
            S, s = second[j], mean[j]
            for t in range(a.size):
                a[t] += w * S[t]
            w *= y[e]
            for t in range(b.size):
                b[t] += w * s[t]


@compiled(fastmath=True)
def add_to_columns(indptr, cols, y, weights, rows, mean, second, start, stop, A, h):  # type: ignore[no-untyped-def]
    """Add what rows say to the normal equations of columns ``start`` to ``stop``.

    ``rows`` is the range (first, last) whose moments ``mean`` and ``second`` are. A column meets
    its rows in their order, whichever way columns are dealt out to threads.
    """
    weighted = weights.size > 0
    first, last = rows
    for i in range(first, last):
        R, r = second[i - first], mean[i - first]
        for e in range(indptr[i], indptr[i + 1]):
            j = cols[e]
            if j < start or j >= stop:
                continue
            w = weights[e] if weighted else 1.0
            # The same as in gather; a call for each entry costs 40 %.
            a, b = A[j], h[j]
            for t in range(a.size):
                a[t] += w * R[t]
            w *= y[e]
            for t in range(b.size):
                b[t] += w * r[t]


@compiled(fastmath=False)
def _finish(L, x, free, fixed, row):  # type: ignore[no-untyped-def]
    """Solve L^T row = x for the free coordinates of a row; x is overwritten."""
    for p in range(x.size - 1, -1, -1):
        for t in range(p + 1, x.size):
            x[p] -= L[t, p] * x[t]
        x[p] /= L[p, p]
        row[free[p]] = x[p]
    if fixed >= 0:
        row[fixed] = 1.0


@compiled(fastmath=False)
def solve_each(A, h, scale, prior, pull, fixed, draw, key, first, last, mean, second, centre):  # type: ignore[no-untyped-def]
    """Posterior moments of rows ``first`` to ``last``, or a draw of each.

    Parameters
    ----------
    A, h : ndarray, shape (rows, K (K + 1) / 2) and (rows, K)
        Normal equations over all K coordinates, those of ``first`` first.
    scale : ndarray, shape (rows,)
        Precision of the noise that multiplies them.
    prior : ndarray, shape (F, F)
        Prior precision of the free coordinates.
    pull : ndarray, shape (F,)
        Prior precision times prior mean.
    fixed : int
        Coordinate that is one, or -1 for none.
    draw : bool
        Draw from the posterior instead: ``second`` is then the square of the draw.
    key : uint64
        Of the random numbers; a row's are its own, whatever rows come along.
    mean, second : ndarray
        Written.
    centre : ndarray, shape (rows, K) or (0, K)
        Means of what was drawn from, if there is room for them.

    Returns
    -------
    int
        The first row whose precision is not positive definite, or -1.
    """
    K = h.shape[1]
    F = prior.shape[0]
    free = np.empty(F, np.int64)
    at = 0
    for c in range(K):
        if c != fixed:
            free[at] = c
            at += 1
    L = np.empty((F, F))
    inverse = np.empty((F, F))
    x = np.empty(F)
    z = np.empty(F)
    for i in range(last - first):
        a, b, s = A[i], h[i], scale[i]
        for p in range(F):
            c = free[p]
            for q in range(p + 1):
                L[p, q] = prior[p, q] + s * a[c * (c + 1) // 2 + free[q]]
            right = b[c]
            if fixed >= 0:
                right -= (
                    a[c * (c + 1) // 2 + fixed] if c > fixed else a[fixed * (fixed + 1) // 2 + c]
                )
            x[p] = pull[p] + s * right
        for p in range(F):
            for q in range(p + 1):
                total = L[p, q]
                for t in range(q):
                    total -= L[p, t] * L[q, t]
                if p == q:
                    if not total > 0.0:
                        return first + i
                    L[p, p] = math.sqrt(total)
                else:
                    L[p, q] = total / L[q, q]
        for p in range(F):
            for t in range(p):
                x[p] -= L[p, t] * x[t]
            x[p] /= L[p, p]
        m, S = mean[i], second[i]
        if draw:
            if centre.shape[0] > 0:
                z[:] = x
                _finish(L, z, free, fixed, centre[i])
            _normals(key, first + i, z)
            for p in range(F):
                x[p] += z[p]
        _finish(L, x, free, fixed, m)
        for c in range(K):
            for d in range(c + 1):
                S[c * (c + 1) // 2 + d] = m[c] * m[d]
        if draw:
            continue
        # L^-1 column by column, then the covariance L^-T L^-1.
        for q in range(F):
            inverse[q, q] = 1.0 / L[q, q]
            for p in range(q + 1, F):
                total = 0.0
                for t in range(q, p):
                    total -= L[p, t] * inverse[t, q]
                inverse[p, q] = total / L[p, p]
        for p in range(F):
            c = free[p]
            for q in range(p + 1):
                total = 0.0
                for t in range(p, F):
                    total += inverse[t, p] * inverse[t, q]
                S[c * (c + 1) // 2 + free[q]] += total
    return -1

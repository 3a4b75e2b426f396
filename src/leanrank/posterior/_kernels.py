"""The row sweep: every row of one factor given the moments of the other, and what it tells those.

A row of either factor has K coordinates, of which one at most is fixed at one (the partner of an
intercept). Second moments are kept as packed lower triangles, row after row: K (K + 1) / 2 numbers.
"""

from __future__ import annotations

import math

import numpy as np

from leanrank._compile import compiled

__all__ = ["add_up", "gather", "outer", "residual", "solve_each", "sum_up", "turn"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)

_RUN = 64
"""Entries that are added up before they go to a sum in double precision: moments may be single."""

_LANES = 64
"""Rows that are solved at once, number by number: so the compiler finds vectors."""


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
def gather(targets, ptr, partners, order, y, weights, left_out, scale, mean, second, A, h):  # type: ignore[no-untyped-def]
    """Add what entries say to normal equations: A_i += sum w S_j, h_i += sum w y s_j.

    Parameters
    ----------
    targets, ptr : ndarray of int
        Rows of A and h, and where the entries of each begin and end.
    partners : ndarray of int
        The row of ``mean`` and ``second`` that each entry meets.
    order : ndarray of int, shape (entries,) or (0,)
        Where the values of each entry are; none for the order they come in.
    y : ndarray
    weights, left_out : ndarray, shape of y or (0,)
        Weights, ones if there are none; entries whose ``left_out`` is not zero do not count.
    scale : ndarray or (0,)
        Multiplies the weights of each partner.
    mean, second : ndarray, shape (partners, K) and (partners, P)
    A, h : ndarray of float64, shape (targets, P) and (targets, K)
    """
    ordered, weighted = order.size > 0, weights.size > 0
    scaled, fewer = scale.size > 0, left_out.size > 0
    a, b = np.empty(second.shape[1], second.dtype), np.empty(mean.shape[1], mean.dtype)
    w, wy = np.empty(_RUN + 1, mean.dtype), np.empty(_RUN + 1, mean.dtype)
    for c in range(targets.size):
        for begin in range(ptr[c], ptr[c + 1], _RUN):
            n = min(_RUN, ptr[c + 1] - begin)
            for e in range(n):
                at = order[begin + e] if ordered else begin + e
                w[e] = weights[at] if weighted else 1.0
                if scaled:
                    w[e] *= scale[partners[begin + e]]
                if fewer and left_out[at]:
                    w[e] = 0.0
                wy[e] = w[e] * y[at]
            w[n] = wy[n] = 0.0
            a[:] = 0.0
            b[:] = 0.0
            # Two entries at a time: half as many loads and stores of the sums.
            for e in range(0, n, 2):
                i, j = partners[begin + e], partners[begin + min(e + 1, n - 1)]
                S, T, s, t = second[i], second[j], mean[i], mean[j]
                v0, v1, z0, z1 = w[e], w[e + 1], wy[e], wy[e + 1]
                for p in range(a.size):
                    a[p] += v0 * S[p] + v1 * T[p]
                for p in range(b.size):
                    b[p] += z0 * s[p] + z1 * t[p]
            i = targets[c]
            for p in range(a.size):
                A[i, p] += a[p]
            for p in range(b.size):
                h[i, p] += b[p]


@compiled(fastmath=False)
def sum_up(cols, y, weights, left_out, total, squares):  # type: ignore[no-untyped-def]
    """Add to sums of each column: weights, and weights times squares, in double precision."""
    weighted, fewer = weights.size > 0, left_out.size > 0
    for e in range(cols.size):
        if fewer and left_out[e]:
            continue
        w, value = 1.0, float(y[e])
        if weighted:
            w = float(weights[e])
        total[cols[e]] += w
        squares[cols[e]] += w * value * value


@compiled(fastmath=True)
def residual(indptr, cols, y, U, V, out):  # type: ignore[no-untyped-def]
    """What rows U, meeting V in the entries of each, leave of y."""
    for i in range(U.shape[0]):
        u = U[i]
        for e in range(indptr[i], indptr[i + 1]):
            v, total = V[cols[e]], 0.0
            for p in range(u.size):
                total += u[p] * v[p]
            out[e] = y[e] - total


@compiled(fastmath=True)
def add_up(second, total):  # type: ignore[no-untyped-def]
    """Add the rows of ``second`` to ``total``."""
    for i in range(second.shape[0]):
        for p in range(total.size):
            total[p] += second[i, p]


@compiled(fastmath=False)
def outer(mean, variances, second):  # type: ignore[no-untyped-def]
    """Second moments of rows with independent coordinates; of shape (0, K) they are certain."""
    for i in range(mean.shape[0]):
        t = 0
        for c in range(mean.shape[1]):
            for d in range(c + 1):
                second[i, t] = mean[i, c] * mean[i, d]
                t += 1
            if variances.shape[0] > 0:
                second[i, t - 1] += variances[i, c]


@compiled(fastmath=True)
def turn(T, second, out):  # type: ignore[no-untyped-def]
    """Second moments of T times each row: the packed T S T^T."""
    new, K = T.shape
    S, half = np.empty((K, K)), np.empty((new, K))
    for i in range(second.shape[0]):
        t = 0
        for c in range(K):
            for d in range(c + 1):
                S[c, d] = S[d, c] = second[i, t]
                t += 1
        t = 0
        for c in range(new):
            h = half[c]
            h[:] = 0.0
            for d in range(K):
                s, f = S[d], T[c, d]
                for e in range(K):
                    h[e] += f * s[e]
            for d in range(c + 1):
                row, total = T[d], 0.0
                for e in range(K):
                    total += h[e] * row[e]
                out[i, t] = total
                t += 1


@compiled(fastmath=False)
def _factored(L, x):  # type: ignore[no-untyped-def]
    """Cholesky factors of many matrices, and L^-1 x, in place; diagonals come out inverted.

    What is not positive definite becomes NaN.
    """
    F = L.shape[0]
    for t in range(F):
        D, xt = L[t, t], x[t]
        for lane in range(_LANES):
            D[lane] = 1.0 / math.sqrt(D[lane]) if D[lane] > 0.0 else math.nan
            xt[lane] *= D[lane]
        for p in range(t + 1, F):
            Lp, xp = L[p, t], x[p]
            for lane in range(_LANES):
                Lp[lane] *= D[lane]
                xp[lane] -= Lp[lane] * xt[lane]
        for p in range(t + 1, F):
            Lp = L[p, t]
            for q in range(t + 1, p + 1):
                Lq, out = L[q, t], L[p, q]
                for lane in range(_LANES):
                    out[lane] -= Lp[lane] * Lq[lane]


@compiled(fastmath=False)
def _finish(L, x):  # type: ignore[no-untyped-def]
    """L^-T x, in place."""
    for p in range(L.shape[0] - 1, -1, -1):
        xp, D = x[p], L[p, p]
        for t in range(p + 1, L.shape[0]):
            Lt, xt = L[t, p], x[t]
            for lane in range(_LANES):
                xp[lane] -= Lt[lane] * xt[lane]
        for lane in range(_LANES):
            xp[lane] *= D[lane]


@compiled(fastmath=False)
def _inverted(L, R):  # type: ignore[no-untyped-def]
    """L^-T L^-1 in place of L, which is the inverse of the matrix that was factored."""
    F = L.shape[0]
    for q in range(F):
        R[q, q] = L[q, q]
        for p in range(q + 1, F):
            out, D = R[p, q], L[p, p]
            out[:] = 0.0
            for t in range(q, p):
                Lp, Rt = L[p, t], R[t, q]
                for lane in range(_LANES):
                    out[lane] -= Lp[lane] * Rt[lane]
            for lane in range(_LANES):
                out[lane] *= D[lane]
    for p in range(F):
        for q in range(p + 1):
            out = L[p, q]
            out[:] = 0.0
            for t in range(p, F):
                Rp, Rq = R[t, p], R[t, q]
                for lane in range(_LANES):
                    out[lane] += Rp[lane] * Rq[lane]


@compiled(fastmath=False)
def _spread(A, h, scale, prior, fixed, free, L, x):  # type: ignore[no-untyped-def]
    """Precisions and right-hand sides of the free coordinates, one row to each lane."""
    for lane in range(_LANES):
        i = min(lane, A.shape[0] - 1)
        a, b, s = A[i], h[i], scale[i]
        for p in range(free.size):
            c = free[p]
            for q in range(p + 1):
                L[p, q, lane] = prior[p, q] + s * a[c * (c + 1) // 2 + free[q]]
            right = b[c]
            if fixed >= 0:
                right -= (
                    a[c * (c + 1) // 2 + fixed] if c > fixed else a[fixed * (fixed + 1) // 2 + c]
                )
            x[p, lane] = prior[p, free.size] + s * right


@compiled(fastmath=False)
def solve_each(A, h, scale, prior, fixed, key, first, mean, second, centre, variance, missed):  # type: ignore[no-untyped-def]
    """Posterior moments of rows, or a draw of each.

    Parameters
    ----------
    A, h : ndarray, shape (rows, K (K + 1) / 2) and (rows, K)
        Normal equations over all K coordinates.
    scale : ndarray, shape (rows,)
        Precision of the noise that multiplies them.
    prior : ndarray, shape (F, F + 1)
        Prior precision of the free coordinates; in the last column, times the prior mean.
    fixed : int
        Coordinate that is one, or -1 for none.
    key : ndarray of uint64, shape (1,) or (0,)
        Of random numbers: rows are drawn from their posterior, and ``second`` is the square of the
        draw. A row's numbers are its own, whatever rows come along.
    first : int
        Number of the first row, which random numbers depend on.
    mean, second : ndarray
        Written.
    centre, variance : ndarray, shape (rows, K) or (0, K)
        Written if there is room: means of what was drawn from, and posterior variances.
    missed : ndarray, shape (rows,) or (0,)
        Gets -2 h^T s + <A, S> added, in the new moments: with the sum of w y^2, what the entries of
        each row are missed by.

    Returns
    -------
    int
        The first row whose precision is not positive definite, or -1.
    """
    K, F = h.shape[1], prior.shape[0]
    free = np.empty(F, np.int64)
    for p in range(F):
        free[p] = p + (0 <= fixed <= p)
    L, inverse, x = np.empty((F, F, _LANES)), np.empty((F, F, _LANES)), np.empty((F, _LANES))
    z, centres = np.empty(F), np.empty((F, _LANES))
    m, S = np.empty(K), np.empty(A.shape[1])
    for begin in range(0, A.shape[0], _LANES):
        many = min(_LANES, A.shape[0] - begin)
        part = slice(begin, begin + many)
        _spread(A[part], h[part], scale[part], prior, fixed, free, L, x)
        _factored(L, x)
        for lane in range(many):
            if F > 0 and math.isnan(x[F - 1, lane]):
                return first + begin + lane
        if key.size > 0:
            centres[:] = x
            _finish(L, centres)
            for lane in range(many):
                _normals(key[0], first + begin + lane, z)
                x[:, lane] += z
        _finish(L, x)
        if key.size == 0:
            _inverted(L, inverse)
        for lane in range(many):
            i = begin + lane
            if fixed >= 0:
                m[fixed] = 1.0
            for p in range(F):
                m[free[p]] = x[p, lane]
            _moments(m, L, free, lane, key.size == 0, S)
            for c in range(K):
                mean[i, c] = m[c]
            for t in range(S.size):
                second[i, t] = S[t]
            if centre.shape[0] > 0 and key.size > 0:
                centre[i, :] = m
                for p in range(F):
                    centre[i, free[p]] = centres[p, lane]
            if variance.shape[0] > 0:
                variance[i, :] = 0.0
                for p in range(F):
                    variance[i, free[p]] = L[p, p, lane]
            if missed.size > 0:
                missed[i] += _miss(A[i], h[i], m, S)
    return -1


@compiled(fastmath=False)
def _moments(m, L, free, lane, spread, S):  # type: ignore[no-untyped-def]
    """Packed second moments of one lane: squares of the mean, and its covariance."""
    t = 0
    for c in range(m.size):
        for d in range(c + 1):
            S[t] = m[c] * m[d]
            t += 1
    if spread:
        for p in range(free.size):
            c = free[p]
            for q in range(p + 1):
                S[c * (c + 1) // 2 + free[q]] += L[p, q, lane]


@compiled(fastmath=True)
def _miss(a, b, m, S):  # type: ignore[no-untyped-def]
    """-2 b^T m + <A, S>, of packed A and S."""
    total, t = 0.0, 0
    for c in range(m.size):
        row = 0.0
        for d in range(c):
            row += a[t + d] * S[t + d]
        total += 2.0 * (row - b[c] * m[c]) + a[t + c] * S[t + c]
        t += c + 1
    return total

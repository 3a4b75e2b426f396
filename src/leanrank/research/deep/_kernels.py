"""Numba kernel of per-sample descent on a deep linear network, over observed entries.

The product A = W_L ... W_1 is never formed. An entry A[i, j] is a chain of matrix-vector products
from column j of W_1 to row i of W_L; its gradient is one outer product in each middle layer. Weight
decay is a scalar that all layers share, applied when all steps are done. The outer products of a
step wait until the next step reads the layer anyway, so that a middle layer of width w costs one
sweep of reading and writing w^2 numbers in a step if there is one, and two if there are more.
"""

from __future__ import annotations

import numpy as np

from leanrank._compile import compiled

__all__ = ["descend"]

# Sums may be reordered, but NaN and infinity must stay what they are: divergence is looked for.
_FLAGS = {"reassoc", "contract", "nsz"}


@compiled(fastmath=_FLAGS)
def _forward(middle, layer, change, left, right, s, x):  # type: ignore[no-untyped-def]
    """W += change left right^T of the first of the batch, then x[layer + 1] = W x[layer]."""
    W, a, b = middle[layer], left[layer + 1, 0], right[layer, 0]
    into, out = x[layer, s], x[layer + 1, s]
    for p in range(W.shape[0]):
        t = change * a[p]
        total = W.dtype.type(0.0)
        for q in range(W.shape[1]):
            value = W[p, q] + t * b[q]
            W[p, q] = value
            total += value * into[q]
        out[p] = total


@compiled(fastmath=_FLAGS)
def _both_ways(middle, layer, change, left, right, s, x, z):  # type: ignore[no-untyped-def]
    """As :func:`_forward`, and z[layer] = W^T z[layer + 1] in the same sweep."""
    W, a, b = middle[layer], left[layer + 1, 0], right[layer, 0]
    into, out, above, back = x[layer, s], x[layer + 1, s], z[layer + 1, s], z[layer, s]
    back[:] = 0.0
    for p in range(W.shape[0]):
        t, weight = change * a[p], above[p]
        total = W.dtype.type(0.0)
        for q in range(W.shape[1]):
            value = W[p, q] + t * b[q]
            W[p, q] = value
            total += value * into[q]
            back[q] += weight * value
        out[p] = total


@compiled(fastmath=_FLAGS)
def _backward(middle, layer, s, z):  # type: ignore[no-untyped-def]
    """z[layer] = W^T z[layer + 1]."""
    W, above, back = middle[layer], z[layer + 1, s], z[layer, s]
    back[:] = 0.0
    for p in range(W.shape[0]):
        weight = above[p]
        for q in range(W.shape[1]):
            back[q] += weight * W[p, q]


@compiled(fastmath=_FLAGS)
def _add_waiting(middle, change, left, right, first):  # type: ignore[no-untyped-def]
    """The outer products that wait, of number ``first`` of the batch and those after it."""
    for layer in range(middle.shape[0]):
        for s in range(first, change.size):
            W, a, b = middle[layer], left[layer + 1, s], right[layer, s]
            for p in range(W.shape[0]):
                t = change[s] * a[p]
                for q in range(W.shape[1]):
                    W[p, q] += t * b[q]


@compiled(fastmath=_FLAGS)
def _chains(middle, change, left, right, x, z):  # type: ignore[no-untyped-def]
    """From x[0] up and from z[-1] down through all middle layers, for each of the batch.

    Before, they get what waits for them; that of the first of the batch in the sweeps for it.
    """
    inner = middle.shape[0]
    if change.size > 1:
        _add_waiting(middle, change, left, right, 1)
    for s in range(change.size):
        h = change[0] if s == 0 else middle.dtype.type(0.0)
        for layer in range(inner - 1):
            _forward(middle, layer, h, left, right, s, x)
        if inner:
            _both_ways(middle, inner - 1, h, left, right, s, x, z)
        for layer in range(inner - 2, -1, -1):
            _backward(middle, layer, s, z)


@compiled(fastmath=_FLAGS)
def _product(first, middle, last):  # type: ignore[no-untyped-def]
    """W_L ... W_1."""
    B = first
    for layer in range(middle.shape[0]):
        B = np.dot(B, middle[layer].T)
    return np.dot(last, B.T)


@compiled(fastmath=_FLAGS)
def descend(first, middle, last, rows, cols, y, picks, rate, decay, squares, ends, out):  # type: ignore[no-untyped-def]
    """Update the layers in place, once for each row of ``picks``.

    first : (n2, w), the transpose of W_1. middle : (L - 2, w, w). last : (n1, w).
    picks : (steps, batch), positions in ``rows``, ``cols``, ``y``.
    rate, decay : step size, and its product with the ridge.
    squares : (steps,), takes the mean squared residual of each step's entries before the update.
    ends, out : (r,), (r, n1, n2), takes the products of the layers after the first ends[r] steps.

    Returns the number of steps done: fewer than asked for where a residual was not finite, and
    then the layers are of no use.
    """
    steps, batch = picks.shape
    inner, width = middle.shape[0], first.shape[1]
    # ahead[l] enters middle layer l from below, behind[l + 1] from above, for each of the batch;
    # those of the step before belong to the outer products that wait.
    ahead = np.zeros((inner + 1, batch, width), first.dtype)
    behind, ahead_before, behind_before = ahead.copy(), ahead.copy(), ahead.copy()
    change = np.zeros(batch, first.dtype)
    shrunk = 1.0  # the layers are this number times what the arrays hold
    record = 0
    for step in range(steps):
        for s in range(batch):
            i, j = rows[picks[step, s]], cols[picks[step, s]]
            for q in range(width):
                ahead[0, s, q] = first[j, q]
                behind[inner, s, q] = last[i, q]
        _chains(middle, change, behind_before, ahead_before, ahead, behind)
        others = shrunk ** (inner + 1)
        after = shrunk * (1.0 - decay)
        squares[step] = 0.0
        for s in range(batch):
            total = first.dtype.type(0.0)
            for q in range(width):
                total += ahead[inner, s, q] * behind[inner, s, q]
            residual = shrunk * others * total - y[picks[step, s]]
            squares[step] += residual * residual / batch
            change[s] = -2.0 * rate * residual * others / (after * batch)
        if not np.isfinite(squares[step]):
            return step
        for s in range(batch):
            i, j = rows[picks[step, s]], cols[picks[step, s]]
            for q in range(width):
                last[i, q] += change[s] * ahead[inner, s, q]
                first[j, q] += change[s] * behind[0, s, q]
        ahead, ahead_before = ahead_before, ahead
        behind, behind_before = behind_before, behind
        shrunk = after
        recorded = record < ends.size and step + 1 == ends[record]
        flush = others < 1e-60 or step == steps - 1
        if recorded or flush:
            _add_waiting(middle, change, behind_before, ahead_before, 0)
            change[:] = 0.0
        if flush:
            first *= shrunk
            middle *= shrunk
            last *= shrunk
            shrunk = 1.0
        if recorded:
            out[record] = shrunk ** (inner + 2) * _product(first, middle, last)
            record += 1
    return steps

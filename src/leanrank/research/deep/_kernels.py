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
        total = 0.0
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
    for q in range(back.size):
        back[q] = 0.0
    for p in range(W.shape[0]):
        t, weight = change * a[p], above[p]
        total = 0.0
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
    for q in range(back.size):
        back[q] = 0.0
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
        _add_waiting(middle, change, left, right, np.int64(1))
    for s in range(change.size):
        h = change[0] if s == 0 else 0.0
        for layer in range(inner - 1):
            _forward(middle, layer, h, left, right, s, x)
        if inner:
            _both_ways(middle, inner - 1, h, left, right, s, x, z)
        for layer in range(inner - 2, -1, -1):
            _backward(middle, layer, s, z)


@compiled(fastmath=_FLAGS)
def _product(first, middle, last, scale, below, above, out):  # type: ignore[no-untyped-def]
    """W_L ... W_1 times a scale into ``out``, with room for two products of shape (w, n2)."""
    for j in range(first.shape[0]):
        for q in range(first.shape[1]):
            below[q, j] = scale * first[j, q]
    for layer in range(middle.shape[0]):
        np.dot(middle[layer], below, above)
        below, above = above, below
    np.dot(last, below, out)


@compiled(fastmath=_FLAGS)
def _scale(first, middle, last, factor):  # type: ignore[no-untyped-def]
    """All layers times a factor. (Of an array at once, Numba compiles it ten times as long.)"""
    for j in range(first.shape[0]):
        for q in range(first.shape[1]):
            first[j, q] *= factor
    for layer in range(middle.shape[0]):
        for p in range(middle.shape[1]):
            for q in range(middle.shape[2]):
                middle[layer, p, q] *= factor
    for i in range(last.shape[0]):
        for q in range(last.shape[1]):
            last[i, q] *= factor


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
    # up[l] enters middle layer l from below, down[l + 1] from above, for each of the batch; those
    # of the step before belong to the outer products that wait.
    paths = np.zeros((4, inner + 1, batch, width))
    change = np.zeros(batch)
    room = np.empty((2, width, first.shape[0]))
    shrunk = 1.0  # the layers are this number times what the arrays hold
    record = 0
    up, down, up_before, down_before = paths[0], paths[1], paths[2], paths[3]
    for step in range(steps):
        for s in range(batch):
            i, j = rows[picks[step, s]], cols[picks[step, s]]
            for q in range(width):
                up[0, s, q] = first[j, q]
                down[inner, s, q] = last[i, q]
        _chains(middle, change, down_before, up_before, up, down)
        others = shrunk ** (inner + 1)
        after = shrunk * (1.0 - decay)
        squares[step] = 0.0
        for s in range(batch):
            total = 0.0
            for q in range(width):
                total += up[inner, s, q] * down[inner, s, q]
            residual = shrunk * others * total - y[picks[step, s]]
            squares[step] += residual * residual / batch
            change[s] = -2.0 * rate * residual * others / (after * batch)
        if not np.isfinite(squares[step]):
            return step
        for s in range(batch):
            i, j = rows[picks[step, s]], cols[picks[step, s]]
            for q in range(width):
                last[i, q] += change[s] * up[inner, s, q]
                first[j, q] += change[s] * down[0, s, q]
        up, up_before = up_before, up
        down, down_before = down_before, down
        shrunk = after
        recorded = record < ends.size and step + 1 == ends[record]
        flush = others < 1e-60 or step == steps - 1
        if recorded or flush:
            _add_waiting(middle, change, down_before, up_before, np.int64(0))
            for s in range(batch):
                change[s] = 0.0
        if flush:
            _scale(first, middle, last, shrunk)
            shrunk = 1.0
        if recorded:
            power = shrunk ** (inner + 2)
            _product(first, middle, last, power, room[0], room[1], out[record])
            record += 1
    return steps

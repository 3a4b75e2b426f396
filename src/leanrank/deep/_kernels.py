"""Numba kernel of per-sample descent on a deep linear network, over observed entries.

The product A = W_L ... W_1 is never formed. An entry A[i, j] is a chain of matrix-vector products
from column j of W_1 to row i of W_L; its gradient is one outer product in each middle layer. Weight
decay is a scalar that all layers share, applied when a chunk of steps is done. The outer products
of a step wait until the next step reads the layer anyway, so that a middle layer of width w costs
one sweep of reading and writing w^2 numbers in a step if there is one, and two if there are more.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["descend_entries", "descend_recorded"]

# Sums may be reordered, but NaN and infinity must stay what they are: divergence is looked for.
_FLAGS = {"reassoc", "contract", "nsz"}


@njit(cache=True, fastmath=_FLAGS, nogil=True, error_model="numpy")
def _forward(W, change, left, right, x, out):  # type: ignore[no-untyped-def]
    """W += change left right^T, then out = W x."""
    for p in range(W.shape[0]):
        t = change * left[p]
        total = W.dtype.type(0.0)
        for q in range(W.shape[1]):
            value = W[p, q] + t * right[q]
            W[p, q] = value
            total += value * x[q]
        out[p] = total


@njit(cache=True, fastmath=_FLAGS, nogil=True, error_model="numpy")
def _both_ways(W, change, left, right, x, out, z, back):  # type: ignore[no-untyped-def]
    """W += change left right^T, then out = W x and back = W^T z, all in one sweep."""
    back[:] = 0.0
    for p in range(W.shape[0]):
        t, weight = change * left[p], z[p]
        total = W.dtype.type(0.0)
        for q in range(W.shape[1]):
            value = W[p, q] + t * right[q]
            W[p, q] = value
            total += value * x[q]
            back[q] += weight * value
        out[p] = total


@njit(cache=True, fastmath=_FLAGS, nogil=True, error_model="numpy")
def _backward(W, z, back):  # type: ignore[no-untyped-def]
    """Back = W^T z."""
    back[:] = 0.0
    for p in range(W.shape[0]):
        for q in range(W.shape[1]):
            back[q] += z[p] * W[p, q]


@njit(cache=True, fastmath=_FLAGS, nogil=True, error_model="numpy")
def _add_outer(W, change, left, right):  # type: ignore[no-untyped-def]
    """W += change left right^T."""
    for p in range(W.shape[0]):
        for q in range(W.shape[1]):
            W[p, q] += change * left[p] * right[q]


@njit(cache=True, fastmath=_FLAGS, nogil=True, error_model="numpy")
def descend_entries(first, middle, last, rows, cols, y, picks, rate, decay, squares):  # type: ignore[no-untyped-def]
    """Update the layers in place, once for each row of ``picks``.

    first : (n2, w), the transpose of W_1. middle : (L - 2, w, w). last : (n1, w).
    picks : (steps, batch), positions in ``rows``, ``cols``, ``y``.
    rate, decay : step size, and its product with the ridge.
    squares : (steps,), takes the mean squared residual of each step's entries before the update.

    Returns the number of steps done: fewer than asked for where a residual was not finite.
    """
    steps, batch = picks.shape
    inner, width = middle.shape[0], first.shape[1]
    one = first.dtype.type(1.0)
    # ahead[l] enters middle layer l from below, behind[l + 1] from above, for each of the batch;
    # the ones of the step before belong to the outer products that wait.
    ahead = np.zeros((inner + 1, batch, width), first.dtype)
    behind = np.zeros((inner + 1, batch, width), first.dtype)
    ahead_before = np.zeros((inner + 1, batch, width), first.dtype)
    behind_before = np.zeros((inner + 1, batch, width), first.dtype)
    change = np.zeros(batch, first.dtype)
    shrunk = 1.0  # the layers are this number times what the arrays hold
    for step in range(steps):
        for s in range(batch):
            for q in range(width):
                ahead[0, s, q] = first[cols[picks[step, s]], q]
                behind[inner, s, q] = last[rows[picks[step, s]], q]
        if inner:
            # The outer products of all others of the batch, then each chain; the first of the
            # batch takes its own along in its sweep.
            for layer in range(inner):
                for s in range(1, batch):
                    _add_outer(
                        middle[layer],
                        change[s],
                        behind_before[layer + 1, s],
                        ahead_before[layer, s],
                    )
            for s in range(batch):
                h = change[0] if s == 0 else first.dtype.type(0.0)
                for layer in range(inner - 1):
                    _forward(
                        middle[layer],
                        h,
                        behind_before[layer + 1, 0],
                        ahead_before[layer, 0],
                        ahead[layer, s],
                        ahead[layer + 1, s],
                    )
                _both_ways(
                    middle[inner - 1],
                    h,
                    behind_before[inner, 0],
                    ahead_before[inner - 1, 0],
                    ahead[inner - 1, s],
                    ahead[inner, s],
                    behind[inner, s],
                    behind[inner - 1, s],
                )
                for layer in range(inner - 2, -1, -1):
                    _backward(middle[layer], behind[layer + 1, s], behind[layer, s])
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
        if shrunk < 1e-3 or step == steps - 1:
            for layer in range(inner):
                for s in range(batch):
                    _add_outer(
                        middle[layer],
                        change[s],
                        behind_before[layer + 1, s],
                        ahead_before[layer, s],
                    )
            change[:] = 0.0
            first *= one * shrunk
            middle *= one * shrunk
            last *= one * shrunk
            shrunk = 1.0
    return steps


@njit(cache=True, nogil=True, error_model="numpy")
def descend_recorded(first, middle, last, rows, cols, y, picks, rate, decay, squares, ends, out):  # type: ignore[no-untyped-def]
    """As :func:`descend_entries`; out[r] is the product of the layers after ends[r] steps."""
    at = 0
    for record in range(ends.size + 1):
        end = ends[record] if record < ends.size else picks.shape[0]
        done = descend_entries(
            first, middle, last, rows, cols, y, picks[at:end], rate, decay, squares[at:end]
        )
        if done < end - at:
            return at + done
        if record < ends.size:
            A = first.T
            for layer in range(middle.shape[0]):
                A = np.dot(middle[layer], A).T.copy().T
            out[record] = np.dot(last, A)
        at = end
    return at

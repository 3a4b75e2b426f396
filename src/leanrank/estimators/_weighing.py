r"""How much each of several models counts, by what they miss of entries that were held out.

.. math:: \min_{w \ge 0,\ \sum_c w_c = 1}\ \sum_i \Big(\sum_c w_c e_{ci}\Big)^2
    + \frac{\nu}{m} \sum_{i=1}^m \Big(\sum_c (w_c - w_{0c}) e_{ci}\Big)^2

for misses e of models c at m entries (stacking; Wolpert 1992, Breiman 1996). The second sum is that
of :math:`\nu` entries which come out as the weights :math:`w_0` say. First all entries count, with
the usual weights for :math:`w_0`, then those of each column, with the common ones. Last, all
weights move towards column means, as far as what they are better by may be chance.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import nnls

__all__ = ["cross_weighed", "weighed"]

_WORTH = 20.0
"""Entries that weights count for where those of fewer entries are pulled to them."""

_SURE = 1.0
"""Standard errors below the best share at which models are taken instead of means."""

_TURNS = 10
"""Parts of the entries whose weights are those of the others."""


def weighed(
    errors: np.ndarray, cols: np.ndarray, usual: np.ndarray, means: int | None
) -> np.ndarray:
    """Weights of the models in each column.

    Parameters
    ----------
    errors : ndarray, shape (models, held)
        What each model misses.
    cols : ndarray of int, shape (held,)
    usual : ndarray, shape (models, p)
        Weights without any entry; the same in all columns.
    means : int or None
        Which model is that of column means, if one is.

    Returns
    -------
    ndarray, shape (models, p)
    """
    k, p = usual.shape
    if k == 1:
        return usual
    gram = errors @ errors.T
    prior = (_WORTH / cols.size) * gram
    common = _convex(gram, usual[:, 0], prior)
    order = np.argsort(cols, kind="stable")
    parts = np.split(errors[:, order], np.searchsorted(cols[order], np.arange(1, p)), axis=1)
    weights = np.stack([_convex(part @ part.T, common, prior) for part in parts], axis=1)
    if means is None:
        return weights
    missed = np.sum(weights[:, cols] * errors, axis=0)
    share = _surely(missed - errors[means], -errors[means])
    weights *= share
    weights[means] += 1.0 - share
    return weights


def cross_weighed(
    errors: np.ndarray, cols: np.ndarray, usual: np.ndarray, means: int | None
) -> np.ndarray:
    """What is missed by weights that do not know the entry: those of the other parts, in turn."""
    held = cols.size
    out = np.empty(held)
    for part in np.array_split(np.arange(held), min(_TURNS, held)):
        others = np.ones(held, bool)
        others[part] = False
        weights = weighed(errors[:, others], cols[others], usual, means)
        out[part] = np.sum(weights[:, cols[part]] * errors[:, part], axis=0)
    return out


def _convex(gram: np.ndarray, usual: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """The minimiser, from the products of errors and those that the usual weights are held by."""
    # Of weights of sum t the cost is t^2 times that of sum one: with (t - 1)^2 added, the best
    # direction is the same, and only w >= 0 is left as a constraint.
    scale = float(np.trace(gram + prior))
    if not scale > 0:
        return usual
    away = np.eye(usual.size) - usual[:, None]
    values, Q = np.linalg.eigh((gram + away.T @ prior @ away) / scale)
    rows = np.sqrt(np.maximum(values, 0.0))[:, None] * Q.T
    A = np.concatenate([rows, np.ones((1, usual.size))])
    found = nnls(A, np.append(np.zeros(usual.size), 1.0))[0]
    return np.asarray(found / found.sum())


def _surely(moved: np.ndarray, needed: np.ndarray) -> float:
    """The share of a move that is best, less its standard error, between nothing and all of it."""
    square = float(moved @ moved)
    if not square > 0:
        return 1.0
    share = float(moved @ needed) / square
    error = math.sqrt(float(np.sum((moved * (needed - share * moved)) ** 2))) / square
    return min(max(share - _SURE * error, 0.0), 1.0)

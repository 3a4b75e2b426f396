"""Coherence: rows that a direction of the factors spends itself on.

Completion has local minima that can be told by sight. One column of the factors is hardly more than
one row, whose few entries it fits with huge values, and it is missing everywhere else; no small
change helps. Such a row has a leverage far above those of all others. Without it the fit goes on,
and tells the row in the end.
"""

from __future__ import annotations

import math

import numpy as np

from leanrank._arrays import array_namespace, like, to_numpy
from leanrank.factors import Factors

__all__ = ["spent_rows", "without_rows"]


def spent_rows(factors: Factors) -> np.ndarray:
    """Flags of the rows of W whose leverage no Gaussian factor would show, shape (rows,).

    There n times a leverage is about chi-squared with k degrees of freedom, and with probability
    1 - 1 / n none of n exceeds the limit (Laurent and Massart 2000, Lemma 1, at x = 2 log n).
    """
    xp, k = array_namespace(factors.W), factors.width
    flags = []
    for side in [factors.U] if factors.symmetric else [factors.U, factors.V]:
        Q = to_numpy(xp.linalg.qr(side)[0])
        n, x = Q.shape[0], 2.0 * math.log(Q.shape[0])
        flags.append(n * np.sum(Q * Q, axis=1) > k + 2.0 * math.sqrt(k * x) + 2.0 * x)
    return np.concatenate(flags)


def without_rows(factors: Factors, rows: np.ndarray) -> Factors:
    """The factors with zeros in flagged rows of W."""
    kept = like(np.where(rows, 0.0, 1.0), factors.W)
    return factors.with_stacked(factors.W * kept[:, None])

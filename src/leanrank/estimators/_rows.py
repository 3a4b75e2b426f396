r"""The rows of a table of exactly low rank as draws of a Gaussian factor model without noise.

.. math:: z_j = \mu_j + (B t)_j, \qquad t \sim N(0, I)

Recovered factors give mean and loadings B. Each row is completed from its own entries: exactly,
where they determine its scores t, and towards typical rows where they do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from leanrank.estimators._entries import Entries
from leanrank.factors import Factors
from leanrank.problem import exact_tolerance

__all__ = ["ExactRows", "along_axes"]

_NOISE = 1e-10
"""Noise level relative to the largest loading: what it adds to the error is below it, and it keeps
rounding from being blown up in rows that do not determine their scores."""


@dataclass(frozen=True)
class ExactRows:
    """A row is mean + loadings @ t, with t standard normal; scaled units.

    Attributes
    ----------
    loadings : ndarray, shape (p, r)
        Orthogonal columns of decreasing length.
    mean : ndarray, shape (p,)
    """

    loadings: np.ndarray
    mean: np.ndarray

    @classmethod
    def of(cls, factors: Factors, entries: Entries, *, center: bool) -> ExactRows:
        """The rows of a recovered matrix, about their mean or about zero."""
        p = entries.shape[1]
        if factors.width == 0:
            return cls(np.zeros((p, 0)), np.zeros(p))
        U, s, Q = (np.asarray(part, dtype=np.float64) for part in factors.svd())
        # Scores of rows that barely determine them would distort mean and size of the others.
        counts = entries.row_counts()
        enough = counts >= min(s.size, np.median(counts))
        scores, weights = (U * s)[enough], entries.row_weights()[enough]
        weights /= weights.mean()
        middle = np.average(scores, axis=0, weights=weights) if center else np.zeros(s.size)
        roots = np.sqrt(weights)[:, None]
        _, spread, axes = np.linalg.svd(roots * (scores - middle), full_matrices=False)
        kept = spread > 10 * exact_tolerance(entries.values) * float(np.max(s))
        loadings = Q @ (axes[kept].T * (spread[kept] / math.sqrt(scores.shape[0])))
        return cls(along_axes(loadings), Q @ middle)

    @property
    def noise(self) -> np.ndarray:
        """None, shape (p,)."""
        return np.zeros(self.mean.size)

    def complete(self, Z: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Conditional means of rows, and variances; see :class:`~._row_model.Rows`.

        An orthogonal factorisation for each row rather than its normal equations, so that exact
        tables are completed exactly.
        """
        mean, roots = self._solved(Z, weight)
        return mean, np.sum((self.loadings @ roots) ** 2, axis=2)

    def draw(self, Z: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        mean, roots = self._solved(Z, weight)
        change = roots @ rng.standard_normal((Z.shape[0], self.loadings.shape[1], 1))
        return np.asarray(mean + change[:, :, 0] @ self.loadings.T)

    def _solved(self, Z: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means of the rows, and roots of the covariances of their scores."""
        (n, p), r = Z.shape, self.loadings.shape[1]
        out, inverse = np.tile(self.mean, (n, 1)), np.zeros((n, r, r))
        if r == 0:
            return out, inverse
        unit = _NOISE * float(np.linalg.norm(self.loadings, 2))
        seen = ~np.isnan(Z) & (weight > 0)
        roots = np.sqrt(np.where(seen, weight, 0.0))
        rest = np.where(seen, Z - self.mean, 0.0)
        block = max(1, 2**21 // ((p + r) * r))
        for start in range(0, n, block):
            part = slice(start, start + block)
            rows = roots[part, :, None] * self.loadings
            prior = np.broadcast_to(unit * np.eye(r), (len(rows), r, r))
            Q, R = np.linalg.qr(np.concatenate([rows, prior], axis=1))
            right = np.einsum("npr,np->nr", Q[:, :p], roots[part] * rest[part])
            out[part] += np.linalg.solve(R, right[:, :, None])[:, :, 0] @ self.loadings.T
            inverse[part] = unit * np.linalg.inv(R)
        return out, inverse


def along_axes(loadings: np.ndarray) -> np.ndarray:
    """The same covariance by orthogonal columns, of the same sign wherever they came from."""
    if not loadings.size:
        return loadings
    P, lengths, _ = np.linalg.svd(loadings, full_matrices=False)
    # As the largest of equals counts the first, whatever rounding says.
    largest = np.argmax(np.abs(P) > 0.999 * np.max(np.abs(P), axis=0, initial=0), axis=0)
    signs = np.sign(P[largest, np.arange(P.shape[1])])
    return np.asarray(P * signs * lengths)

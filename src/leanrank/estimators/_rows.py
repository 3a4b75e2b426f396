r"""The rows of a table of low rank as draws of a Gaussian factor model.

.. math:: z_j = \mu_j + (B t)_j + \sigma_j \varepsilon_j, \qquad t, \varepsilon \sim N(0, I)

Recovered factors give the rank and the first estimate of mean, loadings B and noise. Where the
table has noise, the EM algorithm of factor analysis (Rubin and Thayer, 1982, over the observed
entries only) takes the estimate on to the most likely one: least squares may fit a few entries by
a direction that few others see, and runs off to large values where nothing was observed; the
model pays for such a direction in every row. It also learns which columns are noisier than
others, so that scaling columns costs nothing where the noise does not scale with them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from leanrank.estimators._entries import Entries
from leanrank.factors import Factors
from leanrank.problem import exact_tolerance

__all__ = ["RowModel"]

_NOISE_FLOOR = 1e-10
"""Least noise level relative to the largest loading: what it adds to the error is below it, and
it keeps rounding from being blown up in rows that do not determine their scores."""

_PSEUDO_ENTRIES = 2.0


@dataclass(frozen=True)
class RowModel:
    r"""A row is shift + loadings @ t + noise, with t standard normal; scaled units.

    The noise of an entry of weight w is that of its column over :math:`\sqrt w`.

    Attributes
    ----------
    loadings : ndarray, shape (p, r)
        Orthogonal columns of decreasing length.
    shift : ndarray, shape (p,)
    noise : ndarray, shape (p,)
        Standard deviations.
    """

    loadings: np.ndarray
    shift: np.ndarray
    noise: np.ndarray

    @classmethod
    def of(cls, factors: Factors, entries: Entries, *, center: bool, exact: bool) -> RowModel:
        """The model of the rows of a recovered matrix, about their mean or about zero."""
        p, m = entries.shape[1], entries.values.size
        if factors.width == 0:
            size = math.sqrt(entries.mean_square(entries.values)) if m else 0.0
            return cls(np.zeros((p, 0)), np.zeros(p), np.full(p, size))
        residual = factors.entries(entries.rows, entries.cols) - entries.values
        freedom = m - factors.degrees_of_freedom()
        spare = m / freedom if freedom > 0 else 1.0
        noise = math.sqrt(entries.mean_square(residual) * spare)
        U, s, Q = (np.asarray(part, dtype=np.float64) for part in factors.svd())
        # Scores of rows that barely determine them would distort mean and size of the others.
        counts = entries.row_counts()
        enough = counts >= min(s.size if exact else 2 * s.size + 1, np.median(counts))
        scores, weights = (U * s)[enough], entries.row_weights()[enough]
        weights /= weights.mean()
        middle = np.average(scores, axis=0, weights=weights) if center else np.zeros(s.size)
        roots = np.sqrt(weights)[:, None]
        _, spread, axes = np.linalg.svd(roots * (scores - middle), full_matrices=False)
        kept = spread > 10 * exact_tolerance(entries.values) * float(np.max(s))
        loadings = Q @ (axes[kept].T * (spread[kept] / math.sqrt(scores.shape[0])))
        model = cls(loadings, Q @ middle, np.full(p, noise))
        if not exact and model.loadings.shape[1]:
            model = model.most_likely(entries, center=center)
        return model._along_axes()

    def most_likely(self, entries: Entries, *, center: bool, max_sweeps: int = 200) -> RowModel:
        """Expectation-maximisation until a sweep changes little against the standard errors.

        Loadings are shrunk as if they were draws of the size of the entries themselves, which
        matters only in columns that have about as few entries as the rank. Noise levels of
        columns are drawn together as if each had ``_PSEUDO_ENTRIES`` more entries of the common
        one: without that a column that is fitted perfectly would have no noise at all.
        """
        (n, p), r = entries.shape, self.loadings.shape[1]
        rows, cols, z = entries.rows, entries.cols, entries.values.astype(np.float64)
        w, indptr = entries.weights, np.searchsorted(rows, np.arange(n + 1))
        seen = sparse.csr_array((w, cols, indptr), shape=(n, p))
        Z = sparse.csr_array((w * z, cols, indptr), shape=(n, p))
        B, shift, variance = self.loadings, self.shift, self.noise**2
        ridge = np.diag(np.r_[np.zeros(int(center)), np.ones(r)]) / entries.mean_square(z)
        counts = np.bincount(cols, minlength=p)
        lead = np.ones((n, int(center)))
        for _ in range(max_sweeps):
            weighted = B / variance[:, None]
            precision = seen @ (_outer(B) / variance[:, None])
            covariance = np.linalg.inv(precision.reshape(n, r, r) + np.eye(r))
            projected = Z @ weighted - seen @ (weighted * shift[:, None])
            t = np.einsum("nij,nj->ni", covariance, projected)
            T = np.concatenate([lead, t], axis=1)
            moments = _outer(T).reshape(n, T.shape[1], -1)
            moments[:, -r:, -r:] += covariance
            normal = (seen.T @ moments.reshape(n, -1)).reshape(p, *moments.shape[1:])
            normal += variance[:, None, None] * ridge
            solved = np.linalg.solve(normal, (Z.T @ T)[:, :, None])[:, :, 0]
            new_shift = solved[:, 0] if center else shift
            change = np.linalg.norm(solved[:, -r:] - B) + np.linalg.norm(new_shift - shift)
            B, shift = solved[:, -r:], new_shift
            residual = z - shift[cols] - np.einsum("mi,mi->m", t[rows], B[cols])
            unknown = np.sum((seen.T @ covariance.reshape(n, -1)) * _outer(B), axis=1)
            squares = np.bincount(cols, w * residual**2, p) + unknown
            common = max(float(np.sum(squares)) / z.size, np.finfo(float).tiny)
            variance = (squares + _PSEUDO_ENTRIES * common) / (counts + _PSEUDO_ENTRIES)
            if change <= 0.01 * p * math.sqrt(common * (r + 1) / z.size):
                break
        return RowModel(B, shift, np.sqrt(variance))

    def _along_axes(self) -> RowModel:
        """The same model with orthogonal loadings, of the same sign wherever they came from."""
        P, lengths, _ = np.linalg.svd(self.loadings, full_matrices=False)
        # As the largest of equals counts the first, whatever rounding says.
        largest = np.argmax(np.abs(P) > 0.999 * np.max(np.abs(P), axis=0, initial=0), axis=0)
        signs = np.sign(P[largest, np.arange(P.shape[1])])
        return RowModel(P * signs * lengths, self.shift, self.noise)

    def complete(self, Z: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Conditional means of rows less the shift, from their entries; shape (n, p).

        What is missing in Z is zero, and of weight zero. An orthogonal factorisation for each row
        rather than its normal equations, so that exact tables are completed exactly.
        """
        p, r = self.loadings.shape
        out = np.zeros(Z.shape)
        if r == 0:
            return out
        noise = np.maximum(self.noise, _NOISE_FLOOR * float(np.linalg.norm(self.loadings, 2)))
        unit = float(np.mean(noise))
        roots, prior = np.sqrt(weight) * (unit / noise), unit * np.eye(r)
        block = max(1, 2**21 // ((p + r) * r))
        for start in range(0, Z.shape[0], block):
            part = slice(start, start + block)
            rows = roots[part, :, None] * self.loadings
            stacked = np.concatenate([rows, np.broadcast_to(prior, (len(rows), r, r))], axis=1)
            Q, R = np.linalg.qr(stacked)
            right = np.einsum("npr,np->nr", Q[:, :p], roots[part] * Z[part])
            t = np.linalg.solve(R, right[:, :, None])[:, :, 0]
            out[part] = t @ self.loadings.T
        return out


def _outer(rows: np.ndarray) -> np.ndarray:
    """Outer product of each row with itself, flattened; shape (n, r * r)."""
    return (rows[:, :, None] * rows[:, None, :]).reshape(rows.shape[0], -1)

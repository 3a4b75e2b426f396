r"""How rows are completed, each from its own entries, and how surely.

With factors, the columns' loadings are known up to a posterior covariance, and a row has scores
with a normal prior; with a covariance, what is missing of a row is normal given its entries:

.. math:: \hat z_m = \mu_m + S_{mo} S_{oo}^{-1} (z_o - \mu_o), \qquad
    \operatorname{cov} = S_{mm} - S_{mo} S_{oo}^{-1} S_{om}

for observed o and missing m. All in centred and scaled units. Gaps are NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np

from leanrank.posterior import (
    COLUMN_NOISE,
    Covariance,
    Entries,
    Gaussian,
    Moments,
    State,
    Sweep,
    draws,
    packed,
)

__all__ = [
    "Chain",
    "CovarianceChain",
    "CovarianceRows",
    "FactorChain",
    "FactorRows",
    "MeansChain",
    "Rows",
]

_T = TypeVar("_T")

_BURNT = 12
"""Draws of parameters that are left out: they start from the estimate."""

_APART = 3
"""Sweeps from one draw that is kept to the next."""


class Rows(Protocol):
    """What rows are completed by."""

    @property
    def mean(self) -> np.ndarray:
        """What a row without entries is completed with, shape (p,)."""
        ...

    def complete(self, Z: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means of all entries and variances of their readings, both of shape (n, p).

        ``weight`` holds inverse variances of entries relative to their column's noise.
        """
        ...

    def draw(self, Z: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Readings of all entries as they may be, shape (n, p)."""
        ...


@dataclass(frozen=True)
class FactorRows:
    """Rows with normal scores, given what is known of the columns.

    Attributes
    ----------
    columns : Moments
    noise : ndarray, shape (p,)
        Variances at weight one.
    prior : Gaussian
        Of the scores.
    fixed : int
        Coordinate of rows that is one, the partner of the columns' means; -1 for none.
    """

    columns: Moments
    noise: np.ndarray
    prior: Gaussian
    fixed: int

    @classmethod
    def of(cls, state: State) -> FactorRows:
        """By a variational approximation."""
        return cls(state.columns, state.noise, state.priors()[0], state.layout.column_intercept)

    @property
    def mean(self) -> np.ndarray:
        row = np.zeros(self.columns.mean.shape[1])
        row[[c for c in range(row.size) if c != self.fixed]] = self.prior.mean
        if self.fixed >= 0:
            row[self.fixed] = 1.0
        return np.asarray(self.columns.mean @ row)

    @property
    def loadings(self) -> np.ndarray:
        """Of scores of unit variance, shape (p, width)."""
        free = [c for c in range(self.columns.mean.shape[1]) if c != self.fixed]
        root = np.linalg.cholesky(np.linalg.inv(self.prior.precision))
        return np.asarray(self.columns.mean[:, free] @ root)

    def covariance(self) -> np.ndarray:
        """Of a row's readings, shape (p, p)."""
        free = [c for c in range(self.columns.mean.shape[1]) if c != self.fixed]
        own = np.einsum("jkk->j", self.columns.covariances()[:, free][:, :, free])
        return np.asarray(self.loadings @ self.loadings.T + np.diag(self.noise + own))

    def complete(self, Z: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = self._scores(Z, weight, None)
        mean = rows.mean @ self.columns.mean.T
        k = rows.mean.shape[1]
        a, b = np.tril_indices(k)
        second = (rows.second * np.where(a == b, 1.0, 2.0)) @ self.columns.second.T
        return mean, np.maximum(second - mean**2, 0.0) + self.noise

    def draw(self, Z: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        rows = self._scores(Z, weight, int(rng.integers(2**63)))
        noise = np.sqrt(self.noise) * rng.standard_normal(Z.shape)
        return np.asarray(rows.mean @ self.columns.mean.T + noise)

    def _scores(self, Z: np.ndarray, weight: np.ndarray, key: int | None) -> Moments:
        rows, cols = np.nonzero(~np.isnan(Z) & (weight > 0))
        w = weight[rows, cols]
        entries = Entries.of(rows, cols, Z[rows, cols], Z.shape, None if (w == 1).all() else w)
        return Sweep(entries).rows(self.columns, self.noise, self.prior, self.fixed, key)


@dataclass(frozen=True)
class CovarianceRows:
    """Rows that are normal with a whole covariance; weights of zero are gaps, others ones."""

    model: Covariance

    @property
    def mean(self) -> np.ndarray:
        return self.model.mean

    def complete(self, Z: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.model.complete(np.where(weight > 0, Z, np.nan))[:2]

    def draw(self, Z: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.model.complete(np.where(weight > 0, Z, np.nan), int(rng.integers(2**63)))[0]


class Chain(Protocol):
    """Where draws of what rows are completed by come from."""

    def draws(self, rng: np.random.Generator) -> Iterator[Rows]:
        """From the posterior of the parameters, far enough apart to be nearly independent."""
        ...


@dataclass(frozen=True)
class FactorChain:
    """Gibbs sampling from where a variational approximation ended."""

    state: State

    def draws(self, rng: np.random.Generator) -> Iterator[Rows]:
        fixed = self.state.layout.column_intercept
        for draw in _thinned(draws(self.state, rng, column_noise=True)):
            outer = draw.columns[:, :, None] * draw.columns[:, None, :]
            moments = Moments(draw.columns, packed(outer), -1)
            yield FactorRows(moments, draw.given, draw.prior, fixed)


@dataclass(frozen=True)
class CovarianceChain:
    """Data augmentation from an estimate; the attributes are those that made it."""

    model: Covariance
    Z: np.ndarray
    target: np.ndarray
    worth: float
    center: bool

    def draws(self, rng: np.random.Generator) -> Iterator[Rows]:
        made_of = (self.Z, self.target, self.worth, rng)
        for each in _thinned(self.model.draws(*made_of, center=self.center)):
            yield CovarianceRows(each)


@dataclass(frozen=True)
class MeansChain:
    """Means and variances of columns that have nothing to do with one another.

    Attributes
    ----------
    mean, variance, counts : ndarray, shape (p,)
        The last are how many entries speak for the others.
    """

    mean: np.ndarray
    variance: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, entries: Entries) -> MeansChain:
        """From the observed entries; a column that has none is like the others."""
        weights, y, counts = entries.sums()[0], entries.y, entries.counts()
        w = entries.weights if entries.weights.size else np.ones(y.size)
        total = np.bincount(entries.cols, w * y, entries.shape[1])
        mean = total / np.where(weights > 0, weights, 1.0)
        square = w * (y - mean[entries.cols]) ** 2
        squares = np.bincount(entries.cols, square, entries.shape[1])
        common = float(squares.sum()) / max(y.size, 1)
        variance = (squares + COLUMN_NOISE * common) / (counts + COLUMN_NOISE)
        return cls(mean, variance, counts)

    @property
    def rows(self) -> FactorRows:
        """Rows that are completed with the means."""
        return self._rows(self.mean, self.variance)

    def draws(self, rng: np.random.Generator) -> Iterator[Rows]:
        counts = self.counts + COLUMN_NOISE
        while True:
            variance = self.variance * counts / rng.chisquare(counts)
            shift = np.sqrt(variance / counts) * rng.standard_normal(counts.size)
            yield self._rows(self.mean + shift, variance)

    @staticmethod
    def _rows(mean: np.ndarray, variance: np.ndarray) -> FactorRows:
        column = mean[:, None]
        nothing = Gaussian(np.zeros((0, 0)), np.zeros(0))
        return FactorRows(Moments(column, column**2, -1), variance, nothing, 0)


def _thinned(chain: Iterator[_T]) -> Iterator[_T]:
    return islice(chain, _BURNT, None, _APART)

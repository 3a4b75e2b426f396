"""Rows completed by several models at once: in each column a weighted mean of what they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from leanrank.estimators._neighbours import Neighbours
from leanrank.estimators._row_model import Chain, Rows

__all__ = ["MixedChain", "MixedRows"]


@dataclass(frozen=True)
class MixedRows:
    """Several models of rows, weighted column by column.

    Attributes
    ----------
    main : Rows
        Whose draws are taken.
    beside : tuple of Rows
    neighbours : Neighbours or None
        Add what similar rows miss to what ``main`` says: one model more, the last.
    weights : ndarray, shape (models, p)
        Not negative, of sum one in each column; those of ``main`` first.
    stretch : ndarray, shape (p,)
        What standard deviations are multiplied by.
    low, high : ndarray, shape (p,), or float
        What the models' means are cut at.
    """

    main: Rows
    beside: tuple[Rows, ...]
    neighbours: Neighbours | None
    weights: np.ndarray
    stretch: np.ndarray
    low: np.ndarray | float = -np.inf
    high: np.ndarray | float = np.inf

    @classmethod
    def of(
        cls, main: Rows, beside: tuple[Rows, ...], neighbours: Neighbours | None = None
    ) -> MixedRows:
        """All weight on the main model, or on its correction by neighbours where there is one."""
        p = main.mean.size
        weights = np.zeros((1 + len(beside) + (neighbours is not None), p))
        weights[0 if neighbours is None else -1] = 1.0
        return cls(main, beside, neighbours, weights, np.ones(p))

    @property
    def mean(self) -> np.ndarray:
        means = [rows.mean for rows in (self.main, *self.beside)]
        # Rows without entries have no neighbours.
        means += [self.main.mean] * (self.neighbours is not None)
        return np.asarray(np.sum(self.weights * np.array(means), axis=0))

    def each(self, Z: np.ndarray, weight: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What the models say, one after another: means and variances, of shape (n, p)."""
        for mean, variance in self._uncut(Z, weight):
            yield np.clip(mean, self.low, self.high), variance

    def _uncut(self, Z: np.ndarray, weight: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        mean, variance = self.main.complete(Z, weight)
        yield mean, variance
        for rows in self.beside:
            yield rows.complete(Z, weight)
        if self.neighbours is not None:
            gone = np.isnan(Z) | ~(weight > 0)
            yield mean + self.neighbours.correction(mean, gone), variance

    def complete(self, Z: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, variance = np.zeros(Z.shape), np.zeros(Z.shape)
        for share, (m, v) in zip(self.weights, self.each(Z, weight), strict=True):
            mean += share * m
            variance += share * v
        return mean, self.stretch**2 * variance

    def draw(self, Z: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draws of the main model, moved to the mean of all and stretched to its variance."""
        mean, variance = self.complete(Z, weight)
        middle, own = self.main.complete(Z, weight)
        ratio = np.divide(variance, own, out=np.ones(own.shape), where=own > 0)
        return mean + np.sqrt(ratio) * (self.main.draw(Z, weight, rng) - middle)


@dataclass(frozen=True)
class MixedChain:
    """Draws of the parameters of the main model; the others stay as they are."""

    rows: MixedRows
    main: Chain

    def draws(self, rng: np.random.Generator) -> Iterator[MixedRows]:
        return (replace(self.rows, main=each) for each in self.main.draws(rng))

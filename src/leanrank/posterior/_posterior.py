"""What is known of every entry: its mean, its deviation, intervals, and joint draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

from leanrank import _checks
from leanrank._display import one_line
from leanrank.factors import Factors

__all__ = ["Posterior"]

_CHUNK = 1 << 18
"""Entries that are looked up at once: all draws of them."""


@dataclass(frozen=True, repr=False)
class Posterior:
    r"""A sample of the posterior distribution of a matrix, as draws of its factors.

    Attributes
    ----------
    factors : Factors
        The point estimate: of low rank, intercepts among its columns.
    left, right : ndarray, shape (draws, n1, K) and (draws, n2, K)
        Factors of each draw.
    centres : ndarray, shape (draws, n1, K), or None
        Means that ``left`` was drawn around, given ``right``: with them averages are less noisy.
    noise : ndarray, shape (n2,)
        Variance of the noise of each column's readings, at weight one.
    bounds : pair of float
        Means, intervals and draws are cut at these.
    scores : ndarray, shape (held,), or None
        Of a calibrated posterior: sorted :math:`|y - \hat y| / \hat s` of readings that were held
        out.
    method : str
        "sampling" or "perturbation".
    """

    factors: Factors
    left: np.ndarray
    right: np.ndarray
    noise: np.ndarray
    centres: np.ndarray | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)
    scores: np.ndarray | None = None
    method: str = "sampling"

    @property
    def shape(self) -> tuple[int, int]:
        """(n1, n2)."""
        return self.factors.shape

    @property
    def size(self) -> int:
        """Number of draws."""
        return int(self.left.shape[0])

    @property
    def rank(self) -> int:
        """Number of columns of the point estimate."""
        return self.factors.width

    def __repr__(self) -> str:
        return one_line("Posterior", shape=self.shape, draws=self.size, rank=self.rank)

    def mean(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Posterior means of entries.

        Parameters
        ----------
        rows, cols : array of int
            Of one shape, or shapes that broadcast.

        Returns
        -------
        ndarray
            Of that shape.
        """
        return self._of_entries(rows, cols, self._means)

    def std(self, rows: np.ndarray, cols: np.ndarray, *, reading: bool = False) -> np.ndarray:
        """Posterior standard deviations of entries.

        Parameters
        ----------
        rows, cols : array of int
        reading : bool
            Of a new reading of the entry, which has noise, instead of the entry itself.
        """
        return self._of_entries(rows, cols, lambda i, j: self._deviations(i, j, reading))

    def interval(
        self, rows: np.ndarray, cols: np.ndarray, level: float = 0.95, *, reading: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Intervals that hold entries with probability ``level``.

        Parameters
        ----------
        rows, cols : array of int
        level : float
            In (0, 1).
        reading : bool
            Intervals for new readings, which have noise. Those of a calibrated posterior
            cover as many as they say, whatever the noise.

        Returns
        -------
        low, high : ndarray
        """
        level = _checks.real_number(level, "level", above=0)
        if not level < 1:
            raise ValueError(f"level must be below 1, got {level:g}")
        middle = self.mean(rows, cols)
        half = self._multiple(level, reading) * self.std(rows, cols, reading=reading)
        return tuple(np.clip(x, *self.bounds) for x in (middle - half, middle + half))  # type: ignore[return-value]

    def draws(self, n: int | None = None) -> Iterator[Factors]:
        """Joint draws of the whole matrix, as factors: multiple imputations.

        Parameters
        ----------
        n : int, optional
            How many, at most the number there are; spread evenly over the sample. All by default.
        """
        n = self.size if n is None else _checks.whole_number(n, "n", least=1)
        if n > self.size:
            raise ValueError(f"n must be at most {self.size}, the number of draws, got {n}")
        for t in np.linspace(0, self.size - 1, n).round().astype(int):
            left, right = self.left[t].astype(float), self.right[t].astype(float)
            yield Factors(left) if self.factors.symmetric else Factors(left, right)

    def to_dense(self) -> np.ndarray:
        """Posterior means of all entries, shape (n1, n2)."""
        out = np.empty(self.shape)
        step = max(1, _CHUNK // max(self.shape[1], 1))
        cols = np.arange(self.shape[1])
        for first in range(0, self.shape[0], step):
            rows = np.arange(first, min(first + step, self.shape[0]))
            out[rows] = self._means(rows[:, None], cols[None, :])
        return out

    def scaled(self, factor: float) -> Posterior:
        """The posterior of ``factor`` times the matrix, its bounds included."""
        root = math.sqrt(factor)
        low, high = self.bounds
        return replace(
            self,
            factors=self.factors.scaled(factor),
            left=self.left * root,
            right=self.right * root,
            centres=None if self.centres is None else self.centres * root,
            noise=self.noise * factor**2,
            bounds=(low * factor, high * factor),
        )

    def clipped(self, low: float, high: float) -> Posterior:
        """The same posterior, cut at bounds.

        Raises
        ------
        ValueError
            If they cross.
        """
        if not low < high:
            raise ValueError(f"bounds must be low < high, got {low:g} and {high:g}")
        return replace(self, bounds=(float(low), float(high)))

    def calibrated(self, rows: np.ndarray, cols: np.ndarray, y: np.ndarray) -> Posterior:
        """The posterior with intervals for readings that cover as many others as of these.

        Split conformal prediction (Lei et al. 2018): exact where the readings given here and those
        asked for later are exchangeable.

        Parameters
        ----------
        rows, cols : array of int, shape (held,)
            Entries that the posterior has not seen.
        y : array, shape (held,)
            Their readings.
        """
        rows, cols = self._positions(rows, cols)
        y = _checks.real_array(y, "y", ndim=1)
        if y.shape != rows.shape or not y.size:
            raise ValueError(
                f"y must have a reading for each of the {rows.size} entries, and there must be one"
            )
        miss = np.abs(np.asarray(y) - self.mean(rows, cols))
        return replace(self, scores=np.sort(miss / self.std(rows, cols, reading=True)))

    def _multiple(self, level: float, reading: bool) -> float:
        """Half an interval's length in standard deviations."""
        if reading and self.scores is not None:
            at = math.ceil((self.scores.size + 1) * level) - 1
            return float(self.scores[at]) if at < self.scores.size else math.inf
        # A deviation that is itself estimated from the draws.
        return float(student.ppf(0.5 + 0.5 * level, max(self.size - 1, 1)))

    def _means(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        if self.centres is None:
            return np.clip(self._products(rows, cols), *self.bounds)
        total = 0.0
        for left, right in zip(self.centres, self.right, strict=True):
            x = np.einsum("...k,...k->...", left[rows], right[cols], dtype=float)
            total = total + np.clip(x, *self.bounds)
        return np.asarray(total) / self.size

    def _products(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Entries of the point estimate."""
        return np.einsum("...k,...k->...", self.factors.U[rows], self.factors.V[cols])

    def _deviations(self, rows: np.ndarray, cols: np.ndarray, reading: bool) -> np.ndarray:
        middle, square = 0.0, 0.0
        for t, (left, right) in enumerate(zip(self.left, self.right, strict=True)):
            x = np.einsum("...k,...k->...", left[rows], right[cols], dtype=float)
            change = x - middle
            middle = middle + change / (t + 1)
            square = square + change * (x - middle)
        variance = np.asarray(square) / max(self.size - 1, 1)
        if self.centres is None:  # about the mean that is told
            variance = variance + (middle - self._products(rows, cols)) ** 2
        if reading:
            variance = variance + np.broadcast_to(self.noise[cols], variance.shape)
        return np.sqrt(variance)

    def _of_entries(
        self,
        rows: np.ndarray,
        cols: np.ndarray,
        of: Callable[[np.ndarray, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """A number of each entry, many at a time."""
        rows, cols = self._positions(rows, cols)
        shape, flat = rows.shape, (rows.ravel(), cols.ravel())
        out = np.empty(flat[0].size)
        for first in range(0, out.size, _CHUNK):
            part = slice(first, first + _CHUNK)
            out[part] = of(flat[0][part], flat[1][part])
        return out.reshape(shape)

    def _positions(self, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, cols = np.broadcast_arrays(np.asarray(rows), np.asarray(cols))
        for index, name, n in ((rows, "rows", self.shape[0]), (cols, "cols", self.shape[1])):
            if index.dtype.kind not in "iu":
                raise TypeError(f"{name} must be integers, got {index.dtype}")
            if index.size and (index.min() < 0 or index.max() >= n):
                raise ValueError(f"{name} must lie in [0, {n}), got {index.min()} to {index.max()}")
        return rows, cols

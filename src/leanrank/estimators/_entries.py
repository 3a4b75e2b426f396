"""Tables as lists of observed entries, and what each column tells on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from leanrank.losses import Squared
from leanrank.operators import ObservedEntries
from leanrank.problem import Problem

__all__ = ["Columns", "Entries", "observed", "varying"]

_MANY_ROWS, _ROWS_A_COLUMN = 10_000, 20
"""Rows that tell of all what is asked of a table as a whole, or so many for each column."""


class Entries(NamedTuple):
    """The observed entries of a table: values[i] at (rows[i], cols[i]), rows in order.

    The noise of an entry has a variance over weights[i]; they are one on average over the table.
    """

    rows: np.ndarray
    cols: np.ndarray
    values: np.ndarray
    shape: tuple[int, int]
    weights: np.ndarray

    def only(self, kept: np.ndarray) -> Entries:
        """Those that are flagged, or at some places in order."""
        rows, cols, values = self.rows[kept], self.cols[kept], self.values[kept]
        return Entries(rows, cols, values, self.shape, self.weights[kept])

    def of_some_rows(self, rng: np.random.Generator) -> tuple[Entries, np.ndarray]:
        """Those of as many rows as tell of all, counted anew, and their places in these.

        All of them where there are no more rows than that.
        """
        (n, p), m = self.shape, self.values.size
        most = max(_MANY_ROWS, _ROWS_A_COLUMN * p)
        if n <= most:
            return self, np.arange(m)
        number = np.full(n, -1, np.int32)
        number[np.sort(rng.choice(n, most, replace=False))] = np.arange(most)
        places = np.flatnonzero(number[self.rows] >= 0)
        some = self.only(places)
        return some._replace(rows=number[some.rows], shape=(most, p)), places

    def mean_square(self, values: np.ndarray) -> float:
        """Weighted mean square of a value for each entry."""
        return float(np.average(np.square(values, dtype=np.float64), weights=self.weights))

    @property
    def loss(self) -> Squared:
        """What a residual costs; without weights where they are all the same."""
        same = bool((self.weights == self.weights[:1]).all())
        return Squared() if same else Squared(self.weights)

    def problem(self, shift: np.ndarray | None = None) -> Problem:
        """The recovery of the matrix of these entries, less a number of each column."""
        op = ObservedEntries(self.rows, self.cols, self.shape, dtype=self.values.dtype)
        y = self.values
        if shift is not None:
            y = (y - shift[self.cols]).astype(y.dtype)
        return Problem(op, y, loss=self.loss)

    def row_weights(self) -> np.ndarray:
        """Mean weight of the entries of each row, shape (n,); zero for a row that has none."""
        counts = np.bincount(self.rows, minlength=self.shape[0])
        return np.bincount(self.rows, self.weights, self.shape[0]) / np.maximum(counts, 1)

    def row_counts(self) -> np.ndarray:
        r"""Entries of equal weight that say as much, :math:`(\sum w)^2/\sum w^2`; shape (n,)."""
        return self._equal(self.rows, self.shape[0])

    def column_counts(self) -> np.ndarray:
        """As :meth:`row_counts`, for columns; shape (p,)."""
        return self._equal(self.cols, self.shape[1])

    def _equal(self, index: np.ndarray, size: int) -> np.ndarray:
        total = np.bincount(index, self.weights, size)
        squares = np.bincount(index, self.weights**2, size)
        # Equal weights give whole numbers, which limits are compared with.
        return np.round(total**2 / np.where(squares > 0, squares, 1.0), 6)


def observed(X: np.ndarray, weights: np.ndarray | None = None) -> tuple[Entries, float]:
    """The entries of a table that are not NaN and of positive weight, and their mean weight.

    Both arrays are of shape (n, p).
    """
    seen = ~np.isnan(X)
    rows, cols = np.nonzero(seen if weights is None else seen & (weights > 0))
    rows, cols = rows.astype(np.int32), cols.astype(np.int32)
    shape = (int(X.shape[0]), int(X.shape[1]))
    if weights is None:
        return Entries(rows, cols, X[rows, cols], shape, np.broadcast_to(1.0, rows.size)), 1.0
    given = weights[rows, cols]
    # In units of the largest their sum does not overflow, and equal ones are ones.
    largest = float(given.max(initial=0.0)) or 1.0
    given = given / largest
    mean = float(given.mean()) if given.size else 1.0
    return Entries(rows, cols, X[rows, cols], shape, given / mean), mean * largest


@dataclass(frozen=True)
class Columns:
    """What is known of each column on its own, from its observed entries; shapes (p,)."""

    counts: np.ndarray
    means: np.ndarray
    offset: np.ndarray
    scale: np.ndarray
    varies: np.ndarray

    @classmethod
    def of(cls, entries: Entries, center: bool, scale: bool) -> Columns:
        rows, cols, (n, p), weights = entries.rows, entries.cols, entries.shape, entries.weights
        values = entries.values.astype(np.float64)
        counts = np.bincount(cols, minlength=p)
        total = np.where(counts > 0, np.bincount(cols, weights, p), 1.0)
        peak = np.zeros(p)
        np.maximum.at(peak, cols, np.abs(values))
        # Sums are taken in units of the largest entry, so that none overflows or underflows.
        unit = np.where(peak > 0, peak, 1.0)
        values = values / unit[cols]
        means = np.bincount(cols, weights * values, p) / total
        offset = np.zeros(p)
        if center:
            # Means over complete rows, where there are many, keep a table of low rank about its
            # means of that rank; means over different rows in each column add one to it, and so
            # do weights that differ within a row.
            share = entries.row_weights()
            full = np.bincount(rows, minlength=n) == np.count_nonzero(counts)
            complete = np.bincount(cols, (share * full)[rows] * values, p)
            whole = float(np.sum(share[full]))
            offset = complete / whole if 4 * whole >= np.sum(share) else means
        spread = np.sqrt(np.bincount(cols, weights * (values - offset[cols]) ** 2, p) / total)
        # A column that varies by its own rounding is constant.
        varies = spread > 10 * np.finfo(entries.values.dtype).eps
        return cls(
            counts,
            means * unit,
            offset * unit,
            np.where(varies, spread * unit, 1.0) if scale else np.ones(p),
            varies,
        )


def varying(entries: Entries, columns: Columns) -> tuple[Entries, np.ndarray, np.ndarray]:
    """The centred and scaled entries of columns that vary, and which rows and columns these are."""
    inside = columns.varies[entries.cols]
    if not inside.all():
        entries = entries.only(inside)
    rows, cols, values = entries.rows, entries.cols, entries.values.astype(np.float64)
    values = ((values - columns.offset[cols]) / columns.scale[cols]).astype(entries.values.dtype)
    row_index, rows = _renumbered(rows, entries.shape[0])
    col_index, cols = _renumbered(cols, entries.shape[1])
    shape = (row_index.size, col_index.size)
    return Entries(rows, cols, values, shape, entries.weights), row_index, col_index


def _renumbered(index: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers below ``size`` that are there, in rising order, and which of these each is."""
    there = np.flatnonzero(np.bincount(index, minlength=size))
    number = np.empty(size, np.int32)
    number[there] = np.arange(there.size)
    return there, number[index]

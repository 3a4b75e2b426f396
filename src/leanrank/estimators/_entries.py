"""Tables as lists of observed entries, and what each column tells on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = ["Columns", "Entries", "observed", "varying"]


class Entries(NamedTuple):
    """The observed entries of a table: values[i] at (rows[i], cols[i]), rows in order."""

    rows: np.ndarray
    cols: np.ndarray
    values: np.ndarray
    shape: tuple[int, int]


def observed(X: np.ndarray) -> Entries:
    """The entries of a table, shape (n, p), that are not NaN."""
    rows, cols = np.nonzero(~np.isnan(X))
    return Entries(rows, cols, X[rows, cols], (int(X.shape[0]), int(X.shape[1])))


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
        cols, values, p = entries.cols, entries.values.astype(np.float64), entries.shape[1]
        counts = np.bincount(cols, minlength=p)
        seen = np.maximum(counts, 1)
        peak = np.zeros(p)
        np.maximum.at(peak, cols, np.abs(values))
        # Sums are taken in units of the largest entry, so that none overflows or underflows.
        unit = np.where(peak > 0, peak, 1.0)
        values = values / unit[cols]
        means = np.bincount(cols, values, p) / seen
        offset = np.zeros(p)
        if center:
            # Means over complete rows, where there are many, keep a table of low rank about its
            # means of that rank; means over different rows in each column add one to it.
            n = entries.shape[0]
            full = np.bincount(entries.rows, minlength=n) == np.count_nonzero(counts)
            inside = full[entries.rows]
            complete = np.bincount(cols[inside], values[inside], p) / max(np.sum(full), 1)
            offset = complete if 4 * np.sum(full) >= n else means
        spread = np.sqrt(np.bincount(cols, (values - offset[cols]) ** 2, p) / seen)
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
    rows, cols = entries.rows[inside], entries.cols[inside]
    values = entries.values[inside].astype(np.float64)
    values = (values - columns.offset[cols]) / columns.scale[cols]
    row_index, rows = np.unique(rows, return_inverse=True)
    col_index, cols = np.unique(cols, return_inverse=True)
    shape = (row_index.size, col_index.size)
    return Entries(rows, cols, values.astype(entries.values.dtype), shape), row_index, col_index

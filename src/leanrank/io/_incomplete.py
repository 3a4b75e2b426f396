"""Matrices with missing entries, and what one should know about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from leanrank.factors import Factors
from leanrank.io._tables import Table
from leanrank.operators import ObservedEntries

__all__ = ["IncompleteMatrix", "empty_notes", "outlier_notes"]


@dataclass(frozen=True, eq=False)
class IncompleteMatrix:
    """The observed entries of a matrix, and how the file that they come from looks.

    Attributes
    ----------
    shape : tuple of int
    rows, cols : ndarray of int, shape (m,)
        Positions, each once, row after row.
    values : ndarray, shape (m,)
    table : Table
        Labels, header, separator and layout of a text file.
    notes : tuple of str
        What one should know about how the file was read.
    listed : bool
        Whether the file lists entries one by one, as ratings are, and is no table.
    """

    shape: tuple[int, int]
    rows: np.ndarray
    cols: np.ndarray
    values: np.ndarray
    table: Table = field(default_factory=Table)
    notes: tuple[str, ...] = ()
    listed: bool = False

    @property
    def missing(self) -> int:
        """Number of entries that are not observed."""
        return self.shape[0] * self.shape[1] - self.values.size

    @cached_property
    def empty(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns without any observed entry: nothing is known of them."""
        rows, cols = (np.bincount(k, minlength=n) for k, n in self._axes())
        return np.flatnonzero(rows == 0), np.flatnonzero(cols == 0)

    def _axes(self) -> tuple[tuple[np.ndarray, int], tuple[np.ndarray, int]]:
        return (self.rows, self.shape[0]), (self.cols, self.shape[1])

    @property
    def fillable(self) -> int:
        """Number of entries to fill in: missing ones whose row and column are not empty."""
        rows, cols = (n - k.size for n, k in zip(self.shape, self.empty, strict=True))
        return rows * cols - self.values.size

    def observed(self) -> np.ndarray:
        """Flags of the observed entries, shape (n1, n2)."""
        flags = np.zeros(self.shape, dtype=bool)
        flags[self.rows, self.cols] = True
        return flags

    def blank(self) -> np.ndarray:
        """Flags of the entries of empty rows and columns, which stay empty; shape (n1, n2)."""
        flags = np.zeros(self.shape, dtype=bool)
        flags[self.empty[0]] = True
        flags[:, self.empty[1]] = True
        return flags

    def is_blank(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Flags of entries in empty rows and columns."""
        return np.isin(rows, self.empty[0]) | np.isin(cols, self.empty[1])

    def at(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Values of entries, NaN where they are missing."""
        flat = self.rows.astype(np.int64) * self.shape[1] + self.cols
        wanted = rows.astype(np.int64) * self.shape[1] + cols
        place = np.minimum(np.searchsorted(flat, wanted), flat.size - 1)
        return np.where(flat[place] == wanted, self.values[place], np.nan)

    def operator(self) -> ObservedEntries:
        """The measurement operator that sees the observed entries."""
        return ObservedEntries(self.rows, self.cols, self.shape, dtype=self.values.dtype)

    def completed(self, factors: Factors | None, *, keep_observed: bool = True) -> np.ndarray:
        """All entries, shape (n1, n2): those of ``factors``, and the observed ones as given.

        Rows and columns without any observed entry stay empty, that is, NaN.

        Parameters
        ----------
        factors : Factors or None
            None where nothing is missing.
        keep_observed : bool
            False puts the values of ``factors`` in the place of observed entries, too.
        """
        if factors is None:
            X = np.full(self.shape, np.nan, dtype=self.values.dtype)
        else:
            X = np.array(factors.to_dense())
            X[self.empty[0]] = np.nan
            X[:, self.empty[1]] = np.nan
        if keep_observed or factors is None:
            X[self.rows, self.cols] = self.values
        return X


def empty_notes(matrix: IncompleteMatrix) -> list[str]:
    """Which rows and columns have no entry."""
    notes = []
    labels = (matrix.table.row_labels, matrix.table.column_labels)
    for word, empty, names in zip(("row", "column"), matrix.empty, labels, strict=True):
        if empty.size:
            shown = [f"'{names[k]}'" if names else f"{k}" for k in empty[:3]]
            shown += [f"{empty.size - 3} more"] if empty.size > 3 else []
            words = f"{word}s" if empty.size > 1 else word
            which = ", ".join(shown) + ("" if names else " (counted from 0)")
            notes.append(f"{words} {which}: no entry at all, so left empty")
    return notes


def outlier_notes(values: np.ndarray, cols: np.ndarray) -> list[str]:
    """A hint where the least or largest value comes again and again, far outside all others."""
    if not values.size:
        return []
    for value in (values.min(), values.max()):
        here = values == value
        # Without a copy of the others, which may be all of many.
        low = values.min(where=~here, initial=np.inf)
        high = values.max(where=~here, initial=-np.inf)
        if not low < high:
            return []
        gap = min(abs(value - low), abs(value - high))
        # In one column alone it is as likely a unit of its own.
        if here.sum() > 2 and gap > high - low and np.ptp(cols[here]) > 0:
            return [
                f"the value {value:g} is there {here.sum()} times, and all others lie from "
                f"{low:g} to {high:g}; if it stands for a missing entry, say so "
                f"(--missing {value:g})"
            ]
    return []

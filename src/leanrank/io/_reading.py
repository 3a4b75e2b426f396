"""Entries out of a list, piece by piece: codes of labels, values, weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from leanrank._files import FileError
from leanrank.io._cells import Cells, Codes
from leanrank.io._columns import find_column, find_roles
from leanrank.io._opened import numbers_of
from leanrank.io._sources import Source

__all__ = ["LabelReading", "Piece", "Reading"]


class Piece(NamedTuple):
    """Some entries: codes of rows and columns, values, weights."""

    rows: np.ndarray
    cols: np.ndarray
    values: np.ndarray
    weights: np.ndarray | None

    @property
    def arrays(self) -> list[np.ndarray]:
        """Those that are there."""
        return [array for array in self if array is not None]


class LabelReading:
    """Labels of a list, piece by piece, with codes for them as they are first met.

    Parameters
    ----------
    source : Source
    roles : sequence of int
        The columns to read.
    named : bool
        Whether they were found by their names.
    labels : int
        So many of them, the first ones, hold labels.
    """

    def __init__(self, source: Source, roles: Sequence[int], named: bool, labels: int) -> None:
        self.source, self.roles = source, roles
        self.lines = source.lines(roles, labels, named)
        self.codes = tuple(Codes() for _ in range(labels))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns that are read."""
        return tuple(self.lines.names[k] for k in self.roles)

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of the others."""
        names = enumerate(self.lines.names)
        return tuple(name for k, name in names if k not in self.roles)

    def codes_of(self, k: int, cells: Cells, lines: np.ndarray) -> np.ndarray:
        """Codes of the labels of column k, which stand on these lines."""
        try:
            codes = cells.codes(self.codes[k])
        except TypeError as error:
            raise self._not_labels(k, error) from None
        empty = np.flatnonzero(codes < 0)
        if empty.size:
            where, what = self.lines.place(int(lines[empty[0]])), ("row", "column")[k]
            raise FileError(f"{where}: is empty, expected the {what} that the value belongs to")
        return codes

    def labels(self, k: int) -> np.ndarray:
        """Labels of rows (0) or columns (1) by their codes."""
        try:
            return self.codes[k].labels(self.lines.text)
        except (TypeError, OverflowError) as error:
            raise self._not_labels(k, error) from None

    def _not_labels(self, k: int, error: Exception) -> TypeError:
        return TypeError(f"{self.source}, column '{self.names[k]}': {error}")


class Reading(LabelReading):
    """Entries of a list, piece by piece.

    Parameters
    ----------
    source : Source
    columns, weight, missing
        As of :func:`read_ratings`.
    """

    def __init__(
        self,
        source: Source,
        columns: Sequence[str | int] | None,
        weight: str | int | None,
        missing: Sequence[str | float],
    ) -> None:
        beside = []
        if weight is not None:
            beside = [find_column(f"{source}", source.names, weight, "weight")]
        roles, named = find_roles(f"{source}", source.names, columns, 3, beside)
        if set(roles) & set(beside):
            raise FileError(f"{source}: the column of weights is not to be one of the others")
        super().__init__(source, [*roles, *beside], named, 2)
        self._absent = numbers_of(missing)
        self._in_order = columns is None and not named
        self.missing = self.weightless = 0

    def __iter__(self) -> Iterator[Piece]:
        done = 0
        for cells in self.lines.pieces():
            values = self._values(cells[2], done, "value")
            kept, weights = ~np.isnan(values), None
            self.missing += int(values.size - kept.sum())
            if len(cells) > 3:
                weights = self._weights(cells[3], done, kept)
                self.weightless += int((weights[kept] == 0).sum())
                kept &= weights != 0
                weights = weights[kept]
            if not kept.all():
                cells = [cell.only(kept) for cell in cells[:2]]
            lines = done + np.flatnonzero(kept)
            rows, cols = (self.codes_of(k, cells[k], lines) for k in (0, 1))
            done += values.size
            yield Piece(rows, cols, values[kept], weights)

    def _values(self, cells: Cells, done: int, what: str) -> np.ndarray:
        """Numbers, NaN where one is missing."""
        values = cells.values
        if self._absent.size:
            values = np.where(np.isin(values, self._absent), np.nan, values)
        bad = np.flatnonzero(np.isinf(values))
        if bad.size:
            raise FileError(
                f"{self.lines.place(done + int(bad[0]))}: the {what} is "
                f"'{cells.shown(int(bad[0]))}', expected a finite number{cells.hint(int(bad[0]))}"
            )
        return values

    def _weights(self, cells: Cells, done: int, given: np.ndarray) -> np.ndarray:
        weights = self._values(cells, done, "weight")
        bad = np.flatnonzero(given & ~(weights >= 0))
        if bad.size:
            raise FileError(
                f"{self.lines.place(done + int(bad[0]))}: the weight is "
                f"'{cells.shown(int(bad[0]))}', expected a number that is not negative"
            )
        return weights

    def notes(self) -> tuple[str, ...]:
        """What one should know of how the list was read."""
        notes = []
        if self._in_order:
            shown = ", ".join(self.names[:3])
            notes.append(
                f"columns {shown} are taken for row, column and value; say so if they are not "
                "(--columns)"
            )
        if self.missing:
            notes.append(
                f"{self.missing} {'line has' if self.missing == 1 else 'lines have'} no value: "
                "pairs to predict, and no entries"
            )
        if self.weightless:
            notes.append(f"{self.weightless} of the entries have no weight, and do not count")
        return tuple(notes)

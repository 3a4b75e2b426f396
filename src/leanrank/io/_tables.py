"""Tables in text: wide with empty cells, or long with row, column, value on each line."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal

import numpy as np

__all__ = ["Entries", "Passed", "Table", "listed", "number_text", "write_table"]


@dataclass(frozen=True)
class Passed:
    """A column of a wide table that is no part of the matrix: it is written as it came.

    Attributes
    ----------
    position : int
        From 0, among all columns.
    name : str
        In the header; empty where there is none.
    cells : tuple of str
    """

    position: int
    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """How a table looks, apart from its numbers.

    Attributes
    ----------
    layout : {"wide", "long"}
    delimiter, decimal : str
    header : tuple of str
        Wide: the corner, or nothing if there are no row labels. Long: the names of the columns for
        row, column and value, or nothing.
    row_labels, column_labels : tuple of str
        Empty if there are none.
    passed : tuple of Passed
        Wide: columns of text besides the row labels.
    order : tuple of int
        Long: where row, column and value stand on a line.
    ignored : tuple of str
        Long: names of the columns that were passed over.
    """

    layout: Literal["wide", "long"] = "wide"
    delimiter: str = ","
    decimal: str = "."
    header: tuple[str, ...] = ()
    row_labels: tuple[str, ...] = ()
    column_labels: tuple[str, ...] = ()
    passed: tuple[Passed, ...] = ()
    order: tuple[int, int, int] = (0, 1, 2)
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = self._long() if self.layout == "long" else self._wide()
        return f"{text}, decimal comma" if self.decimal == "," else text

    def _long(self) -> str:
        names = self.header or tuple(f"column {place + 1}" for place in self.order)
        text = f"long: rows {names[0]}, columns {names[1]}, values {names[2]}"
        if len(self.ignored) == 1:
            return f"{text}; column {self.ignored[0]} is ignored"
        return f"{text}; columns {listed(self.ignored)} are ignored" if self.ignored else text

    def _wide(self) -> str:
        parts = ["wide table"]
        parts += ["header"] if self.column_labels else []
        parts += ["row labels"] if self.row_labels else []
        if self.passed:
            names = tuple(p.name or f"column {p.position + 1}" for p in self.passed)
            parts += [f"passed through as it came: {listed(names)}"]
        return ", ".join(parts)


Entries = tuple[Table, tuple[int, int], np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]
"""Table, shape, rows, columns, values and notes."""


def listed(names: tuple[str, ...]) -> str:
    """Names, the first few."""
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def write_table(file: IO[str], X: np.ndarray, table: Table | None = None) -> None:
    """Write a matrix as a table, numbers with all their digits; NaN is an empty cell."""
    table = Table() if table is None else table
    writer = csv.writer(file, delimiter=table.delimiter, lineterminator="\n")
    writer.writerows(_long_lines(X, table) if table.layout == "long" else _wide_lines(X, table))


def _wide_lines(X: np.ndarray, table: Table) -> Iterator[list[str]]:
    if table.column_labels:
        names = [*table.header, *table.column_labels]
        for passed in table.passed:
            names.insert(passed.position, passed.name)
        yield names
    for i, row in enumerate(X):
        cells = [table.row_labels[i]] if table.row_labels else []
        cells += [number_text(value, table.decimal) for value in row]
        for passed in table.passed:
            cells.insert(passed.position, passed.cells[i])
        yield cells


def _long_lines(X: np.ndarray, table: Table) -> Iterator[list[str]]:
    places = np.argsort(table.order).tolist()
    if table.header:
        yield [table.header[k] for k in places]
    for row, values in zip(table.row_labels, X, strict=True):
        for column, value in zip(table.column_labels, values, strict=True):
            cells = (row, column, number_text(value, table.decimal))
            yield [cells[k] for k in places]


def number_text(value: float, decimal: str) -> str:
    """The shortest text that reads back as the same number."""
    return "" if math.isnan(value) else str(value).removesuffix(".0").replace(".", decimal)

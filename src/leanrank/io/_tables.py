"""Tables in text: wide with empty cells, or long with row, column, value on each line."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Literal

import numpy as np

from leanrank._files import FileError, PathLike, reading

__all__ = ["Table", "read_table", "write_table"]

_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_LONG_NAMES = (
    frozenset({"row", "rows", "i", "user", "row_id", "user_id", "userid"}),
    frozenset({"col", "cols", "column", "columns", "j", "item", "item_id", "itemid", "movieid"}),
    frozenset({"value", "values", "v", "x", "y", "rating", "ratings"}),
)

Entries = tuple[tuple[int, int], np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Table:
    """How a table looks, apart from its numbers.

    Attributes
    ----------
    layout : {"wide", "long"}
    delimiter : str
    header : tuple of str
        Wide: the corner, or nothing if there are no row labels. Long: the three column names, or
        nothing.
    row_labels, column_labels : tuple of str
        Empty if there are none.
    """

    layout: Literal["wide", "long"] = "wide"
    delimiter: str = ","
    header: tuple[str, ...] = ()
    row_labels: tuple[str, ...] = ()
    column_labels: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{self.layout} table"]
        parts += ["header"] if self.column_labels and self.layout == "wide" else []
        parts += ["row labels"] if self.row_labels else []
        return ", ".join(parts)


@dataclass(frozen=True)
class _Line:
    number: int
    cells: list[str]


def read_table(
    path: PathLike, layout: Literal["auto", "wide", "long"], header: bool | None
) -> tuple[Table, tuple[int, int], np.ndarray, np.ndarray, np.ndarray]:
    """Table, shape, rows, columns and values of a text file; see :func:`read_matrix`."""
    if layout not in ("auto", "wide", "long"):
        raise ValueError(f"layout must be 'auto', 'wide' or 'long', got {layout!r}")
    lines, delimiter = _lines(path)
    width = len(lines[0].cells)
    for line in lines:
        if len(line.cells) != width:
            raise FileError(
                f"{path}, line {line.number}: has {len(line.cells)} cells, expected {width} as in "
                f"line {lines[0].number}"
            )
    if layout == "auto":
        layout = "long" if _looks_long(lines) else "wide"
    if layout == "long":
        return _read_long(path, lines, delimiter, header)
    return _read_wide(path, lines, delimiter, header)


def _lines(path: PathLike) -> tuple[list[_Line], str]:
    """Lines that are not blank, split into cells, and the separator."""
    try:
        with reading(path, "r", encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            delimiter = max(",;\t", key=first.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            lines = [_Line(reader.line_num, cells) for cells in reader if cells]
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: is not text in UTF-8 (byte {error.start})") from None
    except csv.Error as error:
        raise FileError(
            f"{path}, line {reader.line_num}: not readable as a table ({error})"
        ) from None
    for line in lines:
        if any("\0" in cell for cell in line.cells):
            raise FileError(f"{path}, line {line.number}: has a NUL byte, so it is not text")
    if not lines:
        raise FileError(f"{path}: is empty, expected a table")
    return lines, delimiter


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in _MISSING


def _is_number(cell: str) -> bool:
    with suppress(ValueError):
        float(cell)
        # float() takes "1_000", which no table means as a thousand.
        return "_" not in cell
    return False


def _is_text(cell: str) -> bool:
    return not _is_missing(cell) and not _is_number(cell)


def _looks_long(lines: list[_Line]) -> bool:
    first = [cell.strip().lower() for cell in lines[0].cells]
    if len(first) != 3:
        return False
    named = all(cell in names for cell, names in zip(first, _LONG_NAMES, strict=True))
    return named or not any(_is_missing(cell) for line in lines for cell in line.cells)


def _number(path: PathLike, line: _Line, column: int, name: str) -> float:
    """A cell as a finite number."""
    cell = line.cells[column]
    if _is_number(cell) and math.isfinite(value := float(cell)):
        return value
    where = f"{path}, line {line.number}, column {column + 1}" + (f" ('{name}')" if name else "")
    shown = cell if len(cell) <= 40 else cell[:37] + "..."
    hint = ""
    if _is_number(cell.replace(",", ".")):
        hint = "; write decimals with a point"
    raise FileError(f"{where}: '{shown}' is not a finite number, nor an empty cell{hint}")


def _read_wide(
    path: PathLike, lines: list[_Line], delimiter: str, header: bool | None
) -> tuple[Table, tuple[int, int], np.ndarray, np.ndarray, np.ndarray]:
    first, below = lines[0], lines[1:]
    labelled = any(_is_text(line.cells[0]) for line in below)
    if header is None:
        header = any(_is_text(cell) for cell in first.cells[1 if labelled else 0 :])
        # A first column under an empty corner, with no gaps, numbers the rows.
        corner = not first.cells[0].strip() and bool(below)
        if corner and (labelled or header):
            header = True
    if header and not labelled and not first.cells[0].strip():
        labelled = bool(below) and not any(_is_missing(line.cells[0]) for line in below)
    start = 1 if labelled else 0
    names = tuple(cell.strip() for cell in first.cells[start:]) if header else ()
    body = below if header else lines
    shape = (len(body), len(first.cells) - start)
    if 0 in shape:
        raise FileError(f"{path}: has no rows or no columns of numbers below its labels")
    X = np.full(shape, np.nan)
    for i, line in enumerate(body):
        for j in range(shape[1]):
            if not _is_missing(line.cells[start + j]):
                X[i, j] = _number(path, line, start + j, names[j] if names else "")
    rows, cols = np.nonzero(~np.isnan(X))
    table = Table(
        "wide",
        delimiter,
        (first.cells[0],) if labelled and header else (),
        tuple(line.cells[0] for line in body) if labelled else (),
        names,
    )
    return table, shape, rows, cols, X[rows, cols]


def _read_long(
    path: PathLike, lines: list[_Line], delimiter: str, header: bool | None
) -> tuple[Table, tuple[int, int], np.ndarray, np.ndarray, np.ndarray]:
    first = lines[0]
    if len(first.cells) != 3:
        raise FileError(
            f"{path}, line {first.number}: has {len(first.cells)} cells, expected three: row, "
            "column, value"
        )
    if header is None:
        header = _is_text(first.cells[2])
    body = (
        [line for line in lines[1:] if not _is_missing(line.cells[2])]
        if header
        else [line for line in lines if not _is_missing(line.cells[2])]
    )
    name = first.cells[2].strip() if header else ""
    values = np.array([_number(path, line, 2, name) for line in body])
    labels = []
    index = []
    for column in (0, 1):
        given = [line.cells[column].strip() for line in body]
        for line, label in zip(body, given, strict=True):
            if not label:
                raise FileError(
                    f"{path}, line {line.number}, column {column + 1}: is empty, expected the "
                    f"{'row' if column == 0 else 'column'} that the value belongs to"
                )
        known = _in_order(given)
        place = {label: i for i, label in enumerate(known)}
        labels.append(tuple(known))
        index.append(np.array([place[label] for label in given], dtype=np.int64))
    shape = (len(labels[0]), len(labels[1]))
    table = Table("long", delimiter, tuple(first.cells) if header else (), labels[0], labels[1])
    return table, shape, index[0], index[1], values


def _in_order(labels: list[str]) -> list[str]:
    """Each label once: integers by size, others as they first appear."""
    known = list(dict.fromkeys(labels))
    with suppress(ValueError):
        known.sort(key=int)
    return known


def write_table(file: IO[str], X: np.ndarray, table: Table | None = None) -> None:
    """Write a complete matrix as a table, numbers with all their digits."""
    table = Table() if table is None else table
    writer = csv.writer(file, delimiter=table.delimiter, lineterminator="\n")
    if table.layout == "long":
        if table.header:
            writer.writerow(table.header)
        writer.writerows(_long_lines(X, table))
        return
    if table.column_labels:
        writer.writerow([*table.header, *table.column_labels])
    for i, row in enumerate(X):
        label = [table.row_labels[i]] if table.row_labels else []
        writer.writerow(label + [_text(value) for value in row])


def _long_lines(X: np.ndarray, table: Table) -> Iterator[tuple[str, str, str]]:
    for row, values in zip(table.row_labels, X, strict=True):
        for column, value in zip(table.column_labels, values, strict=True):
            yield row, column, _text(value)


def _text(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return str(value).removesuffix(".0")

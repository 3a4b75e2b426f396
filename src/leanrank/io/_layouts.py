"""What a table means: which columns hold rows, columns and values, labels, text or numbers.

Each guess is written down in a note or in the table's description, and each has an option that
says otherwise. Where two readings are as likely, none is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import compress, islice
from typing import Literal

import numpy as np

from leanrank._files import FileError, PathLike
from leanrank.io._columns import find_columns, named_roles
from leanrank.io._records import check_signs
from leanrank.io._sheets import Column, Notation, Sheet, read_sheet
from leanrank.io._tables import Entries, Table
from leanrank.io._wide import read_wide

__all__ = ["TextOptions", "read_table"]


@dataclass(frozen=True)
class TextOptions:
    """What was said of a table in text; the names are those of :func:`read_matrix`."""

    layout: Literal["auto", "wide", "long"] = "auto"
    header: bool | None = None
    columns: Sequence[str | int] | None = None
    id_columns: Sequence[str | int] | None = None
    missing: frozenset[str] = frozenset()
    decimal: str | None = None
    delimiter: str | None = None

    def __post_init__(self) -> None:
        if self.layout not in ("auto", "wide", "long"):
            raise ValueError(f"layout must be 'auto', 'wide' or 'long', got {self.layout!r}")
        check_signs(self.delimiter, self.decimal)
        if self.columns is not None:
            if self.layout == "wide" or self.id_columns is not None:
                raise ValueError("columns are of a long table, id_columns of a wide one")
            if len(self.columns) != 3:
                raise ValueError(
                    f"columns must be three, for row, column and value, got {len(self.columns)}"
                )


def read_table(path: PathLike, options: TextOptions) -> Entries:
    """Table, shape, rows, columns, values and notes of a text file; see :func:`read_matrix`."""
    roles: list[int] | None = None

    def choose(first: list[str]) -> list[int] | None:
        nonlocal roles
        roles = _told_roles(path, first, options)
        return roles

    sheet = read_sheet(path, options.delimiter, choose)
    notation = sheet.notation(options.decimal, options.missing)
    if roles is None and options.layout == "long" and len(sheet.first) == 3:
        roles = [0, 1, 2]
    elif roles is None and options.layout == "auto" and options.id_columns is None:
        roles = _guessed_roles(sheet, notation, options.header)
    if roles is not None:
        return _read_long(sheet, roles, notation, options)
    if options.layout == "long":
        raise FileError(
            f"{path}, line {sheet.lines[0]}: has {len(sheet.first)} cells, expected three: row, "
            "column, value; say which columns they are in (--columns)"
        )
    return read_wide(sheet, notation, options.header, options.id_columns)


def _told_roles(path: PathLike, first: list[str], options: TextOptions) -> list[int] | None:
    """The columns of rows, columns and values, by option or by their names."""
    if options.columns is not None:
        return find_columns(path, first, options.columns)
    if options.layout == "wide" or options.header is False:
        return None
    return named_roles(first)


def _guessed_roles(sheet: Sheet, notation: Notation, header: bool | None) -> list[int] | None:
    """The first three columns if they look like row, column, value; None for a wide table."""
    if len(sheet.first) < 3:
        return None
    if header is None:
        header = notation.is_text(sheet.first[2])
    row, column, value = islice(sheet.columns(header, notation).values(), 3)
    if not _look_long(row, column, value):
        return None
    if len(sheet.first) > 3 and row.whole and column.whole:
        # Two numbers that name a row of a wide table look the same.
        raise FileError(
            f"{sheet.path}: may hold row, column and value on each line, with more columns beside "
            "them, or be a table of numbers; say which: columns 1,2,3 (--columns) or layout wide "
            "(--layout)"
        )
    return [0, 1, 2] if len(sheet.first) == 3 else None


def _look_long(row: Column, column: Column, value: Column) -> bool:
    """Whether three columns make sense as row, column, value.

    Rows and columns are named on each line, by whole numbers or text, each pair about once, and
    there are as many values as a matrix of rank one takes: then they are no two columns of
    measurements.
    """
    count = value.numbers
    if value.texts or not count:
        return False
    for key in (row, column):
        if not (key.whole or key.texts == len(key.cells)):
            return False
    pairs = zip(row.labels, column.labels, strict=True)
    given = list(compress(pairs, ~np.isnan(value.values)))
    n1, n2 = (len(set(labels)) for labels in zip(*given, strict=True))
    return min(n1, n2) > 1 and count >= n1 + n2 - 1 and len(set(given)) >= 0.9 * count


def _read_long(sheet: Sheet, roles: list[int], notation: Notation, options: TextOptions) -> Entries:
    header = options.header
    if header is None:
        header = notation.is_text(sheet.first[roles[2]])
    columns = sheet.columns(header, notation)
    values = sheet.numbers(header, roles[2], columns[roles[2]])
    labels, index = [], []
    for name, k in zip(("row", "column"), roles[:2], strict=True):
        given = columns[k].labels
        if "" in given:
            message = f"is empty, expected the {name} that the value belongs to"
            raise sheet.fail(header, given.index(""), k, message)
        known = _in_order(given)
        place = {label: i for i, label in enumerate(known)}
        labels.append(tuple(known))
        index.append(np.fromiter(map(place.__getitem__, given), np.int64, len(given)))
    names = [cell.strip() if header else f"{k + 1}" for k, cell in enumerate(sheet.first)]
    order = sorted(roles)
    table = Table(
        "long",
        sheet.sign,
        notation.decimal,
        header=tuple(sheet.first[k] for k in roles) if header else (),
        row_labels=labels[0],
        column_labels=labels[1],
        order=(order.index(roles[0]), order.index(roles[1]), order.index(roles[2])),
        ignored=tuple(name for k, name in enumerate(names) if k not in roles),
    )
    seen = ~np.isnan(values)
    shape = (len(labels[0]), len(labels[1]))
    return table, shape, index[0][seen], index[1][seen], values[seen], ()


def _in_order(labels: list[str]) -> list[str]:
    """Each label once: integers by size, others as they first appear."""
    known = list(dict.fromkeys(labels))
    with suppress(ValueError):
        known.sort(key=int)
    return known

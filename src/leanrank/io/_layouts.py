"""What a table means: which columns hold rows, columns and values, labels, text or numbers.

Each guess is written down in a note or in the table's description, and each has an option that
says otherwise. Where two readings are as likely, none is taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from leanrank._files import FileError, PathLike
from leanrank.io._sheets import Column, Notation, Sheet, read_sheet
from leanrank.io._tables import Passed, Table

__all__ = ["TextOptions", "read_table"]

_ROLES = (
    "row rows i user userid userno customer customerid client member reader viewer patient "
    "subject rowid",
    "col cols column columns j item itemid movie movieid product productid book bookid song track "
    "article columnid",
    "value values v x y rating ratings score stars",
)
"""What columns of a long table are called, for rows, columns and values."""
_LABELS = frozenset({"id", "index", "key", "no", "nr", "number"})

Entries = tuple[Table, tuple[int, int], np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]


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
        if self.decimal not in (None, ".", ","):
            raise ValueError(f"decimal must be '.' or ',', got {self.decimal!r}")
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise ValueError(f"delimiter must be one character, got {self.delimiter!r}")
        if self.delimiter is not None and self.delimiter == self.decimal:
            raise ValueError(f"delimiter and decimal are both {self.decimal!r}")
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
    if roles is None and len(sheet.first) == 3:
        told = options.layout == "long"
        guess = options.layout == "auto"
        roles = [0, 1, 2] if told or (guess and _looks_long(sheet, notation, options)) else None
    elif (
        roles is None
        and options.layout == "auto"
        and options.id_columns is None
        and len(sheet.first) > 3
    ):
        _ask_if_long(sheet, notation, options)
    if roles is not None:
        return _read_long(sheet, roles, notation, options)
    if options.layout == "long":
        raise FileError(
            f"{path}, line {sheet.lines[0]}: has {len(sheet.first)} cells, expected three: row, "
            "column, value; say which columns they are in (--columns)"
        )
    return _read_wide(sheet, notation, options)


def _plain(name: str) -> str:
    """A name without capitals and signs: "User-ID" is "userid"."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _find(path: PathLike, first: list[str], wanted: str | int, what: str) -> int:
    """The column of a name, or of a number counted from 1."""
    names = [name.strip() for name in first]
    if isinstance(wanted, str) and names.count(wanted.strip()) == 1:
        return names.index(wanted.strip())
    with suppress(ValueError):
        if 1 <= int(wanted) <= len(first):
            return int(wanted) - 1
    raise FileError(
        f"{path}: {what} '{wanted}' is not one of its {len(first)} columns ("
        + ", ".join(names[:20])
        + "); give a name of these, or a number from 1"
    )


def _told_roles(path: PathLike, first: list[str], options: TextOptions) -> list[int] | None:
    """The columns of rows, columns and values, by option or by their names."""
    if options.columns is not None:
        found = [_find(path, first, name, "column") for name in options.columns]
        if len(set(found)) != 3:
            raise FileError(f"{path}: columns must be three different ones")
        return found
    if options.layout == "wide" or options.header is False:
        return None
    names = [_plain(cell) for cell in first]
    places = [[k for k, name in enumerate(names) if name in role.split()] for role in _ROLES]
    return [k for (k,) in places] if all(len(place) == 1 for place in places) else None


def _is_text(notation: Notation, cell: str) -> bool:
    return notation.number(cell) is None


def _ask_if_long(sheet: Sheet, notation: Notation, options: TextOptions) -> None:
    """Refuse to choose between two numbers that name a row, and two measurements."""
    if _looks_long(sheet, notation, options) and not any(
        _is_text(notation, cell) for column in sheet.cells[:2] for cell in column[:1]
    ):
        raise FileError(
            f"{sheet.path}: may hold row, column and value on each line, with more columns beside "
            "them, or be a table of numbers; say which: columns 1,2,3 (--columns) or layout wide "
            "(--layout)"
        )


def _looks_long(sheet: Sheet, notation: Notation, options: TextOptions) -> bool:
    """Whether the first three columns make sense as row, column, value.

    Rows and columns are named on each line, by whole numbers or text, each pair about once, and
    there are as many values as a matrix of rank one takes: then they are no two columns of
    measurements.
    """
    header = options.header
    if header is None:
        header = _is_text(notation, sheet.first[2])
    row, column, value = islice(sheet.columns(header, notation).values(), 3)
    count = value.numbers
    if value.texts or not count:
        return False
    for key in (row, column):
        if not (key.whole or key.texts == len(key.cells)):
            return False
    given = [pair for pair, x in zip(zip(row.labels, column.labels, strict=True), value.values,
                                     strict=True) if np.isfinite(x)]  # fmt: skip
    n1, n2 = (len(set(labels)) for labels in zip(*given, strict=True))
    return min(n1, n2) > 1 and count >= n1 + n2 - 1 and len(set(given)) >= 0.9 * count


def _read_long(sheet: Sheet, roles: list[int], notation: Notation, options: TextOptions) -> Entries:
    header = options.header
    if header is None:
        header = _is_text(notation, sheet.first[roles[2]])
    columns = sheet.columns(header, notation)
    values = _numbers(sheet, roles[2], columns[roles[2]], header, notation)
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
        sheet.delimiter,
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


def _numbers(sheet: Sheet, k: int, column: Column, header: bool, notation: Notation) -> np.ndarray:
    """The values of a column, NaN where a cell is missing."""
    bad = column.first_bad()
    if bad is None:
        return column.values
    cell = column.cells[bad]
    shown = cell if len(cell) <= 40 else cell[:37] + "..."
    hint = ""
    if notation.other.number(cell) is not None:
        hint = f"; decimals are written with '{notation.decimal}' here (--decimal)"
    raise sheet.fail(header, bad, k, f"'{shown}' is not a finite number, nor an empty cell{hint}")


def _read_wide(sheet: Sheet, notation: Notation, options: TextOptions) -> Entries:
    header, notes = options.header, []
    body = sheet.columns(True, notation)
    if header is None:
        header = _has_header(sheet.first, body, notation)
        if not header and _is_sequence(sheet.first, body, notation):
            header = True
            notes.append(
                f"the first line ({', '.join(sheet.first[:3])}, ...) is taken for a header; say "
                "so if it is data (--no-header)"
            )
    columns = sheet.columns(header, notation)
    if options.id_columns is None:
        texts, why = _text_columns(sheet.first if header else None, columns)
        notes += why
    else:
        given = [name for name in options.id_columns if name not in (0, "0")]
        texts = sorted({_find(sheet.path, sheet.first, name, "id column") for name in given})
    numeric = [k for k in columns if k not in texts]
    shape = (len(columns[0].cells), len(numeric))
    if 0 in shape:
        raise FileError(
            f"{sheet.path}: has no rows or no columns of numbers below and beside its labels"
        )
    X = np.stack([_numbers(sheet, k, columns[k], header, notation) for k in numeric], axis=1)
    rows, cols = np.nonzero(~np.isnan(X))
    labelled = 0 in texts
    table = Table(
        "wide",
        sheet.delimiter,
        notation.decimal,
        header=(sheet.first[0],) if labelled and header else (),
        row_labels=tuple(columns[0].cells) if labelled else (),
        column_labels=tuple(sheet.first[k].strip() for k in numeric) if header else (),
        passed=tuple(
            Passed(k, sheet.first[k] if header else "", tuple(columns[k].cells))
            for k in texts
            if k > 0
        ),
    )
    return table, shape, rows, cols, X[rows, cols], tuple(notes)


def _has_header(first: list[str], body: dict[int, Column], notation: Notation) -> bool:
    """Whether the first line has text where there are numbers below it."""
    numeric = [k for k, column in body.items() if column.numbers]
    for k in numeric or body:
        # A number with the other decimal sign is no name, but will be an error.
        if _is_text(notation, first[k]) and _is_text(notation.other, first[k]):
            return True
    # An empty corner stands above labels.
    return not first[0].strip() and bool(body[0].texts)


def _is_sequence(first: list[str], body: dict[int, Column], notation: Notation) -> bool:
    """Whether the first line counts, above numbers that are not all whole, or holds years."""
    numeric = [k for k, column in body.items() if not column.texts]
    if len(numeric) < 3:
        return False
    counts = np.array([notation.number(first[k]) for k in numeric], dtype=float)
    steps = np.diff(counts)
    whole = np.all(np.isfinite(counts)) and np.all(counts == np.floor(counts))
    if not whole or steps[0] == 0 or np.any(steps != steps[0]):
        return False
    years = body[0].texts > 0 and counts.min() >= 1500 and counts.max() <= 2200
    return years or any(body[k].fractional for k in numeric)


def _text_columns(
    first: list[str] | None, columns: dict[int, Column]
) -> tuple[list[int], list[str]]:
    """Columns that are labels or text, and notes on those of numbers."""
    texts = [
        k
        for k, column in columns.items()
        if (column.texts > 1 and not column.numbers) or (k == 0 and column.texts > column.numbers)
    ]
    leading = columns[0]
    if 0 in texts or not leading.cells or leading.missing or len(columns) < 2:
        return texts, []
    name = None if first is None else first[0].strip()
    if name == "":
        return [0, *texts], []
    if _numbers_rows(name, leading, [columns[k] for k in columns if k not in (0, *texts)]):
        shown = f"'{name}'" if name else "1"
        note = (
            f"column {shown} is taken for labels of the rows; say so if it is data (--id-column 0)"
        )
        return [0, *texts], [note]
    return texts, []


def _numbers_rows(name: str | None, column: Column, others: list[Column]) -> bool:
    """Whether whole numbers, each once, are labels: by their name, or counting among decimals."""
    if not column.whole or len(set(column.cells)) < max(len(column.cells), 2):
        return False
    if name is not None and (_plain(name) in _LABELS or re.search(r"(?i)[_ ]id$|ID$|Id$", name)):
        return True
    counting = bool(np.all(np.diff(column.values) == 1))
    return counting and len(column.cells) > 4 and any(other.fractional for other in others)

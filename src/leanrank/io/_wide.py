"""Wide tables: which line is a header, which columns are labels, text or numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from leanrank._files import FileError
from leanrank.io._columns import find_column, plain_name
from leanrank.io._sheets import Column, Notation, Sheet
from leanrank.io._tables import Entries, Passed, Table

__all__ = ["read_wide"]

_LABELS = frozenset({"id", "index", "key", "no", "nr", "number"})


def read_wide(
    sheet: Sheet,
    notation: Notation,
    header: bool | None,
    id_columns: Sequence[str | int] | None,
) -> Entries:
    """A table with one row on each line; labels and text are set apart from numbers."""
    notes = []
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
    if id_columns is None:
        texts, why = _text_columns(sheet.first if header else None, columns)
        notes += why
    else:
        given = [name for name in id_columns if name not in (0, "0")]
        named = {find_column(sheet.path, sheet.first, name, "id column") for name in given}
        texts = sorted(named | {k for k, column in columns.items() if _is_text(column)})
    numeric = [k for k in columns if k not in texts]
    shape = (len(columns[0].cells), len(numeric))
    if 0 in shape:
        raise FileError(
            f"{sheet.path}: has no rows or no columns of numbers below and beside its labels"
        )
    X = np.stack([sheet.numbers(header, k, columns[k]) for k in numeric], axis=1)
    rows, cols = np.nonzero(~np.isnan(X))
    labelled = 0 in texts
    table = Table(
        "wide",
        sheet.sign,
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
        if notation.is_text(first[k]) and notation.other.is_text(first[k]):
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
        if _is_text(column) or (k == 0 and column.texts > column.numbers)
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


def _is_text(column: Column) -> bool:
    """Whether there is text in several cells, and a number in none."""
    return column.texts > 1 and not column.numbers


def _numbers_rows(name: str | None, column: Column, others: list[Column]) -> bool:
    """Whether whole numbers, each once, are labels: by their name, or counting among decimals."""
    if not column.whole or len(set(column.cells)) < max(len(column.cells), 2):
        return False
    if name is not None and (
        plain_name(name) in _LABELS or re.search(r"(?i)[_ ]id$|ID$|Id$", name)
    ):
        return True
    counting = bool(np.all(np.diff(column.values) == 1))
    return counting and len(column.cells) > 4 and any(other.fractional for other in others)

"""The cells of a text file, column by column, and the numbers in them."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from leanrank._files import FileError, PathLike
from leanrank.io._records import Records, find_delimiter

__all__ = [
    "Column",
    "Notation",
    "Sheet",
    "find_notation",
    "read_sheet",
]

_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_SHORT = 12
"""Cells up to this length are kept once however often they come; longer ones are mostly unique."""
_WITH_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")


@dataclass(frozen=True)
class Notation:
    """How numbers are written, and what stands for none."""

    decimal: str = "."
    missing: frozenset[str] = frozenset()

    @property
    def other(self) -> Notation:
        """With the other decimal sign."""
        return Notation("," if self.decimal == "." else ".", self.missing)

    def is_text(self, cell: str) -> bool:
        """Whether a cell is neither a number nor missing."""
        return self.number(cell) is None

    def number(self, cell: str) -> float | None:
        """A cell as a number, NaN where it is missing, None where it is text."""
        text = cell.strip()
        if text.lower() in _MISSING or text in self.missing:
            return math.nan
        if self.decimal == ",":
            text = "" if "." in text else text.replace(",", ".")
        with suppress(ValueError):
            # float() takes "1_000", which no table means as a thousand.
            return None if "_" in text else float(text)
        return None


class Column:
    """The cells of one column below the header.

    Parameters
    ----------
    cells : sequence of str
    notation : Notation
    """

    def __init__(self, cells: Sequence[str], notation: Notation) -> None:
        self.cells = cells
        self.notation = notation

    @cached_property
    def _parsed(self) -> dict[str, float | None]:
        return {cell: self.notation.number(cell) for cell in dict.fromkeys(self.cells)}

    @cached_property
    def values(self) -> np.ndarray:
        """Numbers; NaN where a cell is missing, infinite where it is text."""
        parsed = {k: math.inf if v is None else v for k, v in self._parsed.items()}
        return np.fromiter(map(parsed.__getitem__, self.cells), float, len(self.cells))

    @property
    def missing(self) -> int:
        """Number of missing cells."""
        return int(np.isnan(self.values).sum())

    @property
    def texts(self) -> int:
        """Number of cells that are text."""
        texts = {cell for cell, value in self._parsed.items() if value is None}
        return sum(cell in texts for cell in self.cells) if texts else 0

    @property
    def numbers(self) -> int:
        """Number of cells that are numbers."""
        return len(self.cells) - self.missing - self.texts

    @cached_property
    def whole(self) -> bool:
        """Whether all cells are whole numbers that are not negative."""
        values = self.values
        return bool(np.all(np.isfinite(values) & (values >= 0) & (values == np.floor(values))))

    @cached_property
    def fractional(self) -> bool:
        """Whether any number is not whole."""
        values = self.values[np.isfinite(self.values)]
        return bool(np.any(values != np.floor(values)))

    @property
    def labels(self) -> list[str]:
        """The cells without blanks around them."""
        stripped = {cell: cell.strip() for cell in self._parsed}
        return [stripped[cell] for cell in self.cells]

    def first_bad(self) -> int | None:
        """Where the first cell is that is neither missing nor a finite number."""
        bad = np.flatnonzero(np.isinf(self.values))
        return int(bad[0]) if bad.size else None

    def shown(self, k: int) -> str:
        """Cell k, for a message."""
        return self.cells[k] if len(self.cells[k]) <= 40 else self.cells[k][:37] + "..."

    def hint(self, k: int) -> str:
        """How cell k may be meant, for a message."""
        if self.notation.other.number(self.cells[k]) is None:
            return ""
        return f"; decimals are written with '{self.notation.decimal}' here (--decimal)"

    def reading(self, k: int) -> str:
        """Why column k has both text and numbers, for a message: one of them may mean a gap."""
        numbers = {cell for cell, v in self._parsed.items() if v is not None and math.isfinite(v)}
        texts = {cell.strip() for cell, value in self._parsed.items() if value is None}
        if len(texts) == 1 and self.numbers > self.texts:
            return f"; if it stands for a missing entry, say so (--missing '{texts.pop()}')"
        if len(numbers) == 1 and self.texts > self.numbers:
            return (
                f"; the only number in its column is {numbers.pop().strip()}: if that stands for a "
                f"missing entry, say so (--missing), if the column is text, too (--id-column "
                f"{k + 1})"
            )
        return ""


@dataclass(frozen=True)
class Sheet:
    """What a text file holds.

    Attributes
    ----------
    path : path
    delimiter : str
    first : list of str
        The cells of the first line.
    chosen : list of int
        Which columns were read.
    cells : list of list of str
        Of each of them, below the first line.
    lines : sequence of int
        The number in the file of each line, the first included.
    """

    path: PathLike
    delimiter: str
    first: list[str]
    chosen: list[int]
    cells: list[list[str]]
    lines: Sequence[int]

    @property
    def sign(self) -> str:
        """What separates cells where such a table is written: one character."""
        return self.delimiter if len(self.delimiter) == 1 else ","

    def columns(self, header: bool, notation: Notation) -> dict[int, Column]:
        """The columns by their number, with the first line where that is no header."""
        return {
            k: Column(cells if header else [self.first[k], *cells], notation)
            for k, cells in zip(self.chosen, self.cells, strict=True)
        }

    def fail(self, header: bool, row: int, column: int, message: str) -> FileError:
        """An error that says where a cell is."""
        name = self.first[column].strip() if header else ""
        line = self.lines[row + 1 if header else row]
        where = f"{self.path}, line {line}, column {column + 1}" + (f" ('{name}')" if name else "")
        return FileError(f"{where}: {message}")

    def numbers(self, header: bool, k: int, column: Column) -> np.ndarray:
        """The values of column k, NaN where a cell is missing; text is an error."""
        bad = column.first_bad()
        if bad is None:
            return column.values
        what = f"'{column.shown(bad)}' is not a finite number, nor an empty cell"
        raise self.fail(header, bad, k, what + (column.hint(bad) or column.reading(k)))

    def notation(self, decimal: str | None, missing: frozenset[str]) -> Notation:
        """With a decimal comma where the cells leave no doubt about it, if not told."""
        cells = {cell.strip() for column in (self.first, *self.cells) for cell in set(column)}
        return find_notation(self.path, self.delimiter, cells, decimal, missing)


def find_notation(
    path: PathLike,
    delimiter: str,
    cells: Iterable[str],
    decimal: str | None,
    missing: frozenset[str],
) -> Notation:
    """How numbers are written in a file, by some of its cells, where it is not told."""
    if decimal is not None or delimiter == ",":
        return Notation(decimal or ".", missing)
    commas = [cell for cell in cells if _WITH_COMMA.fullmatch(cell)]
    points = any("." in cell and Notation().number(cell) is not None for cell in cells)
    if not commas or points:
        return Notation(".", missing)
    if all(_THOUSANDS.fullmatch(cell) for cell in commas):
        raise FileError(
            f"{path}: '{min(commas)}' may have a decimal comma or be a thousand; say "
            "which: decimal ',' or, with the commas taken out, '.' (--decimal)"
        )
    return Notation(",", missing)


def read_sheet(
    path: PathLike, delimiter: str | None, choose: Callable[[list[str]], list[int] | None]
) -> Sheet:
    """The cells of the lines that are not blank.

    Parameters
    ----------
    path : path
    delimiter : str or None
        None: found out.
    choose : callable
        Given the first line, says which columns to keep; None for all of them.
    """
    found = delimiter or find_delimiter(path)
    lines, memo = array("q"), dict[str, str]()
    with Records.of(path, found) as records:
        first = records.first
        lines.append(records.line)
        chosen = choose(first) or list(range(len(first)))
        columns: list[list[str]] = [[] for _ in chosen]
        pairs = list(zip(chosen, columns, strict=True))
        for cells in records:
            lines.append(records.line)
            for k, column in pairs:
                cell = cells[k]
                column.append(cell if len(cell) > _SHORT else memo.setdefault(cell, cell))
    return Sheet(path, found, first, chosen, columns, lines)

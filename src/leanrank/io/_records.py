"""Text files, line by line, each cut into cells."""

from __future__ import annotations

import csv
import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, islice

from leanrank._files import FileError, PathLike
from leanrank.io._opening import text_of

__all__ = ["BLANKS", "Records", "check_signs", "find_delimiter"]

BLANKS = "blanks"
"""As a delimiter: any number of blanks and tabs."""
_DELIMITERS = ("\t", ";", ",", "|", "::", BLANKS)
_STAND_IN = "\x1f"
"""The sign that ASCII has for it, in the place of delimiters that the csv module does not know."""


class Records:
    """The cells of the lines of a text file that are not blank.

    Parameters
    ----------
    path : path
    file : iterable of str
    delimiter : str
        Of one character or more; ``BLANKS`` for any number of blanks and tabs.

    Attributes
    ----------
    first : list of str
        Those of the first line; the others are what one iterates over.
    """

    def __init__(self, path: PathLike, file: Iterable[str], delimiter: str) -> None:
        self._path = path
        lines = _with_one_sign(_text_lines(path, file), delimiter)
        sign = delimiter if len(delimiter) == 1 else _STAND_IN
        self._reader = csv.reader(lines, delimiter=sign, strict=True)
        self._records = filter(None, self._reader)
        self.first = next(iter(self.take(1)), [])
        if not self.first:
            raise FileError(f"{path}: is empty, expected a table")

    @classmethod
    @contextmanager
    def of(cls, path: PathLike, delimiter: str) -> Iterator[Records]:
        """Those of a file."""
        with text_of(path) as file:
            yield cls(path, file, delimiter)

    @property
    def line(self) -> int:
        """The number in the file of the line that was read last."""
        return self._reader.line_num

    def __iter__(self) -> Iterator[list[str]]:
        start = self.line
        while cells := next(iter(self.take(1)), None):
            if len(cells) != len(self.first):
                raise FileError(
                    f"{self._path}, line {self.line}: has {len(cells)} cells, expected "
                    f"{len(self.first)} as in line {start}"
                )
            yield cells

    def take(self, count: int) -> list[list[str]]:
        """The next lines, so many where there are; each may have any number of cells."""
        try:
            return list(islice(self._records, count))
        except csv.Error as error:
            raise FileError(
                f"{self._path}, line {self.line}: not readable as a table ({error})"
            ) from None

    def take_columns(self, count: int) -> list[tuple[str, ...]]:
        """The next lines, column by column; none at the end of the file.

        Raises
        ------
        ValueError
            If the lines are of different lengths.
        """
        with _no_garbage():
            return list(zip(*self.take(count), strict=True))


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Collect none: looking through thousands of new lists takes longer than making them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _text_lines(path: PathLike, file: Iterable[str]) -> Iterator[str]:
    """The lines, once they are seen to be text; many at a time, since it is done for each."""
    return chain.from_iterable(_checked(path, iter(file)))


def _checked(path: PathLike, lines: Iterator[str]) -> Iterator[list[str]]:
    done = 0
    while block := list(islice(lines, 1000)):
        if "\0" in "".join(block):
            number = done + next(k for k, line in enumerate(block, 1) if "\0" in line)
            raise FileError(f"{path}, line {number}: has a NUL byte, so it is not text")
        yield block
        done += len(block)


def _with_one_sign(lines: Iterator[str], delimiter: str) -> Iterator[str]:
    """Lines that one character cuts into cells."""
    if delimiter == BLANKS:
        return (_STAND_IN.join(line.split()) + "\n" for line in lines)
    if len(delimiter) > 1:
        return (line.replace(delimiter, _STAND_IN) for line in lines)
    return lines


def check_signs(delimiter: str | None, decimal: str | None) -> None:
    """Raise ValueError for what cannot separate cells, or decimals; None is found out."""
    if decimal not in (None, ".", ","):
        raise ValueError(f"decimal must be '.' or ',', got {decimal!r}")
    if delimiter in (None, "::", BLANKS):
        return
    if delimiter == decimal:
        raise ValueError(f"delimiter and decimal are both {decimal!r}")
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"delimiter must be one character, '::' or '{BLANKS}', got {delimiter!r}")


def find_delimiter(path: PathLike) -> str:
    """The first that cuts all lines at the start of a file into as many cells."""
    with text_of(path) as file:
        lines = list(islice(file, 100))
    for delimiter in _DELIMITERS:
        with suppress(FileError):
            records = Records(path, lines, delimiter)
            widths = {len(records.first), *map(len, records.take(len(lines)))}
            if len(widths) == 1 and widths != {1}:
                return delimiter
    return max(",;\t|", key=lines[0].count) if lines else ","

"""Long lists of entries of any kind, as pieces of their columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from leanrank._files import FileError, PathLike
from leanrank.io._cells import ArrayCells, ArrowCells, Cells, TextCells
from leanrank.io._opening import with_pyarrow
from leanrank.io._records import Records, find_delimiter
from leanrank.io._sheets import Notation, find_notation

__all__ = ["ArraySource", "ArrowSource", "FrameSource", "Lines", "Source", "TextSource"]

_LINES = 4096
"""Lines of text at a time: so many lists of cells stay in cache."""
_ROWS = 1 << 18
"""Rows at a time of what comes in columns."""
_HEAD = 1000
"""Lines by which is told how a text file is written."""


@dataclass(frozen=True)
class Lines:
    """The lines of a list of entries, without a header.

    Attributes
    ----------
    names : tuple of str
        Of all columns.
    pieces : callable
        Goes through the columns that were asked for, piece by piece.
    place : callable
        Where line k is, for a message.
    text : bool
        Whether they come out of a text file, which does not tell numbers from text.
    """

    names: tuple[str, ...]
    pieces: Callable[[], Iterator[Sequence[Cells]]]
    place: Callable[[int], str]
    text: bool = False


class Source(Protocol):
    """Something that holds a list of entries; ``names`` are those of its columns.

    Those of a text file are the cells of its first line, which may be no names.
    """

    names: tuple[str, ...]

    def __str__(self) -> str:
        """What it is called in messages."""

    def lines(self, columns: Sequence[int], labels: int, named: bool) -> Lines:
        """The lines of some columns.

        Parameters
        ----------
        columns : sequence of int
        labels : int
            So many of them, the first ones, hold labels; the others numbers.
        named : bool
            Whether columns were found by their names.
        """


class TextSource:
    """A text file; parameters as of :func:`leanrank.io.read_matrix`."""

    def __init__(
        self,
        path: PathLike,
        *,
        delimiter: str | None = None,
        header: bool | None = None,
        decimal: str | None = None,
        missing: frozenset[str] = frozenset(),
    ) -> None:
        self._path, self._header = path, header
        self._decimal, self._missing = decimal, missing
        self._delimiter = delimiter or find_delimiter(path)
        with Records.of(path, self._delimiter) as records:
            self._numbered = tuple(f"{k + 1}" for k in range(len(records.first)))
            self.names = self._numbered if header is False else tuple(records.first)

    def __str__(self) -> str:
        return f"{self._path}"

    def lines(self, columns: Sequence[int], labels: int, named: bool) -> Lines:
        numbers, notation = columns[labels:], Notation()
        if numbers:
            notation = self._notation(numbers)
        header = self._header
        if header is None:
            header = named or any(notation.is_text(self.names[k]) for k in numbers)
        names = tuple(name.strip() for name in self.names) if header else self._numbered
        return Lines(
            names,
            lambda: self._pieces(columns, notation, header),
            lambda k: self._place(k, header),
            text=True,
        )

    def _notation(self, numbers: Sequence[int]) -> Notation:
        with Records.of(self._path, self._delimiter) as records:
            head = [records.first, *records.take(_HEAD)]
        cells = {row[k].strip() for row in head for k in numbers if k < len(row)}
        return find_notation(self._path, self._delimiter, cells, self._decimal, self._missing)

    def _pieces(
        self, columns: Sequence[int], notation: Notation, header: bool
    ) -> Iterator[list[Cells]]:
        with Records.of(self._path, self._delimiter) as records:
            rows = [] if header else [records.first]
            width = len(records.first)
            while rows := rows + records.take(_LINES):
                if set(map(len, rows)) != {width}:
                    self._look_for_the_line_of_another_length()
                cells = list(zip(*rows, strict=True))
                yield [TextCells(list(cells[k]), notation) for k in columns]
                rows = []

    def _look_for_the_line_of_another_length(self) -> None:
        with Records.of(self._path, self._delimiter) as records:
            for _ in records:
                pass

    def _place(self, k: int, header: bool) -> str:
        with Records.of(self._path, self._delimiter) as records:
            records.take(k + header)
            return f"{self._path}, line {records.line}"


class ArrowSource:
    """A Parquet or Arrow file, or a table of PyArrow.

    Parameters
    ----------
    name : path
        What it is called in messages.
    names : sequence of str
    batches : callable
        Goes through some columns, given by their numbers, in record batches.
    nan_is_missing : bool
    """

    def __init__(
        self,
        name: PathLike,
        names: Sequence[str],
        batches: Callable[[Sequence[int]], Iterator[Any]],
        nan_is_missing: bool,
    ) -> None:
        self._name, self.names, self._batches = name, tuple(names), batches
        self._nan_is_missing = nan_is_missing

    @classmethod
    def of_table(cls, table: Any, nan_is_missing: bool) -> ArrowSource:
        """A table in memory."""

        def batches(columns: Sequence[int]) -> Iterator[Any]:
            yield from table.select(list(columns)).to_batches(max_chunksize=_ROWS)

        return cls("the table", table.schema.names, batches, nan_is_missing)

    @classmethod
    def of_file(cls, path: PathLike, head: bytes, nan_is_missing: bool) -> ArrowSource:
        """A file, whose format its first bytes tell."""
        pyarrow = with_pyarrow(f"{path}")
        open_ = _open_parquet if head.startswith(b"PAR1") else _open_arrow
        try:
            names = open_(path)[0]
        except (pyarrow.ArrowException, OSError) as error:
            raise _damaged(path, error) from None

        def batches(columns: Sequence[int]) -> Iterator[Any]:
            try:
                yield from open_(path)[1](columns)
            except (pyarrow.ArrowException, OSError) as error:
                raise _damaged(path, error) from None

        return cls(path, names, batches, nan_is_missing)

    def __str__(self) -> str:
        return f"{self._name}"

    def lines(self, columns: Sequence[int], labels: int, named: bool) -> Lines:
        def pieces() -> Iterator[list[Cells]]:
            for batch in self._batches(columns):
                if batch.num_rows:
                    yield [ArrowCells(column, self._nan_is_missing) for column in batch.columns]

        return Lines(self.names, pieces, lambda k: _row(self, k))


Opened = tuple[Sequence[str], Callable[[Sequence[int]], Iterator[Any]]]
"""Names of columns, and what goes through some of them in record batches."""


def _open_parquet(path: PathLike) -> Opened:
    # Without buffers for whole groups of rows, of which a file may have a single one.
    file = with_pyarrow(f"{path}", ".parquet").ParquetFile(
        path, buffer_size=1 << 20, page_checksum_verification=True
    )
    names = file.schema_arrow.names

    def batches(columns: Sequence[int]) -> Iterator[Any]:
        wanted = [names[k] for k in columns]
        # One group after another: all at once keep something of each in memory.
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(_ROWS, [group], wanted, use_threads=False):
                yield batch.select(wanted)

    return names, batches


def _open_arrow(path: PathLike) -> Opened:
    file = with_pyarrow(f"{path}", ".ipc").open_file(path)

    def batches(columns: Sequence[int]) -> Iterator[Any]:
        for k in range(file.num_record_batches):
            batch = file.get_batch(k).select(list(columns))
            for start in range(0, batch.num_rows, _ROWS):
                yield batch.slice(start, _ROWS)

    return file.schema.names, batches


def _damaged(path: PathLike, error: Exception) -> FileError:
    text = " ".join(f"{error}".split())[:200]
    return FileError(f"{path}: is no readable Parquet or Arrow file, or cut short ({text})")


class FrameSource:
    """A data frame of pandas or polars."""

    def __init__(self, frame: Any, nan_is_missing: bool) -> None:
        self._frame, self._nan_is_missing = frame, nan_is_missing
        self.names = tuple(map(str, frame.columns))

    def __str__(self) -> str:
        return "the data frame"

    def lines(self, columns: Sequence[int], labels: int, named: bool) -> Lines:
        pandas = hasattr(self._frame, "iloc")
        given = [self._frame.iloc[:, k] if pandas else self._frame.to_series(k) for k in columns]
        arrays = [_of_pandas(column) if pandas else _of_polars(column) for column in given]
        return ArraySource(f"{self}", self.names, arrays, self._nan_is_missing).lines(
            range(len(columns)), labels, named
        )


def _of_pandas(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """The array, and where it is empty; the NaN of floats of NumPy are numbers."""
    empty = np.asarray(column.isna(), dtype=bool)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf":
        return column.to_numpy(), np.zeros(empty.size, dtype=bool)
    if getattr(column.dtype, "kind", "O") in "iuf":
        return column.to_numpy(dtype=np.dtype(column.dtype.kind + "8"), na_value=0), empty
    return np.asarray(column), empty


def _of_polars(column: Any) -> tuple[np.ndarray, np.ndarray]:
    empty = np.asarray(column.is_null().to_numpy(), dtype=bool)
    if column.dtype.is_numeric():
        column = column.fill_null(0)
    return np.asarray(column.to_numpy()), empty


class ArraySource:
    """Columns that are arrays, each with flags of where it is empty.

    Parameters
    ----------
    name : path
        What it is called in messages.
    names : sequence of str
    arrays : sequence of pairs of ndarray
    nan_is_missing : bool
    """

    def __init__(
        self,
        name: PathLike,
        names: Sequence[str],
        arrays: Sequence[tuple[np.ndarray, np.ndarray]],
        nan_is_missing: bool = False,
    ) -> None:
        self._name, self.names, self._arrays = name, tuple(names), arrays
        self._nan_is_missing = nan_is_missing

    def __str__(self) -> str:
        return f"{self._name}"

    def lines(self, columns: Sequence[int], labels: int, named: bool) -> Lines:
        def pieces() -> Iterator[list[Cells]]:
            chosen = [self._arrays[k] for k in columns]
            for start in range(0, chosen[0][0].size, _ROWS):
                part = slice(start, start + _ROWS)
                yield [ArrayCells(a[part], gap[part], self._nan_is_missing) for a, gap in chosen]

        return Lines(self.names, pieces, lambda k: _row(self, k))


def _row(source: object, k: int) -> str:
    return f"{source}, row {k} (counted from 0)"

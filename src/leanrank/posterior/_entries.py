"""Observed entries, read in blocks of consecutive rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any, TypeVar

import numpy as np

from leanrank.posterior import _kernels, _ordering
from leanrank.posterior._team import Team

__all__ = ["NOTHING", "Block", "Blocks", "ByColumn", "Entries", "added", "ranges"]

_T = TypeVar("_T")

_BLOCK_ENTRIES, _BLOCK_ROWS = 1 << 18, 1 << 14
"""Of a block, at most where rows are short: second moments of its rows stay in cache."""
_FEW_COLUMNS = 1 << 14
"""Columns beyond which blocks have more entries, up to four times as many: once a block what they
say is added to what is known of each column, and that is no longer in cache."""

NOTHING = np.empty(0, np.uint8)
"""What is left out of a block."""


@dataclass(frozen=True)
class ByColumn:
    """The entries of a block, column by column.

    Attributes
    ----------
    which : ndarray of int32, shape (columns,)
        Columns that have entries.
    ptr : ndarray of int32, shape (columns + 1,)
        Where the entries of each begin and end.
    order, rows : ndarray of int32, shape (entries,)
        Where each entry is in the block, and in which of its rows.
    """

    which: np.ndarray
    ptr: np.ndarray
    order: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Block:
    """The entries of consecutive rows.

    Attributes
    ----------
    first : int
        The first row.
    start : int
        Number of entries before.
    indptr : ndarray of int32, shape (rows + 1,)
        Where the entries of each row begin and end in the block.
    cols : ndarray of int32, shape (entries,)
    y : ndarray, shape (entries,)
    weights : ndarray, shape (entries,) or (0,)
        None for ones.
    left_out : ndarray of uint8, shape (entries,) or (0,)
        Not zero where an entry does not count.
    by_column : ByColumn
    """

    first: int
    start: int
    indptr: np.ndarray
    cols: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    left_out: np.ndarray
    by_column: ByColumn

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.indptr.size - 1

    @property
    def part(self) -> slice:
        """Which rows they are."""
        return slice(self.first, self.first + self.rows)

    def to_rows(
        self, a: int, b: int, scale: np.ndarray, mean: np.ndarray, second: np.ndarray,
        A: np.ndarray, h: np.ndarray,
    ) -> None:  # fmt: skip
        """Add to the normal equations of rows a to b of the block what columns say."""
        targets, in_order = np.arange(a, b, dtype=np.int32), np.empty(0, np.int32)
        _kernels.gather(
            targets, self.indptr[a : b + 1], self.cols, in_order, self.y, self.weights,
            self.left_out, scale, mean, second, A, h,
        )  # fmt: skip

    def to_columns(
        self, a: int, b: int, mean: np.ndarray, second: np.ndarray, A: np.ndarray, h: np.ndarray
    ) -> None:
        """Add to the normal equations of columns what the rows of the block say.

        A column meets its rows in their order, whichever way columns are dealt out to threads.

        Parameters
        ----------
        a, b : int
            First and last of ``by_column.which``.
        mean, second : ndarray, shape (rows, K) and (rows, P)
        A, h : ndarray, shape (n2, P) and (n2, K)
        """
        by = self.by_column
        _kernels.gather(
            by.which[a:b], by.ptr[a : b + 1], by.rows, by.order, self.y, self.weights,
            self.left_out, np.empty(0, self.y.dtype), mean, second, A, h,
        )  # fmt: skip


class Blocks(ABC):
    """Observed entries, row after row, in memory or not.

    Attributes
    ----------
    shape : tuple of int
    omitted : ndarray of int64
        Places of entries that do not count, in increasing order.
    """

    shape: tuple[int, int]
    omitted: np.ndarray

    @property
    @abstractmethod
    def stored(self) -> int:
        """Number of entries, those among them that do not count."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype:
        """Precision that values and moments are kept in."""

    @property
    @abstractmethod
    def weighted(self) -> bool:
        """Whether entries have weights."""

    @abstractmethod
    def _read(self) -> Iterator[Block]:
        """One block after another; all entries count."""

    @property
    def size(self) -> int:
        """Number of entries that count."""
        return self.stored - self.omitted.size

    def blocks(self) -> Iterator[Block]:
        """One block after another."""
        for block in self._read():
            a, b = np.searchsorted(self.omitted, [block.start, block.start + block.cols.size])
            if a == b:
                yield block
                continue
            out = np.zeros(block.cols.size, np.uint8)
            out[self.omitted[a:b] - block.start] = 1
            yield replace(block, left_out=out)

    def without(self, places: np.ndarray) -> Blocks:
        """The entries less some, given by their places in increasing order."""
        return replace(self, omitted=places)  # type: ignore[type-var]

    def at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns, values and weights of some entries, by their places in order."""
        found = []
        for block in self._read():
            a, b = np.searchsorted(places, [block.start, block.start + block.cols.size])
            index = places[a:b] - block.start
            rows = block.first + np.searchsorted(block.indptr, index, side="right") - 1
            w = block.weights[index] if block.weights.size else np.ones(index.size)
            found.append((rows, block.cols[index], block.y[index], w))
        rows, cols, y, w = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return rows, cols, y.astype(float), w.astype(float)

    def each(
        self,
        work: Callable[..., _T],
        *common: Any,
        of_rows: tuple[np.ndarray, ...] = (),
        team: Team,
    ) -> list[_T]:
        """What ``work`` makes of each part of the entries; here there is one part, all of them.

        Parameters
        ----------
        work : callable
            Called as ``work(part, *common, *of_rows, team)``, with entries of consecutive rows
            that are numbered from zero.
        common : objects
            The same for all parts.
        of_rows : tuple of ndarray, shape (n1, ...)
            Each part is given the items of its rows.
        team : Team

        Returns
        -------
        list
            In the order of the rows.
        """
        return [work(self, *common, *of_rows, team)]

    def counts(self) -> np.ndarray:
        """Number of entries of each column."""
        return self._sums_of_ones[0]

    def mean(self) -> float:
        """Of the values."""
        return sum(self.each(_total, team=Team())) / max(self.size, 1)

    def mean_square(self) -> float:
        """Of the values."""
        return float(self._sums_of_ones[1].sum()) / max(self.size, 1)

    def sums(self) -> tuple[np.ndarray, np.ndarray]:
        """Sum of the weights of each column, and of the weights times squared values."""
        return self._sums if self.weighted else self._sums_of_ones

    @cached_property
    def _sums(self) -> tuple[np.ndarray, np.ndarray]:
        return self._summed(weighted=True)

    @cached_property
    def _sums_of_ones(self) -> tuple[np.ndarray, np.ndarray]:
        return self._summed(weighted=False)

    def _summed(self, *, weighted: bool) -> tuple[np.ndarray, np.ndarray]:
        parts = self.each(_sums, weighted, team=Team())
        total, squares = (added(each) for each in zip(*parts, strict=True))
        return total, squares


def added(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """Their sum, from the first on; the array itself where there is one."""
    return reduce(np.add, arrays)


def _total(part: Blocks, _: Team) -> float:
    """Sum of the values."""
    counted = (
        block.y[block.left_out == 0] if block.left_out.size else block.y for block in part.blocks()
    )
    return sum(float(y.sum(dtype=float)) for y in counted)


def _sums(part: Blocks, weighted: bool, _: Team) -> tuple[np.ndarray, np.ndarray]:
    """Sums of weights, or of ones, of each column, and of these times squared values."""
    total, squares = np.zeros(part.shape[1]), np.zeros(part.shape[1])
    for block in part.blocks():
        weights = block.weights if weighted else block.weights[:0]
        _kernels.sum_up(block.cols, block.y, weights, block.left_out, total, squares)
    return total, squares


@dataclass(frozen=True)
class Entries(Blocks):
    """Observed entries in memory.

    Attributes
    ----------
    indptr : ndarray of int64, shape (n1 + 1,)
    cols : ndarray of int32, shape (m,)
    y : ndarray, shape (m,)
        In single precision if moments are to be kept so.
    weights : ndarray, shape (m,) or (0,)
        Inverse variances of the noise up to its level; none for ones.
    shape : tuple of int
    omitted : ndarray of int64
    """

    indptr: np.ndarray
    cols: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    shape: tuple[int, int]
    omitted: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    _lists: dict[int, ByColumn] = field(default_factory=dict, repr=False, compare=False)
    """Made at the first reading; entries with other values or weights have the same."""

    @classmethod
    def of(
        cls,
        rows: np.ndarray,
        cols: np.ndarray,
        y: np.ndarray,
        shape: tuple[int, int],
        weights: np.ndarray | None = None,
        dtype: np.dtype | type = np.float64,
    ) -> Entries:
        """Entries in any order; of rows in order, arrays may be those that are given."""
        ordered = bool((rows[1:] >= rows[:-1]).all())
        indptr, place = np.zeros(shape[0] + 1, np.int64), np.empty(0, np.int64)
        if ordered:
            np.cumsum(np.bincount(rows, minlength=shape[0]), out=indptr[1:])
        else:
            place = np.empty(rows.size, np.int64)
            _ordering.by_row(rows, indptr, place)

        def placed(values: np.ndarray, kind: np.dtype | type) -> np.ndarray:
            if ordered:
                return np.ascontiguousarray(values, kind)
            out = np.empty(values.size, kind)
            out[place] = values
            return out

        w = np.empty(0, dtype) if weights is None else placed(weights, dtype)
        return cls(indptr, placed(cols, np.int32), placed(y, dtype), w, shape)

    @property
    def stored(self) -> int:
        return int(self.y.size)

    @property
    def dtype(self) -> np.dtype:
        return self.y.dtype

    @property
    def weighted(self) -> bool:
        return self.weights.size > 0

    @property
    def rows(self) -> np.ndarray:
        """Row of each entry, also of those that do not count."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr))

    def _read(self) -> Iterator[Block]:
        for first, last in ranges(self.indptr, self.shape[1]):
            start, end = int(self.indptr[first]), int(self.indptr[last])
            indptr = (self.indptr[first : last + 1] - start).astype(np.int32)
            part = slice(start, end)
            cols = self.cols[part]
            if first not in self._lists:
                lists = _ordering.by_column(indptr, cols, self.shape[1])
                self._lists[first] = ByColumn(*lists)
            weights = self.weights[part] if self.weighted else self.weights
            yield Block(
                first, start, indptr, cols, self.y[part], weights, NOTHING, self._lists[first]
            )


def ranges(indptr: np.ndarray, columns: int) -> Iterator[tuple[int, int]]:
    """First and last rows of blocks of a matrix of so many columns."""
    first, n = 0, indptr.size - 1
    most = int(_BLOCK_ENTRIES * min(max(columns / _FEW_COLUMNS, 1.0), 4.0))
    while first < n:
        full = int(np.searchsorted(indptr, indptr[first] + most, side="right")) - 1
        last = min(max(full, first + 1), first + _BLOCK_ROWS, n)
        yield first, last
        first = last

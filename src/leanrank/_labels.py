"""Labels of rows and columns: from values of any hashable type to codes 0, 1, ... and back.

Whole numbers go through a hash table of their own, compiled; everything else through a dictionary.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np

from leanrank._compile import compiled

__all__ = ["Labels", "labelled", "united"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_S32 = np.uint64(32)
_FIRST_BITS = 16
"""Of the size of the table that labels are found with; it grows by as they come."""
_MAY_BE_MISSING = {"NoneType", "NAType", "NaTType", "float", "datetime64", "timedelta64"}
_WHOLE = 2.0**53
"""Up to here whole numbers in floating point are themselves."""


@dataclass(frozen=True)
class Labels:
    """Distinct labels, in an order that does not depend on that of the data.

    Attributes
    ----------
    values : ndarray of int64, float64 or object, shape (n,)
        Sorted; in the order of their first appearance where they cannot be compared.
    kind : str
        "number", "str", or the name of another type.
    """

    values: np.ndarray
    kind: str

    @classmethod
    def of(cls, values: np.ndarray) -> Labels:
        """Those of distinct values: numbers in an array of these, strings in one of objects."""
        return cls(values, "str" if values.dtype == object else "number")

    @property
    def size(self) -> int:
        """Number of distinct labels."""
        return int(self.values.size)

    def codes(self, column: Any, name: str) -> np.ndarray:
        """Places of labels among the values, -1 for those that are not among them.

        Parameters
        ----------
        column : array-like, shape (m,)
        name : str
            Of the argument, for errors.

        Returns
        -------
        ndarray of int32, shape (m,)

        Raises
        ------
        TypeError, ValueError
            As in :func:`labelled`, and if these are labels of another kind.
        """
        keys, kind = _keys(column, name)
        if keys.size and kind != self.kind:
            raise TypeError(
                f"{name} must be labels of the same type as in fit, {self.kind}, got {kind}"
            )
        if keys.dtype == self.values.dtype == np.int64:
            codes = np.empty(keys.size, np.int32)
            _find(keys, self._table, self.values, codes)
            return codes
        found = map(self._places.get, keys.tolist(), repeat(-1))
        return np.fromiter(found, np.int32, keys.size)

    @cached_property
    def _table(self) -> np.ndarray:
        return _table(self.values, _bits(self.size))

    @cached_property
    def _places(self) -> dict[Any, int]:
        return dict(zip(self.values.tolist(), range(self.size), strict=True))


def labelled(column: Any, name: str) -> tuple[Labels, np.ndarray]:
    """Distinct labels of a column, and the code of each entry.

    Parameters
    ----------
    column : array-like, shape (m,)
        All numbers, all strings, or all of one other hashable type.
    name : str
        Of the argument, for errors.

    Returns
    -------
    labels : Labels
    codes : ndarray of int32, shape (m,)

    Raises
    ------
    TypeError
        If labels cannot be hashed, or are of several types: 1 and "1" are hardly meant to differ.
    ValueError
        If one is missing (None, NaN), or the column is not a vector.

    Examples
    --------
    >>> labels, codes = labelled(["b", "a", "b"], "users")
    >>> labels.values.tolist(), codes.tolist()
    (['a', 'b'], [1, 0, 1])
    """
    keys, kind = _keys(column, name)
    if keys.dtype == np.int64:
        return _labelled_numbers(keys)
    listed = keys.tolist()
    try:
        distinct = list(dict.fromkeys(listed))
    except TypeError:
        raise TypeError(
            f"{name} must be labels that can be hashed, got {kind}: make them tuples or strings"
        ) from None
    with suppress(TypeError):  # they have no order
        distinct.sort()
    values = np.fromiter(distinct, keys.dtype, len(distinct))
    labels = Labels(values, kind)
    return labels, np.fromiter(map(labels._places.__getitem__, listed), np.int32, len(listed))


def united(first: Labels, second: Labels, name: str) -> tuple[Labels, np.ndarray, np.ndarray]:
    """All labels of two sets, and the codes of those of each.

    Raises
    ------
    TypeError
        If they are of different types.
    """
    if first.kind != second.kind:
        raise TypeError(
            f"{name} must be labels of the same type as before, {first.kind}, got {second.kind}"
        )
    labels, codes = labelled(np.concatenate([first.values, second.values]), name)
    return labels, codes[: first.size], codes[first.size :]


def _labelled_numbers(keys: np.ndarray) -> tuple[Labels, np.ndarray]:
    """Those of whole numbers: a table of the distinct ones, that grows, and a sort of these."""
    codes, bits = np.empty(keys.size, np.int32), _FIRST_BITS
    table, distinct = _table(keys[:0], bits), np.empty(1 << (bits - 1), np.int64)
    at, count = 0, 0
    while True:
        at, count = _insert(keys, at, table, distinct, count, codes)
        if at == keys.size:
            break
        bits += 2
        distinct = np.concatenate([distinct[:count], np.empty((1 << (bits - 1)) - count, np.int64)])
        table = _table(distinct[:count], bits)
    order = np.argsort(distinct[:count], kind="stable")
    place = np.empty(count, np.int32)
    place[order] = np.arange(count, dtype=np.int32)
    return Labels(distinct[order], "number"), place[codes]


def _keys(column: Any, name: str) -> tuple[np.ndarray, str]:
    """Labels as a vector of int64, float64 or objects of one type, and the name of that."""
    if isinstance(column, list | tuple):  # NumPy would make strings of 1 and "1", rows of tuples
        column = np.fromiter(column, object, len(column))
    if np.ma.is_masked(column):
        raise ValueError(f"{name} has masked labels; leave their entries out")
    array = np.asarray(column)
    if array.ndim != 1:
        raise ValueError(
            f"{name} must be a vector of labels, got {_described(column, array)}; put a single one "
            "in [ ]"
        )
    if array.dtype.kind in "iub" and array.dtype != np.uint64:
        return array.astype(np.int64, copy=False), "number"
    if array.dtype.kind == "f":
        return _numbers(array.astype(np.float64, copy=False), name), "number"
    if array.dtype.kind != "O":
        array = np.fromiter(array if array.dtype.kind in "mM" else array.tolist(), object)
    return _objects(array, name)


def _described(column: Any, array: np.ndarray) -> str:
    return f"shape {array.shape}" if array.ndim else f"{column!r:.60}"


def _numbers(array: np.ndarray, name: str) -> np.ndarray:
    """Floats, as integers where all of them are whole."""
    missing = np.flatnonzero(np.isnan(array))
    if missing.size:
        raise _missing(name, missing)
    whole = np.all((np.abs(array) <= _WHOLE) & (array == np.round(array)))
    return array.astype(np.int64) if whole else array


def _objects(array: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """Python objects of one type; numbers as such."""
    types = set(map(type, array))
    if any(kind.__name__ in _MAY_BE_MISSING for kind in types):
        missing = np.flatnonzero([x is None or not _is_itself(x) for x in array])
        if missing.size:
            raise _missing(name, missing)
    if types and all(issubclass(kind, int | np.integer | np.bool_) for kind in types):
        try:
            return array.astype(np.int64), "number"
        except OverflowError:
            return array, "number"
    if types and all(issubclass(kind, int | float | np.number | np.bool_) for kind in types):
        return _numbers(array.astype(np.float64), name), "number"
    if all(issubclass(kind, str) for kind in types):
        return array, "str"
    if len(types) > 1:
        first = array[0]
        at = next(i for i, x in enumerate(array) if type(x) is not type(first))
        raise TypeError(
            f"{name} must be labels of one type, got {first!r:.40} ({type(first).__name__}) at 0 "
            f"and {array[at]!r:.40} ({type(array[at]).__name__}) at {at}: make them all strings"
        )
    return array, types.pop().__name__


def _is_itself(x: Any) -> bool:
    """False of NaN, NaT and pandas' NA, which equal nothing."""
    try:
        return bool(x == x)
    except TypeError:
        return False


def _missing(name: str, missing: np.ndarray) -> ValueError:
    return ValueError(
        f"{name} must be labels, got {missing.size} missing one(s) (None, NaN), the first at "
        f"{missing[0]}: leave their entries out"
    )


def _bits(size: int) -> int:
    """Of a table at most half of which is taken."""
    return max(_FIRST_BITS // 2, int(2 * size).bit_length())


def _table(values: np.ndarray, bits: int) -> np.ndarray:
    """Places of values, by hash; -1 where a slot is free."""
    table = np.full(1 << bits, -1, np.int32)
    _fill(values, table)
    return table


@compiled(fastmath=False)
def _slot(key, table, values):  # type: ignore[no-untyped-def]
    """The slot of a key: that where it is, or the free one where it belongs."""
    mask = np.uint64(table.size - 1)
    mixed = (np.uint64(key) ^ (np.uint64(key) >> _S32)) * _GOLDEN
    at = (mixed ^ (mixed >> _S32)) & mask
    while table[at] >= 0 and values[table[at]] != key:
        at = (at + np.uint64(1)) & mask
    return at


@compiled(fastmath=False)
def _fill(values, table):  # type: ignore[no-untyped-def]
    """Put distinct values into an empty table."""
    for i in range(values.size):
        table[_slot(values[i], table, values)] = i


@compiled(fastmath=False)
def _insert(keys, first, table, distinct, count, codes):  # type: ignore[no-untyped-def]
    """Codes of keys from ``first`` on, new ones added, until half of the table is taken.

    Returns
    -------
    at, count : int
        The first key that has no code yet, and the number of distinct ones.
    """
    for e in range(first, keys.size):
        at = _slot(keys[e], table, distinct)
        if table[at] < 0:
            if count == distinct.size:
                return e, count
            table[at] = count
            distinct[count] = keys[e]
            count += 1
        codes[e] = table[at]
    return keys.size, count


@compiled(fastmath=False)
def _find(keys, table, values, codes):  # type: ignore[no-untyped-def]
    """Codes of keys, -1 for those that are not there."""
    for e in range(keys.size):
        codes[e] = table[_slot(keys[e], table, values)]

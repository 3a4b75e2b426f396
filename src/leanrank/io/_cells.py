"""Columns of long lists, piece by piece: numbers out of them, and labels turned into codes."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from itertools import compress, repeat
from typing import Any, Protocol

import numpy as np

from leanrank.io._sheets import Column, Notation

__all__ = ["ArrayCells", "ArrowCells", "Cells", "Codes", "TextCells", "whole_number"]

_NEW = -2
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")


def whole_number(text: str) -> int | None:
    """The number that a text is the only way to write ("7", but not "007"); None if none."""
    return int(text) if _WHOLE.fullmatch(text) else None


class Codes:
    """Labels by numbers from 0, in the order in which they are first met.

    Labels are text or whole numbers, all of a kind; an empty one has the code -1.
    """

    def __init__(self) -> None:
        self._codes: dict[Hashable, int] = {"": -1, None: -1}
        self._labels: list[Hashable] = []

    def __len__(self) -> int:
        return len(self._labels)

    def of(self, cells: Sequence[Hashable]) -> np.ndarray:
        """The codes of some labels, shape (n,); those that are new are taken up."""
        known = self._codes
        codes = np.fromiter(map(known.get, cells, repeat(_NEW)), np.int32, len(cells))
        new = np.flatnonzero(codes == _NEW)
        if new.size:
            fresh = [cells[k] for k in new.tolist()]
            for cell in dict.fromkeys(fresh):
                known[cell] = self._code_of(cell.strip() if isinstance(cell, str) else cell)
            codes[new] = np.fromiter(map(known.__getitem__, fresh), np.int32, new.size)
        return codes

    def _code_of(self, label: Hashable) -> int:
        if label not in self._codes:
            self._codes[label] = len(self._labels)
            self._labels.append(label)
        return self._codes[label]

    def labels(self, text: bool) -> np.ndarray:
        """Each label, shape (n,): int64, or str in an array of objects.

        Parameters
        ----------
        text : bool
            Labels come out of a text file: they are whole numbers if all are written as such.

        Raises
        ------
        TypeError
            If they are of several kinds, or of another.
        """
        labels: list[Any] = self._labels
        kinds = {type(label) for label in labels}
        if len(kinds) > 1:
            shown = [next(x for x in labels if type(x) is kind) for kind in kinds]
            told = " and ".join(sorted(f"{x!r} ({type(x).__name__})" for x in shown[:2]))
            raise TypeError(f"labels are of several kinds, such as {told}; make them all text")
        if text and all(map(_WHOLE.fullmatch, labels)):
            labels, kinds = [int(label) for label in labels], {int}
        if kinds <= {int}:
            return np.array(labels, dtype=np.int64)
        if kinds != {str}:
            raise TypeError(
                f"labels are {kinds.pop().__name__}, such as {labels[0]!r}; expected whole numbers "
                "or text"
            )
        out = np.empty(len(labels), dtype=object)
        out[:] = labels
        return out


class Cells(Protocol):
    """A piece of a column.

    ``values`` are its numbers: NaN where one is missing, infinite where there is none that counts.
    """

    @property
    def values(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def only(self, kept: np.ndarray) -> Cells:
        """The cells that are flagged."""

    def codes(self, codes: Codes) -> np.ndarray:
        """The codes of all cells, as labels."""

    def shown(self, k: int) -> str:
        """Cell k, for a message."""

    def hint(self, k: int) -> str:
        """How cell k may be meant, for a message."""


class TextCells(Column):
    """Of a text file."""

    def __len__(self) -> int:
        return len(self.cells)

    def only(self, kept: np.ndarray) -> TextCells:
        return TextCells(list(compress(self.cells, kept)), self.notation)

    def codes(self, codes: Codes) -> np.ndarray:
        return codes.of(self.cells)


class ArrayCells:
    """Of arrays and data frames.

    Parameters
    ----------
    array : ndarray, shape (n,)
    empty : ndarray of bool, shape (n,)
        Where there is nothing, whatever the array has in its place.
    nan_is_missing : bool
        NaN stands for nothing, too.
    """

    def __init__(self, array: np.ndarray, empty: np.ndarray, nan_is_missing: bool = False) -> None:
        self._array, self._empty, self._nan_is_missing = array, empty, nan_is_missing

    def __len__(self) -> int:
        return int(self._array.size)

    @property
    def values(self) -> np.ndarray:
        if self._array.dtype.kind not in "iufb":
            numbers = [Notation().number(str(x)) for x in self._array.tolist()]
            values = np.array([np.inf if x is None else x for x in numbers], dtype=float)
        else:
            values = self._array.astype(float)
        if not self._nan_is_missing:
            values[np.isnan(values)] = np.inf
        values[self._empty] = np.nan
        return values

    def only(self, kept: np.ndarray) -> ArrayCells:
        return ArrayCells(self._array[kept], self._empty[kept], self._nan_is_missing)

    def codes(self, codes: Codes) -> np.ndarray:
        array = self._array
        if array.dtype.kind == "f":
            whole = np.isfinite(array) & (array == np.floor(array)) & (np.abs(array) < 2**53)
            if np.all(whole | self._empty | np.isnan(array)):
                array = np.where(whole, array, 0.0).astype(np.int64)
                return np.where(whole & ~self._empty, self._of_each(array, codes), -1)
        return np.where(self._empty, -1, self._of_each(array, codes))

    def _of_each(self, array: np.ndarray, codes: Codes) -> np.ndarray:
        if array.dtype.kind in "iu":
            distinct, places = np.unique(array, return_inverse=True)
            return codes.of(distinct.tolist())[places]
        if array.dtype.kind == "M":
            array = np.datetime_as_string(array)
        return codes.of(array.tolist())

    def shown(self, k: int) -> str:
        return str(self._array[k])

    def hint(self, k: int) -> str:
        return _nan_hint(self.shown(k))


class ArrowCells:
    """Of Parquet and Arrow files, and of tables of PyArrow; other parameters as of arrays."""

    def __init__(self, array: Any, nan_is_missing: bool = False) -> None:
        self._array, self._nan_is_missing = array, nan_is_missing

    def __len__(self) -> int:
        return len(self._array)

    @property
    def values(self) -> np.ndarray:
        return self._as_array().values

    def _as_array(self) -> ArrayCells:
        empty = self._array.is_null().to_numpy(zero_copy_only=False)
        array = self._array.to_numpy(zero_copy_only=False)
        return ArrayCells(array, np.asarray(empty, dtype=bool), self._nan_is_missing)

    def only(self, kept: np.ndarray) -> ArrowCells:
        return ArrowCells(self._array.filter(kept), self._nan_is_missing)

    def codes(self, codes: Codes) -> np.ndarray:
        kind = str(self._array.type)
        if kind.startswith("dictionary"):
            distinct, places = self._array.dictionary, self._array.indices
        elif kind in ("string", "large_string", "string_view") or "int" in kind:
            encoded = self._array.dictionary_encode()
            distinct, places = encoded.dictionary, encoded.indices
        elif kind.startswith(("date", "timestamp", "time")):
            return ArrowCells(self._array.cast("string")).codes(codes)
        else:
            return self._as_array().codes(codes)
        place = places.fill_null(-1).to_numpy(zero_copy_only=False)
        # Last, so that a null, whose place is -1, finds it.
        return np.append(codes.of(distinct.to_pylist()), np.int32(-1))[place]

    def shown(self, k: int) -> str:
        return str(self._array[k])

    def hint(self, k: int) -> str:
        return _nan_hint(self.shown(k))


def _nan_hint(shown: str) -> str:
    return "; missing=[float('nan')] takes it for none (--missing nan)" if shown == "nan" else ""

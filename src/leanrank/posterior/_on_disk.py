"""Observed entries on disk, of which a block or two are in memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from leanrank._files import FileError, PathLike, reading
from leanrank._npz import array_header, read_arrays
from leanrank.posterior import _ordering
from leanrank.posterior._entries import NOTHING, Block, Blocks, ByColumn, ranges

__all__ = ["EntriesOnDisk"]

_FILES = {"cols": np.int32, "values": np.float32, "weights": np.float32}


@dataclass(frozen=True)
class EntriesOnDisk(Blocks):
    """Observed entries in the files of a folder, row after row.

    They are read in order, the next block while one is at work, so that memory holds the beginnings
    of rows and two blocks. A sweep comes to the same, bit by bit, as over :class:`Entries` in
    single precision.

    Attributes
    ----------
    folder : Path
        With ``cols.npy`` (int32), ``values.npy`` (float32), and ``weights.npy`` (float32) where
        there are weights; in order of rows.
    indptr : ndarray of int64, shape (n1 + 1,)
        Where the entries of each row begin and end, from ``indptr.npy``.
    shape : tuple of int
    weighted : bool
    omitted : ndarray of int64
    """

    folder: Path
    indptr: np.ndarray
    shape: tuple[int, int]
    weighted: bool = False
    omitted: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def open(cls, folder: PathLike, columns: int) -> EntriesOnDisk:
        """The entries in a folder.

        Parameters
        ----------
        folder : path
        columns : int
            Of the matrix; it has as many rows as ``indptr.npy`` tells.

        Raises
        ------
        FileError
            If a file is missing, damaged or cut short, or does not fit the others.
        """
        place = Path(folder)
        indptr = read_arrays(place / "indptr.npy")[""].astype(np.int64, copy=False)
        if indptr.ndim != 1 or not indptr.size or indptr[0] != 0 or (np.diff(indptr) < 0).any():
            raise FileError(f"{place / 'indptr.npy'}: must begin with 0 and never fall")
        weighted = (place / "weights.npy").exists()
        found = cls(place, indptr, (indptr.size - 1, columns), weighted)
        for name in found._names:
            header = array_header(place / f"{name}.npy")
            if header.shape != (found.stored,) or header.dtype != _FILES[name]:
                raise FileError(
                    f"{place / name}.npy: holds {header}, expected {np.dtype(_FILES[name])} of "
                    f"shape ({found.stored},)"
                )
        return found

    @property
    def stored(self) -> int:
        return int(self.indptr[-1])

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32)

    @property
    def _names(self) -> list[str]:
        return [name for name in _FILES if name != "weights" or self.weighted]

    def _read(self) -> Iterator[Block]:
        with ExitStack() as stack, ThreadPoolExecutor(1) as ahead:
            files = {}
            for name in self._names:
                path = self.folder / f"{name}.npy"
                files[name] = stack.enter_context(reading(path))
                files[name].seek(array_header(path).start)
            waiting = None
            for first, last in ranges(self.indptr, self.shape[1]):
                job = ahead.submit(self._block, files, first, last)
                if waiting is not None:
                    yield waiting.result()
                waiting = job
            if waiting is not None:
                yield waiting.result()

    def _block(self, files: dict[str, IO[bytes]], first: int, last: int) -> Block:
        """The next block, once those before have been read."""
        start = int(self.indptr[first])
        indptr = (self.indptr[first : last + 1] - start).astype(np.int32)
        arrays = {name: self._values(file, name, int(indptr[-1])) for name, file in files.items()}
        cols, y = arrays["cols"], arrays["values"]
        if cols.size and not (cols.min() >= 0 and cols.max() < self.shape[1]):
            raise FileError(
                f"{self.folder / 'cols.npy'}: columns must lie in [0, {self.shape[1]}), got "
                f"{cols.min()} to {cols.max()}"
            )
        by_column = ByColumn(*_ordering.by_column(indptr, cols, self.shape[1]))
        weights = arrays.get("weights", y[:0])
        return Block(first, start, indptr, cols, y, weights, NOTHING, by_column)

    def _values(self, file: IO[bytes], name: str, size: int) -> np.ndarray:
        out = np.empty(size, _FILES[name])
        if file.readinto(out.data) != out.nbytes:  # type: ignore[attr-defined]
            raise FileError(f"{self.folder / name}.npy: ends before its last value")
        return out

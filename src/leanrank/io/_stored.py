"""Entries that are more than memory: sorted on disk, row after row.

Entries are dealt out to files by their rows, so that all of a row are in one, and each file is
sorted in memory. So every entry is written twice and read once in between, whatever their number.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from leanrank._files import FileError, PathLike, naming
from leanrank._npz import read_arrays
from leanrank.io._opened import open_source
from leanrank.io._reading import Piece, Reading

__all__ = ["StoredEntries", "open_stored", "stored_entries"]

_PARTS = 256
"""Files that entries are dealt out to: a part of four milliards of entries is 16 millions."""
_ENTRIES = 1 << 18
"""Dealt out at once."""
_BYTES = 64
"""Of memory for each entry of a part that is sorted."""
_RECORD = np.dtype([("row", "<i4"), ("col", "<i4"), ("value", "<f4"), ("weight", "<f4")])
_ABOUT = "entries.json"
_VERSION = 1


@dataclass(frozen=True, eq=False)
class StoredEntries:
    """Entries of a matrix in a folder, row after row, and in each row by columns; each once.

    Attributes
    ----------
    folder : Path
    indptr : ndarray of int64, shape (n1 + 1,)
        Where the entries of each row begin and end (``indptr.npy``).
    cols : ndarray of int32, shape (m,), on disk
        ``cols.npy``.
    values : ndarray of float32, shape (m,), on disk
        ``values.npy``.
    weights : ndarray of float32, shape (m,), on disk, or None
        ``weights.npy``, where they are not all one: inverse variances, and numbers of entries that
        a mean was taken of.
    row_labels, col_labels : ndarray, shape (n1,) and (n2,)
        Each once, in no order: int64 (``row_labels.npy``), or str in an array of objects
        (``row_labels.json``).
    names, ignored, missing, notes
        As of :class:`Ratings`.
    """

    folder: Path
    indptr: np.ndarray
    cols: np.ndarray
    values: np.ndarray
    weights: np.ndarray | None
    row_labels: np.ndarray
    col_labels: np.ndarray
    names: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    missing: int = 0
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns that have entries."""
        return self.row_labels.size, self.col_labels.size


def stored_entries(
    source: Any,
    folder: PathLike,
    columns: Sequence[str | int] | None = None,
    weight: str | int | None = None,
    *,
    memory_limit: int | None = None,
    duplicates: Literal["mean", "error"] = "mean",
    watch: Callable[[int], object] = lambda entries: None,
    **options: Any,
) -> StoredEntries:
    """Sort a list of entries on disk by their rows, and open what comes out.

    Takes 16 bytes an entry while it sorts, beside what it leaves: 8, or 12 with weights. Memory is
    that of the labels, of a piece of the source, and of one part of 256 of the entries.

    Parameters
    ----------
    source, columns, weight
        As of :func:`read_ratings`.
    folder : path
        Is made, whole or not at all; may be there if it is empty. Work is done in a folder beside
        it, which is gone at the end, also after an error or Ctrl-C.
    memory_limit : int, optional
        Bytes that the sorting of a part may take.
    duplicates : {"mean", "error"}
        A pair that is there several times counts with the mean of its values, by weight, and with
        the sum of their weights; or is refused.
    watch : callable
        Called now and then with the number of entries that have been read.
    **options
        Further ones of :func:`read_ratings`.

    Returns
    -------
    StoredEntries
        Values in single precision.

    Raises
    ------
    FileError
        As :func:`read_ratings`, and if the folder is there and not empty, or cannot be written, as
        when the disk is full.
    TypeError, ValueError
        As :func:`read_ratings`, and if a limit does not suffice, or pairs are repeated that are not
        to be.
    """
    if duplicates not in ("mean", "error"):
        raise ValueError(f'duplicates must be "mean" or "error", got {duplicates!r}')
    missing = options.get("missing", ())
    with open_source(source, **options) as opened, _made(folder) as made:
        reading = Reading(opened, columns, weight, missing)
        counts = _dealt_out(reading, made, watch)
        if not counts.any():
            raise FileError(f"{opened}: has no entry at all")
        needed = _BYTES * int(counts.max())
        if memory_limit is not None and needed > memory_limit:
            raise ValueError(
                f"memory_limit must be at least {needed} bytes to sort {counts.sum()} entries, got "
                f"{memory_limit}"
            )
        order = np.concatenate([np.arange(b, len(reading.codes[0]), _PARTS) for b in range(_PARTS)])
        row_labels, col_labels = reading.labels(0)[order], reading.labels(1)
        again = _sorted(made, row_labels.size)
        notes = reading.notes()
        if again:
            notes += (f"{again} entries repeat a pair; the mean of the values of each counts",)
        if again and duplicates == "error":
            raise ValueError(f"{opened}: {again} entries repeat a pair of row and column")
        _keep_labels(made, "row_labels", row_labels)
        _keep_labels(made, "col_labels", col_labels)
        about = {
            "version": _VERSION,
            "names": reading.names,
            "ignored": reading.ignored,
            "missing": reading.missing,
            "notes": notes,
        }
        (made / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
    return open_stored(folder)


def open_stored(folder: PathLike) -> StoredEntries:
    """Entries that :func:`stored_entries` left in a folder.

    Raises
    ------
    FileError
        If they are not there, or not whole.
    """
    place = Path(folder)
    with naming(folder, "read"):
        try:
            return _opened(place)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError):
            raise FileError(f"{folder}: is no folder of stored_entries, or damaged") from None


def _opened(folder: Path) -> StoredEntries:
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    if about["version"] != _VERSION:
        raise FileError(f"{folder}: was written by another version of leanrank")
    weights = folder / "weights.npy"
    return StoredEntries(
        folder,
        read_arrays(folder / "indptr.npy")[""],
        _mapped(folder / "cols.npy"),
        _mapped(folder / "values.npy"),
        _mapped(weights) if weights.exists() else None,
        _kept_labels(folder, "row_labels"),
        _kept_labels(folder, "col_labels"),
        tuple(about["names"]),
        tuple(about["ignored"]),
        about["missing"],
        tuple(about["notes"]),
    )


@contextmanager
def _made(folder: PathLike) -> Iterator[Path]:
    """A folder to write to, that takes the place of ``folder`` once it is complete."""
    target = Path(folder)
    work = target.with_name(f".{secrets.token_hex(8)}.tmp")
    with naming(folder, "written"):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise FileError(f"{folder}: is there, and not an empty folder; choose another name")
        try:
            work.mkdir()
            yield work
            work.replace(target)
        finally:
            with suppress(OSError):
                shutil.rmtree(work)


def _part(folder: Path, k: int) -> Path:
    return folder / f"part-{k}"


def _dealt_out(reading: Reading, folder: Path, watch: Callable[[int], object]) -> np.ndarray:
    """Write each entry to the file of its row; the number of entries of each file."""
    counts = np.zeros(_PARTS, np.int64)
    with ExitStack() as stack:
        files = [stack.enter_context(_part(folder, k).open("wb")) for k in range(_PARTS)]
        for records in _records(reading):
            part = (records["row"] % _PARTS).astype(np.uint8)
            records = records[np.argsort(part, kind="stable")]
            here = np.bincount(part, minlength=_PARTS)
            ends = np.cumsum(here)
            for file, start, end in zip(files, ends - here, ends, strict=True):
                file.write(records[start:end].data)
            counts += here
            watch(int(counts.sum()))
    return counts


def _records(reading: Reading) -> Iterator[np.ndarray]:
    """Entries, many at a time."""
    waiting: list[Piece] = []
    for piece in reading:
        waiting.append(piece)
        if sum(p.rows.size for p in waiting) >= _ENTRIES:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(pieces: list[Piece]) -> np.ndarray:
    records = np.ones(sum(piece.rows.size for piece in pieces), _RECORD)
    start = 0
    for piece in pieces:
        part = records[start : start + piece.rows.size]
        start += piece.rows.size
        with np.errstate(over="ignore"):
            for name, array in zip(_RECORD.names or (), piece.arrays, strict=False):
                part[name] = array
    if not np.isfinite(records["value"]).all():
        raise FileError("values are beyond single precision, which stored entries have")
    return records


def _sorted(folder: Path, n: int) -> int:
    """Sort the files and put them behind one another; the number of repeated pairs."""
    counts, again, weighted = [], 0, False
    with (
        _array(folder / "cols.npy", np.int32) as cols,
        _array(folder / "values.npy", np.float32) as values,
        _array(folder / "weights.npy", np.float32) as weights,
    ):
        for k in range(_PARTS):
            part = _part(folder, k)
            records = np.fromfile(part, _RECORD)
            part.unlink()
            kept = _merged(records)
            again += records.size - kept.size
            weighted |= bool((kept["weight"] != 1.0).any())
            for file, name in ((cols, "col"), (values, "value"), (weights, "weight")):
                file.write(np.ascontiguousarray(kept[name]).data)
            rows = len(range(k, n, _PARTS))
            counts.append(np.bincount(kept["row"] // _PARTS, minlength=rows))
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    np.save(folder / "indptr.npy", indptr.astype(np.int64))
    if not weighted:
        (folder / "weights.npy").unlink()
    return again


def _merged(records: np.ndarray) -> np.ndarray:
    """In order, and those of one pair by their mean."""
    key = records["row"].astype(np.int64) << 32 | records["col"]
    order = np.argsort(key, kind="stable")
    records, key = records[order], key[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    if first.size == key.size:
        return records
    kept, weights = records[first], records["weight"].astype(float)
    total = np.add.reduceat(weights, first)
    kept["value"] = np.add.reduceat(weights * records["value"], first) / total
    kept["weight"] = total
    return kept


@contextmanager
def _array(path: Path, dtype: type) -> Iterator[IO[bytes]]:
    """A file of NumPy to write the values of an array to, until they are all there."""
    with path.open("wb") as file:
        _write_header(file, dtype, 0)
        start = file.tell()
        yield file
        size = (file.tell() - start) // np.dtype(dtype).itemsize
        file.seek(0)
        _write_header(file, dtype, size)
        if file.tell() != start:
            raise AssertionError("the header of an array has grown")


def _write_header(file: IO[bytes], dtype: type, size: int) -> None:
    header = np.lib.format.header_data_from_array_1_0(np.empty(0, dtype))
    np.lib.format.write_array_header_1_0(file, header | {"shape": (size,)})


def _mapped(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise FileError(f"{path}: is cut short or damaged ({error})") from None


def _keep_labels(folder: Path, name: str, labels: np.ndarray) -> None:
    if labels.dtype == np.int64:
        np.save(folder / f"{name}.npy", labels)
    else:
        text = json.dumps(labels.tolist(), ensure_ascii=False)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")


def _kept_labels(folder: Path, name: str) -> np.ndarray:
    path = folder / f"{name}.npy"
    if path.exists():
        return read_arrays(path)[""]
    labels = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return np.fromiter(labels, object, len(labels))

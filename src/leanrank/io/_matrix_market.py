"""Matrix Market files (https://math.nist.gov/MatrixMarket/formats.html), read and written.

An own reader, since a file of SciPy's reader's may end the whole process, and what it returns
depends on SciPy's version.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO

import numpy as np

from leanrank._files import FileError, PathLike, check_fits_memory, reading, replacing

__all__ = ["read_matrix_market", "write_matrix_market"]

_LONGEST_LINE = 4096
_FORMS = {"coordinate": 3, "array": 2}
"""Numbers on the line of sizes, by form."""
_NUMBERS = ("real", "double", "integer", "unsigned-integer")
_SYMMETRIES = ("general", "symmetric", "skew-symmetric")


@dataclass(frozen=True)
class _Header:
    form: str
    symmetry: str
    shape: tuple[int, int]
    lines: int
    """Number of lines with entries."""


def read_matrix_market(
    path: PathLike,
) -> tuple[tuple[int, int], np.ndarray, np.ndarray, np.ndarray]:
    """Shape, rows, columns and values of the entries that a file gives; NaN is none.

    Raises
    ------
    FileError
        If it is damaged, or holds a pattern or complex numbers.
    """
    with reading(path, "r", encoding="latin-1") as file:
        header = _read_header(file, path)
        columns = 3 if header.form == "coordinate" else 1
        start = file.tell()
        size = file.seek(0, 2)
        file.seek(start)
        # Each number takes a digit and a space, or the end of the line.
        if 2 * columns * header.lines > size - start + 1:
            raise FileError(
                f"{path}: its header claims {header.lines} entries of a {header.shape[0]} x "
                f"{header.shape[1]} matrix, but the file has only {size} bytes; it is truncated"
            )
        check_fits_memory(path, 8 * columns * header.lines)
        body = _read_numbers(file, header.lines, columns, path)
    if header.form == "coordinate":
        rows, cols = (_index(body[:, k], header.shape[k], k, path) for k in (0, 1))
        values = body[:, 2]
    else:
        cols, rows = _below(header) if header.symmetry != "general" else _everywhere(header.shape)
        values = body[:, 0]
    present = ~np.isnan(values)
    rows, cols, values = rows[present], cols[present], values[present]
    if header.symmetry != "general":
        mirrored = rows != cols
        sign = -1.0 if header.symmetry == "skew-symmetric" else 1.0
        rows, cols, values = (
            np.concatenate([rows, cols[mirrored]]),
            np.concatenate([cols, rows[mirrored]]),
            np.concatenate([values, sign * values[mirrored]]),
        )
    return header.shape, rows, cols, values


def _read_header(file: IO[str], path: PathLike) -> _Header:
    words = file.readline(_LONGEST_LINE).lower().split()
    if len(words) != 5 or words[:2] != ["%%matrixmarket", "matrix"] or words[2] not in _FORMS:
        raise FileError(
            f"{path}, line 1: not a readable Matrix Market file, expected "
            "'%%MatrixMarket matrix coordinate real general' or its like"
        )
    form, numbers, symmetry = words[2:]
    if numbers not in _NUMBERS:
        raise FileError(f"{path}, line 1: expected real or integer values, got '{numbers}'")
    if symmetry not in _SYMMETRIES:
        raise FileError(f"{path}, line 1: expected {', '.join(_SYMMETRIES)}, got '{symmetry[:40]}'")
    number, line = 1, ""
    while not line.strip() or line.startswith("%"):
        line, number = file.readline(), number + 1
        if not line:
            raise FileError(f"{path}: ends before its sizes; it is truncated")
    sizes = line.split()
    if len(sizes) != _FORMS[form] or not all(s.isascii() and s.isdigit() for s in sizes):
        wanted = "rows, columns, entries" if form == "coordinate" else "rows, columns"
        raise FileError(f"{path}, line {number}: expected {wanted}, got '{line.strip()[:40]}'")
    if any(len(s) > 18 for s in sizes):
        raise FileError(f"{path}, line {number}: not a readable Matrix Market file, too large")
    n1, n2, *count = (int(s) for s in sizes)
    if min(n1, n2) < 1:
        raise FileError(f"{path}, line {number}: the matrix is empty, of shape ({n1}, {n2})")
    if symmetry != "general" and n1 != n2:
        raise FileError(f"{path}, line {number}: a {symmetry} matrix is square, got {n1} x {n2}")
    lines = count[0] if count else n1 * n2
    if not count and symmetry != "general":
        lines = n1 * (n1 + (1 if symmetry == "symmetric" else -1)) // 2
    return _Header(form, symmetry, (n1, n2), lines)


def _read_numbers(file: IO[str], lines: int, columns: int, path: PathLike) -> np.ndarray:
    """The numbers below the sizes, shape (lines, columns)."""
    entries = (line for line in file if line.strip() and not line.startswith("%"))
    first = next(entries, None)
    if first is None:
        body = np.empty((0, columns))
    else:
        try:
            body = np.loadtxt(chain([first], islice(entries, lines)), comments=None, ndmin=2)
        except ValueError:
            raise _culprit(file, columns, path) from None
    if body.shape != (lines, columns):
        more = f"more than {lines}" if body.shape[0] > lines else f"{body.shape[0]}"
        raise FileError(
            f"{path}: its header claims {lines} lines of {columns} numbers, but there are "
            f"{more} of {body.shape[1]}; it is truncated or damaged"
        )
    return body


def _culprit(file: IO[str], columns: int, path: PathLike) -> FileError:
    """The first line that is no entry."""
    file.seek(0)
    sizes_seen = False
    for number, line in enumerate(file, 1):
        if line.startswith("%") or not line.strip():
            continue
        if sizes_seen and not _are_numbers(line.split(), columns):
            return FileError(
                f"{path}, line {number}: not a readable Matrix Market file, expected {columns} "
                f"number{'s' if columns > 1 else ''}, got '{line.strip()[:40]}'"
            )
        sizes_seen = True
    return FileError(f"{path}: not a readable Matrix Market file")


def _are_numbers(words: list[str], count: int) -> bool:
    with suppress(ValueError):
        return len([float(word) for word in words]) == count
    return False


def _index(given: np.ndarray, n: int, axis: int, path: PathLike) -> np.ndarray:
    """Positions counted from 0."""
    bad = np.flatnonzero(~((given >= 1) & (given <= n) & (given == np.floor(given))))
    if bad.size:
        name = ("row", "column")[axis]
        raise FileError(
            f"{path}: not a readable Matrix Market file (entry {bad[0] + 1} has {name} "
            f"{given[bad[0]]:g}, expected a whole number from 1 to {n})"
        )
    return given.astype(np.int64) - 1


def _everywhere(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of all entries, in the order of an array file."""
    n1, n2 = shape
    cols, rows = np.divmod(np.arange(n1 * n2), n1)
    return cols, rows


def _below(header: _Header) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows on and below the diagonal; without it where it is zero for certain."""
    return np.triu_indices(header.shape[0], k=0 if header.symmetry == "symmetric" else 1)


def write_matrix_market(path: PathLike, X: np.ndarray) -> None:
    """Write a matrix as an array file, with all the digits of its numbers."""
    with replacing(path, "w") as file:
        file.write(f"%%MatrixMarket matrix array real general\n{X.shape[0]} {X.shape[1]}\n")
        for column in X.T:
            file.writelines(f"{value}\n" for value in column.tolist())

"""Matrices with missing entries: what is read, what is written, in which format."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from leanrank._files import FileError, PathLike, check_fits_memory, is_stream, replacing
from leanrank._npz import ArrayHeader, Headers, read_arrays, write_array, write_arrays
from leanrank.io._incomplete import IncompleteMatrix, empty_notes, outlier_notes
from leanrank.io._layouts import TextOptions, read_table
from leanrank.io._matrix_market import read_matrix_market, write_matrix_market
from leanrank.io._opening import TEXT, plain_suffix
from leanrank.io._problems import check_extent
from leanrank.io._tables import Table, write_table

__all__ = ["check_dense", "check_matrix_format", "read_binary", "read_matrix", "write_matrix"]

_SUFFIXES = (".csv", ".npy", ".npz", ".mtx")
_TRIPLETS = ("rows", "cols", "y", "shape")
_MOST_ENTRIES = 1 << 31
"""Completed matrices are dense: beyond this, only their factors are of use."""


def read_matrix(
    path: PathLike,
    *,
    layout: Literal["auto", "wide", "long"] = "auto",
    header: bool | None = None,
    columns: Sequence[str | int] | None = None,
    id_columns: Sequence[str | int] | None = None,
    missing: Sequence[str | float] = (),
    decimal: str | None = None,
    delimiter: str | None = None,
) -> IncompleteMatrix:
    r"""Read a matrix with missing entries.

    ==========  ===================================================================================
    ``.csv``    *wide*: a table with empty cells (or NA, NaN, null, None), with or without a header
                and row labels; columns of text are passed through. *long*: row, column, value on
                each line, rows and columns named by labels or integers. Separated by commas,
                semicolons, tabs or bars.
    ``.npy``    Two-dimensional, NaN where missing.
    ``.npz``    One such array; or rows, cols (counted from 0), y and shape.
    ``.mtx``    Matrix Market: the entries of a coordinate file are the observed ones; in an array
                file NaN is missing.
    ==========  ===================================================================================

    An entry that is given several times counts with the mean of its values, and a note says so.

    Parameters
    ----------
    path : path
    layout : {"auto", "wide", "long"}
        Of a ``.csv``. By default long where the names of columns say so (user, item, rating and
        their like, in any order), or where there are three columns of which two name each pair
        of row and column about once, and enough of them.
    header : bool, optional
        Whether the first line of a ``.csv`` is a header. By default found out: it is one if it has
        text where the lines below have numbers, or counts, as years do, above decimals.
    columns : sequence of three str or int, optional
        Of a long ``.csv``: where row, column and value stand, by name or by number from 1.
    id_columns : sequence of str or int, optional
        Of a wide ``.csv``: columns that are labels, or anything else that is no part of the matrix;
        0 for none. By default columns of text, and a first column that is called id or counts.
    missing : sequence of str or float
        Further cells, or numbers in any format, that stand for a missing entry, such as -999.
    decimal : {".", ","}, optional
        Of a ``.csv``. By default a comma where cells are not separated by commas and no number has
        a point.
    delimiter : str, optional
        What separates the cells of a ``.csv``. By default found out.

    Raises
    ------
    FileError
        If the file is missing, damaged, of another format, has text or infinite numbers where
        numbers are expected, lines of different lengths, no observed entry at all, or fewer than
        any matrix of rank one needs. The text names file, line and column.
    ValueError
        If options are not among those above, or contradict one another.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "table.csv"
    >>> size = path.write_text("site,mon,tue\nA,1,2\nB,3,\n")
    >>> matrix = read_matrix(path)
    >>> matrix.shape, matrix.missing, matrix.table.row_labels
    ((2, 2), 1, ('A', 'B'))
    """
    if plain_suffix(path) in TEXT:
        words = frozenset(str(word).strip() for word in missing)
        options = TextOptions(layout, header, columns, id_columns, words, decimal, delimiter)
        table, shape, rows, cols, values, notes = read_table(path, options)
        listed = table.layout == "long"
        matrix = IncompleteMatrix(shape, rows, cols, values, table, notes, listed)
    else:
        matrix = read_binary(path)
    matrix = _merged(_without(matrix, missing))
    if matrix.values.size == 0:
        raise FileError(f"{path}: every entry is missing, nothing can be recovered")
    bad = np.flatnonzero(~np.isfinite(matrix.values))
    if bad.size:
        i, j, value = (a[bad[0]] for a in (matrix.rows, matrix.cols, matrix.values))
        raise FileError(
            f"{path}: the entry in row {i}, column {j} (counted from 0) is {value}, expected a "
            "finite number"
        )
    check_extent(path, *matrix.shape, matrix.values.size)
    return replace(matrix, notes=(*matrix.notes, *empty_notes(matrix), *outlier_notes(matrix)))


def read_binary(path: PathLike) -> IncompleteMatrix:
    """The entries of a file of arrays or of Matrix Market, in the order in which they came."""
    suffix = Path(path).suffix.lower()
    if suffix in (".npy", ".npz"):
        arrays = read_arrays(path, lambda headers: _check_headers(headers, path))
        return _from_arrays(arrays, path)
    if suffix == ".mtx":
        return IncompleteMatrix(*read_matrix_market(path), listed=True)
    raise FileError(
        f"{path}: unknown format '{suffix}', expected a name that ends in "
        + ", ".join((*TEXT, *_SUFFIXES[1:]))
    )


def _without(matrix: IncompleteMatrix, missing: Sequence[str | float]) -> IncompleteMatrix:
    """Without the entries whose value stands for a missing one."""
    numbers = []
    for word in missing:
        with suppress(ValueError):
            numbers.append(float(word))
    kept = ~np.isin(matrix.values, np.array(numbers, dtype=matrix.values.dtype))
    rows, cols, values = (a[kept] for a in (matrix.rows, matrix.cols, matrix.values))
    return replace(matrix, rows=rows, cols=cols, values=values)


def _merged(matrix: IncompleteMatrix) -> IncompleteMatrix:
    """Entries row after row, repeated ones replaced by their mean."""
    flat = matrix.rows.astype(np.int64) * matrix.shape[1] + matrix.cols
    unique, inverse, counts = np.unique(flat, return_inverse=True, return_counts=True)
    rows, cols = np.divmod(unique, matrix.shape[1])
    sums = np.bincount(inverse, weights=matrix.values, minlength=unique.size)
    values = (sums / counts).astype(matrix.values.dtype)
    notes = matrix.notes
    repeated = int((counts > 1).sum())
    if repeated:
        notes += (f"{repeated} entries are given more than once; the mean of their values counts",)
    return replace(matrix, rows=rows, cols=cols, values=values, notes=notes)


def _check_dense(header: ArrayHeader, path: PathLike) -> None:
    if header.ndim != 2:
        raise FileError(f"{path}: expected a matrix with two dimensions, got shape {header.shape}")
    if header.dtype.kind not in "biuf":
        raise FileError(f"{path}: expected real numbers, got {header.dtype}")
    if 0 in header.shape:
        raise FileError(f"{path}: is empty, of shape {header.shape}")


def _from_dense(X: np.ndarray) -> IncompleteMatrix:
    X = X.astype(np.float32 if X.dtype == np.float32 else np.float64)
    rows, cols = np.nonzero(~np.isnan(X))
    return IncompleteMatrix((X.shape[0], X.shape[1]), rows, cols, X[rows, cols])


def _check_headers(headers: Headers, path: PathLike) -> None:
    """Refuse what is no matrix before its values take memory."""
    if len(headers) == 1:
        _check_dense(next(iter(headers.values())), path)
        return
    if set(headers) != set(_TRIPLETS):
        raise FileError(
            f"{path}: expected one array with NaN where entries are missing, or arrays rows, cols, "
            f"y, shape; found {', '.join(sorted(headers)) or 'none'}"
        )
    rows, cols, y, shape = (headers[name] for name in _TRIPLETS)
    whole = all(a.dtype.kind in "iu" for a in (rows, cols, shape)) and y.dtype.kind in "biuf"
    fits = rows.ndim == cols.ndim == y.ndim == 1 and rows.size == cols.size == y.size
    if not (whole and fits and shape.shape == (2,)):
        raise FileError(
            f"{path}: expected integers rows, cols of shape (m,), numbers y of shape (m,) and two "
            f"integers shape; got rows {rows}, cols {cols}, y {y}, shape {shape}"
        )


def _from_arrays(arrays: dict[str, np.ndarray], path: PathLike) -> IncompleteMatrix:
    if len(arrays) == 1:
        return _from_dense(next(iter(arrays.values())))
    rows, cols, y, shape = (arrays[name] for name in _TRIPLETS)
    n1, n2 = (int(n) for n in shape)
    for name, index, n in (("rows", rows, n1), ("cols", cols, n2)):
        outside = np.flatnonzero((index < 0) | (index >= n))
        if outside.size:
            raise FileError(
                f"{path}: array '{name}' must lie in [0, {n}), got {index[outside[0]]} at position "
                f"{outside[0]}"
            )
    y = y.astype(np.float32 if y.dtype == np.float32 else np.float64)
    return IncompleteMatrix((n1, n2), rows.astype(np.int64), cols.astype(np.int64), y, listed=True)


def _suffix(path: PathLike) -> str:
    """The format in which a matrix is written; a pipe or device of any name gets a table."""
    suffix = Path(path).suffix.lower()
    if suffix in _SUFFIXES:
        return suffix
    if is_stream(path):
        return ".csv"
    raise FileError(
        f"{path}: unknown format '{suffix}', expected a name that ends in " + ", ".join(_SUFFIXES)
    )


def check_matrix_format(path: PathLike, shape: Sequence[int] = (1, 1)) -> None:
    """Find out before a long computation whether a completed matrix can be written there.

    Raises
    ------
    FileError
        If the name has an unknown ending, or the matrix is too large to be written densely.
    """
    _suffix(path)
    check_dense(path, shape)


def check_dense(path: PathLike, shape: Sequence[int]) -> None:
    """Find out whether a completed matrix of this shape can be had.

    Raises
    ------
    FileError
        If it has more entries than are of use, or takes more than the memory of this machine.
    """
    if shape[0] * shape[1] > _MOST_ENTRIES:
        raise FileError(
            f"{path}: a completed {shape[0]} x {shape[1]} matrix has more entries than are of use "
            "in a file; write its factors instead"
        )
    check_fits_memory(path, 8 * shape[0] * shape[1])


def write_matrix(path: PathLike, X: np.ndarray, *, table: Table | None = None) -> None:
    """Write a complete matrix, whole or not at all, in the format that the name ends in.

    Parameters
    ----------
    path : path
        ``.csv``, ``.npy``, ``.npz`` (one array X) or ``.mtx``.
    X : ndarray, shape (n1, n2)
    table : Table, optional
        Labels, header and layout of a ``.csv``.

    Raises
    ------
    FileError
        If the format is unknown or the file cannot be written.
    """
    check_matrix_format(path, X.shape)
    suffix = _suffix(path)
    if suffix == ".npz":
        write_arrays(path, {"X": X})
    elif suffix == ".csv":
        with replacing(path, "w") as file:
            write_table(file, X, table)
    elif suffix == ".npy":
        write_array(path, X)
    else:
        write_matrix_market(path, X)

"""Matrices with missing entries: what is read, what is written, in which format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from leanrank._files import FileError, PathLike, check_fits_memory, is_stream, replacing
from leanrank._npz import write_array, write_arrays
from leanrank.io._binary import read_binary
from leanrank.io._incomplete import IncompleteMatrix, empty_notes, outlier_notes
from leanrank.io._layouts import TextOptions, read_table
from leanrank.io._matrix_market import write_matrix_market
from leanrank.io._opened import numbers_of, open_source
from leanrank.io._opening import COLUMNAR, TEXT, from_standard_input, plain_suffix
from leanrank.io._problems import check_extent
from leanrank.io._ratings import Ratings, gathered
from leanrank.io._reading import Reading
from leanrank.io._tables import Table, write_table

__all__ = ["check_dense", "check_matrix_format", "read_matrix", "write_matrix"]

_SUFFIXES = (".csv", ".npy", ".npz", ".mtx")
_MOST_ENTRIES = 1 << 31
"""Completed matrices are dense: beyond this, only their factors are of use."""
_INSTEAD = (
    "ask for some of its cells (--cells), write its factors (--factors), or see `leanrank fit`"
)


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

    ===============  ==============================================================================
    ``.csv``         *wide*: a table with empty cells (or NA, NaN, null, None), with or without a
                     header and row labels; columns of text are passed through. *long*: row, column,
                     value on each line, rows and columns named by labels or integers. Separated by
                     commas, semicolons, tabs, bars, ``::`` or blanks. Also ``.tsv``, ``.dat``,
                     ``.data``, ``.txt``; packed, ``.gz`` or ``.zst``; and ``-``, standard input.
    ``.npy``         Two-dimensional, NaN where missing.
    ``.npz``         One such array; or rows, cols (counted from 0), y and shape.
    ``.mtx``         Matrix Market: the entries of a coordinate file are the observed ones; in an
                     array file NaN is missing.
    ``.parquet``     Long, as :func:`read_ratings` reads them; also ``.arrow`` and ``.feather``.
    ===============  ==============================================================================

    An entry that is given several times counts with the mean of its values, and a note says so.

    Parameters
    ----------
    path : path
    layout : {"auto", "wide", "long"}
        Of a text file. By default long where the names of columns say so (user, item, rating and
        their like, in any order), or where there are three columns of which two name each pair
        of row and column about once, and enough of them.
    header : bool, optional
        Whether the first line of a text file is a header. By default found out: it is one if it has
        text where the lines below have numbers, or counts, as years do, above decimals.
    columns : sequence of three str or int, optional
        Of a long file: where row, column and value stand, by name or by number from 1.
    id_columns : sequence of str or int, optional
        Of a wide text file: columns of numbers that are labels, or anything else that is no part of
        the matrix; 0 for none. By default a first one that is called id or counts. Columns of text
        never are a part of it.
    missing : sequence of str or float
        Further cells, or numbers in any format, that stand for a missing entry, such as -999.
    decimal : {".", ","}, optional
        Of a text file. By default a comma where cells are not separated by commas and no number has
        a point.
    delimiter : str, optional
        What separates the cells of a text file: a character, ``"::"``, or ``"blanks"`` for any
        number of blanks and tabs. By default found out.

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
    words = frozenset(str(word).strip() for word in missing)
    options = TextOptions(layout, header, columns, id_columns, words, decimal, delimiter)
    with from_standard_input(path) as place:
        if os.fspath(path) == "-" or plain_suffix(place) in TEXT:
            table, shape, rows, cols, values, notes = read_table(place, options)
            listed = table.layout == "long"
            matrix = IncompleteMatrix(shape, rows, cols, values, table, notes, listed)
        elif plain_suffix(place) in COLUMNAR:
            with open_source(place, missing=missing) as opened:
                matrix = _from_list(gathered(Reading(opened, columns, None, missing)))
        else:
            matrix = read_binary(place)
    return _checked(path, matrix, missing)


def _from_list(given: Ratings) -> IncompleteMatrix:
    """Entries of a list that is no text."""
    table = Table(
        "long",
        header=given.names,
        row_labels=tuple(map(str, given.row_labels.tolist())),
        column_labels=tuple(map(str, given.col_labels.tolist())),
        ignored=given.ignored,
    )
    rows, cols = given.rows.astype(np.int64), given.cols.astype(np.int64)
    return IncompleteMatrix(given.shape, rows, cols, given.values, table, given.notes, listed=True)


def _checked(
    path: PathLike, matrix: IncompleteMatrix, missing: Sequence[str | float]
) -> IncompleteMatrix:
    """With each entry once, and notes on what is strange."""
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
    outliers = outlier_notes(matrix.values, matrix.cols)
    return replace(matrix, notes=(*matrix.notes, *empty_notes(matrix), *outliers))


def _without(matrix: IncompleteMatrix, missing: Sequence[str | float]) -> IncompleteMatrix:
    """Without the entries whose value stands for a missing one."""
    kept = ~np.isin(matrix.values, numbers_of(missing).astype(matrix.values.dtype))
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
            f"in a file; {_INSTEAD}"
        )
    try:
        check_fits_memory(path, 8 * shape[0] * shape[1])
    except FileError as error:
        raise FileError(f"{error}; {_INSTEAD}") from None


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

"""Long lists of entries, as ratings are: labels of rows and columns, values, weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from leanrank._files import FileError
from leanrank.io._incomplete import outlier_notes
from leanrank.io._opened import open_source
from leanrank.io._reading import Reading

__all__ = ["Ratings", "gathered", "read_ratings"]


@dataclass(frozen=True, eq=False)
class Ratings:
    """Entries of a matrix in a list, in the order in which they came.

    Attributes
    ----------
    rows, cols : ndarray of int32, shape (m,)
        Where the label of each entry stands in ``row_labels`` and ``col_labels``.
    values : ndarray of float64, shape (m,)
    weights : ndarray of float64, shape (m,), or None
    row_labels, col_labels : ndarray, shapes (n1,) and (n2,)
        Sorted, each once: whole numbers (int64), or text (str in an array of objects).
    names : tuple of str
        Of the columns for row, column and value, and weight where there is one.
    ignored : tuple of str
        Names of the other columns.
    missing : int
        Number of lines without a value: they ask for one, and are no entries.
    notes : tuple of str
        What one should know of how the list was read.
    """

    rows: np.ndarray
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


def read_ratings(
    source: Any,
    columns: Sequence[str | int] | None = None,
    weight: str | int | None = None,
    *,
    missing: Sequence[str | float] = (),
    header: bool | None = None,
    decimal: Literal[".", ","] | None = None,
    delimiter: str | None = None,
) -> Ratings:
    r"""Read a list of entries: row, column and value, one below the other.

    Parameters
    ----------
    source : path, or DataFrame of pandas or polars, or Table of PyArrow
        ==========================  ==============================================================
        ``.csv .tsv .dat .data``    Text in UTF-8 (also ``.txt``), cells separated by commas,
                                    semicolons, tabs, bars, ``::`` or blanks; also packed,
                                    ``.gz`` or ``.zst``; ``-`` for standard input.
        ``.parquet .arrow``         Columns of numbers, text, or dates as labels (``.feather``).
        ``.npz``                    Arrays rows, cols (labels from 0), y and shape.
        ``.mtx``                    Matrix Market; labels count from 1, as in the file.
        ==========================  ==============================================================

        Parquet, Arrow and ``.zst`` need PyArrow (``leanrank[large]``).
    columns : sequence of three str or int, optional
        Where row, column and value are, by name, or by number from 1. By default by their names
        (user, item, rating and their like, in any order), or in this order where there are three.
    weight : str or int, optional
        Where the weight of each entry is: an inverse variance.
    missing : sequence of str or float
        What else stands for a missing value, such as -999. In text an empty cell, NA, NaN, null
        and None do; of Parquet, Arrow and data frames null does, and NaN where ``float("nan")`` is
        given here.
    header, decimal, delimiter : optional
        Of text, as in :func:`read_matrix`. Delimiters of several characters are ``"::"`` and
        ``"blanks"``, which stands for any number of blanks and tabs.

    Returns
    -------
    Ratings
        Labels are whole numbers where all are (of text: where none is written otherwise, as 007
        is), else text without the blanks around it. A pair that is there several times stays so.

    Raises
    ------
    FileError
        If the file is missing, cut short, damaged, or does not tell its columns; if a label is
        empty, or a value or weight no finite number. The text says where.
    TypeError
        If labels are of several kinds, or ``source`` is none of those above.
    ValueError
        If options are not among those above.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "ratings.csv"
    >>> size = path.write_text("rating,userId,movieId\n3.5,7,a\n4,2,b\n,2,a\n")
    >>> ratings = read_ratings(path)
    >>> ratings.row_labels, ratings.rows, ratings.values, ratings.missing
    (array([2, 7]), array([1, 0], dtype=int32), array([3.5, 4. ]), 1)
    """
    with open_source(
        source, missing=missing, header=header, decimal=decimal, delimiter=delimiter
    ) as opened:
        ratings = gathered(Reading(opened, columns, weight, missing))
    outliers = outlier_notes(ratings.values, ratings.cols)
    return replace(ratings, notes=(*ratings.notes, *outliers))


def gathered(reading: Reading) -> Ratings:
    """All of it in memory, with sorted labels."""
    kinds = (np.int32, np.int32, np.float64, np.float64)[: len(reading.roles)]
    parts = [_Growing(kind) for kind in kinds]
    for piece in reading:
        for part, array in zip(parts, piece.arrays, strict=True):
            part.add(array)
    rows, cols, values, *weights = (part.whole() for part in parts)
    if not values.size:
        raise FileError(f"{reading.source}: has no entry at all")
    return Ratings(
        rows,
        cols,
        values,
        weights[0] if weights else None,
        _sorted(reading.labels(0), rows),
        _sorted(reading.labels(1), cols),
        reading.names,
        reading.ignored,
        reading.missing,
        reading.notes(),
    )


def _sorted(labels: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Labels in order, and codes, in place, as of this order."""
    order = np.argsort(labels, kind="stable")
    place = np.empty(order.size, np.int32)
    place[order] = np.arange(order.size, dtype=np.int32)
    np.take(place, codes, out=codes, mode="clip")
    return np.asarray(labels[order])


class _Growing:
    """An array that more is put behind, without a second copy of what is there."""

    def __init__(self, dtype: type) -> None:
        self._array: np.ndarray = np.empty(1 << 16, dtype)
        self._size = 0

    def add(self, values: np.ndarray) -> None:
        size = self._size + values.size
        if size > self._array.size:
            self._array.resize(max(size, 9 * self._array.size // 8), refcheck=False)
        self._array[self._size : size] = values
        self._size = size

    def whole(self) -> np.ndarray:
        self._array.resize(self._size, refcheck=False)
        return self._array

"""Labels without values, read: pairs to predict, rows to recommend for; and columns, written."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from leanrank._files import FileError, PathLike, is_stream, replacing
from leanrank.io._cells import whole_number
from leanrank.io._columns import find_roles
from leanrank.io._opened import open_source
from leanrank.io._opening import with_pyarrow
from leanrank.io._reading import LabelReading
from leanrank.io._tables import number_text

__all__ = ["LabelColumn", "check_columns_format", "read_labels", "write_columns", "write_csv"]

_NOBODY = np.iinfo(np.int64).min
"""Stands for a label that is no number among those that are."""


@dataclass(frozen=True, eq=False)
class LabelColumn:
    """A column of labels.

    Attributes
    ----------
    name : str
    codes : ndarray of int32, shape (m,)
        Where the label of each line stands in ``labels``.
    labels : ndarray, shape (n,)
        Each once, as they first come: int64, or str in an array of objects.
    """

    name: str
    codes: np.ndarray
    labels: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """The label of each line, shape (m,)."""
        return np.asarray(self.labels[self.codes])

    def like(self, known: np.ndarray) -> np.ndarray:
        """The label of each line, of the kind of those that are known.

        A text file does not tell 7 from "7": labels are the same if they are written the same.
        """
        return np.asarray(self._like(known)[self.codes])

    def unknown(self, known: np.ndarray) -> np.ndarray:
        """Flags of labels that are not among those that are known, shape (n,)."""
        labels = self._like(known)
        if known.dtype != object:
            return ~np.isin(labels, known)
        there = set(known.tolist())
        return np.fromiter((label not in there for label in labels.tolist()), bool, labels.size)

    def _like(self, known: np.ndarray) -> np.ndarray:
        labels = self.labels
        if known.dtype == labels.dtype:
            return labels
        if known.dtype == object:
            return np.fromiter(map(str, labels.tolist()), object, labels.size)
        if known.dtype == np.int64:
            numbers = [whole_number(label) for label in labels.tolist()]
            return np.array([_NOBODY if x is None else x for x in numbers], dtype=np.int64)
        return np.array([_float(label) for label in labels.tolist()], dtype=float)


def _float(label: str | int) -> float:
    try:
        return float(label)
    except ValueError:
        return float(_NOBODY)


def read_labels(
    source: Any,
    count: int = 2,
    columns: Sequence[str | int] | None = None,
    *,
    header: bool | None = None,
    delimiter: str | None = None,
    usual: Sequence[str] = (),
) -> list[LabelColumn]:
    """Labels of a list of pairs, or of rows alone.

    Parameters
    ----------
    source
        As of :func:`read_ratings`.
    count : {1, 2}
        Rows alone, or rows and columns.
    columns : sequence of str or int, optional
        Where they are; by default found by their names, or in this order where there are no others.
    header, delimiter : optional
        As of :func:`read_ratings`. Without names that tell, the first line is taken for data.
    usual : sequence of str
        Names that they have if nothing else is said, and there are columns of these.

    Returns
    -------
    list of LabelColumn

    Raises
    ------
    FileError, TypeError, ValueError
        As :func:`read_ratings`.
    """
    with open_source(source, header=header, delimiter=delimiter) as opened:
        if columns is None and {*usual[:count]} <= {name.strip() for name in opened.names}:
            columns = usual[:count] or None
        roles, named = find_roles(f"{opened}", opened.names, columns, count)
        reading = LabelReading(opened, roles, named, count)
        parts: list[list[np.ndarray]] = [[np.empty(0, np.int32)] for _ in roles]
        done = 0
        for cells in reading.lines.pieces():
            for k, part in enumerate(parts):
                lines = done + np.arange(len(cells[k]))
                part.append(reading.codes_of(k, cells[k], lines))
            done += len(cells[0])
        return [
            LabelColumn(name, np.concatenate(part), reading.labels(k))
            for k, (name, part) in enumerate(zip(reading.names, parts, strict=True))
        ]


def check_columns_format(path: PathLike) -> None:
    """Find out before a long computation whether :func:`write_columns` can write there.

    Raises
    ------
    FileError
        If the name has another ending, or PyArrow is needed and not there.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".parquet":
        with_pyarrow(f"{path}")
    elif suffix not in (".csv", ".tsv") and not is_stream(path):
        raise FileError(f"{path}: expected a name that ends in .csv, .tsv, .parquet")


def write_columns(path: PathLike, columns: Mapping[str, np.ndarray]) -> None:
    """Write columns of one length, whole or not at all: ``.csv``, ``.tsv``, ``.parquet``.

    Raises
    ------
    FileError
        If the format is another, or the file cannot be written.
    """
    check_columns_format(path)
    suffix = Path(path).suffix.lower()
    if suffix == ".parquet":
        parquet, arrow = with_pyarrow(f"{path}", ".parquet"), with_pyarrow(f"{path}")
        with replacing(path) as file:
            parquet.write_table(arrow.table(dict(columns)), file)
        return
    with replacing(path, "w") as file:
        write_csv(file, columns, "\t" if suffix == ".tsv" else ",")


def write_csv(file: IO[str], columns: Mapping[str, np.ndarray], delimiter: str = ",") -> None:
    """Write columns as text, below their names; NaN is an empty cell."""
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    cells = [
        [number_text(x, ".") for x in column.tolist()]
        if column.dtype.kind == "f"
        else column.tolist()
        for column in columns.values()
    ]
    writer.writerows(zip(*cells, strict=True))

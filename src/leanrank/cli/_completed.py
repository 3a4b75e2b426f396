"""What ``leanrank complete`` writes: all of the matrix, or cells that were asked for."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import leanrank
from leanrank import io
from leanrank._files import replacing
from leanrank.cli._filling import Filled, Places
from leanrank.cli._terminal import ARRAYS, PAGES, PICTURES, Terminal
from leanrank.results import Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

__all__ = ["Cells", "Outputs", "read_cells"]


@dataclass(frozen=True)
class Cells:
    """Cells of a matrix that were asked for.

    Attributes
    ----------
    at : pair of ndarray of int, shape (m,)
        Their rows and columns.
    labels : dict
        The labels of both, as they came, by the names of their columns.
    """

    at: Places
    labels: dict[str, np.ndarray]


def read_cells(file: Path, matrix: io.IncompleteMatrix, delimiter: str | None) -> Cells:
    """The cells that a file lists by the labels of their rows and columns.

    Rows and columns without labels go by their numbers, from 0. A first line of which neither is
    known stands for names.
    """
    columns = io.read_labels(file, 2, header=False, delimiter=delimiter)
    names, start = ["row", "column"], 0
    found = []
    labels = matrix.table.row_labels, matrix.table.column_labels
    for column, known, n in zip(columns, labels, matrix.shape, strict=True):
        place = {label: k for k, label in enumerate(known or map(str, range(n)))}
        told = [place.get(str(label).strip(), -1) for label in column.labels.tolist()]
        found.append(np.array(told, dtype=np.int64)[column.codes])
    if found[0].size and found[0][0] < 0 and found[1][0] < 0:
        names, start = [str(column.values[0]) for column in columns], 1
    for what, column, places in zip(("row", "column"), columns, found, strict=True):
        unknown = np.flatnonzero(places[start:] < 0) + start
        if unknown.size:
            raise io.FileError(
                f"{file}: {unknown.size} of its cells have a {what} that is not in the matrix, "
                f"such as '{column.values[unknown[0]]}'"
            )
    if found[0].size == start:
        raise io.FileError(f"{file}: asks for no cells")
    values = [column.values[start:] for column in columns]
    return Cells((found[0][start:], found[1][start:]), dict(zip(names, values, strict=True)))


@dataclass(frozen=True)
class Outputs:
    """Where what came out goes; None is nowhere.

    Attributes
    ----------
    out, factors, plot, report, intervals : path or None
    level : float
        Of the intervals.
    draws : int or None
    cells : path or None
        A file that lists the cells to write.
    """

    out: Path | None
    factors: Path | None
    plot: Path | None
    report: Path | None
    intervals: Path | None
    level: float
    draws: int | None
    cells: Path | None

    def check(self, terminal: Terminal, source: Path | None, others: list[Path | None]) -> None:
        """Refuse before the computation what could not be written after it."""
        if self.cells is not None:
            io.check_readable(self.cells)
            if self.draws is not None:
                raise io.FileError(
                    "--draws are whole matrices, --cells some entries: leave out one"
                )
        terminal.check_outputs(
            source,
            *((self.out, ()), (self.factors, ARRAYS), (self.plot, PICTURES), (self.report, PAGES)),
            *((path, suffixes) for path, suffixes in zip(others, ((), ARRAYS), strict=True)),
            (self.intervals, (".csv",)),
            *((path, ()) for path in _draw_paths(self.out, self.draws)),
        )
        if self.out is None:
            return
        if self.cells is None:
            io.check_matrix_format(self.out)
        else:
            io.check_columns_format(self.out)

    def check_size(self, terminal: Terminal, shape: tuple[int, int]) -> None:
        """Refuse before the computation a whole matrix that is too large."""
        whole = self.plot or self.report
        if self.cells is None:
            whole = self.out or whole or self.intervals
            whole = whole or (Path("standard output") if terminal.data_to_stdout else None)
        if whole is not None:
            io.check_dense(whole, shape)

    def write(
        self,
        terminal: Terminal,
        matrix: io.IncompleteMatrix,
        filled: Filled,
        cells: Cells | None,
        values: dict[str, Any],
        source: Path,
    ) -> None:
        """Write all of it."""
        if self.factors is not None:
            io.save_result(self.factors, filled.result, **values)
            terminal.wrote("factors", self.factors)
        if cells is not None:
            self._write_cells(terminal, filled, cells)
        wanted = self.out or self.intervals or terminal.data_to_stdout
        if self.plot is None and self.report is None and (cells is not None or not wanted):
            return
        X = filled.complete(None)
        if self.plot is not None:
            terminal.save_figure(_picture(matrix, filled, X), self.plot)
        if self.report is not None:
            self._write_report(terminal, matrix, filled, X, source)
        if cells is None:
            self._write_whole(terminal, matrix, filled, X)

    def _write_cells(self, terminal: Terminal, filled: Filled, cells: Cells) -> None:
        X = filled.complete(cells.at)
        if self.out is not None:
            io.write_columns(self.out, {**cells.labels, "value": X})
            terminal.wrote(f"{X.size} cells", self.out)
        elif terminal.data_to_stdout:
            io.write_csv(sys.stdout, {**cells.labels, "value": X})
        if self.intervals is not None:
            low, high = filled.interval(self.level, cells.at)
            columns = {**cells.labels, "low": low, "value": X, "high": high}
            io.write_columns(self.intervals, columns)
            terminal.wrote("intervals", self.intervals)

    def _write_report(
        self,
        terminal: Terminal,
        matrix: io.IncompleteMatrix,
        filled: Filled,
        X: np.ndarray,
        source: Path,
    ) -> None:
        """A page, with the matrix before and after, and how sure the filled cells are."""
        assert self.report is not None
        figures = {"Seen, and completed": _picture(matrix, filled, X)}
        rows, cols = np.nonzero(~matrix.observed() & ~matrix.blank())
        if rows.size > 1 and filled.result.status is not Status.STOPPED:
            low, high = filled.interval(self.level, (rows, cols))
            names = [
                (_label(matrix.table.row_labels, i), _label(matrix.table.column_labels, j))
                for i, j in zip(rows.tolist(), cols.tolist(), strict=True)
            ]
            text = f"The cells that are known best and least, with {self.level:.0%} intervals"
            figures[text] = leanrank.plotting.certainty(X[rows, cols], low, high, names)
        terminal.save_report(filled.result, source, self.report, figures)

    def _write_whole(
        self, terminal: Terminal, matrix: io.IncompleteMatrix, filled: Filled, X: np.ndarray
    ) -> None:
        terminal.write_matrix(X, self.out, matrix.table)
        if self.intervals is not None:
            _write_intervals(self.intervals, matrix, X, filled.interval(self.level, None))
            terminal.wrote("intervals", self.intervals)
        if self.draws is not None:
            paths = _draw_paths(self.out, self.draws)
            for path, drawn in zip(paths, filled.draws(self.draws), strict=True):
                io.write_matrix(path, drawn, table=matrix.table)
                terminal.wrote("a draw", path)


def _picture(matrix: io.IncompleteMatrix, filled: Filled, X: np.ndarray) -> Figure | SubFigure:
    """The matrix before and after; columns of a table on a scale of their own."""
    names = [_label(matrix.table.column_labels, j) for j in range(matrix.shape[1])]
    columns = names if filled.units else None
    return leanrank.plotting.completion(matrix.completed(None), X, columns=columns)


def _label(labels: Sequence[str] | None, place: int) -> str:
    """A row's or column's name; its number where there are none."""
    return str(labels[place]) if labels else str(place)


def _write_intervals(
    path: Path,
    matrix: io.IncompleteMatrix,
    X: np.ndarray,
    ends: tuple[np.ndarray, np.ndarray],
) -> None:
    """Write a line for each entry that was filled in: row, column, low, value, high.

    Labels that several rows share are followed by the number of the row, counted from 0.
    """
    low, high = ends
    table = matrix.table
    shared = bool(table.row_labels) and len(set(table.row_labels)) < matrix.shape[0]
    rows, cols = np.nonzero(~matrix.observed() & ~matrix.blank())
    with replacing(path, "w") as file:
        writer = csv.writer(file, delimiter=table.delimiter, lineterminator="\n")
        number = ["number"] if shared else []
        writer.writerow(["row", *number, "column", "low", "value", "high"])
        for i, j in zip(rows.tolist(), cols.tolist(), strict=True):
            row = table.row_labels[i] if table.row_labels else i
            column = table.column_labels[j] if table.column_labels else j
            numbers = (io.number_text(x, table.decimal) for x in (low[i, j], X[i, j], high[i, j]))
            writer.writerow([row, *([i] if shared else []), column, *numbers])


def _draw_paths(out: Path | None, n: int | None) -> list[Path]:
    """Where draws go."""
    if out is None or n is None:
        return []
    return [out.with_name(f"{out.stem}-{i + 1}{out.suffix}") for i in range(n)]

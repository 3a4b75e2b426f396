"""How ``leanrank complete`` fills a matrix: as a table of samples, or as a matrix as it is."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import leanrank
from leanrank import io
from leanrank._files import replacing
from leanrank.cli._terminal import Kept, Settings, Terminal, bad_input
from leanrank.posterior import Posterior
from leanrank.results import Result, Status

__all__ = [
    "Bounds",
    "Filled",
    "check_filling",
    "draw_paths",
    "fill_matrix",
    "fill_table",
    "write_draws",
    "write_intervals",
]

Bounds = tuple[float | None, float | None]
"""What completed entries are cut at; None is no bound."""


@dataclass(frozen=True)
class Filled:
    """A completed matrix, and how surely.

    Attributes
    ----------
    result : Result
    seconds : float
    complete : callable
        Gives all entries, shape (n1, n2); those that are not to be replaced are as they came.
    interval : callable
        Gives low and high ends, shape (n1, n2), at a level.
    draws : callable
        Gives so many completed matrices as they may be.
    """

    result: Result
    seconds: float
    complete: Callable[[], np.ndarray]
    interval: Callable[[float], tuple[np.ndarray, np.ndarray]]
    draws: Callable[[int], Iterator[np.ndarray]]


def check_filling(level: float, draws: int | None, out: Path | None, bounds: Bounds) -> None:
    """Refuse what cannot be meant."""
    if not 0 < level < 1:
        raise io.FileError(f"--level must lie between 0 and 1, got {level:g}")
    if draws is not None and (out is None or io.is_stream(out)):
        raise io.FileError("--draws needs --out FILE: draws are written beside it")
    low, high = bounds
    if low is not None and high is not None and not low < high:
        raise io.FileError(f"--min must be less than --max, got {low:g} and {high:g}")


def fill_table(
    terminal: Terminal,
    matrix: io.IncompleteMatrix,
    settings: Settings,
    bounds: Bounds,
    fit_all: bool,
) -> Filled:
    """Rows are samples, columns are features in units of their own: LowRankImputer."""
    X = matrix.completed(None)
    low, high = bounds
    imputer = leanrank.LowRankImputer(
        settings.rank,
        width=settings.width,
        validation=settings.validation,
        time_limit=settings.time_limit,
        random_state=settings.seed,
        keep_observed=not fit_all,
        keep_empty_features=True,
        min_value=low,
        max_value=high,
        on_failure="ignore",
    )
    start = time.monotonic()
    with bad_input(), terminal.progress() as progress:
        imputer.callbacks = [progress]
        imputer.fit(X)
    result = replace(imputer.result_, status=imputer.status_, message=imputer.message_)
    blank = matrix.blank()
    return Filled(
        result,
        time.monotonic() - start,
        lambda: np.where(blank, np.nan, imputer.transform(X)),
        lambda level: imputer.predict_interval(X, level),
        lambda n: (np.where(blank, np.nan, drawn) for drawn in imputer.draw(X, n)),
    )


def fill_matrix(
    terminal: Terminal,
    matrix: io.IncompleteMatrix,
    settings: Settings,
    kept: Kept,
    bounds: Bounds,
    fit_all: bool,
    intercepts: bool,
) -> Filled:
    """The matrix itself is of low rank, about intercepts of rows and columns or not: recover."""
    result, seconds = terminal.recover(
        matrix.operator(), matrix.values, settings, kept, intercepts=intercepts
    )
    least = -np.inf if bounds[0] is None else bounds[0]
    most = np.inf if bounds[1] is None else bounds[1]

    def complete() -> np.ndarray:
        X = matrix.completed(result.factors, keep_observed=not fit_all)
        return np.where(matrix.observed() & (not fit_all), X, np.clip(X, least, most))

    def interval(level: float) -> tuple[np.ndarray, np.ndarray]:
        posterior = _posterior(result)
        rows, cols = np.indices(matrix.shape, sparse=True)
        ends = posterior.interval(rows, cols, level, reading=True)
        return np.clip(ends[0], least, most), np.clip(ends[1], least, most)

    def draws(n: int) -> Iterator[np.ndarray]:
        posterior, rng = _posterior(result), np.random.default_rng(settings.seed)
        for factors in posterior.draws(n):
            X = matrix.completed(factors)
            noise = rng.standard_normal(X.shape) * np.sqrt(posterior.noise)
            yield np.where(matrix.observed(), X, np.clip(X + noise, least, most))

    return Filled(result, seconds, complete, interval, draws)


def _posterior(result: Result) -> Posterior:
    """Of a run that came to its end."""
    if result.status is Status.STOPPED:
        raise io.FileError("the run was stopped: intervals and draws are of runs that end")
    return result.posterior


def write_intervals(
    path: Path,
    matrix: io.IncompleteMatrix,
    X: np.ndarray,
    ends: tuple[np.ndarray, np.ndarray],
) -> None:
    """Write a line for each entry that was filled in: row, column, low, value, high."""
    low, high = ends
    table = matrix.table
    rows, cols = np.nonzero(~matrix.observed() & ~matrix.blank())
    with replacing(path, "w") as file:
        writer = csv.writer(file, delimiter=table.delimiter, lineterminator="\n")
        writer.writerow(["row", "column", "low", "value", "high"])
        for i, j in zip(rows.tolist(), cols.tolist(), strict=True):
            row = table.row_labels[i] if table.row_labels else i
            column = table.column_labels[j] if table.column_labels else j
            numbers = (io.number_text(x, table.decimal) for x in (low[i, j], X[i, j], high[i, j]))
            writer.writerow([row, column, *numbers])


def write_draws(out: Path, matrix: io.IncompleteMatrix, filled: Filled, n: int) -> list[Path]:
    """Write so many completed matrices beside ``out``: NAME-1.csv, NAME-2.csv, ..."""
    paths = draw_paths(out, n)
    for path, X in zip(paths, filled.draws(n), strict=True):
        io.write_matrix(path, X, table=matrix.table)
    return paths


def draw_paths(out: Path | None, n: int | None) -> list[Path]:
    """Where draws go."""
    if out is None or n is None:
        return []
    return [out.with_name(f"{out.stem}-{i + 1}{out.suffix}") for i in range(n)]

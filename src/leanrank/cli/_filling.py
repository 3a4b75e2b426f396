"""How ``leanrank complete`` fills a matrix: as a table of samples, or as a matrix as it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import leanrank
from leanrank import io
from leanrank.cli._options import check_level
from leanrank.cli._terminal import Kept, Settings, Terminal, bad_input
from leanrank.posterior import Posterior
from leanrank.results import Result, Status
from leanrank.search.drawing import Perturbation
from leanrank.search.predicting import Sampler

__all__ = [
    "Bounds",
    "Filled",
    "Places",
    "check_filling",
    "fill_matrix",
    "fill_table",
]

Bounds = tuple[float | None, float | None]
"""What completed entries are cut at; None is no bound."""
Places = tuple[np.ndarray, np.ndarray]
"""Rows and columns of entries."""


@dataclass(frozen=True)
class Filled:
    """A completed matrix, and how surely.

    Attributes
    ----------
    result : Result
    seconds : float
    complete : callable
        Gives all entries, shape (n1, n2), or those at some places; those that are not to be
        replaced are as they came.
    interval : callable
        Gives low and high ends, at a level, of all entries or of some.
    draws : callable
        Gives so many completed matrices as they may be.
    units : bool
        Whether columns have units of their own.
    """

    result: Result
    seconds: float
    complete: Callable[[Places | None], np.ndarray]
    interval: Callable[[float, Places | None], tuple[np.ndarray, np.ndarray]]
    draws: Callable[[int], Iterator[np.ndarray]]
    units: bool


def check_filling(level: float, draws: int | None, out: Path | None, bounds: Bounds) -> None:
    """Refuse what cannot be meant."""
    check_level(level)
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
    keep_integers: bool,
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
        keep_integers=keep_integers,
        min_value=low,
        max_value=high,
        on_failure="ignore",
    )
    start = time.monotonic()
    with bad_input(), terminal.progress(settings.time_limit) as progress:
        imputer.callbacks = [progress]
        imputer.fit(X)
    result = replace(imputer.result_, status=imputer.status_, message=imputer.message_)
    seconds, blank = time.monotonic() - start, matrix.blank()

    def complete(at: Places | None) -> np.ndarray:
        filled = np.where(blank, np.nan, imputer.transform(X))
        return filled if at is None else filled[at]

    def interval(level: float, at: Places | None) -> tuple[np.ndarray, np.ndarray]:
        low, high = imputer.predict_interval(X, level)
        return (low, high) if at is None else (low[at], high[at])

    def draws(n: int) -> Iterator[np.ndarray]:
        return (np.where(blank, np.nan, drawn) for drawn in imputer.draw(X, n))

    return Filled(result, seconds, complete, interval, draws, units=True)


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

    def complete(at: Places | None) -> np.ndarray:
        if at is not None:
            X = np.clip(result.factors.entries(*at), least, most)
            seen = matrix.at(*at)
            X = np.where(np.isnan(seen) | fit_all, X, seen)
            return np.where(matrix.is_blank(*at), np.nan, X)
        X = matrix.completed(result.factors, keep_observed=not fit_all)
        return np.where(matrix.observed() & (not fit_all), X, np.clip(X, least, most))

    def interval(level: float, at: Places | None) -> tuple[np.ndarray, np.ndarray]:
        rows, cols = np.indices(matrix.shape, sparse=True) if at is None else at
        ends = _posterior(result).interval(rows, cols, level, reading=True)
        return np.clip(ends[0], least, most), np.clip(ends[1], least, most)

    def draws(n: int) -> Iterator[np.ndarray]:
        posterior, rng = _posterior(result, n), np.random.default_rng(settings.seed)
        for factors in posterior.draws(n):
            X = matrix.completed(factors)
            noise = rng.standard_normal(X.shape) * np.sqrt(posterior.noise)
            yield np.where(matrix.observed(), X, np.clip(X + noise, least, most))

    return Filled(result, seconds, complete, interval, draws, units=False)


def _posterior(result: Result, least: int = 0) -> Posterior:
    """Of a run that came to its end, with so many draws at least."""
    if result.status is Status.STOPPED:
        raise io.FileError("the run was stopped: intervals and draws are of runs that end")
    posterior, sampler = result.posterior, result.sampler
    if posterior.size >= least or sampler is None:
        return posterior
    assert isinstance(sampler, Sampler | Perturbation)
    return replace(sampler, size=least)()

"""``leanrank fit``: a long list of entries in, a model out."""

from __future__ import annotations

import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.text import Text

import leanrank
from leanrank import io
from leanrank.callbacks import Progress
from leanrank.cli import _report
from leanrank.cli._options import (
    CheckpointFile,
    Columns,
    Decimal,
    Delimiter,
    Header,
    Json,
    Least,
    MemoryLimit,
    Missing,
    Most,
    Plot,
    Quiet,
    Rank,
    Report,
    Seed,
    SummaryFile,
    TimeLimit,
    Validation,
    Width,
    bytes_of,
    columns_of,
    delimiter_of,
)
from leanrank.cli._terminal import ARRAYS, PAGES, PICTURES, Terminal, bad_input

__all__ = ["fit"]


Given = io.Ratings | io.StoredEntries
"""A list in memory, or sorted on disk."""


class Duplicates(StrEnum):
    """What is done with a pair that is there several times."""

    mean = "mean"
    error = "error"


def fit(
    ratings: Annotated[
        str,
        typer.Argument(
            metavar="RATINGS",
            show_default=False,
            help="A list of row, column and value, one of each on a line: .csv, .tsv, .dat, .data, "
            ".txt (also .gz, .zst), .parquet, .arrow, .npz (rows, cols, y, shape), .mtx; - is "
            "standard input.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Write the model (.npz).", metavar="MODEL")],
    plot: Plot = None,
    report: Report = None,
    summary: SummaryFile = None,
    json: Json = False,
    columns: Columns = None,
    weight: Annotated[
        str | None,
        typer.Option(
            help="A column of weights, inverse variances, by name or number from 1.",
            metavar="COLUMN",
        ),
    ] = None,
    header: Header = None,
    missing: Missing = None,
    decimal: Decimal = None,
    delimiter: Delimiter = None,
    least: Least = None,
    most: Most = None,
    duplicates: Annotated[
        Duplicates, typer.Option(help="Of pairs that are there several times: average, or refuse.")
    ] = Duplicates.mean,
    rank: Rank = None,
    width: Width = None,
    validation: Validation = None,
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = None,
    checkpoint: CheckpointFile = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Fit a model to ratings, or other entries, one on each line.

    `leanrank predict` and `leanrank recommend` ask the model.
    """
    terminal = Terminal(json=json, quiet=quiet, outputs=(out, plot, report, summary))
    with terminal.errors(), bad_input(), ExitStack() as stack:
        source = None if ratings == "-" else Path(ratings)
        terminal.check_outputs(
            source,
            *(
                (out, ARRAYS),
                (plot, PICTURES),
                (report, PAGES),
                (summary, ()),
                (checkpoint, ARRAYS),
            ),
        )
        given = _read(
            stack,
            ratings,
            out,
            bytes_of(memory_limit),
            duplicates.value,
            columns=columns_of(columns),
            weight=weight,
            header=header,
            missing=missing or (),
            decimal=decimal,
            delimiter=delimiter_of(delimiter),
        )
        terminal.say(_read_as(ratings, given), given.notes)
        model = leanrank.MatrixFactorization(
            rank,
            width=width,
            validation=validation,
            min_value=least,
            max_value=most,
            duplicates=duplicates.value,
            checkpoint=checkpoint,
            time_limit=time_limit,
            random_state=seed,
        )
        seconds = _fitted(terminal, model, given)
        model.save(out)
        terminal.wrote("the model", out)
        if plot is not None:
            terminal.save_figure(leanrank.plotting.rating_variances(model), plot)
        values = _summary(model, given, ratings, seconds)
        terminal.write_summary(values, summary)
        rows = {
            "rank": (f"{model.rank_}", f"of {given.shape[0]} rows x {given.shape[1]} columns"),
            "held-out error": (f"{model.held_out_error_:.4g}", "in the units of the values"),
            "noise": (f"{model.noise_:.4g}", "standard deviation"),
            "sweeps": (f"{model.n_iter_}", "over the entries"),
            "time": (f"{seconds:.1f} s", ""),
        }
        if report is not None:
            from leanrank.reporting import save_model_report

            told = {what: " ".join(filter(None, row)) for what, row in rows.items()}
            save_model_report(report, model, title=Path(ratings).name, numbers=told)
            terminal.wrote("a report", report)
        _report.show_fit(terminal.words, model.status_, model.message_, rows)
        raise typer.Exit(0 if model.status_.success else 1)


def _read(
    stack: ExitStack, ratings: str, out: Path, limit: int | None, duplicates: Any, **options: Any
) -> Given:
    """The list in memory, or sorted in a folder beside ``out`` that goes with the stack."""
    if limit is None:
        return io.read_ratings(ratings, **options)
    beside = None if io.is_stream(out) else out.absolute().parent
    folder = tempfile.TemporaryDirectory(prefix=".leanrank-", dir=beside)
    place = Path(stack.enter_context(folder)) / "sorted"
    return io.stored_entries(ratings, place, memory_limit=limit, duplicates=duplicates, **options)


def _read_as(name: str, given: Given) -> str:
    """What a list was taken for."""
    where = dict(zip(("rows", "columns", "values", "weights"), given.names, strict=False))
    text = ", ".join(f"{what} {column}" for what, column in where.items())
    if given.ignored:
        few = len(given.ignored) == 1
        text += f"; {'column' if few else 'columns'} {io.listed(given.ignored)} "
        text += "is ignored" if few else "are ignored"
    n1, n2 = given.shape
    shown = "standard input" if name == "-" else name
    return f"{shown}: {given.values.size} entries of {n1} rows x {n2} columns ({text})"


def _fitted(terminal: Terminal, model: leanrank.MatrixFactorization, given: Given) -> float:
    """Fit, with progress; the seconds it took. Ctrl-C ends it with what there is."""
    start = time.monotonic()
    with _asked_to_stop() as asked, _Sweeps(**terminal.progress_to) as progress:
        model.callbacks = [progress, lambda state: bool(asked)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", leanrank.RecoveryWarning)  # the status tells
            model.fit(given)
    model.callbacks = ()
    return time.monotonic() - start


class _Sweeps(Progress):
    """The line of progress of sweeps."""

    def __init__(self, **where: Any) -> None:
        super().__init__(zero_loss=1.0, **where)

    def __call__(self, state: Any) -> None:
        super().__call__(state)

    def line(self, state: Any) -> Text:
        return Text.assemble(
            ("sweep", "bold"),
            f" {state.sweep:<4} width {state.width:<4} held-out error "
            f"{state.held_out_error:<8.4g} {self.times(state.share)}",
        )


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """A list that has something in it after Ctrl-C; a second one interrupts."""
    asked: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = None
    with suppress(ValueError):  # signals are for the main thread only
        before = signal.signal(signal.SIGINT, stop)
    try:
        yield asked
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _summary(
    model: leanrank.MatrixFactorization,
    given: Given,
    name: str,
    seconds: float,
) -> dict[str, Any]:
    """What came out, in plain values."""
    parameters = model.get_params()
    for unsaid in ("callbacks", "random_state"):
        parameters.pop(unsaid)
    summary: dict[str, Any] = io.plain_values(
        {
            "status": model.status_.value,
            "success": model.status_.success,
            "message": model.message_,
            "rank": model.rank_,
            "shape": given.shape,
            "measurements": given.values.size,
            "missing": given.missing,
            "held_out_error": model.held_out_error_,
            "noise": model.noise_,
            "sweeps": model.n_iter_,
            "seconds": seconds,
            "prediction": asdict(model.certificate_),
            "columns": given.names,
            "ignored": given.ignored,
            "notes": given.notes,
            "input": name,
            "seed": model.random_state,
            "parameters": parameters,
        }
    )
    return summary

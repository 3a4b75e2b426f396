"""``leanrank complete``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import leanrank
from leanrank import io
from leanrank._display import percent
from leanrank.cli._filling import (
    check_filling,
    draw_paths,
    fill_matrix,
    fill_table,
    write_draws,
    write_intervals,
)
from leanrank.cli._options import (
    CheckpointEvery,
    CheckpointFile,
    Columns,
    Decimal,
    Deep,
    Delimiter,
    Header,
    Json,
    Least,
    Level,
    Missing,
    Most,
    Plot,
    Quiet,
    Rank,
    Resume,
    Seed,
    Source,
    Strict,
    SummaryFile,
    Symmetric,
    TimeLimit,
    Validation,
    Width,
    columns_of,
    delimiter_of,
)
from leanrank.cli._tables import completed_unchanged, read_input, refuse_complete
from leanrank.cli._terminal import ARRAYS, PICTURES, Kept, Settings, Terminal

__all__ = ["complete"]


class Layout(StrEnum):
    """How a .csv is laid out."""

    auto = "auto"
    wide = "wide"
    long = "long"


def complete(
    file: Source,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the completed matrix (.csv, .npy, .npz, .mtx). Without it, and where "
            "standard output is no terminal, it goes there as .csv.",
            metavar="FILE",
        ),
    ] = None,
    factors: Annotated[
        Path | None, typer.Option(help="Write factors and certificate (.npz).", metavar="FILE")
    ] = None,
    plot: Plot = None,
    summary: SummaryFile = None,
    json: Json = False,
    layout: Annotated[
        Layout, typer.Option(help="Of a .csv: a table, or row, column, value on each line.")
    ] = Layout.auto,
    header: Header = None,
    columns: Columns = None,
    id_column: Annotated[
        list[str] | None,
        typer.Option(
            help="A column of a .csv that is no part of the matrix but a label, by name or number "
            "from 1; it is written as it came. 0: there is none. Can be given several times.",
            metavar="COLUMN",
        ),
    ] = None,
    missing: Missing = None,
    decimal: Decimal = None,
    delimiter: Delimiter = None,
    fit_all: Annotated[
        bool, typer.Option("--fit-all", help="Replace the observed entries, too, by the fit.")
    ] = False,
    allow_complete: Annotated[
        bool,
        typer.Option(
            "--allow-complete",
            help="Take a matrix with nothing to fill in: write it as it is, or its fit.",
        ),
    ] = False,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="Take the matrix as it is: no means of rows or columns, no units of columns. So "
            "do --symmetric, --deep, --factors, --checkpoint and --resume.",
        ),
    ] = False,
    intervals: Annotated[
        Path | None,
        typer.Option(
            help="Write a line for each entry that was filled in: row, column, low, value, high "
            "(.csv).",
            metavar="FILE",
        ),
    ] = None,
    level: Level = 0.95,
    draws: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Write so many completed matrices as they may be, for multiple imputation: "
            "OUT-1.csv, OUT-2.csv, ... beside --out.",
        ),
    ] = None,
    least: Least = None,
    most: Most = None,
    rank: Rank = None,
    width: Width = None,
    validation: Validation = None,
    time_limit: TimeLimit = None,
    seed: Seed = 0,
    symmetric: Symmetric = False,
    deep: Deep = False,
    checkpoint: CheckpointFile = None,
    resume: Resume = None,
    checkpoint_every: CheckpointEvery = 30.0,
    strict: Strict = False,
    quiet: Quiet = False,
) -> None:
    """Fill in the missing entries of a matrix (.csv, .npy, .npz, .mtx).

    A wide table is taken for samples, line by line, with columns in units of their own; a list of
    entries for ratings, with means of rows and columns; either for a matrix as it is with --raw.
    """
    outputs = (out, factors, plot, summary, intervals)
    terminal = Terminal(json=json, quiet=quiet, pipes_data=out is None, outputs=outputs)
    kept = Kept(checkpoint, resume, checkpoint_every)
    with terminal.errors():
        check_filling(level, draws, out, (least, most))
        terminal.check_outputs(
            file,
            *((out, ()), (factors, ARRAYS), (plot, PICTURES), (summary, ()), (kept.path, ARRAYS)),
            *((intervals, (".csv",)), *((path, ()) for path in draw_paths(out, draws))),
        )
        if out is not None:
            io.check_matrix_format(out)
        matrix = read_input(
            file,
            layout=layout.value,
            header=header,
            columns=columns_of(columns),
            id_columns=id_column,
            missing=missing or (),
            decimal=decimal,
            delimiter=delimiter_of(delimiter),
        )
        n1, n2 = matrix.shape
        if out or plot or intervals or terminal.data_to_stdout:
            io.check_dense(out or plot or "standard output", matrix.shape)
        share = matrix.values.size / (n1 * n2)
        terminal.say(
            f"{file}: {n1} x {n2}, {percent(share)} observed ({matrix.table})", matrix.notes
        )
        settings = Settings(rank, width, validation, time_limit, seed, symmetric, deep)
        if matrix.fillable == 0 and not allow_complete:
            refuse_complete(file, matrix)
        if matrix.fillable == 0 and not fit_all:
            terminal.write_matrix(matrix.completed(None), out, matrix.table)
            completed_unchanged(terminal, file, summary)
            return
        as_it_is = raw or symmetric or deep or bool(factors or kept.path)
        bounds = (least, most)
        if matrix.listed or as_it_is:
            means = matrix.listed and not as_it_is
            filled = fill_matrix(terminal, matrix, settings, kept, bounds, fit_all, means)
        else:
            filled = fill_table(terminal, matrix, settings, bounds, fit_all)
        result, seconds = filled.result, filled.seconds
        values = settings.summary(
            *(result, file, seconds),
            measurements=matrix.values.size,
            missing=matrix.missing,
            read_as=str(matrix.table),
            notes=matrix.notes,
        )
        if not terminal.is_empty(result):
            wanted = out or plot or intervals or terminal.data_to_stdout
            X = filled.complete() if wanted else None
            if X is not None:
                terminal.write_matrix(X, out, matrix.table)
            if factors is not None:
                io.save_result(factors, result, **values)
                terminal.wrote("factors", factors)
            if plot is not None and X is not None:
                figure = leanrank.plotting.completion(matrix.completed(None), X)
                terminal.save_figure(figure, plot)
            if intervals is not None and X is not None:
                write_intervals(intervals, matrix, X, filled.interval(level))
                terminal.wrote("intervals", intervals)
            if draws is not None and out is not None:
                for path in write_draws(out, matrix, filled, draws):
                    terminal.wrote("a draw", path)
        rows = {"time": (f"{seconds:.1f} s", "")}
        terminal.finish(result, values, summary, rows, strict=strict)

"""``leanrank complete``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from leanrank import io
from leanrank._display import percent
from leanrank.cli._completed import Outputs, read_cells
from leanrank.cli._filling import check_filling, fill_matrix, fill_table
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
    Report,
    Resume,
    Seed,
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
from leanrank.cli._terminal import Kept, Settings, Terminal

__all__ = ["complete"]


class Layout(StrEnum):
    """How a .csv is laid out."""

    auto = "auto"
    wide = "wide"
    long = "long"


def complete(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="A table with empty cells, or a list of row, column and value on each line: .csv, "
            ".tsv, .dat, .data, .txt (also .gz, .zst), .npy or .npz (NaN where entries are "
            "missing), .mtx; lists also .parquet, .arrow; - is standard input.",
        ),
    ],
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
    report: Report = None,
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
            help="A column of numbers of a .csv that are labels (a number of a sample, a "
            "postcode), by name or number from 1; it is written as it came, as columns of text "
            "are. 0: there is none. Can be given several times.",
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
            "(.csv); where rows share a label, also the number of the row, from 0.",
            metavar="FILE",
        ),
    ] = None,
    level: Level = 0.95,
    cells: Annotated[
        Path | None,
        typer.Option(
            help="Write only the cells that this file lists, by the labels of row and column on "
            "each line (or their numbers from 0, where there are none): row, column, value.",
            metavar="FILE",
        ),
    ] = None,
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
    keep_integers: Annotated[
        bool,
        typer.Option(
            "--keep-integers",
            help="Fill columns of a table whose entries are all whole numbers with whole numbers.",
        ),
    ] = False,
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
    """Fill in the missing entries of a table, or of a list of row, column and value.

    In a table each line is taken for a sample, and columns have units of their own. In a list rows
    and columns have levels of their own, as in ratings. With --raw either is a matrix as it is.
    """
    streams = (out, factors, plot, report, summary, intervals)
    terminal = Terminal(json=json, quiet=quiet, pipes_data=out is None, outputs=streams)
    kept = Kept(checkpoint, resume, checkpoint_every)
    outputs = Outputs(out, factors, plot, report, intervals, level, draws, cells)
    bounds = (least, most)
    with terminal.errors():
        check_filling(level, draws, out, bounds)
        source = None if str(file) == "-" else file
        outputs.check(terminal, source, [summary, kept.path])
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
        outputs.check_size(terminal, matrix.shape)
        asked = None if cells is None else read_cells(cells, matrix, delimiter_of(delimiter))
        share = matrix.values.size / (matrix.shape[0] * matrix.shape[1])
        terminal.say(
            f"{file}: {matrix.shape[0]} x {matrix.shape[1]}, {percent(share)} observed "
            f"({matrix.table})",
            matrix.notes,
        )
        settings = Settings(rank, width, validation, time_limit, seed, symmetric, deep)
        if matrix.fillable == 0 and not allow_complete:
            refuse_complete(file, matrix)
        if matrix.fillable == 0 and not fit_all and cells is None:
            terminal.write_matrix(matrix.completed(None), out, matrix.table)
            completed_unchanged(terminal, file, summary)
            return
        as_it_is = raw or symmetric or deep or bool(factors or kept.path)
        if keep_integers and (matrix.listed or as_it_is):
            raise io.FileError(
                "--keep-integers is of tables whose columns have units of their own, not of lists "
                "or of a matrix as it is (--raw and alike)"
            )
        if matrix.listed or as_it_is:
            means = matrix.listed and not as_it_is
            filled = fill_matrix(terminal, matrix, settings, kept, bounds, fit_all, means)
        else:
            filled = fill_table(terminal, matrix, settings, bounds, fit_all, keep_integers)
        values = settings.summary(
            *(filled.result, file, filled.seconds),
            measurements=matrix.values.size,
            missing=matrix.missing,
            read_as=str(matrix.table),
            notes=matrix.notes,
        )
        if not terminal.is_empty(filled.result):
            outputs.write(terminal, matrix, filled, asked, values, file)
        rows = {"time": (f"{filled.seconds:.1f} s", "")}
        terminal.finish(filled.result, values, summary, rows, strict=strict)

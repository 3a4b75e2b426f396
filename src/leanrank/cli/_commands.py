"""The commands and their options."""

from __future__ import annotations

import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import leanrank
from leanrank import io
from leanrank._display import percent
from leanrank.cli import _streams
from leanrank.cli._demo import load_photograph, run_demo
from leanrank.cli._filling import (
    check_filling,
    draw_paths,
    fill_matrix,
    fill_table,
    write_draws,
    write_intervals,
)
from leanrank.cli._report import show_demo
from leanrank.cli._reproduce import reproduce
from leanrank.cli._tables import completed_unchanged, read_input, refuse_complete
from leanrank.cli._terminal import ARRAYS, PICTURES, Kept, Settings, Terminal
from leanrank.results import Status

__all__ = ["app", "main"]

app = typer.Typer(
    name="leanrank",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Recover low-rank matrices of unknown rank, with a certificate.",
    epilog="Exit codes of recover and complete: 0 certified; 1 not certified, or stopped (results "
    "are written all the same); 2 bad input, or output that cannot be written. Certified is what "
    "pins the matrix down, or predicts unseen entries (APPROXIMATE); --strict asks for the first.",
)
"""The commands, to be run by :func:`main` or embedded in another Typer application."""


class Layout(StrEnum):
    """How a .csv is laid out."""

    auto = "auto"
    wide = "wide"
    long = "long"


Source = Annotated[Path, typer.Argument(metavar="FILE", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print a summary in JSON to standard output.")]
Plot = Annotated[
    Path | None, typer.Option(help="Write a picture (.png, .pdf, .svg).", metavar="FILE")
]
SummaryFile = Annotated[
    Path | None, typer.Option("--summary", help="Write the JSON summary.", metavar="FILE")
]
Rank = Annotated[int | None, typer.Option(min=1, help="The rank, if you know it.")]
Width = Annotated[int | None, typer.Option(min=1, help="Largest number of columns to consider.")]
Validation = Annotated[
    float | None, typer.Option(help="Share of the measurements held out to choose the rank.")
]
TimeLimit = Annotated[
    float | None, typer.Option(help="Seconds after which to stop with the best so far.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same answer.")]
Symmetric = Annotated[bool, typer.Option("--symmetric", help="Recover X = U U^T.")]
Deep = Annotated[
    bool, typer.Option("--deep", help="Find the rank by SGD of a deep linear network; slow.")
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        help="Keep there (.npz) what is done so far, to go on from after an interruption.",
        metavar="FILE",
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        help="Go on from a checkpoint of the same command, and keep it up to date.", metavar="FILE"
    ),
]
CheckpointEvery = Annotated[
    float, typer.Option(min=0, help="Seconds between two writes of a checkpoint.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit with 1 unless the matrix itself is pinned down.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"leanrank {leanrank.__version__}")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version.")
    ] = False,
) -> None:
    pass


@app.command()
def recover(
    file: Source,
    out: Annotated[
        Path | None, typer.Option(help="Write factors and certificate (.npz).", metavar="FILE")
    ] = None,
    plot: Plot = None,
    summary: SummaryFile = None,
    json: Json = False,
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
    """Recover a matrix from the linear measurements in an .npz file.

    It holds y and one of: A; packed and d; rows, cols and shape; x and perhaps z; and, if you
    like, symmetric.
    """
    terminal = Terminal(json=json, quiet=quiet, outputs=(out, plot, summary))
    kept = Kept(checkpoint, resume, checkpoint_every)
    with terminal.errors():
        terminal.check_outputs(
            file, (out, ARRAYS), (plot, PICTURES), (summary, ()), (kept.path, ARRAYS)
        )
        problem = io.read_problem(file, symmetric=symmetric)
        settings = Settings(rank, width, validation, time_limit, seed, problem.symmetric, deep)
        result, seconds = terminal.recover(problem.op, problem.y, settings, kept)
        values = settings.summary(result, file, seconds, measurements=problem.op.size)
        if out is not None and not terminal.is_empty(result):
            io.save_result(out, result, **values)
            terminal.wrote("factors", out)
        if plot is not None:
            terminal.save_figure(leanrank.plotting.overview(result), plot)
        rows = {"time": (f"{seconds:.1f} s", "")}
        terminal.finish(result, values, summary, rows, strict=strict)


@app.command()
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
    header: Annotated[
        bool | None,
        typer.Option("--header/--no-header", help="Whether a .csv has one.", show_default="auto"),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Where row, column and value stand on each line of a .csv, by name or number from "
            "1: user,item,rating or 1,2,3. Other columns are ignored.",
            metavar="ROW,COLUMN,VALUE",
        ),
    ] = None,
    id_column: Annotated[
        list[str] | None,
        typer.Option(
            help="A column of a .csv that is no part of the matrix but a label, by name or number "
            "from 1; it is written as it came. 0: there is none. Can be given several times.",
            metavar="COLUMN",
        ),
    ] = None,
    missing: Annotated[
        list[str] | None,
        typer.Option(
            help="A value that stands for a missing entry, such as -999. Can be given several "
            "times.",
            metavar="VALUE",
        ),
    ] = None,
    decimal: Annotated[
        str | None, typer.Option(help="'.' or ',', in a .csv.", show_default="auto")
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(help="What separates cells of a .csv; tab is 'tab'.", show_default="auto"),
    ] = None,
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
    level: Annotated[
        float, typer.Option(help="Probability that an interval holds the entry.")
    ] = 0.95,
    draws: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Write so many completed matrices as they may be, for multiple imputation: "
            "OUT-1.csv, OUT-2.csv, ... beside --out.",
        ),
    ] = None,
    least: Annotated[
        float | None, typer.Option("--min", help="Least value of what is filled in.")
    ] = None,
    most: Annotated[
        float | None, typer.Option("--max", help="Largest value of what is filled in.")
    ] = None,
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
            columns=None if columns is None else columns.split(","),
            id_columns=id_column,
            missing=missing or (),
            decimal=decimal,
            delimiter="\t" if delimiter in ("tab", "\\t") else delimiter,
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


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the picture goes.", metavar="FILE")] = Path(
        "leanrank-demo.png"
    ),
    missing: Annotated[
        float, typer.Option(min=0.05, max=0.9, help="Share of the pixels to hide.")
    ] = 0.6,
    shrink: Annotated[
        int, typer.Option(min=1, max=8, help="Keep every so many pixels only: faster.")
    ] = 1,
    json: Json = False,
    time_limit: TimeLimit = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Complete a photograph with most of its pixels missing, and draw what happened.

    Exit code 0 where the picture was written and the run was not cut short: no photograph is of
    low rank exactly, and the certificate says so.
    """
    terminal = Terminal(json=json, quiet=quiet)
    with terminal.errors():
        terminal.check_outputs(None, (out, PICTURES))
        image = load_photograph(shrink)
        h, w, _ = image.shape
        terminal.say(
            f"A photograph of {w} x {h} pixels, {missing:.0%} of them hidden in all three "
            "colours. Each patch of 8 x 8 pixels is a row of a matrix; patches resemble one "
            "another, so the matrix is of low rank, if only approximately. Completing it ..."
        )
        with terminal.progress() as progress:
            shown = run_demo(
                image, missing=missing, seed=seed, callbacks=[progress], time_limit=time_limit
            )
        settings = Settings(None, None, None, time_limit, seed, False)
        values = settings.summary(
            shown.result, None, shown.seconds, psnr=shown.psnr, missing=missing, picture=str(out)
        )
        values["psnr_of_mean_colour"] = shown.psnr_of_mean
        terminal.save_figure(shown.figure(), out)
        if terminal.json:
            io.dump_summary(sys.stdout, values)
        show_demo(
            terminal.words, shown.result, shown.psnr, shown.psnr_of_mean, seconds=shown.seconds
        )
        raise typer.Exit(1 if shown.result.status is Status.STOPPED else 0)


app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(reproduce)


def main() -> None:
    """Run the command line, and leave with an exit code that means what the help says."""
    _streams.install()
    try:
        app()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
    except Exception:
        traceback.print_exc()
        code = 3
    sys.exit(_streams.exit_code(code))

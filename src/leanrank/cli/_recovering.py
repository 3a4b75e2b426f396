"""``leanrank recover``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import leanrank
from leanrank import io
from leanrank.cli._options import (
    CheckpointEvery,
    CheckpointFile,
    Deep,
    Json,
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
)
from leanrank.cli._terminal import ARRAYS, PAGES, PICTURES, Kept, Settings, Terminal

__all__ = ["recover"]


def recover(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="Measurements (.npz): y, and one of: A; packed and d; rows, cols and shape; x and "
            "perhaps z; and, for X = U U^T, symmetric.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Write factors and certificate (.npz).", metavar="FILE")
    ] = None,
    plot: Plot = None,
    report: Report = None,
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
    """Recover a matrix from the linear measurements in an .npz file."""
    terminal = Terminal(json=json, quiet=quiet, outputs=(out, plot, report, summary))
    kept = Kept(checkpoint, resume, checkpoint_every)
    with terminal.errors():
        terminal.check_outputs(
            file,
            *((out, ARRAYS), (plot, PICTURES), (report, PAGES), (summary, ()), (kept.path, ARRAYS)),
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
        if report is not None:
            terminal.save_report(result, file, report, {})
        rows = {"time": (f"{seconds:.1f} s", "")}
        terminal.finish(result, values, summary, rows, strict=strict)

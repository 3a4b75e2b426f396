"""``leanrank demo``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from leanrank import io
from leanrank.cli._demo import load_photograph, run_demo
from leanrank.cli._options import Json, Quiet, Seed, TimeLimit
from leanrank.cli._report import show_demo
from leanrank.cli._terminal import PICTURES, Settings, Terminal
from leanrank.results import Status

__all__ = ["demo"]


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

    A hard case: no photograph is exactly of low rank, so that what comes back is close, not exact.
    Exit code 0 where the picture was written and the run was not cut short.
    """
    terminal = Terminal(json=json, quiet=quiet)
    with terminal.errors():
        terminal.check_outputs(None, (out, PICTURES))
        image = load_photograph(shrink)
        h, w, _ = image.shape
        terminal.say(
            f"A hard case: a photograph of {w} x {h} pixels, {missing:.0%} of them hidden in all "
            "three colours. Each patch of 8 x 8 pixels is a row of a matrix. Patches resemble one "
            "another, so that the matrix is of low rank, but only approximately. Completing it ..."
        )
        with terminal.progress(time_limit) as progress:
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

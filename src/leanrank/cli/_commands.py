"""The commands, under one name, and how the process ends."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

import leanrank
from leanrank.cli import _streams
from leanrank.cli._completing import complete
from leanrank.cli._demonstrating import demo
from leanrank.cli._fitting import fit
from leanrank.cli._predicting import predict, recommend
from leanrank.cli._recovering import recover
from leanrank.cli._reproduce import reproduce

__all__ = ["app", "main"]

app = typer.Typer(
    name="leanrank",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Recover low-rank matrices of unknown rank, with a certificate.",
    epilog="Exit codes of recover, complete and fit: 0 certified; 1 not certified, or stopped "
    "(results are written all the same); 2 bad input, or output that cannot be written. Certified "
    "is what pins the matrix down, or predicts unseen entries (APPROXIMATE); --strict asks for the "
    "first.",
)
"""The commands, to be run by :func:`main` or embedded in another Typer application."""


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


for command in (recover, complete, fit, predict, recommend, demo):
    app.command()(command)
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

"""The commands, under one name, and how the process ends."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Annotated

import typer

import leanrank
from leanrank.cli import _streams
from leanrank.cli._completing import complete
from leanrank.cli._demonstrating import demo
from leanrank.cli._explaining import explain
from leanrank.cli._fitting import fit
from leanrank.cli._predicting import predict, recommend
from leanrank.cli._recovering import recover
from leanrank.cli._reproduce import reproduce

__all__ = ["app", "main"]

EXIT_CODES = """Exit codes:
0  all is well; of recover, complete and fit: the matrix itself is pinned
down (CONVERGED) or, without --strict, unseen entries are predicted (APPROXIMATE)
1  neither, or the run was stopped; results are written all the same
2  bad input, or output that cannot be written
3  a fault of leanrank, with a traceback
130  Ctrl-C outside of a run; 141  the reader of standard output left"""
"""What the process may end with."""

app = typer.Typer(
    name="leanrank",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Fill in matrices: tables with gaps, ratings, or other linear measurements. The rank is "
    "found, and every answer says how far to trust it.",
    epilog=f"Example: leanrank complete table.csv --out filled.csv\n\n{EXIT_CODES}",
)
"""The commands, to be run by :func:`main` or embedded in another Typer application."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"leanrank {leanrank.__version__}")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_version, is_eager=True, help="Say which version."
        ),
    ] = False,
) -> None:
    pass


EXAMPLES: dict[Callable[..., None], str] = {
    complete: "leanrank complete table.csv --out filled.csv --intervals ends.csv",
    fit: "leanrank fit ratings.csv --out model.npz --min 1 --max 5",
    predict: "leanrank predict model.npz pairs.csv --intervals --out predictions.csv",
    recommend: "leanrank recommend model.npz --users who.csv --top 10 --out best.csv",
    recover: "leanrank recover problem.npz --out result.npz",
    explain: "leanrank explain result.npz",
    demo: "leanrank demo --shrink 2 --out picture.png",
    reproduce: "leanrank reproduce deep-fig1 --quick",
}
"""One for each command; in this order they are listed."""

_REST = {"allow_extra_args": True, "ignore_unknown_options": True}
for command, example in EXAMPLES.items():
    judged = command in (recover, complete, fit)
    app.command(
        epilog=f"Example: {example}" + (f"\n\n{EXIT_CODES}" if judged else ""),
        context_settings=_REST if command is reproduce else None,
    )(command)


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

"""``leanrank reproduce``: a figure or claim of a paper, run, drawn and judged."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from leanrank import io
from leanrank.cli._report import say
from leanrank.cli._terminal import Terminal
from leanrank.research import experiments as papers

__all__ = ["reproduce"]

_FOLDER = Path("reproductions")
_COLOURS = {"HOLDS": "green", "HOLDS WITH": "yellow", "FAILS": "red"}


def reproduce(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Which; --list shows them all.")
    ] = None,
    list_all: Annotated[
        bool, typer.Option("--list", help="Show the experiments, or the parameters of one.")
    ] = False,
    run_all: Annotated[bool, typer.Option("--all", help="Run all of them.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Smaller settings that still show the effect.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same numbers.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for figure, summary.json, results.npz and finished trials, from which an "
            "interrupted run goes on. With --all each experiment gets a folder in it.",
            metavar="DIR",
            show_default="reproductions/NAME, -quick, -seedN or -changed added where it applies",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Trials to run at a time.", show_default="the cores there are"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary in JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Run a figure or claim of a paper, draw it, and say whether the claim held.

    Any parameter of an experiment can follow as --PARAMETER VALUE: reproduce NAME --list shows
    them. Exit code 0, whatever the verdict.
    """
    terminal = Terminal(json=json, quiet=quiet)
    with terminal.errors():
        try:
            _reproduce(
                terminal,
                name,
                context.args,
                list_all=list_all,
                run_all=run_all,
                quick=quick,
                seed=seed,
                out=out,
                jobs=jobs or _cores(),
            )
        except (ValueError, TypeError) as error:
            raise io.FileError(str(error)) from error


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _reproduce(
    terminal: Terminal,
    name: str | None,
    rest: Sequence[str],
    *,
    list_all: bool,
    run_all: bool,
    quick: bool,
    seed: int,
    out: Path | None,
    jobs: int,
) -> None:
    if name is not None and name.startswith("-"):
        if run_all:
            raise ValueError(f"with --all no parameter can be set, got {name}")
        raise ValueError(f"the name of an experiment comes first, got {name}; see --list")
    if list_all:
        _list(terminal, name, rest)
        return
    if run_all == (name is not None):
        raise ValueError("give the name of an experiment, or --all; --list shows the names")
    experiments = [papers.get(n) for n in ([name] if name is not None else papers.names())]
    given = _parameters(experiments[0], rest)
    values = []
    for experiment in experiments:
        if out is None:
            folder = _FOLDER / _folder(experiment.name, quick, seed, changed=bool(given))
        else:
            folder = out / experiment.name if run_all else out
        try:
            with _Progress(terminal, experiment.name) as progress:
                done = papers.run(
                    experiment, quick, seed, folder, progress.update, jobs=jobs, **given
                )
        except KeyboardInterrupt:
            say(terminal.errors_to, f"Trials are in {folder}: the same command goes on from there")
            raise
        values.append(done.summary())
        _show(terminal.words, done)
        terminal.wrote("figure, summary, results and trials", folder)
    if terminal.json:
        io.dump_summary(sys.stdout, values[0] if name is not None else {"reproductions": values})


def _folder(name: str, quick: bool, seed: int, *, changed: bool) -> str:
    """A name that keeps a run of other settings from taking the place of the paper's."""
    marks = {"quick": quick, f"seed{seed}": seed > 0, "changed": changed}
    return "-".join([name, *(mark for mark, is_set in marks.items() if is_set)])


def _parameters(experiment: papers.Experiment, rest: Sequence[str]) -> dict[str, Any]:
    """Values from the options that the command does not know."""
    given: dict[str, Any] = {}
    words = list(rest)
    while words:
        word = words.pop(0)
        if not word.startswith("--") or len(word) == 2:
            raise ValueError(f"expected --PARAMETER VALUE, got {word}")
        option, equals, text = word[2:].partition("=")
        key = option.replace("-", "_")
        parameter = experiment.parameter(key)
        if not equals:
            if not words:
                raise ValueError(f"{word} needs a value")
            text = words.pop(0)
        given[key] = parameter.parse(text, key)
    return given


def _list(terminal: Terminal, name: str | None, rest: Sequence[str]) -> None:
    """Names and titles of all experiments, or claim and parameters of one."""
    if rest:
        raise ValueError(f"--list takes at most the name of an experiment, got {' '.join(rest)}")
    if name is None:
        experiments = [papers.get(n) for n in papers.names()]
        if terminal.json:
            shown = [{"name": e.name, "title": e.title, "claim": e.claim} for e in experiments]
            io.dump_summary(sys.stdout, {"experiments": shown})
        terminal.words.print(_table([(e.name, f"{e.title} ({e.reference})") for e in experiments]))
        return
    experiment = papers.get(name)
    if terminal.json:
        parameters = {
            key: dataclasses.asdict(p) | {"quick": p.default(True)}
            for key, p in experiment.parameters.items()
        }
        io.dump_summary(sys.stdout, io.plain_values({"name": name, "parameters": parameters}))
    terminal.say(
        f"{experiment.title} ({experiment.reference})",
        [f"Claim: {experiment.claim}", f"Criterion: {experiment.criterion or 'none is written'}"],
    )
    for key, p in experiment.parameters.items():
        default = _text(p.full)
        if p.default(True) != p.full:
            default += f" (with --quick {_text(p.default(True))})"
        terminal.words.print(Text(f"--{key.replace('_', '-')} {default}", "bold"), soft_wrap=True)
        say(terminal.words, f"  {'; '.join([p.about, *_bounds(p)])}")


def _bounds(p: papers.Parameter) -> list[str]:
    """What a value can be, in words."""
    return [
        *([f"at least {p.least:g}"] if p.least is not None else []),
        *([f"above {p.above:g}"] if p.above is not None else []),
        *([f"of {', '.join(p.choices)}"] if p.choices else []),
        *([f"at least {p.fewest} values"] if p.fewest > 1 else []),
    ]


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(_text(x) for x in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _table(rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for i in range(len(rows[0])):
        table.add_column(style="bold" if i == 0 else None, no_wrap=i == 0)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _show(console: Console, done: papers.Reproduction) -> None:
    """The claim, the verdict and what was measured."""
    verdict = done.verdict
    headline = Text.assemble(
        (f"{done.experiment.name}  ", "bold"),
        (str(verdict.status), f"bold {_COLOURS[verdict.status]}"),
    )
    lines = [f"Claim: {done.experiment.claim}", f"Measured: {verdict.measured}"]
    if verdict.condition:
        word = "With" if verdict.status is papers.Status.HOLDS_WITH else "Instead"
        lines.append(f"{word}: {verdict.condition}")
    if done.experiment.criterion:
        lines.append(f"Criterion: {done.experiment.criterion}")
    console.print(headline, soft_wrap=True)
    for line in lines:
        say(console, line)


class _Progress:
    """A bar on the terminal; elsewhere a line for each tenth of the trials."""

    def __init__(self, terminal: Terminal, name: str) -> None:
        console = Console(stderr=True)
        quiet = terminal.words.quiet
        self._lines = None if quiet or console.is_terminal else console
        self._name, self._tenths = name, 0
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task(name, total=None)

    def update(self, done: int, total: int) -> None:
        """Show how far the run is."""
        self._bar.update(self._task, completed=done, total=total)
        if self._lines is not None and 10 * done // total > self._tenths:
            self._tenths = 10 * done // total
            say(self._lines, f"{self._name}: {done} of {total} trials")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if not self._bar.disable:  # Rich before 14.3 would end a line that is not there
            self._bar.stop()

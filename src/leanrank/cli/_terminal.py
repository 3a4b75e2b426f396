"""What the commands share: settings, words on a terminal, files, exit codes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import typer
from rich.console import Console

from leanrank import io
from leanrank._files import replacing
from leanrank.callbacks import Checkpoint, Progress
from leanrank.cli import _report, _streams
from leanrank.operators import Measurement
from leanrank.recover import recover
from leanrank.results import Result, Status
from leanrank.search import AnotherRunError, SavedRun, Strategy

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

__all__ = ["ARRAYS", "PAGES", "PICTURES", "Kept", "Settings", "Terminal", "bad_input"]

ARRAYS = (".npz",)
PICTURES = (".png", ".pdf", ".svg")
PAGES = (".html", ".htm")
_PROGRESS_EVERY = 10.0
"""Seconds between lines of progress in a pipe."""


@dataclass(frozen=True)
class Settings:
    """What the user set; names are those of :func:`leanrank.recover`, but for ``deep``."""

    rank: int | None
    width: int | None
    validation: float | None
    time_limit: float | None
    seed: int
    symmetric: bool
    deep: bool = False

    def summary(
        self, result: Result, source: Path | None, seconds: float, **more: Any
    ) -> dict[str, Any]:
        """The JSON summary of a run with these settings."""
        parameters = {name: value for name, value in asdict(self).items() if name != "seed"}
        origin = {} if source is None else {"input": str(source)}
        return io.summary(
            result, seed=self.seed, parameters=parameters, seconds=seconds, **origin, **more
        )


@dataclass(frozen=True)
class Kept:
    """What is kept of a run on the way, and what it goes on from.

    Attributes
    ----------
    checkpoint, resume : path or None
        Where a checkpoint is written, and where one is read from: the same if only the second is
        given.
    every : float
        Seconds between two writes.
    """

    checkpoint: Path | None = None
    resume: Path | None = None
    every: float = 30.0

    @property
    def path(self) -> Path | None:
        """The file to write to, if any."""
        return self.checkpoint or self.resume

    def saved(self) -> SavedRun | None:
        """The run to go on from, if any."""
        return None if self.resume is None else io.load_checkpoint(self.resume)

    def checkpoints(self) -> list[Checkpoint]:
        """The callback that writes, if any."""
        return [] if self.path is None else [Checkpoint(self.path, every=self.every)]


@contextmanager
def bad_input() -> Iterator[None]:
    """What the library says of its arguments is said of the input that they come from."""
    try:
        yield
    except io.FileError:
        raise
    except (ValueError, TypeError) as error:
        raise io.FileError(str(error)) from None


class Terminal:
    """Says what is to be said, where it does not get in the way of data.

    Parameters
    ----------
    json : bool
        Standard output takes a JSON summary.
    quiet : bool
        Only errors are said.
    pipes_data : bool
        Standard output takes a matrix, unless it is a terminal or takes JSON.
    outputs : sequence of path or None
        Where else something goes; one of them may be standard output by another name.
    """

    def __init__(
        self,
        *,
        json: bool,
        quiet: bool,
        pipes_data: bool = False,
        outputs: Sequence[Path | None] = (),
    ) -> None:
        self.json = json
        self.data_to_stdout = pipes_data and not json and not sys.stdout.isatty()
        self.errors_to = Console(stderr=True, soft_wrap=True)
        named = any(path is not None and io.is_standard_output(path) for path in outputs)
        beside = json or self.data_to_stdout or named
        self.words = Console(stderr=beside, quiet=quiet, highlight=False)
        self._quiet = quiet

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn errors that the user can mend into a sentence and an exit code."""
        try:
            yield
            sys.stdout.flush()
        except io.FileError as error:
            self._fail(f"{error}")
        except OSError as error:
            self._fail(f"{error.filename or 'input or output'}: {error.strerror or error}")
        except MemoryError:
            self._fail("there is not enough memory for this")
        except KeyboardInterrupt:
            _report.say(self.errors_to, "leanrank: interrupted, nothing more is written")
            raise typer.Exit(130) from None

    def _fail(self, message: str) -> NoReturn:
        _report.say(self.errors_to, f"leanrank: {message}")
        raise typer.Exit(2) from None

    def say(self, text: str, notes: Sequence[str] = ()) -> None:
        """Lines of prose."""
        for line in (text, *notes):
            _report.say(self.words, line)

    def wrote(self, what: str, path: Path) -> None:
        """Say where something went."""
        self.say(f"Wrote {what} to {path}")

    def check_outputs(
        self, source: Path | None, *outputs: tuple[Path | None, tuple[str, ...]]
    ) -> None:
        """Refuse before the computation what could not be written after it.

        ``outputs`` are files, each with the endings that its name may have (none: any); None is
        no file.
        """
        if source is not None:
            io.check_readable(source)
        if (self.json or self.data_to_stdout) and _streams.is_stdout_closed():
            raise io.FileError("standard output is closed, but is to take the result")
        taken: set[Path] = set()
        for path, suffixes in outputs:
            if path is None:
                continue
            io.check_writable(path, inputs=() if source is None else (source,))
            stream = io.is_stream(path)
            if suffixes and not stream and path.suffix.lower() not in suffixes:
                wanted = ", ".join(suffixes)
                raise io.FileError(f"{path}: expected a name that ends in {wanted}")
            if path.resolve() in taken:
                raise io.FileError(f"{path}: is to take two outputs; choose another name for one")
            if not stream:
                taken.add(path.resolve())

    @property
    def progress_to(self) -> dict[str, Any]:
        """Where progress goes: a line on a terminal, lines in a pipe, nowhere where it is quiet."""
        return {"console": Console(stderr=True, quiet=self._quiet), "every": _PROGRESS_EVERY}

    def progress(self, time_limit: float | None = None) -> Progress:
        """The line of progress."""
        return Progress(**self.progress_to, time_limit=time_limit)

    def recover(
        self,
        op: Measurement,
        y: np.ndarray,
        settings: Settings,
        kept: Kept,
        *,
        intercepts: bool = False,
    ) -> tuple[Result, float]:
        """Run :func:`leanrank.recover`, with progress; the result and the seconds it took."""
        start = time.monotonic()
        saved, checkpoints = kept.saved(), kept.checkpoints()
        try:
            with self.progress(settings.time_limit) as progress:
                result = recover(
                    op,
                    y,
                    symmetric=settings.symmetric,
                    intercepts=intercepts,
                    rank=settings.rank,
                    width=settings.width,
                    strategy=_deep_strategy() if settings.deep else None,
                    validation=settings.validation,
                    time_limit=settings.time_limit,
                    start=saved,
                    callbacks=[progress, *checkpoints],
                    random_state=settings.seed,
                )
        except AnotherRunError:
            self._fail(
                f"{kept.resume}: is the checkpoint of another run, with other measurements, "
                "settings or seed: give the same ones, or leave out --resume"
            )
        except (ValueError, TypeError) as error:
            self._fail(f"{error}")
        return result, time.monotonic() - start

    def is_empty(self, result: Result) -> bool:
        """Whether a run was stopped before it had anything to write, which is then said."""
        empty = result.status is Status.STOPPED and result.rank == 0
        if empty:
            self.say("Stopped before any factors were fitted: no matrix is written")
        return empty

    def write_matrix(self, X: np.ndarray, out: Path | None, table: io.Table) -> None:
        """Write a completed matrix to its file, or to standard output where that is its place."""
        if out is not None:
            io.write_matrix(out, X, table=table)
            self.wrote("the completed matrix", out)
        elif self.data_to_stdout:
            io.write_table(sys.stdout, X, table)

    def save_report(
        self, result: Result, source: Path, path: Path, figures: Mapping[str, Figure | SubFigure]
    ) -> None:
        """Write a page about a result, whole or not at all."""
        from leanrank.reporting import save_report

        save_report(path, result, title=source.name, figures=figures)
        self.wrote("a report", path)

    def save_figure(self, figure: Figure | SubFigure, path: Path) -> None:
        """Write a picture, whole or not at all."""
        suffix = path.suffix.lower() if path.suffix.lower() in PICTURES else PICTURES[0]
        with replacing(path) as file:
            figure.figure.savefig(file, format=suffix.removeprefix("."), dpi=150)
        self.wrote("a picture", path)

    def write_summary(self, values: Mapping[str, Any], summary: Path | None) -> None:
        """Write a summary to its file, and to standard output where JSON goes there."""
        if summary is not None:
            io.save_summary(summary, values)
            self.wrote("the summary", summary)
        if self.json:
            io.dump_summary(sys.stdout, values)

    def finish(
        self,
        result: Result,
        values: dict[str, Any],
        summary: Path | None,
        rows: _report.Rows,
        *,
        strict: bool = False,
    ) -> None:
        """Say what came out, in words or in JSON, and leave with the exit code.

        ``strict`` asks for a matrix that is pinned down, not only for predictions.
        """
        self.write_summary(values, summary)
        _report.show_result(self.words, result, rows, strict=strict)
        good = result.status is Status.CONVERGED if strict else result.success
        raise typer.Exit(0 if good else 1)


def _deep_strategy() -> Strategy:
    """A deep network, loaded only when asked for."""
    from leanrank.research.deep import RidgeLadder

    return RidgeLadder()

"""Callbacks: progress on a terminal, a deadline, a checkpoint on disk.

Each is called with every :class:`~leanrank.solvers.State` of a run and returns True to stop it.
None of them changes what is computed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from leanrank import _checks
from leanrank._arrays import to_numpy
from leanrank._files import PathLike, check_writable, replacing
from leanrank.factors import Factors
from leanrank.results import Result
from leanrank.search import SavedRun
from leanrank.solvers import Deadline, State

__all__ = ["Checkpoint", "Deadline", "Progress", "factor_arrays"]


class Checkpoint:
    """Saves a run every few seconds and at its end, whole or not at all.

    The file is an ``.npz`` with what a run that is stopped now would return, arrays U and V (U
    alone if symmetric) in the units of y, which :func:`leanrank.io.load_factors` reads; and with
    the fits that it has finished, from which ``recover(..., start=load_checkpoint(path))`` goes on.

    Parameters
    ----------
    path : path
        Written anew each time; checked when this object is made.
    every : float
        Seconds between two writes, at least 0. The first state is always written.

    Raises
    ------
    FileError
        If ``path`` cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib, leanrank as lr
    >>> from leanrank.io import load_checkpoint
    >>> inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "so-far.npz"
    >>> stopped = lr.recover(inst.op, inst.y, callbacks=[Checkpoint(path), lambda state: True])
    >>> stopped.status
    <Status.STOPPED: 'stopped'>
    >>> lr.recover(inst.op, inst.y, start=load_checkpoint(path)).rank
    2
    """

    def __init__(self, path: PathLike, *, every: float = 30.0) -> None:
        check_writable(path)
        self.path = path
        self.every = _checks.real_number(every, "every", least=0)
        self._saved: Callable[[], SavedRun | None] | None = None
        self._next = -math.inf

    def begin(self, saved: Callable[[], SavedRun | None]) -> None:
        """Learn how to ask the run for what it has."""
        self._saved = saved

    def __call__(self, state: State) -> None:
        if time.monotonic() >= self._next:
            run = None if self._saved is None else self._saved()
            self._write(SavedRun(state.factors_in_units, "") if run is None else run)

    def end(self, result: Result) -> None:
        """Write what the run came to."""
        run = None if self._saved is None else self._saved()
        self._write(
            SavedRun(result.factors, "") if run is None else replace(run, factors=result.factors)
        )

    def _write(self, run: SavedRun) -> None:
        arrays: dict[str, Any] = run.arrays()
        with replacing(
            self.path
        ) as file:  # not compressed: random digits take long and gain little
            np.savez(file, **arrays)
        self._next = time.monotonic() + self.every


class Progress:
    """One line on the terminal: phase, width, relative residual and held-out error, passes, time.

    And, of tables and ratings, about how many seconds are left.

    A pass is one sweep over all measurements; the held-out error is that of the latest fit that was
    tried on measurements held out, relative to their size. The line is drawn from within the run,
    at most ten times a second, and is gone when the run ends; no thread is started. Where there is
    no terminal, nothing is said, or a plain line now and then.

    Parameters
    ----------
    zero_loss : float, optional
        Loss of the zero matrix, to which the residual is relative. Left out, the largest loss seen
        so far stands for it.
    console : rich.console.Console, optional
        By default the terminal behind standard error.
    every : float, optional
        Seconds between plain lines where there is no terminal, such as 10. Left out, nothing is
        said there.
    time_limit : float, optional
        Seconds that the run may take, to show how many are left.

    Examples
    --------
    >>> import leanrank as lr
    >>> inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
    >>> with Progress() as progress:
    ...     result = lr.recover(inst.op, inst.y, callbacks=[progress])
    """

    def __init__(
        self,
        *,
        zero_loss: float | None = None,
        console: Console | None = None,
        every: float | None = None,
        time_limit: float | None = None,
    ) -> None:
        self.console = Console(stderr=True) if console is None else console
        self._zero_loss = 0.0 if zero_loss is None else zero_loss
        self._fixed = zero_loss is not None
        self._live: Live | None = None
        if every is not None:
            every = _checks.real_number(every, "every", least=0)
        self._every, self._time_limit = every, time_limit
        self._start = time.monotonic()
        self._next = self._start if self.console.is_terminal else self._start + (every or 0.0)

    def __call__(self, state: State) -> None:
        if not self._fixed:
            self._zero_loss = max(self._zero_loss, state.point.loss)
        now = time.monotonic()
        if now < self._next:
            return
        if not self.console.is_terminal:
            if self._every is not None:
                self._next = now + self._every
                self.console.print(self.line(state), soft_wrap=True)
            return
        self._next = now + 0.1
        if self._live is None:
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(self.line(state), refresh=True)

    def line(self, state: State) -> Text:
        """What is shown for a state."""
        relative = math.sqrt(state.point.loss / self._zero_loss) if self._zero_loss > 0 else 0.0
        missed = state.held_out_error
        return Text.assemble(
            (f"{state.phase:<9}", "bold"),
            f" width {state.factors.width:<4} residual {relative:<8.1e} "
            + ("" if missed is None else f"held-out error {missed:<8.1e} ")
            + f"passes {state.passes:<8.0f} {self.times(state.share)}",
        )

    def times(self, share: float | None = None) -> str:
        """Seconds so far, and those that are left, by the share that is done or the time limit."""
        seconds = time.monotonic() - self._start
        if share is not None and share > _TELLING:
            return f"{seconds:.0f} s, about {seconds * (1 / share - 1):.0f} s left"
        if self._time_limit is not None:
            left = max(self._time_limit - seconds, 0.0)
            return f"{seconds:.0f} s, at most {left:.0f} s left"
        return f"{seconds:.0f} s"

    def close(self) -> None:
        """Take the line off the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


_TELLING = 0.05
"""Share of a run, above which what it took tells what is left."""


def factor_arrays(factors: Factors) -> dict[str, np.ndarray]:
    """Arrays U and V of factors from any device, U alone if symmetric."""
    arrays = {"U": to_numpy(factors.U)}
    return arrays if factors.symmetric else arrays | {"V": to_numpy(factors.V)}

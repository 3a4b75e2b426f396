"""Callbacks: progress on a terminal, a deadline, a checkpoint on disk.

Each is called with every :class:`~leanrank.solvers.State` of a run and returns True to stop it.
None of them changes what is computed.
"""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Self

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from leanrank import _checks
from leanrank._arrays import to_numpy
from leanrank._files import PathLike, check_writable
from leanrank._npz import write_arrays
from leanrank.factors import Factors
from leanrank.solvers import State

__all__ = ["Checkpoint", "Deadline", "Progress", "factor_arrays"]


class Deadline:
    """Stops a run some time after this object was made.

    Parameters
    ----------
    seconds : float
        Above 0.

    Raises
    ------
    ValueError, TypeError
        If ``seconds`` is not a positive number.

    Examples
    --------
    >>> import numpy as np, leanrank as lr
    >>> inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
    >>> lr.recover(inst.op, inst.y, callbacks=[Deadline(1e-6)]).status
    <Status.STOPPED: 'stopped'>
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = _checks.real_number(seconds, "seconds", above=0)
        self._end = time.monotonic() + self.seconds

    def __call__(self, state: State) -> bool:
        return time.monotonic() >= self._end


class Checkpoint:
    """Saves the factors of least loss so far, every few seconds and whole or not at all.

    The file is an ``.npz`` with arrays U and V (U alone if symmetric) in the units of y, which
    :func:`leanrank.io.load_factors` reads. States of the phase "validate" are passed over, since
    they are fitted to a part of the measurements; and those of "refit", where the rank is found,
    count more than any before, which may have fitted noise with more columns.

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
    >>> from leanrank.io import load_factors
    >>> inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "so-far.npz"
    >>> result = lr.recover(inst.op, inst.y, callbacks=[Checkpoint(path, every=0)])
    >>> load_factors(path).shape
    (30, 20)
    """

    def __init__(self, path: PathLike, *, every: float = 30.0) -> None:
        check_writable(path)
        self.path = path
        self.every = _checks.real_number(every, "every", least=0)
        self._best: Factors | None = None
        self._best_loss = math.inf
        self._refitting = False
        self._saved: Factors | None = None
        self._next = -math.inf

    def __call__(self, state: State) -> None:
        refit = state.phase == "refit"
        if refit and not self._refitting:
            self._refitting, self._best_loss = True, math.inf
        counts = refit if self._refitting else state.phase != "validate"
        if counts and state.point.loss < self._best_loss:
            self._best, self._best_loss = state.factors_in_units, state.point.loss
        if time.monotonic() >= self._next:
            self.save()

    def save(self) -> None:
        """Write the best factors now, if they are not on disk yet."""
        if self._best is not None and self._best is not self._saved:
            write_arrays(self.path, factor_arrays(self._best))
            self._saved = self._best
        self._next = time.monotonic() + self.every


class Progress:
    """One line on the terminal: phase, width, relative residual, passes, time.

    Says nothing where there is no terminal. The line is drawn from within the run, at most ten
    times a second, and is gone when the run ends; no thread is started.

    Parameters
    ----------
    zero_loss : float, optional
        Loss of the zero matrix, to which the residual is relative. Left out, the largest loss seen
        so far stands for it.
    console : rich.console.Console, optional
        By default the terminal behind standard error.

    Examples
    --------
    >>> import leanrank as lr
    >>> inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
    >>> with Progress() as progress:
    ...     result = lr.recover(inst.op, inst.y, callbacks=[progress])
    """

    def __init__(self, *, zero_loss: float | None = None, console: Console | None = None) -> None:
        self.console = Console(stderr=True) if console is None else console
        self._zero_loss = 0.0 if zero_loss is None else zero_loss
        self._fixed = zero_loss is not None
        self._live: Live | None = None
        self._start = time.monotonic()
        self._next = -math.inf

    def __call__(self, state: State) -> None:
        if not self._fixed:
            self._zero_loss = max(self._zero_loss, state.point.loss)
        now = time.monotonic()
        if not self.console.is_terminal or now < self._next:
            return
        self._next = now + 0.1
        if self._live is None:
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(self.line(state), refresh=True)

    def line(self, state: State) -> Text:
        """What is shown for a state."""
        relative = math.sqrt(state.point.loss / self._zero_loss) if self._zero_loss > 0 else 0.0
        return Text.assemble(
            (f"{state.phase:<9}", "bold"),
            f" width {state.factors.width:<4} residual {relative:<8.1e} "
            f"passes {state.passes:<8.0f} {time.monotonic() - self._start:.0f} s",
        )

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


def factor_arrays(factors: Factors) -> dict[str, np.ndarray]:
    """Arrays U and V of factors from any device, U alone if symmetric."""
    arrays = {"U": to_numpy(factors.U)}
    return arrays if factors.symmetric else arrays | {"V": to_numpy(factors.V)}

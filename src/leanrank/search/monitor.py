"""What is kept of a run while it lasts: its history, and the best factors so far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from leanrank._arrays import to_numpy
from leanrank.factors import Factors
from leanrank.pruning import prune
from leanrank.results import History, Result
from leanrank.search.saved import FinishedFits, SavedRun
from leanrank.solvers import Callback, State, record

__all__ = ["Monitor", "StopRun"]


class StopRun(Exception):  # noqa: N818 - a request, not an error
    """A callback asked to stop; the monitor holds the best factors."""


@dataclass
class Monitor:
    """Keeps the history, asks the callbacks, and remembers the best factors so far.

    Attributes
    ----------
    callbacks : tuple of callables
    scale : float
        What y was divided by.
    history : History
    best : Factors or None
        What to return if the run is stopped: the latest of exploring or refitting, or what the
        plan has found to be better.
    column_norms : dict
        Norms before and after pruning, in the units of y.
    proposed_ranks : set of int
        Ranks that a strategy came to by itself, before any fit.
    finished : FinishedFits
    fingerprint : str
        Of measurements and settings.
    start : Factors or None
        What the run started from, in the units of y.
    held_out_error : float or None
        Relative, of the latest stage that was assessed.
    unheard : bool
        Whether nobody looks at states: then sweeps need not be measured.
    """

    callbacks: tuple[Callback, ...] = ()
    scale: float = 1.0
    history: History = field(default_factory=History)
    best: Factors | None = None
    column_norms: dict[str, Any] = field(default_factory=dict)
    proposed_ranks: set[int] = field(default_factory=set)
    finished: FinishedFits = field(default_factory=FinishedFits)
    fingerprint: str = ""
    start: Factors | None = None
    held_out_error: float | None = None
    unheard: bool = False

    def __call__(self, state: State) -> None:
        """Record a state; raises :class:`StopRun` if a callback says so."""
        state = replace(
            state,
            iteration=len(self.history),
            scale=self.scale,
            held_out_error=self.held_out_error,
        )
        self.history.records.append(record(state))
        if self.best is None or state.phase in ("explore", "posterior", "refit"):
            self.best = state.factors
        if any([callback(state) for callback in self.callbacks]):
            raise StopRun

    def saved(self) -> SavedRun | None:
        """The run so far; None before there are any factors."""
        if self.best is None:
            return None
        fits = tuple(self.finished.fits)
        return SavedRun(self.best.scaled(self.scale), self.fingerprint, fits, self.start)

    def begin(self) -> None:
        """Introduce the run to callbacks that want to know it."""
        for callback in self.callbacks:
            if hasattr(callback, "begin"):
                callback.begin(self.saved)

    def end(self, result: Result) -> None:
        """Show the result to callbacks that want to see it."""
        for callback in self.callbacks:
            if hasattr(callback, "end"):
                callback.end(result)

    def prune(self, factors: Factors, threshold: float) -> Factors:
        """The columns above a threshold; norms before and after are noted."""
        kept = prune(factors, threshold)
        self._note("before pruning", factors)
        self._note("after pruning", kept)
        return kept

    def note_pruned(self, factors: Factors) -> None:
        """Columns of balanced factors as what pruning left, and found if none did before."""
        balanced = factors.balance()
        if "before pruning" not in self.column_norms:
            self._note("before pruning", balanced)
        self._note("after pruning", balanced)

    def _note(self, moment: str, factors: Factors) -> None:
        self.column_norms[moment] = math.sqrt(self.scale) * to_numpy(factors.column_norms())

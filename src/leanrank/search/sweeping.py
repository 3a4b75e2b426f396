"""Sweeping: columns with a prior, judged by entries that sweeps do not see.

Sweeps end when these are not predicted better, and columns are added as long as all that there are
are worth keeping. What is known after a sweep is a :class:`Stage`, which can be saved: a search
that goes on from it comes to the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from leanrank.posterior import (
    Blocks,
    Layout,
    Moments,
    State,
    Team,
    finished,
    start,
    sweeps,
    widened,
)
from leanrank.search.holding_out import choose_width, clearly_better

__all__ = ["Held", "Progress", "Search", "Stage"]

_SWEEPS = 30
"""Of one width, at most."""
_SETTLED = 5e-4
"""Relative fall of the held-out error in one sweep, below which sweeps end."""
_USUAL = 8
"""Sweeps that are expected before there is anything to judge by."""
_PASSES = 3
"""Over the entries, for the directions to begin with."""
_SPARED = 2
"""Sweeps before columns that the data seem to empty are dropped: they turn first."""
_HIDDEN = 0.5
"""Fall of the held-out error since columns were dropped, after which weaker ones may be seen."""
_CLEARLY = 2.0
"""Standard errors by which more columns must predict held-out entries better."""
_HARDLY = 0.25
"""The same, for columns that are there to be kept: shrinkage costs them less than dropping."""
_ALIVE = 0.1
"""Mean square of a column's means over its variance, below which it is on the way to be emptied."""


@dataclass(frozen=True)
class Progress:
    """How far sweeps are.

    Attributes
    ----------
    sweep : int
        Number of sweeps so far.
    width : int
        Columns at work.
    held_out_error : float
        Root mean square over the held-out entries, in the units of y.
    share : float
        Share of the work that is done, in (0, 1), judged by how fast that error falls; it goes
        back where columns are added.
    """

    sweep: int
    width: int
    held_out_error: float
    share: float


@dataclass(frozen=True)
class Held:
    """Entries that were held out.

    Attributes
    ----------
    rows, cols, y, weights : ndarray, shape (held,)
    """

    rows: np.ndarray
    cols: np.ndarray
    y: np.ndarray
    weights: np.ndarray

    def costs(self, residual: np.ndarray) -> np.ndarray:
        """Squares, times weights."""
        return self.weights * residual**2

    def errors(self, state: State) -> np.ndarray:
        """Squared errors, times weights."""
        return self.costs(state.predict(self.rows, self.cols) - self.y)

    def error(self, errors: np.ndarray) -> float:
        """Root of the weighted mean of squared errors."""
        return math.sqrt(float(errors.mean() / self.weights.mean()))

    def worth_keeping(self, state: State) -> int:
        """Number of leading columns beyond which these entries gain nothing.

        Those that stand out of noise are kept, and those that the data have all but emptied are
        not. In between, what costs prediction anything is not dropped, even if it is not clear.
        """
        means = np.mean(state.columns.mean[:, : state.width] ** 2, axis=0)
        alive = int(np.argmin(np.append(means > _ALIVE * state.variances, False)))
        sure = min(state.standing_out(), alive)
        parts = state.rows[self.rows] * state.columns.mean[self.cols]
        missed = parts[:, state.width :].sum(axis=1) + parts[:, :sure].sum(axis=1) - self.y
        errors = {sure: self.costs(missed)}
        for k in range(sure, alive):
            missed = missed + parts[:, k]
            errors[k + 1] = self.costs(missed)
        return choose_width(errors, _HARDLY)


@dataclass(frozen=True)
class Stage:
    """What is known after a sweep.

    Attributes
    ----------
    state : State
        Where held-out entries are predicted best, at this width.
    errors : ndarray, shape (held,)
        Squared errors on them.
    given : int
        Columns that this width began with.
    made, total : int
        Sweeps of this width, and of all.
    last, fall : float
        Held-out error after the last sweep, and by how much that lowered it.
    dropped_at : float
        Held-out error when columns were first dropped; 0 if none were.
    narrower : Stage or None
        What more columns are to be better than.
    ended, stopped : bool
        Whether sweeps gain nothing more, or were told to stop.
    """

    state: State
    errors: np.ndarray
    given: int
    made: int = 0
    total: int = 0
    last: float = math.inf
    fall: float = math.inf
    dropped_at: float = 0.0
    narrower: Stage | None = None
    ended: bool = False
    stopped: bool = False

    def arrays(self) -> dict[str, np.ndarray]:
        """As named arrays: all that a search depends on; of what is narrower, columns will do."""
        s = self.state
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        numbers |= {name: getattr(s, name) for name in _STATE_NUMBERS} | asdict(s.layout)
        found = {name: np.array(value) for name, value in numbers.items()}
        found |= {"errors": self.errors, "noise": s.noise, "variances": s.variances}
        found |= {"columns": s.columns.mean, "second": s.columns.second, "rows": s.rows}
        if self.narrower is not None:
            narrower = self.narrower.arrays()
            narrower["rows"] = s.rows[:, :0]
            found |= {f"narrower {k}": v for k, v in narrower.items()}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], entries: Blocks) -> Stage:
        """The inverse of :meth:`arrays`."""
        at = Layout(int(arrays["width"]), *(bool(arrays[n]) for n in _INTERCEPTS))
        columns = Moments(arrays["columns"], arrays["second"], at.row_intercept)
        own = {name: arrays[name].item() for name in _STATE_NUMBERS}
        state = State(
            at, entries, arrays["rows"], columns, arrays["noise"], arrays["variances"], **own
        )
        part = {k.removeprefix("narrower "): v for k, v in arrays.items() if "narrower " in k}
        narrower = cls.from_arrays(part, entries) if part else None
        numbers: dict[str, Any] = {name: arrays[name].item() for name in _NUMBERS}
        return cls(state, arrays["errors"], narrower=narrower, **numbers)


_NUMBERS = ("given", "made", "total", "last", "fall", "dropped_at", "ended", "stopped")
_STATE_NUMBERS = ("row_variance", "column_variance", "mean")
_INTERCEPTS = ("row_intercepts", "column_intercepts")


@dataclass(frozen=True)
class Search:
    """Sweeps over the entries that were not held out.

    Attributes
    ----------
    train : Blocks
    held : Held
    team : Team
    seed : int
    prune : bool
        Whether columns that the data empty are dropped, and others added.
    most : int
        Columns at most.
    watch : callable
        Called after every sweep; True stops.
    save : callable
        Called after every sweep with what is known; another search may begin there.
    """

    train: Blocks
    held: Held
    team: Team
    seed: int
    prune: bool
    most: int
    watch: Callable[[Progress], bool]
    save: Callable[[Stage], object] = lambda stage: None

    def means(self) -> State:
        """Intercepts of rows and columns, alone."""
        at = Layout(0, True, True)
        state = start(self.train, at, self._generator(0), passes=1, team=self.team)
        return finished(state, self.train, self.team)[0]

    def begin(self, state: State | None, width: int) -> Stage:
        """Columns besides the intercepts of a state, or without any."""
        if state is not None:
            return self._wider(state, width)
        found = start(
            self.train, Layout(width), self._generator(width), passes=_PASSES, team=self.team
        )
        return Stage(found, self.held.costs(self.held.y), width)

    def run(self, stage: Stage) -> Stage:
        """Wider as long as that is worth it; the columns that are, of the width that is."""
        while True:
            stage = self._swept(stage)
            if not self.prune:
                return stage
            before = stage.narrower
            if before is not None and not clearly_better(stage.errors, before.errors, _CLEARLY):
                return replace(before, total=stage.total, stopped=stage.stopped)
            width = self._following(stage)
            if stage.stopped or width <= stage.state.width:
                return self._narrowed(stage)
            wider = self._wider(stage.state, width - stage.state.width)
            narrower = replace(self._narrowed(stage), narrower=None)
            stage = replace(wider, total=stage.total, narrower=narrower)

    def _following(self, stage: Stage) -> int:
        """How many columns to try next; not more if none."""
        if self.held.worth_keeping(stage.state) == stage.given:
            return min(2 * stage.given, self.most)
        return stage.given if stage.last < _HIDDEN * stage.dropped_at else 0

    def _narrowed(self, stage: Stage) -> Stage:
        """The columns that are worth keeping."""
        kept = self.held.worth_keeping(stage.state)
        return replace(stage, state=stage.state.without(np.arange(stage.state.width) >= kept))

    def _wider(self, state: State, more: int) -> Stage:
        width = state.width + more
        rng = self._generator(width)
        wider = widened(state, more, rng, passes=_PASSES, team=self.team)
        return Stage(wider, self.held.errors(state), width)

    def _generator(self, width: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, width])

    def _swept(self, stage: Stage) -> Stage:
        """Sweeps until held-out entries are not predicted better."""
        chain = sweeps(
            stage.state,
            column_noise=False,
            prune=self.prune,
            spared=max(_SPARED - stage.made, 0),
            threads=self.team,
        )
        while not stage.ended and not stage.stopped and stage.made < _SWEEPS:
            try:
                state = next(chain)
            except KeyboardInterrupt:  # as in recover: what there is, marked as stopped
                return replace(stage, stopped=True)
            errors = self.held.errors(state)
            error = self.held.error(errors)
            dropped = stage.dropped_at or (error if state.width < stage.given else 0.0)
            fall = stage.last - error
            now = replace(
                stage, made=stage.made + 1, total=stage.total + 1, fall=fall, dropped_at=dropped,
                ended=not fall > _SETTLED * error, last=min(error, stage.last),
            )  # fmt: skip
            if fall > 0:
                now = replace(now, state=state, errors=errors)
            share = now.total / (now.total + _left(now, stage.fall))
            stopped = self.watch(Progress(now.total, state.width, error, share))
            stage = replace(now, stopped=stopped)
            if not stage.ended:
                self.save(now)
        return stage


def _left(stage: Stage, fall_before: float) -> int:
    """Sweeps that are left, if the held-out error goes on falling as it did."""
    if stage.ended:
        return 2
    rate = stage.fall / fall_before if math.isfinite(fall_before) else 1.0
    if not 0.0 < rate < 1.0:
        return max(_USUAL - stage.made, 3)
    more = math.log(_SETTLED * stage.last / stage.fall) / math.log(rate)
    return 2 + min(max(math.ceil(more), 1), _SWEEPS - stage.made + 1)

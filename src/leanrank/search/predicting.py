"""Predicting: columns with a prior, where noise keeps measurements from pinning X down.

Each column has a variance of its own that the data can empty (:mod:`leanrank.posterior`). What
comes out is compared, on measurements that were held out, with means and with the fits of a path,
each by the very predictor that would be returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from leanrank._arrays import is_numpy_array
from leanrank.evidence import Prediction, leaves_noise
from leanrank.evidence.structure import leading_gap
from leanrank.factors import Factors
from leanrank.posterior import (
    Layout,
    Posterior,
    State,
    entries_of,
    fit,
    start,
    widened,
)
from leanrank.problem import Problem
from leanrank.search.assessing import Assessment
from leanrank.search.drawing import MANY_COLUMNS
from leanrank.search.fitting import Fitter
from leanrank.search.holding_out import Split, choose_width, relative_error
from leanrank.solvers import State as SolverState

__all__ = ["LOOKS", "Predicted", "Sampler", "predicted", "splits_by_rows"]

LOOKS = 3
"""Draws of noise for a first look at what a fit leaves."""


def splits_by_rows(problem: Problem, symmetric: bool) -> bool:
    """Whether the posterior of each row is its own, given the columns."""
    op = problem.op
    if symmetric or op.eliminated or not is_numpy_array(op.reference):
        return False
    return op.entries() is not None


@dataclass(frozen=True)
class Predicted:
    """What columns with a prior come to.

    Attributes
    ----------
    state : State
        Of all measurements.
    rounds : list of (Split, State)
        Of some of them.
    assessment : Assessment
        What the measurements that were held out say of them.
    doubtful : int
        Columns at the edge of noise that were dropped.
    """

    state: State
    rounds: list[tuple[Split, State]]
    assessment: Assessment
    doubtful: int = 0

    @property
    def prediction(self) -> Prediction:
        """Of the measurements that were held out, over all rounds."""
        return self.assessment.prediction

    def factors(self, like: Problem) -> Factors:
        """Posterior means, in the precision of a problem's arrays."""
        means = self.state.factors
        dtype = like.y.dtype
        return Factors(means.U.astype(dtype), means.V.astype(dtype))

    def sample(self, rng: np.random.Generator, size: int | None = None) -> Posterior:
        """Draws from there; means and intervals by what did best on held-out measurements."""
        seen, chain = self.assessment.draws, self.assessment.chain
        sample = chain.sample(self.state, rng, size or chain.usual_size)
        if seen is None:
            return sample
        centres = sample.centres if seen.averaged else None
        return replace(sample, centres=centres, scores=seen.scores)

    @property
    def noise(self) -> float:
        """Standard deviation of the noise of a typical column."""
        return math.sqrt(float(np.median(self.state.noise)))

    @property
    def held_out_error(self) -> float:
        """Relative error on the held-out measurements."""
        parts = [part for part, _ in self.rounds]
        return relative_error(parts, [state.factors for _, state in self.rounds])


def predicted(
    problem: Problem,
    parts: list[Split],
    fitter: Fitter,
    *,
    width: int,
    most: int,
    prune: bool = True,
    intercepts: bool = False,
    column_noise: bool = False,
) -> Predicted:
    """Fit columns with a prior to a share of the measurements, then to all.

    Parameters
    ----------
    problem : Problem
        Of all measurements.
    parts : list of Split
    fitter : Fitter
    width, most : int
        To begin with, and at most: widened as long as hardly any column is emptied, and the
        held-out measurements of the first round are predicted better.
    prune : bool
        Whether columns that the data empty are dropped; otherwise the width is as given.
    intercepts : bool
        Whether rows and columns have intercepts besides.
    column_noise : bool
        Whether each column has a noise level of its own.
    """
    room = _Room(fitter, intercepts, prune, column_noise)
    first = parts[0]
    given = min(width, most)
    room = replace(room, score=_scored(first, fitter))
    state = room.fit(first.train, given)
    steps = [(given, state.sweeps)]
    while prune and given < most and given - state.width <= given // 4:
        if not state.sweeps and _is_all(state, first.train, fitter):
            break
        more = min(max(_WIDER, state.width), most - state.width)
        wider = room.widened(first.train, state, more)
        paid = _PAYS * first.errors(state.factors).mean()
        if wider.width <= state.width or first.errors(wider.factors).mean() >= paid:
            break
        steps.append((more, wider.sweeps))
        given, state = state.width + more, wider
    if not state.sweeps:  # the end does not depend on the way there
        steps = [(min(state.width + _SPARE, most) if prune else given, 0)]
    room = replace(room, score=None, sweeps=state.sweeps or None)
    rounds = [(first, state)] + [(part, room.follow(part.train, steps)) for part in parts[1:]]
    if len(parts) == 1 and not state.sweeps and state.loss is None:
        # Where there are many, those that were held out change little: it goes on from there.
        whole = room.widened(problem, replace(state, entries=entries_of(problem)[0]), 0)
    else:
        whole = room.follow(problem, steps)
    doubtful = 0
    if prune:
        kept = _worth_keeping(rounds)
        # Refitted as briefly as sweeps were stopped.
        rounds = [(part, room.narrowed(part.train, state, kept)) for part, state in rounds]
        doubtful = whole.width - kept
        whole = room.narrowed(problem, whole, kept)
    seed = int(fitter.rng.integers(2**63))
    approximate = _is_approximately_low_rank(rounds[0][1], first.train, fitter)
    assessment = Assessment(rounds, column_noise, prune, most, approximate, seed)
    if approximate:
        assessment = assessment.tried_out(room.watched(first.train))
    return Predicted(whole, rounds, assessment, doubtful)


def _scored(part: Split, fitter: Fitter) -> Callable[[State], float]:
    """What the mean error of a state on held-out measurements is; the monitor is told, too."""
    zero = part.zero_error

    def score(state: State) -> float:
        error = float(part.errors(state.factors).mean())
        fitter.monitor.held_out_error = math.sqrt(error / zero) if zero > 0 else 0.0
        return error

    return score


def _is_all(state: State, problem: Problem, fitter: Fitter) -> bool:
    """Whether a state, of a model that holds, leaves nothing but noise."""
    point, policy = problem.evaluate(state.factors), fitter.policy.evidence
    return problem.loss.quadratic and leaves_noise(problem, point, fitter.rng, policy, LOOKS)


def _is_approximately_low_rank(state: State, problem: Problem, fitter: Fitter) -> bool:
    """Whether the matrix may be of low rank only approximately.

    Sweeps have to be stopped before columns fit what none of them explains, or many directions of
    what is left are stronger than noise is.
    """
    if state.sweeps or state.width < MANY_COLUMNS or state.loss is not None:
        return bool(state.sweeps)
    limits = fitter.policy.evidence
    gap = leading_gap(problem, problem.evaluate(state.factors), fitter.rng, limits.leading)
    return gap > limits.leading_gap


def _worth_keeping(rounds: list[tuple[Split, State]]) -> int:
    """The number of leading columns beyond which held-out measurements gain nothing clear.

    Only columns are looked at that may be the strongest directions of noise.
    """
    sure = min(state.standing_out() for _, state in rounds)
    errors = {}
    for k in range(sure, max(state.width for _, state in rounds) + 1):
        errors[k] = np.concatenate([part.errors(_leading(state, k)) for part, state in rounds])
    return choose_width(errors)


def _leading(state: State, k: int) -> Factors:
    """Posterior means without the columns after the first k; intercepts stay."""
    kept = np.ones(state.layout.size, dtype=bool)
    kept[k : state.width] = False
    return state.factors.keep(kept)


@dataclass(frozen=True)
class _Room:
    """Fits of one kind.

    ``score`` is what sweeps are stopped by; where ``sweeps`` is their number, they are stopped
    after so many.
    """

    fitter: Fitter
    intercepts: bool
    prune: bool
    column_noise: bool
    score: Callable[[State], float] | None = None
    sweeps: int | None = None

    def fit(self, problem: Problem, width: int) -> State:
        """The leading column first: it stands in the way of seeing the others."""
        entries, loss = entries_of(problem)
        layout = Layout(min(1, width), self.intercepts, self.intercepts)
        rng, watch = self.fitter.rng, self.watched(problem)
        state = start(entries, layout, rng, loss)
        state = fit(state, column_noise=self.column_noise, prune=False, tol=_ROUGH, watch=watch)
        return self.widened(problem, state, width - state.width)

    def widened(self, problem: Problem, state: State, more: int) -> State:
        """Fitted with so many more columns, less those that the data empty."""
        return fit(
            widened(state, more, self.fitter.rng) if more else state,
            column_noise=self.column_noise,
            prune=self.prune,
            watch=self.watched(problem),
            score=self.score,
            max_sweeps=self.sweeps or _SWEEPS,
        )

    def follow(self, problem: Problem, steps: list[tuple[int, int]]) -> State:
        """Fitted as others were: columns to begin with and to add, and sweeps if these ended early.

        Where sweeps are stopped early, what comes out depends on all that went before.
        """
        (width, sweeps), *later = steps
        state = replace(self, sweeps=sweeps or None).fit(problem, width)
        for more, sweeps in later:
            more = min(more, min(problem.op.shape) - state.width)
            state = replace(self, sweeps=sweeps or None).widened(problem, state, more)
        return state

    def narrowed(self, problem: Problem, state: State, kept: int) -> State:
        """Fitted with the leading columns alone."""
        if state.width <= kept:
            return state
        return self.widened(problem, state.without(np.arange(state.width) >= kept), 0)

    def watched(self, problem: Problem) -> Callable[[State], None]:
        """What shows states to the monitor, if it listens."""
        if self.fitter.monitor.unheard:
            return lambda state: None

        def watch(state: State) -> None:
            problem.passes += 2.0
            point = problem.evaluate(state.factors)
            self.fitter.monitor(SolverState(point, 0, problem.passes, phase="posterior"))

        return watch


@dataclass(frozen=True)
class Sampler:
    """Draws the posterior of a result when it is asked for; the same whenever that is.

    ``size`` is the number of draws, None for as many as what is sampled needs.
    """

    found: Predicted
    seed: int
    scale: float
    size: int | None = None

    def __call__(self) -> Posterior:
        rng = np.random.default_rng(self.seed)
        return self.found.sample(rng, self.size).scaled(self.scale)


_SWEEPS = 100
"""At most, where they are not stopped early."""
_PAYS = 0.998
"""Held-out error of a wider fit over that of a narrower one from which on it is not taken."""
_WIDER = 8
"""Columns to be added at least."""
_SPARE = 2
"""Columns beyond those that a part of the measurements left, where others or all are fitted."""
_ROUGH = 1e-2
"""Tolerance of a fit that is only begun with."""

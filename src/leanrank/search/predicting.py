"""Predicting: columns with a prior, where noise keeps measurements from pinning X down.

Each column has a variance of its own that the data can empty (:mod:`leanrank.posterior`). What
comes out is compared, on measurements that were held out, with means and with the fits of a path,
each by the very predictor that would be returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from leanrank._arrays import is_numpy_array, to_numpy
from leanrank.evidence import Prediction
from leanrank.evidence.prediction import NORMAL
from leanrank.factors import Factors
from leanrank.losses import Loss
from leanrank.posterior import (
    SPARE,
    Layout,
    Posterior,
    State,
    entries_of,
    fit,
    perturbed,
    sampled,
    start,
    widened,
)
from leanrank.problem import Problem
from leanrank.search.fitting import Fitter
from leanrank.search.holding_out import Split, choose_width, relative_error
from leanrank.solvers import State as SolverState

__all__ = ["Perturbation", "Predicted", "Sampler", "predicted", "splits_by_rows"]


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
    prediction : Prediction
        Of the measurements that were held out, over all rounds.
    column_noise : bool
        Whether each column has a noise level of its own.
    doubtful : int
        Columns at the edge of noise that were dropped.
    prune : bool
        Whether the data chose the number of columns.
    """

    state: State
    rounds: list[tuple[Split, State]]
    prediction: Prediction
    column_noise: bool = False
    doubtful: int = 0
    prune: bool = True

    def factors(self, like: Problem) -> Factors:
        """Posterior means, in the precision of a problem's arrays."""
        means = self.state.factors
        dtype = like.y.dtype
        return Factors(means.U.astype(dtype), means.V.astype(dtype))

    def sample(self, rng: np.random.Generator, size: int) -> Posterior:
        """Draws from there."""
        spare = SPARE if self.prune else 0
        return sampled(self.state, rng, size=size, column_noise=self.column_noise, spare=spare)

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
    state = room.fit(first.train, given)
    while prune and given < most and given - state.width <= given // 4:
        more = min(max(_WIDER, state.width), most - state.width)
        wider = room.widened(first.train, state, more)
        if wider.width <= state.width or first.errors(wider.factors).mean() >= (
            first.errors(state.factors).mean()
        ):
            break
        given, state = state.width + more, wider
    given = min(state.width + _SPARE, most) if prune else given
    rounds = [(first, state)] + [(part, room.fit(part.train, given)) for part in parts[1:]]
    whole = room.fit(problem, given)
    doubtful = 0
    if prune:
        kept = _worth_keeping(rounds)
        rounds = [(part, room.narrowed(part.train, state, kept)) for part, state in rounds]
        doubtful = whole.width - kept
        whole = room.narrowed(problem, whole, kept)
    prediction = _prediction(rounds, room)
    return Predicted(whole, rounds, prediction, column_noise, doubtful, prune)


def _worth_keeping(rounds: list[tuple[Split, State]]) -> int:
    """The number of leading columns beyond which held-out measurements gain nothing clear.

    Only columns are looked at that may be the strongest directions of noise.
    """
    sure = min(state.standing_out(_EDGE) for _, state in rounds)
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
    """Fits of one kind."""

    fitter: Fitter
    intercepts: bool
    prune: bool
    column_noise: bool

    def fit(self, problem: Problem, width: int) -> State:
        """The leading column first: it stands in the way of seeing the others."""
        entries, loss = entries_of(problem)
        layout = Layout(min(1, width), self.intercepts, self.intercepts)
        rng, watch = self.fitter.rng, self._watched(problem)
        state = start(entries, layout, rng, loss)
        state = fit(state, column_noise=self.column_noise, prune=False, tol=_ROUGH, watch=watch)
        return self.widened(problem, state, width - state.width)

    def widened(self, problem: Problem, state: State, more: int) -> State:
        """Fitted with so many more columns, less those that the data empty."""
        return fit(
            widened(state, more, self.fitter.rng) if more else state,
            column_noise=self.column_noise,
            prune=self.prune,
            watch=self._watched(problem),
        )

    def narrowed(self, problem: Problem, state: State, kept: int) -> State:
        """Fitted with the leading columns alone."""
        if state.width <= kept:
            return state
        return self.widened(problem, state.without(np.arange(state.width) >= kept), 0)

    def _watched(self, problem: Problem) -> Callable[[State], None]:
        """What shows states to the monitor."""

        def watch(state: State) -> None:
            problem.passes += 2.0
            point = problem.evaluate(state.factors)
            self.fitter.monitor(SolverState(point, 0, problem.passes, phase="posterior"))

        return watch

    def means(self, problem: Problem) -> Factors:
        """Intercepts of rows and columns, alone."""
        entries, loss = entries_of(problem)
        return fit(start(entries, Layout(0, True, True), self.fitter.rng, loss)).factors


@dataclass(frozen=True)
class Sampler:
    """Draws the posterior of a result when it is asked for; the same whenever that is."""

    found: Predicted
    seed: int
    scale: float

    def __call__(self) -> Posterior:
        rng = np.random.default_rng(self.seed)
        return self.found.sample(rng, _KEPT).scaled(self.scale)


_EDGE = 1.25
"""Singular value over the edge of noise up to which a column may be noise."""
_WIDER = 8
"""Columns to be added at least."""
_SPARE = 2
"""Columns beyond those that a part of the measurements left, where others or all are fitted."""
_ROUGH = 1e-2
"""Tolerance of a fit that is only begun with."""


@dataclass(frozen=True)
class Perturbation:
    """The same for a fit to measurements of any kind, in the units of its problem."""

    problem: Problem
    factors: Factors
    seed: int
    scale: float

    def __call__(self) -> Posterior:
        rng = np.random.default_rng(self.seed)
        return perturbed(self.problem, self.factors, rng, _SOLVES).scaled(self.scale)


_KEPT = 100
"""Draws of a result's posterior."""
_SOLVES = 50
"""The same where each takes a solution of its own."""
_DRAWS = 40
"""Of the posterior, for the coverage of held-out measurements: deviations within a tenth."""


def _prediction(rounds: list[tuple[Split, State]], room: _Room) -> Prediction:
    """How all held-out measurements are predicted, and by the better of means and zero."""
    missed: list[np.ndarray] = []
    means: list[np.ndarray] = []
    zero: list[np.ndarray] = []
    inside: np.ndarray | None = None
    for part, state in rounds:
        held, factors = part.held, state.factors
        loss = held.loss if state.loss is None else state.loss.weighted_as(held.loss)
        residual = held.op.forward(factors) - held.y
        of_means = held.op.forward(room.means(part.train)) - held.y
        for costs, r in ((missed, residual), (means, of_means), (zero, -held.y)):
            costs.append(to_numpy(loss.value(r)))
        if part is rounds[0][0]:
            inside = _inside(held, state, residual, loss, room)
    whole = np.concatenate(zero)
    of_means = min(np.concatenate(means), whole, key=np.mean)
    return Prediction.of_costs(np.concatenate(missed), of_means, whole, inside)


def _inside(
    held: Problem, state: State, residual: np.ndarray, loss: Loss, room: _Room
) -> np.ndarray | None:
    """Which held-out measurements lie in their 95 % intervals; outliers do not count.

    None where they are not entries.
    """
    found = held.op.entries()
    if found is None:
        return None
    rows, cols, scale = found
    posterior = sampled(state, room.fitter.rng, size=_DRAWS, column_noise=room.column_noise)
    weights = np.ones(held.op.size) if loss.weights is None else to_numpy(loss.weights)
    spread = scale**2 * posterior.std(rows, cols) ** 2
    noise = posterior.noise[cols] / np.where(weights > 0, weights, np.inf)
    inside = np.abs(to_numpy(residual)) <= NORMAL * np.sqrt(spread + noise)
    trust, full = (to_numpy(loss.majoriser(r)) for r in (residual, np.zeros_like(residual)))
    return inside[(trust > 0.5 * full) & (weights > 0)]

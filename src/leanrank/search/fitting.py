"""Fits of given width: the solver runs while that makes progress."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from leanrank._arrays import norm
from leanrank.factors import Factors
from leanrank.policy import Policy
from leanrank.problem import Point, Problem
from leanrank.search.coherence import spent_rows, without_rows
from leanrank.search.consensus import agreed_rows
from leanrank.search.monitor import Monitor
from leanrank.solvers import GaussNewton, Solver, State, iterate

__all__ = ["SOLVER", "Fitter", "Stage"]

SOLVER = GaussNewton(max_inner=30)
"""The solver of fits unless another is asked for.

Where more inner steps are asked for, factors are too wide, and accuracy is in vain.
"""


@dataclass(frozen=True)
class Stage:
    """Factors that were fitted at one width, and how well they predict.

    Attributes
    ----------
    point : Point
    exact : bool
        Whether the measurements are fitted to rounding.
    errors : ndarray or None
        Squared residuals on measurements that were held out.
    """

    point: Point
    exact: bool
    errors: np.ndarray | None = None

    @property
    def factors(self) -> Factors:
        return self.point.factors

    @property
    def width(self) -> int:
        return self.point.factors.width

    @property
    def held_out(self) -> float:
        """Mean squared error on the held-out measurements; infinite if there are none."""
        return math.inf if self.errors is None else float(self.errors.mean())


@dataclass(frozen=True)
class Fitter:
    """What fits are made with.

    Attributes
    ----------
    solver : Solver
    rng : Generator
    monitor : Monitor
        Sees every state.
    policy : Policy
    """

    solver: Solver
    rng: np.random.Generator
    monitor: Monitor
    policy: Policy = field(default_factory=Policy)

    def fit(
        self,
        problem: Problem,
        factors: Factors,
        phase: str,
        *,
        progress: float | None = None,
        max_iter: int | None = None,
    ) -> State:
        """Run the solver while it makes progress.

        Stops when the fit is exact, the gradient vanishes, or the square root of the objective
        fell by less than ``progress`` over a few steps; :class:`~leanrank.Policy` has the defaults.
        Where the loss estimates its scale, that and the fit take turns, until it changes the loss
        by less than that, too.
        """
        policy, finished = self.policy, self.monitor.finished
        known = finished.known_result(phase, factors)
        if known is None:
            progress = policy.progress if progress is None else progress
            max_iter = policy.max_steps if max_iter is None else max_iter
            state = self._last_state(problem, factors, phase, progress, max_iter)
            for _ in range(policy.rescalings if problem.loss.estimated else 0):
                refitted = problem.refitted(state.point, policy.rescaling)
                new, old = (p.mean_loss(state.point.residual) for p in (refitted, problem))
                if problem.is_exact(state.point) or progress**2 * old < new < old / progress**2:
                    break
                problem = refitted
                state = self._last_state(problem, state.factors, phase, progress, max_iter)
        else:
            state = replace(self.solver.init(problem, known), phase=phase)
            self.monitor(state)
        finished.add(phase, state.factors)
        return state

    def _last_state(
        self, problem: Problem, factors: Factors, phase: str, progress: float, max_iter: int
    ) -> State:
        policy = self.policy
        patience = policy.steps_of_progress
        values: list[float] = []
        zero_loss = problem.zero_loss
        state: State | None = None
        for new in iterate(self.solver, problem, factors, phase):
            if state is not None and not new.point.is_finite:
                break
            state = new
            self.monitor(state)
            values.append(state.point.value)
            stuck = len(values) > patience and values[-1] > progress**2 * values[-1 - patience]
            flat = policy.flat * math.sqrt(state.point.loss * zero_loss)
            small = state.point.gradient_norm * norm(state.factors.W) <= flat
            if problem.is_exact(state.point) or small or stuck or state.iteration >= max_iter:
                break
        assert state is not None
        return state

    def fit_well_observed(self, problem: Problem, factors: Factors, phase: str) -> Point:
        """Fit to the measurements of well-observed rows and columns, then estimate the others.

        Rows with hardly more measurements than factors are left out of the fit, as they can trap
        it; see :meth:`leanrank.operators.Measurement.well_observed`. So are, in further fits, those
        that did (see ``leanrank.search.coherence``); the best fit is taken.
        """
        if factors.width == 0:
            return problem.evaluate(factors)
        least = factors.width + self.policy.slack
        if problem.loss.estimated:
            least += round(self.policy.spare_for_outliers * factors.width)
        index = problem.op.well_observed(least, factors.symmetric)
        tried = [self._fit_within(problem, factors, index, phase)]
        spent = np.zeros(int(factors.W.shape[0]), dtype=bool)
        for _ in range(self.policy.most_freed):
            point = tried[-1]
            more = spent_rows(point.factors) & ~spent
            if problem.is_exact(point) or not more.any():
                break
            spent |= more
            index = problem.op.well_observed(least, factors.symmetric, spent)
            if index is None:
                break
            tried.append(
                self._fit_within(problem, without_rows(point.factors, spent), index, phase)
            )
        costs = problem.comparable(tried)
        return tried[costs.index(min(costs))]

    def _fit_within(
        self, problem: Problem, factors: Factors, index: np.ndarray | None, phase: str
    ) -> Point:
        """Fit to some measurements, all if None, and estimate the rows that these do not tell."""
        if index is None:
            return self.fit(problem, factors, phase).point
        inner = problem.subset(index)
        point = self.fit(inner, factors, phase).point
        noise, weights = inner.loss.size(point.residual), problem.loss.weights
        whole = problem.op.estimate_rest(point.factors, problem.y, index, noise, weights)
        exact = inner.is_exact(point)
        if problem.loss.estimated:
            # From here on the scale is that of the fit: a larger one would let outliers pull again.
            problem = problem.refitted(problem.evaluate(whole))
            whole = agreed_rows(problem, problem.evaluate(whole), self.rng)
        if exact:
            return self.fit(problem, whole, phase).point
        return problem.evaluate(whole)

    def stage(self, problem: Problem, factors: Factors, phase: str) -> Stage:
        """The stage at these factors, fitted to what is well observed."""
        point = self.fit_well_observed(problem, factors, phase)
        return Stage(point, problem.is_exact(point))

    def with_gauss_newton(self, **options: Any) -> Fitter:
        """The same with other options of Gauss-Newton, if that is the solver."""
        if not isinstance(self.solver, GaussNewton):
            return self
        return replace(self, solver=replace(self.solver, **options))

"""Fits on the way: when the solver is stopped, and which measurements it is shown."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from leanrank import Factors, simulate
from leanrank.losses import Huber, StudentT
from leanrank.operators import FullObservation, ObservedEntries
from leanrank.policy import Policy
from leanrank.problem import Problem
from leanrank.search import Fitter, Monitor, fitting
from leanrank.solvers import LBFGS, GaussNewton, State


def fitter(**policy) -> Fitter:
    return Fitter(GaussNewton(), np.random.default_rng(0), Monitor(), Policy(**policy))


def posed() -> tuple[Problem, Factors]:
    instance = simulate.full_observation((5, 4), 2, noise=0.1, random_state=0)
    return Problem(instance.op, instance.y), instance.truth


def scripted(monkeypatch, values, gradient=1.0):
    """A solver whose values are as told, and whose gradient is so many times what counts as flat.

    Gives the number of states that a fit looks at.
    """
    problem, factors = posed()
    point = problem.evaluate(factors)
    flat = 1e-9 * math.sqrt(point.loss * problem.zero_loss) / np.linalg.norm(factors.W)
    slope = point.gradient * (gradient * flat / point.gradient_norm)
    points = [replace(point, value=value, gradient=slope) for value in values]

    def iterate(solver, problem, factors, phase):
        return (State(p, i, 0.0, phase=phase) for i, p in enumerate(points))

    monkeypatch.setattr(fitting, "iterate", iterate)
    return problem, factors


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        # The square root has to fall by more than 0.7 in three steps.
        ([1.0, 0.9, 0.8, 0.50, 0.1], 4),
        ([1.0, 0.9, 0.8, 0.48, 0.45, 0.1], 5),
        ([1.0, 0.9, 0.8, 0.48, 0.44, 0.40, 0.1], 6),
        ([1.0, 1.0, 1.0], 3),
    ],
)
def test_a_fit_ends_where_it_makes_no_progress(monkeypatch, values, seen):
    own = fitter()
    state = own.fit(*scripted(monkeypatch, values, gradient=10.0), "x")
    assert len(own.monitor.history) == seen
    assert state.point.value == values[seen - 1]
    # The same with other numbers.
    own = fitter(progress=0.5, steps_of_progress=1)
    halves = [1.0, 0.24, 0.05, 0.0130, 0.0]
    own.fit(*scripted(monkeypatch, halves, gradient=10.0), "x")
    assert len(own.monitor.history) == 4
    own.fit(*scripted(monkeypatch, values, gradient=10.0), "y", progress=1.0, max_iter=2)
    assert len(own.monitor.history) == 4 + min(3, len(values))


@pytest.mark.parametrize(("gradient", "seen"), [(0.9, 1), (1.1, 4)])
def test_a_fit_ends_where_it_is_flat(monkeypatch, gradient, seen):
    own = fitter()
    own.fit(*scripted(monkeypatch, [1.0] * 9, gradient), "x")
    assert len(own.monitor.history) == seen


def test_a_fit_has_sixty_steps(monkeypatch):
    own = fitter(steps_of_progress=100)
    state = own.fit(*scripted(monkeypatch, [1.0] * 99, 10.0), "x")
    assert (state.iteration, len(own.monitor.history)) == (60, 61)


@pytest.mark.parametrize("last", [math.inf, math.nan])
def test_a_fit_that_diverges_gives_the_last_finite_state(monkeypatch, last):
    own = fitter()
    state = own.fit(*scripted(monkeypatch, [1.0, 0.4, last, 0.1], 10.0), "x")
    assert (state.iteration, state.point.value) == (1, 0.4)
    assert len(own.monitor.history) == 2


def test_an_exact_fit_ends_at_once():
    problem, factors = posed()
    exact = Problem(problem.op, problem.op.forward(factors))
    own = fitter()
    own.fit(exact, factors, "x")
    assert len(own.monitor.history) == 1


@pytest.mark.parametrize(("seen", "left_out"), [(4, False), (3, True)])
def test_rows_with_two_measurements_more_than_factors_are_well_observed(rng, seen, left_out):
    truth = Factors(rng.standard_normal((12, 2)), rng.standard_normal((10, 2)))
    mask = np.ones((12, 10), dtype=bool)
    mask[11, seen:] = False
    op = ObservedEntries(*np.nonzero(mask), (12, 10))
    sizes = []
    monitor = Monitor(callbacks=(lambda state: sizes.append(state.point.residual.size),))
    own = replace(fitter(), monitor=monitor)
    problem = Problem(op, op.forward(truth) + 0.1 * rng.standard_normal(op.size))
    point = own.fit_well_observed(problem, truth, "x")
    assert set(sizes) == {110 if left_out else op.size}
    assert point.residual.size == op.size


@pytest.mark.parametrize(("seen", "left_out"), [(8, False), (7, True)])
def test_where_there_may_be_outliers_twice_as_many_more_are_well_observed(rng, seen, left_out):
    truth = Factors(rng.standard_normal((12, 2)), rng.standard_normal((14, 2)))
    mask = np.ones((12, 14), dtype=bool)
    mask[11, seen:] = False
    op = ObservedEntries(*np.nonzero(mask), (12, 14))
    problem = Problem(op, op.forward(truth) + 0.1 * rng.standard_normal(op.size), loss=Huber())
    sizes = []
    monitor = Monitor(callbacks=(lambda state: sizes.append(state.point.residual.size),))
    replace(fitter(), monitor=monitor).fit_well_observed(problem, truth, "x")
    assert set(sizes) == {154 if left_out else op.size}


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_thin_row_with_an_outlier_is_fitted_to_the_rest_of_it(rng, noise):
    """It is left out of the fit, and what estimates it is led back by those that agree."""
    truth = Factors(rng.standard_normal((30, 1)), rng.uniform(1.0, 2.0, (25, 1)))
    mask = np.ones((30, 25), dtype=bool)
    mask[4, 4:] = False
    op = ObservedEntries(*np.nonzero(mask), (30, 25))
    y = op.forward(truth) + noise * rng.standard_normal(op.size)
    y[np.flatnonzero((op.rows == 4) & (op.cols == 3))] += 50.0
    point = fitter().fit_well_observed(Problem(op, y, loss=StudentT()), truth, "x")
    error = np.abs(point.factors.to_dense() - truth.to_dense())
    assert error.max() <= 4.0 * noise + 1e-12


def test_nothing_is_fitted_without_columns():
    problem, _ = posed()
    own = fitter()
    stage = own.stage(problem, Factors.empty((5, 4)), "x")
    assert (stage.width, stage.exact, len(own.monitor.history)) == (0, False, 0)
    assert stage.point.loss == problem.zero_loss


def test_the_scale_of_a_loss_and_the_fit_take_turns_until_they_agree(rng):
    truth = Factors(rng.standard_normal((20, 2)), rng.standard_normal((15, 2)))
    y = truth.to_dense() + 0.1 * rng.standard_normal((20, 15))
    y[rng.random((20, 15)) < 0.05] += 30.0
    problem = Problem(FullObservation((20, 15)), y, loss=Huber())
    assert problem.loss.estimated
    state = fitter().fit(problem, truth, "x", progress=1.0 - 1e-6)
    again = problem.refitted(state.point)
    W = state.factors.W
    solved = fitter().fit(again, state.factors, "x", progress=1.0 - 1e-6).factors
    assert solved.distance(state.factors) < 1e-3 * np.linalg.norm(W)
    assert state.factors.distance(truth) < 0.15 * truth.norm()


class Rescaled:
    """A problem whose loss changes by the factors told, one after another, as it is estimated."""

    def __init__(self, changes, value=1.0, *, estimated=True, exact=False):
        self.changes, self.value, self.exact = changes, value, exact
        self.loss = SimpleNamespace(estimated=estimated)

    def refitted(self, point, least):
        assert least == Policy().rescaling
        return Rescaled(self.changes[1:], self.value * self.changes[0], exact=self.exact)

    def mean_loss(self, residual):
        return self.value

    def is_exact(self, point):
        return self.exact


@pytest.mark.parametrize(
    ("changes", "told", "fits"),
    [
        ([0.26], {}, 1),  # by less than the square of a half, either way
        ([3.9], {}, 1),
        ([0.24, 1.0], {}, 2),
        ([4.1, 1.0], {}, 2),
        ([0.1, 10.0, 0.1, 1.0], {}, 4),
        ([0.1] * 9, {}, 1 + 5),  # as often as the policy has it
        ([0.1], {"estimated": False}, 1),
        ([0.1], {"exact": True}, 1),
    ],
)
def test_a_loss_is_rescaled_until_it_hardly_changes(monkeypatch, changes, told, fits):
    W, asked = SimpleNamespace(W=np.ones((2, 1))), []

    def last_state(self, problem, factors, phase, progress, max_iter):
        asked.append((problem.value, factors, phase, progress, max_iter))
        return SimpleNamespace(factors=W, point=SimpleNamespace(residual=None))

    monkeypatch.setattr(Fitter, "_last_state", last_state)
    start = object()
    fitter(rescalings=5).fit(Rescaled(changes, **told), start, "x", progress=0.5, max_iter=7)
    losses = np.cumprod([1.0, *changes])[:fits]
    given = [start] + [W] * (fits - 1)
    assert asked == [(v, f, "x", 0.5, 7) for v, f in zip(losses, given, strict=True)]


def test_options_are_those_of_gauss_newton_alone():
    own = fitter()
    assert own.with_gauss_newton(max_inner=7).solver == GaussNewton(max_inner=7)
    other = replace(own, solver=LBFGS())
    assert other.with_gauss_newton(max_inner=7) is other

"""Step lengths: Armijo, weak Wolfe, rounding, and the step that a run begins with."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from leanrank.factors import Factors
from leanrank.operators import FullObservation
from leanrank.penalties import Ridge
from leanrank.problem import Problem
from leanrank.solvers import GradientDescent
from leanrank.solvers._line_search import _is_flat, first_step, line_search, moved


def quartic(w, y=1.0, penalty=None):
    """The problem (w^2 - y)^2 and its point at w."""
    problem = Problem(FullObservation((1, 1)), np.array([[y]]), penalty)
    return problem, problem.evaluate(Factors(np.array([[w]])))


def value(w):
    return (w**2 - 1.0) ** 2


def slope(w):
    return 4.0 * w * (w**2 - 1.0)


DOWN = np.array([[-1.0]])


@pytest.mark.parametrize("armijo", [0.1, 0.5])
def test_steps_are_halved_until_the_value_falls_by_a_share_of_what_the_slope_promises(armijo):
    problem, point = quartic(2.0)
    found, step = line_search(problem, point, DOWN, 100.0, armijo=armijo)
    enough = [100.0 / 2**k for k in range(60)]
    enough = [s for s in enough if value(2.0 - s) <= value(2.0) - armijo * s * slope(2.0)]
    assert step == enough[0]
    assert found.factors.W[0, 0] == 2.0 - step
    assert found.value == pytest.approx(value(2.0 - step), rel=1e-12)
    # One try too few, and just enough.
    tries = {"armijo": armijo, "tries": int(math.log2(100.0 / step))}
    assert line_search(problem, point, DOWN, 100.0, **tries) == (None, 100.0)
    assert line_search(problem, point, DOWN, 50.0, **tries)[1] == step


def test_steps_that_are_too_short_are_doubled():
    problem, point = quartic(2.0)
    for start, doublings in ((1e-3, 9), (0.512, 0)):
        before = problem.passes
        found, step = line_search(problem, point, DOWN, start, armijo=1e-4, wolfe=0.5)
        assert step == pytest.approx(0.512, rel=1e-12)
        assert problem.passes - before == 2 * (doublings + 1)
        assert -slope(found.factors.W[0, 0]) >= 0.5 * -slope(2.0)
    # The last one that is low enough, where there is no time for more.
    few, step = line_search(problem, point, DOWN, 1e-3, armijo=1e-4, wolfe=0.5, tries=4)
    assert (step, few.factors.W[0, 0]) == (8e-3, 2.0 - 8e-3)


@pytest.fixture
def problem() -> Problem:
    return Problem(FullObservation((3, 3)), np.diag([3.0, 1.0, 0.0]))


def test_a_direction_that_does_not_descend_is_not_tried(problem, rng):
    point = problem.evaluate(Factors(rng.standard_normal((3, 2))))
    before = problem.passes
    for direction in (point.gradient, 0.0 * point.gradient):
        assert line_search(problem, point, direction, 1.0, armijo=1e-4)[0] is None
    assert problem.passes == before


@pytest.mark.parametrize("wolfe", [0.9, math.inf])
@pytest.mark.parametrize("start", [1e-4, 1.0, 100.0])
def test_both_conditions_hold_where_it_ends(problem, rng, start, wolfe):
    point = problem.evaluate(Factors(rng.standard_normal((3, 2))))
    direction = -point.gradient
    slope = float(np.sum(point.gradient * direction))
    new, step = line_search(problem, point, direction, start, armijo=0.1, wolfe=wolfe)
    np.testing.assert_allclose(new.factors.W, point.factors.W + step * direction)
    assert new.value <= point.value + 0.1 * step * slope
    if wolfe < math.inf:
        assert np.sum(new.gradient * direction) >= wolfe * slope
    else:
        assert math.log2(start / step) % 1 == 0
        assert step <= start


def test_a_step_that_changes_nothing_is_no_step_for_quasi_newton():
    problem, point = quartic(2.0)
    assert line_search(problem, point, DOWN, 1e-30, armijo=0.5)[1] == 1e-30
    assert line_search(problem, point, DOWN, 1e-30, armijo=0.5, wolfe=0.9)[0] is None


def test_within_rounding_the_gradient_decides():
    _, point = quartic(2.0)
    assert point.value == 9.0  # ten times its rounding is a little more than eleven last digits
    digit = np.spacing(9.0)
    cases = [(11, 0.9, True), (12, 0.9, False), (11, 1.0, False), (11, 1.1, False)]
    for digits, shorter, flat in cases:
        for sign in (1.0, -1.0):
            value = 9.0 + sign * digits * digit
            new = replace(point, value=value, gradient=shorter * point.gradient)
            assert _is_flat(new, point) == flat


def test_what_overflows_is_infinite_and_no_warning():
    problem, point = quartic(2.0)
    for step in (1e100, 1e300):
        assert moved(problem, point, 1e10 * DOWN, step).value == math.inf


def test_the_first_step_is_the_inverse_curvature_along_the_gradient(rng):
    Y, W = rng.standard_normal((5, 4)), 2.0 * rng.standard_normal((9, 2))
    problem = Problem(FullObservation((5, 4)), Y, Ridge(0.3))
    point = problem.evaluate(Factors(W[:5], W[5:]))
    direction, h = point.gradient / np.linalg.norm(point.gradient), 1e-4
    ends = (problem.value(point.factors.with_stacked(W + s * direction)) for s in (h, 0.0, -h))
    up, here, down = ends
    assert first_step(problem, point) == pytest.approx(h**2 / (up - 2 * here + down), rel=1e-4)


@pytest.mark.parametrize(("w", "y", "expected"), [(0.0, 4.0, 1 / 32), (0.1, 4.0, 1 / 32)])
def test_where_there_is_no_curvature_it_is_guessed_from_the_size_of_y(w, y, expected):
    # At zero there is no gradient, and near it the curvature, 12 w^2 - 4 y, is negative.
    assert first_step(*quartic(w, y)) == expected
    assert first_step(*quartic(0.0, 0.0)) == 1.0
    assert first_step(*quartic(2.0, y)) == pytest.approx(1.0 / (12.0 * 4.0 - 16.0))


def test_a_step_that_is_taken_at_once_makes_the_next_one_a_tenth_longer():
    problem, point = quartic(1.1)
    solver = GradientDescent()
    state = solver.init(problem, point.factors)
    assert state.memory.step == pytest.approx(1.0 / (12.0 * 1.21 - 4.0), rel=1e-12)
    after = solver.step(problem, state)
    assert after.factors.W[0, 0] == 1.1 - state.memory.step * slope(1.1)
    assert after.memory.step == 1.1 * state.memory.step
    long = solver.step(problem, replace(state, memory=replace(state.memory, step=100.0)))
    assert long.memory.step == (1.1 - long.factors.W[0, 0]) / slope(1.1) < 1.0

"""The line search: what it accepts, and that it asks nothing of a direction that ascends."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leanrank import Factors
from leanrank.operators import FullObservation
from leanrank.problem import Problem
from leanrank.solvers._line_search import line_search


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

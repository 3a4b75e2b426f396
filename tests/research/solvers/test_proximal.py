"""Proximal descent: fixed points are those of the group Lasso itself."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import simulate
from leanrank.factors import Factors
from leanrank.problem import Problem
from leanrank.research.solvers import ProximalGradientDescent
from leanrank.solvers import GradientDescent, iterate, solve


def instance(symmetric=True):
    found = simulate.dense_sensing(8, 2, oversampling=3.0, symmetric=symmetric, random_state=0)
    scale = found.truth.norm() ** 0.5
    rng = np.random.default_rng(1)
    start = Factors(rng.standard_normal((8, 5)) * 0.3 * scale)
    if not symmetric:
        start = Factors(start.W, rng.standard_normal((8, 5)) * 0.3 * scale)
    return Problem(found.op, found.y), start, scale


@pytest.mark.parametrize("symmetric", [True, False])
def test_limits_satisfy_the_optimality_conditions(symmetric):
    problem, start, scale = instance(symmetric)
    strength = 0.2 * scale**3
    solver = ProximalGradientDescent(0.02 / scale**2, strength)
    result = solve(solver, problem, start, max_iter=2000)
    mapping = result.history[-1].gradient_norm
    assert mapping < 0.01 * strength
    W = result.factors.W
    gradient = problem.evaluate(result.factors).gradient
    norms = result.factors.column_norms()
    assert 0 < np.sum(norms > 0) < 5
    long = norms > 0
    lacking = gradient[:, long] + strength * W[:, long] / norms[long]
    assert np.linalg.norm(lacking) < 2 * mapping
    assert np.all(np.linalg.norm(gradient[:, ~long], axis=0) <= strength)


def test_the_penalised_value_never_rises_and_is_that_of_its_factors():
    problem, start, scale = instance()
    strength = 0.2 * scale**3
    states = iterate(ProximalGradientDescent(0.01 / scale**2, strength), problem, start)
    values = []
    for _, state in zip(range(60), states, strict=False):
        expected = problem.value(state.factors) + strength * state.factors.column_norms().sum()
        assert state.point.value == pytest.approx(expected, rel=1e-12)
        values.append(state.point.value)
    assert np.all(np.diff(values) <= 1e-12 * values[0])


def test_without_strength_it_is_gradient_descent():
    problem, start, scale = instance()
    step = 0.02 / scale**2
    pairs = zip(
        range(5),
        iterate(ProximalGradientDescent(step, 0.0), problem, start),
        iterate(GradientDescent(step), problem, start),
        strict=False,
    )
    for _, a, b in pairs:
        np.testing.assert_allclose(a.factors.W, b.factors.W, rtol=1e-10)


def test_columns_shorter_than_a_threshold_are_emptied_at_once():
    problem, start, scale = instance()
    tiny = start.with_stacked(1e-3 * start.W)
    solver = ProximalGradientDescent(0.02 / scale**2, 0.5 * scale**3)
    state = solver.step(problem, solver.init(problem, tiny))
    assert not state.factors.W.any()
    assert not solver.step(problem, state).factors.W.any()


def test_pruned_along_the_way_it_goes_on_from_what_is_left():
    problem, start, scale = instance()
    solver = ProximalGradientDescent(0.02 / scale**2, 0.2 * scale**3)
    state = solver.step(problem, solver.init(problem, start))
    mask = np.array([True, False, True, True, False])
    kept = solver.step(problem, state.keep(problem, mask))
    expected = solver.step(problem, solver.init(problem, state.factors.keep(mask)))
    np.testing.assert_allclose(kept.factors.W, expected.factors.W, rtol=1e-12)


def test_bad_settings():
    with pytest.raises(ValueError, match="strength must be"):
        ProximalGradientDescent(0.1, -1.0)
    with pytest.raises(ValueError, match="step_size must be"):
        ProximalGradientDescent(0.0, 1.0)

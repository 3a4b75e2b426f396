"""L-BFGS against dense algebra and SciPy, and what it promises: descent, pruning, stalling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from leanrank.factors import Factors
from leanrank.operators import DenseSensing, FullObservation
from leanrank.penalties import GroupLasso, Ridge
from leanrank.problem import Problem
from leanrank.results import Status
from leanrank.solvers import LBFGS, GradientDescent, _lbfgs, iterate, solve
from leanrank.solvers._line_search import line_search


def sensing(seed=0, d=8, r=2, m=120, penalty=None):
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((d, r)))[0]
    op = DenseSensing(rng.standard_normal((m, d, d)))
    return Problem(op, op.forward(Factors(U)), penalty), Factors(U)


def test_the_direction_is_that_of_the_dense_recursion():
    problem, _ = sensing(penalty=Ridge(0.1))
    solver = LBFGS(memory=4)
    state = solver.init(problem, Factors(np.random.default_rng(1).standard_normal((8, 2))))
    for _ in range(7):
        state = solver.step(problem, state)
    pairs = [(s.ravel(), y.ravel()) for s, y in state.memory.pairs]
    assert len(pairs) == 4
    s, y = pairs[-1]
    H = np.eye(16) * (s @ y) / (y @ y)
    for s, y in pairs:
        rho = 1 / (s @ y)
        left = np.eye(16) - rho * np.outer(s, y)
        H = left @ H @ left.T + rho * np.outer(s, s)
    expected = -H @ state.point.gradient.ravel()
    direction = solver._direction(state.point.gradient, state.memory)
    np.testing.assert_allclose(direction.ravel(), expected, rtol=1e-9, atol=1e-12)


@given(seed=st.integers(0, 100), scale=st.sampled_from([1e-3, 1.0, 10.0]))
@settings(max_examples=20, deadline=None)
def test_the_objective_never_rises_and_pairs_are_curved(seed, scale):
    problem, _ = sensing(seed % 3, penalty=GroupLasso(0.2, 0.01))
    start = Factors(scale * np.random.default_rng(seed).standard_normal((8, 5)))
    states = iterate(LBFGS(memory=5), problem, start)
    last = float("inf")
    for _ in range(40):
        state = next(states, None)
        if state is None:
            break
        assert state.point.value <= last * (1 + 1e-14)
        assert all(np.sum(s * y) > 0 for s, y in state.memory.pairs)
        last = state.point.value


def test_accepted_steps_meet_the_weak_wolfe_conditions():
    problem, _ = sensing(penalty=GroupLasso(0.2, 0.01))
    # A start so small that the first step is far too short.
    start = Factors(1e-4 * np.random.default_rng(0).standard_normal((8, 5)))
    states = iterate(LBFGS(), problem, start)
    old = next(states)
    for _ in range(25):
        new = next(states)
        move = new.factors.W - old.factors.W
        slope = np.sum(move * old.point.gradient)
        assert slope < 0
        assert new.point.value <= old.point.value + 1e-4 * slope
        assert np.sum(move * new.point.gradient) >= 0.9 * slope
        old = new


def test_the_minimum_is_that_of_scipy():
    problem, _ = sensing(penalty=Ridge(0.3))
    start = Factors(0.5 * np.random.default_rng(2).standard_normal((8, 3)))

    def value_and_gradient(w):
        point = problem.evaluate(start.with_stacked(w.reshape(8, 3)))
        return point.value, point.gradient.ravel()

    reference = minimize(
        value_and_gradient, start.W.ravel(), jac=True, method="BFGS", options={"gtol": 1e-9}
    )
    result = solve(LBFGS(), problem, start, tol=1e-8, max_iter=300)
    assert result.success
    assert result.history[-1].value == pytest.approx(reference.fun, rel=1e-10)


def test_it_needs_far_fewer_passes_than_gradient_descent():
    problem, truth = sensing()
    truth = Factors(truth.W * np.array([1.0, 0.3]))
    problem = Problem(problem.op, problem.op.forward(truth))
    start = Factors(0.3 * np.random.default_rng(1).standard_normal((8, 2)))
    fast = solve(LBFGS(), problem, start, tol=1e-8)
    slow = solve(GradientDescent(), problem, start, tol=1e-8, max_iter=20000)
    assert fast.success
    assert slow.success
    assert fast.factors.distance(truth) < 1e-6
    assert 3 * len(fast.history) < len(slow.history)


def test_state_is_measured_at_the_factors_it_carries():
    problem, _ = sensing(penalty=GroupLasso(0.1, 0.01))
    states = iterate(LBFGS(), problem, Factors(np.eye(8)[:, :3]))
    for _ in range(6):
        state = next(states)
        again = problem.evaluate(state.factors)
        assert state.point.value == again.value
        np.testing.assert_array_equal(state.point.gradient, again.gradient)


def test_pruning_takes_the_memory_along():
    problem, _ = sensing(penalty=GroupLasso(0.1, 0.01))
    solver = LBFGS()
    state = solver.init(problem, Factors(np.random.default_rng(0).standard_normal((8, 4))))
    for _ in range(6):
        state = solver.step(problem, state)
    mask = np.array([True, False, True, True])
    pruned = state.keep(problem, mask)
    assert pruned.memory.pairs
    kept = [s for s, y in state.memory.pairs if np.sum((s * y)[:, mask]) > 0]
    assert len(pruned.memory.pairs) == len(kept)
    for (s, y), full in zip(pruned.memory.pairs, kept, strict=True):
        np.testing.assert_array_equal(s, full[:, mask])
        assert s.shape == y.shape == (8, 3)
    after = solver.step(problem, pruned)
    assert after.point.value < pruned.point.value


def test_pairs_that_lead_nowhere_are_forgotten():
    problem, _ = sensing(penalty=Ridge(0.1))
    solver = LBFGS()
    fresh = solver.init(problem, Factors(np.random.default_rng(0).standard_normal((8, 2))))
    s = np.random.default_rng(1).standard_normal((8, 2))
    misled = replace(fresh, memory=replace(fresh.memory, pairs=((s, -s),)))  # it climbs
    direction = solver._direction(fresh.point.gradient, misled.memory)
    assert np.sum(direction * fresh.point.gradient) > 0
    expected, state = solver.step(problem, fresh), solver.step(problem, misled)
    np.testing.assert_array_equal(state.factors.W, expected.factors.W)
    assert len(state.memory.pairs) == len(expected.memory.pairs) == 1
    assert state.point.value < fresh.point.value
    assert not state.stalled


def test_ten_pairs_are_kept_if_they_are_curved():
    problem, _ = sensing(penalty=Ridge(0.1))
    state = LBFGS().init(problem, Factors(np.random.default_rng(0).standard_normal((8, 2))))
    widths = []
    for _ in range(14):
        state = LBFGS().step(problem, state)
        widths.append(len(state.memory.pairs))
    assert widths == [*range(1, 11), 10, 10, 10, 10]
    s = np.array([1.0, 0.0])
    for along, curved in ((1.01e-10, True), (0.99e-10, False), (-1.0, False)):
        for size in (1e-3, 1e3):
            assert _lbfgs._curved((s, size * np.array([along, 1.0]))) == curved
    assert not _lbfgs._curved((s, 0.0 * s))


def test_steps_are_searched_from_one_under_the_usual_conditions(monkeypatch):
    asked = []

    def search(problem, point, direction, step, **options):
        asked.append((step, options))
        return line_search(problem, point, direction, step, **options)

    monkeypatch.setattr(_lbfgs, "line_search", search)
    problem, _ = sensing()
    solver = LBFGS()
    state = solver.init(problem, Factors(np.random.default_rng(0).standard_normal((8, 2))))
    solver.step(problem, state)
    assert asked == [(1.0, {"armijo": 1e-4, "wolfe": 0.9, "tries": 40})]


def test_it_stalls_with_a_sentence_and_never_says_converged():
    problem, _ = sensing()
    noisy = Problem(problem.op, problem.y + np.random.default_rng(0).standard_normal(120))
    start = Factors(np.random.default_rng(1).standard_normal((8, 2)))
    result = solve(LBFGS(), noisy, start, tol=1e-30, max_iter=1000)
    assert result.status is Status.STALLED
    assert "flat to rounding" in result.message
    assert result.history[-1].gradient_norm < 1e-6


def test_a_zero_gradient_stalls():
    problem, _ = sensing()
    solver = LBFGS()
    state = solver.step(problem, solver.init(problem, Factors(np.zeros((8, 2)))))
    assert "start elsewhere" in state.stalled


def test_float32_reaches_what_float32_can():
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.standard_normal((8, 2)))[0].astype(np.float32)
    op = DenseSensing(rng.standard_normal((120, 8, 8)).astype(np.float32))
    problem = Problem(op, op.forward(Factors(U)))
    start = Factors(rng.standard_normal((8, 2)).astype(np.float32))
    result = solve(LBFGS(), problem, start, tol=1e-5, max_iter=300)
    assert result.success
    assert result.factors.W.dtype == np.float32


def test_other_array_libraries(convert):
    Y = convert(np.diag([2.0, 1.0, 0.0]))
    problem = Problem(FullObservation((3, 3), reference=Y), Y)
    start = Factors(convert(np.random.default_rng(0).standard_normal((3, 2))))
    assert solve(LBFGS(), problem, start).success


def test_bad_memory():
    with pytest.raises(ValueError, match="memory must be at least 1"):
        LBFGS(memory=0)

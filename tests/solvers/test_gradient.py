"""Gradient descent, plain and perturbed: literal steps, descent, saddles, repeatability."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanrank._arrays import to_numpy
from leanrank.factors import Factors
from leanrank.operators import DenseSensing, FullObservation, ObservedEntries
from leanrank.penalties import GroupLasso, Ridge
from leanrank.problem import Problem
from leanrank.results import Status
from leanrank.solvers import GradientDescent, PerturbedGradientDescent, iterate, solve


def sensing(seed=0, d=6, r=2, m=60, penalty=None):
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((d, r)))[0]
    op = DenseSensing(rng.standard_normal((m, d, d)))
    return Problem(op, op.forward(Factors(U)), penalty), Factors(U)


def numerical_gradient(problem, factors, h=1e-6):
    out = np.zeros_like(factors.W)
    for index in np.ndindex(*out.shape):
        step = np.zeros_like(out)
        step[index] = h
        up = problem.value(factors.with_stacked(factors.W + step))
        down = problem.value(factors.with_stacked(factors.W - step))
        out[index] = (up - down) / (2 * h)
    return out


def test_the_step_is_the_literal_derivative_with_its_factor_four():
    Y = np.diag([1.0, 0.5])
    U = np.array([[0.3, 0.1], [0.2, 0.9]])
    problem = Problem(FullObservation((2, 2)), Y)
    solver = GradientDescent(0.05)
    state = solver.step(problem, solver.init(problem, Factors(U)))
    np.testing.assert_allclose(state.factors.W, U - 0.05 * 4 * (U @ U.T - Y) @ U)


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_step_is_minus_the_numerical_gradient(symmetric):
    problem, _ = sensing(penalty=GroupLasso(0.3, 0.05))
    rng = np.random.default_rng(5)
    U, V = rng.standard_normal((2, 6, 3))
    factors = Factors(U) if symmetric else Factors(U, V)
    solver = GradientDescent(0.01)
    state = solver.step(problem, solver.init(problem, factors))
    gradient = numerical_gradient(problem, factors)
    np.testing.assert_allclose(state.factors.W, factors.W - 0.01 * gradient, atol=1e-6)


@given(seed=st.integers(0, 200), scale=st.sampled_from([1e-3, 0.3, 3.0]), units=st.floats(-3, 3))
@settings(max_examples=25, deadline=None)
def test_backtracking_never_increases_the_objective(seed, scale, units):
    problem, _ = sensing(seed % 5, penalty=GroupLasso(0.1, 0.01))
    problem = Problem(problem.op, problem.y * 10.0**units, problem.penalty)
    start = Factors(scale * np.random.default_rng(seed).standard_normal((6, 4)))
    states = iterate(GradientDescent(), problem, start)
    values = [next(states).point.value for _ in range(30)]
    assert all(b <= a * (1 + 1e-13) for a, b in itertools.pairwise(values))
    assert values[-1] < values[0]


@pytest.mark.parametrize("solver", [GradientDescent(), GradientDescent(0.02)])
def test_it_recovers_the_matrix(solver):
    problem, truth = sensing(m=80)
    start = Factors(0.3 * np.random.default_rng(1).standard_normal((6, 2)))
    result = solve(solver, problem, start, tol=1e-9, max_iter=5000)
    assert result.success
    assert result.factors.distance(truth) < 1e-7


def test_backtracking_reaches_a_noise_floor():
    problem, _ = sensing(m=80)
    noise = np.random.default_rng(3).standard_normal(80)
    problem = Problem(problem.op, problem.y + noise)
    start = Factors(0.3 * np.random.default_rng(1).standard_normal((6, 2)))
    result = solve(GradientDescent(), problem, start, tol=1e-11, max_iter=5000)
    assert result.status in (Status.CONVERGED, Status.STALLED)
    assert result.history[-1].gradient_norm < 1e-8
    assert result.history[-1].loss > 0.1


def test_backtracking_on_observed_entries_of_a_general_matrix():
    rng = np.random.default_rng(0)
    truth = Factors(rng.standard_normal((12, 1)), rng.standard_normal((10, 1)))
    rows, cols = np.divmod(rng.permutation(120)[:90], 10)
    op = ObservedEntries(rows, cols, (12, 10))
    start = Factors(0.5 * rng.standard_normal((12, 1)), 0.5 * rng.standard_normal((10, 1)))
    result = solve(GradientDescent(), Problem(op, op.forward(truth)), start, max_iter=4000)
    assert result.success
    assert result.factors.distance(truth) < 1e-4


def test_state_is_measured_at_the_factors_it_carries():
    problem, _ = sensing(penalty=Ridge(0.1))
    for solver in (GradientDescent(), GradientDescent(0.01), PerturbedGradientDescent(0.01)):
        states = iterate(solver, problem, Factors(np.eye(6)[:, :3]))
        for _ in range(5):
            state = next(states)
            again = problem.evaluate(state.factors)
            assert state.point.value == again.value
            np.testing.assert_array_equal(state.point.gradient, again.gradient)


def test_divergence_is_a_status_and_no_warning():
    problem, _ = sensing()
    result = solve(GradientDescent(1.0), problem, Factors(3 * np.eye(6)), max_iter=100)
    assert result.status is Status.DIVERGED
    assert np.isfinite(result.factors.W).all()
    assert "step size" in result.message


def test_a_zero_gradient_stalls_instead_of_dividing():
    problem, _ = sensing()
    solver = GradientDescent()
    state = solver.step(problem, solver.init(problem, Factors(np.zeros((6, 2)))))
    assert "start elsewhere" in state.stalled
    empty = solver.init(problem, Factors.empty((6, 6), symmetric=True))
    assert solver.step(problem, empty).stalled


def test_plain_descent_stays_at_the_saddle_that_noise_leaves():
    problem, truth = sensing(m=80)
    zero = Factors(np.zeros((6, 3)))
    plain = GradientDescent(0.02)
    state = plain.step(problem, plain.init(problem, zero))
    assert not state.factors.W.any()
    for solver in (
        PerturbedGradientDescent(0.02, random_state=0),
        PerturbedGradientDescent(random_state=0),
    ):
        state = solver.init(problem, zero)
        for _ in range(1500):
            state = solver.step(problem, state)
        assert state.factors.distance(truth) < 0.05


def test_noise_only_where_the_gradient_is_small_and_not_too_often():
    problem, _ = sensing()
    solver = PerturbedGradientDescent(0.01, radius=0.5, threshold=1e-3, every=4, random_state=1)
    far = solver.init(problem, Factors(np.ones((6, 2))))
    plain = GradientDescent(0.01)
    expected = plain.step(problem, plain.init(problem, far.factors)).factors.W
    np.testing.assert_array_equal(solver.step(problem, far).factors.W, expected)

    everywhere = PerturbedGradientDescent(0.01, radius=0.5, threshold=1e9, every=4, random_state=1)
    state = everywhere.init(problem, Factors(np.ones((6, 2))))
    noisy, directions = [], []
    for _ in range(12):
        new = everywhere.step(problem, state)
        move = (state.factors.W - new.factors.W) / 0.01 - state.point.gradient
        size = np.linalg.norm(move)
        assert size <= 0.5 + 1e-9
        noisy.append(bool(size > 1e-6))
        directions += [move.ravel() / size] * noisy[-1]
        state = new
    assert noisy == [i % 4 == 0 for i in range(12)]
    cosines = np.abs(np.triu(np.array(directions) @ np.array(directions).T, k=1))
    assert cosines.max() < 0.99


def test_what_is_left_out_of_the_noise_is_relative_to_the_problem():
    problem, _ = sensing()
    solver = PerturbedGradientDescent(0.01)
    memory = solver.init(problem, Factors(np.ones((6, 2)))).memory
    assert memory.threshold == memory.radius == 1e-3 * problem.gradient_scale
    own = PerturbedGradientDescent(0.01, radius=0.3).init(problem, Factors(np.ones((6, 2)))).memory
    assert (own.threshold, own.radius) == (1e-3 * problem.gradient_scale, 0.3)
    # Noise in the first of any fifty steps.
    noisy = PerturbedGradientDescent(0.001, radius=0.1, threshold=1e9, random_state=0)
    state, last = noisy.init(problem, Factors(np.ones((6, 2)))), []
    for _ in range(52):
        state = noisy.step(problem, state)
        last.append(state.memory.last)
    assert last == [0] * 50 + [50] * 2


def test_the_seed_that_is_drawn_is_no_parameter():
    one, other = PerturbedGradientDescent(0.1), PerturbedGradientDescent(0.1)
    assert one == other
    assert "seed" not in repr(one)
    assert PerturbedGradientDescent(0.1, random_state=1) != one


def test_steps_repeat_exactly_and_seeds_differ():
    problem, _ = sensing()
    zero = Factors(np.zeros((6, 2)))

    def after(solver):
        state = solver.init(problem, zero)
        first = solver.step(problem, state).factors.W
        np.testing.assert_array_equal(first, solver.step(problem, state).factors.W)
        return first

    a = after(PerturbedGradientDescent(0.1, random_state=7))
    b = after(PerturbedGradientDescent(0.1, random_state=7))
    c = after(PerturbedGradientDescent(0.1, random_state=8))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0


def test_perturbations_are_uniform_in_the_ball():
    problem, _ = sensing(d=2, m=10)
    zero = Factors(np.zeros((2, 1)))
    draws = []
    for seed in range(600):
        solver = PerturbedGradientDescent(1.0, radius=2.0, threshold=1.0, random_state=seed)
        draws.append(solver.step(problem, solver.init(problem, zero)).factors.W[:, 0])
    radii = np.linalg.norm(draws, axis=1)
    assert radii.max() <= 2.0
    # In the plane the squared radius is uniform on [0, 4], and directions average out.
    assert np.mean(radii**2) == pytest.approx(2.0, abs=0.2)
    assert np.abs(np.mean(draws, axis=0)).max() < 0.15


def test_operator_norm_bounds_the_perturbation():
    problem, _ = sensing()
    solver = PerturbedGradientDescent(
        1.0, radius=50.0, threshold=1.0, operator_norm=0.7, random_state=0
    )
    state = solver.step(problem, solver.init(problem, Factors(np.zeros((6, 4)))))
    assert np.linalg.norm(state.factors.W, 2) == pytest.approx(0.7)


def test_pruned_states_go_on():
    problem, _ = sensing(penalty=GroupLasso(0.1, 0.01))
    start = Factors(np.random.default_rng(0).standard_normal((6, 4)))
    for solver in (GradientDescent(), PerturbedGradientDescent(random_state=0)):
        state = solver.step(problem, solver.init(problem, start))
        state = state.keep(problem, np.array([True, False, True, False]))
        state = solver.step(problem, state)
        assert state.factors.width == 2
        assert state.point.is_finite


def test_other_array_libraries(convert):
    Y, U = np.diag([2.0, 1.0, 0.0]), np.random.default_rng(0).standard_normal((3, 2))
    penalty = GroupLasso(0.01, 0.01)
    here = Problem(FullObservation((3, 3)), Y, penalty)
    there = Problem(FullObservation((3, 3), reference=convert(Y)), convert(Y), penalty)
    noisy = PerturbedGradientDescent(0.05, 0.5, 1e9, 2, operator_norm=0.3, random_state=0)
    for solver in (GradientDescent(), noisy):
        ends = []
        for problem, start in ((here, U), (there, convert(U))):
            *_, state = itertools.islice(iterate(solver, problem, Factors(start)), 30)
            ends.append(to_numpy(state.factors.W))
        np.testing.assert_allclose(ends[1], ends[0], atol=1e-10)


@pytest.mark.parametrize("step_size", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("kind", [GradientDescent, PerturbedGradientDescent])
def test_bad_step_size(kind, step_size):
    with pytest.raises(ValueError, match="step_size must be finite"):
        kind(step_size)


def test_bad_noise():
    with pytest.raises(ValueError, match="every must be at least 1"):
        PerturbedGradientDescent(every=0)
    with pytest.raises(TypeError, match="random_state"):
        PerturbedGradientDescent(random_state="seed")

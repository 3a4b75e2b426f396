"""The protocol and its loop: what holds for every solver."""

from __future__ import annotations

import itertools
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace

import numpy as np
import pytest

from leanrank import _checks, initial, simulate
from leanrank.factors import Factors
from leanrank.operators import DenseSensing, FullObservation, RankOneSensing
from leanrank.penalties import GroupLasso
from leanrank.problem import Problem
from leanrank.research.diagnostics import Trace
from leanrank.research.solvers import (
    FreshGaussianDescent,
    PerturbedSensingDescent,
    ProjectedGradientDescent,
    RescaledGradientDescent,
    StochasticGradientDescent,
    descend_batch,
    descend_together,
    stationary_point,
)
from leanrank.results import Status
from leanrank.solvers import (
    LBFGS,
    GaussNewton,
    GradientDescent,
    PerturbedGradientDescent,
    iterate,
    solve,
)

SOLVERS = [
    GradientDescent(0.01),
    PerturbedGradientDescent(0.01, 0.1, 9.0, 1, random_state=0),
    StochasticGradientDescent(0.01, 5, random_state=0),
    PerturbedSensingDescent(0.01),
    ProjectedGradientDescent(0.01),
    GaussNewton(),
    LBFGS(),
]
"""Solvers for dense sensing."""

SEEDED = [
    lambda random_state: PerturbedGradientDescent(0.01, 0.1, 9.0, random_state=random_state),
    lambda random_state: StochasticGradientDescent(0.01, 5, random_state=random_state),
    lambda random_state: FreshGaussianDescent(0.01, 5, random_state=random_state),
]


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: type(solver).__name__)
def test_a_step_keeps_what_is_not_its_own(solver):
    inst = simulate.dense_sensing(6, 1, m=60, symmetric=True, random_state=0)
    problem = Problem(inst.op, inst.y)
    state = solver.init(problem, initial.identity((6, 6), scale=0.3, symmetric=True))
    state = solver.step(problem, replace(state, phase="refit", scale=7.0, iteration=4))
    assert (state.phase, state.scale, state.iteration) == ("refit", 7.0, 5)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: type(solver).__name__)
def test_solvers_states_and_memories_are_frozen(solver):
    inst = simulate.dense_sensing(6, 1, m=60, symmetric=True, random_state=0)
    state = solver.init(
        Problem(inst.op, inst.y), initial.identity((6, 6), scale=0.3, symmetric=True)
    )
    for part in (solver, state, state.memory):
        for field in fields(part) if is_dataclass(part) else ():
            with pytest.raises(FrozenInstanceError):
                setattr(part, field.name, None)


def test_factors_of_a_state_in_the_units_of_y():
    problem, truth = sensing()
    state = GradientDescent(0.1).init(problem, truth)
    assert state.factors_in_units is state.factors
    scaled = replace(state, scale=2.0).factors_in_units
    np.testing.assert_allclose(scaled.to_dense(), 2.0 * truth.to_dense(), rtol=1e-12)


@pytest.mark.parametrize("make", SEEDED)
@pytest.mark.parametrize("source", [np.random.default_rng, np.random.RandomState])
def test_a_solver_repeats_whatever_it_was_seeded_by(make, source):
    inst = simulate.full_observation(6, 1, symmetric=True, random_state=0)
    problem, start = Problem(inst.op, inst.y), initial.identity((6, 6), scale=0.3, symmetric=True)
    rng = source(0)
    solvers = make(rng), make(rng), make(source(0))
    left = rng.standard_normal()
    first, other, again, twin = (
        solver.step(problem, solver.init(problem, start)).factors.W
        for solver in (solvers[0], solvers[1], solvers[0], solvers[2])
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, twin)
    assert np.abs(first - other).max() > 0
    # One draw each, and none for looking at it.
    expected = source(0)
    for _ in range(2):
        _checks.generator(expected).integers(2**62)
    assert left == expected.standard_normal()


@pytest.mark.parametrize("number", [float, np.float64, np.float32])
@pytest.mark.parametrize(
    "make",
    [
        lambda c: GradientDescent(c(0.01)),
        lambda c: PerturbedGradientDescent(c(0.01), c(0.1), c(9.0), 1, c(0.2), random_state=0),
        lambda c: StochasticGradientDescent(c(0.01), 5, random_state=0),
        lambda c: FreshGaussianDescent(c(0.01), 5, random_state=0),
        lambda c: PerturbedSensingDescent(c(0.01)),
        lambda c: ProjectedGradientDescent(c(0.01)),
        lambda c: RescaledGradientDescent(c(0.01), c(1.0), c(5.0)),
        lambda c: GaussNewton(c(0.01), c(0.3)),
    ],
)
def test_float32_stays_whatever_numbers_the_parameters_are(make, number):
    solver = make(number)
    truth = Factors(np.eye(6, 1, dtype=np.float32))
    if isinstance(solver, RescaledGradientDescent):
        x = np.random.default_rng(0).standard_normal((60, 6), dtype=np.float32)
        op = RankOneSensing(x)
    elif isinstance(solver, FreshGaussianDescent):
        op = FullObservation((6, 6), reference=truth.W)
    else:
        op = simulate.dense_sensing(6, 1, m=60, symmetric=True, dtype=np.float32, random_state=0).op
    problem = Problem(op, op.forward(truth))
    start = initial.identity((6, 6), scale=0.1, symmetric=True, reference=truth.W)
    state = solver.step(problem, solver.init(problem, start))
    assert state.factors.W.dtype == np.float32


def sensing(scale=1.0, penalty=None, dtype=np.float64):
    inst = simulate.dense_sensing(6, 1, m=60, symmetric=True, dtype=dtype, random_state=0)
    return Problem(inst.op, inst.y * scale, penalty), inst.truth.scaled(scale)


class TestTolerance:
    """What is called stationary."""

    @pytest.mark.parametrize("solver", [GradientDescent(), LBFGS(), GaussNewton()])
    @pytest.mark.parametrize("size", [1e-9, 0.1])
    def test_how_a_run_ends_does_not_hang_on_the_units_of_y(self, solver, size):
        ends = []
        for scale in (4.0**-10, 1.0, 4.0**10):
            problem, truth = sensing(scale)
            start = initial.identity((6, 6), 1, scale=size, symmetric=True).scaled(scale)
            result = solve(solver, problem, start)
            if size > 1e-3:
                assert result.success
            assert result.success == (result.factors.distance(truth) < 1e-7 * truth.norm())
            ends.append((result.status, result.n_iter))
        assert ends[0] == ends[1] == ends[2]

    def test_the_bound_is_relative_to_the_scale_of_gradients(self):
        problem, _ = sensing(100.0)
        assert problem.gradient_scale == pytest.approx(problem.zero_loss**0.75)
        start = initial.identity((6, 6), 1, scale=1.0, symmetric=True)
        for tol in (1e-3, 1e-6):
            last = solve(GradientDescent(), problem, start, tol=tol).history.records
            assert last[-1].gradient_norm <= tol * problem.gradient_scale < last[-2].gradient_norm
        # Where y is zero there is no scale: the bound is the tolerance itself.
        assert sensing(0.0)[0].gradient_scale == 1.0
        result = solve(GradientDescent(), sensing(0.0)[0], start, tol=1e-3)
        assert result.success
        assert 1e-4 < result.history[-1].gradient_norm <= 1e-3


class TestZero:
    """A small gradient at zero says nothing where zero is a saddle point."""

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("solver", [GradientDescent(0.02), GradientDescent()])
    def test_descent_leaves_it_from_a_tiny_start(self, solver, dtype):
        problem, truth = sensing(dtype=dtype)
        start = initial.identity((6, 6), scale=1e-9, symmetric=True, reference=problem.y)
        result = solve(solver, problem, start, tol=1e-5)
        if dtype is np.float64 or solver.step_size:
            assert result.success
            assert result.factors.distance(truth) < 1e-3
        else:
            # Backtracking by a loss that is flat to rounding hardly moves, and says so.
            assert result.status is Status.MAX_ITER
            assert "zero is a saddle point" in result.message

    def test_the_curvature_is_looked_at_once(self):
        problem, _ = sensing()
        start = initial.identity((6, 6), scale=1e-12, symmetric=True)
        history = solve(GradientDescent(0.02), problem, start, max_iter=3000).history
        norms = np.array(history.column("gradient_norm"))
        assert np.sum(norms <= 1e-8 * problem.gradient_scale) > 50
        steps = np.diff(history.column("passes"))
        assert steps[0] > 5
        assert (steps[1:] == 1).all()

    @pytest.mark.parametrize(
        "solver",
        [
            GradientDescent(0.02),
            GradientDescent(),
            LBFGS(),
            GaussNewton(),
            StochasticGradientDescent(0.01, random_state=0),
            PerturbedSensingDescent(0.01),
        ],
    )
    def test_solvers_that_cannot_move_from_it_say_so(self, solver):
        problem, _ = sensing()
        result = solve(solver, problem, Factors(np.zeros((6, 3))))
        assert result.status is Status.STALLED
        assert result.n_iter <= 2
        assert "zero is a saddle point" in result.message
        assert "PerturbedGradientDescent" in result.message
        # The curvature that it states is that of the gradient at zero.
        G = problem.gradient_matrix(-problem.y)
        smallest = 2 * np.linalg.eigvalsh(G)[0]
        assert f"(curvature {smallest:.1e})" in result.message

    def test_perturbed_descent_leaves_it(self):
        problem, truth = sensing()
        solver = PerturbedGradientDescent(0.02, random_state=0)
        result = solve(solver, problem, Factors(np.zeros((6, 3))), tol=1e-4, max_iter=3000)
        assert result.success
        assert result.factors.distance(truth) < 1e-3

    def test_a_step_that_changes_nothing_by_chance_is_no_end(self):
        # Entries of X that are zero say nothing at zero.
        problem = Problem(FullObservation((4, 4)), np.diag([1.0, 0.0, 0.0, 0.0]))
        solver = StochasticGradientDescent(0.005, updates=1, random_state=0)
        start = initial.identity((4, 4), scale=1e-9, symmetric=True)
        states = itertools.islice(iterate(solver, problem, start), 2)
        np.testing.assert_array_equal(*(state.factors.W for state in states))
        assert solve(solver, problem, start, max_iter=5000).success

    def test_without_columns_there_is_nothing_to_look_at(self):
        problem, _ = sensing()
        result = solve(GradientDescent(0.1), problem, Factors.empty((6, 6), symmetric=True))
        assert result.success
        assert problem.passes == 0

    def test_too_few_steps_are_not_convergence(self):
        problem, _ = sensing()
        start = initial.identity((6, 6), scale=1e-9, symmetric=True)
        result = solve(GradientDescent(0.02), problem, start, max_iter=3)
        assert result.status is Status.MAX_ITER
        assert "after 3 steps: zero is a saddle point" in result.message

    @pytest.mark.parametrize(("share", "status"), [(1.1, "CONVERGED"), (0.9, "STALLED")])
    @pytest.mark.parametrize("units", [1e-6, 1.0, 1e6])
    def test_zero_is_a_minimum_under_a_strong_penalty(self, share, status, units):
        # lam >= 2 sqrt(beta) sigma^2 makes it one; descent collapses there.
        sigma, beta = 0.8, 0.01
        penalty = GroupLasso(2 * share * sigma**2 * np.sqrt(beta) * units**1.5, beta * units)
        problem = Problem(FullObservation((4, 4)), units * np.diag([sigma**2, 0.3, 0, 0]), penalty)
        result = solve(GradientDescent(0.1), problem, Factors(np.zeros((4, 4))))
        assert result.status.name == status
        if share > 1:
            start = initial.identity((4, 4), scale=0.01, symmetric=True).scaled(units)
            result = solve(GradientDescent(), problem, start, max_iter=3000)
            assert result.success
            assert result.factors.norm() < 1e-10 * units

    @pytest.mark.parametrize("seed", range(5))
    def test_zero_is_the_best_positive_matrix_for_a_negative_one(self, seed):
        # The Hessian at zero is singular: its zero eigenvalues, to rounding, are no way out.
        V = np.linalg.qr(np.random.default_rng(seed).standard_normal((9, 9)))[0][:, :2]
        problem = Problem(FullObservation((9, 9)), -V @ V.T)
        for start in (np.zeros((9, 3)), 1e-7 * np.eye(9, 3)):
            assert solve(GradientDescent(0.1), problem, Factors(start)).success

    @pytest.mark.parametrize("strength", [1e-8, 1.0, 1e8])
    def test_the_scale_of_the_measurements_is_no_matter(self, rng, strength):
        op = DenseSensing(strength * rng.standard_normal((60, 5, 4)))
        problem = Problem(op, op.forward(Factors(np.ones((5, 1)), np.ones((4, 1)))))
        zero = Factors(np.zeros((5, 2)), np.zeros((4, 2)))
        assert solve(GradientDescent(0.1), problem, zero).status is Status.STALLED


class TestWhatCannotBeRight:
    """Arguments are checked where they enter."""

    @pytest.mark.parametrize(
        ("start", "error", "match"),
        [
            (Factors(np.ones((5, 2))), ValueError, r"must be of shape \(6, 6\), .* \(5, 5\)"),
            (Factors(np.ones((6, 2)), np.ones((5, 2))), ValueError, r"must be of shape \(6, 6\)"),
            (Factors(np.full((6, 2), np.nan)), ValueError, "must be finite, got 12 NaN"),
            (np.ones((6, 2)), TypeError, "must be Factors, got ndarray"),
        ],
    )
    def test_starts(self, start, error, match):
        problem, _ = sensing()
        for name, run in (
            ("factors", lambda: solve(GradientDescent(0.1), problem, start)),
            ("factors", lambda: iterate(GradientDescent(0.1), problem, start)),
            (
                "factors",
                lambda: stationary_point(
                    problem, start, solver=LBFGS(), epsilon=0.1, gamma=0.1, max_iter=1
                ),
            ),
            (r"starts\[0\]", lambda: descend_batch([problem], [start], 0.1)),
            (r"starts\[1\]", lambda: descend_together(problem, [Factors(np.eye(6)), start], 0.1)),
        ):
            with pytest.raises(error, match=f"^{name} {match}"):
                run()

    def test_what_is_no_problem(self):
        inst, start = simulate.dense_sensing((6, 6), 1, random_state=0), Factors(np.eye(6))
        for name, run in (
            ("problem", lambda: solve(GradientDescent(0.1), inst, start)),
            (r"problems\[0\]", lambda: descend_batch([inst], [start], 0.1)),
            ("problem", lambda: descend_together(inst, [start], 0.1)),
        ):
            with pytest.raises(TypeError, match=f"^{name} must be a Problem, got Instance"):
                run()

    def test_arrays_of_two_libraries(self, convert):
        problem, _ = sensing()
        start = Factors(convert(np.eye(6)))
        for run in (
            lambda: solve(GradientDescent(0.1), problem, start),
            lambda: descend_batch([problem], [start], 0.1),
            lambda: descend_together(problem, [start], 0.1),
        ):
            with pytest.raises(TypeError, match="operator must be arrays of one library"):
                run()

    @pytest.mark.parametrize(
        ("options", "error", "match"),
        [
            ({"tol": "a"}, TypeError, "tol must be a number"),
            ({"tol": np.nan}, ValueError, "tol must be finite"),
            ({"tol": -1.0}, ValueError, "tol must be finite and at least 0"),
            ({"max_iter": -1}, ValueError, "max_iter must be at least 0"),
            ({"max_iter": 2.5}, TypeError, "max_iter must be an integer"),
            ({"callbacks": Trace({})}, TypeError, "callbacks must be a list of functions"),
            ({"callbacks": [None]}, TypeError, r"callbacks\[0\] must be a function, got None"),
        ],
    )
    def test_numbers_and_callbacks(self, options, error, match):
        problem, truth = sensing()
        with pytest.raises(error, match=match):
            solve(GradientDescent(0.1), problem, truth, **options)

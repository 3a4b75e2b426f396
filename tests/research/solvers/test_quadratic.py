"""Algorithm 1 of Li, Ma, Zhang: literal steps, both conventions, truncation, recovery."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from leanrank import initial
from leanrank._arrays import to_numpy
from leanrank.factors import Factors
from leanrank.operators import DenseSensing, RankOneSensing
from leanrank.penalties import GroupLasso
from leanrank.problem import Problem
from leanrank.research.solvers import RescaledGradientDescent
from leanrank.results import Status
from leanrank.solvers import GradientDescent, iterate, solve


def network(seed=0, m=600, d=10, r=2):
    rng = np.random.default_rng(seed)
    U = rng.standard_normal((d, r))
    truth = Factors(U / np.linalg.norm(U, axis=0))
    op = RankOneSensing(rng.standard_normal((m, d)))
    return Problem(op, op.forward(truth)), truth


def one_step(solver, problem, U):
    return solver.step(problem, solver.init(problem, Factors(U))).factors.W


def truncated_loss(problem, U, inside):
    residual = np.sum((problem.op.x @ U) ** 2, axis=1) - problem.y
    return np.mean(inside * residual**2)


@pytest.mark.parametrize("truncation", ["output", "residual"])
def test_the_step_is_minus_the_numerical_gradient_of_the_truncated_loss(truncation):
    problem, _ = network(m=80, d=5)
    U = 0.5 * np.random.default_rng(1).standard_normal((5, 3))
    output = np.sum((problem.op.x @ U) ** 2, axis=1)
    size = output if truncation == "output" else np.abs(output - problem.y)
    radius = float(np.quantile(size, 0.7)) + 1e-3
    solver = RescaledGradientDescent(0.01, radius=radius, truncation=truncation, rescaling="none")
    inside = size <= radius
    assert 0 < inside.sum() < 80
    gradient = np.zeros_like(U)
    for index in np.ndindex(*U.shape):
        step = np.zeros_like(U)
        step[index] = 1e-6
        up, down = (truncated_loss(problem, U + s * step, inside) for s in (1, -1))
        gradient[index] = (up - down) / 2e-6
    np.testing.assert_allclose(one_step(solver, problem, U), U - 0.01 * gradient, atol=1e-8)


def test_rescaling_is_that_of_the_proof_or_of_the_listing():
    problem, _ = network(d=5)
    U = np.random.default_rng(1).standard_normal((5, 3))
    c = np.sum(U * U) - 2.0
    plain = one_step(RescaledGradientDescent(0.01, trace=2.0, rescaling="none"), problem, U)
    for rescaling, factor in (("consistent", 0.04), ("printed", 0.01)):
        solver = RescaledGradientDescent(0.01, trace=2.0, rescaling=rescaling)
        np.testing.assert_allclose(one_step(solver, problem, U), plain / (1 - factor * c))
    mean = float(np.mean(problem.y))
    default, told = RescaledGradientDescent(0.01), RescaledGradientDescent(0.01, trace=mean)
    np.testing.assert_array_equal(one_step(default, problem, U), one_step(told, problem, U))


def test_the_step_is_that_of_matrix_sensing_on_average():
    """Eq. (25): the identity that rank-one measurements add is undone, to second order in eta."""
    problem, truth = network(m=400_000, d=4, r=1)
    U = np.random.default_rng(1).standard_normal((4, 2))
    eta = 1e-4
    X = truth.to_dense()
    expected = U - eta * 2 * (U @ U.T - X) @ U
    solver = RescaledGradientDescent(eta / 4, trace=1.0)
    got = (one_step(solver, problem, U) - U) / eta
    np.testing.assert_allclose(got, (expected - U) / eta, atol=0.1)
    plain = (one_step(GradientDescent(eta / 4), problem, U) - U) / eta
    assert np.abs(plain - (expected - U) / eta).max() > 1.0


def test_without_truncation_and_rescaling_it_is_gradient_descent():
    problem, _ = network(m=100)
    start = Factors(0.1 * np.eye(10))
    a = iterate(RescaledGradientDescent(0.005, rescaling="none"), problem, start)
    b = iterate(GradientDescent(0.005), problem, start)
    for one, two in itertools.islice(zip(a, b, strict=False), 30):
        np.testing.assert_array_equal(one.factors.W, two.factors.W)
        assert one.point.value == two.point.value


def test_states_are_measured_with_the_full_loss():
    problem, _ = network(m=100)
    solver = RescaledGradientDescent(0.005, radius=3.0)
    states = iterate(solver, problem, Factors(0.3 * np.eye(10)))
    for state in itertools.islice(states, 20):
        assert state.point.loss == problem.evaluate(state.factors).loss


def test_many_samples_rescaling_helps_few_it_hurts():
    start = initial.identity((20, 20), 20, scale=1e-3, symmetric=True)
    errors = {}
    for m in (100, 800):
        problem, truth = network(m=m, d=20)
        for solver in (GradientDescent(0.005), RescaledGradientDescent(0.005, trace=2.0)):
            state = next(itertools.islice(iterate(solver, problem, start), 800, None))
            errors[m, type(solver).__name__] = state.factors.distance(truth)
    assert errors[800, "RescaledGradientDescent"] < 0.3 * errors[800, "GradientDescent"]
    assert errors[100, "RescaledGradientDescent"] > errors[100, "GradientDescent"]


def test_a_step_too_large_diverges_without_warnings():
    problem, _ = network(m=100)
    for step in (0.2, 10.0):
        solver = RescaledGradientDescent(step, trace=2.0)
        result = solve(solver, problem, Factors(2 * np.eye(10)), max_iter=50)
        assert result.status is Status.DIVERGED
        # No step is taken through the pole of the rescaling.
        assert len(result.history) == 1
        assert np.isfinite(result.factors.W).all()


def test_other_array_libraries(convert):
    problem, _ = network(m=60, d=4)
    other = Problem(RankOneSensing(convert(problem.op.x)), convert(problem.y))
    U = 0.5 * np.random.default_rng(0).standard_normal((4, 3))
    for truncation in ("output", "residual"):
        solver = RescaledGradientDescent(0.01, radius=1.5, truncation=truncation)
        expected = one_step(solver, problem, U)
        np.testing.assert_allclose(to_numpy(one_step(solver, other, convert(U))), expected)


def test_float32_stays():
    problem, _ = network(m=60, d=4)
    problem = Problem(RankOneSensing(problem.op.x.astype(np.float32)), problem.y)
    W = one_step(RescaledGradientDescent(0.01, radius=2.0), problem, np.eye(4, dtype=np.float32))
    assert W.dtype == np.float32


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"step_size": 0.0}, "step_size must be"),
        ({"trace": -1.0}, "trace must be"),
        ({"radius": 0.0}, "radius must be"),
        ({"radius": math.nan}, "radius must be"),
        ({"truncation": "input"}, "truncation must be one of"),
        ({"rescaling": "yes"}, "rescaling must be one of"),
    ],
)
def test_bad_parameters(options, match):
    with pytest.raises(ValueError, match=match):
        RescaledGradientDescent(**({"step_size": 0.1} | options))


def test_bad_problems(rng):
    problem, _ = network(m=40, d=4)
    solver, U = RescaledGradientDescent(0.01), np.eye(4)
    with pytest.raises(ValueError, match="factors must be symmetric"):
        solver.init(problem, Factors(U, U))
    with pytest.raises(ValueError, match="no penalty"):
        solver.init(problem.with_penalty(GroupLasso(0.1, 0.1)), Factors(U))
    dense = Problem(DenseSensing(rng.standard_normal((9, 4, 4))), np.ones(9))
    bilinear = Problem(RankOneSensing(problem.op.x, problem.op.x), problem.y)
    for other in (dense, bilinear):
        with pytest.raises(TypeError, match="quadratic measurements"):
            solver.init(other, Factors(U))

"""Theorems 7 and 8 and Lemma 22: constants that are attained, a step that stays, a bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanrank.factors import Factors
from leanrank.operators import FullObservation
from leanrank.penalties import GroupLasso
from leanrank.problem import Problem
from leanrank.research import theory
from leanrank.solvers import GradientDescent, PerturbedGradientDescent, solve

LAM, BETA = 0.3, 0.04


def curvature(problem, W, Z):
    """Second derivative of the objective along Z."""
    return float(np.sum(Z * problem.hessian(problem.evaluate(Factors(W)))(Z)))


def bend(problem, W, Z, h=1e-4):
    """Third derivative along Z, by finite differences."""
    return (curvature(problem, W + h * Z, Z) - curvature(problem, W - h * Z, Z)) / (2 * h)


@pytest.mark.parametrize("radius", [3.0, 1.5])
def test_each_term_of_the_smoothness_constants_is_attained(radius):
    loss = Problem(FullObservation((3, 3)), np.diag([1.0, 0.5, 0.0]))
    penalised = loss.with_penalty(GroupLasso(LAM, BETA))
    gradient, hessian = theory.smoothness_constants(LAM, BETA, radius=radius)
    plain = theory.smoothness_constants(0.0, BETA, radius=radius)
    along, across = np.zeros((2, 3, 2))
    along[2, 0] = across[2, 1] = 1.0
    assert curvature(loss, radius * along, along) == pytest.approx(plain[0])
    assert bend(loss, radius * along, along) == pytest.approx(plain[1])
    penalty = curvature(penalised, radius * along, across) - curvature(loss, radius * along, across)
    assert penalty == pytest.approx(gradient - plain[0])
    x = np.linspace(0.0, 3.0, 1001)[:, None, None] * math.sqrt(BETA) * along
    bends = [bend(penalised, W, along) - bend(loss, W, along) for W in x]
    assert max(np.abs(bends)) == pytest.approx(hessian - plain[1], rel=1e-3)


@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 1.0))
@settings(max_examples=25, deadline=None)
def test_no_curvature_in_the_ball_exceeds_the_smoothness_constants(seed, scale):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((4, 2))
    X = X @ X.T
    problem = Problem(FullObservation((4, 4)), X / np.linalg.norm(X, 2), GroupLasso(LAM, BETA))
    gradient, hessian = theory.smoothness_constants(LAM, BETA)
    W, Z = rng.standard_normal((2, 4, 3))
    W *= 3 * scale / np.linalg.norm(W, 2)
    apply = problem.hessian(problem.evaluate(Factors(W)))
    dense = np.array([apply(e.reshape(4, 3)).ravel() for e in np.eye(12)])
    assert np.abs(np.linalg.eigvalsh(dense)).max() <= gradient
    assert abs(bend(problem, W, Z / np.linalg.norm(Z))) <= hessian


def test_theorem_8_is_false_as_printed_and_true_at_a_quarter():
    problem = Problem(FullObservation((1, 1)), np.zeros((1, 1)))
    start = Factors(np.array([[3.0]]))
    printed = GradientDescent(1 / 8)
    state = printed.step(problem, printed.init(problem, start))
    assert state.factors.W[0, 0] == pytest.approx(-10.5)
    assert solve(printed, problem, start).status.name == "DIVERGED"
    # The gradient without its factor 4, as in the proof, is this one with a quarter of the step.
    assert theory.invariant_step_size() == 1 / 32
    solver = GradientDescent(theory.invariant_step_size())
    state = solver.init(problem, start)
    for _ in range(200):
        state = solver.step(problem, state)
        assert abs(state.factors.W[0, 0]) <= 3


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale", [1.0, 0.5, 2.0])
def test_iterates_stay_in_the_ball_at_the_corrected_step(seed, scale):
    rng = np.random.default_rng(seed)
    U = rng.standard_normal((5, 2))
    U *= scale / np.linalg.norm(U, 2)
    W = rng.standard_normal((5, 4))
    W *= 3 * scale / np.linalg.norm(W, 2)
    beta = (0.3 * scale) ** 2
    penalty = GroupLasso(math.sqrt(beta) * scale**2, beta)
    problem = Problem(FullObservation((5, 5)), U @ U.T, penalty)
    solver = PerturbedGradientDescent(
        theory.invariant_step_size(scale),
        radius=100.0 * scale**3,
        threshold=1e9,
        every=1,
        operator_norm=scale**3,
        random_state=seed,
    )
    state = solver.init(problem, Factors(W))
    for _ in range(60):
        state = solver.step(problem, state)
        assert np.linalg.norm(state.factors.W, 2) <= 3 * scale


@pytest.mark.parametrize("symmetric", [True, False])
def test_gradient_lower_bound_is_the_fastest_rotation_of_two_columns(rng, symmetric):
    W = rng.standard_normal((6, 4)) * np.array([0.1, 1.0, 0.5, 0.0])
    penalty = GroupLasso(LAM, BETA)
    rates = []
    for i in range(4):
        for j in range(i):
            Z = np.zeros((6, 4))
            Z[:, i], Z[:, j] = W[:, j], -W[:, i]
            rate = np.sum(Z * (W * penalty.weights(W)))
            rates.append(abs(rate) / max(np.linalg.norm(Z), 1e-300))
    factors = Factors(W) if symmetric else Factors(W[:4], W[4:])
    bound = theory.gradient_lower_bound(factors, penalty)
    assert bound == pytest.approx(max(rates))
    problem = Problem(FullObservation(factors.shape), np.ones(factors.shape), penalty)
    assert 0 < bound <= problem.evaluate(factors).gradient_norm


def test_nothing_is_said_of_columns_that_are_orthogonal_or_empty(rng):
    penalty = GroupLasso(LAM, BETA)
    for W in (np.eye(4, 3) * [1.0, 2.0, 0.0], np.zeros((3, 2)), np.ones((3, 1)), np.ones((3, 2))):
        assert theory.gradient_lower_bound(Factors(W), penalty) == pytest.approx(0.0, abs=1e-15)
    assert theory.gradient_lower_bound(Factors.empty((3, 3), True, np.eye(3)), penalty) == 0.0


def test_other_array_libraries(convert, rng):
    W, penalty = rng.standard_normal((5, 3)), GroupLasso(LAM, BETA)
    expected = theory.gradient_lower_bound(Factors(W), penalty)
    assert theory.gradient_lower_bound(Factors(convert(W)), penalty) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: theory.invariant_step_size(-1.0), "spectral_norm"),
        (lambda: theory.smoothness_constants(-1.0, 0.1), "lam"),
        (lambda: theory.smoothness_constants(1.0, 0.0), "beta"),
        (lambda: theory.smoothness_constants(1.0, 1.0, radius=0.0), "radius"),
    ],
)
def test_errors_name_the_argument(call, match):
    with pytest.raises(ValueError, match=match):
        call()

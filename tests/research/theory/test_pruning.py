"""Calculators against brute force, and the paper's statements where they fail."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanrank import initial, simulate
from leanrank.factors import Factors
from leanrank.operators import FullObservation
from leanrank.penalties import GroupLasso
from leanrank.problem import Problem
from leanrank.pruning import prune
from leanrank.research import theory
from leanrank.solvers import GradientDescent, iterate, solve

sigmas = st.floats(0.2, 3.0)
betas = st.floats(1e-4, 0.5)


def slope(s, beta):
    return GroupLasso(1.0, beta).weights(np.array([[math.sqrt(s)]]))[0]


@pytest.mark.parametrize("symmetric", [True, False])
@given(sigma=sigmas, beta=betas)
@settings(max_examples=40, deadline=None)
def test_critical_lambda_is_the_maximum_over_a_grid(symmetric, sigma, beta):
    target, factor = (sigma**2, 4.0) if symmetric else (2 * sigma**2, 1.0)
    s = np.linspace(0.0, target, 4001)
    values = factor * (target - s) * (s + beta) ** 1.5 / (s + 2 * beta)
    result = theory.critical_lambda(sigma, beta, symmetric=symmetric)
    assert result >= values.max() * (1 - 1e-12)
    assert result == pytest.approx(values.max(), rel=1e-5)


def test_critical_lambda_tends_to_its_limit():
    limit = 8 / (3 * math.sqrt(3))
    assert theory.critical_lambda(1.0, 1e-14) == pytest.approx(limit, rel=1e-6)
    measured = [theory.critical_lambda(1.0, b**2) for b in (0.05, 0.1, 0.2)]
    assert measured == pytest.approx([1.53, 1.52, 1.47], abs=0.01)


@pytest.mark.parametrize("symmetric", [True, False])
@given(sigma=sigmas, beta=betas, share=st.floats(0.01, 0.99))
@settings(max_examples=40, deadline=None)
def test_predicted_norm_is_a_stable_stationary_point(symmetric, sigma, beta, share):
    lam = share * theory.critical_lambda(sigma, beta, symmetric=symmetric)
    norm = theory.predicted_column_norm(sigma, lam, beta, symmetric=symmetric)
    if norm == 0:
        assert theory.origin_is_stable(lam, beta, sigma, symmetric=symmetric)
        return
    # One column along the eigenvector (or singular pair) of a 1 x 1 matrix is the general case.
    Y = np.array([[sigma**2]])
    problem = Problem(FullObservation((1, 1)), Y, GroupLasso(lam, beta))

    def gradient(length):
        entry = np.array([[length if symmetric else length / math.sqrt(2)]])
        point = problem.evaluate(Factors(entry) if symmetric else Factors(entry, entry))
        return point.gradient[0, 0]

    assert abs(gradient(norm)) <= 1e-7 * sigma**3
    assert gradient(norm * 1.01) > 0
    for length in np.linspace(norm * 1.001, 2 * sigma, 50):
        assert gradient(length) > 0


def test_no_direction_survives_above_the_critical_strength():
    lam = theory.critical_lambda(0.7, 0.01)
    assert theory.predicted_column_norm(0.7, 0.999 * lam, 0.01) > 0.2
    assert theory.predicted_column_norm(0.7, 1.001 * lam, 0.01) == 0.0


@given(sigma=sigmas, beta=betas)
@settings(max_examples=30, deadline=None)
def test_smallest_surviving_sigma_inverts_the_critical_strength(sigma, beta):
    lam = theory.critical_lambda(sigma, beta)
    assert theory.smallest_surviving_sigma(lam, beta) == pytest.approx(sigma, rel=1e-8)


@pytest.mark.parametrize("symmetric", [True, False])
@given(sigma=sigmas, beta=betas, lam=st.floats(0.001, 5.0))
@settings(max_examples=40, deadline=None)
def test_origin_stability_is_the_sign_of_the_hessian_at_zero(symmetric, sigma, beta, lam):
    problem = Problem(
        FullObservation((2, 2)), np.diag([sigma**2, 0.3 * sigma**2]), GroupLasso(lam, beta)
    )
    zero = np.zeros((2, 1))
    point = problem.evaluate(Factors(zero) if symmetric else Factors(zero, zero))
    hessian = problem.hessian(point)
    size = point.gradient.size
    columns = [hessian(e.reshape(-1, 1)).ravel() for e in np.eye(size)]
    smallest = np.linalg.eigvalsh(np.array(columns))[0]
    if abs(smallest) > 1e-9:
        assert theory.origin_is_stable(lam, beta, sigma, symmetric=symmetric) == (smallest > 0)


def test_measured_column_norm_of_the_population_run():
    U = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 2)))[0]
    problem = Problem(FullObservation((6, 6)), U @ U.T, GroupLasso(0.1, 0.01))
    start = Factors(U + 0.01)
    result = solve(GradientDescent(0.1), problem, start, tol=1e-10, max_iter=5000)
    assert result.success
    expected = theory.predicted_column_norm(1.0, 0.1, 0.01)
    assert result.factors.column_norms() == pytest.approx([expected, expected], abs=1e-8)


def test_parameters_of_equation_10():
    p = theory.pruning_parameters(0.5, 2, 8)
    assert (p.beta, p.lam) == pytest.approx((0.03 * 0.25 / 2, 0.125 / 4))
    # The root of k alone: gamma is lam / r^2.
    assert p.gamma == pytest.approx(p.lam / 4)
    assert p.epsilon == pytest.approx(p.gamma * math.sqrt(0.5))
    assert not theory.origin_is_stable(p.lam, p.beta, 1.0)


@given(
    sigma_r=st.floats(0.3, 1.0),
    width=st.integers(2, 40),
    c_beta=st.floats(0.003, 0.1),
    c_lambda=st.floats(0.3, 2.0),
)
def test_when_the_parameters_of_equation_10_make_zero_a_trap(sigma_r, width, c_beta, c_lambda):
    p = theory.pruning_parameters(sigma_r, 2, width, c_beta=c_beta, c_lambda=c_lambda)
    margin = sigma_r**2 / math.sqrt(width) - 2 * math.sqrt(c_beta) / c_lambda
    if abs(margin) > 1e-9:
        assert theory.origin_is_stable(p.lam, p.beta, 1.0) == (margin > 0)


@pytest.mark.parametrize(("width", "scale", "kept"), [(8, 1e-3, 0), (9, 1e-3, 2), (8, 0.2, 2)])
def test_descent_with_the_default_parameters_on_both_sides_of_the_trap(width, scale, kept):
    p = theory.pruning_parameters(1.0, 2, width)
    assert theory.origin_is_stable(p.lam, p.beta, 1.0) == (width <= 8)
    U = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 2)))[0]
    problem = Problem(FullObservation((8, 8)), U @ U.T, GroupLasso(p.lam, p.beta))
    start = initial.gaussian((8, 8), width, scale=scale, symmetric=True, random_state=1)
    found = solve(GradientDescent(0.1), problem, start, tol=1e-9, max_iter=3000)
    assert prune(found.factors, 2 * math.sqrt(p.beta)).width == kept


@given(scale=st.floats(0.1, 10.0))
@settings(max_examples=20, deadline=None)
def test_parameters_have_the_units_that_they_claim(scale):
    p = theory.pruning_parameters(0.5, 2, 8)
    q = theory.pruning_parameters(0.5 * scale, 2, 8, spectral_norm=scale)
    assert q.beta == pytest.approx(p.beta * scale**2)
    assert q.lam == pytest.approx(p.lam * scale**3)
    assert q.gamma == pytest.approx(p.gamma * scale**2)
    assert q.epsilon == pytest.approx(p.epsilon * scale**3)
    crit = theory.critical_lambda(0.5, 0.01)
    assert theory.critical_lambda(0.5 * scale, 0.01 * scale**2) == pytest.approx(crit * scale**3)


def test_fine_tuning_steps_by_hand():
    assert theory.fine_tuning_steps(1.0, 1.0, 100, 20, c=10.0) == math.ceil(10 * math.log(5))
    steps = theory.fine_tuning_steps(1.0, 0.8, 1000, 20, c=2.0)
    assert steps == math.ceil(2 * 1.25**10 * math.log(40))
    assert theory.fine_tuning_steps(1.0, 0.1, 20, 20) == 1


def test_fine_tuning_reaches_the_floor_in_about_the_steps_of_the_default(rng):
    instance = simulate.dense_sensing((20, 20), 3, m=400, symmetric=True, noise=0.0, random_state=0)
    truth = Factors(np.linalg.qr(rng.standard_normal((20, 3)))[0])
    noise = 0.01
    y = instance.op.forward(truth) + noise * rng.standard_normal(400)
    start = Factors(truth.U + 0.016 * rng.standard_normal((20, 3)))
    errors = []
    for state in iterate(GradientDescent(0.02), Problem(instance.op, y), start):
        errors.append(state.factors.distance(truth))
        if state.iteration == 500:
            break
    steps = theory.fine_tuning_steps(1.0, 1.0, 400, 20)
    assert errors[0] == pytest.approx(0.18, abs=0.05)
    assert errors[steps] < 1.1 * errors[-1]
    assert errors[steps // 3] > 1.5 * errors[-1]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: theory.pruning_parameters(0.0, 3, 5), "sigma_r"),
        (lambda: theory.pruning_parameters(2.0, 3, 5), "sigma_r must be.*at most 1"),
        (lambda: theory.pruning_parameters(1.0, 3, 2), "width must be at least 3"),
        (lambda: theory.critical_lambda(1.0, 0.0), "beta"),
        (lambda: theory.fine_tuning_steps(1.0, 2.0, 100, 20), "sigma_r"),
    ],
)
def test_errors_name_the_argument(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_gradient_calls_are_those_of_the_accuracy_of_eq_10():
    for sigma, rank, width in ((1.0, 2, 10), (0.5, 3, 20)):
        asked = theory.pruning_parameters(sigma, rank, width)
        # One phase at a time: what is left of the other is a part in 1e9.
        search = theory.gradient_calls(sigma, rank, width, 400, 20, c_tune=1e-9)
        assert search == pytest.approx(1 / min(asked.epsilon, asked.gamma) ** 2, rel=1e-6)
        tune = theory.gradient_calls(sigma, rank, width, 400, 20, c_search=1e-12)
        assert tune == pytest.approx(50 * np.log(20 / sigma) / sigma**10, rel=1e-6)
    assert theory.gradient_calls(1.0, 1, 1, 5, 20) == 1.0
    with pytest.raises(ValueError, match="sigma_r must be"):
        theory.gradient_calls(1.5, 1, 1, 5, 20)

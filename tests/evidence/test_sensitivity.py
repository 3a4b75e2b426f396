"""Identifiability, and what noise does to the answer, against dense linear algebra and refits."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from leanrank import Factors, check_certificate
from leanrank.evidence.sensitivity import (
    Sensitivity,
    _missed,
    _strain,
    _turns_a_block,
    change_of_matrix,
    gauss_newton_step,
    noise_deviation,
    random_pull_back,
    sensitivity,
)
from leanrank.linalg import ConjugateGradients, conjugate_gradients
from leanrank.losses import Squared
from leanrank.operators import FullObservation, ObservedEntries
from leanrank.problem import Problem
from leanrank.solvers import GaussNewton, solve

MODULE = sys.modules[sensitivity.__module__]

# --- identifiability and error ------------------------------------------------------------------


def test_blocks_that_nothing_connects_are_not_identifiable(rng):
    mask = np.zeros((12, 12), dtype=bool)
    mask[:6, :6] = mask[6:, 6:] = True
    op = ObservedEntries(*np.nonzero(mask), (12, 12))
    truth = Factors(rng.standard_normal((12, 1)), rng.standard_normal((12, 1)))
    certificate = check_certificate(op, op.forward(truth), truth)
    assert certificate.identifiability < 1e-7
    assert not certificate.holds
    assert any("other matrices" in reason for reason in certificate.reasons)


def test_identifiability_is_that_of_the_dense_jacobian(make, jacobian):
    """In order of magnitude: relative to the curvature of each row rather than to the largest."""
    instance = make(kappa=2.0, random_state=0)
    factors = instance.truth.balance()
    certificate = check_certificate(instance.op, instance.y, factors)
    s = np.linalg.svd(jacobian(instance.op, factors), compute_uv=False) ** 2
    dense = s[factors.degrees_of_freedom() - 1] / s[0]
    assert dense / 10 < certificate.identifiability < 50 * dense
    assert certificate.holds


def test_error_estimate_is_that_of_refits_to_fresh_noise(make, fitted):
    instance = make(kappa=2.0, random_state=0)
    rng = np.random.default_rng(0)
    clean, truth = instance.y, instance.truth
    sigma = 0.02 * float(np.std(clean))
    errors, estimates = [], []
    for seed in range(12):
        noisy = replace(instance, y=clean + sigma * rng.standard_normal(clean.size))
        factors = fitted(noisy)
        errors.append(factors.distance(truth) / truth.norm())
        certificate = check_certificate(noisy.op, noisy.y, factors, random_state=seed)
        estimates.append(certificate.error_estimate)
    ratio = math.sqrt(np.mean(np.square(estimates)) / np.mean(np.square(errors)))
    assert 1 / 1.5 < ratio < 1.5


def test_random_directions_change_the_matrix_and_nothing_else(make_either, rng):
    """They span the tangent space, of which rotations of the factors are no part."""
    factors = make_either(random_state=0).truth
    U, V = factors.U, factors.V
    draws = np.array([random_pull_back(factors, rng).ravel() for _ in range(60)])
    assert np.linalg.matrix_rank(draws) == factors.degrees_of_freedom()
    for i, j in ((0, 1), (1, 0)):
        turn = np.zeros((2, 2))
        turn[i, j] = 1.0
        flat = U @ (turn - turn.T) if factors.symmetric else np.concatenate([U @ turn, -V @ turn.T])
        np.testing.assert_allclose(draws @ flat.ravel(), 0.0, atol=1e-10)


def test_change_of_matrix_is_a_derivative(make_either, rng):
    factors = make_either(random_state=0).truth
    Z = rng.standard_normal(factors.W.shape)
    up, down = (factors.with_stacked(factors.W + h * Z).to_dense() for h in (1e-5, -1e-5))
    expected = np.linalg.norm(up - down) / 2e-5
    assert change_of_matrix(Z, factors).norm() == pytest.approx(expected, rel=1e-8)


def expected_changes(jacobian, op, factors: Factors, deviation: float) -> np.ndarray:
    """Expected squared change of each entry of X, by dense linear algebra."""
    J = jacobian(op, factors)
    D = jacobian(FullObservation(factors.shape), factors)
    inverse = np.linalg.pinv(J.T @ J, rcond=1e-13, hermitian=True)
    return deviation**2 * np.einsum("ij,jk,ik->i", D, inverse, D).reshape(factors.shape)


def test_error_is_that_of_the_full_information(make, jacobian, fitted):
    """The root of sigma^2 tr(D (J^T J)^+ D^T), which four draws estimate."""
    instance = make(kappa=2.0, noise=0.1, random_state=0)
    problem, factors = Problem(instance.op, instance.y), fitted(instance)
    point, tangent = problem.linearise(factors)
    deviation = noise_deviation(problem, point)
    exact = math.sqrt(expected_changes(jacobian, instance.op, factors, deviation).sum())
    for seed in range(3):
        found = sensitivity(problem, point, tangent, np.random.default_rng(seed), 4)
        assert exact / 1.4 < found.error < 1.4 * exact


def bridged(weak: float) -> tuple[ObservedEntries, Factors]:
    """Two blocks that one row joins, which is weak in the second."""
    mask = np.zeros((12, 12), dtype=bool)
    mask[:6, :6] = mask[6:, 6:] = True
    mask[0, 6:9] = True
    rng = np.random.default_rng(0)
    U, V = rng.uniform(0.5, 1.5, (12, 1)), rng.uniform(0.5, 1.5, (12, 1))
    U[0] = weak
    return ObservedEntries(*np.nonzero(mask), (12, 12)), Factors(U, V)


@pytest.mark.parametrize("weak", [1.0, 1e-2, 1e-4])
def test_a_flat_direction_is_seen_however_flat_it_is(weak, jacobian):
    op, truth = bridged(weak)
    sigma, rng = 1e-6, np.random.default_rng(1)
    problem = Problem(op, op.forward(truth) + sigma * rng.standard_normal(op.size))
    point, tangent = problem.linearise(truth.balance())
    deviation = noise_deviation(problem, point)
    exact = math.sqrt(expected_changes(jacobian, op, point.factors, deviation).sum())
    for seed in range(5):
        found = sensitivity(problem, point, tangent, np.random.default_rng(seed), 4)
        # The flat direction counts once at its expectation, and again as far as draws show it.
        assert exact / 1.2 < found.error < 2.0 * exact


def test_a_single_draw_misses_what_the_flattest_direction_adds():
    """So that the test above can fail."""
    op, truth = bridged(1e-4)
    problem = Problem(
        op, op.forward(truth) + 1e-6 * np.random.default_rng(1).standard_normal(op.size)
    )
    point, tangent = problem.linearise(truth.balance())
    found = sensitivity(problem, point, tangent, np.random.default_rng(0), 4)
    flat, *draws = (change.norm() ** 2 for change in found.changes)
    assert min(draws) * len(draws) < flat / 4


def test_deviation_counts_the_unknowns(make_dense):
    instance = make_dense(noise=0.3, random_state=0)
    problem = Problem(instance.op, instance.y)
    point = problem.evaluate(instance.truth)
    expected = np.sqrt(np.sum(point.residual**2) / (90 - 2 * (7 + 6 - 2)))
    assert noise_deviation(problem, point) == pytest.approx(expected)
    few = problem.subset(np.arange(22))
    assert noise_deviation(few, few.evaluate(instance.truth)) == math.inf
    assert math.isfinite(noise_deviation(problem.subset(np.arange(23)), point))


@pytest.mark.parametrize("size", [1e-3, 1e3])
def test_deviation_is_at_least_rounding(make_dense, size):
    instance = make_dense(random_state=0)
    problem = Problem(instance.op, size * instance.y)
    point = problem.evaluate(instance.truth.scaled(size))
    rounding = np.finfo(float).eps * np.sqrt(np.mean(problem.y**2))
    assert rounding <= noise_deviation(problem, point) < 3.0 * rounding
    exact = replace(point, residual=0.0 * point.residual)
    assert noise_deviation(problem, exact) == pytest.approx(rounding, rel=1e-12)


def test_without_spare_measurements_nothing_bounds_the_error(make_dense):
    instance = make_dense(noise=0.3, random_state=0)
    few = Problem(instance.op, instance.y).subset(np.arange(20))
    point, tangent = few.linearise(instance.truth.balance())
    found = sensitivity(few, point, tangent, np.random.default_rng(0), 4)
    assert found.changes is None
    assert found.error == math.inf


def test_left_out_measurements_are_missed_by_what_leverage_says(make_dense, jacobian, fitted):
    instance = make_dense(noise=0.1, random_state=0)
    problem, factors = Problem(instance.op, instance.y), fitted(instance)
    point, tangent = problem.linearise(factors)
    J = jacobian(instance.op, factors)
    leverage = np.diag(J @ np.linalg.pinv(J))
    found = sensitivity(problem, point, tangent, np.random.default_rng(0), 50)
    assert found.missed == pytest.approx(np.mean(1.0 / (1.0 - leverage)), rel=0.1)


def joined(joints: int) -> tuple[ObservedEntries, Factors, np.ndarray]:
    """A symmetric matrix of rank two, of whose halves the second can be turned about the joints."""
    mask = np.zeros((20, 20), dtype=bool)
    mask[:10, :10] = mask[10:, 10:] = True
    mask[np.arange(joints), 10 + np.arange(joints)] = True
    op = ObservedEntries(*np.nonzero(mask), (20, 20))
    truth = Factors(np.random.default_rng(0).standard_normal((20, 2))).balance()
    return op, truth, (op.rows < 10) & (op.cols >= 10)


def seen_from(
    op: ObservedEntries, truth: Factors, noise: np.ndarray, draws: int = 4
) -> Sensitivity:
    problem = Problem(op, op.forward(truth) + noise)
    point, tangent = problem.linearise(truth)
    return sensitivity(problem, point, tangent, np.random.default_rng(0), draws)


def test_strain_is_that_of_the_measurements_that_hold_a_block():
    op, truth, joint = joined(6)
    noise = 1e-3 * np.random.default_rng(2).standard_normal(op.size)
    assert 0.0 < seen_from(op, truth, noise).strain < 1.0
    assert seen_from(op, truth, np.where(joint, 20.0, 1.0) * noise).strain > 2.0
    once = seen_from(op, truth, noise, draws=1)  # too rough to say which way is flat
    assert (once.strain, once.held_by) == (0.0, math.inf)
    elsewhere = np.arange(op.size) == np.flatnonzero(~joint)[7]
    assert seen_from(op, truth, np.where(elsewhere, 20.0, 1.0) * noise).strain < 1.0


def test_measurements_that_hold_a_block_are_counted():
    noise = 1e-3 * np.random.default_rng(2).standard_normal(210)
    few, many = joined(2), joined(10)
    assert 1.0 <= seen_from(*few[:2], noise[: few[0].size]).held_by <= 2.2
    assert 4.0 < seen_from(*many[:2], noise[: many[0].size]).held_by < 12.0


@pytest.mark.parametrize("count", [2, 4, 20, 200])
def test_noise_strains_once_in_a_thousand_times(count):
    """At measurements that hold a block alike, whose leverages of 1 / n shorten their residuals."""
    share = np.full(count, 1.0 / count)
    few = 1.0 / count
    rng = np.random.default_rng(0)
    fits = (1.0 - few) * np.mean(rng.standard_normal((50_000, count)) ** 2, axis=1)
    strain = fits * _strain(share, np.ones(count))  # which is linear in the fit
    assert 3e-4 < np.mean(strain > 1.0) < 6e-3


def test_strain_weighs_measurements_by_what_hangs_on_them():
    weights = np.array([0.5, 0.3, 0.2, 0.0])
    few = 0.5**2 + 0.3**2 + 0.2**2
    mean = 0.5 * 4.0 / (1.0 - 0.5) + 0.3 * 9.0 / (1.0 - 0.3) + 0.2 * 1.0 / (1.0 - 0.2)
    expected = mean / (1.0 + 3.0 * math.sqrt(2.0 * few) + 6.0 * few)
    fit = np.array([4.0, 9.0, 1.0, 1e6])
    assert _strain(weights, fit) == pytest.approx(expected, rel=1e-12)
    # One measurement that nearly all hangs on is counted as one of few, not divided by nothing.
    alone = _strain(np.array([0.999, 0.001]), np.array([1.0, 0.0]))
    assert alone == pytest.approx(1.0 / (1.0 + 3.0 * math.sqrt(2.0) + 6.0), rel=0.01)


@pytest.mark.parametrize(("moves", "turns"), [((1, 1, 0), False), ((1, 1, 0.2), True)])
def test_a_block_is_of_more_than_two_rows(moves, turns):
    for size in (1e-9, 1.0, 1e9):
        Z = size * np.array(moves)[:, None] * np.array([[0.6, 0.8]])
        assert _turns_a_block(Z) is turns
    assert not _turns_a_block(np.eye(9, 1))


def test_leverages_near_one_count_as_nineteen_in_twenty():
    assert _missed(np.array([0.5, 0.0])) == pytest.approx(1.5)
    assert _missed(np.array([0.94])) == pytest.approx(1.0 / 0.06)
    assert _missed(np.array([0.96, 1.2])) == pytest.approx(20.0)


def test_solves_are_tight(make_dense, fitted, monkeypatch):
    asked = []

    def solve(H, b, precondition, *, tol, max_iter):
        asked.append((tol, max_iter))
        return conjugate_gradients(H, b, precondition, tol=tol, max_iter=max_iter)

    monkeypatch.setattr(MODULE, "conjugate_gradients", solve)
    instance = make_dense(noise=0.1, random_state=0)
    problem = Problem(instance.op, instance.y)
    point, tangent = problem.linearise(fitted(instance))
    for draws, solves in ((1, 2), (4, 6)):  # the flat direction, once more, and the draws
        asked.clear()
        found = sensitivity(problem, point, tangent, np.random.default_rng(0), draws)
        assert asked == [(1e-3, 500)] * solves
        assert len(found.changes) == 1 + draws


def test_what_is_not_solved_is_not_identifiable(make_dense, fitted, monkeypatch):
    instance = make_dense(noise=0.1, random_state=0)
    problem = Problem(instance.op, instance.y)
    point, tangent = problem.linearise(fitted(instance))
    for residual, known in ((0.99e-3, 0.5), (1.01e-3, 0.0)):

        def solve(H, b, precondition, residual=residual, **options):
            return ConjugateGradients(b, 1, residual, 0.5)

        monkeypatch.setattr(MODULE, "conjugate_gradients", solve)
        found = sensitivity(problem, point, tangent, np.random.default_rng(0), 1)
        assert found.identifiability == known


def test_what_cannot_be_turned_is_held_by_all(make):
    """Of matrices that are not symmetric blocks turn by any matrix, and one fits best."""
    instance = make(noise=0.1, random_state=0)
    if instance.truth.symmetric:
        instance = replace(instance, truth=instance.truth.keep(np.array([True, False])))
    factors = instance.truth.balance()
    problem = Problem(instance.op, instance.y)
    point, tangent = problem.linearise(factors)
    found = sensitivity(problem, point, tangent, np.random.default_rng(0), 4)
    if not factors.symmetric:
        assert (found.strain, found.held_by) == (0.0, math.inf)
    assert found.held_by > 4.0


def test_one_step_is_least_squares(make, jacobian):
    instance = make(noise=0.3, random_state=0)
    problem, factors = Problem(instance.op, instance.y), instance.truth.balance()
    J = jacobian(instance.op, factors)
    r = instance.op.forward(factors) - instance.y
    step = gauss_newton_step(problem, factors, np.zeros(2))
    best = r - J @ np.linalg.lstsq(J, r, rcond=1e-12)[0]
    np.testing.assert_allclose(r + J @ step.ravel(), best, atol=0.02 * np.linalg.norm(r))
    shift = np.array([1e12, 1e12])
    assert np.abs(gauss_newton_step(problem, factors, shift) + factors.W).max() < 1e-3


@pytest.mark.parametrize("weighted", [False, True])
def test_one_step_under_a_penalty_is_ridge_regression(make, jacobian, rng, weighted):
    """In sums of squares, whatever the operator's weight is: shift |w|^2 for each column."""
    instance = make(noise=0.3, random_state=0)
    weights = rng.uniform(0.5, 2.0, instance.op.size) if weighted else None
    problem = Problem(instance.op, instance.y, loss=Squared(weights))
    factors = instance.truth.balance()
    J = jacobian(instance.op, factors)
    r, W = problem.evaluate(factors).residual, factors.W
    w = np.ones(r.size) if weights is None else np.asarray(problem.loss.weights)
    curvature = float(np.mean(np.sum(J * J, axis=0)))
    shift = curvature * np.array([0.05, 0.2])
    S = np.tile(shift, len(W))
    expected = -np.linalg.solve(J.T @ (w[:, None] * J) + np.diag(S), J.T @ (w * r) + S * W.ravel())
    step = gauss_newton_step(problem, factors, shift)
    assert np.linalg.norm(step.ravel() - expected) < 0.01 * np.linalg.norm(expected)


def test_where_a_direction_is_flat_nothing_bounds_the_error(rng):
    """Blocks that nothing joins: and no warning that something was divided by zero."""
    mask = np.zeros((12, 12), dtype=bool)
    mask[:6, :6] = mask[6:, 6:] = True
    op = ObservedEntries(*np.nonzero(mask), (12, 12))
    truth = Factors(rng.standard_normal((12, 2)), rng.standard_normal((12, 2))).balance()
    problem = Problem(op, op.forward(truth) + 0.01 * rng.standard_normal(op.size))
    best = solve(GaussNewton(), problem, truth, tol=1e-8, max_iter=100).factors.balance()
    for at in (truth, best):
        point, tangent = problem.linearise(at)
        for seed in range(5):
            found = sensitivity(problem, point, tangent, np.random.default_rng(seed), 4)
            assert found.identifiability == 0.0
            assert found.error == math.inf

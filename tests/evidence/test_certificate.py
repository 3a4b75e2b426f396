"""Certificates against dense Hessians and Jacobians, refits on fresh noise, and units."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from leanrank import Factors, GroupLasso, Ridge, check_certificate, recover, simulate
from leanrank.evidence import noise_level, structure, virtual_columns
from leanrank.evidence.sensitivity import change_of_matrix, off_rotations
from leanrank.operators import DenseSensing, FullObservation, ObservedEntries
from leanrank.problem import Problem, measurement_scale
from leanrank.solvers import GaussNewton, solve

KINDS = {
    "dense": lambda **kw: simulate.dense_sensing((7, 6), 2, m=90, **kw),
    "packed": lambda **kw: simulate.dense_sensing(8, 2, m=70, symmetric=True, **kw),
    "rank one": lambda **kw: simulate.rank_one_sensing((7, 6), 2, m=110, **kw),
    "entries": lambda **kw: simulate.matrix_completion((10, 9), 2, fraction=0.75, **kw),
    "full": lambda **kw: simulate.full_observation((7, 6), 2, **kw),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def fitted(instance: simulate.Instance) -> Factors:
    problem = Problem(instance.op, instance.y)
    return solve(GaussNewton(), problem, instance.truth, tol=1e-11, max_iter=100).factors.balance()


def dense_hessian(problem: Problem, factors: Factors) -> np.ndarray:
    point, tangent = problem.linearise(factors)
    apply = problem.hessian(point, tangent)
    units = np.eye(factors.W.size).reshape(-1, *factors.W.shape)
    return np.array([apply(Z).ravel() for Z in units])


def jacobian(op, factors: Factors) -> np.ndarray:
    tangent = op.tangent(factors)
    units = np.eye(factors.W.size).reshape(-1, *factors.W.shape)
    return np.array([tangent.matvec(Z) for Z in units]).T


def as_general(factors: Factors, symmetric: bool) -> Factors:
    return factors if symmetric else Factors(factors.U, factors.V)


# --- curvature ----------------------------------------------------------------------------------


@kinds
@pytest.mark.parametrize("penalty", [None, Ridge(0.05), GroupLasso(0.05, 0.01)])
def test_curvatures_are_those_of_the_dense_hessian_with_a_zero_column(kind, penalty):
    instance = KINDS[kind](noise=0.3, random_state=0)
    rng = np.random.default_rng(1)
    factors = instance.truth.balance()
    factors = factors.with_stacked(factors.W + 0.1 * rng.standard_normal(factors.W.shape))
    factors = factors.balance()
    certificate = check_certificate(instance.op, instance.y, factors, penalty=penalty)
    # Without a penalty X is taken in units in which y has unit loss, and so is the curvature.
    scale = measurement_scale(instance.op, instance.y) if penalty is None else 1.0
    problem = Problem(instance.op, instance.y / scale, penalty)
    at = factors.scaled(1.0 / scale)
    zero = np.zeros((at.W.shape[0], 1))
    wide = at.with_stacked(np.concatenate([at.W, zero], axis=1))
    H = dense_hessian(problem, wide).reshape(*wide.W.shape, *wide.W.shape)
    k = at.width
    assert np.abs(H[:, k, :, :k]).max() < 1e-12
    virtual = np.linalg.eigvalsh(H[:, k, :, k])[0]
    n = at.W.size
    active = np.linalg.eigvalsh(H[:, :k, :, :k].reshape(n, n))[0]
    assert certificate.virtual_curvature == pytest.approx(virtual * scale, rel=1e-6)
    assert certificate.active_curvature == pytest.approx(active * scale, rel=1e-2, abs=1e-6)


@kinds
@pytest.mark.parametrize("c", [1e-3, 1e3, 1e140])
def test_curvatures_scale_with_y_and_the_rest_does_not(kind, c):
    instance = KINDS[kind](noise=0.3, random_state=0)
    factors = fitted(instance)
    one = check_certificate(instance.op, instance.y, factors)
    other = check_certificate(instance.op, c * instance.y, factors.scaled(c))
    assert other.virtual_curvature == pytest.approx(c * one.virtual_curvature, rel=1e-9)
    assert other.active_curvature == pytest.approx(c * one.active_curvature, rel=1e-3, abs=c * 1e-7)
    for name in ("relative_residual", "noise_gap", "condition_number", "error_estimate"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-6)
    assert other.identifiability == pytest.approx(one.identifiability, rel=0.5)
    assert other.holds == one.holds


def test_virtual_columns_are_the_leading_ones(rng):
    G = rng.standard_normal((7, 6))
    columns, strength = virtual_columns(G, Factors.empty((7, 6)), rng, k=3)
    left, s, _ = np.linalg.svd(-G)
    np.testing.assert_allclose(strength, s[:3])
    np.testing.assert_allclose(
        np.abs(np.sum(columns.U * left[:, :3], axis=0)), np.ones(3), atol=1e-8
    )
    np.testing.assert_allclose(columns.U.T @ -G @ columns.V, np.diag(s[:3]), atol=1e-8)
    S = G[:6] + G[:6].T
    columns, strength = virtual_columns(G[:6], Factors.empty((6, 6), True), rng, k=2)
    np.testing.assert_allclose(strength, np.linalg.eigvalsh(-S)[::-1][:2])
    np.testing.assert_allclose(-S @ columns.U, columns.U * strength, atol=1e-8)


def test_structure_of_both_signs(rng):
    G = np.diag([3.0, 1.0, 0.0, -0.5])
    assert structure(G, Factors.empty((4, 4), True), rng) == pytest.approx(6.0)
    assert structure(-G, Factors.empty((4, 4), True), rng) == pytest.approx(6.0)
    assert structure(G, Factors.empty((4, 4)), rng) == pytest.approx(3.0)


# --- noise --------------------------------------------------------------------------------------


@kinds
def test_gap_to_noise_is_about_one_for_noise(kind):
    """Of residuals that are nothing but noise; at the truth none of it has been fitted."""
    gaps = []
    for seed in range(6):
        instance = KINDS[kind](noise=0.3, random_state=seed)
        gaps.append(check_certificate(instance.op, instance.y, instance.truth).noise_gap)
    assert 0.75 < np.median(gaps) < 1.2


@pytest.mark.parametrize("kind", ["dense", "packed", "rank one"])
def test_gap_to_noise_is_large_where_a_component_is_missing(kind):
    instance = KINDS[kind](noise=0.01, random_state=0)
    first = instance.truth.balance().keep(np.array([True, False]))
    problem = Problem(instance.op, instance.y)
    best = solve(GaussNewton(), problem, first, tol=1e-10, max_iter=100).factors
    certificate = check_certificate(instance.op, instance.y, best)
    assert certificate.noise_gap > 1.3
    assert not certificate.holds
    assert any("structure" in reason for reason in certificate.reasons)


def test_what_is_indefinite_is_structure(rng):
    instance = simulate.dense_sensing(12, 1, m=150, symmetric=True, random_state=0)
    negative = Factors(np.eye(12)[:, :1])
    y = instance.y - instance.op.forward(negative)
    best = solve(GaussNewton(), Problem(instance.op, y), instance.truth, tol=1e-10).factors
    certificate = check_certificate(instance.op, y, best)
    assert certificate.noise_gap > 1.3
    assert any("indefinite" in reason for reason in certificate.reasons)


def test_noise_level_is_a_deviation_above_the_mean_of_its_draws(rng):
    instance = KINDS["dense"](noise=0.3, random_state=0)
    problem = Problem(instance.op, instance.y)
    point = problem.evaluate(instance.truth)
    draws, together = (np.random.default_rng(5) for _ in range(2))
    single = [noise_level(problem, point, draws, 1) for _ in range(6)]
    expected = np.mean(single) + np.std(single)
    assert noise_level(problem, point, together, 6) == pytest.approx(expected, rel=1e-6)


def test_noise_level_of_a_small_problem_hardly_depends_on_the_seed(rng):
    instance = KINDS["dense"](noise=0.3, random_state=0)
    problem = Problem(instance.op, instance.y)
    point = problem.evaluate(instance.truth)
    levels = [noise_level(problem, point, np.random.default_rng(i)) for i in range(20)]
    assert max(levels) < 1.3 * min(levels)


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


@kinds
def test_identifiability_is_that_of_the_dense_jacobian(kind):
    """In order of magnitude: relative to the curvature of each row rather than to the largest."""
    instance = KINDS[kind](kappa=2.0, random_state=0)
    factors = instance.truth.balance()
    certificate = check_certificate(instance.op, instance.y, factors)
    s = np.linalg.svd(jacobian(instance.op, factors), compute_uv=False) ** 2
    dense = s[factors.degrees_of_freedom() - 1] / s[0]
    assert dense / 10 < certificate.identifiability < 50 * dense
    assert certificate.holds


@kinds
def test_error_estimate_is_that_of_refits_to_fresh_noise(kind):
    instance = KINDS[kind](kappa=2.0, random_state=0)
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


@pytest.mark.parametrize("symmetric", [True, False])
def test_off_rotations_is_the_projection(symmetric, rng):
    factors = KINDS["packed" if symmetric else "dense"](kappa=2.0, random_state=0).truth.balance()
    U, V = factors.U, factors.V
    for i, j in ((0, 1), (1, 0)):
        turn = np.zeros((2, 2))
        turn[i, j] = 1.0
        flat = U @ (turn - turn.T) if symmetric else np.concatenate([U @ turn, -V @ turn.T])
        np.testing.assert_allclose(off_rotations(flat, factors), 0.0, atol=1e-12)
        Z = rng.standard_normal(factors.W.shape)
        assert abs(np.sum(off_rotations(Z, factors) * flat)) < 1e-10
        once = off_rotations(Z, factors)
        np.testing.assert_allclose(off_rotations(once, factors), once, atol=1e-12)


@pytest.mark.parametrize("symmetric", [True, False])
def test_change_of_matrix_is_a_derivative(symmetric, rng):
    factors = KINDS["packed" if symmetric else "dense"](random_state=0).truth
    Z = rng.standard_normal(factors.W.shape)
    up, down = (factors.with_stacked(factors.W + h * Z).to_dense() for h in (1e-5, -1e-5))
    expected = np.linalg.norm(up - down) / 2e-5
    assert change_of_matrix(Z, factors) == pytest.approx(expected, rel=1e-8)


# --- the verdict --------------------------------------------------------------------------------


@kinds
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_from_scratch_the_verdict_is_that_of_recover(kind, noise):
    instance = KINDS[kind](kappa=2.0, noise=noise, random_state=1)
    result = recover(instance.op, instance.y, symmetric=instance.truth.symmetric)
    again = check_certificate(instance.op, instance.y, result.factors)
    ours = result.certificate
    assert (again.rank, again.degrees_of_freedom) == (ours.rank, ours.degrees_of_freedom)
    assert again.holds == ours.holds
    assert again.relative_residual == pytest.approx(ours.relative_residual, rel=1e-3, abs=1e-11)
    assert again.condition_number == pytest.approx(ours.condition_number, rel=1e-6)
    assert again.virtual_curvature == pytest.approx(ours.virtual_curvature, rel=1e-3, abs=1e-9)


def test_what_speaks_against_an_answer_is_said():
    instance = KINDS["dense"](random_state=0)
    op, y, truth = instance.op, instance.y, instance.truth
    moved = truth.with_stacked(truth.W * 1.3)
    assert "not stationary" in "; ".join(check_certificate(op, y, moved).reasons)
    few = op.subset(np.arange(20))
    assert "cannot determine" in "; ".join(check_certificate(few, y[:20], truth).reasons)
    nothing = check_certificate(op, y, Factors.empty((7, 6)))
    assert "nothing in the measurements rises above the noise" in nothing.reasons[0]
    held = check_certificate(op, y, truth, held_out=(op, -y))
    assert held.held_out_error == pytest.approx(2.0)
    assert "missed by 200%" in "; ".join(held.reasons)
    good = check_certificate(op, y, truth, held_out=(op.subset([0, 1]), y[:2]))
    assert good.holds
    assert good.held_out_error < 1e-12


def test_a_shrinking_penalty_is_noted():
    instance = KINDS["dense"](random_state=0)
    problem = Problem(instance.op, instance.y, Ridge(1e-3))
    factors = solve(GaussNewton(balance=False), problem, instance.truth, max_iter=100).factors
    certificate = check_certificate(instance.op, instance.y, factors, penalty=Ridge(1e-3))
    assert "Ridge" in certificate.notes[0]


def test_text():
    instance = KINDS["dense"](random_state=0)
    good = check_certificate(instance.op, instance.y, instance.truth)
    lines = str(good).splitlines()
    assert lines[0] == "The certificate holds."
    assert any(line.split() == ["rank", "2"] for line in lines)
    assert "none held out" in lines[-1]
    bad = check_certificate(
        instance.op, -instance.y, instance.truth, held_out=(instance.op, instance.y)
    )
    text = str(bad)
    assert text.startswith("The certificate does not hold.")
    assert all(f"  - {reason}" in text for reason in bad.reasons)
    assert "held-out error          0.00e+00" in text


def test_bad_input():
    op = FullObservation((3, 4))
    with pytest.raises(ValueError, match=r"factors must be of shape \(3, 4\), got \(3, 3\)"):
        check_certificate(op, np.ones((3, 4)), Factors(np.ones((3, 1))))
    broken = Factors(np.full((3, 1), np.nan), np.ones((4, 1)))
    with pytest.raises(ValueError, match="factors must be finite"):
        check_certificate(op, np.ones((3, 4)), broken)
    with pytest.raises(ValueError, match="12 measurements, got 3"):
        check_certificate(op, np.ones(3), Factors(np.ones((3, 1)), np.ones((4, 1))))


def test_zero_measurements():
    op = DenseSensing(np.ones((20, 3, 4)))
    assert check_certificate(op, np.zeros(20), Factors.empty((3, 4))).holds
    assert measurement_scale(op, np.zeros(20)) == 0.0


@pytest.mark.parametrize("c", [1e-300, 1.0, 1e300])
def test_measurement_scale_neither_overflows_nor_underflows(c):
    op = DenseSensing(np.ones((4, 3, 4)))
    assert measurement_scale(op, np.array([2.0, -2.0, 2.0, 2.0]) * c) == pytest.approx(2.0 * c)


def test_empty_columns_are_no_rank(rng):
    instance = KINDS["dense"](noise=0.0, random_state=0)
    empty = instance.truth.with_stacked(np.zeros_like(instance.truth.W))
    certificate = check_certificate(instance.op, instance.y, empty)
    assert certificate.rank == 0
    assert not certificate.holds
    wider = instance.truth.append(empty)
    certificate = check_certificate(instance.op, instance.y, wider)
    assert certificate.rank == instance.truth.width
    assert certificate.holds

"""Certificates: curvature of any width, the verdict, scales, words, and bad input."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from leanrank import Factors, GroupLasso, Ridge, StudentT, check_certificate, recover, simulate
from leanrank.io import load_result, save_result
from leanrank.operators import DenseSensing, FullObservation, ObservedEntries
from leanrank.policy import EvidencePolicy
from leanrank.problem import Problem, measurement_scale
from leanrank.solvers import GaussNewton, solve


def dense_hessian(problem: Problem, factors: Factors) -> np.ndarray:
    point, tangent = problem.linearise(factors)
    apply = problem.hessian(point, tangent)
    units = np.eye(factors.W.size).reshape(-1, *factors.W.shape)
    return np.array([apply(Z).ravel() for Z in units])


# --- curvature ----------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [None, Ridge(0.05), GroupLasso(0.05, 0.01)])
def test_curvatures_are_those_of_the_dense_hessian_with_a_zero_column(make, penalty):
    instance = make(noise=0.3, random_state=0)
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


@pytest.mark.parametrize(("symmetric", "rank"), [(False, 1), (False, 2), (True, 2), (True, 1)])
def test_curvature_of_an_exact_fit_is_zero_where_factors_can_be_turned(symmetric, rank):
    """A symmetric one of rank one has no rotations but its sign."""
    inst = simulate.full_observation(7, rank, symmetric=symmetric, random_state=1)
    factors = inst.truth.balance()
    certificate = check_certificate(inst.op, inst.y, factors)
    scale = measurement_scale(inst.op, inst.y)
    H = dense_hessian(Problem(inst.op, inst.y / scale), factors.scaled(1.0 / scale))
    active = np.linalg.eigvalsh(H.reshape(factors.W.size, -1))[0] * scale
    assert (active > 0.1) == (symmetric and rank == 1)
    assert certificate.active_curvature == pytest.approx(active, rel=1e-2, abs=1e-9)


@pytest.mark.parametrize("c", [1e-3, 1e3, 1e140])
def test_curvatures_scale_with_y_and_the_rest_does_not(make, fitted, c):
    instance = make(noise=0.3, random_state=0)
    factors = fitted(instance)
    one = check_certificate(instance.op, instance.y, factors)
    other = check_certificate(instance.op, c * instance.y, factors.scaled(c))
    assert other.virtual_curvature == pytest.approx(c * one.virtual_curvature, rel=1e-9)
    assert other.active_curvature == pytest.approx(c * one.active_curvature, rel=1e-3, abs=c * 1e-7)
    for name in ("relative_residual", "noise_gap", "condition_number", "error_estimate"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-6)
    assert other.identifiability == pytest.approx(one.identifiability, rel=0.5)
    assert other.holds == one.holds


# --- the verdict --------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_from_scratch_the_verdict_is_that_of_recover(make, noise):
    instance = make(kappa=2.0, noise=noise, random_state=1)
    result = recover(instance.op, instance.y, symmetric=instance.truth.symmetric)
    again = check_certificate(instance.op, instance.y, result.factors)
    ours = result.certificate
    assert (again.rank, again.degrees_of_freedom) == (ours.rank, ours.degrees_of_freedom)
    assert again.holds == ours.holds
    assert again.relative_residual == pytest.approx(ours.relative_residual, rel=1e-3, abs=1e-11)
    assert again.condition_number == pytest.approx(ours.condition_number, rel=1e-6)
    assert again.virtual_curvature == pytest.approx(ours.virtual_curvature, rel=1e-3, abs=1e-9)


def test_what_speaks_against_an_answer_is_said(make_dense):
    instance = make_dense(random_state=0)
    op, y, truth = instance.op, instance.y, instance.truth
    moved = truth.with_stacked(truth.W * 1.3)
    assert "not stationary" in "; ".join(check_certificate(op, y, moved).reasons)
    few = op.subset(np.arange(20))
    assert "cannot determine" in "; ".join(check_certificate(few, y[:20], truth).reasons)
    nothing = check_certificate(op, y, Factors.empty((7, 6)))
    assert "nothing in the measurements rises above the noise" in nothing.reasons[0]
    held = check_certificate(op, y, truth, held_out=(op, -y))
    assert held.held_out_error == pytest.approx(2.0)
    assert "missed by 200.0%" in "; ".join(held.reasons)
    good = check_certificate(op, y, truth, held_out=(op.subset([0, 1]), y[:2]))
    assert good.holds
    assert good.held_out_error < 1e-12


def test_a_shrinking_penalty_is_noted(make_dense):
    instance = make_dense(random_state=0)
    problem = Problem(instance.op, instance.y, Ridge(1e-3))
    factors = solve(GaussNewton(balance=False), problem, instance.truth, max_iter=100).factors
    certificate = check_certificate(instance.op, instance.y, factors, penalty=Ridge(1e-3))
    assert "Ridge" in certificate.notes[0]


def test_text(make_dense):
    instance = make_dense(random_state=0)
    good = check_certificate(instance.op, instance.y, instance.truth)
    lines = str(good).splitlines()
    assert lines[0] == "The certificate holds."
    assert any(line.split() == ["rank", "2"] for line in lines)
    assert "none held out" in lines[-1]
    assert "estimated error of X    unbounded" in str(replace(good, error_estimate=np.inf))
    assert "of what was filled in   2.50e-01 (rel.)" in str(replace(good, filled_error=0.25))
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


def test_empty_columns_are_no_rank(make_dense, rng):
    instance = make_dense(noise=0.0, random_state=0)
    empty = instance.truth.with_stacked(np.zeros_like(instance.truth.W))
    certificate = check_certificate(instance.op, instance.y, empty)
    assert certificate.rank == 0
    assert not certificate.holds
    wider = instance.truth.append(empty)
    certificate = check_certificate(instance.op, instance.y, wider)
    assert certificate.rank == instance.truth.width
    assert certificate.holds


def test_in_a_condition_they_are_what_they_say(make_dense):
    instance = make_dense(random_state=0)
    good = recover(instance.op, instance.y)
    assert bool(good) is bool(good.certificate) is True
    bad = recover(instance.op.subset(np.arange(24)), instance.y[:24] + 1.0)
    assert bool(bad) is bad.success is False
    assert bool(bad.certificate) is bad.certificate.holds is False


def test_a_result_from_before_filled_entries_were_judged_can_be_read(tmp_path):
    instance = simulate.matrix_completion((20, 18), 2, oversampling=3, random_state=0)
    result = recover(instance.op, instance.y)
    assert result.certificate.filled_error is not None
    save_result(tmp_path / "new.npz", result)
    assert load_result(tmp_path / "new.npz").certificate == result.certificate
    arrays = dict(np.load(tmp_path / "new.npz"))
    values = json.loads(str(arrays["certificate"]))
    del values["filled_error"]
    np.savez(tmp_path / "old.npz", **arrays | {"certificate": np.array(json.dumps(values))})
    old = load_result(tmp_path / "old.npz").certificate
    assert old == replace(result.certificate, filled_error=None)


def test_limits_can_be_set(make_dense):
    instance = make_dense(noise=0.05, random_state=0)
    factors = recover(instance.op, instance.y).factors
    strict = EvidencePolicy(largest_error=1e-4)
    assert check_certificate(instance.op, instance.y, factors)
    certificate = check_certificate(instance.op, instance.y, factors, policy=strict)
    assert "more than 0%" in certificate.reasons[0]


def test_limits_are_checked():
    with pytest.raises(ValueError, match="largest_error must be finite and at least 0"):
        EvidencePolicy(largest_error=-0.1)
    with pytest.raises(ValueError, match="draws must be at least 1"):
        EvidencePolicy(draws=0)
    with pytest.raises(TypeError, match="structure must be a"):
        EvidencePolicy(structure="1.2")


def test_a_row_that_follows_an_outlier_is_no_evidence(rng):
    """Most measurements are fitted exactly, but those of one row are taken for outliers."""
    truth = Factors(rng.uniform(1.0, 2.0, (12, 1)), rng.uniform(1.0, 2.0, (10, 1)))
    op = ObservedEntries(*np.divmod(np.arange(120), 10), (12, 10))
    y = op.forward(truth)
    y[3] += 50.0  # in row 0
    right = check_certificate(op, y, truth, loss=StudentT())
    assert right.holds
    W = truth.W.copy()
    W[0] *= y[3] / (y[3] - 50.0)
    wrong = check_certificate(op, y, truth.with_stacked(W), loss=StudentT())
    assert not wrong.holds
    assert any(reason.startswith("row 0 (counted from 0)") for reason in wrong.reasons)


def test_a_fit_that_is_trapped_is_not_certified(make_dense):
    """It misses what it was fitted to, and another one predicted what was held out."""
    instance = make_dense(noise=0.05, random_state=0)
    result = recover(instance.op, instance.y, rank=2)
    assert check_certificate(instance.op, instance.y, result.factors)
    size = np.linalg.norm(instance.y) * result.certificate.relative_residual
    for much, fine in ((0.7, True), (0.3, False)):
        miss = np.full(instance.op.size, much * size / np.sqrt(instance.op.size))
        held = instance.op.forward(result.factors) + miss
        found = check_certificate(
            instance.op, instance.y, result.factors, held_out=(instance.op, held)
        )
        assert found.holds is fine
        assert any("caught" in reason for reason in found.reasons) is not fine

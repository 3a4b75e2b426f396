"""Certificates of weighted and of robust fits: one evidence, however noise is told."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from leanrank import Factors, Problem, Squared, StudentT, check_certificate, recover, simulate
from leanrank.evidence.filled import Block, left_out_error
from leanrank.evidence.structure import opposed_share
from leanrank.operators import (
    DenseSensing,
    FullObservation,
    Measurement,
    ObservedEntries,
    Selected,
    Stacked,
    Weighted,
)
from leanrank.policy import EvidencePolicy
from leanrank.solvers import GaussNewton, solve

POLICY = EvidencePolicy()
CURVATURES = ("active_curvature", "virtual_curvature")


def weights_of(op: Measurement, seed: int = 0) -> np.ndarray:
    """Of mean one, some a hundred times the others."""
    w = np.random.default_rng(seed).choice([0.05, 1.0, 5.0], op.size)
    return w / w.mean()


def fit(op: Measurement, y: np.ndarray, truth: Factors, loss: Squared | None = None) -> Factors:
    problem = Problem(op, y, loss=loss)
    return solve(GaussNewton(), problem, truth, tol=1e-10, max_iter=100).factors.balance()


def assert_same(one, other, skip: tuple[str, ...] = ()) -> None:
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name in skip or field.name == "reasons":
            continue
        expected = b if not isinstance(b, float) else pytest.approx(b, rel=1e-3, abs=1e-7)
        assert a == expected, field.name


# --- weights ------------------------------------------------------------------------------------


def test_weights_of_the_loss_are_those_of_the_operator(make):
    instance = make(kappa=2.0, noise=0.1, random_state=0)
    w = weights_of(instance.op)
    rng = np.random.default_rng(1)
    y = instance.op.forward(instance.truth) + 0.02 * rng.standard_normal(w.size) / np.sqrt(w)
    factors = fit(instance.op, y, instance.truth, Squared(w))
    weighted = Weighted(instance.op, w)
    one = check_certificate(instance.op, y, factors, loss=Squared(w))
    other = check_certificate(weighted, weighted.weigh(y), factors)
    assert_same(one, other)
    # A constant in the weights is none in the certificate, curvatures included.
    assert_same(check_certificate(instance.op, y, factors, loss=Squared(1e6 * w)), one)
    assert one.error_estimate > 0


def test_error_estimate_under_weights_is_that_of_refits(make):
    instance = make(kappa=2.0, random_state=0)
    op, truth = instance.op, instance.truth
    w, rng = weights_of(op), np.random.default_rng(0)
    sigma = 0.01 * float(np.std(instance.y)) / np.sqrt(w)
    errors, estimates, blind = [], [], []
    for seed in range(10):
        y = instance.y + sigma * rng.standard_normal(op.size)
        factors = fit(op, y, truth, Squared(w))
        errors.append(factors.distance(truth) / truth.norm())
        for loss, found in ((Squared(w), estimates), (None, blind)):
            certificate = check_certificate(op, y, factors, loss=loss, random_state=seed)
            found.append(certificate.error_estimate)
    ratio = math.sqrt(np.mean(np.square(estimates)) / np.mean(np.square(errors)))
    assert 1 / 1.5 < ratio < 1.5
    # Without the weights, the estimate is another: the test could fail.
    assert np.mean(blind) > 1.2 * np.mean(estimates)


@pytest.mark.parametrize("loss", [Squared, lambda w: StudentT(weights=w)])
def test_what_has_weight_zero_is_not_there(make, loss):
    instance = make(kappa=2.0, noise=0.05, random_state=0)
    rng = np.random.default_rng(0)
    w = np.where(rng.random(instance.op.size) < 0.9, 1.0, 0.0)
    kept = np.flatnonzero(w)
    y = np.where(w > 0, instance.y, 1e3 * rng.standard_normal(w.size))
    part, ones = instance.op.subset(kept), loss(np.ones(kept.size))
    factors = fit(part, y[kept], instance.truth)
    one = check_certificate(instance.op, y, factors, loss=loss(w))
    other = check_certificate(part, y[kept], factors, loss=ones)
    assert one == other
    assert one.measurements == kept.size


def test_what_has_weight_zero_is_not_fitted(make_dense):
    instance = make_dense(noise=0.05, random_state=0)
    w = np.where(np.arange(instance.op.size) % 7 == 3, 0.0, 2.0)
    kept = np.flatnonzero(w)
    one = recover(instance.op, np.where(w > 0, instance.y, 1e3), loss=Squared(w))
    other = recover(instance.op.subset(kept), instance.y[kept])
    assert one.factors.distance(other.factors) < 1e-6 * other.factors.norm()
    assert one.certificate.measurements == kept.size


def disc() -> tuple[np.ndarray, Block, np.ndarray]:
    """A picture, a block across the edge of what it shows, and flags of what is outside."""
    i, j = np.indices((30, 30)) / 30.0
    X = np.where((i - 0.4) ** 2 + (j - 0.6) ** 2 < 0.1, 1.0, 0.2 + 0.3 * i)
    block, mask = Block(8, 18, 12, 22), np.ones(X.shape, dtype=bool)
    mask[block.top : block.bottom, block.left : block.right] = False
    return X, block, mask


def test_a_hole_of_weight_zero_is_a_hole():
    X, _, mask = disc()
    junk = np.where(mask, X, 1e3)
    result = recover(
        FullObservation(X.shape), junk, rank=2, loss=Squared(mask.ravel().astype(float))
    )
    op = ObservedEntries(*np.nonzero(mask), X.shape)
    expected = check_certificate(op, X[mask], result.factors)
    assert result.certificate.filled_error == pytest.approx(expected.filled_error, rel=0.5)
    assert expected.filled_error > 0.05
    assert not result


def test_an_indefinite_matrix_is_not_certified_under_weights():
    rng = np.random.default_rng(0)
    P = np.linalg.qr(rng.standard_normal((12, 2)))[0]
    for m, size in ((200, 1.0), (200, 0.2)):
        op = DenseSensing(rng.standard_normal((m, 12, 12)), symmetric=True)
        w = weights_of(op)
        y = op.forward(Factors(P, P * [3.0, -size])) + 0.05 * rng.standard_normal(m) / np.sqrt(w)
        result = recover(op, y, symmetric=True, loss=Squared(w))
        assert not result
        assert any("negative sign" in reason for reason in result.certificate.reasons)


def test_what_a_column_of_negative_sign_explains_is_counted_by_weight(rng):
    op = DenseSensing(rng.standard_normal((60, 8, 8)), symmetric=True)
    P = np.linalg.qr(rng.standard_normal((8, 2)))[0]
    w, at = weights_of(op), Factors(P[:, :1])
    y = op.forward(Factors(P, P * [1.0, -0.3])) + 0.1 * rng.standard_normal(60) / np.sqrt(w)
    problems = (
        Problem(op, y, loss=Squared(w)),
        Problem(Weighted(op, w), np.sqrt(w) * y),
        Problem(op, y),
    )
    shares = [opposed_share(p, p.evaluate(at), np.random.default_rng(0)) for p in problems]
    assert 0.2 < shares[0] < 1.0
    assert shares[1] == pytest.approx(shares[0])
    assert abs(shares[2] - shares[0]) > 0.05


# --- entries, however they are told ---------------------------------------------------------------


def told_otherwise(op: ObservedEntries, way: str) -> tuple[Measurement, np.ndarray]:
    """The same entries, and where each of them went."""
    order = np.random.default_rng(0).permutation(op.size)
    if way == "permuted":
        return Selected(op, order), order
    parts = np.array_split(np.arange(op.size), 3)
    return Stacked([op.subset(part) for part in parts]), np.arange(op.size)


@pytest.mark.parametrize("way", ["permuted", "stacked"])
def test_a_hole_is_seen_through_other_operators(way):
    X, _, mask = disc()
    op, y = ObservedEntries(*np.nonzero(mask), X.shape), X[mask]
    factors = recover(op, y, rank=2).factors
    other, order = told_otherwise(op, way)
    one = check_certificate(op, y, factors)
    assert one.filled_error > 0.05
    # The same blocks are left out, by the same seed; noise is drawn in another order.
    again = check_certificate(other, y[order], factors)
    assert again.filled_error == pytest.approx(one.filled_error, rel=0.2)


def test_misfit_of_left_out_blocks_is_in_units_of_the_matrix():
    """Weights say how much noise there is, and nothing of how far off the fit is."""
    X, block, mask = disc()
    op = ObservedEntries(*np.nonzero(mask), X.shape)
    at = recover(op, X[mask], rank=2).factors.balance()
    found = []
    for w in (np.ones(op.size), np.full(op.size, 100.0), np.full(op.size, 0.01)):
        for problem in (
            Problem(op, X[mask], loss=Squared(w)),
            Problem(Weighted(op, w), np.sqrt(w) * X[mask]),
        ):
            point, rng = problem.evaluate(at), np.random.default_rng(0)
            found.append(left_out_error(problem, point, block, POLICY, rng))
    assert found[0] > 1e-3
    np.testing.assert_allclose(found, found[0], rtol=1e-6)


# --- outliers -----------------------------------------------------------------------------------


def test_fits_that_resist_outliers_are_certified_and_as_far_off_as_they_say():
    """5 % of the entries are off by 20 times their size."""
    errors, estimates = [], []
    for seed in range(12):
        instance = simulate.matrix_completion(
            (30, 24), 1, oversampling=7.0, noise=0.05, random_state=seed
        )
        y, rng = instance.y.copy(), np.random.default_rng(seed)
        bad = rng.random(y.size) < 0.05
        y[bad] += 20.0 * float(np.std(y)) * rng.choice([-1.0, 1.0], int(bad.sum()))
        result = recover(instance.op, y, loss=StudentT(), rank=None if seed == 0 else 1)
        assert result.rank == 1
        assert result.success, result.message
        errors.append(instance.error(result.factors))
        estimates.append(result.certificate.error_estimate)
        assert not check_certificate(instance.op, y, result.factors)
    typical = math.sqrt(np.mean(np.square(errors)))
    assert all(typical / 2 < estimate < 2 * typical for estimate in estimates)

"""Virtual columns, structure of a residual against noise, and what is indefinite."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Factors, check_certificate, recover, simulate
from leanrank.evidence import (
    bulk_centre,
    explained_of_noise,
    noise_level,
    residual_spectral_norm,
    virtual_columns,
)
from leanrank.evidence.structure import leading_gap, opposed_share
from leanrank.operators import FullObservation, ObservedEntries
from leanrank.policy import EvidencePolicy
from leanrank.problem import Problem
from leanrank.solvers import GaussNewton, solve

# --- virtual columns ----------------------------------------------------------------------------


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
    assert residual_spectral_norm(G, Factors.empty((4, 4), True), rng) == pytest.approx(6.0)
    assert residual_spectral_norm(-G, Factors.empty((4, 4), True), rng) == pytest.approx(6.0)
    assert residual_spectral_norm(G, Factors.empty((4, 4)), rng) == pytest.approx(3.0)


def test_the_centre_of_the_bulk(rng):
    """The mean of all strengths, which quadratic measurements shift by a trace."""
    G = rng.standard_normal((300, 300)) / np.sqrt(300) - 5.0 * np.eye(300)
    empty = Factors.empty((300, 300), True)
    assert bulk_centre(G, empty, rng) == pytest.approx(10.0, abs=0.4)
    assert bulk_centre(G, Factors.empty((300, 300)), rng) == 0.0


# --- noise --------------------------------------------------------------------------------------


def test_gap_to_noise_is_about_one_for_noise(make):
    """Of residuals that are nothing but noise; at the truth none of it has been fitted."""
    gaps = []
    for seed in range(6):
        instance = make(noise=0.3, random_state=seed)
        gaps.append(check_certificate(instance.op, instance.y, instance.truth).noise_gap)
    assert 0.75 < np.median(gaps) < 1.2


@pytest.mark.parametrize("make", ["dense", "packed", "rank one"], indirect=True)
def test_gap_to_noise_is_large_where_a_component_is_missing(make):
    instance = make(noise=0.01, random_state=0)
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


def test_noise_level_is_a_deviation_above_the_mean_of_its_draws(make_dense, rng):
    instance = make_dense(noise=0.3, random_state=0)
    problem = Problem(instance.op, instance.y)
    point = problem.evaluate(instance.truth)
    draws, together = (np.random.default_rng(5) for _ in range(2))
    single = [noise_level(problem, point, draws, 1) for _ in range(6)]
    expected = np.mean(single) + np.std(single)
    assert noise_level(problem, point, together, 6) == pytest.approx(expected, rel=1e-6)


def test_noise_level_of_a_small_problem_hardly_depends_on_the_seed(make_dense, rng):
    instance = make_dense(noise=0.3, random_state=0)
    problem = Problem(instance.op, instance.y)
    point = problem.evaluate(instance.truth)
    levels = [noise_level(problem, point, np.random.default_rng(i)) for i in range(20)]
    assert max(levels) < 1.3 * min(levels)


# --- many directions at once --------------------------------------------------------------------


def gap(op, residual: np.ndarray, count: int = 10) -> float:
    """Of a residual that the zero matrix leaves."""
    problem = Problem(op, -residual)
    at = problem.evaluate(Factors.empty(op.shape))
    return leading_gap(problem, at, np.random.default_rng(0), count)


def test_leading_gap_is_a_quotient_of_means_of_singular_values(rng):
    """Against dense decompositions of random signs of one's own."""
    op = FullObservation((30, 25))
    R = 0.5 * rng.standard_normal((30, 25)) + rng.standard_normal((30, 4)) @ np.ones((4, 25))

    def mean(X: np.ndarray) -> float:
        return float(np.linalg.svd(X, compute_uv=False)[:6].mean())

    signed = [mean(rng.choice([-1.0, 1.0], R.shape) * R) for _ in range(50)]
    assert gap(op, R.ravel(), 6) == pytest.approx(mean(R) / np.mean(signed), rel=0.05)


def test_leading_gap_of_noise_is_one_and_of_weak_structure_above_its_limit():
    limit = EvidencePolicy().leading_gap
    for seed in range(4):
        rng = np.random.default_rng(seed)
        mask = rng.random((100, 80)) < 0.5
        op = ObservedEntries(*np.nonzero(mask), mask.shape)
        noise = rng.standard_normal(op.size)
        # A slow decay, as of a photograph: no direction is twice as strong as noise.
        U, V = (np.linalg.qr(rng.standard_normal((n, 20)))[0] for n in mask.shape)
        weak = 2.0 * (np.sqrt(100) + np.sqrt(80)) * (U * np.linspace(1.0, 0.5, 20)) @ V.T
        assert 0.95 < gap(op, noise) < limit
        assert gap(op, noise + weak[mask]) > limit
        # The size of the noise of each measurement is kept, so that rows may differ in it.
        loud = np.where(op.rows < 50, 5.0, 1.0)
        assert 0.9 < gap(op, loud * noise) < 1.1


def test_leading_gap_of_nothing_is_zero():
    op = FullObservation((5, 4))
    assert gap(op, np.zeros(20), 2) == 0.0


# --- what is indefinite -------------------------------------------------------------------------


def test_a_column_of_negative_sign_explains_what_it_would(rng):
    op = FullObservation((6, 6))
    z = np.linalg.qr(rng.standard_normal((6, 2)))[0]
    at = Factors(2.0 * z[:, :1])
    negative = op.forward(at) - np.outer(z[:, 1], z[:, 1]).ravel()
    assert share(op, negative, at) == pytest.approx(1.0)
    # Of -(a, b) along two directions it explains the larger one.
    both = negative - 0.5 * np.outer(z[:, 0], z[:, 0]).ravel()
    assert share(op, both, at) == pytest.approx(1.0 / 1.25)
    positive = op.forward(at) + np.outer(z[:, 1], z[:, 1]).ravel()
    assert share(op, positive, at) == pytest.approx(0.0, abs=1e-9)
    assert share(op, op.forward(at), at) == 0.0


def share(op, y: np.ndarray, at: Factors) -> float:
    problem = Problem(op, y)
    return opposed_share(problem, problem.evaluate(at), np.random.default_rng(0))


def test_of_noise_a_column_explains_no_more_than_is_allowed_for():
    op, at = FullObservation((12, 12)), Factors.empty((12, 12), True)
    for seed in range(20):
        y = np.random.default_rng(seed).standard_normal(op.size)
        assert share(op, y, at) < explained_of_noise(12, 144, EvidencePolicy())


def test_the_share_of_noise_is_bounded():
    assert explained_of_noise(10, 100, EvidencePolicy()) == pytest.approx(0.26)
    assert explained_of_noise(90, 100, EvidencePolicy()) == pytest.approx(0.6)


def test_an_indefinite_matrix_that_few_large_entries_hide_is_not_certified():
    """The spectral norm of the residual is that of its largest entry, whatever its signs are."""
    rng = np.random.default_rng(4)
    first, second = np.linalg.qr(rng.standard_normal((9, 2)))[0].T
    second = np.eye(9)[7] + 0.35 * second
    X = 8.7 * np.outer(first, first) - 2.3 * np.outer(second, second) / (second @ second)
    mask = np.ones((9, 9), dtype=bool)
    mask[2, 5] = False
    op = ObservedEntries(*np.nonzero(mask), (9, 9))
    result = recover(op, X[mask], symmetric=True)
    assert not result
    assert any("negative sign" in reason for reason in result.certificate.reasons)

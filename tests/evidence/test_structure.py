"""Virtual columns, structure of a residual against noise, and what is indefinite."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Factors, check_certificate, simulate
from leanrank.evidence import (
    noise_level,
    residual_spectral_norm,
    virtual_columns,
)
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

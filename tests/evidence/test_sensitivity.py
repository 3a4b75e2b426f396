"""Identifiability, and what noise does to the answer, against dense linear algebra and refits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from leanrank import Factors, check_certificate
from leanrank.evidence.sensitivity import (
    change_of_matrix,
    random_pull_back,
)
from leanrank.operators import ObservedEntries

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

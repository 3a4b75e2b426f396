"""The certificate in closed form, against the one that is computed from scratch."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Factors, check_certificate, recover, simulate
from leanrank.evidence.denoised import Spectrum, certify_denoised, misalignment, sees_all
from leanrank.evidence.white_noise import WhiteNoise
from leanrank.linalg import smallest_eigenpair
from leanrank.losses import Huber, Squared
from leanrank.operators import FullObservation, ObservedEntries
from leanrank.penalties import Ridge
from leanrank.policy import EvidencePolicy
from leanrank.problem import Problem


def test_what_is_seen_in_full():
    y, full = np.ones(12), FullObservation((4, 3))
    assert sees_all(Problem(full, y))
    assert not sees_all(Problem(full, y, Ridge(0.1)))
    assert not sees_all(Problem(full, y, loss=Squared(np.ones(12))))
    assert not sees_all(Problem(full, y, loss=Huber(1.0)))
    assert not sees_all(Problem(ObservedEntries(*np.divmod(np.arange(12), 3), (4, 3)), y))


def decomposed(rng, shape, symmetric, rank, share):
    """Measurements, and some of their leading pairs, each shrunk by a share of its own."""
    Y = rng.standard_normal(shape)
    total = Y
    if symmetric:
        Y = (Y + Y.T) / 2
        values, vectors = np.linalg.eigh(Y)
        left = right = vectors[:, ::-1]
        s = values[::-1]
    else:
        left, s, right = np.linalg.svd(Y)
        right = right.T
    taken = share * s[:rank]
    root = np.sqrt(taken)
    factors = Factors(left[:, :rank] * root, None if symmetric else right[:, :rank] * root)
    noise = WhiteNoise(shape, 0.3, symmetric)
    beyond = float(np.sum(total**2) - np.sum(s[:rank] ** 2))
    below = max(0.0, -float(s[-1])) if symmetric else 0.0
    problem = Problem(FullObservation(shape), total)
    return problem, factors, Spectrum(s[:rank], float(s[rank]), below, beyond, noise)


@pytest.mark.parametrize(("shape", "symmetric"), [((9, 7), False), ((6, 9), False), ((8, 8), True)])
@pytest.mark.parametrize("share", [1.0, np.array([0.95, 0.8, 0.7])])
def test_numbers_are_those_of_the_factors(rng, shape, symmetric, share):
    problem, factors, spectrum = decomposed(rng, shape, symmetric, 3, share)
    certificate = certify_denoised(problem, factors, spectrum, EvidencePolicy())
    point = problem.evaluate(factors)
    start = rng.standard_normal(factors.W.shape)
    curvature = smallest_eigenpair(problem.hessian(point), start, max_iter=200, tol=1e-12)[0]
    scratch = check_certificate(problem.op, problem.y, factors)
    assert certificate.rank == scratch.rank == 3
    assert certificate.degrees_of_freedom == scratch.degrees_of_freedom
    assert certificate.relative_residual == pytest.approx(problem.relative_residual(point))
    assert certificate.active_curvature == pytest.approx(curvature, abs=1e-6)
    assert certificate.virtual_curvature == pytest.approx(scratch.virtual_curvature, rel=1e-6)
    assert certificate.condition_number == pytest.approx(scratch.condition_number)
    assert certificate.relative_gradient < 1e-10
    assert spectrum.gradient_norm(factors) == pytest.approx(point.gradient_norm, abs=1e-8)


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_one_from_scratch_agrees_about_an_answer(symmetric):
    shape = (90, 90) if symmetric else (110, 70)
    inst = simulate.full_observation(shape, 3, noise=0.1, symmetric=symmetric, random_state=1)
    result = recover(inst.op, inst.y, symmetric=symmetric)
    ours, scratch = result.certificate, check_certificate(inst.op, inst.y, result.factors)
    assert ours.reasons == scratch.reasons == ()
    assert ours.noise_gap == pytest.approx(scratch.noise_gap, rel=0.1)
    assert ours.identifiability == pytest.approx(scratch.identifiability, rel=0.1)
    assert ours.error_estimate == pytest.approx(scratch.error_estimate, rel=0.25)
    assert ours.relative_residual == pytest.approx(scratch.relative_residual, rel=1e-6)
    assert ours.relative_gradient < 1e-3
    assert any("shrunk" in note for note in ours.notes)


@pytest.mark.parametrize("symmetric", [False, True])
def test_columns_that_lie_otherwise_are_seen(rng, symmetric):
    problem, factors, _ = decomposed(rng, (8, 8), symmetric, 2, 0.9)
    assert misalignment(problem, factors) < 1e-10
    turned = factors.with_stacked(factors.W + 0.1 * rng.standard_normal(factors.W.shape)).balance()
    point = problem.evaluate(turned)
    along = np.zeros_like(turned.W)
    n1 = 8
    for part in [slice(None)] if symmetric else [slice(0, n1), slice(n1, None)]:
        own, slope = turned.W[part], point.gradient[part]
        along[part] = own * np.sum(own * slope, axis=0) / np.sum(own**2, axis=0)
    across = np.linalg.norm(point.gradient - along)
    expected = across * np.linalg.norm(turned.W) / problem.zero_loss
    assert expected > 1e-2
    assert misalignment(problem, turned) == pytest.approx(expected)


def test_columns_shrunk_beyond_what_noise_explains_are_refused():
    inst = simulate.full_observation((60, 50), 2, noise=0.05, random_state=0)
    factors = recover(inst.op, inst.y).factors
    assert check_certificate(inst.op, inst.y, factors).holds
    refused = check_certificate(inst.op, inst.y, factors.scaled(0.8))
    assert any("the residual, has structure" in reason for reason in refused.reasons)


def test_what_opposes_a_symmetric_answer_is_seen(rng):
    _, factors, spectrum = decomposed(rng, (8, 8), True, 1, 0.9)
    U = factors.U
    v = rng.standard_normal((8, 1))
    v -= U @ (U.T @ v) / float(np.sum(U * U))
    v *= 1.2 / np.linalg.norm(v)
    total = U @ U.T - v @ v.T
    spectrum = Spectrum(
        np.array([np.sum(U * U)]), 0.0, 1.44, 1.44**2, WhiteNoise((8, 8), 0.1, True)
    )
    problem = Problem(FullObservation((8, 8)), total)
    certificate = certify_denoised(problem, factors, spectrum, EvidencePolicy())
    assert any("indefinite" in reason for reason in certificate.reasons)

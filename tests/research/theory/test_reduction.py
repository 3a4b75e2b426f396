"""The reduction to perturbed flow against an integrated equation, Kronecker forms, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from leanrank import initial, simulate
from leanrank.factors import Factors
from leanrank.research.solvers import imperfect_measurements
from leanrank.research.theory import (
    FlowAssumption,
    LocalConvergence,
    WarmUp,
    dilation,
    flow_perturbation,
    fresh_error_bound,
    frobenius_residual_bound,
    imbalance_drive,
    isometry_error_bound,
    step_perturbation_bounds,
)

N1, N2, RANK = 5, 4, 2
J = np.diag([1.0] * N1 + [-1.0] * N2)


def op_norm(X):
    return np.linalg.norm(X, 2)


def target(kappa=2.0, seed=0):
    return simulate.full_observation((N1, N2), RANK, kappa=kappa, random_state=seed).truth


def factors(seed=0, size=1.0, width=5):
    return initial.gaussian((N1, N2), width, operator_norm=size, random_state=seed)


def stack(f):
    return np.vstack([f.U, f.V])


def explicit_residual(W, Y):
    U, V = W[:N1], W[N1:]
    R = np.zeros((N1 + N2, N1 + N2))
    R[:N1, N1:] = Y - U @ V.T
    R[N1:, :N1] = (Y - U @ V.T).T
    return R


def drawn(seed, size, symmetric=False):
    E = np.random.default_rng(seed).standard_normal((N1 + N2, N1 + N2))
    E = E + E.T if symmetric else E
    return E * (size / op_norm(E))


def test_dilation_has_the_singular_values_and_their_negatives(rng):
    X = rng.standard_normal((3, 2))
    s = np.linalg.svd(X, compute_uv=False)
    expected = sorted([*s, *-s, 0.0])
    np.testing.assert_allclose(np.linalg.eigvalsh(dilation(X)), expected, atol=1e-12)
    assert imbalance_drive(dilation(X), 3) == 0


@given(st.integers(0, 10**6))
def test_imbalance_drive_is_that_of_the_definition(seed):
    E = drawn(seed, 1.0)
    assert imbalance_drive(E, N1) == pytest.approx(op_norm(J @ E + E.T @ J))


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_flow_passes_through_the_step(symmetric):
    Y, f, s = target(), factors(1), 0.04
    E = drawn(2, 0.3, symmetric)
    eta, W = 2 * s, stack(f)
    dense = Y.to_dense()

    def slope(t, w):
        W = w.reshape(stack(f).shape)
        Et = flow_perturbation(f, Y, E, s, share=min(t / eta, 1.0))
        return ((explicit_residual(W, dense) + Et) @ W).ravel()

    run = solve_ivp(slope, (0.0, eta), W.ravel(), rtol=1e-10, atol=1e-12)
    expected = W + eta * (explicit_residual(W, dense) + E) @ W
    np.testing.assert_allclose(run.y[:, -1].reshape(W.shape), expected, atol=1e-9)


def test_of_tiny_steps_the_perturbation_is_what_was_given():
    Y, f, E = target(), factors(1), drawn(2, 0.3)
    np.testing.assert_allclose(flow_perturbation(f, Y, E, 1e-8), E, atol=1e-6)
    # And of the first order in the step: eta R~^2 / 2 at its start.
    R = explicit_residual(stack(f), Y.to_dense()) + E
    slope = (flow_perturbation(f, Y, E, 1e-5) - E) / 2e-5
    np.testing.assert_allclose(slope, -R @ R / 2, atol=1e-3)


@given(st.integers(0, 10**6), st.floats(0.05, 1.5), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_proposition_f1(seed, size, strength, share):
    Y, f, E = target(seed=seed), factors(seed + 1, size), drawn(seed, strength)
    s = 1.0 / 24.0
    Et = flow_perturbation(f, Y, E, s, share=share)
    bounds = step_perturbation_bounds(f, Y, E, s)
    R, W = op_norm(Y.to_dense() - f.to_dense()), 1.0 / 12.0
    assert bounds[0] == pytest.approx(10 * W * R + 2 * op_norm(E))
    assert bounds[1] == pytest.approx(20 * W + op_norm(J @ E + E.T @ J))
    assert op_norm(Et) <= bounds[0]
    assert op_norm(J @ Et + Et.T @ J) <= bounds[1]


@given(st.integers(0, 10**6), st.floats(0.01, 3.0), st.integers(1, 6))
def test_lemma_h1_and_its_leftover(seed, size, width):
    Y, f = target(seed=seed), factors(seed + 1, size, width)
    bound = frobenius_residual_bound(f, Y)
    assert np.linalg.norm(Y.to_dense() - f.to_dense()) <= bound * (1 + 1e-12)
    s = np.linalg.svd(stack(f), compute_uv=False)
    left = s[RANK] ** 2 if s.size > RANK else 0.0
    R = op_norm(Y.to_dense() - f.to_dense())
    expected = math.sqrt(RANK) * (math.sqrt(2) * R + math.sqrt(3 * N2 / RANK) * left)
    assert bound == pytest.approx(expected)
    assert fresh_error_bound(f, Y, 50, xi=2.0) == pytest.approx(
        2 * math.sqrt((N1 + N2) / 50) * expected
    )


@given(st.integers(0, 10**6), st.floats(0.01, 3.0))
def test_proposition_g1_with_the_spectrum_of_the_operator(seed, size):
    Y, f = target(seed=seed), factors(seed + 1, size)
    m = 200
    A = np.random.default_rng(seed).standard_normal((m, N1 * N2))
    spectrum = np.linalg.eigvalsh(A.T @ A / m)
    rho = max(spectrum[-1] - 1, 1 - spectrum[0])  # for matrices of any rank
    R = Y.to_dense() - f.to_dense()
    error = (A.T @ (A @ R.ravel()) / m).reshape(R.shape) - R
    assert op_norm(error) <= isometry_error_bound(f, Y, rho)
    assert isometry_error_bound(f, Y, 2 * rho) == pytest.approx(2 * isometry_error_bound(f, Y, rho))


def test_proposition_g1_by_hand():
    # W = diag(2, 1, ...) in the frame: |R| = |4 - 1| = 3 and sigma_2(W)^2 = 2 at rank 1.
    Y = Factors(np.eye(3, 1), np.eye(3, 1))
    f = Factors(np.diag([2.0, 1.0, 0.0]), np.diag([2.0, 1.0, 0.0]))
    assert isometry_error_bound(f, Y, 0.1) == pytest.approx(0.2 * (3 + 2.5 * 2))


def test_assumption_by_hand():
    Y, f, E = target(), factors(1, 1.2), drawn(3, 0.2)
    given_ = FlowAssumption(gamma=2.0, beta=0.1, mu=0.05, nu=0.3)
    s = np.linalg.svd(stack(f), compute_uv=False)
    R = op_norm(Y.to_dense() - f.to_dense())
    bounds = given_.bounds(f, Y)
    assert bounds == pytest.approx((0.1 * (R + 2 * s[RANK] ** 2) + 0.05, 0.3))
    expected = (0.2 / bounds[0], op_norm(J @ E + E.T @ J) / 0.3)
    assert given_.ratios(E, f, Y) == pytest.approx(expected)
    none = FlowAssumption(1.0, 0.0, 0.0, 0.0)
    assert none.ratios(0 * E, f, Y) == (0.0, 0.0)
    assert none.ratios(E, f, Y) == (math.inf, math.inf)
    assert not given_.applies(factors(1, 1.6), Y)
    assert given_.applies(f, Y) == (2 * s[RANK] ** 2 <= 1)
    assert not FlowAssumption(1e3, 0.1, 0.1, 0.1).applies(f, Y)


@given(st.integers(0, 10**6), st.floats(0.05, 1.4))
def test_theorem_d1_for_measurements_of_known_isometry(seed, size):
    Y, f, s = target(seed=seed), factors(seed + 1, size), 0.02
    rng = np.random.default_rng(seed)
    # A perturbed identity: its extreme eigenvalues bound the isometry constant at every rank.
    S = rng.standard_normal((N1 * N2, N1 * N2))
    half = np.eye(N1 * N2) + (S + S.T) * (0.02 / op_norm(S + S.T))
    spectrum = np.linalg.eigvalsh(half @ half)
    rho = max(spectrum[-1] - 1, 1 - spectrum[0])
    R = Y.to_dense() - f.to_dense()
    noise = drawn(seed, 0.01)
    E = dilation((half @ half @ R.ravel()).reshape(R.shape) - R) + noise
    given_ = FlowAssumption.isometric((N1, N2), RANK, 1.0, s, rho, perturbation=0.01)
    assert given_.gamma == 2.0
    assert given_.mu == pytest.approx(0.02)
    assert given_.beta == pytest.approx(0.4 + 6 * math.sqrt(RANK) * rho)
    if given_.applies(f, Y):
        for share in (0.0, 0.5, 1.0):
            Et = flow_perturbation(f, Y, E, s, share=share)
            assert max(given_.ratios(Et, f, Y)) <= 1


def test_constants_of_theorem_e1_and_of_the_proof():
    fresh = FlowAssumption.fresh((8, 20), 2, 2.0, 0.005, 0.1, perturbation=0.01)
    assert (fresh.gamma, fresh.beta, fresh.mu, fresh.nu) == pytest.approx((2.0, 0.3, 0.02, 0.42))
    warm_up = WarmUp(factors(1, 1e-3), target())
    most = FlowAssumption.largest(warm_up, gamma=3.0)
    square = warm_up.delta**2
    assert (most.gamma, most.beta, most.mu) == pytest.approx((3.0, square / 13, square / 4))
    assert most.nu == pytest.approx(2 * square / warm_up.end)


def test_local_phase_by_hand():
    Y, start = target(kappa=2.0), factors(1, 1e-3)
    warm_up = WarmUp(start, Y, theta=0.25)
    given_ = FlowAssumption(gamma=3.0, beta=0.01, mu=1e-6, nu=0.0)
    local = LocalConvergence(warm_up, given_)
    alpha = warm_up.alpha
    assert local.start == pytest.approx(2.5 * math.log(alpha**2 * 0.5e6))
    assert local.end == warm_up.end
    grown = 64 * (0.06 + math.sqrt(2)) * 1e-6
    assert local.floor == pytest.approx(grown * (0.5e6) ** (0.25 * 15 / 16) + 2e-3)
    assert local.final_bound() == pytest.approx(grown * (0.5e6) ** 0.25 + 2e-3)
    early = local.start + 1.0
    assert local.bounds(early) == pytest.approx((3 * math.exp(-0.2), 1.2 * math.exp(-0.2)))
    assert local.bounds(local.end) == pytest.approx((local.floor, 0.4 * local.floor))
    f = factors(2, 1.0)
    hat = np.block([[np.zeros((N1, N1)), Y.to_dense()], [Y.to_dense().T, np.zeros((N2, N2))]])
    P = np.linalg.eigh(hat)[1][:, ::-1].T
    A, W = P[:RANK] @ stack(f), stack(f)
    WQ = W @ np.linalg.pinv(A) @ A
    expected = op_norm(Y.to_dense() - f.to_dense()), op_norm(P[RANK:-RANK] @ WQ)
    assert local.quantities(f) == pytest.approx(expected)
    ratios = np.array(expected) / local.bounds(early)
    assert local.ratios(f, early) == pytest.approx(ratios)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: flow_perturbation(factors(), target(), np.eye(3), 0.1), "perturbation must have"),
        (lambda: flow_perturbation(factors(), target(), drawn(0, 3.0), 0.5), "step_size must make"),
        (lambda: flow_perturbation(Factors(np.eye(3)), target(), np.eye(3), 0.1), "one shape"),
        (lambda: step_perturbation_bounds(factors(), target(), drawn(0, 0.1), 0.05), "step_size"),
        (
            lambda: step_perturbation_bounds(factors(0, 2.0), target(), drawn(0, 0.1), 0.01),
            "factors must be at most 1.5",
        ),
        (
            lambda: step_perturbation_bounds(factors(), target(), drawn(0, 1.1), 0.01),
            "perturbation must be at most 1",
        ),
        (lambda: FlowAssumption(1.0, -0.1, 0.0, 0.0), "beta"),
        (lambda: FlowAssumption.isometric((5, 4), 1, 1.0, 0.01, 0.07), "rho"),
        (lambda: FlowAssumption.isometric((5, 4), 1, 1.0, 0.05, 0.01), "step_size"),
        (lambda: FlowAssumption.fresh((5, 4), 1, 1.0, 0.01, 0.0), "rho"),
        (
            lambda: FlowAssumption.fresh((5, 4), 1, 1.0, 0.01, 0.1, perturbation=0.6),
            "perturbation",
        ),
    ],
)
def test_errors_name_the_argument(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_a_step_on_measurements_is_a_perturbed_one():
    inst = simulate.dense_sensing((N1, N2), RANK, m=60, random_state=0)
    f, s = factors(1, 0.7), 0.02
    E = imperfect_measurements(inst.op, inst.truth)(0, f)
    R = explicit_residual(stack(f), inst.truth.to_dense())
    stepped = stack(f) + 2 * s * (R + E) @ stack(f)
    residual = inst.op.forward(f) - inst.y
    G = 2 / 60 * (inst.op.adjoint(residual) @ np.eye(N2))
    expected = np.vstack([f.U - s * G @ f.V, f.V - s * G.T @ f.U])
    np.testing.assert_allclose(stepped, expected, atol=1e-12)

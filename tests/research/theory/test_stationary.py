"""What holds at stationary points of the penalised loss, at points that were found and made."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import initial
from leanrank.factors import Factors
from leanrank.operators import DenseSensing, FullObservation
from leanrank.penalties import GroupLasso
from leanrank.problem import Problem
from leanrank.research import theory
from leanrank.research.solvers import stationary_point
from leanrank.solvers import LBFGS


def point(lam, beta, epsilon, gamma, seed=0, singular=(1.0, 0.8)):
    """A second-order stationary point of the population loss, and the truth."""
    Q = initial.orthonormal((10, 10), len(singular), symmetric=True, random_state=seed)
    truth = Factors(Q.U * np.array(singular))
    problem = Problem(FullObservation((10, 10)), truth.to_dense(), GroupLasso(lam, beta))
    start = initial.gaussian((10, 10), 6, scale=0.2, symmetric=True, random_state=seed + 1)
    found = stationary_point(
        problem,
        start,
        solver=LBFGS(),
        epsilon=epsilon,
        gamma=gamma,
        max_iter=3000,
        random_state=0,
    )
    assert found.status.name == "CONVERGED"
    return found, truth, problem.penalty


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("lam", "epsilon"), [(0.1, 1e-2), (0.1, 1e-4), (0.02, 1e-3)])
def test_all_bounds_hold_at_points_that_were_found(lam, epsilon, seed):
    beta = 0.01
    found, truth, penalty = point(lam, beta, epsilon, 1e-3, seed)
    at = {"epsilon": found.gradient_norm, "gamma": max(-found.curvature, 0.0)}
    bounds = theory.stationary_bounds(lam, beta, **at, rank=2, width=6)
    shares = bounds.hold(found.factors, truth, penalty)
    assert set(shares) == {"error", "outside", "sine", "outside_pruned", "pruned_error"}
    assert all(0 <= share <= 1 for share in shares.values()), shares
    assert 0 < theory.overlaps(found.factors, penalty, 1e-2, 1e-3) <= 1
    # Lemma 30: a column more outside of the range of X than inside is pruned.
    P = np.linalg.qr(truth.W)[0]
    inside = np.linalg.norm(P.T @ found.factors.W, axis=0)
    lengths = found.factors.column_norms()
    assert np.all(lengths[2 * inside**2 <= lengths**2] <= 2 * np.sqrt(beta))


def test_lemma_28_is_sharp_up_to_a_constant():
    """A gradient along what lies outside is at least a third of lambda times it."""
    rng = np.random.default_rng(0)
    truth, penalty = Factors(np.eye(6, 1)), GroupLasso(0.3, 1e-4)
    problem = Problem(FullObservation((6, 6)), truth.to_dense(), penalty)
    for _ in range(50):
        W = rng.standard_normal((6, 3))
        U = Factors(W * rng.uniform(0, 3) / np.linalg.norm(W, 2))
        gradient = problem.evaluate(U).gradient
        outside = np.linalg.norm(U.W[1:])
        assert outside <= 3 * np.linalg.norm(gradient) / 0.3


def test_two_columns_of_one_length_that_overlap_are_a_saddle_point():
    """Lemma 24 where the loss is chosen so that its premise, a small gradient, is exact."""
    lam, beta, s = 0.5, 1e-3, 1.0
    penalty = GroupLasso(lam, beta)
    for angle in (0.3, 1.0, 1.4):
        W = s * np.array([[1.0, np.cos(angle)], [0.0, np.sin(angle)], [0.0, 0.0]])
        slope = float(penalty.weights(W)[0])
        # f(X) = <G, X> with 2 G W + lambda W D = 0.
        P = W @ np.linalg.pinv(W)
        G = -0.5 * slope * P

        def hessian(Z, W=W, G=G):
            return 2 * G @ Z + penalty.hvp(W, Z)

        assert np.abs(2 * G @ W + W * penalty.weights(W)).max() < 1e-12
        basis = np.eye(6).reshape(6, 3, 2)
        dense = np.array([[np.sum(a * hessian(b)) for b in basis] for a in basis])
        gamma = -np.linalg.eigvalsh(dense)[0]
        overlap = np.cos(angle) / np.sqrt(2)
        assert overlap < theory.overlap_bound(lam, 0.0, gamma, s)
        assert theory.overlaps(Factors(W), penalty, 0.0, gamma) == pytest.approx(
            overlap / theory.overlap_bound(lam, 0.0, gamma, s)
        )


def test_columns_below_the_threshold_do_not_count():
    penalty = GroupLasso(1.0, 0.01)
    W = np.array([[1.0, 0.1], [0.0, 0.1]])
    assert theory.overlaps(Factors(W), penalty, 0.1, 0.1) == 0
    assert theory.overlaps(Factors(np.zeros((2, 2))), penalty, 0.1, 0.1) == 0


def test_noise_is_below_its_bound_and_not_far_below():
    d, n, sigma = 12, 400, 0.3
    rng = np.random.default_rng(0)
    norms = [
        np.linalg.norm(np.tensordot(sigma * rng.standard_normal(n), A, 1) / n, 2)
        for A in rng.standard_normal((20, n, d, d))
    ]
    bound = theory.noise_operator_norm(sigma, d, n)
    assert max(norms) < bound < 8 * np.mean(norms)


def test_noise_in_a_gradient_is_bounded_as_it_can_be():
    """At a column of length 3 along the noise its gradient, 4 N U, is 12 times its norm."""
    u, v = np.eye(5, 1), np.array([[0.6, 0.8]])
    N, U = 0.1 * u @ u.T, 3 * u @ v
    gradient = np.linalg.norm(4 * N @ U)
    assert gradient == pytest.approx(theory.effective_epsilon(0.0, 0.0, noise=0.1))
    # Isometry is off by delta |M| |U Z' + Z U'|, where the second is at most 6 |Z|.
    M = U @ U.T
    Z = U / 3
    worst = 2 * 0.01 * np.linalg.norm(M) * np.linalg.norm(U @ Z.T + Z @ U.T)
    assert worst == pytest.approx(theory.effective_epsilon(0.0, np.linalg.norm(M), delta=0.01))


def test_isometry_of_rank_2k_keeps_inner_products():
    """Lemma 34, where the constant is known: the measurements span all symmetric matrices."""
    d, n = 4, 2000
    A = np.random.default_rng(0).standard_normal((n, d, d))
    flat = A.reshape(n, -1)
    delta = np.abs(np.linalg.eigvalsh(flat.T @ flat / n) - 1).max()
    rng = np.random.default_rng(1)
    for _ in range(50):
        X, Y = rng.standard_normal((2, d, d))
        inner = np.mean((flat @ X.ravel()) * (flat @ Y.ravel()))
        assert abs(inner - np.sum(X * Y)) <= delta * np.linalg.norm(X) * np.linalg.norm(Y)


def test_bounds_with_noise_hold_at_points_that_were_found():
    rng = np.random.default_rng(0)
    truth = Factors(np.eye(8, 1))
    op = DenseSensing(rng.standard_normal((4000, 8, 8)), symmetric=True)
    y = op.forward(truth) + 0.05 * rng.standard_normal(4000)
    lam, beta = 0.1, 0.01
    problem = Problem(op, y, GroupLasso(lam, beta))
    start = initial.gaussian((8, 8), 4, scale=0.2, symmetric=True, random_state=1)
    found = stationary_point(
        problem, start, solver=LBFGS(), epsilon=1e-3, gamma=1e-2, max_iter=2000, random_state=0
    )
    delta = theory.restricted_isometry(op, 8, symmetric=True, random_state=0).delta
    residual = y - op.forward(truth)
    mean = op.adjoint(residual) @ np.eye(8) / y.size
    bounds = theory.stationary_bounds(
        lam,
        beta,
        found.gradient_norm,
        max(-found.curvature, 0.0),
        rank=1,
        width=4,
        noise_norm=float(np.linalg.norm(mean, 2)),
        delta=min(delta, 0.1),
    )
    shares = bounds.hold(found.factors, truth, problem.penalty)
    assert all(share <= 1 for share in shares.values()), shares
    quiet = theory.stationary_bounds(lam, beta, 1e-3, 1e-2, rank=1, width=4)
    assert bounds.outside > quiet.outside

"""Misalignment, the frame of a target and the warm-up invariants against explicit matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanrank import initial, simulate
from leanrank.factors import Factors
from leanrank.operators import FullObservation
from leanrank.problem import Problem
from leanrank.research.theory import (
    TargetFrame,
    WarmUp,
    dilation,
    gaussian_misalignment_estimate,
    misalignment,
)
from leanrank.solvers import GradientDescent, iterate


def target(shape=(7, 5), rank=2, kappa=3.0, seed=0):
    return simulate.full_observation(shape, rank, kappa=kappa, random_state=seed).truth


def projections(Y, rank):
    """P_A, P_0 and P_perp by an eigendecomposition of the symmetric extension."""
    n1, n2 = Y.shape
    hat = np.block([[np.zeros((n1, n1)), Y], [Y.T, np.zeros((n2, n2))]])
    _, vectors = np.linalg.eigh(hat)
    P = vectors[:, ::-1].T
    return hat, P[:rank], P[rank : n1 + n2 - rank], P[rank:]


def op_norm(X):
    return np.linalg.norm(X, 2)


@given(st.integers(0, 10**6), st.integers(1, 3))
def test_misalignment_is_that_of_the_definition(seed, rank):
    Y = target(rank=rank, seed=seed)
    start = initial.gaussian((7, 5), 6, random_state=seed + 1)
    P, _, Q = np.linalg.svd(Y.to_dense())
    inner = P[:, :rank].T @ start.U + Q[:rank] @ start.V
    expected = math.sqrt(2) * op_norm(start.W) / np.linalg.svd(inner, compute_uv=False)[rank - 1]
    assert misalignment(start, Y) == pytest.approx(expected, rel=1e-8)
    assert misalignment(start, Y) >= 1
    assert misalignment(Factors(3 * start.U, 3 * start.V), Y) == pytest.approx(expected)


def test_identity_is_aligned_with_what_is_positive_and_stuck_before_what_is_negative(rng):
    U = np.linalg.qr(rng.standard_normal((6, 2)))[0]
    identity = initial.identity((6, 6), scale=1e-3)
    assert misalignment(identity, Factors(U, U)) == pytest.approx(1.0)
    generic = Factors(U, np.linalg.qr(rng.standard_normal((6, 2)))[0])
    assert 1.05 < misalignment(identity, generic) < 100
    # Y = -u u^T: descent from the identity stays among symmetric matrices and shrinks to zero.
    # (Along a coordinate, so that rounding errors do not break the symmetry.)
    u = np.eye(6, 1)
    Y = Factors(-u, u)
    assert misalignment(identity, Y) == math.inf
    problem = Problem(FullObservation((6, 6)), Y.to_dense())
    for states, stuck in (
        (iterate(GradientDescent(0.1), problem, identity), True),
        (
            iterate(GradientDescent(0.1), problem, initial.gaussian((6, 6), 6, random_state=0)),
            False,
        ),
    ):
        for _, state in zip(range(300), states, strict=False):
            last = state
        error = last.factors.distance(Y)
        assert error == pytest.approx(1.0, abs=1e-3) if stuck else error < 1e-3


def test_too_few_columns_are_infinitely_misaligned():
    Y = target(rank=3)
    assert misalignment(initial.gaussian((7, 5), 2, random_state=0), Y) == math.inf
    assert gaussian_misalignment_estimate((7, 5), 3, 3) == math.inf


@pytest.mark.parametrize(("n", "h", "r"), [(20, 20, 3), (40, 40, 1), (40, 160, 4)])
def test_estimate_is_a_little_above_the_median(n, h, r):
    Y = target((n, n), r)
    values = [misalignment(initial.gaussian((n, n), h, random_state=i), Y) for i in range(15)]
    ratio = np.median(values) / gaussian_misalignment_estimate((n, n), h, r)
    assert 0.75 < ratio < 1.02


@given(st.integers(0, 10**6))
def test_frame_agrees_with_the_projections_of_the_paper(seed):
    Y = target(seed=seed)
    frame = TargetFrame.of(Y)
    f = initial.gaussian((7, 5), 4, scale=1.0, random_state=seed)
    W, J = f.W, np.diag([1.0] * 7 + [-1.0] * 5)
    _, PA, P0, _ = projections(Y.to_dense(), 2)
    gram = W.T @ PA.T @ PA @ W
    A = frame.aligned(f)
    np.testing.assert_allclose(A.T @ A, gram, atol=1e-9)
    opposed, outside = frame.opposed(f), frame.outside(f)
    np.testing.assert_allclose(opposed.T @ opposed, W.T @ J @ PA.T @ PA @ J @ W, atol=1e-9)
    np.testing.assert_allclose(outside.T @ outside, W.T @ P0.T @ P0 @ W, atol=1e-9)
    Q = np.linalg.pinv(PA @ W) @ (PA @ W)
    np.testing.assert_allclose(frame.nuisance(f), W - W @ Q, atol=1e-9)
    assert frame.kappa == pytest.approx(3.0)


@given(st.integers(0, 10**6))
def test_quantities_of_the_warm_up_against_the_definition(seed):
    Y = target(seed=seed)
    warm_up = WarmUp(initial.gaussian((7, 5), 6, operator_norm=1e-2, random_state=seed), Y)
    f = initial.gaussian((7, 5), 6, scale=0.5, random_state=seed + 1)
    W, J = f.W, np.diag([1.0] * 7 + [-1.0] * 5)
    hat, PA, P0, Pp = projections(Y.to_dense(), 2)
    A = PA @ W
    Q = np.linalg.pinv(A) @ A
    expected = (
        op_norm(W),
        op_norm(W.T @ J @ W),
        op_norm(PA @ J @ W),
        op_norm(P0 @ W),
        np.linalg.eigvalsh(Pp @ (hat + J @ W @ W.T @ J / 2) @ Pp.T)[-1],
        op_norm(Pp @ W @ np.linalg.pinv(A)),
        op_norm(W - W @ Q),
        np.linalg.svd(A, compute_uv=False)[-1],
    )
    np.testing.assert_allclose(warm_up.quantities(f), expected, rtol=1e-7)


@given(st.integers(0, 10**6), st.integers(3, 8))
def test_consequences_of_the_setup(seed, width):
    """Lemmas B.43 to B.49, B.51, B.53 and B.54, with the frame's parts."""
    Y = target(seed=seed)
    frame, f = TargetFrame.of(Y), initial.gaussian((7, 5), width, scale=0.5, random_state=seed + 1)
    W, J = f.W, np.diag([1.0] * 7 + [-1.0] * 5)
    hat, PA, P0, Pp = projections(Y.to_dense(), 2)
    R = hat - (W @ W.T - J @ W @ W.T @ J) / 2
    np.testing.assert_allclose(frame.to_dense(), Y.to_dense(), atol=1e-12)
    np.testing.assert_allclose(R, dilation(frame.to_dense() - f.to_dense()), atol=1e-12)
    np.testing.assert_allclose(J @ R + R @ J, 0.0, atol=1e-12)
    assert np.linalg.eigvalsh(R)[-1] == pytest.approx(op_norm(R))
    assert op_norm(R) <= frame.norm + op_norm(W) ** 2 / 2 + 1e-12
    nuisance, signal = frame.nuisance(f), frame.signal(f).W
    np.testing.assert_allclose(signal + nuisance, W, atol=1e-12)
    np.testing.assert_allclose(PA @ nuisance, 0.0, atol=1e-9)
    np.testing.assert_allclose(signal @ W.T + nuisance @ nuisance.T, W @ W.T, atol=1e-9)
    A = PA @ W
    right = PA.T + Pp.T @ (Pp @ W @ np.linalg.pinv(A))
    np.testing.assert_allclose(W @ np.linalg.pinv(A), right, atol=1e-8)
    assert op_norm(P0 @ J @ W) == pytest.approx(op_norm(P0 @ W))
    parts = (frame.aligned(f), frame.outside(f), frame.opposed(f))
    assert np.sum(W**2) == pytest.approx(sum(np.sum(part**2) for part in parts))
    assert np.linalg.svd(W, compute_uv=False)[2] <= op_norm(nuisance) + 1e-12


def test_bounds_of_the_warm_up_by_hand():
    Y = target(kappa=2.0)
    start = initial.gaussian((7, 5), 6, operator_norm=1e-3, random_state=1)
    warm_up = WarmUp(start, Y, theta=0.25)
    alpha, end = misalignment(start, Y), 10 * math.log(0.5 / 1e-6)
    delta = 0.25 / (32 * math.sqrt(alpha) * 2)
    assert (warm_up.alpha, warm_up.end, warm_up.delta) == pytest.approx((alpha, end, delta))
    assert warm_up.largest_start == pytest.approx(delta / (3 * math.sqrt(alpha)))
    t = 0.3 * end
    assert warm_up.bounds(t) == pytest.approx(
        (
            1.5,
            2.5 * delta**2,
            delta / (3 * math.sqrt(alpha)),
            delta * math.sqrt(8),
            2 * delta,
            alpha,
            1e-3 * math.exp(3 * math.sqrt(alpha) * delta * t),
            min(math.sqrt(0.5), 1e-3 / alpha * math.exp(0.2 * t)),
        )
    )


def test_the_warm_up_holds_where_the_theorem_says_so():
    Y = target((6, 6), 2, kappa=1.0)
    start = initial.gaussian((6, 6), 12, operator_norm=5e-4, random_state=0)
    warm_up = WarmUp(start, Y)
    assert warm_up.largest_start > 5e-4
    problem = Problem(FullObservation((6, 6)), Y.to_dense())
    step = 0.01
    worst = np.zeros(8)
    for state in iterate(GradientDescent(step), problem, start):
        time = 2 * step * state.iteration
        if time > warm_up.end:
            break
        if state.iteration % 20 == 0:
            worst = np.maximum(worst, warm_up.ratios(state.factors, time))
    assert worst.max() <= 1 + 1e-9
    assert worst[7] > 0.9


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: misalignment(initial.gaussian((5, 7), 3), target()), "one shape"),
        (lambda: TargetFrame.of(Factors(np.zeros((3, 1)))), "target must not be zero"),
        (lambda: TargetFrame.of(Factors.empty((3, 3))), "target must not be zero"),
        (lambda: WarmUp(initial.gaussian((7, 5), 6, scale=1.0), target()), "start must be small"),
        (lambda: WarmUp(initial.gaussian((7, 5), 1), target()), "start must have a part"),
        (lambda: WarmUp(initial.gaussian((7, 5), 6), target(), theta=0.7), "theta"),
        (lambda: gaussian_misalignment_estimate((5, 5), 2, 3), "width"),
    ],
)
def test_errors_name_the_argument(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_other_array_libraries(convert):
    U, V = np.eye(4, 1), np.eye(3, 1)
    Y = Factors(convert(U), convert(V))
    start = initial.gaussian((4, 3), 3, reference=Y.W, random_state=0)
    same = initial.gaussian((4, 3), 3, random_state=0)
    assert misalignment(start, Y) == pytest.approx(misalignment(same, Factors(U, V)))
    ratios = WarmUp(start, Y).ratios(start, 0.0)
    assert ratios == pytest.approx(WarmUp(same, Factors(U, V)).ratios(same, 0.0))

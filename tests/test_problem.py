"""The problem against dense loops and finite differences; the theorem of virtual columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanrank import Factors, simulate
from leanrank._arrays import norm, to_numpy
from leanrank.operators import DenseSensing, FullObservation, ObservedEntries, RankOneSensing
from leanrank.penalties import GroupLasso, NoPenalty, Ridge
from leanrank.problem import Problem

seeds = st.integers(0, 2**32 - 1)

KINDS: dict[str, Callable[[int], simulate.Instance]] = {
    "dense": lambda seed: simulate.dense_sensing((5, 4), 2, m=17, noise=0.3, random_state=seed),
    "symmetric": lambda seed: simulate.dense_sensing(
        5, 2, m=13, noise=0.3, symmetric=True, random_state=seed
    ),
    "rank one": lambda seed: simulate.rank_one_sensing(
        (5, 4), 2, m=17, noise=0.3, random_state=seed
    ),
    "quadratic": lambda seed: simulate.rank_one_sensing(
        5, 2, m=13, noise=0.3, symmetric=True, random_state=seed
    ),
    "entries": lambda seed: simulate.matrix_completion(
        (5, 4), 1, fraction=0.7, noise=0.3, random_state=seed
    ),
    "full": lambda seed: simulate.full_observation((5, 4), 2, noise=0.3, random_state=seed),
    "full symmetric": lambda seed: simulate.full_observation(
        5, 2, noise=0.3, symmetric=True, random_state=seed
    ),
}
kinds = st.sampled_from(sorted(KINDS))
penalties = st.sampled_from([NoPenalty(), Ridge(0.3), GroupLasso(0.4, 0.05)])


def start(instance: simulate.Instance, seed: int, width: int = 3) -> Factors:
    """Random factors of the kind of the truth."""
    rng = np.random.default_rng(seed)
    return instance.truth.with_stacked(
        0.7 * rng.standard_normal((instance.truth.W.shape[0], width))
    )


def dense_hessian(problem: Problem, factors: Factors, h: float = 1e-5) -> np.ndarray:
    """By differences of the gradient, ordered column after column of W."""
    W = factors.W
    out = []
    for c in range(W.shape[1]):
        for a in range(W.shape[0]):
            Z = np.zeros_like(W)
            Z[a, c] = h
            up, down = (problem.evaluate(factors.with_stacked(W + s * Z)).gradient for s in (1, -1))
            out.append(((up - down) / (2 * h)).T.ravel())
    return np.array(out)


@given(kinds, penalties, seeds)
def test_value_against_a_loop(kind, penalty, seed):
    instance = KINDS[kind](seed)
    problem = Problem(instance.op, instance.y, penalty)
    f = start(instance, seed)
    X = f.to_dense()
    total = 0.0
    for i in range(instance.op.size):
        unit = np.zeros(instance.op.size)
        unit[i] = 1.0
        A = instance.op.adjoint(unit) @ np.eye(instance.op.shape[1])
        total += (np.sum(A * X) - instance.y[i]) ** 2
    loss = total if kind.startswith("full") else total / instance.op.size
    point = problem.evaluate(f)
    assert point.loss == pytest.approx(loss)
    assert point.value == pytest.approx(loss + penalty.value(f.W))
    assert problem.value(f) == pytest.approx(point.value)


@given(kinds, penalties, seeds)
def test_gradient_against_differences(kind, penalty, seed):
    instance = KINDS[kind](seed)
    problem = Problem(instance.op, instance.y, penalty)
    f = start(instance, seed)
    Z = np.random.default_rng(seed + 1).standard_normal(f.W.shape)
    h = 1e-5
    up, down = (problem.value(f.with_stacked(f.W + s * Z)) for s in (h, -h))
    slope = np.sum(problem.evaluate(f).gradient * Z)
    assert slope == pytest.approx((up - down) / (2 * h), rel=1e-6, abs=1e-6)


@given(kinds, penalties, seeds)
def test_hessian_against_differences(kind, penalty, seed):
    instance = KINDS[kind](seed)
    problem = Problem(instance.op, instance.y, penalty)
    f = start(instance, seed, width=2)
    point, tangent = problem.linearise(f)
    H = problem.hessian(point)
    expected = dense_hessian(problem, f)
    Z = np.random.default_rng(seed + 1).standard_normal(f.W.shape)
    for product in (H(Z), problem.hessian(point, tangent)(Z)):
        np.testing.assert_allclose(product.T.ravel(), expected @ Z.T.ravel(), rtol=1e-5, atol=1e-6)


@given(kinds, penalties, seeds)
def test_linearise_agrees_with_evaluate(kind, penalty, seed):
    instance = KINDS[kind](seed)
    problem = Problem(instance.op, instance.y, penalty)
    f = start(instance, seed)
    one, (other, _) = problem.evaluate(f), problem.linearise(f)
    np.testing.assert_allclose(one.residual, other.residual, atol=1e-11)
    np.testing.assert_allclose(one.gradient, other.gradient, atol=1e-10)
    assert one.value == pytest.approx(other.value)
    assert one.gradient_norm == pytest.approx(np.linalg.norm(one.gradient))


@given(kinds, seeds)
def test_virtual_columns(kind, seed):
    """The Hessian with zero columns appended is block diagonal, with known spectra."""
    instance = KINDS[kind](seed)
    penalty = GroupLasso(0.4, 0.05)
    problem = Problem(instance.op, instance.y, penalty)
    f = start(instance, seed, width=2)
    rows = f.W.shape[0]
    wide = f.with_stacked(np.hstack([f.W, np.zeros((rows, 2))]))
    H = dense_hessian(problem, wide)
    scale = np.abs(H).max()

    blocks = H.reshape(4, rows, 4, rows).transpose(0, 2, 1, 3)
    for i, j in [(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]:
        np.testing.assert_allclose(blocks[i, j], 0.0, atol=1e-7 * scale)
    np.testing.assert_allclose(
        H[: 2 * rows, : 2 * rows], dense_hessian(problem, f), atol=1e-7 * scale
    )

    residual = problem.evaluate(f).residual
    G = problem.gradient_matrix(residual) @ np.eye(f.shape[1])
    if f.symmetric:
        extra = np.linalg.eigvalsh(G + G.T)
    else:
        s = np.linalg.svd(G)[1]
        extra = np.concatenate([s, -s, np.zeros(abs(f.shape[0] - f.shape[1]))])
    expected = np.sort(penalty.curvature_at_zero + extra)
    for block in (blocks[2, 2], blocks[3, 3]):
        np.testing.assert_allclose(np.linalg.eigvalsh(block), expected, atol=1e-6 * scale)
    spectrum = np.concatenate([np.linalg.eigvalsh(dense_hessian(problem, f)), expected, expected])
    np.testing.assert_allclose(np.linalg.eigvalsh(H), np.sort(spectrum), atol=1e-6 * scale)


@given(kinds, seeds)
def test_unpenalised_loss_is_invariant_under_rotation(kind, seed):
    instance = KINDS[kind](seed)
    problem = Problem(instance.op, instance.y)
    f = start(instance, seed)
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
    one, other = problem.evaluate(f), problem.evaluate(f.with_stacked(f.W @ Q))
    assert other.value == pytest.approx(one.value)
    np.testing.assert_allclose(other.gradient, one.gradient @ Q, atol=1e-9)


@given(kinds, seeds, st.floats(0.1, 10))
def test_scaling_of_y(kind, seed, c):
    instance = KINDS[kind](seed)
    f = start(instance, seed)
    one = Problem(instance.op, instance.y).evaluate(f)
    other = Problem(instance.op, c * instance.y).evaluate(f.scaled(c))
    assert other.loss == pytest.approx(c**2 * one.loss)
    np.testing.assert_allclose(other.gradient, c**1.5 * one.gradient, rtol=1e-9, atol=1e-9)


def test_passes_are_counted():
    instance = KINDS["rank one"](0)
    problem = Problem(instance.op, instance.y)
    point = problem.evaluate(instance.truth)
    assert problem.passes == 2.0
    problem.gradient_matrix(point.residual)
    problem.value(instance.truth)
    assert problem.passes == 4.0
    other = problem.with_penalty(Ridge(1.0))
    other.value(instance.truth)
    assert problem.passes == other.passes == 5.0
    assert problem.penalty == NoPenalty()
    dense = KINDS["dense"](0)
    fused = Problem(dense.op, dense.y)
    fused.evaluate(dense.truth)
    assert fused.passes == 1.0


@pytest.mark.parametrize(("d", "formed"), [(64, True), (65, False)])
def test_small_gradients_in_x_are_formed(d, formed, rng):
    op = simulate.RankOneSensing(rng.standard_normal((30, d)), rng.standard_normal((30, 9)))
    residual = rng.standard_normal(30)
    problem = Problem(op, residual)
    G = problem.gradient_matrix(residual)
    assert isinstance(G, np.ndarray) is formed
    expected = 2.0 / 30 * np.einsum("i,ij,ik->jk", residual, op.x, op.z)
    np.testing.assert_allclose(G @ np.eye(9), expected, atol=1e-12)
    assert problem.passes == 1.0


def test_the_zero_matrix_needs_no_pass():
    for make in KINDS.values():
        instance = make(0)
        problem = Problem(instance.op, instance.y, GroupLasso(0.1, 0.01))
        nothing = instance.truth.keep(np.zeros(instance.truth.width, dtype=bool))
        zero = instance.truth.with_stacked(0.0 * instance.truth.W)
        point = problem.evaluate(nothing)
        assert problem.passes == 0
        expected = problem.evaluate(zero)
        np.testing.assert_array_equal(point.residual, expected.residual)
        assert (point.loss, point.value) == pytest.approx((expected.loss, expected.value))
        assert point.gradient.shape == nothing.W.shape


def test_the_latest_tangent_is_handed_over_once():
    instance = KINDS["dense"](0)
    problem = Problem(instance.op, instance.y)
    f, g = start(instance, 0), start(instance, 1)
    first = problem.linearise(f)
    passes = problem.passes
    assert problem.linearise(f) is first
    assert problem.passes == passes
    assert problem.linearise(f, last=True) is first
    again = problem.linearise(f)
    assert again is not first
    assert problem.passes == 2 * passes
    # Other factors, or another problem, have a tangent of their own.
    assert problem.linearise(f.with_stacked(f.W)) is not again
    assert problem.linearise(g)[0].factors is g
    other = problem.with_measurements(2.0 * problem.y)
    np.testing.assert_allclose(
        other.linearise(g)[0].residual, problem.evaluate(g).residual - problem.y, rtol=1e-12
    )


def test_zero_factors_are_stationary_and_finite():
    for make in KINDS.values():
        instance = make(0)
        problem = Problem(instance.op, instance.y, GroupLasso(0.1, 0.01))
        for width in (0, 2):
            f = instance.truth.with_stacked(np.zeros((instance.truth.W.shape[0], width)))
            point, _ = problem.linearise(f)
            assert point.gradient_norm == 0.0
            assert point.loss == pytest.approx(instance.op.weight * np.sum(instance.y**2))
            assert point.gradient.shape == f.W.shape


@pytest.mark.parametrize(
    ("y", "error", "match"),
    [
        ([1.0, np.nan, 0.0], ValueError, "y must be finite, got 1 NaN"),
        ([1.0, np.inf, 0.0], ValueError, "y must be finite"),
        ([1.0, 2.0], ValueError, "each of the 3 measurements, got 2"),
        ([[1.0, 2.0, 3.0]], ValueError, "1 dimension"),
        ([], ValueError, "each of the 3"),
        ([1j, 0, 0], TypeError, "y must be real"),
        (["a", "b", "c"], TypeError, "y must be real"),
        (None, TypeError, "y must be the measured values, got None"),
    ],
)
def test_bad_measurements(y, error, match):
    op = ObservedEntries([0, 1, 1], [0, 0, 1], (2, 2))
    with pytest.raises(error, match=match):
        Problem(op, y)


def test_bad_operator():
    with pytest.raises(TypeError, match="op must be a measurement operator, got ndarray"):
        Problem(np.eye(2), np.ones(2))


def test_measurements_are_copied_and_converted():
    op = ObservedEntries([0, 1, 1], [0, 0, 1], (2, 2), dtype=np.float32)
    y = np.arange(6)[::2]
    y.flags.writeable = False
    problem = Problem(op, y)
    assert problem.y.dtype == np.float32
    np.testing.assert_array_equal(problem.y, [0, 2, 4])
    mine = np.ones(3, dtype=np.float32)
    problem = Problem(op, mine)
    mine[0] = 7.0
    assert problem.y[0] == 1.0
    assert Problem(FullObservation((2, 3)), np.ones((2, 3))).y.shape == (6,)


def test_a_penalty_of_no_strength_is_none():
    @dataclass(frozen=True)
    class Other:
        strength: float = 0.0

    problem = Problem(FullObservation((2, 2)), np.eye(2))
    penalties = (NoPenalty(), Ridge(0.0), GroupLasso(0.0, 1.0), Ridge(0.1), Other())
    found = [problem.with_penalty(penalty).penalised for penalty in penalties]
    assert found == [False, False, False, True, True]


def test_point_that_is_not_finite():
    problem = Problem(FullObservation((2, 2)), np.eye(2))
    assert problem.evaluate(Factors(np.ones((2, 1)))).is_finite
    with np.errstate(all="ignore"):
        assert not problem.evaluate(Factors(np.full((2, 1), 1e200))).is_finite


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("kind", ["dense", "rank one", "full"])
def test_other_array_libraries(convert, kind, symmetric, rng):
    A, x, z = rng.standard_normal((9, 4, 4)), *rng.standard_normal((2, 9, 4))
    make = {
        "dense": lambda c: DenseSensing(c(A), symmetric=symmetric),
        "rank one": lambda c: RankOneSensing(c(x), None if symmetric else c(z)),
        "full": lambda c: FullObservation((4, 4), reference=c(x)),
    }[kind]
    op, other_op = make(np.asarray), make(convert)
    y, W = rng.standard_normal(op.size), rng.standard_normal((4 if symmetric else 8, 2))
    penalty = GroupLasso(0.3, 0.1)
    f, g = (Factors.stacked(w, (4, 4), symmetric) for w in (W, convert(W)))
    problem, other = Problem(op, y, penalty), Problem(other_op, y, penalty)
    assert type(other.y) is type(g.W)
    assert type(Problem(other_op, convert(y)).y) is type(g.W)
    for point, twin in [
        (problem.evaluate(f), other.evaluate(g)),
        (problem.linearise(f)[0], other.linearise(g)[0]),
    ]:
        assert twin.value == pytest.approx(point.value)
        np.testing.assert_allclose(to_numpy(twin.gradient), point.gradient, atol=1e-10)
        assert twin.gradient_norm == pytest.approx(norm(point.gradient))
        product = other.hessian(twin)(g.W)
        assert type(product) is type(g.W)
        np.testing.assert_allclose(to_numpy(product), problem.hessian(point)(W), atol=1e-9)


def test_mixed_array_libraries(convert):
    op = ObservedEntries([0], [0], (2, 2))
    with pytest.raises(TypeError, match="arrays of one library"):
        Problem(op, convert(np.ones(1)))

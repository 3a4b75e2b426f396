"""Penalties against finite differences, also at zero columns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from leanrank import Factors, simulate
from leanrank._arrays import to_numpy
from leanrank.penalties import ARD, GroupLasso, NoPenalty, Ridge
from leanrank.problem import Problem
from leanrank.solvers import GaussNewton, solve

seeds = st.integers(0, 2**32 - 1)
penalties = st.one_of(
    st.builds(GroupLasso, st.floats(0.0, 3.0), st.floats(0.01, 3.0)),
    st.builds(ARD, st.floats(0.0, 3.0), st.floats(0.01, 3.0)),
    st.builds(Ridge, st.floats(0.0, 3.0)),
    st.just(NoPenalty()),
)


def columns(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A point whose middle column is zero, and a direction."""
    rng = np.random.default_rng(seed)
    W, Z = rng.standard_normal((2, 4, 3))
    W[:, 1] = 0.0
    return W, Z


@given(penalties, seeds)
def test_gradient_against_differences(penalty, seed):
    W, Z = columns(seed)
    h = 1e-6
    slope = (penalty.value(W + h * Z) - penalty.value(W - h * Z)) / (2 * h)
    assert np.sum(W * penalty.weights(W) * Z) == pytest.approx(slope, rel=1e-6, abs=1e-7)


@given(penalties, seeds)
def test_hvp_against_differences(penalty, seed):
    W, Z = columns(seed)
    h = 1e-6
    up, down = ((W + s * Z) * penalty.weights(W + s * Z) for s in (h, -h))
    np.testing.assert_allclose(penalty.hvp(W, Z), (up - down) / (2 * h), rtol=1e-5, atol=1e-6)


@given(penalties, seeds)
def test_exact_at_zero(penalty, seed):
    W, Z = columns(seed)
    zero = np.zeros_like(W)
    assert penalty.value(zero) == 0.0
    np.testing.assert_allclose(penalty.weights(zero), np.full(3, penalty.curvature_at_zero))
    np.testing.assert_allclose(penalty.hvp(zero, Z), penalty.curvature_at_zero * Z)
    np.testing.assert_allclose(penalty.hvp(W, Z)[:, 1], penalty.curvature_at_zero * Z[:, 1])


@given(penalties, seeds, st.floats(0.01, 10))
def test_weights_majorise(penalty, seed, size):
    W, Z = columns(seed)
    Z = size * Z
    d = penalty.weights(W)
    bound = penalty.value(W) + np.sum(W * d * Z) + 0.5 * np.sum(d * Z * Z)
    assert penalty.value(W + Z) <= bound + 1e-12 * abs(bound)


@given(seeds, st.floats(0.1, 10))
def test_group_lasso_scales(seed, c):
    W, _ = columns(seed)
    scaled = GroupLasso(1.0, 0.3 * c * c).value(c * W)
    assert scaled == pytest.approx(c * GroupLasso(1.0, 0.3).value(W))


@given(penalties, seeds, st.floats(0.1, 10))
def test_scaled_is_the_square_times_at_factors_of_the_multiple(penalty, seed, c):
    W, _ = columns(seed)
    found = penalty.scaled(c)
    assert found.value(np.sqrt(c) * W) == pytest.approx(c * c * penalty.value(W))
    assert type(found) is type(penalty)


@given(seeds)
def test_invariant_under_rotation_of_the_rows(seed):
    W, _ = columns(seed)
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((4, 4)))[0]
    for penalty in (GroupLasso(1.0, 0.3), ARD(1.0, 0.3)):
        assert penalty.value(Q @ W) == pytest.approx(penalty.value(W))


def test_values_at_balanced_factors(rng):
    f = Factors(rng.standard_normal((6, 3)), rng.standard_normal((5, 3))).balance()
    s = f.singular_values()
    assert Ridge(0.7).value(f.W) == pytest.approx(2 * 0.7 * np.sum(s))
    assert GroupLasso(0.7, 1e-20).value(f.W) == pytest.approx(0.7 * np.sum(np.sqrt(2 * s)))
    assert ARD(0.7, 0.2).value(f.W) == pytest.approx(0.7 * np.sum(np.log(1 + s / 0.2)))


@given(seeds)
def test_ard_is_least_at_balanced_factors(seed):
    rng = np.random.default_rng(seed)
    f = Factors(rng.standard_normal((6, 3)), rng.standard_normal((5, 3)))
    assert ARD(1.0, 0.2).value(f.balance().W) <= ARD(1.0, 0.2).value(f.W) * (1 + 1e-12)


def test_ard_is_the_logarithm_of_the_likeliest_normal_priors(rng):
    """Inverse-gamma variances, each at its likeliest value: the density of W up to a constant."""
    n, a, b, variance, m = 11, 0.7, 0.2, 0.3, 50
    penalty = ARD(variance * (n + 2 * a + 2) / m, b)

    def of(W):
        total = 0.0
        for s in np.sum(W * W, axis=0):
            d = (s / 2 + b) / (n / 2 + a + 1)
            normal = stats.norm.logpdf(np.zeros(n), scale=np.sqrt(d)).sum() - s / (2 * d)
            total -= normal + stats.invgamma.logpdf(d, a, scale=b)
        return 2 * variance / m * total

    one, other = rng.standard_normal((2, n, 3))
    other[:, 1] = 0.0
    expected = of(one) - of(other)
    assert penalty.value(one) - penalty.value(other) == pytest.approx(expected)


def test_ard_empties_the_columns_that_noise_filled():
    """And shrinks the others less than a ridge that would empty as much."""
    inst = simulate.dense_sensing((14, 10), 2, m=300, noise=0.3, random_state=0)
    wide = Factors(*np.random.default_rng(0).standard_normal((2, 14, 5)) * 0.5)
    wide = Factors(wide.U, wide.V[:10])
    strength = 2.0 * inst.noise_std**2 * 24 / 300
    problem = Problem(inst.op, inst.y, ARD(strength, 1e-4))
    solver = GaussNewton(damping=0.1, forcing=0.1, balance=False)
    found = solve(solver, problem, wide, max_iter=300).factors
    norms = np.sort(found.column_norms())
    assert norms[2] < problem.penalty.prune_threshold < 0.1 * norms[3]
    s = found.singular_values()[:2]
    np.testing.assert_allclose(s, inst.truth.singular_values(), rtol=0.15)


def test_radial_curvature_of_ard_is_most_negative_at_the_prune_threshold():
    penalty = ARD(1.0, 1.0 / 6.0)
    assert penalty.prune_threshold == 1.0
    radii, one = np.linspace(0.05, 3, 60), np.ones((1, 1))
    curvature = [penalty.hvp(r * one, one)[0, 0] for r in radii]
    assert radii[np.argmin(curvature)] == pytest.approx(1.0)
    assert min(curvature) < 0


def test_radial_curvature_is_most_negative_at_the_prune_threshold():
    penalty = GroupLasso(1.0, 0.25)
    assert penalty.prune_threshold == 1.0
    radii = np.linspace(0.05, 3, 60)
    one = np.ones((1, 1))
    curvature = [penalty.hvp(r * one, one)[0, 0] for r in radii]
    assert radii[np.argmin(curvature)] == pytest.approx(1.0)
    assert min(curvature) == pytest.approx(-0.03578 / 0.5, rel=1e-3)


def test_float32_stays_float32_and_finite():
    W = np.zeros((3, 2), dtype=np.float32)
    W[:, 0] = 1e-8
    tiny = np.float64(1e-20)
    small = np.float64(0.1)
    for penalty in (GroupLasso(small, tiny), ARD(small, tiny), Ridge(small)):
        for x in (penalty.weights(W), penalty.hvp(W, W)):
            assert x.dtype == np.float32
            assert np.all(np.isfinite(x))
    assert GroupLasso(0.1, 1e-20).weights(W)[1] == pytest.approx(2e9)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_bad_values(bad):
    for make in (Ridge, lambda x: GroupLasso(x, 1.0), lambda x: ARD(x, 1.0)):
        with pytest.raises(ValueError, match="strength must be"):
            make(bad)
    for kind in (GroupLasso, ARD):
        for value in (bad, 0.0):
            with pytest.raises(ValueError, match="smoothing must be"):
                kind(1.0, value)


def test_bad_types():
    with pytest.raises(TypeError, match="strength must be a number"):
        Ridge("1")
    with pytest.raises(TypeError, match="smoothing must be a number"):
        GroupLasso(1.0, None)


def test_equality_and_repr():
    assert GroupLasso(1, 2) == GroupLasso(1.0, 2.0)
    assert repr(GroupLasso(1, 2)) == "GroupLasso(strength=1.0, smoothing=2.0)"
    assert repr(NoPenalty()) == "NoPenalty()"


@pytest.mark.parametrize("penalty", [GroupLasso(0.5, 0.1), ARD(0.5, 0.1), Ridge(0.5), NoPenalty()])
def test_other_array_libraries(convert, penalty):
    W, Z = columns(3)
    V, Y = convert(W), convert(Z)
    assert penalty.value(V) == pytest.approx(penalty.value(W))
    for one, other in [
        (penalty.weights(W), penalty.weights(V)),
        (penalty.hvp(W, Z), penalty.hvp(V, Y)),
    ]:
        assert type(other) is type(V)
        np.testing.assert_allclose(to_numpy(other), one)

"""Penalties against finite differences, also at zero columns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanrank import Factors
from leanrank._arrays import to_numpy
from leanrank.penalties import GroupLasso, NoPenalty, Ridge

seeds = st.integers(0, 2**32 - 1)
penalties = st.one_of(
    st.builds(GroupLasso, st.floats(0.0, 3.0), st.floats(0.01, 3.0)),
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
    penalty = GroupLasso(1.0, 0.3)
    assert penalty.value(Q @ W) == pytest.approx(penalty.value(W))


def test_values_at_balanced_factors(rng):
    f = Factors(rng.standard_normal((6, 3)), rng.standard_normal((5, 3))).balance()
    s = f.singular_values()
    assert Ridge(0.7).value(f.W) == pytest.approx(2 * 0.7 * np.sum(s))
    assert GroupLasso(0.7, 1e-20).value(f.W) == pytest.approx(0.7 * np.sum(np.sqrt(2 * s)))


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
    for penalty in (GroupLasso(np.float64(0.1), np.float64(1e-20)), Ridge(np.float64(0.1))):
        for x in (penalty.weights(W), penalty.hvp(W, W)):
            assert x.dtype == np.float32
            assert np.all(np.isfinite(x))
    assert GroupLasso(0.1, 1e-20).weights(W)[1] == pytest.approx(2e9)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_bad_values(bad):
    for make in (Ridge, lambda x: GroupLasso(x, 1.0)):
        with pytest.raises(ValueError, match="strength must be"):
            make(bad)
    with pytest.raises(ValueError, match="smoothing must be"):
        GroupLasso(1.0, bad)
    with pytest.raises(ValueError, match="smoothing must be"):
        GroupLasso(1.0, 0.0)


def test_bad_types():
    with pytest.raises(TypeError, match="strength must be a number"):
        Ridge("1")
    with pytest.raises(TypeError, match="smoothing must be a number"):
        GroupLasso(1.0, None)


def test_equality_and_repr():
    assert GroupLasso(1, 2) == GroupLasso(1.0, 2.0)
    assert repr(GroupLasso(1, 2)) == "GroupLasso(strength=1.0, smoothing=2.0)"
    assert repr(NoPenalty()) == "NoPenalty()"


@pytest.mark.parametrize("penalty", [GroupLasso(0.5, 0.1), Ridge(0.5), NoPenalty()])
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

"""What is read off draws: means, deviations, intervals, against the draws themselves."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from leanrank.factors import Factors
from leanrank.posterior import Posterior, _posterior

SHAPE, SIZE, K = (9, 7), 12, 3


@pytest.fixture
def post(rng) -> Posterior:
    left, right = rng.standard_normal((SIZE, 9, K)), rng.standard_normal((SIZE, 7, K))
    middle = left + 0.1 * rng.standard_normal(left.shape)
    left, right, middle = (x.astype(np.float32) for x in (left, right, middle))
    point = Factors(left[0, :, :2].astype(float), right[0, :, :2].astype(float))
    return Posterior(point, left, right, rng.uniform(0.5, 2.0, 7), middle)


def matrices(post: Posterior, left: np.ndarray) -> np.ndarray:
    """One for each draw."""
    return left.astype(float) @ post.right.astype(float).transpose(0, 2, 1)


def test_means_and_deviations_are_those_of_the_draws(post):
    i, j = np.indices(SHAPE)
    drawn = matrices(post, post.left)
    np.testing.assert_allclose(
        post.mean(i, j), matrices(post, post.centres).mean(axis=0), atol=1e-6
    )
    np.testing.assert_allclose(post.to_dense(), post.mean(i, j), atol=1e-12)
    np.testing.assert_allclose(post.std(i, j), drawn.std(axis=0, ddof=1), rtol=1e-6)
    reading = np.sqrt(drawn.var(axis=0, ddof=1) + post.noise)
    np.testing.assert_allclose(post.std(i, j, reading=True), reading, rtol=1e-6)
    assert (post.shape, post.size, post.rank) == (SHAPE, SIZE, 2)
    assert "draws=12" in repr(post)


def test_without_centres_the_point_estimate_is_the_mean(post):
    plain, (i, j) = replace(post, centres=None), np.indices(SHAPE)
    np.testing.assert_allclose(plain.mean(i, j), post.factors.to_dense(), atol=1e-12)
    # And deviations are about it: what draws are on average counts, too.
    drawn = matrices(post, post.left)
    apart = drawn.mean(axis=0) - post.factors.to_dense()
    np.testing.assert_allclose(plain.std(i, j), np.hypot(post.std(i, j), apart), rtol=1e-6)
    assert (np.abs(apart) > 0.1 * post.std(i, j)).any()


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("reading", [False, True])
def test_intervals_are_as_long_as_their_level_asks(post, level, reading):
    i, j = np.indices(SHAPE)
    low, high = post.interval(i, j, level, reading=reading)
    np.testing.assert_allclose((low + high) / 2, post.mean(i, j), atol=1e-9)
    half = student.ppf(0.5 + level / 2, SIZE - 1) * post.std(i, j, reading=reading)
    np.testing.assert_allclose((high - low) / 2, half, rtol=1e-9)


def test_rows_and_columns_broadcast_in_pieces(post, monkeypatch):
    whole = post.std(np.arange(9)[:, None], np.arange(7))
    assert whole.shape == SHAPE
    monkeypatch.setattr(_posterior, "_CHUNK", 5)
    np.testing.assert_allclose(post.std(np.arange(9)[:, None], np.arange(7)), whole, rtol=1e-12)
    np.testing.assert_allclose(post.to_dense(), post.mean(np.arange(9)[:, None], np.arange(7)))
    assert post.mean(2, 3).shape == ()
    assert post.mean(np.zeros(0, int), 3).shape == (0,)


def test_draws_are_spread_over_the_sample(post):
    drawn = matrices(post, post.left)
    np.testing.assert_allclose([f.to_dense() for f in post.draws()], drawn, atol=1e-12)
    found = [f.to_dense() for f in post.draws(3)]
    np.testing.assert_allclose(found, drawn[[0, 6, 11]], atol=1e-12)


def test_bounds_cut_means_and_intervals(post):
    cut, (i, j) = post.clipped(-0.5, 0.5), np.indices(SHAPE)
    for values in (cut.mean(i, j), *cut.interval(i, j, 0.9), cut.to_dense()):
        assert values.min() >= -0.5
        assert values.max() <= 0.5
    # The mean of what is cut, not the mean that is cut.
    inside = np.clip(matrices(post, post.centres), -0.5, 0.5).mean(axis=0)
    np.testing.assert_allclose(cut.mean(i, j), inside, atol=1e-6)
    assert post.mean(i, j).max() > 0.5


def test_scaled_is_the_posterior_of_a_multiple(post):
    larger, (i, j) = post.clipped(-1.0, 2.0).scaled(10.0), np.indices(SHAPE)
    before = post.clipped(-1.0, 2.0)
    np.testing.assert_allclose(larger.mean(i, j), 10 * before.mean(i, j), rtol=1e-5, atol=1e-5)
    for a, b in zip(
        larger.interval(i, j, reading=True), before.interval(i, j, reading=True), strict=True
    ):
        np.testing.assert_allclose(a, 10 * b, rtol=1e-5, atol=1e-5)


def test_calibrated_intervals_cover_readings_like_those_they_saw(rng):
    """Where deviations are four times too small, and the noise has heavy tails."""
    n1, n2, size = 300, 200, 10
    U, V = rng.standard_normal((n1, 2)), rng.standard_normal((n2, 2))
    left = (U + 0.01 * rng.standard_normal((size, n1, 2))).astype(np.float32)
    right = np.broadcast_to(V, (size, n2, 2)).astype(np.float32)
    post = Posterior(Factors(U, V), left, right, np.full(n2, 0.25**2), left)
    pick = rng.permutation(n1 * n2)[:4500]
    rows, cols = np.unravel_index(pick, (n1, n2))
    y = np.sum(U[rows] * V[cols], axis=1) + rng.standard_t(4, rows.size)

    def share(p: Posterior, level: float) -> float:
        low, high = p.interval(rows[500:], cols[500:], level, reading=True)
        return float((np.clip(y[500:], low, high) == y[500:]).mean())

    better = post.calibrated(rows[:500], cols[:500], y[:500])
    assert share(post, 0.95) < 0.6
    for level in (0.5, 0.8, 0.95):
        assert share(better, level) == pytest.approx(level, abs=4 * math.sqrt(0.25 / 500))
    # Intervals for the entries themselves are left as they were.
    assert np.array_equal(better.interval(1, 1), post.interval(1, 1))


def test_calibration_by_few_readings_does_not_promise_much(post):
    few = post.calibrated(np.arange(4), np.arange(4), np.zeros(4))
    low, high = few.interval(0, 0, 0.8, reading=True)
    assert np.isfinite([low, high]).all()
    low, high = few.interval(0, 0, 0.81, reading=True)
    assert (low, high) == (-math.inf, math.inf)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_levels_outside_are_refused(post, level):
    with pytest.raises(ValueError, match="level"):
        post.interval(0, 0, level)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: p.mean([9], [0]), ValueError, r"rows must lie in \[0, 9\), got 9 to 9"),
        (lambda p: p.std([0], [-1]), ValueError, r"cols must lie in \[0, 7\), got -1 to -1"),
        (lambda p: p.mean([0.5], [0]), TypeError, "rows must be integers, got float64"),
        (lambda p: list(p.draws(13)), ValueError, "n must be at most 12"),
        (lambda p: list(p.draws(0)), ValueError, "n must be"),
        (lambda p: p.clipped(1.0, 1.0), ValueError, "bounds must be low < high, got 1 and 1"),
        (lambda p: p.calibrated([0], [0], []), ValueError, "y must have a reading for each"),
        (lambda p: p.calibrated(*np.zeros((2, 0), int), []), ValueError, "there must be one"),
    ],
)
def test_bad_input_is_named(post, call, error, message):
    with pytest.raises(error, match=message):
        call(post)

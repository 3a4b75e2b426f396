"""A whole covariance, shrunk towards a target."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from leanrank.posterior import Covariance, _covariance


@pytest.fixture
def gaps(rng):
    """Rows of a normal distribution with gaps, its mean and its covariance."""
    A = rng.standard_normal((5, 5))
    S, mean = A @ A.T + 0.1 * np.eye(5), rng.standard_normal(5)
    X = rng.multivariate_normal(mean, S, size=80)
    return np.where(rng.random(X.shape) < 0.3, np.nan, X), mean, S


def log_posterior(X, model, target, worth):
    """Log-likelihood of the observed entries, plus the prior whose mode the estimate is."""
    inverse = np.linalg.inv(model.matrix)
    total = -0.5 * worth * (np.linalg.slogdet(model.matrix)[1] + np.trace(target @ inverse))
    for row in X:
        o = ~np.isnan(row)
        C, d = model.matrix[np.ix_(o, o)], row[o] - model.mean[o]
        total -= 0.5 * (np.linalg.slogdet(C)[1] + d @ np.linalg.solve(C, d))
    return total


def test_completed_by_conditional_means(gaps):
    X, mean, S = gaps
    completed, variance, together = Covariance(mean, S).complete(X)
    total = np.zeros((5, 5))
    for row, full, own in zip(X, completed, variance, strict=True):
        o, m = ~np.isnan(row), np.isnan(row)
        regression = S[np.ix_(m, o)] @ np.linalg.inv(S[np.ix_(o, o)])
        cov = S[np.ix_(m, m)] - regression @ S[np.ix_(o, m)]
        np.testing.assert_allclose(full[m], mean[m] + regression @ (row - mean)[o], rtol=1e-9)
        np.testing.assert_array_equal(full[o], row[o])
        np.testing.assert_allclose(own[m], np.diag(cov), rtol=1e-9)
        assert not own[o].any()
        total[np.ix_(m, m)] += cov
    np.testing.assert_allclose(together, total, rtol=1e-9, atol=1e-12)


def test_draws_have_conditional_means_and_covariances(gaps):
    X, mean, S = gaps
    row = np.where(np.arange(5) < 3, np.nan, X[:1] * 0 + 0.5)
    row[0, 3:] = 0.5
    model = Covariance(mean, S)
    drawn, _, _ = model.complete(np.repeat(row, 40_000, axis=0), 7)
    expected, _, cov = model.complete(row)
    np.testing.assert_allclose(drawn.mean(axis=0), expected[0], atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T, bias=True), cov, atol=0.1)
    again, _, _ = model.complete(np.repeat(row, 40_000, axis=0), 7)
    np.testing.assert_array_equal(again, drawn)


@pytest.mark.parametrize("center", [True, False])
def test_the_estimate_is_stationary(gaps, center):
    X, mean, _ = gaps
    target, worth = np.diag(np.arange(1.0, 6.0)), 4.0
    begin = Covariance(np.zeros(5) if center else mean, target)
    values = [log_posterior(X, begin, target, worth)]
    model = begin
    for _ in range(5):
        model = model.fitted(X, target, worth, center=center, max_sweeps=1)
        values.append(log_posterior(X, model, target, worth))
    assert np.all(np.diff(values) > 0)
    model = model.fitted(X, target, worth, center=center, max_sweeps=2000, tol=1e-12)
    best = log_posterior(X, model, target, worth)
    if not center:
        np.testing.assert_array_equal(model.mean, mean)
    rng = np.random.default_rng(0)
    for step in (-1e-4, 1e-4):
        change = rng.standard_normal((5, 5))
        moved = Covariance(model.mean, model.matrix + step * (change + change.T))
        assert abs(log_posterior(X, moved, target, worth) - best) < 1e-5
        moved = Covariance(model.mean + step * center, model.matrix)
        assert abs(log_posterior(X, moved, target, worth) - best) < 1e-5
    assert log_posterior(X, Covariance(model.mean, 1.1 * model.matrix), target, worth) < best - 0.1


def test_draws_of_parameters_are_spread_about_the_estimate(gaps):
    """Of a complete table the posterior is known: inverse Wishart, of known mean."""
    X = np.where(np.isnan(gaps[0]), 0.0, gaps[0])
    target, worth, n = np.eye(5), 6.0, len(X)
    model = Covariance(X.mean(axis=0), target).fitted(X, target, worth, center=True)
    rng = np.random.default_rng(1)
    drawn = list(islice(model.draws(X, target, worth, rng, center=True), 4000))
    rest = X - X.mean(axis=0)
    expected = (rest.T @ rest + worth * target) / (n - 1 + worth)
    mean = np.mean([each.matrix for each in drawn], axis=0)
    np.testing.assert_allclose(mean, expected, atol=0.02 * np.diag(expected).max())
    middle = np.array([each.mean for each in drawn])
    np.testing.assert_allclose(middle.mean(axis=0), X.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(middle.var(axis=0), np.diag(expected) / n, rtol=0.1)


def test_a_covariance_that_is_none():
    with pytest.raises(FloatingPointError, match="row 1 is not positive definite"):
        Covariance(np.zeros(2), -np.eye(2)).complete(np.array([[1.0, 1.0], [1.0, np.nan]]))


def test_residuals_are_those_of_entries_that_are_left_out(gaps, monkeypatch):
    X, mean, S = gaps
    model = Covariance(mean, S)
    monkeypatch.setattr(_covariance, "_NUMBERS", 7 * 25)
    found = model.residuals(X)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(X))
    for i, j in np.argwhere(~np.isnan(X))[::7]:
        without = X[[i]].copy()
        without[0, j] = np.nan
        assert found[i, j] == pytest.approx(X[i, j] - model.complete(without)[0][0, j], rel=1e-6)

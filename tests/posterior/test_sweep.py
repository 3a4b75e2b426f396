"""One sweep against dense linear algebra, and draws against the exact distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from leanrank.posterior import Entries, Gaussian, Moments, Sweep, packed
from leanrank.posterior._moments import unpacked

SHAPE = (23, 17)


def covariances(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """Positive definite matrices, shape (n, k, k)."""
    root = rng.standard_normal((n, k, k + 2))
    return root @ root.transpose(0, 2, 1) / (k + 2)


def moments(rng: np.random.Generator, n: int, k: int, fixed: int) -> Moments:
    """Random ones, whose fixed coordinate is one and certain."""
    mean, cov = rng.standard_normal((n, k)), covariances(rng, n, k)
    if fixed >= 0:
        mean[:, fixed], cov[:, fixed, :], cov[:, :, fixed] = 1.0, 0.0, 0.0
    return Moments(mean, packed(cov + mean[:, :, None] * mean[:, None, :]), fixed)


def gaussian(rng: np.random.Generator, k: int) -> Gaussian:
    return Gaussian(covariances(rng, 1, k)[0], rng.standard_normal(k))


def some_entries(rng: np.random.Generator, *, weighted: bool) -> Entries:
    """Some entries of a matrix whose first row and column have none; not in order."""
    rows, cols = np.nonzero(rng.random(SHAPE) < 0.4)
    kept = rng.permutation(np.flatnonzero((rows > 0) & (cols > 0)))
    rows, cols = rows[kept], cols[kept]
    weights = rng.uniform(0.1, 3.0, rows.size) if weighted else None
    return Entries.of(rows, cols, rng.standard_normal(rows.size), SHAPE, weights)


def dense_solve(
    target: np.ndarray, W: np.ndarray, partner: Moments, prior: Gaussian, fixed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Means and covariances of rows of ``target`` given the moments of the other factor.

    ``W`` holds the precision of each entry's noise, zero where nothing was observed.
    """
    n, k = target.shape[0], partner.mean.shape[1]
    second = partner.covariances() + partner.mean[:, :, None] * partner.mean[:, None, :]
    free = [c for c in range(k) if c != fixed]
    means, covs = np.zeros((n, k)), np.zeros((n, k, k))
    for i in range(n):
        A = np.einsum("j,jkl->kl", W[i], second)
        b = (W[i] * target[i]) @ partner.mean
        if fixed >= 0:
            b, means[i, fixed] = b - A[:, fixed], 1.0
        cov = np.linalg.inv(prior.precision + A[np.ix_(free, free)])
        means[i, free] = cov @ (prior.precision @ prior.mean + b[free])
        covs[i][np.ix_(free, free)] = cov
    return means, covs


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("in_rows", "in_columns"), [(-1, -1), (3, 2), (0, -1), (-1, 1)])
def test_a_sweep_is_dense_linear_algebra(rng, weighted, in_rows, in_columns):
    entries, k = some_entries(rng, weighted=weighted), 4
    Y, W = np.zeros(SHAPE), np.zeros(SHAPE)
    Y[entries.rows, entries.cols] = entries.y
    W[entries.rows, entries.cols] = entries.weights if weighted else 1.0
    columns, noise = moments(rng, SHAPE[1], k, in_columns), rng.uniform(0.2, 2.0, SHAPE[1])
    of_rows, of_columns = gaussian(rng, k - (in_rows >= 0)), gaussian(rng, k - (in_columns >= 0))
    sweep = Sweep(entries)
    rows, total, new, missed = sweep(columns, noise, of_rows, of_columns, in_rows)

    means, covs = dense_solve(Y, W / noise, columns, of_rows, in_rows)
    second = covs + means[:, :, None] * means[:, None, :]
    np.testing.assert_allclose(rows, means, atol=1e-11)
    np.testing.assert_allclose(total, second.sum(axis=0), atol=1e-10)
    alone = sweep.rows(columns, noise, of_rows, in_rows)
    np.testing.assert_allclose(alone.covariances(), covs, atol=1e-11)

    seen = Moments(means, packed(second), in_rows)
    c_means, c_covs = dense_solve(Y.T, (W / noise).T, seen, of_columns, in_columns)
    np.testing.assert_allclose(new.mean, c_means, atol=1e-10)
    np.testing.assert_allclose(new.covariances(), c_covs, atol=1e-10)

    # E (y - u'v)^2 = (y - m'n)^2 + m'Psi m + n'Sigma n + tr(Sigma Psi).
    square = (Y - means @ c_means.T) ** 2
    square += np.einsum("ik,jkl,il->ij", means, c_covs, means)
    square += np.einsum("jk,ikl,jl->ij", c_means, covs, c_means)
    square += np.einsum("ikl,jkl->ij", covs, c_covs)
    np.testing.assert_allclose(missed, (W * square).sum(axis=0), rtol=1e-9)


def test_a_row_without_entries_is_its_prior(rng):
    entries, prior = some_entries(rng, weighted=False), gaussian(rng, 3)
    rows = Sweep(entries).rows(moments(rng, SHAPE[1], 3, -1), np.ones(SHAPE[1]), prior, -1)
    np.testing.assert_allclose(rows.mean[0], prior.mean, atol=1e-12)
    np.testing.assert_allclose(rows.covariances()[0], np.linalg.inv(prior.precision), atol=1e-10)


@pytest.mark.parametrize("drawn", [False, True])
def test_the_number_of_threads_does_not_change_a_bit(rng, drawn):
    rows, cols = np.nonzero(rng.random((400, 90)) < 0.3)
    y, weights = rng.standard_normal(rows.size), rng.uniform(0.5, 2.0, rows.size)
    entries = Entries.of(rows, cols, y, (400, 90), weights)
    columns, noise = moments(rng, 90, 20, 18), rng.uniform(0.2, 2.0, 90)
    priors, keys = (gaussian(rng, 19), gaussian(rng, 19)), (7, 11) if drawn else None
    found = []
    for threads in (1, 2, 3):
        centres = np.zeros((400, 20))
        found.append(
            (*Sweep(entries, threads)(columns, noise, *priors, 19, keys, centres), centres)
        )
    for other in found[1:]:
        for name in ("mean", "second"):
            assert np.array_equal(getattr(found[0][2], name), getattr(other[2], name))
        for i in (0, 1, 3, 4):
            assert np.array_equal(found[0][i], other[i])


@pytest.mark.parametrize("fixed", [-1, 1])
def test_draws_follow_the_exact_distribution(rng, fixed):
    """Many rows that all have the same data: their draws are a sample of one distribution."""
    n, k, cols = 20_000, 3, np.array([0, 2, 3])
    y, columns = np.tile(rng.standard_normal(3), n), moments(rng, 5, k, -1)
    entries = Entries.of(np.repeat(np.arange(n), 3), np.tile(cols, n), y, (n, 5))
    prior, noise = gaussian(rng, k - (fixed >= 0)), rng.uniform(0.5, 2.0, 5)
    exact = Sweep(entries).rows(columns, noise, prior, fixed)
    drawn = Sweep(entries).rows(columns, noise, prior, fixed, key=3).mean
    free = [c for c in range(k) if c != fixed]
    root = np.linalg.cholesky(exact.covariances()[0][np.ix_(free, free)])
    z = np.linalg.solve(root, (drawn - exact.mean)[:, free].T)
    if fixed >= 0:
        assert (drawn[:, fixed] == 1.0).all()
    # Standard normal, coordinate by coordinate and jointly, and one row tells nothing of the next.
    for values in z:
        assert kstest(values, "norm").pvalue > 1e-4
    assert kstest((z**2).sum(axis=0), chi2(len(free)).cdf).pvalue > 1e-4
    np.testing.assert_allclose(z @ z.T / n, np.eye(len(free)), atol=5 * np.sqrt(2 / n))
    np.testing.assert_allclose(z[:, 1:] @ z[:, :-1].T / n, 0.0, atol=5 / np.sqrt(n))


def test_draws_depend_on_the_key_and_lie_around_their_centres(rng):
    entries, k = some_entries(rng, weighted=False), 3
    columns, noise = moments(rng, SHAPE[1], k, -1), np.ones(SHAPE[1])
    priors = (gaussian(rng, k), gaussian(rng, k))
    sweep, centres = Sweep(entries), np.zeros((SHAPE[0], k))
    first, *_ = sweep(columns, noise, *priors, -1, (1, 2), centres)
    again, *_ = sweep(columns, noise, *priors, -1, (1, 2))
    other, *_ = sweep(columns, noise, *priors, -1, (5, 2))
    assert np.array_equal(first, again)
    assert np.abs(first - other).min() > 0
    np.testing.assert_allclose(centres, sweep.rows(columns, noise, priors[0], -1).mean, atol=1e-12)


def test_a_precision_that_is_not_positive_definite_is_named(rng):
    entries = some_entries(rng, weighted=False)
    columns = moments(rng, SHAPE[1], 2, -1)
    with pytest.raises(FloatingPointError, match="row 0 is not positive definite"):
        Sweep(entries).rows(columns, np.ones(SHAPE[1]), Gaussian(-np.eye(2), np.zeros(2)), -1)


@given(st.integers(0, 5), st.integers(1, 6), st.integers(0, 100))
def test_packed_triangles_unpack(n, k, seed):
    matrices = covariances(np.random.default_rng(seed), n, k)
    triangles = packed(matrices)
    assert triangles.shape == (n, k * (k + 1) // 2)
    assert np.array_equal(unpacked(triangles, k), np.tril(matrices) + np.tril(matrices, -1).mT)


def test_mapped_moments_are_those_of_mapped_rows(rng):
    given_, T = moments(rng, 6, 3, -1), rng.standard_normal((3, 3))
    new = given_.mapped(T)
    np.testing.assert_allclose(new.mean, given_.mean @ T.T, atol=1e-12)
    np.testing.assert_allclose(new.covariances(), T @ given_.covariances() @ T.T, atol=1e-11)
    np.testing.assert_allclose(
        new.total(), (new.covariances() + new.mean[:, :, None] * new.mean[:, None, :]).sum(axis=0)
    )


def test_entries_know_what_each_column_holds(rng):
    entries = some_entries(rng, weighted=True)
    W = np.zeros(SHAPE)
    W[entries.rows, entries.cols] = entries.weights
    Y = np.zeros(SHAPE)
    Y[entries.rows, entries.cols] = entries.y
    assert np.array_equal(entries.counts(), (W > 0).sum(axis=0))
    np.testing.assert_allclose(entries.sums(), [W.sum(axis=0), (W * Y**2).sum(axis=0)])

"""Mixed rows: each part by itself, weighted by hand."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from leanrank.estimators._mixed import MixedChain, MixedRows
from leanrank.estimators._neighbours import Neighbours
from leanrank.estimators._row_model import CovarianceChain, CovarianceRows, MeansChain
from leanrank.posterior import Covariance, Entries


@pytest.fixture
def parts(rng):
    A = rng.standard_normal((4, 4))
    model = Covariance(rng.standard_normal(4), A @ A.T + 0.3 * np.eye(4))
    X = rng.multivariate_normal(model.mean, model.matrix, size=60)
    Z = np.where(rng.random(X.shape) < 0.3, np.nan, X)
    i, j = np.nonzero(~np.isnan(Z))
    means = MeansChain.of(Entries.of(i, j, Z[i, j], Z.shape)).rows
    weights = rng.dirichlet(np.ones(3), size=4).T
    near = Neighbours.of(Z, model)
    rows = MixedRows(CovarianceRows(model), (means,), near, weights, np.full(4, 1.5))
    return Z, np.ones(Z.shape), model, means, near, rows


def test_means_and_variances_are_weighted(parts):
    Z, ones, model, means, near, rows = parts
    completed, own, _ = model.complete(Z)
    flat, spread = means.complete(Z, ones)
    moved = completed + near.correction(completed, np.isnan(Z))
    w = rows.weights
    mean, variance = rows.complete(Z, ones)
    gone = np.isnan(Z)
    expected = w[0] * completed + w[1] * flat + w[2] * moved
    np.testing.assert_allclose(mean[gone], expected[gone])
    expected = 1.5**2 * ((w[0] + w[2]) * own + w[1] * spread)
    np.testing.assert_allclose(variance[gone], expected[gone])
    nothing = rows.complete(np.full((1, 4), np.nan), np.ones((1, 4)))[0]
    np.testing.assert_allclose(nothing[0], rows.mean)
    np.testing.assert_allclose(rows.mean, (w[0] + w[2]) * model.mean + w[1] * means.mean)


def test_entries_of_weight_zero_are_gaps(parts):
    Z, ones, *_, rows = parts
    weight = np.where(np.arange(4) == 2, 0.0, ones)
    gaps = np.where(weight > 0, Z, np.nan)
    np.testing.assert_array_equal(
        rows.complete(Z, weight)[0][:, 2], rows.complete(gaps, ones)[0][:, 2]
    )


def test_draws_have_these_means_and_variances(parts, rng):
    Z, ones, *_, rows = parts
    drawn = np.array([rows.draw(Z[:5], ones[:5], rng) for _ in range(4000)])
    mean, variance = rows.complete(Z[:5], ones[:5])
    gone = np.isnan(Z[:5])
    deviation = np.sqrt(variance[gone])
    assert np.abs((drawn.mean(axis=0)[gone] - mean[gone]) / deviation).max() < 0.1
    np.testing.assert_allclose(drawn.std(axis=0)[gone], deviation, rtol=0.1)


def test_without_weights_of_its_own_the_last_word_is_that_of_neighbours(parts):
    Z, ones, model, means, near, _ = parts
    rows = MixedRows.of(CovarianceRows(model), (means,), near)
    completed = model.complete(Z)[0]
    moved = completed + near.correction(completed, np.isnan(Z))
    np.testing.assert_allclose(rows.complete(Z, ones)[0], moved)
    alone = MixedRows.of(means, ())
    np.testing.assert_allclose(alone.complete(Z, ones)[0], np.broadcast_to(means.mean, Z.shape))


def test_chains_draw_the_main_part(parts, rng):
    Z, _, model, _, _, rows = parts
    chain = MixedChain(rows, CovarianceChain(model, Z, model.matrix, 10.0, True))
    first, second = islice(chain.draws(rng), 2)
    assert np.any(first.main.model.matrix != second.main.model.matrix)
    for name in ("beside", "neighbours", "weights", "stretch"):
        assert getattr(first, name) is getattr(rows, name)

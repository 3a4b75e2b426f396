"""What a fit of ratings leaves, made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank._labels import Labels
from leanrank.estimators._rating_model import RatingModel, Side
from leanrank.posterior import Layout


@pytest.fixture
def model(rng):
    """Factors of users that are long and correlated; nothing is uncertain."""
    users = rng.standard_normal((50, 3)) @ np.array([[3.0, 1.0, 0.0], [0, 1.0, 0.5], [0, 0, 0.2]])
    items = rng.standard_normal((8, 3))
    sides = (
        Side(Labels(np.arange(len(mean)), "number"), mean, np.zeros_like(mean, np.float32))
        for mean in (users, items)
    )
    return RatingModel(*sides, Layout(3), np.ones(3), (1.0, 1.0, 0.0), 0.25, 2.0, np.ones(1))


def test_directions_are_in_the_metric_of_the_users(model):
    directions = model.item_directions()
    parts = model.users.mean @ model.items.mean.T
    norms = np.linalg.norm(parts, axis=0)
    np.testing.assert_allclose(
        directions @ directions.T, parts.T @ parts / np.outer(norms, norms), atol=1e-9
    )


def test_predictions_are_in_the_units_of_the_ratings(model):
    rows, cols = (index.ravel().astype(np.int32) for index in np.indices((50, 8)))
    whole = 2.0 * (model.users.mean @ model.items.mean.T)
    np.testing.assert_allclose(model.predict(rows, cols), whole.ravel())
    np.testing.assert_allclose(model.deviation(rows, cols), 2.0 * 0.5)


def test_users_keep_their_factors_among_others(model):
    places = np.array([4, 0, 7])
    three = Side(model.items.labels, model.items.mean[:3], model.items.variance[:3] + 1)
    more = three.among(Labels(np.arange(9), "number"), places)
    np.testing.assert_array_equal(more.mean[places], three.mean)
    np.testing.assert_array_equal(more.variance[places], three.variance)
    others = np.setdiff1d(np.arange(9), places)
    np.testing.assert_allclose(more.mean[others], np.tile(three.mean.mean(axis=0), (6, 1)))
    np.testing.assert_allclose(
        more.variance[others], 1 + np.var(three.mean, axis=0) * np.ones((6, 3))
    )

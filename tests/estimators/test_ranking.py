"""The best of many items, and similar ones, against all of them in one matrix."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from leanrank import MatrixFactorization, RecoveryWarning, UnknownLabelWarning
from leanrank.estimators import _ranking
from leanrank.estimators._ranking import best


def brute(scores, n):
    """Places of the n largest, the first of equal ones first."""
    return list(np.argsort(-scores, axis=1, kind="stable")[:, :n])


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("n", [1, 4, 50])
def test_best_of_products_with_many_ties(rng, monkeypatch, size, n):
    monkeypatch.setattr(_ranking, "_BYTES", 8 * 30 * size)  # so many rows at a time
    left, right = (rng.integers(-1, 2, (m, 3)).astype(float) for m in (20, 30))
    out = rng.random((20, 30)) < 0.3

    def barred(first, last):
        return np.nonzero(out[first:last])

    def score(rows, cols):
        return np.sum(left[rows] * right[cols], axis=1)

    rows, cols, scores = best(left, right, n, barred, score)
    products = np.where(out, -np.inf, left @ right.T)
    for i, expected in enumerate(brute(products, n)):
        expected = expected[products[i, expected] > -np.inf]
        np.testing.assert_array_equal(cols[rows == i], expected)
        np.testing.assert_array_equal(scores[rows == i], products[i, expected])


def dense(model):
    users, items = (i.ravel() for i in np.indices((model.users_.size, model.items_.size)))
    scores = model.predict(model.users_[users], model.items_[items])
    return scores.reshape(model.users_.size, -1)


def test_recommends_what_is_predicted_to_be_best(ratings, model):
    scores = dense(model)
    asked = model.users_[[7, 3, 7]]
    got = model.recommend(asked, 5, exclude_seen=False)
    np.testing.assert_array_equal(got.items, model.items_[np.ravel(brute(scores[[7, 3, 7]], 5))])
    np.testing.assert_array_equal(got.asked, np.repeat(asked, 5))
    np.testing.assert_array_equal(got.ranks, np.tile(np.arange(1, 6), 3))
    np.testing.assert_array_equal(got.scores, model.predict(got.asked, got.items))


def test_what_was_seen_is_left_out(ratings, model):
    scores = dense(model)
    scores[np.searchsorted(model.users_, ratings.given[0]), ratings.given[1]] = -np.inf
    got = model.recommend(model.users_, 10)
    np.testing.assert_array_equal(got.items, model.items_[np.ravel(brute(scores, 10))])


def test_fewer_where_fewer_are_left():
    users, items = np.divmod(np.arange(24), 6)
    keep = (users > 0) | (items < 4)  # user 0 has not seen two items, the others have seen all
    y = np.random.default_rng(0).normal(size=24)
    with pytest.warns(RecoveryWarning):
        model = MatrixFactorization().fit(users[keep], items[keep], y[keep])
    got = model.recommend([0, 1, 0], 10)
    assert sorted(got.items[:2]) == sorted(got.items[2:]) == [4, 5]
    assert len(model.recommend([1])) == len(model.recommend([])) == 0
    assert len(model.recommend([1], 10, exclude_seen=False)) == 6


def test_bounds_do_not_make_ties(ratings, model):
    cut = MatrixFactorization(max_value=3.6).fit(*ratings.given)
    got = cut.recommend([5], 8)
    np.testing.assert_array_equal(got.items, model.recommend([5], 8).items)
    np.testing.assert_array_equal(got.scores, cut.predict(got.asked, got.items))
    assert np.unique(got.scores).size < 8


def test_unknown_users_get_what_is_best_on_average(model):
    with pytest.warns(UnknownLabelWarning, match="1 of the 2 users, the first 12345: they count"):
        got = model.recommend([12345, 3], 4)
    average = dense(model).mean(axis=0)
    np.testing.assert_array_equal(got.items[:4], model.items_[np.argsort(-average)[:4]])
    np.testing.assert_allclose(got.scores[:4], np.sort(average)[::-1][:4])
    np.testing.assert_array_equal(got.asked, [12345] * 4 + [3] * 4)


def test_similar_items_are_those_whose_ratings_go_together(ratings, model):
    """Where much is known, similarity is the correlation of what factors say over users."""
    parts = model.user_factors_ @ model.item_factors_.T
    norms = np.sqrt(np.mean(parts**2, axis=0))
    cosine = parts.T @ parts / len(parts) / np.outer(norms, norms)
    np.fill_diagonal(cosine, -np.inf)
    counts = np.bincount(ratings.given[1])
    often = np.argsort(-counts)[:10]
    got = model.similar_items(model.items_[often], 3)
    told = cosine[
        np.searchsorted(model.items_, got.asked), np.searchsorted(model.items_, got.items)
    ]
    assert np.all(got.scores <= 1)
    assert np.all(got.asked != got.items)
    assert np.all(np.abs(got.scores - told) < 0.25)
    assert np.corrcoef(got.scores, told)[0, 1] > 0.5


def test_twins_are_the_most_similar_and_rare_items_are_not(make_ratings):
    rated = make_ratings(shape=(400, 60))
    users, items, y = rated.given
    at = np.flatnonzero(items == 5)
    # A twin of item 5, and an item that one user has rated.
    users = np.concatenate([users, users[at], [0]])
    items = np.concatenate([items, np.full(at.size, 1000), [2000]])
    model = MatrixFactorization().fit(users, items, np.concatenate([y, y[at], [3.0]]))
    assert model.similar_items([5], 1).items[0] == 1000
    every = model.similar_items(np.delete(model.items_, -1), 5)
    assert 2000 not in every.items
    assert np.abs(model.similar_items([2000], 3).scores).max() < 0.9


def test_rankings_are_frames_to_be(model):
    got = model.recommend([3, 4], 2)
    assert list(pd.DataFrame(got.to_dict()).columns) == ["user", "rank", "item", "score"]
    assert list(model.similar_items([3], 2).to_dict()) == ["item", "rank", "similar", "score"]
    assert repr(got).startswith("Ranking(user, item, score, lines=4)\n(3, 1, ")
    assert repr(model.recommend(model.users_[:20], 2)).endswith("\n...")


def test_refuses(model, make_ratings):
    with pytest.raises(ValueError, match="users must be a vector of labels, got 3; put"):
        model.recommend(3)
    with pytest.raises(TypeError, match="users must be labels of the same type as in fit, number"):
        model.recommend(["3"])
    with pytest.raises(ValueError, match="n must be at least 1"):
        model.recommend([3], 0)
    with pytest.raises(TypeError, match="exclude_seen must be True or False"):
        model.recommend([3], exclude_seen="yes")
    with pytest.raises(ValueError, match="items must be among those of fit, got 1 .* first at 1"):
        model.similar_items([3, 77777])
    with pytest.warns(RecoveryWarning):
        means = MatrixFactorization().fit([1, 2, 3], [1, 2, 1], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="fit found no factors"):
        means.similar_items([1])

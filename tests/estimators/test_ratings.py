"""Ratings as they come in: sorted, averaged, joined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanrank.estimators import _ratings
from leanrank.estimators._ratings import LabelledRatings

TRIPLES = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from("abcd"), st.integers(-3, 3), st.integers(1, 4)),
    min_size=2,
)


def ratings_of(triples):
    users, items, values, weights = zip(*triples, strict=True)
    return LabelledRatings.of(list(users), list(items), list(values), list(weights))


def averages(triples):
    """Weight and weighted mean of each pair, by a loop."""
    found = {}
    for user, item, value, weight in triples:
        total, mass = found.get((user, item), (0.0, 0.0))
        found[user, item] = (total + weight * value, mass + weight)
    return {pair: (total / mass, mass) for pair, (total, mass) in found.items()}


def listed(ratings, entries):
    """Labels, value and weight of each entry, in order."""
    users, items = ratings.users.values[entries.rows], ratings.items.values[entries.cols]
    weights = entries.weights if entries.weights.size else np.ones(entries.size)
    return [
        ((u, i), (y, w))
        for u, i, y, w in zip(users.tolist(), items.tolist(), entries.y, weights, strict=True)
    ]


@given(TRIPLES)
def test_entries_are_sorted_and_averaged(triples):
    ratings = ratings_of(triples)
    found, expected = listed(ratings, ratings.entries("mean")), averages(triples)
    assert [pair for pair, _ in found] == sorted(expected)
    for pair, told in found:
        np.testing.assert_allclose(told, expected[pair])


@given(TRIPLES, TRIPLES)
def test_joined_are_as_if_they_had_come_together(first, second):
    old, new = ratings_of(first), ratings_of(second)
    entries = old.entries("mean")
    kept = LabelledRatings.of_entries(old.users, old.items, entries)
    both, of_users, of_items = kept.joined(new)
    together = ratings_of(first + second)
    for (pair, told), (same, expected) in zip(
        listed(both, both.entries("mean")), listed(together, together.entries("mean")), strict=True
    ):
        assert pair == same
        np.testing.assert_allclose(told, expected, atol=1e-12)
    np.testing.assert_array_equal(both.users.values[of_users], old.users.values)
    np.testing.assert_array_equal(both.items.values[of_items], old.items.values)


def test_joining_ratings_without_weights_to_some_that_have_them():
    old, new = (
        LabelledRatings.of([1, 2], [1, 1], [3, 4], [2.0, 3.0]),
        LabelledRatings.of([1, 3], [1, 1], [6, 6]),
    )
    entries = old.joined(new)[0].entries("mean")
    np.testing.assert_allclose(entries.y, [4.0, 4.0, 6.0])
    np.testing.assert_allclose(entries.weights, [3.0, 3.0, 1.0])


def test_ratings_of_weight_zero_are_as_good_as_missing():
    ratings = LabelledRatings.of(["a", "b", "c"], [1, 2, 3], [1.0, 2.0, 3.0], [1.0, 0.0, 2.0])
    assert ratings.users.values.tolist() == ["a", "c"]
    assert ratings.items.values.tolist() == [1, 3]
    assert ratings.values.tolist() == [1.0, 3.0]


def test_many_entries_as_numpy_sorts_them(rng):
    rows, cols = rng.integers(0, 500, 20_000), rng.integers(0, 400, 20_000)
    ratings = LabelledRatings.of(rows, cols, np.arange(20_000))
    entries = ratings.entries("mean")
    flat, first = np.unique(rows * 400 + cols, return_inverse=True)
    np.testing.assert_array_equal(entries.rows * 400 + entries.cols, flat)
    np.testing.assert_allclose(
        entries.y, np.bincount(first, np.arange(20_000)) / np.bincount(first)
    )
    np.testing.assert_allclose(entries.weights, np.bincount(first))


def test_labels_of_other_types_do_not_join():
    old, new = (
        LabelledRatings.of([1, 2], [1, 1], [3, 4]),
        LabelledRatings.of(["1", "2"], [1, 1], [3, 4]),
    )
    with pytest.raises(TypeError, match="users must be labels of the same type as before, number"):
        old.joined(new)


def test_many_ratings_are_kept_in_single_precision(monkeypatch):
    columns = [1, 1, 2, 1], [1, 2, 1, 1], [0.1, 0.2, 0.3, 0.4]
    monkeypatch.setattr(_ratings, "_MANY", 4)
    entries = LabelledRatings.of(*columns).scaled(0.5).entries("mean")
    assert entries.y.dtype == entries.weights.dtype == np.float32
    np.testing.assert_allclose(entries.y, [0.125, 0.1, 0.15])
    monkeypatch.setattr(_ratings, "_MANY", 5)
    assert LabelledRatings.of(*columns).scaled(0.5).entries("mean").y.dtype == np.float64


def test_neighbours_in_order_of_different_users_are_no_duplicates():
    # The last item of one user is the first of the next; users 2 and 4 have none of item 1.
    users, items = [1, 2, 3, 4, 5, 1], [1, 2, 2, 2, 1, 3]
    entries = LabelledRatings.of(users, items, np.arange(6.0)).entries("error")
    assert entries.weights.size == 0
    assert entries.size == 6
    np.testing.assert_array_equal(entries.y, [0.0, 5.0, 1.0, 2.0, 3.0, 4.0])

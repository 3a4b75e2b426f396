"""Users and items that ``fit`` has not seen: unknown, folded in, taken in later."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest

from leanrank import MatrixFactorization, RecoveryWarning, UnknownLabelWarning


def rmse(a, b):
    return np.sqrt(np.mean((np.asarray(a) - np.asarray(b)) ** 2))


def test_an_unknown_user_or_item_is_the_mean_of_all(model):
    item, user = model.items_[[4]], model.users_[[6]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownLabelWarning)
        of_item, own = model.predict([-1], item, return_std=True)
        of_user = model.predict(user, [-1])
        _, deviation = model.predict([-1], [-1], return_std=True)
    np.testing.assert_allclose(of_item, model.predict(model.users_, item).mean())
    np.testing.assert_allclose(of_user, model.predict(user, model.items_).mean())
    known, usual = model.predict(model.users_, item, return_std=True)
    assert np.all(deviation > usual)
    # It may be anybody: what users differ by is in it.
    spread = np.sqrt(np.var(known) + model.noise_**2)
    assert 0.9 * spread < own[0] < 1.3 * spread


def test_they_are_told_of_once(model):
    with pytest.warns(UnknownLabelWarning) as told:
        model.predict([-1, -2, 3], [1, 2, -7])
    assert [str(warning.message) for warning in told] == [
        "fit has not seen 2 of the 3 users, the first -1 and 1 of the 3 items, the first -7: they "
        "count as typical ones"
    ]


def test_intervals_cover_new_users(make_ratings):
    rated = make_ratings(shape=(600, 150), size=20_000)
    new = rated.users >= 400
    model = MatrixFactorization().fit(rated.users[~new], rated.items[~new], rated.ratings[~new])
    with pytest.warns(UnknownLabelWarning):
        low, high = model.predict_interval(rated.users[new], rated.items[new])
    assert 0.92 < np.mean((low <= rated.ratings[new]) & (rated.ratings[new] <= high)) < 0.98


def test_one_label_stands_for_all(model):
    items = model.items_[:9]
    np.testing.assert_array_equal(model.predict([3], items), model.predict(np.full(9, 3), items))
    with pytest.raises(ValueError, match="users and items must be as many, got 2 and 9"):
        model.predict([3, 4], items)


@pytest.fixture(scope="module")
def newcomers(make_ratings):
    """A model without the last 100 of 400 users, and the ratings of those."""
    rated = make_ratings(shape=(400, 150), size=24_000)
    new = rated.users >= 300
    old = MatrixFactorization().fit(rated.users[~new], rated.items[~new], rated.ratings[~new])
    return old, rated, new


def test_folding_in_is_as_good_as_fitting_anew(newcomers):
    model, rated, new = newcomers
    rng = np.random.default_rng(0)
    told = new & (rng.random(new.size) < 0.7)
    asked = new & ~told
    use = ~new | told
    anew = MatrixFactorization().fit(rated.users[use], rated.items[use], rated.ratings[use])
    errors, inside, means = [], [], []
    for user in range(300, 400):
        own, its = told & (rated.users == user), asked & (rated.users == user)
        folded = model.fold_in(rated.items[own], rated.ratings[own])
        errors.append(folded.predict(rated.items[its]) - rated.ratings[its])
        low, high = folded.predict_interval(rated.items[its])
        inside.append((low <= rated.ratings[its]) & (rated.ratings[its] <= high))
        means.append(rated.ratings[own].mean() - rated.ratings[its])
    error = rmse(np.concatenate(errors), 0)
    assert error < 1.03 * rmse(
        anew.predict(rated.users[asked], rated.items[asked]), rated.ratings[asked]
    )
    assert error < 0.7 * rmse(np.concatenate(means), 0)
    assert 0.92 < np.mean(np.concatenate(inside)) < 0.98


def test_folding_in_a_known_user_gives_that_user(newcomers):
    model, rated, new = newcomers
    own = ~new & (rated.users == 7)
    folded = model.fold_in(rated.items[own], rated.ratings[own])
    predicted, deviation = folded.predict(model.items_, return_std=True)
    known, usual = model.predict([7], model.items_, return_std=True)
    assert rmse(predicted, known) < 0.2 * rated.noise
    np.testing.assert_allclose(deviation, usual, rtol=0.05)
    np.testing.assert_allclose(
        folded.factors @ model.item_factors_.T + model.intercept_ + folded.bias + model.item_bias_,
        predicted,
    )


def test_the_more_ratings_the_surer(newcomers):
    model, _, _ = newcomers
    items = model.items_[:40]
    y = model.predict([5], items)
    deviations = [
        model.fold_in(items[:k], y[:k]).predict(model.items_[[100]], return_std=True)[1][0]
        for k in (1, 5, 40)
    ]
    assert deviations[0] > deviations[1] > deviations[2] > model.noise_
    weighted = model.fold_in(items[:5], y[:5], np.full(5, 4.0))
    assert weighted.predict(model.items_[[100]], return_std=True)[1] < deviations[1]


def test_folded_users_are_recommended_what_they_have_not_rated(newcomers):
    model, rated, _ = newcomers
    own = rated.users == 350
    folded = model.fold_in(rated.items[own], rated.ratings[own])
    every = folded.predict(model.items_)
    left = ~np.isin(model.items_, rated.items[own])
    got = folded.recommend(6)
    np.testing.assert_array_equal(got.items, model.items_[left][np.argsort(-every[left])[:6]])
    np.testing.assert_allclose(got.scores, np.sort(every[left])[::-1][:6])
    assert set(got.asked) == {None}
    again = folded.recommend(1, exclude_seen=False)
    assert again.items[0] == model.items_[np.argmax(every)]
    assert repr(folded).startswith(f"FoldedUser(rank={model.rank_}, bias=")


def test_folding_in_refuses(model):
    with pytest.raises(ValueError, match="ratings must be as many as items, 1, got 2"):
        model.fold_in([1], [1.0, 2.0])
    with pytest.raises(ValueError, match="ratings must be finite"):
        model.fold_in([1], [np.nan])
    with pytest.raises(ValueError, match="ratings are empty"):
        model.fold_in([], [])
    with pytest.warns(UnknownLabelWarning, match="1 of the 2 items"):
        assert np.isfinite(model.fold_in([1, -5], [3.0, 4.0]).predict([2])).all()


def batches(rated, count):
    """The ratings to fit, dealt out: the first batch is the largest."""
    columns = rated.given
    edges = np.concatenate([[0], np.linspace(0.4, 1, count) * rated.seen]).astype(int)
    for a, b in pairwise(edges):
        yield [column[a:b] for column in columns]


@pytest.mark.parametrize("count", [2, 8])
def test_batch_after_batch_comes_to_what_fit_does(make_ratings, count):
    rated = make_ratings(1)
    whole = MatrixFactorization().fit(*rated.given)
    model = MatrixFactorization()
    for batch in batches(rated, count):
        model.partial_fit(*batch)
    np.testing.assert_array_equal(model.users_, whole.users_)
    np.testing.assert_array_equal(model.items_, whole.items_)
    assert model._seen.size == rated.seen
    one, other = (m.predict(*rated.held[:2]) for m in (model, whole))
    assert rmse(one, rated.held[2]) < 1.01 * rmse(other, rated.held[2])
    low, high = model.predict_interval(*rated.held[:2])
    assert 0.92 < np.mean((low <= rated.held[2]) & (rated.held[2] <= high)) < 0.98


def test_new_users_and_items_are_taken_in(newcomers):
    _, rated, new = newcomers
    first = (rated.users < 300) & (rated.items < 140)
    model = MatrixFactorization().fit(rated.users[first], rated.items[first], rated.ratings[first])
    more = ~first & (np.random.default_rng(0).random(new.size) < 0.5) & (rated.users < 370)
    sweeps, told = model.n_iter_, model.certificate_
    model.partial_fit(rated.users[more], rated.items[more], rated.ratings[more])
    assert model.n_iter_ == sweeps + 1
    assert model.certificate_ is told  # no fit of all
    asked = ~first & ~more & (rated.users < 370)
    for part in (asked & new, asked & (rated.items >= 140)):
        predicted = model.predict(rated.users[part], rated.items[part])
        assert rmse(predicted, rated.expected[part]) < 0.8 * rated.noise
    assert model.users_[-1] == 369
    seen = model.recommend([350], 500).items
    assert not np.isin(seen, rated.items[more & (rated.users == 350)]).any()


def test_a_few_more_ratings_change_little(ratings):
    model = MatrixFactorization().fit(*ratings.given)
    before = model.predict(*ratings.held[:2])
    model.partial_fit([3, 4], [5, 6], [3.0, 4.0])
    assert 0 < rmse(model.predict(*ratings.held[:2]), before) < 0.2 * ratings.noise


def test_ratings_half_as_many_again_are_fitted_anew(make_ratings):
    rated = make_ratings(2)
    users, items, y = rated.given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecoveryWarning)  # of 150 ratings there is little to see
        model = MatrixFactorization().fit(users[:150], items[:150], y[:150])
    model.partial_fit(users[150:], items[150:], y[150:])
    np.testing.assert_allclose(
        model.predict(*rated.held[:2]),
        MatrixFactorization().fit(users, items, y).predict(*rated.held[:2]),
        rtol=1e-6,
    )


def test_partial_fit_keeps_to_weights_and_duplicates(ratings):
    users, items, y = ratings.given
    weights = np.random.default_rng(0).uniform(1.0, 9.0, y.size)
    model = MatrixFactorization(duplicates="error").fit(users, items, y, weights)
    with pytest.raises(ValueError, match="must not be several, got 2 "):
        model.partial_fit(users[:2], items[:2], y[:2])
    model.set_params(duplicates="mean")
    model.partial_fit(users[:2], items[:2], y[:2], weights[:2])
    at = model._seen.weights.max()
    assert at <= 2 * 9.0 / weights.mean() + 1e-9
    total = (weights.sum() + weights[:2].sum()) / weights.mean()
    assert np.isclose(model._seen.weights.sum(), total)


def test_partial_fit_refuses_other_labels(model):
    with pytest.raises(TypeError, match="users must be labels of the same type as before, number"):
        model.partial_fit(["a", "b"], [1, 2], [3.0, 4.0])

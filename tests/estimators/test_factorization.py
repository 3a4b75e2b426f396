"""MatrixFactorization: what is found, what goes in, and what is said of it."""

from __future__ import annotations

import warnings
from itertools import islice

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score

import leanrank as lr
from leanrank import MatrixFactorization, RecoveryWarning, Status
from leanrank.io import stored_entries
from leanrank.search import sweeping


def rmse(a, b):
    return np.sqrt(np.mean((np.asarray(a) - np.asarray(b)) ** 2))


def same(one, other, rated):
    """Whether two models say the same of held-out pairs, to the last bit."""
    return np.array_equal(one.predict(*rated.held[:2]), other.predict(*rated.held[:2]))


def test_predicts_as_well_as_sampling_does(ratings, model):
    users, items, y = ratings.held
    predicted = model.predict(users, items)
    op = lr.operators.ObservedEntries(*ratings.given[:2], (300, 200))
    posterior = lr.posterior(op, ratings.given[2], intercepts=True, draws=50)
    assert rmse(predicted, y) < 1.01 * rmse(posterior.mean(users, items), y)
    assert model.status_ is Status.APPROXIMATE
    assert model.rank_ == ratings.rank
    assert abs(model.held_out_error_ / rmse(predicted, y) - 1) < 0.1
    assert abs(model.noise_ / ratings.noise - 1) < 0.1


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_intervals_cover_new_ratings(make_ratings, level):
    covered = []
    for seed in range(4):
        rated = make_ratings(seed)
        low, high = MatrixFactorization().fit(*rated.given).predict_interval(*rated.held[:2], level)
        covered.append((low <= rated.held[2]) & (rated.held[2] <= high))
    assert abs(np.concatenate(covered).mean() - level) < 0.02


def test_deviations_are_larger_where_less_is_known(ratings, model):
    _, deviation = model.predict(*ratings.held[:2], return_std=True)
    counts = np.bincount(ratings.given[0])[ratings.held[0]]
    few = counts <= np.quantile(counts, 0.1)
    assert deviation[few].mean() > 1.05 * deviation[~few].mean()
    assert deviation.min() >= model.noise_


def test_attributes_make_up_the_predictions(ratings, model):
    users, items, _ = ratings.held
    assert model.user_factors_.shape == (model.users_.size, model.rank_)
    i, j = np.searchsorted(model.users_, users), np.searchsorted(model.items_, items)
    parts = np.sum(model.user_factors_[i] * model.item_factors_[j], axis=1)
    parts += model.intercept_ + model.user_bias_[i] + model.item_bias_[j]
    np.testing.assert_allclose(parts, model.predict(users, items))
    assert abs(model.user_bias_.mean()) < 1e-9
    assert abs(model.intercept_ - 3.5) < 0.1


def test_the_order_of_lines_does_not_matter(ratings, model):
    order = np.random.default_rng(0).permutation(ratings.seen)
    again = MatrixFactorization().fit(*(column[order] for column in ratings.given))
    assert same(model, again, ratings)


def test_nor_does_the_number_of_threads(ratings, model):
    assert same(model, MatrixFactorization(n_jobs=3).fit(*ratings.given), ratings)


@pytest.mark.parametrize("factor", [2.0**-400, 2.0**400])
def test_ratings_of_any_scale(ratings, model, factor):
    users, items, y = ratings.given
    scaled = MatrixFactorization().fit(users, items, factor * y)
    np.testing.assert_array_equal(
        scaled.predict(*ratings.held[:2]), factor * model.predict(*ratings.held[:2])
    )
    for mine, other in zip(
        scaled.predict_interval(*ratings.held[:2]),
        model.predict_interval(*ratings.held[:2]),
        strict=True,
    ):
        np.testing.assert_allclose(mine, factor * other)
    for name in ("intercept_", "noise_", "held_out_error_"):
        assert getattr(scaled, name) == factor * getattr(model, name)


@pytest.mark.parametrize(
    "label",
    [lambda i: f"u{i:04}", lambda i: (i // 10, i % 10), lambda i: i - 2**40],
    ids=["strings", "tuples", "numbers"],
)
def test_labels_of_any_type_give_the_same(ratings, model, label):
    users, items, y = ratings.given
    named = MatrixFactorization().fit([label(i) for i in users], items, y)
    asked = [label(i) for i in ratings.held[0]]
    np.testing.assert_array_equal(
        named.predict(asked, ratings.held[1]), model.predict(*ratings.held[:2])
    )
    assert named.users_.tolist() == sorted({label(i) for i in users})
    assert named.recommend(asked[:1], 3).asked[0] == asked[0]


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_frames(ratings, model, library):
    module = pytest.importorskip(library, reason=f"{library} is optional")
    columns = dict(zip(("who", "what", "stars"), ratings.given, strict=True))
    frame = (module.table if library == "pyarrow" else module.DataFrame)(
        columns | {"other": ratings.given[2]}
    )
    fitted = MatrixFactorization().fit(frame, columns=("who", "what", "stars"))
    assert same(model, fitted, ratings)
    pairs = module.table if library == "pyarrow" else module.DataFrame
    asked = pairs({"who": ratings.held[0], "what": ratings.held[1]})
    np.testing.assert_array_equal(fitted.predict(asked), model.predict(*ratings.held[:2]))


def test_columns_of_a_frame_have_usual_names(ratings, model):
    frame = pd.DataFrame(dict(zip(("user", "item", "rating"), ratings.given, strict=True)))
    assert same(model, MatrixFactorization().fit(frame), ratings)
    with pytest.raises(ValueError, match="stars.*user, item, rating"):
        MatrixFactorization().fit(frame, columns=("user", "item", "stars"))
    with pytest.raises(ValueError, match="must name users, items and ratings.*got 'user'"):
        MatrixFactorization().fit(frame, columns="user")
    with pytest.raises(TypeError, match="columns names those of a frame"):
        MatrixFactorization().fit(*ratings.given, columns=("user", "item", "rating"))
    with pytest.raises(TypeError, match="sample_weight of a frame or file is a fourth name"):
        MatrixFactorization().fit(frame, sample_weight=np.ones(ratings.seen))


def test_weights_of_a_frame_are_a_column(ratings):
    weights = np.random.default_rng(0).integers(0, 3, ratings.seen)
    columns = zip(("user", "item", "rating", "w"), (*ratings.given, weights), strict=True)
    fitted = MatrixFactorization().fit(
        pd.DataFrame(dict(columns)), columns=("user", "item", "rating", "w")
    )
    assert same(fitted, MatrixFactorization().fit(*ratings.given, weights), ratings)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_files(tmp_path, ratings, model, ending):
    path = tmp_path / f"ratings.{ending}"
    frame = pd.DataFrame(dict(zip(("movieId", "userId", "rating"), ratings.given, strict=True)))
    frame = frame.rename(columns={"movieId": "userId", "userId": "movieId"}).assign(timestamp=0)
    getattr(frame, f"to_{ending}")(path, index=False)
    fitted = MatrixFactorization().fit(path)
    assert same(model, fitted, ratings)
    assert fitted.notes_ == ("columns: 'userId', 'movieId', 'rating'; not used: 'timestamp'",)
    assert model.notes_ == ()
    with pytest.raises(ValueError, match="there is no such file"):
        MatrixFactorization().fit(tmp_path / "none.csv")


def csv(path, ratings):
    frame = pd.DataFrame(dict(zip(("user", "item", "rating"), ratings.given, strict=True)))
    frame.to_csv(path, index=False)
    return path


def test_files_that_are_sorted_on_disk(tmp_path, ratings, model):
    path = csv(tmp_path / "ratings.csv", ratings)
    fitted = MatrixFactorization(memory_limit=10**6).fit(path)
    assert sorted(fitted.users_) == list(model.users_)
    # In single precision, and users and items in the order in which they came.
    apart = fitted.predict(*ratings.held[:2]) - model.predict(*ratings.held[:2])
    assert np.sqrt(np.mean(apart**2)) < 0.15 * ratings.noise
    assert abs(fitted.held_out_error_ / model.held_out_error_ - 1) < 0.1
    with pytest.raises(ValueError, match="has not kept its ratings.*with a memory_limit"):
        fitted.recommend([3])
    with pytest.raises(ValueError, match="memory_limit must be at least .* bytes"):
        MatrixFactorization(memory_limit=10).fit(path)
    assert [found.name for found in tmp_path.iterdir()] == ["ratings.csv"]


def test_stored_entries_stay_where_they_are(tmp_path, ratings):
    stored = stored_entries(csv(tmp_path / "ratings.csv", ratings), tmp_path / "stored")
    fitted = MatrixFactorization().fit(stored)
    assert "columns: 'user', 'item', 'rating'" in fitted.notes_
    users, items, _ = ratings.given
    left = fitted.recommend([7], 500).items
    np.testing.assert_array_equal(np.sort(left), np.setdiff1d(items, items[users == 7]))
    with pytest.raises(ValueError, match="ratings on disk cannot be added to"):
        fitted.partial_fit([3], [4], [3.0])
    fitted.save(tmp_path / "model.npz")
    loaded = MatrixFactorization.load(tmp_path / "model.npz")
    assert same(fitted, loaded, ratings)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"items": [1, 2], "ratings": [1.0, 2.0]}, "items and ratings are columns of a frame"),
        ({"sample_weight": [1.0, 2.0]}, "sample_weight of a frame or file is a fourth name"),
        ({"columns": ("user", "item", "rating")}, "columns .* StoredEntries has been read"),
    ],
)
def test_nothing_is_ignored_beside_a_file(tmp_path, ratings, more, words):
    path = csv(tmp_path / "ratings.csv", ratings)
    with pytest.raises(TypeError, match=words):
        MatrixFactorization().fit(stored_entries(path, tmp_path / "stored"), **more)
    if "columns" not in more:
        with pytest.raises(TypeError, match=words):
            MatrixFactorization(memory_limit=10**6).fit(path, **more)


def test_what_was_interrupted_goes_on(tmp_path, ratings, model):
    path = tmp_path / "so-far.npz"
    searching = MatrixFactorization(checkpoint=path, callbacks=[fails_at_the_third])
    with pytest.raises(RuntimeError, match="third"):
        searching.fit(*ratings.given)
    assert path.exists()
    told = []
    resumed = MatrixFactorization(checkpoint=path, callbacks=[told.append]).fit(*ratings.given)
    assert told[0].sweep > 1
    assert same(model, resumed, ratings)
    assert not path.exists()


def fails_at_the_third(progress):
    if progress.sweep == 3:
        raise RuntimeError("third")


def test_stored_zeros_of_a_sparse_matrix_are_ratings(ratings):
    users, items, y = ratings.given
    y = np.round(y - 3.5)
    assert np.count_nonzero(y == 0) > 1000
    matrix = sparse.csc_array((y, (users, items)))
    assert matrix.nnz == y.size
    assert same(
        MatrixFactorization().fit(matrix), MatrixFactorization().fit(users, items, y), ratings
    )


def test_pairs_and_ratings_as_scikit_learn_has_them(ratings, model):
    users, items, y = ratings.given
    X, held = np.column_stack([users, items]), np.column_stack(ratings.held[:2])
    fitted = clone(MatrixFactorization(n_jobs=2)).fit(X, y)
    assert same(model, fitted, ratings)
    assert fitted.score(held, ratings.held[2]) == fitted.score(*ratings.held)
    assert fitted.score(*ratings.held) == r2_score(ratings.held[2], fitted.predict(held))
    scores = cross_val_score(
        MatrixFactorization(), X, y, cv=3, scoring="neg_root_mean_squared_error"
    )
    assert np.all(np.abs(scores + model.held_out_error_) < 0.15 * model.held_out_error_)
    search = GridSearchCV(MatrixFactorization(), {"rank": [1, 3]}, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecoveryWarning)  # one factor is hardly better than means
        assert search.fit(pd.DataFrame(X), y).best_params_ == {"rank": 3}


def test_duplicates_are_averaged_or_refused(ratings, model):
    users, items, y = (np.concatenate([column, column]) for column in ratings.given)
    shift = np.random.default_rng(0).normal(size=ratings.seen)
    both = MatrixFactorization().fit(users, items, y + np.concatenate([shift, -shift]))
    np.testing.assert_allclose(
        both.predict(*ratings.held[:2]), model.predict(*ratings.held[:2]), rtol=1e-6
    )
    # A rating weighs half of what is the average here.
    assert np.isclose(both.noise_, np.sqrt(2) * model.noise_)
    with pytest.raises(ValueError, match="9600 that are not the first, such as of 8 by 0"):
        MatrixFactorization(duplicates="error").fit(users, items, y)


def test_weights(ratings):
    users, items, y = ratings.given
    rng = np.random.default_rng(0)
    bad = rng.random(y.size) < 0.3
    spoilt = y + np.where(bad, 5.0, 0.0) * rng.normal(size=y.size)
    weights = np.where(bad, 1 / (1 + 100), 1.0)

    def error(**more):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecoveryWarning)  # means are all there is to see
            model = MatrixFactorization().fit(users, items, spoilt, **more)
        return rmse(model.predict(*ratings.held[:2]), ratings.expected[ratings.seen :])

    assert error(sample_weight=weights) < 0.7 * error()
    assert np.isclose(error(sample_weight=7 * weights), error(sample_weight=weights), rtol=1e-6)
    without = MatrixFactorization().fit(users[~bad], items[~bad], y[~bad])
    assert same(MatrixFactorization().fit(users, items, spoilt, 1.0 - bad), without, ratings)


def test_bounds(ratings, model):
    bounded = MatrixFactorization(min_value=3, max_value=4).fit(*ratings.given)
    plain = model.predict(*ratings.held[:2])
    np.testing.assert_array_equal(bounded.predict(*ratings.held[:2]), np.clip(plain, 3, 4))
    ends = zip(
        bounded.predict_interval(*ratings.held[:2]),
        model.predict_interval(*ratings.held[:2]),
        strict=True,
    )
    for mine, other in ends:
        np.testing.assert_array_equal(mine, np.clip(other, 3, 4))


def test_noise_is_nothing_to_predict():
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 60, 2000), rng.integers(0, 40, 2000)
    with pytest.warns(RecoveryWarning, match=r"STALLED: .*not clearly below those of means"):
        model = MatrixFactorization().fit(users, items, rng.normal(size=2000))
    assert model.status_ is Status.STALLED
    assert model.rank_ == 0
    assert np.abs(model.predict(users, items)).max() < 0.5


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_ratings_that_are_all_the_same(value):
    users, items = np.divmod(np.arange(200), 20)
    with pytest.warns(RecoveryWarning):
        model = MatrixFactorization().fit(users, items, np.full(200, value))
    np.testing.assert_allclose(model.predict(users, items), value, atol=1e-6)
    low, high = model.predict_interval(users, items)
    np.testing.assert_allclose(high - low, 0.0, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 30), (30, 1)])
def test_a_single_user_or_item(shape):
    rows, cols = (i.ravel() for i in np.indices(shape))
    y = np.random.default_rng(0).normal(3.0, 1.0, 30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecoveryWarning)
        model = MatrixFactorization().fit(rows, cols, y)
    assert np.isfinite(model.predict(rows, cols)).all()
    assert abs(model.predict(rows, cols).mean() - y.mean()) < 0.5


def test_a_user_with_one_rating_is_pulled_towards_the_others(ratings, model):
    users, items, y = ratings.given
    one = MatrixFactorization().fit(np.append(users, 9999), np.append(items, 3), np.append(y, 9.0))
    told = one.predict([9999], [3])[0]
    assert one.predict(ratings.users[:500], [3]).mean() < told < 9.0


def test_rank_that_is_known(ratings):
    assert MatrixFactorization(rank=2).fit(*ratings.given).rank_ == 2
    with pytest.raises(ValueError, match="rank must be at least 1 and at most 200, got 201"):
        MatrixFactorization(rank=201).fit(*ratings.given)


def test_without_intercepts(ratings):
    model = MatrixFactorization(intercepts=False).fit(*ratings.given)
    assert model.intercept_ == 0.0
    assert not model.user_bias_.any()
    assert not model.item_bias_.any()
    assert rmse(model.predict(*ratings.held[:2]), ratings.held[2]) < 0.7


def test_callbacks_are_told_and_can_stop(ratings):
    told = []
    with pytest.warns(RecoveryWarning, match="STOPPED: stopped after"):
        model = MatrixFactorization(
            callbacks=[told.append, lambda progress: progress.sweep == 2]
        ).fit(*ratings.given)
    assert model.status_ is Status.STOPPED
    assert [progress.sweep for progress in told] == [1, 2]
    assert rmse(model.predict(*ratings.held[:2]), ratings.held[2]) < 0.8


def test_time_limit(ratings):
    with pytest.warns(RecoveryWarning, match="STOPPED"):
        model = MatrixFactorization(time_limit=1e-9).fit(*ratings.given)
    assert model.n_iter_ <= 4


def test_an_interrupt_keeps_what_there_is(ratings, monkeypatch):
    sweeps = sweeping.sweeps

    def interrupted(*args, **kwargs):
        yield from islice(sweeps(*args, **kwargs), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeping, "sweeps", interrupted)
    with pytest.warns(RecoveryWarning, match="STOPPED: stopped after"):
        model = MatrixFactorization().fit(*ratings.given)
    assert rmse(model.predict(*ratings.held[:2]), ratings.held[2]) < 0.8


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        ({"rank": 0}, ValueError, "rank must be at least 1"),
        ({"width": 1.5}, TypeError, "width must be an integer"),
        ({"intercepts": "yes"}, TypeError, "intercepts must be True or False"),
        ({"validation": 0.7}, ValueError, "validation must be finite and above 0 and at most 0.5"),
        ({"duplicates": "sum"}, ValueError, 'duplicates must be "mean" or "error"'),
        ({"min_value": 5, "max_value": 1}, ValueError, "min_value must be below max_value"),
        ({"max_value": np.nan}, ValueError, "max_value must be finite"),
        ({"time_limit": 0}, ValueError, "time_limit"),
        ({"n_jobs": 0}, ValueError, "n_jobs must be at least 1"),
        ({"callbacks": print}, TypeError, "callbacks must be a list"),
        ({"random_state": -1}, ValueError, "random_state"),
    ],
)
def test_refuses_parameters(ratings, parameters, error, words):
    with pytest.raises(error, match=words):
        MatrixFactorization(**parameters).fit(*ratings.given)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (([1, 2], [1, 2], [1.0, np.nan]), ValueError, "ratings must be finite.*nan, at 1"),
        (([1, 2], [1, 2], [-np.inf, 1.0]), ValueError, "ratings must be finite.*-inf, at 0"),
        (([1, 2], [1, 2], [1.0, None]), ValueError, "ratings must be finite"),
        (([1, 2], [1, 2], ["a", "b"]), TypeError, "ratings must be a vector of real numbers"),
        (([1, 2], [1, 2], [1.0, 2j]), TypeError, "ratings must be a vector of real numbers"),
        (([], [], []), ValueError, "ratings are empty"),
        (([1], [1], [3.0]), ValueError, "at least two pairs"),
        (([1, 1], [1, 1], [3.0, 4.0]), ValueError, "at least two pairs"),
        (([1, 2], [1, 2, 3], [1.0, 2.0]), ValueError, "items must be as many as ratings, 2, got 3"),
        (([1, "2"], [1, 2], [1.0, 2.0]), TypeError, "users must be labels of one type"),
        (([1, None], [1, 2], [1.0, 2.0]), ValueError, "users must be labels, got 1 missing"),
        (([1, 2], [1, 2]), ValueError, "users must be pairs"),
        ((np.zeros((3, 3)), np.zeros(3)), ValueError, r"two columns.*shape \(3, 3\)"),
        ((np.zeros((3, 3)),), TypeError, "fit takes users, items and ratings.*got ndarray"),
        (([1, 2], [1, 2], [1.0, 2.0], [1.0]), ValueError, "sample_weight must have one value"),
        (
            ([1, 2], [1, 2], [1.0, 2.0], [1.0, -1.0]),
            ValueError,
            "sample_weight must not be negative",
        ),
    ],
)
def test_refuses_ratings(given, error, words):
    with pytest.raises(error, match=words):
        MatrixFactorization().fit(*given)


def test_before_fit():
    with pytest.raises(ValueError, match="not fitted"):
        MatrixFactorization().predict([1], [1])

"""Models on disk: what comes back, what cannot be saved, and files that are not to be trusted."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from leanrank import MatrixFactorization
from leanrank._npz import read_arrays, write_arrays
from leanrank.estimators._ranking import names_for
from leanrank.io import FileError, read_problem


@pytest.fixture
def path(tmp_path, model):
    model.save(tmp_path / "model.npz")
    return tmp_path / "model.npz"


def test_what_comes_back_says_the_same(path, model, ratings):
    loaded = MatrixFactorization.load(path)
    assert loaded.get_params() == model.get_params()
    for name in ("status_", "message_", "certificate_", "held_out_error_", "n_iter_", "noise_"):
        assert getattr(loaded, name) == getattr(model, name)
    for name in ("users_", "items_", "user_bias_", "item_factors_"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name))
    asked = ratings.held[:2]
    np.testing.assert_array_equal(loaded.predict(*asked), model.predict(*asked))
    np.testing.assert_array_equal(loaded.predict_interval(*asked), model.predict_interval(*asked))
    np.testing.assert_array_equal(loaded.recommend([3]).items, model.recommend([3]).items)
    new = [1, 2, 3], [3.0, 4.0, 3.5]
    np.testing.assert_array_equal(
        loaded.fold_in(*new).predict([9]), model.fold_in(*new).predict([9])
    )


def test_it_can_learn_on(path, ratings):
    loaded = MatrixFactorization.load(path).partial_fit([3, 4000], [5, 6], [3.0, 4.0])
    again = MatrixFactorization().fit(*ratings.given).partial_fit([3, 4000], [5, 6], [3.0, 4.0])
    asked = ratings.held[:2]
    np.testing.assert_array_equal(loaded.predict(*asked), again.predict(*asked))


def test_parameters_come_back(tmp_path, ratings):
    model = MatrixFactorization(
        2, min_value=1, max_value=5.5, intercepts=True, duplicates="error", callbacks=[print]
    )
    model.set_params(callbacks=[lambda progress: None], random_state=np.random.default_rng(0))
    model.fit(*ratings.given, sample_weight=np.full(ratings.seen, 3.0))
    model.save(tmp_path / "model.npz")
    loaded = MatrixFactorization.load(tmp_path / "model.npz")
    assert (loaded.rank, loaded.min_value, loaded.max_value) == (2, 1, 5.5)
    assert (loaded.intercepts, loaded.duplicates) == (True, "error")
    assert loaded.callbacks == ()
    assert loaded._weight_unit == 3.0


@pytest.mark.parametrize(
    "label",
    [
        lambda i: ("", "ä\0ö", "x" * 3000, "日本")[i % 4] + str(i),
        lambda i: "\ud800" + str(i),
        lambda i: i + 0.5,
        lambda i: 2**62 - i,
    ],
    ids=["text", "surrogates", "fractions", "numbers"],
)
def test_labels_come_back(tmp_path, ratings, label):
    users, items, y = ratings.given
    model = MatrixFactorization().fit([label(i) for i in users], items, y)
    model.save(tmp_path / "model.npz")
    loaded = MatrixFactorization.load(tmp_path / "model.npz")
    assert loaded.users_.tolist() == model.users_.tolist()
    assert loaded.users_.dtype == model.users_.dtype
    assert loaded.predict([label(3)], [4]) == model.predict([label(3)], [4])


def test_other_labels_cannot_be_saved(tmp_path, ratings):
    users, items, y = ratings.given
    model = MatrixFactorization().fit([(i, "x") for i in users], items, y)
    with pytest.raises(TypeError, match="users cannot be saved: .* got tuple; make strings"):
        model.save(tmp_path / "model.npz")
    model = MatrixFactorization().fit(users, [2**70 + int(i) for i in items], y)
    with pytest.raises(TypeError, match="items cannot be saved: .*at most 64 bits"):
        model.save(tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


def test_without_ratings(tmp_path, path, model):
    model.save(tmp_path / "small.npz", ratings=False)
    assert (tmp_path / "small.npz").stat().st_size < 0.8 * path.stat().st_size
    loaded = MatrixFactorization.load(tmp_path / "small.npz")
    assert len(loaded.recommend([3], exclude_seen=False)) == 10
    with pytest.raises(ValueError, match="has not kept its ratings.*exclude_seen must be False"):
        loaded.recommend([3])
    with pytest.raises(ValueError, match="partial_fit is not possible"):
        loaded.partial_fit([3], [4], [3.0])


def test_one_new_rating_is_enough(path):
    loaded = MatrixFactorization.load(path).partial_fit([3], [4], [3.0])
    assert np.isfinite(loaded.predict([3], [4])).all()


def test_before_fit(tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        MatrixFactorization().save(tmp_path / "model.npz")


def test_other_files(tmp_path):
    np.savez(tmp_path / "other.npz", U=np.zeros((3, 2)))
    with pytest.raises(FileError, match="is no file of MatrixFactorization.save"):
        MatrixFactorization.load(tmp_path / "other.npz")
    with pytest.raises(FileError, match="there is no such file"):
        MatrixFactorization.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("a,b\n")
    with pytest.raises(FileError, match="not a readable file"):
        MatrixFactorization.load(tmp_path / "text.npz")


def about(**changes):
    def change(arrays):
        told = json.loads(str(arrays["matrix_factorization"])) | changes
        return arrays | {"matrix_factorization": np.array(json.dumps(told))}

    return change


def put(name, at, value):
    def change(arrays):
        array = arrays[name].copy()
        array[at] = value
        return arrays | {name: array}

    return change


def without(name):
    return lambda arrays: {key: array for key, array in arrays.items() if key != name}


@pytest.mark.parametrize(
    "damage",
    [
        without("users"),
        without("scores"),
        without("items: variance"),
        without("seen: cols"),
        put("users", 0, 1),  # twice
        put("users: mean", (0, 0), np.nan),
        put("items: variance", (0, 0), -1.0),
        put("variances", 0, 0.0),
        put("seen: cols", 0, 10_000),
        put("seen: cols", 0, -1),
        put("seen: indptr", 1, 10**9),
        put("seen: indptr", 0, 1),
        put("seen: ratings", 0, np.inf),
        lambda arrays: arrays | {"users: mean": arrays["users: mean"][:, :-1]},
        lambda arrays: arrays | {"users": arrays["users"].astype(np.int32)},
        lambda arrays: arrays | {"scores": arrays["scores"].astype(int)},
        about(noise=-1.0),
        about(noise="large"),
        about(unit=0.0),
        about(layout={"width": 10**9}),
        about(layout={"width": -1}),
        about(layout=[]),
        about(intercepts=[1.0]),
        about(intercepts=[1.0, np.inf, 0.0]),
        about(parameters={"rank": "many"}),
        about(parameters={"nonsense": 1}),
        about(parameters=3),
        about(told={}),
        lambda arrays: arrays | {"matrix_factorization": np.array("[1")},
        lambda arrays: arrays | {"matrix_factorization": np.array("[" * 100_000)},
        lambda arrays: arrays | {"matrix_factorization": np.array("3")},
    ],
)
def test_damaged_files(tmp_path, path, damage):
    write_arrays(path, damage(read_arrays(path)))
    with pytest.raises(FileError, match="does not hold a whole model"):
        MatrixFactorization.load(path)


@pytest.mark.parametrize(
    "damage",
    [put("users: ends", 0, 10**9), put("users: ends", -1, 3), put("users: utf-8", 0, 255)],
)
def test_damaged_text(tmp_path, ratings, damage):
    users, items, y = ratings.given
    path = tmp_path / "model.npz"
    MatrixFactorization().fit(users.astype(str), items, y).save(path)
    write_arrays(path, damage(read_arrays(path)))
    with pytest.raises(FileError, match="does not hold a whole model"):
        MatrixFactorization.load(path)


def test_files_of_the_future(path):
    write_arrays(path, about(version=7)(read_arrays(path)))
    with pytest.raises(FileError, match="newer version of leanrank, in format 7; this one reads"):
        MatrixFactorization.load(path)


def test_a_model_is_no_problem(path):
    with pytest.raises(FileError):
        read_problem(path)


def test_names_of_columns_come_back(tmp_path, ratings):
    users, items, y = ratings.given
    frame = pd.DataFrame({"stars": y, "reader": users, "ISBN": items})
    model = MatrixFactorization().fit(frame, columns=("reader", "ISBN", "stars"))
    model.save(tmp_path / "model.npz")
    for one in (model, MatrixFactorization.load(tmp_path / "model.npz")):
        assert one.column_names_ == ("reader", "ISBN")
        assert list(one.recommend([3], 2).to_dict()) == ["reader", "rank", "ISBN", "score"]
        assert list(one.similar_items([3], 2).to_dict()) == ["ISBN", "rank", "similar", "score"]
        told = one.predict(frame["reader"][:5], frame["ISBN"][:5])
        np.testing.assert_array_equal(one.predict(frame[:5]), told)
        np.testing.assert_array_equal(one.predict(frame[["ISBN", "reader"]][:5]), told)
        assert one.score(frame, y) == one.score(users, items, y)
        newcomer = one.fold_in([1, 2], [3.0, 4.0])
        assert list(newcomer.recommend(2).to_dict()) == ["reader", "rank", "ISBN", "score"]


@pytest.mark.parametrize("names", [("rank", "b"), ("a", "score"), ("a", "a"), ("1", "2"), (0, 1)])
def test_names_that_no_ranking_can_have(names):
    assert names_for(names) == ("user", "item")


def test_a_file_from_before_names_were_kept(path, model):
    arrays = read_arrays(path)
    about = json.loads(str(arrays["matrix_factorization"]))
    del about["told"]["column_names_"]
    write_arrays(path, arrays | {"matrix_factorization": np.array(json.dumps(about))})
    loaded = MatrixFactorization.load(path)
    assert loaded.column_names_ == ("user", "item")
    assert loaded.recommend([3]).names == model.recommend([3]).names

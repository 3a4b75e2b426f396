"""What ``leanrank complete`` makes of tables and of lists of entries under noise."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from sklearn.datasets import load_wine

from leanrank import LowRankImputer, io
from leanrank.operators import ObservedEntries


@pytest.fixture
def wine(tmp_path):
    """A real table, a third of it hidden, and the same with nothing hidden."""
    X = load_wine().data
    seen = np.random.default_rng(5).random(X.shape) > 1 / 3
    path = tmp_path / "wine.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f"c{j}" for j in range(X.shape[1])])
        writer.writerows(
            [str(x) if s else "" for x, s in zip(*row, strict=True)]
            for row in zip(X, seen, strict=True)
        )
    return path, X, seen


@pytest.fixture
def ratings(tmp_path):
    """Ratings about means of users and items: every line one of them."""
    rng = np.random.default_rng(0)
    X = 3.0 + 0.8 * rng.standard_normal((60, 1)) + 0.8 * rng.standard_normal(40)
    X = X + rng.standard_normal((60, 2)) @ rng.standard_normal((2, 40)) * 0.5
    seen = rng.random(X.shape) < 0.4
    y = X + 0.3 * rng.standard_normal(X.shape)
    path = tmp_path / "ratings.csv"
    lines = [f"u{i},i{j},{y[i, j]:.3f}" for i, j in zip(*np.nonzero(seen), strict=True)]
    path.write_text("user,item,rating\n" + "\n".join(lines) + "\n")
    return path, X, seen


def test_a_table_is_completed_by_the_imputer(wine, tmp_path, run):
    path, X, seen = wine
    outcome = run("complete", path, "--out", tmp_path / "out.csv", "--seed", 3)
    assert "APPROXIMATE" in outcome.stdout
    found = io.read_matrix(tmp_path / "out.csv").completed(None)
    imputer = LowRankImputer(random_state=3, on_failure="ignore")
    np.testing.assert_allclose(found, imputer.fit_transform(np.where(seen, X, np.nan)), rtol=1e-12)
    np.testing.assert_array_equal(found[seen], X[seen])
    off = (found - X) / X.std(axis=0)
    assert np.sqrt(np.mean(off[~seen] ** 2)) < 0.85


def test_predictions_are_not_enough_where_the_matrix_is_asked_for(wine, tmp_path, run):
    path, _, _ = wine
    options = ("complete", path, "--out", tmp_path / "out.csv")
    words = " ".join(run(*options, "--strict", code=1).stdout.split())
    assert "The matrix as a whole is not pinned down: - " in words
    outcome = run(*options, "--json")
    words, reasons = outcome.stderr, json.loads(outcome.stdout)["certificate"]["reasons"]
    assert "not pinned down; --json, --summary and --report say why" in " ".join(words.split())
    assert reasons
    assert not any(reason[:30] in words for reason in reasons)


def test_raw_is_the_matrix_as_it_is(wine, tmp_path, run):
    path, X, seen = wine
    run("complete", path, "--raw", "--out", tmp_path / "raw.csv", code=1)
    off = (io.read_matrix(tmp_path / "raw.csv").completed(None) - X) / X.std(axis=0)
    run("complete", path, "--out", tmp_path / "out.csv")
    less = (io.read_matrix(tmp_path / "out.csv").completed(None) - X) / X.std(axis=0)
    # Columns in thousands outweigh all others, as it is.
    assert np.mean(less[~seen] ** 2) < np.mean(off[~seen] ** 2)


def test_rows_that_share_a_label_are_told_apart(tmp_path, run):
    X = np.outer(np.arange(1.0, 9.0), [1.0, 2.0, 4.0])
    lines = [f"S{i % 2},{x[0]},{x[1]},{'' if i in (3, 5) else x[2]}" for i, x in enumerate(X)]
    (tmp_path / "in.csv").write_text("\n".join(["station,a,b,c", *lines, ""]))
    outputs = ("--out", tmp_path / "out.csv", "--intervals", tmp_path / "i.csv")
    run("complete", tmp_path / "in.csv", *outputs)
    found = (tmp_path / "i.csv").read_text().splitlines()
    assert found[0] == "row,number,column,low,value,high"
    assert [line.rsplit(",", 3)[0] for line in found[1:]] == ["S1,3,c", "S1,5,c"]


def test_intervals_of_a_table_cover_what_was_hidden(wine, tmp_path, run):
    path, X, seen = wine
    run("complete", path, "--out", tmp_path / "out.csv", "--intervals", tmp_path / "i.csv")
    lines = list(csv.DictReader((tmp_path / "i.csv").read_text().splitlines()))
    assert len(lines) == np.count_nonzero(~seen)
    assert lines[0].keys() == {"row", "column", "low", "value", "high"}
    rows, cols = (
        np.array([int(x) for x in part])
        for part in zip(
            *((line["row"], line["column"].removeprefix("c")) for line in lines), strict=True
        )
    )
    low, value, high = (
        np.array([float(line[k]) for line in lines]) for k in ("low", "value", "high")
    )
    assert not seen[rows, cols].any()
    assert (low <= value).all()
    assert (value <= high).all()
    inside = np.mean((low <= X[rows, cols]) & (X[rows, cols] <= high))
    assert 0.9 < inside < 0.99


def test_a_list_of_ratings_has_means_of_users_and_items(ratings, tmp_path, run):
    path, X, seen = ratings
    options = ("--layout", "long", "--out", tmp_path / "out.npy", "--intervals", tmp_path / "i.csv")
    run("complete", path, *options, "--level", 0.8)
    order = io.read_matrix(path, layout="long").table
    found = np.load(tmp_path / "out.npy")
    places = np.ix_(
        [int(u[1:]) for u in order.row_labels], [int(i[1:]) for i in order.column_labels]
    )
    X, seen = X[places], seen[places]
    assert np.sqrt(np.mean((found - X)[~seen] ** 2)) < 0.4 * np.std(X)
    lines = list(csv.DictReader((tmp_path / "i.csv").read_text().splitlines()))
    assert {line["row"][0] for line in lines} == {"u"}
    width = np.array([float(line["high"]) - float(line["low"]) for line in lines])
    # Of readings: no shorter than the noise of 0.3 asks for.
    assert (width > 2 * 1.28 * 0.3 * 0.8).all()


@pytest.mark.parametrize("form", ["wine", "ratings"])
def test_draws_differ_where_nothing_was_seen_and_keep_the_bounds(form, request, tmp_path, run):
    path, X, _ = request.getfixturevalue(form)
    low, high = (0.0, 1500.0) if form == "wine" else np.quantile(X, [0.1, 0.9])
    names = [tmp_path / f"out-{i}.npy" for i in (1, 2, 3)]
    options = ("--draws", 3, "--min", low, "--max", high, "--out", tmp_path / "out.npy")
    run("complete", path, *options, "--layout", "wide" if form == "wine" else "long")
    drawn = [np.load(name) for name in names]
    given = io.read_matrix(path, layout="wide" if form == "wine" else "long")
    observed = given.observed()
    for one in drawn:
        np.testing.assert_array_equal(one[given.rows, given.cols], given.values)
        assert low <= one[~observed].min()
        assert one[~observed].max() <= high
    assert np.mean(drawn[0][~observed] != drawn[1][~observed]) > 0.5


def test_more_draws_than_a_posterior_has_are_drawn(ratings, tmp_path, run):
    path, *_ = ratings
    run("complete", path, "--layout", "long", "--draws", 70, "--out", tmp_path / "out.npy")
    drawn = [np.load(tmp_path / f"out-{i}.npy") for i in range(1, 71)]
    assert len({one.tobytes() for one in drawn}) == 70


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--level", 1.5), "--level must lie between 0 and 1, got 1.5"),
        (("--draws", 2), "--draws needs --out FILE"),
        (("--min", 3, "--max", 2), "--min must be less than --max, got 3 and 2"),
        (("--intervals", "i.txt"), "expected a name that ends in .csv"),
    ],
)
def test_what_cannot_be_meant(wine, options, said, run):
    outcome = run("complete", wine[0], *options, code=2)
    assert said in outcome.stderr


def test_what_is_listed_and_what_is_a_table(tmp_path):
    X = np.array([[1.0, np.nan], [3.0, 4.0]])
    np.save(tmp_path / "in.npy", X)
    assert not io.read_matrix(tmp_path / "in.npy").listed
    op, y = ObservedEntries.from_dense(X)
    np.savez(tmp_path / "in.npz", rows=op.rows, cols=op.cols, y=y, shape=X.shape)
    assert io.read_matrix(tmp_path / "in.npz").listed


def test_whole_numbers_stay_whole_on_request(wine, tmp_path, run):
    path, X, seen = wine
    out = tmp_path / "whole.csv"
    run("complete", path, "--keep-integers", "--out", out)
    with out.open(newline="") as file:
        filled = np.array([[float(x) for x in row] for row in list(csv.reader(file))[1:]])
    whole = (X % 1 == 0).all(axis=0)
    assert whole.any()
    assert not whole.all()
    np.testing.assert_array_equal(filled[:, whole] % 1, 0.0)
    assert np.any(filled[:, ~whole][~seen[:, ~whole]] % 1)
    refused = run("complete", path, "--raw", "--keep-integers", "--out", out, code=2)
    assert "--keep-integers is of tables" in refused.stderr

"""LowRankImputer: how tables come in and go out."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_wine
from sklearn.impute import MissingIndicator
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from leanrank import LowRankImputer, RecoveryWarning, Status, complete


def table(share=0.3):
    full = load_wine().data
    return full, np.where(np.random.default_rng(0).random(full.shape) < share, np.nan, full)


def quiet(**options):
    return LowRankImputer(on_failure="ignore", **options)


@pytest.mark.parametrize("mark", [-1.0, 0, 9999])
def test_other_marks_of_gaps(mark):
    _, X = table()
    marked = np.where(np.isnan(X), mark, X)
    plain = quiet().fit(X)
    imputer = quiet(missing_values=mark).fit(marked)
    np.testing.assert_array_equal(imputer.transform(marked), plain.transform(X))
    for ours, theirs in zip(
        imputer.predict_interval(marked), plain.predict_interval(X), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="NaN"):
        imputer.fit(X)


def test_bad_marks():
    with pytest.raises(TypeError, match="missing_values must be a number"):
        quiet(missing_values="?").fit(table()[0])


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_sparse_tables(form):
    rng = np.random.default_rng(0)
    full = np.maximum(rng.standard_normal((80, 2)) @ rng.standard_normal((2, 8)), 0.0)
    X = np.where((rng.random(full.shape) < 0.2), np.nan, full)
    given = sparse.csr_array(X).asformat(form)
    completed = quiet().fit_transform(given)
    assert completed.format == form
    np.testing.assert_array_equal(completed.toarray(), quiet().fit_transform(X))
    with pytest.raises(ValueError, match="missing_values=0 makes no sense for a sparse X"):
        quiet(missing_values=0).fit(given)


def test_bounds_of_all_and_of_each_column():
    _, X = table()
    free = quiet().fit_transform(X)
    low, high = np.nanmin(X, axis=0) * 1.1, np.nanmax(X, axis=0)
    assert np.any((free < low) & np.isnan(X))
    imputer = quiet(min_value=low, max_value=high).fit(X)
    cut = imputer.transform(X)
    inside = (free >= low) & (free <= high) | ~np.isnan(X)  # others are means of what was cut
    np.testing.assert_allclose(cut[inside], np.where(np.isnan(X), free, X)[inside], rtol=0.2)
    assert np.all((cut >= low) | ~np.isnan(X))
    below, above = imputer.predict_interval(X)
    assert np.all(((below >= low) & (above <= high)) | ~np.isnan(X))
    for drawn in imputer.draw(X, 2):
        assert np.all(((drawn >= low) & (drawn <= high)) | ~np.isnan(X))
    assert quiet(min_value=1.0).fit_transform(X)[np.isnan(X)].min() >= 1.0


def test_no_entry_is_completed_far_beyond_those_of_its_column(rng):
    """Up to two standard deviations: a row that is like no other is no reason to believe more."""
    score = rng.standard_normal((150, 1))
    X = score @ np.array([[2.0, -1.0, 0.5, 3.0]]) + 0.5 * rng.standard_normal((150, 4)) + 10.0
    X[rng.random(X.shape) < 0.2] = np.nan
    for options in ({}, {"rank": 1}):
        imputer = quiet(**options).fit(X)
        strange = np.array([[1e4, np.nan, np.nan, np.nan], [-1e4, np.nan, np.nan, np.nan]])
        low, high = np.nanmin(X, axis=0), np.nanmax(X, axis=0)
        margin = 2.0 * np.nanstd(X, axis=0)
        expected = np.stack([low - margin, high + margin])[:, 1:]
        expected[:, 0] = expected[::-1, 0]  # the column that falls with the others
        found = imputer.transform(strange)[:, 1:]
        if options:
            np.testing.assert_allclose(found, expected[::-1])
        assert (found >= expected.min(axis=0) - 1e-9).all()
        assert (found <= expected.max(axis=0) + 1e-9).all()


@pytest.mark.parametrize(
    ("bounds", "error", "match"),
    [
        ({"min_value": 2.0, "max_value": 1.0}, ValueError, "min_value must be below max_value"),
        ({"min_value": np.zeros(3)}, ValueError, r"one for each of the 13 columns, got shape \(3"),
        ({"max_value": np.nan}, ValueError, "max_value must not be NaN"),
        ({"max_value": "much"}, TypeError, "max_value must be a number"),
    ],
)
def test_bad_bounds(bounds, error, match):
    with pytest.raises(error, match=match):
        quiet(**bounds).fit(table()[1])


def test_integers_and_flags_are_kept_on_request():
    full, X = table()
    flags = (full[:, :1] > 13.0).astype(float)
    counts = np.round(full[:, 3:4])
    rng = np.random.default_rng(1)
    both = np.where(rng.random((len(X), 2)) < 0.3, np.nan, np.hstack([flags, counts]))
    X = np.hstack([X, both])
    completed = quiet(keep_integers=True).fit_transform(X)
    assert set(completed[:, 13]) == {0.0, 1.0}
    np.testing.assert_array_equal(completed[:, 14], np.round(completed[:, 14]))
    filled = completed[np.isnan(X[:, 0]), 0]
    assert np.any(filled != np.round(filled))
    assert np.any(quiet().fit_transform(X)[:, 13] % 1.0 != 0.0)
    # Intervals are those that held-out entries were held against, of what was not rounded.
    ends = zip(
        *(quiet(keep_integers=k).fit(X).predict_interval(X) for k in (False, True)), strict=True
    )
    for plain, whole in ends:
        np.testing.assert_array_equal(plain, whole)


def test_indicators_are_those_of_scikit_learn():
    _, X = table()
    X[:, [2, 5]] = 1.0 + np.arange(len(X))[:, None]
    frame = pd.DataFrame(X, columns=[f"c{j}" for j in range(13)])
    imputer = quiet(add_indicator=True).set_output(transform="pandas")
    completed = imputer.fit_transform(frame)
    theirs = MissingIndicator().set_output(transform="pandas").fit_transform(frame)
    assert list(completed.columns) == [*frame.columns, *theirs.columns]
    np.testing.assert_array_equal(completed[theirs.columns], theirs)


def test_callbacks_see_sweeps_and_may_stop():
    _, X = table()
    widths = []
    imputer = quiet(callbacks=[lambda state: widths.append(state.factors.width)]).fit(X)
    assert len(widths) > 10
    assert max(widths) > 5
    np.testing.assert_array_equal(imputer.transform(X), quiet().fit_transform(X))
    stopped = quiet(callbacks=[lambda state: True]).fit(X)
    assert stopped.status_ is Status.STOPPED
    assert np.isfinite(stopped.transform(X)).all()
    with pytest.raises(TypeError, match="callbacks must be a list"):
        quiet(callbacks=lambda state: None).fit(X)


def test_text_is_refused_with_what_to_do():
    frame = pd.DataFrame(table()[1][:, :4], columns=list("abcd")).assign(name="x")
    with pytest.raises(ValueError, match=r"X has text .*'x'.*select_dtypes.*leanrank.complete"):
        quiet().fit(frame)
    quiet().fit(frame.select_dtypes("number"))


@pytest.mark.parametrize(
    "call",
    [
        lambda X: LowRankImputer().fit(X),
        lambda X: cross_val_score(
            make_pipeline(LowRankImputer(), StandardScaler()),
            X,
            np.zeros(len(X)),
            scoring=lambda *given: 0.0,
            cv=2,
        ),
        lambda X: complete(X),
    ],
)
def test_warnings_point_at_the_line_that_called(call):
    noise = np.random.default_rng(0).standard_normal((60, 6))
    noise[::7, 2] = np.nan
    with pytest.warns(RecoveryWarning) as told:
        call(noise)
    assert {warning.filename for warning in told} == {__file__}


def test_memory_is_a_small_multiple_of_a_long_table(rng, monkeypatch):
    """Bytes a cell beyond the table, which takes eight; what is of a fixed size is made small."""
    monkeypatch.setattr("leanrank.estimators._entries._MANY_ROWS", 500)
    monkeypatch.setattr("leanrank.estimators._completing._CELLS", 1 << 12)
    monkeypatch.setattr("leanrank.linalg._ROOM", 0)
    X = rng.standard_normal((10_000, 3)) @ rng.standard_normal((3, 20))
    X += 0.5 * rng.standard_normal(X.shape)
    X[rng.random(X.shape) < 0.2] = np.nan
    imputer, taken = quiet(), []
    steps = imputer.fit, imputer.transform, imputer.predict_interval, lambda X: imputer.draw(X, 1)
    for step in steps:  # kernels are compiled
        step(X[:1000])
    tracemalloc.start()
    try:
        for step in steps:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            step(X)
            taken.append((tracemalloc.get_traced_memory()[1] - before) / X.size)
    finally:
        tracemalloc.stop()
    assert taken[0] < 170
    assert max(taken[1:]) < 55


@pytest.fixture
def long_table(rng, monkeypatch):
    """A long table, were three hundred rows many: whole, and with gaps."""
    monkeypatch.setattr("leanrank.estimators._entries._MANY_ROWS", 300)
    full = rng.standard_normal((1500, 2)) @ rng.standard_normal((2, 12))
    return full, rng.random(full.shape) < 0.25


def test_some_rows_tell_what_models_of_a_long_table_are_worth(long_table, rng, monkeypatch):
    full, gone = long_table
    X = full + 0.5 * rng.standard_normal(full.shape)
    X[gone] = np.nan
    some = quiet().fit(X)
    assert some.result_.factors.shape == X.shape
    low, high = some.predict_interval(X, level=0.9)
    noisy = full + 0.5 * rng.standard_normal(full.shape)
    assert np.mean(((low < noisy) & (noisy < high))[gone]) == pytest.approx(0.9, abs=0.03)
    monkeypatch.setattr("leanrank.estimators._entries._MANY_ROWS", 1500)
    every = quiet().fit(X)
    missed, least = (
        np.sqrt(np.mean((each.transform(X) - full)[gone] ** 2)) for each in (some, every)
    )
    assert missed < 1.02 * least
    assert len(some._scores) < len(every._scores)


def test_long_tables_of_exactly_low_rank_come_back(long_table):
    full, gone = long_table
    imputer = quiet().fit(np.where(gone, np.nan, full))
    assert imputer.status_ is Status.CONVERGED
    assert imputer.result_.factors.shape == full.shape
    np.testing.assert_allclose(imputer.transform(np.where(gone, np.nan, full)), full, atol=1e-9)


def test_a_long_table_may_be_stopped_at_any_time(long_table, rng):
    full, gone = long_table
    X = np.where(gone, np.nan, full + 0.5 * rng.standard_normal(full.shape))
    ends = []
    for most in (1, 20, 45):
        seen = []

        def stop(state, seen=seen, most=most):
            seen.append(state.phase)
            return len(seen) >= most

        imputer = quiet(callbacks=[stop]).fit(X)
        ends.append(seen[-1])
        assert imputer.status_ is Status.STOPPED
        assert imputer.result_.factors.shape == X.shape
        assert np.isfinite(imputer.transform(X)).all()
    assert ends[0] == "explore"
    assert ends[-1] == "posterior"

from __future__ import annotations

import pickle
import re
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from leanrank import (
    LowRankImputer,
    QuadraticNetworkRegressor,
    RecoveryError,
    RecoveryWarning,
    Status,
)
from leanrank.estimators._entries import Entries
from leanrank.estimators._rows import ExactRows
from leanrank.factors import Factors
from leanrank.posterior._moments import unpacked
from leanrank.problem import exact_tolerance


def table(seed=0, n=40, p=12, rank=2, missing=0.3, noise=0.0, offset=3.0, dtype=np.float64):
    """A table of low rank about column means, and the same with entries missing.

    Every row keeps at least rank + 2 entries, so that nothing is undetermined.
    """
    rng = np.random.default_rng(seed)
    full = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, p))
    full = (full + offset * rng.standard_normal(p)).astype(dtype)
    order = np.argsort(rng.random((n, p)), axis=1)
    hidden = (rng.random((n, p)) < missing) & (order >= rank + 2)
    X = full + noise * rng.standard_normal((n, p)).astype(dtype)
    return full, np.where(hidden, np.array(np.nan, dtype), X)


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


@pytest.mark.filterwarnings("ignore::leanrank.estimators.RecoveryWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [LowRankImputer(), LowRankImputer(rank=1, center=False, scale=False)],
    # It passes weights of the shape of its X, which are weights of entries here.
    expected_failed_checks=lambda _: {"check_sample_weights_shape": "entries have weights, too"},
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("options", [{}, {"center": False}, {"scale": False}, {"rank": 2}])
def test_exact_tables_are_completed_exactly(options):
    full, X = table(offset=0.0 if options.get("center") is False else 3.0)
    imputer = LowRankImputer(**options)
    completed = imputer.fit_transform(X)
    assert rms(completed - full) <= 1e-10 * rms(full)
    assert imputer.rank_ == 2
    assert imputer.status_ is Status.CONVERGED
    assert imputer.certificate_.holds
    assert imputer.result_.rank == 2
    assert imputer.n_iter_ >= len(imputer.result_.history)
    seen = ~np.isnan(X)
    np.testing.assert_array_equal(completed[seen], X[seen])


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_one_incomplete_column(share):
    """Its mean must not become a direction of its own that no missing entry determines."""
    full, X = table(missing=0.0)
    X[np.random.default_rng(0).random(40) < share, 3] = np.nan
    imputer = LowRankImputer()
    assert rms(imputer.fit_transform(X) - full) < 1e-9
    assert (imputer.rank_, imputer.result_.rank, imputer.status_) == (2, 2, Status.CONVERGED)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), rank=st.integers(1, 3), exponent=st.integers(-3, 3))
def test_units_and_origins_of_columns_do_not_matter(seed, rank, exponent):
    full, X = table(seed, rank=rank, missing=0.2, offset=0.0)
    rng = np.random.default_rng(seed)
    units = 10.0 ** (exponent * rng.random(X.shape[1]))
    origins = units * rng.standard_normal(X.shape[1])
    completed = LowRankImputer().fit_transform(X * units + origins)
    np.testing.assert_allclose((completed - origins) / units, full, atol=1e-7)


@pytest.mark.parametrize("options", [{}, {"keep_observed": False}])
def test_the_same_entries_scaled_give_the_same_answer_with_noise(options):
    _, X = table(noise=0.1, n=60)
    units = np.logspace(-4, 4, X.shape[1])
    imputer = LowRankImputer(rank=2, on_failure="ignore", **options)
    one, other = (imputer.fit_transform(Z) for Z in (X, X * units))
    np.testing.assert_allclose(other / units, one, rtol=1e-4, atol=1e-4)


def test_new_rows_of_an_exact_table():
    full, X = table(n=60)
    imputer = LowRankImputer().fit(X[:40])
    assert rms(imputer.transform(X[40:]) - full[40:]) <= 1e-9
    np.testing.assert_array_equal(imputer.transform(X[:40]), imputer.fit_transform(X[:40]))


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("center", [True, False])
def test_rows_are_conditional_means_in_the_fitted_model(center, scale):
    """Against the textbook formula with dense covariances; loadings are known up to theirs."""
    _, X = table(noise=0.3, n=80, offset=1.0)
    imputer = LowRankImputer(rank=2, center=center, scale=scale, on_failure="ignore").fit(X)
    rows, k = imputer._rows.main, 2 + center
    second = unpacked(rows.columns.second, k)
    B, noise = imputer.components_.T * imputer.singular_values_ / np.sqrt(len(X)), rows.noise
    np.testing.assert_allclose(B @ B.T, rows.columns.mean[:, :2] @ rows.columns.mean[:, :2].T)
    z = (X - imputer._offset) / imputer.scale_
    completed = (imputer.transform(X) - imputer._offset) / imputer.scale_
    for row, full in zip(z, completed, strict=True):
        m, o = np.isnan(row), ~np.isnan(row)
        precision = np.eye(2) + np.einsum("j,jkl->kl", 1.0 / noise[o], second[o, :2, :2])
        right = (1.0 / noise[o]) @ (row[o, None] * rows.columns.mean[o, :2])
        right -= (1.0 / noise[o]) @ second[o, :2, 2] if center else 0.0
        scores = np.append(np.linalg.solve(precision, right), [1.0] * center)
        expected = np.clip(rows.columns.mean @ scores, imputer._rows.low, imputer._rows.high)
        np.testing.assert_allclose(full[m], expected[m], rtol=1e-8)


def test_the_covariance_that_is_told_is_the_one_that_takes_part():
    X = load_iris().data.copy()
    X[np.random.default_rng(0).random(X.shape) < 0.3] = np.nan
    imputer = LowRankImputer().fit(X)
    rows = imputer._rows
    # Alone it completes rows as the textbook says, about the mean that it was estimated with.
    alone = replace(rows, weights=np.eye(4)[:, [0, 0, 0, 0]])
    S, z = imputer.covariance_, (X - imputer._offset) / imputer.scale_
    mean = alone.mean
    completed = alone.complete(z, np.ones(z.shape))[0]
    for row, full in zip(z, completed, strict=True):
        m, o = np.isnan(row), ~np.isnan(row)
        expected = mean[m] + S[np.ix_(m, o)] @ np.linalg.solve(S[np.ix_(o, o)], (row - mean)[o])
        np.testing.assert_allclose(full[m], expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(imputer.mean_, imputer._offset + imputer.scale_ * rows.mean)
    share = re.search(r"a covariance and similar rows \((\d+) %\)", imputer.message_)
    assert int(share[1]) == round(100 * rows.weights[-1].mean())


def test_clusters_and_curves_are_told_by_similar_rows():
    """Neither is a matter of covariances; against the best of those."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-2.0, 2.0, 300)
    full = np.column_stack([x, x**2, x**3 - 2.5 * x, np.cos(3.0 * x)])
    full += 0.1 * rng.standard_normal(full.shape)
    hidden = rng.random(full.shape) < 0.2
    X = np.where(hidden, np.nan, full)
    imputer = LowRankImputer(on_failure="raise").fit(X)
    error = rms((imputer.transform(X) - full)[hidden])
    linear = replace(imputer._rows, weights=np.eye(4)[:, [0, 0, 0, 0]])
    z = linear.complete((X - imputer._offset) / imputer.scale_, np.ones(X.shape))[0]
    assert error < 0.7 * rms((imputer._offset + imputer.scale_ * z - full)[hidden])


def factors_with_thin_rows(counts, rank=2, columns=12):
    """Factors whose rows are wild where there are few entries, and the entries: so many a row."""
    rng = np.random.default_rng(1)
    wild = np.where(np.asarray(counts) < np.median(counts), 1e3, 1.0)
    U = rng.standard_normal((len(counts), rank)) + 1.0
    factors = Factors(wild[:, None] * U, rng.standard_normal((columns, rank)))
    rows = np.repeat(np.arange(len(counts)), counts)
    cols = np.concatenate([np.arange(count) for count in counts])
    shape = (len(counts), columns)
    return factors, Entries(rows, cols, factors.to_dense()[rows, cols], shape, np.ones(rows.size))


@pytest.mark.parametrize(
    ("counts", "kept"),
    [
        ([12] * 9 + [1, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 10]),  # as many as the rank
        ([1] * 9 + [0, 5], [0, 1, 2, 3, 4, 5, 6, 7, 8, 10]),  # where most rows are thin
    ],
)
def test_rows_that_do_not_determine_their_scores_do_not_count(counts, kept):
    factors, entries = factors_with_thin_rows(counts)
    rows = factors.to_dense()[kept]
    model = ExactRows.of(factors, entries, center=True)
    np.testing.assert_allclose(model.mean, rows.mean(axis=0), rtol=1e-9)
    covariance = model.loadings @ model.loadings.T
    np.testing.assert_allclose(covariance, np.cov(rows.T, bias=True), rtol=1e-6, atol=1e-9)
    about_zero = ExactRows.of(factors, entries, center=False)
    covariance = about_zero.loadings @ about_zero.loadings.T
    np.testing.assert_allclose(covariance, rows.T @ rows / len(kept), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(about_zero.mean, 0.0)


@pytest.mark.parametrize(("share", "rank"), [(9.0, 1), (11.0, 2)])
def test_directions_in_which_rows_do_not_vary_are_dropped(share, rank):
    # Scores without a mean; the second direction about ten times what counts as exact.
    Q = np.linalg.qr(np.hstack([np.ones((20, 1)), np.eye(20, 2)]))[0][:, 1:]
    P = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 2)))[0]
    values = (Q[:, :1] @ P[:, :1].T).ravel()
    small = share * exact_tolerance(values)
    rows, cols = np.divmod(np.arange(120), 6)
    entries = Entries(rows, cols, values, (20, 6), np.ones(rows.size))
    model = ExactRows.of(Factors(Q * [1.0, small], P), entries, center=True)
    assert model.loadings.shape == (6, rank)


def test_no_noise_is_a_noise_far_below_the_digits(rng):
    B = np.array([[2.0], [1.0], [3.0]])
    model, ones = ExactRows(B, np.ones(3)), np.ones((1, 3))
    full = 1.0 + B.T
    completed, variance = model.complete(np.where([[True, True, False]], full, np.nan), ones)
    np.testing.assert_allclose(completed, full, rtol=1e-15)
    assert variance.max() < 1e-18
    # Entries of a row that contradict one another: the least squares of both, not a breakdown.
    both, _ = model.complete(np.array([[3.0, 3.0, np.nan]]), ones)
    np.testing.assert_allclose(both[0], 1.0 + B[:, 0] * 6.0 / 5.0, rtol=1e-12)
    # Nothing is known of a row without entries, but what rows are like.
    nothing, variance = model.complete(np.full((1, 3), np.nan), ones)
    np.testing.assert_allclose((nothing[0], variance[0]), (np.ones(3), B[:, 0] ** 2))
    drawn = model.draw(np.full((4000, 3), np.nan), np.ones((4000, 3)), rng)
    np.testing.assert_allclose(drawn.std(axis=0), B[:, 0], rtol=0.05)


def test_noise_is_found_and_a_rank_too_high_does_little_harm():
    full, X = table(n=150, p=20, rank=2, noise=0.08)
    hidden = np.isnan(X)
    imputer = LowRankImputer()
    error = rms((imputer.fit_transform(X) - full)[hidden])
    assert (imputer.rank_, imputer.status_) == (2, Status.CONVERGED)
    assert error < 0.06
    noise = np.sqrt(imputer.noise_variance_) * imputer.scale_
    np.testing.assert_allclose(np.median(noise), 0.08, rtol=0.2)
    assert noise.max() < 0.25
    wide = LowRankImputer(rank=4, on_failure="ignore").fit_transform(X)
    assert rms((wide - full)[hidden]) < 3 * error


def test_keep_observed_false_removes_noise():
    full, X = table(n=150, p=20, rank=2, noise=0.08)
    seen = ~np.isnan(X)
    smooth = LowRankImputer(keep_observed=False).fit_transform(X)
    assert rms((smooth - full)[seen]) < 0.6 * rms((X - full)[seen])


def test_complete_table_comes_back_and_still_teaches():
    full, X = table()
    imputer = LowRankImputer().fit(full)
    completed = imputer.transform(full)
    np.testing.assert_array_equal(completed, full)
    assert completed is not full
    assert rms(imputer.transform(X) - full) < 1e-9


def test_components_and_mean_describe_the_completed_table():
    full, X = table()
    imputer = LowRankImputer().fit(X)
    C = imputer.components_
    assert C.shape == (2, 12)
    np.testing.assert_allclose(C @ C.T, np.eye(2), atol=1e-10)
    assert np.all(np.diff(imputer.singular_values_) < 0)
    Z = (full - imputer.mean_) / imputer.scale_
    np.testing.assert_allclose(Z, Z @ C.T @ C, atol=1e-8)
    # The mean is that of completed columns, not that of what was observed.
    assert rms(imputer.mean_ - full.mean(axis=0)) < 0.2 * rms(
        np.nanmean(X, axis=0) - full.mean(axis=0)
    )


def test_empty_rows_are_completed_with_means_and_reported():
    full, X = table()
    X[[3, 7]] = np.nan
    imputer = LowRankImputer()
    with pytest.warns(
        RecoveryWarning, match=r"2 row\(s\) have no entry .*: 3, 7 \(counted from 0\)"
    ):
        completed = imputer.fit_transform(X)
    np.testing.assert_allclose(completed[3], imputer.mean_)
    np.testing.assert_array_equal(imputer.statistics_, imputer.mean_)
    others = np.delete(np.arange(len(X)), [3, 7])
    assert rms((completed - full)[others]) < 1e-9
    assert "2 row(s) that have no entry" in imputer.message_
    uncentred = LowRankImputer(center=False, on_failure="ignore").fit(X)
    np.testing.assert_allclose(uncentred.transform(X)[3], np.nanmean(X, axis=0))


def test_rows_with_fewer_entries_than_the_rank_lean_on_the_others():
    full, X = table(n=60, rank=3)
    imputer = LowRankImputer().fit(X)
    row = np.full((1, 12), np.nan)
    row[0, :2] = full[0, :2]
    with pytest.warns(RecoveryWarning, match="fewer observed entries than the rank, 3"):
        completed = imputer.transform(row)
    assert np.abs(completed - full.mean(axis=0)).max() < 4 * full.std(axis=0).max()


def test_warnings_point_to_the_caller():
    noise = np.random.default_rng(0).standard_normal((20, 8))
    for fit in (LowRankImputer().fit, QuadraticNetworkRegressor().fit):
        with pytest.warns(RecoveryWarning) as caught:
            fit(noise, noise[:, 0])
        assert caught[0].filename == __file__


@pytest.mark.parametrize("keep", [False, True])
def test_empty_columns(keep):
    full, X = table()
    X[:, 5] = np.nan
    imputer = LowRankImputer(keep_empty_features=keep)
    with pytest.warns(RecoveryWarning, match=r"1 column\(s\) have no entry .*: 5"):
        completed = imputer.fit_transform(X)
    names = list(imputer.get_feature_names_out())
    assert completed.shape == (40, 12 if keep else 11)
    assert len(names) == completed.shape[1]
    assert ("x5" in names) == keep
    if keep:
        np.testing.assert_array_equal(completed[:, 5], 0.0)
        completed = np.delete(completed, 5, axis=1)
    assert rms(completed - np.delete(full, 5, axis=1)) < 1e-9


def test_constant_columns():
    full, X = table()
    full[:, 4] = 0.1
    X[:, 4] = np.where(np.isnan(X[:, 4]), np.nan, 0.1)
    imputer = LowRankImputer()
    np.testing.assert_allclose(imputer.fit_transform(X), full, atol=1e-9)
    assert np.all(imputer.components_[:, 4] == 0.0)


def test_a_column_that_varies_by_rounding_alone_is_constant():
    full, X = table()
    full[:, 4] = np.where(np.arange(40) % 3, 1e6, np.nextafter(1e6, 2e6))
    X[:, 4] = np.where(np.isnan(X[:, 4]), np.nan, full[:, 4])
    imputer = LowRankImputer()
    np.testing.assert_allclose(imputer.fit_transform(X), full, rtol=1e-9, atol=1e-9)
    assert (imputer.rank_, imputer.scale_[4]) == (2, 1.0)


def test_too_few_entries_give_means_and_say_so():
    X = np.full((6, 4), np.nan)
    X[[0, 1, 2, 3, 4, 5, 0, 3], [0, 0, 1, 1, 2, 2, 3, 3]] = [1, 3, 2, 4, 5, 6, 3, 5]
    imputer = LowRankImputer()
    with pytest.warns(RecoveryWarning, match="8 entries are fewer than the 9 unknowns"):
        completed = imputer.fit_transform(X)
    np.testing.assert_allclose(completed[0], [1, 3, 5.5, 3])
    assert (imputer.rank_, imputer.n_iter_) == (0, 0)
    assert imputer.status_ is Status.STALLED


def test_pure_noise_is_not_called_structure():
    X = np.random.default_rng(0).standard_normal((60, 10))
    X[np.random.default_rng(1).random(X.shape) < 0.3] = np.nan
    imputer = LowRankImputer()
    with pytest.warns(RecoveryWarning):
        completed = imputer.fit_transform(X)
    assert imputer.status_ is not Status.CONVERGED
    assert np.abs(completed).max() < 5


@pytest.mark.parametrize("factor", [1e-150, 1e150])
def test_extreme_units(factor):
    full, X = table()
    completed = LowRankImputer().fit_transform(X * factor)
    np.testing.assert_allclose(completed / factor, full, atol=1e-8)


def test_failure_is_raised_warned_of_or_left_to_the_caller():
    X = np.random.default_rng(0).standard_normal((60, 10))
    with pytest.raises(RecoveryError, match="STALLED"):
        LowRankImputer(on_failure="raise").fit(X)
    with pytest.warns(ConvergenceWarning, match="STALLED"):
        LowRankImputer().fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet = LowRankImputer(on_failure="ignore").fit(X)
    assert quiet.status_ is Status.STALLED
    assert not quiet.certificate_.holds


def test_time_limit():
    _, X = table(noise=0.1, n=100)
    imputer = LowRankImputer(time_limit=1e-9, on_failure="ignore").fit(X)
    assert imputer.status_ is Status.STOPPED
    assert imputer.certificate_ is None
    assert np.isfinite(imputer.transform(X)).all()


def test_float32_stays():
    full, X = table(dtype=np.float32)
    imputer = LowRankImputer()
    completed = imputer.fit_transform(X)
    assert completed.dtype == np.float32
    assert imputer.components_.dtype == np.float32
    assert imputer.rank_ == 2
    np.testing.assert_allclose(completed, full, atol=1e-3)


def test_integers_and_objects():
    full = np.outer(np.arange(1, 9), [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(LowRankImputer().fit_transform(full), full)
    with_none = full.astype(object)
    with_none[2, 3] = None
    np.testing.assert_allclose(LowRankImputer().fit_transform(with_none), full, atol=1e-8)


@pytest.mark.parametrize("order", ["C", "F"])
def test_inputs_are_neither_changed_nor_shared(order):
    _, X = table()
    X = np.asarray(X, order=order)
    before = X.copy()
    X.flags.writeable = False
    completed = LowRankImputer().fit_transform(X)
    np.testing.assert_array_equal(X, before)
    assert not np.shares_memory(completed, X)


def test_the_same_seed_gives_the_same_answer():
    _, X = table(noise=0.2)
    one, two = (LowRankImputer(random_state=3, on_failure="ignore").fit(X) for _ in range(2))
    np.testing.assert_array_equal(one.components_, two.components_)
    np.testing.assert_array_equal(one.transform(X), two.transform(X))
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(again.transform(X), two.transform(X))


def test_parameters_survive_clone_and_repr():
    imputer = LowRankImputer(3, center=False, on_failure="ignore")
    assert clone(imputer).get_params() == imputer.get_params()
    assert repr(imputer) == "LowRankImputer(center=False, on_failure='ignore', rank=3)"
    assert imputer.set_params(rank=2).rank == 2


def test_pandas_in_pandas_out():
    full, X = table()
    names = [f"sensor {j}" for j in range(12)]
    frame = pd.DataFrame(X, columns=names, index=[f"day {i}" for i in range(40)])
    frame["sensor 3"] = np.nan
    imputer = LowRankImputer(on_failure="ignore").set_output(transform="pandas")
    completed = imputer.fit_transform(frame)
    assert list(completed.columns) == names[:3] + names[4:]
    assert list(completed.index) == list(frame.index)
    np.testing.assert_array_equal(imputer.feature_names_in_, names)
    np.testing.assert_allclose(completed, np.delete(full, 3, axis=1), atol=1e-9)
    with pytest.raises(ValueError, match="feature names"):
        imputer.transform(frame.rename(columns={"sensor 0": "other"}))
    nullable = frame.convert_dtypes()
    np.testing.assert_allclose(imputer.transform(nullable), completed, atol=1e-9)


def test_in_a_pipeline():
    full, X = table(n=80)
    target = full @ np.arange(12.0)
    model = make_pipeline(LowRankImputer(), StandardScaler(), LinearRegression())
    assert model.fit(X[:60], target[:60]).score(X[60:], target[60:]) > 1 - 1e-8


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"rank": 0}, ValueError, "rank must be at least 1"),
        ({"rank": 1.5}, TypeError, "rank must be an integer"),
        ({"rank": 50}, ValueError, "rank must be .*at most 12"),
        ({"width": -1}, ValueError, "width must be at least 1"),
        ({"center": 1}, TypeError, "center must be True or False"),
        ({"scale": "yes"}, TypeError, "scale must be True or False"),
        ({"validation": 2.0}, ValueError, "validation must be"),
        ({"max_iter": 0}, ValueError, "max_iter must be"),
        ({"time_limit": -1.0}, ValueError, "time_limit must be"),
        ({"random_state": "x"}, TypeError, "random_state must be"),
        ({"on_failure": "explode"}, ValueError, "on_failure must be"),
    ],
)
def test_bad_parameters(options, error, match):
    with pytest.raises(error, match=match):
        LowRankImputer(**options).fit(table()[1])


def test_bad_tables():
    full, X = table()
    with pytest.raises(ValueError, match="no entries"):
        LowRankImputer().fit(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="infinity"):
        LowRankImputer().fit(np.where(np.isnan(X), np.inf, X))
    with pytest.raises(ValueError, match="masked"):
        LowRankImputer().fit(np.ma.masked_greater(full, 1.0))
    with pytest.raises(NotFittedError):
        LowRankImputer().transform(X)
    with pytest.raises(ValueError, match="features"):
        LowRankImputer().fit(X).transform(X[:, :3])

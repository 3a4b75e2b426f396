"""LowRankImputer: intervals, draws, status, and what is said of missing entries."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine

from leanrank import LowRankImputer, Status
from leanrank.estimators._choosing import quantile
from leanrank.estimators._missingness import missing_by_others, missing_by_size


def wine(share=0.3, seed=0):
    full = load_wine().data
    hidden = np.random.default_rng(seed).random(full.shape) < share
    return full, np.where(hidden, np.nan, full), hidden


def noisy(seed=0, n=150, p=10, rank=2, noise=0.5, missing=0.3):
    rng = np.random.default_rng(seed)
    full = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, p))
    full += noise * rng.standard_normal(full.shape)
    hidden = rng.random(full.shape) < missing
    return full, np.where(hidden, np.nan, full), hidden


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("make", [wine, noisy])
def test_intervals_cover(make, level):
    covered = []
    for seed in range(3):
        full, X, hidden = make(seed=seed)
        low, high = LowRankImputer(on_failure="ignore").fit(X).predict_interval(X, level)
        covered.append(((low <= full) & (full <= high))[hidden])
        np.testing.assert_array_equal(low[~hidden], X[~hidden])
        np.testing.assert_array_equal(high[~hidden], X[~hidden])
    assert abs(np.concatenate(covered).mean() - level) < 0.03


def test_intervals_of_new_rows_cover_and_are_about_the_mean():
    full, X, hidden = noisy(n=600)
    imputer = LowRankImputer(on_failure="ignore").fit(X[:300])
    low, high = imputer.predict_interval(X[300:])
    inside = ((low <= full[300:]) & (full[300:] <= high))[hidden[300:]]
    assert abs(inside.mean() - 0.95) < 0.03
    middle = 0.5 * (low + high)
    np.testing.assert_allclose(middle, imputer.transform(X[300:]), rtol=1e-9)


def test_intervals_of_an_exact_table_have_no_width():
    rng = np.random.default_rng(0)
    full = rng.standard_normal((40, 2)) @ rng.standard_normal((2, 12))
    X = np.where(rng.random(full.shape) < 0.3, np.nan, full)
    imputer = LowRankImputer().fit(X)
    low, high = imputer.predict_interval(X)
    assert np.max(high - low) < 1e-6
    assert np.max(np.abs(imputer.draw(X, 2)[1] - full)) < 1e-6


def test_a_column_without_entries_may_be_anything():
    _, X, _ = wine()
    X[:, 3] = np.nan
    imputer = LowRankImputer(keep_empty_features=True, on_failure="ignore").fit(X)
    low, high = imputer.predict_interval(X)
    assert np.all(low[:, 3] == -np.inf)
    assert np.all(high[:, 3] == np.inf)
    assert np.isfinite(np.delete(high, 3, axis=1)).all()


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 2.0])
def test_levels_outside(level):
    _, X, _ = wine()
    with pytest.raises(ValueError, match="level must be"):
        LowRankImputer(on_failure="ignore").fit(X).predict_interval(X, level)


def test_conformal_quantiles():
    assert quantile(np.arange(19.0), 0.95) == 18.0
    assert quantile(np.arange(99.0), 0.95) == 94.0
    assert quantile(np.arange(18.0), 0.95) == np.inf


@pytest.mark.parametrize("make", [wine, noisy])
def test_draws_are_about_the_mean_and_as_wide_as_the_intervals(make):
    full, X, hidden = make()
    imputer = LowRankImputer(on_failure="ignore").fit(X)
    tables = np.array(imputer.draw(X, 60))
    unit = full.std(axis=0)
    off = (tables.mean(axis=0) - imputer.transform(X)) / unit
    assert np.sqrt(np.mean(off[hidden] ** 2)) < 0.2
    for table in tables:
        np.testing.assert_array_equal(table[~hidden], X[~hidden])
    low, high = imputer.predict_interval(X)
    ratio = tables.std(axis=0)[hidden] / ((high - low)[hidden] / 3.92)
    assert 0.8 < np.median(ratio) < 1.25
    again = pickle.loads(pickle.dumps(imputer)).draw(X, 2)
    np.testing.assert_array_equal(again, tables[:2])
    sample = LowRankImputer(sample_posterior=True, on_failure="ignore").fit_transform(X)
    np.testing.assert_array_equal(sample, tables[0])


def test_rubins_intervals_cover_a_regression_coefficient():
    inside = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        Z = rng.standard_normal((60, 4)) @ np.linalg.cholesky(0.5 * np.eye(4) + 0.5).T
        y = Z @ [1.0, 0.5, 0.0, 0.0] + rng.standard_normal(60)
        X = np.column_stack([Z, y])
        X[rng.random(X.shape) < 0.2] = np.nan
        estimates, within = [], []
        for table in LowRankImputer(on_failure="ignore").fit(X).draw(X, 10):
            A = np.column_stack([np.ones(60), table[:, :4]])
            beta, rest, *_ = np.linalg.lstsq(A, table[:, 4])
            estimates.append(beta[1])
            within.append(rest[0] / 55 * np.linalg.inv(A.T @ A)[1, 1])
        total = np.mean(within) + (1 + 1 / 10) * np.var(estimates, ddof=1)
        inside.append(abs(np.mean(estimates) - 1.0) < 2.0 * np.sqrt(total))
    assert np.mean(inside) > 0.85


def test_status_of_a_real_table_and_of_noise():
    _, X, _ = wine()
    imputer = LowRankImputer(on_failure="raise").fit(X)
    assert imputer.status_ is Status.APPROXIMATE
    certificate = imputer.certificate_
    assert imputer.message_.startswith(str(certificate.prediction))
    assert imputer.held_out_error_ == certificate.held_out_error == certificate.prediction.error
    assert not certificate.holds
    assert imputer.result_.rank == imputer.rank_
    noise = np.where(np.isnan(X), np.nan, np.random.default_rng(0).standard_normal(X.shape))
    alone = LowRankImputer(on_failure="ignore").fit(noise)
    assert alone.status_ is Status.STALLED
    completed = alone.transform(noise)
    assert np.abs(completed - noise.mean(where=~np.isnan(noise), axis=0))[np.isnan(noise)].max() < 1


def test_no_worse_than_means_and_better_than_a_ridge_by_columns():
    """Against the best that scikit-learn has, in standard deviations of columns."""
    full, X, hidden = wine()
    unit = full.std(axis=0)

    def error(completed):
        return np.sqrt(np.mean((((completed - full) / unit)[hidden]) ** 2))

    means = error(np.broadcast_to(np.nanmean(X, axis=0), X.shape))
    assert error(LowRankImputer().fit_transform(X)) < 0.75 * means


def test_missing_at_random_is_no_finding():
    found = [
        bool(missing_by_others(wine(seed=seed)[1])) or "at random" in message
        for seed in range(5)
        for message in [LowRankImputer(on_failure="ignore").fit(wine(seed=seed)[1]).message_]
    ]
    assert not any(found)


def test_predictions_that_hardly_differ_are_no_finding():
    """Where columns say little of one another, all are about the means, which folds differ in."""
    for seed in range(3):
        _, X, _ = noisy(seed, n=1000, p=12, rank=1, noise=3.0)
        assert "at random" not in LowRankImputer(on_failure="ignore").fit(X).message_


def test_missing_where_another_column_is_large_is_said():
    full = load_iris().data
    X = full.copy()
    X[full[:, 2] > 4.5, 0] = np.nan
    assert (0, 2) in missing_by_others(X)
    imputer = LowRankImputer(on_failure="ignore").fit(X)
    assert "not missing at random" in imputer.message_
    assert any("column 0" in note for note in imputer.certificate_.notes)


def test_the_largest_values_cut_off_are_said():
    rng = np.random.default_rng(0)
    score = rng.standard_normal(400)
    X = score[:, None] + 0.5 * rng.standard_normal((400, 6))
    X[X[:, 1] > 0.8, 1] = np.nan
    imputer = LowRankImputer(on_failure="ignore").fit(X)
    assert "column 1 is predicted to be larger" in imputer.message_


def test_missing_by_size_needs_a_difference():
    rng = np.random.default_rng(0)
    missing = rng.random((300, 2)) < 0.5
    filled = rng.standard_normal((300, 2)) - np.array([0.0, 1.0])
    cols = np.repeat([0, 1], 100)
    assert missing_by_size(filled, missing, cols, rng.standard_normal(200)) == [(1, False)]


@pytest.mark.parametrize("shape", [(3, 2), (4, 2), (4, 3), (6, 3)])
def test_nothing_is_claimed_of_tiny_tables_of_noise(shape):
    """Means are fitted to the entries, too: those held out are in them, and they are unknowns."""
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal(shape)
        X[rng.integers(shape[0]), rng.integers(shape[1])] = np.nan
        found.append(LowRankImputer(on_failure="ignore").fit(X).status_)
    assert Status.CONVERGED not in found
    assert found.count(Status.APPROXIMATE) <= 1  # by chance

"""Weights of rows and entries in LowRankImputer: inverse variances of their noise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from leanrank import DeepLinearCompletion, Factors, LowRankImputer, Result, Status
from leanrank.estimators._entries import Columns, observed
from leanrank.estimators._recovery import _may_be_shifted
from leanrank.estimators._rows import ExactRows
from leanrank.posterior._moments import unpacked
from leanrank.results import History


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


def table(seed=0, n=80, p=12, rank=2, noise=0.0, missing=0.3):
    """A table of a Gaussian factor model, entries of it, and its mean, loadings and noise."""
    rng = np.random.default_rng(seed)
    loadings, mean = rng.standard_normal((p, rank)), 3.0 * rng.standard_normal(p)
    full = rng.standard_normal((n, rank)) @ loadings.T + mean
    noise = np.broadcast_to(noise, full.shape)
    X = full + noise * rng.standard_normal(full.shape)
    return full, np.where(rng.random(full.shape) < missing, np.nan, X), (mean, loadings, noise)


def whole(seed, n):
    """Whole weights, some of them zero."""
    return np.random.default_rng(seed).integers(0, 4, n)


def projector(components):
    return components.T @ components


def conditional_means(X, mean, loadings, noise):
    """What the model itself says of every entry, with dense covariances, row by row."""
    out = np.empty_like(X)
    for i, row in enumerate(X):
        o = ~np.isnan(row)
        covariance = loadings[o] @ loadings[o].T + np.diag(noise[i, o] ** 2)
        out[i] = mean + loadings @ (loadings[o].T @ np.linalg.solve(covariance, (row - mean)[o]))
    return out


def quiet(**options):
    return LowRankImputer(on_failure="ignore", **options)


ATTRIBUTES = (
    "components_",
    "singular_values_",
    "mean_",
    "scale_",
    "noise_variance_",
    "statistics_",
)


def assert_same_fit(one, other, rtol=1e-9):
    assert one.rank_ == other.rank_
    for name in ATTRIBUTES:
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name), rtol=rtol, atol=rtol, err_msg=name
        )


@pytest.mark.parametrize("options", [{}, {"center": False, "scale": False}, {"rank": 2}])
def test_rows_of_weight_zero_are_not_there(options):
    _, X, _ = table(noise=0.1)
    weight = np.where(whole(0, len(X)) > 0, 0.7, 0.0)
    spoilt = np.where(weight[:, None] > 0, X, 1e6)
    weighted = quiet(**options).fit(spoilt, sample_weight=weight)
    assert_same_fit(weighted, quiet(**options).fit(X[weight > 0]))
    np.testing.assert_allclose(
        weighted.transform(X), quiet(**options).fit(X[weight > 0]).transform(X)
    )


def test_entries_of_weight_zero_are_missing():
    _, X, _ = table(noise=0.1, missing=0.0)
    weight = (np.random.default_rng(1).random(X.shape) > 0.3).astype(float)
    spoilt = np.where(weight > 0, X, 1e6)
    weighted = quiet().fit(spoilt, sample_weight=weight)
    gaps = np.where(weight > 0, X, np.nan)
    missing = quiet().fit(gaps)
    assert_same_fit(weighted, missing)
    # They do not count in the completion of others, but are returned as they came.
    X[0, :2] = np.nan
    spoilt[0, :2] = gaps[0, :2] = np.nan
    completed = weighted.transform(spoilt, sample_weight=weight)
    np.testing.assert_allclose(completed[0, :2], missing.transform(gaps)[0, :2], rtol=1e-8)
    np.testing.assert_array_equal(completed[1:], spoilt[1:])


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_an_exact_table_that_are_given_twice(seed):
    full, X, _ = table(seed)
    weight = whole(seed, len(X))
    weighted = LowRankImputer().fit(X, sample_weight=7.0 * weight)
    repeated = LowRankImputer().fit(np.repeat(X, weight, axis=0))
    assert (weighted.rank_, weighted.status_) == (2, Status.CONVERGED)
    for name in ("mean_", "scale_", "components_"):
        np.testing.assert_allclose(
            getattr(weighted, name), getattr(repeated, name), atol=1e-7, err_msg=name
        )
    assert rms(weighted.transform(X) - full) < 1e-7
    assert np.abs(weighted.mean_ - LowRankImputer().fit(X).mean_).max() > 0.01


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_a_noisy_table_that_are_given_twice(seed):
    """The same scales and components; the scores of rows are of the rows, each once."""
    _, X, _ = table(seed, n=120, noise=0.1)
    weight = whole(seed, len(X))
    weighted = quiet(rank=2).fit(X, sample_weight=weight)
    repeated = quiet(rank=2).fit(np.repeat(X, weight, axis=0))
    plain = quiet(rank=2).fit(X[weight > 0])
    np.testing.assert_allclose(weighted.scale_, repeated.scale_)
    found = [projector(f.components_) for f in (weighted, repeated, plain)]
    assert np.linalg.norm(found[0] - found[1]) < 0.1 * np.linalg.norm(found[2] - found[1])
    ratio = weighted.noise_variance_.sum() / repeated.noise_variance_.sum()
    assert 0.8 < ratio < 1.25


@pytest.mark.parametrize("factor", [1e-300, 3.0, 1e300])
@pytest.mark.parametrize("per_entry", [False, True])
def test_a_common_factor_does_not_matter(factor, per_entry):
    _, X, _ = table(noise=0.1)
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 2.0, X.shape if per_entry else len(X))
    one, other = (quiet().fit(X, sample_weight=c * weight) for c in (1.0, factor))
    assert_same_fit(one, other, rtol=1e-7)
    np.testing.assert_allclose(
        one.transform(X, weight), other.transform(X, factor * weight), rtol=1e-7
    )
    np.testing.assert_allclose(one.transform(X), other.transform(X), rtol=1e-7)


def test_equal_weights_are_none():
    _, X, _ = table(noise=0.1)
    plain = quiet().fit_transform(X)
    for weight in (np.full(len(X), 0.1), np.full(X.shape, 1e7), [1] * len(X)):
        np.testing.assert_array_equal(quiet().fit_transform(X, sample_weight=weight), plain)


def test_one_entry_that_counts_twice():
    """Held out, it leaves entries of one weight; the models are those of the whole table."""
    _, X, _ = table(noise=0.3)
    weight = np.ones(X.shape)
    weight[tuple(np.argwhere(~np.isnan(X))[0])] = 2.0
    imputer = quiet().fit(X, sample_weight=weight)
    assert imputer.covariance_ is None
    assert np.isfinite(imputer.transform(X)).all()


def test_weights_of_rows_are_weights_of_their_entries():
    _, X, _ = table(noise=0.1)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    each = np.repeat(weight[:, None], X.shape[1], axis=1)
    one, other = (quiet().fit_transform(X, sample_weight=w) for w in (weight, each))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("per_entry", "seeds"), [(False, range(5)), (True, range(1, 6))])
def test_half_of_them_thirty_times_noisier(per_entry, seeds):
    """Against conditional means in the true model, which no fit can know."""
    ratios = []
    for seed in seeds:
        noisy = np.random.default_rng(seed + 100).random((200, 12 if per_entry else 1)) < 0.5
        noise = np.where(noisy, 3.0, 0.1) * np.ones((200, 12))
        full, X, model = table(seed, n=200, noise=noise)
        best = conditional_means(X, *model)
        weight = 1.0 / (noise**2 if per_entry else noise[:, 0] ** 2)
        weighted = quiet(rank=2).fit_transform(X, sample_weight=weight)
        plain = quiet(rank=2).fit_transform(X)
        judged = np.isnan(X) & (True if per_entry else ~noisy)
        oracle = rms((best - full)[judged])
        ratios.append([rms((C - full)[judged]) / oracle for C in (weighted, plain)])
    weighted, plain = np.median(ratios, axis=0)
    assert weighted < 1.1
    assert plain > 3.0


@pytest.mark.parametrize("weighted_rows", [True, False])
def test_new_rows_are_conditional_means_by_their_weights(weighted_rows):
    _, X, _ = table(noise=0.3, n=80)
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.1, 3.0, len(X) if weighted_rows else X.shape)
    imputer = quiet(rank=2).fit(X, sample_weight=weight)
    each = np.broadcast_to(weight[:, None] if weighted_rows else weight, X.shape)
    rows, unit = imputer._rows.main, each[~np.isnan(X)].mean()
    second = unpacked(rows.columns.second, 3)
    Z = (X - imputer._offset) / imputer.scale_
    completed = (imputer.transform(X, weight) - imputer._offset) / imputer.scale_
    for row, w, full in zip(Z, each / unit, completed, strict=True):
        o = ~np.isnan(row)
        p = w[o] / rows.noise[o]
        precision = np.eye(2) + np.einsum("j,jkl->kl", p, second[o, :2, :2])
        right = p @ (row[o, None] * rows.columns.mean[o, :2] - second[o, :2, 2])
        expected = rows.columns.mean @ np.append(np.linalg.solve(precision, right), 1.0)
        np.testing.assert_allclose(full[~o], expected[~o], rtol=1e-8)


def test_means_and_scales_are_weighted():
    _, X, _ = table(noise=0.3)
    weight = np.random.default_rng(0).uniform(0.1, 3.0, X.shape)
    columns = Columns.of(observed(X, weight)[0], True, True)
    for j in range(X.shape[1]):
        o = ~np.isnan(X[:, j])
        mean = np.average(X[o, j], weights=weight[o, j])
        assert columns.means[j] == columns.offset[j] == pytest.approx(mean)
        variance = np.average((X[o, j] - mean) ** 2, weights=weight[o, j])
        assert columns.scale[j] == pytest.approx(np.sqrt(variance))


def test_means_of_complete_rows_have_one_weight_for_each_row():
    """Weights that differ within a row would add a direction to a table of low rank."""
    full, _, _ = table()
    weight = np.random.default_rng(0).uniform(0.1, 3.0, full.shape)
    entries, unit = observed(full, weight)
    columns = Columns.of(entries, True, True)
    mean = np.average(full, axis=0, weights=weight.mean(axis=1))
    np.testing.assert_allclose(columns.offset, mean, rtol=1e-12)
    assert unit == pytest.approx(weight.mean())
    square = np.average(full.ravel() ** 2, weights=weight.ravel())
    assert entries.mean_square(entries.values) == pytest.approx(square)


def test_rows_that_hardly_determine_their_scores_are_left_out_of_mean_and_size():
    """Entries of next to no weight are next to no entries."""
    _, X, _ = table(missing=0.0)
    poor = np.arange(len(X)) < 20
    weight = np.ones(X.shape)
    weight[poor, 1:] = 1e-9
    few = np.where(weight < 1.0, np.nan, X)
    U, s, Vt = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    factors = Factors(U[:, :2] * s[:2] * np.where(poor, 100.0, 1.0)[:, None], Vt[:2].T)
    light, missing = (
        ExactRows.of(factors, observed(*args)[0], center=True) for args in ((X, weight), (few,))
    )
    np.testing.assert_allclose(light.loadings, missing.loadings, rtol=1e-6)
    np.testing.assert_allclose(light.mean, missing.mean, rtol=1e-6)


def test_means_of_unequal_entries_are_as_uncertain_as_those_of_fewer():
    n, p = 40, 6
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    weight = np.where(rng.random((n, p)) < 0.5, 1.0, 1e-9)

    def may_be_shifted(residual, weights):
        """Where half of the entries count, twice the error is twice the root of 1 / n."""
        entries, _ = observed(X, weights)
        light = entries.weights < 1e-3  # these are missed by far more, which must not matter
        values = np.where(light, 5.0, 1.0)
        fit = Factors(np.full((n, 1), 1.0 + residual), np.ones((p, 1)))
        result = Result(fit, Status.STALLED, "", None, History())
        return _may_be_shifted(result, entries._replace(values=values))

    size = 2.0 / np.sqrt(n)
    assert may_be_shifted(0.5 * size, weight)
    assert not may_be_shifted(1.5 * size, weight)
    assert not may_be_shifted(0.5 * size, np.ones((n, p)))


def test_a_real_table():
    """Half of the flowers measured badly, against a fit of the others alone."""
    full = load_iris().data
    full = full / full.std(axis=0)
    squares = np.zeros(3)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        noise = np.where(rng.random(len(full)) < 0.5, 1.5, 0.05)
        hidden = rng.random(full.shape) < 0.2
        X = np.where(hidden, np.nan, full + noise[:, None] * rng.standard_normal(full.shape))
        good, judged = noise < 1.0, hidden[noise < 1.0]
        imputer = quiet(rank=1)
        weighted = imputer.fit_transform(X, sample_weight=1.0 / noise**2)[good]
        plain, alone = imputer.fit_transform(X)[good], imputer.fit_transform(X[good])
        squares += [np.sum((C - full[good])[judged] ** 2) for C in (weighted, plain, alone)]
    assert squares[0] < 0.8 * squares[1]
    assert squares[0] < 1.1 * squares[2]


def test_weights_are_routed():
    _, X, _ = table(noise=0.1)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    with sklearn.config_context(enable_metadata_routing=True):
        imputer = quiet().set_fit_request(sample_weight=True)
        imputer.set_transform_request(sample_weight=True)
        pipeline = make_pipeline(imputer, StandardScaler().set_fit_request(sample_weight=False))
        pipeline.fit(X, sample_weight=weight)
    assert_same_fit(pipeline[0], quiet().fit(X, sample_weight=weight))


def test_series_and_inputs_stay_as_they_are():
    _, X, _ = table(noise=0.1)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    before = weight.copy()
    one = quiet().fit(X, sample_weight=weight)
    assert_same_fit(one, quiet().fit(X, sample_weight=pd.Series(weight)))
    assert_same_fit(one, quiet().fit(X, sample_weight=list(weight)))
    np.testing.assert_array_equal(weight, before)
    single = quiet().fit_transform(X.astype(np.float32), sample_weight=weight)
    assert single.dtype == np.float32
    frame = clone(one).set_output(transform="pandas").fit_transform(X, sample_weight=weight)
    np.testing.assert_array_equal(frame.to_numpy(), one.transform(X, weight))


@pytest.mark.parametrize(
    ("weight", "error", "match"),
    [
        (np.ones(79), ValueError, "sample_weight must have one value for each of the 80 samples"),
        (np.ones((80, 11)), ValueError, r"or the shape of X, \(80, 12\), got shape \(80, 11\)"),
        (np.ones((80, 12, 1)), ValueError, "sample_weight must have 1 dimension"),
        (3.0, ValueError, "sample_weight must have 1 dimension"),
        (-np.ones(80), ValueError, "sample_weight must not be negative"),
        (np.zeros((80, 12)), ValueError, "sample_weight must not be negative, nor zero throughout"),
        (np.full(80, np.nan), ValueError, "sample_weight must be finite"),
        (np.full((80, 12), np.inf), ValueError, "sample_weight must be finite"),
        (["heavy"] * 80, TypeError, "sample_weight must be real numbers"),
        (np.ones(80) + 1j, TypeError, "sample_weight must be real"),
    ],
)
def test_bad_weights(weight, error, match):
    _, X, _ = table()
    with pytest.raises(error, match=match):
        LowRankImputer().fit(X, sample_weight=weight)
    with pytest.raises(error, match=match):
        LowRankImputer().fit(X).transform(X, sample_weight=weight)


def test_weights_that_leave_no_entry():
    X = np.array([[1.0, 2.0], [np.nan, np.nan]])
    with pytest.raises(ValueError, match="every value is NaN or of weight zero"):
        LowRankImputer().fit(X, sample_weight=[0.0, 1.0])


def test_deep_networks_take_flags_only():
    _, X, _ = table()
    imputer = DeepLinearCompletion(epochs=2, on_failure="ignore")
    with pytest.raises(ValueError, match="sample_weight must be zero or one and the same"):
        imputer.fit(X, sample_weight=1.0 + np.arange(len(X)))
    weight = np.where(np.arange(len(X)) < 20, 0.0, 2.0)
    flagged, dropped = imputer.fit(X, sample_weight=weight), clone(imputer).fit(X[20:])
    assert_same_fit(flagged, dropped)

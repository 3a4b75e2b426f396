"""The company that it keeps: scikit-learn, joblib, Dask, data frames, other array libraries."""

from __future__ import annotations

import io

import joblib
import numpy as np
import pandas as pd
import pytest
from array_api_compat import array_namespace, device
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from leanrank import (
    LowRankImputer,
    MatrixFactorization,
    QuadraticNetworkRegressor,
    Status,
    recover,
)
from leanrank._arrays import to_numpy
from leanrank.operators import DenseSensing, RankOneSensing

LIBRARIES = ["pandas", "polars"]


@pytest.fixture(scope="module")
def table():
    """A table of rank 2 about its means with a quarter missing, and a target that it tells."""
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((80, 2))
    X = 3.0 + scores @ rng.standard_normal((2, 7)) + 0.05 * rng.standard_normal((80, 7))
    return np.where(rng.random(X.shape) < 0.25, np.nan, X), scores @ [1.0, -2.0]


@pytest.fixture(scope="module")
def model():
    return make_pipeline(LowRankImputer(on_failure="ignore"), Ridge(alpha=1e-3))


def test_a_grid_over_rank_and_units_finds_the_rank(table, model):
    grid = {"lowrankimputer__rank": [1, 2], "lowrankimputer__scale": [True, False]}
    search = GridSearchCV(model, grid, cv=2).fit(*table)
    assert search.best_params_["lowrankimputer__rank"] == 2
    assert search.best_score_ > 0.9
    assert search.best_estimator_[0].rank_ == 2


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_folds_in_parallel_score_as_one_after_another(table, model, backend):
    alone = cross_val_score(model, *table, cv=2)
    assert alone.min() > 0.9
    if backend != "dask":
        with joblib.parallel_config(backend, n_jobs=2):
            assert np.array_equal(cross_val_score(model, *table, cv=2), alone)
        return
    distributed = pytest.importorskip("distributed", reason="the extra cluster")
    with (
        distributed.Client(n_workers=1, processes=False, dashboard_address=None),
        joblib.parallel_config("dask"),
    ):
        assert np.array_equal(cross_val_score(model, *table, cv=2), alone)


@pytest.mark.parametrize("library", LIBRARIES)
def test_columns_of_a_frame_by_kind_and_a_frame_comes_out(table, library):
    pytest.importorskip(library)
    X, _ = table
    frame = pd.DataFrame(X, columns=[f"sensor {j}" for j in range(7)])
    frame["place"] = np.where(np.arange(len(X)) % 3 == 0, "roof", "cellar")
    if library == "polars":
        frame = pytest.importorskip("polars").from_pandas(frame)
    by_kind = make_column_transformer(
        (LowRankImputer(on_failure="ignore"), [f"sensor {j}" for j in range(7)]),
        (OneHotEncoder(sparse_output=False), ["place"]),
        verbose_feature_names_out=False,
    ).set_output(transform=library)
    out = by_kind.fit_transform(frame)
    assert type(out).__module__.partition(".")[0] == library
    names = [*(f"sensor {j}" for j in range(7)), "place_cellar", "place_roof"]
    assert list(out.columns) == names
    completed = LowRankImputer(on_failure="ignore").fit_transform(X)
    assert np.allclose(out.to_numpy()[:, :7], completed, atol=1e-12)


def fitted(kind, table):
    X, _ = table
    if kind is MatrixFactorization:
        rows, cols = np.nonzero(~np.isnan(X))
        y = X[rows, cols] + 0.3 * np.random.default_rng(2).standard_normal(rows.size)
        return kind().fit(rows, cols, y), lambda m: m.predict(rows, cols)
    if kind is QuadraticNetworkRegressor:
        Z = np.nan_to_num(X[:, :3])
        return kind().fit(Z, Z[:, 0] ** 2 - 1.0), lambda m: m.predict(Z)
    return kind(on_failure="ignore").fit(X), lambda m: m.transform(X)


@pytest.mark.parametrize("kind", [LowRankImputer, MatrixFactorization, QuadraticNetworkRegressor])
def test_joblib_keeps_what_was_fitted(table, kind):
    model, answer = fitted(kind, table)
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    loaded = joblib.load(file)
    assert np.array_equal(answer(loaded), answer(model))
    assert repr(clone(loaded)) == repr(model)


SENSED = ["dense", "packed", "rank one"]


def sensed(kind, convert):
    """A matrix of rank 2 and measurements of it, made by NumPy, in another library's arrays."""
    rng = np.random.default_rng(1)
    U, V = rng.standard_normal((12, 2)), rng.standard_normal((9, 2))
    if kind == "packed":
        A = rng.standard_normal((150, 12, 12))
        op, X = DenseSensing(convert(A + A.transpose(0, 2, 1)), symmetric=True), U @ U.T
        return op, convert(np.einsum("mij,ij->m", A + A.transpose(0, 2, 1), X)), X
    X = U @ V.T
    if kind == "dense":
        A = rng.standard_normal((150, 12, 9))
        return DenseSensing(convert(A)), convert(np.einsum("mij,ij->m", A, X)), X
    x, z = rng.standard_normal((150, 12)), rng.standard_normal((150, 9))
    op = RankOneSensing(convert(x), convert(z))
    return op, convert(np.einsum("mi,ij,mj->m", x, X, z)), X


@pytest.mark.parametrize("kind", SENSED)
def test_arrays_of_a_library_go_in_and_come_out(kind, convert):
    op, y, X = sensed(kind, convert)
    result = recover(op, y, symmetric=kind == "packed")
    assert result.rank == 2
    assert result.status is Status.CONVERGED
    for factor in (result.factors.U, result.factors.V):
        assert array_namespace(factor) is array_namespace(y)
        assert device(factor) == device(y)
    assert np.allclose(to_numpy(result.factors.to_dense()), X, atol=1e-8)

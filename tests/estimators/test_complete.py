"""complete(): what came in comes back, completed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_wine

import leanrank as lr


@pytest.fixture
def gaps():
    full = load_wine().data[:, 5:11]  # of which each tells of the others
    return np.where(np.random.default_rng(0).random(full.shape) < 0.2, np.nan, full)


def test_arrays(gaps):
    before = gaps.copy()
    completed = lr.complete(gaps)
    np.testing.assert_array_equal(completed, lr.LowRankImputer().fit_transform(gaps))
    np.testing.assert_array_equal(gaps, before)
    assert lr.complete(gaps.astype(np.float32)).dtype == np.float32
    np.testing.assert_array_equal(lr.complete(gaps.tolist()), completed)
    assert lr.complete(gaps, min_value=0.3)[np.isnan(gaps)].min() >= 0.3


def test_columns_without_entries_stay(gaps):
    gaps[:, 2] = np.nan
    low = np.arange(6.0) - 5.0
    with pytest.warns(lr.RecoveryWarning, match=r"1 column\(s\) have no entry and stay .*: 2"):
        completed = lr.complete(gaps, min_value=low)
    assert np.isnan(completed[:, 2]).all()
    others = np.delete(gaps, 2, axis=1)
    expected = lr.LowRankImputer(min_value=np.delete(low, 2)).fit_transform(others)
    np.testing.assert_array_equal(np.delete(completed, 2, axis=1), expected)


def test_sparse(gaps):
    given = sparse.csc_matrix(gaps)
    completed = lr.complete(given)
    assert type(completed) is sparse.csc_matrix
    np.testing.assert_array_equal(completed.toarray(), lr.complete(gaps))


def test_pandas(gaps):
    frame = pd.DataFrame(gaps, columns=list("abcdef"), index=[f"r{i}" for i in range(len(gaps))])
    frame["a"] = np.arange(len(gaps))
    frame["b"] = pd.array(np.round(gaps[:, 1]), dtype="Int64")
    frame["c"] = frame["c"].astype("float32")
    frame["name"] = "x"
    frame.insert(2, "flag", pd.array(gaps[:, 0] > 13.0, dtype="boolean"))
    frame.loc["r3", ["flag", "b"]] = pd.NA
    frame.loc["r4", "name"] = None
    before = frame.copy()
    with pytest.warns(lr.RecoveryWarning, match="not numbers or have no entry and .*: name"):
        completed = lr.complete(frame)
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_index_equal(completed.index, frame.index)
    pd.testing.assert_series_equal(completed.dtypes, frame.dtypes)
    pd.testing.assert_series_equal(completed["name"], frame["name"])
    numbers = frame.columns.drop("name")
    assert not completed[numbers].isna().any().any()
    seen = frame[numbers].notna()
    pd.testing.assert_frame_equal(completed[numbers].where(seen), frame[numbers].where(seen))
    values = np.column_stack(
        [frame[name].to_numpy(dtype=float, na_value=np.nan) for name in numbers]
    )
    expected = lr.LowRankImputer().fit_transform(values)
    np.testing.assert_allclose(completed["d"], expected[:, 4])
    np.testing.assert_array_equal(completed["b"].astype(float), np.round(expected[:, 1]))


def test_pandas_with_repeated_names(gaps):
    frame = pd.DataFrame(gaps, columns=["same"] * 6)
    completed = lr.complete(frame)
    np.testing.assert_array_equal(completed.to_numpy(), lr.complete(gaps))


def test_polars(gaps):
    polars = pytest.importorskip("polars", reason="optional: no dependency of leanrank")
    frame = polars.DataFrame({name: gaps[:, j] for j, name in enumerate("abcdef")})
    frame = frame.with_columns(
        polars.Series("b", [None if np.isnan(x) else round(x) for x in gaps[:, 1]]),
        polars.col("c").fill_nan(None),
        polars.Series("name", ["x"] * len(gaps)),
    )
    completed = lr.complete(frame)
    assert completed.schema == frame.schema
    assert completed.drop("name").null_count().sum_horizontal()[0] == 0
    values = gaps.copy()
    values[:, 1] = np.round(gaps[:, 1])
    expected = lr.complete(values)
    np.testing.assert_allclose(completed["d"].to_numpy(), expected[:, 3])
    np.testing.assert_array_equal(completed["b"].to_numpy(), np.round(expected[:, 1]))


def test_nothing_to_fill():
    with pytest.raises(ValueError, match="no column of numbers"):
        lr.complete(pd.DataFrame({"a": ["x", None]}), on_failure="ignore")
    with pytest.raises(ValueError, match="no entries"):
        lr.complete(np.full((3, 2), np.nan))
    with pytest.raises(TypeError, match="on_fail"):
        lr.complete(np.ones((3, 2)), on_fail="ignore")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_numbers_that_mark_gaps_in_frames(gaps, library):
    frames = pytest.importorskip(library, reason="polars is optional: no dependency of leanrank")
    marked = np.where(np.isnan(gaps), -999.0, gaps)
    marked[0, 0] = np.nan  # both may be there
    columns = {name: marked[:, j] for j, name in enumerate("abcdef")}
    frame = frames.DataFrame({**columns, "n": np.where(gaps[:, 0] > 2.5, 3, -999)})
    completed = lr.complete(frame, missing_values=-999)
    values = np.column_stack([gaps, np.where(gaps[:, 0] > 2.5, 3.0, np.nan)])
    values[0, 0] = np.nan
    np.testing.assert_allclose(completed.to_numpy()[:, :6], lr.complete(values)[:, :6])
    assert (completed["n"].to_numpy() == 3).all()
    assert completed["n"].dtype == frame["n"].dtype

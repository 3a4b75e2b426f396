"""Tables and sparse matrices as observed entries, and back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from leanrank import recover
from leanrank.operators import ObservedEntries

from_dense, from_sparse = ObservedEntries.from_dense, ObservedEntries.from_sparse


def table_with_gaps(seed: int, n1: int, n2: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    table = np.where(rng.random((n1, n2)) < 0.6, rng.integers(-2, 3, (n1, n2)), np.nan)
    table[rng.integers(n1), rng.integers(n2)] = 0.0
    return table


tables = st.builds(table_with_gaps, st.integers(0, 999), st.integers(1, 6), st.integers(1, 6))


def rebuilt(op: ObservedEntries, y: np.ndarray) -> np.ndarray:
    table = np.full(op.shape, np.nan)
    table[op.rows, op.cols] = y
    return table


@given(tables)
def test_a_table_comes_back(table):
    hidden = np.isnan(table)
    forms = [
        (table, np.nan),
        (np.asfortranarray(table), np.nan),
        (np.where(hidden, -99.0, table), -99),
        (np.where(hidden, -99, table).astype(np.int64), -99),
        (np.ma.masked_array(np.where(hidden, 7.0, table), mask=hidden), np.nan),
        (pd.DataFrame(table), np.nan),
        (pd.DataFrame(table).astype("Float64"), np.nan),
        (pd.DataFrame(table).astype("Int64"), np.nan),
        (table.astype(object).tolist(), np.nan),
        (np.where(hidden, None, table).tolist(), np.nan),
    ]
    for form, missing in forms:
        op, y = from_dense(form, missing)
        np.testing.assert_array_equal(rebuilt(op, y), table)
        np.testing.assert_array_equal(y, table[~hidden])  # row after row
        assert (y.dtype, op.reference.dtype) == (np.float64, np.float64)


@given(tables)
def test_a_sparse_matrix_comes_back_with_its_stored_zeros(table):
    rows, cols = np.nonzero(~np.isnan(table))
    order = np.random.default_rng(0).permutation(rows.size)
    rows, cols = rows[order], cols[order]
    matrix = sparse.coo_array((table[rows, cols], (rows, cols)), shape=table.shape)
    for form in (matrix, matrix.tocsr(), matrix.tocsc(), sparse.coo_matrix(matrix)):
        op, y = from_sparse(form)
        np.testing.assert_array_equal(rebuilt(op, y), table)
    np.testing.assert_array_equal(from_sparse(matrix)[1], matrix.data)  # in the order stored
    for form in (matrix.tolil(), matrix.todok()):  # these keep no zeros when they are made
        op, y = from_sparse(form)
        np.testing.assert_array_equal(np.nan_to_num(rebuilt(op, y)), np.nan_to_num(table))


def test_the_operator_measures_what_the_table_holds(rng):
    U, V = rng.standard_normal((30, 2)), rng.standard_normal((20, 2))
    hidden = rng.random((30, 20)) < 0.4
    result = recover(*from_dense(np.where(hidden, np.nan, U @ V.T)))
    np.testing.assert_allclose(np.asarray(result.factors), U @ V.T, atol=1e-8)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f2", "f4"), ("f4", "f4"), ("f8", "f8"), ("g", "f8"), ("i4", "f8"), ("?", "f8")],
)
def test_precision_is_kept(dtype, expected):
    table = np.eye(3, dtype=dtype)
    forms = [from_dense(table), from_dense(table, missing=0)]
    if dtype != "f2":  # which SciPy does not have
        forms.append(from_sparse(sparse.csr_array(table)))
    for op, y in forms:
        assert op.reference.dtype == y.dtype == np.dtype(expected)
    if dtype in ("f4", "f8"):
        assert from_dense(pd.DataFrame(table))[1].dtype == np.dtype(expected)
        nullable = pd.DataFrame(table).astype({"f4": "Float32", "f8": "Float64"}[dtype])
        assert from_dense(nullable)[1].dtype == np.dtype(expected)


def test_a_frame_of_mixed_precision_is_of_the_higher():
    frame = pd.DataFrame({"a": np.ones(2, np.float32), "b": np.ones(2)})
    assert from_dense(frame)[1].dtype == np.float64


@pytest.mark.parametrize(
    ("table", "missing", "error", "match"),
    [
        (np.full((2, 2), np.nan), np.nan, ValueError, "no observed entries: all 4 are missing"),
        (np.zeros((2, 2)), 0, ValueError, "no observed entries"),
        (np.zeros((0, 2)), np.nan, ValueError, "no observed entries: all 0"),
        (np.array([[1, np.inf]]), np.nan, ValueError, "table must be finite, got 1 NaN or inf"),
        (np.array([[1, np.nan]]), -1, ValueError, "table must be finite, got 1 NaN or inf"),
        (np.ones(3), np.nan, ValueError, r"table must have 2 dimensions, got shape \(3,\)"),
        ([[1.0, "2"]], np.nan, TypeError, "table must be real numbers, got dtype <U"),
        ([[1.0], [2.0, 3.0]], np.nan, ValueError, "rows of one length"),
        ([[None, "2"]], np.nan, TypeError, "table must be real numbers, got '2' in it"),
        ([[1j]], np.nan, TypeError, "table must be real numbers, got dtype complex128"),
        (np.eye(2), None, TypeError, "missing must be a number or NaN, got None"),
        (np.eye(2), "NA", TypeError, "missing must be a number or NaN, got 'NA'"),
        (np.eye(2), True, TypeError, "missing must be a number or NaN, got True"),
        (sparse.eye_array(2), np.nan, TypeError, r"use ObservedEntries.from_sparse\(matrix\)"),
        (
            pd.DataFrame({"name": ["x", "y"], "age": [1, 2]}),
            np.nan,
            TypeError,
            r"1 column\(s\) are not \(name\): leave them out or encode them",
        ),
        (
            pd.DataFrame({"day": pd.to_datetime(["2020-01-01"]), "kind": pd.Categorical(["a"])}),
            np.nan,
            TypeError,
            r"2 column\(s\) are not \(day, kind\)",
        ),
    ],
)
def test_bad_tables(table, missing, error, match):
    with pytest.raises(error, match=match):
        from_dense(table, missing)


def test_tables_of_other_libraries_are_refused(convert):
    with pytest.raises(TypeError, match="table must be of NumPy, got .*: .* convert it first"):
        from_dense(convert(np.eye(2)))


@pytest.mark.parametrize(
    ("matrix", "error", "match"),
    [
        (np.eye(2), TypeError, r"SciPy sparse matrix, got ndarray: .*from_dense\(table\)"),
        (sparse.coo_array((2, 3)), ValueError, "no stored entries"),
        (sparse.coo_array(np.array([1.0, 2.0])), ValueError, r"2 dimensions, got shape \(2,\)"),
        (sparse.csr_array([[np.nan]]), ValueError, "matrix must be finite"),
        (sparse.csr_array([[1j]]), TypeError, "matrix must be real"),
        (sparse.eye_array(3, format="dia"), ValueError, "DIA format, where zeros also stand"),
        (sparse.eye_array(4, format="bsr"), ValueError, "BSR format"),
        (
            sparse.coo_array(([1.0, 2.0, 3.0], ([0, 1, 1], [0, 2, 2])), shape=(2, 3)),
            ValueError,
            r"1 entries at positions .* row 1, column 2: call matrix.sum_duplicates\(\)",
        ),
        (
            sparse.csr_array(([1.0, 2.0], [1, 1], [0, 2]), shape=(1, 2)),
            ValueError,
            "row 0, column 1",
        ),
    ],
)
def test_bad_sparse_matrices(matrix, error, match):
    with pytest.raises(error, match=match):
        from_sparse(matrix)


def test_nothing_is_changed_or_shared(rng):
    table = rng.standard_normal((3, 4))
    _, y = from_dense(table)
    matrix = sparse.coo_array(table)
    _, z = from_sparse(matrix)
    assert not np.shares_memory(y, table)
    assert not np.shares_memory(z, matrix.data)

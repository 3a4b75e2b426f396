"""Observed entries: order, repeats, rows without entries, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Factors
from leanrank.operators import ObservedEntries


@pytest.mark.parametrize(
    ("rows", "cols", "error", "match"),
    [
        ([0, 1], [0], ValueError, "same length, got 2 and 1"),
        ([], [], ValueError, "at least one entry"),
        ([2], [0], ValueError, r"rows must lie in \[0, 2\), got 2"),
        ([0], [-1], ValueError, r"cols must lie in \[0, 3\), got -1"),
        ([0.0], [0], TypeError, "rows must be integers, got dtype float64"),
        ([0], [True], TypeError, "cols must be integers"),
        ([[0]], [0], ValueError, "rows must be a vector"),
        (["0"], [0], TypeError, "rows must be integers"),
    ],
)
def test_bad_positions(rows, cols, error, match):
    with pytest.raises(error, match=match):
        ObservedEntries(rows, cols, (2, 3))


def test_bad_shape_and_dtype():
    for bad in (4, (2,), (0, 3), (2, -1)):
        with pytest.raises(ValueError, match="shape"):
            ObservedEntries([0], [0], bad)
    with pytest.raises(TypeError, match=r"shape\[0\] must be an integer"):
        ObservedEntries([0], [0], (2.0, 3))
    for bad in (int, np.float16, complex):
        with pytest.raises(TypeError, match="float32 or float64"):
            ObservedEntries([0], [0], (2, 3), dtype=bad)


def test_any_order_gives_the_same_values(rng):
    flat = rng.permutation(30)[:17]
    f = Factors(rng.standard_normal((5, 2)), rng.standard_normal((6, 2)))
    rows, cols = np.divmod(flat, 6)
    op = ObservedEntries(rows, cols, (5, 6))
    np.testing.assert_allclose(op.forward(f), f.to_dense()[rows, cols])
    order = np.argsort(flat)
    tidy = ObservedEntries(rows[order], cols[order], (5, 6))
    r = rng.standard_normal(17)
    np.testing.assert_allclose(op.adjoint(r).toarray(), tidy.adjoint(r[order]).toarray())
    Z = rng.standard_normal((11, 2))
    np.testing.assert_allclose(op.tangent(f).normal(Z), tidy.tangent(f).normal(Z))


def test_an_entry_seen_twice_counts_twice():
    op = ObservedEntries([1, 0, 1], [2, 0, 2], (2, 3))
    matrix = op.adjoint(np.array([1.0, 5.0, 10.0])) @ np.eye(3)
    np.testing.assert_array_equal(matrix, [[5, 0, 0], [0, 0, 11]])
    f = Factors(np.eye(2)[:, :1], np.ones((3, 1)))
    np.testing.assert_array_equal(op.forward(f), [0.0, 1.0, 0.0])


def test_undetermined_rows_and_columns():
    op = ObservedEntries([0, 0, 0, 1], [0, 0, 1, 1], (3, 3))
    rows, cols = op.undetermined(2)
    np.testing.assert_array_equal(rows, [1, 2])
    np.testing.assert_array_equal(cols, [0, 2])
    rows, cols = op.undetermined(0)
    np.testing.assert_array_equal(rows, [2])
    np.testing.assert_array_equal(cols, [2])


def test_positions_are_copied():
    rows, cols = np.array([0, 1]), np.array([1, 1])
    op = ObservedEntries(rows, cols, (2, 2))
    rows[0] = 1
    assert op.rows[0] == 0
    strided = np.arange(8, dtype=np.uint8)[::4] // 4
    strided.flags.writeable = False
    assert ObservedEntries(strided, strided, (2, 2)).size == 2


def test_large_positions_do_not_overflow():
    n = 2**20
    op = ObservedEntries([n - 1, 0], [n - 1, 5], (n, n), dtype=np.float32)
    f = Factors(np.ones((n, 1), dtype=np.float32), np.full((n, 1), 2, dtype=np.float32))
    np.testing.assert_array_equal(op.forward(f), [2.0, 2.0])
    np.testing.assert_array_equal(op.undetermined(1)[0][[0, -1]], [1, n - 2])

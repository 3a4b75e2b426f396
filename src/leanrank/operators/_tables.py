"""Tables with gaps, and sparse matrices, as positions and values of their entries."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
from scipy import sparse

from leanrank import _checks
from leanrank._arrays import is_array, is_numpy_array

__all__ = ["observed_in_sparse", "observed_in_table"]

Found = tuple[np.ndarray, np.ndarray, tuple[int, int], np.ndarray]
"""Rows, columns, shape and values of observed entries."""


def observed_in_table(table: Any, missing: Any) -> Found:
    """The entries of a table that are not ``missing`` (and not masked), row after row."""
    if isinstance(missing, bool) or not isinstance(missing, numbers.Real):
        raise TypeError(f"missing must be a number or NaN, got {missing!r}")
    values, gaps = _values(table)
    if values.ndim != 2:
        raise ValueError(f"table must have 2 dimensions, got shape {values.shape}")
    observed = ~(np.isnan(values) if math.isnan(missing) else values == missing) & ~gaps
    rows, cols = np.nonzero(observed)
    if not rows.size:
        raise ValueError(f"table has no observed entries: all {values.size} are missing")
    y = _checks.real_array(values[rows, cols], "table", ndim=1)
    return rows, cols, values.shape, y


def _values(table: Any) -> tuple[np.ndarray, np.ndarray]:
    """A table's numbers in floating point, and flags of masked ones."""
    if sparse.issparse(table):
        raise TypeError(
            "table must be dense, got a sparse matrix: use ObservedEntries.from_sparse(matrix)"
        )
    if is_array(table) and not is_numpy_array(table):
        raise TypeError(
            f"table must be of NumPy, got {type(table).__name__}: observed entries are for NumPy "
            "arrays only, so convert it first"
        )
    if hasattr(table, "dtypes") and hasattr(table, "to_numpy"):  # a DataFrame
        table = _frame_values(table)
    if not np.ma.isMaskedArray(table):
        try:
            table = np.asarray(table)
        except ValueError:
            raise ValueError("table must have rows of one length, got a ragged list") from None
    values, gaps = np.ma.getdata(table), np.ma.getmaskarray(table)
    if values.dtype == object:
        values = np.array([_number(x) for x in values.ravel()]).reshape(values.shape)
    if values.dtype.kind not in "fiub":
        raise TypeError(f"table must be real numbers, got dtype {values.dtype}")
    return (values if values.dtype.kind == "f" else values.astype(np.float64)), gaps


def _frame_values(frame: Any) -> np.ndarray:
    """The numbers of a data frame, NaN where it has none."""
    kinds = [getattr(dtype, "kind", "O") for dtype in frame.dtypes]
    words = [str(n) for n, kind in zip(frame.columns, kinds, strict=True) if kind not in "fiub"]
    if words:
        shown = ", ".join(words[:5]) + (", ..." if len(words) > 5 else "")
        raise TypeError(
            f"table must be real numbers, but {len(words)} column(s) are not ({shown}): leave them "
            "out or encode them"
        )
    single = all(str(dtype).lower() == "float32" for dtype in frame.dtypes)
    dtype = np.float32 if single else np.float64
    values: np.ndarray = frame.to_numpy(dtype=dtype, na_value=np.nan)
    return values


def _number(x: Any) -> float:
    """An element of an array of objects, NaN for None."""
    if x is None:
        return math.nan
    if not isinstance(x, numbers.Real):
        raise TypeError(f"table must be real numbers, got {x!r} in it")
    return float(x)


def observed_in_sparse(matrix: Any) -> Found:
    """The stored entries of a sparse matrix, zeros included, in the order in which they are."""
    if not sparse.issparse(matrix):
        raise TypeError(
            f"matrix must be a SciPy sparse matrix, got {type(matrix).__name__}: for a table use "
            "ObservedEntries.from_dense(table)"
        )
    if matrix.ndim != 2:
        raise ValueError(f"matrix must have 2 dimensions, got shape {matrix.shape}")
    if matrix.format in ("dia", "bsr"):
        raise ValueError(
            f"matrix is in {matrix.format.upper()} format, where zeros also stand for what was "
            "never stored: make it of its observed entries, as COO or CSR"
        )
    coo = matrix.tocoo(copy=True)
    if not coo.nnz:
        raise ValueError("matrix has no stored entries: at least one must be observed")
    flat = coo.row * np.int64(coo.shape[1]) + coo.col
    once, count = np.unique(flat, return_counts=True)
    if once.size < flat.size:
        i, j = divmod(int(once[count > 1][0]), coo.shape[1])
        raise ValueError(
            f"matrix has {flat.size - once.size} entries at positions that were given before, "
            f"the first at row {i}, column {j}: call matrix.sum_duplicates() if they are to be "
            "added up, or ObservedEntries(rows, cols, shape) if each is a measurement of its own"
        )
    return coo.row, coo.col, coo.shape, _checks.real_array(coo.data, "matrix", ndim=1)

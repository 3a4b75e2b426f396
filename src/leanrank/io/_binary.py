"""Entries in files of arrays and of Matrix Market, in the order in which they came."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from leanrank._files import FileError, PathLike
from leanrank._npz import ArrayHeader, Headers, read_arrays
from leanrank.io._incomplete import IncompleteMatrix
from leanrank.io._matrix_market import read_matrix_market
from leanrank.io._opening import COLUMNAR, TEXT

__all__ = ["read_binary"]

_TRIPLETS = ("rows", "cols", "y", "shape")


def read_binary(path: PathLike) -> IncompleteMatrix:
    """The entries of a file of arrays or of Matrix Market, in the order in which they came."""
    suffix = Path(path).suffix.lower()
    if suffix in (".npy", ".npz"):
        arrays = read_arrays(path, lambda headers: _check_headers(headers, path))
        return _from_arrays(arrays, path)
    if suffix == ".mtx":
        return IncompleteMatrix(*read_matrix_market(path), listed=True)
    raise FileError(
        f"{path}: unknown format '{suffix}', expected a name that ends in "
        + ", ".join((*TEXT, *COLUMNAR, ".npy", ".npz", ".mtx"))
    )


def _check_dense(header: ArrayHeader, path: PathLike) -> None:
    if header.ndim != 2:
        raise FileError(f"{path}: expected a matrix with two dimensions, got shape {header.shape}")
    if header.dtype.kind not in "biuf":
        raise FileError(f"{path}: expected real numbers, got {header.dtype}")
    if 0 in header.shape:
        raise FileError(f"{path}: is empty, of shape {header.shape}")


def _from_dense(X: np.ndarray) -> IncompleteMatrix:
    X = X.astype(np.float32 if X.dtype == np.float32 else np.float64)
    rows, cols = np.nonzero(~np.isnan(X))
    return IncompleteMatrix((X.shape[0], X.shape[1]), rows, cols, X[rows, cols])


def _check_headers(headers: Headers, path: PathLike) -> None:
    """Refuse what is no matrix before its values take memory."""
    if len(headers) == 1:
        _check_dense(next(iter(headers.values())), path)
        return
    if set(headers) != set(_TRIPLETS):
        raise FileError(
            f"{path}: expected one array with NaN where entries are missing, or arrays rows, cols, "
            f"y, shape; found {', '.join(sorted(headers)) or 'none'}"
        )
    rows, cols, y, shape = (headers[name] for name in _TRIPLETS)
    whole = all(a.dtype.kind in "iu" for a in (rows, cols, shape)) and y.dtype.kind in "biuf"
    fits = rows.ndim == cols.ndim == y.ndim == 1 and rows.size == cols.size == y.size
    if not (whole and fits and shape.shape == (2,)):
        raise FileError(
            f"{path}: expected integers rows, cols of shape (m,), numbers y of shape (m,) and two "
            f"integers shape; got rows {rows}, cols {cols}, y {y}, shape {shape}"
        )


def _from_arrays(arrays: dict[str, np.ndarray], path: PathLike) -> IncompleteMatrix:
    if len(arrays) == 1:
        return _from_dense(next(iter(arrays.values())))
    rows, cols, y, shape = (arrays[name] for name in _TRIPLETS)
    n1, n2 = (int(n) for n in shape)
    for name, index, n in (("rows", rows, n1), ("cols", cols, n2)):
        outside = np.flatnonzero((index < 0) | (index >= n))
        if outside.size:
            raise FileError(
                f"{path}: array '{name}' must lie in [0, {n}), got {index[outside[0]]} at position "
                f"{outside[0]}"
            )
    y = y.astype(np.float32 if y.dtype == np.float32 else np.float64)
    return IncompleteMatrix((n1, n2), rows.astype(np.int64), cols.astype(np.int64), y, listed=True)

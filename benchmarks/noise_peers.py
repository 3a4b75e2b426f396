"""What leanrank is measured against on noisy entries: shrinkage that is tuned, means, and Gibbs.

All take rows, columns and values of what was observed, and return a function of rows and columns.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
from scipy import sparse

Predict = Callable[[np.ndarray, np.ndarray], np.ndarray]
Data = tuple[np.ndarray, np.ndarray, np.ndarray]

SHRINKAGE = (1.0, 3.0, 6.0, 12.0, 25.0)
"""Entries that a mean of a row or column is pulled to the common one by."""


def rmse(predict: Predict, data: Data) -> float:
    """Root mean square error."""
    rows, cols, y = data
    return float(np.sqrt(np.mean((predict(rows, cols) - y) ** 2)))


def split(data: Data, share: float, rng: np.random.Generator) -> tuple[Data, Data]:
    """What is kept, and a share that is held out."""
    held = rng.random(data[2].size) < share
    kept, out = (tuple(x[mask] for x in data) for mask in (~held, held))
    return kept, out  # type: ignore[return-value]


def intercepts(
    data: Data, shape: tuple[int, int], pull: float, rounds: int = 10
) -> tuple[float, np.ndarray, np.ndarray]:
    """A mean, and shrunken means of rows and of columns, each of what the others leave."""
    rows, cols, y = data
    mean, b, c = float(y.mean()), np.zeros(shape[0]), np.zeros(shape[1])
    n_rows, n_cols = np.bincount(rows, minlength=shape[0]), np.bincount(cols, minlength=shape[1])
    for _ in range(rounds):
        c = np.bincount(cols, y - mean - b[rows], minlength=shape[1]) / (n_cols + pull)
        b = np.bincount(rows, y - mean - c[cols], minlength=shape[0]) / (n_rows + pull)
    return mean, b, c


def biases(data: Data, shape: tuple[int, int], seed: int = 0) -> Predict:
    """Means of rows and columns, the shrinkage chosen by held-out entries."""
    kept, held = split(data, 0.1, np.random.default_rng(seed))

    def fitted(data: Data, pull: float) -> Predict:
        mean, b, c = intercepts(data, shape, pull)
        return lambda i, j: mean + b[i] + c[j]

    best = min(SHRINKAGE, key=lambda pull: rmse(fitted(kept, pull), held))
    return fitted(data, best)


def soft_impute(
    data: Data, shape: tuple[int, int], *, with_intercepts: bool, width: int = 60, seed: int = 0
) -> Predict:
    """Nuclear-norm shrinkage (Mazumder, Hastie and Tibshirani 2010), tuned by held-out entries.

    Intercepts are fitted along with the matrix, and what they are shrunk by is tuned, too.
    """
    kept, held = split(data, 0.1, np.random.default_rng(seed))
    best = (np.inf, 0, 0.0)
    for pull in SHRINKAGE[::2] if with_intercepts else (0.0,):
        risen, least = 0, np.inf
        for step, predict in enumerate(_path(kept, shape, pull, with_intercepts, width, seed)):
            error = rmse(predict, held)
            best = min(best, (error, step, pull))
            risen = risen + 1 if error > least else 0
            least = min(least, error)
            if risen == 2:
                break
    _, last, pull = best
    for step, predict in enumerate(_path(data, shape, pull, with_intercepts, width, seed)):
        if step == last:
            return predict
    raise AssertionError


def _path(
    data: Data, shape: tuple[int, int], pull: float, with_intercepts: bool, width: int, seed: int
) -> Iterator[Predict]:
    """Fits for less and less shrinkage, each from the one before."""
    rows, cols, y = data
    n_rows, n_cols = np.bincount(rows, minlength=shape[0]), np.bincount(cols, minlength=shape[1])
    mean, b, c = 0.0, np.zeros(shape[0]), np.zeros(shape[1])
    if with_intercepts:
        mean, b, c = intercepts(data, shape, pull)
    Z = np.zeros(shape)
    V = np.random.default_rng(seed).standard_normal((shape[1], min(width, *shape)))
    rest = sparse.csr_array((y - mean - b[rows] - c[cols], (rows, cols)), shape=shape)
    top = sparse.linalg.svds(rest, 1, v0=np.ones(min(shape)), return_singular_vectors=False)[0]
    for threshold in top * 0.8 ** np.arange(1, 30):
        for _ in range(25):
            left = y - mean - Z[rows, cols]
            if with_intercepts:
                c = np.bincount(cols, left - b[rows], minlength=shape[1]) / (n_cols + pull)
                b = np.bincount(rows, left - c[cols], minlength=shape[0]) / (n_rows + pull)
            old = Z.copy()
            Z[rows, cols] += left - b[rows] - c[cols]
            Q = np.linalg.qr(Z @ V)[0]
            U, s, Vt = np.linalg.svd(Q.T @ Z, full_matrices=False)
            V, Z = Vt.T, (Q @ (U * np.maximum(s - threshold, 0.0))) @ Vt
            if np.linalg.norm(Z - old) < 1e-3 * np.linalg.norm(Z):
                break
        known = (mean, b.copy(), c.copy(), Z.copy())
        yield lambda i, j, k=known: k[0] + k[1][i] + k[2][j] + k[3][i, j]


def gibbs(data: Data, shape: tuple[int, int], rank: int = 10, seed: int = 0) -> Predict:
    """Bayesian factorisation machine (package myfm); ImportError where it is not installed."""
    import myfm

    rows, cols, y = data
    model = myfm.MyFMGibbsRegressor(rank=rank, random_seed=seed)

    def one_hot(i: np.ndarray, j: np.ndarray) -> sparse.csr_matrix:
        n, at = i.size, np.arange(i.size)
        return sparse.csr_matrix(
            (np.ones(2 * n), (np.r_[at, at], np.r_[i, shape[0] + j])), shape=(n, sum(shape))
        )

    groups = [shape[0], shape[1]]
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        model.fit(one_hot(rows, cols), y, n_iter=300, n_kept_samples=280, group_shapes=groups)
    return lambda i, j: model.predict(one_hot(i, j))


def timed(make: Callable[[], Predict]) -> tuple[Predict, float]:
    """What a method returns, and its CPU seconds."""
    begun = time.process_time()
    predict = make()
    return predict, time.process_time() - begun

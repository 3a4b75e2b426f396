"""Where inference starts: the entries of a problem, intercepts, and leading singular vectors."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from leanrank._arrays import to_numpy
from leanrank.losses import Loss
from leanrank.posterior._state import Layout, State
from leanrank.posterior._sweep import Entries, Moments, packed
from leanrank.problem import Problem

__all__ = ["entries_of", "start", "widened"]


def entries_of(problem: Problem) -> tuple[Entries, Loss | None]:
    """The observed entries of a problem, row after row, and the loss where it resists outliers.

    Those of weight zero are left out.

    Raises
    ------
    TypeError
        If the operator does not measure entries.
    """
    found = problem.op.entries()
    if found is None:
        raise TypeError(f"op must measure entries of the matrix, got {problem.op!r}")
    rows, cols, scale = found
    loss = problem.loss
    weights = None if loss.weights is None else to_numpy(loss.weights)
    # What weighs nothing, or is multiplied by zero, must not count where entries are counted.
    told = scale != 0.0 if weights is None else (scale != 0.0) & (weights > 0)
    order = np.argsort(rows, kind="stable")
    order = order[told[order]]
    weights = None if weights is None else weights[order]
    y = to_numpy(problem.y).astype(float)[order] / scale[order]
    if (scale != 1.0).any():
        weights = (1.0 if weights is None else weights) * scale[order] ** 2
    entries = Entries.of(rows[order], cols[order], y, problem.op.shape, weights)
    return entries, None if loss.quadratic else loss.subset(order)


def start(
    entries: Entries, layout: Layout, rng: np.random.Generator, loss: Loss | None = None
) -> State:
    """Intercepts, and the leading singular vectors of what they leave, with zeros for the rest."""
    (n1, n2), y = entries.shape, entries.y
    rows, cols = entries.rows, entries.cols
    w = entries.weights if entries.weights.size else np.ones(y.size)
    by_row = np.bincount(rows, weights=w, minlength=n1)
    by_column = np.bincount(cols, weights=w, minlength=n2)
    mean = float(np.average(y, weights=w)) if layout.size > layout.width else 0.0
    b, c = np.zeros(n1), np.zeros(n2)
    for _ in range(3 if layout.size > layout.width else 0):
        # Two entries' worth of shrinkage: the variances are learnt in the sweeps.
        if layout.column_intercepts:
            left = w * (y - mean - b[rows])
            c = np.bincount(cols, weights=left, minlength=n2) / (by_column + 2.0)
        if layout.row_intercepts:
            left = w * (y - mean - c[cols])
            b = np.bincount(rows, weights=left, minlength=n1) / (by_row + 2.0)
    if layout.row_intercepts and not layout.column_intercepts:
        b, mean = b + mean, 0.0
    rest = y - mean - b[rows] - c[cols]
    if loss is not None and not loss.quadratic:
        loss = loss.fitted(rest)
        trust = 0.5 * np.asarray(loss.majoriser(rest))
        entries, rest, w = replace(entries, weights=trust), rest * np.minimum(trust / w, 1.0), trust
    spread = float(np.average(rest**2, weights=w)) or 1.0
    V = _leading(rest, entries, layout.width, rng)
    variances = np.maximum(np.mean(V**2, axis=0), 1e-6 * spread)
    at, K = layout, layout.size
    columns, second = np.zeros((n2, K)), np.zeros((n2, K, K))
    columns[:, : at.width] = V
    if at.row_intercepts:
        columns[:, at.row_intercept] = 1.0
    if at.column_intercepts:
        columns[:, at.column_intercept] = c + mean
    inside = np.arange(at.width)
    second[:, inside, inside] = 0.5 * spread / (by_column[:, None] + spread / variances)
    second += columns[:, :, None] * columns[:, None, :]
    return State(
        layout,
        entries,
        np.zeros((n1, K)),
        Moments(columns, packed(second), at.row_intercept),
        np.full(n2, 0.5 * spread),
        variances,
        max(float(np.var(b)), 1e-3 * spread),
        max(float(np.var(c)), 1e-3 * spread),
        mean,
        loss,
    )


def widened(state: State, more: int, rng: np.random.Generator) -> State:
    """The state with further columns: the leading singular vectors of what it leaves."""
    entries = state.entries
    rest = entries.y - state.predict(entries.rows, entries.cols)
    weights = entries.weights if entries.weights.size else None
    if weights is not None:  # of a loss that resists outliers, too
        rest = rest * np.minimum(weights / np.average(weights), 1.0)
    V = _leading(rest, entries, more, rng)
    spread = float(np.average(rest**2, weights=weights))
    variances = np.maximum(np.mean(V**2, axis=0), 1e-6 * spread)
    noise = state.noise[:, None]
    covariance = noise / (entries.by_column()[:, None] + noise / variances)
    rows = np.zeros((entries.shape[0], more))
    return replace(state.with_columns(rows, V, covariance, variances), noise=0.5 * state.noise)


def _leading(
    rest: np.ndarray, entries: Entries, width: int, rng: np.random.Generator
) -> np.ndarray:
    """Right singular vectors times the scale that makes left ones of unit variance."""
    n1, n2 = entries.shape
    matrix = sparse.csr_array((rest, entries.cols, entries.indptr), shape=entries.shape)
    found = min(width, n1, n2)
    V = np.zeros((n2, width))
    if found == 0:
        return V
    if found < min(n1, n2) and n1 * n2 > 40_000:
        v0 = rng.standard_normal(min(n1, n2))
        _, s, Vt = svds(matrix, found, v0=v0, solver="arpack")
    else:
        _, s, Vt = np.linalg.svd(matrix.toarray(), full_matrices=False)
    order = np.argsort(-s)[:found]
    share = rest.size / (n1 * n2)
    V[:, :found] = Vt[order].T * (s[order] / (share * math.sqrt(n1)))
    return V

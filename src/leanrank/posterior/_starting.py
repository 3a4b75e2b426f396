"""Where inference starts: the entries of a problem, intercepts, and leading singular vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from leanrank._arrays import to_numpy
from leanrank.losses import Loss
from leanrank.posterior import _kernels
from leanrank.posterior._entries import Block, Blocks, Entries, added
from leanrank.posterior._moments import Moments
from leanrank.posterior._state import Layout, State
from leanrank.posterior._team import Team
from leanrank.problem import Problem

__all__ = ["entries_of", "start", "widened"]

_TURNS, _FEWER_TURNS = 3, 2
"""Of intercepts: those of columns, then those of rows; the second where passes are counted."""

_SPARE = 4
"""Columns that subspace iteration has besides those that are wanted."""


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
    told = np.flatnonzero((scale != 0.0) if weights is None else (scale != 0.0) & (weights > 0))
    weights = None if weights is None else weights[told]
    rows, scale = rows[told], scale[told]
    y = to_numpy(problem.y).astype(float)[told] / scale
    if (scale != 1.0).any():
        weights = (1.0 if weights is None else weights) * scale**2
    entries = Entries.of(rows, cols[told], y, problem.op.shape, weights)
    if loss.quadratic:
        return entries, None
    return entries, loss.subset(told[np.argsort(rows, kind="stable")])


def start(
    entries: Blocks,
    layout: Layout,
    rng: np.random.Generator,
    loss: Loss | None = None,
    *,
    passes: int | None = None,
    team: Team | None = None,
) -> State:
    """Intercepts, and the leading singular vectors of what they leave, with zeros for the rest.

    Parameters
    ----------
    entries : Blocks
    layout : Layout
    rng : Generator
    loss : Loss, optional
        One that resists outliers.
    passes : int, optional
        Over the entries, for singular vectors that are good enough to start from. By default they
        are exact; all entries must be in memory.
    team : Team, optional
    """
    (n1, n2), at, team = entries.shape, layout, team or Team()
    known = _intercepts(entries, at, team, _TURNS if passes is None else _FEWER_TURNS)
    by_column = entries.sums()[0]
    if passes is None:
        entries, rest, w, loss = _resisting(entries, known, loss)
        spread = float(np.average(rest**2, weights=w)) or 1.0
        V = _leading(rest, entries, at.width, rng)
    else:
        V, spread = _roughly_leading(entries, known, at.width, passes, rng, team)
    variances = np.maximum(np.mean(V**2, axis=0), 1e-6 * spread)
    columns, uncertain = np.zeros((n2, at.size), entries.dtype), np.zeros((n2, at.size))
    columns[:, : at.width] = V
    if at.row_intercepts:
        columns[:, at.row_intercept] = 1.0
    if at.column_intercepts:
        columns[:, at.column_intercept] = known.V[:, 1]
    uncertain[:, : at.width] = 0.5 * spread / (by_column[:, None] + spread / variances)
    return State(
        at,
        entries,
        np.zeros((n1, at.size), entries.dtype),
        Moments.independent(columns, uncertain, at.row_intercept),
        np.full(n2, 0.5 * spread),
        variances,
        max(float(np.var(known.U[:, 0])) if at.row_intercepts else 0.0, 1e-3 * spread),
        max(float(np.var(known.V[:, 1])) if at.column_intercepts else 0.0, 1e-3 * spread),
        known.mean if at.column_intercepts else 0.0,
        loss,
    )


def widened(
    state: State,
    more: int,
    rng: np.random.Generator,
    *,
    passes: int | None = None,
    team: Team | None = None,
) -> State:
    """The state with further columns: the leading singular vectors of what it leaves.

    ``passes`` and ``team`` are those of :func:`start`.
    """
    entries, known = state.entries, _Known(state.rows, state.columns.mean)
    if passes is None:
        assert isinstance(entries, Entries)
        rest, weights = known.rest_of(entries), entries.weights if entries.weighted else None
        if weights is not None:  # of a loss that resists outliers, too
            rest = rest * np.minimum(weights / np.average(weights), 1.0)
        V = _leading(rest, entries, more, rng)
        spread = float(np.average(rest**2, weights=weights))
    else:
        V, spread = _roughly_leading(entries, known, more, passes, rng, team or Team())
    variances = np.maximum(np.mean(V**2, axis=0), 1e-6 * spread)
    noise = state.noise[:, None]
    covariance = noise / (entries.sums()[0][:, None] + noise / variances)
    rows = np.zeros((entries.shape[0], more))
    return replace(state.with_columns(rows, V, covariance, variances), noise=0.5 * state.noise)


@dataclass(frozen=True)
class _Known:
    """Factors of what is known; of intercepts, the mean of all values besides."""

    U: np.ndarray
    V: np.ndarray
    mean: float = 0.0

    def rest(self, block: Block, team: Team | None = None) -> np.ndarray:
        """What they leave of the values of a block."""
        if self.U.shape[1] == 0:
            return block.y
        U, out = self.U[block.part], np.empty_like(block.y)

        def leave(a: int, b: int) -> None:
            indptr = block.indptr[a : b + 1]
            _kernels.residual(indptr, block.cols, block.y, U[a:b], self.V, out)

        (team or Team()).split(block.rows, leave, block.indptr)
        return out

    def rest_of(self, entries: Entries) -> np.ndarray:
        """What they leave of all values."""
        return np.concatenate([self.rest(block) for block in entries.blocks()])


def _intercepts(entries: Blocks, layout: Layout, team: Team, turns: int) -> _Known:
    """U = (b, 1) and V = (1, c), zeros where one of them is not wanted; nothing if neither is.

    In turns, each shrunk by two entries' worth: variances are learnt in the sweeps.
    """
    (n1, n2), dtype = entries.shape, entries.dtype
    if layout.size == layout.width:
        return _Known(np.empty((n1, 0), dtype), np.empty((n2, 0), dtype))
    U, V = np.ones((n1, 2), dtype), np.ones((n2, 2), dtype)
    U[:, 0], V[:, 1] = 0.0, 0.0
    by_column, total = entries.sums()[0], added(entries.each(_totals, team=team))
    mean = float(total.sum() / by_column.sum())
    V[:, 1] = mean
    for turn in range(turns if layout.row_intercepts else 1):
        if layout.column_intercepts:
            V[:, 1] = mean + (total[:, 0] - mean * by_column) / (by_column + 2.0)
        if not layout.row_intercepts:
            break
        more = turn + 1 < turns and layout.column_intercepts
        parts = entries.each(_rows_turn, V, more, team=team)
        U[:, 0] = np.concatenate([own for own, _ in parts])
        total = added(said for _, said in parts)
        if not layout.column_intercepts:
            U[:, 0], V[:, 1] = U[:, 0] + mean, 0.0
            break
    return _Known(U, V, mean)


def _totals(part: Blocks, team: Team) -> np.ndarray:
    """Sums of w y of each column, shape (n2, 1)."""
    total = np.zeros((part.shape[1], 1))
    for block in part.blocks():
        _add_back(block, block.y, np.ones((block.rows, 1), part.dtype), total, team)
    return total


def _rows_turn(
    part: Blocks, V: np.ndarray, more: bool, team: Team
) -> tuple[np.ndarray, np.ndarray]:
    """Intercepts of rows given those of columns, and, for ``more``, what they leave of columns."""
    (n1, n2), dtype = part.shape, part.dtype
    U, total = np.ones((n1, 2), dtype), np.zeros((n2, 1))
    U[:, 0] = 0.0
    alone, ones = np.ones((n2, 2), dtype) * np.array([1, 0], dtype), np.ones((n2, 1), dtype)
    for block in part.blocks():
        w, left = _times(block, _Known(U, V).rest(block, team), ones, team)
        U[block.part, 0] = left[:, 0] / (w + 2.0)
        if more:
            rest = _Known(U, alone).rest(block, team)
            _add_back(block, rest, np.ones((block.rows, 1), dtype), total, team)
    return U[:, 0], total


def _times(
    block: Block, rest: np.ndarray, Q: np.ndarray, team: Team
) -> tuple[np.ndarray, np.ndarray]:
    """Of each row, the sums of w, and of w times values times rows of Q."""
    block, ones = replace(block, y=rest), np.ones((Q.shape[0], 1), Q.dtype)
    scale = np.empty(0, Q.dtype)
    w, out = np.zeros((block.rows, 1)), np.zeros((block.rows, Q.shape[1]))
    team.split(block.rows, lambda a, b: block.to_rows(a, b, scale, Q, ones, w, out), block.indptr)
    return w[:, 0], out


def _add_back(block: Block, rest: np.ndarray, T: np.ndarray, out: np.ndarray, team: Team) -> None:
    """Add to ``out``, of each column, the sums of w times values times rows of T."""
    block, by = replace(block, y=rest), block.by_column
    none, nothing = np.empty((block.rows, 0), T.dtype), np.empty((out.shape[0], 0))
    team.split(by.which.size, lambda a, b: block.to_columns(a, b, T, none, nothing, out), by.ptr)


def _resisting(
    entries: Blocks, known: _Known, loss: Loss | None
) -> tuple[Entries, np.ndarray, np.ndarray, Loss | None]:
    """Entries, what is left of their values, and weights, of a loss that resists outliers, too."""
    assert isinstance(entries, Entries)
    rest = known.rest_of(entries)
    w = entries.weights if entries.weighted else np.ones(rest.size)
    if loss is None or loss.quadratic:
        return entries, rest, w, loss
    loss = loss.fitted(rest)
    trust = 0.5 * np.asarray(loss.majoriser(rest))
    return replace(entries, weights=trust), rest * np.minimum(trust / w, 1.0), trust, loss


def _roughly_leading(
    entries: Blocks,
    known: _Known,
    width: int,
    passes: int,
    rng: np.random.Generator,
    team: Team,
) -> tuple[np.ndarray, float]:
    """As :func:`_leading`, by subspace iteration, and the mean square of what is left.

    A pass multiplies by the matrix and its transpose (Halko, Martinsson and Tropp 2011).
    """
    (n1, n2), dtype = entries.shape, entries.dtype
    many = min(width + _SPARE, n1, n2)
    Q = np.linalg.qr(rng.standard_normal((n2, many)))[0]
    square = 0.0
    for number in range(passes):
        thin = Q.astype(dtype)[:, : many if width else 0]
        first = number == 0  # squares are summed once
        parts = entries.each(_multiplied, known.V, thin, first, of_rows=(known.U,), team=team)
        Z, square = added(product for product, _ in parts), square + sum(size for _, size in parts)
        if not width:
            break
        before, Q = Q, np.linalg.qr(Z)[0]
    spread = square / float(entries.sums()[0].sum()) or 1.0
    if not width:
        return np.zeros((n2, 0)), spread
    values, turn = np.linalg.eigh(before.T @ Z)
    order = np.argsort(-values)[:width]
    s = np.sqrt(np.maximum(values[order], 0.0))
    V, counts = np.zeros((n2, width)), entries.counts()[:, None]
    # A column's length is that of its entries, of which popular ones have more.
    V[:, : order.size] = before @ turn[:, order] * (s * math.sqrt(n1)) / (counts + 1.0)
    size = np.sum(counts * V**2, axis=0) / entries.size
    V *= (counts + 1.0) / (counts + 1.0 + spread / np.maximum(size, 1e-6 * spread))
    return V, spread


def _multiplied(
    part: Blocks, V: np.ndarray, Q: np.ndarray, sized: bool, U: np.ndarray, team: Team
) -> tuple[np.ndarray, float]:
    """What is left of the matrix, transposed, times itself times Q; if ``sized``, its square."""
    Z, square, known = np.zeros((part.shape[1], Q.shape[1])), 0.0, _Known(U, V)
    for block in part.blocks():
        rest = known.rest(block, team)
        if Q.shape[1]:
            _add_back(block, rest, _times(block, rest, Q, team)[1].astype(Q.dtype), Z, team)
        if sized:
            counted = block.weights if block.weights.size else np.ones(1, Q.dtype)
            if block.left_out.size:
                counted = counted * (block.left_out == 0)
            square += float(np.sum(counted * rest**2, dtype=float))
    return Z, square


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

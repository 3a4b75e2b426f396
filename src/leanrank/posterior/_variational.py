r"""Variational inference with automatic relevance determination (ARD).

.. math:: y_{ij} = b_i + c_j + u_i^\top v_j + \varepsilon_{ij}, \quad
    \varepsilon_{ij} \sim N(0, \sigma_j^2 / w_{ij}), \quad u_i \sim N(0, I), \quad
    v_{jh} \sim N(0, d_h)

with intercepts b and c where they are asked for, and a variance :math:`d_h` of each column that is
learnt: a column that the data do not need loses its variance and is pruned. Rows of U and of V are
independent normal vectors in the approximate posterior (Lim and Teh 2007; Ilin and Raiko 2010).
After each sweep the factors are turned to where the bound is best for the same product: U with
second moment one and mean zero, V with a diagonal second moment. Without that, the variances move
ten times slower.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice

import numpy as np

from leanrank.factors import Factors
from leanrank.posterior._entries import Blocks, Entries
from leanrank.posterior._state import State
from leanrank.posterior._sweep import Sweep
from leanrank.posterior._team import Team

__all__ = ["COLUMN_NOISE", "LEAST_NOISE", "finished", "fit", "sweeps", "typical_noise"]

_EMPTY = 1e-3
"""Mean square of a column's means over its variance, below which the data said nothing of it."""

LEAST_NOISE = 1e-14
"""Smallest variance of the noise over that of y: rounding."""

_CHUNK = 1 << 14
"""Entries that have a covariance of their own at once."""

_PATIENCE = 5
"""Sweeps without a better score after which fitting ends."""
_CLEARLY = 0.995
"""Least score over the last one from which on sweeps have gone too far."""

COLUMN_NOISE = 4.0
"""Entries that the typical noise level counts as, where each column has one of its own."""


def typical_noise(noise: np.ndarray) -> float:
    """Level that those of columns lie around: their harmonic mean.

    It is the most likely one where they are inverse chi-square about it, and hardly moves if some
    columns are nothing but noise.
    """
    return 1.0 / float(np.mean(1.0 / noise))


def sweeps(
    state: State,
    *,
    column_noise: bool,
    prune: bool = True,
    spared: int = 0,
    threads: int | Team = 1,
) -> Iterator[State]:
    """One state after another, each of a sweep, turned and, but for those spared, pruned."""
    sweep = Sweep(state.entries, threads)
    base, robust = state.entries, state.loss is not None and not state.loss.quadratic
    counts = base.counts()
    floor = LEAST_NOISE * (base.mean_square() or 1.0)
    for done in count():
        at, n2 = state.layout, base.shape[1]
        rows, total, columns, missed = sweep(
            state.columns, state.noise, *state.priors(), at.column_intercept
        )
        common = float(missed.sum()) / base.size
        noise = np.full(n2, max(common, floor))
        if column_noise:
            own = np.maximum(missed, 0.0) + COLUMN_NOISE * typical_noise(state.noise)
            noise = np.maximum(own / (counts + COLUMN_NOISE), floor)
        new = replace(state, entries=sweep.entries, rows=rows, columns=columns, noise=noise)
        state = _turned(new, total, sweep.team)
        empty = np.mean(state.columns.mean[:, : at.width] ** 2, axis=0) < _EMPTY * state.variances
        if prune and done >= spared and empty.any():
            state = state.without(empty)
        if robust:
            state, sweep = _resisting(state, base, threads)
        yield state


def _turned(state: State, total: np.ndarray, team: Team | None = None) -> State:
    """The same product, where U has mean zero and second moment one and V a diagonal one."""
    at, n1, n2 = state.layout, *state.entries.shape
    k, of_rows = at.width, total / n1
    T = np.eye(at.size)
    if at.column_intercepts:
        T[:k, at.column_intercept] = -of_rows[:k, at.column_intercept]
    L = np.linalg.cholesky((T @ of_rows @ T.T)[:k, :k] + 1e-12 * np.eye(k))
    T[:k] = np.linalg.solve(L, T[:k])
    back = np.linalg.inv(T).T
    of_columns = back @ (state.columns.total(team) / n2) @ back.T
    values, Q = np.linalg.eigh(of_columns[:k, :k])
    turn = np.eye(at.size)
    turn[:k, :k] = Q[:, np.argsort(-values)].T
    columns, of_columns = state.columns.mapped(turn @ back, team), turn @ of_columns @ turn.T
    least = np.finfo(float).tiny
    T = turn @ T
    state = replace(
        state,
        rows=state.rows @ T.T.astype(state.rows.dtype),
        row_moment=T @ total @ T.T,
        columns=columns,
        variances=np.maximum(np.diagonal(of_columns)[:k], least),
    )
    if at.row_intercepts:
        own = float(of_rows[at.row_intercept, at.row_intercept])
        state = replace(state, row_variance=max(own, least))
    if at.column_intercepts:
        c = at.column_intercept
        mean = float(np.mean(columns.mean[:, c]))
        own = float(of_columns[c, c]) - mean**2
        state = replace(state, mean=mean, column_variance=max(own, least))
    return state


def _resisting(state: State, base: Blocks, threads: int | Team) -> tuple[State, Sweep]:
    """The state and a sweep whose weights resist outliers, by the residuals as they are now."""
    loss = state.loss
    assert loss is not None
    assert isinstance(base, Entries)
    rows, cols = base.rows, base.cols
    # Residuals with what the posterior leaves open of the columns, which is most of it.
    covariances, spread = state.columns.covariances(), np.empty(rows.size)
    for first in range(0, rows.size, _CHUNK):
        part = slice(first, first + _CHUNK)
        r = state.rows[rows[part]]
        spread[part] = np.einsum("ek,ekl,el->e", r, covariances[cols[part]], r)
    residual = np.sqrt((state.predict(rows, cols) - base.y) ** 2 + np.maximum(spread, 0.0))
    loss = loss.fitted(residual)
    weights = 0.5 * np.asarray(loss.majoriser(residual))
    entries = replace(base, weights=weights)
    return replace(state, loss=loss, entries=entries), Sweep(entries, threads)


def fit(
    state: State,
    *,
    column_noise: bool = False,
    prune: bool = True,
    max_sweeps: int = 100,
    tol: float = 3e-4,
    threads: int = 1,
    watch: Callable[[State], None] = lambda state: None,
    score: Callable[[State], float] | None = None,
) -> State:
    """Sweeps until noise and variances hardly change, or until a score does not fall any more.

    Where the model is not what made the data (photographs, ratings), sweeps first learn what
    holds beyond the entries seen, and then what does not.

    Parameters
    ----------
    state : State
        From :func:`start`.
    column_noise : bool
        Whether each column has a noise level of its own.
    prune : bool
        Whether columns that the data emptied are dropped.
    max_sweeps : int
    tol : float
        Relative change of noise levels, and of the variances in sum, in one sweep.
    threads : int
    watch : callable
        Called with every state.
    score : callable, optional
        What is to be least, such as the error on held-out entries: the state where it was is
        returned, with the number of its ``sweeps``, if it is clearly less than at the end.
    """
    chain = sweeps(state, column_noise=column_noise, prune=prune, threads=threads)
    best, least, last = state, math.inf, math.inf
    for made, new in enumerate(islice(chain, max_sweeps), 1):
        same = new.width == state.width
        moved = np.max(np.abs(np.log(new.noise / state.noise)))
        if same:
            change = float(np.abs(new.variances - state.variances).sum())
            moved = max(moved, change / (float(new.variances.sum()) or 1.0))
        before, state = state, new
        watch(state)
        if score is not None:
            last = score(state)
            if last < least:
                best, least = replace(state, sweeps=made, change=0.0), last
            elif best.sweeps + _PATIENCE <= made and least < _CLEARLY * last:
                return best
        if same and moved < tol:
            break
    if least < _CLEARLY * last:
        return best
    whole = state.factors.norm()
    apart = state.factors.append(Factors(-before.rows, before.columns.mean))
    return replace(state, change=apart.norm() / whole if whole > 0 else 0.0)


def finished(
    state: State, entries: Blocks, threads: int | Team = 1
) -> tuple[State, np.ndarray, np.ndarray]:
    """One more sweep, over entries that may be others, and the variances of what comes out.

    Returns
    -------
    state : State
        Not turned: rows and columns are the posterior means of this sweep.
    row_variances, column_variances : ndarray of float32, shape (n1, K) and (n2, K)
        Diagonals of the posterior covariances.
    """
    fixed, (n1, n2) = state.layout.column_intercept, entries.shape
    of_rows, of_columns = (np.empty((n, state.layout.size), np.float32) for n in (n1, n2))
    rows, total, columns, missed = Sweep(entries, threads)(
        state.columns, state.noise, *state.priors(), fixed, variances=(of_rows, of_columns)
    )
    common = float(missed.sum()) / entries.size
    noise = np.full(n2, max(common, LEAST_NOISE * (entries.mean_square() or 1.0)))
    state = replace(
        state, entries=entries, rows=rows, row_moment=total, columns=columns, noise=noise
    )
    return state, of_rows, of_columns

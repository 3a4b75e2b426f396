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
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from leanrank._arrays import to_numpy
from leanrank.factors import Factors
from leanrank.losses import Loss
from leanrank.posterior._sweep import Entries, Gaussian, Moments, Sweep, packed, unpacked
from leanrank.problem import Problem

__all__ = [
    "COLUMN_NOISE",
    "LEAST_NOISE",
    "Layout",
    "State",
    "entries_of",
    "fit",
    "start",
    "sweeps",
    "typical_noise",
    "widened",
]

_EMPTY = 1e-3
"""Mean square of a column's means over its variance, below which the data said nothing of it."""

LEAST_NOISE = 1e-14
"""Smallest variance of the noise over that of y: rounding."""

COLUMN_NOISE = 4.0
"""Entries that the typical noise level counts as, where each column has one of its own."""


@dataclass(frozen=True)
class Layout:
    """Coordinates of a row: ``width`` factors, then the intercept of rows, then that of columns.

    The partner of an intercept is one: rows hold a one where columns have their intercept.
    """

    width: int
    row_intercepts: bool = False
    column_intercepts: bool = False

    @property
    def size(self) -> int:
        """K."""
        return self.width + self.row_intercepts + self.column_intercepts

    @property
    def row_intercept(self) -> int:
        """Coordinate of the rows' intercepts, which is one in columns; -1 for none."""
        return self.width if self.row_intercepts else -1

    @property
    def column_intercept(self) -> int:
        """Coordinate of the columns' intercepts, which is one in rows; -1 for none."""
        return self.width + self.row_intercepts if self.column_intercepts else -1

    def free(self, fixed: int) -> np.ndarray:
        """All coordinates but one."""
        return np.array([c for c in range(self.size) if c != fixed], dtype=int)


@dataclass(frozen=True)
class State:
    """What is known after a sweep.

    Attributes
    ----------
    layout : Layout
    entries : Entries
        With the weights of the last sweep, those of a loss that resists outliers among them.
    rows : ndarray, shape (n1, K)
        Posterior means.
    columns : Moments
    noise : ndarray, shape (n2,)
        Variance of the noise of each column, at weight one.
    variances : ndarray, shape (width,)
        Prior variances d of the columns of V.
    row_variance, column_variance : float
        Prior variances of the intercepts.
    mean : float
        Prior mean of the columns' intercepts.
    loss : Loss or None
        With its scale, where it resists outliers.
    row_moment : ndarray, shape (K, K), or None
        Sum of the second moments of the rows; None before the first sweep.
    change : float
        By how much the last sweep changed X, relative.
    """

    layout: Layout
    entries: Entries
    rows: np.ndarray
    columns: Moments
    noise: np.ndarray
    variances: np.ndarray
    row_variance: float = 1.0
    column_variance: float = 1.0
    mean: float = 0.0
    loss: Loss | None = None
    row_moment: np.ndarray | None = None
    change: float = math.inf

    @property
    def width(self) -> int:
        return self.layout.width

    @property
    def factors(self) -> Factors:
        """Posterior means as factors, intercepts among their columns."""
        return Factors(self.rows.copy(), self.columns.mean.copy())

    def predict(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Means of entries; arrays of the same shape."""
        return np.einsum("...k,...k->...", self.rows[rows], self.columns.mean[cols])

    @property
    def uncertainty(self) -> float:
        """Root of the expected squared error of X over that of X itself, were the model true.

        Factors are taken to be independent, which makes it somewhat too small.
        """
        assert self.row_moment is not None
        size = float(np.sum(self.row_moment * self.columns.total()))
        mean = float(np.sum((self.rows.T @ self.rows) * (self.columns.mean.T @ self.columns.mean)))
        return math.sqrt(max(1.0 - mean / size, 0.0)) if size > 0 else 0.0

    def standing_out(self, factor: float) -> int:
        r"""Number of leading columns whose singular values lie beyond ``factor`` times the edge.

        Noise in a share p of the entries has singular values up to
        :math:`\sigma (\sqrt{n_1} + \sqrt{n_2}) / \sqrt p`. A singular value s of what was observed
        is shrunk to t with :math:`t s^3 - t^2 s^2 - (n_1 + n_2) \sigma^2 t s / p
        - n_1 n_2 \sigma^4 / p^2 = 0` (Nakajima et al. 2013).
        """
        n1, n2 = self.entries.shape
        noise = float(np.mean(self.noise)) * n1 * n2 / self.entries.y.size
        means = np.mean(self.columns.mean[:, : self.width] ** 2, axis=0)
        shrunk = np.sqrt(n1 * n2 * means / noise)
        edge = math.sqrt(n1) + math.sqrt(n2)
        # The cubic rises where s is larger than t: its value at the limit says on which side s is.
        s = factor * edge
        beyond = shrunk * s**3 - (shrunk * s) ** 2 - (n1 + n2) * shrunk * s - n1 * n2 < 0
        return int(np.argmin(np.append(beyond, False)))

    def priors(self) -> tuple[Gaussian, Gaussian]:
        """Of the free coordinates of rows and of columns."""
        at = self.layout
        rows, columns, mean = np.ones(at.size), np.ones(at.size), np.zeros(at.size)
        columns[: at.width] = 1.0 / self.variances
        if at.row_intercepts:
            rows[at.row_intercept] = 1.0 / self.row_variance
        if at.column_intercepts:
            columns[at.column_intercept] = 1.0 / self.column_variance
            mean[at.column_intercept] = self.mean
        r, c = at.free(at.column_intercept), at.free(at.row_intercept)
        return Gaussian(np.diag(rows[r]), np.zeros(r.size)), Gaussian(np.diag(columns[c]), mean[c])

    def without(self, empty: np.ndarray) -> State:
        """The state less the columns that are flagged."""
        at = self.layout
        layout = replace(at, width=int(np.count_nonzero(~empty)))
        left = np.concatenate([np.flatnonzero(~empty), np.arange(at.width, at.size)])
        second = unpacked(self.columns.second, at.size)[:, left][:, :, left]
        mean = np.ascontiguousarray(self.columns.mean[:, left])
        return replace(
            self,
            layout=layout,
            rows=np.ascontiguousarray(self.rows[:, left]),
            row_moment=None if self.row_moment is None else self.row_moment[np.ix_(left, left)],
            columns=Moments(mean, packed(second), layout.row_intercept),
            variances=self.variances[~empty],
        )


def typical_noise(noise: np.ndarray) -> float:
    """Level that those of columns lie around: their harmonic mean.

    It is the most likely one where they are inverse chi-square about it, and hardly moves if some
    columns are nothing but noise.
    """
    return 1.0 / float(np.mean(1.0 / noise))


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
    at, entries = state.layout, state.entries
    rest = entries.y - state.predict(entries.rows, entries.cols)
    weights = entries.weights if entries.weights.size else None
    if weights is not None:  # of a loss that resists outliers, too
        rest = rest * np.minimum(weights / np.average(weights), 1.0)
    V = _leading(rest, entries, more, rng)
    layout = replace(at, width=at.width + more)
    old = np.concatenate([np.arange(at.width), np.arange(layout.width, layout.size)])
    new = np.arange(at.width, layout.width)
    spread = float(np.average(rest**2, weights=weights))
    variances = np.maximum(np.mean(V**2, axis=0), 1e-6 * spread)
    n2, K = entries.shape[1], layout.size
    mean, covariance = np.zeros((n2, K)), np.zeros((n2, K, K))
    mean[:, old], mean[:, new] = state.columns.mean, V
    covariance[:, old[:, None], old] = state.columns.covariances()
    own = state.noise[:, None] / (entries.by_column()[:, None] + state.noise[:, None] / variances)
    covariance[:, new, new] = own
    rows = np.zeros((entries.shape[0], K))
    rows[:, old] = state.rows
    second = packed(mean[:, :, None] * mean[:, None, :] + covariance)
    return replace(
        state,
        layout=layout,
        rows=rows,
        row_moment=None,
        columns=Moments(mean, second, layout.row_intercept),
        noise=0.5 * state.noise,
        variances=np.concatenate([state.variances, variances]),
    )


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


def sweeps(
    state: State, *, column_noise: bool, prune: bool = True, threads: int = 1
) -> Iterator[State]:
    """One state after another, each of a sweep, turned and pruned."""
    sweep = Sweep(state.entries, threads)
    base, robust = state.entries, state.loss is not None and not state.loss.quadratic
    counts = base.counts()
    floor = LEAST_NOISE * float(np.mean(base.y**2))
    while True:
        at, n2 = state.layout, base.shape[1]
        rows, total, columns, missed = sweep(
            state.columns, state.noise, *state.priors(), at.column_intercept
        )
        common = float(missed.sum()) / base.y.size
        noise = np.full(n2, max(common, floor))
        if column_noise:
            own = missed + COLUMN_NOISE * typical_noise(state.noise)
            noise = np.maximum(own / (counts + COLUMN_NOISE), floor)
        new = replace(state, entries=sweep.entries, rows=rows, columns=columns, noise=noise)
        state = _turned(new, total)
        empty = np.mean(state.columns.mean[:, : at.width] ** 2, axis=0) < _EMPTY * state.variances
        if prune and empty.any():
            state = state.without(empty)
        if robust:
            state, sweep = _resisting(state, base, threads)
        yield state


def _turned(state: State, total: np.ndarray) -> State:
    """The same product, where U has mean zero and second moment one and V a diagonal one."""
    at, n1, n2 = state.layout, *state.entries.shape
    k, of_rows = at.width, total / n1
    T = np.eye(at.size)
    if at.column_intercepts:
        T[:k, at.column_intercept] = -of_rows[:k, at.column_intercept]
    L = np.linalg.cholesky((T @ of_rows @ T.T)[:k, :k] + 1e-12 * np.eye(k))
    T[:k] = np.linalg.solve(L, T[:k])
    columns = state.columns.mapped(np.linalg.inv(T).T)
    of_columns = columns.total() / n2
    values, Q = np.linalg.eigh(of_columns[:k, :k])
    turn = np.eye(at.size)
    turn[:k, :k] = Q[:, np.argsort(-values)].T
    columns, of_columns = columns.mapped(turn), turn @ of_columns @ turn.T
    least = np.finfo(float).tiny
    T = turn @ T
    state = replace(
        state,
        rows=state.rows @ T.T,
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


def _resisting(state: State, base: Entries, threads: int) -> tuple[State, Sweep]:
    """The state and a sweep whose weights resist outliers, by the residuals as they are now."""
    loss = state.loss
    assert loss is not None
    rows, cols = base.rows, base.cols
    # Residuals with what the posterior leaves open of the columns, which is most of it.
    cov = state.columns.covariances()
    spread = np.einsum("ek,ekl,el->e", state.rows[rows], cov[cols], state.rows[rows])
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
) -> State:
    """Sweeps until noise and variances hardly change.

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
    """
    chain = sweeps(state, column_noise=column_noise, prune=prune, threads=threads)
    for new in islice(chain, max_sweeps):
        same = new.width == state.width
        moved = np.max(np.abs(np.log(new.noise / state.noise)))
        if same:
            change = float(np.abs(new.variances - state.variances).sum())
            moved = max(moved, change / (float(new.variances.sum()) or 1.0))
        before, state = state, new
        watch(state)
        if same and moved < tol:
            break
    whole = state.factors.norm()
    apart = state.factors.append(Factors(-before.rows, before.columns.mean))
    return replace(state, change=apart.norm() / whole if whole > 0 else 0.0)

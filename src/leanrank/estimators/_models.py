"""Models of the rows of a table, fitted to its entries.

Factors have a noise level for each column, and the data decide how many there are. What they leave
may be correlated: a covariance is shrunk towards theirs, and similar rows tell what it misses.
Where tables are too wide for a covariance, factors with one noise level for all columns take its
place. Beside all of them stand column means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from leanrank.estimators._entries import Entries
from leanrank.estimators._mixed import MixedChain, MixedRows
from leanrank.estimators._neighbours import Neighbours
from leanrank.estimators._row_model import (
    Chain,
    CovarianceChain,
    CovarianceRows,
    FactorChain,
    FactorRows,
    MeansChain,
)
from leanrank.posterior import Covariance, Layout, State, fit, start, sweeps
from leanrank.posterior import Entries as InRoom

__all__ = [
    "FACTORS",
    "MEANS",
    "Model",
    "Settings",
    "factors",
    "means",
    "model_of",
    "table",
]

MEANS, FACTORS = 1, 2
"""Places of models beside the main one, if that is a covariance; of means, wherever they are."""

_WORTH = 10.0
"""Rows that factors count for where a covariance is shrunk towards theirs."""

_WIDEST = 128
"""Columns up to which a covariance is tried: a sweep costs rows times columns cubed."""

_FEW = 20
"""Sweeps of factors that a covariance is only shrunk towards: it corrects what they lack."""

_BEYOND = 2.0
"""Standard deviations beyond the entries of a column that are believed at most. A column of zeros
but for a single one, regressed on others, was once completed with 80 of them."""

_FIRST_WIDTH = 32
"""Factors to begin with in a table that has many columns; doubled while the data empty none."""


@dataclass(frozen=True)
class Settings:
    """What a user decided, and who watches.

    Attributes
    ----------
    rank : int or None
        Number of factors, if it is fixed; then they are all that there is.
    width : int or None
        Largest number of factors.
    center : bool
        Whether columns have means of their own.
    plain : bool
        Whether all entries have one weight; a covariance knows no others.
    low, high : ndarray, shape (p,)
        Bounds of the columns, in their scaled units.
    watch : callable
        Called with the state after each sweep of factors; may raise to stop.
    """

    rank: int | None
    width: int | None
    center: bool
    plain: bool
    low: np.ndarray
    high: np.ndarray
    watch: Callable[[State | None], None]


@dataclass(frozen=True)
class Model:
    """What rows are completed by.

    Attributes
    ----------
    rows : MixedRows
    state : State or None
        The factors among it.
    chain : Chain
        Draws of the parameters of its main part.
    """

    rows: MixedRows
    state: State | None
    chain: Chain

    @classmethod
    def of_factors(cls, state: State) -> Model:
        """Factors alone."""
        return cls(MixedRows.of(FactorRows.of(state), ()), state, FactorChain(state))

    @property
    def correlated(self) -> bool:
        """Whether there is a covariance."""
        return isinstance(self.rows.main, CovarianceRows)

    def weighed(self, weights: np.ndarray, stretch: np.ndarray) -> Model:
        """With other weights and deviations."""
        return replace(self, rows=replace(self.rows, weights=weights, stretch=stretch))

    def draws(self) -> MixedChain:
        """All parts, the main one drawn."""
        return MixedChain(self.rows, self.chain)


def table(entries: Entries) -> np.ndarray:
    """The entries in place, NaN elsewhere."""
    Z = np.full(entries.shape, np.nan)
    Z[entries.rows, entries.cols] = entries.values
    return Z


def _in_room(entries: Entries) -> InRoom:
    weights = None if entries.loss.weights is None else entries.weights
    return InRoom.of(entries.rows, entries.cols, entries.values, entries.shape, weights)


def factors(
    entries: Entries,
    settings: Settings,
    rng: np.random.Generator,
    *,
    column_noise: bool = True,
    max_sweeps: int = 100,
) -> State:
    """Columns with a prior; as many as the data need, or as the user said."""
    some, _ = entries.of_some_rows(rng)
    inside, (n, p) = _in_room(some), some.shape
    most = min(n - settings.center, p) if settings.width is None else min(settings.width, n, p)
    width = settings.rank or min(most, 2 * _FIRST_WIDTH if p <= 2 * _FIRST_WIDTH else _FIRST_WIDTH)
    fitted = partial(
        fit,
        column_noise=column_noise,
        prune=settings.rank is None,
        max_sweeps=max_sweeps,
        watch=settings.watch,
    )
    while True:
        layout = Layout(max(width, 0), column_intercepts=settings.center)
        # The longer a table, the longer columns of noise take to empty, and each costs all rows.
        state = fitted(start(inside, layout, rng), tol=1e-2 if some is entries else 1e-3)
        if settings.rank is not None or state.width < width or width >= most:
            break
        width = min(2 * width, most)
    if some is entries:
        return state
    # All rows follow from the columns that some of them gave.
    begin = replace(state, entries=_in_room(entries), row_moment=None)
    return fitted(next(sweeps(begin, column_noise=column_noise, prune=False)), tol=1e-2)


def model_of(
    entries: Entries,
    settings: Settings,
    rng: np.random.Generator,
    *,
    first: State | None = None,
) -> Model:
    """All parts, with the usual weights; ``first`` are factors that are there already."""
    model = _uncut(entries, settings, rng, first)
    low, high = _reach(entries)
    low, high = np.maximum(low, settings.low), np.minimum(high, settings.high)
    return replace(model, rows=replace(model.rows, low=low, high=high))


def _reach(entries: Entries) -> tuple[np.ndarray, np.ndarray]:
    """What a column's entries may be, by those that were seen; anything where none were."""
    p, y, cols = entries.shape[1], entries.values, entries.cols
    low, high = np.full(p, np.inf), np.full(p, -np.inf)
    np.minimum.at(low, cols, y)
    np.maximum.at(high, cols, y)
    counts = np.maximum(np.bincount(cols, minlength=p), 1)
    mean, square = (np.bincount(cols, x, p) / counts for x in (y, y.astype(float) ** 2))
    margin = _BEYOND * np.sqrt(np.maximum(square - mean**2, 0.0))
    return np.where(low > high, -np.inf, low - margin), np.where(low > high, np.inf, high + margin)


def _uncut(
    entries: Entries, settings: Settings, rng: np.random.Generator, first: State | None
) -> Model:
    p, state = entries.shape[1], first
    correlated = settings.rank is None and settings.plain and 1 < p <= _WIDEST
    if state is None:
        state = factors(entries, settings, rng, max_sweeps=_FEW if correlated else 100)
    alone = Model.of_factors(state)
    if settings.rank is not None:
        return alone
    own, column_means = FactorRows.of(state), MeansChain.of(_in_room(entries)).rows
    if not correlated:
        beside: tuple[FactorRows, ...] = (column_means,)
        if p > _WIDEST:
            alike = factors(entries, settings, rng, column_noise=False)
            beside += (FactorRows.of(alike),)
        return replace(alone, rows=MixedRows.of(own, beside))
    Z, target, center = table(entries), own.covariance(), settings.center
    found = Covariance(own.mean, target).fitted(
        Z, target, _WORTH, center=center, watch=partial(settings.watch, None)
    )
    near = Neighbours.of(Z, found)
    rows = MixedRows.of(CovarianceRows(found), (column_means, own), near)
    return Model(rows, state, CovarianceChain(found, Z, target, _WORTH, center))


def means(entries: Entries) -> Model:
    """No factors at all."""
    chain = MeansChain.of(_in_room(entries))
    return Model(MixedRows.of(chain.rows, ()), None, chain)

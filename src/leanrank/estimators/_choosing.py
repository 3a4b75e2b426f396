"""Which model completes the rows of a table: the one that predicts entries held out in turn best.

Candidates are factors with a noise level for each column, whose number the data decide; a whole
covariance, shrunk by more or less towards that of the factors; and means. Where tables are too
wide for a covariance, factors with one noise level for all columns take its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from leanrank.estimators._entries import Entries
from leanrank.estimators._row_model import (
    Chain,
    CovarianceChain,
    CovarianceRows,
    FactorChain,
    FactorRows,
    MeansChain,
    Rows,
)
from leanrank.evidence import Prediction
from leanrank.evidence.prediction import NORMAL
from leanrank.posterior import Covariance, Layout, State, fit, start
from leanrank.posterior import _sweep as room

__all__ = [
    "Candidate",
    "HeldOut",
    "Settings",
    "candidates",
    "factors",
    "held_out",
    "means",
    "quantile",
    "table",
]

_SHARE = 0.1
"""Of the entries, held out at a time."""

_ENOUGH = 1000
"""Held-out entries, whose root mean square is known to some 3 %, after which no more are."""

_WORTHS = (100.0, 10.0, 1.0)
"""Rows that factors count for where a covariance is shrunk towards theirs."""

_USUAL = "covariance 10"
"""Taken unless another predicts better by more than a standard error."""

_WIDEST = 128
"""Columns up to which a covariance is tried: a sweep costs rows times columns cubed."""

_FIRST_WIDTH = 32
"""Factors to begin with in a table that has many columns; doubled while the data empty none."""


@dataclass(frozen=True)
class Settings:
    """What a user decided, and who watches.

    Attributes
    ----------
    rank : int or None
        Number of factors, if it is fixed.
    width : int or None
        Largest number of factors.
    center : bool
        Whether columns have means of their own.
    low, high : ndarray, shape (p,)
        Bounds of the columns, in their scaled units.
    watch : callable
        Called with the state after each sweep of factors; may raise to stop.
    """

    rank: int | None
    width: int | None
    center: bool
    low: np.ndarray
    high: np.ndarray
    watch: Callable[[State | None], None]


@dataclass(frozen=True)
class Candidate:
    """What rows may be completed by.

    Attributes
    ----------
    name : str
    rows : Rows
    state : State or None
        The factors that it is made of.
    chain : Chain
        Draws of the parameters.
    """

    name: str
    rows: Rows
    state: State | None
    chain: Chain


def table(entries: Entries) -> np.ndarray:
    """The entries in place, NaN elsewhere."""
    Z = np.full(entries.shape, np.nan)
    Z[entries.rows, entries.cols] = entries.values
    return Z


def _in_room(entries: Entries) -> room.Entries:
    weights = None if entries.loss.weights is None else entries.weights
    return room.Entries.of(entries.rows, entries.cols, entries.values, entries.shape, weights)


def factors(
    entries: Entries, settings: Settings, rng: np.random.Generator, *, column_noise: bool = True
) -> State:
    """Columns with a prior; as many as the data need, or as the user said."""
    inside, (n, p) = _in_room(entries), entries.shape
    most = min(n - settings.center, p) if settings.width is None else min(settings.width, n, p)
    width = settings.rank or min(most, 2 * _FIRST_WIDTH if p <= 2 * _FIRST_WIDTH else _FIRST_WIDTH)
    while True:
        layout = Layout(max(width, 0), column_intercepts=settings.center)
        state = fit(
            start(inside, layout, rng),
            column_noise=column_noise,
            prune=settings.rank is None,
            tol=1e-2,
            watch=settings.watch,
        )
        if settings.rank is not None or state.width < width or width >= most:
            return state
        width = min(2 * width, most)


def candidates(
    entries: Entries, settings: Settings, rng: np.random.Generator, *, first: State | None = None
) -> Iterator[Candidate]:
    """One after another; ``first`` are factors that are there already."""
    state = factors(entries, settings, rng) if first is None else first
    yield Candidate("factors", FactorRows.of(state), state, FactorChain(state, True))
    p, plain = entries.shape[1], entries.loss.plain
    if p > _WIDEST:
        other = factors(entries, settings, rng, column_noise=False)
        yield Candidate("alike", FactorRows.of(other), other, FactorChain(other, False))
    elif settings.rank is None and plain and p > 1:
        Z, rows = table(entries), FactorRows.of(state)
        target = rows.covariance()
        model = Covariance(rows.mean, target)
        for worth in _WORTHS:
            model = model.fitted(
                Z, target, worth, center=settings.center, watch=partial(settings.watch, None)
            )
            chain = CovarianceChain(model, Z, target, worth, settings.center)
            yield Candidate(f"covariance {worth:g}", CovarianceRows(model), state, chain)


def means(entries: Entries) -> Candidate:
    """No factors at all."""
    chain = MeansChain.of(_in_room(entries))
    return Candidate("means", chain.rows, None, chain)


@dataclass(frozen=True)
class HeldOut:
    """What became of entries that were held out.

    Attributes
    ----------
    index : ndarray of int
        Of the entries.
    best : str
        Name of the candidate that predicts them best.
    predicted : ndarray
        By that.
    prediction : Prediction
        Against means.
    scores : ndarray
        Sorted misses over deviations.
    correlated : bool
        Whether a covariance predicts them clearly better than factors do.
    """

    index: np.ndarray
    best: str
    predicted: np.ndarray
    prediction: Prediction
    scores: np.ndarray
    correlated: bool


def held_out(
    entries: Entries,
    settings: Settings,
    share: float | None,
    rng: np.random.Generator,
) -> HeldOut | None:
    """Fit the candidates without some of the entries, in turn; None where there are too few."""
    m = entries.values.size
    size = max(1, round(m * (_SHARE if share is None else share)))
    rounds = min(max(1, math.ceil(_ENOUGH / size)), m // size, 10)
    if m - size < 2:
        return None
    index = rng.permutation(m)[: rounds * size]
    found: dict[str, list[np.ndarray]] = {}
    for part in np.split(index, rounds):
        kept = np.ones(m, dtype=bool)
        kept[part] = False
        inside = entries.only(kept)
        Z, weight = table(inside), np.ones(inside.shape)
        weight[inside.rows, inside.cols] = inside.weights
        at = entries.rows[part], entries.cols[part]
        for each in candidates(inside, settings, rng):
            mean, variance = each.rows.complete(Z, weight)
            mean = np.clip(mean, settings.low, settings.high)
            found.setdefault(each.name, []).append(np.stack([mean[at], variance[at]]))
    joined = {
        name: np.concatenate(parts, axis=1) for name, parts in found.items() if len(parts) == rounds
    }
    joined["means"] = np.stack(MeansChain.of(_in_room(entries)).left_out(_in_room(entries), index))
    y, w = entries.values[index].astype(float), entries.weights[index]
    costs = {name: w * (y - mean) ** 2 for name, (mean, _) in joined.items()}
    best = _best(costs, settings)
    others = [cost for name, cost in costs.items() if name.startswith("covariance")]
    return HeldOut(
        index,
        best,
        joined[best][0],
        *_judged(y, joined[best], joined["means"][0], w),
        any(_clearly(costs["factors"] - cost) for cost in others),
    )


def _judged(
    y: np.ndarray, predicted: np.ndarray, by_means: np.ndarray, w: np.ndarray
) -> tuple[Prediction, np.ndarray]:
    """How readings compare with means and deviations, and the sorted scores."""
    mean, deviation = predicted[0], np.sqrt(predicted[1] / w)
    miss = np.abs(y - mean)
    scores = np.divide(miss, deviation, out=np.full(y.size, np.inf), where=deviation > 0)
    # Coverage of either half by what the other says.
    half = np.arange(y.size) % 2 == 0
    multiple = np.where(half, quantile(scores[~half], 0.95), quantile(scores[half], 0.95))
    deviation = deviation * np.minimum(multiple, 1e9) / NORMAL
    return Prediction.of(y, mean, by_means, deviation, w), np.sort(scores)


def _best(costs: dict[str, np.ndarray], settings: Settings) -> str:
    """The one with the least mean; the usual one if that is not clear, but not if means do better.

    Of a fixed rank, never means.
    """
    least = {name: float(cost.mean()) for name, cost in costs.items()}
    if settings.rank is not None:
        del least["means"]
    best = min(least, key=partial(dict.__getitem__, least))
    if _USUAL not in least or best == "means":
        return best
    clear = _clearly(costs[_USUAL] - costs[best])
    return best if clear or least[_USUAL] > least["means"] else _USUAL


def _clearly(saved: np.ndarray) -> bool:
    """Whether a mean is above zero by a standard error."""
    return float(saved.mean()) * math.sqrt(saved.size) > float(saved.std())


def quantile(scores: np.ndarray, level: float) -> float:
    """What a new score exceeds with probability 1 - level at most; infinite where that is open."""
    at = math.ceil((scores.size + 1) * level) - 1
    return float(np.sort(scores)[at]) if at < scores.size else math.inf

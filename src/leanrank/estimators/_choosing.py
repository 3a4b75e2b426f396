"""What models of rows predict of entries that are held out in turn, and their weights by that."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from leanrank.estimators._entries import Entries
from leanrank.estimators._models import (
    FACTORS,
    MEANS,
    Model,
    Settings,
    means,
    model_of,
    table,
)
from leanrank.estimators._weighing import cross_weighed, weighed
from leanrank.evidence import Prediction
from leanrank.evidence.prediction import NORMAL

__all__ = ["HeldOut", "held_out", "quantile"]

_SHARE = 0.1
"""Of the entries, held out at a time."""

_ENOUGH = 1000
"""Held-out entries, whose root mean square is known to some 3 %, after which no more are."""

_USUAL = 10.0
"""Entries that the usual ratio of misses and deviations counts for in each column."""


@dataclass(frozen=True)
class HeldOut:
    """What became of entries that were held out.

    Attributes
    ----------
    index : ndarray of int
        Of the entries.
    weights : ndarray, shape (models, p)
    stretch : ndarray, shape (p,)
        Misses over deviations.
    above : ndarray
        What the main model predicts above the mean of the column.
    prediction : Prediction
        Against means, with weights that do not know the entry.
    scores : ndarray
        Sorted misses over deviations.
    beyond : bool
        Whether all models together predict them clearly better than factors do.
    """

    index: np.ndarray
    weights: np.ndarray
    stretch: np.ndarray
    above: np.ndarray
    prediction: Prediction
    scores: np.ndarray
    beyond: bool

    @property
    def means_alone(self) -> bool:
        """Whether nothing but means counts."""
        return len(self.weights) > MEANS and bool(np.all(self.weights[MEANS] == 1.0))


def held_out(
    entries: Entries,
    settings: Settings,
    share: float | None,
    rng: np.random.Generator,
    tell: Callable[[float, float], None],
) -> HeldOut | None:
    """Fit the models without some of the entries, in turn; None where there are too few.

    Of a long table some rows do. ``tell`` is called after each turn with the relative error of
    the main model, and the share of all fits, one before and one after these, that is done.
    """
    entries, places = entries.of_some_rows(rng)
    m = entries.values.size
    size = max(1, round(m * (_SHARE if share is None else share)))
    rounds = min(max(1, math.ceil(_ENOUGH / size)), m // size, 10)
    if m - size < 2:
        return None
    index = rng.permutation(m)[: rounds * size]
    found, of_means, middle = [], [], []
    for part in np.split(index, rounds):
        kept = np.ones(m, dtype=bool)
        kept[part] = False
        inside = entries.only(kept)
        Z, weight = table(inside), np.ones(inside.shape)
        weight[inside.rows, inside.cols] = inside.weights
        rows, where = np.unique(entries.rows[part], return_inverse=True)
        model, at = model_of(inside, settings, rng), (where, entries.cols[part])
        found.append(
            [(mean[at], variance[at]) for mean, variance in model.rows.each(Z[rows], weight[rows])]
        )
        y, w = entries.values[part], entries.weights[part]
        whole = float(np.sum(w * y**2))
        error = math.sqrt(np.sum(w * (found[-1][0][0] - y) ** 2) / whole) if whole > 0 else 0.0
        tell(error, (1 + len(found)) / (2 + rounds))
        of_means.append(means(inside).rows.mean[at[1]])
        middle.append(model.rows.main.mean[at[1]])
    predicted, variance = np.moveaxis(np.concatenate(found, axis=2), 1, 0)
    above = predicted[0] - np.concatenate(middle)
    found_of = _judged(entries, index, model, predicted, variance, np.concatenate(of_means), above)
    return replace(found_of, index=places[index])


def _judged(
    entries: Entries,
    index: np.ndarray,
    model: Model,
    predicted: np.ndarray,
    variance: np.ndarray,
    of_means: np.ndarray,
    above: np.ndarray,
) -> HeldOut:
    """Weights of the models, of shape (models, held), and what comes of them."""
    y, w = entries.values[index].astype(float), entries.weights[index]
    cols, usual = entries.cols[index], model.rows.weights
    errors = np.sqrt(w) * (predicted - y)
    by = MEANS if len(usual) > MEANS else None
    weights = weighed(errors, cols, usual, by)
    missed = cross_weighed(errors, cols, usual, by)
    variance = np.sum(weights[:, cols] * variance, axis=0)
    stretch = _stretch(missed**2, variance, cols, usual.shape[1])
    mean, deviation = y + missed / np.sqrt(w), stretch[cols] * np.sqrt(variance / w)
    scores = np.divide(abs(mean - y), deviation, out=np.full(y.size, np.inf), where=deviation > 0)
    # Coverage of either half by what the other says.
    half = np.arange(y.size) % 2 == 0
    # What was held out is in the means that the table was centred by: zero knows it.
    of_means = min(of_means, np.zeros(y.size), key=lambda mean: float(np.mean(w * (mean - y) ** 2)))
    multiple = np.where(half, quantile(scores[~half], 0.95), quantile(scores[half], 0.95))
    prediction = Prediction.of(y, mean, of_means, deviation * np.minimum(multiple, 1e9) / NORMAL, w)
    beyond = model.correlated and _clearly(errors[FACTORS] ** 2 - missed**2)
    return HeldOut(index, weights, stretch, above, prediction, np.sort(scores), beyond)


def _stretch(square: np.ndarray, variance: np.ndarray, cols: np.ndarray, p: int) -> np.ndarray:
    """Roots of the ratios of squared misses and variances, for each column."""
    counts = np.bincount(cols, minlength=p)
    total = float(variance.sum())
    common = float(square.sum()) / total if total > 0 else 1.0
    typical = np.bincount(cols, variance, p) / np.maximum(counts, 1)
    above = np.bincount(cols, square, p) + _USUAL * common * typical
    below = (counts + _USUAL) * typical
    return np.sqrt(np.where(below > 0, above / np.where(below > 0, below, 1.0), common))


def _clearly(saved: np.ndarray) -> bool:
    """Whether a mean is above zero by a standard error."""
    return float(saved.mean()) * math.sqrt(saved.size) > float(saved.std())


def quantile(scores: np.ndarray, level: float) -> float:
    """What a new score exceeds with probability 1 - level at most; infinite where that is open."""
    at = math.ceil((scores.size + 1) * level) - 1
    return float(np.sort(scores)[at]) if at < scores.size else math.inf

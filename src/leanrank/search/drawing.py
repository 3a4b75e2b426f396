"""Drawing: posteriors of results, and what draws make of measurements that were held out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from leanrank._arrays import to_numpy
from leanrank.evidence.prediction import NORMAL, inside_by_halves
from leanrank.factors import Factors
from leanrank.losses import Loss
from leanrank.posterior import SPARE, Posterior, State, perturbed, sampled, widened
from leanrank.problem import Problem
from leanrank.search.holding_out import clearly_better

__all__ = [
    "MANY_COLUMNS",
    "Chain",
    "HeldOutDraws",
    "Perturbation",
    "draws_of_held_out",
    "wide_chain",
]

_SOLVES = 50
"""Draws of a result's posterior where each takes a solution of its own."""
_KEPT, _KEPT_OF_MANY = 60, 100
_AS_GOOD = 1.005
"""Cost of an average over few draws over that of the point estimate, up to which it is taken."""
_COVERED = 0.02
"""Share of held-out measurements in their 95 % intervals, off by which these are left alone."""
_DRAWS, _DRAWS_OF_MANY = 25, 40
"""Of the posterior, for held-out measurements: deviations within a seventh. The average over draws
of many columns takes more to settle."""


MANY_COLUMNS = 12
"""Columns from which on the rank may be low only nearly.

Photographs have 20 and more, and ratings up to 9, where many columns of one variance gain nothing.
"""
_MOST = 60
"""Columns of one variance, however many were found: a sweep takes the square of their number."""
_LARGE = 1 << 19
"""Entries from which on that takes minutes: then there are columns of their own variances only."""


@dataclass(frozen=True)
class Chain:
    """What is sampled.

    Attributes
    ----------
    column_noise : bool
        Whether each column has a noise level of its own.
    spare : int
        Columns besides those of a state.
    least_noise : float
        Where it is not zero, all columns have one variance, and the noise does not fall below.
    """

    column_noise: bool = False
    spare: int = SPARE
    least_noise: float = 0.0

    @property
    def usual_size(self) -> int:
        """Draws to keep where nobody says how many: many columns mix slowly."""
        return _KEPT_OF_MANY if self.least_noise else _KEPT

    @property
    def trial_size(self) -> int:
        """Draws to try it with."""
        return _DRAWS_OF_MANY if self.least_noise else _DRAWS

    def sample(self, state: State, rng: np.random.Generator, size: int) -> Posterior:
        """Draws from there."""
        if not self.least_noise:
            return sampled(state, rng, size=size, column_noise=self.column_noise, spare=self.spare)
        wide = state.without(np.arange(state.width) >= _MOST)
        wide = widened(wide, min(self.spare, min(state.entries.shape) - wide.width), rng)
        sample = sampled(
            wide, rng, size=size, spare=0, isotropic=True, least_noise=self.least_noise
        )
        return replace(sample, factors=state.factors)


@dataclass(frozen=True)
class HeldOutDraws:
    """What draws make of held-out measurements.

    Attributes
    ----------
    errors : ndarray
        What missing each costs, by the average or the point estimate.
    of_average : float
        Mean cost by the average.
    averaged : bool
        Whether their average over draws predicts them better than the point estimate.
    scores : ndarray or None
        Sorted misses in standard deviations, where these are not what they should be.
    inside : ndarray of bool
        Which lie in their 95 % intervals.
    """

    errors: np.ndarray
    of_average: float
    averaged: bool
    scores: np.ndarray | None
    inside: np.ndarray


def draws_of_held_out(
    held: Problem,
    state: State,
    residual: np.ndarray,
    loss: Loss,
    rng: np.random.Generator,
    chain: Chain,
) -> HeldOutDraws | None:
    """Sampling against held-out measurements; outliers do not count. None where no entries are."""
    found = held.op.entries()
    if found is None:
        return None
    rows, cols, scale = found
    posterior = chain.sample(state, rng, chain.trial_size)
    weights = np.ones(held.op.size) if loss.weights is None else to_numpy(loss.weights)
    noise = posterior.noise[cols] / np.where(weights > 0, weights, np.inf)
    deviation = np.sqrt(scale**2 * posterior.std(rows, cols) ** 2 + noise)
    of_average = scale * posterior.mean(rows, cols) - to_numpy(held.y)
    costs = [to_numpy(loss.value(r)) for r in (of_average, residual)]
    by_average = float(costs[0].mean())
    averaged = bool(by_average <= _AS_GOOD * costs[1].mean())
    residual, errors = (of_average, costs[0]) if averaged else (residual, costs[1])
    trust, full = (to_numpy(loss.majoriser(r)) for r in (residual, np.zeros_like(residual)))
    counted = (trust > 0.5 * full) & (weights > 0) & (deviation > 0)
    scores = (np.abs(residual) / np.where(deviation > 0, deviation, 1.0))[counted]
    inside = scores <= NORMAL
    if not scores.size or abs(float(np.mean(inside)) - 0.95) <= _COVERED:
        return HeldOutDraws(errors, by_average, averaged, None, inside)
    return HeldOutDraws(errors, by_average, averaged, np.sort(scores), inside_by_halves(scores))


def wide_chain(
    state: State,
    chain: Chain,
    seen: HeldOutDraws,
    try_out: Callable[[Chain], HeldOutDraws | None],
    most: int,
) -> tuple[Chain, HeldOutDraws]:
    """Many columns of one variance, where these predict held-out measurements clearly better.

    Where the matrix is of low rank only nearly (photographs), hardly any column stands out. Sixty
    are tried, and the noise is kept from falling below 0.7 of what held-out measurements are missed
    by, half of that, and so on, as long as the average over draws gains.

    Parameters
    ----------
    state : State
    chain : Chain
        Tried already.
    seen : HeldOutDraws
        What came of it.
    try_out : callable
        What comes of another.
    most : int
        Columns at most.
    """
    ruled_out = state.width < MANY_COLUMNS or state.entries.size >= _LARGE
    if ruled_out or state.loss is not None or chain.column_noise:
        return chain, seen
    more = max(min(_MOST, most) - state.width, 0)
    best, least, level = (chain, seen), math.inf, 0.7 * float(np.mean(seen.errors))
    while level > 0:
        wide = Chain(spare=more, least_noise=level)
        drawn = try_out(wide)
        if drawn is None or not drawn.of_average < least:
            break
        best, least, level = (wide, drawn), drawn.of_average, 0.5 * level
    return best if clearly_better(best[1].errors, seen.errors) else (chain, seen)


@dataclass(frozen=True)
class Perturbation:
    """Draws the posterior of a fit to measurements of any kind, in the units of its problem."""

    problem: Problem
    factors: Factors
    seed: int
    scale: float
    size: int = _SOLVES

    def __call__(self) -> Posterior:
        rng = np.random.default_rng(self.seed)
        return perturbed(self.problem, self.factors, rng, self.size).scaled(self.scale)

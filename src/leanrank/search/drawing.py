"""Drawing: posteriors of results, and what draws make of measurements that were held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leanrank._arrays import to_numpy
from leanrank.evidence.prediction import NORMAL
from leanrank.factors import Factors
from leanrank.losses import Loss
from leanrank.posterior import Posterior, State, perturbed, sampled
from leanrank.problem import Problem

__all__ = ["HeldOutDraws", "Perturbation", "draws_of_held_out"]

_SOLVES = 50
"""Draws of a result's posterior where each takes a solution of its own."""
_AS_GOOD = 1.005
"""Cost of an average over few draws over that of the point estimate, up to which it is taken."""
_COVERED = 0.02
"""Share of held-out measurements in their 95 % intervals, off by which these are left alone."""
_DRAWS = 40
"""Of the posterior, for the coverage of held-out measurements: deviations within a tenth."""


@dataclass(frozen=True)
class HeldOutDraws:
    """What draws make of held-out measurements.

    Attributes
    ----------
    averaged : bool
        Whether their average over draws predicts them better than the point estimate.
    scores : ndarray or None
        Sorted misses in standard deviations, where these are not what they should be.
    inside : ndarray of bool
        Which lie in their 95 % intervals.
    """

    averaged: bool
    scores: np.ndarray | None
    inside: np.ndarray


def draws_of_held_out(
    held: Problem,
    state: State,
    residual: np.ndarray,
    loss: Loss,
    rng: np.random.Generator,
    *,
    column_noise: bool,
    spare: int,
) -> HeldOutDraws | None:
    """Sampling against held-out measurements; outliers do not count. None where no entries are."""
    found = held.op.entries()
    if found is None:
        return None
    rows, cols, scale = found
    posterior = sampled(state, rng, size=_DRAWS, column_noise=column_noise, spare=spare)
    weights = np.ones(held.op.size) if loss.weights is None else to_numpy(loss.weights)
    noise = posterior.noise[cols] / np.where(weights > 0, weights, np.inf)
    deviation = np.sqrt(scale**2 * posterior.std(rows, cols) ** 2 + noise)
    of_average = scale * posterior.mean(rows, cols) - to_numpy(held.y)
    costs = (float(np.mean(to_numpy(loss.value(r)))) for r in (of_average, residual))
    averaged = next(costs) <= _AS_GOOD * next(costs)
    residual = of_average if averaged else residual
    trust, full = (to_numpy(loss.majoriser(r)) for r in (residual, np.zeros_like(residual)))
    counted = (trust > 0.5 * full) & (weights > 0) & (deviation > 0)
    scores = (np.abs(residual) / np.where(deviation > 0, deviation, 1.0))[counted]
    inside = scores <= NORMAL
    if not scores.size or abs(float(np.mean(inside)) - 0.95) <= _COVERED:
        return HeldOutDraws(averaged, None, inside)
    # Each half by what the other half asks for.
    halves = scores[::2], scores[1::2]
    limits = [np.quantile(half, 0.95) if half.size else np.inf for half in halves]
    inside = np.concatenate([halves[0] <= limits[1], halves[1] <= limits[0]])
    return HeldOutDraws(averaged, np.sort(scores), inside)


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

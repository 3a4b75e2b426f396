"""Held-out measurements: how far to grow, and which width to take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from leanrank._arrays import Array, to_numpy
from leanrank.factors import Factors
from leanrank.operators import Measurement
from leanrank.operators._pattern import distinct
from leanrank.problem import Problem
from leanrank.search.fitting import Fitter, Stage

__all__ = [
    "Split",
    "choose_width",
    "clearly_better",
    "joined",
    "of_width",
    "relative_error",
    "rounds_of",
    "split",
    "while_better",
]


@dataclass(frozen=True)
class Split:
    """A problem to fit, and the problem of measurements that it has not seen."""

    train: Problem
    held: Problem

    def residual(self, factors: Factors) -> Array:
        """What factors miss the held-out measurements by."""
        self.train.passes += self.held.op.size / self.train.op.size
        return self.held.op.forward(factors) - self.held.y

    def errors(self, factors: Factors) -> np.ndarray:
        """What missing each held-out measurement costs: squared errors, of the squared loss."""
        cost = self.held.loss.value(self.residual(factors))
        return to_numpy(cost).astype(np.float64)

    def assess(self, stage: Stage) -> Stage:
        """The stage with its errors on the held-out measurements."""
        return replace(stage, errors=self.errors(stage.factors))

    def median_error(self, stage: Stage) -> float:
        """Median error of an assessed stage relative to the measurements, as a residual.

        For exact fits, of which a few measurements may be left undetermined by holding others
        out: a wrong fit misses nearly all of them.
        """
        if stage.errors is None or self.zero_error == 0:
            return 0.0
        return math.sqrt(float(np.median(stage.errors)) / self.zero_error)

    @property
    def zero_error(self) -> float:
        """Mean error of the zero matrix."""
        return float(np.mean(to_numpy(self.held.loss.value(-self.held.y)).astype(np.float64)))


def relative_error(splits: Sequence[Split], factors: Sequence[Factors]) -> float:
    """Size of the held-out residuals over that of the measurements, over all rounds.

    Root mean squares; of a loss that resists outliers, a size that outliers do not change.
    """
    missed = [
        part.held.loss.size(part.residual(f)) for part, f in zip(splits, factors, strict=True)
    ]
    whole = [part.held.loss.size(part.held.y) for part in splits]
    square = float(np.mean(np.square(whole)))
    return math.sqrt(float(np.mean(np.square(missed))) / square) if square > 0 else 0.0


def split(problem: Problem, share: float, rng: np.random.Generator, rounds: int = 1) -> list[Split]:
    """Hold a random share of the measurements out, different ones in each round.

    At least one is held out and one is left to fit, so that few measurements may allow fewer
    rounds. A single one is both fitted and held out. Entries that were measured several times are
    held out as a whole, or what is fitted would know them.
    """
    op = problem.op
    order = _shuffled(op, rng)
    count = max(1, min(round(share * op.size), op.size - 1))
    splits = []
    for i in range(min(rounds, op.size // count)):
        out = np.sort(order[i * count : (i + 1) * count])
        inside = np.setdiff1d(np.arange(op.size), out, assume_unique=True)
        held = problem.subset(out)
        train = problem.subset(inside if inside.size else out)
        splits.append(Split(train, held))
    return splits


def _shuffled(op: Measurement, rng: np.random.Generator) -> np.ndarray:
    """All measurements in random order, those of one entry after another."""
    order, found = rng.permutation(op.size), op.entries()
    if found is None:
        return order
    flat = found[0] * np.int64(op.shape[1]) + found[1]
    once = distinct(flat)
    if once.size == flat.size:
        return order
    return np.argsort(rng.permutation(once.size)[np.searchsorted(once, flat)], kind="stable")


def rounds_of(problem: Problem, data: Split, fitter: Fitter) -> list[Split]:
    """The split alone where it holds out many; otherwise several, others held out in turn."""
    policy = fitter.policy
    if data.held.op.size >= policy.fewest_held_out:
        return [data]
    rounds = policy.rounds
    if problem.op.size >= policy.many_measurements:
        rounds = policy.rounds_of_many
    return split(problem, 0.5 / policy.rounds, fitter.rng, rounds)


def while_better(
    stages: Iterable[Stage],
    data: Split,
    patience: int,
    watch: Callable[[Stage], None] = lambda stage: None,
) -> list[Stage]:
    """The stages of a path, assessed, until it predicts no better for ``patience`` stages.

    ``watch`` is shown each of them.
    """
    seen: list[Stage] = []
    for stage in stages:
        seen.append(data.assess(stage))
        watch(seen[-1])
        best = min(range(len(seen)), key=lambda i: seen[i].held_out)
        if len(seen) - 1 - best >= patience and not stage.exact:
            break
    return seen


def of_width(path: list[Stage], width: int) -> Stage:
    """The first stage of a width."""
    return next(stage for stage in path if stage.width == width)


def joined(stages: list[Stage]) -> np.ndarray:
    """Squared held-out errors of the stages of several rounds, one after another."""
    return np.concatenate([stage.errors for stage in stages if stage.errors is not None])


def clearly_better(errors: np.ndarray, than: np.ndarray, deviations: float = 1.0) -> bool:
    """Whether squared errors are lower by more than one standard error, or so many.

    Differences are taken measurement by measurement, so that what is hard to predict in any way
    does not blur the comparison.
    """
    gain = than - errors
    return bool(gain.mean() > deviations * gain.std() / math.sqrt(gain.size))


def choose_width(errors: dict[int, np.ndarray], deviations: float = 1.0) -> int:
    """The smallest width that the best one is not clearly better than.

    Parameters
    ----------
    errors : dict
        For each width the squared errors on the same held-out measurements.
    deviations : float
        Standard errors that are clear.
    """
    best = min(errors, key=lambda k: (float(errors[k].mean()), k))
    return next(
        k for k in sorted(errors) if not clearly_better(errors[best], errors[k], deviations)
    )

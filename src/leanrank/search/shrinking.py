"""A prior instead of rank: where shrinking wide factors predicts better than any width.

The same for all columns (a ridge), or one for each that its column can empty (ARD).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from leanrank._arrays import to_numpy
from leanrank.evidence import leaves_noise, virtual_columns
from leanrank.evidence.sensitivity import noise_deviation
from leanrank.factors import Factors
from leanrank.penalties import ARD, Penalty, Ridge
from leanrank.problem import Point, Problem
from leanrank.search.fitting import Fitter, Stage
from leanrank.search.growing import append_leading, leading_columns
from leanrank.search.holding_out import Split, choose_width, clearly_better, joined, of_width

__all__ = ["Shrunk", "better_ridge", "better_shrunk", "needs_no_ridge", "shrink"]


_VANISHING = 1e-3
"""Smoothing of ARD, over the square of the largest column norm."""

_ROUNDS = 6
"""Rounds of fitting and widening: each adds a quarter, and the next ridge goes on from there."""


@dataclass(frozen=True)
class Shrunk:
    """A penalty, its squared errors on held-out measurements, and the factors of each round.

    ``width`` is the number of their leading directions that are worth keeping.
    """

    penalty: Penalty
    errors: np.ndarray
    rounds: list[Factors]
    width: int = 0

    @property
    def factors(self) -> Factors:
        """All directions, from the first round."""
        return self.rounds[0].balance()

    @property
    def pruned(self) -> Factors:
        """The leading directions alone."""
        return leading_columns(self.factors, self.width)


def needs_no_ridge(problem: Problem, point: Point, fitter: Fitter) -> bool:
    """Whether measurements abound and what a fit leaves of them is noise."""
    dof = max(point.factors.degrees_of_freedom(), 1)
    if problem.op.size < fitter.policy.abundant * dof:
        return False
    return leaves_noise(problem, point, fitter.rng, fitter.policy.evidence)


def better_shrunk(
    paths: list[tuple[Split, list[Stage]]],
    width: int,
    errors: np.ndarray,
    fitter: Fitter,
    *,
    most: int,
) -> Shrunk | None:
    """The better of :func:`better_ridge` and columns with variances of their own, if one is.

    Parameters as there.
    """
    found = better_ridge(paths, width, errors, fitter, most=most)
    relevant = _relevant(paths, width, fitter)
    least = errors if found is None else found.errors
    if relevant is not None and clearly_better(relevant.errors, least):
        return relevant
    return found


def _relevant(paths: list[tuple[Split, list[Stage]]], width: int, fitter: Fitter) -> Shrunk | None:
    """The widest stages, fitted on under ARD; None where nothing tells what noise is normal.

    The variance of the noise is that which the best width leaves of the first round.
    """
    (data, path), rounds = paths[0], []
    wide, deviation = path[-1].factors, noise_deviation(data.train, of_width(path, width).point)
    if not data.train.loss.quadratic or not math.isfinite(deviation) or not wide.width:
        return None
    rows, norms = int(wide.W.shape[0]), to_numpy(wide.column_norms())
    strength = deviation**2 * data.train.op.weight * rows
    penalty = ARD(strength, _VANISHING * float(norms.max()) ** 2)
    tried = []
    for part, stages in paths:
        problem, start = part.train.with_penalty(penalty), stages[-1].factors
        point = shrink(problem, start, start.width, fitter, "validate")
        rounds.append(point.factors)
        tried.append(part.assess(Stage(point, exact=False)))
    kept = rounds[0].balance()
    above = to_numpy(kept.column_norms()) > penalty.prune_threshold
    return Shrunk(penalty, joined(tried), rounds, int(above.sum()))


def better_ridge(
    paths: list[tuple[Split, list[Stage]]],
    width: int,
    errors: np.ndarray,
    fitter: Fitter,
    *,
    most: int,
) -> Shrunk | None:
    """A ridge that predicts clearly better than the best width, if there is one.

    Twice the ridge is the curvature of a virtual column at zero, so the one that balances the
    strongest virtual column of the best width is the natural scale. Not tried where the residual
    is noise and measurements abound.

    Parameters
    ----------
    paths : list of (Split, stages)
        Assessed stages for each round of holding out.
    width : int
        The best width.
    errors : ndarray
        Its squared errors, the rounds one after another.
    fitter : Fitter
    most : int
        Largest width to consider.
    """
    data, path = paths[0]
    stage = of_width(path, width)
    train = data.train.refitted(stage.point)
    G = train.gradient_matrix(stage.point.residual)
    strength = float(virtual_columns(G, stage.factors, fitter.rng)[1][0])
    if strength <= 0 or needs_no_ridge(train, stage.point, fitter):
        return None
    starts = [of_width(path, width).factors for _, path in paths]
    top = min(2 * path[-1].width + 2, most)
    # Strong ridges leave the zero matrix: that is no reason to end the search.
    nothing = float(np.mean([part.zero_error for part, _ in paths]))
    best: Shrunk | None = None
    for ratio in fitter.policy.ridges:
        ridge = Ridge(0.5 * strength * ratio)
        tried = []
        for i, (part, _) in enumerate(paths):
            point = shrink(part.train.with_penalty(ridge), starts[i], top, fitter, "validate")
            starts[i] = point.factors
            tried.append(part.assess(Stage(point, exact=False)))
        new = Shrunk(ridge, joined(tried), list(starts))
        if best is None or new.errors.mean() < best.errors.mean():
            best = new
        elif best.errors.mean() < 0.99 * nothing:
            break
    if best is None or not clearly_better(best.errors, errors):
        return None
    return _pruned(best, [part for part, _ in paths])


def _pruned(shrunk: Shrunk, parts: list[Split]) -> Shrunk:
    """Directions that do not make held-out measurements clearly better predicted are dropped."""
    whole = [factors.balance() for factors in shrunk.rounds]
    errors = {
        k: np.concatenate(
            [part.errors(leading_columns(f, k)) for part, f in zip(parts, whole, strict=True)]
        )
        for k in range(max(f.width for f in whole) + 1)
    }
    width = choose_width(errors)
    return replace(shrunk, errors=errors[width], width=width)


def shrink(problem: Problem, factors: Factors, top: int, fitter: Fitter, phase: str) -> Point:
    """The minimiser under the problem's ridge, of all widths up to ``top``: columns come and go."""
    curvature = problem.penalty.curvature_at_zero
    for _ in range(_ROUNDS):
        alive = _fitted(problem, factors, fitter, phase) if factors.width else factors
        point = problem.evaluate(alive)
        room = min(top, *problem.op.shape) - alive.width
        more = min(1 + alive.width // 4, room)
        asked = append_leading(problem, point, fitter, more, least=1.02 * curvature)
        if asked.width <= max(alive.width, factors.width):
            break
        factors = asked
    return point


def _fitted(problem: Problem, factors: Factors, fitter: Fitter, phase: str) -> Factors:
    """Fit until the objective hardly changes, then drop the directions that the ridge emptied."""
    fitter = fitter.with_gauss_newton(max_inner=40)
    state = fitter.fit(problem, factors, phase, progress=0.999, max_iter=12)
    s = to_numpy(state.factors.singular_values())
    return state.factors.balance().keep(
        np.arange(s.size) < (s > fitter.policy.negligible * s[0]).sum()
    )

"""Growing: fit, add the leading virtual columns of the certificate, fit again.

It starts from nothing and adds columns whenever progress stalls: all that stand clear of noise, or
one where none does. Where singular values are close the first look shows nearly all of them; where
they are far apart each shows when those above it are fitted. A path that was grown is walked back
from wider factors where it may have been trapped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from leanrank._arrays import MatrixLike, like
from leanrank.evidence import bulk_centre, explained_of_noise, noise_level, virtual_columns
from leanrank.factors import Factors, degrees_of_freedom
from leanrank.policy import Policy
from leanrank.problem import Point, Problem
from leanrank.search.fitting import Fitter, Stage
from leanrank.search.left_out import column_weight

__all__ = [
    "append_leading",
    "grow",
    "is_significant",
    "leading_columns",
    "stages_from",
    "walk_back",
    "widest",
]


def widest(problem: Problem, symmetric: bool, share: float) -> int:
    """Largest width whose degrees of freedom are at most ``share`` of the measurements."""
    shape, m = problem.op.shape, problem.effective_size
    k, top = 0, min(shape)
    while k < top and degrees_of_freedom(shape, k + 1, symmetric) <= share * m:
        k += 1
    return k


def grow(
    problem: Problem,
    factors: Factors,
    fitter: Fitter,
    phase: str,
    *,
    max_width: int,
    greedy: bool = False,
) -> Iterator[Stage]:
    """Stages of rising width, each from the one before and its leading virtual columns.

    Ends with an exact fit, at ``max_width``, where no virtual column descends, or (unless
    ``greedy``) with the first columns that lower the loss no more than a fit to noise would. Those
    that stand clear of noise come at once, unless ``greedy``, where each width is of interest; wide
    factors grow by several in any case.
    """
    before: Point | None = None
    while True:
        stage = fitter.stage(problem, factors, phase)
        yield stage
        point = stage.point
        worth = greedy or before is None or is_significant(before, point, problem, fitter.policy)
        if stage.exact or not worth:
            return
        before = point
        room = max_width - stage.width
        fewest = min(room, 1 + stage.width // fitter.policy.appended_share)
        if greedy or fewest == room:
            factors = append_leading(problem, point, fitter, fewest)
        else:
            factors = _append_clear(problem, point, fitter, fewest, room)
        if factors.width == stage.width:
            return


def _append_clear(
    problem: Problem, point: Point, fitter: Fitter, fewest: int, most: int
) -> Factors:
    """As :func:`append_leading`, with all columns that stand clear of noise, and the fewest."""
    problem = problem.refitted(point)
    G = problem.gradient_matrix(point.residual)
    # One more than is asked for tells whether to ask for many.
    columns, strength = virtual_columns(G, point.factors, fitter.rng, fewest + 1)
    clear = _worth_having(problem, point, G, fitter)
    most = min(most, fitter.policy.appended_at_once)
    if strength[-1] > clear and most > fewest + 1:
        columns, strength = virtual_columns(G, point.factors, fitter.rng, most)
    count = max(fewest, int((strength > clear).sum()))
    return _appended(problem, point, leading_columns(columns, count), strength[:count], fitter)


def _worth_having(problem: Problem, point: Point, G: MatrixLike, fitter: Fitter) -> float:
    """Strength from which a column is worth having.

    Directions that noise blurs are from a little above the edge of what noise alone shows, where
    keeping one costs no more than leaving it out (Gavish and Donoho 2014, eq. 11).
    """
    shape = problem.op.shape
    beta = min(shape) / max(shape)
    over_edge = math.sqrt(2.0 * (1.0 + beta) * column_weight(shape)) / (1.0 + math.sqrt(beta))
    edge = noise_level(problem, point, fitter.rng, 1)
    return bulk_centre(G, point.factors, fitter.rng) + over_edge * edge


def stages_from(
    problem: Problem,
    start: Factors,
    fitter: Fitter,
    phase: str,
    *,
    max_width: int,
    greedy: bool = False,
) -> Iterator[Stage]:
    """Stages around a start: pruned from it width by width, fitted, and grown on from there.

    In rising order, the zero matrix first. Where the start leads to an exact fit there is nothing
    between.
    """
    top = fitter.stage(problem, leading_columns(start.balance(), max_width), phase)
    nothing = leading_columns(start, 0)
    below: list[Stage] = []
    if not top.exact:
        wide = top.factors
        for width in range(top.width - 1, 0, -1):
            below.append(fitter.stage(problem, leading_columns(wide.balance(), width), phase))
            wide = below[-1].factors
    if top.width:
        yield fitter.stage(problem, nothing, phase)
    yield from reversed(below)
    if top.exact:
        yield top
    else:
        yield from grow(problem, top.factors, fitter, phase, max_width=max_width, greedy=greedy)


def walk_back(
    problem: Problem, stages: list[Stage], wide: Factors, fitter: Fitter, phase: str
) -> list[Stage]:
    """The path with each width also pruned from wider factors, the better one kept.

    A fit that grew to its width may be trapped where one of more columns is not, and its weakest
    directions can then be spared.
    """
    back = []
    for stage in reversed(stages):
        if wide.width >= stage.width:
            pruned = fitter.stage(problem, leading_columns(wide.balance(), stage.width), phase)
            fewer, grown = problem.comparable([pruned.point, stage.point])
            if fewer < grown:
                stage = pruned
            wide = stage.factors
        back.append(stage)
    return back[::-1]


def is_significant(before: Point, after: Point, problem: Problem, policy: Policy) -> bool:
    """Whether new columns lowered the loss by more than fitting noise would.

    See :func:`~leanrank.evidence.explained_of_noise`.
    """
    dof = before.factors.degrees_of_freedom()
    new = after.factors.degrees_of_freedom() - dof
    noise = explained_of_noise(new, problem.op.size - dof, policy.evidence)
    lower, higher = problem.comparable([after, before])
    return higher - lower > noise * higher


def append_leading(
    problem: Problem, point: Point, fitter: Fitter, k: int, *, least: float = 0.0
) -> Factors:
    """The factors with up to k leading virtual columns, scaled to where the loss is least.

    Only columns of negative curvature above ``least`` are taken.
    """
    if k <= 0:
        return point.factors
    problem = problem.refitted(point)
    G = problem.gradient_matrix(point.residual)
    columns, strength = virtual_columns(G, point.factors, fitter.rng, k)
    return _appended(problem, point, columns, strength, fitter, least)


def _appended(
    problem: Problem,
    point: Point,
    columns: Factors,
    strength: np.ndarray,
    fitter: Fitter,
    least: float = 0.0,
) -> Factors:
    """The factors with such virtual columns, those that are strong enough."""
    mask = strength > max(fitter.policy.weakest_appended * strength[0], least)
    if not mask.any():
        return point.factors
    weights = np.sqrt(strength[mask] / strength[0])
    columns = columns.keep(np.asarray(mask))
    columns = columns.with_stacked(columns.W * like(weights, columns.W))
    problem.passes += 1.0
    t = problem.line_minimum(point, problem.op.forward(columns))
    return point.factors.append(columns.scaled(t)) if t > 0 else point.factors


def leading_columns(factors: Factors, k: int) -> Factors:
    """The first k columns."""
    return factors.keep(np.arange(factors.width) < k)

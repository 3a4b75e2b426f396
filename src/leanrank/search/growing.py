"""Growing: fit, add the leading virtual columns of the certificate, fit again.

It starts from nothing and adds a column whenever progress stalls, the better way where singular
values are far apart. A path that was grown is walked back from wider factors where it may have been
trapped.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from leanrank._arrays import like
from leanrank.evidence import explained_of_noise, virtual_columns
from leanrank.factors import Factors, degrees_of_freedom
from leanrank.policy import Policy
from leanrank.problem import Point, Problem
from leanrank.search.fitting import Fitter, Stage

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
    """A stage for each width, each from the one before and its leading virtual columns.

    Ends with an exact fit, at ``max_width``, where no virtual column descends, or (unless
    ``greedy``) with the first column that lowers the loss no more than a fit to noise would. Wide
    factors grow by several columns at once.
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
        more = min(max_width - stage.width, 1 + stage.width // fitter.policy.appended_share)
        factors = append_leading(problem, point, fitter, more)
        if factors.width == stage.width:
            return


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

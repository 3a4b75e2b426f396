"""Penalising: start wide, and let the group Lasso empty the columns that are not needed.

The pruning phase of Algorithm 1 of Rajaraman et al. (2023), with second-order steps: the better way
where singular values are close and measurements few.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from leanrank._arrays import array_namespace, gaussian, norm
from leanrank.factors import Factors
from leanrank.penalties import GroupLasso
from leanrank.problem import Point, Problem
from leanrank.search.fitting import Fitter, Stage
from leanrank.search.growing import append_leading, grow
from leanrank.solvers import GaussNewton

__all__ = ["PENALISED", "penalise", "penalise_wide", "stages_by_penalising"]

PENALISED = GaussNewton(damping=0.1, forcing=0.1, balance=False)
"""Under a group Lasso, whose groups are columns as they are: balancing would mix them."""


def stages_by_penalising(
    problem: Problem, grown: list[Stage], fitter: Fitter, *, max_width: int, most: int
) -> Iterator[Stage]:
    """Penalise, prune, grow on up to ``most`` columns, until a fit is exact.

    From nothing, which suits singular values that are close, and from the last stage that growing
    did well, which suits those that are far apart; strong penalties first.
    """
    policy, nothing, last = fitter.policy, grown[0], grown[max(len(grown) - 2, 0)]
    attempts = [(nothing, strength) for strength in policy.strengths]
    if len(grown) > 3:
        first, *others = ((last, strength) for strength in policy.strengths_from_last)
        attempts = [first, attempts[0], *others, *attempts[1:]]
    for base, strength in attempts:
        factors = penalise_wide(problem, base.point, fitter, strength, max_width=max_width)
        if factors.width > most:
            continue
        for stage in grow(problem, factors, fitter, "grow", max_width=most):
            yield stage
            if stage.exact:
                return


def penalise_wide(
    problem: Problem, base: Point, fitter: Fitter, strength: float, *, max_width: int
) -> Factors:
    """Penalised and pruned factors; the width doubles until pruning finds enough to prune."""
    policy = fitter.policy
    top = min(math.ceil(policy.penalised_excess * max_width), *problem.op.shape)
    width = min(top, max(policy.starting_width, 2 * base.factors.width))
    while True:
        factors = penalise(problem, base, fitter, width=width, strength=strength)
        if factors.width <= policy.widening * width or width == top:
            return factors
        width = min(2 * width, top)


def penalise(
    problem: Problem, base: Point, fitter: Fitter, *, width: int, strength: float
) -> Factors:
    """Over-parameterise what a fit has left: widen, minimise with group Lasso, prune.

    Columns are dropped as they vanish, and those of norm at most 2 sqrt(beta) in the end. From
    the zero matrix this is the pruning phase of Algorithm 1.

    Parameters
    ----------
    problem : Problem
    base : Point
        Where to start; virtual columns widen it.
    fitter : Fitter
    width : int
        Columns to start with.
    strength : float
        Lambda relative to the loss at ``base``, for columns of the typical norm that the residual
        there stands for.
    """
    policy = fitter.policy
    problem = problem.refitted(base)
    size = _typical_size(problem, base, fitter)
    typical = math.sqrt(size if base.factors.symmetric else 2.0 * size)
    penalty = GroupLasso(
        strength * problem.comparable([base])[0] / typical, (policy.smoothing * typical) ** 2
    )
    penalised = problem.with_penalty(penalty)
    start = append_leading(problem, base, fitter, width - base.factors.width)
    emptied = fitter.monitor.finished.result(
        "penalise", start, lambda: _emptied(penalised, start, penalty, fitter)
    )
    return fitter.monitor.prune(emptied, penalty.prune_threshold)


def _emptied(problem: Problem, start: Factors, penalty: GroupLasso, fitter: Fitter) -> Factors:
    """What a group Lasso leaves of wide factors, less the columns that vanished on the way."""
    policy = fitter.policy
    solver = replace(PENALISED, max_inner=100)
    vanishing = policy.vanishing * penalty.prune_threshold
    values: list[float] = []
    state = solver.init(problem, start)
    for _ in range(policy.penalised_steps):
        fitter.monitor(replace(state, phase="penalise"))
        values.append(state.point.value)
        settled = len(values) > 3 and values[-4] - values[-1] < policy.penalised_tol * values[-1]
        if state.stalled or settled:
            break
        state = solver.step(problem, state)
        alive = state.factors.column_norms() > vanishing
        if not bool(array_namespace(alive).all(alive)):
            kept = state.factors.keep(alive)
            state = replace(solver, damping=state.memory.damping).init(problem, kept)
    return state.factors


def _typical_size(problem: Problem, point: Point, fitter: Fitter) -> float:
    """Frobenius norm of a matrix that would give measurements of the size of the residual.

    From how a random matrix of low rank is measured; one pass.
    """
    n1, n2 = problem.op.shape
    k = min(4, n1, n2)
    reference = problem.op.reference
    U = gaussian(fitter.rng, (n1, k), reference)
    probe = Factors(
        U, None if point.factors.symmetric else gaussian(fitter.rng, (n2, k), reference)
    )
    problem.passes += 1.0
    image = norm(problem.loss.standardised(problem.op.forward(probe)))
    residual = problem.loss.size(point.residual) * math.sqrt(problem.op.size)
    return residual * probe.norm() / image if image > 0 else 1.0

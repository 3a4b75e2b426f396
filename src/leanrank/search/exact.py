"""Exact fits: those of all measurements, and of least rank."""

from __future__ import annotations

from leanrank._arrays import to_numpy
from leanrank.factors import Factors
from leanrank.problem import Problem
from leanrank.search.fitting import Fitter, Stage
from leanrank.search.growing import leading_columns
from leanrank.search.holding_out import Split, relative_error
from leanrank.search.paths import Paths

__all__ = ["exact_fit", "is_missed", "least_rank", "lower_exact_fit"]


def exact_fit(
    paths: Paths, data: Split, stages: list[Stage], best: Stage
) -> tuple[Factors, float | None] | None:
    """Factors that fit all measurements to rounding, if any are found, and their held-out error.

    From an exact fit of what was not held out; else, where exploring may have been misled, from all
    measurements.
    """
    if stages[-1].exact:
        point = paths.fitter.fit_well_observed(paths.problem, stages[-1].factors, "refit")
        if paths.problem.is_exact(point):
            return point.factors, data.median_error(stages[-1])
    if not (is_missed(paths, data, best) or paths.are_few(best.width)):
        return None
    whole = list(paths.stages(paths.problem, "grow", 2 * best.width + 10))
    if not whole[-1].exact:
        whole = paths.others(whole, paths.max_width)
    return (whole[-1].factors, None) if whole and whole[-1].exact else None


def is_missed(paths: Paths, data: Split, best: Stage) -> bool:
    """Whether the best stage predicts so little that exploring may have been misled."""
    return relative_error([data], [best.factors]) ** 2 > paths.fitter.policy.unpredicted


def lower_exact_fit(paths: Paths, grown: list[Stage], rank: int) -> Factors | None:
    """An exact fit of lower rank than one that is not determined, if there is one.

    Where growing is trapped at the right rank, the next column may fit what is left in many ways.
    """
    if rank < 2:
        return None
    whole = [Stage(paths.problem.evaluate(stage.factors), False) for stage in grown]
    stages = paths.others(whole, rank - 1)
    if stages and stages[-1].exact and stages[-1].width < rank:
        return least_rank(paths.problem, stages[-1].factors, paths.fitter)
    return None


def least_rank(problem: Problem, factors: Factors, fitter: Fitter) -> Factors:
    """Drop the weakest singular direction for as long as the fit stays exact."""
    while factors.width > 1:
        s = to_numpy(factors.singular_values())
        if s[-1] > fitter.policy.negligible * s[0]:
            break
        fewer = leading_columns(factors.balance(), factors.width - 1)
        state = fitter.fit(problem, fewer, "prune")
        if not problem.is_exact(state.point):
            break
        factors = state.factors
    return factors

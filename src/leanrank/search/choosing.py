"""Choosing: the width, or the ridge, that predicts held-out measurements best."""

from __future__ import annotations

from typing import NamedTuple

from leanrank.factors import Factors
from leanrank.penalties import Ridge
from leanrank.search.fitting import Stage
from leanrank.search.growing import leading_columns
from leanrank.search.holding_out import (
    Split,
    choose_width,
    joined,
    of_width,
    relative_error,
    split,
)
from leanrank.search.left_out import width_by_leaving_out
from leanrank.search.paths import Paths
from leanrank.search.shrinking import better_ridge, needs_no_ridge

__all__ = ["Choice", "best_predicting", "of_rank"]


class Choice(NamedTuple):
    """What is to be refitted to all measurements, and how well it predicted some of them."""

    factors: Factors
    held_out_error: float | None = None
    ridge: Ridge | None = None


def best_predicting(paths: Paths, data: Split, stages: list[Stage], *, may_split: bool) -> Choice:
    """The width that predicts held-out measurements best, or a ridge.

    With few held-out measurements the path is followed again, others held out in turn, unless
    leaving out one by one tells the width. Where the
    matrix is of low rank only approximately, or measurements are few, a ridge on wide factors may
    predict better than any width without: then it is taken.

    Parameters
    ----------
    paths : Paths
    data : Split
    stages : list of Stage
        Of exploring, assessed.
    may_split : bool
        False where held-out measurements are the user's own.
    """
    fitter = paths.fitter
    stages = [data.assess(s) for s in paths.reconsidered(data.train, stages, "explore")]
    rounds = [(data, stages)]
    known = width_by_leaving_out(data, stages, fitter.policy) if may_split else None
    if known is not None:
        stage = of_width(stages, known)
        if needs_no_ridge(data.train, stage.point, fitter):
            fitter.monitor.note_pruned(stages[-1].factors)
            return Choice(stage.factors, relative_error([data], [stage.factors]))
    if may_split and data.held.op.size < fitter.policy.fewest_held_out:
        rounds = _in_turn(paths, stages[-1].width + 1)
    common = set.intersection(*({s.width for s in path} for _, path in rounds))
    errors = {k: joined([of_width(path, k) for _, path in rounds]) for k in sorted(common)}
    width, parts = choose_width(errors), [part for part, _ in rounds]
    shrunk = better_ridge(rounds, width, errors[width], fitter, most=paths.max_width)
    wide = [stages[-1].factors] + ([shrunk.factors] if shrunk else [])
    fitter.monitor.note_pruned(max(wide, key=lambda factors: factors.width))
    if shrunk is not None:
        kept = [leading_columns(f.balance(), shrunk.width) for f in shrunk.rounds]
        return Choice(shrunk.pruned, relative_error(parts, kept), shrunk.ridge)
    same = [stage for stage in stages if stage.width == width]
    factors = same[0].factors if same else of_rank(paths, width)
    fitted = [of_width(path, width).factors for _, path in rounds]
    return Choice(factors, relative_error(parts, fitted))


def of_rank(paths: Paths, rank: int) -> Factors:
    """A fit of the given rank: grown column by column, or, where scarce, an exact one."""
    stages = list(paths.stages(paths.problem, "grow", rank, greedy=True))
    if paths.are_few(rank) and not stages[-1].exact:
        found = paths.others(stages, paths.max_width)
        if found and found[-1].exact and found[-1].width <= rank:
            return found[-1].factors
        stages = paths.reconsidered(paths.problem, stages, "grow")
    return stages[-1].factors


def _in_turn(paths: Paths, width: int) -> list[tuple[Split, list[Stage]]]:
    """Paths to a width, each with other measurements held out."""
    policy, problem = paths.fitter.policy, paths.problem
    rounds = policy.rounds
    if problem.op.size >= policy.many_measurements:
        rounds = policy.rounds_of_many
    found = []
    for part in split(problem, 0.5 / rounds, paths.fitter.rng, rounds):
        top = min(width, paths.widest(part.train))
        path = list(paths.stages(part.train, "validate", top, greedy=True))
        path = paths.reconsidered(part.train, path, "validate")
        found.append((part, [part.assess(stage) for stage in path]))
    return found

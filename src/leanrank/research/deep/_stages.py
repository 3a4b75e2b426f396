"""What a deep network leaves as its ridge rises, as stages for recover to choose from.

Noise and a rising ridge take directions from the network; what is left is pruned and fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from leanrank.factors import Factors
from leanrank.problem import Point, Problem
from leanrank.research.deep._factors import DeepFactors
from leanrank.search import Fitter, Stage, append_leading, is_significant
from leanrank.search.growing import leading_columns

__all__ = ["Networks", "stages_of_networks", "whose_rank"]

Networks = Callable[
    [Problem, Factors, int, np.random.Generator, Callable[[DeepFactors], None]],
    Iterator[DeepFactors],
]
"""Networks of falling rank for a problem of spectral norm one; see ``RidgeLadder.networks``."""


def stages_of_networks(
    problem: Problem,
    networks: Networks,
    fitter: Fitter,
    phase: str,
    *,
    max_width: int,
    greedy: bool = False,
) -> Iterator[Stage]:
    """What deep networks leave, fitted without a ridge, as stages of rising width.

    If a network leaves an exact fit: that of fewest directions, less those that it can spare. The
    ladder ends once a network has lost what an exact fit needs. Otherwise width by width the
    better fit of two: from one column more, as in growing, and from the leading directions of the
    network of fewest directions that has so many, on the last of its rungs. The monitor keeps the
    ranks that networks had.
    """
    nothing = problem.evaluate(Factors.empty(problem.op.shape, False, problem.op.reference))
    last = Stage(nothing, problem.is_exact(nothing))
    yield last
    if last.exact or max_width == 0:
        return

    pruned: dict[int, Factors] = {}
    exact: Stage | None = None
    for factors in _rungs(problem, networks, fitter, nothing, max_width):
        new = factors.width <= max_width and factors.width not in pruned
        pruned[factors.width] = factors
        fitter.monitor.proposed_ranks.add(factors.width)
        if not new:
            continue
        stage = fitter.stage(problem, factors, phase)
        if stage.exact:
            exact = stage
        elif exact is not None:
            break
    if exact is not None:
        stage = exact
        while stage.exact:
            exact, factors = stage, stage.factors.balance()
            fewer = leading_columns(factors, factors.width - 1)
            stage = fitter.stage(problem, fewer, phase)
        yield exact
        return
    while not last.exact and last.width < max_width:
        width = last.width + 1
        starts = [append_leading(problem, last.point, fitter, 1)]
        if wider := [k for k in pruned if k >= width]:
            starts.append(leading_columns(pruned[min(wider)], width))
        stages = [fitter.stage(problem, f, phase) for f in starts if f.width == width]
        if not stages:
            return
        stage = min(stages, key=lambda stage: stage.point.loss)
        yield stage
        worth = greedy or last.width == 0
        if not (worth or is_significant(last.point, stage.point, problem, fitter.policy)):
            return
        last = stage


def _rungs(
    problem: Problem, networks: Networks, fitter: Fitter, nothing: Point, max_width: int
) -> Iterator[Factors]:
    """What is left of a deep network after each rung, less directions below 0.01 of the first."""
    start = append_leading(problem, nothing, fitter, 1)
    scale = start.norm()
    if scale == 0:
        return

    def directions(network: DeepFactors) -> Factors:
        return network.to_factors(1e-2).scaled(scale).astype(problem.op.reference)

    def show(network: DeepFactors) -> None:
        state = fitter.solver.init(problem, directions(network))
        fitter.monitor(replace(state, phase="descend"))

    width = min(4 * max_width, *problem.op.shape)
    unit, leading = problem.scaled(1.0 / scale), start.scaled(1.0 / scale)
    for network in networks(unit, leading, width, fitter.rng, show):
        factors = directions(network)
        if factors.width:
            yield factors


def whose_rank(rank: int, proposed: set[int]) -> str:
    """Whether a deep network came down to the rank, or the fits that followed found it."""
    if rank in proposed:
        return "the deep network came down to this rank by itself"
    ranks = ", ".join(str(k) for k in sorted(proposed, reverse=True)) or "none but zero"
    return f"this rank was found by the fits that followed the deep network, which had {ranks}"

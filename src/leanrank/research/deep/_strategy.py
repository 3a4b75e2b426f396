"""Paths to the right rank by way of a deep network, for those who ask for it.

Noise and a rising ridge take directions from the network; what is left is pruned and fitted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from leanrank.factors import Factors
from leanrank.problem import Point, Problem
from leanrank.research.deep import DeepFactors, RidgeLadder
from leanrank.search.growing import Monitor, Stage, append_leading, fit_core_first, paid
from leanrank.solvers import Solver

__all__ = ["climb"]


def climb(
    problem: Problem,
    ladder: RidgeLadder,
    solver: Solver,
    monitor: Monitor,
    rng: np.random.Generator,
    phase: str,
    *,
    max_width: int,
    greedy: bool = False,
) -> Iterator[Stage]:
    """What a deep network leaves, fitted without a ridge, as stages of rising width.

    If a network leaves an exact fit: that of fewest directions, less those that it can spare. The
    ladder ends once a network has lost what an exact fit needs. Otherwise width by width the
    better fit of two: from one column more, as in :func:`~leanrank.search.growing.grow`, and from
    the leading directions of the network of fewest directions that has so many, on the last of
    its rungs. The monitor keeps the ranks that networks had.
    """
    nothing = problem.evaluate(Factors.empty(problem.op.shape, False, problem.op.reference))
    last = Stage(nothing, problem.is_exact(nothing))
    yield last
    if last.exact or max_width == 0:
        return

    def fitted(factors: Factors) -> Stage:
        point = fit_core_first(problem, factors, solver, monitor, phase)
        return Stage(point, problem.is_exact(point))

    pruned: dict[int, Factors] = {}
    exact: Stage | None = None
    for factors in _rungs(problem, ladder, solver, monitor, rng, nothing, max_width):
        new = factors.width <= max_width and factors.width not in pruned
        pruned[factors.width] = factors
        monitor.descended.add(factors.width)
        if not new:
            continue
        stage = fitted(factors)
        if stage.exact:
            exact = stage
        elif exact is not None:
            break
    if exact is not None:
        stage = exact
        while stage.exact:
            exact, factors = stage, stage.factors.balance()
            stage = fitted(factors.keep(np.arange(factors.width) < factors.width - 1))
        yield exact
        return
    while not last.exact and last.width < max_width:
        width = last.width + 1
        starts = [append_leading(problem, last.point, rng, 1)]
        if wider := [k for k in pruned if k >= width]:
            starts.append(pruned[min(wider)].keep(np.arange(min(wider)) < width))
        stages = [fitted(factors) for factors in starts if factors.width == width]
        if not stages:
            return
        stage = min(stages, key=lambda stage: stage.point.loss)
        yield stage
        if not (greedy or last.width == 0 or paid(last.point, stage.point, problem.op.size)):
            return
        last = stage


def _rungs(
    problem: Problem,
    ladder: RidgeLadder,
    solver: Solver,
    monitor: Monitor,
    rng: np.random.Generator,
    nothing: Point,
    max_width: int,
) -> Iterator[Factors]:
    """What is left of a deep network after each rung, less directions below 0.01 of the first."""
    start = append_leading(problem, nothing, rng, 1)
    scale = start.norm()
    if scale == 0:
        return

    def directions(network: DeepFactors) -> Factors:
        return network.to_factors(1e-2).scaled(scale).astype(problem.op.reference)

    def watch(network: DeepFactors) -> None:
        monitor(replace(solver.init(problem, directions(network)), phase="descend"))

    width = min(4 * max_width, *problem.op.shape)
    unit, leading = problem.scaled(1.0 / scale), start.scaled(1.0 / scale)
    for network in ladder.climb(unit, leading, width, rng, watch):
        factors = directions(network)
        if factors.width:
            yield factors

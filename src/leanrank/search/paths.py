"""Paths: a strategy's stages for all measurements, or for a share of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from leanrank.factors import Factors, degrees_of_freedom
from leanrank.problem import Problem
from leanrank.search.fitting import Fitter, Stage
from leanrank.search.growing import stages_from, widest
from leanrank.search.strategy import Strategy

__all__ = ["Paths"]


@dataclass(frozen=True)
class Paths:
    """Where stages come from in one call of recover.

    Attributes
    ----------
    problem : Problem
        Of all measurements, in unit scale.
    symmetric : bool
    max_width : int
        Largest width to consider.
    strategy : Strategy
    fitter : Fitter
    limit : int
        The user's own largest width, of what is shrunk, too; none by default.
    start : Factors or None
        Where to start from instead of nothing, in unit scale.
    """

    problem: Problem
    symmetric: bool
    max_width: int
    strategy: Strategy
    fitter: Fitter
    start: Factors | None = None
    limit: int = sys.maxsize

    def nothing(self) -> Factors:
        """Factors without any columns: the zero matrix."""
        return Factors.empty(self.problem.op.shape, self.symmetric, self.problem.op.reference)

    def stages(
        self, problem: Problem, phase: str, max_width: int, *, greedy: bool = False
    ) -> Iterator[Stage]:
        """Stages of rising width for all measurements or a share of them, the zero matrix first."""
        most = min(max_width, self.max_width)
        if self.start is not None:
            return stages_from(
                problem, self.start, self.fitter, phase, max_width=most, greedy=greedy
            )
        return self.strategy.stages(
            problem, self.symmetric, self.fitter, phase, max_width=most, greedy=greedy
        )

    def reconsidered(self, problem: Problem, stages: list[Stage], phase: str) -> list[Stage]:
        """The stages, better ones where measurements are so few that they may be trapped."""
        if not self.are_few(stages[-1].width):
            return stages
        return self.strategy.reconsidered(
            problem, stages, self.fitter, phase, max_width=self.max_width
        )

    def others(self, stages: list[Stage], most: int) -> list[Stage]:
        """Further stages for all measurements; only the last may be exact."""
        most = min(most, self.max_width)
        found = self.strategy.other_stages(
            self.problem, stages, self.fitter, max_width=self.max_width, most=most
        )
        return list(found)

    def widest(self, problem: Problem) -> int:
        """The largest width that a problem's measurements can determine."""
        return widest(problem, self.symmetric, self.fitter.policy.widest_share)

    def are_few(self, width: int) -> bool:
        """Whether all measurements hardly determine a matrix of twice the width."""
        unknowns = degrees_of_freedom(self.problem.op.shape, 2 * width, self.symmetric)
        return self.problem.effective_size < self.fitter.policy.determined * unknowns

"""Strategies: how stages of factors are proposed, of which recover takes one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from leanrank.factors import Factors
from leanrank.problem import Problem
from leanrank.search.fitting import Fitter, Stage
from leanrank.search.growing import grow, walk_back
from leanrank.search.penalising import penalise_wide, stages_by_penalising

__all__ = ["GrowAndPenalise", "Strategy"]


class Strategy(Protocol):
    """Proposes factors of rising width for a problem, fitted and without a penalty.

    A strategy does not choose: that is done by measurements that are held out, or by an exact fit.
    Whoever derives from this class need only give ``stages``.
    """

    def check(self, problem: Problem, symmetric: bool, rank: int | None) -> None:
        """Raise ValueError or TypeError where it cannot serve, before anything is computed."""
        return

    @abstractmethod
    def stages(
        self,
        problem: Problem,
        symmetric: bool,
        fitter: Fitter,
        phase: str,
        *,
        max_width: int,
        greedy: bool,
    ) -> Iterator[Stage]:
        """Stages of rising width, the zero matrix first, at most ``max_width`` wide.

        The last one is exact if the strategy found an exact fit. Unless ``greedy``, it may end
        where further columns only fit noise.
        """
        ...

    def reconsidered(
        self, problem: Problem, stages: list[Stage], fitter: Fitter, phase: str, *, max_width: int
    ) -> list[Stage]:
        """Stages of the same widths, better ones where the first were trapped.

        Asked for where the measurements are few.
        """
        return stages

    def other_stages(
        self, problem: Problem, stages: list[Stage], fitter: Fitter, *, max_width: int, most: int
    ) -> Iterator[Stage]:
        """Further ways to an exact fit of at most ``most`` columns, where the stages have none.

        ``max_width`` is the widest that may be started from. Only the last stage may be exact.
        """
        return iter(())

    def remark(self, rank: int, fitter: Fitter) -> str:
        """What the message is to say of how a rank was found, if anything."""
        return ""


@dataclass(frozen=True)
class GrowAndPenalise(Strategy):
    """Grow by virtual columns; where that may be trapped, start wide under a group Lasso."""

    def stages(
        self,
        problem: Problem,
        symmetric: bool,
        fitter: Fitter,
        phase: str,
        *,
        max_width: int,
        greedy: bool,
    ) -> Iterator[Stage]:
        """See :meth:`Strategy.stages`."""
        nothing = Factors.empty(problem.op.shape, symmetric, problem.op.reference)
        return grow(problem, nothing, fitter, phase, max_width=max_width, greedy=greedy)

    def reconsidered(
        self, problem: Problem, stages: list[Stage], fitter: Fitter, phase: str, *, max_width: int
    ) -> list[Stage]:
        """The path walked back from penalised factors."""
        strength = fitter.policy.strengths[1]
        wide = penalise_wide(problem, stages[0].point, fitter, strength, max_width=max_width)
        return walk_back(problem, stages, wide, fitter, phase)

    def other_stages(
        self, problem: Problem, stages: list[Stage], fitter: Fitter, *, max_width: int, most: int
    ) -> Iterator[Stage]:
        """Penalised, pruned, and grown on from there."""
        return stages_by_penalising(problem, stages, fitter, max_width=max_width, most=most)

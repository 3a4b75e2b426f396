"""Limited-memory BFGS: quasi-Newton steps from the last few changes of the gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, norm
from leanrank.factors import Factors, take_columns
from leanrank.problem import Point, Problem
from leanrank.solvers._base import State
from leanrank.solvers._line_search import first_step, line_search

__all__ = ["LBFGS"]

_TRIES = 40
_ARMIJO = 1e-4
_WOLFE = 0.9

Pairs = tuple[tuple[Array, Array], ...]


def _dot(x: Array, y: Array) -> float:
    return float(array_namespace(x, y).sum(x * y))


def _curved(pair: tuple[Array, Array]) -> bool:
    """Whether a pair has the positive curvature that keeps the quasi-Newton matrix definite."""
    s, y = pair
    return _dot(s, y) > 1e-10 * norm(s) * norm(y) > 0


@dataclass(frozen=True)
class _Memory:
    pairs: Pairs
    scale: float

    def keep(self, mask: Array) -> _Memory:
        """The same changes seen in the remaining columns only."""
        pairs = tuple((take_columns(s, mask), take_columns(y, mask)) for s, y in self.pairs)
        return replace(self, pairs=tuple(filter(_curved, pairs)))


@dataclass(frozen=True)
class LBFGS:
    r"""Quasi-Newton descent with the inverse Hessian built from the last changes.

    The direction is the two-loop recursion of Nocedal (1980) on pairs of changes of W and of the
    gradient; the step length is found by bisection until the weak Wolfe conditions hold (Lewis
    and Overton 2013), so that every accepted pair has positive curvature. One evaluation a step
    as a rule, for convergence in tens of steps where gradient descent takes hundreds. A step
    that raises the objective by more than rounding is never taken, and one within rounding only
    if it shortens the gradient.

    Parameters
    ----------
    memory : int
        Number of pairs; each holds two arrays of the size of W.

    Raises
    ------
    ValueError, TypeError
        If ``memory`` is not a positive integer.

    Examples
    --------
    >>> import numpy as np
    >>> from leanrank.operators import FullObservation
    >>> from leanrank.solvers import solve
    >>> problem = Problem(FullObservation((2, 2)), np.diag([4.0, 1.0]))
    >>> start = Factors(np.array([[1.0, 0.2], [0.3, 1.0]]))
    >>> result = solve(LBFGS(), problem, start)
    >>> result.success, result.n_iter < 30
    (True, True)
    """

    memory: int = 10

    def __post_init__(self) -> None:
        _checks.whole_number(self.memory, "memory", least=1)

    def init(self, problem: Problem, factors: Factors) -> State:
        """State at the starting factors, with no pairs yet."""
        point = problem.evaluate(factors)
        return State(point, 0, problem.passes, _Memory((), first_step(problem, point)))

    def step(self, problem: Problem, state: State) -> State:
        """The next state, or the same one, stalled, if no step lowers the objective."""
        point, memory = state.point, state.memory
        if point.gradient_norm == 0:
            return replace(state, stalled="the gradient is exactly zero: start elsewhere")
        new = self._searched(problem, point, memory)
        if new is None and memory.pairs:
            memory = replace(memory, pairs=())
            new = self._searched(problem, point, memory)
        state = replace(state, iteration=state.iteration + 1, passes=problem.passes)
        if new is None:
            return replace(
                state, stalled="no quasi-Newton step lowers the objective: it is flat to rounding"
            )
        pair = (new.factors.W - point.factors.W, new.gradient - point.gradient)
        pairs = memory.pairs + ((pair,) if _curved(pair) else ())
        return replace(state, point=new, memory=replace(memory, pairs=pairs[-self.memory :]))

    def _searched(self, problem: Problem, point: Point, memory: _Memory) -> Point | None:
        direction = self._direction(point.gradient, memory)
        return line_search(
            problem, point, direction, 1.0, armijo=_ARMIJO, wolfe=_WOLFE, tries=_TRIES
        )[0]

    def _direction(self, gradient: Array, memory: _Memory) -> Array:
        q = gradient
        weights = []
        for s, y in reversed(memory.pairs):
            weights.append(_dot(s, q) / _dot(s, y))
            q = q - weights[-1] * y
        scale = memory.scale
        if memory.pairs:
            s, y = memory.pairs[-1]
            scale = _dot(s, y) / _dot(y, y)
        q = scale * q
        for (s, y), weight in zip(memory.pairs, reversed(weights), strict=True):
            q = q + (weight - _dot(y, q) / _dot(s, y)) * s
        return -q

"""Gauss-Newton with Levenberg-Marquardt damping: the second-order workhorse."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from leanrank import _checks
from leanrank._arrays import Array, array_namespace
from leanrank.factors import Factors
from leanrank.linalg import conjugate_gradients
from leanrank.operators import Tangent
from leanrank.problem import Point, Problem
from leanrank.solvers._base import State

__all__ = ["GaussNewton"]

_CHEAP = 1.5
"""Passes of an inner solve over those of a tangent up to which accuracy saves tangents."""


@dataclass(frozen=True)
class _Memory:
    damping: float
    tangent: Tangent
    scale: float
    inner: float = math.inf

    @property
    def cheap(self) -> bool:
        """Whether the last inner solve took few passes beside those of a tangent.

        Then what saves steps is worth it: convergence is to be quadratic.
        """
        return self.inner <= _CHEAP * self.tangent.build_cost

    def residual(self, point: Point) -> float:
        """Root of the loss, relative to that of the zero matrix."""
        return math.sqrt(point.loss / self.scale) if self.scale > 0 else 0.0

    def accuracy(self, point: Point) -> float:
        """Relative accuracy of the inner solve that suits a point: rough far from a solution."""
        residual = self.residual(point)
        return max(residual, 1e-6) if self.cheap else max(math.sqrt(residual), 1e-3)


@dataclass(frozen=True)
class GaussNewton:
    r"""Damped Gauss-Newton, with the loss and the penalty as reweighted least squares.

    Each step solves, by preconditioned conjugate gradients on products with the linearised
    measurements,

    .. math:: \left(\tfrac1m J^\top C J + \operatorname{diag}(d) + \mu\, D\right) Z = -\nabla f

    where C are the majoriser's curvatures of the loss in each measurement, 2 for the squared one,
    d the penalty's gradient weights, a majoriser of its curvature, and D the mean
    curvature of each column, so that weak directions are damped as lightly as strong ones
    (Marquardt). A step that does not lower the objective is not taken; the damping adapts to how
    well the quadratic model predicts. Without a penalty the factors are balanced along the
    singular vectors after every step: near a solution the method converges superlinearly when
    the measurements fit, whatever the condition number of the matrix.

    Parameters
    ----------
    damping : float
        Initial :math:`\mu`, relative to the curvature.
    forcing : float
        Largest relative accuracy of the inner solve; it tightens as the fit improves.
    max_inner : int
        Largest number of conjugate-gradient steps.
    balance : bool
        Whether to balance the factors after each step.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.
    """

    damping: float = 1e-2
    forcing: float = 0.3
    max_inner: int = 200
    balance: bool = True
    _tries: int = 12

    def __post_init__(self) -> None:
        _checks.float_fields(self, "damping", least=0.0)
        _checks.float_fields(self, "forcing", above=0.0, most=1.0)
        _checks.whole_number(self.max_inner, "max_inner", least=1)

    def init(self, problem: Problem, factors: Factors) -> State:
        """State at the (balanced) starting factors."""
        if self.balance and factors.width:
            factors = factors.balance()
        point, tangent = problem.linearise(factors)
        return State(point, 0, problem.passes, _Memory(self.damping, tangent, problem.zero_loss))

    def step(self, problem: Problem, state: State) -> State:
        """The next state, or the same one, stalled, if no damping gives a lower objective."""
        point, memory = state.point, state.memory
        if point.factors.width == 0:
            return replace(state, stalled="there are no columns to move")
        # Damping that falls as fast as the residual leaves convergence quadratic.
        most = memory.residual(point) if memory.cheap else math.inf
        damping = min(memory.damping, most)
        for _ in range(self._tries):
            before = problem.passes
            direction, predicted = self._direction(problem, point, memory, damping)
            inner = problem.passes - before
            trial, tangent = self._trial(problem, point, direction)
            if trial.is_finite and trial.value < point.value:
                ratio = (point.value - trial.value) / predicted if predicted > 0 else 1.0
                damping *= 0.3 if ratio > 0.75 else 3.0 if ratio < 0.25 else 1.0
                memory = replace(memory, damping=damping, tangent=tangent, inner=inner)
                return replace(
                    state,
                    point=trial,
                    iteration=state.iteration + 1,
                    passes=problem.passes,
                    memory=memory,
                )
            damping = max(4.0 * damping, 1e-12)
        return replace(
            state,
            iteration=state.iteration + 1,
            passes=problem.passes,
            stalled="no damped Gauss-Newton step lowers the objective: it is flat to rounding",
        )

    def _trial(self, problem: Problem, point: Point, direction: Array) -> tuple[Point, Tangent]:
        factors = point.factors.with_stacked(point.factors.W + direction)
        xp = array_namespace(direction)
        if self.balance and bool(xp.all(xp.isfinite(direction))):
            factors = factors.balance()
        return problem.linearise(factors)

    def _direction(
        self, problem: Problem, point: Point, memory: _Memory, damping: float
    ) -> tuple[Array, float]:
        """The step, and the decrease that the damped quadratic model predicts for it."""
        xp = array_namespace(point.gradient)
        tangent = memory.tangent
        curvature, weights = problem.majoriser(point.residual)
        columns = tangent.column_curvature(weights)
        marquardt = damping * curvature * xp.maximum(columns, 1e-6 * xp.max(columns))
        shift = problem.penalty.weights(point.factors.W) + marquardt
        inverse = tangent.preconditioner(shift / curvature, weights)

        def hessian(Z: Array) -> Array:
            problem.passes += tangent.normal_cost
            return curvature * tangent.normal(Z, weights) + Z * shift

        solution = conjugate_gradients(
            hessian,
            -point.gradient,
            inverse,
            tol=min(self.forcing, memory.accuracy(point)),
            max_iter=self.max_inner,
        )
        Z: Any = solution.x
        descent = -float(xp.sum(point.gradient * Z))
        damped = float(xp.sum(Z * Z * marquardt))
        return Z, 0.5 * (descent + damped)

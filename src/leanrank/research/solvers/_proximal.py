"""Descent under the group Lasso itself, whose columns become exactly zero."""

from __future__ import annotations

from dataclasses import dataclass, replace

from leanrank import _checks
from leanrank._arrays import Array, array_namespace
from leanrank.factors import Factors
from leanrank.problem import Point, Problem
from leanrank.solvers._base import State

__all__ = ["ProximalGradientDescent"]


@dataclass(frozen=True)
class _Next:
    """Where the next step leads, in which what is emptied is exactly zero."""

    factors: Factors

    def keep(self, mask: Array) -> None:
        """Nothing: other columns have another gradient."""
        return


@dataclass(frozen=True)
class ProximalGradientDescent:
    r"""Proximal gradient descent for a problem plus the group Lasso, not smoothed.

    .. math:: W \leftarrow \operatorname{prox}_{\alpha\lambda}(W - \alpha \nabla f(W)),\qquad
        \operatorname{prox}_t(w_j) = w_j \left(1 - \frac{t}{|w_j|}\right)_+

    for :math:`f(W) + \lambda \sum_j |w_j|`, the penalty of eq. (3) of Rajaraman et al. (2023),
    which has no gradient at a zero column. The columns are those of the stacked W.

    Parameters
    ----------
    step_size : float
        :math:`\alpha`, of the literal gradient; see :class:`~leanrank.solvers.GradientDescent`.
    strength : float
        :math:`\lambda`, in units of the loss per unit of column norm.

    Raises
    ------
    ValueError, TypeError
        If the step size is not positive or the strength is negative.

    Notes
    -----
    A column that is zero stays so as long as the gradient of it has a norm of at most
    :math:`\lambda`, and there the gradient in W of a factorised loss is zero: what is emptied does
    not come back, and a start of columns shorter than :math:`\alpha\lambda` is emptied at once.
    States carry the penalised value, and as their gradient :math:`(W - W_{next}) / \alpha`, which
    is zero at stationary points only. :func:`~leanrank.solvers.solve` calls zero a saddle point of
    the problem, which it is without this penalty.

    Examples
    --------
    >>> import numpy as np
    >>> from leanrank.operators import FullObservation
    >>> from leanrank.solvers import solve
    >>> problem = Problem(FullObservation((2, 2)), np.diag([1.0, 0.0]))
    >>> solver = ProximalGradientDescent(0.1, strength=0.4)
    >>> result = solve(solver, problem, Factors(np.diag([0.5, 0.1])))
    >>> result.status.name, result.factors.column_norms().round(6)
    ('CONVERGED', array([0.945649, 0.      ]))
    """

    step_size: float
    strength: float

    def __post_init__(self) -> None:
        _checks.float_fields(self, "step_size", above=0.0)
        _checks.float_fields(self, "strength", least=0.0)

    def init(self, problem: Problem, factors: Factors) -> State:
        """State at the starting factors."""
        point, memory = self._measured(problem, factors)
        return State(point, 0, problem.passes, memory)

    def step(self, problem: Problem, state: State) -> State:
        """The next state."""
        memory = state.memory or self._measured(problem, state.factors)[1]
        point, memory = self._measured(problem, memory.factors)
        new = replace(state, point=point, iteration=state.iteration + 1, memory=memory)
        return replace(new, passes=problem.passes)

    def _measured(self, problem: Problem, factors: Factors) -> tuple[Point, _Next]:
        """The point with the penalised value and the step that is due over its size."""
        point = problem.evaluate(factors)
        W = factors.W
        xp = array_namespace(W)
        moved = W - self.step_size * point.gradient
        norms = xp.linalg.vector_norm(moved, axis=0)
        shrunk = norms - self.step_size * self.strength
        # Where nothing is left, nothing is divided, either.
        moved = moved * xp.where(shrunk > 0, shrunk / xp.where(shrunk > 0, norms, 1.0), 0.0)
        point = replace(
            point,
            value=point.value + self.strength * float(xp.sum(factors.column_norms())),
            gradient=(W - moved) / self.step_size,
        )
        return point, _Next(factors.with_stacked(moved))

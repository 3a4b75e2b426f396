"""Perturbed gradient flow, integrated."""

from __future__ import annotations

from dataclasses import dataclass, replace

from leanrank import _checks
from leanrank._arrays import Array
from leanrank.factors import Factors
from leanrank.problem import Problem
from leanrank.research.solvers._perturbed import Perturbation, check_perturbation, perturbed
from leanrank.solvers._base import State

__all__ = ["PerturbedGradientFlow"]


@dataclass(frozen=True)
class PerturbedGradientFlow:
    r"""Gradient flow under a perturbation, by the classical method of Runge and Kutta.

    .. math:: \frac{d}{d(t/2)} W_t = -\nabla f(W_t) + 2 E_t W_t

    Time is that of Wind (2025), eq. (6), whose loss is half of this library's: a step of size s
    takes 2 s, as one of :class:`~leanrank.research.solvers.PerturbedSensingDescent` does. Its error
    is of the order of :math:`s^5`, so that the flow is followed more closely than perturbations of
    any size that theorems allow.

    Parameters
    ----------
    step_size : float
        s.
    perturbation : callable, optional
        ``perturbation(k, factors)`` gives E_t in the k-th step, at the factors of each stage.

    Raises
    ------
    ValueError, TypeError
        If the step size is not a positive number, or the perturbation no function; in ``step``, if
        it has another shape.

    Examples
    --------
    A number grows as the logistic function, from a to 1, where Y = 1 and U = V:

    >>> import numpy as np
    >>> from leanrank.operators import FullObservation
    >>> from leanrank.solvers import solve
    >>> problem, start = Problem(FullObservation((1, 1)), np.eye(1)), np.full((1, 1), 0.1)
    >>> result = solve(PerturbedGradientFlow(0.05), problem, Factors(start, start), max_iter=20)
    >>> x = np.exp(4.0) * 0.01 / (0.99 + np.exp(4.0) * 0.01)
    >>> bool(abs(result.factors.to_dense()[0, 0] - x) < 1e-5)
    True
    """

    step_size: float
    perturbation: Perturbation | None = None

    def __post_init__(self) -> None:
        _checks.float_fields(self, "step_size", above=0.0)
        check_perturbation(self.perturbation)

    def init(self, problem: Problem, factors: Factors) -> State:
        """State at the starting factors."""
        return State(problem.evaluate(factors), 0, problem.passes)

    def step(self, problem: Problem, state: State) -> State:
        """The state a time of 2 s later."""
        s, factors, k = self.step_size, state.factors, state.iteration

        def slope(gradient: Array, at: Factors) -> Array:
            return -perturbed(gradient, self.perturbation, k, at)

        def stage(previous: Array, share: float) -> Array:
            at = factors.with_stacked(factors.W + share * s * previous)
            return slope(problem.evaluate(at).gradient, at)

        first = slope(state.point.gradient, factors)
        second = stage(first, 0.5)
        third = stage(second, 0.5)
        fourth = stage(third, 1.0)
        moved = factors.W + (s / 6.0) * (first + 2.0 * second + 2.0 * third + fourth)
        point = problem.evaluate(factors.with_stacked(moved))
        return replace(state, point=point, iteration=k + 1, passes=problem.passes)

"""Gradient descent on the factors, plain and perturbed: a step is the iterate less a gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, gaussian, norm
from leanrank.factors import Factors
from leanrank.problem import Point, Problem
from leanrank.solvers._base import State
from leanrank.solvers._line_search import first_step, line_search, moved

__all__ = [
    "GROWTH",
    "GradientDescent",
    "PerturbedGradientDescent",
    "first_step",
    "moved",
]

GROWTH = 1.1
"""How much longer than the last step the next one is tried by backtracking."""


@dataclass(frozen=True)
class _Memory:
    step: float


@dataclass(frozen=True)
class GradientDescent:
    r"""Gradient descent :math:`W \leftarrow W - \alpha \nabla f(W)`.

    The gradient is the literal derivative of the library's objective: for the symmetric
    population loss it is :math:`4 (U U^\top - X) U`, four times what several papers write, so
    that their step sizes are to be divided by 4.

    Parameters
    ----------
    step_size : float, optional
        :math:`\alpha`, taken at every step whatever happens; a run that it lets diverge says so.
        For measurements of unit scale, below :math:`1/(4|X|_{op})` is stable in the population
        and a tenth of that with few measurements. Left out: backtracking from the inverse
        curvature along the first gradient, by halves, until the objective falls by half of what
        the gradient promises; the next step tries a tenth more. Such a run never increases the
        objective, and costs about one more evaluation in every eight steps.

    Raises
    ------
    ValueError, TypeError
        If the step size is not a positive finite number.

    Examples
    --------
    >>> from leanrank.operators import FullObservation
    >>> from leanrank.solvers import solve
    >>> problem = Problem(FullObservation((2, 2)), np.diag([1.0, 0.0]))
    >>> result = solve(GradientDescent(0.1), problem, Factors(np.full((2, 1), 0.5)))
    >>> result.factors.to_dense().round(6) + 0.0
    array([[1., 0.],
           [0., 0.]])
    """

    step_size: float | None = None

    def __post_init__(self) -> None:
        _checks.float_fields(self, "step_size", above=0.0)

    def init(self, problem: Problem, factors: Factors) -> State:
        """State at the starting factors."""
        point = problem.evaluate(factors)
        step = first_step(problem, point) if self.step_size is None else self.step_size
        return State(point, 0, problem.passes, _Memory(step))

    def step(self, problem: Problem, state: State) -> State:
        """The next state; without a fixed step size, the same one, stalled, if none descends."""
        return descent_step(self.step_size, problem, state)


def descent_step(step_size: float | None, problem: Problem, state: State) -> State:
    """A plain gradient step of a state whose memory has a ``step``."""
    point, memory = state.point, state.memory
    if step_size is not None:
        new: Point | None = moved(problem, point, point.gradient, -step_size)
        step = step_size
    elif point.gradient_norm == 0:
        return replace(state, stalled="the gradient is exactly zero: start elsewhere")
    else:
        # A step of at most the inverse curvature lowers the value by half of what is promised.
        new, step = line_search(problem, point, -point.gradient, memory.step, armijo=0.5)
        if new is not None and step == memory.step:
            step *= GROWTH
    state = replace(state, iteration=state.iteration + 1, passes=problem.passes)
    if new is None:
        return replace(
            state, stalled="no gradient step lowers the objective: it is flat to rounding"
        )
    return replace(state, point=new, memory=replace(memory, step=step))


@dataclass(frozen=True)
class _Perturbed:
    step: float
    threshold: float
    radius: float
    last: int


@dataclass(frozen=True)
class PerturbedGradientDescent:
    r"""Gradient descent with noise at saddle points, eq. (18) of Rajaraman et al. (2023).

    .. math:: W \leftarrow W - \alpha (\nabla f(W) + P_t),\qquad P_t \sim
        \mathrm{Unif}(\mathbb B(\rho))

    where the perturbation is zero unless the gradient is small, and is added in one of any
    ``every`` steps in a row at most (Jin et al. 2017). It is drawn in the ball of Frobenius norm.
    Around strict saddle points descent so finds its way to second-order stationary points.

    Parameters
    ----------
    step_size : float, optional
        As in :class:`GradientDescent`; a perturbed step takes the current step size as it is.
    radius : float, optional
        :math:`\rho`, in units of the gradient; the iterate moves by at most the step size times
        that. The threshold if left out.
    threshold : float, optional
        Gradient norm up to which noise is added. If left out, a thousandth of
        ``problem.gradient_scale``.
    every : int
        Steps from one with noise to the next, at least; 1 allows it in every step.
    operator_norm : float, optional
        Largest operator norm of a perturbation; longer draws are shortened to it. Without it
        the operator norm is bounded by the radius.
    random_state : int, Generator or None
        A seed is drawn from it when the solver is made. Each perturbation follows from that and
        the number of the step, so that ``init`` and ``step`` repeat exactly.

    Raises
    ------
    ValueError, TypeError
        If a parameter is not a positive number.

    Notes
    -----
    Theorem 8: for the population loss of symmetric factors with :math:`|U_\star|_{op} = 1`,
    :math:`\lambda \le \sqrt\beta` and ``operator_norm`` (or radius) at most 1, iterates that
    start in the ball :math:`|U|_{op} \le 3` stay there. It is printed for
    :math:`\alpha \le 1/8`, for which it is false with the literal gradient; 1/32 is right, see
    :func:`leanrank.research.theory.invariant_step_size`.

    Examples
    --------
    A start at a saddle point, which plain descent cannot leave:

    >>> from leanrank.operators import FullObservation
    >>> problem = Problem(FullObservation((2, 2)), np.diag([1.0, 0.0]))
    >>> solver = PerturbedGradientDescent(0.1, random_state=0)
    >>> state = solver.init(problem, Factors(np.zeros((2, 1))))
    >>> for _ in range(60):
    ...     state = solver.step(problem, state)
    >>> state.factors.to_dense().round(3) + 0.0
    array([[1., 0.],
           [0., 0.]])
    """

    step_size: float | None = None
    radius: float | None = None
    threshold: float | None = None
    every: int = 50
    operator_norm: float | None = None
    random_state: Any = None
    _seed: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        numbers = ("step_size", "radius", "threshold", "operator_norm")
        _checks.float_fields(self, *numbers, above=0.0)
        _checks.whole_number(self.every, "every", least=1)
        object.__setattr__(self, "_seed", _checks.seed(self.random_state))

    def init(self, problem: Problem, factors: Factors) -> State:
        """State at the starting factors."""
        point = problem.evaluate(factors)
        step = first_step(problem, point) if self.step_size is None else self.step_size
        threshold = self.threshold
        if threshold is None:
            threshold = 1e-3 * problem.gradient_scale
        radius = threshold if self.radius is None else self.radius
        memory = _Perturbed(step, threshold, radius, last=-self.every)
        return State(point, 0, problem.passes, memory)

    def step(self, problem: Problem, state: State) -> State:
        """The next state, perturbed if that is due."""
        point, memory = state.point, state.memory
        quiet = state.iteration - memory.last
        if not point.factors.width or quiet < self.every or point.gradient_norm > memory.threshold:
            return descent_step(self.step_size, problem, state)
        noise = self._perturbation(memory.radius, state.iteration, point.gradient)
        new = moved(problem, point, point.gradient + noise, -memory.step)
        memory = replace(memory, last=state.iteration)
        return replace(
            state, point=new, iteration=state.iteration + 1, passes=problem.passes, memory=memory
        )

    def _perturbation(self, radius: float, iteration: int, like: Array) -> Array:
        rng = np.random.default_rng((self._seed, iteration))
        noise = gaussian(rng, tuple(like.shape), like)
        entries = math.prod(noise.shape)
        noise = noise * (radius * rng.random() ** (1.0 / entries) / norm(noise))
        if self.operator_norm is not None:
            largest = float(array_namespace(noise).linalg.matrix_norm(noise, ord=2))
            noise = noise * min(1.0, self.operator_norm / largest)
        return noise

"""Projected gradient descent on the cone of positive semi-definite matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, MatrixLike, array_namespace, device_of, norm
from leanrank.factors import Factors
from leanrank.operators import pull_back
from leanrank.problem import Point, Problem, check_squared
from leanrank.solvers._base import State
from leanrank.solvers._gradient import GROWTH

__all__ = ["ProjectedGradientDescent"]

_TRIES = 60
"""Halvings of a step by backtracking."""


@dataclass(frozen=True)
class _ConePoint(Point):
    """A point whose stationarity is that of X on the cone.

    The gradient in the factors vanishes at X = 0, where the method starts, and wherever a
    column is missing; the step of the method is zero at minimisers only.
    """

    mapping_norm: float

    @property
    def gradient_norm(self) -> float:
        """Length of the projected step over the step size, in units of the gradient in X."""
        return self.mapping_norm


@dataclass(frozen=True)
class _Memory:
    step: float
    slope: Array
    candidate: Factors

    def keep(self, mask: Array) -> None:
        """Nothing: all that is held is about the matrix before it was pruned."""
        return


@dataclass(frozen=True)
class ProjectedGradientDescent:
    r"""Gradient step in X, then projection on the PSD cone: the convex baseline.

    .. math:: X \leftarrow \Pi_{\succeq 0}\left(X - \alpha \tfrac2m \sum_i (\langle A_i, X
        \rangle - y_i) A_i\right)

    The projection keeps the positive part of a full eigendecomposition of n x n matrices. The
    state carries the factor of the positive eigenpairs, so that its width is the rank of the
    iterate; ``gradient_norm`` is that of the projected step over the step size, which is zero at
    minimisers over the cone only (the factors' own gradient is zero at X = 0, too).

    Parameters
    ----------
    step_size : float, optional
        :math:`\alpha`; 0.5 for the population loss is one step to the solution. Left out:
        backtracking by halves until the quadratic upper model holds, up to rounding.

    Raises
    ------
    ValueError, TypeError
        If the step size is not a positive finite number; in ``init``, if the factors are not
        symmetric or the problem has a penalty on the factors.

    Notes
    -----
    The baseline of Li, Ma and Zhang (2018), Fig. 4, which starts at X = 0:
    ``Factors.empty((n, n), symmetric=True)``.

    Examples
    --------
    >>> from leanrank.operators import FullObservation
    >>> from leanrank.solvers import solve
    >>> problem = Problem(FullObservation((2, 2)), np.diag([3.0, -1.0]))
    >>> start = Factors.empty((2, 2), symmetric=True)
    >>> result = solve(ProjectedGradientDescent(0.5), problem, start)
    >>> result.success, result.factors.to_dense() + 0.0
    (True, array([[3., 0.],
           [0., 0.]]))
    """

    step_size: float | None = None

    def __post_init__(self) -> None:
        _checks.float_fields(self, "step_size", above=0.0)

    @np.errstate(over="ignore", invalid="ignore")
    def init(self, problem: Problem, factors: Factors) -> State:
        """State at the starting factors."""
        if not factors.symmetric:
            raise ValueError(
                "factors must be symmetric (X = U U^T), got a general pair; use Factors(U)"
            )
        if problem.penalised:
            raise ValueError(
                "problem must have no penalty: the iterate is X, which has no columns to "
                f"penalise; got {problem.penalty!r}"
            )
        check_squared(problem)
        step = self._first_step(problem) if self.step_size is None else self.step_size
        point, memory = self._measure(problem, factors, step)
        return State(point, 0, problem.passes, memory)

    @np.errstate(over="ignore", invalid="ignore")
    def step(self, problem: Problem, state: State) -> State:
        """The next state, or the same one, stalled, if no step lowers the loss."""
        memory = state.memory
        if memory is None:
            step = self._first_step(problem) if self.step_size is None else self.step_size
            memory = self._measure(problem, state.factors, step)[1]
        X = state.factors.to_dense()
        step, candidate = memory.step, memory.candidate
        state = replace(state, iteration=state.iteration + 1)
        for _ in range(_TRIES):
            point, following = self._measure(problem, candidate, step)
            new = replace(state, point=point, passes=problem.passes, memory=following)
            if self.step_size is not None:
                return new
            change = candidate.to_dense() - X
            xp = array_namespace(change)
            eps = float(xp.finfo(change.dtype).eps)
            gain = float(xp.sum(memory.slope * change)) + norm(change) ** 2 / (2.0 * step)
            if point.loss <= state.point.loss + gain + 10 * eps * state.point.loss:
                return new
            step *= 0.5
            candidate = _projected(X - step * memory.slope, state.factors)
        return replace(
            state,
            passes=problem.passes,
            stalled="no projected step lowers the loss: it is flat to rounding",
        )

    def _first_step(self, problem: Problem) -> float:
        """The inverse curvature of the loss along its gradient at zero."""
        op = problem.op
        slope = _dense(op.adjoint(problem.y), problem)
        size = norm(slope)
        problem.passes += 2.0
        if size == 0:
            return 1.0
        eye = _eye(problem)
        image = norm(op.forward(Factors(slope / size, eye)))
        return 1.0 / (2.0 * op.weight * image**2) if image > 0 else 1.0

    def _measure(
        self, problem: Problem, factors: Factors, step: float
    ) -> tuple[_ConePoint, _Memory]:
        residual, S, cost = problem.op.residual_and_adjoint(factors, problem.y)
        problem.passes += cost
        weight = problem.op.weight
        xp = array_namespace(residual)
        loss = weight * float(xp.sum(residual * residual))
        slope = 2.0 * weight * _dense(S, problem)
        X = factors.to_dense()
        tried = step if self.step_size is not None else GROWTH * step
        target = X - tried * slope
        value, candidate, mapping_norm = math.inf, factors, math.inf
        # A run that diverges says so by its status; it has no eigenvalues.
        if bool(xp.all(xp.isfinite(target))):
            value, candidate = loss, _projected(target, factors)
            mapping_norm = norm(candidate.to_dense() - X) / tried
        gradient = 2.0 * weight * pull_back(S, factors)
        point = _ConePoint(factors, residual, loss, value, gradient, mapping_norm)
        return point, _Memory(tried, slope, candidate)


def _eye(problem: Problem) -> Array:
    reference = problem.op.reference
    xp = array_namespace(reference)
    return xp.eye(problem.op.shape[0], dtype=reference.dtype, device=device_of(reference))


def _dense(matrix: MatrixLike, problem: Problem) -> Array:
    """The symmetric part of something that multiplies, as an array."""
    full = matrix @ _eye(problem)
    return (full + full.T) / 2.0


def _projected(X: Array, factors: Factors) -> Factors:
    """Factor of the positive part of X, the strongest eigenvectors first."""
    xp = array_namespace(X)
    values, vectors = xp.linalg.eigh(X)
    positive = int(xp.sum(xp.astype(values > 0, xp.int64)))
    start = int(values.shape[0]) - positive
    root = xp.sqrt(values[start:])
    return factors.with_stacked(xp.flip(vectors[:, start:] * root, axis=1))

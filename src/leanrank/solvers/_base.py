"""One protocol and one loop: ``init`` gives a State, ``step`` the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from leanrank import _checks
from leanrank._arrays import Array, array_namespace
from leanrank._guidance import check_solver
from leanrank._threads import one_blas_thread
from leanrank.factors import Factors, check_factors
from leanrank.problem import Point, Problem, check_library
from leanrank.results import History, Record, Result, Status
from leanrank.solvers._curvature import AtZero

__all__ = ["Callback", "Solver", "State", "check_start", "iterate", "record", "solve"]


@dataclass(frozen=True)
class State:
    """Where a solver is. Everything in it is measured at the factors that it carries.

    Attributes
    ----------
    point : Point
        Factors, residual, loss, value, gradient.
    iteration : int
        Steps taken so far.
    passes : float
        Passes over the measurements so far.
    memory : object
        What the solver itself remembers; ``memory.keep(mask)``, where defined, prunes it.
    stalled : str
        Not empty: why the solver cannot go on from here.
    phase : str
        Name of the phase of the pipeline, for progress displays.
    scale : float
        What the pipeline divided y by: ``factors.scaled(scale)`` are in the units of y, and a loss
        is relative to that of the zero matrix. 1 for a solver that runs by itself.
    held_out_error : float or None
        Relative error on measurements that were held out, of the latest fit that was tried on
        them; None where none was yet.
    share : float or None
        About how much of all work is done, in (0, 1]; None where that is not known.
    """

    point: Point
    iteration: int
    passes: float
    memory: Any = None
    stalled: str = ""
    phase: str = "solve"
    scale: float = 1.0
    held_out_error: float | None = None
    share: float | None = None

    @property
    def factors(self) -> Factors:
        return self.point.factors

    @property
    def factors_in_units(self) -> Factors:
        """The factors in the units of y."""
        return self.factors if self.scale == 1.0 else self.factors.scaled(self.scale)

    def __repr__(self) -> str:
        told = f"phase={self.phase!r}, iteration={self.iteration}, passes={self.passes:g}, "
        told += f"width={self.factors.width}, loss={self.point.loss:.3g}"
        if self.held_out_error is not None:
            told += f", held_out_error={self.held_out_error:.3g}"
        return f"State({told})"

    def keep(self, problem: Problem, mask: Array) -> State:
        """The state with only the columns where ``mask`` is true, its memory pruned along."""
        point = problem.evaluate(self.factors.keep(mask))
        memory = self.memory.keep(mask) if hasattr(self.memory, "keep") else self.memory
        return replace(self, point=point, memory=memory, passes=problem.passes)


Callback = Callable[[State], "bool | None"]
"""Called with every new state; returning True stops the run."""


class Solver(Protocol):
    """A frozen set of hyper-parameters with two verbs, both free of side effects."""

    def init(self, problem: Problem, factors: Factors) -> State:
        """The state at the starting factors."""
        ...

    def step(self, problem: Problem, state: State) -> State:
        """The next state."""
        ...


def record(state: State) -> Record:
    """The line of the history for a state."""
    p = state.point
    return Record(
        state.phase,
        state.iteration,
        state.passes,
        p.factors.width,
        p.loss,
        p.value,
        p.gradient_norm,
    )


def check_start(
    problem: Problem, factors: Factors, name: str = "factors", of: str = "problem"
) -> None:
    """Raise where a run cannot start: ``name`` and ``of`` are what the two arguments are called."""
    if not isinstance(problem, Problem):
        raise TypeError(
            f"{of} must be a Problem, got {type(problem).__name__}: make one with Problem(op, y)"
        )
    W = _checks.real_array(check_factors(factors, name).W, name, ndim=2)
    if tuple(factors.shape) != tuple(problem.op.shape):
        raise ValueError(
            f"{name} must be of shape {problem.op.shape}, as its problem, got {factors.shape}"
        )
    check_library(W, problem.op, name)


def iterate(
    solver: Solver, problem: Problem, factors: Factors, phase: str = "solve"
) -> Iterator[State]:
    """The states of a solver, the initial one first, for as long as you ask.

    Raises
    ------
    ValueError, TypeError
        If the factors are not finite, or not those of a matrix that the problem measures.
    """
    check_solver(solver)
    check_start(problem, factors)
    return _states(solver, problem, factors, phase)


def _states(solver: Solver, problem: Problem, factors: Factors, phase: str) -> Iterator[State]:
    state = replace(solver.init(problem, factors), phase=phase)
    while True:
        yield state
        if state.stalled or not state.point.is_finite:
            return
        state = replace(solver.step(problem, state), phase=phase)


@one_blas_thread()
def solve(
    solver: Solver,
    problem: Problem,
    factors: Factors,
    *,
    tol: float = 1e-8,
    max_iter: int = 1000,
    callbacks: Iterable[Callback] = (),
    phase: str = "solve",
) -> Result:
    """Run a solver until the gradient is small.

    Parameters
    ----------
    solver : Solver
    problem : Problem
    factors : Factors
        Where to start.
    tol : float
        Gradient norm that counts as stationary, as a multiple of
        :attr:`~leanrank.Problem.gradient_scale`: the same problem in other units ends in
        the same step.
    max_iter : int
        Largest number of steps.
    callbacks : iterable of callables
        Each is called with every state; True stops.
    phase : str
        Name in the history.

    Returns
    -------
    Result
        CONVERGED only if the gradient norm of the problem is at most ``tol`` times its scale:
        stationary to first order, for the second see
        :func:`~leanrank.research.solvers.stationary_point`. Close to zero the gradient is always
        small; where zero is a saddle point that is not called converged, and the solver goes on.
        If it cannot leave, the run is STALLED. Diverged runs return the last finite factors.

    Raises
    ------
    ValueError, TypeError
        If the factors are not finite, or not those of a matrix that the problem measures, or
        another argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from leanrank.operators import FullObservation
    >>> from leanrank.solvers import GradientDescent, PerturbedGradientDescent
    >>> problem, zero = Problem(FullObservation((2, 2)), np.eye(2)), Factors(np.zeros((2, 2)))
    >>> for solver in (GradientDescent(0.1), PerturbedGradientDescent(0.1, random_state=0)):
    ...     result = solve(solver, problem, zero)
    ...     print(result.status.name, result.factors.singular_values().round(6))
    STALLED [0. 0.]
    CONVERGED [1. 1.]
    """
    tol = _checks.real_number(tol, "tol", least=0.0)
    max_iter = _checks.whole_number(max_iter, "max_iter")
    callbacks = _checks.functions(callbacks, "callbacks")
    states = iterate(solver, problem, factors, phase)
    bound, at_zero, history = tol * problem.gradient_scale, AtZero(problem), History()
    last: State | None = None
    for state in states:
        if not state.point.is_finite:
            return Result(
                factors if last is None else last.factors,
                Status.DIVERGED,
                f"the objective stopped being finite after {state.iteration} steps; "
                "use a smaller step size or start closer to zero",
                None,
                history,
            )
        history.records.append(record(state))
        gradient_norm = state.point.gradient_norm
        ask = [callback(state) for callback in callbacks]
        small = gradient_norm <= bound
        saddle = at_zero.saddle(state.point) if small else ""
        if small and not saddle:
            status, message = Status.CONVERGED, f"gradient norm {gradient_norm:.1e} <= {bound:.1e}"
        elif any(ask):
            status, message = Status.STOPPED, "a callback asked to stop"
        elif state.stalled or (saddle and _unmoved(last, state)):
            status, message = Status.STALLED, saddle or state.stalled
        elif state.iteration >= max_iter:
            reason = saddle or (
                f"gradient norm {gradient_norm:.1e} > {bound:.1e}; raise max_iter, or use a "
                "second-order solver"
            )
            status, message = Status.MAX_ITER, f"after {max_iter} steps: {reason}"
        else:
            last = state
            continue
        return Result(state.factors, status, message, None, history)
    raise AssertionError("a finite state that is not stalled has a successor")


def _unmoved(last: State | None, state: State) -> bool:
    """Whether the last step led nowhere, and the next one will not, either."""
    W = state.factors.W
    return (
        last is not None
        and state.point.gradient_norm == 0
        and bool(array_namespace(W).all(last.factors.W == W))
    )

"""One protocol and one loop: ``init`` gives a State, ``step`` the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from leanrank._arrays import Array
from leanrank.factors import Factors
from leanrank.problem import Point, Problem
from leanrank.results import History, Record, Result, Status

__all__ = ["Callback", "Solver", "State", "iterate", "record", "solve"]


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
    """

    point: Point
    iteration: int
    passes: float
    memory: Any = None
    stalled: str = ""
    phase: str = "solve"
    scale: float = 1.0

    @property
    def factors(self) -> Factors:
        return self.point.factors

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


def iterate(
    solver: Solver, problem: Problem, factors: Factors, phase: str = "solve"
) -> Iterator[State]:
    """The states of a solver, the initial one first, for as long as you ask."""
    state = replace(solver.init(problem, factors), phase=phase)
    while True:
        yield state
        if state.stalled or not state.point.is_finite:
            return
        state = replace(solver.step(problem, state), phase=phase)


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
    """Run a solver until the gradient norm is at most ``tol``.

    Parameters
    ----------
    solver : Solver
    problem : Problem
    factors : Factors
        Where to start.
    tol : float
        Gradient norm (absolute, in the scale of y) that counts as stationary.
    max_iter : int
        Largest number of steps.
    callbacks : iterable of callables
        Each is called with every state; True stops.
    phase : str
        Name in the history.

    Returns
    -------
    Result
        CONVERGED only if the gradient norm of the problem is at most ``tol``. Diverged runs
        return the last finite factors.
    """
    history = History()
    best = None
    for state in iterate(solver, problem, factors, phase):
        if not state.point.is_finite:
            at = best.factors if best is not None else factors
            return Result(
                at,
                Status.DIVERGED,
                f"the objective stopped being finite after {state.iteration} steps; "
                "use a smaller step size or start closer to zero",
                None,
                history,
            )
        best = state
        history.records.append(record(state))
        gradient_norm = state.point.gradient_norm
        ask = [callback(state) for callback in callbacks]
        if gradient_norm <= tol:
            status, message = Status.CONVERGED, f"gradient norm {gradient_norm:.1e} <= {tol:.1e}"
        elif any(ask):
            status, message = Status.STOPPED, "a callback asked to stop"
        elif state.stalled:
            status, message = Status.STALLED, state.stalled
        elif state.iteration >= max_iter:
            status, message = (
                Status.MAX_ITER,
                f"gradient norm {gradient_norm:.1e} > {tol:.1e} after {max_iter} steps; "
                "raise max_iter, or use a second-order solver",
            )
        else:
            continue
        return Result(state.factors, status, message, None, history)
    raise AssertionError("a finite state that is not stalled has a successor")

"""Second-order stationary points: any solver, a Hessian check, and a way out of saddle points."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from leanrank import _checks
from leanrank._arrays import Array, array_namespace
from leanrank._threads import one_blas_thread
from leanrank.factors import Factors
from leanrank.problem import Point, Problem
from leanrank.results import History, Status
from leanrank.solvers._base import Callback, Solver, State, check_start, record
from leanrank.solvers._curvature import smallest_curvature

__all__ = ["StationaryPoint", "stationary_point"]

_WAIT = 25


@dataclass(frozen=True)
class StationaryPoint:
    """What a search for an approximate second-order stationary point found.

    Attributes
    ----------
    factors : Factors
        Of full width.
    status : Status
        CONVERGED only if gradient and Hessian were both checked.
    message : str
    gradient_norm, curvature : float
        Gradient norm and smallest Hessian eigenvalue; the latter is NaN if it was not looked at.
    iterations, escapes : int
        Steps in all, and how many of them were along directions of negative curvature.
    """

    factors: Factors
    status: Status
    message: str
    gradient_norm: float
    curvature: float
    iterations: int
    escapes: int


def _escaped(problem: Problem, point: Point, direction: Array, size: float) -> Factors | None:
    """Factors with a lower objective along a direction of negative curvature."""
    xp = array_namespace(direction)
    step = -size if float(xp.sum(direction * point.gradient)) > 0 else size
    for _ in range(40):
        trial = point.factors.with_stacked(point.factors.W + step * direction)
        if problem.value(trial) < point.value:
            return trial
        step *= 0.5
    return None


@one_blas_thread()
def stationary_point(
    problem: Problem,
    factors: Factors,
    *,
    solver: Solver,
    epsilon: float,
    gamma: float,
    max_iter: int,
    callbacks: Iterable[Callback] = (),
    history: History | None = None,
    random_state: Any = None,
    phase: str = "penalise",
) -> StationaryPoint:
    r"""Find an :math:`(\epsilon, \gamma)`-approximate second-order stationary point, and check it.

    :math:`|\nabla f|_F \le \epsilon` and :math:`\lambda_{\min}(\nabla^2 f) \ge -\gamma`
    (Definition 2 of Rajaraman et al. 2023). Whenever the solver brings the gradient down to
    epsilon the smallest eigenvalue is computed; if it is below -gamma, a step is taken along its
    direction and the solver goes on from there.

    Parameters
    ----------
    problem : Problem
    factors : Factors
        Where to start, at full width.
    solver : Solver
    epsilon, gamma : float
        In units of the gradient and of the Hessian.
    max_iter : int
        Largest number of steps.
    callbacks : iterable of callables
        Each is called with every state; True stops.
    history : History, optional
        Records are appended to it.
    random_state : int, Generator or None
        For the starts of Lanczos.
    phase : str
        Name in the history.

    Returns
    -------
    StationaryPoint

    Examples
    --------
    Zero is a saddle point here; the check sees it and leads away:

    >>> import numpy as np
    >>> from leanrank.operators import FullObservation
    >>> from leanrank.solvers import GradientDescent
    >>> problem = Problem(FullObservation((2, 2)), np.diag([1.0, 0.0]))
    >>> found = stationary_point(
    ...     problem, Factors(np.zeros((2, 2))), solver=GradientDescent(0.1), epsilon=1e-6,
    ...     gamma=1e-3, max_iter=200, random_state=0
    ... )
    >>> found.status.name, found.escapes, found.factors.singular_values().round(6)
    ('CONVERGED', 1, array([1., 0.]))
    """
    rng = _checks.generator(random_state)
    history = History() if history is None else history
    callbacks = _checks.functions(callbacks, "callbacks")
    max_iter = _checks.whole_number(max_iter, "max_iter")
    check_start(problem, factors)
    state = replace(solver.init(problem, factors), phase=phase)
    last, curvature, escapes, next_check = state, float("nan"), 0, 0

    def outcome(status: Status, message: str) -> StationaryPoint:
        return StationaryPoint(
            last.factors,
            status,
            message,
            last.point.gradient_norm,
            curvature,
            last.iteration,
            escapes,
        )

    while True:
        if not state.point.is_finite:
            return outcome(
                Status.DIVERGED,
                f"the objective stopped being finite after {state.iteration} steps; "
                "use a smaller step_size or a smaller start",
            )
        last, curvature = state, float("nan")
        history.records.append(record(state))
        small = state.point.gradient_norm <= epsilon
        asked = any([callback(state) for callback in callbacks])
        over = state.iteration >= max_iter
        forced = over or asked or bool(state.stalled)
        refused = False
        if small and (forced or state.iteration >= next_check):
            curvature, direction = smallest_curvature(problem, state.point, rng)
            if curvature >= -gamma:
                return outcome(
                    Status.CONVERGED,
                    f"second-order stationary point after {state.iteration} steps (gradient norm "
                    f"{last.point.gradient_norm:.1e}, smallest curvature {curvature:.1e})",
                )
            refused = True
            next_check = state.iteration + _WAIT
        if asked:
            return outcome(Status.STOPPED, "a callback asked to stop")
        if over:
            return outcome(Status.MAX_ITER, _short_of(last, curvature, epsilon, gamma))
        if refused:
            away = _escaped(problem, state.point, direction, _typical_column(state.factors))
            if away is None:
                return outcome(
                    Status.STALLED,
                    f"the curvature is {curvature:.1e} < -{gamma:.1e}, but no step along it "
                    "lowers the objective: rounding hides it; raise gamma",
                )
            escapes += 1
            state = replace(solver.init(problem, away), iteration=state.iteration + 1, phase=phase)
        elif state.stalled:
            return outcome(Status.STALLED, state.stalled)
        else:
            state = replace(solver.step(problem, state), phase=phase)


def _short_of(state: State, curvature: float, epsilon: float, gamma: float) -> str:
    if curvature < -gamma:
        what = f"the smallest curvature is {curvature:.1e} < -{gamma:.1e}"
    else:
        what = f"the gradient norm is {state.point.gradient_norm:.1e} > {epsilon:.1e}"
    return (
        f"no second-order stationary point within {state.iteration} steps: {what}; raise "
        "max_iter or epsilon and gamma, or use solver=LBFGS()"
    )


def _typical_column(factors: Factors) -> float:
    """A length to try first: a tenth of the longest column, or 1 where all are zero."""
    longest = float(array_namespace(factors.W).max(factors.column_norms()))
    return 0.1 * longest if longest > 0 else 1.0

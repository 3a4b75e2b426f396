"""Algorithm 1 of the pruning paper to the letter: stationary point, prune, fine-tune."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from leanrank import _checks, initial
from leanrank._arrays import Array, ArrayLike, array_namespace, like
from leanrank._threads import one_blas_thread
from leanrank.factors import Factors
from leanrank.linalg import leading_pairs
from leanrank.operators import Measurement
from leanrank.penalties import GroupLasso, NoPenalty
from leanrank.policy import EvidencePolicy
from leanrank.problem import Problem
from leanrank.pruning import prune, separation
from leanrank.research import theory
from leanrank.research.solvers import StationaryPoint, stationary_point
from leanrank.results import History, Result, Status
from leanrank.solvers import Callback, GradientDescent, PerturbedGradientDescent, Solver, solve

__all__ = ["greedy_prune"]


@one_blas_thread()
def greedy_prune(
    op: Measurement,
    y: ArrayLike,
    *,
    width: int | None = None,
    lam: float,
    beta: float,
    epsilon: float | None = None,
    gamma: float | None = None,
    step_size: float | None = None,
    fine_tune_steps: int = 2000,
    symmetric: bool = True,
    solver: Solver | None = None,
    start: Factors | None = None,
    scale: float | None = None,
    operator_norm: float | None = None,
    max_iter: int = 20_000,
    callbacks: Iterable[Callback] = (),
    random_state: Any = None,
) -> Result:
    r"""Greedy pruning with group Lasso: Algorithm 1 of Rajaraman et al. (2023).

    1. Find an :math:`(\epsilon, \gamma)`-approximate second-order stationary point of
       :math:`\tfrac1m \sum_i (\langle A_i, X\rangle - y_i)^2 + \lambda \mathcal R_\beta(W)`,
       eq. (14), at full width, and check that it is one, of an operator norm of at most 3 times
       that of :math:`U_\star`.
    2. Delete the columns of norm at most :math:`2 \sqrt\beta`.
    3. Take ``fine_tune_steps`` steps of gradient descent on the loss alone.

    This is the algorithm step by step as it is printed; ``recover`` reaches the same points faster.

    Parameters
    ----------
    op : Measurement
    y : array, shape (m,)
    width : int, optional
        Number of columns k of the over-parameterised model; min(n1, n2) if left out.
    lam, beta : float
        Strength and smoothing of the penalty, in units of sigma cubed and sigma squared, where
        sigma squared is a singular value of X (for measurements of unit scale). See
        :func:`leanrank.research.theory.pruning_parameters` and
        :func:`leanrank.research.theory.critical_lambda`.
    epsilon, gamma : float, optional
        Accuracy of the stationary point. A thousandth of the scale of gradients, and a twentieth
        of ``lam`` over the square root of the norm of X (but no less than a ten thousandth of
        the scale of Hessians), both estimated from y, if left out.
    step_size : float, optional
        Of descent in both phases; backtracking if left out.
    fine_tune_steps : int
        Number of steps of the last phase; it ends earlier only once the gradient of the loss is
        down to 1e-10 epsilon.
    symmetric : bool
        Whether X = U U^T. The paper treats that case only; for a general matrix the groups are
        the columns of the stacked (U; V).
    solver : Solver, optional
        Oracle of the first phase; :class:`~leanrank.solvers.PerturbedGradientDescent` if left
        out.
    start : Factors, optional
        Where to start. Gaussian if left out.
    scale : float, optional
        Standard deviation of the Gaussian start. If left out, columns have about a third of the
        square root of the norm of X. Small against the square root of beta, they may collapse.
    operator_norm : float, optional
        Largest operator norm of W that the stationary point may have, 3 in the paper, where
        :math:`|U_\star|_{op} = 1`. Three times the square root of the norm of X if left out.
    max_iter : int
        Largest number of steps of the first phase.
    callbacks : iterable of callables
        Each is called with every state; True stops the run.
    random_state : int, Generator or None

    Returns
    -------
    Result
        History with the phases ``penalise`` and ``fine-tune``; ``column_norms`` has the norms
        ``before pruning`` (k,) and ``after pruning``. The message says what happened, and warns
        if ``lam`` may have killed weak directions. Status:

        - CONVERGED: the point was checked to be stationary to second order, and the gradient of
          the loss after fine-tuning is at most epsilon;
        - MAX_ITER: one of the two was not reached (pruning and fine-tuning are done anyway);
        - STALLED: all columns were pruned, the stationary point is longer than
          ``operator_norm``, or a solver could not go on;
        - DIVERGED: the step size was too large; factors are the last finite ones;
        - STOPPED: a callback asked for it.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, y does not fit the operator, a symmetric model is
        asked for of a matrix that is not square, or ``start`` has another shape.

    Examples
    --------
    >>> from leanrank.operators import FullObservation
    >>> X = np.diag([1.0, 0.8, 0.0, 0.0])
    >>> result = greedy_prune(
    ...     FullObservation((4, 4)), X, lam=0.1, beta=0.01, random_state=0
    ... )
    >>> result.rank, result.status.name, result.factors.singular_values().round(6)
    (2, 'CONVERGED', array([1. , 0.8]))
    """
    penalty = GroupLasso(
        _checks.real_number(lam, "lam", least=0.0), _checks.real_number(beta, "beta", above=0.0)
    )
    problem = Problem(op, y, penalty)
    rng = _checks.generator(random_state)
    strength, size = _scales(problem, symmetric, rng)
    if epsilon is None:
        epsilon = 1e-3 * strength * size**1.5 or 1e-12
    if gamma is None:
        gamma = max(0.05 * lam / size**0.5, 1e-4 * strength * size) if size > 0 else 1e-12
    epsilon = _checks.real_number(epsilon, "epsilon", above=0.0)
    gamma = _checks.real_number(gamma, "gamma", above=0.0)
    if operator_norm is None:
        operator_norm = 3.0 * size**0.5 if size > 0 else 1.0
    operator_norm = _checks.real_number(operator_norm, "operator_norm", above=0.0)
    fine_tune_steps = _checks.whole_number(fine_tune_steps, "fine_tune_steps")
    max_iter = _checks.whole_number(max_iter, "max_iter")
    factors = _start(op, start, width, scale, size, symmetric, rng)
    if solver is None:
        solver = PerturbedGradientDescent(step_size, threshold=epsilon, random_state=rng)
    callbacks = _checks.functions(callbacks, "callbacks")

    history = History()
    found = stationary_point(
        problem,
        factors,
        solver=solver,
        epsilon=epsilon,
        gamma=gamma,
        max_iter=max_iter,
        callbacks=callbacks,
        history=history,
        random_state=rng,
    )
    found = _bounded(found, operator_norm)
    norms = {"before pruning": found.factors.column_norms()}
    if found.status in (Status.DIVERGED, Status.STOPPED):
        return Result(found.factors, found.status, found.message, None, history, norms)
    pruned = prune(found.factors, penalty.prune_threshold)
    norms["after pruning"] = pruned.column_norms()
    if not pruned.width:
        message = f"{found.message}; {_all_pruned(problem, found.factors, symmetric, rng)}"
        return Result(pruned, Status.STALLED, message, None, history, norms)

    tuned = solve(
        GradientDescent(step_size),
        problem.with_penalty(NoPenalty()),
        pruned,
        tol=1e-10 * epsilon / problem.gradient_scale,
        max_iter=fine_tune_steps,
        callbacks=callbacks,
        phase="fine-tune",
    )
    history.records.extend(tuned.history.records)
    problem.passes = history.passes
    status, message = _verdict(found, tuned, epsilon, penalty)
    if found.status is Status.CONVERGED and status in (Status.CONVERGED, Status.MAX_ITER):
        message += _lost_directions(problem, tuned.factors, symmetric, rng)
    return Result(tuned.factors, status, message, None, history, norms)


def _bounded(found: StationaryPoint, most: float) -> StationaryPoint:
    """The point, not a converged one if its operator norm is above ``most``."""
    W = found.factors.W
    if found.status is not Status.CONVERGED or not found.factors.width:
        return found
    longest = float(array_namespace(W).linalg.svdvals(W)[0])
    if longest <= most:
        return found
    message = (
        f"{found.message}, but its operator norm is {longest:.3g} > {most:.3g}: take smaller steps "
        "or a smaller start, or raise operator_norm"
    )
    return replace(found, status=Status.STALLED, message=message)


def _start(
    op: Measurement,
    start: Factors | None,
    width: int | None,
    scale: float | None,
    size: float,
    symmetric: bool,
    rng: np.random.Generator,
) -> Factors:
    if start is None:
        width = min(op.shape) if width is None else _checks.whole_number(width, "width", least=1)
        if scale is None:
            scale = 0.35 * (size / op.shape[0]) ** 0.5 if size > 0 else 1e-3
        return initial.gaussian(
            op.shape,
            width,
            scale=scale,
            symmetric=symmetric,
            random_state=rng,
            reference=op.reference,
        )
    if tuple(start.shape) != tuple(op.shape) or start.symmetric != symmetric:
        raise ValueError(
            f"start must have shape {tuple(op.shape)} and symmetric={symmetric}, got {start!r}"
        )
    if width is not None and start.width != width:
        raise ValueError(f"start must have width = {width} columns, got {start.width}")
    return start


def _scales(problem: Problem, symmetric: bool, rng: np.random.Generator) -> tuple[float, float]:
    """Scale of the ensemble, weight |A(X)|^2 / |X|^2, and estimated Frobenius norm of X.

    The first is taken at the leading pair of the adjoint of y, which is where X is if anywhere.
    """
    guess = initial.spectral(problem.op, problem.y, 1, symmetric=symmetric, random_state=rng)
    problem.passes += 2.0
    strength = _strength(problem, guess) or 1.0
    return strength, (problem.zero_loss / strength) ** 0.5


def _strength(problem: Problem, factors: Factors) -> float:
    size = factors.norm()
    if not size > 0:
        return 0.0
    problem.passes += 1.0
    image = problem.op.forward(factors)
    return problem.op.weight * float(array_namespace(image).sum(image * image)) / size**2


def _missing(problem: Problem, residual: Array, symmetric: bool, rng: Any) -> float:
    """Largest singular value (eigenvalue if symmetric) of X that the residual still shows.

    In units of X times the scale of the ensemble: the gradient in X is minus twice that.
    """
    G = problem.gradient_matrix(-residual)
    values = leading_pairs(G, 1, rng, problem.op.reference, symmetric=symmetric)[1]
    return 0.5 * max(float(values[0]), 0.0)


def _all_pruned(problem: Problem, factors: Factors, symmetric: bool, rng: Any) -> str:
    penalty = problem.penalty
    assert isinstance(penalty, GroupLasso)
    lam, beta = penalty.strength, penalty.smoothing
    top = _missing(problem, -problem.y, symmetric, rng)
    longest = float(array_namespace(factors.W).max(factors.column_norms()))
    if theory.origin_is_stable(lam, beta, top**0.5, symmetric=symmetric):
        factor = 2.0 if symmetric else 1.0
        limit = factor * beta**0.5 * top
        return (
            f"all {factors.width} columns were pruned: lam = {lam:.3g} >= "
            f"{factor:g} sqrt(beta) sigma^2 = {limit:.3g} makes zero a stable point (sigma^2 = "
            f"{top:.3g} is the strongest direction that y shows); lower lam below that, raise "
            "beta, or start with columns much longer than sqrt(beta)"
        )
    return (
        f"all {factors.width} columns were pruned: the longest has norm {longest:.3g} <= "
        f"2 sqrt(beta) = {penalty.prune_threshold:.3g}; lower beta, or raise max_iter"
    )


def _verdict(
    found: StationaryPoint, tuned: Result, epsilon: float, penalty: GroupLasso
) -> tuple[Status, str]:
    """Status and sentence of a run that pruned and fine-tuned."""
    kept, width = tuned.rank, found.factors.width
    longest, shortest = separation(found.factors, penalty.prune_threshold)
    message = f"{found.message}; kept {kept} of {width} columns"
    if shortest < 1.25 or longest > 0.8:
        message += (
            f", by a thin margin (norms {longest:.2f} and {shortest:.2f} times the threshold are "
            "the nearest): the rank hangs on beta"
        )
    if tuned.status is Status.DIVERGED:
        return Status.DIVERGED, f"{message}; fine-tuning: {tuned.message}"
    if tuned.status is Status.STOPPED:
        return Status.STOPPED, f"{message}; fine-tuning: {tuned.message}"
    last = tuned.history[-1]
    message += (
        f"; {last.iteration} fine-tuning steps left the loss at {last.loss:.1e}, its gradient "
        f"norm at {last.gradient_norm:.1e}"
    )
    if found.status is not Status.CONVERGED:
        return found.status, message
    if last.gradient_norm > epsilon:
        return Status.MAX_ITER, (
            f"{message} > epsilon = {epsilon:.1e}: raise fine_tune_steps, or fine-tune the "
            "factors with a second-order solver"
        )
    return Status.CONVERGED, message


def _lost_directions(problem: Problem, factors: Factors, symmetric: bool, rng: Any) -> str:
    """A warning if lam is close to killing, or seems to have killed, directions of X."""
    penalty = problem.penalty
    assert isinstance(penalty, GroupLasso)
    strength = _strength(problem, factors) or 1.0
    lam, beta = penalty.strength / strength, penalty.smoothing
    values = factors.singular_values()
    weakest = float(values[-1]) ** 0.5
    limit = strength * theory.critical_lambda(weakest, beta, symmetric=symmetric)
    lost = theory.smallest_surviving_sigma(lam, beta, symmetric=symmetric) ** 2
    gone = f"singular values of X below {lost:.2g} cannot survive it"
    if penalty.strength > 0.5 * limit:
        return (
            f"; warning: lam = {penalty.strength:.3g} is above half of the {limit:.3g} at which "
            f"the weakest recovered direction would be lost, and {gone}: try a smaller lam"
        )
    problem.passes += 1.0
    residual = problem.op.forward(factors) - problem.y
    shown = _missing(problem, residual, symmetric, rng) / strength
    xp = array_namespace(residual)
    flips = like(rng.choice([-1.0, 1.0], size=(3, int(residual.shape[0]))), residual)
    noise = max(
        _missing(problem, residual * flips[i, :], symmetric, rng) / strength for i in range(3)
    )
    fitted = float(xp.max(xp.abs(residual))) <= 1e-6 * float(xp.max(xp.abs(problem.y)))
    if shown > EvidencePolicy().structure * noise and not fitted:
        return (
            f"; warning: the residual still shows a direction of strength {shown:.2g}, more than "
            f"its noise would, and under lam = {penalty.strength:.3g} {gone}: try a smaller lam"
        )
    return ""

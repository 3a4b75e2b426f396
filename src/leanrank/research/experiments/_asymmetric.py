r"""What the experiments of Wind share: targets, starts, and the error at the theorem's time.

Wind's loss is half of this library's, so that the learning rate :math:`\eta` is 2 s and k steps
take the time :math:`k\eta`. Errors are operator norms and the largest singular value of Y is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from leanrank import initial, simulate
from leanrank.factors import Factors
from leanrank.operators import DenseSensing
from leanrank.problem import Problem
from leanrank.research import theory
from leanrank.research.diagnostics import operator_error
from leanrank.research.solvers import (
    FreshGaussianDescent,
    PerturbedSensingDescent,
    descend_together,
)
from leanrank.solvers import Solver, iterate

__all__ = [
    "allowed_start",
    "crossing",
    "errors_after",
    "errors_together",
    "exponent",
    "fixed_set",
    "fresh",
    "gaussian_set",
    "log_labels",
    "population",
    "start",
    "steps",
    "steps_until",
]


def population(
    n: int, rank: int, kappa: float, rng: np.random.Generator
) -> tuple[Problem, Factors]:
    """Full observation of a target with singular values from 1 down to 1 / kappa, and it."""
    inst = simulate.full_observation(n, rank, kappa=kappa, random_state=rng)
    return Problem(inst.op, inst.y), inst.truth


def gaussian_set(shape: tuple[int, int], m: int, rng: np.random.Generator) -> DenseSensing:
    """So many standard normal matrices, in at most n1 n2 rows that descent cannot tell from them.

    Descent sees A*A only, a Wishart matrix: from n1 n2 measurements on its triangular factor is
    drawn itself (Bartlett's decomposition), so that any m costs as much as n1 n2.
    """
    size = shape[0] * shape[1]
    if m <= size:
        return simulate.gaussian_operator(shape, m, random_state=rng)
    factor = np.triu(rng.standard_normal((size, size)), 1)
    factor[np.diag_indices(size)] = np.sqrt(rng.chisquare(m - np.arange(size)))
    return DenseSensing((size / m) ** 0.5 * factor.reshape(size, *shape))


def fixed_set(truth: Factors, m: int, rng: np.random.Generator) -> Problem:
    """Measurements with m standard normal matrices, or what descent cannot tell from them."""
    op = gaussian_set(truth.shape, m, rng)
    return Problem(op, op.forward(truth))


def start(truth: Factors, scale: float, rng: np.random.Generator) -> Factors:
    """Gaussian factors of width n with operator norm ``scale``."""
    return initial.gaussian(truth.shape, truth.shape[0], operator_norm=scale, random_state=rng)


def allowed_start(truth: Factors, share: float, theta: float, rng: np.random.Generator) -> Factors:
    """A Gaussian start of a share of the largest norm that Theorem 6.1 allows."""
    # The largest depends on the direction of the start only.
    tiny = start(truth, 1e-6, rng)
    scale = share * theory.WarmUp(tiny, truth, theta=theta).largest_start
    return tiny.scaled((scale / 1e-6) ** 2)


def errors_together(
    problem: Problem, truth: Factors, starts: Sequence[Factors], eta: float, steps: Sequence[int]
) -> np.ndarray:
    """Error of descent from each start after its number of steps, shape (starts,)."""
    error = operator_error(truth)
    found = np.full(len(starts), np.inf)
    for k, states in enumerate(descend_together(problem, starts, eta / 2.0)):
        for i, state in enumerate(states):
            if k == steps[i] and state.point.is_finite:
                found[i] = error(state)
        if k == max(steps):
            break
    return found


def errors_after(
    solver: Solver, problem: Problem, truth: Factors, start: Factors, steps: int, every: int = 0
) -> np.ndarray:
    """Error after so many steps, or at every so many up to there; infinite once it diverged."""
    error = operator_error(truth)
    every = every or steps
    found = np.full(steps // every, np.inf)
    for state in islice(iterate(solver, problem, start), 1, steps + 1):
        if state.iteration % every == 0 and state.point.is_finite:
            found[state.iteration // every - 1] = error(state)
    return found


def exponent(
    solver: PerturbedSensingDescent,
    problem: Problem,
    truth: Factors,
    kappa: float,
    scales: np.ndarray,
    time: float,
    unit: Factors,
) -> float:
    """Slope of log error over log scale^2, of starts that are ``unit`` but for their scales.

    That of runs of which one diverged is minus infinity. ``time`` is the constant c of ``steps``.
    """
    eta = 2.0 * solver.step_size
    errors = [
        errors_after(solver, problem, truth, unit.scaled(x**2), steps(eta, kappa, x, time))[0]
        for x in scales
    ]
    if not np.isfinite(errors).all():
        return -np.inf
    return float(np.polyfit(2.0 * np.log(scales), np.log(errors), 1)[0])


def crossing(x: Sequence[float], y: np.ndarray, level: float) -> float:
    """Where a falling curve first goes below a level, between points; its ends if it does not."""
    below = np.flatnonzero(np.asarray(y) < level)
    if not below.size:
        return float(x[-1])
    i = int(below[0])
    if i == 0:
        return 0.0
    share = (y[i - 1] - level) / (y[i - 1] - y[i]) if np.isfinite(y[i]) else 0.0
    return float(x[i - 1] + share * (x[i] - x[i - 1]))


def steps_until(
    solver: Solver, problem: Problem, truth: Factors, start: Factors, steps: int, target: float
) -> float:
    """Steps after which the error is first below a target; infinite if not within so many."""
    error = operator_error(truth)
    for state in islice(iterate(solver, problem, start), 1, steps + 1):
        if not state.point.is_finite:
            break
        # The residual is at hand, and its Frobenius norm at most sqrt(n) times the operator norm.
        near = np.linalg.norm(state.point.residual) < min(truth.shape) ** 0.5 * target
        if near and error(state) < target:
            return state.iteration
    return np.inf


def fresh(eta: float, m: int, rng: np.random.Generator) -> Solver:
    """Descent that sees m new measurements in each step."""
    return FreshGaussianDescent(eta / 2.0, m, random_state=rng)


def steps(eta: float, kappa: float, scale: float, c: float) -> int:
    """The theorem's number of steps, with its open constant c."""
    return theory.descent_steps(eta / 2.0, 1.0 / kappa, scale, c=c)


def log_labels(ax: Any) -> None:
    """A logarithmic y axis that spans a decade or two, with labels at 1, 2 and 5 in each."""
    from matplotlib.ticker import LogLocator

    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(LogLocator(subs=(3.0, 4.0, 6.0, 7.0, 8.0, 9.0)))
    ax.yaxis.set_minor_formatter("")

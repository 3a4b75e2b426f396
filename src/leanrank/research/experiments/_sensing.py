"""What the pruning experiments share: a truth, Gaussian measurements of it, watched descent."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np

from leanrank import initial
from leanrank.factors import Factors
from leanrank.operators import DenseSensing
from leanrank.penalties import GroupLasso, NoPenalty
from leanrank.problem import Problem
from leanrank.research import theory
from leanrank.research.greedy import greedy_prune
from leanrank.results import Result
from leanrank.solvers import GradientDescent, Solver, State, iterate

__all__ = [
    "descend",
    "follow",
    "group_lasso",
    "is_stationary",
    "pruned",
    "sensing",
    "spectrum",
    "squared_error",
    "truth_of",
    "waiting",
]


def truth_of(d: int, singular_values: Sequence[float], rng: np.random.Generator) -> Factors:
    """U* with uniformly distributed orthogonal columns of the given norms."""
    Q = initial.orthonormal((d, d), len(singular_values), symmetric=True, random_state=rng)
    return Factors(Q.U * np.asarray(singular_values))


def spectrum(rank: int, sigma_r: float) -> tuple[float, ...]:
    """Singular values of U*, evenly from 1 to sigma_r; of one column alone 1."""
    return tuple(np.linspace(1.0, sigma_r, rank)) if rank > 1 else (1.0,)


def group_lasso(lam: float, sqrt_beta: float) -> GroupLasso | NoPenalty:
    """The penalty, or none where its strength is 0."""
    return GroupLasso(lam, sqrt_beta**2) if lam > 0 else NoPenalty()


def sensing(truth: Factors, n: int, rng: np.random.Generator, noise: float = 0.0) -> Problem:
    """Measurements with standard normal matrices, plus normal noise of the given deviation.

    Measurements come first: problems that differ in noise share the rest.
    """
    op = DenseSensing(rng.standard_normal((n, *truth.shape)), symmetric=True)
    return Problem(op, op.forward(truth) + noise * rng.standard_normal(n))


def squared_error(factors: Factors, X: np.ndarray) -> float:
    """Squared Frobenius norm of the difference to X."""
    return float(np.sum((factors.to_dense() - X) ** 2))


def descend(
    problem: Problem,
    start: Factors,
    step_size: float,
    iterations: int,
    watch: Callable[[State], Any] | None = None,
    every: int = 1,
) -> tuple[Factors, list[Any]]:
    """Plain gradient descent, and what ``watch`` saw at every so many states."""
    return follow(GradientDescent(step_size), problem, start, iterations, watch, every)


def follow(
    solver: Solver,
    problem: Problem,
    start: Factors,
    iterations: int,
    watch: Callable[[State], Any] | None = None,
    every: int = 1,
) -> tuple[Factors, list[Any]]:
    """So many steps of a solver, and what ``watch`` saw at every so many states.

    A run that diverges stops, and has seen its last finite state from then on.
    """
    seen = []
    factors = start
    states = iterate(solver, problem, start)
    for state in islice(states, iterations + 1):
        if not state.point.is_finite:
            break
        factors = state.factors
        if watch is not None and state.iteration % every == 0:
            seen.append(watch(state))
    return factors, waiting(seen, iterations // every + 1)


def waiting(seen: list[Any], count: int) -> list[Any]:
    """So many values: those seen, and the last of them until the end."""
    return seen + seen[-1:] * (count - len(seen))


def pruned(
    problem: Problem,
    start: Factors,
    parameters: theory.PruningParameters,
    solver: Solver,
    iterations: int,
    rng: np.random.Generator,
    operator_norm: float = 3.0,
) -> Result:
    """What Algorithm 1 has pruned to, before it is fine-tuned; the norm is that of |U*|_op = 1."""
    return greedy_prune(
        problem.op,
        problem.y,
        **dataclasses.asdict(parameters),
        solver=solver,
        start=start,
        operator_norm=operator_norm,
        max_iter=iterations,
        fine_tune_steps=0,
        random_state=rng,
    )


def is_stationary(result: Result) -> bool:
    """Whether the point that was pruned is the bounded one that Algorithm 1 asks for."""
    said: str = result.message
    return said.startswith("second-order stationary point") and "its operator norm" not in said

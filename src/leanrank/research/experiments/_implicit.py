r"""What the experiments of Li, Ma and Zhang share: their instances, and descent watched in time.

The paper's f is :math:`\tfrac1{2m}\sum_i(\cdot)^2`, half of this library's loss, so that its step
size :math:`\eta` is 2 s. Curves change by a few percent at most when steps are up to eight times
as long and as many times fewer (``coarsening``), by about five at sixteen; iterations are counted
in the paper's. As there, instances of one size share :math:`X_\star` and draw their own
measurements.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from leanrank import initial, simulate
from leanrank.factors import Factors
from leanrank.operators import DenseSensing, FullObservation, RankOneSensing
from leanrank.problem import Problem
from leanrank.research.diagnostics import Trace, recovery_error, training_error
from leanrank.research.experiments._experiment import Parameter, Trial
from leanrank.research.solvers import descend_together
from leanrank.solvers import State

__all__ = [
    "COMMON",
    "conditioned",
    "conditioned_truth",
    "curves",
    "identity",
    "instance",
    "log_times",
    "network",
    "reduced_operator",
    "run",
    "spread",
]

COMMON = {
    "rank": Parameter(5, 2, "rank r of X", least=1),
    "oversampling": Parameter(5.0, None, "measurements over d r", above=0),
    "step_size": Parameter(0.0025, None, "the paper's eta", above=0),
    "coarsening": Parameter(8, None, "how many of the paper's steps one step stands for", least=1),
    "seeds": Parameter(3, 2, "sets of measurements of one X", least=1),
}
"""Parameters of all of them."""


def instance(
    d: int,
    rank: int,
    m: int,
    rng: np.random.Generator,
    repeat: int = 0,
    dtype: Any = np.float32,
) -> tuple[Problem, Factors]:
    """Gaussian measurements of U* with Gaussian columns of norm 1, and U*.

    The symmetric parts of standard normal matrices, which see the same of a symmetric X. Repeats
    that are given equal generators share U* and have measurements of their own.
    """
    truth = _unit_columns(d, rank, rng, dtype)
    own = rng.spawn(repeat + 1)[repeat]
    op = simulate.gaussian_operator(d, m, symmetric=True, dtype=dtype, random_state=own)
    return Problem(op, op.forward(truth)), truth


def network(
    d: int, rank: int, m: int, rng: np.random.Generator, repeat: int = 0, dtype: Any = np.float64
) -> tuple[Problem, Factors]:
    """Samples of a quadratic network, y = x' X x with standard normal x; all else as above."""
    truth = _unit_columns(d, rank, rng, dtype)
    own = rng.spawn(repeat + 1)[repeat]
    op = RankOneSensing(own.standard_normal((m, d)).astype(dtype))
    return Problem(op, op.forward(truth)), truth


def conditioned(
    d: int, rank: int, kappa: float, m: float, rng: np.random.Generator, noise: float = 0.0
) -> tuple[Problem, Factors]:
    """Gaussian measurements of :func:`conditioned_truth`, and U*: the setting of the theorems.

    ``m`` may be infinite, which observes X; ``noise`` is the standard deviation of that of each
    measurement.
    """
    truth = conditioned_truth(d, rank, kappa, rng)
    if math.isinf(m):
        return Problem(FullObservation((d, d)), truth.to_dense()), truth
    op = reduced_operator(d, round(m), rng)
    deviation = noise * math.sqrt(op.size / round(m))
    return Problem(op, op.forward(truth) + deviation * rng.standard_normal(op.size)), truth


def conditioned_truth(d: int, rank: int, kappa: float, rng: np.random.Generator) -> Factors:
    """U* of an X whose singular values fall geometrically from 1 to 1/kappa."""
    Q = np.linalg.qr(rng.standard_normal((d, rank)))[0]
    return Factors(Q * np.sqrt(np.geomspace(1.0, 1.0 / kappa, rank)))


def reduced_operator(d: int, m: int, rng: np.random.Generator) -> DenseSensing:
    r"""Gaussian measurements of symmetric matrices, as few as do the same as m of them.

    With more measurements than the :math:`p = d(d+1)/2` entries only the triangle of their QR
    decomposition matters: p measurements with the same :math:`\tfrac1m\sum_i\langle A_i,
    X\rangle A_i`. Its entries are independent, normal above the diagonal and chi of m, m - 1, ...
    degrees of freedom on it (Bartlett's decomposition), so that any m costs no more than p.
    """
    i, j = np.triu_indices(d)
    p = i.size
    if m < p:
        return simulate.gaussian_operator(d, m, symmetric=True, random_state=rng)
    triangle = np.triu(rng.standard_normal((p, p)), 1)
    triangle += np.diag(np.sqrt(rng.chisquare(m - np.arange(p))))
    triangle *= math.sqrt(p / m) * np.where(i == j, 1.0, math.sqrt(0.5))
    return DenseSensing.from_packed(triangle, d)


def _unit_columns(d: int, rank: int, rng: np.random.Generator, dtype: Any) -> Factors:
    U = rng.standard_normal((d, rank))
    return Factors((U / np.linalg.norm(U, axis=0)).astype(dtype))


def identity(problem: Problem, scale: float) -> Factors:
    """The start alpha I, as wide as X."""
    shape, like = problem.op.shape, problem.op.reference
    return initial.identity(shape, scale=scale, symmetric=True, reference=like)


def log_times(first: int, last: int, count: int = 40) -> list[int]:
    """About so many whole numbers from the first to the last, evenly spaced on a log scale."""
    return sorted({round(x) for x in np.geomspace(first, last, count)})


def curves(
    problem: Problem, truth: Factors, scales: Sequence[float], step: float, times: Sequence[int]
) -> dict[str, np.ndarray]:
    """Training and test errors of descent from scaled identities, shape (starts, times)."""
    starts = [identity(problem, scale) for scale in scales]
    watch = {"train": training_error(problem), "test": recovery_error(truth)}
    traces = [Trace(watch) for _ in starts]
    wanted = set(times)
    for i, states in enumerate(descend_together(problem, starts, step)):
        if i in wanted:
            _see(states, traces)
        if i == max(times):
            break
    return {name: np.array([trace[name] for trace in traces]) for name in watch}


def _see(states: Sequence[State], traces: Sequence[Trace]) -> None:
    for state, trace in zip(states, traces, strict=True):
        trace(state)


def run(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """A trial of Figures 1 to 3: one instance, all scales, errors at log-spaced iterations."""
    d, coarse = t["d"], t["coarsening"]
    m = round(t["oversampling"] * d * t["rank"])
    problem, truth = instance(d, t["rank"], m, rng, t["instance"])
    last = max(1, round(t["iterations"] / coarse))
    times = log_times(max(1, last // 200), last)
    step = t["step_size"] * coarse / 2.0
    found = curves(problem, truth, t["scales"], step, times)
    return {**found, "iterations": np.array(times) * coarse}


def spread(
    ax: Any,
    x: Any,
    values: np.ndarray,
    colour: Any,
    middle: Callable[..., np.ndarray] = np.median,
    **options: Any,
) -> None:
    """The middle over the first axis as a line, and all that was seen as a band."""
    ax.plot(x, middle(values, axis=0), color=colour, **options)
    ax.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.18, lw=0)

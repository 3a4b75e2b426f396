r"""What experiments on deep linear networks share: the 2 x 2 problem of Wang and Jacot (2024).

.. math:: \begin{pmatrix} 1 & x \\ \epsilon & 1 \end{pmatrix}

is of rank one for :math:`x = 1 / \epsilon` alone, and x is not observed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from leanrank.operators import ObservedEntries
from leanrank.problem import Problem
from leanrank.research.deep import DeepFactors, Training, initial_layers
from leanrank.research.experiments._experiment import Results
from leanrank.research.theory import two_by_two_critical_points
from leanrank.results import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "CHUNK",
    "chunks",
    "diverged",
    "interval",
    "joined",
    "median",
    "observed",
    "only",
    "predicted_loss",
    "share_jumped",
    "starts",
    "test_loss",
    "test_losses",
]

CHUNK = 10
"""Runs in one trial."""


def observed(epsilon: float, size: int = 2) -> Problem:
    r"""The entries that are seen: three of the 2 x 2 problem.

    For larger ones the diagonal and all below it, :math:`A_{ij} = \epsilon^{i - j}`, of rank one
    for just one choice of what is above.
    """
    rows, cols = np.tril_indices(size)
    return Problem(
        ObservedEntries(rows, cols, (size, size)), epsilon ** (rows - cols).astype(float)
    )


def only(problem: Problem, chosen: np.ndarray) -> Problem:
    """The problem with some of its entries alone."""
    op = problem.op
    assert isinstance(op, ObservedEntries)
    rows, cols = np.asarray(op.rows)[chosen], np.asarray(op.cols)[chosen]
    return Problem(ObservedEntries(rows, cols, op.shape), np.asarray(problem.y)[chosen])


def test_loss(epsilon: float) -> Callable[[DeepFactors], float]:
    r"""Squared relative error of the entry that is not seen: 1 where it is taken to be zero."""
    return lambda network: float((epsilon * network.product()[0, 1] - 1.0) ** 2)


def test_losses(epsilon: float, products: np.ndarray | None) -> np.ndarray:
    """:func:`test_loss` of stacked products."""
    assert products is not None
    return np.asarray((epsilon * products[..., 0, 1] - 1.0) ** 2)


def diverged(training: Training) -> np.ndarray:
    """Which of the runs did."""
    return np.array([status is Status.DIVERGED for status in training.statuses])


def starts(
    count: int,
    depth: int,
    width: int,
    rng: np.random.Generator,
    *,
    distribution: str = "linear",
    size: int = 2,
) -> list[DeepFactors]:
    """Independent random networks."""
    return [
        initial_layers((size, size), depth, width, distribution=distribution, random_state=rng)
        for _ in range(count)
    ]


def joined(results: Results, name: str, axis: int = 0) -> np.ndarray:
    """What all trials have found, run after run."""
    return np.concatenate([row[name] for row in results], axis=axis)


def median(values: np.ndarray) -> float:
    """Of those that are numbers; NaN if none is."""
    values = values[~np.isnan(values)]
    return float(np.median(values)) if values.size else float("nan")


@cache
def predicted_loss(epsilon: float, depth: int, ridge: float, rank: int) -> float:
    """:func:`test_loss` of the best local minimum of a rank; NaN if there is none."""
    points = two_by_two_critical_points(epsilon, depth, ridge)
    minima = [point for point in points if point.rank == rank and point.is_minimum]
    return (epsilon * float(minima[0].matrix[0, 1]) - 1.0) ** 2 if minima else float("nan")


def chunks(runs: int) -> list[int]:
    """Numbers of runs of the trials that make up so many."""
    return [min(CHUNK, runs - first) for first in range(0, runs, CHUNK)]


def interval(successes: int, runs: int) -> str:
    """How likely success is, at 95 % confidence."""
    low, high = stats.binomtest(int(successes), int(runs)).proportion_ci(method="wilson")
    return f"{successes} of {runs} ({low:.0%} to {high:.0%})"


def share_jumped(ax: Axes, times: np.ndarray, last: int, **options: Any) -> None:
    """Share of runs that have jumped, over steps; ``times`` are -1 where there was no jump."""
    jumped = np.sort(times[times >= 0])
    steps = np.concatenate([[0], jumped, [last]])
    counts = np.concatenate([np.arange(jumped.size + 1), [jumped.size]])
    ax.step(steps, counts / times.size, where="post", **options)
    ax.set(ylim=(-0.03, 1.05), xlabel="SGD steps", ylabel="share of runs that have jumped")

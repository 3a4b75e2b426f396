r"""What experiments on deep linear networks share: the 2 x 2 problem of Wang and Jacot (2024).

.. math:: \begin{pmatrix} 1 & x \\ \epsilon & 1 \end{pmatrix}

is of rank one for :math:`x = 1 / \epsilon` alone, and x is not observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from leanrank.deep import DeepFactors, Phase, initial_layers, train
from leanrank.operators import ObservedEntries
from leanrank.papers._experiment import Results
from leanrank.problem import Problem
from leanrank.theory import two_by_two_critical_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "CHUNK",
    "chunks",
    "interval",
    "joined",
    "observed",
    "offshoot_losses",
    "predicted_loss",
    "share_jumped",
    "starts",
    "test_losses",
]

CHUNK = 10
"""Runs in one trial."""


def observed(epsilon: float) -> Problem:
    """The three entries that are seen."""
    rows, cols = np.array([[0, 1, 1], [0, 0, 1]])
    return Problem(ObservedEntries(rows, cols, (2, 2)), np.array([1.0, epsilon, 1.0]))


def test_losses(networks: Sequence[DeepFactors], epsilon: float) -> np.ndarray:
    r"""Squared relative error of the entry that is not seen: 1 where it is taken to be zero."""
    return np.array([(epsilon * network.product()[0, 1] - 1.0) ** 2 for network in networks])


def offshoot_losses(
    kept: Sequence[DeepFactors | None],
    epsilon: float,
    quiet: Phase | None,
    rng: np.random.Generator,
    *,
    batch_size: int | None = 1,
) -> np.ndarray:
    """:func:`test_losses` after another phase from each network; NaN for those that diverged."""
    losses = np.full(len(kept), np.nan)
    alive = np.array([net is not None for net in kept])
    networks: Sequence[DeepFactors] = [net for net in kept if net is not None]
    if networks and quiet is not None:
        networks = train(
            observed(epsilon),
            networks,
            [quiet],
            batch_size=batch_size,
            every=quiet.steps,
            threads=1,
            random_state=rng,
        ).networks
    losses[alive] = test_losses(networks, epsilon)
    return losses


def starts(
    count: int,
    depth: int,
    width: int,
    rng: np.random.Generator,
    *,
    distribution: str = "linear",
) -> list[DeepFactors]:
    """Independent random networks."""
    return [
        initial_layers((2, 2), depth, width, distribution=distribution, random_state=rng)
        for _ in range(count)
    ]


def joined(results: Results, name: str, axis: int = 0) -> np.ndarray:
    """What all trials have found, run after run."""
    return np.concatenate([row[name] for row in results], axis=axis)


@cache
def predicted_loss(epsilon: float, depth: int, ridge: float, rank: int) -> float:
    """:func:`test_losses` of the best local minimum of a rank; NaN if there is none."""
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

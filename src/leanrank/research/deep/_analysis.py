"""What trajectories tell: how long jumps take, and what becomes of copies on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank.problem import Problem
from leanrank.research.deep._factors import DeepFactors
from leanrank.research.deep._schedule import Phase, check_schedule
from leanrank.research.deep._train import train
from leanrank.results import Status

__all__ = ["WaitingTimes", "measured", "offshoots", "recovery", "waiting_times"]

Kept = Mapping[int, Sequence[DeepFactors | None]]
"""Networks of all runs by the steps at which they were kept, as in :class:`Training`."""


@dataclass(frozen=True)
class WaitingTimes:
    """How long runs take to jump, of which some have not when they end.

    Attributes
    ----------
    times : ndarray, shape (jumped,)
        Of those that did.
    waiting : int
        How many did not.
    length : int
        Steps for which these were watched.

    Examples
    --------
    >>> waits = waiting_times([300, -1, 100, -1], 1000)
    >>> waits.mean, round(waits.error)
    (1200.0, 849)
    """

    times: np.ndarray
    waiting: int
    length: int

    @property
    def mean(self) -> float:
        """The most likely one if jumps have no memory: all steps waited over jumps seen."""
        total = float(np.sum(self.times)) + self.waiting * self.length
        return total / self.times.size if self.times.size else math.inf

    @property
    def error(self) -> float:
        """The standard error of :attr:`mean`."""
        return self.mean / self.times.size**0.5 if self.times.size else math.inf


def waiting_times(jumps: Any, end: int, *, since: int = 0) -> WaitingTimes:
    """Waiting times from a step on, of the runs that had not jumped by then.

    Parameters
    ----------
    jumps : array of int, shape (runs,)
        As :meth:`Training.jumps` gives them, -1 where there was none. Leave out runs that diverged.
    end : int
        The step at which runs end.
    since : int
        The step from which they wait.

    Raises
    ------
    ValueError, TypeError
        If jumps are no vector of whole numbers, or the steps are not in order.
    """
    end = _checks.whole_number(end, "end")
    since = _checks.whole_number(since, "since", most=end)
    jumps = _checks.positions(np.asarray(jumps) + 1, "jumps + 1", end + 2) - 1
    return WaitingTimes(jumps[jumps > since] - since, int(np.sum(jumps < 0)), end - since)


def offshoots(
    problem: Problem,
    kept: Kept,
    schedule: Sequence[Phase],
    *,
    batch_size: int | None = 1,
    replacement: bool = True,
    threads: int | None = None,
    random_state: Any = None,
) -> dict[int, tuple[DeepFactors | None, ...]]:
    """Copies of networks that go on under another schedule.

    Parameters
    ----------
    problem : Problem
    kept : mapping of int to sequence of DeepFactors or None
        ``Training.kept``: by step, None for a run that had ended.
    schedule, batch_size, replacement, threads, random_state
        As for :func:`train`.

    Returns
    -------
    dict of int to tuple of DeepFactors or None
        Where they end, None also for those that do not reach the end.

    Raises
    ------
    ValueError, TypeError
        As :func:`train`.

    Examples
    --------
    >>> from leanrank.research.deep import Phase, annealing, initial_layers, train
    >>> from leanrank.operators import ObservedEntries
    >>> problem = Problem(ObservedEntries([0, 1, 1], [0, 0, 1], (2, 2)), [1.0, 0.25, 1.0])
    >>> start = initial_layers((2, 2), 3, 5, random_state=4)
    >>> kept = train(problem, start, annealing(30_000, 0), keep=[0, 30_500], random_state=2).kept
    >>> ends = offshoots(problem, kept, [Phase(8000, 0.02, 0.001)], random_state=0)
    >>> measured(ends, lambda network: network.product()[0, 1]).round(1)
    array([[0.2],
           [3.8]])
    """
    check_schedule(schedule)
    alive = [
        (step, i) for step, row in kept.items() for i, net in enumerate(row) if net is not None
    ]
    ends: dict[tuple[int, int], DeepFactors] = {}
    if alive:
        training = train(
            problem,
            [net for row in kept.values() for net in row if net is not None],
            schedule,
            batch_size=batch_size,
            replacement=replacement,
            every=sum(phase.steps for phase in schedule),
            threads=threads,
            random_state=random_state,
        )
        found = zip(alive, training.networks, training.statuses, strict=True)
        ends = {where: network for where, network, end in found if end is Status.MAX_ITER}
    return {step: tuple(ends.get((step, i)) for i in range(len(row))) for step, row in kept.items()}


def measured(kept: Kept, measure: Callable[[DeepFactors], float]) -> np.ndarray:
    """A number of each network, shape (steps, runs), in the order of ``kept``; NaN for None."""
    return np.array(
        [[np.nan if net is None else measure(net) for net in row] for row in kept.values()]
    )


def recovery(
    problem: Problem,
    starts: DeepFactors | Sequence[DeepFactors],
    schedule: Sequence[Phase],
    times: Sequence[int],
    quiet: Sequence[Phase],
    error: Callable[[DeepFactors], float],
    *,
    batch_size: int | None = 1,
    replacement: bool = True,
    threads: int | None = None,
    random_state: Any = None,
) -> np.ndarray:
    """Errors after each of some times under a schedule, and then another to the end.

    Where they are small the matrix is recovered: ``np.mean(errors < tol, axis=1)`` is the
    probability of that over the times, and rows for several problems make up a grid. That is
    Figure 3 of Wang and Jacot (2024).

    Parameters
    ----------
    problem, starts, schedule, batch_size, replacement, threads, random_state
        As for :func:`train`.
    times : sequence of int
        Steps of ``schedule`` after which a copy goes on under ``quiet``; 0 is the start.
    quiet : sequence of Phase
    error : callable
        From a network to a number.

    Returns
    -------
    ndarray, shape (times, runs)
        NaN for those that diverge.

    Raises
    ------
    ValueError, TypeError
        As :func:`train`.
    """
    rng = _checks.generator(random_state)
    options: dict[str, Any] = {
        "batch_size": batch_size,
        "replacement": replacement,
        "threads": threads,
        "random_state": rng,
    }
    every = math.gcd(*(_checks.whole_number(time, "times") for time in times)) or None
    kept = train(problem, starts, schedule, every=every, keep=times, **options).kept
    return measured(offshoots(problem, kept, quiet, **options), error)

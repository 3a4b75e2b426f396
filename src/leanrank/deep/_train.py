"""Stochastic gradient descent of deep linear networks, many runs side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from leanrank import _checks
from leanrank._arrays import is_numpy_array
from leanrank.deep._engines import Engine, Sampling, engine
from leanrank.deep._factors import DeepFactors
from leanrank.deep._jumps import JumpWatch
from leanrank.deep._schedule import Phase
from leanrank.problem import Problem
from leanrank.results import Status

__all__ = ["Training", "train"]

Progress = Callable[[int, int], bool | None]

_PENDING = 1 << 17
"""Numbers in products whose singular values are taken in one go."""


@dataclass(frozen=True)
class Training:
    """What runs of :func:`train` leave behind, all of them over the same records.

    Attributes
    ----------
    steps : ndarray of int, shape (T,)
        When records were taken, 0 among them.
    singular_values : ndarray, shape (T, runs, k)
        Of the products; NaN where a run was at its end.
    losses : ndarray, shape (T, runs)
        Mean squared residual of what was drawn since the record before; NaN at first.
    networks : tuple of DeepFactors
        At the end, or where a run was last finite.
    kept : dict
        Networks of the runs at the steps that were asked for, None for a run that had ended.
    statuses : tuple of Status
        MAX_ITER where the schedule was run to its end, STOPPED at the rank that was waited for or
        by Ctrl-C, DIVERGED.
    messages : tuple of str
        Why, with phase and step.
    """

    steps: np.ndarray
    singular_values: np.ndarray
    losses: np.ndarray
    networks: tuple[DeepFactors, ...]
    kept: dict[int, tuple[DeepFactors | None, ...]]
    statuses: tuple[Status, ...]
    messages: tuple[str, ...]

    def ratios(self, rank: int = 1) -> np.ndarray:
        """Singular value number ``rank`` + 1 of each product over the first, shape (T, runs)."""
        s = self.singular_values
        rank = _checks.whole_number(rank, "rank", least=1, most=s.shape[2] - 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return s[:, :, rank] / s[:, :, 0]

    def jumps(self, rank: int = 1, *, tol: float = 0.02, floor: float = 1e-6) -> np.ndarray:
        """When each run jumped to ``rank`` or less, -1 where it did not, shape (runs,).

        Parameters
        ----------
        rank : int
        tol : float
            A jump is where singular value number ``rank`` + 1 falls below this share of the first
        floor : float
            and goes on to below this one without coming back above ``tol``. A start at which one
            direction grows before the others passes the first, not the second.

        Raises
        ------
        ValueError, TypeError
            If a number is out of range.
        """
        times = []
        for ratios in self.ratios(rank).T:
            watch = JumpWatch(tol, floor)
            for step, ratio in zip(self.steps, ratios, strict=True):
                if watch.see(int(step), ratio):
                    break
            times.append(watch.jumped)
        return np.array(times)

    def errors(self, target: np.ndarray, entries: Any = None) -> np.ndarray:
        """Relative error of each final product, shape (runs,).

        Parameters
        ----------
        target : array, shape (n1, n2)
        entries : pair of index arrays, optional
            Rows and columns of the entries that count; all of them if left out.
        """
        target = _checks.real_array(target, "target", ndim=2)
        if target.shape != self.networks[0].shape:
            raise ValueError(
                f"target must be of shape {self.networks[0].shape}, got {target.shape}"
            )
        where = (slice(None), slice(None)) if entries is None else tuple(entries)
        size = np.linalg.norm(target[where])
        return (
            np.array([np.linalg.norm((n.product() - target)[where]) for n in self.networks]) / size
        )


def train(
    problem: Problem,
    starts: DeepFactors | Sequence[DeepFactors],
    schedule: Sequence[Phase],
    *,
    batch_size: int | None = 1,
    replacement: bool = True,
    every: int | None = None,
    keep: Sequence[int] = (),
    until_rank: int | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
    random_state: Any = None,
) -> Training:
    r"""Descend from each start under a schedule, on a few measurements at a time.

    Parameters
    ----------
    problem : Problem
        Of NumPy arrays and without a penalty: the ridge is in the schedule.
    starts : DeepFactors or sequence of DeepFactors
        Of one depth, any widths; a run each.
    schedule : sequence of Phase
    batch_size : int, optional
        Measurements in an update, of whose gradients the mean is taken; None takes all of them.
    replacement : bool
        Whether measurements are drawn independently, as the theory supposes. Otherwise they are
        dealt out in a new random order in each epoch.
    every : int, optional
        Updates between records; 10 min(n1, n2) if left out.
    keep : sequence of int
        Steps at which the networks are kept, for instance to continue from there under another
        schedule; each a multiple of ``every``.
    until_rank : int, optional
        End a run once it has jumped to this rank, as :meth:`Training.jumps` sees it.
    progress : callable, optional
        Called with the updates done, over all runs, and all there are; True stops.
    threads : int, optional
        Runs at a time; the number of cores if left out. It changes no bit of any run.
    random_state : int, Generator or None
        Run number i draws from a stream of its own, however many there are.

    Returns
    -------
    Training

    Raises
    ------
    ValueError, TypeError
        If the problem is of another kind, a start does not fit, or a number is out of range.

    Notes
    -----
    Wang and Jacot (2024), Section 2.3. An update on an observed entry costs O(w^2) for each middle
    layer and forms no product of layers, whatever the size of the matrix; on other measurements,
    and on more entries than n1 + n2, it costs the products. A record costs the product and its
    singular values.

    Examples
    --------
    >>> from leanrank.deep import annealing, initial_layers
    >>> from leanrank.operators import ObservedEntries
    >>> op = ObservedEntries([0, 1, 1], [0, 0, 1], (2, 2))
    >>> problem = Problem(op, [1.0, 0.5, 1.0])
    >>> starts = [initial_layers((2, 2), 4, 5, random_state=i) for i in range(3)]
    >>> training = train(problem, starts, annealing(3000), random_state=0)
    >>> training.singular_values[-1].round(2)[:, 1]
    array([0., 0., 0.])
    """
    _check_problem(problem)
    runs = [starts] if isinstance(starts, DeepFactors) else list(starts)
    _check_starts(problem, runs)
    if not schedule or not all(isinstance(phase, Phase) for phase in schedule):
        raise TypeError(f"schedule must be a sequence of Phase, at least one, got {schedule!r}")
    m = problem.op.size
    if batch_size is not None:
        batch_size = _checks.whole_number(batch_size, "batch_size", least=1, most=m)
    usual = 10 * min(problem.op.shape)
    every = usual if every is None else _checks.whole_number(every, "every", least=1)
    for step in keep:
        if _checks.whole_number(step, "keep") % every:
            raise ValueError(f"keep must hold multiples of every = {every}, got {step}")
    if until_rank is not None:
        most = min(problem.op.shape) - 1
        until_rank = _checks.whole_number(until_rank, "until_rank", least=1, most=most)
    if threads is not None:
        threads = _checks.whole_number(threads, "threads", least=1)
    rng = _checks.generator(random_state)
    sampling = Sampling(m, batch_size, replacement)
    stops = _stops(schedule, every)
    ticker = _Ticker(progress, len(runs) * stops[-1].end)
    made = [
        _Run(start, engine(problem, start, sampling), frozenset(keep), until_rank) for start in runs
    ]
    seeds = [int(rng.integers(2**62)) for _ in made]

    def go(run: _Run, seed: int) -> None:
        run.record(0)
        for stop in stops:
            if ticker.cancelled:
                break
            picks = sampling.picks(seed, stop.start, stop.end)
            run.advance(stop, picks, schedule[stop.phase])
            if stop.record:
                run.record(stop.end)
            ticker.tick(stop.end - stop.start)
            if run.ended:
                ticker.tick(stops[-1].end - stop.end)
                break
        run.flush()

    # Factors are small: more threads of BLAS than one cost more than they compute, and the order
    # of their sums would change bits.
    with threadpool_limits(limits=1, user_api="blas"):
        pool = ThreadPoolExecutor(max_workers=min(threads or os.cpu_count() or 1, len(made)))
        try:
            list(pool.map(go, made, seeds))
        except KeyboardInterrupt:
            ticker.cancelled = True
        finally:
            pool.shutdown()
    return _gathered(made, stops, keep)


@dataclass(frozen=True)
class _Stop:
    """A stretch of one phase, between records or the ends of phases."""

    start: int
    end: int
    phase: int
    record: bool


@dataclass
class _Ticker:
    """Counts the updates of all runs, and whether to go on."""

    progress: Progress | None
    total: int
    done: int = 0
    cancelled: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tick(self, count: int) -> None:
        if self.progress is None:
            return
        with self.lock:
            self.done += count
            if self.progress(self.done, self.total):
                self.cancelled = True


@dataclass
class _Run:
    """One trajectory and its records."""

    start: DeepFactors
    engine: Engine
    keep: frozenset[int]
    until_rank: int | None
    values: list[np.ndarray] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    kept: dict[int, DeepFactors] = field(default_factory=dict)
    ended: Status | None = None
    message: str = ""

    def __post_init__(self) -> None:
        self._safe = [W.copy() for W in self.start.layers]
        self._products: list[np.ndarray] = []
        self._squares: list[np.ndarray] = []
        self._watch = JumpWatch()

    @property
    def network(self) -> DeepFactors:
        """As last recorded, which was finite."""
        return DeepFactors(self._safe)

    def advance(self, stop: _Stop, picks: np.ndarray, phase: Phase) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            squares = self.engine.advance(picks, phase)
        self._squares.append(squares)
        if squares.size < picks.shape[0]:
            self._diverged(stop.start + squares.size, f"in phase {stop.phase}, ")

    def _diverged(self, step: int, where: str) -> None:
        self.ended = Status.DIVERGED
        self.message = (
            f"the weights stopped being finite {where}after {step} steps; warm up with a smaller "
            "learning rate, or lower it throughout"
        )

    def record(self, step: int) -> None:
        """Measure, unless there is nothing finite left to measure."""
        if self.ended is not None:
            return
        layers = self.engine.layers()
        A = layers[0]
        for W in layers[1:]:
            A = W @ A
        if not np.isfinite(A).all() or not all(np.isfinite(W).all() for W in layers):
            self._diverged(step, "")
            return
        for own, W in zip(self._safe, layers, strict=True):
            own[:] = W
        self._products.append(A)
        self.losses.append(float(np.mean(np.concatenate(self._squares))) if step else np.nan)
        self._squares = []
        if step in self.keep:
            self.kept[step] = self.network
        if self.until_rank is not None:
            self.flush()
            s = self.values[-1]
            if s[0] > 0 and self._watch.see(step, s[self.until_rank] / s[0]):
                self.ended = Status.STOPPED
                self.message = f"jumped to rank {self.until_rank} at step {self._watch.jumped}"
        elif len(self._products) * A.size > _PENDING:
            self.flush()

    def flush(self) -> None:
        """Singular values of the products that wait for it: many small ones in one call."""
        if self._products:
            self.values.extend(np.linalg.svd(np.array(self._products), compute_uv=False))
            self._products = []


def _stops(schedule: Sequence[Phase], every: int) -> list[_Stop]:
    stops = []
    at = 0
    total = sum(phase.steps for phase in schedule)
    for number, phase in enumerate(schedule):
        end = at + phase.steps
        while at < end:
            upto = min(end, (at // every + 1) * every)
            stops.append(_Stop(at, upto, number, upto % every == 0 or upto == total))
            at = upto
    return stops


def _gathered(runs: list[_Run], stops: list[_Stop], keep: Sequence[int]) -> Training:
    steps = np.array([0, *(stop.end for stop in stops if stop.record)])
    values = np.full((steps.size, len(runs), min(runs[0].start.shape)), np.nan)
    losses = np.full((steps.size, len(runs)), np.nan)
    for i, run in enumerate(runs):
        if run.values:
            values[: len(run.values), i] = run.values
        losses[: len(run.losses), i] = run.losses
        if run.ended is None and len(run.values) == steps.size:
            run.ended, run.message = Status.MAX_ITER, f"the schedule of {steps[-1]} steps is done"
        elif run.ended is None:
            last = steps[len(run.values) - 1] if run.values else 0
            run.ended, run.message = Status.STOPPED, f"stopped on request after {last} steps"
    return Training(
        steps,
        values,
        losses,
        tuple(run.network for run in runs),
        {step: tuple(run.kept.get(step) for run in runs) for step in keep},
        tuple(run.ended for run in runs if run.ended is not None),
        tuple(run.message for run in runs),
    )


def _check_problem(problem: Problem) -> None:
    if not isinstance(problem, Problem):
        raise TypeError(f"problem must be a Problem, got {type(problem).__name__}")
    if not is_numpy_array(problem.op.reference):
        raise TypeError("problem must be of NumPy arrays: networks train on the CPU")
    if problem.penalty.curvature_at_zero != 0.0:
        raise ValueError(
            f"problem must be without a penalty, got {problem.penalty!r}: the ridge is in the "
            "schedule"
        )


def _check_starts(problem: Problem, runs: list[DeepFactors]) -> None:
    if not runs:
        raise ValueError("starts must hold at least one network, got none")
    for i, run in enumerate(runs):
        if not isinstance(run, DeepFactors):
            raise TypeError(f"starts[{i}] must be DeepFactors, got {type(run).__name__}")
        if run.shape != problem.op.shape:
            raise ValueError(
                f"starts[{i}] must be of shape {problem.op.shape}, as the problem, got {run.shape}"
            )
    for i, (one, other) in enumerate(pairwise(runs), start=1):
        if one.depth != other.depth:
            raise ValueError(
                f"starts must be of one depth, got {one.depth} and, in starts[{i}], {other.depth}"
            )

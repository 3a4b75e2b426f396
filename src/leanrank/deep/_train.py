"""Stochastic gradient descent of deep linear networks, many runs side by side."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import is_numpy_array
from leanrank._threads import one_blas_thread
from leanrank.deep._engines import Engine, Sampling, engine
from leanrank.deep._factors import DeepFactors
from leanrank.deep._jumps import JumpWatch
from leanrank.deep._schedule import Phase, check_schedule
from leanrank.problem import Problem
from leanrank.results import Status
from leanrank.theory import collapse_ridge

__all__ = ["CollapseWarning", "Training", "collapses", "train"]

Progress = Callable[[int, int], bool | None]

_BLOCK_STEPS, _BLOCK_NUMBERS = 4096, 1 << 20
"""Updates and numbers in recorded products of what compiled code does in one go, at most."""


class CollapseWarning(UserWarning):
    """A ridge is so large that it leaves no matrix but zero."""


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

    Warns
    -----
    CollapseWarning
        Where the ridge of a phase leaves no critical point but zero, by
        :func:`leanrank.theory.collapse_ridge`.

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
    check_schedule(schedule)
    _warn_of_collapse(problem, runs[0].depth, schedule)
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
    blocks = _blocks(schedule, every, frozenset(keep), problem.op.shape, until_rank)
    ticker = _Ticker(progress, len(runs) * blocks[-1].end)
    made = [_Run(start, engine(problem, start, sampling), until_rank) for start in runs]
    seeds = [int(rng.integers(2**62)) for _ in made]

    def go(run: _Run, seed: int) -> None:
        for block in blocks:
            if ticker.cancelled:
                return
            run.advance(block, sampling.picks(seed, block.start, block.end))
            if block.end in keep and run.ended is None:
                run.kept[block.end] = run.network
            ticker.tick(block.end - block.start)
            if run.ended is not None:
                ticker.tick(blocks[-1].end - block.end)
                return

    with one_blas_thread():
        pool = ThreadPoolExecutor(max_workers=min(threads or os.cpu_count() or 1, len(made)))
        try:
            list(pool.map(go, made, seeds))
        except KeyboardInterrupt:
            ticker.cancelled = True
        finally:
            pool.shutdown()
    return _gathered(made, blocks, keep)


@dataclass(frozen=True)
class _Block:
    """Updates of one phase that are done in one go, with records after some of them."""

    start: int
    end: int
    number: int
    phase: Phase
    records: np.ndarray


def _blocks(
    schedule: Sequence[Phase],
    every: int,
    keep: frozenset[int],
    shape: tuple[int, int],
    until_rank: int | None,
) -> list[_Block]:
    """Blocks end where a phase does, where a network is kept, and where a jump is looked for."""
    most = max(1, min(_BLOCK_STEPS // every, _BLOCK_NUMBERS // (shape[0] * shape[1])))
    most = every * (most if until_rank is None else 1)
    total = sum(phase.steps for phase in schedule)
    blocks = []
    at = 0
    for number, phase in enumerate(schedule):
        end = at + phase.steps
        while at < end:
            upto = min(end, (at // every) * every + most, *(k for k in keep if k > at))
            records = np.arange((at // every + 1) * every, upto + 1, every)
            if upto == total and upto % every:
                records = np.append(records, upto)
            blocks.append(_Block(at, upto, number, phase, records))
            at = upto
    return blocks


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


class _Run:
    """One trajectory and its records."""

    def __init__(self, start: DeepFactors, engine: Engine, until_rank: int | None) -> None:
        self.engine, self.until_rank = engine, until_rank
        self.values = [start.singular_values()[None]]
        self.losses = [np.array([np.nan])]
        self.kept: dict[int, DeepFactors] = {}
        self.network = start
        self.ended: Status | None = None
        self.message = ""
        self._watch = JumpWatch()
        self._carried = np.zeros(0)

    @property
    def count(self) -> int:
        """Records so far."""
        return sum(losses.size for losses in self.losses)

    def advance(self, block: _Block, picks: np.ndarray) -> None:
        """Do the updates of a block, and take its records as far as they are finite."""
        ends = block.records - block.start
        with np.errstate(over="ignore", invalid="ignore"):
            squares, products = self.engine.advance(picks, block.phase, ends)
        finite = np.isfinite(products).all(axis=(1, 2))
        good = int(np.argmin(finite)) if not finite.all() else finite.size
        self._record(block.end, squares, ends[:good], products[:good])
        if squares.size < picks.shape[0] or good < ends.size:
            self._diverged(block, block.start + min(squares.size, *ends[good : good + 1]))
        elif not all(np.isfinite(W).all() for W in self.engine.layers()):
            self._diverged(block, block.end)
        else:
            self.network = DeepFactors(self.engine.layers())

    def _record(
        self, step: int, squares: np.ndarray, ends: np.ndarray, products: np.ndarray
    ) -> None:
        squares = np.concatenate([self._carried, squares])
        parts = np.split(squares, ends + self._carried.size)
        self._carried = parts.pop()
        if not ends.size:
            return
        self.values.append(np.linalg.svd(products, compute_uv=False))
        self.losses.append(np.array([part.mean() for part in parts]))
        s = self.values[-1][-1]
        if (
            self.until_rank is not None
            and s[0] > 0
            and self._watch.see(step, s[self.until_rank] / s[0])
        ):
            self.ended = Status.STOPPED
            self.message = f"jumped to rank {self.until_rank} at step {self._watch.jumped}"

    def _diverged(self, block: _Block, step: int) -> None:
        self.ended = Status.DIVERGED
        self.message = (
            f"the weights stopped being finite in phase {block.number}, after {step} steps; warm "
            "up with a smaller learning rate, or lower it throughout"
        )


def _gathered(runs: list[_Run], blocks: list[_Block], keep: Sequence[int]) -> Training:
    steps = np.concatenate([[0], *(block.records for block in blocks)]).astype(np.int64)
    values = np.full((steps.size, len(runs), min(runs[0].network.shape)), np.nan)
    losses = np.full((steps.size, len(runs)), np.nan)
    for i, run in enumerate(runs):
        values[: run.count, i] = np.concatenate(run.values)
        losses[: run.count, i] = np.concatenate(run.losses)
        if run.ended is None and run.count == steps.size:
            run.ended, run.message = Status.MAX_ITER, f"the schedule of {steps[-1]} steps is done"
        elif run.ended is None:
            last = steps[run.count - 1]
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


def collapses(problem: Problem, depth: int, ridge: float) -> bool:
    """Whether a ridge is so large that zero is certain to be the only critical point."""
    y = np.asarray(problem.y, float).ravel()
    square = float(np.mean(y * y))
    G = problem.op.adjoint(problem.y)
    # A product with a vector bounds the norm from below: where that is enough, it is enough.
    probe = G.T @ (G @ np.ones((problem.op.shape[1], 1), problem.y.dtype))
    size = float(np.linalg.norm(probe))
    least = float(np.linalg.norm(G @ probe)) / size if size > 0 else 0.0
    if ridge <= collapse_ridge(depth, square, least / y.size):
        return False
    dense = G @ np.eye(problem.op.shape[1], dtype=problem.y.dtype)
    return ridge > collapse_ridge(depth, square, float(np.linalg.norm(dense, 2)) / y.size)


def _warn_of_collapse(problem: Problem, depth: int, schedule: Sequence[Phase]) -> None:
    largest = max(schedule, key=lambda phase: phase.ridge)
    if collapses(problem, depth, largest.ridge):
        warnings.warn(
            f"with the ridge {largest.ridge:g} of phase {schedule.index(largest)} zero is the only "
            "critical point, and all layers shrink to it; take a smaller ridge",
            CollapseWarning,
            stacklevel=3,
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

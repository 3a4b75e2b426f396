"""Stochastic gradient descent of deep linear networks, many runs side by side."""

from __future__ import annotations

import numbers
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import is_numpy_array
from leanrank._threads import one_blas_thread
from leanrank._warn import warn_caller
from leanrank.problem import Problem, check_squared
from leanrank.research.deep._blocks import Run, gathered, plan
from leanrank.research.deep._engines import Sampling, engine
from leanrank.research.deep._factors import DeepFactors
from leanrank.research.deep._schedule import Phase, check_schedule
from leanrank.research.deep._trajectories import Training
from leanrank.research.theory import collapse_ridge

__all__ = ["CollapseWarning", "check_problem", "collapses", "train"]

Progress = Callable[[int, int], bool | None]
OnRecord = Callable[[int, np.ndarray, np.ndarray], object]


class CollapseWarning(UserWarning):
    """A ridge is so large that it leaves no matrix but zero."""


@one_blas_thread()
def train(
    problem: Problem,
    starts: DeepFactors | Sequence[DeepFactors],
    schedule: Sequence[Phase],
    *,
    batch_size: int | None = 1,
    replacement: bool = True,
    every: int | None = None,
    keep: int | Sequence[int] = (),
    until_rank: int | None = None,
    products: bool = False,
    progress: Progress | None = None,
    on_record: OnRecord | None = None,
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
    keep : int or sequence of int
        Steps at which the networks are kept, for instance to go on from there under another
        schedule: multiples of ``every``, 0 and the last step included.
    until_rank : int, optional
        End a run once it has jumped to this rank, as :meth:`Training.jumps` sees it.
    products : bool
        Whether to keep the products of all records, each of the size of the matrix.
    progress : callable, optional
        Called with the updates done, over all runs, and all there are; True stops.
    on_record : callable, optional
        Called with the number of a run, the steps of its new records, shape (t,), and their
        singular values, shape (t, k), every few thousand updates.
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
        :func:`leanrank.research.theory.collapse_ridge`.

    Notes
    -----
    Wang and Jacot (2024), Section 2.3. An update on an observed entry costs O(w^2) for each middle
    layer and forms no product of layers, whatever the size of the matrix; on other measurements,
    and on more entries than n1 + n2, it costs the products. A record costs the product and its
    singular values.

    What the columns of :math:`W_l` and the rows of :math:`W_{l+1}` span in hidden layer l never
    grows, since gradients are combinations of them, and fades under a ridge to about min(n1, n2)
    directions. For L > 2 a run goes on in a basis of these once the others are at rounding, 1e-14
    of the largest; networks that are kept or returned have all neurons again. For L = 2 it does
    not: what has faded could grow back under a weaker ridge.

    Examples
    --------
    >>> from leanrank.research.deep import annealing, initial_layers
    >>> from leanrank.operators import ObservedEntries
    >>> op = ObservedEntries([0, 1, 1], [0, 0, 1], (2, 2))
    >>> problem = Problem(op, [1.0, 0.5, 1.0])
    >>> starts = [initial_layers((2, 2), 4, 5, random_state=i) for i in range(3)]
    >>> training = train(problem, starts, annealing(3000), random_state=0)
    >>> training.singular_values[-1].round(2)[:, 1]
    array([0., 0., 0.])
    """
    check_problem(problem)
    runs = [starts] if isinstance(starts, DeepFactors) else list(starts)
    _check_starts(problem, runs)
    check_schedule(schedule)
    _warn_of_collapse(problem, runs[0].depth, schedule)
    m = problem.op.size
    if batch_size is not None:
        batch_size = _checks.whole_number(batch_size, "batch_size", least=1, most=m)
    usual = 10 * min(problem.op.shape)
    every = usual if every is None else _checks.whole_number(every, "every", least=1)
    total = sum(phase.steps for phase in schedule)
    keep = _checked_keep(keep, every, total)
    if not isinstance(replacement, bool | np.bool_):
        raise TypeError(f"replacement must be True or False, got {replacement!r}")
    if until_rank is not None:
        most = min(problem.op.shape) - 1
        until_rank = _checks.whole_number(until_rank, "until_rank", least=1, most=most)
    if threads is not None:
        threads = _checks.whole_number(threads, "threads", least=1)
    rng = _checks.generator(random_state)
    sampling = Sampling(m, batch_size, bool(replacement))
    blocks = plan(schedule, every, keep, problem.op.shape)
    largest = float(np.max(np.square(problem.y, dtype=float)))
    made = [
        Run(start, engine(problem, start, sampling), until_rank, largest, products)
        for start in runs
    ]
    seeds = [int(rng.integers(2**62)) for _ in made]
    watchers = _Watchers(progress, on_record, len(runs) * total)

    def go(number: int, run: Run, seed: int) -> None:
        run.keep(keep)
        for block in blocks:
            if run.ended is not None:
                watchers.tick(total - block.start)
                return
            if watchers.cancelled:
                return
            run.advance(block, sampling.picks(seed, block.start, block.end))
            run.keep(keep)
            watchers.see(number, block.records, run.values[-1])
            watchers.tick(block.end - block.start)

    _side_by_side(go, made, seeds, watchers, threads)
    return gathered(made, blocks, keep, largest)


def _side_by_side(
    go: Callable[[int, Run, int], None],
    runs: list[Run],
    seeds: list[int],
    watchers: _Watchers,
    threads: int | None,
) -> None:
    """All runs in a few threads; Ctrl-C and errors in one of them end all."""

    @one_blas_thread()
    def go_or_stop_all(number: int, run: Run, seed: int) -> None:
        try:
            go(number, run, seed)
        except BaseException:
            watchers.cancelled = True
            raise

    pool = ThreadPoolExecutor(max_workers=min(threads or os.cpu_count() or 1, len(runs)))
    try:
        list(pool.map(go_or_stop_all, range(len(runs)), runs, seeds))
    except KeyboardInterrupt:
        pass
    finally:
        watchers.cancelled = True
        pool.shutdown()


@dataclass
class _Watchers:
    """What is called on the way, one at a time, and whether to go on."""

    progress: Progress | None
    on_record: OnRecord | None
    total: int
    done: int = 0
    cancelled: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def see(self, run: int, steps: np.ndarray, values: np.ndarray) -> None:
        if self.on_record is not None and values.size:
            with self.lock:
                self.on_record(run, steps[: len(values)], values)

    def tick(self, count: int) -> None:
        """Count updates of all runs."""
        if self.progress is not None:
            with self.lock:
                self.done += count
                if self.progress(self.done, self.total):
                    self.cancelled = True


def check_problem(problem: Problem) -> None:
    """Refuse what networks are not trained on."""
    if not isinstance(problem, Problem):
        raise TypeError(f"problem must be a Problem, got {type(problem).__name__}")
    check_squared(problem)
    if not is_numpy_array(problem.op.reference):
        raise TypeError("problem must be of NumPy arrays: networks train on the CPU")
    if problem.penalty.curvature_at_zero != 0.0:
        raise ValueError(
            f"problem must be without a penalty, got {problem.penalty!r}: the ridge is in the "
            "schedule"
        )


def _checked_keep(keep: Any, every: int, total: int) -> tuple[int, ...]:
    """The steps in a tuple."""
    if isinstance(keep, numbers.Integral):
        keep = (keep,)
    steps = tuple(_checks.whole_number(step, "keep", most=total) for step in keep)
    for step in steps:
        if step % every and step != total:
            raise ValueError(f"keep must hold multiples of every = {every}, got {step}")
    return steps


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
        warn_caller(
            f"with the ridge {largest.ridge:g} of phase {schedule.index(largest)} zero is the only "
            "critical point, and all layers shrink to it; take a smaller ridge",
            CollapseWarning,
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

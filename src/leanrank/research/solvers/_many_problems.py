"""Gradient descent on many small problems at once, in compiled code on data that stay in cache.

A step on a small problem takes a few microseconds of arithmetic; called from Python, it takes ten
times that in calls. Here many steps are one call; each reads its measurements once, in the sweep
that multiplies every row both ways, and problems run side by side on the cores there are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace

import numpy as np

from leanrank import _checks
from leanrank._arrays import is_numpy_array
from leanrank._compile import compiled
from leanrank._threads import one_blas_thread
from leanrank.factors import Factors
from leanrank.operators import DenseSensing, FullObservation
from leanrank.operators._kernels import sweep
from leanrank.penalties import GroupLasso, NoPenalty, Penalty, Ridge
from leanrank.problem import Meter, Problem, check_squared
from leanrank.solvers._base import State, check_start

__all__ = ["descend_batch"]


def descend_batch(
    problems: Sequence[Problem],
    starts: Sequence[Factors],
    step_size: float,
    *,
    stride: int = 100,
    threads: int | None = None,
) -> Iterator[list[State]]:
    """The states of plain gradient descent on many small problems, side by side.

    The iterates of :class:`~leanrank.solvers.GradientDescent` on each problem by itself, to
    rounding. For many starts over the same large measurements see
    :func:`~leanrank.research.solvers.descend_together`.

    Parameters
    ----------
    problems : sequence of Problem
        Of dense sensing or full observation, in NumPy arrays; shapes and penalties may differ.
    starts : sequence of Factors
        One for each problem.
    step_size : float
    stride : int
        Steps from one list of states to the next. Each list costs one evaluation of every problem,
        in Python: with few steps between them that is most of the time.
    threads : int, optional
        Problems to run at a time; the number of cores if left out. It changes no iterate.

    Yields
    ------
    list of State
        One for each problem: the initial ones, and then those after every ``stride`` steps. A run
        whose objective is not finite any more stays where it was found to be so.

    Raises
    ------
    ValueError, TypeError
        If the numbers of problems and starts differ, a problem is of another kind, a start does
        not fit, or a number is out of range.

    Examples
    --------
    >>> from itertools import islice
    >>> import leanrank as lr
    >>> from leanrank import initial
    >>> made = [
    ...     lr.simulate.dense_sensing(8, 1, m=60, symmetric=True, random_state=i) for i in range(5)
    ... ]
    >>> start = initial.identity((8, 8), scale=1e-3, symmetric=True)
    >>> problems = [Problem(inst.op, inst.y) for inst in made]
    >>> *_, last = islice(descend_batch(problems, [start] * 5, 0.02), 6)
    >>> [inst.error(state.factors) < 0.01 for inst, state in zip(made, last, strict=True)]
    [True, True, True, True, True]
    """
    step_size = _checks.real_number(step_size, "step_size", above=0.0)
    stride = _checks.whole_number(stride, "stride", least=1)
    if threads is not None:
        threads = _checks.whole_number(threads, "threads", least=1)
    if len(problems) != len(starts):
        raise ValueError(
            f"starts must have one element for each of the {len(problems)} problems, "
            f"got {len(starts)}"
        )
    for i, (problem, start) in enumerate(zip(problems, starts, strict=True)):
        _check(problem, start, i)
    return _descend(list(problems), list(starts), step_size, stride, threads)


def _check(problem: Problem, start: Factors, i: int) -> None:
    check_start(problem, start, f"starts[{i}]", f"problems[{i}]")
    check_squared(problem, f"problems[{i}]")
    kind = isinstance(problem.op, DenseSensing | FullObservation)
    if not kind or not is_numpy_array(problem.op.reference):
        raise TypeError(
            f"problems[{i}] must be of DenseSensing or FullObservation in NumPy arrays, got "
            f"{problem.op!r}; others go through GradientDescent"
        )
    if not isinstance(problem.penalty, NoPenalty | GroupLasso | Ridge):
        raise TypeError(
            f"problems[{i}] must have the penalty GroupLasso, Ridge or none, got "
            f"{problem.penalty!r}"
        )


def _descend(
    problems: list[Problem],
    starts: list[Factors],
    step_size: float,
    stride: int,
    threads: int | None,
) -> Iterator[list[State]]:
    # Two runs may be of one problem: each counts on a meter of its own, and the problem's is
    # brought up to date where no thread is running.
    counted = [problem.passes for problem in problems]
    alone = [copy(problem) for problem in problems]
    for problem, passes in zip(alone, counted, strict=True):
        problem.meter = Meter(passes)
    with one_blas_thread():
        points = [
            problem.evaluate(start.astype(problem.op.reference))
            for problem, start in zip(alone, starts, strict=True)
        ]
    states = [State(point, 0, p.passes) for point, p in zip(points, alone, strict=True)]
    costs = [state.passes - passes for state, passes in zip(states, counted, strict=True)]

    @one_blas_thread()
    def advanced(problem: Problem, state: State, cost: float) -> State:
        if not state.point.is_finite:
            return state
        W = np.array(state.factors.W, order="C")
        _run(problem, state.factors, W, step_size, stride)
        problem.passes += cost * (stride - 1)  # the last one is that of the measurement below
        with np.errstate(over="ignore", invalid="ignore"):
            point = problem.evaluate(state.factors.with_stacked(W))
        iteration = state.iteration + stride
        return replace(state, point=point, iteration=iteration, passes=problem.passes)

    workers = threads if threads is not None else os.cpu_count() or 1
    with ThreadPoolExecutor(max_workers=min(workers, max(len(problems), 1))) as pool:
        while True:
            for problem, state, passes in zip(problems, states, counted, strict=True):
                problem.passes += state.passes - passes
            counted = [state.passes for state in states]
            yield states
            with one_blas_thread():
                states = list(pool.map(advanced, alone, states, costs))


def _run(problem: Problem, factors: Factors, W: np.ndarray, step_size: float, steps: int) -> None:
    """Make the steps of one problem, in place."""
    op = problem.op
    rate, dtype = step_size, W.dtype.type
    lasso, smoothing, ridge = _strengths(problem.penalty)
    if isinstance(op, DenseSensing):
        data, packed = op.reference, op.symmetric
    else:
        data, packed = np.empty((0, 0), dtype=W.dtype), False
    y = np.ascontiguousarray(problem.y)
    n1, n2 = op.shape
    _steps(
        data,
        y,
        packed,
        W,
        n1,
        n2,
        factors.symmetric,
        dtype(2.0 * op.weight * rate),
        dtype(rate * lasso),
        dtype(smoothing),
        dtype(rate * ridge),
        steps,
    )


def _strengths(penalty: Penalty) -> tuple[float, float, float]:
    """Group Lasso's strength and smoothing, and that of a ridge, doubled."""
    if isinstance(penalty, GroupLasso):
        return penalty.strength, penalty.smoothing, 0.0
    return 0.0, 1.0, 2.0 * penalty.strength if isinstance(penalty, Ridge) else 0.0


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _steps(  # type: ignore[no-untyped-def]
    data, y, packed, W, n1, n2, symmetric, pull, lasso, smoothing, ridge, steps
):
    """W -= gradient, so many times; strengths are those times the step size.

    data : (m, n1 n2), or (m, d (d + 1) / 2) if packed; without columns: y is the whole matrix.
    """
    zero, one = W.dtype.type(0.0), W.dtype.type(1.0)
    U, V = W[:n1], W[:n1] if symmetric else W[n1:]
    S = np.empty((n1, n2), W.dtype)
    vector, total = np.empty(data.shape[1], W.dtype), np.empty(data.shape[1], W.dtype)
    weights, residual = np.ones(y.size, W.dtype), np.empty(y.size, W.dtype)
    change, column = np.empty_like(W), np.empty(W.shape[1], W.dtype)
    for _ in range(steps):
        # S = X - Y, or the sum of A_i times its residual.
        np.dot(U, V.T, S)
        if data.shape[1] == 0:
            for i in range(n1):
                for j in range(n2):
                    S[i, j] -= y[i * n2 + j]
        elif packed:
            at = 0
            for i in range(n1):
                vector[at] = S[i, i]
                for j in range(i + 1, n2):
                    vector[at + j - i] = S[i, j] + S[j, i]
                at += n1 - i
            sweep(data, vector, y, weights, residual, total)
            at = 0
            for i in range(n1):
                for j in range(i, n2):
                    S[i, j] = total[at + j - i]
                    S[j, i] = total[at + j - i]
                at += n1 - i
        else:
            sweep(data, S.reshape(n1 * n2), y, weights, residual, total)
            for i in range(n1):
                for j in range(n2):
                    S[i, j] = total[i * n2 + j]
        if symmetric:
            for i in range(n1):
                for j in range(i):
                    S[i, j] += S[j, i]
                    S[j, i] = S[i, j]
                S[i, i] += S[i, i]
            np.dot(S, U, change)
        else:
            np.dot(S, V, change[:n1])
            np.dot(S.T, U, change[n1:])
        column[:] = ridge
        if lasso != zero:
            column[:] = smoothing
            for i in range(W.shape[0]):
                for c in range(column.size):
                    column[c] += W[i, c] * W[i, c]
            for c in range(column.size):
                column[c] = lasso * (one + smoothing / column[c]) / np.sqrt(column[c])
        for i in range(W.shape[0]):
            for c in range(column.size):
                W[i, c] -= pull * change[i, c] + column[c] * W[i, c]

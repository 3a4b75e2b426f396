"""Gradient descent: what a step costs at the least, and many small problems at once.

    python benchmarks/descent.py [--quick]

First a step of GradientDescent against the reads of the data, or the matrix products, that it
needs at the least. Then 64 problems of each size, run by descend_batch, against loops over problems
and steps: of GradientDescent, and of the same gradients written out in NumPy and in PyTorch (where
it is installed); for the population loss also against a loop over steps alone, of stacked arrays.
Everything in one run, in turn, one BLAS thread. descend_batch uses all cores: the ratio of clock
seconds is what a user gains, that of CPU seconds is what the kernel does.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from leanrank import Factors, initial, simulate
from leanrank.problem import Problem
from leanrank.research.solvers import descend_batch
from leanrank.solvers import GradientDescent, iterate

try:
    import torch
except ImportError:
    torch = None

Work = Callable[[], object]
RANK, STEP, PROBLEMS, BATCH = 3, 0.005, 64, "descend_batch"


def medians(work: dict[str, Work], repeats: int) -> dict[str, tuple[float, float]]:
    """Median clock and CPU seconds of each, in turn, after a first round that is not counted."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    for repeat in range(repeats + 1):
        for name, operation in work.items():
            clock, cpu = time.perf_counter(), time.process_time()
            operation()
            if repeat:
                taken[name].append((time.perf_counter() - clock, time.process_time() - cpu))
    return {name: tuple(np.median(values, axis=0)) for name, values in taken.items()}


def single_steps(quick: bool) -> Table:
    """A step against the least that it can cost, in CPU time."""
    shown = Table(title="one step", title_justify="left")
    for name in ("problem", "run by", "us", "the least", "us", "ratio", "to reach"):
        left = name in ("problem", "run by", "the least")
        shown.add_column(name, justify="left" if left else "right")

    def row(problem: str, by: str, step: Work, what: str, least: Work, reach: str, n: int) -> None:
        times = medians({"step": step, "least": least}, 15)
        own, bound = (1e6 * times[key][1] / n for key in ("step", "least"))
        shown.add_row(problem, by, f"{own:.1f}", what, f"{bound:.1f}", f"{own / bound:.2f}", reach)

    d, m = (100, 1000) if quick else (200, 1250)
    inst = simulate.dense_sensing(d, 5, m=m, symmetric=True, random_state=0)
    data, vector = inst.op.reference, np.ones(inst.op.reference.shape[1])
    start = initial.identity((d, d), scale=0.1, symmetric=True)
    sensed = iterate(GradientDescent(1e-4), Problem(inst.op, inst.y), start)
    name = f"sensing, d = {d}, m = {m}"
    row(name, "GradientDescent", lambda: next(sensed), "a read", lambda: data @ vector, "2", 1)

    d = 200 if quick else 500
    problem, U, X = population(d)
    seen = iterate(GradientDescent(1e-3), problem, Factors(U))
    name, least = f"population, d = {d}", lambda: (U @ U.T, X @ U)
    row(name, "GradientDescent", lambda: next(seen), "two products", least, "1", 1)

    d, n = 50, 500
    problem, small, target = population(d)
    S, C = np.empty((d, d)), np.empty((d, d))
    batch = descend_batch([problem], [Factors(small)], 1e-3, stride=n, threads=1)
    name = f"population, d = {d}"
    row(
        name,
        BATCH,
        lambda: next(batch),
        "two products",
        lambda: [(np.dot(small, small.T, out=S), np.dot(target, small, out=C)) for _ in range(n)],
        "1",
        n,
    )
    return shown


def population(d: int) -> tuple[Problem, np.ndarray, np.ndarray]:
    """A problem, a start of full width, and the matrix."""
    inst = simulate.full_observation(d, 5, symmetric=True, random_state=0)
    U = np.random.default_rng(0).standard_normal((d, d)) * 0.01
    return Problem(inst.op, inst.y), U, inst.truth.to_dense()


def numpy_sensing(A: np.ndarray, y: np.ndarray, U: np.ndarray, steps: int) -> np.ndarray:
    """The plain loop: symmetric A_i as rows of a matrix."""
    d, m = U.shape[0], y.size
    for _ in range(steps):
        residual = A @ (U @ U.T).ravel() - y
        U = U - (4.0 * STEP / m) * ((residual @ A).reshape(d, d) @ U)
    return U


def numpy_population(X: np.ndarray, U: np.ndarray, steps: int) -> np.ndarray:
    """The plain loop: the whole matrix is seen."""
    for _ in range(steps):
        U = U - 4.0 * STEP * ((U @ U.T - X) @ U)
    return U


def stacked_population(X: np.ndarray, U: np.ndarray, steps: int) -> np.ndarray:
    """All problems at once: X and U of shape (problems, d, d)."""
    for _ in range(steps):
        U = U - 4.0 * STEP * ((U @ U.transpose(0, 2, 1) - X) @ U)
    return U


def torch_sensing(A, y, U, steps):
    """The plain loop in PyTorch."""
    d, m = U.shape[0], y.shape[0]
    for _ in range(steps):
        residual = A @ (U @ U.T).reshape(-1) - y
        U = U - (4.0 * STEP / m) * ((residual @ A).reshape(d, d) @ U)
    return U


def torch_population(X, U, steps):
    """The plain loop in PyTorch."""
    for _ in range(steps):
        U = U - 4.0 * STEP * ((U @ U.T - X) @ U)
    return U


def batches(
    kind: str, d: int, steps: int, repeats: int
) -> tuple[str, dict[str, tuple[float, float]]]:
    """Seconds for a step of each of 64 problems, by method."""
    starts = [
        initial.gaussian((d, d), d, scale=0.1, symmetric=True, random_state=i)
        for i in range(PROBLEMS)
    ]
    if kind == "sensing":
        m = 5 * d * RANK
        made = [
            simulate.dense_sensing(d, RANK, m=m, symmetric=True, random_state=i)
            for i in range(PROBLEMS)
        ]
        full = [np.stack([inst.op.adjoint(e) for e in np.eye(m)]).reshape(m, -1) for inst in made]
        plain = [(A, inst.y) for A, inst in zip(full, made, strict=True)]
        name, loops = f"sensing, d = {d}, m = {m}", (numpy_sensing, torch_sensing)
    else:
        made = [
            simulate.full_observation(d, RANK, symmetric=True, random_state=i)
            for i in range(PROBLEMS)
        ]
        plain = [(inst.truth.to_dense(),) for inst in made]
        name, loops = f"population, d = {d}", (numpy_population, torch_population)
    problems = [Problem(inst.op, inst.y) for inst in made]
    batch = descend_batch(problems, starts, STEP, stride=steps)
    next(batch)
    once = next(iter(islice(descend_batch(problems, starts, STEP, stride=steps), 1, 2)))
    for state, start, data in zip(once, starts, plain, strict=True):
        np.testing.assert_allclose(loops[0](*data, start.U, steps), state.factors.U, atol=1e-8)
    few = max(steps // 20, 5)
    solver = GradientDescent(STEP)
    work: dict[str, tuple[int, Work]] = {
        BATCH: (steps, lambda: next(batch)),
        "GradientDescent": (
            few,
            lambda: [
                deque(islice(iterate(solver, problem, start), few + 1), maxlen=0)
                for problem, start in zip(problems, starts, strict=True)
            ],
        ),
        "NumPy": (
            steps,
            lambda: [
                loops[0](*data, start.U, steps) for data, start in zip(plain, starts, strict=True)
            ],
        ),
    }
    if kind == "population":
        X, U = np.stack([data[0] for data in plain]), np.stack([start.U for start in starts])
        work["NumPy, stacked"] = (steps, lambda: stacked_population(X, U, steps))
    if torch is not None:
        tensors = [
            tuple(torch.from_numpy(part) for part in (*data, start.U.copy()))
            for data, start in zip(plain, starts, strict=True)
        ]
        work["PyTorch"] = (steps, lambda: [loops[1](*parts, steps) for parts in tensors])
    times = medians({key: operation for key, (_, operation) in work.items()}, repeats)
    return name, {
        key: (clock / (PROBLEMS * work[key][0]), cpu / (PROBLEMS * work[key][0]))
        for key, (clock, cpu) in times.items()
    }


def many_problems(quick: bool) -> Table:
    """Batched against one after another."""
    shown = Table(
        title=f"{PROBLEMS} problems, microseconds for a step of one",
        caption="ratios are over descend_batch; to reach: ten times, over loops",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("problem", "run by", "clock", "CPU", "clock ratio", "CPU ratio"):
        shown.add_column(heading, justify="left" if heading in ("problem", "run by") else "right")
    for kind in ("population", "sensing"):
        for d, steps in ((5, 2000), (10, 1000), (20, 200), (50, 20)):
            name, times = batches(kind, d, steps, 3 if quick else 7)
            for method, taken in times.items():
                row = [f"{1e6 * seconds:.2f}" for seconds in taken]
                if method != BATCH:
                    over = zip(taken, times[BATCH], strict=True)
                    row += [f"{seconds / own:.1f}" for seconds, own in over]
                shown.add_row(name if method == BATCH else "", method, *row)
            shown.add_section()
    return shown


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats, smaller arrays")
    quick = parser.parse_args().quick
    if torch is not None:
        torch.set_num_threads(1)
    console = Console(width=110)
    with threadpool_limits(limits=1, user_api="blas"):
        console.print(single_steps(quick))
        console.print(many_problems(quick))


if __name__ == "__main__":
    main()

"""Deep linear networks: updates a second beside plain loops, and completion beside the core.

    python benchmarks/deep.py [--quick]

Updates of networks of depth 3 on one observed entry at a time, one run and 64, against loops in
NumPy and in PyTorch (where it is installed) that do the same update to all runs at once. Everything
in one run, in turn, one BLAS thread, all cores for PyTorch's 64 runs; seconds of the clock, since
`train` uses all cores. Under the ridge of the paper's figures layers lose directions, and updates
get cheaper. Then `recover` with and without `solver="deep"`, and the best of a nuclear-norm path,
on completion instances: rank, whether the network came down to it by itself, error, CPU seconds.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
from descent import Work, medians
from reference import Clock, Completion, soft_impute_path
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from leanrank import Factors, recover, simulate
from leanrank.deep import DeepFactors, Phase, initial_layers, train
from leanrank.operators import ObservedEntries
from leanrank.problem import Problem

try:
    import torch
except ImportError:
    torch = None

DEPTH, RUNS = 3, 64
RATE, RIDGE = 0.03, 1e-6
"""Under which no layer loses a direction: all are updated at their full width throughout."""
Solve = Callable[[simulate.Instance], tuple[Factors, str]]


def two_by_two() -> Problem:
    """The problem of Wang and Jacot."""
    rows, cols = np.array([[0, 1, 1], [0, 0, 1]])
    return Problem(ObservedEntries(rows, cols, (2, 2)), np.array([1.0, 0.25, 1.0]))


def large(side: int) -> Problem:
    """A tenth of a matrix of rank 5 and spectral norm one."""
    inst = simulate.matrix_completion(side, 5, fraction=0.1, random_state=0)
    return Problem(inst.op, inst.y / np.linalg.norm(inst.truth.to_dense(), 2))


def numpy_loop(problem: Problem, starts: list[DeepFactors], phase: Phase) -> None:
    """All runs at once, in arrays with an axis for them."""
    rate, ridge = phase.learning_rate, phase.ridge
    rows, cols, y = problem.op.rows, problem.op.cols, problem.y
    first, middle, last = (np.stack([s.layers[i] for s in starts]) for i in range(3))
    rng, run = np.random.default_rng(0), np.arange(len(starts))
    for _ in range(phase.steps):
        k = rng.integers(y.size, size=len(starts))
        i, j = rows[k], cols[k]
        low, high = first[run, :, j], last[run, i]
        inner, outer = np.einsum("rij,rj->ri", middle, low), np.einsum("rij,ri->rj", middle, high)
        slope = 2.0 * rate * (np.sum(high * inner, axis=1) - y[k])[:, None]
        for W in (first, middle, last):
            W *= 1.0 - rate * ridge
        first[run, :, j] -= slope * outer
        middle -= (slope * high)[:, :, None] * low[:, None, :]
        last[run, i] -= slope * inner


def numpy_single(problem: Problem, start: DeepFactors, phase: Phase) -> None:
    """One run, no product of layers formed."""
    rate, ridge = phase.learning_rate, phase.ridge
    rows, cols, y = problem.op.rows, problem.op.cols, problem.y
    first, middle, last = (W.copy() for W in start.layers)
    rng = np.random.default_rng(0)
    for _ in range(phase.steps):
        k = rng.integers(y.size)
        i, j = rows[k], cols[k]
        low, high = first[:, j].copy(), last[i].copy()
        inner, outer = middle @ low, middle.T @ high
        slope = 2.0 * rate * (high @ inner - y[k])
        for W in (first, middle, last):
            W *= 1.0 - rate * ridge
        first[:, j] -= slope * outer
        middle -= np.outer(slope * high, low)
        last[i] -= slope * inner


def torch_loop(problem: Problem, starts: list[DeepFactors], phase: Phase) -> None:
    """As one would write it: autograd and SGD with weight decay; batched over runs."""
    rows, cols = (torch.as_tensor(index) for index in (problem.op.rows, problem.op.cols))
    y = torch.as_tensor(problem.y)
    layers = [
        torch.tensor(np.stack([s.layers[i] for s in starts]), requires_grad=True) for i in range(3)
    ]
    descent = torch.optim.SGD(layers, lr=phase.learning_rate, weight_decay=phase.ridge)
    generator, run = torch.Generator().manual_seed(0), torch.arange(len(starts))
    for _ in range(phase.steps):
        k = torch.randint(y.numel(), (len(starts),), generator=generator)
        A = layers[2] @ layers[1] @ layers[0]
        loss = torch.sum((A[run, rows[k], cols[k]] - y[k]) ** 2)
        descent.zero_grad()
        loss.backward()
        descent.step()


def updates(quick: bool) -> Table:
    """Run-steps a second."""
    shown = Table(title="updates of networks of depth 3, a second", title_justify="left")
    for name in ("matrix", "width", "runs", "phase", "leanrank", "NumPy", "PyTorch", "over NumPy"):
        shown.add_column(name, justify="left" if name in ("matrix", "phase") else "right")
    side = 100 if quick else 500
    # Matrix, width, runs, how many more steps than the loops leanrank makes.
    settings = [(two_by_two(), 100, 1, 400), (two_by_two(), 100, RUNS, 50)]
    settings += [(two_by_two(), 5, 1, 4000), (two_by_two(), 5, RUNS, 500)]
    settings += [(large(side), side, 1, 400)]
    for problem, width, runs, boost in settings:
        steps = 50 if quick or problem.op.shape[0] > 2 else 200
        updates_of(shown, problem, width, runs, Phase(steps, RATE, RIDGE), boost)
    for runs, boost in ((1, 400), (RUNS, 50)):
        phase = Phase(50 if quick else 200, 0.2, 0.1)
        updates_of(shown, two_by_two(), 100, runs, phase, boost, every=20)
    return shown


def updates_of(
    shown: Table,
    problem: Problem,
    width: int,
    runs: int,
    phase: Phase,
    boost: int,
    every: int | None = None,
) -> None:
    """A row: leanrank under a longer phase, with records only where ``every`` says how often."""
    shape = problem.op.shape
    starts = [initial_layers(shape, DEPTH, width, random_state=i) for i in range(runs)]
    starts = [DeepFactors([0.5 * W for W in s.layers]) for s in starts]  # stable at the rate
    long = Phase(boost * phase.steps, phase.learning_rate, phase.ridge)
    work: dict[str, Work] = {
        "leanrank": lambda: train(problem, starts, [long], every=every or long.steps),
        "NumPy": lambda: (
            numpy_loop(problem, starts, phase)
            if runs > 1
            else numpy_single(problem, starts[0], phase)
        ),
    }
    if torch is not None:
        torch.set_num_threads(os.cpu_count() or 1 if runs > 1 else 1)
        work["PyTorch"] = lambda: torch_loop(problem, starts, phase)
    speed = {
        name: runs * (long if name == "leanrank" else phase).steps / clock
        for name, (clock, _) in medians(work, 3 if phase.steps < 200 else 7).items()
    }
    shown.add_row(
        f"{shape[0]} x {shape[1]}",
        f"{width}",
        f"{runs}",
        "of the figures, with records" if every else "a weak ridge, no records",
        *(f"{speed[n]:,.0f}" if n in speed else "" for n in ("leanrank", "NumPy", "PyTorch")),
        f"{speed['leanrank'] / speed['NumPy']:.1f}",
    )


def by_shrinkage(inst: simulate.Instance) -> tuple[Factors, str]:
    """The best point of a nuclear-norm path, chosen by the error that only a simulation knows."""
    problem = Completion(inst.op.rows, inst.op.cols, inst.y, inst.op.shape)
    path = soft_impute_path(problem, 20, Clock(60.0))
    return min(path, key=inst.error), ""


def by_recover(solver: str | None) -> Solve:
    """Factors and the message of the pipeline."""

    def solve(inst: simulate.Instance) -> tuple[Factors, str]:
        result = recover(inst.op, inst.y, solver=solver)
        return result.factors, result.message

    return solve


def completion(quick: bool) -> Table:
    """The core, the ladder of ridges and shrinkage on the same instances, over seeds."""
    side = 60 if quick else 200
    title = f"completion of {side} x {side}, rank 3: the core, a deep network, the nuclear norm"
    shown = Table(title=title, title_justify="left")
    for name in ("instance", "method", "rank 3", "by itself", "error", "largest", "CPU s", "ratio"):
        shown.add_column(name, justify="left" if name in ("instance", "method") else "right")
    cases = {
        "20 % seen, kappa 10": {"fraction": 0.4 if quick else 0.2, "kappa": 10.0},
        "2 x freedom": {"oversampling": 2.0},
        "3 x freedom, kappa 100": {"oversampling": 3.0, "kappa": 100.0},
        "4 x freedom, noise 0.05": {"oversampling": 4.0, "noise": 0.05},
    }
    methods = {"core": by_recover(None), "deep": by_recover("deep"), "shrinkage": by_shrinkage}
    seeds = range(2 if quick else 10)
    for name, options in cases.items():
        core_cpu = None
        for method, solve in methods.items():
            errors, ranks, cpu, itself = [], [], [], 0
            for seed in seeds:
                inst = simulate.matrix_completion(side, 3, random_state=seed, **options)
                start = time.process_time()
                factors, message = solve(inst)
                cpu.append(time.process_time() - start)
                errors.append(inst.error(factors))
                s = factors.singular_values()
                ranks.append(int(np.sum(s > 1e-7 * s[0])))
                itself += "by itself" in message
            own = float(np.median(cpu))
            core_cpu = own if core_cpu is None else core_cpu
            shown.add_row(
                name,
                method,
                f"{sum(r == 3 for r in ranks)} of {len(ranks)}",
                f"{itself}" if method == "deep" else "",
                f"{np.median(errors):.1e}",
                f"{max(errors):.1e}",
                f"{own:.2f}",
                f"{own / core_cpu:.0f}",
            )
    return shown


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, few repeats")
    quick = parser.parse_args().quick
    console = Console()
    with threadpool_limits(limits=1, user_api="blas"):
        console.print(updates(quick))
        console.print(completion(quick))


if __name__ == "__main__":
    main()

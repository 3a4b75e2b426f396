"""Deep linear networks: updates a second beside plain loops, and completion beside the core.

    python benchmarks/deep.py [--quick]

Updates of one run and of 64, one observed entry at a time but where it says otherwise, against
loops in NumPy and in PyTorch (where it is installed) that do the same update to all runs at once.
Everything in one run, in turn, one BLAS thread, all cores for PyTorch's 64 runs; seconds of the
clock, since `train` uses all cores. Ridges are so weak that layers stay as wide as they are; under
that of the paper's figures they lose directions, and updates get cheaper: there leanrank makes the
40,000 steps of Figure 1 and takes singular values every 20, which the loops do not. Then `recover`
with and without `strategy=RidgeLadder()`, and the best of a nuclear-norm path, on completion
instances: rank, whether the network came down to it by itself, error, CPU seconds.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
from deep_loops import Setting, numpy_many, numpy_sensing, numpy_single, torch, torch_loop
from descent import Work, medians
from reference import Clock, Completion, soft_impute_path
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from leanrank import Factors, recover, simulate
from leanrank.operators import ObservedEntries
from leanrank.problem import Problem
from leanrank.research.deep import Phase, RidgeLadder, train

Solve = Callable[[simulate.Instance], tuple[Factors, str]]


def two_by_two() -> Problem:
    """The problem of Wang and Jacot."""
    rows, cols = np.array([[0, 1, 1], [0, 0, 1]])
    return Problem(ObservedEntries(rows, cols, (2, 2)), np.array([1.0, 0.25, 1.0]))


def large(side: int) -> Problem:
    """A tenth of a matrix of rank 5 and spectral norm one."""
    inst = simulate.matrix_completion(side, 5, fraction=0.1, random_state=0)
    return Problem(inst.op, inst.y / np.linalg.norm(inst.truth.to_dense(), 2))


def sensed() -> Problem:
    """304 dense measurements of a 20 x 20 matrix of rank 2 and spectral norm one."""
    inst = simulate.dense_sensing((20, 20), 2, oversampling=4, random_state=0)
    return Problem(inst.op, inst.y / np.linalg.norm(inst.truth.to_dense(), 2))


def settings(quick: bool) -> list[Setting]:
    """One entry at a time under a weak ridge, and what is different from that."""
    two, side, runs = two_by_two(), 100 if quick else 500, 64
    figures = {"rate": 0.2, "ridge": 0.1, "every": 20}
    return [
        Setting("", two, 100, 40_000),
        Setting("", two, 100, 10_000, runs=runs),
        Setting("", two, 5, 400_000),
        Setting("", two, 5, 100_000, runs=runs),
        Setting("", large(side), side, 20_000),
        Setting("", two, 100, 20_000, depth=4),
        Setting("without replacement", two, 100, 40_000, replacement=False),
        Setting("two entries", two, 100, 20_000, batch=2),
        Setting("one of 304 dense measurements", sensed(), 20, 20_000, rate=0.001),
        Setting("rate 0.2, ridge 0.1, records", two, 100, 40_000, **figures),
        Setting("rate 0.2, ridge 0.1, records", two, 100, 40_000, runs=runs, **figures),
    ]


def updates(quick: bool) -> Table:
    """Run-steps a second."""
    shown = Table(title="updates of deep networks, a second", title_justify="left")
    columns = ("matrix", "width", "depth", "runs", "different")
    for name in (*columns, "leanrank", "NumPy", "PyTorch", "over NumPy"):
        shown.add_column(name, justify="left" if name in ("matrix", "different") else "right")
    for case in settings(quick):
        steps = 50 if quick or case.width > 100 else 500
        speed = speeds(case, steps, 3 if quick else 7)
        shown.add_row(
            f"{case.problem.op.shape[0]} x {case.problem.op.shape[1]}",
            f"{case.width}",
            f"{case.depth}",
            f"{case.runs}",
            case.name,
            *(f"{speed[n]:,.0f}" if n in speed else "" for n in ("leanrank", "NumPy", "PyTorch")),
            f"{speed['leanrank'] / speed['NumPy']:.1f}",
        )
    return shown


def speeds(case: Setting, steps: int, repeats: int) -> dict[str, float]:
    """Of leanrank over its own steps, of loops over ``steps``."""
    phase, starts = Phase(case.steps, case.rate, case.ridge), case.starts()
    options = {"batch_size": case.batch, "replacement": case.replacement}
    every = case.every or case.steps
    loop = numpy_many if case.runs > 1 else numpy_single
    if not isinstance(case.problem.op, ObservedEntries):
        loop = numpy_sensing
    work: dict[str, Work] = {
        "leanrank": lambda: train(case.problem, starts, [phase], every=every, **options),
        "NumPy": lambda: loop(case, starts, steps),
    }
    if torch is not None:
        torch.set_num_threads(os.cpu_count() or 1 if case.runs > 1 else 1)
        work["PyTorch"] = lambda: torch_loop(case, starts, steps)
    return {
        name: case.runs * (case.steps if name == "leanrank" else steps) / clock
        for name, (clock, _) in medians(work, repeats).items()
    }


def by_shrinkage(inst: simulate.Instance) -> tuple[Factors, str]:
    """The best point of a nuclear-norm path, chosen by the error that only a simulation knows."""
    problem = Completion(inst.op.rows, inst.op.cols, inst.y, inst.op.shape)
    path = soft_impute_path(problem, 20, Clock(60.0))
    return min(path, key=inst.error), ""


def by_recover(strategy: RidgeLadder | None) -> Solve:
    """Factors and the message of the pipeline."""

    def solve(inst: simulate.Instance) -> tuple[Factors, str]:
        result = recover(inst.op, inst.y, strategy=strategy)
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
    methods = {
        "core": by_recover(None),
        "deep": by_recover(RidgeLadder()),
        "shrinkage": by_shrinkage,
    }
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

"""Weights and outliers: recover with a loss against least squares that knows what is wrong.

    python benchmarks/losses.py --seeds 100 110

Completion of 100 x 80 matrices of rank 3. *Weights*: half of the entries are 30 times noisier than
the rest, which have a noise of a tenth; the oracle is weighted least squares at the true rank, from
the truth. *Outliers*: 5 % of the entries are off by 20 times the entries' size, at three times as
many entries as degrees of freedom; the reference is recover on the clean ones.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from leanrank import Squared, StudentT, recover, simulate
from leanrank.problem import Problem
from leanrank.solvers import GaussNewton, solve

SHAPE, RANK = (100, 80), 3


def weighted(seed: int, rho: float) -> tuple[float, int, str]:
    """Error over the oracle's, rank and status, of entries of two kinds of noise."""
    inst = simulate.matrix_completion(SHAPE, RANK, oversampling=rho, random_state=seed)
    rng = np.random.default_rng(seed)
    noise = 0.1 * float(np.std(inst.y)) * np.where(rng.random(inst.y.size) < 0.5, 30.0, 1.0)
    y, loss = inst.y + noise * rng.standard_normal(inst.y.size), Squared(noise**-2)
    oracle = solve(GaussNewton(), Problem(inst.op, y, loss=loss), inst.truth, max_iter=100)
    result = recover(inst.op, y, loss=loss)
    ratio = inst.error(result.factors) / inst.error(oracle.factors)
    return ratio, result.rank, result.status.name


def outliers(seed: int, noise: float) -> tuple[float, int, str]:
    """Error over that of the fit to clean data, rank and status, of entries with outliers."""
    inst = simulate.matrix_completion(SHAPE, RANK, oversampling=3.0, noise=noise, random_state=seed)
    rng = np.random.default_rng(seed)
    y = inst.y.copy()
    bad = rng.random(y.size) < 0.05
    y[bad] += 20.0 * float(np.std(y)) * rng.choice([-1.0, 1.0], int(bad.sum()))
    clean = recover(inst.op, inst.y)
    result = recover(inst.op, y, loss=StudentT())
    # Beyond ten digits errors are rounding.
    ratio = max(inst.error(result.factors), 1e-10) / max(inst.error(clean.factors), 1e-10)
    return ratio, result.rank, result.status.name


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", nargs=2, type=int, default=(0, 10), metavar=("FROM", "TO"))
    seeds = range(*parser.parse_args().seeds)
    rows = {
        "weights, rho 3": (lambda s: weighted(s, 3.0), 1.1),
        "weights, rho 6": (lambda s: weighted(s, 6.0), 1.1),
        "outliers, no noise": (lambda s: outliers(s, 0.0), 1.2),
        "outliers, noise 0.1": (lambda s: outliers(s, 0.1), 1.2),
        "outliers, noise 0.3": (lambda s: outliers(s, 0.3), 1.2),
    }
    table = Table(title=f"seeds {seeds.start} to {seeds.stop - 1}")
    for name in ("instance", "rank 3", "within", "median", "worst", "certified", "CPU s"):
        table.add_column(name, justify="right" if name != "instance" else "left")
    for name, (trial, limit) in rows.items():
        start = time.process_time()
        found = [trial(seed) for seed in seeds]
        seconds = (time.process_time() - start) / len(found)
        ratios = np.array([ratio for ratio, _, _ in found])
        right = np.array([rank == RANK for _, rank, _ in found])
        table.add_row(
            name,
            f"{right.sum()} of {len(found)}",
            f"{(right & (ratios <= limit)).sum()} of {len(found)} at {limit}",
            f"{np.median(ratios):.3f}",
            f"{ratios.max():.3g}",
            str(sum(status == "CONVERGED" for _, _, status in found)),
            f"{seconds:.1f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()

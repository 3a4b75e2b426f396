"""Quadratic networks: QuadraticNetworkRegressor against what scikit-learn has for products.

    python benchmarks/quadratic.py [--seeds 20] [--quick]

Outputs of three neurons on 50 standard normal features, 500 samples, without noise and with noise
of a tenth of their spread; the test error is that of predicting 2000 new outputs without noise.
The least-squares oracle is told the number of neurons and starts at the truth. CPU seconds with
one BLAS thread.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LassoCV, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from threadpoolctl import threadpool_limits

import leanrank as lr
from leanrank import simulate
from leanrank.problem import Problem
from leanrank.solvers import GaussNewton, solve

D, RANK, M = 50, 3, 500
"""147 degrees of freedom of the network, 1325 coefficients of a general quadratic function."""


class Oracle:
    """Least squares over networks of the true width, from the truth."""

    def __init__(self, truth: lr.Factors) -> None:
        self.truth = truth

    def fit(self, x: np.ndarray, y: np.ndarray) -> Oracle:
        problem = Problem(lr.operators.RankOneSensing(x), y)
        self.neurons_ = solve(GaussNewton(), problem, self.truth, tol=1e-12).factors.U.T
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.sum((x @ self.neurons_.T) ** 2, axis=1)


def polynomial(model: Any) -> Any:
    """A linear model on all products of two features."""
    return make_pipeline(PolynomialFeatures(2, include_bias=False), model)


METHODS: dict[str, Callable[[lr.Factors, int], Any]] = {
    "leanrank": lambda truth, seed: lr.QuadraticNetworkRegressor(random_state=seed),
    "leanrank, no intercept": lambda truth, seed: lr.QuadraticNetworkRegressor(
        fit_intercept=False, random_state=seed
    ),
    "least squares, told": lambda truth, seed: Oracle(truth),
    "products + RidgeCV": lambda truth, seed: polynomial(RidgeCV(np.logspace(-3, 4, 15))),
    "products + LassoCV": lambda truth, seed: polynomial(LassoCV(cv=3, alphas=30, max_iter=2000)),
}
SLOW = "products + LassoCV"


def measure(name: str, noise: float, seed: int) -> dict[str, float]:
    """Test error (squared, over the variance of the outputs), neurons and CPU seconds of a fit."""
    instance = simulate.rank_one_sensing(
        D, RANK, m=M, symmetric=True, noise=noise, random_state=seed
    )
    test = np.random.default_rng([seed, 1]).standard_normal((2000, D))
    outputs = np.sum((test @ instance.truth.U) ** 2, axis=1)
    model = METHODS[name](instance.truth, seed)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(instance.op.x, instance.y)
    seconds = time.process_time() - start
    error = float(np.mean((model.predict(test) - outputs) ** 2) / np.var(outputs))
    neurons = getattr(model, "neurons_", None)
    width = float("nan") if neurons is None else float(len(neurons))
    return {"error": error, "width": width, "seconds": seconds}


def run(noise: float, seeds: int, slow: int, console: Console) -> None:
    """Print the table for a level of noise."""
    table = Table(title=f"d={D}, {RANK} neurons, m={M}, noise {noise:g} of the outputs' spread")
    for heading in (
        "method", "right width", "1 - R2 (median)", "1 - R2 (max)", "error / told (max)", "CPU s",
        "CPU s (max)",
    ):  # fmt: skip
        table.add_column(heading)
    found = {
        name: [measure(name, noise, seed) for seed in range(slow if name == SLOW else seeds)]
        for name in METHODS
    }
    told = found["least squares, told"]
    for name, records in found.items():
        errors = np.array([r["error"] for r in records])
        seconds = np.array([r["seconds"] for r in records])
        right = sum(r["width"] == RANK for r in records)
        known = not np.isnan(records[0]["width"])
        ratio = max(np.sqrt(r["error"] / t["error"]) for r, t in zip(records, told, strict=False))
        table.add_row(
            name,
            f"{right} of {len(records)}" if known else "-",
            f"{np.median(errors):.1e}",
            f"{errors.max():.1e}",
            f"{ratio:.3f}" if noise else "-",
            f"{np.median(seconds):.2f}",
            f"{seconds.max():.2f}",
        )
    console.print(table)


def main() -> None:
    """Run both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="two seeds")
    options = parser.parse_args()
    seeds = 2 if options.quick else options.seeds
    for noise in (0.0, 0.1):
        run(noise, seeds, min(seeds, 3), Console(width=120))


if __name__ == "__main__":
    with threadpool_limits(1):
        main()

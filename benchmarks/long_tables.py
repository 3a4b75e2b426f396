"""Long tables: memory and CPU time of imputers, each in a process of its own.

    python benchmarks/tables.py --long                        # 1,000, 10,000 and 100,000 rows of 20
    python benchmarks/tables.py --long 200000x20 2000x120 500x500

Tables are of rank three plus noise of half its deviation, a fifth of the entries hidden. Memory is
what a process takes at most above what it had before, the table included in that.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
from memory import MIB, forget_peak, resident
from rich.table import Table
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer

import leanrank as lr

SIZES = ("1000x20", "10000x20", "100000x20")
SHARE, RANK, NOISE = 0.2, 3, 0.5
METHODS: dict[str, Callable[[], Any]] = {
    "leanrank": lambda: lr.LowRankImputer(on_failure="ignore"),
    "BayesianRidge": lambda: IterativeImputer(random_state=0),
    "KNN": lambda: KNNImputer(),
}
STEPS: dict[str, Callable[[Any, np.ndarray], Any]] = {
    "fit": lambda imputer, X: imputer.fit(X),
    "transform": lambda imputer, X: imputer.transform(X),
    "predict_interval": lambda imputer, X: imputer.predict_interval(X),
    "draw": lambda imputer, X: imputer.draw(X, 1),
}
LONGEST_KNN = 20_000
"""Rows up to which all distances between them are worth waiting for."""


def instance(n: int, p: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A table with gaps, and the whole one."""
    rng = np.random.default_rng(seed)
    full = rng.standard_normal((n, RANK)) @ rng.standard_normal((RANK, p)) / np.sqrt(RANK)
    full += NOISE * rng.standard_normal((n, p))
    return np.where(rng.random((n, p)) < SHARE, np.nan, full), full


def measured(name: str, n: int, p: int, seed: int) -> dict[str, Any]:
    """CPU seconds and bytes a cell of each step, and the error on hidden entries."""
    warnings.simplefilter("ignore")
    small = instance(60, 4, 0)[0]
    X, full = instance(n, p, seed)
    record: dict[str, Any] = {"shape": f"{n} x {p}", "method": name}
    # Kernels are compiled, and libraries loaded, before anything is measured.
    ready, imputer = METHODS[name]().fit(small), METHODS[name]()
    for step, act in STEPS.items():
        if not hasattr(imputer, step):
            continue
        act(ready, small)
        before = resident("VmRSS")
        forget_peak()
        begun = time.process_time()
        found = act(imputer, X)
        record[step] = time.process_time() - begun
        record[f"{step} bytes"] = (resident("VmHWM") - before) * MIB / X.size
        if step == "transform":
            hidden = np.isnan(X)
            record["error"] = float(np.sqrt(np.mean((found - full)[hidden] ** 2)))
        del found
    return record


def shown(sizes: Sequence[str], seed: int) -> Table:
    """A row for each size and imputer."""
    out = Table(title="CPU seconds and bytes a cell", title_justify="left")
    for column in ("table", "imputer", *STEPS, "error"):
        out.add_column(column, justify="left" if column in ("table", "imputer") else "right")
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as alone:
        for size in sizes:
            n, p = (int(k) for k in size.split("x"))
            for name in METHODS:
                if name == "KNN" and n > LONGEST_KNN:
                    continue
                r = alone.submit(measured, name, n, p, seed).result()
                cells = [
                    f"{r[step]:.2f} s, {r[f'{step} bytes']:.0f} B" if step in r else ""
                    for step in STEPS
                ]
                out.add_row(r["shape"], name, *cells, f"{r['error']:.4f}")
    return out

"""Scale: millions of entries, in memory and on disk, beside peers in one run.

    python benchmarks/scale.py                     # every section, an hour on two cores
    python benchmarks/scale.py --quick             # the same with fewer entries, some minutes
    python benchmarks/scale.py entries growth --first 3 --seeds 2

Each measurement is a process of its own (`scale_cases.py`): CPU seconds without compilation, wall
seconds, and memory above that of the input. cmfrec takes part where it is installed, told the rank,
with whichever of its ways comes to within a hundredth of leanrank's error first. implicit does not:
it fits how often something was chosen, not values.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sections import print_sections

CONSOLE = Console(width=None if sys.stdout.isatty() else 150)
CASES = Path(__file__).with_name("scale_cases.py")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
WITHIN = 1.01
"""Error of a peer over leanrank's, at which it counts as the same."""


def run(case: str, **options: Any) -> Any:
    """What a case measured; None where what it needs is not installed."""
    order = [sys.executable, str(CASES), json.dumps({"case": case, **options})]
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(order, capture_output=True, text=True, env=env, check=False)
    if "ModuleNotFoundError" in done.stderr:
        return None
    if done.returncode:
        raise RuntimeError(f"{case} {options}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def table(title: str, *columns: str) -> Table:
    """A table whose first two columns are text."""
    out = Table(title=title, title_justify="left")
    for i, name in enumerate(columns):
        out.add_column(name, justify="right" if i > 1 else "left")
    return out


def row(out: Table, seed: object, name: str, found: dict[str, Any] | None, goal: str = "") -> None:
    """A measurement."""
    if found is None:
        out.add_row(str(seed), name, *["not installed"] + [""] * 6)
        return
    out.add_row(
        str(seed), name, f"{found['error']:.3g}", str(found["rank"]), f"{found['cpu']:.2f}",
        f"{found['wall']:.2f}", f"{found['above']:.0f}", f"{found['peak']:.0f}", goal,
    )  # fmt: skip


COLUMNS = ("seed", "method", "RMSE", "rank", "CPU s", "wall s", "MiB above input", "MiB", "")


def entries(seeds: range, quick: bool) -> None:
    """A tall matrix of rank 10, noise of a tenth; one thread, and all."""
    shape, size = ((4000, 1000), 200_000) if quick else ((20_000, 5_000), 2_000_000)
    out = table(f"{shape[0]} x {shape[1]}, rank 10, {size:,} entries, noise .1", *COLUMNS)
    for seed in seeds:
        given = {"shape": shape, "size": size, "seed": seed}
        own = run("in_memory", **given, threads=1, uniform=True)
        peers = run("cmfrec", **given, enough=WITHIN * own["error"]) or []
        equal = [p for p in peers if p["error"] <= WITHIN * own["error"]]
        best = min(equal, key=lambda p: p["cpu"]) if equal else None
        goal = "" if best is None else f"{own['cpu'] / best['cpu']:.2f} of cmfrec's CPU"
        row(out, seed, "leanrank, one thread", own, goal)
        more = run("in_memory", **given, threads=2, uniform=True)
        row(out, seed, "leanrank, two threads", more, f"{own['wall'] / more['wall']:.2f} as fast")
        row(out, seed, f"cmfrec ({best['way']})" if best else "cmfrec", best)
        row(
            out, seed, "ALS in NumPy, 8 rounds", run("least_squares", **given, rounds=8, told=False)
        )
        told = run("least_squares", **given, rounds=6, told=True)
        row(out, seed, "the same from the truth", told, f"{own['error'] / told['error']:.4f} of it")
    CONSOLE.print(out)


def skewed(seeds: range, quick: bool) -> None:
    """Ratings that popular columns and busy rows have most of, in memory."""
    shape, size = ((14_000, 2_700), 2_000_000) if quick else ((140_000, 27_000), 20_000_000)
    out = table(f"{shape[0]:,} x {shape[1]:,}, {size:,} ratings, skewed; {CORES} cores", *COLUMNS)
    for seed in seeds:
        found = run("in_memory", shape=shape, size=size, seed=seed, threads=CORES, uniform=False)
        row(out, seed, "leanrank", found, "goal: 60 s, 1536 MiB")
    CONSOLE.print(out)


def disk(seeds: range, quick: bool) -> None:
    """The same from Parquet, more than memory is to hold."""
    shape, size = ((50_000, 10_000), 5_000_000) if quick else ((500_000, 50_000), 100_000_000)
    out = table(
        f"{shape[0]:,} x {shape[1]:,}, {size:,} ratings in Parquet; {CORES} cores", *COLUMNS
    )
    for seed in seeds:
        found = run("on_disk", shape=shape, size=size, seed=seed, threads=CORES)
        name = "leanrank"
        if found is not None:
            name = f"leanrank; {found['file']:.0f} MiB, sorted in {found['sorting']:.0f} s"
        row(out, seed, name, found, "goal: 600 s, 1024 MiB")
    CONSOLE.print(out)


def ratings(seeds: range, quick: bool) -> None:
    """From a CSV with labels to predictions of 100,000 pairs with intervals."""
    shape, size = ((16_254, 5_905), 100_000) if quick else ((162_541, 59_047), 1_000_000)
    out = table(f"{shape[0]:,} x {shape[1]:,}, a CSV of {size:,} ratings", *COLUMNS)
    for seed in seeds:
        found = run("from_csv", shape=shape, size=size, seed=seed, threads=CORES)
        row(out, seed, "leanrank", found, "goal: 60 s, 1536 MiB")
        if found is not None:
            CONSOLE.print(f"predict: {found['pairs a second']:,.0f} pairs a second of CPU")
    CONSOLE.print(out)


def labels(seeds: range, quick: bool) -> None:
    """Many more labels than entries can tell anything of."""
    steps = (10_000, 100_000) if quick else (100_000, 1_000_000)
    out = table("10 n x n, 5 n entries", *COLUMNS)
    for seed in seeds:
        for n in steps:
            found = run(
                "in_memory", shape=(10 * n, n), size=5 * n, seed=seed, threads=CORES, uniform=False
            )
            bytes_each = found["above"] * 2**20 / (16 * n)
            row(out, seed, f"n = {n:,}", found, f"{bytes_each:.0f} bytes a label or entry")
    CONSOLE.print(out)


def growth(seeds: range, quick: bool) -> None:
    """Time against entries, over three decades; 100 a row and 400 a column on the average."""
    sizes = [20_000 * 10**k for k in range(3 if quick else 4)]
    out = table("time against entries, one thread", *COLUMNS)
    for seed in seeds:
        times = []
        for size in sizes:
            shape = (size // 100, size // 400)
            found = run("in_memory", shape=shape, size=size, seed=seed, threads=1, uniform=False)
            times.append(found["cpu"])
            row(
                out,
                seed,
                f"{size:,} entries",
                found,
                f"{1e9 * found['cpu'] / size:.0f} ns an entry",
            )
        x, y = ([math.log(v) for v in values] for values in (sizes, times))
        mean = [sum(v) / len(v) for v in (x, y)]
        slope = sum((a - mean[0]) * (b - mean[1]) for a, b in zip(x, y, strict=True))
        slope /= sum((a - mean[0]) ** 2 for a in x)
        out.add_row(str(seed), "exponent", *[""] * 6, f"{slope:.3f} (goal: 1.05)")
    CONSOLE.print(out)


def exact(seeds: range, quick: bool) -> None:
    """Square matrices of rank 5 without noise, by recover."""
    out = table("exact completion, rank 5, rho = 3", *COLUMNS)
    for seed in seeds:
        times = {}
        for n in (1000, 6000) if quick else (1000, 60_000):
            found = run("exact", n=n, seed=seed)
            times[n] = found["cpu"] / found["size"]
            factor = times[n] / times[1000]
            row(out, seed, f"{n} x {n}", found, f"{factor:.2f} the time an entry of 1000 x 1000")
    CONSOLE.print(out)


if __name__ == "__main__":
    sections = (entries, skewed, disk, ratings, labels, growth, exact)
    print_sections(__doc__, sections, seeds=1, flag="quick", meaning="fewer entries")

"""Print the benchmark table: leanrank and the reference methods side by side.

    python benchmarks/run.py [--quick] [--rows psd-exact completion-10-2] [--json FILE]

CPU seconds (``time.process_time``) with one BLAS thread. Kernels are compiled before the clock
starts. leanrank is told nothing; methods marked "told" are given the true rank.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import bandwidth
import numpy as np
from rich.console import Console
from rich.table import Table
from rows import LEANRANK, LIMITS, ROWS, Method, Row
from threadpoolctl import threadpool_limits

BANDWIDTH = "bandwidth"


@dataclass(frozen=True)
class Record:
    """One method on one instance."""

    row: str
    method: str
    told: bool
    seed: int
    true_rank: int
    rank: int
    error: float
    passes: float
    seconds: float
    note: str
    peak: float = float("nan")


def run_one(row: Row, method: Method, seed: int, cap: float) -> Record:
    """Make the instance of a seed, and time a method on it."""
    instance = row.make(seed)
    start = time.process_time()
    answer = method.solve(instance, seed, cap)
    seconds = time.process_time() - start
    factors, claims_rank = answer.factors, method.told or method.name == LEANRANK.name
    rank = factors.width if claims_rank else effective_rank(factors.singular_values())
    return Record(
        row.name,
        method.name,
        method.told,
        seed,
        instance.truth.width,
        rank,
        instance.error(factors),
        answer.passes,
        seconds,
        answer.note,
    )


def effective_rank(values: np.ndarray) -> int:
    """Count singular values that are more than rounding errors or a remnant of convergence."""
    return int(np.sum(values > 1e-7 * values[0])) if len(values) and values[0] > 0 else 0


def run_apart(row: Row, method: Method, seed: int, cap: float) -> Record:
    """Run in a process of its own, whose peak memory tells what the method needs."""
    command = [sys.executable, str(Path(__file__)), "--rows", row.name, "--method", method.name]
    command += ["--one", str(seed), "--cap", str(cap)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Record(**json.loads(done.stdout))


def peak_memory() -> float:
    """Peak resident memory of this process in bytes, instance and libraries included.

    Where there is /proc its high-water mark is read, because on Linux ``getrusage`` also counts
    the memory of the parent that started the process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def run_row(row: Row, options: argparse.Namespace, console: Console) -> list[Record]:
    """Run all methods of a row on their seeds."""
    records: list[Record] = []
    for method in row.methods:
        if options.only and options.only not in method.name:
            continue
        if method.name == LEANRANK.name and not row.measure_memory:
            method.solve(row.warm_up(), 0, options.cap)
        for seed in range(seed_count(row, method, options)):
            with console.status(f"{row.name}: {method.name}, seed {seed}"):
                run = run_apart if row.measure_memory else run_one
                records.append(run(row, method, seed, options.cap))
    return records


def seed_count(row: Row, method: Method, options: argparse.Namespace) -> int:
    """Choose how many seeds a method runs on."""
    mine = options.seeds or (1 if options.quick else row.seeds)
    if method.name == LEANRANK.name or method.name == row.oracle:
        return mine
    if options.reference_seeds is not None:
        return min(mine, options.reference_seeds)
    return min(mine, 1 if method.slow else 3)


def tabulate(row: Row, records: list[Record]) -> Table:
    """One line for each method."""
    table = Table(
        title=f"{row.name}: {row.title}",
        caption=f"to reach, rank unknown: {row.target}",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("method")
    for name in ("rank told", "success", "rank found", "error, median", "max"):
        table.add_column(name, justify="right")
    if row.oracle:
        table.add_column("error / oracle's, max", justify="right")
    for name in ("passes", "CPU s, median", "max"):
        table.add_column(name, justify="right")
    if row.measure_memory:
        table.add_column("peak GB", justify="right")
    table.add_column("remarks")
    for method in row.methods:
        mine = [record for record in records if record.method == method.name]
        if mine:
            style = "bold" if method.name == LEANRANK.name else None
            table.add_row(*_cells(row, mine, records), style=style)
    return table


def _cells(row: Row, mine: list[Record], records: list[Record]) -> list[str]:
    errors = [r.error for r in mine]
    seconds = [r.seconds for r in mine]
    wins = sum(succeeds(row, r, records) for r in mine)
    ranks = Counter(r.rank for r in mine)
    found = ", ".join(f"{k}" if len(ranks) == 1 else f"{k} ({n}x)" for k, n in ranks.most_common(3))
    cells = [mine[0].method, "told" if mine[0].told else "no", f"{wins}/{len(mine)}", found]
    cells += [f"{np.median(errors):.1e}", f"{max(errors):.1e}"]
    if row.oracle:
        ratios = [ratio(row, r, records) for r in mine]
        cells.append(f"{max(ratios):.4f}")
    cells += [f"{np.median([r.passes for r in mine]):.0f}"]
    cells += [f"{np.median(seconds):.2f}", f"{max(seconds):.2f}"]
    if row.measure_memory:
        cells.append(f"{max(r.peak for r in mine) / 1e9:.2f}")
    notes = Counter(r.note for r in mine if r.note)
    return [*cells, ", ".join(f"{note} ({n}x)" for note, n in notes.items())]


def ratio(row: Row, record: Record, records: list[Record]) -> float:
    """Error over the oracle's on the same instance."""
    for other in records:
        if other.method == row.oracle and other.seed == record.seed:
            return record.error / other.error
    return float("nan")


def succeeds(row: Row, record: Record, records: list[Record]) -> bool:
    """Whether error and rank are what the row asks for."""
    error = ratio(row, record, records) if row.oracle else record.error
    return error <= row.tolerance and (record.rank == record.true_rank or not row.exact_rank)


def parse() -> argparse.Namespace:
    """Read the command line."""
    names = [row.name for row in (*ROWS, *LIMITS)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rows", nargs="*", metavar="ROW", help=f"of {', '.join(names)}; or a prefix"
    )
    parser.add_argument("--seeds", type=int, help="seeds per row, instead of the row's own number")
    parser.add_argument("--reference-seeds", type=int, help="seeds for the references (3, slow: 1)")
    parser.add_argument("--cap", type=float, default=60.0, help="CPU s a reference may take")
    parser.add_argument("--quick", action="store_true", help="one seed, references capped at 5 s")
    parser.add_argument("--only", help="methods whose name contains this")
    parser.add_argument("--json", metavar="FILE", help="write all records")
    parser.add_argument("--one", type=int, metavar="SEED", help=argparse.SUPPRESS)
    parser.add_argument("--method", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.cap = min(options.cap, 5.0)
    return options


def chosen_rows(patterns: list[str] | None) -> list[Row]:
    """Rows by name or prefix, or all of them."""
    if patterns is None:
        return [*ROWS, *LIMITS]
    exact = {row.name: row for row in (*ROWS, *LIMITS)}
    rows = []
    for pattern in patterns:
        found = [exact[pattern]] if pattern in exact else []
        found = found or [row for row in exact.values() if row.name.startswith(pattern)]
        if not found and pattern != BANDWIDTH:
            sys.exit(f"no row is called {pattern!r}; there are {', '.join([*exact, BANDWIDTH])}")
        rows += [row for row in found if row not in rows]
    return rows


def main() -> None:
    """Command line."""
    options = parse()
    rows = chosen_rows(options.rows)
    if options.one is not None:
        method = next(m for m in rows[0].methods if m.name == options.method)
        if method.name == LEANRANK.name:
            method.solve(rows[0].warm_up(), 0, options.cap)
        record = run_one(rows[0], method, options.one, options.cap)
        print(json.dumps(asdict(record) | {"peak": peak_memory()}))
        return
    console = Console(width=None if sys.stdout.isatty() else 160)
    saved: dict[str, list] = {"records": [], "bandwidth": []}
    for row in rows:
        records = run_row(row, options, console)
        console.print(tabulate(row, records), "")
        saved["records"] += [asdict(record) for record in records]
        save(options.json, saved)
    if options.rows is None or BANDWIDTH in options.rows:
        saved["bandwidth"], table = bandwidth.run(options.quick)
        console.print(table)
        save(options.json, saved)


def save(path: str | None, content: dict[str, list]) -> None:
    """Write what there is so far."""
    if path:
        Path(path).write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()

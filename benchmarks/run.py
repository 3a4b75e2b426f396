"""Print the benchmark table: leanrank and the reference methods side by side.

    python benchmarks/run.py [--quick] [--rows psd-exact completion-10-2] [--json FILE]
    python benchmarks/run.py --reference-seeds 0 --record      # keep what a release measures
    python benchmarks/run.py --against ../before               # with the leanrank of a checkout

CPU seconds (``time.process_time``) with one BLAS thread. Kernels are compiled before the clock
starts. leanrank is told nothing; methods marked "told" are given the true rank. Methods take turns
on each seed; seeds follow from the commit, unless the first is given.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import against
import bandwidth
import history
import numpy as np
from measuring import Record, Worker, run_one
from rich.console import Console
from rich.table import Table
from rows import LEANRANK, LIMITS, ROWS, Method, Row
from summary import goals, ratio, succeeds, summary
from threadpoolctl import threadpool_limits

BANDWIDTH = "bandwidth"


def run_row(row: Row, options: argparse.Namespace, console: Console) -> list[Record]:
    """Run all methods of a row on their seeds, in turn on each."""
    methods = [method for method in row.methods if (options.only or "") in method.name]
    for method in methods:
        if is_compared(row, method):
            method.solve(row.warm_up(), 0, options.cap)
    records: list[Record] = []
    for number, seed in enumerate(seeds(row, options)):
        for method in methods[:: -1 if number % 2 else 1]:
            if number < seed_count(row, method, options):
                with console.status(f"{row.name}: {method.name}, seed {seed}"):
                    records.append(run(row, method, seed, options.cap))
    return records


def is_compared(row: Row, method: Method) -> bool:
    """Whether it is leanrank or the method that its time is compared with."""
    return method.name in (LEANRANK.name, row.reference.name)


def run(row: Row, method: Method, seed: int, cap: float) -> Record:
    """Measure a method, its memory in another process, that does nothing else."""
    record = run_one(row, method, seed, cap)
    if not row.measure_memory:
        return record
    with Worker(row, method, cap) as worker:
        alone = worker.run(seed)
    return replace(record, peak=alone.peak, memory=alone.memory)


def seeds(row: Row, options: argparse.Namespace) -> range:
    """The seeds of leanrank and of the method that its time is compared with."""
    count = options.seeds or (1 if options.quick else row.seeds)
    return range(options.first, options.first + count)


def seed_count(row: Row, method: Method, options: argparse.Namespace) -> int:
    """How many of the seeds a method runs on."""
    mine = len(seeds(row, options))
    if is_compared(row, method):
        return mine
    if options.reference_seeds is not None:
        return min(mine, options.reference_seeds)
    return min(mine, 1 if method.slow else 3)


def tabulate(row: Row, records: list[Record]) -> Table:
    """One line for each method."""
    found = summary(row, records)
    told = "; ".join(goals(row, found))
    if "ratio" in found:
        told = (
            f"CPU over {row.reference.name}: median {found['ratio']:.2f}, worst "
            f"{found['ratio_worst']:.2f}\ngoals, rank unknown: {told}"
        )
    table = Table(
        title=f"{row.name}: {row.title}; seed {records[0].seed} and on",
        caption=told,
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
        table.add_column("/ matrices", justify="right")
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
        cells.append(f"{max(r.memory for r in mine):.2f}")
    notes = Counter(r.note for r in mine if r.note)
    return [*cells, ", ".join(f"{note} ({n}x)" for note, n in notes.items())]


def parse() -> argparse.Namespace:
    """Read the command line."""
    names = [row.name for row in (*ROWS, *LIMITS)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rows", nargs="*", metavar="ROW", help=f"of {', '.join(names)}; or a prefix"
    )
    parser.add_argument("--seeds", type=int, help="seeds per row, instead of the row's own number")
    parser.add_argument(
        "--first", type=int, metavar="SEED", help="the first; by default one that is the commit's"
    )
    parser.add_argument(
        "--reference-seeds", type=int, help="seeds for other references (3, slow: 1)"
    )
    parser.add_argument("--cap", type=float, default=60.0, help="CPU s a reference may take")
    parser.add_argument("--quick", action="store_true", help="one seed, references capped at 5 s")
    parser.add_argument("--only", help="methods whose name contains this")
    parser.add_argument("--json", metavar="FILE", help="write all records")
    parser.add_argument(
        "--against", type=Path, metavar="PATH", help="a checkout: leanrank there and here, in turn"
    )
    parser.add_argument("--record", action="store_true", help="append to benchmarks/history.jsonl")
    options = parser.parse_args()
    if options.quick:
        options.cap = min(options.cap, 5.0)
    if options.first is None:
        options.first = history.first_seed()
    if options.record and (options.only or options.against):
        parser.error("--record keeps whole rows: it goes with neither --only nor --against")
    if options.against and not (options.against / "src" / "leanrank").is_dir():
        parser.error(f"--against takes a checkout; {options.against} has no src/leanrank")
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
    console = Console(width=None if sys.stdout.isatty() else 160)
    if options.against:
        run_against(rows, options, console)
        return
    try:
        origin = history.origin() if options.record else {}
    except RuntimeError as error:
        sys.exit(str(error))
    saved: dict[str, list] = {"records": [], "bandwidth": []}
    for row in rows:
        records = run_row(row, options, console)
        if not records:
            continue
        console.print(tabulate(row, records), "")
        saved["records"] += [asdict(record) for record in records]
        save(options.json, saved)
        if options.record:
            history.append([{**origin, **to_keep(row, records)}])
    if options.rows is None or BANDWIDTH in options.rows:
        saved["bandwidth"], table = bandwidth.run(options.quick)
        console.print(table)
        save(options.json, saved)


def to_keep(row: Row, records: list[Record]) -> dict[str, Any]:
    """What the history keeps of a row."""
    mine = [r for r in records if r.method == LEANRANK.name]
    solved = sum(succeeds(row, r, records) for r in mine)
    told = {"row": row.name, "first": min(r.seed for r in mine), "seeds": len(mine)}
    quantities = {name: float(f"{x:.4g}") for name, x in summary(row, records).items()}
    return told | {"solved": solved, **quantities}


def run_against(rows: list[Row], options: argparse.Namespace, console: Console) -> None:
    """Compare leanrank with that of another checkout."""
    table = against.empty_table(options.against)
    saved: dict[str, list] = {"before": [], "after": []}
    for row in rows:
        with console.status(f"{row.name}: before and after"):
            pair = against.compare(row, seeds(row, options), options.against, options.cap)
        table.add_row(*against.compared(row, *pair))
        for name, records in zip(saved, pair, strict=True):
            saved[name] += [asdict(record) for record in records]
        save(options.json, saved)
    console.print(table)


def save(path: str | None, content: dict[str, list]) -> None:
    """Write what there is so far."""
    if path:
        Path(path).write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()

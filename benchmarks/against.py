"""leanrank of two checkouts on the same instances, in turn: what a change gains or costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from measuring import Record, Worker
from rich.table import Table
from rows import LEANRANK, Row
from summary import paired, succeeds

__all__ = ["compare", "compared", "empty_table"]

QUANTITIES = {"seconds": "CPU s", "passes": "passes", "error": "error"}


def compare(
    row: Row, seeds: Iterable[int], before: Path, cap: float
) -> tuple[list[Record], list[Record]]:
    """Records of another checkout and of this one, each in a process of its own, seed by seed.

    Which of them comes first changes with every seed.
    """
    method = next(m for m in row.methods if m.name == LEANRANK.name)
    old: list[Record] = []
    new: list[Record] = []
    with Worker(row, method, cap, before) as other, Worker(row, method, cap) as mine:
        for number, seed in enumerate(seeds):
            turns = [(other, old), (mine, new)]
            for worker, records in turns[:: -1 if number % 2 else 1]:
                records.append(worker.run(seed))
    return old, new


def empty_table(before: Path) -> Table:
    """A table for the rows, of medians and of ratios seed by seed."""
    table = Table(
        title=f"against {before}: median before and after; median and largest ratio of a seed",
        title_justify="left",
    )
    for name in ("row", "seeds", "solved", *QUANTITIES.values()):
        table.add_column(name, justify="left" if name == "row" else "right")
    return table


def compared(row: Row, old: Sequence[Record], new: Sequence[Record]) -> list[str]:
    """The cells of a row. Without its oracle, what is solved is told only where none is asked."""
    cells = [row.name, str(len(new))]
    solved = [sum(succeeds(row, r, records) for r in records) for records in (old, new)]
    cells.append("" if row.oracle else "{} → {}".format(*solved))
    pairs = paired(new, old)
    for quantity in QUANTITIES:
        after, before = np.array([[getattr(r, quantity) for r in pair] for pair in pairs]).T
        with np.errstate(divide="ignore"):  # an error of zero, that is no longer one
            ratios = np.divide(after, before, out=np.ones_like(after), where=after != before)
        cells.append(
            f"{np.median(before):.3g} → {np.median(after):.3g}: "
            f"{np.median(ratios):.2f}, {np.max(ratios):.2f}"
        )
    return cells

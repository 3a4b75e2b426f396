"""What the runs on a row come to: leanrank beside the reference that is told the rank."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from measuring import Record
from rows import LEANRANK, Row

__all__ = ["LABELS", "goals", "paired", "ratio", "spread", "succeeds", "summary"]

LABELS = {
    "ratio": "CPU ratio",
    "ratio_worst": "CPU ratio, worst",
    "seconds": "CPU s",
    "seconds_worst": "CPU s, worst",
    "seconds_spread": "CPU s, worst / median",
    "passes": "passes",
    "passes_worst": "passes, worst",
    "error": "error",
    "error_worst": "error, worst",
    "unsolved": "unsolved",
    "memory": "memory / matrices",
    "peak": "peak GB",
}
"""Quantities of leanrank's runs, medians over the seeds unless another is named.

A ratio is that of the CPU time to the reference's on the same instance, in the same process.
"""


def summary(row: Row, records: Iterable[Record]) -> dict[str, float]:
    """The quantities of a row; those that were not measured are left out."""
    records = list(records)
    mine = [r for r in records if r.method == LEANRANK.name]
    told = [r for r in records if r.method == row.reference.name]
    found = spread("ratio", [a.seconds / b.seconds for a, b in paired(mine, told)])
    for quantity in ("seconds", "passes", "error"):
        found |= spread(quantity, [getattr(r, quantity) for r in mine])
    if mine:
        found["seconds_spread"] = found["seconds_worst"] / found["seconds"]
        found["unsolved"] = sum(not succeeds(row, r, records) for r in mine) / len(mine)
    if mine and row.measure_memory:
        found |= {"memory": max(r.memory for r in mine), "peak": max(r.peak for r in mine) / 1e9}
    return found


def spread(quantity: str, values: list[float]) -> dict[str, float]:
    """Median and worst of what should be small; nothing of nothing."""
    if not values:
        return {}
    return {quantity: float(np.median(values)), f"{quantity}_worst": float(np.max(values))}


def paired(mine: Iterable[Record], others: Iterable[Record]) -> list[tuple[Record, Record]]:
    """Records of the same seed side by side, as long as both have them.

    Raises
    ------
    ValueError
        If a seed has made two instances.
    """
    by_seed = {record.seed: record for record in others}
    pairs = [(record, by_seed[record.seed]) for record in mine if record.seed in by_seed]
    for one, other in pairs:
        if one.instance != other.instance:
            raise ValueError(f"{one.row}: seed {one.seed} made two instances, which cannot compare")
    return pairs


def ratio(row: Row, record: Record, records: Iterable[Record]) -> float:
    """Error over the oracle's on the same instance."""
    oracle = [other for other in records if other.method == row.oracle]
    return next((a.error / b.error for a, b in paired([record], oracle)), math.nan)


def succeeds(row: Row, record: Record, records: Iterable[Record]) -> bool:
    """Whether error and rank are what the row asks for."""
    error = ratio(row, record, records) if row.oracle else record.error
    return error <= row.tolerance and (record.rank == record.true_rank or not row.exact_rank)


def goals(row: Row, found: Mapping[str, float]) -> list[str]:
    """A sentence for each goal of a row, in markup: reached, missed or not measured."""
    told = []
    for quantity, most in row.goals.items():
        value = found.get(quantity, math.nan)
        verdict = "[red]missed[/red]"
        if math.isnan(value):
            verdict = "not measured"
        elif value <= most:
            verdict = "[green]reached[/green]"
        told.append(f"{LABELS[quantity]} {value:.3g} (at most {most:g}): {verdict}")
    return told

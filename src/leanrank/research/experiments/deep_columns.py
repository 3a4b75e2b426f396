r"""Theorem E.2 of Wang and Jacot: what takes SGD to low rank is that some columns are not drawn.

The event :math:`A_T`: for T steps all entries that are drawn are of the same r columns (or rows).
Here it is made to happen, to networks that are of higher rank, at learning rate and ridge of the
figures; then SGD goes on as usual.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research.deep import DeepFactors, Phase, annealing, train, waiting_times
from leanrank.research.experiments import _deep
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Tolerance,
    Trial,
    Verdict,
)
from leanrank.research.theory import column_event_steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_AFTER = 1000
"""Steps of usual SGD after the event, in which a jump that has begun is done."""
_GONE = 1e-6
_SIDES = ("columns", "rows")


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Every size with every lower rank, by columns and by rows; and SGD left to itself."""
    if len({len(p[name]) for name in ("sizes", "learning_rates", "ridges")}) != 1:
        raise ValueError("sizes, learning_rates and ridges must be as many as each other")
    names = ("epsilon", "depth", "width", "alpha", "excess", "balance", "bound", "shares", "runs")
    common = {k: p[k] for k in (*names, "steps")}
    settings = zip(p["sizes"], p["learning_rates"], p["ridges"], strict=True)
    return [
        {"size": n, "learning_rate": rate, "ridge": ridge, "rank": r, "side": side, **common}
        for n, rate, ridge in settings
        for r in range(1, n)
        for side in _SIDES
    ]


def _drawn(size: int, rank: int, side: str) -> np.ndarray:
    """Entries of the columns or rows with the most of them."""
    rows, cols = np.tril_indices(size)
    return cols < rank if side == "columns" else rows >= size - rank


def _event_steps(t: Mapping[str, Any]) -> int:
    """What the theorem asks for."""
    constants = {k: t[k] for k in ("bound", "alpha", "excess")}
    others = max(t["width"], t["size"]) - t["rank"]
    return math.ceil(column_event_steps(t["learning_rate"], t["ridge"], others=others, **constants))


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Networks after the event of several lengths, and after SGD has gone on from there."""
    problem = _deep.observed(t["epsilon"], t["size"])
    drawn = _drawn(t["size"], t["rank"], t["side"])
    options: dict[str, Any] = {"threads": 1, "random_state": rng}
    settled = Phase(4000, 0.03, t["ridge"])
    nets = _deep.starts(t["runs"], t["depth"], t["width"], rng, size=t["size"])
    begun = train(problem, nets, [settled], every=settled.steps, **options)
    higher = begun.ratios(t["rank"])[-1] > 0.02
    nets = [net for net, counts in zip(begun.networks, higher, strict=True) if counts]
    times = [max(round(share * _event_steps(t)), 1) for share in t["shares"]]
    found: dict[str, Any] = {"times": np.array(times), "higher": len(nets)}
    found["share_drawn"] = float(drawn.mean())
    names = ("inside", "after", "margin")
    if not nets:
        return found | {name: np.zeros((len(times), 0)) for name in names}
    rows: dict[str, list[Any]] = {name: [] for name in names}
    for steps in times:
        phase = Phase(steps, t["learning_rate"], t["ridge"])
        ends = train(_deep.only(problem, drawn), nets, [phase], every=steps, **options).networks
        rows["inside"].append([_inside(net, t) for net in ends])
        rows["margin"].append(
            [_margin(old, new, phase, t) for old, new in zip(nets, ends, strict=True)]
        )
        usual = Phase(_AFTER, t["learning_rate"], t["ridge"])
        later = train(problem, ends, [usual], every=_AFTER, **options)
        rows["after"].append(later.ratios(t["rank"])[-1] < _GONE)
    found |= {name: np.array(values) for name, values in rows.items()}
    if t["size"] == 2 and t["side"] == "columns":
        alone = annealing(t["steps"], 0, learning_rate=t["learning_rate"], ridge=t["ridge"])
        fresh = _deep.starts(t["runs"], t["depth"], t["width"], rng)
        found["jumps"] = train(problem, fresh, alone, every=50, until_rank=1, **options).jumps()
    return found


def _inside(network: DeepFactors, t: Trial) -> bool:
    constants = {k: t[k] for k in ("balance", "excess", "alpha", "bound")}
    return network.is_in_rank_set(t["rank"], **constants)


def _margin(old: DeepFactors, new: DeepFactors, phase: Phase, t: Trial) -> float:
    """Singular value r + 1 of the layer at that side, over what the ridge leaves of the norm."""
    layer = 0 if t["side"] == "columns" else -1
    left = np.linalg.svd(new.layers[layer], compute_uv=False)[t["rank"]]
    decayed = (1.0 - phase.learning_rate * phase.ridge) ** phase.steps
    return float(left / (decayed * np.linalg.norm(old.layers[layer], 2)))


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether after the steps of the theorem all are in the set, and what less does."""
    numbers: dict[str, Any] = {}
    parts = []
    holds = True
    largest = 0.0
    for row in results:
        name = f"{row['size']} x {row['size']}, rank {row['rank']}, {row['side']}"
        times = np.asarray(row["times"])
        if not row["higher"]:
            holds = False
            parts.append(f"{name}: no network of higher rank")
            continue
        inside, after = (np.mean(row[key], axis=1) for key in ("inside", "after"))
        enough = times >= _event_steps(row)
        holds &= bool(enough.any() and np.all(inside[enough] == 1.0))
        largest = max(largest, float(np.max(row["margin"])))
        half = _first(times, after >= 0.5)
        numbers |= {
            f"networks: {name}": row["higher"],
            f"steps: {name}": times,
            f"in the set: {name}": inside,
            f"of that rank later: {name}": after,
        }
        parts.append(
            f"{name}: of {row['higher']} networks {inside[-1]:.0%} are in the set after "
            f"{times[-1]} steps (the theorem asks for {_event_steps(row)}), and after {half:.0f} "
            "steps half of them go there by themselves"
        )
    numbers["largest_ratio_to_decay"] = largest
    sentence = "; ".join(parts) + (
        f"; singular value r + 1 of the outer layer is at most {largest:.3f} times what the ridge "
        "leaves of its norm"
    )
    holds &= largest <= 1.0 + 1e-9
    alone = [row for row in results if np.size(row.get("jumps", ())) > 0]
    for row in alone:
        waits = waiting_times(row["jumps"], p["steps"] + 500, since=500)
        event = -_event_steps(row) * math.log10(row["share_drawn"])
        numbers |= {"mean_wait": waits.mean, "log10_wait_for_the_event": event}
        sentence += (
            f". Left to itself SGD on the 2 x 2 problem jumps after {waits.mean:.0f} +- "
            f"{waits.error:.0f} steps in the mean, where the event of the theorem is to be waited "
            f"for some 10^{event:.0f}"
        )
    return Verdict(Status.HOLDS if holds else Status.FAILS, sentence, numbers=numbers)


def _first(times: np.ndarray, good: np.ndarray) -> float:
    return float(times[np.argmax(good)]) if good.any() else math.inf


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Shares in the set, and of that rank later, over the length of the event."""
    from leanrank.research.experiments import _drawing as look

    figure, axes = look.panels(
        len(p["sizes"]),
        "Theorem E.2: after T steps on entries of r columns (solid) or rows (dashed), and "
        f"{_AFTER} steps on all entries later",
        width=5.4,
        height=3.6,
        sharey=True,
    )
    for ax, size in zip(axes, p["sizes"], strict=True):
        rows = [row for row in results.where(size=size) if row["higher"]]
        for row in rows:
            colour = look.COLOURS[row["rank"] - 1]
            columns = row["side"] == "columns"  # lines may coincide
            dashes: dict[str, Any] = (
                {"ls": "-", "lw": 6.5 - 1.7 * row["rank"]} if columns else {"ls": "--", "lw": 1}
            )
            for name, alpha, text in (
                ("inside", 1.0, "in $B_{}$"),
                ("after", 0.45, "of rank {} later"),
            ):
                ax.plot(
                    row["times"],
                    np.mean(row[name], axis=1),
                    color=colour,
                    alpha=alpha,
                    label=text.format(row["rank"]) if columns else None,
                    **dashes,
                )
            ax.axvline(_event_steps(row), color=colour, lw=0.8, ls=":")
        ax.set(xscale="log", ylim=(-0.03, 1.05), xlabel="length T of the event, steps")
        look.heading(ax, f"{size} x {size} (dotted: what the theorem asks for)")
        look.legend(ax, loc="center left")
    axes[0].set_ylabel("share of networks")
    return figure


experiment = Experiment(
    name="deep-columns",
    title="Entries of some columns alone, for a while",
    reference="Wang and Jacot (2024), Theorems B.2 and E.2",
    claim="Where for log(2 K (n - r) C / (alpha eps2)) / (2 eta lambda) steps only entries of r "
    "columns (or rows) are drawn, SGD is in the set B_r, whatever the network was.",
    criterion="HOLDS if all networks are in the set after as many steps, and singular value r + 1 "
    "of the outer layer never exceeds (1 - eta lambda)^T times its norm at the start.",
    parameters={
        "epsilon": Parameter(0.25, None, "below the diagonal", above=0),
        "sizes": Parameter((2, 4), None, "of the matrix", least=2),
        "learning_rates": Parameter((0.2, 0.2), None, "one for each size", above=0),
        "ridges": Parameter((0.1, 0.015), None, "one for each size", above=0),
        "depth": Parameter(3, None, "layers", least=3),
        "width": Parameter(20, 6, "of the hidden layers", least=4),
        "shares": Parameter(
            (0.02, 0.04, 0.06, 0.08, 0.1, 0.14, 0.2, 0.3, 0.45, 0.7, 1.0),
            (0.05, 0.1, 0.2, 1.0),
            "lengths of the event, in units of what the theorem asks for, increasing",
            above=0,
        ),
        "steps": Parameter(40_000, 20_000, "to wait for a jump that comes by itself", least=1),
        "balance": Parameter(0.25, None, "eps1, for the squared balance error", above=0),
        "excess": Parameter(0.01, None, "eps2, for the approximate rank", above=0),
        "alpha": Parameter(0.05, None, "squared singular value that counts in full", above=0),
        "bound": Parameter(4.0, None, "C, for squared norms of layers", above=0),
        "runs": Parameter(40, 10, "networks", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
    tolerances={
        "of that rank later*": Tolerance(0.4),
        "in the set*": Tolerance(0.3),
        "mean_wait": Tolerance(1e-6, 0.6),
    },
)

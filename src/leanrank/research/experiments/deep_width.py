r"""Whether width and initialisation matter for jumps: a question of ours about Wang and Jacot.

Waiting times are compared from a while after the warm-up on: jumps have no memory, and narrow
networks may start with hardly more than one direction, which fall to rank one at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from leanrank.research.deep import WaitingTimes, annealing, train, waiting_times
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_USUAL = "linear"
_WARM_UP = 500
_FACTOR, _UNLIKELY, _UNSTABLE = 2.0, 0.01, 0.1
"""Of mean waits; of them being the same; of runs that diverge."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Ten runs each: every width, and every other distribution at the largest width."""
    if p["since"] > p["steps"] + _WARM_UP:
        raise ValueError(f"since must be at most steps + {_WARM_UP}, got {p['since']}")
    common = {k: p[k] for k in ("epsilon", "depth", "steps", "learning_rate", "ridge")}
    widest = max(p["widths"])
    groups = [(width, _USUAL) for width in p["widths"]]
    groups += [(widest, name) for name in p["distributions"] if name != _USUAL]
    return [
        {
            "group": f"{name}, width {width}",
            "width": width,
            "distribution": name,
            "first": i * _deep.CHUNK,
            "count": count,
            **common,
        }
        for width, name in groups
        for i, count in enumerate(_deep.chunks(p["runs"]))
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """When networks jump, and which diverge, with and without a warm-up."""
    problem = _deep.observed(t["epsilon"])
    nets = _deep.starts(t["count"], t["depth"], t["width"], rng, distribution=t["distribution"])
    options = {"learning_rate": t["learning_rate"], "ridge": t["ridge"]}
    warm = train(
        problem,
        nets,
        annealing(t["steps"], 0, **options),
        every=50,
        until_rank=1,
        threads=1,
        random_state=rng,
    )
    cold = train(
        problem,
        nets,
        annealing(1000, 0, warm_up_steps=0, **options),
        every=1000,
        threads=1,
        random_state=rng,
    )
    return {
        "jumps": warm.jumps(),
        "diverged": _deep.diverged(warm),
        "diverged_cold": _deep.diverged(cold),
    }


def _waits(p: Mapping[str, Any], rows: Results) -> WaitingTimes:
    jumps, diverged = (_deep.joined(rows, name) for name in ("jumps", "diverged"))
    return waiting_times(jumps[~diverged], p["steps"] + _WARM_UP, since=p["since"])


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Compare mean waiting times of the groups that do not diverge."""
    parts, unstable, means, waits = [], [], [], []
    numbers: dict[str, Any] = {}
    for group in results.values("group"):
        rows = results.where(group=group)
        jumps, warm, cold = (
            _deep.joined(rows, name) for name in ("jumps", "diverged", "diverged_cold")
        )
        numbers |= {
            f"diverged: {group}": int(warm.sum()),
            f"diverged cold: {group}": int(cold.sum()),
        }
        text = f"{group}: {warm.sum()} of {warm.size} diverge ({cold.sum()} without a warm-up)"
        found = _waits(p, rows)
        if warm.mean() > _UNSTABLE or not found.times.size:
            unstable.append(rows.values("distribution")[0])
        else:
            before = int(np.sum((jumps >= 0) & (jumps <= p["since"])))
            means.append(found.mean)
            waits.append(np.append(found.times, [math.inf] * found.waiting))
            numbers |= {f"mean wait: {group}": found.mean, f"before: {group}": before}
            text += (
                f", mean wait {found.mean:.0f} +- {found.error:.0f} from step "
                f"{p['since']} on, {before} jump before"
            )
        parts.append(text)
    if len(means) < 2:
        return Verdict(Status.FAILS, "; ".join(parts), numbers=numbers)
    factor = max(means) / min(means)
    chance = float(stats.kruskal(*waits).pvalue)
    numbers |= {"factor": factor, "p_value": chance}
    measured = (
        "; ".join(parts) + f"; the longest mean wait is {factor:.2f} times the shortest (p = "
        f"{chance:.2g} that all are the same)"
    )
    if factor > _FACTOR:
        return Verdict(Status.FAILS, measured, numbers=numbers)
    conditions = []
    if unstable:
        conditions.append(
            f"a start that does not diverge under this warm-up, as {' and '.join(unstable)} did"
        )
    if chance < _UNLIKELY:
        conditions.append(f"a factor of {factor:.2g} in the mean wait")
    if conditions:
        return Verdict(Status.HOLDS_WITH, measured, " and ".join(conditions), numbers)
    return Verdict(Status.HOLDS, measured, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Share of runs that have jumped, by width and by initialisation."""
    from leanrank.research.experiments import _drawing as look

    figure, axes = look.panels(
        2, "Jumps at several widths and from several starts", width=5.2, height=3.6
    )
    widest = max(p["widths"])
    chosen = (results.where(distribution=_USUAL), results.where(width=widest))
    for ax, rows, text in zip(axes, chosen, (_USUAL, f"width {widest}"), strict=True):
        stable = []
        for group in rows.values("group"):
            part = rows.where(group=group)
            if _deep.joined(part, "diverged").mean() <= _UNSTABLE:
                stable.append((group, _deep.joined(part, "jumps")))
        for colour, (group, jumps) in zip(look.COLOURS, stable, strict=False):
            _deep.share_jumped(ax, jumps, p["steps"] + _WARM_UP, color=colour, label=group)
        ax.set_xlim(0, 25_000)
        look.heading(ax, text)
        look.legend(ax, loc="lower right")
    return figure


experiment = Experiment(
    name="deep-width",
    title="Jumps over width and initialisation",
    reference="ours, about the experiments of Wang and Jacot (2024), who have one width and start",
    claim="Neither the width of a network nor its initialisation matters for its jumps.",
    criterion=f"HOLDS if no mean wait is more than {_FACTOR:g} times another and a test of "
    f"Kruskal and Wallis gives at least {_UNLIKELY:g} to all being the same; HOLDS with a start "
    f"that does not diverge, if more than {_UNSTABLE:.0%} of the runs of some do, and with the "
    "factor, if the test finds one.",
    tolerances={
        "p_value": Tolerance(1.0),
        "factor": Tolerance(0.7),
        "mean wait*": Tolerance(1e-6, 0.6),
        "*": Tolerance(12.0),
    },
    parameters={
        "epsilon": Parameter(0.25, None, "the small observed entry", above=0),
        "depth": Parameter(3, None, "layers", least=2),
        "widths": Parameter((5, 20, 100), (5, 20), "of the hidden layers", least=1),
        "distributions": Parameter(
            ("linear", "width", "xavier", "lecun", "he"),
            None,
            "initialisations, at the largest width",
            choices=("linear", "width", "xavier", "lecun", "he"),
        ),
        "steps": Parameter(40_000, None, "steps under noise", least=1),
        "since": Parameter(1500, None, "step from which waiting times count", least=0),
        "learning_rate": Parameter(0.2, None, "under noise", above=0),
        "ridge": Parameter(0.1, None, "under noise", above=0),
        "runs": Parameter(200, 40, "networks of each kind", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

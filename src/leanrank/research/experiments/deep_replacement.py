r"""Sampling without replacement: the limitation that Wang and Jacot name in Section 3.

A jump takes the same few entries many times in a row, which epochs do not allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research.deep import annealing, train
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

_NEARLY = 0.9
_SAMPLINGS = {
    "with": "with replacement",
    "without": "without replacement",
    "pairs": "two at a time, with replacement",
    "all": "all entries",
}


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Ten runs each, for every way to sample; the same starts for all."""
    common = {k: p[k] for k in ("epsilon", "depth", "width", "steps", "learning_rate", "ridge")}
    return [
        {"sampling": sampling, "first": i * _deep.CHUNK, "count": count, **common, "stream": i}
        for sampling in _SAMPLINGS
        for i, count in enumerate(_deep.chunks(p["runs"]))
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """When networks jump."""
    nets = _deep.starts(t["count"], t["depth"], t["width"], rng)
    training = train(
        _deep.observed(t["epsilon"]),
        nets,
        annealing(t["steps"], 0, learning_rate=t["learning_rate"], ridge=t["ridge"]),
        batch_size={"with": 1, "without": 1, "pairs": 2, "all": None}[t["sampling"]],
        replacement=t["sampling"] != "without",
        every=50,
        until_rank=1,
        threads=1,
        random_state=rng,
    )
    return {"jumps": training.jumps()}


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether jumps come with replacement and hardly without."""
    parts: list[str] = []
    shares: dict[str, float] = {}
    numbers: dict[str, Any] = {}
    for sampling, words in _SAMPLINGS.items():
        jumps = _deep.joined(results.where(sampling=sampling), "jumps")
        jumped = int(np.sum(jumps >= 0))
        shares[sampling] = jumped / jumps.size
        numbers |= {f"{sampling}_jumped": jumped, f"{sampling}_runs": jumps.size}
        parts.append(f"{words}: {_deep.interval(jumped, jumps.size)} jump")
    measured = f"within {p['steps']} steps, " + "; ".join(parts)
    holds = shares["with"] >= _NEARLY and shares["without"] <= 1.0 - _NEARLY
    return Verdict(Status.HOLDS if holds else Status.FAILS, measured, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Share of runs that have jumped, over steps."""
    from leanrank.research.experiments import _drawing as look

    figure, (ax,) = look.panels(1, "Jumps with and without replacement", width=6.2, height=3.6)
    for i, (sampling, words) in enumerate(_SAMPLINGS.items()):
        jumps = _deep.joined(results.where(sampling=sampling), "jumps")
        look_of_line = {"color": look.COLOURS[i], "lw": 4.5 - 1.2 * i}  # lines may coincide
        _deep.share_jumped(ax, jumps, p["steps"] + 500, label=words, **look_of_line)
    look.legend(ax, loc="center right")
    return figure


experiment = Experiment(
    name="deep-replacement",
    title="Jumps with and without replacement",
    reference="Wang and Jacot (2024), Section 3",
    claim="Jumps need entries to be drawn independently: where they are shuffled and dealt out, "
    "each once in an epoch, there may be none.",
    criterion=f"HOLDS if at least {_NEARLY:.0%} of the runs with replacement jump, and at most "
    f"{1.0 - _NEARLY:.0%} of those without.",
    tolerances={"*_jumped": Tolerance(2.0)},
    parameters={
        "epsilon": Parameter(0.25, None, "the small observed entry", above=0),
        "depth": Parameter(3, None, "layers", least=2),
        "width": Parameter(100, 20, "of the hidden layers", least=1),
        "steps": Parameter(40_000, 30_000, "steps under noise", least=1),
        "learning_rate": Parameter(0.2, None, "under noise", above=0),
        "ridge": Parameter(0.1, None, "under noise", above=0),
        "runs": Parameter(60, 20, "networks for each way to sample", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

r"""Figure 2 of Wang and Jacot: a deeper network jumps where a shallower one does not.

Noise goes on for longer than theirs, to see whether depth 3 jumps later; what their schedule ends
with is found from copies of the networks at its end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research.deep import Phase, annealing, measured, offshoots, train
from leanrank.research.experiments import _deep
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_WARM_UP = 500
_RECORDED = 50
_SUCCEEDS = 0.1
_NEARLY = 0.95
"""The share of runs that is all of them but for chance; the claim is on those that were shown."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Ten runs each, for every depth."""
    if len(set(p["depths"])) < 2:
        raise ValueError(f"depths must be at least two, to compare, got {p['depths']}")
    names = ("epsilon", "width", "steps", "noisy_steps", "learning_rate", "ridge")
    common = {k: p[k] for k in (*names, "quiet_steps", "quiet_learning_rate", "quiet_ridge")}
    return [
        {"depth": depth, "first": i * _deep.CHUNK, "count": count, **common}
        for depth in p["depths"]
        for i, count in enumerate(_deep.chunks(p["runs"]))
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """When networks jump, and the test loss where the paper's schedule ends."""
    problem = _deep.observed(t["epsilon"])
    end = round((t["noisy_steps"] + _WARM_UP) / _RECORDED) * _RECORDED
    schedule = annealing(
        max(t["steps"], end - _WARM_UP), 0, learning_rate=t["learning_rate"], ridge=t["ridge"]
    )
    nets = _deep.starts(t["count"], t["depth"], t["width"], rng)
    training = train(
        problem, nets, schedule, every=_RECORDED, keep=[end], threads=1, random_state=rng
    )
    quiet = Phase(t["quiet_steps"], t["quiet_learning_rate"], t["quiet_ridge"])
    ends = offshoots(problem, training.kept, [quiet], threads=1, random_state=rng)
    return {
        "jumps": training.jumps(),
        "test": measured(ends, _deep.test_loss(t["epsilon"]))[0],
        "steps": training.steps,
        "ratios": training.ratios(),
    }


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether every depth but the least jumps within the paper's steps."""
    end = p["noisy_steps"] + _WARM_UP
    numbers: dict[str, Any] = {}
    parts, shares, late = [], [], []
    for depth in sorted(set(p["depths"])):
        rows = results.where(depth=depth)
        jumps, test = (_deep.joined(rows, name) for name in ("jumps", "test"))
        times = np.sort(np.where(jumps < 0, np.inf, jumps))
        within, later = int(np.sum(times <= end)), int(np.sum(jumps >= 0))
        nearly = times[math.ceil(_NEARLY * times.size) - 1]
        last = float(times[later - 1]) if later else np.inf
        solved = int(np.sum(test < _SUCCEEDS))
        shares.append((within / jumps.size, solved / jumps.size))
        best = _deep.predicted_loss(p["epsilon"], depth, p["quiet_ridge"], rank=1)
        numbers |= {
            f"jumped_{depth}": within,
            f"jumped_later_{depth}": later,
            f"solved_{depth}": solved,
            f"median_jump_{depth}": float(np.median(times)),
            f"nearly_all_jumped_{depth}": float(nearly),
            f"last_jump_{depth}": last,
            f"test_loss_{depth}": _deep.median(test),
            f"test_loss_predicted_{depth}": best,
        }
        when = f", the median at {np.median(times):.0f}" if later > jumps.size / 2 else ""
        when += f", the last at {last:.0f}" if later else ""
        parts.append(
            f"depth {depth}: {_deep.interval(within, jumps.size)} jump within {end} steps, {later} "
            f"within {p['steps'] + _WARM_UP}{when}; {solved} have found the missing entry at the "
            f"end, median test loss {_deep.median(test):.2g}, {best:.2g} for the minimiser of rank "
            "one"
        )
        if len(shares) > 1 and min(shares[-1]) < _NEARLY:
            until = f"within {nearly:.0f} steps" if np.isfinite(nearly) else "not within any here"
            late.append(
                f"{within} of {jumps.size} runs of depth {depth} jump within {end} steps and "
                f"{solved} find the missing entry; {_NEARLY:.0%} jump {until}"
            )
    sentence = "; ".join(parts)
    shallow, deeper = shares[0], np.min(shares[1:])
    if max(shallow) > 1.0 - _NEARLY or deeper < 0.6:
        return Verdict(Status.FAILS, sentence, numbers=numbers)
    if deeper < _NEARLY:
        return Verdict(Status.HOLDS_WITH, sentence, "; ".join(late), numbers)
    return Verdict(Status.HOLDS, sentence, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Ratios of singular values of five networks of each depth; all jumps; where they end."""
    from leanrank.research.experiments import _drawing as look

    end = p["noisy_steps"] + _WARM_UP
    figure, (ratios, waits, tests) = look.panels(
        3, f"Figure 2: jumps of networks of different depth (epsilon = {p['epsilon']:g})", width=4.4
    )
    for i, (colour, depth) in enumerate(zip(look.COLOURS, p["depths"], strict=False)):
        rows = results.where(depth=depth)
        first = next(iter(rows))
        seen = first["steps"] <= end
        lines = ratios.plot(first["steps"][seen], first["ratios"][seen, :5], color=colour, lw=0.9)
        lines[0].set_label(f"depth {depth}")
        jumps, test = (_deep.joined(rows, name) for name in ("jumps", "test"))
        _deep.share_jumped(
            waits, jumps, p["steps"] + _WARM_UP, color=colour, label=f"depth {depth}"
        )
        where = i + np.linspace(-0.25, 0.25, test.size)
        tests.plot(where, test, ".", color=colour)
    ratios.set(yscale="log", ylim=(1e-18, 3), xlabel="SGD steps", ylabel="$s_2 / s_1$")
    look.heading(ratios, "Up to five networks of each depth")
    look.legend(ratios, loc="center right")
    waits.axvline(end, color=look.PALE, lw=1)
    look.heading(waits, "All networks")
    look.legend(waits, loc="center right")
    tests.axhline(_SUCCEEDS, color=look.INK, lw=0.8, ls=":")
    tests.set(yscale="log", ylabel="test loss at the end", xlabel="depth")
    tests.set_xticks(range(len(p["depths"])), [str(depth) for depth in p["depths"]])
    look.heading(tests, f"Fitted quietly after {end} steps")
    return figure


experiment = Experiment(
    name="deep-fig2",
    title="Jumps of networks of different depth",
    reference="Wang and Jacot (2024), Figure 2",
    claim="At epsilon = 0.1 networks of depth 3 do not jump within 5000 steps, those of depth 4 "
    "do.",
    parameters={
        "epsilon": Parameter(0.1, None, "the small observed entry", above=0),
        "depths": Parameter((3, 4), None, "layers", least=3),
        "width": Parameter(100, 20, "of the hidden layers", least=1),
        "steps": Parameter(40_000, None, "steps under noise in all", least=1),
        "noisy_steps": Parameter(4500, None, "of these in the paper's schedule", least=1),
        "learning_rate": Parameter(0.25, None, "under noise", above=0),
        "ridge": Parameter(0.1, None, "under noise", above=0),
        "quiet_steps": Parameter(8000, None, "steps of the quiet end", least=1),
        "quiet_learning_rate": Parameter(0.05, None, "at the quiet end", above=0),
        "quiet_ridge": Parameter(0.001, None, "at the quiet end", above=0),
        "runs": Parameter(60, 20, "networks of each depth", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

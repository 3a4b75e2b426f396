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
    Tolerance,
    Trial,
    Verdict,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_WARM_UP = 500
_RECORDED = 50
_SUCCEEDS = 0.1
_AT_ZERO = 1e-6
_DRAWN = 5
"""Networks of each depth in the figure, as in the paper's."""
_JUMPED = 0.02
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
        for depth in dict.fromkeys((*p["depths"], *p["more"]))
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
    options: dict[str, Any] = {"threads": 1, "random_state": rng}
    training = train(problem, nets, schedule, every=_RECORDED, keep=[end], products=True, **options)
    quiet = Phase(t["quiet_steps"], t["quiet_learning_rate"], t["quiet_ridge"])
    ends = offshoots(problem, training.kept, [quiet], **options)
    noisy = annealing(end - _WARM_UP, 0, learning_rate=t["learning_rate"], ridge=t["ridge"])
    alone = train(problem, nets, noisy, batch_size=None, every=end, **options)
    found: dict[str, Any] = {}
    if t["first"] == 0:  # five networks for the figure, to the end of the paper's schedule
        begun = [net for net in training.kept[end] if net is not None][:_DRAWN]
        if begun:
            on = train(problem, begun, [quiet], every=_RECORDED, products=True, **options)
            found = {
                "quiet_steps_seen": on.steps + end,
                "quiet_ratios": on.ratios(),
                "quiet_path": _deep.test_losses(t["epsilon"], on.products),
            }
        path = _deep.test_losses(t["epsilon"], training.products)[:, :_DRAWN]
        found |= {"path": path, "steps": training.steps, "ratios": training.ratios()[:, :_DRAWN]}
    return found | {
        "jumps": training.jumps(),
        "test": measured(ends, _deep.test_loss(t["epsilon"]))[0],
        "alone": alone.ratios()[-1],
        "at_zero": training.singular_values[-1, :, 0] < _AT_ZERO,
    }


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether every depth but the least jumps within the paper's steps."""
    end = p["noisy_steps"] + _WARM_UP
    numbers: dict[str, Any] = {}
    parts, shares, late = [], [], []
    for depth in sorted({*p["depths"], *p["more"]}):
        rows = results.where(depth=depth)
        jumps, test = (_deep.joined(rows, name) for name in ("jumps", "test"))
        times = np.sort(np.where(jumps < 0, np.inf, jumps))
        within, later = int(np.sum(times <= end)), int(np.sum(jumps >= 0))
        nearly = times[math.ceil(_NEARLY * times.size) - 1]
        last = float(times[later - 1]) if later else np.inf
        solved = int(np.sum(test < _SUCCEEDS))
        without = int(np.sum(_deep.joined(rows, "alone") < _JUMPED))
        at_zero = int(np.sum(_deep.joined(rows, "at_zero")))
        if depth in p["depths"]:
            shares.append((within / jumps.size, solved / jumps.size))
        best = _deep.predicted_loss(p["epsilon"], depth, p["quiet_ridge"], rank=1)
        numbers |= {
            f"jumped_{depth}": within,
            f"jumped_later_{depth}": later,
            f"solved_{depth}": solved,
            f"median_jump_{depth}": float(np.median(times)),
            f"nearly_all_jumped_{depth}": float(nearly),
            f"last_jump_{depth}": last,
            f"without_noise_{depth}": without,
            f"at_zero_{depth}": at_zero,
            f"test_loss_{depth}": _deep.median(test),
            f"test_loss_predicted_{depth}": best,
        }
        when = f", the median at {np.median(times):.0f}" if later > jumps.size / 2 else ""
        when += f", the last at {last:.0f}" if later else ""
        parts.append(
            f"depth {depth}: {_deep.interval(within, jumps.size)} jump within {end} steps, {later} "
            f"within {p['steps'] + _WARM_UP}{when}; by descent on all entries, without noise, "
            f"{without} within {end}; {at_zero} fall to zero; {solved} have found the missing "
            f"entry at the end, median test loss {_deep.median(test):.2g}, {best:.2g} for the "
            "minimiser of rank one"
        )
        if depth in p["depths"] and len(shares) > 1 and min(shares[-1]) < _NEARLY:
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
    """Five networks of each depth to the end of the schedule; all jumps; where they end."""
    from leanrank.research.experiments import _drawing as look

    end = p["noisy_steps"] + _WARM_UP
    figure, (losses, ratios, waits, tests) = look.panels(
        4,
        f"Figure 2: jumps of networks of different depth (epsilon = {p['epsilon']:g})",
        rows=2,
        width=5.4,
        height=3.1,
    )
    depths = list(dict.fromkeys((*p["depths"], *p["more"])))
    for i, (colour, depth) in enumerate(zip(look.COLOURS, depths, strict=False)):
        rows = results.where(depth=depth)
        first = next(iter(rows))
        if depth in p["depths"]:
            for ax, name, quiet in (
                (losses, "path", "quiet_path"),
                (ratios, "ratios", "quiet_ratios"),
            ):
                seen = first["steps"] <= end
                values = np.maximum(first[name][seen], 1e-18)
                lines = ax.plot(first["steps"][seen], values, color=colour, lw=0.9)
                lines[0].set_label(f"depth {depth}")
                if quiet in first:
                    values = np.maximum(first[quiet], 1e-18)
                    ax.plot(first["quiet_steps_seen"], values, color=colour, lw=0.9)
        jumps, test = (_deep.joined(rows, name) for name in ("jumps", "test"))
        style: dict[str, Any] = {"color": colour, "lw": 3.5 - 0.7 * i}  # lines may coincide
        _deep.share_jumped(waits, jumps, p["steps"] + _WARM_UP, label=f"depth {depth}", **style)
        where = i + np.linspace(-0.25, 0.25, test.size)
        tests.plot(where, test, ".", ms=4, color=colour)
    last = end + p["quiet_steps"]
    for ax in (losses, ratios):
        ax.axvspan(0, end, color=look.PALE, alpha=0.35, lw=0)
        ax.set(yscale="log", xlabel="SGD steps", xlim=(0, last))
    losses.set(ylabel="test loss over that of zero", ylim=(0.03, 20))
    look.heading(losses, f"Up to {_DRAWN} networks of each depth (shaded: noise)")
    look.legend(losses, loc="upper right")
    ratios.set(ylabel="$s_2 / s_1$", ylim=(5e-19, 3))
    look.heading(ratios, "The same networks")
    waits.axvline(end, color=look.PALE, lw=1)
    look.heading(waits, "All networks, under noise for longer")
    look.legend(waits, loc="center right", bbox_to_anchor=(1.0, 0.32))
    tests.axhline(_SUCCEEDS, color=look.INK, lw=0.8, ls=":")
    tests.set(yscale="log", ylabel="test loss at the end", xlabel="depth")
    tests.set_xticks(range(len(depths)), [str(depth) for depth in depths])
    look.heading(tests, f"Fitted quietly after {end} steps")
    return figure


experiment = Experiment(
    name="deep-fig2",
    title="Jumps of networks of different depth",
    reference="Wang and Jacot (2024), Figure 2",
    claim="At epsilon = 0.1 networks of depth 3 do not jump within 5000 steps, those of depth 4 "
    "do.",
    criterion=f"HOLDS if at most {1.0 - _NEARLY:.0%} of the runs of the least depth jump within "
    "the paper's steps or find the missing entry at its quiet end (test loss below "
    f"{_SUCCEEDS:g}), and at least {_NEARLY:.0%} of each other of depths do both; HOLDS with if at "
    "least 60% do. Depths beyond the paper's are told, and not judged.",
    tolerances={
        "test_loss*": Tolerance(0.03, 0.05),
        "*_jump_*": Tolerance(1e-6, 0.8),
        "nearly_all*": Tolerance(1e-6, 0.8),
        "*": Tolerance(4.0),
    },
    parameters={
        "epsilon": Parameter(0.1, None, "the small observed entry", above=0),
        "depths": Parameter((3, 4), None, "layers", least=3),
        "more": Parameter((5, 6), None, "depths that are told, and not judged", least=3),
        "width": Parameter(100, 20, "of the hidden layers", least=1),
        "steps": Parameter(40_000, None, "steps under noise in all", least=1),
        "noisy_steps": Parameter(4500, None, "of these in the paper's schedule", least=1),
        "learning_rate": Parameter(0.25, None, "under noise", above=0),
        "ridge": Parameter(0.1, None, "under noise", above=0),
        "quiet_steps": Parameter(8000, None, "steps of the quiet end", least=1),
        "quiet_learning_rate": Parameter(0.05, None, "at the quiet end", above=0),
        "quiet_ridge": Parameter(0.001, None, "at the quiet end", above=0),
        "runs": Parameter(60, 10, "networks of each depth", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

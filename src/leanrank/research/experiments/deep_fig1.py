r"""Figure 1 of Wang and Jacot: SGD with a large ridge jumps to rank one, and never back.

Their settings, in the convention of PyTorch's weight decay, in which alone the figures come out,
and many runs instead of one. An offshoot is a copy of the network from which descent goes on
quietly, to fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.problem import Problem
from leanrank.research.deep import Phase, Training, annealing, measured, offshoots, train
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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_RECORDED = 50
_SUCCEEDS = 0.1
_NONE_BACK = 1e-6
_OFFSHOOTS = 8
"""About so many copies of one run are drawn."""
_SETTLING = 1000
"""Steps from a jump on in which singular values may still be on their way to rounding."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Ten runs each."""
    names = ("epsilon", "depth", "width", "steps", "learning_rate", "ridge", "spacing")
    quiet = ("quiet_steps", "quiet_learning_rate", "quiet_ridge")
    common = {k: p[k] for k in (*names, *quiet)}
    return [
        {"first": i * _deep.CHUNK, "count": count, **common}
        for i, count in enumerate(_deep.chunks(p["runs"]))
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Jumps, the largest ratio of singular values long after them, and where offshoots end."""
    problem = _deep.observed(t["epsilon"])
    schedule = annealing(t["steps"], 0, learning_rate=t["learning_rate"], ridge=t["ridge"])
    total = sum(phase.steps for phase in schedule)
    times = list(range(t["spacing"] * _RECORDED, total + 1, t["spacing"] * _RECORDED))
    nets = _deep.starts(t["count"], t["depth"], t["width"], rng)
    options: dict[str, Any] = {"products": True, "threads": 1, "random_state": rng}
    training = train(problem, nets, schedule, every=_RECORDED, keep=times, **options)
    quiet = Phase(t["quiet_steps"], t["quiet_learning_rate"], t["quiet_ridge"])
    ends = offshoots(problem, training.kept, [quiet], threads=1, random_state=rng)
    jumps = training.jumps()
    found: dict[str, Any] = {}
    if t["first"] == 0:
        run = int(np.argsort(np.where(jumps < 0, np.inf, jumps))[jumps.size // 2])
        found = _picture(problem, t, training, run, quiet, options)
    return found | {
        "jumps": jumps,
        "back": training.largest_after_jump(settling=_SETTLING),
        "diverged": _deep.diverged(training),
        "times": np.array(times),
        "offshoots": measured(ends, _deep.test_loss(t["epsilon"])),
        "steps": training.steps,
        "ratios": training.ratios(),
    }


def _picture(
    problem: Problem,
    t: Trial,
    training: Training,
    run: int,
    quiet: Phase,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """One run for the figure, with what becomes of copies of it step by step."""
    last = _end_of_figure(training.jumps()[run], training.steps[-1])
    begun = {
        time: net
        for time, row in training.kept.items()
        if (net := row[run]) is not None and time <= last
    }
    found: dict[str, Any] = {
        "one": run,
        "one_test": _deep.test_losses(t["epsilon"], training.products)[:, run],
    }
    shown = list(begun)[:: max(len(begun) // _OFFSHOOTS, 1)]
    if shown:
        every = max(t["quiet_steps"] // 80, 1)
        quietly = train(problem, [begun[time] for time in shown], [quiet], every=every, **options)
        found |= {
            "offshoot_starts": np.array(shown),
            "offshoot_steps": quietly.steps,
            "offshoot_test": _deep.test_losses(t["epsilon"], quietly.products),
        }
    return found


def _end_of_figure(jump: int, end: int) -> int:
    """Steps of a run that are drawn: twice as many as until its jump."""
    return int(min(2 * jump, end)) if jump >= 0 else int(end)


def _gathered(results: Results) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Jumps and largest ratios after them, steps of offshoots less the jump, their test losses."""
    jumps, back = (_deep.joined(results, name) for name in ("jumps", "back"))
    losses = _deep.joined(results, "offshoots", axis=1)
    times = np.asarray(next(iter(results))["times"])
    return jumps, back, times[:, None] - np.where(jumps < 0, np.inf, jumps), losses


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether all jump, none comes back, and offshoots tell before from after."""
    jumps, back, when, losses = _gathered(results)
    jumped = jumps[jumps >= 0]
    waits = np.percentile(jumped - 500, [5, 25, 50, 75, 95]) if jumped.size else np.full(5, np.nan)
    diverged, lost = int(_deep.joined(results, "diverged").sum()), int(np.sum(np.isposinf(back)))
    returned = int(np.sum(back > _NONE_BACK)) - lost
    before, after = losses[when < 0], losses[when > _SETTLING]
    failing = float(np.mean(~(before < _SUCCEEDS))) if before.size else np.nan
    succeeding = float(np.mean(after < _SUCCEEDS)) if after.size else np.nan
    numbers = {
        "jumped": jumped.size,
        "runs": jumps.size,
        "diverged": diverged,
        "wait_quantiles_5_25_50_75_95": waits,
        "diverged_after": lost,
        "largest_ratio_after": float(np.fmax.reduce(back[~np.isposinf(back)], initial=np.nan)),
        "failing_before": failing,
        "succeeding_after": succeeding,
        "test_loss_before_median": _deep.median(before),
        "test_loss_after_median": _deep.median(after),
        "test_loss_predicted": _predicted(p),
    }
    sentence = (
        f"{_deep.interval(jumped.size, jumps.size)} runs jump within {p['steps']} steps, the "
        f"median after {waits[2]:.0f} (5 to 95 %: {waits[0]:.0f} to {waits[4]:.0f}); {returned} "
        f"come back, the largest s2 / s1 later on is {numbers['largest_ratio_after']:.1e}; "
        f"offshoots fail before the jump in {failing:.1%} of cases (median test loss "
        f"{numbers['test_loss_before_median']:.2g}) and succeed after it in {succeeding:.1%} "
        f"({numbers['test_loss_after_median']:.2g}, the rank-one minimiser has "
        f"{numbers['test_loss_predicted']:.2g})"
    )
    if diverged:
        sentence += f"; runs that diverge: {diverged}, {lost} of them after a jump"
    if not jumped.size or returned or lost or not (failing > 0.95 and succeeding > 0.99):
        return Verdict(Status.FAILS, sentence, numbers=numbers)
    if jumped.size < jumps.size:
        condition = f"more than {p['steps']} steps for some of the runs"
        return Verdict(Status.HOLDS_WITH, sentence, condition, numbers)
    return Verdict(Status.HOLDS, sentence, numbers=numbers)


def _predicted(p: Mapping[str, Any]) -> float:
    """Test loss of the minimiser of rank one under the quiet ridge."""
    return _deep.predicted_loss(p["epsilon"], p["depth"], p["quiet_ridge"], rank=1)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """One run and its offshoots; offshoots of all runs; how long jumps take."""
    from leanrank.research.experiments import _drawing as look

    jumps, _, when, losses = _gathered(results)
    figure, (one, every, waits) = look.panels(
        3,
        f"Figure 1: jumps and offshoots of a network of depth {p['depth']}",
        width=4.4,
        height=3.4,
    )
    _one_run(one, next(iter(results)))
    finite = np.isfinite(when)
    every.plot(when[finite], losses[finite], ".", ms=3, alpha=0.4, color=look.BLUE, rasterized=True)
    every.axvline(0, color=look.RED, lw=1)
    every.axhline(_predicted(p), color=look.INK, lw=0.8, ls=":", label="minimiser of rank one")
    every.set(
        yscale="log", xlabel="start of the offshoot, steps from the jump", ylabel="test loss at end"
    )
    every.set_xlim(-1e4, 1e4)
    look.heading(every, "Offshoots of all runs")
    look.legend(every, loc="upper right")
    _deep.share_jumped(waits, jumps, p["steps"] + 500, color=look.BLUE)
    look.heading(waits, f"{jumps.size} runs")
    return figure


def _one_run(ax: Axes, first: Mapping[str, Any]) -> None:
    """As the paper's: the loss under noise, that of copies that go on quietly, and the ratio."""
    from leanrank.research.experiments import _drawing as look

    run, steps = int(first["one"]), np.asarray(first["steps"])
    seen = steps <= _end_of_figure(first["jumps"][run], steps[-1])
    ax.plot(
        steps[seen],
        first["one_test"][seen],
        color=look.COLOURS[5],
        lw=1,
        label="test loss under noise",
    )
    starts = first.get("offshoot_starts", np.zeros(0))
    tests = np.transpose(first["offshoot_test"]) if len(starts) else ()
    for start, test in zip(starts, tests, strict=True):
        label = "test loss of offshoots" if start == starts[0] else None
        ax.plot(start + first["offshoot_steps"], test, color=look.BLUE, lw=1.3, label=label)
        ax.plot(start, test[0], "o", ms=3, color=look.BLUE)
    ax.set(yscale="log", ylim=(1e-3, 30), xlabel="SGD steps", ylabel="test loss over that of zero")
    ratio = ax.twinx()
    ratio.plot(steps[seen], np.maximum(first["ratios"][seen, run], 1e-18), color=look.RED, lw=1)
    ratio.set(yscale="log", ylim=(5e-19, 1e6))
    ratio.set_ylabel("$s_2 / s_1$ under noise", fontsize=9, color=look.RED)
    ratio.tick_params(which="both", labelsize=8, color=look.PALE, labelcolor=look.RED)
    ratio.set_frame_on(False)
    look.heading(ax, "One run (red: right axis)")
    look.legend(ax, loc="upper right")


experiment = Experiment(
    name="deep-fig1",
    title="One-way jumps to rank one, and offshoots before and after",
    reference="Wang and Jacot (2024), Figure 1",
    claim="At epsilon = 0.25, depth 3 and a large ridge, SGD jumps to rank one and does not come "
    "back; networks that are fitted quietly from before the jump fail to find the missing entry, "
    "those from after it succeed.",
    criterion=f"HOLDS if all runs jump, no s2 / s1 is above {_NONE_BACK:g} from {_SETTLING} steps "
    f"after the jump on, and of offshoots more than 95 % from before a jump have a test loss of "
    f"{_SUCCEEDS:g} or more, more than 99 % from {_SETTLING} steps after it a smaller one; HOLDS "
    "with if some do not jump in time.",
    tolerances={
        "wait_quantiles*": Tolerance(1e-6, 0.6),
        "largest_ratio_after": Tolerance(1e-10),
        "failing_before": Tolerance(0.03),
        "succeeding_after": Tolerance(0.005),
        "jumped": Tolerance(1.0),
        "test_loss_*": Tolerance(1e-6, 0.1),
    },
    parameters={
        "epsilon": Parameter(0.25, None, "the small observed entry", above=0),
        "depth": Parameter(3, None, "layers", least=3),
        "width": Parameter(100, 20, "of the hidden layers", least=1),
        "steps": Parameter(40_000, None, "steps under noise", least=1),
        "learning_rate": Parameter(0.2, None, "under noise", above=0),
        "ridge": Parameter(0.1, None, "under noise", above=0),
        "spacing": Parameter(20, 20, "steps between offshoots, in units of 50", least=1),
        "quiet_steps": Parameter(8000, None, "steps of an offshoot", least=1),
        "quiet_learning_rate": Parameter(0.02, None, "of offshoots", above=0),
        "quiet_ridge": Parameter(0.001, None, "of offshoots", above=0),
        "runs": Parameter(60, 10, "networks", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

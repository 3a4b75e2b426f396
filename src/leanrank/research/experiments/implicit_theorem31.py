"""Theorem 3.1 of Li, Ma and Zhang, rank one: each step of signal and error, and where they end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research.experiments import _implicit
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.theory import RankOneSteps, restricted_isometry
from leanrank.solvers import GradientDescent, iterate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_STEPS = ("(11)", "Proposition 3.2", "(13)")
_ENDS = ("(14)", "(15)", "Theorem 3.1")
_LOOKS = 400
"""About so many steps of a run are looked at, evenly spread."""
_OPEN = 10.0
"""What counts as a constant where the paper leaves one open."""
_ROUNDING = 1.0 + 1e-6


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Each number of measurements, for each seed."""
    common = {k: p[k] for k in ("d", "step_share", "start_share", "time")}
    return [
        {"multiple": multiple, **common, "stream": i}
        for i in range(p["seeds"])
        for multiple in p["multiples"]
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Ratios of the three steps' bounds along the run, and the constants at its end."""
    d = t["d"]
    problem, truth = _implicit.conditioned(d, 1, 1.0, t["multiple"] * d, rng)
    delta = restricted_isometry(problem.op, 4, random_state=rng).delta
    if delta >= 1.0:
        raise ValueError(
            f"multiples must be large enough for restricted isometry of rank 4, got "
            f"{t['multiple']:g}, with which its constant is at least {delta:.2g}"
        )
    alpha = t["start_share"] * delta * math.sqrt(math.log(1.0 / delta) / d)
    growth = math.log(1.0 / (delta * alpha))
    eta = t["step_share"] * delta**2 / growth
    last = math.ceil(t["time"] * growth / eta)
    steps = RankOneSteps(truth, eta, delta)
    each = max(1, last // _LOOKS)
    before, parts, ratios = None, [], []
    start = _implicit.identity(problem, alpha)
    for state in iterate(GradientDescent(eta / 4.0), problem, start):
        if before is not None and steps.applies(before):
            ratios.append(steps.ratios(before, state.factors))
        watched = state.iteration % each == 0
        before = state.factors if watched else None
        if watched:
            parts.append(steps.parts(state.factors))
        if state.iteration >= last:
            break
    signal, _, total = steps.parts(state.factors)
    error, log = state.factors.distance(truth), math.log(1.0 / delta)
    return {
        "worst": np.max(ratios, axis=0),
        "constants": np.array(
            [abs(signal - 1.0) / delta, total**2 / (delta**2 * log), error / (delta * log)]
        ),
        "parts": np.array(parts),
        "each": each,
        "delta": delta,
        "eta": eta,
        "alpha": alpha,
        "error": error,
    }


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether each step keeps to its bounds, and whether the open constants stay constants."""
    worst = results.grid("worst", lambda x: x.max(axis=0), multiple=p["multiples"])
    constants = results.grid("constants", lambda x: x.max(axis=0), multiple=p["multiples"])
    deltas = results.grid("delta", np.max, multiple=p["multiples"])
    errors = results.grid("error", np.max, multiple=p["multiples"])
    numbers = {
        "multiples": p["multiples"],
        "delta": deltas,
        "worst_ratio": worst,
        "constants": constants,
        "error": errors,
    }
    broken = [name for name, x in zip(_STEPS, worst.max(axis=0), strict=True) if x > _ROUNDING]
    grown = [name for name, x in zip(_ENDS, constants.max(axis=0), strict=True) if x > _OPEN]
    listed = ", ".join(
        f"{x:.2g} in {name}" for name, x in zip(_STEPS, worst.max(axis=0), strict=True)
    )
    ends = ", ".join(
        f"{x:.2g} in {name}" for name, x in zip(_ENDS, constants.max(axis=0), strict=True)
    )
    measured = (
        f"with restricted isometry constants of rank 4 from {deltas.max():.2g} down to "
        f"{deltas.min():.2g} (lower bounds): a step's quantity is at most {listed} of its bound; "
        f"at the end the constants left open are at most {ends}, and the error is "
        f"{errors[0]:.2g} to {errors[-1]:.2g}"
    )
    if broken or grown:
        return Verdict(Status.FAILS, measured, f"not {', '.join(broken + grown)}", numbers)
    return Verdict(Status.HOLDS, measured, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Signal and error along the runs, the ratios of the steps, and the error over delta."""
    from leanrank.research.experiments import _drawing as look

    figure, (left, middle, right) = look.panels(
        3, "Theorem 3.1: rank one, signal and error in each step and at the end"
    )
    for colour, multiple in zip(look.shades(len(p["multiples"])), p["multiples"], strict=True):
        row = results.where(multiple=multiple)[0]
        time = row["eta"] * row["each"] * np.arange(len(row["parts"]))
        left.plot(time, row["parts"][:, 0], color=colour, label=f"m = {multiple:g} d")
        left.plot(time, row["parts"][:, 2], "--", color=colour)
    left.set(yscale="log", xlabel="eta t", ylabel="norm")
    look.heading(left, "signal |r| solid, error |E|_F dashed")
    look.legend(left)
    multiples = np.array(p["multiples"])
    for colour, marker, i in zip(look.COLOURS, "os^", range(3), strict=False):
        worst = results.grid("worst", lambda x: x.max(axis=0), multiple=p["multiples"])
        style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4}
        middle.plot(multiples, worst[:, i], label=_STEPS[i], **style)
    middle.axhline(1.0, color=look.INK, linewidth=0.8)
    middle.set(yscale="log", xlabel="m / d")
    look.marks(middle, sorted(multiples))
    middle.set_ylim(top=30.0)
    look.heading(middle, "a step's quantity over its bound, at worst")
    look.legend(middle, loc="upper right")
    order = np.argsort(results.column("delta"))
    delta = results.column("delta")[order]
    right.plot(delta, results.column("error")[order], "o", color=look.BLUE, label="error")
    right.plot(delta, delta * np.log(1 / delta), color=look.INK, label="delta log(1 / delta)")
    right.set(yscale="log", xlabel="restricted isometry constant delta")
    deltas = results.grid("delta", np.median, multiple=p["multiples"])
    look.marks(right, sorted(float(f"{x:.2g}") for x in deltas))
    look.heading(right, "|U U' - X|_F at the end")
    look.legend(right)
    return figure


experiment = Experiment(
    name="implicit-theorem31",
    title="Rank one: growth of the signal and of the error",
    reference="Li, Ma and Zhang (2018), Theorem 3.1, Propositions 3.2 to 3.4",
    claim="At rank one each step keeps to (11), Proposition 3.2 and (13), and after about "
    "log(1 / (alpha delta)) / eta steps the error is at most of order delta log(1 / delta).",
    criterion="HOLDS if no step that was looked at breaks a bound, with the restricted isometry "
    f"constant found, and the open constants of (14), (15) and the theorem are at most {_OPEN:g}.",
    parameters={
        "d": Parameter(20, 12, "size of X", least=2),
        "multiples": Parameter(
            (100.0, 1000.0, 10000.0), (100.0, 1000.0), "measurements over d", above=0
        ),
        "step_share": Parameter(1.0, None, "eta over delta^2 / log(1 / (delta alpha))", above=0),
        "start_share": Parameter(
            1.0, None, "alpha over delta sqrt(log(1 / delta) / d), the largest", above=0
        ),
        "time": Parameter(1.5, None, "steps over log(1 / (alpha delta)) / eta", above=0),
        "seeds": Parameter(3, 1, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

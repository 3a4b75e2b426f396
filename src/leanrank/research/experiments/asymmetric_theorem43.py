"""Theorems 4.3 and 6.2 of Wind: the local phase, and the final error against its bound."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research.experiments import _asymmetric as wind
from leanrank.research.experiments._admissible import admissible
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.solvers import PerturbedGradientFlow
from leanrank.research.theory import FlowAssumption, LocalConvergence, WarmUp
from leanrank.solvers import iterate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_RECORDS = 60
_ROUNDING = 1.0 + 1e-6


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Starts and perturbations of each share of what is allowed, at each condition number."""
    common = {k: p[k] for k in ("n", "rank", "flow_step", "theta")}
    return [
        {"kappa": kappa, "start": start, "perturbed": share, **common, "stream": i}
        for i in range(p["seeds"])
        for kappa in p["kappas"]
        for start in p["starts"]
        for share in p["perturbed"]
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Both quantities of Theorem 6.2 and their bounds over time, and the final bound."""
    problem, truth = wind.population(t["n"], t["rank"], t["kappa"], rng)
    begin = wind.allowed_start(truth, t["start"], t["theta"], rng)
    warm_up = WarmUp(begin, truth, theta=t["theta"])
    most = FlowAssumption.largest(warm_up)
    share = t["perturbed"]
    given = FlowAssumption(most.gamma, share * most.beta, share * most.mu, share * most.nu)
    local = LocalConvergence(warm_up, given)
    step = t["flow_step"] / 2.0
    solver = PerturbedGradientFlow(step, admissible("all", truth, given, rng))
    times = np.linspace(local.start, local.end, _RECORDS + 1) / (2.0 * step)
    watch = np.floor(times).astype(int)
    found, bounds = [], []
    for state in islice(iterate(solver, problem, begin), int(watch[-1]) + 1):
        if state.iteration in watch:
            found.append(local.quantities(state.factors))
            bounds.append(local.bounds(2.0 * step * state.iteration))
    grown = local.warm_up.size**2 * t["kappa"] ** 0.5
    return {
        "found": np.array(found),
        "bounds": np.array(bounds),
        "share_of_time": np.unique(watch) * 2.0 * step / local.end,
        "final": found[-1][0],
        "final_bound": local.final_bound(),
        "constant": found[-1][0] / (grown + t["kappa"] * given.mu),
    }


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether no quantity exceeds its bound, and what the constants would have to be."""
    worst = np.array([(r["found"] / r["bounds"]).max(axis=0) for r in results]).max(axis=0)
    final = results.column("final") / results.column("final_bound")
    alone = results.where(perturbed=0.0)
    shares = [x for x in dict.fromkeys(p["perturbed"]) if x > 0]
    constant = float(results.column("constant").max())
    numbers = {
        "largest_over_bound": worst,
        "final_over_bound": {
            f"kappa {k:g}": float((r.column("final") / r.column("final_bound")).max())
            for k in p["kappas"]
            for r in [results.where(kappa=k)]
        },
        "constant_needed": constant,
    }
    measured = (
        f"from T_1 to T_2 |R| is at most {worst[0]:.2g} and |P_0 W Q| at most {worst[1]:.2g} of "
        f"their bounds; the final error is at most {final.max():.2g} of eq. (22)'s"
    )
    if len(alone) and len(set(p["starts"])) > 1:
        powers = [
            np.polyfit(
                2.0 * np.log(p["starts"]),
                np.log(alone.where(kappa=k, stream=i, perturbed=0.0).column("final")),
                1,
            )[0]
            for k in p["kappas"]
            for i in range(p["seeds"])
        ]
        numbers["exponent"] = float(np.mean(powers))
        measured += (
            f", and without perturbations falls like (|W_0|^2)^{np.mean(powers):.2f} (allowed: "
            f"{1.0 - p['theta']:.2g})"
        )
    if shares:
        measured += (
            f"; it is at most {constant:.2f} (sqrt(kappa) |W_0|^2 + kappa mu |Y|), where the proof "
            "has 64 and 1000"
        )
    held = (worst <= _ROUNDING).all() and final.max() <= _ROUNDING
    return Verdict(Status.HOLDS if held else Status.FAILS, measured, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Both quantities beside their bounds over time, and the final error beside its bound."""
    from leanrank.research.experiments import _drawing as look

    figure, (error, outside, final) = look.panels(
        3, "Theorems 6.2 and 4.3: the local phase under the largest perturbations allowed"
    )
    start, share = max(p["starts"]), max(p["perturbed"])
    for colour, kappa in zip(look.COLOURS, p["kappas"], strict=False):
        row = results.where(kappa=kappa, start=start, perturbed=share)[0]
        for i, ax in enumerate((error, outside)):
            x = row["share_of_time"]
            ax.plot(x, row["found"][:, i], color=colour, label=f"kappa = {kappa:g}")
            ax.plot(x, row["bounds"][:, i], ":", color=colour)
        for style, size in (("-o", 0.0), ("--s", share)):
            rows = results.where(kappa=kappa, perturbed=size)
            if not len(rows):
                continue
            starts = sorted(set(p["starts"]))
            name = "none" if size == 0.0 else "all that is allowed"
            y = rows.grid("final", np.median, start=starts)
            label = f"{name}, kappa = {kappa:g}"
            final.plot(starts, y, style, color=colour, markersize=4, label=label)
        y = results.where(kappa=kappa, perturbed=min(p["perturbed"])).grid(
            "final_bound", np.median, start=starts
        )
        final.plot(starts, y, ":", color=colour)
    for ax, name in ((error, "|R|"), (outside, "|P_0 W Q|")):
        ax.plot([], [], ":", color=look.INK, label="bound")
        ax.set(yscale="log", xlabel="time over T_2", ylabel=name)
        look.heading(ax, f"{name} from T_1 on")
        look.legend(ax)
    final.plot([], [], ":", color=look.INK, label="bound, no perturbation")
    final.set(yscale="log", xlabel="|W_0| over the largest allowed", ylabel="final error")
    look.marks(final, sorted(set(p["starts"])))
    beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    look.legend(final, fontsize=7, title="perturbation", title_fontsize=8, **beside)
    return figure


experiment = Experiment(
    name="asymmetric-theorem43",
    title="The local phase, and the final error of perturbed gradient flow",
    reference="Wind (2025), Theorems 4.3 and 6.2",
    claim="Under perturbations that Assumption 4.1 bounds the error falls exponentially from T_1 "
    "on, down to C_1 (beta kappa gamma + sqrt(kappa)) (|W_0|^2 / sigma_r)^(1 - theta) sigma_r + "
    "C_2 kappa mu |Y| at T_2.",
    criterion="HOLDS if neither item of Theorem 6.2 exceeds its bound at any time seen by more "
    "than 1e-6 of it, nor the final error that of eq. (22), with the constants 64 and 1000 of the "
    "proof.",
    parameters={
        "n": Parameter(12, 8, "size of Y, and width", least=2),
        "rank": Parameter(2, None, "rank of Y", least=1),
        "kappas": Parameter((1.0, 3.0), (1.0, 2.0), "condition numbers of Y", least=1),
        "starts": Parameter((1.0, 0.3, 0.1), (1.0, 0.1), "|W_0| over the largest allowed", above=0),
        "perturbed": Parameter((0.0, 1.0), None, "perturbations over the largest allowed", least=0),
        "flow_step": Parameter(0.2, None, "time step of the flow", above=0),
        "theta": Parameter(0.5, None, "the theorem's theta, at most 1/2", above=0),
        "seeds": Parameter(2, 1, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

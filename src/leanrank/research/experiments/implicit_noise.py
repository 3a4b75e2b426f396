"""Noisy labels in the setting of Li, Ma and Zhang: a small start, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.operators import RankOneSensing
from leanrank.problem import Problem
from leanrank.research.diagnostics import recovery_error
from leanrank.research.experiments import _implicit
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.solvers import RescaledGradientDescent
from leanrank.research.theory import descent_window, noise_floor
from leanrank.solvers import GradientDescent, Solver, iterate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_KINDS = {"sensing": "Gaussian sensing, descent", "network": "quadratic network, Algorithm 1"}
_SMALL = 3.0
"""An error of so many times sigma sqrt(r d / m) is of the order of the noise."""
_HARMLESS = 1.2
"""By what factor an error may rise later on for stopping not to matter."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Each kind of measurement at each level of noise, for each seed."""
    names = ("d", "rank", "multiple", "samples", "alpha", "eta", "network_eta", "times")
    common = {k: p[k] for k in names}
    return [
        {"kind": kind, "noise": noise, **common, "stream": i}
        for i in range(p["seeds"])
        for kind in p["kinds"]
        for noise in p["noises"]
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Errors at log-spaced times over kappa log(d / alpha) / eta; infinite once diverged."""
    d, r, noise = t["d"], t["rank"], t["noise"]
    eta = t["network_eta" if t["kind"] == "network" else "eta"]
    if t["kind"] == "network":
        m = t["samples"] * d
        truth = _implicit.conditioned_truth(d, r, 1.0, rng)
        op = RankOneSensing(rng.standard_normal((m, d)))
        problem = Problem(op, op.forward(truth) + noise * rng.standard_normal(m))
        solver: Solver = RescaledGradientDescent(eta / 4.0, trace=float(r))
    else:
        m = round(t["multiple"] * d * r)
        problem, truth = _implicit.conditioned(d, r, 1.0, m, rng, noise)
        solver = GradientDescent(eta / 4.0)
    first, _ = descent_window(eta / 4.0, t["alpha"], d)
    times = _implicit.log_times(max(1, round(0.1 * first)), round(t["times"] * first), 60)
    error, size = recovery_error(truth), truth.norm()
    states = iterate(solver, problem, _implicit.identity(problem, t["alpha"]))
    found = {
        state.iteration: size * error(state)
        for state in islice(states, times[-1] + 1)
        if state.iteration in times
    }
    return {
        "time": np.array(times) / first,
        "error": np.array([found.get(k, math.inf) for k in times]),
        "floor": noise_floor(noise, d, r, m),
    }


def _curve(results: Results, kind: str, noise: float) -> tuple[np.ndarray, np.ndarray, float]:
    rows = results.where(kind=kind, noise=noise)
    return rows[0]["time"], np.median(rows.column("error"), axis=0), float(rows[0]["floor"])


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether errors come down to the noise, and what going on does to them."""
    numbers: dict[str, Any] = {}
    parts, reached, rises = [], [], {}
    for kind in p["kinds"]:
        for noise in p["noises"]:
            time, error, floor = _curve(results, kind, noise)
            at = float(np.interp(2.0, time, error))
            low, end = float(error.min()), float(error[-1])
            numbers[f"{kind}, noise {noise:g}"] = {
                "floor": floor,
                "at_twice_first": at,
                "lowest": low,
                "end": end,
            }
            if noise == 0:
                parts.append(f"{kind} without noise: {end:.2g} at the end")
                continue
            reached.append(low <= _SMALL * floor)
            rises[kind, noise] = end / low
            parts.append(
                f"{kind}, sigma = {noise:g}: {at / floor:.2g} sigma sqrt(r d / m) after "
                f"2 kappa log(d / alpha) / eta steps, {low / floor:.2g} at its lowest and "
                + (f"{end / floor:.2g} at the end" if math.isfinite(end) else "diverges at the end")
            )
    measured = "; ".join(parts)
    if not all(reached):
        return Verdict(Status.FAILS, measured, numbers=numbers)
    late = [f"{kind} at sigma = {noise:g}" for (kind, noise), x in rises.items() if x > _HARMLESS]
    if not late:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    worst = max((x for x in rises.values() if math.isfinite(x)), default=1.0)
    condition = (
        f"early stopping in {', '.join(late)}: the noise is fitted later on, and errors rise by "
        f"up to {worst:.2g} times"
    )
    lost = [f"{kind} at sigma = {noise:g}" for (kind, noise), x in rises.items() if math.isinf(x)]
    if lost:
        condition += f"; {', '.join(lost)} diverges"
    return Verdict(Status.HOLDS_WITH, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Errors in time, with the level of the noise."""
    from leanrank.research.experiments import _drawing as look

    figure, axes = look.panels(
        len(p["kinds"]),
        "Noisy labels: |U U' - X|_F (median) from a small start; dotted: sigma sqrt(r d / m)",
    )
    for ax, kind in zip(axes, p["kinds"], strict=True):
        for colour, noise in zip(cycle(look.COLOURS), p["noises"], strict=False):
            time, error, floor = _curve(results, kind, noise)
            ax.plot(time, error, color=colour, label=f"sigma = {noise:g}")
            if noise:
                ax.axhline(floor, color=colour, linestyle=":", linewidth=1.2)
        ax.set(xscale="log", yscale="log", xlabel="steps over kappa log(d / alpha) / eta")
        look.heading(ax, _KINDS[kind])
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside right center",
        frameon=False,
        fontsize=8,
        labelcolor=look.INK,
    )
    return figure


experiment = Experiment(
    name="implicit-noise",
    title="Noisy labels from a small start",
    reference="Li, Ma and Zhang (2018), footnote 2 of Section 1.1",
    claim="A small amount of Gaussian noise in the labels is no trouble: descent from a small "
    "start recovers X up to the noise.",
    criterion=f"HOLDS if the median error comes down to {_SMALL:g} sigma sqrt(r d / m) at every "
    f"level of noise, and is at most {_HARMLESS:g} times its lowest at the end; FAILS if it does "
    "not come down.",
    parameters={
        "d": Parameter(24, 12, "size of X", least=2),
        "rank": Parameter(2, None, "rank of X, whose singular values are 1", least=1),
        "kinds": Parameter(tuple(_KINDS), None, "kinds of measurement", choices=tuple(_KINDS)),
        "noises": Parameter((0.0, 0.01, 0.1, 0.5), (0.0, 0.1, 0.5), "sigma", least=0),
        "multiple": Parameter(10.0, None, "measurements over d r, of sensing", above=0),
        "samples": Parameter(60, None, "samples over d, of networks", least=1),
        "alpha": Parameter(1e-4, None, "scale of the start", above=0),
        "eta": Parameter(0.1, None, "of update (5)", above=0),
        "network_eta": Parameter(0.02, 0.04, "and that of networks", above=0),
        "times": Parameter(30.0, 20.0, "steps over kappa log(d / alpha) / eta at the end", above=2),
        "seeds": Parameter(3, 1, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

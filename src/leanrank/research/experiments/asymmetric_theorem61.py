"""Theorem 6.1 of Wind: eight invariants of the warm-up phase, watched along descent."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research.diagnostics import warm_up_ratios
from leanrank.research.experiments import _asymmetric as wind
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.theory import WarmUp
from leanrank.solvers import GradientDescent, Solver, iterate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_RECORDS = 40
_ROUNDING = 1.0 + 1e-6
_ITEMS = (
    "|W|",
    "|U'U - V'V|",
    "|P_A J W|",
    "|P_0 W|",
    "largest eigenvalue (5)",
    "misalignment",
    "nuisance",
    "least signal",
)
_SOURCES = ("perfect", "fresh", "fixed")


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Each kind of measurement at each condition number."""
    if "perfect" not in p["sources"]:
        raise ValueError(
            f"sources must have 'perfect', by which the theorem is judged, got {p['sources']}"
        )
    names = ("n", "rank", "multiple", "learning_rate", "start_share", "theta")
    common = {k: p[k] for k in names}
    return [
        {"source": source, "kappa": kappa, **common, "stream": i}
        for i in range(p["seeds"])
        for source in p["sources"]
        for kappa in p["kappas"]
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Quantity over bound at evenly spaced times up to T_2, shape (times, 8)."""
    problem, truth = wind.population(t["n"], t["rank"], t["kappa"], rng)
    eta = t["learning_rate"]
    # The largest start that the theorem allows depends on the start's direction only.
    tiny = wind.start(truth, 1e-6, rng)
    scale = t["start_share"] * WarmUp(tiny, truth, theta=t["theta"]).largest_start
    begin = tiny.scaled((scale / 1e-6) ** 2)
    warm_up = WarmUp(begin, truth, theta=t["theta"])
    m = round(t["multiple"] * 2 * t["n"] * t["rank"])
    solver: Solver = GradientDescent(eta / 2.0)
    if t["source"] == "fresh":
        solver = wind.fresh(eta, m, rng)
    elif t["source"] == "fixed":
        problem = wind.fixed_set(truth, m, rng)
    times = np.linspace(0, int(warm_up.end / eta), _RECORDS + 1).round().astype(int)
    ratios = warm_up_ratios(warm_up, eta / 2.0)
    states = islice(iterate(solver, problem, begin), int(times[-1]) + 1)
    along = {state.iteration: ratios(state) for state in states if state.iteration in times}
    return {
        "ratios": np.array([along[k] for k in times]),
        "share_of_time": times * eta / warm_up.end,
        "alpha": warm_up.alpha,
        "delta": warm_up.delta,
        "scale": scale,
    }


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Which items hold at all times, for each kind of measurement and condition number."""
    numbers, parts, broken = {}, [], {}
    for source in results.values("source"):
        for kappa in p["kappas"]:
            rows = results.where(source=source, kappa=kappa)
            worst = rows.column("ratios").max(axis=(0, 1))
            numbers[f"{source}, kappa {kappa:g}"] = worst
            items = [str(i + 1) for i in np.flatnonzero(~(worst <= _ROUNDING))]
            broken[source, kappa] = items
            parts.append(
                f"{source}, kappa = {kappa:g}: "
                + (f"broken {', '.join(items)} (up to {worst.max():.3g} times)" if items else "all")
            )
    measured = "items that hold up to T_2: " + "; ".join(parts)
    exact = [items for (source, _), items in broken.items() if source == "perfect"]
    if any(exact):
        return Verdict(Status.FAILS, measured, numbers=numbers)
    if not any(broken.values()):
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    condition = (
        "perturbations as small as the theorem supposes: with this many measurements they are not"
    )
    return Verdict(Status.HOLDS_WITH, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Each quantity over its bound along the run, one panel for each item."""
    from leanrank.research.experiments import _drawing as look

    figure, axes = look.panels(
        8,
        "Theorem 6.1: the eight invariants of the warm-up, quantity over bound (item 8: bound "
        "over quantity); the claim is that none exceeds 1",
        rows=2,
        width=3.0,
        height=2.6,
        sharex=True,
    )
    styles = dict(zip(_SOURCES, ("-", "--", ":"), strict=True))
    for colour, kappa in zip(cycle(look.COLOURS), p["kappas"], strict=False):
        for source in results.values("source"):
            row = results.where(source=source, kappa=kappa)[0]
            for i, ax in enumerate(axes):
                label = f"{source}, kappa {kappa:g}" if i == 0 else None
                x, y = row["share_of_time"], row["ratios"][:, i]
                ax.plot(x, y, styles[source], color=colour, label=label)
    for i, (ax, name) in enumerate(zip(axes, _ITEMS, strict=True)):
        ax.axhline(1.0, color=look.INK, linewidth=0.8)
        ax.set_yscale("log")
        look.heading(ax, f"{i + 1}: {name}")
    for ax in axes[4:]:
        ax.set_xlabel("time over T_2")
    figure.legend(
        loc="outside right center",
        ncols=1,
        frameon=False,
        fontsize=8,
        labelcolor=look.INK,
    )
    return figure


experiment = Experiment(
    name="asymmetric-theorem61",
    title="The eight invariants of the warm-up phase",
    reference="Wind (2025), Theorem 6.1",
    claim="Along perturbed gradient flow from a small start eight bounds hold at all times up to "
    "T_2 = (5 / sigma_r) log(sigma_r / |W_0|^2).",
    parameters={
        "n": Parameter(20, 12, "size of Y, and width", least=2),
        "rank": Parameter(2, None, "rank of Y", least=1),
        "kappas": Parameter((1.0, 3.0), None, "condition numbers of Y", least=1),
        "sources": Parameter(_SOURCES, None, "kinds of measurement", choices=_SOURCES),
        "multiple": Parameter(
            10.0, None, "measurements over r (n1 + n2), fixed or in each step", above=0
        ),
        "learning_rate": Parameter(0.05, 0.1, "eta", above=0),
        "start_share": Parameter(1.0, None, "|W_0| over the largest that is allowed", above=0),
        "theta": Parameter(0.5, None, "the theorem's theta, at most 1/2", above=0),
        "seeds": Parameter(3, 1, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

"""Theorem 6.1 of Wind: eight invariants of the warm-up phase, under perturbations of any size."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research.experiments import _asymmetric as wind
from leanrank.research.experiments._admissible import KINDS, admissible
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.solvers import (
    PerturbedGradientFlow,
    PerturbedSensingDescent,
    fresh_measurements,
    imperfect_measurements,
)
from leanrank.research.theory import FlowAssumption, WarmUp, flow_perturbation
from leanrank.solvers import Solver, iterate

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
_SIZES = ("|E|", "|J E + E' J|")
_DESCENTS = ("fresh", "fixed")


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Each kind and size of perturbation, and each kind of measurement, at each kappa."""
    names = ("n", "rank", "multiple", "learning_rate", "flow_step", "start_share", "theta")
    common = {k: p[k] for k in names}
    cases = [(kind, 1.0) for kind in KINDS]
    cases += [("all", times) for times in p["times"]] + [(source, 1.0) for source in p["sources"]]
    return [
        {"kind": kind, "times": times, "kappa": kappa, **common, "stream": i}
        for i in range(p["seeds"])
        for kind, times in cases
        for kappa in p["kappas"]
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Quantity over bound at evenly spaced times up to T_2, shape (times, 8), and sizes of E."""
    problem, truth = wind.population(t["n"], t["rank"], t["kappa"], rng)
    begin = wind.allowed_start(truth, t["start_share"], t["theta"], rng)
    warm_up = WarmUp(begin, truth, theta=t["theta"])
    allowed = FlowAssumption.largest(warm_up)
    m = round(t["multiple"] * 2 * t["n"] * t["rank"])
    flow = t["kind"] in KINDS
    if flow:
        perturbation = admissible(t["kind"], truth, allowed, rng, t["times"])
    elif t["kind"] == "fresh":
        perturbation = fresh_measurements(truth, m, rng)
    else:
        perturbation = imperfect_measurements(wind.gaussian_set(truth.shape, m, rng), truth)
    step = (t["flow_step"] if flow else t["learning_rate"]) / 2.0
    solver: Solver = PerturbedSensingDescent(step, perturbation)
    if flow:
        solver = PerturbedGradientFlow(step, perturbation)
    times = np.linspace(0, int(warm_up.end / (2.0 * step)), _RECORDS + 1).round().astype(int)
    ratios, sizes = [], []
    for state in islice(iterate(solver, problem, begin), int(times[-1]) + 1):
        if state.iteration in times:
            ratios.append(warm_up.ratios(state.factors, 2.0 * step * state.iteration))
            E = np.asarray(perturbation(state.iteration, state.factors))
            if not flow:
                E = flow_perturbation(state.factors, warm_up.frame, E, step)
            sizes.append(allowed.ratios(E, state.factors, warm_up.frame))
    return {
        "ratios": np.array(ratios),
        "sizes": np.array(sizes),
        "share_of_time": times * 2.0 * step / warm_up.end,
        "largest": [allowed.mu, allowed.nu],
    }


def _worst(rows: Results, name: str) -> np.ndarray:
    """The largest value along each run of each column."""
    return np.array([row[name].max(axis=0) for row in rows]).max(axis=0)


def _broken(worst: np.ndarray) -> str:
    items = ", ".join(str(i + 1) for i in np.flatnonzero(~(worst <= _ROUNDING)))
    return f"breaks items {items} by up to {worst.max():.3g} times" if items else "breaks none"


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether all items hold under admissible perturbations; what others do."""
    flows = Results([r for r in results if r["kind"] in KINDS and r["times"] == 1])
    worst, sizes = _worst(flows, "ratios"), _worst(flows, "sizes")
    numbers: dict[str, Any] = {
        f"{kind}, kappa {k:g}": _worst(flows.where(kind=kind, kappa=k), "ratios")
        for kind in KINDS
        for k in p["kappas"]
    }
    numbers["largest_sizes"] = sizes
    beyond, parts = {}, []
    for times in sorted(p["times"]):
        beyond[times] = _worst(results.where(kind="all", times=times), "ratios")
        numbers[f"all, {times:g} times as large"] = beyond[times]
    unbroken = [times for times, ratios in beyond.items() if (ratios <= _ROUNDING).all()]
    broken = [times for times in beyond if times not in unbroken]
    if unbroken:
        parts.append(f"{max(unbroken):g} times as large they break none")
    if broken:
        parts.append(f"{min(broken):g} times as large {_broken(beyond[min(broken)])}")
    for source in p["sources"]:
        for k in p["kappas"]:
            rows = results.where(kind=source, kappa=k)
            numbers[f"{source}, kappa {k:g}"] = _worst(rows, "ratios")
            numbers[f"{source}, kappa {k:g}, sizes"] = _worst(rows, "sizes")
        rows = results.where(kind=source)
        parts.append(
            f"descent on {p['multiple']:g} r (n1 + n2) {source} measurements amounts to up to "
            f"{_worst(rows, 'sizes').max():.2g} times what is allowed, and "
            f"{_broken(_worst(rows, 'ratios'))}"
        )
    held = int((worst <= _ROUNDING).sum())
    measured = (
        f"under the largest perturbations that the proof allows, eqs (18-19), {held} of 8 items "
        f"hold at all times up to T_2; " + "; ".join(parts)
    )
    if held < worst.size or not (sizes <= _ROUNDING).all():
        return Verdict(Status.FAILS, measured, numbers=numbers)
    return Verdict(Status.HOLDS, measured, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Each quantity over its bound along the run, and the sizes of the perturbation."""
    from leanrank.research.experiments import _drawing as look

    figure, axes = look.panels(
        10,
        "Theorem 6.1: the eight invariants of the warm-up, quantity over bound (item 8: bound "
        "over quantity), and the perturbation over what the proof allows",
        rows=2,
        width=2.9,
        height=2.6,
        sharex=True,
    )
    shown = [("all", 1.0, "as allowed", "-")]
    shown += [("all", max(p["times"]), f"{max(p['times']):g} times as large", "-.")]
    styles = {"fresh": "--", "fixed": ":"}
    shown += [(source, 1.0, f"{source} measurements", styles[source]) for source in p["sources"]]
    for colour, kappa in zip(cycle(look.COLOURS), p["kappas"], strict=False):
        for kind, times, label, style in shown:
            row = results.where(kind=kind, times=times, kappa=kappa)[0]
            curves = np.hstack([row["ratios"], row["sizes"]]).T
            for i, (ax, y) in enumerate(zip(axes, curves, strict=True)):
                name = f"{label}, kappa {kappa:g}" if i == 0 else None
                # Many coincide: those that the theorem speaks of are broad, below the others.
                broad: dict[str, Any] = (
                    {"linewidth": 3.5, "alpha": 0.5} if label == "as allowed" else {}
                )
                ax.plot(row["share_of_time"], y, style, color=colour, label=name, **broad)
    names = [f"{i + 1}: {name}" for i, name in enumerate(_ITEMS)] + list(_SIZES)
    for ax, name in zip(axes, names, strict=True):
        ax.axhline(1.0, color=look.INK, linewidth=0.8)
        ax.set_yscale("log")
        look.heading(ax, name)
    for ax in axes[5:]:
        ax.set_xlabel("time over T_2")
    figure.legend(
        loc="outside lower center", ncols=4, frameon=False, fontsize=8, labelcolor=look.INK
    )
    return figure


experiment = Experiment(
    name="asymmetric-theorem61",
    title="The eight invariants of the warm-up phase",
    reference="Wind (2025), Theorem 6.1",
    claim="Along gradient flow from a small start, under perturbations that Assumption 4.1 bounds, "
    "eight bounds hold at all times up to T_2 = (5 / sigma_r) log(sigma_r / |W_0|^2).",
    criterion="HOLDS if no item exceeds its bound by more than 1e-6 of it, under any kind of "
    "perturbation of the size that the proof allows (beta = delta^2 / 13, mu = delta^2 / 4, nu = 2 "
    "delta^2 / (T_2 |Y|)).",
    parameters={
        "n": Parameter(20, 8, "size of Y, and width", least=2),
        "rank": Parameter(2, None, "rank of Y", least=1),
        "kappas": Parameter((1.0, 3.0), (2.0,), "condition numbers of Y", least=1),
        "times": Parameter(
            (100.0, 1000.0), (1000.0,), "sizes of perturbations beyond, over the allowed", above=0
        ),
        "sources": Parameter(_DESCENTS, None, "kinds of measurement", choices=_DESCENTS),
        "multiple": Parameter(
            10.0, None, "measurements over r (n1 + n2), fixed or in each step", above=0
        ),
        "flow_step": Parameter(0.2, None, "time step of the flow", above=0),
        "learning_rate": Parameter(0.05, 0.1, "eta of descent on measurements", above=0),
        "start_share": Parameter(1.0, None, "|W_0| over the largest that is allowed", above=0),
        "theta": Parameter(0.5, None, "the theorem's theta, at most 1/2", above=0),
        "seeds": Parameter(2, 1, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

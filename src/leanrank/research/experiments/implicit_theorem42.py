"""Theorem 4.2 and Proposition 4.3 of Li, Ma and Zhang: what stays so while the signal grows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research.diagnostics import AdaptiveSignal
from leanrank.research.experiments import _implicit
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.experiments._trends import holds_from
from leanrank.research.theory import SignalBounds, restricted_isometry
from leanrank.solvers import GradientDescent, iterate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_ITEMS = {
    "(19)": "sine over eta rho t",
    "(20)": "|E| over 4 |E_0|",
    "(21)": "|E| over the least signal",
    "(22)": "bound over the least signal",
    "(23)": "|Z| over 5",
}
_OPEN = 10.0
"""What counts as a constant where the paper leaves one open: in (19) and Proposition 4.3."""
_ROUNDING = 1.0 + 1e-6


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Each number of measurements, and X observed, at each condition number."""
    common = {k: p[k] for k in ("d", "rank", "eta", "alpha")}
    return [
        {"multiple": multiple, "kappa": kappa, **common, "stream": i}
        for i in range(p["seeds"])
        for kappa in p["kappas"]
        for multiple in (*p["multiples"], math.inf)
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Ratios of the five items at every step up to T_1, and the constant of Proposition 4.3."""
    d, r, step = t["d"], t["rank"], t["eta"] / 4.0
    m = t["multiple"] * d * r
    problem, truth = _implicit.conditioned(d, r, t["kappa"], m, rng)
    perfect = math.isinf(m)
    delta = 0.0 if perfect else restricted_isometry(problem.op, r, random_state=rng).delta
    given = {k: t[k] for k in ("d", "rank", "kappa", "eta", "alpha")}
    bounds = SignalBounds(**given, delta=delta)
    signal = AdaptiveSignal(problem, truth, step)
    states = iterate(GradientDescent(step), problem, _implicit.identity(problem, t["alpha"]))
    seen, errors = [], []
    for state in islice(states, int(bounds.end) + 1):
        seen.append(signal(state))
        errors.append(state.factors.distance(truth))
    constants = [
        bounds.contraction_excess(before, after, float(at[1]))
        for (before, after), at in zip(pairwise(errors), seen, strict=False)
        if at[0] >= 0.5 / math.sqrt(t["kappa"]) and at[2] <= 5.0 and at[3] <= 1.0 / 3.0
    ]
    steps = [bounds.step_constants(before, after) for before, after in pairwise(seen)]
    return {
        "ratios": np.array([bounds.ratios(at, k) for k, at in enumerate(seen)]),
        "steps": np.max(steps, axis=0),
        "largest_sine": max(float(at[3]) for at in seen),
        "proposition": max(constants, default=math.nan),
        "delta": delta,
        "end": errors[-1],
    }


_LIMITS = {
    **dict.fromkeys(_ITEMS, _ROUNDING),
    "(19)": _OPEN,
    "Proposition 4.3": _OPEN,
    "D.2": _OPEN,
    "D.4": _OPEN,
    "D.5": _ROUNDING,
}
"""Up to where each item holds, in the order of what :func:`_worst` gives."""


def _worst(results: Results, kappa: float, multiple: float) -> np.ndarray:
    """The worst ratio or constant of each item (Proposition 4.3 can be one that never applied)."""
    rows = results.where(kappa=kappa, multiple=multiple)
    worst = np.max([row["ratios"].max(axis=0) for row in rows], axis=0)
    constant = np.nanmax([*rows.column("proposition"), -math.inf])
    return np.array([*worst, constant, *rows.column("steps").max(axis=0)])


def _broken(worst: np.ndarray) -> list[str]:
    return [name for (name, most), x in zip(_LIMITS.items(), worst, strict=True) if not x <= most]


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Which items hold up to T_1, and from how many measurements on all of them do."""
    multiples = (*p["multiples"], math.inf)
    numbers: dict[str, Any] = {"multiples": p["multiples"]}
    parts, enough = [], {}
    for kappa in p["kappas"]:
        worst = np.array([_worst(results, kappa, x) for x in multiples])
        broken = [_broken(at) for at in worst]
        enough[kappa] = holds_from(multiples, [not names for names in broken])
        few, most = broken[0], worst[:-1].max(axis=0)
        deltas = [results.where(kappa=kappa, multiple=x).column("delta").max() for x in multiples]
        numbers |= {f"worst, kappa {kappa:g}": worst, f"delta, kappa {kappa:g}": deltas}
        parts.append(
            f"kappa = {kappa:g}: with {multiples[0]:g} d r measurements "
            + (f"{', '.join(few)} broken" if few else "none broken")
            + f" ((20): |E| up to {4 * worst[0, 1]:.3g} |E_0| against 4); all hold from "
            + (f"{enough[kappa]:g} d r on" if math.isfinite(enough[kappa]) else "no m tried on")
            + f"; constants left open: at most {most[0]:.2g} in (19), {most[5]:.2g} in "
            f"Proposition 4.3, {most[6]:.2g} in D.2 and {most[7]:.2g} in D.4"
        )
        numbers[f"all hold from, kappa {kappa:g}"] = enough[kappa]
        numbers[f"perfect, kappa {kappa:g}"] = worst[-1]
    measured = "; ".join(parts)
    perfect = [_broken(numbers[f"perfect, kappa {kappa:g}"]) for kappa in p["kappas"]]
    if any(perfect):
        return Verdict(Status.FAILS, measured, "with X observed, too", numbers)
    if max(enough.values()) <= min(p["multiples"]):
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    needed = ", ".join(
        (f"{m:g} d r" if math.isfinite(m) else "more than were tried") + f" at kappa = {kappa:g}"
        for kappa, m in enough.items()
    )
    return Verdict(Status.HOLDS_WITH, measured, f"enough measurements: {needed}", numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Each item along the run, and the worst of (20) over the number of measurements."""
    from leanrank.research.experiments import _drawing as look

    figure, axes = look.panels(
        6,
        "Theorem 4.2: quantity over bound up to T_1, or bound over quantity; none may exceed 1, "
        "but the constant of (19) is open",
        rows=2,
        width=3.6,
        height=2.7,
    )
    styles = ("-", "--", ":", "-.")
    multiples = (*p["multiples"], math.inf)
    for style, kappa in zip(styles, p["kappas"], strict=False):
        for colour, multiple in zip(look.shades(len(multiples)), multiples, strict=True):
            # Sine and bound are both zero at first, and where X is observed.
            ratios = results.where(kappa=kappa, multiple=multiple)[0]["ratios"][1:]
            x = np.linspace(0.0, 1.0, len(ratios))
            name = f"m = {multiple:g} d r" if math.isfinite(multiple) else "X observed"
            for i, ax in enumerate(axes[:5]):
                shown = np.where(ratios[:, i] > 0, ratios[:, i], np.nan)
                label = name if i == 1 and kappa == p["kappas"][0] else None
                ax.plot(x, shown, style, color=colour, linewidth=1.2, label=label)
    for ax, (name, words) in zip(axes, _ITEMS.items(), strict=False):
        ax.axhline(1.0, color=look.INK, linewidth=0.8)
        ax.set(yscale="log", xlabel="t / T_1")
        look.heading(ax, f"{name} {words}")
    last = axes[5]
    for style, kappa in zip(styles, p["kappas"], strict=False):
        worst = [_worst(results, kappa, x)[1] for x in p["multiples"]]
        label = f"kappa = {kappa:g}"
        last.plot(
            p["multiples"], worst, style, marker="o", markersize=4, color=look.INK, label=label
        )
    last.axhline(1.0, color=look.INK, linewidth=0.8)
    last.set(xscale="log", yscale="log", xlabel="m / (d r)")
    look.heading(last, "(20) at its worst")
    figure.legend(loc="outside right center", frameon=False, fontsize=8, labelcolor=look.INK)
    return figure


experiment = Experiment(
    name="implicit-theorem42",
    title="Signal and error along an adaptive subspace",
    reference="Li, Ma and Zhang (2018), Theorem 4.2, eqs. (19) to (23), and Propositions 4.3, D.2, "
    "D.4 and D.5",
    claim="Up to T_1 = (kappa / eta) log(d / alpha) the subspace of the signal stays near that of "
    "X, the error within 4 times its start, and the signal grows; then the squared error falls "
    "by 1 - eta / (8 kappa) in each step.",
    criterion="HOLDS if with every number of measurements (20) to (23) hold at every step up to "
    f"T_1, (19) with a constant of at most {_OPEN:g} and the restricted isometry constant found, "
    f"and Proposition 4.3 with one of at most {_OPEN:g} wherever it applies; D.2 and D.4 with one "
    f"of at most {_OPEN:g}, and D.5, in every step. FAILS if one of them does not where X is "
    "observed.",
    parameters={
        "d": Parameter(30, 16, "size of X", least=2),
        "rank": Parameter(2, None, "rank of X", least=1),
        "kappas": Parameter((1.0, 2.0, 4.0), (1.0, 2.0), "condition numbers of X", least=1),
        "multiples": Parameter(
            (10.0, 30.0, 100.0, 300.0, 1000.0, 10000.0),
            (10.0, 100.0, 1000.0),
            "measurements over d r",
            above=0,
        ),
        "eta": Parameter(0.05, 0.1, "of update (5)", above=0),
        "alpha": Parameter(1e-3, None, "scale of the start", above=0),
        "seeds": Parameter(3, 1, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

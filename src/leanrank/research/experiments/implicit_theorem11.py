"""Theorem 1.1 of Li, Ma and Zhang: the window of its bound, its powers, and what comes after."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import cycle
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
from leanrank.research.theory import descent_window, implicit_error_bound

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_OPEN = 10.0
"""What counts as a constant where the paper leaves one open."""
_RISE = 1.01
"""An error that rises by no more than this factor does not count as rising."""
_BEYOND = 10.0
"""Runs go on to so many times the end of the longest window."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Each condition number, with one number of measurements, and with as many as asked for."""
    common = {k: p[k] for k in ("d", "rank", "eta", "scales", "multiple")}
    kinds = [("few", kappa) for kappa in p["kappas"]]
    kinds += [("asked", kappa) for kappa in p["kappas"] if kappa > 1.0]
    return [
        {"kind": kind, "kappa": kappa, **common, "stream": i}
        for i in range(p["seeds"])
        for kind, kappa in kinds
    ]


def _windows(t: Mapping[str, Any], kappa: float) -> np.ndarray:
    """First and last step of the window of each start, shape (starts, 2)."""
    return np.array(
        [descent_window(t["eta"] / 4.0, a, t["d"], kappa=kappa, c=2.0) for a in t["scales"]]
    )


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Errors at log-spaced steps from every start, shape (starts, times)."""
    d, r, kappa = t["d"], t["rank"], t["kappa"]
    m = t["multiple"] * d * r * (kappa**6 if t["kind"] == "asked" else 1.0)
    problem, truth = _implicit.conditioned(d, r, kappa, m, rng)
    last = math.ceil(_BEYOND * _windows(t, kappa).max())
    times = _implicit.log_times(10, last, 60)
    found = _implicit.curves(problem, truth, t["scales"], t["eta"] / 4.0, times)
    return {"times": np.array(times), "error": found["test"] * truth.norm()}


def _behaviour(p: Mapping[str, Any], rows: Results, kappa: float) -> dict[str, Any]:
    """Constants in the window, rises after its end, and errors at the end, for each start."""
    times, error = rows[0]["times"], rows.column("error").mean(axis=0)
    constants, rises, ends = [], [], []
    for (first, last), values, scale in zip(_windows(p, kappa), error, p["scales"], strict=True):
        bound = implicit_error_bound(scale, p["d"], kappa=kappa)
        inside = (times >= first) & (times <= last)
        constants.append(float((values[inside] / bound).max() ** 2) if inside.any() else math.nan)
        after = values[times >= max(first, last)]
        rises.append(float((after / np.minimum.accumulate(after)).max()))
        ends.append(float(np.interp(max(first, last), times, values)))
    power = float(np.polyfit(np.log(p["scales"]), np.log(ends), 1)[0])
    return {"constant": constants, "rise": rises, "error_at_end": ends, "power": power}


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether the bound holds in the window, and whether its end is one."""
    numbers: dict[str, Any] = {"scales": p["scales"]}
    parts, constants, rises, ratios = [], [], [], {}
    for kind in results.values("kind"):
        for kappa in results.where(kind=kind).values("kappa"):
            found = _behaviour(p, results.where(kind=kind, kappa=kappa), kappa)
            numbers[f"{kind}, kappa {kappa:g}"] = found
            known = [c for c in found["constant"] if not math.isnan(c)]
            constants += known
            rises.append(max(found["rise"]))
            ratios[kind, kappa] = found["error_at_end"][-1]
            m = f"{p['multiple']:g} d r" + (" kappa^6" if kind == "asked" else "")
            parts.append(
                f"kappa = {kappa:g}, m = {m}: in the {len(known)} windows that are not empty "
                f"|U U' - X|_F^2 is at most {max(known, default=math.nan):.2g} alpha sqrt(d) / "
                f"kappa^2, at their ends like alpha to the {2 * found['power']:.2f}"
            )
    hardest = max(p["kappas"])
    growth = {
        kind: ratios[kind, hardest] / ratios["few", min(p["kappas"])]
        for kind in ("few", "asked")
        if (kind, hardest) in ratios
    }
    numbers["error over that of the smallest kappa"] = growth
    measured = (
        "; ".join(parts)
        + f". Up to {_BEYOND:g} times the longest window errors are at most {max(rises):.3f} times "
        f"the lowest before: the window's end is not one that is seen. From kappa = "
        f"{min(p['kappas']):g} to {hardest:g} the error is multiplied by "
        + " and ".join(
            f"{x:.2g} ({'as many measurements' if kind == 'few' else 'kappa^6 times as many'})"
            for kind, x in growth.items()
        )
    )
    if not constants:
        right = "smaller starts: with these every window is empty"
        return Verdict(Status.FAILS, measured, right, numbers)
    good = max(constants) <= _OPEN and max(rises) <= _RISE
    return Verdict(Status.HOLDS if good else Status.FAILS, measured, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Errors in time with their windows and bounds, and errors at the ends over alpha."""
    from leanrank.research.experiments import _drawing as look

    kappas = p["kappas"]
    figure, axes = look.panels(
        len(kappas) + 1,
        f"Theorem 1.1: errors from starts of scale alpha, m = {p['multiple']:g} d r; dashed: the "
        "bound with constant 1, over its window",
        width=3.7,
    )
    for ax, kappa in zip(axes, kappas, strict=False):
        rows = results.where(kind="few", kappa=kappa)
        windows = _windows(p, kappa)
        for colour, scale, window, i in zip(
            look.shades(len(p["scales"])), p["scales"], windows, range(len(windows)), strict=True
        ):
            values = rows.column("error")[:, i]
            _implicit.spread(
                ax, rows[0]["times"], values, colour, np.mean, label=f"alpha = {scale:g}"
            )
            if window[0] < window[1]:
                bound = implicit_error_bound(scale, p["d"], kappa=kappa)
                ax.plot(window, [bound, bound], "--", color=colour, linewidth=1.2)
        ax.set(xscale="log", yscale="log", xlabel="step")
        look.heading(ax, f"|U U' - X|_F, kappa = {kappa:g}")
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside right center",
        frameon=False,
        fontsize=8,
        labelcolor=look.INK,
    )
    last = axes[-1]
    for colour, kappa in zip(cycle(look.COLOURS), kappas, strict=False):
        for kind, style in (("few", "-o"), ("asked", "--s")):
            rows = results.where(kind=kind, kappa=kappa)
            if len(rows):
                ends = _behaviour(p, rows, kappa)["error_at_end"]
                more = "" if kind == "few" else ", m kappa^6"
                last.plot(
                    p["scales"],
                    ends,
                    style,
                    color=colour,
                    markersize=4,
                    label=f"kappa = {kappa:g}{more}",
                )
    last.set(xscale="log", yscale="log", xlabel="alpha")
    look.heading(last, "at the end of the window")
    look.legend(last, fontsize=7)
    return figure


experiment = Experiment(
    name="implicit-theorem11",
    title="The window of the error bound, and its powers of alpha and kappa",
    reference="Li, Ma and Zhang (2018), Theorems 1.1 and 4.1",
    claim="From kappa log(d / alpha) / eta to 1 / (eta sqrt(d kappa alpha)) steps the squared "
    "error is at most of order alpha sqrt(d) / kappa^2: no early stopping is needed.",
    criterion=f"HOLDS if the mean error keeps to the bound with a constant of at most {_OPEN:g} "
    "over each window, from 2 kappa log(d / alpha) / eta steps on, and never rises later by more "
    f"than {100 * (_RISE - 1):.0f} %.",
    parameters={
        "d": Parameter(20, 12, "size of X", least=2),
        "rank": Parameter(2, None, "rank of X", least=1),
        "kappas": Parameter((1.0, 2.0, 4.0), (1.0, 2.0), "condition numbers of X", least=1),
        "multiple": Parameter(10.0, None, "measurements over d r", above=0),
        "scales": Parameter(
            (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7),
            (1e-2, 1e-3, 1e-4, 1e-5),
            "alpha",
            above=0,
            fewest=2,
        ),
        "eta": Parameter(0.2, None, "of update (5)", above=0),
        "seeds": Parameter(2, 1, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

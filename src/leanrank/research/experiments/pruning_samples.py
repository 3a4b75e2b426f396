"""Eq. (17) of the pruning paper: how many measurements Theorem 4 takes, over k, r, sigma_r, noise.

Around one setting each of the four is changed alone. The number of measurements grows in multiples
of the degrees of freedom until almost all runs do as Theorem 4 says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import initial
from leanrank.research import theory
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.experiments._sensing import pruned, sensing, spectrum, truth_of
from leanrank.research.experiments._tolerance import Tolerance
from leanrank.research.experiments._trends import cells_along, values_along
from leanrank.solvers import LBFGS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_SHARE = 0.9
_POWERS = {"width": 2.0, "rank": 5.0, "sigma": -4.0}
"""Of k, r and sigma_r in eq. (17)."""
_NAMES = {
    "width": "number of columns k",
    "rank": "rank r",
    "sigma": r"smallest singular value $\sigma_r$",
    "noise": r"noise $\sigma$",
}


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Each axis by itself, over measurements; trials of one stream share their random numbers."""
    common = {k: p[k] for k in ("d", "scale", "iterations")}
    cells = cells_along(p, _NAMES)
    return [
        {**cell, "times": times, "stream": i, **common}
        for cell in cells
        for times in p["multiples"]
        for i in range(p["seeds"])
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Columns that Algorithm 1 keeps and its error in units of sigma_r squared."""
    d, r = t["d"], t["rank"]
    truth = truth_of(d, spectrum(r, t["sigma"]), rng)
    start = initial.gaussian((d, d), t["width"], scale=t["scale"], symmetric=True, random_state=rng)
    freedom = theory.degrees_of_freedom((d, d), r, symmetric=True)
    problem = sensing(truth, math.ceil(t["times"] * freedom), rng, t["noise"])
    asked = theory.pruning_parameters(t["sigma"], r, t["width"])
    found = pruned(problem, start, asked, LBFGS(), t["iterations"], rng).factors
    return {"kept": found.width, "error": found.distance(truth) / t["sigma"] ** 2}


def _enough(p: Mapping[str, Any], results: Results, axis: str) -> np.ndarray:
    """Measurements from which on almost all runs are right, along an axis; infinite if never."""
    middle = {a: p[a] for a in _NAMES if a != axis}
    needed = []
    for x in values_along(p, axis):
        cell = results.where(**middle, **{axis: x})
        rank = cell[0]["rank"]
        freedom = theory.degrees_of_freedom((p["d"], p["d"]), rank, symmetric=True)
        least = math.inf
        for times in sorted(p["multiples"], reverse=True):
            rows = cell.where(times=times)
            good = (rows.column("kept") == rank) & (rows.column("error") <= 0.5)
            if good.mean() < _SHARE:
                break
            least = math.ceil(times * freedom)
        needed.append(least)
    return np.array(needed)


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether the numbers needed are there, and grow with no larger powers than eq. (17) has."""
    enough = {axis: _enough(p, results, axis) for axis in _NAMES}
    numbers: dict[str, Any] = {"enough": enough, "powers": {}}
    parts, above = [], []
    for axis, printed in _POWERS.items():
        x, n = np.array(values_along(p, axis)), enough[axis]
        if x.size < 2 or not np.isfinite(n).all():
            continue
        power = float(np.polyfit(np.log(x), np.log(n), 1)[0])
        numbers["powers"][axis] = power
        parts.append(f"{axis} to the {power:.2f} (eq. (17): {printed:g})")
        if abs(power) > abs(printed) and power * printed > 0:
            above.append(axis)
    missing = [axis for axis in _NAMES if not np.isfinite(enough[axis]).all()]
    noisy = ", ".join(
        f"{n:g} at {s:g}" for s, n in zip(values_along(p, "noise"), enough["noise"], strict=True)
    )
    measured = (
        f"the measurements from which on {_SHARE:.0%} of the runs keep exactly r columns with an "
        f"error of at most half of sigma_r^2 grow as {', as '.join(parts)}; over the noise they "
        f"are {noisy}"
    )
    if missing:
        condition = f"{max(p['multiples']):g} times the degrees of freedom do not for all of "
        return Verdict(Status.FAILS, measured, condition + ", ".join(missing), numbers)
    if above:
        return Verdict(Status.FAILS, measured, f"a larger power of {', '.join(above)}", numbers)
    return Verdict(Status.HOLDS, measured, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Measurements needed along each axis, and the power of eq. (17) beside them."""
    from leanrank.research.experiments import _drawing as look

    size = f"d = {p['d']}, k = {p['width']}, r = {p['rank']}, no noise unless it is changed"
    figure, axes = look.panels(4, f"What Theorem 4 takes, around {size}", width=3.4)
    for ax, (axis, name) in zip(axes, _NAMES.items(), strict=True):
        x, n = np.array(values_along(p, axis), dtype=float), _enough(p, results, axis)
        ax.plot(x, n, "o-", color=look.BLUE, label="measured")
        rows = [theory.degrees_of_freedom((p["d"], p["d"]), int(r), symmetric=True) for r in x]
        freedom = rows if axis == "rank" else [_freedom(p)] * x.size
        ax.plot(x, freedom, "-.", color=look.INK, linewidth=0.8, label="degrees of freedom")
        if axis in _POWERS:
            at = int(np.flatnonzero(x == p[axis])[0])
            line = n[at] * (x / x[at]) ** _POWERS[axis]
            ax.plot(x, line, "--", color=look.RED, label="power of eq. (17)")
            ax.set(xscale="log", yscale="log")
            ax.set_xticks(x, [f"{v:g}" for v in x])
            ax.minorticks_off()
            ax.set_yticks([50, 100, 200, 500, 1000], ["50", "100", "200", "500", "1000"])
            ax.set_ylim(15, 2000)
        else:
            ax.set_ylim(bottom=0)
        ax.set(xlabel=name, ylabel="measurements n")
    look.legend(axes[0], loc="upper left")
    return figure


def _freedom(p: Mapping[str, Any]) -> int:
    freedom: int = theory.degrees_of_freedom((p["d"], p["d"]), p["rank"], symmetric=True)
    return freedom


experiment = Experiment(
    name="pruning-samples",
    title="Measurements that Theorem 4 takes, over k, r, sigma_r and noise",
    reference="Rajaraman et al. (2023), Theorem 4 and eq. (17)",
    claim="Of the order of (1 + sigma^2) / sigma_r^4 d k^2 r^5 log(d / eta) Gaussian measurements "
    "are enough for exactly r columns and an error of at most half of sigma_r^2.",
    criterion=f"HOLDS if some number of measurements does in {_SHARE:.0%} of the runs in every "
    "cell, and the least one grows with no larger powers of k, r and 1 / sigma_r than 2, 5 and 4.",
    parameters={
        "d": Parameter(20, 14, "size of the matrix", least=2),
        "width": Parameter(20, 14, "number of columns k", least=1),
        "widths": Parameter((5, 10, 20, 40), (5, 28), "others", least=1),
        "rank": Parameter(3, 2, "rank of X, at most the widths", least=2),
        "ranks": Parameter((2, 3, 5), (2, 4), "others", least=2),
        "sigma": Parameter(1.0, None, "smallest singular value of U*; the largest is 1", above=0),
        "sigmas": Parameter((1.0, 0.8, 0.6, 0.4), (1.0, 0.6), "others", above=0),
        "noise": Parameter(0.0, None, "its standard deviation", least=0),
        "noises": Parameter((0.0, 0.1, 0.3, 0.5), (0.0, 0.3), "others", least=0),
        "multiples": Parameter(
            (0.8, 1.0, 1.2, 1.4, 1.7, 2.0, 3.0, 5.0, 10.0, 16.0),
            (1.0, 1.4, 2.0, 4.0, 8.0),
            "measurements over the degrees of freedom",
            above=0,
        ),
        "scale": Parameter(0.1, None, "standard deviation of the start", above=0),
        "iterations": Parameter(2000, None, "most steps of L-BFGS", least=1),
        "seeds": Parameter(10, 3, "problems in each cell", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
    # A run at the edge may go either way by rounding, which moves its cell by a step of the grid.
    tolerances={
        "enough.*": Tolerance(relative=0.6),
        "powers.*": Tolerance(absolute=0.6),
    },
)

"""Theorem 9 of the pruning paper's older version: how many gradients Algorithm 1 takes.

Perturbed descent with the step size of Theorem 8 goes to the accuracy of eq. (10) on the population
loss, then descent without a penalty to that accuracy. Each of k, r and sigma_r is changed alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import initial
from leanrank.operators import FullObservation
from leanrank.research import theory
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.experiments._sensing import spectrum, truth_of
from leanrank.research.experiments._tolerance import Tolerance
from leanrank.research.experiments._trends import cells_along, values_along
from leanrank.research.greedy import greedy_prune
from leanrank.solvers import PerturbedGradientDescent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_POWERS = {"width": 1.0, "rank": 5.0, "sigma": -7.0}
"""Of k, r and sigma_r in the second term of eq. (19)."""
_NAMES = {"width": "number of columns k", "rank": "rank r", "sigma": r"$\sigma_r$"}


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Each axis by itself; trials of one stream share their random numbers."""
    common = {k: p[k] for k in ("d", "norm", "iterations")}
    cells = cells_along(p, _NAMES)
    return [{**cell, "stream": i, **common} for cell in cells for i in range(p["seeds"])]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Gradients of both phases, and what they led to."""
    d, r = t["d"], t["rank"]
    truth = truth_of(d, spectrum(r, t["sigma"]), rng)
    scale = t["norm"] * d**-0.5
    start = initial.gaussian((d, d), t["width"], scale=scale, symmetric=True, random_state=rng)
    asked = theory.pruning_parameters(t["sigma"], r, t["width"])
    step = theory.invariant_step_size()
    result = greedy_prune(
        FullObservation((d, d)),
        truth.to_dense(),
        lam=asked.lam,
        beta=asked.beta,
        epsilon=asked.epsilon,
        gamma=asked.gamma,
        step_size=step,
        solver=PerturbedGradientDescent(step, threshold=asked.epsilon, random_state=rng),
        start=start,
        operator_norm=3.0,
        max_iter=t["iterations"],
        fine_tune_steps=t["iterations"],
        random_state=rng,
    )
    phases = np.array(result.history.column("phase"))
    gradients = np.array(result.history.column("gradient_norm"))
    tuning = gradients[phases == "fine-tune"]
    reached = tuning <= asked.epsilon
    return {
        "search": int(np.sum(phases == "penalise")),
        "tune": int(reached.argmax()) if reached.any() else tuning.size,
        "converged": result.status.name == "CONVERGED",
        "kept": result.rank,
        "promised": theory.gradient_calls(t["sigma"], r, t["width"], 100 * d, d),
    }


def _calls(p: Mapping[str, Any], results: Results, axis: str, name: str = "search") -> np.ndarray:
    """Median calls along an axis."""
    middle = {a: p[a] for a in _NAMES if a != axis}
    rows = [results.where(**middle, **{axis: x}).column(name) for x in values_along(p, axis)]
    return np.array([np.median(x) for x in rows])


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether calls grow with no larger powers than eq. (19) has."""
    calls = {axis: _calls(p, results, axis) for axis in _NAMES}
    powers = {
        axis: float(np.polyfit(np.log(values_along(p, axis)), np.log(n), 1)[0])
        for axis, n in calls.items()
        if n.size > 1
    }
    converged = float(results.column("converged").mean())
    share = results.column("search") / results.column("promised")
    numbers = {
        "calls": calls,
        "fine_tuning_calls": {axis: _calls(p, results, axis, "tune") for axis in _NAMES},
        "powers": powers,
        "converged": converged,
        "largest_share_of_promised": float(share.max()),
    }
    grown = ", ".join(f"{a} to the {x:.2g} (eq. (19): {_POWERS[a]:g})" for a, x in powers.items())
    measured = (
        f"{results.column('search').min()} to {results.column('search').max()} gradients to a "
        f"stationary point, at most {results.column('tune').max()} of fine-tuning; they grow as "
        f"{grown}; {converged:.0%} of the runs converge"
    )
    above = [a for a, x in powers.items() if x * _POWERS[a] > 0 and abs(x) > abs(_POWERS[a])]
    if above:
        return Verdict(Status.FAILS, measured, f"a larger power of {', '.join(above)}", numbers)
    if converged < 1.0:
        condition = f"more than {p['iterations']} steps for some"
        return Verdict(Status.FAILS, measured, condition, numbers)
    return Verdict(Status.HOLDS, measured, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Calls along each axis, and the power of eq. (19) beside them."""
    from leanrank.research.experiments import _drawing as look

    size = f"d = {p['d']}, k = {p['width']}, r = {p['rank']}"
    figure, axes = look.panels(3, f"Gradients of Algorithm 1 at eq. (10), around {size}", width=3.6)
    for ax, (axis, name) in zip(axes, _NAMES.items(), strict=True):
        x = np.array(values_along(p, axis), dtype=float)
        n, tune = _calls(p, results, axis), _calls(p, results, axis, "tune")
        ax.plot(x, n, "o-", color=look.BLUE, label="to a stationary point")
        ax.plot(x, np.maximum(tune, 1), "s-", color=look.COLOURS[2], label="of fine-tuning")
        at = int(np.flatnonzero(x == p[axis])[0])
        line = n[at] * (x / x[at]) ** _POWERS[axis]
        ax.plot(x, line, "--", color=look.RED, label="power of eq. (19)")
        ax.set(xscale="log", yscale="log", xlabel=name, ylabel="gradients")
        ax.set_xticks(x, [f"{v:g}" for v in x])
        ax.minorticks_off()
    look.legend(axes[0], loc="center right")
    return figure


experiment = Experiment(
    name="pruning-theorem9",
    title="Gradients that Algorithm 1 takes, over k, r and sigma_r",
    reference="Rajaraman et al. (2023), Theorem 9 of the older version",
    claim="Algorithm 1 makes of the order of log(n / (d sigma_r)) / sigma_r^10 + k r^5 / sigma_r^7 "
    "gradient calls.",
    criterion="HOLDS if all runs converge, and the calls to a stationary point grow with no larger "
    "powers of k, r and 1 / sigma_r than 1, 5 and 7.",
    parameters={
        "d": Parameter(20, 10, "size of the matrix", least=2),
        "width": Parameter(20, 10, "number of columns k", least=1),
        "widths": Parameter((5, 10, 20, 40), (5, 20), "others", least=1),
        "rank": Parameter(3, 2, "rank of X, at most the widths", least=2),
        "ranks": Parameter((2, 3, 5), (2, 4), "others", least=2),
        "sigma": Parameter(1.0, None, "smallest singular value of U*; the largest is 1", above=0),
        "sigmas": Parameter((1.0, 0.8, 0.6, 0.5), (1.0, 0.7), "others", above=0),
        "norm": Parameter(0.5, None, "length of a column at the start", above=0),
        "iterations": Parameter(40_000, None, "most steps of each phase", least=1),
        "seeds": Parameter(3, 2, "problems in each cell", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
    # Where a run leaves a saddle point, and when, hangs on rounding.
    tolerances={
        "calls.*": Tolerance(5, relative=0.3),
        "fine_tuning_calls.*": Tolerance(5, relative=0.3),
        "powers.*": Tolerance(0.3),
        "largest_share*": Tolerance(relative=0.3),
    },
)

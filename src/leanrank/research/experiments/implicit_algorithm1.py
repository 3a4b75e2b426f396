r"""Algorithm 1 of Li, Ma, Zhang: do truncation and rescaling help to learn quadratic networks?

Step sizes are those of the literal gradient of (1/m) sum_i (y^_i - y_i)^2, a quarter of the
eta in steps :math:`\eta \tilde M U`. Errors are :math:`|UU^\top - X_\star|_F / |X_\star|_F`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.operators import Centred
from leanrank.problem import Problem
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
from leanrank.research.solvers import RescaledGradientDescent
from leanrank.solvers import GradientDescent, Solver, iterate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_METHODS = {
    "descent": "gradient descent",
    "algorithm1": "Algorithm 1",
    "estimated": "Algorithm 1, tau = mean of y",
    "printed": "Algorithm 1, rescaling as printed",
    "centred": "descent on the centred loss",
}
_EVERY = 25
"""Steps from one measured error to the next."""
_RECOVERED = 0.05
_WHOLE = ("none", math.inf)
"""Kind and radius of no truncation at all."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """All methods at all sample sizes, and Algorithm 1 at one of them with all truncations."""
    common = {k: p[k] for k in ("d", "rank", "init", "step_size", "iterations")}
    settings = [(method, ratio, *_WHOLE) for ratio in p["samples"] for method in _METHODS]
    at = p["truncated_at"]
    radii = [_WHOLE, *((kind, R) for kind in p["truncations"] for R in p["radii"])]
    settings += [("algorithm1", at, kind, R) for kind, R in radii]
    # The same truth and, one after another, the same samples for all settings of a seed.
    return [
        {"method": method, "ratio": ratio, "truncation": kind, "radius": R, **common, "stream": i}
        for method, ratio, kind, R in dict.fromkeys(settings)
        for i in range(p["seeds"])
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Relative errors along the run, measured every 25 steps, and where a run diverged."""
    d, m = t["d"], t["ratio"] * t["d"]
    # Single precision takes half the time; its rounding is far below all errors here.
    problem, truth = _implicit.network(d, t["rank"], m, rng, dtype=np.float32)
    op, y = problem.op, problem.y
    if t["method"] == "centred":
        problem = Problem(Centred(op), y - np.mean(y))
    start = _implicit.identity(problem, t["init"])
    errors = np.full(t["iterations"] // _EVERY + 1, np.inf)
    states = iterate(_solver(t), problem, start)
    for state in islice(states, t["iterations"] + 1):
        if state.iteration % _EVERY == 0 and state.point.is_finite:
            errors[state.iteration // _EVERY] = state.factors.distance(truth) / truth.norm()
    return {"errors": errors, "error": errors[-1]}


def _solver(t: Trial) -> Solver:
    step = t["step_size"]
    if t["method"] in ("descent", "centred"):
        return GradientDescent(step)
    return RescaledGradientDescent(
        step,
        trace=None if t["method"] == "estimated" else float(t["rank"]),
        radius=t["radius"] * t["rank"],
        truncation="output" if t["truncation"] == "none" else t["truncation"],
        rescaling="printed" if t["method"] == "printed" else "consistent",
    )


def _median(results: Results, **which: Any) -> float:
    return float(np.median(results.where(**which).column("error")))


def _sweep(p: Mapping[str, Any], results: Results) -> dict[str, np.ndarray]:
    """Median errors of each method over the sample sizes, without truncation."""
    return {
        method: np.array(
            [_median(results, method=method, ratio=n, truncation="none") for n in p["samples"]]
        )
        for method in _METHODS
    }


def _cut(p: Mapping[str, Any], results: Results) -> dict[str, np.ndarray]:
    """Median errors of Algorithm 1 over the radii, the infinite one last, for each truncation."""
    runs = results.where(method="algorithm1", ratio=p["truncated_at"])
    whole = _median(runs, truncation="none")
    return {
        kind: np.array([*(_median(runs, truncation=kind, radius=R) for R in p["radii"]), whole])
        for kind in p["truncations"]
    }


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether Algorithm 1 recovers the network, from which m on, and what its parts do."""
    ratios, radii = np.array(p["samples"]), np.array((*p["radii"], math.inf))
    errors, cut = _sweep(p, results), _cut(p, results)
    from_on = {k: holds_from(ratios, e <= _RECOVERED) for k, e in errors.items()}
    better = holds_from(ratios, errors["algorithm1"] < errors["descent"])
    least = {k: holds_from(radii, e <= _RECOVERED) for k, e in cut.items()}
    numbers = {
        "samples_over_d": ratios,
        "median_error": errors,
        "recovers_from": from_on,
        "radii_over_tau": radii,
        "median_error_truncated": cut,
        "smallest_radius_over_tau_that_recovers": least,
    }
    listed = ", ".join(
        f"{a:.2g} against {b:.2g} at m = {n} d"
        for n, a, b in zip(ratios, errors["algorithm1"], errors["descent"], strict=True)
    )
    most = int(np.argmax(ratios))
    bounded = " and ".join(
        f"for {kind}s " + ("at no R tried" if math.isinf(R) else f"from R = {R:g} tau on")
        for kind, R in least.items()
    )
    measured = (
        f"median relative error of Algorithm 1 against plain gradient descent: {listed}. At the "
        f"most samples it is {errors['estimated'][most]:.2g} where tau is the mean of y, "
        f"{errors['printed'][most]:.2g} with the rescaling as printed, and for descent on the "
        f"centred loss, which needs no tau, {errors['centred'][most]:.2g}. Truncated, at "
        f"m = {p['truncated_at']} d, it recovers {bounded}{_divergence(p, results)}"
    )
    found, estimated, first = from_on["algorithm1"], from_on["estimated"], ratios.min()
    if math.isinf(found):
        plain = from_on["descent"]
        right = "" if math.isinf(plain) else f"plain descent recovers from m = {plain:g} d on"
        return Verdict(Status.FAILS, measured, right, numbers)
    conditions = [f"at least about {found:g} d samples"] if found > first else []
    if estimated > found:
        conditions.append(
            "tau known: with the mean of y in its place "
            + (f"{estimated:g} d" if math.isfinite(estimated) else "no number of samples tried")
            + (" are needed" if math.isfinite(estimated) else " is enough")
        )
    if better > first:
        where = f"from m = {better:g} d on only" if math.isfinite(better) else "nowhere here"
        conditions.append(f"rescaling beats plain descent {where}")
    if not conditions:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    return Verdict(Status.HOLDS_WITH, measured, "; ".join(conditions), numbers)


def _divergence(p: Mapping[str, Any], results: Results) -> str:
    """Which methods diverge at which numbers of samples, in how many runs."""
    found = []
    for method, name in _METHODS.items():
        for ratio in p["samples"]:
            errors = results.where(method=method, ratio=ratio, truncation="none").column("error")
            lost = int(np.sum(~np.isfinite(errors)))
            if lost:
                found.append(f"{name} at m = {ratio} d in {lost} of {errors.size} runs")
    return f". Diverged: {', '.join(found)}" if found else ""


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Errors over m, along the runs, and over the radius of the truncation."""
    from leanrank.research.experiments import _drawing as look

    figure, (left, middle, right) = look.panels(
        3, "Algorithm 1 of Li, Ma, Zhang on quadratic networks: samples, steps and truncation"
    )
    ratios = np.array(p["samples"])
    for colour, marker, (method, errors) in zip(
        look.COLOURS, "os^vD", _sweep(p, results).items(), strict=False
    ):
        style: dict[str, Any] = {"color": colour, "label": _METHODS[method]}
        left.plot(ratios, errors, marker=marker, markersize=4, **style)
        lost = ratios[~np.isfinite(errors)]
        left.plot(
            lost,
            np.full(lost.size, 0.98),
            "x",
            color=colour,
            transform=left.get_xaxis_transform(),
            label="diverges" if lost.size else None,
        )
        runs = results.where(method=method, ratio=p["truncated_at"], truncation="none")
        if len(runs):
            path = np.median(runs.column("errors"), axis=0)
            middle.plot(_EVERY * np.arange(path.size), path, linewidth=1.5, **style)
    left.set(yscale="log", xlabel="m / d", ylabel="relative error (median)")
    look.marks(left, sorted(ratios))
    middle.set(yscale="log", xlabel="iteration", ylabel="relative error (median)")
    look.heading(left, f"after {p['iterations']} steps, without truncation")
    look.heading(middle, f"along the runs, m = {p['truncated_at']} d")
    look.legend(left, fontsize=7)
    places = np.arange(len(p["radii"]) + 1)
    for colour, marker, (kind, errors) in zip(
        look.COLOURS[len(_METHODS) :], "os", _cut(p, results).items(), strict=False
    ):
        right.plot(places, errors, color=colour, marker=marker, label=f"{kind} at most R")
    right.set(yscale="log", xlabel="R / tau", ylabel="relative error (median)")
    right.set_xticks(places, [*(f"{R:g}" for R in p["radii"]), "inf"])
    look.heading(right, f"Algorithm 1 truncated, m = {p['truncated_at']} d")
    look.legend(right)
    return figure


experiment = Experiment(
    name="implicit-algorithm1",
    title="Quadratic networks: Algorithm 1 with and without truncation and rescaling, over m",
    reference="Li, Ma, Zhang (2018), Theorem 1.2 and Algorithm 1, Appendix A",
    claim="From a small start, gradient descent with truncation and rescaling learns an "
    "over-parameterised quadratic network from about d samples, up to factors of rank, condition "
    "and logarithms.",
    criterion="HOLDS if from the fewest samples on Algorithm 1 has a median relative error of at "
    f"most {_RECOVERED:g}, also with the mean of y for tau, and a smaller one than plain descent; "
    "FAILS if no number of samples tried is enough.",
    parameters={
        "d": Parameter(50, 24, "number of features and of neurons of the model", least=2),
        "rank": Parameter(2, None, "true neurons, of unit norm", least=1),
        "samples": Parameter((3, 6, 12, 30, 60), (3, 6, 30), "samples over d", least=1),
        "truncated_at": Parameter(30, None, "samples over d of the runs with truncation", least=1),
        "radii": Parameter(
            (1.0, 1.5, 3.0, 6.0), (1.5, 3.0, 6.0), "radii R of the truncation over tau", above=0
        ),
        "truncations": Parameter(
            ("output", "residual"),
            None,
            "what R bounds: the outputs as printed, or the residuals as in Lemma A.1",
            choices=("output", "residual"),
        ),
        "init": Parameter(1e-3, None, "alpha of the start alpha I", above=0),
        "step_size": Parameter(0.005, None, "step of the literal gradient", above=0),
        "iterations": Parameter(2500, 800, "steps of each run", least=_EVERY),
        "seeds": Parameter(3, 2, "truths and samples for each setting", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

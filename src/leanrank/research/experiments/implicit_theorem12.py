"""Theorem 1.2 of Li, Ma and Zhang: how errors of quadratic networks depend on alpha, kappa, eta."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.operators import RankOneSensing
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
from leanrank.research.solvers import RescaledGradientDescent
from leanrank.research.theory import descent_window
from leanrank.solvers import iterate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_AXES = {"alpha": "scales", "kappa": "kappas", "eta": "etas"}
_LINEAR = 0.95
"""A power of alpha from here on counts as at least linear."""
_OPEN = 10.0
"""What counts as a constant where the paper leaves one open."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """One quantity at a time moves from its first value, for each seed."""
    first = {name: p[values][0] for name, values in _AXES.items()}
    settings = [first | {name: x} for name, values in _AXES.items() for x in p[values]]
    # The first values of all three are one setting.
    different = list({tuple(setting.values()): setting for setting in settings}.values())
    common = {k: p[k] for k in ("d", "rank", "samples", "time")}
    return [{**setting, **common, "stream": i} for i in range(p["seeds"]) for setting in different]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Test error of Algorithm 1 along the run, and when it was first close to its last."""
    d, alpha, kappa, eta = t["d"], t["alpha"], t["kappa"], t["eta"]
    truth = _implicit.conditioned_truth(d, t["rank"], kappa, rng)
    op = RankOneSensing(rng.standard_normal((t["samples"] * d, d)))
    problem, X = Problem(op, op.forward(truth)), truth.to_dense()
    first, _ = descent_window(eta / 4.0, alpha, d, kappa=kappa)
    last = math.ceil(t["time"] * first)
    solver = RescaledGradientDescent(eta / 4.0, trace=float(np.trace(X)))
    errors = []
    states = iterate(solver, problem, _implicit.identity(problem, alpha))
    for state in islice(states, last + 1):
        if not state.point.is_finite:
            return {"error": math.inf, "reached": math.inf, "window": first}
        errors.append(_generalisation(state.factors.to_dense() - X))
    reached = int(np.argmax(np.array(errors) <= 2.0 * errors[-1]))
    return {"error": errors[-1], "reached": reached, "window": first}


def _generalisation(D: np.ndarray) -> float:
    r"""Mean of :math:`(x^\top D x)^2` over standard normal x: 2 |D|_F^2 + (tr D)^2."""
    return float(2.0 * np.sum(D * D) + np.trace(D) ** 2)


def _law(p: Mapping[str, Any], results: Results, name: str, field: str) -> np.ndarray:
    """Medians of a field while one quantity moves and the others have their first values."""
    fixed = {other: p[values][0] for other, values in _AXES.items() if other != name}
    rows = results.where(**fixed)
    return np.array([np.median(rows.where(**{name: x}).column(field)) for x in p[_AXES[name]]])


def _power(x: Any, y: np.ndarray) -> float:
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether the error is at most of order d kappa alpha, and times are of the window's order."""
    errors = {name: _law(p, results, name, "error") for name in _AXES}
    if not all(np.all(np.isfinite(e)) for e in errors.values()):
        return Verdict(
            Status.FAILS, "a run diverged", "shorter steps", {"error": errors, **_values(p)}
        )
    bound = {
        "alpha": p["d"] * p["kappas"][0] * np.array(p["scales"]),
        "kappa": p["d"] * np.array(p["kappas"]) * p["scales"][0],
        "eta": np.full(len(p["etas"]), p["d"] * p["kappas"][0] * p["scales"][0]),
    }
    constants = {name: float((errors[name] / bound[name]).max()) for name in _AXES}
    powers = {name: _power(p[v], errors[name]) for name, v in _AXES.items() if len(p[v]) > 1}
    times = {
        name: _law(p, results, name, "reached") / _law(p, results, name, "window") for name in _AXES
    }
    late = max(float(x.max()) for x in times.values())
    numbers = {
        **_values(p),
        "error": errors,
        "constant": constants,
        "power": powers,
        "time_over_first": times,
    }
    measured = (
        f"the test error is at most {max(constants.values()):.2g} d kappa alpha, and goes like "
        + ", ".join(
            f"{name} to the {powers[name]:.2f} ({errors[name][0]:.2g} at {p[values][0]:g}, "
            f"{errors[name][-1]:.2g} at {p[values][-1]:g})"
            for name, values in _AXES.items()
            if name in powers
        )
        + f"; it is within twice its last value after {min(x.min() for x in times.values()):.2g} "
        f"to {late:.2g} kappa log(d / alpha) / eta steps"
    )
    good = max(constants.values()) <= _OPEN and powers["alpha"] >= _LINEAR
    return Verdict(Status.HOLDS if good else Status.FAILS, measured, numbers=numbers)


def _values(p: Mapping[str, Any]) -> dict[str, Any]:
    return {name: p[values] for name, values in _AXES.items()}


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """The error against each of the three quantities, with the theorem's bound."""
    from leanrank.research.experiments import _drawing as look

    figure, axes = look.panels(
        3,
        f"Theorem 1.2: quadratic networks by Algorithm 1, m = {p['samples']} d; test error "
        "E (y^ - y)^2 of each run, and its median",
    )
    for ax, (name, values) in zip(axes, _AXES.items(), strict=True):
        order = np.argsort(p[values])
        x, median = np.array(p[values])[order], _law(p, results, name, "error")[order]
        fixed = {other: p[v][0] for other, v in _AXES.items() if other != name}
        rows = results.where(**fixed)
        ax.plot(rows.column(name), rows.column("error"), "o", color=look.PALE, markersize=4)
        ax.plot(x, median, "-o", color=look.BLUE, markersize=4, label="measured")
        settings = {other: p[v][0] for other, v in _AXES.items()}
        bound = [
            p["d"] * at["kappa"] * at["alpha"] for at in ({**settings, name: value} for value in x)
        ]
        ax.plot(x, bound, "--", color=look.INK, linewidth=1, label="d kappa alpha")
        ax.set(yscale="log", xlabel=name)
        look.marks(ax, list(x))
        rest = ", ".join(f"{other} = {value:g}" for other, value in fixed.items())
        look.heading(ax, f"at {rest}")
        look.legend(ax)
    axes[0].set_ylabel("test error")
    return figure


experiment = Experiment(
    name="implicit-theorem12",
    title="Quadratic networks: the error's powers of alpha, kappa and eta",
    reference="Li, Ma and Zhang (2018), Theorem 1.2",
    claim="After about kappa log(d / alpha) / eta steps Algorithm 1 learns a quadratic network to "
    "a test error of at most order d kappa alpha, for every small learning rate.",
    criterion=f"HOLDS if the median test error is at most {_OPEN:g} d kappa alpha in every "
    f"setting, and goes like alpha to the {_LINEAR:g} at least.",
    parameters={
        "d": Parameter(24, 12, "number of features", least=2),
        "rank": Parameter(2, None, "true neurons", least=1),
        "samples": Parameter(60, None, "samples over d", least=1),
        "scales": Parameter(
            (1e-3, 1e-2, 3e-3, 3e-4, 1e-4),
            (1e-3, 1e-2, 1e-4),
            "alpha; the first of each of the three stands while another moves",
            above=0,
            fewest=2,
        ),
        "kappas": Parameter((1.0, 2.0, 4.0), None, "condition numbers of X", least=1),
        "etas": Parameter((0.02, 0.01, 0.005), (0.04, 0.02, 0.01), "eta", above=0),
        "time": Parameter(2.0, None, "steps over kappa log(d / alpha) / eta", above=0),
        "seeds": Parameter(5, 2, "networks for each setting", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

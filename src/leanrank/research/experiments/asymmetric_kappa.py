"""Powers of kappa in Theorem 2.8 of Wind: what it asks for and allows, and what descent needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research import theory
from leanrank.research.experiments import _asymmetric as wind
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.solvers import (
    PerturbedSensingDescent,
    tilting_perturbation,
    unbalancing_perturbation,
    worst_isometry,
)
from leanrank.solvers import GradientDescent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_EXPONENT = 2 / 3
_TWICE = 2.0
"""A step is as good as a small one where the error is at most so many times as large."""
_MULTIPLE = 3.0
"""Errors up to so many times kappa xi count as of its order."""
_ASKED = {"isometry": -2.0, "step": -3.0}
"""Powers of kappa in what the theorem asks for."""
_POWER = 3.0
"""That in the perturbations that it allows, 1 / (kappa^3 log(sigma_r / eps^2))."""
_KINDS = {"tilt": tilting_perturbation, "unbalancing": unbalancing_perturbation}


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """At each condition number the isometry constants, the steps and the perturbations."""
    names = ("kappas", "constants", "rates")
    if min(len(set(p[name])) for name in names) < 2:
        raise ValueError(f"{', '.join(names)} must have at least two different values each")
    if _POWER not in p["powers"]:
        raise ValueError(f"powers must have 3, the theorem's, got {p['powers']}")
    common = {k: p[k] for k in ("n", "rank", "shares", "time")}
    parts: list[dict[str, Any]] = [
        {"part": "isometry", "constant": x, "learning_rate": p["learning_rate"]}
        for x in p["constants"]
    ]
    parts += [{"part": "step", "learning_rate": eta} for eta in p["rates"]]
    parts += [
        {"part": "error", "kind": kind, "powers": p["powers"], "learning_rate": p["learning_rate"]}
        for kind in _KINDS
    ]
    return [
        {**part, "kappa": kappa, **common, "stream": i}
        for i in range(p["seeds"])
        for kappa in p["kappas"]
        for part in parts
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """The exponent of eps^2, the error, or errors over kappa xi for sizes xi of a perturbation."""
    kappa, eta = t["kappa"], t["learning_rate"]
    problem, truth = wind.population(t["n"], t["rank"], kappa, rng)
    largest = theory.largest_start(truth.shape, t["rank"], 1.0 / kappa, kappa=kappa)
    if t["part"] == "isometry":
        perturbation = worst_isometry(truth, t["constant"] / t["rank"] ** 0.5)
        solver = PerturbedSensingDescent(eta / 2.0, perturbation)
        scales, unit = np.array(t["shares"]) * largest, wind.start(truth, 1.0, rng)
        return {"exponent": wind.exponent(solver, problem, truth, kappa, scales, t["time"], unit)}
    scale = min(t["shares"]) * largest
    begin, steps = wind.start(truth, scale, rng), wind.steps(eta, kappa, scale, t["time"])
    if t["part"] == "step":
        found = wind.errors_after(GradientDescent(eta / 2.0), problem, truth, begin, steps)
        return {"error": float(found[0])}
    shares = []
    for power in t["powers"]:
        size = 1.0 / (kappa**power * np.log(1.0 / kappa / scale**2))
        solver = PerturbedSensingDescent(eta / 2.0, _KINDS[t["kind"]](truth, size))
        error = wind.errors_after(solver, problem, truth, begin, steps)[0]
        shares.append(error / (kappa * size))
    return {"shares": np.array(shares)}


def _limits(p: Mapping[str, Any], results: Results) -> dict[str, np.ndarray]:
    """The largest isometry constant and step that will do, at each kappa in order."""
    kappas, rates = sorted(set(p["kappas"])), sorted(set(p["rates"]))
    constants = sorted(set(p["constants"]))
    rows = results.where(part="isometry")
    exponents = rows.grid("exponent", np.mean, kappa=kappas, constant=constants)
    errors = results.where(part="step").grid("error", np.max, kappa=kappas, learning_rate=rates)
    # Steps beyond the first that is not good are good by chance only.
    good = np.logical_and.accumulate(errors <= _TWICE * errors[:, :1], axis=1)
    return {
        "isometry": np.array([wind.crossing(constants, row, _EXPONENT) for row in exponents]),
        "step": np.array(rates)[good.sum(axis=1) - 1],
    }


def _shares(p: Mapping[str, Any], results: Results) -> dict[float, np.ndarray]:
    """Worst error over kappa xi at each kappa in order, for each power of kappa in xi."""
    rows, kappas = results.where(part="error"), sorted(set(p["kappas"]))
    worst = rows.grid("shares", lambda x: x.max(axis=0), kappa=kappas)
    return dict(zip(p["powers"], worst.T, strict=True))


def _power(kappas: np.ndarray, values: np.ndarray) -> float:
    """Least-squares slope of logarithms; minus infinity where there is a zero."""
    if not (values > 0).all():
        return -np.inf
    return float(np.polyfit(np.log(kappas), np.log(values), 1)[0])


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether what the theorem asks for is enough at every kappa, and the powers that are seen."""
    kappas = np.array(sorted(set(p["kappas"])))
    limits, shares = _limits(p, results), _shares(p, results)
    powers = {name: _power(kappas, x) for name, x in limits.items()}
    numbers = {
        "kappas": kappas,
        "limits": limits,
        "powers": powers,
        "error_over_kappa_xi": {f"power {x:g}": values for x, values in shares.items()},
    }
    of_sizes = ", ".join(f"{max(x):.3g} at p = {power:g}" for power, x in shares.items())
    measured = (
        f"up to kappa = {kappas[-1]:g} the largest isometry constants that will do go like "
        f"kappa^{powers['isometry']:.2f} (asked: -2), steps like kappa^{powers['step']:.2f} "
        f"(asked: -3); with xi = |Y| / (kappa^p log(sigma_r / eps^2)) the worst error over kappa "
        f"xi is {of_sizes} (allowed: 3)"
    )
    enough = all(powers[name] >= asked for name, asked in _ASKED.items())
    held = enough and max(shares[_POWER]) <= _MULTIPLE
    return Verdict(Status.HOLDS if held else Status.FAILS, measured, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Limits over kappa beside what is asked, and error over xi."""
    from leanrank.research.experiments import _drawing as look

    figure, (isometry, step, error) = look.panels(
        3, "Powers of kappa in Theorem 2.8: what it asks for, and what descent needs"
    )
    kappas, limits = np.array(sorted(set(p["kappas"]))), _limits(p, results)
    labels = ("isometry constant times sqrt(r)", "step eta")
    for ax, name, label in zip((isometry, step), _ASKED, labels, strict=True):
        seen = limits[name]
        ax.plot(kappas, seen, "-o", color=look.BLUE, markersize=4, label="largest that will do")
        asked = seen[0] * kappas ** _ASKED[name]
        ax.plot(kappas, asked, ":", color=look.INK, label=f"asked: kappa^{_ASKED[name]:g}")
        ax.set_ylabel(label)
        wind.log_labels(ax)
        look.legend(ax, loc="lower left")
    for colour, (power, values) in zip(look.COLOURS, _shares(p, results).items(), strict=False):
        label = f"xi = |Y| / (kappa^{power:g} log)"
        error.plot(kappas, values, "-o", color=colour, markersize=4, label=label)
    error.axhline(_MULTIPLE, linestyle=":", color=look.INK, linewidth=1)
    error.set_ylabel("worst error over kappa xi")
    wind.log_labels(error)
    look.legend(error, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for ax in (isometry, step, error):
        ax.set_xlabel("kappa")
        look.marks(ax, list(kappas))
    return figure


experiment = Experiment(
    name="asymmetric-kappa",
    title="Powers of the condition number",
    reference="Wind (2025), Theorem 2.8",
    claim="Isometry constants of at most c / (sqrt(r) kappa^2), steps of at most c / kappa^3 up to "
    "a logarithm, and perturbations of at most c / kappa^3 up to a logarithm are enough at every "
    "condition number, and the error is at most of the order of kappa xi.",
    criterion="HOLDS if neither the largest isometry constant with an exponent of 2/3 nor the "
    "largest step with an error up to twice that of small ones falls faster than asked (least "
    "squares over kappa), and no error at xi = |Y| / (kappa^3 log(sigma_r / eps^2)) is above 3 "
    "kappa xi.",
    parameters={
        "n": Parameter(12, 10, "size of Y, and width", least=3),
        "rank": Parameter(2, None, "rank of Y, below n", least=2),
        "kappas": Parameter((1.0, 2.0, 4.0, 8.0, 16.0), (1.0, 4.0), "condition numbers", least=1),
        "constants": Parameter(
            (0.05, 0.1, 0.2, 0.3, 0.4, 0.6), (0.1, 0.3, 0.6), "rho sqrt(r)", above=0
        ),
        "rates": Parameter(
            (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1), (0.2, 0.8, 1.1), "eta", above=0
        ),
        "powers": Parameter((3.0, 2.0, 1.0), None, "powers p of kappa in xi", least=0),
        "learning_rate": Parameter(0.2, None, "eta, where others are varied", above=0),
        "shares": Parameter((1.0, 0.1, 0.01), (1.0, 0.01), "eps over the largest allowed", above=0),
        "time": Parameter(2.5, None, "time in units of log(sigma_r / eps^2) / sigma_r", above=0),
        "seeds": Parameter(2, 1, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

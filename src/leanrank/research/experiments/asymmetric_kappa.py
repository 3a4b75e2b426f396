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
_KINDS = {"tilt": tilting_perturbation, "unbalancing": unbalancing_perturbation}


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """At each condition number the isometry constants, the steps and the perturbations."""
    if len(set(p["kappas"])) < 2 or len(set(p["constants"])) < 2 or len(set(p["rates"])) < 2:
        raise ValueError("kappas, constants and rates must have at least two different values each")
    common = {k: p[k] for k in ("n", "rank", "shares", "time")}
    parts: list[dict[str, Any]] = [
        {"part": "isometry", "constant": x, "learning_rate": p["learning_rate"]}
        for x in p["constants"]
    ]
    parts += [{"part": "step", "learning_rate": eta} for eta in p["rates"]]
    parts += [
        {"part": "error", "kind": kind, "sizes": p["sizes"], "learning_rate": p["learning_rate"]}
        for kind in _KINDS
    ]
    return [
        {**part, "kappa": kappa, **common, "stream": i}
        for i in range(p["seeds"])
        for kappa in p["kappas"]
        for part in parts
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """The exponent of eps^2, the error, or errors over the sizes of a perturbation."""
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
    errors = []
    for size in t["sizes"]:
        perturbation = _KINDS[t["kind"]](truth, size / kappa)
        solver = PerturbedSensingDescent(eta / 2.0, perturbation)
        errors.append(wind.errors_after(solver, problem, truth, begin, steps)[0])
    return {"errors": np.array(errors)}


def _limits(p: Mapping[str, Any], results: Results) -> dict[str, np.ndarray]:
    """The largest isometry constant and step that will do, at each kappa in order."""
    kappas, rates = sorted(set(p["kappas"])), sorted(set(p["rates"]))
    constants = sorted(set(p["constants"]))
    rows = results.where(part="isometry")
    exponents = rows.grid("exponent", np.mean, kappa=kappas, constant=constants)
    errors = results.where(part="step").grid("error", np.max, kappa=kappas, learning_rate=rates)
    good = errors <= _TWICE * errors[:, :1]
    # The last of the first that are good: a step beyond one that is not is good by chance only.
    last = np.logical_and.accumulate(good, axis=1).sum(axis=1) - 1
    return {
        "isometry": np.array([wind.crossing(constants, row, _EXPONENT) for row in exponents]),
        "step": np.array(rates)[last],
    }


def _over_size(p: Mapping[str, Any], results: Results) -> dict[str, np.ndarray]:
    """Error over xi, shape (kappas in order, sizes), the worst of the instances."""
    kappas = sorted(set(p["kappas"]))
    rows = results.where(part="error")
    sizes = np.array(p["sizes"]) / np.array(kappas)[:, None]
    return {
        kind: rows.where(kind=kind).grid("errors", lambda x: x.max(axis=0), kappa=kappas) / sizes
        for kind in _KINDS
    }


def _power(kappas: np.ndarray, values: np.ndarray) -> float:
    return float(np.polyfit(np.log(kappas), np.log(values), 1)[0])


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether what the theorem asks for is enough at every kappa, and the powers that are seen."""
    kappas = np.array(sorted(set(p["kappas"])))
    limits, over = _limits(p, results), _over_size(p, results)
    usable = all((x > 0).all() for x in limits.values())
    powers = {k: _power(kappas, x) if usable else -np.inf for k, x in limits.items()}
    worst = np.max([x.max(axis=1) for x in over.values()], axis=0)
    small = np.max([x[:, np.argmin(p["sizes"])] for x in over.values()], axis=0)
    powers["error"], powers["error, small xi"] = _power(kappas, worst), _power(kappas, small)
    share = float((worst / kappas).max())
    numbers = {"kappas": kappas, "limits": limits, "powers": powers, "error_over_size": over}
    measured = (
        f"as kappa grows to {kappas[-1]:g}, the worst operators may have an isometry constant that "
        f"goes like kappa^{powers['isometry']:.2f} (asked: -2), the step like "
        f"kappa^{powers['step']:.2f} (asked: -3), and error over xi grows like "
        f"kappa^{powers['error']:.2f} (allowed: 1) for xi up to {max(p['sizes']):g} sigma_r, like "
        f"kappa^{powers['error, small xi']:.2f} for xi of {min(p['sizes']):g} sigma_r; at most "
        f"{share:.2f} kappa xi"
    )
    # What is asked may shrink faster than what will do, and not more slowly.
    enough = usable and all(powers[name] >= asked for name, asked in _ASKED.items())
    status = Status.HOLDS if enough and share <= _MULTIPLE else Status.FAILS
    return Verdict(status, measured, numbers=numbers)


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
    i, j = np.argmin(p["sizes"]), np.argmax(p["sizes"])
    for colour, (kind, x) in zip(look.COLOURS, _over_size(p, results).items(), strict=False):
        label = f"{kind}, xi = {p['sizes'][j]:g} sigma_r"
        error.plot(kappas, x[:, j], "-o", color=colour, markersize=4, label=label)
        label = f"{kind}, xi = {p['sizes'][i]:g} sigma_r"
        error.plot(
            kappas, x[:, i], "--s", color=colour, markersize=6, fillstyle="none", label=label
        )
    error.plot(kappas, kappas, ":", color=look.INK, label="allowed: kappa")
    error.set(ylabel="error over xi")
    wind.log_labels(error)
    look.legend(error, fontsize=7, loc="upper left")
    for ax in (isometry, step, error):
        ax.set_xlabel("kappa")
        look.marks(ax, list(kappas))
    return figure


experiment = Experiment(
    name="asymmetric-kappa",
    title="Powers of the condition number",
    reference="Wind (2025), Theorem 2.8",
    claim="Isometry constants of at most c / (sqrt(r) kappa^2), steps of at most c / kappa^3 up to "
    "a logarithm are enough at every condition number, and the error is at most of the order of "
    "kappa xi.",
    criterion="HOLDS if the largest isometry constant with an exponent of 2/3 falls no faster than "
    "kappa^-2, the largest step with an error up to twice that of small ones no faster than "
    "kappa^-3 (least squares), and no error is above 3 kappa xi.",
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
        "sizes": Parameter((0.001, 0.01, 0.1), (0.001, 0.1), "xi over sigma_r", above=0),
        "learning_rate": Parameter(0.2, None, "eta, where others are varied", above=0),
        "shares": Parameter((1.0, 0.1, 0.01), (1.0, 0.01), "eps over the largest allowed", above=0),
        "time": Parameter(2.5, None, "time in units of log(sigma_r / eps^2) / sigma_r", above=0),
        "seeds": Parameter(3, 1, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

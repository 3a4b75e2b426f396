"""Theorem 2.8 of Wind: error against the scale of the start, and against perturbations."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.factors import Factors
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
from leanrank.research.experiments._trends import holds_from
from leanrank.research.solvers import (
    Perturbation,
    PerturbedSensingDescent,
    constant_perturbation,
    random_perturbation,
    tilting_perturbation,
    unbalancing_perturbation,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_EXPONENT = 2 / 3
_MULTIPLE = 3.0
"""Errors up to so many times kappa xi count as of its order."""
_KINDS = ("constant", "noise", "tilt", "unbalancing", "independent")


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Runs over the scale of the start, and runs over the size of a perturbation."""
    if len(set(p["shares"])) < 2:
        raise ValueError(
            f"shares must have at least two different values for an exponent, got {p['shares']}"
        )
    common = {k: p[k] for k in ("n", "rank", "shares", "time")}
    scale = {"part": "scale", "learning_rate": p["learning_rate"], **common}
    sources = [("perfect", 0.0), *(("fresh", x) for x in p["fresh"])]
    sources += [("fixed", x) for x in p["multiples"]]
    out: list[Trial] = [
        {"source": source, "multiple": x, "kappa": kappa, **scale, "stream": i}
        for i in range(p["seeds"])
        for source, x in sources
        for kappa in (p["kappas"][:2] if source == "perfect" else p["kappas"][:1])
    ]
    size = {"part": "size", "sizes": p["sizes"], "learning_rate": p["perturbed_rate"], **common}
    return out + [
        {"kind": kind, "kappa": kappa, **size, "stream": i}
        for i in range(p["seeds"])
        for kind in p["kinds"]
        for kappa in p["kappas"]
    ]


def _scales(t: Mapping[str, Any], kappa: float) -> np.ndarray:
    """Scales of starts: shares of the largest that the theorem allows, with its constant 1."""
    shape, rank = (t["n"], t["n"]), t["rank"]
    return np.array(t["shares"]) * theory.largest_start(shape, rank, 1.0 / kappa, kappa=kappa)


def _sizes(t: Mapping[str, Any], kappa: float) -> np.ndarray:
    """Sizes of perturbations: shares of the largest allowed, with its constant 1."""
    grown = np.log(1.0 / kappa / _scales(t, kappa).min() ** 2)
    return np.array(t["sizes"]) / (kappa**3 * grown)


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Final errors over the scales, or over the sizes of the perturbation."""
    problem, truth = wind.population(t["n"], t["rank"], t["kappa"], rng)
    eta, kappa = t["learning_rate"], t["kappa"]
    scales = _scales(t, kappa)
    if t["part"] == "size":
        begin = wind.start(truth, scales.min(), rng)
        steps = wind.steps(eta, kappa, scales.min(), t["time"])
        errors = []
        # One direction for all sizes.
        key = int(rng.integers(2**32))
        for size in _sizes(t, kappa):
            perturbation = _perturbation(t["kind"], truth, size, np.random.default_rng(key))
            solver = PerturbedSensingDescent(eta / 2.0, perturbation)
            errors.append(wind.errors_after(solver, problem, truth, begin, steps)[0])
        return {"errors": np.array(errors)}
    # Starts that differ in scale only: the slope is then over nothing but the scale.
    unit = wind.start(truth, 1.0, rng)
    starts = [unit.scaled(scale**2) for scale in scales]
    counts = [wind.steps(eta, kappa, scale, t["time"]) for scale in scales]
    m, rho = round(t["multiple"] * 2 * t["n"] * t["rank"]), 0.0
    if t["source"] == "fresh":
        errors = [
            wind.errors_after(wind.fresh(eta, m, rng), problem, truth, begin, k)[0]
            for begin, k in zip(starts, counts, strict=True)
        ]
        return {"errors": np.array(errors), "rho": rho}
    if t["source"] == "fixed":
        problem = wind.fixed_set(truth, m, rng)
        rank = min(t["rank"] + 1, t["n"])
        rho = theory.restricted_isometry(problem.op, rank, restarts=1, random_state=rng).delta
    together = wind.errors_together(problem, truth, starts, eta, counts)
    return {"errors": together, "rho": rho}


def _perturbation(kind: str, truth: Factors, size: float, rng: np.random.Generator) -> Perturbation:
    """A perturbation of the given operator norm."""
    n1, n2 = truth.shape
    if kind == "independent":
        return random_perturbation(size, rng)
    if kind == "unbalancing":
        return unbalancing_perturbation(truth, size)
    if kind == "tilt":
        return tilting_perturbation(truth, size)
    if kind == "noise":
        N = rng.standard_normal((n1, n2))
        E = np.block([[np.zeros((n1, n1)), N], [N.T, np.zeros((n2, n2))]])
    else:
        E = rng.standard_normal((n1 + n2, n1 + n2))
    return constant_perturbation(E * (size / np.linalg.norm(E, 2)))


def _exponents(p: Mapping[str, Any], results: Results) -> dict[tuple[str, float, float], float]:
    """Mean slope of log error over log scale^2, for each source, multiple and kappa.

    That of a run that diverged is minus infinity.
    """
    rows = results.where(part="scale")
    x = 2 * np.log(p["shares"])
    cases = dict.fromkeys((r["source"], r["multiple"], r["kappa"]) for r in rows)
    out = {}
    for source, multiple, kappa in cases:
        errors = rows.where(source=source, multiple=multiple, kappa=kappa).column("errors")
        slopes = [
            np.polyfit(x, np.log(e), 1)[0] if np.isfinite(e).all() else -np.inf for e in errors
        ]
        out[source, multiple, kappa] = float(np.mean(slopes))
    return out


def _perturbed(p: Mapping[str, Any], results: Results) -> dict[str, np.ndarray]:
    """Errors under each kind of perturbation, shape (kappas in order, seeds, sizes)."""
    return {
        kind: np.array(
            [results.where(kind=kind, kappa=k).column("errors") for k in sorted(set(p["kappas"]))]
        )
        for kind in p["kinds"]
    }


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether exponents reach 2/3 and errors stay below a multiple of kappa xi."""
    exponents = _exponents(p, results)
    fixed = {x: e for (source, x, _), e in exponents.items() if source == "fixed"}
    others = {key: e for key, e in exponents.items() if key[0] != "fixed"}
    enough = holds_from(fixed, (e >= _EXPONENT for e in fixed.values()))
    rows = results.where(part="scale", source="fixed")
    rho = {x: float(np.median(rows.where(multiple=x).column("rho"))) for x in fixed}
    kappas = sorted(set(p["kappas"]))
    sizes = np.array([_sizes(p, k) for k in kappas])
    ratios = {kind: errors / sizes[:, None] for kind, errors in _perturbed(p, results).items()}
    medians = {kind: np.median(r, axis=1) for kind, r in ratios.items()}
    over = np.array(kappas)[:, None, None]
    worst = max(float((r / over).max()) for r in ratios.values())
    growth = {kind: float(r[-1].max() / r[0].max()) for kind, r in medians.items()}
    numbers = {
        "exponent": {f"{s} {x:g} kappa {k:g}": e for (s, x, k), e in exponents.items()},
        "isometry_constant_at_least": {f"{x:g}": value for x, value in rho.items()},
        "error_over_size": medians,
        "growth_with_kappa": growth,
        "largest_error_over_kappa_size": worst,
    }
    of_fixed = ", ".join(f"{e:.2f} at {x:g}" for x, e in fixed.items())
    measured = (
        f"error ~ (eps^2)^e with e = {min(others.values()):.2f} to {max(others.values()):.2f} for "
        f"perfect and fresh measurements, and on fixed sets of x r (n1 + n2) measurements "
        f"{of_fixed}; error at most {worst:.2f} kappa xi"
    )
    if len(kappas) > 1:
        growing = [kind for kind, g in growth.items() if g > 2]
        measured += f", and over xi it grows with kappa for {' and '.join(growing) or 'none'}"
    if np.isinf(enough) or min(others.values()) < _EXPONENT or not worst <= _MULTIPLE:
        return Verdict(Status.FAILS, measured, numbers=numbers)
    if enough == min(fixed):
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    condition = (
        f"measurements that are perfect or fresh, or fixed sets of {enough:g} r (n1 + n2) or more, "
        f"where the isometry constant is {rho[enough]:.2g} or somewhat above"
    )
    return Verdict(Status.HOLDS_WITH, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Errors over the scale, exponents over m, errors over the perturbation and kappa."""
    from leanrank.research.experiments import _drawing as look

    figure, (scale, power, size, condition) = look.panels(
        4,
        "Theorem 2.8: error against the scale of the start and the size of perturbations",
        rows=2,
        width=5.4,
    )
    exponents = _exponents(p, results)
    kappa = p["kappas"][0]
    rows = results.where(part="scale", kappa=kappa)
    order = np.argsort(p["shares"])
    x = _scales(p, kappa)[order] ** 2

    def line(source: str, multiple: float, style: str, **look_of: Any) -> None:
        errors = np.median(rows.where(source=source, multiple=multiple).column("errors"), axis=0)
        label = source if source == "perfect" else f"{source}, {multiple:g}"
        scale.plot(x, errors[order], style, label=label, **look_of)

    # Perfect and fresh measurements nearly agree: markers on a broad band.
    line("perfect", 0.0, "-", color=look.PALE, linewidth=7)
    for i, multiple in enumerate(p["fresh"]):
        line(
            "fresh", multiple, "sv^D"[i % 4], color=look.RED, markersize=6 - i % 4, fillstyle="none"
        )
    for colour, multiple in zip(look.shades(len(p["multiples"])), p["multiples"], strict=True):
        line("fixed", multiple, "-o", color=colour, markersize=3)
    top = np.median(rows.where(source="perfect").column("errors"), axis=0).max()
    scale.plot(x, 4 * top * (x / x.max()) ** _EXPONENT, ":", color=look.INK, label="slope 2/3")
    scale.set(xscale="log", yscale="log", xlabel="eps^2", ylabel="final error")
    beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "title_fontsize": 8}
    look.legend(scale, title="measurements", fontsize=7, **beside)
    for source, style, colour in (("fixed", "-o", look.BLUE), ("fresh", "s", look.RED)):
        found = sorted((x, e) for (name, x, _), e in exponents.items() if name == source)
        power.plot(*zip(*found, strict=True), style, color=colour, markersize=4, label=source)
    power.axhline(_EXPONENT, linestyle=":", color=look.INK, linewidth=1)
    power.set(ylim=(0, 1.1), xlabel="measurements over r (n1 + n2)", ylabel="exponent of eps^2")
    look.marks(power, sorted({*p["multiples"], *p["fresh"]}))
    look.legend(power)
    kappas, order = sorted(set(p["kappas"])), np.argsort(p["sizes"])
    sizes = np.array([_sizes(p, k)[order] for k in kappas])
    for colour, (kind, errors) in zip(cycle(look.COLOURS), _perturbed(p, results).items()):
        medians = np.median(errors, axis=1)[:, order]
        # Beside each other: several kinds of perturbation end at the same error.
        size.plot(sizes[0], medians[0] / sizes[0], "-o", color=colour, markersize=4, label=kind)
        if len(kappas) > 1:
            last = medians[-1] / sizes[-1]
            size.plot(sizes[-1], last, "--s", color=colour, markersize=4, fillstyle="none")
        ratios = (medians / sizes).max(axis=1)
        condition.plot(kappas, ratios, "-o", color=colour, markersize=4, label=kind)
    dashed = f", dashed: {kappas[-1]:g}" if len(kappas) > 1 else ""
    look.heading(size, f"solid: kappa = {kappas[0]:g}{dashed}")
    size.set(xscale="log", xlabel="perturbation xi", ylabel="final error over xi")
    wind.log_labels(size)
    condition.plot(kappas, kappas, ":", color=look.INK, label="kappa")
    condition.set(xlabel="kappa", ylabel="largest final error over xi")
    wind.log_labels(condition)
    look.marks(condition, kappas)
    look.legend(condition, title="perturbation", fontsize=7, **beside)
    return figure


experiment = Experiment(
    name="asymmetric-theorem28",
    title="Error against the scale of the start and the size of perturbations",
    reference="Wind (2025), Theorem 2.8",
    claim="From a start of scale eps <= c sqrt(sigma_r) / (min(n1, n2)^2 / r^2 + kappa) and under "
    "perturbations up to xi <= c |Y| / (kappa^3 log(sigma_r / eps^2)) the error is at most a "
    "constant times (eps^2)^(2/3) + kappa xi.",
    criterion="HOLDS if the exponent, a mean over instances, is 2/3 or more (no slack) for perfect "
    "measurements, fresh ones and fixed sets of every size, and no error is above 3 kappa xi; with "
    "a condition if fixed sets have to be larger.",
    parameters={
        "n": Parameter(20, None, "size of Y, and width", least=2),
        "rank": Parameter(2, None, "rank of Y", least=1),
        "shares": Parameter(
            (1.0, 0.3, 0.1, 0.03, 0.01), (1.0, 0.1, 0.01), "eps over the largest allowed", above=0
        ),
        "multiples": Parameter(
            (2.0, 3.0, 5.0, 10.0, 20.0, 40.0, 80.0),
            (2.0, 10.0, 20.0),
            "measurements of fixed sets over r (n1 + n2)",
            above=0,
        ),
        "fresh": Parameter((2.0, 10.0), (2.0,), "fresh ones in each step", above=0),
        "sizes": Parameter((0.01, 0.1, 1.0), (0.1, 1.0), "xi over the largest allowed", above=0),
        "kappas": Parameter((1.0, 4.0, 16.0), (1.0, 4.0), "condition numbers", least=1),
        "kinds": Parameter(_KINDS, ("tilt", "unbalancing"), "perturbations", choices=_KINDS),
        "learning_rate": Parameter(0.05, None, "eta", above=0),
        "perturbed_rate": Parameter(0.2, None, "eta of the perturbed runs", above=0),
        "time": Parameter(2.5, None, "time in units of log(sigma_r / eps^2) / sigma_r", above=0),
        "seeds": Parameter(4, 1, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

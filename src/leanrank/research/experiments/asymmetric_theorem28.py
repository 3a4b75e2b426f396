"""Theorem 2.8 of Wind: error against the scale of the start, and against perturbations."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.factors import Factors
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
_SLACK = 0.05
_MULTIPLE = 3.0
"""Errors up to so many times kappa xi count as of its order."""
_KINDS = ("constant", "noise", "tilt", "unbalancing", "independent")


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Runs over the scale of the start, and runs over the size of a perturbation."""
    if len(set(p["scales"])) < 2:
        raise ValueError(
            f"scales must have at least two different values for an exponent, got {p['scales']}"
        )
    common = {k: p[k] for k in ("n", "rank", "learning_rate", "time")}
    scale = {"part": "scale", "scales": p["scales"], **common}
    sources = [("perfect", 0.0), *(("fresh", x) for x in p["fresh"])]
    sources += [("fixed", x) for x in p["multiples"]]
    out: list[Trial] = [
        {"source": source, "multiple": x, "kappa": kappa, **scale, "stream": i}
        for i in range(p["seeds"])
        for source, x in sources
        for kappa in (p["kappas"][:2] if source == "perfect" else p["kappas"][:1])
    ]
    size = {"part": "size", "sizes": p["sizes"], "scale": min(p["scales"]), **common}
    size["learning_rate"] = p["perturbed_rate"]
    return out + [
        {"kind": kind, "kappa": kappa, **size, "stream": i}
        for i in range(p["seeds"])
        for kind in p["kinds"]
        for kappa in p["kappas"]
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Final errors over the scales, or over the sizes of the perturbation."""
    problem, truth = wind.population(t["n"], t["rank"], t["kappa"], rng)
    eta, kappa = t["learning_rate"], t["kappa"]
    if t["part"] == "size":
        begin = wind.start(truth, t["scale"], rng)
        steps = wind.steps(eta, kappa, t["scale"], t["time"])
        errors = []
        # One direction for all sizes.
        key = int(rng.integers(2**32))
        for size in t["sizes"]:
            perturbation = _perturbation(t["kind"], truth, size, np.random.default_rng(key))
            solver = PerturbedSensingDescent(eta / 2.0, perturbation)
            errors.append(wind.errors_after(solver, problem, truth, begin, steps)[0])
        return {"errors": np.array(errors)}
    # Starts that differ in scale only: the slope is then over nothing but the scale.
    unit = wind.start(truth, 1.0, rng)
    starts = [unit.scaled(scale**2) for scale in t["scales"]]
    counts = [wind.steps(eta, kappa, scale, t["time"]) for scale in t["scales"]]
    m = round(t["multiple"] * 2 * t["n"] * t["rank"])
    if t["source"] == "fresh":
        errors = [
            wind.errors_after(wind.fresh(eta, m, rng), problem, truth, begin, k)[0]
            for begin, k in zip(starts, counts, strict=True)
        ]
        return {"errors": np.array(errors)}
    if t["source"] == "fixed":
        problem = wind.fixed_set(truth, m, rng)
    return {"errors": wind.errors_together(problem, truth, starts, eta, counts)}


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
    x = 2 * np.log(p["scales"])
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
    least = _EXPONENT - _SLACK
    fixed = {x: e for (source, x, _), e in exponents.items() if source == "fixed"}
    others = {key: e for key, e in exponents.items() if key[0] != "fixed"}
    enough = holds_from(fixed, (e >= least for e in fixed.values()))
    kappas = np.array(sorted(set(p["kappas"])))
    ratios = {kind: errors / p["sizes"] for kind, errors in _perturbed(p, results).items()}
    medians = {kind: np.median(r, axis=1) for kind, r in ratios.items()}
    worst = max(float((r / kappas[:, None, None]).max()) for r in ratios.values())
    growth = {kind: float(r[-1].max() / r[0].max()) for kind, r in medians.items()}
    numbers = {
        "exponent": {f"{s} {x:g} kappa {k:g}": e for (s, x, k), e in exponents.items()},
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
    if kappas.size > 1:
        growing = [kind for kind, g in growth.items() if g > 2]
        measured += f", growing with kappa for {' and '.join(growing) or 'no'} perturbations"
        measured += " only" if growing and len(growing) < len(growth) else ""
    if np.isinf(enough) or min(others.values()) < least or not worst <= _MULTIPLE:
        return Verdict(Status.FAILS, measured, numbers=numbers)
    if enough == min(fixed):
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    condition = (
        f"measurements that are perfect or fresh; a fixed set needs about {enough:g} "
        "r (n1 + n2) of them for the exponent 2/3"
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
    order = np.argsort(p["scales"])
    x = np.array(p["scales"])[order] ** 2

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
    kappas, sizes = sorted(set(p["kappas"])), np.sort(p["sizes"])
    order = np.argsort(p["sizes"])
    for colour, (kind, errors) in zip(cycle(look.COLOURS), _perturbed(p, results).items()):
        medians = np.median(errors, axis=1)[:, order]
        size.plot(sizes, medians[0], "-o", color=colour, markersize=4, label=kind)
        if len(kappas) > 1:
            size.plot(sizes, medians[-1], "--s", color=colour, markersize=4, fillstyle="none")
        ratios = (medians / sizes).max(axis=1)
        condition.plot(kappas, ratios, "-o", color=colour, markersize=4, label=kind)
    size.plot(sizes, sizes, ":", color=look.INK, label="xi")
    dashed = f", dashed: {kappas[-1]:g}" if len(kappas) > 1 else ""
    look.heading(size, f"solid: kappa = {kappas[0]:g}{dashed}")
    size.set(xscale="log", yscale="log", xlabel="perturbation xi", ylabel="final error")
    look.legend(size, title="perturbation", fontsize=7, **beside)
    condition.plot(kappas, kappas, ":", color=look.INK, label="kappa")
    condition.set(xlabel="kappa", ylabel="largest final error over xi")
    wind.log_labels(condition)
    look.marks(condition, kappas)
    look.legend(condition, title="perturbation", title_fontsize=8, fontsize=7)
    return figure


experiment = Experiment(
    name="asymmetric-theorem28",
    title="Error against the scale of the start and the size of perturbations",
    reference="Wind (2025), Theorem 2.8",
    claim="From a start of scale eps and under perturbations up to xi the error is at most a "
    "constant times (eps^2)^(2/3) + kappa xi.",
    parameters={
        "n": Parameter(20, None, "size of Y, and width", least=2),
        "rank": Parameter(2, None, "rank of Y", least=1),
        "scales": Parameter(
            (0.1, 10**-1.5, 0.01, 10**-2.5, 0.001), (0.1, 0.01, 0.001), "eps", above=0
        ),
        "multiples": Parameter(
            (2.0, 3.0, 5.0, 10.0, 20.0, 40.0, 80.0),
            (2.0, 10.0, 20.0, 40.0),
            "measurements of fixed sets over r (n1 + n2)",
            above=0,
        ),
        "fresh": Parameter((2.0, 10.0), None, "fresh ones in each step", above=0),
        "sizes": Parameter((0.0001, 0.001, 0.01), None, "xi", above=0),
        "kappas": Parameter((1.0, 4.0, 16.0), (1.0, 4.0), "condition numbers", least=1),
        "kinds": Parameter(_KINDS, None, "perturbations", choices=_KINDS),
        "learning_rate": Parameter(0.05, None, "eta", above=0),
        "perturbed_rate": Parameter(0.2, None, "eta of the perturbed runs", above=0),
        "time": Parameter(2.5, None, "time in units of log(sigma_r / eps^2) / sigma_r", above=0),
        "seeds": Parameter(8, 1, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

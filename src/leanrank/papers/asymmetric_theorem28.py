"""Theorem 2.8 of Wind: error against the scale of the start, and against perturbations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.factors import Factors
from leanrank.papers import _asymmetric as wind
from leanrank.papers._experiment import Experiment, Parameter, Results, Status, Trial, Verdict
from leanrank.solvers import (
    Perturbation,
    PerturbedSensingDescent,
    constant_perturbation,
    random_perturbation,
    tilting_perturbation,
    unbalancing_perturbation,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EXPONENT = 2 / 3
_SLACK = 0.05
_KINDS = ("constant", "noise", "tilt", "unbalancing", "independent")


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Runs over the scale of the start, and runs over the size of a perturbation."""
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
        for size in t["sizes"]:
            perturbation = _perturbation(t["kind"], truth, size, np.random.default_rng(t["stream"]))
            solver = PerturbedSensingDescent(eta / 2.0, perturbation)
            errors.append(wind.errors_after(solver, problem, truth, begin, steps)[0])
        return {"errors": np.array(errors)}
    starts = [wind.start(truth, scale, rng) for scale in t["scales"]]
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
    """Median slope of log error over log scale^2, for each source, multiple and kappa."""
    rows = results.where(part="scale")
    x = 2 * np.log(p["scales"])
    cases = dict.fromkeys((r["source"], r["multiple"], r["kappa"]) for r in rows)
    out = {}
    for source, multiple, kappa in cases:
        errors = rows.where(source=source, multiple=multiple, kappa=kappa).column("errors")
        out[source, multiple, kappa] = float(
            np.median([np.polyfit(x, np.log(e), 1)[0] for e in errors])
        )
    return out


def _per_size(p: Mapping[str, Any], results: Results) -> dict[str, np.ndarray]:
    """Median error over the perturbation's size, by kind, shape (kappas, sizes)."""
    return {
        kind: np.array(
            [
                np.median(results.where(kind=kind, kappa=k).column("errors"), axis=0)
                for k in p["kappas"]
            ]
        )
        / np.array(p["sizes"])
        for kind in p["kinds"]
    }


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether exponents reach 2/3 and errors stay below a multiple of kappa xi."""
    exponents, ratios = _exponents(p, results), _per_size(p, results)
    least = _EXPONENT - _SLACK
    fixed = {x: e for (source, x, _), e in exponents.items() if source == "fixed"}
    others = {key: e for key, e in exponents.items() if key[0] != "fixed"}
    enough = [x for x in fixed if all(fixed[y] >= least for y in fixed if y >= x)]
    kappas = np.array(p["kappas"])[:, None]
    worst = max(float((r / kappas).max()) for r in ratios.values())
    growth = {kind: float(r[-1].max() / r[0].max()) for kind, r in ratios.items()}
    numbers = {
        "exponent": {f"{s} {x:g} kappa {k:g}": e for (s, x, k), e in exponents.items()},
        "error_over_size": ratios,
        "growth_with_kappa": growth,
        "largest_error_over_kappa_size": worst,
    }
    of_fixed = ", ".join(f"{e:.2f} at {x:g}" for x, e in fixed.items())
    growing = [kind for kind, g in growth.items() if g > 2]
    measured = (
        f"error ~ (eps^2)^e with e = {min(others.values()):.2f} to {max(others.values()):.2f} for "
        f"perfect and fresh measurements, and on fixed sets of x r (n1 + n2) measurements "
        f"{of_fixed}; error at most {worst:.2f} kappa xi, growing with kappa for "
        f"{' and '.join(growing) if growing else 'no'} perturbation"
    )
    if not enough or min(others.values()) < least or worst > 3:
        return Verdict(Status.FAILS, measured, numbers=numbers)
    if len(enough) == len(fixed):
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    condition = (
        f"a fixed set needs about {min(enough):g} r (n1 + n2) measurements for the exponent 2/3; "
        "kappa xi is an upper bound, and not what a typical perturbation does"
    )
    return Verdict(Status.HOLDS_WITH, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Errors over the scale, exponents over m, errors over kappa."""
    from leanrank.papers import _drawing as look

    figure, (left, middle, right) = look.panels(
        3, "Theorem 2.8: the error follows the scale of the start, and the perturbation"
    )
    exponents = _exponents(p, results)
    kappa = p["kappas"][0]
    x = np.array(p["scales"]) ** 2
    rows = results.where(part="scale", kappa=kappa)
    keys = [key for key in exponents if key[2] == kappa]
    for colour, (source, multiple, _) in zip(look.shades(len(keys)), keys, strict=True):
        errors = np.median(rows.where(source=source, multiple=multiple).column("errors"), axis=0)
        style = "-" if source == "fixed" else "--"
        name = source if source == "perfect" else f"{source}, {multiple:g}"
        left.plot(x, errors, style, marker="o", markersize=3, color=colour, label=name)
    top = np.median(rows.where(source="perfect").column("errors"), axis=0).max()
    left.plot(x, 4 * top * (x / x.max()) ** _EXPONENT, ":", color=look.INK, label="slope 2/3")
    left.set(xscale="log", yscale="log", xlabel="squared scale of the start", ylabel="final error")
    beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "title_fontsize": 8}
    look.legend(left, title="measurements", fontsize=7, **beside)
    fixed = [(x, e) for (source, x, _), e in exponents.items() if source == "fixed"]
    middle.plot(*zip(*fixed, strict=True), "-o", color=look.BLUE, markersize=4, label="fixed set")
    fresh = [(x, e) for (source, x, _), e in exponents.items() if source == "fresh"]
    middle.plot(*zip(*fresh, strict=True), "s", color=look.RED, markersize=5, label="fresh")
    middle.axhline(_EXPONENT, linestyle=":", color=look.INK, linewidth=1)
    middle.set(
        ylim=(0, 1.1),
        xlabel="measurements over r (n1 + n2)",
        ylabel="exponent of eps^2",
    )
    look.marks(middle, sorted({*p["multiples"], *p["fresh"]}))
    look.legend(middle)
    for colour, (kind, ratios) in zip(look.COLOURS, _per_size(p, results).items(), strict=False):
        right.plot(p["kappas"], ratios.max(axis=1), "-o", color=colour, markersize=4, label=kind)
    right.plot(p["kappas"], p["kappas"], ":", color=look.INK, label="kappa")
    right.set(yscale="log", xlabel="kappa", ylabel="error over perturbation")
    look.marks(right, p["kappas"])
    look.legend(right, title="perturbation", title_fontsize=8, fontsize=7)
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
        "sizes": Parameter((0.001, 0.01), None, "xi", above=0),
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

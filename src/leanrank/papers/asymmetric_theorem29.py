"""Theorem 2.9 of Wind: fresh measurements in every step against a fixed set of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.papers import _asymmetric as wind
from leanrank.papers._experiment import Experiment, Parameter, Results, Status, Trial, Verdict
from leanrank.solvers import GradientDescent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Both kinds of measurement over the batch size, and the samples that a target error takes."""
    common = {k: p[k] for k in ("n", "rank", "kappa", "time")}
    compared = {"part": "error", "learning_rate": p["learning_rate"], "scale": p["scale"], **common}
    counted = {"part": "samples", "scale": p["counted_scale"], "target": p["target"], **common}
    return [
        {"source": source, "m": m, **compared, "stream": i}
        for i in range(p["seeds"])
        for source in ("fixed", "fresh")
        for m in p["batches"]
    ] + [
        {"learning_rate": eta, "m": m, **counted, "stream": i}
        for i in range(p["seeds"])
        for eta, m in zip(p["counted_rates"], p["counted_batches"], strict=False)
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """The final error, or the measurements taken before the error first met the target."""
    problem, truth = wind.population(t["n"], t["rank"], t["kappa"], rng)
    begin = wind.start(truth, t["scale"], rng)
    eta, m = t["learning_rate"], t["m"]
    steps = wind.steps(eta, t["kappa"], t["scale"], t["time"])
    if t["part"] == "samples":
        errors = wind.errors_after(wind.fresh(eta, m, rng), problem, truth, begin, steps, every=1)
        met = np.flatnonzero(errors < t["target"])
        return {"samples": float(m * (met[0] + 1)) if met.size else np.inf}
    if t["source"] == "fresh":
        error = wind.errors_after(wind.fresh(eta, m, rng), problem, truth, begin, steps)
    else:
        fixed = wind.fixed_set(truth, m, rng)
        error = wind.errors_after(GradientDescent(eta / 2.0), fixed, truth, begin, steps)
    return {"error": float(error[0])}


def _errors(p: Mapping[str, Any], results: Results, source: str) -> np.ndarray:
    """Final errors, shape (seeds, batches)."""
    rows = results.where(part="error", source=source)
    return np.array([rows.where(m=m).column("error") for m in p["batches"]]).T


def _samples(p: Mapping[str, Any], results: Results) -> np.ndarray:
    """Measurements until the target was met, shape (settings, seeds)."""
    rows = results.where(part="samples")
    pairs = zip(p["counted_rates"], p["counted_batches"], strict=False)
    return np.array([rows.where(learning_rate=e, m=m).column("samples") for e, m in pairs])


def _count(size: float) -> str:
    return f"no fewer than {size:g}" if np.isfinite(size) else "none of those tried"


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """What a step needs, and what all steps need together."""
    unit = 2 * p["n"] * p["rank"]
    batches = np.array(p["batches"])
    fixed, fresh = (np.median(_errors(p, results, s), axis=0) for s in ("fixed", "fresh"))
    samples = np.median(_samples(p, results), axis=1)
    best = float(samples.min())
    works = batches[fresh < p["target"]]
    enough = batches[fixed < p["target"]]
    few = float(works.min()) if works.size else np.inf
    set_size = float(enough.min()) if enough.size else np.inf
    unknowns = p["n"] ** 2
    numbers = {
        "batches": batches,
        "fixed": fixed,
        "fresh": fresh,
        "samples_to_target": samples,
        "entries": unknowns,
        "smallest_fixed_set": set_size,
        "smallest_batch": few,
    }
    measured = (
        f"fresh batches of m = {few:g} = {few / unit:.2g} r (n1 + n2) reach an error of "
        f"{fresh[batches == few].max(initial=0):.1e}; a fixed set of {few:g} "
        f"{fixed[batches == few].max(initial=0):.2g}, and {_count(set_size)} get below "
        f"{p['target']:g}; all steps together use at least {best:.0f} fresh measurements for "
        f"that, of a matrix with {unknowns} entries"
    )
    if few > unit:
        return Verdict(Status.FAILS, measured, numbers=numbers)
    if best <= min(unknowns, set_size):
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    condition = (
        "per step it is so; the total number of measurements is optimal in its growth only, and "
        "here larger than the number of entries and than a fixed set"
    )
    return Verdict(Status.HOLDS_WITH, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Error over the batch size, and total measurements for each setting."""
    from leanrank.papers import _drawing as look
    from leanrank.papers._implicit import spread

    figure, (left, right) = look.panels(
        2, "Theorem 2.9: fresh measurements in each step, and how many that makes"
    )
    for colour, source in ((look.BLUE, "fixed"), (look.RED, "fresh")):
        label = {"fixed": "fixed set of m", "fresh": "m fresh ones in each step"}[source]
        errors = _errors(p, results, source)
        spread(left, p["batches"], errors, colour, marker="o", markersize=4, label=label)
    unit = 2 * p["n"] * p["rank"]
    left.axvline(unit, color=look.PALE, linewidth=1, zorder=0)
    left.text(unit, left.get_ylim()[0], " r (n1 + n2)", fontsize=8, color=look.INK)
    left.set(yscale="log", xlabel="m", ylabel="final error")
    look.marks(left, p["batches"])
    look.legend(left)
    samples = _samples(p, results)
    names = [
        f"eta = {e:g}, m = {m}"
        for e, m in zip(p["counted_rates"], p["counted_batches"], strict=False)
    ]
    place = range(len(names))
    median = np.median(samples, axis=1)
    right.barh(place, np.where(np.isfinite(median), median, 0), color=look.BLUE, height=0.55)
    for y, value in zip(place, median, strict=True):
        right.text(
            float(value) if np.isfinite(value) else 0.0,
            y,
            f" {value:.0f}" if np.isfinite(value) else " not reached",
            va="center",
            fontsize=8,
            color=look.INK,
        )
    right.axvline(p["n"] ** 2, color=look.RED, linewidth=1)
    right.text(p["n"] ** 2, len(names) - 0.45, " entries of Y", fontsize=8, color=look.RED)
    right.set_yticks(place, names)
    right.set_ylim(-0.6, len(names) - 0.1)
    right.margins(x=0.2)
    right.set_xlabel(f"measurements until the error is {p['target']:g}")
    return figure


experiment = Experiment(
    name="asymmetric-theorem29",
    title="Fresh measurements in every step against a fixed set",
    reference="Wind (2025), Theorem 2.9",
    claim="With fresh Gaussian measurements in each step batches of about r (n1 + n2), up to "
    "logarithms, suffice, and the total number of samples is near-optimal.",
    parameters={
        "n": Parameter(20, None, "size of Y, and width", least=2),
        "rank": Parameter(2, None, "rank of Y", least=1),
        "kappa": Parameter(1.0, None, "condition number of Y", least=1),
        "batches": Parameter(
            (20, 40, 80, 120, 160, 240, 400, 800),
            (20, 80, 160, 400, 800),
            "measurements m",
            least=1,
        ),
        "learning_rate": Parameter(0.05, None, "eta", above=0),
        "scale": Parameter(0.001, None, "eps", above=0),
        "time": Parameter(2.5, None, "time in units of log(sigma_r / eps^2) / sigma_r", above=0),
        "counted_rates": Parameter(
            (0.05, 0.05, 0.1, 0.2, 0.5), (0.05, 0.2, 0.5), "eta, where samples are counted", above=0
        ),
        "counted_batches": Parameter(
            (5, 10, 20, 40, 80), (10, 40, 80), "m for each of these eta", least=1
        ),
        "counted_scale": Parameter(0.01, None, "eps, where samples are counted", above=0),
        "target": Parameter(0.001, None, "error that must be reached", above=0),
        "seeds": Parameter(4, 2, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

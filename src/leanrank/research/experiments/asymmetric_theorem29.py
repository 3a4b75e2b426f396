"""Theorem 2.9 of Wind: fresh measurements in every step against a fixed set of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

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
from leanrank.solvers import GradientDescent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Both kinds of measurement over the batch size, and the samples that a target error takes."""
    if len(p["counted_rates"]) != len(p["counted_batches"]):
        raise ValueError(
            "counted_batches must have one batch size for each of the "
            f"{len(p['counted_rates'])} counted_rates, got {len(p['counted_batches'])}"
        )
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
        for eta, m in _counted(p)
    ]


def _counted(p: Mapping[str, Any]) -> list[tuple[float, int]]:
    return list(zip(p["counted_rates"], p["counted_batches"], strict=True))


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
    return np.array([rows.where(learning_rate=e, m=m).column("samples") for e, m in _counted(p)])


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """What a step needs, and what all steps need together."""
    unit, entries = 2 * p["n"] * p["rank"], p["n"] ** 2
    medians = {s: np.median(_errors(p, results, s), axis=0) for s in ("fixed", "fresh")}
    few, whole = (holds_from(p["batches"], medians[s] < p["target"]) for s in ("fresh", "fixed"))
    samples = _samples(p, results)
    reached = np.isfinite(samples).sum(axis=1)
    # Settings are compared by what all of their runs need: a run that fails is no sample saved.
    each = samples.max(axis=1)
    best = float(each.min())
    numbers = {
        "batches": p["batches"],
        **medians,
        "samples_to_target": each,
        "runs_that_reach_it": reached,
        "runs": samples.shape[1],
        "entries": entries,
        "smallest_fixed_set": whole,
        "smallest_batch": few,
    }
    parts = []
    if np.isfinite(few):
        fixed, fresh = (medians[s][p["batches"].index(int(few))] for s in ("fixed", "fresh"))
        parts.append(
            f"fresh batches of m = {few:g} = {few / unit:.2g} r (n1 + n2) reach an error of "
            f"{fresh:.1e}, a fixed set of {few:g} {fixed:.2g}"
        )
    else:
        parts.append(f"fresh batches of no size tried reach an error of {p['target']:g}")
    parts.append(
        f"fixed sets get below {p['target']:g} from m = {whole:g} on"
        if np.isfinite(whole)
        else f"no fixed set tried gets below {p['target']:g}"
    )
    partly = [
        f"{k} of {samples.shape[1]} runs with eta = {eta:g}, m = {m}"
        for (eta, m), k in zip(_counted(p), reached, strict=True)
        if k < samples.shape[1]
    ]
    parts.append(
        f"all steps together use {best:.0f} fresh measurements or more until every run is there, "
        f"of a matrix with {entries} entries"
        if np.isfinite(best)
        else "at no setting where samples are counted does every run get there"
    )
    measured = "; ".join(parts) + (f" (only {', '.join(partly)} get there)" if partly else "")
    if few > unit or not np.isfinite(best):
        return Verdict(Status.FAILS, measured, numbers=numbers)
    over = {"the number of entries": entries, "a fixed set": whole}
    exceeded = [name for name, size in over.items() if best > size]
    if not exceeded:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    condition = (
        "few measurements in each step; their total is optimal in its growth only, and here "
        f"larger than {' and than '.join(exceeded)}"
    )
    return Verdict(Status.HOLDS_WITH, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Error over the batch size, and total measurements for each setting."""
    from leanrank.research.experiments import _drawing as look
    from leanrank.research.experiments._implicit import spread

    figure, (left, right) = look.panels(
        2, "Theorem 2.9: fresh measurements in each step, and how many that makes"
    )
    for colour, source in ((look.BLUE, "fixed"), (look.RED, "fresh")):
        label = {"fixed": "fixed set of m", "fresh": "m fresh ones in each step"}[source]
        errors = _errors(p, results, source)
        spread(left, p["batches"], errors, colour, marker="o", markersize=4, label=label)
    left.set(yscale="log", xlabel="m", ylabel="final error")
    look.marks(left, p["batches"])
    unit = 2 * p["n"] * p["rank"]
    left.axvline(unit, color=look.PALE, linewidth=1, zorder=0)
    left.text(
        unit, 0.02, " r (n1 + n2)", fontsize=8, color=look.INK, transform=left.get_xaxis_transform()
    )
    look.legend(left, loc="center right", bbox_to_anchor=(1.0, 0.22))
    samples = _samples(p, results)
    names = [f"eta = {e:g}, m = {m}" for e, m in _counted(p)]
    for y, each in enumerate(samples):
        there = each[np.isfinite(each)]
        missed = f" in {there.size} of {each.size}" if there.size < each.size else ""
        median = float(np.median(there)) if there.size else 0.0
        right.barh(y, median, color=look.PALE if missed else look.BLUE, height=0.55)
        right.text(
            median,
            y,
            f" {median:.0f}{missed}" if there.size else " not reached",
            va="center",
            fontsize=8,
            color=look.INK,
        )
    right.axvline(p["n"] ** 2, color=look.RED, linewidth=1)
    right.text(p["n"] ** 2, len(names) - 0.45, " entries of Y", fontsize=8, color=look.RED)
    right.set_yticks(range(len(names)), names)
    right.set_ylim(-0.6, len(names) - 0.1)
    right.margins(x=0.2)
    right.set_xlabel(f"measurements until the error is {p['target']:g} (median)")
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

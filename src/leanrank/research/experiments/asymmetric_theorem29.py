"""Theorem 2.9 of Wind: fresh measurements in every step against a fixed set of them."""

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
from leanrank.research.experiments._tolerance import Tolerance
from leanrank.research.experiments._trends import holds_from
from leanrank.solvers import GradientDescent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_PATIENCE = 2.5
"""Units of log(sigma_r / eps^2) / sigma_r after which a run that has not met the target fails."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Both kinds of measurement over the batch size, and the samples that a target error takes."""
    if len(p["counted_rates"]) != len(p["counted_shares"]):
        raise ValueError(
            "counted_shares must have one batch size for each of the "
            f"{len(p['counted_rates'])} counted_rates, got {len(p['counted_shares'])}"
        )
    common = {k: p[k] for k in ("rank", "kappa", "target")}
    compared = {"part": "error", "learning_rate": p["learning_rate"], "n": p["n"], **common}
    compared["time"] = p["time"]
    return [
        {"source": source, "m": m, **compared, "stream": i}
        for i in range(p["seeds"])
        for source in ("fixed", "fresh")
        for m in p["batches"]
    ] + [
        {"part": "samples", "n": n, "learning_rate": eta, "share": share, **common, "stream": i}
        for i in range(p["seeds"])
        for n in p["sizes"]
        for eta, share in _counted(p)
    ]


def _counted(p: Mapping[str, Any]) -> list[tuple[float, float]]:
    return list(zip(p["counted_rates"], p["counted_shares"], strict=True))


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """The final error, or the measurements taken before the error first met the target."""
    problem, truth = wind.population(t["n"], t["rank"], t["kappa"], rng)
    scale = theory.largest_start(truth.shape, t["rank"], 1.0 / t["kappa"], kappa=t["kappa"])
    begin = wind.start(truth, scale, rng)
    eta = t["learning_rate"]
    if t["part"] == "samples":
        m = max(1, round(t["share"] * 2 * t["n"] * t["rank"]))
        steps = wind.steps(eta, t["kappa"], scale, _PATIENCE)
        solver = wind.fresh(eta, m, rng)
        taken = wind.steps_until(solver, problem, truth, begin, steps, t["target"])
        return {"samples": m * taken}
    m, steps = t["m"], wind.steps(eta, t["kappa"], scale, t["time"])
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
    """Measurements until the target was met, shape (settings, sizes, seeds)."""
    rows, sizes = results.where(part="samples"), sorted(set(p["sizes"]))
    return np.array(
        [
            [rows.where(learning_rate=e, share=x, n=n).column("samples") for n in sizes]
            for e, x in _counted(p)
        ]
    )


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """What a step needs, and from what size on all steps together need less than entries."""
    unit = 2 * p["n"] * p["rank"]
    medians = {s: np.median(_errors(p, results, s), axis=0) for s in ("fixed", "fresh")}
    few, whole = (holds_from(p["batches"], medians[s] < p["target"]) for s in ("fresh", "fixed"))
    sizes = np.array(sorted(set(p["sizes"])))
    samples = _samples(p, results)
    # Settings are compared by what all of their runs need: a run that fails is no sample saved.
    each = samples.max(axis=2)
    over = each / (2 * sizes * p["rank"])
    below = [holds_from(sizes, row < sizes**2) for row in each]
    best, every = min(below), max(below)
    least = each.min(axis=0)
    power = float(np.polyfit(np.log(sizes), np.log(least), 1)[0]) if sizes.size > 1 else np.nan
    numbers = {
        "batches": p["batches"],
        **medians,
        "smallest_fixed_set": whole,
        "smallest_batch": few,
        "sizes": sizes,
        "settings": [f"eta {e:g}, m = {x:g} r (n1 + n2)" for e, x in _counted(p)],
        "samples_to_target": each,
        "samples_over_r_n1_n2": over,
        "power_of_n": power,
        "below_entries_from": below,
    }
    parts = []
    if np.isfinite(few):
        fixed, fresh = (medians[s][p["batches"].index(int(few))] for s in ("fixed", "fresh"))
        parts.append(
            f"at n = {p['n']} fresh batches of m = {few:g} = {few / unit:.2g} r (n1 + n2) reach an "
            f"error of {fresh:.1e}, a fixed set of {few:g} {fixed:.2g}"
        )
    else:
        parts.append(f"fresh batches of no size tried reach an error of {p['target']:g}")
    parts.append(
        f"fixed sets get below {p['target']:g} from m = {whole:g} on"
        if np.isfinite(whole)
        else f"no fixed set tried gets below {p['target']:g}"
    )
    if not np.isfinite(best):
        parts.append("all steps together use more fresh measurements than there are entries")
        return Verdict(Status.FAILS, "; ".join(parts), numbers=numbers)
    n = int(sizes[-1])
    parts.append(
        f"all steps together use {over[:, -1].min():.3g} to {over[:, -1].max():.3g} r (n1 + n2) at "
        f"n = {n}, {least[-1] / n**2:.2g} of the entries at best"
        + (f", and grow as n^{power:.2f}" if np.isfinite(power) else "")
    )
    measured = "; ".join(parts)
    if few > unit:
        return Verdict(Status.FAILS, measured, numbers=numbers)
    if every == sizes[0]:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    at_all = f" (at every setting from {every:g} on)" if best < every < np.inf else ""
    condition = (
        f"n of {best:g} or more{at_all}; in smaller matrices the total of {over.min():.2g} to "
        f"{over[np.isfinite(over)].max():.2g} r (n1 + n2) is more than there are entries"
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
        unit, 0.4, " r (n1 + n2)", fontsize=8, color=look.INK, transform=left.get_xaxis_transform()
    )
    look.legend(left, loc="upper center", bbox_to_anchor=(0.45, -0.18), ncols=2)
    sizes = np.array(sorted(set(p["sizes"])))
    for colour, row, (eta, share) in zip(
        look.shades(len(p["counted_rates"])), _samples(p, results), _counted(p), strict=True
    ):
        there = np.where(np.isfinite(row), row, np.nan).max(axis=1)
        label = f"eta = {eta:g}, m = {share:g} r (n1 + n2)"
        unit = 2 * sizes * p["rank"]
        right.plot(sizes, there / unit, "-o", color=colour, markersize=4, label=label)
    right.plot(sizes, sizes**2 / unit, "--", color=look.RED, label="entries of Y")
    look.heading(right, f"measurements until the error is {p['target']:g}")
    right.set(xlabel="n", ylabel="over r (n1 + n2)")
    wind.log_labels(right)
    look.marks(right, list(sizes))
    look.legend(right, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


experiment = Experiment(
    name="asymmetric-theorem29",
    title="Fresh measurements in every step against a fixed set",
    reference="Wind (2025), Theorem 2.9",
    claim="With fresh Gaussian measurements in each step batches of about r (n1 + n2), up to "
    "logarithms, suffice, and the total number of samples is near-optimal.",
    criterion="HOLDS if batches of r (n1 + n2) or fewer fresh measurements, in the median of runs, "
    "reach the target, and if all steps of each run together use fewer measurements than there are "
    "entries, at every n and setting; with a condition if only from some n on.",
    tolerances={"samples*": Tolerance(relative=0.1), "power*": Tolerance(0.1)},
    parameters={
        "n": Parameter(20, None, "size of Y, and width, where batches are compared", least=2),
        "rank": Parameter(1, None, "rank of Y", least=1),
        "kappa": Parameter(1.0, None, "condition number of Y", least=1),
        "batches": Parameter(
            (10, 20, 40, 60, 80, 120, 200, 400), (10, 40, 80, 400), "measurements m", least=1
        ),
        "learning_rate": Parameter(0.05, None, "eta", above=0),
        "time": Parameter(2.5, None, "time in units of log(sigma_r / eps^2) / sigma_r", above=0),
        "sizes": Parameter(
            (20, 40, 80, 120, 180), (20, 120), "n, where samples are counted", least=2
        ),
        "counted_rates": Parameter(
            (0.05, 0.05, 0.2, 0.5), (0.2, 0.5), "eta, where samples are counted", above=0
        ),
        "counted_shares": Parameter(
            (0.0625, 0.125, 0.5, 1.0), (0.5, 1.0), "m over r (n1 + n2) for each of these", above=0
        ),
        "target": Parameter(0.001, None, "error that must be reached", above=0),
        "seeds": Parameter(3, 1, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

"""Width in Theorem 2.8 of Wind: more hidden neurons than needed, and the open case of fewer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import initial
from leanrank.factors import Factors
from leanrank.linalg import singular_value
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_SOURCES = ("perfect", "fixed")


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Each kind of measurement at each condition number, with starts of all widths."""
    least, most = min(p["widths"]), max(p["widths"])
    if least < p["rank"] or most < max(p["n"], 2 * p["rank"]):
        raise ValueError(
            f"widths must be at least the rank, {p['rank']}, and one at least max(n, 2 r), "
            f"got {p['widths']}"
        )
    names = ("n", "rank", "multiple", "widths", "misaligned", "share", "learning_rate", "time")
    common = {k: p[k] for k in names}
    return [
        {"source": source, "kappa": kappa, **common, "stream": i}
        for i in range(p["seeds"])
        for source in _SOURCES
        for kappa in p["kappas"]
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Final errors over the bound with its constant 1, and misalignments, of all starts."""
    n, kappa, eta = t["n"], t["kappa"], t["learning_rate"]
    problem, truth = wind.population(n, t["rank"], kappa, rng)
    scale = t["share"] * theory.largest_start((n, n), t["rank"], 1.0 / kappa, kappa=kappa)
    starts = [
        initial.gaussian((n, n), h, operator_norm=scale, random_state=rng) for h in t["widths"]
    ]
    starts += [
        _misaligned(initial.gaussian((n, n), n, operator_norm=scale, random_state=rng), truth, x)
        for x in t["misaligned"]
    ]
    if t["source"] == "fixed":
        problem = wind.fixed_set(truth, round(t["multiple"] * 2 * n * t["rank"]), rng)
    steps = wind.steps(eta, kappa, scale, t["time"])
    errors = wind.errors_together(problem, truth, starts, eta, [steps] * len(starts))
    bound = theory.asymmetric_error_bound(1.0 / kappa, scale)
    alpha = np.array([theory.misalignment(start, truth) for start in starts])
    wide = len(t["widths"])
    return {
        "over": errors[:wide] / bound,
        "alpha": alpha[:wide],
        "misaligned_over": errors[wide:] / bound,
        "misaligned_alpha": alpha[wide:],
    }


def _misaligned(start: Factors, truth: Factors, alpha: float) -> Factors:
    """A start whose part along the direction of least signal makes its misalignment alpha."""
    frame = theory.TargetFrame.of(truth)
    left, s, right = np.linalg.svd(frame.aligned(start), full_matrices=False)
    size = singular_value(np.concatenate([start.U, start.V]))
    change = np.outer(left[:, -1], right[-1]) * ((size / alpha - s[-1]) / 2.0**0.5)
    return Factors(start.U + frame.left @ change, start.V + frame.right @ change)


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether wide starts meet the bound; how many of the narrow and misaligned ones do."""
    widths = np.array(p["widths"])
    wide = widths >= max(p["n"], 2 * p["rank"])
    over = {s: results.where(source=s).column("over") for s in _SOURCES}
    aligned = {s: results.where(source=s).column("misaligned_over") for s in _SOURCES}
    medians = {s: np.median(x, axis=0) for s, x in over.items()}
    spread = max(float(x[wide].max() / x[wide].min()) for x in medians.values())
    worst = {s: x.max(axis=0) for s, x in over.items()}
    narrow = np.concatenate([x[:, ~wide].ravel() for x in over.values()])
    away = np.concatenate([x.ravel() for x in aligned.values()])
    largest = float(results.column("alpha")[:, ~wide].max()) if not wide.all() else 1.0
    numbers = {
        "widths": widths,
        "largest_over_bound": worst,
        "median_over_bound": medians,
        "median_misalignment": np.median(results.column("alpha"), axis=0),
        "narrow_within": float(np.mean(narrow <= 1.0)) if narrow.size else np.nan,
        "narrow_runs": narrow.size,
        "largest_misalignment": largest,
        "misaligned": p["misaligned"],
        "misaligned_largest_over_bound": {s: x.max(axis=0) for s, x in aligned.items()},
    }
    top = max(float(x[wide].max()) for x in worst.values())
    measured = (
        f"widths of {widths[wide].min()} to {widths[wide].max()} at n = {p['n']}: errors of at "
        f"most {top:.2g} of (eps^2 / sigma_r)^(2/3) sigma_r, medians within a factor of "
        f"{spread:.2g}"
    )
    if narrow.size:
        measured += (
            f"; the open question: of {narrow.size} runs of fewer hidden neurons, down to "
            f"{widths.min()} at rank {p['rank']} with misalignments of up to {largest:.2g}, "
            f"{int((narrow <= 1.0).sum())} are within it, from the same moderate start"
        )
    if away.size:
        measured += (
            f"; of {away.size} wide starts with misalignments of {min(p['misaligned']):g} to "
            f"{max(p['misaligned']):g}, {int((away <= 1.0).sum())}"
        )
    status = Status.HOLDS if top <= 1.0 and spread <= p["same"] else Status.FAILS
    return Verdict(status, measured, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Error over its bound against the width and against misalignment, and misalignment itself."""
    from leanrank.research.experiments import _drawing as look
    from leanrank.research.experiments._implicit import spread

    figure, (left, middle, right) = look.panels(
        3, "Theorem 2.8 over the width of the factors, and over the misalignment of the start"
    )
    n, order = p["n"], np.argsort(p["widths"])
    widths, kappa = np.array(p["widths"])[order], max(p["kappas"])
    for colour, source in zip((look.BLUE, look.RED), _SOURCES, strict=True):
        rows = results.where(source=source, kappa=kappa)
        label = "perfect" if source == "perfect" else f"fixed, {p['multiple']:g} r (n1 + n2)"
        spread(left, widths, rows.column("over")[:, order], colour, marker="o", label=label)
        x = np.concatenate([rows.column("alpha").ravel(), rows.column("misaligned_alpha").ravel()])
        y = [rows.column("over").ravel(), rows.column("misaligned_over").ravel()]
        right.plot(x, np.concatenate(y), ".", color=colour, markersize=4, label=label)
    alpha = results.column("alpha")[:, order]
    spread(middle, widths, alpha, look.INK, marker="o", label="median and range of the middle")
    for ax, name in ((left, "error over bound"), (middle, "misalignment")):
        ax.axvline(max(n, 2 * p["rank"]), color=look.PALE, linewidth=1, zorder=0)
        ax.set(yscale="log", xlabel="width h", ylabel=name)
        look.marks(ax, list(widths))
    right.set(xscale="log", yscale="log", xlabel="misalignment", ylabel="error over bound")
    for ax in (left, right):
        ax.axhline(1.0, color=look.INK, linewidth=0.8)
        ax.set_ylim(top=10.0)
        look.heading(ax, f"kappa = {kappa:g}")
        look.legend(ax, loc="lower right")
    look.heading(middle, f"h = {max(n, 2 * p['rank'])} is what the theorem needs")
    return figure


experiment = Experiment(
    name="asymmetric-width",
    title="More hidden neurons than needed, and fewer",
    reference="Wind (2025), Theorem 2.8 and what follows it",
    claim="The result does not depend on the number of hidden neurons h, from max(n1, n2, 2 r) on; "
    "whether it holds for fewer without extremely small starts is not clear.",
    criterion="HOLDS if from h = max(n1, n2, 2 r) on no error is above the bound (eps^2 / "
    "sigma_r)^(2/3) sigma_r with constant 1, and medians are within a factor of 2 of each other; "
    "the open question is answered in the sentence, and not judged.",
    parameters={
        "n": Parameter(20, 10, "size of Y", least=2),
        "rank": Parameter(2, None, "rank of Y", least=1),
        "kappas": Parameter((1.0, 3.0), (2.0,), "condition numbers of Y", least=1),
        "widths": Parameter(
            (2, 3, 5, 10, 20, 40, 80, 160), (2, 4, 10, 40), "hidden neurons h", least=1
        ),
        "misaligned": Parameter(
            (10.0, 100.0, 1000.0, 1e4), (10.0, 1e4), "misalignments of wide starts", least=1
        ),
        "multiple": Parameter(40.0, None, "measurements of fixed sets over r (n1 + n2)", above=0),
        "share": Parameter(1.0, None, "eps over the largest allowed", above=0),
        "same": Parameter(2.0, None, "ratio of medians that counts as none", least=1),
        "learning_rate": Parameter(0.1, None, "eta", above=0),
        "time": Parameter(5.0, None, "time in units of log(sigma_r / eps^2) / sigma_r", above=0),
        "seeds": Parameter(12, 3, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

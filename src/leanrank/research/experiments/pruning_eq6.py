"""Eq. (6) of the pruning paper: where gradient flow without a penalty leads each column.

Gradient flow is followed by descent with a small step, whose limit is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import initial
from leanrank.operators import FullObservation
from leanrank.problem import Problem
from leanrank.research import theory
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.experiments._sensing import descend, truth_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_OFF = 0.05
"""Largest relative error of a column's norm from the smallest start."""

_SHOWN = 1e-3
"""The scale whose columns are drawn one by one, or the nearest that there is."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Rank 1 and the given spectrum, from every scale; trials of one stream share the start."""
    if list(p["eigenvalues"]) != sorted(p["eigenvalues"], reverse=True):
        raise ValueError(f"eigenvalues must be in decreasing order, got {p['eigenvalues']}")
    spectra = {"rank one": (1.0,), "general": p["eigenvalues"]}
    common = {k: p[k] for k in ("d", "width", "step_size")}
    return [
        {"spectrum": name, "values": values, "scale": scale, "stream": i, **common}
        for name, values in spectra.items()
        for scale in p["scales"]
        for i in range(p["seeds"])
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Column norms of the limit, as measured and as predicted."""
    d, values = t["d"], np.array(t["values"])
    truth = truth_of(d, np.sqrt(values), rng)
    start = initial.gaussian((d, d), t["width"], scale=t["scale"], symmetric=True, random_state=rng)
    problem = Problem(FullObservation((d, d)), truth.to_dense())
    # Growth from the start's size to 1, then decay of the error to rounding, at the weakest rate.
    iterations = int(np.ceil((np.log(1 / t["scale"]) / 4 + 35 / 8) / (t["step_size"] * values[-1])))
    limit, _ = descend(problem, start, t["step_size"], iterations)
    return {
        "iterations": iterations,
        "norms": limit.column_norms(),
        "printed": theory.gradient_flow_limit_norms(start, truth, correction=False),
        "corrected": theory.gradient_flow_limit_norms(start, truth),
    }


def _errors(results: Results, form: str) -> np.ndarray:
    """Median, 95th percentile and maximum over all columns of the relative error."""
    measured, predicted = results.column("norms"), results.column(form)
    errors = np.abs(predicted / measured - 1).ravel()
    return np.array([np.median(errors), np.quantile(errors, 0.95), errors.max()])


def _table(p: Mapping[str, Any], results: Results, form: str) -> np.ndarray:
    return np.array([_errors(results.where(scale=scale), form) for scale in p["scales"]])


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """How far the prediction is off, and how fast that shrinks with the start."""
    one, general = results.where(spectrum="rank one"), results.where(spectrum="general")
    tables = {
        "printed_rank_1": _table(p, one, "printed"),
        "corrected_rank_1": _table(p, one, "corrected"),
        "printed_general": _table(p, general, "printed"),
        "corrected_general": _table(p, general, "corrected"),
    }
    scales = np.array(p["scales"])
    numbers: dict[str, Any] = {"scales": scales, "median_95_max": tables}
    printed, corrected = tables["printed_rank_1"], tables["corrected_rank_1"]
    best = int(np.argmin(scales))
    measured = (
        f"relative error of eq. (6) at rank 1 from a start of {scales[best]:g}: median "
        f"{printed[best, 0]:.1e}, largest {printed[best, 2]:.1e} (with the correction "
        f"{corrected[best, 2]:.1e})"
    )
    if scales.size > 1:
        slope = np.polyfit(np.log(scales), np.log(np.maximum(printed[:, 0], 1e-16)), 1)[0]
        numbers["exponent_of_the_median"] = float(slope)
        measured += f"; the median falls with the power {slope:.2f} of the scale"
    if printed[best, 2] > _OFF:
        condition = f"the shortest column is off by {printed[best, 2]:.0%} from the smallest start"
        return Verdict(Status.FAILS, measured, condition, numbers)
    loose = scales[printed[:, 2] > _OFF]
    if loose.size:
        measured += (
            f"; from {loose.min():g} and above the shortest columns are off by more than "
            f"{_OFF:.0%}, since what of them lies outside X hardly moves"
        )
    return Verdict(Status.HOLDS, measured, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Predicted against measured norms, and errors over the scale of the start."""
    from leanrank.research.experiments import _drawing as look

    title = f"Column norms in the limit of gradient flow, eq. (6), d = {p['d']}, k = {p['width']}"
    figure, (left, middle, right) = look.panels(3, title, width=4.0)
    forms = (
        ("printed", "without correction", look.RED, "o"),
        ("corrected", "corrected", look.BLUE, "."),
    )
    scale = min(p["scales"], key=lambda s: abs(np.log(s / _SHOWN)))
    shown = results.where(spectrum="rank one", scale=scale)
    for form, label, colour, marker in forms:
        x, y = shown.column("norms").ravel(), shown.column(form).ravel()
        left.plot(x, y, marker, color=colour, markersize=4, alpha=0.6, label=label)
    ends = [shown.column("norms").min() / 2, 1.0]
    left.plot(ends, ends, color=look.INK, linewidth=0.8, zorder=0)
    left.set(xscale="log", yscale="log", xlabel="measured norm", ylabel="predicted norm")
    look.heading(left, f"rank 1, start of {scale:g}")
    look.legend(left)
    order = np.argsort(p["scales"])
    x = np.array(p["scales"])[order]
    values = ", ".join(f"{v:g}" for v in p["eigenvalues"])
    for ax, spectrum, name in (
        (middle, "rank one", "rank 1"),
        (right, "general", f"eigenvalues {values}"),
    ):
        for form, label, colour, _ in forms:
            table = np.maximum(_table(p, results.where(spectrum=spectrum), form)[order], 1e-16)
            # What is drawn first is wider, and seen where the other covers it.
            width, size = (3.0, 7) if form == "printed" else (1.2, 4)
            shape: dict[str, Any] = {"color": colour, "linewidth": width, "markersize": size}
            ax.plot(x, table[:, 0], "o-", label=f"{label}, median", **shape)
            ax.plot(x, table[:, 2], "^--", label=f"{label}, largest", **shape)
        ax.set(xscale="log", yscale="log", xlabel="standard deviation of the start")
        ax.set(ylabel="relative error of the norms")
        look.heading(ax, name)
    look.legend(middle)
    return figure


experiment = Experiment(
    name="pruning-eq6",
    title="Limit of gradient flow against its prediction, over the scale of the start",
    reference="Rajaraman et al. (2023), eq. (6)",
    claim="From a small start gradient flow on the population loss at rank 1 leads column i to a "
    "norm of |<u*, U0 e_i>| / |U0' u*|, up to a small multiplicative error.",
    criterion="HOLDS if from the smallest start no column at rank 1 is off by more than "
    f"{_OFF:.0%}: that the start is small is the hypothesis of Lemma 9.",
    parameters={
        "d": Parameter(50, 30, "size of the matrix", least=1),
        "width": Parameter(50, 30, "number of columns k", least=1),
        "scales": Parameter(
            (1e-2, 1e-3, 1e-4, 1e-5, 1e-6), None, "standard deviations of the start", above=0
        ),
        "eigenvalues": Parameter(
            (1.0, 0.6, 0.3), None, "of X, in decreasing order, for the general form", above=0
        ),
        "step_size": Parameter(0.05, 0.1, "of descent on the literal gradient", above=0),
        "seeds": Parameter(5, 3, "random starts", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

"""Theorem 1 of the pruning paper: how many columns stay active without a penalty."""

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

_GRID = np.linspace(0, 1, 201)
_PRINTED = 0.99
_SEEN = 0.1
"""Power of k from which on a count is seen to grow."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Every width, so many times; levels do not change what is run."""
    common = {k: p[k] for k in ("d", "rank", "scale", "step_size", "iterations")}
    return [
        {"width": k, "levels": _levels(p), **common} for k in p["widths"] for _ in range(p["seeds"])
    ]


def _levels(p: Mapping[str, Any]) -> tuple[float, ...]:
    """Levels in increasing order; the printed one, which the claim is about, is among them."""
    return tuple(sorted({_PRINTED, *p["levels"]}))


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Numbers of columns at the levels, and shares of columns on a grid of levels."""
    d, k = t["d"], t["width"]
    truth = truth_of(d, [1.0] * t["rank"], rng)
    problem = Problem(FullObservation((d, d)), truth.to_dense())
    start = initial.gaussian((d, d), k, scale=t["scale"], symmetric=True, random_state=rng)
    limit, _ = descend(problem, start, t["step_size"], t["iterations"])
    relative = limit.column_norms() / limit.column_norms().max()
    return {
        "counts": (relative[:, None] >= np.array(t["levels"])).sum(axis=0),
        "shares": (relative[:, None] >= _GRID).mean(axis=0),
        "error": limit.distance(truth),
    }


def _counts(p: Mapping[str, Any], results: Results) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean count, its standard error and the law's, each widths x levels."""
    mean = results.grid("counts", lambda c: c.mean(axis=0), width=p["widths"])
    error = results.grid(
        "counts", lambda c: c.std(axis=0) / np.sqrt(max(len(c) - 1, 1)), width=p["widths"]
    )
    law = [[theory.expected_active(k, p["rank"], x) for x in _levels(p)] for k in p["widths"]]
    return mean, error, np.array(law)


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether counts follow their law, and at which levels they are seen to grow as a power of k.

    The longest column is always counted, so that no count is zero.
    """
    mean, error, law = _counts(p, results)
    widths, levels = np.array(p["widths"]), np.array(_levels(p))
    powers = np.polyfit(np.log(widths), np.log(mean), 1)[0]
    numbers = {
        "widths": widths,
        "levels": levels,
        "mean_counts": mean,
        "standard_errors": error,
        "expected_counts": law,
        "growth_exponents": powers,
        "asymptotic_exponents": 1 - levels**2,
        "largest_error_of_X": float(results.column("error").max()),
    }
    top = int(np.argmax(widths))
    parts = [
        f"{m:.4g} (law {e:.4g}, growing as k to the {power:.2f}) at {x:g}"
        for x, m, e, power in zip(levels, mean[top], law[top], powers, strict=True)
    ]
    measured = (
        f"of k = {widths[top]} columns, so many are at least x times as long as the longest: "
        f"{', '.join(parts)}"
    )
    off = np.argwhere(np.abs(mean - law) > 5 * error + 0.05 * law + 0.5)
    if off.size:
        i, j = off[0]
        wrong = f"{mean[i, j]:.4g} columns at x = {levels[j]:g} and k = {widths[i]}"
        condition = f"{wrong}, where the law of chi variables has {law[i, j]:.4g}"
        return Verdict(Status.FAILS, measured, condition, numbers)
    seen = levels[powers >= _SEEN]
    if seen.size == levels.size:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    if not seen.size:
        condition = f"at no level tried do counts grow, the fastest as k to the {powers.max():.2f}"
        return Verdict(Status.FAILS, measured, condition, numbers)
    last = mean[top, levels == _PRINTED].item()
    condition = (
        f"a level of {seen.max():g} or below: the power of k tends to 1 - x^2, so that at the "
        f"printed {_PRINTED:g} no more than {last:.2g} of {widths[top]} columns are counted, the "
        "longest included"
    )
    return Verdict(Status.HOLDS_WITH, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Counts over the width, and shares over the level."""
    from leanrank.research.experiments import _drawing as look

    title = f"Columns that stay long without a penalty, rank {p['rank']}"
    figure, (left, right) = look.panels(2, title)
    mean, error, _ = _counts(p, results)
    widths = np.array(p["widths"])
    fine = np.unique(np.geomspace(widths.min(), widths.max(), 40).astype(int))
    for colour, x, m, e in zip(
        look.shades(mean.shape[1]), _levels(p), mean.T, error.T, strict=True
    ):
        law = [theory.expected_active(int(k), p["rank"], x) for k in fine]
        left.plot(fine, law, color=colour, linewidth=1.2)
        left.errorbar(widths, m, 2 * e, fmt="o", color=colour, markersize=5, label=f"x = {x:g}")
    left.set(xscale="log", yscale="log", xlabel="number of columns k")
    left.set_ylabel("columns at least x times as long as the longest")
    left.plot([], [], color=look.INK, linewidth=1.2, label="law of chi variables")
    look.legend(left)
    for colour, k in zip(look.shades(widths.size), widths, strict=True):
        shares = results.where(width=int(k)).column("shares").mean(axis=0)
        right.plot(_GRID, shares, color=colour, linewidth=1.8, label=f"k = {k}")
        law = [theory.active_fraction(int(k), p["rank"], float(x)) for x in _GRID]
        right.plot(_GRID, law, color=look.INK, linewidth=1.2, linestyle=":")
    right.plot([], [], color=look.INK, linewidth=1.2, linestyle=":", label="law of chi variables")
    right.set(xlabel="x", ylabel="share of columns with norm ≥ x times the largest")
    right.set(xlim=(0, 1), ylim=(0, 1.02))
    look.legend(right)
    return figure


experiment = Experiment(
    name="pruning-theorem1",
    title="How many columns stay active without a penalty, over the width",
    reference="Rajaraman et al. (2023), Theorem 1",
    claim="Without a penalty a power of k of the columns are at least 0.99 times (or any "
    "constant times) as long as the longest, for rank 1 and a small start.",
    criterion=f"HOLDS if at every level counts grow as k to the {_SEEN:g} or more, and agree with "
    "the law of chi variables to five standard errors, 5% and half a column; HOLDS with if they "
    "grow so at some level.",
    parameters={
        "d": Parameter(10, None, "size of the matrix", least=1),
        "rank": Parameter(1, None, "rank of X, all of whose eigenvalues are 1", least=1),
        "widths": Parameter(
            (50, 500, 5000, 50000), (50, 500, 5000), "numbers of columns", least=1, fewest=2
        ),
        "levels": Parameter(
            (0.5, 0.7, 0.9, 0.99), None, "shares x of the longest norm, besides 0.99", above=0
        ),
        "scale": Parameter(1e-6, None, "standard deviation of the start", above=0),
        "step_size": Parameter(0.1, None, "of descent on the literal gradient", above=0),
        "iterations": Parameter(100, None, "steps of each run", least=1),
        "seeds": Parameter(40, 12, "runs at each width", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

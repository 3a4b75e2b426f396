"""Theorem 3 of the pruning paper: what its stationary points of the population loss prune to.

Parameters are those of eq. (10), to whose accuracy stationarity is checked, to second order. The
bounds of the lemmas that lead to the theorem are looked at where the points are.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import initial
from leanrank.factors import Factors
from leanrank.operators import FullObservation
from leanrank.penalties import GroupLasso
from leanrank.research import theory
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.experiments._sensing import is_stationary, spectrum, truth_of
from leanrank.research.greedy import greedy_prune
from leanrank.solvers import LBFGS, State

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_LEMMAS = ("error", "outside", "sine", "outside_pruned", "pruned_error", "overlap")
_TINY = 1e-3
_LONG = 0.5
"""Norms of the columns of the two starts."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Every rank, width and smallest singular value, under each strength, from both starts."""
    common = {k: p[k] for k in ("d", "c_beta", "c_accuracy", "iterations")}
    return [
        {"c": c, "start": start, "rank": r, "width": k, "sigma": s, "stream": i, **common}
        for c, start, r, k, s in product(
            p["c_lambdas"], (_LONG, _TINY), p["ranks"], p["widths"], p["sigmas"]
        )
        if r <= k and (r > 1 or s == 1.0)
        for i in range(p["seeds"])
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """What Algorithm 1 keeps, its error, and what its point has of the bounds of the lemmas."""
    d, r, k, sigma = t["d"], t["rank"], t["width"], t["sigma"]
    truth = truth_of(d, spectrum(r, sigma), rng)
    unit = initial.gaussian((d, d), k, scale=d**-0.5, symmetric=True, random_state=rng)
    asked = theory.pruning_parameters(
        sigma,
        r,
        k,
        c_beta=t["c_beta"],
        c_lambda=t["c"],
        c_epsilon=t["c_accuracy"],
        c_gamma=t["c_accuracy"],
    )
    points: list[Factors] = []

    def watch(state: State) -> None:
        if state.phase == "penalise":
            points[:] = [state.factors]

    result = greedy_prune(
        FullObservation((d, d)),
        truth.to_dense(),
        lam=asked.lam,
        beta=asked.beta,
        epsilon=asked.epsilon,
        gamma=asked.gamma,
        solver=LBFGS(),
        start=unit.with_stacked(t["start"] * unit.W),
        operator_norm=3.0,
        max_iter=t["iterations"],
        fine_tune_steps=0,
        callbacks=[watch],
        random_state=rng,
    )
    accuracy = (asked.lam, asked.beta, asked.epsilon, asked.gamma)
    bounds = theory.stationary_bounds(*accuracy, rank=r, width=k)
    penalty = GroupLasso(asked.lam, asked.beta)
    shares = bounds.hold(points[0], truth, penalty)
    shares["overlap"] = theory.overlaps(points[0], penalty, asked.epsilon, asked.gamma)
    return {
        "stationary": is_stationary(result),
        "operator_norm": float(np.linalg.norm(points[0].W, 2)),
        "kept": result.rank,
        "error": result.factors.distance(truth) / sigma**2,
        **shares,
    }


def _good(results: Results) -> np.ndarray:
    """Which runs did as the theorem says."""
    exact = results.column("kept") == results.column("rank")
    good: np.ndarray = exact & (results.column("error") <= 0.5) & results.column("stationary")
    return good


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether every point prunes to exactly r columns and half of sigma_r squared."""
    numbers: dict[str, Any] = {"c_lambdas": p["c_lambdas"]}
    parts, clean = [], []
    for c in p["c_lambdas"]:
        rows = results.where(c=c)
        good = {s: _good(rows.where(start=s)) for s in (_LONG, _TINY)}
        lost = rows.where(start=_TINY)
        widths = lost.column("width")[lost.column("kept") < lost.column("rank")]
        fell = rows.where(start=_LONG)
        cells = sorted({(row["rank"], row["width"]) for row in fell if row["kept"] != row["rank"]})
        numbers[f"{c:g}"] = {
            "good": good[_LONG].mean(),
            "good_from_tiny": good[_TINY].mean(),
            "largest_error": rows.column("error")[rows.column("kept") > 0].max(),
            "largest_lost_width": int(widths.max()) if widths.size else 0,
            "stationary": rows.column("stationary").mean(),
            "operator_norm": rows.column("operator_norm").max(),
        }
        text = (
            f"with c_lambda = {c:g} {good[_LONG].mean():.0%} of {good[_LONG].size} runs keep "
            f"exactly r columns with an error of at most half of sigma_r^2, from a start of norm "
            f"{_TINY:g} {good[_TINY].mean():.0%}"
        )
        if cells:
            text += ", not at " + ", ".join(f"r = {r}, k = {k}" for r, k in cells)
        if widths.size:
            edge = 2.0 * p["c_beta"] ** 0.5
            text += (
                f" (there columns are lost up to k = {widths.max()}: from 2 sqrt(c_beta) = "
                f"{edge:.2g} on zero is stable where k is small)"
            )
        parts.append(text)
        if good[_LONG].all() and good[_TINY].all():
            clean.append(c)
    held = {name: float(results.column(name).max()) for name in _LEMMAS}
    numbers["largest_share_of_bounds"] = held
    worst = max(held, key=lambda name: held[name])
    parts.append(
        f"of the bounds of Lemmas 24, 26, 28, 29 and eq. (199) the largest share that is reached "
        f"is {held[worst]:.2g}"
    )
    measured = "; ".join(parts)
    if held[worst] > 1.0:
        condition = f"the bound on the {worst.replace('_', ' ')} is exceeded"
        return Verdict(Status.FAILS, measured, condition, numbers)
    if clean:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    return Verdict(Status.FAILS, measured, "no c_lambda tried does", numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Columns kept and errors over the width, for each strength and start."""
    from leanrank.research.experiments import _drawing as look

    kinds = [(c, start) for c in p["c_lambdas"] for start in (_LONG, _TINY)]
    title = f"Theorem 3: pruning at eq. (10), population loss, d = {p['d']}"
    figure, axes = look.panels(len(kinds) + 1, title, rows=2, width=3.8, height=2.9)
    for ax, (c, start) in zip(axes, kinds, strict=False):
        for r, colour, mark in zip(p["ranks"], look.COLOURS, "os^Dv*x", strict=False):
            rows = results.where(c=c, start=start, rank=r)
            widths = sorted(rows.values("width"))
            kept = [rows.where(width=k).column("kept") for k in widths]
            ax.plot(widths, [x.mean() for x in kept], mark + "-", color=colour, label=f"r = {r}")
            low, high = ([reduce(x) for x in kept] for reduce in (np.min, np.max))
            ax.fill_between(widths, low, high, color=colour, alpha=0.18, linewidth=0)
        ax.set(xlabel="number of columns k", ylim=(-0.2, max(p["ranks"]) + 0.6))
        ax.set_yticks(p["ranks"])
        look.marks(ax, p["widths"])
        look.heading(ax, rf"$c_\lambda$ = {c:g}, start of norm {start:g}")
        ax.set_ylabel("columns kept")
    look.legend(axes[0], loc="upper left")
    last = axes[-1]
    place = np.arange(len(_LEMMAS))
    shares = [np.maximum(results.column(name), 1e-12) for name in _LEMMAS]
    for x, values in zip(place, shares, strict=True):
        last.plot([x, x], [np.median(values), values.max()], color=look.BLUE, linewidth=2)
        last.plot(x, values.max(), "^", color=look.BLUE)
        last.plot(x, np.median(values), "o", color=look.BLUE)
    last.axhline(1.0, color=look.INK, linewidth=0.8, linestyle="--")
    names = ("26", "28", "29", "(187)", "(199)", "24")
    last.set_xticks(place, names)
    last.set(yscale="log", ylim=(1e-7, 3), xlabel="lemma or equation")
    last.set_ylabel("share of the bound: median to largest")
    return figure


experiment = Experiment(
    name="pruning-theorem3",
    title="Exactly r columns at stationary points of the population loss",
    reference="Rajaraman et al. (2023), Theorem 3 and Lemmas 24, 26, 28, 29",
    claim="With the parameters of eq. (10) for some constants, pruning any bounded stationary "
    "point of the population loss leaves exactly r columns and an error of at most half of "
    "sigma_r^2.",
    criterion="HOLDS if every run does so, from long and from tiny columns, under some c_lambda, "
    "and no bound of the lemmas is exceeded under any.",
    parameters={
        "d": Parameter(20, 12, "size of the matrix", least=2),
        "ranks": Parameter((1, 2, 3, 5), (1, 3), "of X", least=1),
        "widths": Parameter((1, 2, 3, 5, 8, 9, 20, 40), (1, 3, 12), "number of columns k", least=1),
        "sigmas": Parameter(
            (1.0, 0.7, 0.5), (1.0, 0.5), "smallest singular value of U*; the largest is 1", above=0
        ),
        "c_lambdas": Parameter((0.3, 1.0), None, "constant of lambda in eq. (10)", above=0),
        "c_beta": Parameter(0.03, None, "constant of beta", above=0),
        "c_accuracy": Parameter(0.1, None, "constants of epsilon and gamma", above=0),
        "iterations": Parameter(20_000, None, "most steps of L-BFGS", least=1),
        "seeds": Parameter(3, 1, "problems in each cell", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

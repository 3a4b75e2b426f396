"""Definition 2.5 and Remark 2.6 of Wind: misalignment of starts, and where descent is stuck."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import initial, simulate
from leanrank.factors import Factors
from leanrank.operators import FullObservation
from leanrank.problem import Problem
from leanrank.research import theory
from leanrank.research.diagnostics import recovery_error
from leanrank.research.experiments import _asymmetric as wind
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.solvers import GradientDescent, iterate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_TARGETS = ("positive semi-definite", "general", "negative")
_EVERY = 10
_ONE = 1.01
"""Misalignments up to this are 1."""
_BOUNDED = 20.0
_LEFT = 0.1
"""Descent that ends at a relative error below this has left its start."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Gaussian starts for each size, width and rank; identities before each kind of target."""
    n, r = min(p["sizes"]), max(p["ranks"])
    if r > n:
        raise ValueError(f"ranks must be at most the smallest of the sizes, {n}, got {r}")
    common = {"draws": p["draws"]}
    out: list[Trial] = [
        {"part": "gaussian", "n": n, "rank": r, "width": max(r, round(x * n)), "over": x, **common}
        for n in p["sizes"]
        for r in p["ranks"]
        for x in p["widths"]
    ]
    if not any(_wide(trial) for trial in out):
        raise ValueError(
            "widths must have a value of at least max(1, 2 r / n) for one of the sizes and ranks, "
            f"got {p['widths']}"
        )
    identity = {"part": "identity", "n": n, "rank": r, "steps": p["steps"], "scale": p["scale"]}
    return out + [{"target": target, **identity, **common} for target in _TARGETS]


def _wide(t: Mapping[str, Any]) -> bool:
    """Whether the start is as wide as the claim supposes."""
    return bool(t["width"] >= max(t["n"], 2 * t["rank"]))


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Misalignments of many draws; for identities also the error along descent."""
    n, r, draws = t["n"], t["rank"], t["draws"]
    if t["part"] == "gaussian":
        starts = (initial.gaussian((n, n), t["width"], random_state=rng) for _ in range(draws))
        return {"alpha": np.array([theory.misalignment(s, _general(n, r, rng)) for s in starts])}
    start = initial.identity((n, n), scale=t["scale"])
    targets = [_target(t["target"], n, r, rng) for _ in range(draws)]
    descents = {}
    gaussian = initial.gaussian((n, n), n, scale=t["scale"] / n**0.5, random_state=rng)
    for name, begin in (("identity", start), ("gaussian", gaussian)):
        problem = Problem(FullObservation((n, n)), targets[0].to_dense())
        error = recovery_error(targets[0])
        states = islice(iterate(GradientDescent(0.1), problem, begin), 0, t["steps"] + 1, _EVERY)
        descents[f"errors_{name}"] = np.array([error(state) for state in states])
    return {"alpha": np.array([theory.misalignment(start, Y) for Y in targets]), **descents}


def _general(n: int, rank: int, rng: np.random.Generator) -> Factors:
    return simulate.full_observation(n, rank, random_state=rng).truth


def _target(kind: str, n: int, rank: int, rng: np.random.Generator) -> Factors:
    """A target with singular values 1: U U^T, U V^T or -u u^T.

    The last is along a coordinate, so that all iterates from the identity are diagonal: for other
    u rounding errors that are not symmetric grow, and set descent free in the end.
    """
    if kind == "general":
        return _general(n, rank, rng)
    if kind == "negative":
        return Factors(-np.eye(n, 1), np.eye(n, 1))
    U = initial.orthonormal((n, n), rank, symmetric=True, random_state=rng).U
    return Factors(U, U)


def judge(_: Mapping[str, Any], results: Results) -> Verdict:
    """Whether wide Gaussian starts are aligned, and what identities are."""
    gaussian = results.where(part="gaussian")
    numbers: dict[str, Any] = {}
    close, wide = [], []
    for row in gaussian:
        median = float(np.median(row["alpha"]))
        estimate = theory.gaussian_misalignment_estimate(
            (row["n"], row["n"]), row["width"], row["rank"]
        )
        numbers[f"n {row['n']}, rank {row['rank']}, width {row['width']}"] = {
            "median": median,
            "largest": float(row["alpha"].max()),
            "estimate": estimate,
        }
        if _wide(row):
            wide.append(float(row["alpha"].max()))
            close.append(median / estimate)
    identity = {row["target"]: row for row in results.where(part="identity")}
    medians = {kind: float(np.median(row["alpha"])) for kind, row in identity.items()}
    stuck = float(identity["negative"]["errors_identity"][-1])
    free = float(identity["negative"]["errors_gaussian"][-1])
    numbers |= {"identity": medians, "error_identity": stuck, "error_gaussian": free}
    measured = (
        f"Gaussian starts of width at least n: at most {max(wide):.2g} in all draws, medians "
        f"{min(close):.2f} to {max(close):.2f} of the estimate; the scaled identity: "
        f"{medians['positive semi-definite']:.3g} for U U', {medians['general']:.3g} for general Y "
        f"(median), {medians['negative']:.3g} for -u u', where descent ends at a relative error of "
        f"{stuck:.3g} (from a Gaussian start {free:.1e})"
    )
    if max(wide) > _BOUNDED or medians["positive semi-definite"] > _ONE:
        return Verdict(Status.FAILS, measured, numbers=numbers)
    # Where descent from a Gaussian start has not come down either, it had no time yet.
    is_stuck = free < _LEFT <= stuck
    if max(medians.values()) <= _ONE and not is_stuck:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    condition = (
        "what is said of the scaled identity is true for U_Y = V_Y, a symmetric positive "
        "semi-definite Y, only"
    )
    if is_stuck:
        condition += "; for Y = -u u' descent from it is stuck"
    return Verdict(Status.HOLDS_WITH, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Misalignment over the width against its estimate, and descent that is stuck."""
    from leanrank.research.experiments import _drawing as look

    sizes = list(dict.fromkeys(p["sizes"]))
    figure, (*panels, right) = look.panels(
        len(sizes) + 1,
        "Misalignment of Gaussian starts over the width, and descent from identities",
    )
    for ax, n in zip(panels, sizes, strict=True):
        ranks = list(dict.fromkeys(p["ranks"]))
        for colour, marker, r in zip(look.shades(len(ranks)), cycle("os^vD"), ranks, strict=False):
            found = results.where(part="gaussian", n=n, rank=r)
            x, alpha = found.column("over"), found.column("alpha")
            low, median, high = np.quantile(alpha, (0.1, 0.5, 0.9), axis=1)
            ax.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            ax.plot(x, median, marker=marker, color=colour, markersize=4, label=f"r = {r}")
            widths = found.column("width")
            shown = [theory.gaussian_misalignment_estimate((n, n), h, r) for h in widths]
            ax.plot(x, shown, ":", color=colour)
        ax.plot([], [], ":", color=look.INK, label="estimate")
        ax.axvline(1.0, color=look.PALE, linewidth=1, zorder=0)
        ax.set(xlabel="width over n", ylabel="misalignment")
        wind.log_labels(ax)
        look.marks(ax, sorted(p["widths"]))
        look.heading(ax, f"n = {n}")
        look.legend(ax)
    for colour, kind in zip(look.COLOURS[:3], _TARGETS, strict=True):
        row = results.where(part="identity", target=kind)[0]
        for name, style in (("identity", "-"), ("gaussian", "--")):
            errors = row[f"errors_{name}"]
            label = f"{kind} Y" if name == "identity" else None
            broad: dict[str, Any] = {"linewidth": 3.5, "alpha": 0.5} if kind == _TARGETS[0] else {}
            x = _EVERY * np.arange(1, errors.size)
            right.plot(x, errors[1:], style, color=colour, label=label, **broad)
    look.heading(right, "from the identity (solid), from Gaussian starts (dashed)")
    right.set(xscale="log", yscale="log", xlabel="iteration", ylabel="relative error")
    look.legend(right)
    return figure


experiment = Experiment(
    name="asymmetric-misalignment",
    title="Misalignment of starting points over the width",
    reference="Wind (2025), Definition 2.5 and Remark 2.6",
    claim="A Gaussian start of width at least max(n1, n2, 2 r) has bounded misalignment, and the "
    "scaled identity has the least, alpha = 1.",
    criterion="HOLDS if Gaussian starts of that width have misalignments of at most 20 in all "
    "draws, identities of at most 1.01 (medians) before every kind of target, and descent from "
    "none is stuck at a relative error above 0.1; with a condition if only the identities before "
    "targets with U_Y = V_Y do so.",
    parameters={
        "sizes": Parameter((20, 100), (20,), "sizes n of Y", least=2),
        "ranks": Parameter((1, 3, 5), None, "ranks of Y", least=1),
        "widths": Parameter((0.25, 0.5, 1.0, 2.0, 4.0), None, "widths over n", above=0),
        "draws": Parameter(100, 30, "starts, or targets, of each kind", least=1),
        "scale": Parameter(0.001, None, "scale of the starts that descend", above=0),
        "steps": Parameter(2_000, 500, "steps of descent", least=10),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

"""Definition 2.5 and Remark 2.6 of Wind: misalignment of starts, and where descent is stuck."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import initial, simulate, theory
from leanrank.diagnostics import recovery_error
from leanrank.factors import Factors
from leanrank.operators import FullObservation
from leanrank.papers._experiment import Experiment, Parameter, Results, Status, Trial, Verdict
from leanrank.problem import Problem
from leanrank.solvers import GradientDescent, iterate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TARGETS = ("positive semi-definite", "general", "negative")
_EVERY = 10


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Gaussian starts for each size, width and rank; identities before each kind of target."""
    common = {"draws": p["draws"]}
    out: list[Trial] = [
        {"part": "gaussian", "n": n, "rank": r, "width": max(r, round(x * n)), "over": x, **common}
        for n in p["sizes"]
        for r in p["ranks"]
        for x in p["widths"]
        if r <= n
    ]
    n, r = min(p["sizes"]), max(p["ranks"])
    identity = {"part": "identity", "n": n, "rank": r, "steps": p["steps"], "scale": p["scale"]}
    return out + [{"target": target, **identity, **common} for target in _TARGETS]


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
        if row["width"] >= max(row["n"], 2 * row["rank"]):
            wide.append(float(row["alpha"].max()))
            close.append(median / estimate)
    identity = {row["target"]: row for row in results.where(part="identity")}
    medians = {kind: float(np.median(row["alpha"])) for kind, row in identity.items()}
    stuck = float(identity["negative"]["errors_identity"][-1])
    free = float(identity["negative"]["errors_gaussian"][-1])
    numbers |= {"identity": medians, "error_identity": stuck, "error_gaussian": free}
    measured = (
        f"Gaussian starts of width at least n: at most {max(wide, default=np.nan):.2g} in all "
        f"draws, medians {min(close, default=np.nan):.2f} to {max(close, default=np.nan):.2f} of "
        f"the estimate; the scaled identity: {medians['positive semi-definite']:.3g} for U U', "
        f"{medians['general']:.3g} for general Y (median), {medians['negative']:.3g} for -u u', "
        f"where descent ends at a relative error of {stuck:.3g} (from a Gaussian start {free:.1e})"
    )
    if medians["general"] < 1.01 and stuck < 0.1:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    if max(wide, default=np.inf) > 20:
        return Verdict(Status.FAILS, measured, numbers=numbers)
    condition = (
        "what is said of the scaled identity is true for U_Y = V_Y, a symmetric positive "
        "semi-definite Y, only; for Y = -u u' descent from it is stuck for ever"
    )
    return Verdict(Status.HOLDS_WITH, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Misalignment over the width against its estimate, and descent that is stuck."""
    from leanrank.papers import _drawing as look

    figure, (left, right) = look.panels(
        2, "Misalignment of the start over the width, and the identity before Y = -u u'"
    )
    rows = results.where(part="gaussian")
    cases = dict.fromkeys((row["n"], row["rank"]) for row in rows)
    for colour, (n, r) in zip(look.COLOURS, cases, strict=False):
        found = rows.where(n=n, rank=r)
        x, alpha = found.column("over"), found.column("alpha")
        low, median, high = np.quantile(alpha, (0.1, 0.5, 0.9), axis=1)
        left.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        left.plot(x, median, "o-", color=colour, markersize=4, label=f"n = {n}, r = {r}")
        shown = [theory.gaussian_misalignment_estimate((n, n), row["width"], r) for row in found]
        left.plot(x, shown, ":", color=colour)
    left.plot([], [], ":", color=look.INK, label="estimate")
    left.axvline(1.0, color=look.PALE, linewidth=1, zorder=0)
    left.set(yscale="log", xlabel="width over n", ylabel="misalignment")
    look.marks(left, p["widths"])
    look.legend(left)
    for colour, kind in zip(look.COLOURS, _TARGETS, strict=False):
        row = results.where(part="identity", target=kind)[0]
        for name, style in (("identity", "-"), ("gaussian", "--")):
            errors = row[f"errors_{name}"]
            label = f"{kind} Y" if name == "identity" else None
            right.plot(_EVERY * np.arange(errors.size), errors, style, color=colour, label=label)
    look.heading(right, "from the identity (solid), from Gaussian starts (dashed)")
    right.set(yscale="log", xlabel="iteration", ylabel="relative error")
    look.legend(right)
    return figure


experiment = Experiment(
    name="asymmetric-misalignment",
    title="Misalignment of starting points over the width",
    reference="Wind (2025), Definition 2.5 and Remark 2.6",
    claim="A Gaussian start of width at least max(n1, n2, 2 r) has bounded misalignment, and the "
    "scaled identity has the least, alpha = 1.",
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

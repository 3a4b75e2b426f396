"""Theorem 2.8 of Wind where the measurement operator is changed in each step, by an adversary."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
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
from leanrank.research.experiments._trends import holds_from
from leanrank.research.solvers import (
    PerturbedSensingDescent,
    adversarial_measurements,
    worst_isometry,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_EXPONENT = 2 / 3
_SAME = 1.25
"""Limits of different ranks whose ratio is at most this do not depend on the rank."""
_UNCHANGED = 0.95
"""Exponents at higher ranks from this share of that at the least rank on have not fallen."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """The worst operators of an isometry constant, and a choice among Gaussian sets."""
    if len(set(p["shares"])) < 2:
        raise ValueError(
            f"shares must have at least two different values for an exponent, got {p['shares']}"
        )
    if len(set(p["constants"])) < 2:
        raise ValueError(f"constants must have at least two values, got {p['constants']}")
    common = {k: p[k] for k in ("n", "shares", "learning_rate", "time")}
    return [
        {"part": "worst", "rank": r, "constant": x, **common, "stream": i}
        for i in range(p["seeds"])
        for r in p["ranks"]
        for x in p["constants"]
    ] + [
        {"part": "sets", "rank": r, "multiple": x, "sets": k, **common, "stream": i}
        for i in range(p["seeds"])
        for x in p["multiples"]
        for r, k in _cases(p)
    ]


def _cases(p: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Ranks and numbers of Gaussian sets: an adversary's at the least rank, one set at others."""
    least = min(p["ranks"])
    return [(least, k) for k in p["sets"]] + [(r, 1) for r in p["ranks"] if r != least]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """The exponent of eps^2 in the final error."""
    problem, truth = wind.population(t["n"], t["rank"], 1.0, rng)
    # Before the sets, which are then the first of larger numbers of them.
    unit = wind.start(truth, 1.0, rng)
    if t["part"] == "worst":
        perturbation = worst_isometry(truth, t["constant"] / t["rank"] ** 0.5)
    else:
        m = round(t["multiple"] * 2 * t["n"] * t["rank"])
        sets = [wind.gaussian_set(truth.shape, m, rng) for _ in range(t["sets"])]
        perturbation = adversarial_measurements(sets, truth)
    solver = PerturbedSensingDescent(t["learning_rate"] / 2.0, perturbation)
    scales = np.array(t["shares"]) * theory.largest_start(truth.shape, t["rank"], 1.0)
    exponent = wind.exponent(solver, problem, truth, 1.0, scales, t["time"], unit)
    return {"exponent": exponent}


def _worst(p: Mapping[str, Any], results: Results) -> np.ndarray:
    """Mean exponents, shape (ranks, constants in order)."""
    rows = results.where(part="worst")
    ranks = list(dict.fromkeys(p["ranks"]))
    return rows.grid("exponent", np.mean, rank=ranks, constant=sorted(set(p["constants"])))


def _sets(p: Mapping[str, Any], results: Results) -> dict[tuple[int, int], np.ndarray]:
    """Mean exponents over the multiples in order, for each rank and number of sets."""
    rows, multiples = results.where(part="sets"), sorted(set(p["multiples"]))
    return {
        (r, k): rows.where(rank=r, sets=k).grid("exponent", np.mean, multiple=multiples)
        for r, k in dict.fromkeys(_cases(p))
    }


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Up to which isometry constant, and from how many measurements on, the exponent is 2/3."""
    constants, multiples = sorted(set(p["constants"])), sorted(set(p["multiples"]))
    ranks, least = list(dict.fromkeys(p["ranks"])), min(p["ranks"])
    worst, chosen = _worst(p, results), _sets(p, results)
    limits = [wind.crossing(constants, row, _EXPONENT) for row in worst]
    enough = {case: holds_from(multiples, row >= _EXPONENT) for case, row in chosen.items()}
    numbers = {
        "constants": constants,
        "exponents_by_rank": {str(r): row for r, row in zip(ranks, worst, strict=True)},
        "limits": {str(r): x for r, x in zip(ranks, limits, strict=True)},
        "multiples": multiples,
        "exponents_of_sets": {f"rank {r}, sets {k}": row for (r, k), row in chosen.items()},
        "enough": {f"rank {r}, sets {k}": x for (r, k), x in enough.items()},
    }
    spread = max(limits) / min(limits) if min(limits) > 0 else np.inf
    needed = {k: x for (r, k), x in enough.items() if r == least}
    from_sets = ", ".join(f"{x:g}" for x in needed.values())
    measured = (
        f"under the worst operators of isometry constant rho the exponent is 2/3 up to rho sqrt(r) "
        f"= {min(limits):.2f} to {max(limits):.2f} at ranks {', '.join(map(str, ranks))}; where an "
        f"adversary chooses in each step among {', '.join(map(str, needed))} Gaussian sets, each "
        f"has to be of {from_sets} r (n1 + n2) measurements (of those tried)"
    )
    alone = {r: row[0] for (r, k), row in chosen.items() if k == 1}
    if len(alone) > 1 and least in alone:
        measured += (
            f"; fixed sets of {multiples[0]:g} r (n1 + n2) have exponents of "
            + ", ".join(f"{x:.2f}" for x in alone.values())
            + f" at ranks {', '.join(map(str, alone))}"
        )
        if min(alone.values()) >= _UNCHANGED * alone[least]:
            measured += ": the further factor r that isometry costs is not seen"
    if min(limits) <= 0 or spread > _SAME or not np.isfinite(list(enough.values())).all():
        return Verdict(Status.FAILS, measured, numbers=numbers)
    return Verdict(Status.HOLDS, measured, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Exponents over the isometry constant at each rank, and over the size of the sets."""
    from leanrank.research.experiments import _drawing as look

    figure, (left, right) = look.panels(
        2, "Theorem 2.8 under operators that an adversary changes in each step", width=4.8
    )
    ranks = list(dict.fromkeys(p["ranks"]))
    for colour, marker, r, row in zip(
        look.shades(len(ranks)), cycle("os^vD"), ranks, _worst(p, results), strict=False
    ):
        x = sorted(set(p["constants"]))
        left.plot(x, row, marker=marker, color=colour, markersize=5, label=f"r = {r}")
    left.set(xlabel="isometry constant times sqrt(r)", ylabel="exponent of eps^2", ylim=(0, 1.05))
    look.heading(left, "the worst operators of an isometry constant")
    for colour, marker, ((r, k), row) in zip(
        cycle(look.COLOURS), cycle("os^vD"), _sets(p, results).items(), strict=False
    ):
        label = f"r = {r}, " + ("a fixed set" if k == 1 else f"the worst of {k}")
        x = sorted(set(p["multiples"]))
        style = "-" if r == min(p["ranks"]) else "--"
        right.plot(x, row, style, marker=marker, color=colour, markersize=5, label=label)
    right.set(xlabel="measurements in a set over r (n1 + n2)", ylim=(0, 1.05))
    look.marks(right, sorted(set(p["multiples"])))
    look.heading(right, "Gaussian sets")
    for ax in (left, right):
        ax.axhline(_EXPONENT, linestyle=":", color=look.INK, linewidth=1)
        look.legend(ax, loc="lower left" if ax is left else "lower right")
    return figure


experiment = Experiment(
    name="asymmetric-operators",
    title="Measurement operators that an adversary changes in each step",
    reference="Wind (2025), Theorem 2.8 and Section 1",
    claim="The measurement operator may change arbitrarily between steps: with isometry constants "
    "of at most c / sqrt(r) at bounded kappa the error falls as (eps^2)^(2/3).",
    criterion="HOLDS if some c > 0, the same for all ranks up to a ratio of 1.25, has exponents of "
    "2/3 or more (means over instances), and if Gaussian sets of some size tried have, too.",
    parameters={
        "n": Parameter(14, 10, "size of Y, and width", least=2),
        "ranks": Parameter((1, 2, 4), (1, 2), "ranks of Y, below n", least=1),
        "constants": Parameter(
            (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), (0.1, 0.3, 0.5), "rho sqrt(r)", above=0
        ),
        "shares": Parameter((1.0, 0.1, 0.01), None, "eps over the largest allowed", above=0),
        "multiples": Parameter(
            (10.0, 20.0, 40.0, 80.0), (20.0, 80.0), "measurements over r (n1 + n2)", above=0
        ),
        "sets": Parameter((1, 4, 12), (1, 4), "sets that an adversary has", least=1),
        "learning_rate": Parameter(0.2, None, "eta", above=0),
        "time": Parameter(2.5, None, "time in units of log(sigma_r / eps^2) / sigma_r", above=0),
        "seeds": Parameter(3, 1, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

"""The concentration lemmas of Li, Ma and Zhang: which restricted isometry constant they need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research.experiments import _implicit
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.theory import (
    determinant_operator,
    isometry_ceiling,
    largest_gap,
    restricted_isometry,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_LEMMAS = ("2.2", "2.3 and F.1", "F.2")
_ROUNDING = 1e-6
_SAME = 1.02
"""Both sides come from a search: a gap this much above its bound is not above it."""


def _ranks(r: int) -> dict[str, tuple[tuple[int, int], int, int]]:
    """Ranks of the pair, and of delta as printed and as the proof has it, for each lemma."""
    return {
        "2.2": ((r, r), r, 2 * r),
        "2.3 and F.1": ((r, 1), r, r + 1),
        "F.2": ((1, 1), 1, 2),
    }


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Gaussian measurements, each number for each seed, and the counterexample at rank one."""
    gaussian = [
        {"kind": "gaussian", "d": p["d"], "rank": p["rank"], "multiple": x, "stream": i}
        for i in range(p["seeds"])
        for x in p["multiples"]
    ]
    case = {"kind": "determinant", "d": 2, "rank": 1, "multiple": 1.0, "epsilon": p["epsilon"]}
    return [*gaussian, {**case, "stream": p["seeds"]}]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """For each lemma the largest gap found, and delta as printed and as the proof has it."""
    d, r = t["d"], t["rank"]
    if t["kind"] == "determinant":
        op = determinant_operator(t["epsilon"])
    else:
        op = _implicit.reduced_operator(d, round(t["multiple"] * d * r), rng)
    # Of symmetric sensing matrices only symmetric X and Y are searched: M(X) - X is symmetric
    # then, and its norm that of its product with one x x'.
    rows, deltas = [], {}
    for pair, printed, proof in _ranks(r).values():
        for rank in (printed, proof):
            if rank not in deltas:
                deltas[rank] = restricted_isometry(op, rank, tol=1e-6, random_state=rng).delta
        rows.append([largest_gap(op, pair, random_state=rng), deltas[printed], deltas[proof]])
    return {"gaps": np.array(rows), "ceiling": isometry_ceiling(op)}


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether the gaps are within the printed constants, and within those of the proofs."""
    gaps = results.where(kind="gaussian").column("gaps")
    example = results.where(kind="determinant").column("gaps")[0]
    printed, proof = gaps[:, :, 0] / gaps[:, :, 1], gaps[:, :, 0] / gaps[:, :, 2]
    grid = {"multiple": p["multiples"]}
    runs = results.where(kind="gaussian")
    delta = runs.grid("gaps", lambda x: float(x[:, 0, 1].max()), **grid)
    ceiling = runs.grid("ceiling", np.max, **grid)
    scaled = delta * np.sqrt(p["multiples"])
    numbers = {
        "lemmas": _LEMMAS,
        "gaussian, gap over printed delta": printed.max(axis=0),
        "gaussian, gap over delta of the proof": proof.max(axis=0),
        "example, gap": example[:, 0],
        "example, printed delta": example[:, 1],
        "example, delta of the proof": example[:, 2],
        "multiples": p["multiples"],
        "delta of rank r": delta,
        "ceiling of every delta": ceiling,
    }
    measured = (
        "Gaussian measurements: the largest gaps that were found are "
        + ", ".join(f"{x:.2f} ({n})" for n, x in zip(_LEMMAS, printed.max(axis=0), strict=True))
        + " of the printed bounds and at most "
        f"{proof.max():.2f} of those with the ranks of the proofs; delta of rank r goes like "
        f"{scaled.min():.2g} to {scaled.max():.2g} sqrt(d r / m). Four measurements of 2 x 2 "
        f"matrices: delta of rank 1 is {example[0, 1]:.1g}, and the gaps of all lemmas are "
        f"{example[:, 0].min():.2g}"
    )
    wrong = example[:, 0] > _SAME * example[:, 1] + _ROUNDING
    wrong |= printed.max(axis=0) > _SAME
    if proof.max() > _SAME or np.any(example[:, 0] > _SAME * example[:, 2] + _ROUNDING):
        return Verdict(Status.FAILS, measured, numbers=numbers)
    if not wrong.any():
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    names = [name for name, bad in zip(_LEMMAS, wrong, strict=True) if bad]
    condition = (
        "restricted isometry of rank 2 r (2.2), r + 1 (2.3, F.1) and 2 (F.2): with the printed "
        f"ranks {', '.join(names)} are wrong"
    )
    return Verdict(Status.HOLDS_WITH, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Gaps and constants over the number of measurements, and the counterexample."""
    from leanrank.research.experiments import _drawing as look

    figure, (left, middle, right) = look.panels(
        3,
        f"Lemmas 2.2, 2.3, F.1 and F.2 at d = {p['d']}, r = {p['rank']}: largest gaps found, and "
        "restricted isometry constants",
    )
    multiples, runs = np.array(p["multiples"]), results.where(kind="gaussian")
    gaps = runs.grid("gaps", lambda x: x.max(axis=0), multiple=p["multiples"])
    for colour, marker, i in zip(look.COLOURS, "os^", range(3), strict=False):
        style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4}
        left.plot(multiples, gaps[:, i, 0], label=f"gap of {_LEMMAS[i]}", **style)
        middle.plot(multiples, gaps[:, i, 0] / gaps[:, i, 1], label=_LEMMAS[i], **style)
    left.plot(multiples, gaps[:, 0, 1], "--", color=look.INK, label="delta of rank r")
    ceiling = runs.grid("ceiling", np.max, multiple=p["multiples"])
    left.plot(multiples, ceiling, ":", color=look.INK, label="no delta is larger")
    left.set(xscale="log", yscale="log", xlabel="m / (d r)")
    look.heading(left, "Gaussian measurements")
    look.legend(left, fontsize=7)
    middle.axhline(1.0, color=look.INK, linewidth=0.8)
    middle.set(xlabel="m / (d r)")
    middle.set_ylim(bottom=0.0)
    look.marks(middle, sorted(multiples))
    look.heading(middle, "gap over the printed bound")
    look.legend(middle)
    example = results.where(kind="determinant").column("gaps")[0]
    places = np.arange(3)
    for k, (column, label, colour) in enumerate(
        (
            (0, "gap", look.BLUE),
            (1, "delta as printed", look.RED),
            (2, "delta of the proof", look.COLOURS[2]),
        )
    ):
        bars = right.bar(places + 0.25 * (k - 1), example[:, column], 0.23, color=colour)
        bars.set_label(label)
        right.bar_label(bars, [f"{x:.2g}" if x > _ROUNDING else "0" for x in example[:, column]])
    right.set_xticks(places, _LEMMAS)
    right.set_ylim(0.0, 1.45 * float(example.max()))
    look.heading(right, "|X|^2 + 2 epsilon det X, r = 1")
    look.legend(right)
    return figure


experiment = Experiment(
    name="implicit-lemmas",
    title="Inner products and products under restricted isometry",
    reference="Li, Ma and Zhang (2018), Lemmas 2.2, 2.3, F.1 and F.2",
    claim="Measurements with restricted isometry constant delta of rank r (of rank 1 in F.2) keep "
    "inner products of matrices of rank r, and products with any matrix, up to delta.",
    criterion="HOLDS if no largest gap that was found is above that constant as found, by "
    f"{100 * (_SAME - 1):.0f} % as both come from a search; FAILS if one is above the constant of "
    "the rank that its proof uses.",
    parameters={
        "d": Parameter(16, 10, "size of X", least=2),
        "rank": Parameter(2, None, "r", least=1),
        "multiples": Parameter(
            (5.0, 20.0, 100.0, 1000.0, 10000.0), (5.0, 100.0, 10000.0), "m / (d r)", above=0
        ),
        "epsilon": Parameter(0.5, None, "of the counterexample", above=0),
        "seeds": Parameter(3, 1, "sets of Gaussian measurements", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

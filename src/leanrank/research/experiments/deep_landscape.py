r"""Theorem 3.1 of Wang and Jacot on the 2 x 2 problem: local minima by rank, predicted and found.

Descent on all entries from many starts, random ones and the predicted points themselves, a little
disturbed. What it ends at must be a predicted local minimum, and balanced; what is predicted to be
one must be stable, and a saddle must not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research.deep import DeepFactors, Phase, initial_layers, train
from leanrank.research.experiments import _deep
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Tolerance,
    Trial,
    Verdict,
)
from leanrank.research.theory import CriticalPoint, two_by_two_critical_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_GAP = 1e-3
_NEAR = 1e-3
"""Distance, relative to 1 + the size of a predicted point, that counts as having come to it."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """One for each depth and ridge."""
    common = {k: p[k] for k in ("epsilon", "width", "learning_rate", "times", "disturbance")}
    return [
        {"depth": depth, "ridge": ridge, "starts": p["starts"], **common}
        for depth in p["depths"]
        for ridge in p["ridges"]
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Where descent ends from random starts and from close to each predicted point."""
    points = two_by_two_critical_points(t["epsilon"], t["depth"], t["ridge"])
    shape, depth, width = (2, 2), t["depth"], t["width"]
    random = [
        DeepFactors(
            [scale * W for W in initial_layers(shape, depth, width, random_state=rng).layers]
        )
        for scale in rng.uniform(0.3, 2.0, size=(t["starts"],))
    ]
    close = [
        _disturbed(DeepFactors.balanced(point.matrix, depth, width), t["disturbance"], rng)
        for point in points
    ]
    ends = []
    largest = max(np.linalg.norm(q.matrix, 2) for q in points if q.is_minimum) ** (1.0 / depth)
    for start in (*random, *close):
        # The sharper networks are on the way, the smaller the steps.
        top = max(1.0, largest, *(float(s[0]) for s in start.layer_singular_values()))
        rate = t["learning_rate"] / top ** (2 * depth - 2)
        quiet = Phase(round(t["times"] / (rate * t["ridge"])), rate, t["ridge"])
        ends.append(
            train(
                _deep.observed(t["epsilon"]),
                start,
                [quiet],
                batch_size=None,
                every=quiet.steps,
                threads=1,
                random_state=rng,
            ).networks[0]
        )
    return {
        "ends": np.array([end.product() for end in ends]),
        "cost_gap": np.array([_cost_gap(end) for end in ends]),
        "points": np.array([point.matrix for point in points]),
        "ranks": np.array([point.rank for point in points]),
        "values": np.array([point.value for point in points]),
        "minima": np.array([point.is_minimum for point in points]),
    }


def _disturbed(network: DeepFactors, size: float, rng: np.random.Generator) -> DeepFactors:
    return DeepFactors([W + size * rng.standard_normal(W.shape) for W in network.layers])


def _cost_gap(network: DeepFactors) -> float:
    """Sum of squares beyond the least for this product, over one plus that sum."""
    squares = network.square_norm()
    return (squares - network.representation_cost()) / (1.0 + squares)


def _came_to(row: Mapping[str, Any]) -> np.ndarray:
    """For each end the predicted point it came to, -1 where there is none."""
    ends, points = np.asarray(row["ends"]), np.asarray(row["points"])
    distances = np.linalg.norm(ends[:, None] - points[None], axis=(2, 3))
    distances /= 1.0 + np.linalg.norm(points, axis=(1, 2))
    nearest = distances.argmin(axis=1)
    return np.where(distances.min(axis=1) < _NEAR, nearest, -1)


def judge(_: Mapping[str, Any], results: Results) -> Verdict:
    """Compare ends with predictions, and weights with the representation cost."""
    parts = []
    numbers: dict[str, Any] = {}
    astray = unstable = kept_saddles = 0
    gap = 0.0
    without: list[str] = []
    for row in results:
        name = f"L = {row['depth']}, ridge {row['ridge']:g}"
        points, minima = _points(row), np.asarray(row["minima"])
        came = _came_to(row)
        free, close = came[: -len(points)], came[-len(points) :]
        astray += int(np.sum(~np.append(minima, False)[free]))
        unstable += int(np.sum(close[minima] != np.flatnonzero(minima)))
        kept_saddles += int(np.sum(close[~minima] == np.flatnonzero(~minima)))
        gap = max(gap, float(np.max(row["cost_gap"])))
        found = Counter(points[i].rank for i in free if i >= 0)
        ranks = {rank: sum(q.rank == rank and q.is_minimum for q in points) for rank in range(3)}
        without += [f"{name} has none of rank {rank}" for rank, n in ranks.items() if not n]
        saddles = int(np.sum(~minima))
        numbers |= {
            f"minima_by_rank: {name}": list(ranks.values()),
            f"saddles: {name}": saddles,
            f"ends_by_rank: {name}": [found[rank] for rank in range(3)],
        }
        counts = ", ".join(f"{n} of rank {rank}" for rank, n in ranks.items())
        ended = ", ".join(f"{found[rank]}" for rank in range(3))
        parts.append(f"{name}: minima {counts}, and {saddles} saddles; starts end at {ended}")
    numbers |= {
        "astray": astray,
        "unstable_minima": unstable,
        "stable_saddles": kept_saddles,
        "largest_cost_gap": gap,
    }
    measured = (
        "; ".join(parts) + f"; {astray} ends are no predicted minimum, {unstable} predicted minima "
        f"are left, {kept_saddles} saddles are kept; sums of squares exceed the representation "
        f"cost by {gap:.1e} at most"
    )
    if astray or unstable or kept_saddles or gap > _GAP:
        return Verdict(Status.FAILS, measured, numbers=numbers)
    if without:
        condition = f"settings that have minima of all three ranks: {'; '.join(without)}"
        return Verdict(Status.HOLDS_WITH, measured, condition, numbers)
    return Verdict(Status.HOLDS, measured, numbers=numbers)


def _points(row: Mapping[str, Any]) -> list[CriticalPoint]:
    columns = (np.asarray(row[name]) for name in ("points", "ranks", "values", "minima"))
    return [
        CriticalPoint(A, int(rank), float(value), bool(minimum))
        for A, rank, value, minimum in zip(*columns, strict=True)
    ]


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Predicted points by their missing entry and value, and where descent ends."""
    from leanrank.research.experiments import _drawing as look

    rows = list(results)
    figure, axes = look.panels(
        len(rows),
        f"Critical points at epsilon = {p['epsilon']:g}, and where descent ends",
        rows=len(p["depths"]),
        width=4.8,
        height=3.2,
    )
    for ax, row in zip(axes, rows, strict=True):
        points, came = _points(row), _came_to(row)
        counts = Counter(int(i) for i in came[: -len(points)])
        for rank, colour in zip(range(3), look.COLOURS, strict=False):
            for minimum, marker in ((True, "o"), (False, "x")):
                chosen = [q for q in points if q.rank == rank and q.is_minimum == minimum]
                ax.plot(
                    [q.matrix[0, 1] for q in chosen],
                    [q.value for q in chosen],
                    marker,
                    ms=6,
                    ls="",
                    color=colour,
                    label=f"rank {rank}, {'minimum' if minimum else 'saddle'}" if chosen else None,
                )
        for i, point in enumerate(points):
            if counts[i]:
                ax.annotate(
                    f"{counts[i]}",
                    (point.matrix[0, 1], point.value),
                    xytext=(0, -14),  # saddles beside a minimum are above it
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                    color=look.INK,
                )
        ax.axvline(1.0 / p["epsilon"], color=look.PALE, lw=1)
        ax.set(xscale="symlog", xlabel="missing entry x", ylabel="loss with ridge")
        ax.margins(x=0.12, y=0.25)
        look.heading(ax, f"depth {row['depth']}, ridge {row['ridge']:g}: numbers are random starts")
    look.legend(axes[0], loc="upper left", fontsize=7)
    return figure


experiment = Experiment(
    name="deep-landscape",
    title="Local minima of the 2 x 2 problem, by rank",
    reference="Wang and Jacot (2024), Theorem 3.1 and Proposition A.1",
    claim="Local minima of the network are those of its product under the representation cost, of "
    "ranks 0, 1 and 2; at each the weights are balanced, with no larger a sum of squares than the "
    "product needs.",
    criterion="HOLDS if every run ends within a relative distance of "
    f"{_NEAR:g} of a predicted local minimum, all of these are stable and no saddle is, and no sum "
    f"of squares is more than {_GAP:g} (relative) above the representation cost; HOLDS with if "
    "some setting has no minimum of one of the ranks.",
    tolerances={
        "largest_cost_gap": Tolerance(1e-6),
        "ends_by_rank*": Tolerance(1.0),
    },
    parameters={
        "epsilon": Parameter(0.25, None, "the small observed entry", above=0),
        "depths": Parameter((3, 4), None, "layers", least=3),
        "ridges": Parameter((0.1, 0.01), (0.1, 0.03), "weight decay", above=0),
        "width": Parameter(4, None, "of the hidden layers", least=2),
        "starts": Parameter(60, 12, "random starts", least=1),
        "learning_rate": Parameter(0.2, None, "where no weight is larger than one", above=0),
        "times": Parameter(40.0, 30.0, "length of a run, in units of 1 / ridge", above=0),
        "disturbance": Parameter(1e-4, None, "of weights at predicted points", above=0),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

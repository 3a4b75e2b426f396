r"""Propositions A.6 and A.7 of Wang and Jacot: where the least rank fits at infinity alone.

.. math:: \begin{pmatrix} 1 & x \\ 0 & 1 \end{pmatrix}

is fitted as closely as one likes by matrices of rank one with large x, but only rank two fits it.
Descent on all entries in small steps, from several kinds of starts, with and without a ridge; from
balanced starts of negative determinant it cannot cross to rank two, and x has to grow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.operators import ObservedEntries
from leanrank.problem import Problem
from leanrank.research.deep import (
    DeepFactors,
    Phase,
    full_rank_neighbour,
    initial_layers,
    polyak_constant,
    train,
)
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Tolerance,
    Trial,
    Verdict,
)
from leanrank.research.theory import ridge_descent_time

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_STARTS = {
    "usual": "usual start",
    "small": "a third of it",
    "positive": "balanced, det > 0",
    "negative": "balanced, det < 0",
}
_PROBLEM = Problem(ObservedEntries([0, 1, 1], [0, 0, 1], (2, 2)), np.array([1.0, 0.0, 1.0]))
_FITTED = 1e-6
_SLOWEST = 1e-3
_NEARBY = 0.05


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Every kind of start, all ridges from the same networks."""
    names = ("depth", "width", "ridges", "learning_rate", "free_steps", "times", "runs")
    return [{"start": name, **{k: p[k] for k in names}} for name in _STARTS]


def _start(name: str, depth: int, width: int, rng: np.random.Generator) -> DeepFactors:
    if name in ("usual", "small"):
        scale = 1.0 if name == "usual" else 0.3
        layers = initial_layers((2, 2), depth, width, random_state=rng).layers
        return DeepFactors([scale * W for W in layers])
    A = 0.05 * rng.standard_normal((2, 2))
    if (np.linalg.det(A) > 0) != (name == "positive"):
        A[0] *= -1.0
    return DeepFactors.balanced(A, depth, width)


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Where descent ends without a ridge and with each, and constants of its way down."""
    nets = [_start(t["start"], t["depth"], t["width"], rng) for _ in range(t["runs"])]
    options: dict[str, Any] = {"batch_size": None, "threads": 1, "random_state": rng}
    rate = t["learning_rate"]
    every = t["free_steps"] // 400
    free = train(
        _PROBLEM,
        nets,
        [Phase(400 * every, rate, 0.0)],
        every=every,
        keep=[4 * every],
        products=True,
        **options,
    )
    assert free.products is not None
    begun = [net for net in free.kept[4 * every] if net is not None]
    found: dict[str, Any] = {
        "free_loss": _losses(free.products[-1]),
        "free_x": free.products[-1][:, 0, 1],
        "free_steps": free.steps,
        "free_path_x": np.abs(free.products[:, :, 0, 1]),
        "polyak_free": np.array([polyak_constant(net, 3) for net in free.networks]),
    }
    ranks, xs, late = [], [], []
    for ridge in t["ridges"]:
        phase = Phase(round(t["times"] / (rate * ridge)), rate, ridge)
        ends = train(_PROBLEM, nets, [phase], every=phase.steps, products=True, **options)
        assert ends.products is not None
        s = ends.singular_values[-1]
        ranks.append(np.where(s[:, 0] < 1e-3, 0, np.where(s[:, 1] < 1e-6 * s[:, 0], 1, 2)))
        xs.append(np.abs(ends.products[-1][:, 0, 1]))
        late.append(_lateness(_PROBLEM, begun, ridge, rate))
    found |= {"ranks": np.array(ranks), "x": np.array(xs), "late": np.array(late)}
    return found | _neighbours(t, rng)


def _losses(A: np.ndarray) -> np.ndarray:
    """Mean squared residuals of stacked products."""
    return np.asarray((A[:, 0, 0] - 1.0) ** 2 + A[:, 1, 0] ** 2 + (A[:, 1, 1] - 1.0) ** 2) / 3.0


def _lateness(problem: Problem, nets: Sequence[DeepFactors], ridge: float, rate: float) -> float:
    """Lemma A.2: the largest loss at its time over its level, of runs to which it applies.

    Its constant has to hold on the way: half of that at the start is tried.
    """
    worst = 0.0
    for net in nets:
        beta = 0.5 * polyak_constant(net, 3)
        if beta < _SLOWEST:
            continue
        value = _value(net, ridge)
        time, level = ridge_descent_time(value, math.sqrt(net.square_norm()), ridge, beta)
        every = max(math.ceil(time / rate / 20), 1)
        way = train(
            problem,
            net,
            [Phase(20 * every, rate, ridge)],
            batch_size=None,
            every=every,
            keep=[every * k for k in range(21)],
            threads=1,
            random_state=0,
        )
        on_it = [polyak_constant(row[0], 3) for row in way.kept.values() if row[0] is not None]
        if min(on_it) >= beta:
            worst = max(worst, _value(way.networks[0], ridge) / level)
    return worst


def _value(network: DeepFactors, ridge: float) -> float:
    """The regularised loss."""
    return float(_losses(network.product()[None])[0]) + ridge / 2.0 * network.square_norm()


def _neighbours(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Proposition A.7 at a balanced fit of rank one, of another matrix: it has no constant."""
    epsilon = 0.25
    fit = DeepFactors.balanced(
        np.array([[1.0, 1.0 / epsilon], [epsilon, 1.0]]), t["depth"], t["width"]
    )
    near = full_rank_neighbour(fit, _NEARBY, random_state=rng)
    return {
        "fit_polyak": polyak_constant(fit, 3),
        "near_polyak": polyak_constant(near, 3),
        "near_moved": float(np.max(np.abs(near.product() - fit.product()))),
    }


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Ranks under small ridges of the starts from which descent without one comes to a fit."""
    numbers: dict[str, Any] = {}
    parts = []
    holds, exceptions = True, False
    small = int(np.argmin(p["ridges"]))
    for row in results:
        name = row["start"]
        fits = np.asarray(row["polyak_free"]) > _SLOWEST
        fits &= np.asarray(row["free_loss"]) < _FITTED
        ranks = np.asarray(row["ranks"])
        higher = np.mean(ranks == 2, axis=1)
        x = np.median(row["x"], axis=1)
        if fits.all():
            holds &= bool(higher[small] == 1.0)
        else:
            exceptions |= bool(np.any(ranks[small, ~fits] < 2))
            holds &= bool(np.all(ranks[small, fits] == 2))
        numbers |= {
            f"fits_{name}": int(fits.sum()),
            f"share_of_rank_two_{name}": higher,
            f"median_x_{name}": x,
            f"median_free_x_{name}": float(np.median(np.abs(row["free_x"]))),
            f"largest_over_level_{name}": float(np.max(row["late"])),
            f"median_polyak_{name}": float(np.median(row["polyak_free"])),
        }
        holds &= float(np.max(row["late"])) <= 1.0
        shares = ", ".join(
            f"{share:.0%} at ridge {ridge:g}"
            for share, ridge in zip(higher, p["ridges"], strict=True)
        )
        parts.append(
            f"{_STARTS[name]}: without a ridge {fits.sum()} of {fits.size} come to a fit around "
            f"which descent is fast, x = {np.median(np.abs(row['free_x'])):.2g} in the median; of "
            f"rank two are {shares}, where x is {', '.join(f'{value:.2g}' for value in x)}"
        )
    late = max(float(np.max(row["late"])) for row in results)
    near = [next(iter(results))[k] for k in ("fit_polyak", "near_polyak", "near_moved")]
    numbers |= {"fit_polyak": near[0], "near_polyak": near[1], "near_moved": near[2]}
    holds &= near[1] > 0.0 and near[2] < 1e-10
    sentence = "; ".join(parts) + (
        f". At the time of Lemma A.2 the loss is at most {late:.2g} times its level. A balanced "
        f"fit of rank one has a Polyak-Lojasiewicz constant of {near[0]:.1e}, a network of the "
        f"same product at a distance of {_NEARBY:g} one of {near[1]:.1e}"
    )
    if not holds:
        return Verdict(Status.FAILS, sentence, numbers=numbers)
    if exceptions:
        condition = (
            "a start from which descent without a ridge comes to a fit, as the proposition says: "
            "from small balanced ones of negative determinant x grows instead, and a ridge leaves "
            "rank one"
        )
        return Verdict(Status.HOLDS_WITH, sentence, condition, numbers)
    return Verdict(Status.HOLDS, sentence, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """The missing entry without a ridge; shares of rank two and the entry over the ridge."""
    from leanrank.research.experiments import _drawing as look

    figure, (path, shares, entries) = look.panels(
        3, "Proposition A.6: (1, x; 0, 1), which rank one fits at infinity alone", width=4.6
    )
    order = np.argsort(p["ridges"])
    ridges = np.array(p["ridges"])[order]
    widths = np.linspace(4.5, 1.2, len(_STARTS))  # lines may coincide
    for row, colour, lw in zip(results, look.COLOURS, widths, strict=False):
        text = _STARTS[row["start"]]
        steps = np.maximum(row["free_steps"], 1)
        lines = path.plot(steps, np.maximum(row["free_path_x"][:, :5], 1e-3), color=colour, lw=1)
        lines[0].set_label(text)
        higher = np.mean(np.asarray(row["ranks"]) == 2, axis=1)[order]
        shares.plot(ridges, higher, "o-", ms=lw + 2, lw=lw, color=colour, label=text)
        x = np.maximum(np.median(row["x"], axis=1), 1e-3)[order]
        entries.plot(ridges, x, "o-", ms=lw + 2, lw=lw, color=colour, label=text)
    for ax in (shares, entries):
        look.marks(ax, list(ridges))
    path.set(xscale="log", yscale="log", xlabel="steps of descent", ylabel="|x|")
    look.heading(path, "Without a ridge, five runs each")
    shares.set(ylim=(-0.03, 1.05), xlabel="ridge", ylabel="share of rank two")
    look.heading(shares, "Where descent ends under a ridge")
    entries.set(yscale="log", xlabel="ridge", ylabel="|x|, median (0.001: or less)")
    look.heading(entries, "The missing entry there")
    look.legend(shares, loc="center")
    return figure


experiment = Experiment(
    name="deep-unattained",
    title="A least rank that fits at infinity alone",
    reference="Wang and Jacot (2024), Propositions A.6 and A.7, Lemma A.2",
    claim="From a start from which gradient flow without a ridge comes to a fit, around which the "
    "loss satisfies the Polyak-Lojasiewicz inequality, flow under a small ridge ends at no lower "
    "rank than the least that attains a fit; almost all fits are such.",
    criterion="HOLDS if under the smallest ridge all runs from such starts end at rank two, no "
    "loss is above the level of Lemma A.2 at its time, and a neighbour of the same product has a "
    "constant above zero; HOLDS with if runs from other starts end at rank one. A fit is a loss "
    f"below {_FITTED:g} without a ridge and a constant above {_SLOWEST:g} there.",
    parameters={
        "depth": Parameter(3, None, "layers", least=3),
        "width": Parameter(8, 4, "of the hidden layers", least=4),
        "ridges": Parameter((0.003, 0.01, 0.03, 0.1), (0.003, 0.03), "weight decay", above=0),
        "learning_rate": Parameter(0.03, None, "small enough for flow", above=0),
        "free_steps": Parameter(40_000, 10_000, "without a ridge", least=1000),
        "times": Parameter(25.0, None, "length of other runs, in units of 1 / ridge", above=0),
        "runs": Parameter(20, 10, "networks of each kind", least=5),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
    tolerances={"largest_over_level_*": Tolerance(1e-6, 0.2)},
)

r"""Propositions 3.2 and A.5 of Wang and Jacot: descent keeps the rank, and never rises.

Observed are the identity of two rows and a third row of a 3 x 3 matrix, six entries, which no
matrix of rank one can have a sum of squared residuals below one to. A loss below that, the ridge
included, is therefore kept from then on together with an explicit bound on the second singular
value, if descent on all entries does not rise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.operators import ObservedEntries
from leanrank.problem import Problem
from leanrank.research.deep import DeepFactors, Phase, train
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
from leanrank.research.theory import deep_smoothness, deep_step_size, rank_margin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_SIDES, _RANK = 3, 2
_ROWS, _COLS = np.array([[0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 2]])
_PROBLEM = Problem(
    ObservedEntries(_ROWS, _COLS, (_SIDES, _SIDES)), np.array([1.0, 0.0, 0.0, 1.0, 0.5, 1.0])
)
_SIZE, _NORM = _PROBLEM.y.size, float(np.linalg.norm(_PROBLEM.y))
_LOWER = 1.0 / _SIZE
"""No matrix of lower rank has a smaller mean squared residual."""
_RECORDS = 200
_ROUNDING = 1e-12
_CERTIFIED_STEPS = 2000


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """One for each depth and ridge."""
    common = {k: p[k] for k in ("width", "learning_rate", "steps", "runs")}
    return [
        {"depth": depth, "ridge": ridge, **common} for depth in p["depths"] for ridge in p["ridges"]
    ]


def _value(network: DeepFactors, ridge: float) -> float:
    """The regularised loss."""
    residual = network.product()[_ROWS, _COLS] - _PROBLEM.y
    return float(np.mean(residual**2)) + ridge / 2.0 * network.square_norm()


def _descended(
    nets: list[DeepFactors], phase: Phase, every: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Regularised losses, singular values and squared norms, (times, runs)."""
    times = list(range(0, phase.steps + 1, every))
    kept = train(
        _PROBLEM, nets, [phase], batch_size=None, every=every, keep=times, threads=1, random_state=0
    ).kept
    rows = [[net for net in kept[time] if net is not None] for time in times]
    return (
        np.array([[_value(net, phase.ridge) for net in row] for row in rows]),
        np.array([[net.singular_values()[_RANK - 1] for net in row] for row in rows]),
        np.array([[net.square_norm() for net in row] for row in rows]),
    )


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Descent at a usual learning rate, and for a while at the certified one."""
    nets = _deep.starts(t["runs"], t["depth"], t["width"], rng, size=_SIDES)
    every = t["steps"] // _RECORDS
    phase = Phase(every * _RECORDS, t["learning_rate"], t["ridge"])
    values, second, _ = _descended(nets, phase, every)
    rows: dict[str, list[float]] = {k: [] for k in ("rises", "outside", "rate")}
    for net in nets:
        value = _value(net, t["ridge"])
        rate = 0.999 * deep_step_size(value, t["depth"], t["ridge"], _NORM, _SIZE)
        along, _, squares = _descended([net], Phase(_CERTIFIED_STEPS, rate, t["ridge"]), 20)
        rows["rises"].append(float(np.max(np.diff(along[:, 0]))))
        rows["outside"].append(float(np.max(squares[:, 0] / (2.0 * value / t["ridge"]))))
        rows["rate"].append(rate)
    return {"values": values, "second": second, "steps": np.arange(_RECORDS + 1) * every} | {
        name: np.array(found) for name, found in rows.items()
    }


def _margins(row: Mapping[str, Any]) -> np.ndarray:
    """What the loss of each record guarantees from then on, (times, runs)."""
    bound = np.vectorize(lambda value: rank_margin(value, _LOWER, _RANK, _SIDES, _SIZE))
    return np.asarray(bound(np.asarray(row["values"])))


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether what is guaranteed comes true, for which ridges it is, and which lose the rank."""
    numbers: dict[str, Any] = {}
    parts = []
    sound, monotone = True, True
    for depth in p["depths"]:
        guaranteed, lost, least = [], [], math.inf
        rates = []
        for row in results.where(depth=depth):
            margins, second = _margins(row), np.asarray(row["second"])
            # From each record on to the end, what the second singular value comes down to.
            later = np.minimum.accumulate(second[::-1], axis=0)[::-1]
            promised = np.maximum.accumulate(margins, axis=0)
            sound &= bool(np.all(later >= margins - _ROUNDING))
            rises = max(float(np.max(row["rises"])), float(np.max(np.diff(row["values"], axis=0))))
            monotone &= rises <= _ROUNDING and float(np.max(row["outside"])) <= 1.0 + _ROUNDING
            share = float(np.mean(promised[-1] > 0.0))
            gone = float(np.mean(second[-1] < 1e-6))
            numbers |= {
                f"guaranteed_{depth}_{row['ridge']:g}": share,
                f"lost_{depth}_{row['ridge']:g}": gone,
                f"certified_rate_{depth}_{row['ridge']:g}": float(np.median(row["rate"])),
                f"second_singular_value_{depth}_{row['ridge']:g}": float(np.median(second[-1])),
                f"bound_{depth}_{row['ridge']:g}": float(np.median(promised[-1])),
            }
            rates.append(f"{np.median(row['rate']):.1e}")
            guaranteed += [row["ridge"]] if share == 1.0 else []
            lost += [row["ridge"]] if gone > 0.0 else []
            least = min(least, gone)
        sound &= bool(guaranteed)
        kept = f"up to ridge {max(guaranteed):g}" if guaranteed else "at no ridge"
        parts.append(
            f"depth {depth}: the second singular value is guaranteed in all runs {kept}, lost by "
            f"some at {', '.join(f'{ridge:g}' for ridge in lost) or 'none'} of the ridges "
            f"{', '.join(f'{ridge:g}' for ridge in p['ridges'])}; learning rates that are "
            f"certified at these {', '.join(rates)}"
        )
    printed = _printed_over_exact(p["depths"][0], 16)
    numbers |= {"sound": sound, "monotone": monotone, "printed_constant_over_curvature": printed}
    sentence = "; ".join(parts) + (
        f"; the bound {'is met at every record' if sound else 'is broken'}, the loss "
        f"{'never rises' if monotone else 'rises'}. Near zero the Lipschitz constant of Lemma A.1 "
        f"is {printed:.2f} times the curvature of the ridge for 16 entries"
    )
    if not (sound and monotone):
        return Verdict(Status.FAILS, sentence, numbers=numbers)
    condition = (
        "a Lipschitz constant that does not divide the ridge by the number of entries, as that of "
        "Lemma A.1 does"
    )
    return Verdict(Status.HOLDS_WITH, sentence, condition, numbers)


def _printed_over_exact(depth: int, size: int) -> float:
    """Lemma A.1 near zero, where the Hessian is the ridge, over that."""
    ridge = 0.1
    printed = 2.0 * depth * math.sqrt(depth - 1.0) / size * ridge
    return printed / deep_smoothness(depth, 1e-9, ridge, 1.0, size)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Second singular values over steps for every ridge, and what is guaranteed."""
    from leanrank.research.experiments import _drawing as look

    figure, axes = look.panels(
        len(p["depths"]),
        "Proposition 3.2: the second singular value (solid, five runs) and its bound (dotted)",
        width=5.2,
        height=3.6,
        sharey=True,
    )
    shades = look.shades(len(p["ridges"]))
    for ax, depth in zip(axes, p["depths"], strict=True):
        for colour, row in zip(shades, results.where(depth=depth), strict=True):
            steps = np.maximum(row["steps"], 1)
            lines = ax.plot(steps, np.maximum(row["second"][:, :5], 1e-7), color=colour, lw=1)
            lines[0].set_label(f"ridge {row['ridge']:g}")
            bound = np.maximum.accumulate(_margins(row), axis=0)[:, 0]
            ax.plot(steps, np.where(bound > 0.0, bound, np.nan), color=colour, lw=1.6, ls=":")
        ax.set(xscale="log", yscale="log", ylim=(3e-4, 4), xlabel="steps of descent")
        look.heading(ax, f"depth {depth}")
        look.legend(ax, loc="lower left")
    axes[0].set_ylabel("$s_2$ of the product")
    return figure


experiment = Experiment(
    name="deep-descent",
    title="Descent keeps the rank under a small ridge",
    reference="Wang and Jacot (2024), Propositions 3.2, A.4, A.5 and Lemma A.1",
    claim="With small ridge and learning rate descent keeps singular value number r*, the least "
    "rank that fits, above a constant from some step on; below 2 / H its loss never rises and it "
    "never leaves the ball of radius sqrt(L / lambda).",
    criterion="HOLDS with a corrected H if no record of any run, at a usual learning rate and at "
    "the certified one, has a larger loss than the one before or is outside the ball, none has a "
    "second singular value below the bound of any record before, and for at least one ridge "
    "all runs have a bound above zero.",
    parameters={
        "depths": Parameter((3, 4), (3,), "layers", least=3),
        "ridges": Parameter(
            (0.003, 0.01, 0.03, 0.1, 0.2), (0.01, 0.03, 0.2), "weight decay", above=0
        ),
        "width": Parameter(20, 6, "of the hidden layers", least=3),
        "learning_rate": Parameter(0.05, None, "the usual one", above=0),
        "steps": Parameter(20_000, 10_000, "at that rate", least=1000),
        "runs": Parameter(20, 5, "networks", least=5),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
    tolerances={"lost_*": Tolerance(0.2)},
)

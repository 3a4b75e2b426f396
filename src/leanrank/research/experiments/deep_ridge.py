r"""Proposition 3.1 of Wang and Jacot: as the ridge vanishes, a minimum of the least rank fits.

Minima among networks of the least width that can fit, followed from a small ridge to a large one.
Each is looked at as a point of a wide network: whether it is stationary there, and whether the
Hessian has a negative eigenvalue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize

from leanrank.factors import Factors
from leanrank.operators import ObservedEntries
from leanrank.problem import Problem
from leanrank.research.deep import DeepFactors
from leanrank.research.deep._engines import layer_gradients, products
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_PROBLEMS = {
    "two": "2 x 2, rank 1",
    "four": "4 x 4 and triangular, rank 1",
    "random": "5 x 5 at random, rank 2",
}
_GONE = 1e-6
_FLAT = 1e-2
"""Of a negative eigenvalue, in units of the ridge."""
_SLOPE = 1.8


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Every problem at every depth; at any depth the random one is the same."""
    ridges = sorted(p["ridges"])
    return [
        {"problem": name, "depth": depth, "ridges": ridges, "stream": i}
        for i, name in enumerate(_PROBLEMS)
        for depth in p["depths"]
    ]


def _problem(name: str, rng: np.random.Generator) -> tuple[Problem, np.ndarray, int]:
    """What is observed, a matrix of the least rank that fits, and that rank."""
    if name == "random":
        A = rng.standard_normal((5, 2)) @ rng.standard_normal((2, 5))
        A /= np.linalg.norm(A, 2) / 2.0
        rows, cols = np.divmod(rng.permutation(25)[:19], 5)
        return Problem(ObservedEntries(rows, cols, (5, 5)), A[rows, cols]), A, 2
    size, epsilon = {"two": (2, 0.25), "four": (4, 0.5)}[name]
    powers = epsilon ** np.arange(size)
    return _deep.observed(epsilon, size), np.outer(powers, 1.0 / powers), 1


class _Objective:
    """The regularised loss of networks of given shapes, as a function of all weights in a row."""

    def __init__(self, problem: Problem, shapes: list[tuple[int, ...]], ridge: float) -> None:
        self.problem, self.shapes, self.ridge = problem, shapes, ridge

    def layers(self, theta: np.ndarray) -> list[np.ndarray]:
        ends = np.cumsum([np.prod(shape) for shape in self.shapes])[:-1]
        parts = np.split(theta, ends)
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def loss(self, theta: np.ndarray) -> float:
        """Mean squared residual, without the ridge."""
        op, y = self.problem.op, self.problem.y
        A = products(self.layers(theta))[-1]
        residual = op.forward(Factors(A, np.eye(A.shape[1]))) - y
        return float(residual @ residual) / y.size

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        op, y = self.problem.op, self.problem.y
        layers = self.layers(theta)
        *below, A = products(layers)
        residual = op.forward(Factors(A, np.eye(A.shape[1]))) - y
        S = op.adjoint(2.0 / y.size * residual)
        slopes = layer_gradients(S, layers, below)
        value = float(residual @ residual) / y.size + self.ridge / 2.0 * float(theta @ theta)
        return value, np.concatenate([np.ravel(G) for G in slopes]) + self.ridge * theta


def _flat(network: DeepFactors) -> np.ndarray:
    return np.concatenate([W.ravel() for W in network.layers])


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Loss, rank, slope and curvature of the minimum at every ridge."""
    problem, truth, rank = _problem(t["problem"], rng)
    theta = _flat(DeepFactors.balanced(truth, t["depth"], rank))
    shapes = [W.shape for W in DeepFactors.balanced(truth, t["depth"], rank).layers]
    rows: dict[str, list[float]] = {k: [] for k in ("loss", "rank", "slope", "curvature")}
    for ridge in t["ridges"]:
        objective = _Objective(problem, shapes, ridge)
        options = {"gtol": 1e-11, "maxiter": 20_000}
        theta = optimize.minimize(objective, theta, jac=True, method="BFGS", options=options).x
        network = DeepFactors(objective.layers(theta))
        s = network.singular_values()
        rows["loss"].append(objective.loss(theta))
        rows["rank"].append(float(np.sum(s > _GONE)))
        wide = DeepFactors.balanced(network.product(), t["depth"], min(truth.shape))
        slope, curvature = _at(_Objective(problem, [W.shape for W in wide.layers], ridge), wide)
        rows["slope"].append(slope)
        rows["curvature"].append(curvature / ridge)
    return {"least": rank} | {name: np.array(values) for name, values in rows.items()}


def _at(objective: _Objective, network: DeepFactors) -> tuple[float, float]:
    """Norm of the gradient, and the least eigenvalue of the Hessian by differences of gradients."""
    theta, h = _flat(network), 1e-5
    columns = [
        (objective(theta + h * e)[1] - objective(theta - h * e)[1]) / (2.0 * h)
        for e in np.eye(theta.size)
    ]
    H = np.array(columns)
    return (
        float(np.linalg.norm(objective(theta)[1])),
        float(np.linalg.eigvalsh((H + H.T) / 2.0)[0]),
    )


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether there is a minimum of the least rank at every ridge, and fits as that vanishes."""
    ridges = np.sort(p["ridges"])
    numbers: dict[str, Any] = {"ridges": ridges}
    parts = []
    holds, smallest = True, np.inf
    for name, text in _PROBLEMS.items():
        words = []
        for row in results.where(problem=name):
            full = np.asarray(row["rank"]) == row["least"]
            count = int(np.argmin(np.append(full, False)))  # of ridges, from the smallest on
            loss = np.asarray(row["loss"])
            slope = float(np.diff(np.log(loss[:2]))[0] / np.diff(np.log(ridges[:2]))[0])
            largest = float(ridges[count - 1]) if count else 0.0
            smallest = min(smallest, largest)
            worst = float(np.min(np.asarray(row["curvature"])[:count], initial=np.inf))
            steep = float(np.max(np.asarray(row["slope"])[:count], initial=0.0))
            holds &= bool(count >= 3 and slope > _SLOPE and worst > -_FLAT and steep < 1e-6)
            key = f"{name}, depth {row['depth']}"
            numbers |= {
                f"loss: {key}": loss,
                f"exponent: {key}": slope,
                f"largest_ridge: {key}": largest,
                f"least_curvature: {key}": worst,
            }
            words.append(
                f"depth {row['depth']}: loss {loss[0]:.1e} at ridge {ridges[0]:g}, going with its "
                f"power {slope:.2f}, of that rank up to ridge {largest:g}, least curvature "
                f"{worst:.1e} ridges"
            )
        parts.append(f"{text}: {', '.join(words)}")
    sentence = "; ".join(parts)
    if not holds:
        return Verdict(Status.FAILS, sentence, numbers=numbers)
    if smallest < ridges[-1]:
        condition = (
            f"a ridge that is small enough, here {smallest:g}, where the proposition has it for "
            "all: beyond, the best matrix of that rank or less is of less"
        )
        return Verdict(Status.HOLDS_WITH, sentence, condition, numbers)
    return Verdict(Status.HOLDS, sentence, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Loss of the minimum over the ridge, for all depths, with what is of lower rank hollow."""
    from leanrank.research.experiments import _drawing as look

    figure, axes = look.panels(
        len(_PROBLEMS),
        "Proposition 3.1: minima of the least rank that fits (hollow: of less)",
        width=4.2,
        height=3.4,
        sharey=True,
    )
    ridges = np.sort(p["ridges"])
    for ax, (name, text) in zip(axes, _PROBLEMS.items(), strict=True):
        for row, colour in zip(results.where(problem=name), look.COLOURS, strict=False):
            full = np.asarray(row["rank"]) == row["least"]
            loss = np.maximum(row["loss"], 1e-16)
            ax.plot(
                ridges[full],
                loss[full],
                "o-",
                ms=4,
                color=colour,
                lw=1,
                label=f"depth {row['depth']}",
            )
            ax.plot(ridges[~full], loss[~full], "o", ms=4, color=colour, mfc="none")
        ax.plot(ridges, ridges**2, color=look.INK, lw=0.8, ls=":", label=r"$\lambda^2$")
        ax.set(xscale="log", yscale="log", xlabel=r"ridge $\lambda$")
        look.heading(ax, text)
    axes[0].set_ylabel("mean squared residual")
    look.legend(axes[0], loc="lower right")
    return figure


experiment = Experiment(
    name="deep-ridge",
    title="Minima of the least rank as the ridge vanishes",
    reference="Wang and Jacot (2024), Propositions 3.1 and A.3",
    claim="For all ridges there is a local minimum of the least rank that can fit, and its loss "
    "vanishes with the ridge.",
    criterion="HOLDS if at every ridge the minimum among networks of that rank is of that rank, "
    f"and no Hessian of a wide network there has an eigenvalue below -{_FLAT:g} ridges, and the "
    f"loss goes down with at least the power {_SLOPE:g} of the ridge between the two smallest; "
    "HOLDS with if that is so for at least the three smallest.",
    parameters={
        "depths": Parameter((3, 4, 5, 6), (3, 5), "layers", least=3),
        "ridges": Parameter(
            (1e-5, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0),
            (1e-5, 1e-4, 1e-3, 0.1, 1.0),
            "weight decay, at least four",
            above=0,
            fewest=4,
        ),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
    tolerances={"loss:*": Tolerance(1e-9, 0.05), "least_curvature:*": Tolerance(1e-3)},
)

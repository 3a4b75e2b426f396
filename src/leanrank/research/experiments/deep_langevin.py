r"""Remark 2.1 of Wang and Jacot: Langevin dynamics do what SGD does not, they raise the rank.

From the best local minima of rank one and of rank two, under one learning rate and ridge: SGD;
Langevin dynamics, whose noise is as large as that of SGD but the same in all directions; and
Gaussian noise with the covariance of SGD. At the second epsilon rank two has the lower loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research.deep import DeepFactors, Phase, langevin, train
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

_DYNAMICS = {
    "sgd": "SGD",
    "isotropic": "Langevin, equal noise",
    "sampling": "Gaussian, SGD's covariance",
}
_RECORDED = 50
_AT_ONE = 1e-6
"""Share of the first singular value below which the second is gone."""
_AT_TWO = 0.1
_NEARLY = 0.95


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """All dynamics from both minima, for every epsilon and its learning rate."""
    if len(set(p["epsilons"])) != len(p["epsilons"]):
        raise ValueError(f"epsilons must be different from each other, got {p['epsilons']}")
    if len(p["epsilons"]) != len(p["learning_rates"]):
        raise ValueError(
            f"learning_rates must be one for each of epsilons, got {p['learning_rates']}"
        )
    common = {k: p[k] for k in ("depth", "width", "ridge", "steps", "runs")}
    return [
        {"epsilon": epsilon, "learning_rate": rate, "rank": rank, "dynamics": name, **common}
        for epsilon, rate in zip(p["epsilons"], p["learning_rates"], strict=True)
        for rank in (1, 2)
        for name in _DYNAMICS
    ]


def _minimum(epsilon: float, depth: int, ridge: float, rank: int) -> CriticalPoint:
    """The best local minimum of a rank."""
    for point in two_by_two_critical_points(epsilon, depth, ridge):
        if point.rank == rank and point.is_minimum:
            return point
    raise ValueError(
        f"ridge = {ridge:g} leaves no local minimum of rank {rank}; take a smaller one"
    )


def _run(name: str, problem: Any, nets: Any, phase: Phase, every: int, rng: Any) -> Any:
    if name == "sgd":
        return train(problem, nets, [phase], every=every, threads=1, random_state=rng)
    return langevin(problem, nets, phase, covariance=name, every=every, random_state=rng)


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Ratios of singular values over steps, and how much of the noise raises the rank."""
    problem = _deep.observed(t["epsilon"])
    point = _minimum(t["epsilon"], t["depth"], t["ridge"], t["rank"])
    start = DeepFactors.balanced(point.matrix, t["depth"], t["width"])
    phase = Phase(t["steps"], t["learning_rate"], t["ridge"])
    training = _run(t["dynamics"], problem, [start] * t["runs"], phase, _RECORDED, rng)
    once = Phase(1, t["learning_rate"], t["ridge"])
    steps = _run(t["dynamics"], problem, [start] * 200, once, 1, rng).networks
    ratios, diverged = training.ratios(), _deep.diverged(training)
    ratios[:, ~diverged] = np.nan_to_num(ratios[:, ~diverged], nan=0.0)  # that of zero
    ends = training.singular_values[-1, :, 0]
    return {
        "ratios": ratios,
        "steps": training.steps,
        "diverged": diverged,
        "at_zero": int(np.sum(ends < _AT_ONE)),
        "value": point.value,
        "raising": _raising(start, steps),
    }


def _raising(start: DeepFactors, steps: tuple[DeepFactors, ...]) -> float:
    """Share of the variance of single steps off all layers' columns and rows at once."""
    off = total = 0.0
    for number, W in enumerate(start.layers):
        P, s, Qt = np.linalg.svd(W)
        rank = int(np.sum(s > 1e-12 * s[0]))
        moved = np.array([step.layers[number] for step in steps])
        moved -= moved.mean(axis=0)
        total += float(np.sum(moved**2))
        off += float(np.sum((P[:, rank:].T @ moved @ Qt[rank:].T) ** 2))
    return off / total


def _rows(results: Results, **chosen: Any) -> Mapping[str, Any]:
    return next(iter(results.where(**chosen)))


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether SGD alone goes one way only, and where each is at the end."""
    numbers: dict[str, Any] = {}
    parts = []
    stays, returns, lower = True, True, True
    with_covariance: list[bool] = []
    for epsilon in p["epsilons"]:
        values = [_rows(results, epsilon=epsilon, rank=rank)["value"] for rank in (1, 2)]
        numbers[f"loss_{epsilon:g}"] = values
        words = []
        for name, text in _DYNAMICS.items():
            one, two = (_rows(results, epsilon=epsilon, rank=r, dynamics=name) for r in (1, 2))
            alive = one["ratios"][1:, ~one["diverged"]]
            back, middle = (
                (float(alive.max()), float(np.median(alive))) if alive.size else (np.nan, np.nan)
            )
            ends = [_share(row["ratios"], row["diverged"]) for row in (one, two)]
            lost = [int(row["diverged"].sum()) for row in (one, two)]
            zero = one["at_zero"] + two["at_zero"]
            numbers |= {
                f"largest_ratio_{name}_{epsilon:g}": back,
                f"median_ratio_{name}_{epsilon:g}": middle,
                f"share_at_rank_one_{name}_{epsilon:g}": ends,
                f"diverged_{name}_{epsilon:g}": lost,
                f"at_zero_{name}_{epsilon:g}": zero,
                f"noise_that_raises_{name}_{epsilon:g}": float(one["raising"]),
            }
            words.append(
                f"{text}: s2 / s1 from rank one at most {back:.1e} (median {middle:.1e}), at rank "
                f"one or less in the end {ends[0]:.0%} from there and {ends[1]:.0%} from rank two"
                + (f", {sum(lost)} diverge" if sum(lost) else "")
                + (f", {zero} fall to zero" if zero else "")
                + f", {one['raising']:.1e} of the noise raises the rank"
            )
            if name == "sgd":
                stays &= back < _AT_ONE
                lower &= ends[1] > 0.0
            elif name == "isotropic":
                returns &= middle > _AT_ONE and max(ends) == 0.0
            elif max(lost) <= p["runs"] / 2:
                with_covariance.append(back < _AT_ONE and ends[1] > 0.5)
        order = "below" if values[1] < values[0] else "above"
        parts.append(
            f"epsilon = {epsilon:g} (loss of rank two {values[1]:.4f}, {order} {values[0]:.4f} of "
            f"rank one): {'; '.join(words)}"
        )
    sentence = ". ".join(parts)
    if not (stays and returns and lower):
        return Verdict(Status.FAILS, sentence, numbers=numbers)
    if with_covariance and all(with_covariance):
        condition = (
            "noise that is the same in all directions: with SGD's own covariance Gaussian noise "
            "stays at rank one and jumps to it, so that it is not continuity that fails, as "
            "Section 5 has it"
        )
        return Verdict(Status.HOLDS_WITH, sentence, condition, numbers)
    return Verdict(Status.HOLDS, sentence, numbers=numbers)


def _share(ratios: np.ndarray, diverged: np.ndarray) -> float:
    """Of the runs that have not diverged, those at rank one at the end."""
    alive = ratios[-1, ~diverged]
    return float(np.mean(alive < _AT_ONE)) if alive.size else float("nan")


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Ratios over steps from rank one and from rank two, five runs of each kind."""
    from leanrank.research.experiments import _drawing as look

    figure, axes = look.panels(
        2 * len(p["epsilons"]),
        "Remark 2.1: SGD, and Gaussian noise in its place, from local minima of rank one and two",
        rows=len(p["epsilons"]),
        width=5.2,
        height=3.0,
        sharey=True,
    )
    cells = [(epsilon, rank) for epsilon in p["epsilons"] for rank in (1, 2)]
    styles: list[dict[str, Any]] = [{"lw": 1.6}, {"lw": 0.8}, {"lw": 0.6, "ls": "--"}]
    for ax, (epsilon, rank) in zip(axes, cells, strict=True):
        for (name, text), colour, style in zip(
            _DYNAMICS.items(), look.COLOURS, styles, strict=False
        ):
            row = _rows(results, epsilon=epsilon, rank=rank, dynamics=name)
            seen = np.maximum(row["ratios"], 1e-18)  # zero, but not NaN
            lines = ax.plot(row["steps"], seen[:, :5], color=colour, **style)
            lines[0].set_label(text)
        ax.set(yscale="log", ylim=(5e-19, 30), xlabel="steps", ylabel="$s_2 / s_1$")
        value = _rows(results, epsilon=epsilon, rank=rank)["value"]
        look.heading(ax, rf"$\epsilon$ = {epsilon:g}, from rank {rank}, of loss {value:.4f}")
    look.legend(axes[0], loc="center right")
    return figure


experiment = Experiment(
    name="deep-langevin",
    title="Langevin dynamics in place of SGD",
    reference="Wang and Jacot (2024), Remark 2.1",
    claim="Langevin dynamics go from any local minimum to any other, and more often to those of "
    "lower loss; SGD goes to lower rank, whatever the loss, and never back.",
    criterion="HOLDS if from rank one no run of SGD has s2 / s1 of "
    f"{_AT_ONE:g} again, while Langevin dynamics are above that in the median and no run of them "
    "is at rank one in the end, and SGD jumps from rank two at every epsilon, the one where that "
    "has the lower loss included; HOLDS with if Gaussian noise of SGD's covariance, where at most "
    "half of its runs diverge, stays below that, too, and more than half of the rest jump.",
    parameters={
        "epsilons": Parameter((0.25, 0.15), None, "the small observed entry", above=0),
        "learning_rates": Parameter((0.2, 0.4), None, "one for each epsilon", above=0),
        "depth": Parameter(3, None, "layers", least=3),
        "width": Parameter(10, 6, "of the hidden layers", least=2),
        "ridge": Parameter(0.1, None, "all along", above=0),
        "steps": Parameter(10_000, 5000, "from each minimum", least=100),
        "runs": Parameter(30, 20, "of each kind", least=5),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
    tolerances={
        "share_at_rank_one_*": Tolerance(0.4),
        "diverged_*": Tolerance(4.0),
        "at_zero_*": Tolerance(4.0),
        "*ratio_sgd_*": Tolerance(1e-12),
        "*ratio_sampling_*": Tolerance(1e-12, 1.0),
        "*": Tolerance(1e-6, 0.2),
    },
)

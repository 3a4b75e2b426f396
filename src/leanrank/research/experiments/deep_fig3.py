r"""Figure 3 of Wang and Jacot: the longer the noise, the smaller the epsilon that is recovered.

Next to it what the paper leaves out: descent on all entries under the same schedule of ridges,
which has no noise at all. Times count from the start, the warm-up included.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research.deep import Phase, annealing, recovery
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

_SAMPLINGS = {"one": "one entry a step", "all": "all entries in each step"}
_WARM_UP = 500


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """All networks of an epsilon, with and without noise, from the same starts."""
    times = p["times"]
    if len(times) < 3 or times[0] != 0 or list(times) != sorted(set(times)):
        raise ValueError(f"times must be 0 and at least two more, increasing, got {times}")
    names = ("depth", "width", "times", "learning_rate", "ridge", "runs")
    common = {k: p[k] for k in (*names, "quiet_steps", "quiet_learning_rate", "quiet_ridge")}
    return [
        {"epsilon": epsilon, "sampling": sampling, **common, "stream": i}
        for i, epsilon in enumerate(p["epsilons"])
        for sampling in _SAMPLINGS
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Test losses after each time under a large ridge and the quiet phase, (times, runs)."""
    last = max(t["times"])
    noisy = annealing(
        max(last - _WARM_UP, 0),
        0,
        warm_up_steps=min(last, _WARM_UP),
        learning_rate=t["learning_rate"],
        ridge=t["ridge"],
    )
    losses = recovery(
        _deep.observed(t["epsilon"]),
        _deep.starts(t["runs"], t["depth"], t["width"], rng),
        noisy,
        t["times"],
        [Phase(t["quiet_steps"], t["quiet_learning_rate"], t["quiet_ridge"])],
        _deep.test_loss(t["epsilon"]),
        batch_size={"one": 1, "all": None}[t["sampling"]],
        threads=1,
        random_state=rng,
    )
    return {"test": losses}


def _losses(p: Mapping[str, Any], results: Results, sampling: str) -> np.ndarray:
    """Test losses, (epsilons, times, runs); that of a network that diverged counts as 1."""
    rows = [results.where(sampling=sampling, epsilon=epsilon) for epsilon in p["epsilons"]]
    losses = np.array([next(iter(row))["test"] for row in rows])
    return np.where(np.isnan(losses), 1.0, losses)


def _medians(p: Mapping[str, Any], results: Results, sampling: str) -> np.ndarray:
    return np.median(_losses(p, results, sampling), axis=2)


def _shares(p: Mapping[str, Any], results: Results, sampling: str) -> np.ndarray:
    """Share of networks that recover the entry, (epsilons, times)."""
    recovered = _losses(p, results, sampling) < _thresholds(p)[:, None, None]
    return np.asarray(recovered.mean(axis=2))


def _thresholds(p: Mapping[str, Any]) -> np.ndarray:
    """Test losses nearer to the minimiser of rank one than to zero's, on a log scale.

    The quiet ridge keeps that minimiser, too, from the missing entry, more so for small epsilon.
    """
    return np.sqrt(
        [
            _deep.predicted_loss(epsilon, p["depth"], p["quiet_ridge"], rank=1)
            for epsilon in p["epsilons"]
        ]
    )


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Which epsilons are recovered after which time, and for which of them noise is needed."""
    times, epsilons = np.array(p["times"]), np.array(p["epsilons"])
    noisy, full = (_medians(p, results, sampling) for sampling in _SAMPLINGS)
    recovered = _thresholds(p)
    with_noise = recovered > noisy.T
    least = [_least(epsilons, column) for column in with_noise]
    least_full = _least(epsilons, np.any(recovered > full.T, axis=0))
    numbers = {
        "epsilons": epsilons,
        "times": times,
        "median_test_loss": noisy,
        "median_test_loss_all_entries": full,
        "share_recovered": _shares(p, results, "one"),
        "share_recovered_all_entries": _shares(p, results, "all"),
        "least_epsilon": np.array(least),
        "least_epsilon_all_entries": least_full,
    }
    steps = ", ".join(
        f"{e:g} after {t}" if np.isfinite(e) else f"none after {t}"
        for t, e in zip(times, least, strict=True)
    )
    measured = (
        f"smallest epsilon recovered with noise: {steps} noisy steps; by descent on all entries "
        f"under the same ridge, after any time: {least_full:g}"
    )
    if np.any(with_noise[0]):
        without = ", ".join(f"{epsilon:g}" for epsilon in epsilons[with_noise[0]])
        measured += f"; recovered without the phase: {without}"
    longer = least[-1] < least[1] and all(b <= a for a, b in pairwise(least[1:]))
    if np.any(with_noise[0]) or not longer:
        return Verdict(Status.FAILS, measured, numbers=numbers)
    if least_full <= epsilons.max():
        condition = (
            f"epsilon below {least_full:g}: down to there the large ridge alone is enough, without "
            "noise"
        )
        return Verdict(Status.HOLDS_WITH, measured, condition, numbers)
    return Verdict(Status.HOLDS, measured, numbers=numbers)


def _least(epsilons: np.ndarray, recovered: np.ndarray) -> float:
    """The least epsilon of an unbroken range from the largest down; infinite if there is none."""
    order = np.argsort(-epsilons)
    count = int(np.argmin(np.append(recovered[order], False)))
    return float(epsilons[order][count - 1]) if count else float("inf")


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Median test loss over epsilon, a line for each time, with and without noise."""
    from leanrank.research.experiments import _drawing as look

    figure, axes = look.panels(
        2,
        f"Figure 3: recovery of networks of depth {p['depth']}",
        width=5.0,
        height=3.8,
        sharey=True,
    )
    order = np.argsort(p["epsilons"])
    epsilons = np.array(p["epsilons"])[order]
    for ax, (sampling, words) in zip(axes, _SAMPLINGS.items(), strict=True):
        losses = _losses(p, results, sampling)[order]
        medians = np.median(losses, axis=2)
        thick = np.linspace(5.0, 1.2, len(p["times"]))  # lines may coincide
        for i, (colour, lw, time) in enumerate(
            zip(look.shades(len(p["times"])), thick, p["times"], strict=True)
        ):
            low, high = losses[:, i].min(axis=1), losses[:, i].max(axis=1)
            ax.vlines(epsilons, low, high, color=colour, lw=0.8)
            label = f"{time} steps"
            ax.plot(epsilons, medians[:, i], "o-", ms=lw + 2, lw=lw, color=colour, label=label)
        ax.plot(epsilons, _thresholds(p)[order], color=look.INK, lw=0.8, ls=":")
        ax.set(yscale="log", xlabel=r"$\epsilon$")
        look.marks(ax, list(epsilons))
        look.heading(ax, words)
    axes[0].set_ylabel("test loss over that of zero, median and range")
    look.legend(axes[0], loc="lower left", title="under a large ridge", title_fontsize=8)
    return figure


experiment = Experiment(
    name="deep-fig3",
    title="Recovery over epsilon and the length of the noisy phase",
    reference="Wang and Jacot (2024), Figure 3",
    claim="Without a phase of large noise and ridge networks do not recover the missing entry for "
    "any epsilon; the longer the phase, the smaller the epsilon for which they do.",
    criterion="HOLDS if no epsilon is recovered in the median without the phase, none that is "
    "recovered after some steps is lost after more, and the longest recovers a smaller one than "
    "the shortest; HOLDS with if descent on all entries recovers some, too. Recovered is a test "
    "loss below the square root of the rank-one minimiser's (dotted).",
    tolerances={
        "median_test_loss*": Tolerance(0.5, 0.5),
        "share_recovered*": Tolerance(0.5),
        "least_epsilon*": Tolerance(0.06),
    },
    parameters={
        "epsilons": Parameter(
            (1.0, 0.7, 0.5, 0.35, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05),
            (1.0, 0.5, 0.25, 0.15, 0.1),
            "the small observed entry",
            above=0,
        ),
        "times": Parameter(
            (0, 1000, 2000, 5000, 10_000),
            (0, 1000, 5000),
            "noisy steps, the first 0, increasing",
            least=0,
        ),
        "depth": Parameter(4, None, "layers", least=3),
        "width": Parameter(100, 20, "of the hidden layers", least=1),
        "learning_rate": Parameter(0.25, None, "under noise", above=0),
        "ridge": Parameter(0.1, None, "under noise", above=0),
        "quiet_steps": Parameter(4000, None, "steps of the quiet end", least=1),
        "quiet_learning_rate": Parameter(0.05, None, "at the quiet end", above=0),
        "quiet_ridge": Parameter(0.001, None, "at the quiet end", above=0),
        "runs": Parameter(10, 5, "networks for each epsilon; the paper has 4", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

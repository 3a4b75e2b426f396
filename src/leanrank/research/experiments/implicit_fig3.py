"""Figure 3 of Li, Ma and Zhang: no early stopping is needed from a small start."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

run_trial = _implicit.run
_ROUNDING = 1.01
"""Errors that rise by no more than this factor do not count as rising."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """One for each size and seed."""
    common = {k: p[k] for k in (*_implicit.COMMON, "iterations") if k != "seeds"}
    common |= {"scales": (p["scale"],)}
    return [
        {"d": d, "instance": i, **common, "stream": j}
        for j, d in enumerate(p["sizes"])
        for i in range(p["seeds"])
    ]


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether the test error never rises from where it was, over the whole run."""
    rises, parts = [], []
    numbers: dict[str, Any] = {}
    for d in p["sizes"]:
        rows = results.where(d=d)
        test, times = rows.column("test")[:, 0], rows[0]["iterations"]
        lowest = np.minimum.accumulate(test, axis=1)
        rises.append(float((test / lowest).max()))
        tenth = int(np.argmin(np.abs(times - times[-1] / 10)))
        middle, end = float(test[:, tenth].mean()), float(test[:, -1].mean())
        numbers |= {f"test_{d}": test.mean(axis=0), f"largest_rise_{d}": rises[-1]}
        parts.append(
            f"d = {d}: test error {middle:.2e} after {times[tenth]} and {end:.2e} after "
            f"{times[-1]} iterations, at most {rises[-1]:.3f} times the lowest before"
        )
    status = Status.HOLDS if max(rises) <= _ROUNDING else Status.FAILS
    return Verdict(status, "; ".join(parts), numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Both errors over the iterations, the mean and all that was seen."""
    from leanrank.research.experiments import _drawing as look

    figure, (ax,) = look.panels(
        1, "Figure 3: errors over a long run from a small start", width=6.0, height=3.8
    )
    for colour, d in zip(cycle(look.COLOURS), p["sizes"], strict=False):
        rows = results.where(d=d)
        times = rows[0]["iterations"]
        for name, style, kind in (("test", "-", "test"), ("train", "--", "training")):
            values, label = rows.column(name)[:, 0], f"{kind}, d = {d}"
            _implicit.spread(ax, times, values, colour, np.mean, linestyle=style, label=label)
    ax.set(xscale="log", yscale="log", xlabel="iteration", ylabel="relative error")
    look.legend(ax)
    return figure


experiment = Experiment(
    name="implicit-fig3",
    title="Test error over a very long run from a small start",
    reference="Li, Ma and Zhang (2018), Figure 3",
    claim="From U_0 = 0.01 I the test error keeps decreasing up to 100000 iterations: no early "
    "stopping is needed.",
    criterion="HOLDS if no test error is ever more than "
    f"{100 * (_ROUNDING - 1):.0f} % above the lowest before.",
    parameters={
        "sizes": Parameter((100, 200), (40,), "sizes d of X; 200 takes 400 MB", least=2),
        "scale": Parameter(0.01, None, "alpha", above=0),
        "iterations": Parameter(100_000, 40_000, "the paper's iterations", least=1),
        **_implicit.COMMON,
        "coarsening": Parameter(
            16, None, "how many of the paper's steps one step stands for", least=1
        ),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

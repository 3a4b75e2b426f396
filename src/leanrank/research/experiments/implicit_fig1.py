"""Figure 1 of Li, Ma and Zhang: the smaller the start, the closer are test and training error."""

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
_LEFT = 0.5
"""A test error above is that of a small start which descent has hardly left: 0 has 1."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """One for each size and seed; all scales descend over the same measurements."""
    if len(set(p["scales"])) < 2:
        raise ValueError(
            f"scales must have at least two different values to compare, got {p['scales']}"
        )
    common = {k: p[k] for k in _implicit.COMMON if k != "seeds"}
    common |= {"iterations": p["iterations"], "scales": p["scales"]}
    return [
        {"d": d, "instance": i, **common, "stream": j}
        for j, d in enumerate(p["sizes"])
        for i in range(p["seeds"])
    ]


def _ends(results: Results, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Final training and test errors of a size, shape (seeds, scales)."""
    rows = results.where(d=d)
    return rows.column("train")[:, :, -1], rows.column("test")[:, :, -1]


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether test error and gap fall with the scale, for every size, and how fast."""
    order = np.argsort(p["scales"])[::-1]
    scales = np.array(p["scales"])[order]
    numbers: dict[str, Any] = {"scales": scales}
    small = scales <= 0.1 * (1 + 1e-9)
    falling, parts, waiting = [], [], []
    for d in p["sizes"]:
        train, test = (values[:, order].mean(axis=0) for values in _ends(results, d))
        falling += [np.all(np.diff(test) < 0), np.all(np.diff(test - train) < 0)]
        numbers |= {f"train_{d}": train, f"test_{d}": test}
        part = (
            f"d = {d}: test error {test[0]:.2g} at alpha = {scales[0]:g}, {test[-1]:.2g} at "
            f"{scales[-1]:.2g}, the gap to the training error {test[0] - train[0]:.2g} and "
            f"{test[-1] - train[-1]:.2g}"
        )
        if np.sum(small) > 1:
            power = float(np.polyfit(np.log(scales[small]), np.log(test[small]), 1)[0])
            numbers[f"power_{d}"] = power
            part += f"; test error like alpha^{power:.2f} up to 0.1"
        parts.append(part)
        if not test[-1] < _LEFT:
            waiting.append(str(d))
    measured = "; ".join(parts)
    if waiting:
        right = (
            f"more iterations: after {p['iterations']} descent from alpha = {scales[-1]:.2g} has "
            f"hardly left its start at d = {' and '.join(waiting)}"
        )
        return Verdict(Status.FAILS, measured, right, numbers)
    return Verdict(Status.HOLDS if all(falling) else Status.FAILS, measured, numbers=numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Training and test error against the scale, as in the paper, and the test error in time."""
    from leanrank.research.experiments import _drawing as look

    figure, (left, right) = look.panels(
        2, "Figure 1: training and test error over the scale of the start"
    )
    scales = np.array(p["scales"])
    for colour, d in zip(cycle(look.COLOURS), p["sizes"], strict=False):
        train, test = _ends(results, d)
        for values, style, name in ((test, "-o", "test"), (train, "--s", "training")):
            left.errorbar(
                scales,
                values.mean(axis=0),
                yerr=[values.mean(0) - values.min(0), values.max(0) - values.mean(0)],
                fmt=style,
                color=colour,
                markersize=4,
                linewidth=1.4,
                capsize=3,
                label=f"d = {d}, {name}",
            )
    left.set(xscale="log", yscale="log", xlabel="alpha", ylabel="relative error at the end")
    left.invert_xaxis()
    look.heading(left, "mean and range over sets of measurements of one X")
    look.legend(left)
    d = p["sizes"][0]
    rows = results.where(d=d)
    for colour, i in zip(look.shades(scales.size), range(scales.size), strict=True):
        test = rows.column("test")[:, i]
        label = f"{scales[i]:.2g}"
        _implicit.spread(right, rows[0]["iterations"], test, colour, np.mean, label=label)
    right.set(xscale="log", yscale="log", xlabel="iteration", ylabel=f"test error, d = {d}")
    look.heading(right, "mean and range of the test error in time")
    look.legend(right, title="alpha", title_fontsize=8, ncols=2)
    return figure


experiment = Experiment(
    name="implicit-fig1",
    title="Generalisation depends on the scale of the start",
    reference="Li, Ma and Zhang (2018), Figure 1",
    claim="From U_0 = alpha I, the gap between training and test error narrows as alpha "
    "decreases, and so does the test error.",
    criterion="HOLDS if the mean test error, and its distance from the mean training error, fall "
    f"with every smaller alpha at every d, and the smallest alpha ends below {_LEFT:g}.",
    parameters={
        "sizes": Parameter((100, 200), (40, 60), "sizes d of X", least=2),
        "scales": Parameter(
            (1.0, 10**-0.5, 0.1, 10**-1.5, 0.01, 10**-2.5, 0.001),
            (1.0, 0.1, 0.01, 0.001),
            "alpha",
            above=0,
        ),
        "iterations": Parameter(10_000, None, "the paper's iterations", least=1),
        **_implicit.COMMON,
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

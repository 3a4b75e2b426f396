"""Figure 2 of Li, Ma and Zhang: a long run from a large and from a small start."""

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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

run_trial = _implicit.run
_FITTED = 1e-4
_ROUNDING = 2e-6
"""Training errors below this are what single precision leaves."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """One for each seed."""
    common = {k: p[k] for k in (*_implicit.COMMON, "d", "iterations") if k != "seeds"}
    scales = (p["large"], p["small"])
    return [{"instance": i, "scales": scales, **common} for i in range(p["seeds"])]


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether the large start fits without generalising, and to the numbers of the paper."""
    times = results[0]["iterations"]
    train = np.median(results.column("train"), axis=0)
    test = np.median(results.column("test"), axis=0)
    at = int(np.argmin(np.abs(times - p["printed_iterations"])))
    fitted = times[train[0] < _FITTED]
    first = float(fitted[0]) if fitted.size else np.inf
    gap = test[0, -1] > 50 * train[0, -1] and test[1, -1] < 0.1 * test[0, -1]
    printed = train[0, at] < _FITTED and 0.03 < test[0, at] < 0.3
    numbers = {
        "at": times[at],
        "train_at": train[:, at],
        "test_at": test[:, at],
        "train_at_end": train[:, -1],
        "test_at_end": test[:, -1],
        "first_below_1e-4": first,
    }
    reached = f"after {first:.0f} iterations" if fitted.size else "not in this run"
    seen = " and ".join(
        f"{train[0, k]:.1e} after {times[k]} iterations (test error {test[0, k]:.2g})"
        for k in sorted({at, len(times) - 1})
    )
    measured = (
        f"from alpha = {p['large']:g} the training error is {seen}, below 1e-4 {reached}; from "
        f"alpha = {p['small']:g} the test error ends at {test[1, -1]:.1e}"
    )
    if not gap:
        return Verdict(Status.FAILS, measured, numbers=numbers)
    if printed:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    conditions = []
    if not 0.03 < test[0, at] < 0.3:
        large = p["large"]
        conditions.append(
            f"a test error from alpha = {large:g} of {test[0, at]:.1g}, not of order 0.1"
        )
    if train[0, at] >= _FITTED:
        conditions.append(f"a training error that at d = {p['d']} takes longer than printed")
    return Verdict(Status.HOLDS_WITH, measured, " and ".join(conditions), numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Both errors from both starts in time."""
    from leanrank.research.experiments import _drawing as look

    figure, (ax,) = look.panels(
        1, "Figure 2: training and test error from a large and a small start", width=6.0, height=3.8
    )
    times = results[0]["iterations"]
    for i, (colour, start) in enumerate(((look.BLUE, "large"), (look.RED, "small"))):
        for name, style in (("test", "-"), ("train", "--")):
            values = results.column(name)[:, i]
            label = f"{'test' if name == 'test' else 'training'}, alpha = {p[start]:g}"
            _implicit.spread(ax, times, values, colour, linestyle=style, label=label)
    ax.set(xscale="log", yscale="log", xlabel="iteration", ylabel="relative error")
    ax.axvline(p["printed_iterations"], color=look.PALE, linewidth=1, zorder=0)
    ax.axhline(_FITTED, color=look.PALE, linewidth=1, zorder=0)
    note: dict[str, Any] = {"fontsize": 7, "color": look.INK}
    ax.text(times[0], _FITTED, "1e-4, reached by then in the paper", va="bottom", **note)
    ax.text(
        p["printed_iterations"],
        1.0,
        "the paper's last iteration ",
        rotation=90,
        ha="right",
        va="top",
        transform=ax.get_xaxis_transform(),
        **note,
    )
    floor = float(np.min(results.column("train")))
    if floor < _ROUNDING:
        ax.text(times[0], floor, "rounding in single precision", va="bottom", **note)
    look.legend(ax, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


experiment = Experiment(
    name="implicit-fig2",
    title="Large against small start over a long run",
    reference="Li, Ma and Zhang (2018), Figure 2",
    claim="From U_0 = I the training error falls below 1e-4 within 20000 iterations while the "
    "test error remains of order 0.1; from U_0 = 0.001 I both are small.",
    parameters={
        "d": Parameter(100, 60, "size of X", least=2),
        "large": Parameter(1.0, None, "the large alpha", above=0),
        "small": Parameter(0.001, None, "the small alpha", above=0),
        "iterations": Parameter(60_000, 20_000, "the paper's iterations", least=1),
        "printed_iterations": Parameter(20_000, None, "where the figure ends", least=1),
        **_implicit.COMMON,
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

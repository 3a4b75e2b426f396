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
_FIRST = 500
"""The paper's figure begins at this iteration."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """One for each seed."""
    common = {k: p[k] for k in (*_implicit.COMMON, "d", "iterations") if k != "seeds"}
    scales = (p["large"], p["small"])
    return [{"instance": i, "scales": scales, **common, "stream": 0} for i in range(p["seeds"])]


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether the large start fits without generalising, and to the numbers of the paper."""
    times = results[0]["iterations"]
    train, test = (results.column(name).mean(axis=0) for name in ("train", "test"))
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
    """Both errors from both starts in time: the paper's axes, and all of the run."""
    from leanrank.research.experiments import _drawing as look

    figure, (left, right) = look.panels(
        2, "Figure 2: training and test error from a large and a small start", width=4.8
    )
    times = results[0]["iterations"]
    for ax, last in ((left, p["printed_iterations"]), (right, times[-1])):
        # Times are evenly spaced on a log scale: the next one may be just after the last.
        shown = (times >= _FIRST) & (times <= 1.02 * last)
        for colour, start in zip((look.BLUE, look.RED), ("large", "small"), strict=True):
            for name, style in (("test", "-"), ("train", "--")):
                values = results.column(name)[:, ("large", "small").index(start)][:, shown]
                label = f"{'test' if name == 'test' else 'training'}, alpha = {p[start]:g}"
                x = times[shown]
                _implicit.spread(ax, x, values, colour, np.mean, linestyle=style, label=label)
        ax.set(yscale="log", xlabel="iteration", ylabel="relative error")
        label = "1e-4, reached in the paper"
        ax.axhline(_FITTED, color=look.PALE, linewidth=1, zorder=0, label=label)
    right.set_xscale("log")
    right.axvline(p["printed_iterations"], color=look.PALE, linewidth=1, zorder=0)
    look.heading(left, f"as printed: iterations {_FIRST} to {p['printed_iterations']}")
    look.heading(right, "the whole run")
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside right upper",
        frameon=False,
        fontsize=8,
        labelcolor=look.INK,
    )
    return figure


experiment = Experiment(
    name="implicit-fig2",
    title="Large against small start over a long run",
    reference="Li, Ma and Zhang (2018), Figure 2",
    claim="From U_0 = I the training error falls below 1e-4 within 20000 iterations while the "
    "test error remains of order 0.1; from U_0 = 0.001 I both are small.",
    criterion="HOLDS if the large start ends with a mean test error 50 times its training error "
    "and 10 times the test error of the small one, and at the paper's last iteration has a "
    f"training error below {_FITTED:g} and a test error of 0.03 to 0.3.",
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

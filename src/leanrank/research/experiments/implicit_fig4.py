r"""Figure 4 of Li, Ma and Zhang: projected descent on X needs more samples than descent on U.

Projected descent is on :math:`\tfrac1m\sum_i(\cdot)^2`, which is this library's loss; descent on
the factors is on half of it. The scale of its start is not stated: 0.001 gives the paper's picture,
0.01 never reaches the stopping rule within the iterations.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.factors import Factors
from leanrank.research.diagnostics import recovery_error, training_error
from leanrank.research.experiments import _implicit
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.experiments._trends import holds_from
from leanrank.research.solvers import ProjectedGradientDescent
from leanrank.solvers import GradientDescent, Solver, iterate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_METHODS = {"projected": "projected descent on X", "factored": "descent on U"}
_RECOVERED = 0.05
_FAILED = 0.2
_NOISE = 0.02
"""Test errors of two sizes that differ by less may be in either order."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Both methods on the same measurements of one X, for each size and number of samples."""
    if len(set(p["sizes"])) < 2:
        raise ValueError(
            f"sizes must have at least two different values, as the claim is about their "
            f"growth, got {p['sizes']}"
        )
    names = ("scale", "step_size", "tolerance", "iterations", "coarsening", "projected_coarsening")
    common = {k: p[k] for k in names}
    return [
        {"method": method, "d": d, "ratio": ratio, "instance": i, **common, "stream": j}
        for j, d in enumerate(p["sizes"])
        for ratio in p["samples"]
        for i in range(p["seeds"])
        for method in _METHODS
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Errors where the training error first meets the tolerance, or after all iterations."""
    d, eta = t["d"], t["step_size"]
    problem, truth = _implicit.instance(d, 1, round(t["ratio"] * d), rng, t["instance"])
    if t["method"] == "projected":
        coarse = t["projected_coarsening"]
        solver: Solver = ProjectedGradientDescent(eta * coarse)
        start = Factors(truth.U[:, :0])
    else:
        coarse = t["coarsening"]
        solver = GradientDescent(eta * coarse / 2.0)
        start = _implicit.identity(problem, t["scale"])
    train = training_error(problem)
    for state in iterate(solver, problem, start):
        fitted = train(state) < t["tolerance"]
        if fitted or state.iteration * coarse >= t["iterations"]:
            break
    return {
        "test": recovery_error(truth)(state),
        "train": train(state),
        "steps": state.iteration * coarse,
        "fitted": fitted,
        "width": state.factors.width,
    }


def _means(p: Mapping[str, Any], results: Results, method: str, d: int) -> np.ndarray:
    rows = results.where(method=method, d=d)
    return np.array([np.mean(rows.where(ratio=x).column("test")) for x in p["samples"]])


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Where each method recovers, and whether projected descent is worse at larger d."""
    samples = np.array(p["samples"])
    numbers: dict[str, Any] = {"samples": samples}
    parts, enough, worse, projected = [], [], [], {}
    for d in p["sizes"]:
        found, projected[d] = (_means(p, results, m, d) for m in ("factored", "projected"))
        rows = results.where(method="factored", d=d)
        ended = [bool(np.all(rows.where(ratio=x).column("fitted"))) for x in p["samples"]]
        enough.append(holds_from(samples, (found < _RECOVERED) & ended))
        worse.append(bool(np.all(projected[d] > 3 * found) and np.any(projected[d] > _FAILED)))
        numbers |= {f"factored_{d}": found, f"projected_{d}": projected[d]}
        parts.append(
            f"d = {d}, m = {samples[0]:g} d to {samples[-1]:g} d: test error {found[0]:.2g} to "
            f"{found[-1]:.2g} on U, {projected[d][0]:.2g} to {projected[d][-1]:.2g} projected"
        )
    steps = [projected[b] - projected[a] for a, b in pairwise(sorted(set(p["sizes"])))]
    growing = all(np.all(step >= -_NOISE) and np.mean(step) > 0 for step in steps)
    numbers["enough"] = max(enough)
    measured = (
        f"from a start of {p['scale']:g}, which the paper does not state, {'; '.join(parts)}"
        f"{'' if growing else '; projected descent does not get worse with d'}"
    )
    if not (all(worse) and growing and np.isfinite(max(enough))):
        return Verdict(Status.FAILS, measured, numbers=numbers)
    if max(enough) == samples.min():
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    condition = (
        f"at least {max(enough):g} d measurements for descent on U to meet the stopping rule"
    )
    return Verdict(Status.HOLDS_WITH, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Test error over the number of samples, for both methods and all sizes."""
    from leanrank.research.experiments import _drawing as look

    figure, (ax,) = look.panels(
        1, "Figure 4: test error of projected descent and of descent on U", width=7.0, height=3.8
    )
    styles = {"projected": ("-", "o"), "factored": ("--", "s")}
    for colour, d in zip(cycle(look.COLOURS), p["sizes"], strict=False):
        for method, name in _METHODS.items():
            line, marker = styles[method]
            rows = results.where(method=method, d=d)
            each = np.array([rows.where(ratio=x).column("test") for x in p["samples"]]).T
            _implicit.spread(
                ax,
                p["samples"],
                each,
                colour,
                np.mean,
                linestyle=line,
                marker=marker,
                # Errors on U are the same for all sizes from some m on: none hides another.
                markersize=7 if d == p["sizes"][0] else 4,
                label=f"{name}, d = {d}",
            )
    ax.set(yscale="log", xlabel="measurements over d", ylabel="test error at the end")
    look.heading(ax, "mean and range over sets of measurements of one X")
    look.legend(ax, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


experiment = Experiment(
    name="implicit-fig4",
    title="Projected gradient descent on X against descent on U",
    reference="Li, Ma and Zhang (2018), Figure 4",
    claim="At rank 1 projected gradient descent needs many more measurements than descent on the "
    "factors, which recovers X throughout, and gets worse as d increases.",
    criterion="HOLDS if at every d and number of measurements descent on U meets the stopping "
    f"rule with a mean test error below {_RECOVERED:g}, and projected descent has more than 3 "
    f"times that error, above {_FAILED:g} somewhere, which grows with d on average and falls "
    f"nowhere by more than {_NOISE:g}.",
    parameters={
        "sizes": Parameter((100, 150), (40, 60), "sizes d of X", least=2),
        "samples": Parameter(
            (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0),
            (5.0, 8.0, 14.0),
            "measurements over d",
            above=0,
        ),
        "scale": Parameter(0.001, None, "alpha of the start of descent on U", above=0),
        "step_size": Parameter(0.0025, None, "the paper's eta", above=0),
        "iterations": Parameter(10_000, 6_000, "the paper's iterations", least=1),
        "tolerance": Parameter(0.001, None, "training error that ends a run", above=0),
        "coarsening": Parameter(8, None, "the paper's steps in one step on U", least=1),
        "projected_coarsening": Parameter(8, 16, "and in one projected step", least=1),
        "seeds": Parameter(3, 1, "sets of measurements of one X", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

r"""Figure 5 of Li, Ma and Zhang: stochastic and full descent from the identity.

The figure is about quadratic networks, y = x' X x, with the squared residual of a sample as loss
(its gradient has a factor 4). The same is run with Gaussian sensing matrices in place of x x', and
with half the step, which is that of half the loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.factors import Factors
from leanrank.problem import Problem
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
from leanrank.research.solvers import StochasticGradientDescent
from leanrank.solvers import GradientDescent, Solver, iterate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_RECORDS = 40
_CASES = {
    "sgd-quadratic": ("quadratic", 1.0),
    "sgd-quadratic-half": ("quadratic", 0.5),
    "sgd-gaussian": ("gaussian", 1.0),
    "full-quadratic": ("quadratic", 0.0),
    "full-gaussian": ("gaussian", 0.0),
}
"""Ensemble, and the factor of the step size of single samples; 0 for descent on all of them."""
_LARGE = 0.5
"""Test errors above this are large."""
_PRINTED = 1e-7
"""Training error of the paper's figure."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """All cases on measurements of one X, for each seed."""
    common = {k: value for k, value in p.items() if k not in ("cases", "seeds")}
    return [
        {"case": case, "instance": i, **common, "stream": 0}
        for case in p["cases"]
        for i in range(p["seeds"])
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Training and test error at evenly spaced times; infinite once a run diverged."""
    ensemble, share = _CASES[t["case"]]
    problem, truth = _problem(t, ensemble, rng)
    each = max(1, (t["updates"] if share else t["iterations"]) // _RECORDS)
    solver: Solver = GradientDescent(
        t["full_step" if ensemble == "quadratic" else "full_gaussian_step"]
    )
    if share:
        solver = StochasticGradientDescent(share * t["step_size"], updates=each, random_state=rng)
    start = _implicit.identity(problem, 1.0)
    errors = np.full((_RECORDS + 1, 2), np.inf)
    watch = (training_error(problem), recovery_error(truth))
    stride = 1 if share else each
    for state in islice(iterate(solver, problem, start), _RECORDS * stride + 1):
        if not state.point.is_finite:
            break
        if state.iteration % stride == 0:
            errors[state.iteration // stride] = [measure(state) for measure in watch]
    return {"train": errors[:, 0], "test": errors[:, 1], "each": each}


def _problem(t: Trial, ensemble: str, rng: np.random.Generator) -> tuple[Problem, Factors]:
    """Measurements of one X by x x', or by Gaussian matrices in its place."""
    d, r = t["d"], t["rank"]
    m = round(t["oversampling"] * d * r)
    if ensemble == "gaussian":
        return _implicit.instance(d, r, m, rng, t["instance"])
    return _implicit.network(d, r, m, rng, t["instance"])


def _outcome(train: float, test: float) -> str:
    if not np.isfinite(train):
        return "diverges"
    if test <= _LARGE:
        return "generalises"
    return "memorises" if train < 0.1 * test else "fits neither"


def judge(_: Mapping[str, Any], results: Results) -> Verdict:
    """In which cases the training error falls and the test error stays."""
    numbers: dict[str, Any] = {}
    parts, cases = [], {}
    for case in results.values("case"):
        rows = results.where(case=case)
        train, test = (float(rows.column(k)[:, -1].mean()) for k in ("train", "test"))
        cases[case] = _outcome(train, test)
        numbers |= {f"train, {case}": train, f"test, {case}": test}
        ends = "" if cases[case] == "diverges" else f" (training {train:.1e}, test {test:.2g})"
        parts.append(f"{case} {cases[case]}{ends}")
    fitted = min(x for name, x in numbers.items() if name.startswith("train"))
    measured = "; ".join(parts)
    if fitted > _PRINTED:
        measured += f"; the printed training error of {_PRINTED:g} is not reached in these runs"

    def those(outcome: str) -> list[str]:
        return [case for case, found in cases.items() if found == outcome]

    claimed = {"sgd-quadratic", "full-quadratic"}
    memorise = those("memorises")
    if claimed <= set(memorise):
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    notes = [f"only {' and '.join(memorise)}" if memorise else "none of the cases memorises"]
    learned = [case for case in those("generalises") if "quadratic" in case]
    if learned:
        notes.append(
            f"in {' and '.join(learned)} the test error falls with the training error, since "
            "X >= 0 and rank-one measurements leave no other solution"
        )
    if those("diverges"):
        notes.append(f"the step of {' and '.join(those('diverges'))} diverges")
    if missing := sorted(claimed - set(cases)):
        notes.append(f"{' and '.join(missing)} not run")
    status = Status.HOLDS_WITH if memorise else Status.FAILS
    return Verdict(status, measured, "; ".join(notes), numbers)


def draw(_: Mapping[str, Any], results: Results) -> Figure:
    """Both errors in time: single samples on the left, all of them on the right."""
    from leanrank.research.experiments import _drawing as look

    figure, axes = look.panels(
        2,
        "Figure 5: training error (dashed) and test error (solid) of descent from the identity; "
        "mean and range over sets of samples of one X",
    )
    kinds = ("(a) stochastic gradient descent", "(b) gradient descent")
    colours = {"quadratic": look.BLUE, "quadratic-half": look.RED, "gaussian": look.COLOURS[2]}
    for ax, kind, prefix in zip(axes, kinds, ("sgd", "full"), strict=True):
        for case in (case for case in results.values("case") if case.startswith(prefix)):
            rows, name = results.where(case=case), case.split("-", 1)[1]
            times = rows[0]["each"] * np.arange(_RECORDS + 1)
            for error, style in (("test", "-"), ("train", "--")):
                values = rows.column(error)
                ends = "" if np.all(np.isfinite(values)) else " (diverges)"
                label = name.replace("-half", ", half the step") + ends
                look_at: dict[str, Any] = {"linestyle": style, "marker": "x" if ends else None}
                look_at["label"] = label if error == "test" else None
                _implicit.spread(ax, times, values, colours[name], np.mean, **look_at)
        look.heading(ax, kind)
        ax.set(yscale="log", xlabel="updates" if prefix == "sgd" else "iterations")
        look.whole_numbers(ax)
        look.legend(ax)
    axes[0].set_ylabel("relative error")
    return figure


experiment = Experiment(
    name="implicit-fig5",
    title="Stochastic gradient descent from the identity",
    reference="Li, Ma and Zhang (2018), Figure 5",
    claim="On quadratic networks stochastic gradient descent from U_0 = I drives the training "
    "error to zero while the test error remains large; so does gradient descent.",
    criterion=f"HOLDS if on quadratic networks both end with a mean test error above {_LARGE:g} "
    "and a training error below a tenth of it. HOLDS with the cases named if others do.",
    parameters={
        "d": Parameter(100, 30, "size of X", least=2),
        "rank": Parameter(5, 1, "rank of X", least=1),
        "oversampling": Parameter(5.0, None, "measurements over d r", above=0),
        "step_size": Parameter(8e-5, 5e-4, "of single samples", above=0),
        "updates": Parameter(600_000, 24_000, "stochastic updates", least=40),
        "full_step": Parameter(5e-4, 2e-3, "step size of descent on all samples", above=0),
        "full_gaussian_step": Parameter(0.01, None, "and of Gaussian sensing", above=0),
        "iterations": Parameter(6_000, 2_000, "steps of descent on all samples", least=40),
        "cases": Parameter(tuple(_CASES), None, "ensembles and step sizes", choices=tuple(_CASES)),
        "seeds": Parameter(3, 1, "sets of samples of one X", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

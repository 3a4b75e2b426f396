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

from leanrank import initial
from leanrank.diagnostics import recovery_error, training_error
from leanrank.factors import Factors
from leanrank.operators import DenseSensing, RankOneSensing
from leanrank.papers import _implicit
from leanrank.papers._experiment import Experiment, Parameter, Results, Status, Trial, Verdict
from leanrank.problem import Problem
from leanrank.solvers import GradientDescent, Solver, StochasticGradientDescent, iterate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RECORDS = 40
_CASES = {
    "sgd, quadratic": ("quadratic network", 1.0),
    "sgd, quadratic, half step": ("quadratic network", 0.5),
    "sgd, Gaussian": ("Gaussian sensing", 1.0),
    "full, quadratic": ("quadratic network", 0.0),
    "full, Gaussian": ("Gaussian sensing", 0.0),
}
"""Ensemble, and the factor of the step size of single samples; 0 for descent on all of them."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """All cases, for each seed."""
    names = ("d", "rank", "oversampling", "updates", "step_size", "full_step", "iterations")
    common = {k: p[k] for k in names}
    return [{"case": case, **common, "stream": i} for case in p["cases"] for i in range(p["seeds"])]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Training and test error at evenly spaced times; infinite once a run diverged."""
    d, r = t["d"], t["rank"]
    m = round(t["oversampling"] * d * r)
    ensemble, share = _CASES[t["case"]]
    if ensemble == "quadratic network":
        U = rng.standard_normal((d, r))
        truth = Factors(U / np.linalg.norm(U, axis=0))
        op: RankOneSensing | DenseSensing = RankOneSensing(rng.standard_normal((m, d)))
        problem = Problem(op, op.forward(truth))
    else:
        problem, truth = _implicit.instance(d, r, m, rng, np.float64)
    each = max(1, (t["updates"] if share else t["iterations"]) // _RECORDS)
    solver: Solver = GradientDescent(t["full_step"])
    if share:
        solver = StochasticGradientDescent(share * t["step_size"], updates=each, random_state=rng)
    start = initial.identity((d, d), scale=1.0, symmetric=True)
    errors = np.full((_RECORDS + 1, 2), np.inf)
    watch = (training_error(problem), recovery_error(truth))
    stride = 1 if share else each
    for state in islice(iterate(solver, problem, start), _RECORDS * stride + 1):
        if state.iteration % stride == 0 and state.point.is_finite:
            errors[state.iteration // stride] = [measure(state) for measure in watch]
    return {"train": errors[:, 0], "test": errors[:, 1], "each": each}


def judge(_: Mapping[str, Any], results: Results) -> Verdict:
    """In which cases the training error falls and the test error stays."""
    numbers: dict[str, Any] = {}
    parts, memorised, diverged = [], {}, {}
    for case in results.values("case"):
        train, test = (np.median(results.where(case=case).column(k), axis=0) for k in _ERRORS)
        diverged[case] = not np.isfinite(train[-1])
        memorised[case] = bool(train[-1] < 0.1 * test[-1] and test[-1] > 0.5)
        numbers |= {f"train, {case}": train[-1], f"test, {case}": test[-1]}
        parts.append(
            f"{case}: diverges"
            if diverged[case]
            else f"{case}: training {train[-1]:.1e}, test {test[-1]:.2g}"
        )
    quadratic = {k: v for k, v in memorised.items() if k.startswith("sgd, quadratic")}
    measured = "; ".join(parts)
    if any(quadratic.values()):
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    text = (
        "for quadratic networks the test error falls with the training error, since X >= 0 and "
        "rank-one measurements leave no other solution"
    )
    if diverged.get("sgd, quadratic"):
        text += "; with the loss as written the printed step diverges"
    if memorised.get("sgd, Gaussian"):
        condition = f"Gaussian sensing matrices in place of x x'; {text}"
        return Verdict(Status.HOLDS_WITH, measured, condition, numbers)
    return Verdict(Status.FAILS, measured, text, numbers)


_ERRORS = ("train", "test")


def draw(_: Mapping[str, Any], results: Results) -> Figure:
    """Both errors in time: single samples on the left, all of them on the right."""
    from leanrank.papers import _drawing as look

    figure, axes = look.panels(2, "Figure 5: descent from the identity, and what it remembers")
    kinds = ("single samples", "all samples")
    colours = dict(zip(_CASES, look.COLOURS, strict=False))
    colours |= {"full, quadratic": look.BLUE, "full, Gaussian": colours["sgd, Gaussian"]}
    for ax, kind, prefix in zip(axes, kinds, ("sgd", "full"), strict=True):
        for case in (case for case in results.values("case") if case.startswith(prefix)):
            rows = results.where(case=case)
            times = rows[0]["each"] * np.arange(_RECORDS + 1)
            for name, style in (("test", "-"), ("train", "--")):
                values = np.median(rows.column(name), axis=0)
                ends = "" if np.isfinite(values[-1]) else " (diverges)"
                label = case.split(", ", 1)[1] + ends if name == "test" else None
                marker = "x" if ends else None
                ax.plot(times, values, style, color=colours[case], label=label, marker=marker)
        look.heading(ax, f"{kind}: test error solid, training error dashed")
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
    parameters={
        "d": Parameter(100, 30, "size of X", least=2),
        "rank": Parameter(5, 1, "rank of X", least=1),
        "oversampling": Parameter(5.0, None, "measurements over d r", above=0),
        "step_size": Parameter(8e-5, 5e-4, "of single samples", above=0),
        "updates": Parameter(400_000, 40_000, "stochastic updates", least=40),
        "full_step": Parameter(5e-4, 2e-3, "step size of descent on all samples", above=0),
        "iterations": Parameter(8_000, 4_000, "steps of descent on all samples", least=40),
        "cases": Parameter(tuple(_CASES), None, "ensembles and step sizes", choices=tuple(_CASES)),
        "seeds": Parameter(1, None, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

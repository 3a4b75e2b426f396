"""Theorem 8 of the pruning paper: which step sizes keep perturbed descent in the ball.

The paper's proof has the gradient without its factor 4; here it is the literal one, so that the
printed constant 1/8 is to be compared with 1/32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import initial
from leanrank.factors import Factors
from leanrank.operators import FullObservation
from leanrank.penalties import GroupLasso
from leanrank.problem import Problem
from leanrank.research import theory
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

_RADIUS = 3.0
_PRINTED = 1 / 8
_STARTS = ("Gaussian", "one direction", "isometry")


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Every kind of perturbation from every start; trials of one start share its numbers."""
    common = {k: p[k] for k in ("d", "width", "rank", "sqrt_beta", "iterations")}
    return [
        {
            "kind": kind,
            "start": _STARTS[i % len(_STARTS)],
            "stream": i,
            "steps": _steps(p),
            **common,
        }
        for kind in p["kinds"]
        for i in range(p["seeds"])
    ]


def _steps(p: Mapping[str, Any]) -> tuple[float, ...]:
    """Step sizes from the largest on; the printed one, which the claim is about, is among them."""
    return tuple(sorted({_PRINTED, *p["step_sizes"]}, reverse=True))


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Operator norms of the iterates for each step size, until they leave the ball for good."""
    d, k = t["d"], t["width"]
    truth = initial.orthonormal((d, d), t["rank"], symmetric=True, random_state=rng)
    # The largest strength that the theorem allows.
    penalty = GroupLasso(t["sqrt_beta"], t["sqrt_beta"] ** 2)
    problem = Problem(FullObservation((d, d)), truth.to_dense(), penalty)
    W = _start(t["start"], truth.U, k, rng)
    norms = np.full((len(t["steps"]), t["iterations"] + 1), np.inf)
    for j, step in enumerate(t["steps"]):
        factors = Factors(W)
        for i in range(t["iterations"] + 1):
            norms[j, i] = np.linalg.norm(factors.W, 2)
            if norms[j, i] > 10 * _RADIUS:
                break
            moved = factors.W - step * problem.evaluate(factors).gradient
            factors = Factors(moved - step * _perturbation(t["kind"], moved, rng))
    return {"norms": norms, "largest": norms.max(axis=1)}


def _start(kind: str, U: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """A matrix on the boundary of the ball."""
    d = U.shape[0]
    if kind == "Gaussian":
        W = rng.standard_normal((d, k))
        return W * (_RADIUS / np.linalg.norm(W, 2))
    if kind == "one direction":
        # Away from X, where descent overshoots most.
        u = rng.standard_normal((d,))
        u -= U @ (U.T @ u)
        v = rng.standard_normal(k)
        return _RADIUS * np.outer(u / np.linalg.norm(u), v / np.linalg.norm(v))
    return _RADIUS * _polar(rng.standard_normal((d, k)))


def _polar(W: np.ndarray) -> np.ndarray:
    """The matrix with the singular vectors of W and all singular values 1."""
    left, _, right = np.linalg.svd(W, full_matrices=False)
    return left @ right


def _perturbation(kind: str, moved: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A matrix of operator norm at most 1, added to the gradient."""
    if kind == "none":
        return np.zeros_like(moved)
    if kind == "random":
        noise = rng.standard_normal(moved.shape)
        return noise / np.linalg.norm(noise, 2)
    return -_polar(moved)


def _left(results: Results) -> np.ndarray:
    """Share of the runs that left the ball, for each step size."""
    return (results.column("largest") > _RADIUS * (1 + 1e-12)).mean(axis=0)


def _by_hand() -> float:
    """One printed step from U = 3 towards X = 0, of size 1 x 1 and without a penalty."""
    start = Factors(np.array([[_RADIUS]]))
    problem = Problem(FullObservation((1, 1)), np.zeros((1, 1)))
    return float((start.W - _PRINTED * problem.evaluate(start).gradient)[0, 0])


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether all steps up to the printed one keep the ball, that by hand included."""
    steps, left, by_hand = np.array(_steps(p)), _left(results), _by_hand()
    safe = steps[[left[steps <= s].max() == 0 for s in steps]]
    numbers = {
        "step_sizes": steps,
        "share_that_left": left,
        "largest_safe_step": safe.max() if safe.size else 0.0,
        "share_that_left_by_kind": {k: _left(results.where(kind=k)) for k in p["kinds"]},
        "counterexample_1x1": by_hand,
    }
    parts = [f"{share:.0%} at {_fraction(s)}" for s, share in zip(steps, left, strict=True)]
    measured = (
        f"share of {len(results)} runs that left the ball: {', '.join(parts)}; by hand, with X = 0 "
        f"and U = 3 of size 1 x 1, a step of {_fraction(_PRINTED)} leads to {by_hand:g}"
    )
    if not left[steps <= _PRINTED].any() and abs(by_hand) <= _RADIUS:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    proved = theory.invariant_step_size()
    broken = steps[(steps <= proved) & (left > 0)]
    if broken.size:
        condition = f"not even a step of {_fraction(broken.min())} keeps the ball"
        return Verdict(Status.FAILS, measured, condition, numbers)
    kept = f"all steps up to {_fraction(safe.max())}" if safe.size else "none of these steps"
    condition = (
        f"{_fraction(proved)} is right for the literal gradient (1/8 belongs to a quarter of it); "
        f"here {kept} kept the ball"
    )
    return Verdict(Status.FAILS, measured, condition, numbers)


def _fraction(step: float) -> str:
    return f"1/{1 / step:g}" if math.isclose(1 / step, round(1 / step)) else f"{step:g}"


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Share of runs that leave against the step size, and norms along the worst runs."""
    from leanrank.research.experiments import _drawing as look

    figure, (left, right) = look.panels(
        2, "Theorem 8: perturbed gradient descent and the ball of radius 3, over the step size"
    )
    steps = _steps(p)
    place = np.arange(len(steps))
    bar = 0.8 / len(p["kinds"])
    for i, (colour, kind) in enumerate(zip(look.COLOURS, p["kinds"], strict=False)):
        share = 100 * _left(results.where(kind=kind))
        x = place + bar * (i - (len(p["kinds"]) - 1) / 2)
        left.bar(x, share, bar, color=colour, label=kind)
    left.set_xticks(place, [_fraction(s) for s in steps])
    for step, text in ((_PRINTED, "printed"), (theory.invariant_step_size(), "proved here")):
        if step not in steps:
            continue
        left.annotate(
            text,
            (steps.index(step), 4 if step < _PRINTED else 101),
            (0, 24),
            textcoords="offset points",
            fontsize=8,
            color=look.INK,
            ha="center",
            arrowprops={"arrowstyle": "->", "color": look.INK, "linewidth": 0.8},
        )
    left.set(xlabel="step size", ylabel="runs that leave the ball, %", ylim=(0, 125))
    left.set_yticks(range(0, 101, 25))
    look.legend(left, title="perturbation", title_fontsize=8, loc="center right")
    worst = results.column("norms").max(axis=0)
    for colour, step, norms in zip(look.shades(len(steps)), steps, worst, strict=True):
        right.plot(np.minimum(norms, 99), color=colour, linewidth=1.5, label=_fraction(step))
    right.axhline(_RADIUS, color=look.INK, linewidth=0.8, linestyle="--")
    right.set(xlim=(0, 10), ylim=(0, 8), xlabel="iteration", ylabel="largest operator norm of U")
    look.legend(right, title="step size", title_fontsize=8, ncols=2)
    return figure


experiment = Experiment(
    name="pruning-theorem8",
    title="Which step sizes keep perturbed gradient descent in the ball |U| <= 3",
    reference="Rajaraman et al. (2023), Theorem 8",
    claim="With a step size of at most 1/8, lambda <= sqrt(beta) and perturbations of operator "
    "norm at most 1, perturbed gradient descent never leaves the ball |U|_op <= 3.",
    criterion="HOLDS if no run with a step of 1/8 or less leaves the ball, nor the one by hand.",
    parameters={
        "d": Parameter(10, None, "size of the matrix", least=2),
        "width": Parameter(10, None, "number of columns", least=1),
        "rank": Parameter(3, None, "rank of X, below d", least=1),
        "sqrt_beta": Parameter(0.3, None, "root of the smoothing; lambda is equal to it", above=0),
        "step_sizes": Parameter(
            (1 / 8, 1 / 12, 1 / 16, 1 / 17, 1 / 18, 1 / 19, 1 / 20, 1 / 24, 1 / 32, 1 / 64),
            None,
            "step sizes of the literal gradient, besides 1/8",
            above=0,
        ),
        "kinds": Parameter(
            ("none", "random", "adversarial"),
            None,
            "perturbations",
            choices=("none", "random", "adversarial"),
        ),
        "iterations": Parameter(200, 60, "steps of each run", least=1),
        "seeds": Parameter(
            60, 12, "random starts for each step size and kind of perturbation", least=1
        ),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

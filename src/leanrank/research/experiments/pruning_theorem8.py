"""Theorem 8 of the pruning paper: which step sizes keep perturbed descent in the ball.

The paper prints the gradient of the loss without its factor 4 (eqs. 5, 19, 319), and its proof has
that one. Both are run: the printed gradient, and the derivative of the loss as it is written.
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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_RADIUS = 3.0
_PRINTED = 1 / 8
_STARTS = ("Gaussian", "one direction", "isometry")
_FACTORS = {"printed": 1.0, "literal": 4.0}
"""The gradient of the loss over (U U^T - X) U, for each form of it."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Every kind of perturbation from every start; trials of one start share its numbers."""
    common = {k: p[k] for k in ("d", "width", "rank", "sqrt_beta", "iterations")}
    return [
        {
            "gradient": gradient,
            "norm": norm,
            "kind": kind,
            "start": _STARTS[i % len(_STARTS)],
            "stream": i,
            "steps": _steps(p),
            **common,
        }
        for gradient in _FACTORS
        for norm in (_RADIUS, 1.0)
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
    # The library's loss has the literal gradient. Of a part of it under the largest strength that
    # the theorem allows the gradient is that part of one under as much more strength.
    part = _FACTORS[t["gradient"]] / 4.0
    penalty = GroupLasso(t["sqrt_beta"] / part, t["sqrt_beta"] ** 2)
    problem = Problem(FullObservation((d, d)), truth.to_dense(), penalty)
    W = t["norm"] / _RADIUS * _start(t["start"], truth.U, k, rng)
    norms = np.full((len(t["steps"]), t["iterations"] + 1), np.inf)
    for j, step in enumerate(t["steps"]):
        factors = Factors(W)
        for i in range(t["iterations"] + 1):
            norms[j, i] = np.linalg.norm(factors.W, 2)
            if norms[j, i] > 10 * _RADIUS:
                break
            moved = factors.W - step * part * problem.evaluate(factors).gradient
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
    """One literal step of 1/8 from U = 3 towards X = 0, of size 1 x 1 and without a penalty."""
    start = Factors(np.array([[_RADIUS]]))
    problem = Problem(FullObservation((1, 1)), np.zeros((1, 1)))
    return float((start.W - _PRINTED * problem.evaluate(start).gradient)[0, 0])


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether all steps up to the printed one keep the ball, and under which gradient."""
    steps, by_hand = np.array(_steps(p)), _by_hand()
    numbers: dict[str, Any] = {"step_sizes": steps, "counterexample_1x1": by_hand}
    parts, kept = [], {}
    for gradient in _FACTORS:
        rows = results.where(gradient=gradient)
        edge, inner = (_left(rows.where(norm=norm)) for norm in (_RADIUS, 1.0))
        safe = steps[[edge[steps <= s].max() == 0 for s in steps]]
        kept[gradient] = not np.maximum(edge, inner)[steps <= _PRINTED].any()
        numbers[gradient] = {
            "share_that_left": edge,
            "share_that_left_from_norm_1": inner,
            "largest_safe_step": safe.max() if safe.size else 0.0,
            "share_that_left_by_kind": {
                k: _left(rows.where(norm=_RADIUS, kind=k)) for k in p["kinds"]
            },
        }
        at = int(np.flatnonzero(steps == _PRINTED)[0])
        parts.append(
            f"with the {gradient} gradient {edge[at]:.0%} of {len(rows) // 2} runs from the "
            f"boundary leave the ball at 1/8, {inner[at]:.0%} of those from norm 1"
            + (f", and none from {_fraction(safe.max())} down" if safe.size else "")
        )
    parts.append(
        f"by hand, with X = 0 and U = 3 of size 1 x 1, a literal step of 1/8 leads to {by_hand:g}"
    )
    measured = "; ".join(parts)
    if kept["literal"] and abs(by_hand) <= _RADIUS:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    proved = theory.invariant_step_size()
    left = numbers["literal"]["share_that_left"]
    broken = steps[(steps <= proved) & (left > 0)]
    if broken.size or not kept["printed"]:
        step = broken.min() if broken.size else _PRINTED
        condition = f"not even a step of {_fraction(step)} keeps the ball"
        return Verdict(Status.FAILS, measured, condition, numbers)
    condition = (
        "the gradient of the loss as eqs. (5), (19) and (319) print it, a quarter of its "
        f"derivative; for the derivative {_fraction(proved)} is right"
    )
    return Verdict(Status.HOLDS_WITH, measured, condition, numbers)


def _fraction(step: float) -> str:
    return f"1/{1 / step:g}" if math.isclose(1 / step, round(1 / step)) else f"{step:g}"


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Share of runs that leave against the step size, and norms along the worst runs."""
    from leanrank.research.experiments import _drawing as look

    figure, panels = look.panels(
        4,
        "Theorem 8: perturbed gradient descent from the boundary of the ball of radius 3, over the "
        "step size",
        rows=2,
    )
    for (upper, lower), gradient in zip((panels[::2], panels[1::2]), _FACTORS, strict=True):
        rows = results.where(gradient=gradient, norm=_RADIUS)
        factor = f"{_FACTORS[gradient]:g} " * (_FACTORS[gradient] != 1.0)
        look.heading(upper, f"{gradient} gradient, {factor}(U U' - X) U")
        _draw_shares(upper, p, rows)
        steps = _steps(p)
        worst = rows.column("norms").max(axis=0)
        for colour, step, norms in zip(look.shades(len(steps)), steps, worst, strict=True):
            lower.plot(np.minimum(norms, 99), color=colour, linewidth=1.5, label=_fraction(step))
        lower.axhline(_RADIUS, color=look.INK, linewidth=0.8, linestyle="--")
        lower.set(
            xlim=(0, 10), ylim=(0, 8), xlabel="iteration", ylabel="largest operator norm of U"
        )
    look.legend(panels[2], title="step size", title_fontsize=8, ncols=2, loc="upper right")
    return figure


def _draw_shares(ax: Axes, p: Mapping[str, Any], rows: Results) -> None:
    """Bars of the runs that left, for each kind of perturbation and step size."""
    from leanrank.research.experiments import _drawing as look

    steps = _steps(p)
    place, bar = np.arange(len(steps)), 0.8 / len(p["kinds"])
    for i, (colour, kind) in enumerate(zip(look.COLOURS, p["kinds"], strict=False)):
        share = 100 * _left(rows.where(kind=kind))
        x = place + bar * (i - (len(p["kinds"]) - 1) / 2)
        ax.bar(x, share, bar, color=colour, label=kind)
    if not _left(rows).any():
        ax.text(place.mean(), 50, "no run leaves", fontsize=9, color=look.INK, ha="center")
    ax.set_xticks(place, [_fraction(s) for s in steps])
    ax.set(xlabel="step size", ylabel="runs that leave the ball, %", ylim=(0, 105))
    ax.set_yticks(range(0, 101, 25))
    look.legend(ax, title="perturbation", title_fontsize=8, loc="upper right")


experiment = Experiment(
    name="pruning-theorem8",
    title="Which step sizes keep perturbed gradient descent in the ball |U| <= 3",
    reference="Rajaraman et al. (2023), Theorem 8",
    claim="With a step size of at most 1/8, lambda <= sqrt(beta) and perturbations of operator "
    "norm at most 1, perturbed gradient descent never leaves the ball |U|_op <= 3.",
    criterion="HOLDS if no run with a step of 1/8 or less leaves the ball with the derivative of "
    "the loss, HOLDS with if none does with the printed gradient and none up to 1/32 with the "
    "derivative.",
    parameters={
        "d": Parameter(10, None, "size of the matrix", least=2),
        "width": Parameter(10, None, "number of columns", least=1),
        "rank": Parameter(3, None, "rank of X, below d", least=1),
        "sqrt_beta": Parameter(0.3, None, "root of the smoothing; lambda is equal to it", above=0),
        "step_sizes": Parameter(
            (1 / 8, 1 / 12, 1 / 16, 1 / 17, 1 / 18, 1 / 19, 1 / 20, 1 / 24, 1 / 32, 1 / 64),
            None,
            "step sizes, besides 1/8",
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

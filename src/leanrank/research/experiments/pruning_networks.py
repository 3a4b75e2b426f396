"""Appendix F of the pruning paper: the neurons of a quadratic network are found by pruning.

Samples x x^T have no restricted isometry: the trace of X adds to the loss. Perturbed descent runs
on the loss less this term, eq. (348), with the trace known and with the mean of y for it, and on
the loss as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import initial
from leanrank.operators import RankOneSensing
from leanrank.penalties import GroupLasso, Penalty
from leanrank.problem import Problem
from leanrank.pruning import prune
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.experiments._sensing import truth_of
from leanrank.research.experiments._tolerance import Tolerance
from leanrank.research.experiments._trends import holds_from
from leanrank.research.penalties import TraceCorrectedLasso
from leanrank.research.solvers import stationary_point
from leanrank.solvers import LBFGS, PerturbedGradientDescent, solve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_SHARE = 0.9
_KINDS = {
    "known": "trace known, eq. (348)",
    "mean": "mean of y for the trace",
    "plain": "loss as it is",
}


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Each loss over the samples; trials of one stream share truth, start and samples."""
    common = {k: v for k, v in p.items() if k not in ("samples", "seeds")}
    return [
        {"kind": kind, "times": times, "stream": i, **common}
        for kind in _KINDS
        for times in p["samples"]
        for i in range(p["seeds"])
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Neurons that are kept, and errors of X before and after fine-tuning."""
    d = t["d"]
    truth = truth_of(d, t["singular_values"], rng)
    start = initial.gaussian((d, d), t["width"], scale=t["scale"], symmetric=True, random_state=rng)
    rank = len(t["singular_values"])
    op = RankOneSensing(rng.standard_normal((round(t["times"] * d * rank), d)))
    y = op.forward(truth)
    penalty: Penalty = GroupLasso(t["lam"], t["sqrt_beta"] ** 2)
    if t["kind"] != "plain":
        trace = float(np.sum(truth.W**2) if t["kind"] == "known" else np.mean(y))
        penalty = TraceCorrectedLasso(t["lam"], t["sqrt_beta"] ** 2, trace)
    found = stationary_point(
        Problem(op, y, penalty),
        start,
        solver=PerturbedGradientDescent(t["step_size"], threshold=1e-2, random_state=rng),
        epsilon=1e-3,
        gamma=1e-2,
        max_iter=t["iterations"],
        random_state=rng,
    )
    finite = found.status.name != "DIVERGED"
    kept = prune(found.factors, 2 * t["sqrt_beta"])
    tuned = kept
    if kept.width and finite:
        tuned = solve(LBFGS(), Problem(op, y), kept, tol=1e-9, max_iter=300).factors
    return {
        "status": found.status.name,
        "kept": kept.width if finite else -1,
        "pruned_error": kept.distance(truth) if finite else np.inf,
        "tuned_error": tuned.distance(truth) if finite else np.inf,
    }


def _shares(p: Mapping[str, Any], results: Results) -> dict[str, dict[str, np.ndarray]]:
    """Share of runs with the right number of neurons, near X, and with X, over the samples."""
    weakest, rank = min(p["singular_values"]) ** 2, len(p["singular_values"])
    shares = {}
    for kind in _KINDS:
        rows = results.where(kind=kind)
        cells = [rows.where(times=times) for times in p["samples"]]
        shares[kind] = {
            "exact": np.array([np.mean(c.column("kept") == rank) for c in cells]),
            "close": np.array([np.mean(c.column("pruned_error") <= 0.5 * weakest) for c in cells]),
            "recovered": np.array(
                [np.mean(c.column("tuned_error") <= 1e-4 * weakest) for c in cells]
            ),
        }
    return shares


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether descent on the corrected loss ends near X with as many neurons as X has."""
    shares = _shares(p, results)
    from_ = {
        kind: {what: holds_from(p["samples"], x >= _SHARE) for what, x in of.items()}
        for kind, of in shares.items()
    }
    numbers = {"samples": p["samples"], "shares": shares, "from": from_}

    def told(kind: str) -> str:
        of = from_[kind]
        known = {k: f"from {v:g} d r samples on" for k, v in of.items() if np.isfinite(v)}
        words = {"exact": "exactly r neurons", "close": "X near", "recovered": "X recovered"}
        said = ", ".join(f"{words[k]} {known.get(k, 'never')}" for k in words)
        return f"{_KINDS[kind]}: {said}"

    diverged = float(np.mean(results.column("status") == "DIVERGED"))
    numbers["diverged"] = diverged
    measured = f"in {_SHARE:.0%} of the runs, {'; '.join(told(kind) for kind in _KINDS)}"
    good = {k: max(v["exact"], v["close"]) for k, v in from_.items()}
    if np.isfinite(good["known"]) and np.isfinite(good["mean"]):
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    if np.isfinite(good["known"]):
        condition = "the trace of X known: its estimate from y does not do with these samples"
        return Verdict(Status.HOLDS_WITH, measured, condition, numbers)
    condition = f"{max(p['samples']):g} d r samples do not"
    return Verdict(Status.FAILS, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Shares of runs with r neurons, and errors, over the samples."""
    from leanrank.research.experiments import _drawing as look

    size = f"d = {p['d']}, k = {p['width']}, r = {len(p['singular_values'])}"
    figure, (left, middle, right) = look.panels(
        3, f"Pruning quadratic networks, {size}, {p['seeds']} problems in each cell", width=4.0
    )
    shares = _shares(p, results)
    x = np.array(p["samples"])
    for i, (kind, label) in enumerate(_KINDS.items()):
        style: dict[str, Any] = {"color": look.COLOURS[i], "linewidth": 3.5 - 1.2 * i}
        mark = "os^"[i] + "-"
        left.plot(x, 100 * shares[kind]["exact"], mark, label=label, **style)
        for ax, name in ((middle, "pruned_error"), (right, "tuned_error")):
            errors = [results.where(kind=kind, times=n).column(name) for n in p["samples"]]
            errors = [np.clip(e, 1e-16, 1e3) for e in errors]
            ax.plot(x, [np.median(e) for e in errors], mark, **style)
            low, high = ([reduce(e) for e in errors] for reduce in (np.min, np.max))
            ax.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
    left.set(ylabel="runs with exactly r neurons, %", ylim=(-3, 103))
    middle.axhline(0.5 * min(p["singular_values"]) ** 2, color=look.INK, lw=0.8, linestyle="--")
    middle.set(yscale="log", ylabel="error of X after pruning (1000: diverged)")
    right.set(yscale="log", ylabel="error of X after fine-tuning")
    for ax in (left, middle, right):
        look.marks(ax, p["samples"])
        ax.set_xlabel("samples over d r")
    look.legend(left, loc="center right")
    return figure


experiment = Experiment(
    name="pruning-networks",
    title="Pruning the neurons of a network with quadratic activations",
    reference="Rajaraman et al. (2023), Appendix F",
    claim="On the loss of a quadratic network less the square of its error in the trace, perturbed "
    "descent under the group Lasso ends near X, with about as many neurons as X has.",
    criterion=f"HOLDS if from some number of samples on {_SHARE:.0%} of the runs keep exactly r "
    "neurons with an error of at most half of sigma_r^2, with the trace known and with the mean of "
    "y for it; HOLDS with if only with the trace known.",
    parameters={
        "d": Parameter(20, 10, "number of inputs", least=2),
        "width": Parameter(20, 10, "number of neurons k of the model", least=1),
        "singular_values": Parameter((1.0, 1.0, 1.0), (1.0, 1.0), "of U*", above=0),
        "samples": Parameter((3.0, 6.0, 12.0, 25.0, 50.0), (5.0, 20.0, 80.0), "over d r", above=0),
        "lam": Parameter(0.3, None, "strength of the penalty", above=0),
        "sqrt_beta": Parameter(0.1, None, "root of its smoothing", above=0),
        "scale": Parameter(0.1, None, "standard deviation of the start", above=0),
        "step_size": Parameter(0.01, None, "of descent on the literal gradient", above=0),
        "iterations": Parameter(3000, 2000, "most steps", least=1),
        "seeds": Parameter(8, 3, "problems in each cell", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
    # A run at the edge may go either way by rounding: one of few, and a step of the grid.
    tolerances={"shares.*": Tolerance(0.34), "from.*": Tolerance(0, 0.8)},
)

"""Figure 1 of the pruning paper: column norms with and without group Lasso, population loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import initial
from leanrank.factors import Factors
from leanrank.operators import FullObservation
from leanrank.problem import Problem
from leanrank.pruning import max_pairwise_cosine, prune
from leanrank.research import theory
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.experiments._sensing import descend, group_lasso, squared_error, truth_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
_CROWD = 4
"""How many times the rank many columns are."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Every strength from every start."""
    if p["width"] <= _CROWD * p["rank"]:
        raise ValueError(
            f"width must be above {_CROWD * p['rank']}, {_CROWD} times the rank, for many columns "
            f"to be seen, got {p['width']}"
        )
    common = {k: v for k, v in p.items() if k not in ("lam", "seeds")}
    return [
        {"lam": lam, "stream": i, **common} for lam in (0.0, p["lam"]) for i in range(p["seeds"])
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Column norms in decreasing order, those of the limit without a penalty as predicted from
    the start, and how many were above the threshold on the way.
    """
    d, threshold = t["d"], 2 * t["sqrt_beta"]
    if t["truth"] == "orthonormal":
        truth = truth_of(d, [1.0] * t["rank"], rng)
    else:
        U = rng.standard_normal((d, t["rank"]))
        truth = Factors(U / np.linalg.norm(U, 2))
    X = truth.to_dense()
    problem = Problem(FullObservation((d, d)), X, group_lasso(t["lam"], t["sqrt_beta"]))
    start = initial.gaussian((d, d), t["width"], scale=t["scale"], symmetric=True, random_state=rng)
    factors, above = descend(
        problem,
        start,
        t["step_size"],
        t["iterations"],
        lambda state: int(np.sum(state.factors.column_norms() > threshold)),
        every=10,
    )
    kept = prune(factors, threshold)
    return {
        "norms": np.sort(factors.column_norms())[::-1],
        "predicted": theory.gradient_flow_limit_norms(start, truth),
        "above": np.array(above),
        "kept": kept.width,
        "cosine": max_pairwise_cosine(kept) if kept.width > 1 else 0.0,
        "error": float(np.sqrt(squared_error(factors, X))),
    }


def _share(norms: np.ndarray, levels: Any) -> np.ndarray:
    """Share of columns at least so many times as long as the longest, of each row of norms."""
    relative = norms / norms.max(axis=-1, keepdims=True)
    return (relative[..., None] >= np.asarray(levels)).mean(axis=-2)


def _law(p: Mapping[str, Any], levels: Any) -> np.ndarray:
    return np.array([theory.active_fraction(p["width"], p["rank"], x) for x in levels])


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Exactly r columns with the penalty; without it many columns of comparable length."""
    plain, lasso = results.where(lam=0.0), results.where(lam=p["lam"])
    kept = lasso.column("kept")
    shares = _share(plain.column("norms"), _LEVELS)
    predicted_shares = _share(plain.column("predicted"), _LEVELS).mean(axis=0)
    at = _LEVELS.index(0.5)
    half = float(shares[:, at].mean())
    longest = float(np.mean(lasso.column("norms")[:, 0]))
    predicted = theory.predicted_column_norm(1.0, p["lam"], p["sqrt_beta"] ** 2)
    numbers = {
        "levels": _LEVELS,
        "share_without": shares.mean(axis=0),
        "share_by_the_chi_law": _law(p, _LEVELS),
        "share_predicted_from_the_start": predicted_shares,
        "share_with": _share(lasso.column("norms"), _LEVELS).mean(axis=0),
        "kept": kept,
        "longest_column_with": longest,
        "longest_column_predicted": predicted,
        "largest_cosine": float(lasso.column("cosine").max()),
        "error_with": float(lasso.column("error").mean()),
        "error_without": float(plain.column("error").mean()),
    }
    exact = int(np.sum(kept == p["rank"]))
    measured = (
        f"with group Lasso {exact} of {kept.size} runs keep exactly {p['rank']} of {p['width']} "
        f"columns, the longest of norm {longest:.3f}; without it {half:.0%} of the columns are at "
        f"least half as long as the longest (predicted from the start {predicted_shares[at]:.0%}; "
        f"law of chi variables, for a start of zero size, {_law(p, [0.5])[0]:.0%})"
    )
    wrong = []
    if exact < kept.size:
        wrong.append(f"{kept.min()} to {kept.max()} columns are kept{_why(p)}")
    if half * p["width"] <= _CROWD * p["rank"]:
        wrong.append(f"without a penalty no more than {half * p['width']:.3g} columns are long")
    if wrong:
        return Verdict(Status.FAILS, measured, "; ".join(wrong), numbers)
    return Verdict(Status.HOLDS, measured, numbers=numbers)


def _why(p: Mapping[str, Any]) -> str:
    """What theory knows against the strength."""
    beta = p["sqrt_beta"] ** 2
    critical = theory.critical_lambda(1.0, beta)
    if p["lam"] > critical:
        return f": lambda is above {critical:.2g}, the critical one"
    if theory.origin_is_stable(p["lam"], beta, 1.0):
        return f": lambda is above {2 * p['sqrt_beta']:.2g}, where zero is stable"
    return f" after {p['iterations']} steps"


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """The two panels of the paper's figure."""
    from leanrank.research.experiments import _drawing as look

    title = f"Column norms after training with d = {p['d']}, k = {p['width']}, r = {p['rank']}"
    figure, (left, right) = look.panels(2, title)
    levels = np.linspace(0, 1, 201)
    styles = ((0.0, "no penalty", look.RED), (p["lam"], "group Lasso", look.BLUE))
    for lam, name, colour in styles:
        norms = results.where(lam=lam).column("norms")
        for i, share in enumerate(_share(norms, levels)):
            left.plot(levels, share, color=colour, linewidth=1.2, label=None if i else name)
        edges = np.linspace(0, 1.05, 43).tolist()
        weights = np.full(norms.size, 1 / norms.shape[0])
        right.hist(norms.ravel(), edges, weights=weights, color=colour, alpha=0.75, label=name)
    predicted = _share(results.where(lam=0.0).column("predicted"), levels).mean(axis=0)
    for law, style, name in (
        (predicted, "--", "predicted from the start"),
        (_law(p, levels), ":", "law of chi variables"),
    ):
        left.plot(levels, law, color=look.INK, linestyle=style, linewidth=1.4, label=name)
    left.set(xlabel="x", ylabel="share of columns with norm ≥ x times the largest")
    left.set(xlim=(0, 1), ylim=(0, 1.02))
    right.set_yscale("log")
    right.set(xlabel="column norm", ylabel="number of columns", xlim=(0, 1.05))
    right.axvline(2 * p["sqrt_beta"], color=look.INK, linewidth=0.8, linestyle="--")
    right.text(
        2 * p["sqrt_beta"] + 0.015,
        0.97,
        "pruning threshold",
        fontsize=8,
        color=look.INK,
        transform=right.get_xaxis_transform(),
        va="top",
    )
    for ax in (left, right):
        look.legend(ax, loc="upper right", bbox_to_anchor=(1.0, 0.9))
    return figure


experiment = Experiment(
    name="pruning-fig1",
    title="Column norms with and without group Lasso, population loss",
    reference="Rajaraman et al. (2023), Figure 1",
    claim="Without a penalty a large number of columns have norms comparable to the largest; "
    "with group Lasso only a few columns are significant, exactly as many as the rank.",
    criterion="HOLDS if every run with group Lasso keeps exactly r columns, and without it more "
    f"than {_CROWD:g} r columns are at least half as long as the longest.",
    parameters={
        "d": Parameter(500, 100, "size of the matrix", least=1),
        "width": Parameter(500, 100, "number of columns k", least=1),
        "rank": Parameter(4, None, "rank of X", least=1),
        "truth": Parameter(
            "orthonormal", None, "columns of U*", choices=("orthonormal", "gaussian")
        ),
        "lam": Parameter(0.1, None, "strength of the penalty", above=0),
        "sqrt_beta": Parameter(0.1, None, "root of its smoothing", above=0),
        "scale": Parameter(1e-3, None, "standard deviation of the start", above=0),
        "step_size": Parameter(0.1, None, "of descent on the literal gradient", above=0),
        "iterations": Parameter(500, 800, "steps of each run", least=1),
        "seeds": Parameter(4, 2, "random starts", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

"""The footnote to Theorem 3: lambda by cross-validation, where rank and sigma_r are not known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research import theory
from leanrank.research.cross_validation import cross_validated_strength
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.experiments._sensing import sensing, spectrum, truth_of
from leanrank.research.experiments._tolerance import Tolerance
from leanrank.research.greedy import greedy_prune
from leanrank.solvers import LBFGS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_SHARE = 0.9


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """One for each smallest singular value, noise and seed, which share their random numbers."""
    common = {k: v for k, v in p.items() if k not in ("sigmas", "noises", "seeds")}
    return [
        {"sigma": sigma, "noise": noise, "stream": i, **common}
        for sigma in p["sigmas"]
        for noise in p["noises"]
        for i in range(p["seeds"])
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Strengths by cross-validation and by eq. (10), and what Algorithm 1 finds under both."""
    d, r = t["d"], t["rank"]
    truth = truth_of(d, spectrum(r, t["sigma"]), rng)
    problem = sensing(truth, t["measurements"], rng, t["noise"])
    options: dict[str, Any] = {
        "beta": t["sqrt_beta"] ** 2,
        "solver": LBFGS(),
        "width": t["width"],
        "scale": t["scale"],
        "fine_tune_steps": t["fine_tune_steps"],
    }
    chosen = cross_validated_strength(
        problem.op, problem.y, t["strengths"], folds=t["folds"], random_state=rng, **options
    )
    by_rule = theory.pruning_parameters(t["sigma"], r, t["width"]).lam
    seed = int(rng.integers(2**31))
    found = {
        how: greedy_prune(problem.op, problem.y, lam=lam, random_state=seed, **options).factors
        for how, lam in (("chosen", chosen.best), ("rule", by_rule))
    }
    return {
        "lam": chosen.best,
        "lam_by_rule": by_rule,
        "scores": chosen.errors.mean(axis=0),
        "kept": found["chosen"].width,
        "error": found["chosen"].distance(truth),
        "kept_by_rule": found["rule"].width,
        "error_by_rule": found["rule"].distance(truth),
    }


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether the strength that was chosen finds the rank, and is as good as that of eq. (10)."""
    rank = p["rank"]
    exact = results.column("kept") == rank
    by_rule = results.column("kept_by_rule") == rank
    median, ruled = (float(np.median(results.column(x))) for x in ("error", "error_by_rule"))
    cells = {}
    for sigma in p["sigmas"]:
        for noise in p["noises"]:
            rows = results.where(sigma=sigma, noise=noise)
            cells[f"sigma_r {sigma:g}, noise {noise:g}"] = {
                "exact": float(np.mean(rows.column("kept") == rank)),
                "exact_by_rule": float(np.mean(rows.column("kept_by_rule") == rank)),
                "error": float(np.median(rows.column("error"))),
                "error_by_rule": float(np.median(rows.column("error_by_rule"))),
                "lam": float(np.median(rows.column("lam"))),
                "lam_by_rule": float(rows.column("lam_by_rule")[0]),
            }
    numbers = {"cells": cells, "exact": exact.mean(), "exact_by_rule": by_rule.mean()}
    told = "; ".join(
        f"{name}: {of['exact']:.0%} at {of['lam']:.2g}, median error {of['error']:.2g} "
        f"({of['exact_by_rule']:.0%} at {of['lam_by_rule']:.2g} of eq. (10), "
        f"{of['error_by_rule']:.2g})"
        for name, of in cells.items()
    )
    measured = f"exactly r columns under the lambda that is chosen, by sigma_r and noise: {told}"
    if exact.mean() >= _SHARE:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    good = [name for name, of in cells.items() if of["exact"] >= _SHARE]
    if good:
        return Verdict(Status.HOLDS_WITH, measured, " or ".join(good), numbers)
    return Verdict(Status.FAILS, measured, f"median error {median:.2g}, {ruled:.2g}", numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Scores over lambda, and where the choice and eq. (10) are."""
    from leanrank.research.experiments import _drawing as look

    cells = [(sigma, noise) for sigma in p["sigmas"] for noise in p["noises"]]
    size = f"d = {p['d']}, k = {p['width']}, r = {p['rank']}, n = {p['measurements']}"
    figure, axes = look.panels(
        len(cells), f"lambda by {p['folds']}-fold cross-validation, {size}", width=3.4
    )
    x = np.array(p["strengths"])
    for ax, (sigma, noise) in zip(axes, cells, strict=True):
        rows = results.where(sigma=sigma, noise=noise)
        scores = np.maximum(rows.column("scores"), 1e-32)
        ax.plot(x, scores.T, color=look.BLUE, linewidth=0.5, alpha=0.3)
        ax.plot(x, np.median(scores, axis=0), "o-", color=look.BLUE, label="median score")
        ax.plot(
            rows.column("lam"),
            [s.min() for s in scores],
            "v",
            color=look.RED,
            alpha=0.6,
            label="chosen",
        )
        rule = rows.column("lam_by_rule")[0]
        ax.axvline(rule, color=look.INK, linestyle="--", linewidth=0.8, label="eq. (10)")
        limit = theory.critical_lambda(sigma, p["sqrt_beta"] ** 2)
        if limit <= 1.2 * x.max():
            ax.axvline(limit, color=look.INK, linestyle=":", linewidth=1.2, label="critical")
        ax.set(xscale="log", yscale="log", xlabel=r"strength $\lambda$")
        ax.set_ylabel("mean squared residual, left out")
        look.heading(ax, rf"$\sigma_r$ = {sigma:g}, noise {noise:g}")
    handles, labels = axes[-1].get_legend_handles_labels()
    look.legend(axes[0], handles=handles, labels=labels, loc="center left")
    return figure


experiment = Experiment(
    name="pruning-lambda",
    title="The strength of the penalty by cross-validation",
    reference="Rajaraman et al. (2023), footnote to Theorem 3",
    claim="In practice lambda, which eq. (10) takes from r and sigma_r, is chosen by "
    "cross-validation.",
    criterion="HOLDS if under the lambda of least cross-validated error exactly r columns are "
    f"kept in {_SHARE:.0%} of all runs, HOLDS with if in {_SHARE:.0%} of those of some cell.",
    parameters={
        "d": Parameter(20, 10, "size of the matrix", least=2),
        "width": Parameter(20, 10, "number of columns k", least=1),
        "rank": Parameter(3, 2, "rank of X", least=1),
        "sigmas": Parameter((1.0, 0.5), (1.0,), "smallest singular value of U*", above=0),
        "noises": Parameter((0.0, 0.1), None, "standard deviation of the noise", least=0),
        "measurements": Parameter(200, 100, "number of measurements n", least=10),
        "strengths": Parameter(
            (0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.8),
            (0.003, 0.1, 0.8),
            "lambda, to choose from",
            above=0,
        ),
        "folds": Parameter(5, 3, "of cross-validation", least=2),
        "sqrt_beta": Parameter(0.1, None, "root of the penalty's smoothing", above=0),
        "scale": Parameter(0.1, None, "standard deviation of the start", above=0),
        "fine_tune_steps": Parameter(300, None, "steps of fine-tuning", least=1),
        "seeds": Parameter(6, 3, "problems in each cell", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
    # Where several strengths are as good, rounding may choose between them.
    tolerances={
        "exact*": Tolerance(0.2),
        "cells.*.exact*": Tolerance(0.34),
        "cells.*.lam": Tolerance(relative=0.9),
        "cells.*.error*": Tolerance(1e-4, relative=0.3),
    },
)

"""Theorem 4 of the pruning paper: when pruning keeps exactly r columns, as a phase diagram."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import initial, theory
from leanrank.papers._experiment import Experiment, Parameter, Results, Status, Trial, Verdict
from leanrank.papers._sensing import descend, group_lasso, sensing, squared_error, truth_of
from leanrank.pruning import prune
from leanrank.solvers import LBFGS, solve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Measurements by strength, and by width; trials of one stream share truth and start."""
    keys = ("d", "singular_values", "sqrt_beta", "scale", "solver", "iterations")
    common = {k: p[k] for k in keys}
    cells = [("strength", p["width"], lam) for lam in p["strengths"]]
    cells += [("width", k, p["lam"]) for k in p["widths"]]
    return [
        {"axis": axis, "width": k, "lam": lam, "measurements": n, "stream": i, **common}
        for axis, k, lam in cells
        for n in p["measurements"]
        for i in range(p["seeds"])
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Columns kept, error of what is kept, and error after fine-tuning."""
    d = t["d"]
    truth = truth_of(d, t["singular_values"], rng)
    X = truth.to_dense()
    start = initial.gaussian((d, d), t["width"], scale=t["scale"], symmetric=True, random_state=rng)
    problem = sensing(truth, t["measurements"], rng)
    penalised = problem.with_penalty(group_lasso(t["lam"], t["sqrt_beta"]))
    if t["solver"] == "lbfgs":
        found = solve(LBFGS(), penalised, start, tol=1e-5, max_iter=t["iterations"]).factors
    else:
        found, _ = descend(penalised, start, 0.02, t["iterations"])
    kept = prune(found, 2 * t["sqrt_beta"])
    tuned = solve(LBFGS(), problem, kept, tol=1e-9, max_iter=300).factors if kept.width else kept
    return {
        "kept": kept.width,
        "pruned_error": float(np.sqrt(squared_error(kept, X))),
        "tuned_error": float(np.sqrt(squared_error(tuned, X))),
    }


def _map(p: Mapping[str, Any], results: Results, axis: str, what: str) -> np.ndarray:
    """Share of successes, numbers of measurements x strengths (or widths)."""
    weakest, rank = min(p["singular_values"]), len(p["singular_values"])
    name, values = ("lam", p["strengths"]) if axis == "strength" else ("width", p["widths"])
    tests = {
        "exact": lambda r: r.column("kept") == rank,
        "close": lambda r: r.column("pruned_error") <= 0.5 * weakest**2,
        "recovered": lambda r: r.column("tuned_error") <= 1e-4 * weakest**2,
    }
    return np.array(
        [
            [
                tests[what](results.where(axis=axis, measurements=n, **{name: x})).mean()
                for x in values
            ]
            for n in p["measurements"]
        ]
    )


def _eq10(p: Mapping[str, Any]) -> float:
    """Strength of eq. (10) with constant 1."""
    rank = len(p["singular_values"])
    return theory.pruning_parameters(
        min(p["singular_values"]),
        rank,
        max(p["width"], rank),
        spectral_norm=max(p["singular_values"]),
    ).lam


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Exactness at the strength of eq. (10) with many measurements, and where it begins."""
    rank, weakest = len(p["singular_values"]), min(p["singular_values"])
    n, strengths = np.array(p["measurements"]), np.array(p["strengths"])
    freedom = theory.degrees_of_freedom((p["d"], p["d"]), rank, symmetric=True)
    exact = _map(p, results, "strength", "exact")
    column = int(np.argmin(np.abs(np.log(strengths / _eq10(p)))))
    top = int(np.argmax(n))
    enough = n[[exact[n >= m, column].min() >= 0.9 for m in n]]
    first = int(enough.min()) if enough.size else None
    recovered = _map(p, results, "strength", "recovered")[:, column]
    solved = n[[recovered[n >= m].min() >= 0.9 for m in n]]
    good = strengths[exact[top] >= 0.9]
    asked = theory.sample_size(
        p["d"], rank, p["width"], accuracy=1.0, sigma_r=min(weakest, 1.0), c_prune=1.0
    )
    maps = {
        f"{what}_by_{axis}": _map(p, results, axis, what)
        for axis in ("strength", "width")
        for what in ("exact", "close", "recovered")
    }
    numbers: dict[str, Any] = {
        "measurements": n,
        "strengths": strengths,
        "widths": p["widths"],
        **maps,
        "degrees_of_freedom": freedom,
        "strength_of_eq_10": _eq10(p),
        "critical_strength": theory.critical_lambda(weakest, p["sqrt_beta"] ** 2),
        "enough_measurements": first,
        "enough_to_recover": int(solved.min()) if solved.size else None,
        "measurements_asked_for": asked,
    }
    measured = (
        f"at lambda = {strengths[column]:g} (eq. (10): {_eq10(p):.2g}) exactly {rank} of "
        f"{p['width']} columns are kept in {exact[top, column]:.0%} of the runs with "
        f"{n[top]} measurements"
    )
    if first is None or not good.size:
        return Verdict(Status.FAILS, measured, "more measurements than were tried", numbers)
    close = float(maps["close_by_strength"][top, column])
    solved_from = numbers["enough_to_recover"]
    measured += (
        f", with an error of at most sigma_r^2 / 2 in {close:.0%}; exact in 90 % from {first} "
        f"measurements on, X recovered from {solved_from} on ({freedom} degrees of freedom; eq. "
        f"(17) with constants 1 asks for {asked:.0g}), and with {n[top]} for all lambda from "
        f"{good.min():g} to {good.max():g}"
    )
    if good.size == strengths.size and close >= 0.9:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    critical = numbers["critical_strength"]
    condition = (
        f"lambda well below the critical {critical:.2g}, above which directions are lost; it takes "
        "far fewer measurements than the theorem asks for"
    )
    return Verdict(Status.HOLDS_WITH, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Three maps: exact rank and recovery over the strength, exact rank over the width."""
    from leanrank.papers import _drawing as look

    title = (
        f"How often pruning finds the rank: d = {p['d']}, r = {len(p['singular_values'])}, "
        f"{p['seeds']} problems in each cell (dashed: degrees of freedom, lambda of eq. (10))"
    )
    figure, axes = look.panels(3, title, width=4.0, height=3.7)
    parts = (
        ("strength", "exact", f"exactly r columns, k = {p['width']}"),
        ("strength", "recovered", "X recovered after fine-tuning"),
        ("width", "exact", rf"exactly r columns, $\lambda$ = {p['lam']:g}"),
    )
    image = None
    for ax, (axis, what, name) in zip(axes, parts, strict=True):
        image = _draw_map(ax, p, results, axis, what)
        look.heading(ax, name)
    if image is not None:
        bar = figure.colorbar(image, ax=axes, label="share of the problems", pad=0.01)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8)
    return figure


def _draw_map(ax: Axes, p: Mapping[str, Any], results: Results, axis: str, what: str) -> Any:
    """One map with a line at the degrees of freedom and, over the strength, two marks."""
    from leanrank.papers import _drawing as look

    shares = _map(p, results, axis, what)
    n = np.array(p["measurements"], dtype=float)
    x = np.array(p["strengths"] if axis == "strength" else p["widths"], dtype=float)
    image = ax.imshow(shares, origin="lower", aspect="auto", cmap="cividis", vmin=0, vmax=1)
    ax.set_xticks(range(x.size), [f"{v:g}" for v in x])
    ax.set_yticks(range(n.size), [f"{v:g}" for v in n])
    rank = len(p["singular_values"])
    freedom = theory.degrees_of_freedom((p["d"], p["d"]), rank, symmetric=True)
    lines: list[tuple[Any, float, np.ndarray]] = [(ax.axhline, freedom, n)]
    if axis == "strength":
        weakest = min(p["singular_values"])
        lines += [
            (ax.axvline, _eq10(p), x),
            (ax.axvline, theory.critical_lambda(weakest, p["sqrt_beta"] ** 2), x),
        ]
    for line, value, ticks in lines:
        if ticks.size > 1 and ticks.min() <= value <= ticks.max():
            at = np.interp(np.log(value), np.log(np.sort(ticks)), np.arange(ticks.size))
            line(at, color=look.RED, linewidth=1.2, linestyle="--")
    ax.set_xlabel(r"strength $\lambda$" if axis == "strength" else "number of columns k")
    ax.set_ylabel("measurements n")
    return image


experiment = Experiment(
    name="pruning-theorem4",
    title="Exactness of the rank over measurements, strength and width: a phase diagram",
    reference="Rajaraman et al. (2023), Theorem 4",
    claim="With enough Gaussian measurements and the parameters of eq. (10), pruning a stationary "
    "point leaves exactly r columns and an error of at most half of sigma_r^2.",
    parameters={
        "d": Parameter(20, None, "size of the matrix", least=1),
        "width": Parameter(20, None, "number of columns k of the first two maps", least=1),
        "singular_values": Parameter((1.0, 1.0, 1.0), None, "of U*; as many as the rank", above=0),
        "measurements": Parameter(
            (45, 57, 65, 75, 90, 120, 200, 400), (50, 70, 100, 200), "increasing", least=1
        ),
        "strengths": Parameter(
            (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.4),
            (0.02, 0.1, 0.4, 1.4),
            "lambda, increasing",
            above=0,
        ),
        "widths": Parameter((3, 5, 10, 20, 40), (5, 20), "k of the third map", least=1),
        "lam": Parameter(0.1, None, "strength of the third map", above=0),
        "sqrt_beta": Parameter(0.1, None, "root of the penalty's smoothing", above=0),
        "scale": Parameter(0.1, None, "standard deviation of the start", above=0),
        "solver": Parameter(
            "lbfgs",
            None,
            "of the stationary point; descent is too slow where lambda is small",
            choices=("lbfgs", "descent"),
        ),
        "iterations": Parameter(2000, None, "most steps of the solver", least=1),
        "seeds": Parameter(10, 3, "problems in each cell", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

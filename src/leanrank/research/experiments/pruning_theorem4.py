"""Theorem 4 of the pruning paper: when pruning keeps exactly r columns, as a phase diagram."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import initial
from leanrank.research import theory
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.experiments._sensing import is_stationary, pruned, sensing, truth_of
from leanrank.research.experiments._tolerance import Tolerance
from leanrank.solvers import LBFGS, PerturbedGradientDescent, solve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_SHARE = 0.9
"""Of the runs, that have to do."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Measurements by strength, and by width; trials of one stream share truth and start."""
    for name in ("measurements", "strengths"):
        if list(p[name]) != sorted(set(p[name])):
            raise ValueError(f"{name} must be increasing, got {p[name]}")
    keys = ("d", "singular_values", "sqrt_beta", "scale", "solver", "iterations")
    common = {k: p[k] for k in keys}
    cells = [("strength", p["width"], lam) for lam in _strengths(p)]
    cells += [("width", k, p["lam"]) for k in p["widths"]]
    return [
        {"axis": axis, "width": k, "lam": lam, "measurements": n, "stream": i, **common}
        for axis, k, lam in cells
        for n in p["measurements"]
        for i in range(p["seeds"])
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """What Algorithm 1 keeps, and its error before and after fine-tuning."""
    d = t["d"]
    truth = truth_of(d, t["singular_values"], rng)
    start = initial.gaussian((d, d), t["width"], scale=t["scale"], symmetric=True, random_state=rng)
    problem = sensing(truth, t["measurements"], rng)
    asked = dataclasses.replace(_eq10(t), lam=t["lam"], beta=t["sqrt_beta"] ** 2)
    descent = PerturbedGradientDescent(0.02, random_state=rng)
    solver = LBFGS() if t["solver"] == "lbfgs" else descent
    most = 3.0 * max(t["singular_values"])
    found = pruned(problem, start, asked, solver, t["iterations"], rng, operator_norm=most)
    kept = found.factors
    # To tell what the measurements say from how far descent has come.
    tuned = solve(LBFGS(), problem, kept, tol=1e-9, max_iter=300).factors if kept.width else kept
    return {
        "stationary": is_stationary(found),
        "kept": kept.width,
        "pruned_error": kept.distance(truth),
        "tuned_error": tuned.distance(truth),
    }


def _strengths(p: Mapping[str, Any]) -> tuple[float, ...]:
    """Strengths of the first maps; that of eq. (10), which the claim is about, is among them."""
    return tuple(sorted({*p["strengths"], _eq10(p).lam}))


def _eq10(p: Mapping[str, Any]) -> theory.PruningParameters:
    """Eq. (10) with the default constants, the strength to two digits."""
    rank, top = len(p["singular_values"]), max(p["singular_values"])
    found = theory.pruning_parameters(
        min(p["singular_values"]), rank, max(p["width"], rank), spectral_norm=top
    )
    return dataclasses.replace(found, lam=float(f"{found.lam:.2g}"))


def _map(p: Mapping[str, Any], results: Results, axis: str, what: str) -> np.ndarray:
    """Share of successes, numbers of measurements x strengths (or widths)."""
    weakest, rank = min(p["singular_values"]), len(p["singular_values"])
    columns = {"lam": _strengths(p)} if axis == "strength" else {"width": p["widths"]}
    tests: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
        "exact": ("kept", lambda kept: kept == rank),
        "close": ("pruned_error", lambda error: error <= 0.5 * weakest**2),
        "recovered": ("tuned_error", lambda error: error <= 1e-4 * weakest**2),
    }
    name, passed = tests[what]
    return results.where(axis=axis).grid(
        name, lambda x: passed(x).mean(), measurements=p["measurements"], **columns
    )


def _enough(p: Mapping[str, Any], shares: np.ndarray) -> np.ndarray:
    """From how many measurements on enough of them succeed, NaN if from none; columns of a map."""
    good = np.logical_and.accumulate(shares[::-1] >= _SHARE)[::-1]
    return np.where(good.any(axis=0), np.array(p["measurements"])[good.argmax(axis=0)], np.nan)


def _marks(p: Mapping[str, Any]) -> dict[str, float]:
    """Strengths that mean something, by name."""
    weakest, beta = min(p["singular_values"]), p["sqrt_beta"] ** 2
    return {
        "eq. (10)": _eq10(p).lam,
        "zero is stable above": 2 * p["sqrt_beta"] * weakest**2,
        "critical, directions are lost above": theory.critical_lambda(weakest, beta),
    }


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Exactness and error at the strength of eq. (10), and where they begin."""
    rank, weakest = len(p["singular_values"]), min(p["singular_values"])
    strengths = np.array(_strengths(p))
    freedom = theory.degrees_of_freedom((p["d"], p["d"]), rank, symmetric=True)
    maps = {
        f"{what}_by_{axis}": _map(p, results, axis, what)
        for axis in ("strength", "width")
        for what in ("exact", "close", "recovered")
    }
    lam, n = _eq10(p).lam, p["measurements"][-1]
    column = int(np.flatnonzero(strengths == lam)[0])
    exact, close = (maps[f"{what}_by_strength"][-1] for what in ("exact", "close"))
    enough = {what: _enough(p, maps[f"{what}_by_strength"])[column] for what in ("exact", "close")}
    solved = _enough(p, maps["recovered_by_strength"])[column]
    good = strengths[(exact >= _SHARE) & (close >= _SHARE)]
    asked = theory.sample_size(
        p["d"], rank, p["width"], accuracy=1.0, sigma_r=min(weakest, 1.0), c_prune=1.0
    )
    shown = results.where(axis="strength", lam=lam, measurements=n)
    _, stable, critical = _marks(p).values()
    numbers: dict[str, Any] = {
        "measurements": p["measurements"],
        "strengths": strengths,
        "widths": p["widths"],
        **maps,
        "degrees_of_freedom": freedom,
        "strength_of_eq_10": lam,
        "zero_is_stable_above": stable,
        "critical_strength": critical,
        "good_strengths": good,
        "enough_measurements": enough["exact"],
        "enough_to_be_close": enough["close"],
        "enough_to_recover": solved,
        "measurements_asked_for": asked,
        "stationary": float(shown.column("stationary").mean()),
        "stationary_of_all": float(results.column("stationary").mean()),
    }
    measured = (
        f"at lambda = {lam:g} of eq. (10) exactly {rank} of {p['width']} columns are kept in "
        f"{exact[column]:.0%} of the runs with {n} measurements, with an error of at most "
        f"sigma_r^2 / 2 in {close[column]:.0%} ({numbers['stationary']:.0%} of the points are as "
        "stationary to second order as eq. (10) asks, and bounded)"
    )
    holds = exact[column] >= _SHARE and close[column] >= _SHARE
    if holds:
        row = p["measurements"].index(int(enough["exact"]))
        there = {what: maps[f"{what}_by_strength"][row, column] for what in ("close", "recovered")}
        measured += (
            f"; in {_SHARE:.0%} of the runs exact from {enough['exact']:g} measurements on, where "
            f"{there['close']:.0%} are close and X is recovered in {there['recovered']:.0%}, close "
            f"from {enough['close']:g} on, X recovered from {solved:g} on ({freedom} degrees of "
            f"freedom; eq. (17) with constants 1 asks for {asked:.0g})"
        )
    if good.size:
        measured += (
            f"; with {n} both hold for lambda from {good.min():g} to {good.max():g}, where zero is "
            f"stable above {stable:.2g} and a direction is lost above {critical:.2g}"
        )
    if holds:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    if good.size:
        condition = f"lambda from {good.min():g} to {good.max():g}, other constants in eq. (10)"
        return Verdict(Status.HOLDS_WITH, measured, condition, numbers)
    condition = f"no lambda of {', '.join(f'{x:g}' for x in strengths)} does with {n} measurements"
    return Verdict(Status.FAILS, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Maps of exact rank and of recovery over the strength, and what it takes over the width."""
    from leanrank.research.experiments import _drawing as look

    title = (
        f"How often pruning finds the rank: d = {p['d']}, r = {len(p['singular_values'])}, "
        f"{p['seeds']} problems in each cell"
    )
    figure, axes = look.panels(4, title, width=3.6, height=3.7)
    maps = (
        ("exact", "exactly r columns"),
        ("close", r"error at most $\sigma_r^2/2$"),
        ("recovered", "X recovered after fine-tuning"),
    )
    for ax, (what, name) in zip(axes[:3], maps, strict=True):
        image = _draw_map(ax, p, _map(p, results, "strength", what))
        look.heading(ax, f"{name}, k = {p['width']}")
    bar = figure.colorbar(image, ax=axes[:3], label="share of the problems", pad=0.01)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)
    bar.ax.yaxis.label.set(fontsize=9, color=look.INK)
    _draw_widths(axes[3], p, results)
    handles, labels = axes[0].get_legend_handles_labels()
    style = {"frameon": False, "fontsize": 8, "labelcolor": look.INK, "handlelength": 2.6}
    figure.legend(handles, labels, loc="outside upper right", ncols=2, **style)
    return figure


def _draw_widths(ax: Axes, p: Mapping[str, Any], results: Results) -> None:
    """Measurements from which on enough runs succeed, over the width."""
    from leanrank.research.experiments import _drawing as look

    order = np.argsort(p["widths"])
    # What is drawn first is wider, and seen where another covers it.
    for colour, line, width, what, label in (
        (look.BLUE, "o-", 4.0, "recovered", "X recovered after fine-tuning"),
        (look.COLOURS[4], "s--", 2.0, "close", r"error at most $\sigma_r^2/2$"),
        (look.COLOURS[2], "^-", 1.2, "exact", "exactly r columns"),
    ):
        enough = _enough(p, _map(p, results, "width", what))[order]
        x = np.array(p["widths"])[order]
        shape: dict[str, Any] = {"color": colour, "linewidth": width, "markersize": 3 + width}
        ax.plot(x, enough, line, label=label, **shape)
    rank = len(p["singular_values"])
    freedom = theory.degrees_of_freedom((p["d"], p["d"]), rank, symmetric=True)
    ax.axhline(freedom, color=look.RED, linewidth=1.6, linestyle="-.")
    ax.set(xlabel="number of columns k")
    ax.set_ylabel(f"measurements n for {_SHARE:.0%} of the problems")
    ax.set_ylim(bottom=0)
    look.whole_numbers(ax)
    look.legend(ax, loc="lower right")
    look.heading(ax, rf"what it takes at $\lambda$ = {p['lam']:g}")


def _draw_map(ax: Axes, p: Mapping[str, Any], shares: np.ndarray) -> Any:
    """Shares over strength and measurements, with lines at what theory knows of both."""
    from leanrank.research.experiments import _drawing as look

    x, n = np.array(_strengths(p)), np.array(p["measurements"])
    image = ax.imshow(shares, origin="lower", aspect="auto", cmap="cividis", vmin=0, vmax=1)
    ax.set_xticks(range(x.size), [f"{v:g}" for v in x], rotation=45)
    ax.set_yticks(range(n.size), [f"{v:g}" for v in n])
    freedom = theory.degrees_of_freedom((p["d"], p["d"]), len(p["singular_values"]), symmetric=True)
    line: dict[str, Any] = {"color": look.RED, "linewidth": 1.6}
    for style, (name, value) in zip(("-", "--", ":"), _marks(p).items(), strict=True):
        label = rf"$\lambda$: {name} ({value:.2g})"
        ax.axvline(_place(value, x), linestyle=style, label=label, **line)
    ax.axhline(_place(freedom, n), linestyle="-.", label=f"degrees of freedom ({freedom})", **line)
    ax.set(xlim=(-0.5, x.size - 0.5), ylim=(-0.5, n.size - 0.5))
    ax.set(xlabel=r"strength $\lambda$", ylabel="measurements n")
    return image


def _place(value: float, ticks: np.ndarray) -> float:
    """Where a value lies among increasing ticks that are drawn at 0, 1, 2, ...; beyond the ends
    half a cell away from them.
    """
    if not ticks[0] <= value <= ticks[-1]:
        return -0.5 if value < ticks[0] else ticks.size - 0.5
    return float(np.interp(np.log(value), np.log(ticks), np.arange(ticks.size)))


experiment = Experiment(
    name="pruning-theorem4",
    title="Exactness of the rank over measurements, strength and width: a phase diagram",
    reference="Rajaraman et al. (2023), Theorem 4",
    claim="With enough Gaussian measurements and the parameters of eq. (10), pruning a stationary "
    "point leaves exactly r columns and an error of at most half of sigma_r^2.",
    criterion="HOLDS if with the most measurements and the lambda of eq. (10) both are so in "
    f"{_SHARE:.0%} of the runs; HOLDS with if they are so at another lambda.",
    parameters={
        "d": Parameter(20, None, "size of the matrix", least=1),
        "width": Parameter(20, None, "number of columns k of the first two maps", least=1),
        "singular_values": Parameter((1.0, 1.0, 1.0), None, "of U*; as many as the rank", above=0),
        "measurements": Parameter(
            (45, 57, 65, 75, 90, 120, 200, 400), (50, 70, 100, 200), "increasing", least=1
        ),
        "strengths": Parameter(
            (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
            (0.02, 0.1, 0.4, 1.6),
            "lambda, increasing; that of eq. (10) is added",
            above=0,
        ),
        "widths": Parameter(
            (3, 5, 10, 20, 40), (5, 20), "k of the third panel, at the strength lam", least=1
        ),
        "lam": Parameter(0.1, None, "strength of the third panel", above=0),
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
    # A run at the edge may go either way by rounding: one of few, and a step of the grid.
    tolerances={
        "*_by_*": Tolerance(0.34),
        "enough*": Tolerance(relative=0.5),
        "stationary*": Tolerance(0.1),
    },
)

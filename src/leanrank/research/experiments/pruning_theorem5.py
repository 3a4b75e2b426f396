"""Theorem 5 of the pruning paper: linear convergence after pruning, to the noise floor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import initial
from leanrank.factors import Factors
from leanrank.pruning import prune
from leanrank.research import theory
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.experiments._sensing import (
    descend,
    group_lasso,
    sensing,
    squared_error,
    truth_of,
)
from leanrank.solvers import LBFGS, State, solve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_NEAR = 1.25
"""Most of the pruned error over that of known rank; and of the rest:"""
_STRAIGHT, _BELOW, _FALLING, _AS_GOOD = 0.95, 0.9, 0.01, 1.1

_EVERY = 10


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Pruned and vanilla runs over noise and measurements, and warm starts over the width."""
    if min(p["width"], *p["widths"]) < p["rank"]:
        raise ValueError(
            f"width and widths must be at least rank = {p['rank']}, got {p['width']} and "
            f"{', '.join(map(str, p['widths']))}"
        )
    if p["short"] > p["long"]:
        raise ValueError(f"short must be at most long = {p['long']}, got {p['short']}")
    keys = ("d", "rank", "lam", "sqrt_beta", "scale", "small", "step_size")
    common = {k: p[k] for k in keys}
    runs: list[dict[str, Any]] = [
        {"kind": "noise", "width": p["width"], "noise": sigma, "measurements": n}
        | {"iterations": p["iterations"]}
        for sigma in p["noises"]
        for n in p["measurements"]
    ]
    runs += [
        {"kind": "width", "width": k, "noise": p["noise"], "measurements": p["samples"]}
        | {"short": p["short"], "iterations": p["long"]}
        for k in p["widths"]
    ]
    return [{"stream": i, **run, **common} for run in runs for i in range(p["seeds"])]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Frobenius errors at the end of the runs, and along them."""
    d, k, steps = t["d"], t["width"], t["iterations"]
    truth = truth_of(d, [1.0] * t["rank"], rng)
    X = truth.to_dense()
    start = initial.gaussian((d, d), k, scale=t["scale"], symmetric=True, random_state=rng)
    problem = sensing(truth, t["measurements"], rng, t["noise"])

    def distance(factors: Factors) -> float:
        return float(np.sqrt(squared_error(factors, X)))

    def run(begin: Factors, iterations: int) -> list[Factors]:
        return descend(problem, begin, t["step_size"], iterations, _factors, every=_EVERY)[1]

    if t["kind"] == "width":
        warm = np.zeros((d, k))
        warm[:, : t["rank"]] = truth.U
        along = run(Factors(warm + start.W), steps)
        return {
            "short_error": distance(along[t["short"] // _EVERY]),
            "long_error": distance(along[-1]),
        }
    penalised = problem.with_penalty(group_lasso(t["lam"], t["sqrt_beta"]))
    found = solve(LBFGS(), penalised, start, tol=1e-5, max_iter=2000)
    kept = prune(found.factors, 2 * t["sqrt_beta"])
    tuned = run(kept, steps)
    errors = np.array([distance(factors) for factors in tuned])
    vanilla = np.array([distance(factors) for factors in run(start, steps)])
    small = run(Factors(start.W * (t["small"] / t["scale"])), steps)
    return {
        "kept": kept.width,
        "tuned": errors[-1],
        "vanilla": vanilla[-1],
        "small": distance(small[-1]),
        "tuned_errors": errors,
        "vanilla_errors": vanilla,
        "gaps": np.array([factors.distance(tuned[-1]) for factors in tuned]),
    }


def _factors(state: State) -> Factors:
    return state.factors


def _ratios(p: Mapping[str, Any], results: Results, name: str, width: int) -> np.ndarray:
    """Median error over the floor of so many columns; noises x measurements."""
    axes = {"noise": p["noises"], "measurements": p["measurements"]}
    floors = [
        [theory.noise_floor(sigma, p["d"], width, n) for n in p["measurements"]]
        for sigma in p["noises"]
    ]
    return results.where(kind="noise").grid(name, np.median, **axes) / np.array(floors)


def _oracle(p: Mapping[str, Any]) -> np.ndarray:
    """Error of least squares of known rank over the floor, for each number of measurements."""
    freedom = theory.degrees_of_freedom((p["d"], p["d"]), p["rank"], symmetric=True)
    return np.array(
        [
            theory.oracle_error(1.0, freedom, n) / theory.noise_floor(1.0, p["d"], p["rank"], n)
            for n in p["measurements"]
        ]
    )


def _widths(p: Mapping[str, Any], results: Results) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors from warm starts, soon and late, and the floor; one for each width."""
    runs = results.where(kind="width")
    soon, late = (
        runs.grid(name, np.median, width=p["widths"]) for name in ("short_error", "long_error")
    )
    floor = [theory.noise_floor(p["noise"], p["d"], k, p["samples"]) for k in p["widths"]]
    return soon, late, np.array(floor)


def _linear_fit(gaps: np.ndarray) -> tuple[float, float]:
    """Decay per step of the distance to the limit, and how straight its logarithm is."""
    mean = np.median(gaps, axis=0)
    part = mean[(mean < 0.5 * mean[0]) & (mean > 1e-7 * mean[0])]
    if part.size < 3:
        return float("nan"), float("nan")
    x = _EVERY * np.arange(part.size)
    slope = np.polyfit(x, np.log(part), 1)[0]
    return float(1 - np.exp(slope)), float(np.corrcoef(x, np.log(part))[0, 1] ** 2)


def _still_falling(p: Mapping[str, Any], results: Results) -> np.ndarray:
    """By how much the error of vanilla descent fell over the last tenth of its steps; noises."""
    runs = results.where(kind="noise", measurements=max(p["measurements"]))
    curves = runs.grid("vanilla_errors", lambda x: np.median(x, axis=0), noise=p["noises"])
    return 1 - curves[:, -1] / curves[:, (9 * curves.shape[1]) // 10 - 1]


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Pruned errors near those of known rank, a straight decay, and vanilla's dependence on k."""
    runs = results.where(kind="noise")
    tuned = _ratios(p, results, "tuned", p["rank"])
    vanilla = _ratios(p, results, "vanilla", p["width"])
    small = _ratios(p, results, "small", p["rank"])
    soon, late, floor = _widths(p, results)
    oracle, falling = _oracle(p), _still_falling(p, results)
    top = int(np.argmax(p["measurements"]))
    middle = runs.where(noise=p["noises"][len(p["noises"]) // 2])
    rate, straight = _linear_fit(middle.where(measurements=p["measurements"][top]).column("gaps"))
    exact = float(np.mean(runs.column("kept") == p["rank"]))
    numbers = {
        "noises": p["noises"],
        "measurements": p["measurements"],
        "tuned_over_floor_of_rank": tuned,
        "oracle_over_floor_of_rank": oracle,
        "vanilla_over_floor_of_width": vanilla,
        "vanilla_fell_over_its_last_tenth": falling,
        "small_start_over_floor_of_rank": small,
        "exact_rank": exact,
        "decay_per_step": rate,
        "straightness_of_decay": straight,
        "widths": p["widths"],
        "warm_error_soon": soon,
        "warm_error_late": late,
        "floor_of_width": floor,
    }
    over = vanilla[:, top]
    speed = "a rate not to be seen" if np.isnan(rate) else f"a linear rate of {rate:.1%} a step"
    measured = (
        f"after pruning (rank exact in {exact:.0%}) the error is {_range(tuned[:, top])} times "
        f"sigma sqrt(rd/n) at n = {p['measurements'][top]} (least squares of known rank: "
        f"{oracle[top]:.2f}), reached at {speed}; with all k = "
        f"{p['width']} columns it is {_range(over)} times sigma sqrt(kd/n), and from a start of "
        f"{p['small']:g} {_range(small[:, top])} times sigma sqrt(rd/n). From warm starts it is "
        f"{_range(soon / floor)} times sigma sqrt(kd/n) after {p['short']} steps, "
        f"{_range(late / floor)} after {p['long']}"
    )
    worst = float(tuned[:, top].max() / oracle[top])
    wrong = []
    if not worst <= _NEAR:
        wrong.append(f"pruned runs end at {worst:.3g} times the error of known rank")
    if straight <= _STRAIGHT:
        wrong.append(f"the logarithm of the distance to the limit is not straight: {straight:.2f}")
    if wrong:
        return Verdict(Status.FAILS, measured, "; ".join(wrong), numbers)
    conditions = []
    if np.isnan(straight):
        conditions.append("nothing said of the rate, as the runs show too little of the decay")
    low = np.array(p["widths"])[late < _BELOW * floor]
    if low.size:
        conditions.append(
            f"sqrt(kd/n) not for k = {_names(low)}, where long runs of all columns end at "
            f"{_range((late / floor)[late < _BELOW * floor])} of it: positive semi-definiteness "
            "regularises"
        )
    slow = np.array(p["noises"])[falling > _FALLING]
    if slow.size:
        conditions.append(
            f"more steps without pruning for sigma = {_names(slow)}, where the error still falls "
            f"after {p['iterations']}"
        )
    good = np.array(p["noises"])[small[:, top] <= _AS_GOOD * tuned[:, top]]
    if good.size:
        conditions.append(
            f"a start that is not small: one of {p['small']:g} is as good as pruning at sigma = "
            f"{_names(good)}"
        )
    if conditions:
        return Verdict(Status.HOLDS_WITH, measured, "; ".join(conditions), numbers)
    return Verdict(Status.HOLDS, measured, numbers=numbers)


def _range(values: np.ndarray) -> str:
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return low if low == high else f"{low} to {high}"


def _names(values: np.ndarray) -> str:
    return ", ".join(f"{x:g}" for x in values)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Errors along the runs, at their end over n, and from warm starts over k."""
    from leanrank.research.experiments import _drawing as look

    title = f"Noise floors with and without pruning, d = {p['d']}, r = {p['rank']}"
    figure, (left, middle, right) = look.panels(3, title, width=4.0)
    sigma = p["noises"][len(p["noises"]) // 2]
    n = max(p["measurements"])
    shown = results.where(kind="noise", noise=sigma, measurements=n)
    for name, colour, label in (
        ("vanilla_errors", look.RED, f"vanilla, k = {p['width']}"),
        ("tuned_errors", look.COLOURS[2], "pruned"),
        ("gaps", look.PALE, "distance to its limit"),
    ):
        curves = shown.column(name)
        x = _EVERY * np.arange(curves.shape[1])
        left.plot(x, np.median(curves, axis=0), color=colour, linewidth=2, label=label)
    for k, text in ((p["rank"], "r"), (p["width"], "k")):
        floor = theory.noise_floor(sigma, p["d"], k, n)
        left.axhline(floor, color=look.INK, linewidth=0.8, linestyle="--")
        left.text(
            0.99,
            floor * (0.92 if text == "r" else 1.08),
            rf"$\sigma\sqrt{{{text}d/n}}$",
            fontsize=8,
            color=look.INK,
            ha="right",
            va="top" if text == "r" else "bottom",
            transform=left.get_yaxis_transform(),
        )
    left.set_yscale("log")
    left.set(
        xlabel="iteration (pruned: of fine-tuning)",
        ylabel=r"error $\|UU^T - X\|_F$",
        ylim=(1e-5, None),
    )
    look.heading(left, rf"$\sigma$ = {sigma:g}, n = {n}")
    look.legend(left, loc="lower right", bbox_to_anchor=(1.0, 0.12))
    order = np.argsort(p["measurements"])
    x = np.array(p["measurements"])[order]
    tuned = _ratios(p, results, "tuned", p["rank"])[:, order]
    vanilla = _ratios(p, results, "vanilla", p["rank"])[:, order]
    small = _ratios(p, results, "small", p["rank"])[:, order]
    markers = "os^vD" * len(p["noises"])
    for ratios, colour, name in (
        (vanilla, look.RED, "vanilla"),
        (small, look.COLOURS[4], "vanilla, small start"),
        (tuned, look.COLOURS[2], "pruned"),
    ):
        for row, marker in zip(ratios, markers, strict=False):
            middle.plot(x, row, color=colour, marker=marker, markersize=4)
        middle.plot([], [], color=colour, label=name)
    for noise, marker in zip(p["noises"], markers, strict=False):
        middle.plot([], [], marker, color=look.INK, markersize=4, label=rf"$\sigma$ = {noise:g}")
    middle.plot(
        x, _oracle(p)[order], color=look.INK, linestyle=":", label="least squares, rank known"
    )
    middle.axhline(np.sqrt(p["width"] / p["rank"]), color=look.INK, linewidth=0.8, linestyle="--")
    middle.text(
        x[-1], np.sqrt(p["width"] / p["rank"]) * 1.05, r"$\sqrt{k/r}$", fontsize=8, ha="right"
    )
    middle.set(xscale="log", yscale="log", xlabel="measurements n")
    middle.set_ylabel(r"error over $\sigma\sqrt{rd/n}$")
    middle.set_xticks(x, [str(v) for v in x])
    low, high = middle.get_ylim()
    ticks = [v for v in (1, 1.5, 2, 3, 5, 10, 20, 50, 100) if low <= v <= high]
    middle.set_yticks(ticks, [f"{v:g}" for v in ticks])
    middle.minorticks_off()
    look.legend(middle, fontsize=7)
    soon, late, floors = _widths(p, results)
    right.plot(
        p["widths"],
        floors,
        color=look.INK,
        linestyle="--",
        linewidth=0.9,
        label=r"$\sigma\sqrt{kd/n}$",
    )
    right.plot(p["widths"], soon, "o-", color=look.COLOURS[4], label=f"{p['short']} steps")
    right.plot(p["widths"], late, "o-", color=look.RED, label=f"{p['long']} steps")
    right.set(xlabel="number of columns k", ylabel=r"error $\|UU^T - X\|_F$")
    right.set_ylim(bottom=0)
    look.whole_numbers(right)
    look.heading(right, rf"from X plus noise, $\sigma$ = {p['noise']:g}, n = {p['samples']}")
    look.legend(right)
    return figure


experiment = Experiment(
    name="pruning-theorem5",
    title="Linear convergence after pruning, and noise floors with and without it",
    reference="Rajaraman et al. (2023), Theorem 5 and eq. (16)",
    claim="Fine-tuning after pruning converges at a linear rate to an error of order "
    "sigma sqrt(rd/n); descent without pruning is left with one of order sigma sqrt(kd/n).",
    criterion=f"FAILS if pruned errors are above {_NEAR:g} times that of known rank, or the "
    "logarithm of the distance to the limit has a squared correlation with the step of at most "
    f"{_STRAIGHT:g}; HOLDS if besides no long run of all columns ends below {_BELOW:g} sigma "
    f"sqrt(kd/n), none still falls by {_FALLING:.0%} over its last tenth, and no small start comes "
    f"to within {_AS_GOOD:g} times the pruned error.",
    parameters={
        "d": Parameter(20, None, "size of the matrix", least=1),
        "width": Parameter(20, None, "number of columns k", least=1),
        "rank": Parameter(3, None, "rank of X, whose eigenvalues are 1", least=1),
        "noises": Parameter((0.02, 0.1, 0.3), (0.1, 0.3), "standard deviations sigma", above=0),
        "measurements": Parameter(
            (100, 200, 400, 800, 1600), (100, 200, 400), "numbers n", least=1
        ),
        "lam": Parameter(0.2, None, "strength of the penalty", above=0),
        "sqrt_beta": Parameter(0.1, None, "root of its smoothing", above=0),
        "scale": Parameter(0.1, None, "standard deviation of the starts", above=0),
        "small": Parameter(1e-3, None, "standard deviation of a small start", above=0),
        "step_size": Parameter(0.02, None, "of descent on the literal gradient", above=0),
        "iterations": Parameter(
            1500, 1000, "steps of fine-tuning, and of vanilla descent", least=_EVERY
        ),
        "widths": Parameter((3, 4, 6, 10, 15, 20), (3, 10, 20), "k of warm starts", least=1),
        "noise": Parameter(0.1, None, "standard deviation with warm starts", above=0),
        "samples": Parameter(400, None, "measurements with warm starts", least=1),
        "short": Parameter(500, None, "steps of warm starts when looked at first", least=1),
        "long": Parameter(3000, 1500, "steps of warm starts in all", least=1),
        "seeds": Parameter(10, 3, "problems", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

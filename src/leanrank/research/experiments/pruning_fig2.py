"""Figure 2 of the pruning paper: vanilla descent against pruning and fine-tuning, few samples.

The paper has neither strength nor smoothing, step size, start, nor the spectrum of U*: those here
are the ones for which its figure comes true. Its gradient lacks a factor 4, so that its step size
would be four times as large as this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import initial
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_EVERY = 20


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """One for each seed: vanilla and pruned descent share measurements and start."""
    common = {k: v for k, v in p.items() if k != "seeds"}
    return [{"stream": i, **common} for i in range(p["seeds"])]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Squared errors along both runs, and the column norms at the moment of pruning."""
    d, steps = t["d"], t["iterations"]
    truth = truth_of(d, t["singular_values"], rng)
    X = truth.to_dense()
    problem = sensing(truth, t["measurements"], rng, t["noise"])
    start = initial.gaussian((d, d), t["width"], scale=t["scale"], symmetric=True, random_state=rng)

    def run(where: Any, factors: Any, iterations: int) -> tuple[Any, list[float]]:
        return descend(
            where,
            factors,
            t["step_size"],
            iterations,
            lambda state: squared_error(state.factors, X),
            every=_EVERY,
        )

    vanilla, vanilla_errors = run(problem, start, 2 * steps)
    penalty = group_lasso(t["lam"], t["sqrt_beta"])
    found, first = run(problem.with_penalty(penalty), start, steps)
    kept = prune(found, 2 * t["sqrt_beta"])
    tuned, second = run(problem, kept, steps)
    return {
        "norms": np.sort(found.column_norms())[::-1],
        "vanilla_norms": np.sort(vanilla.column_norms())[::-1],
        "kept": kept.width,
        "vanilla_errors": vanilla_errors,
        "penalised_errors": first,
        "tuned_errors": second,
        "vanilla": squared_error(vanilla, X),
        "penalised": squared_error(found, X),
        "pruned": squared_error(kept, X),
        "tuned": squared_error(tuned, X),
    }


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Pruning finds the rank, and fine-tuning beats vanilla descent by an order of magnitude."""
    rank, kept = len(p["singular_values"]), results.column("kept")
    names = ("vanilla", "penalised", "pruned", "tuned")
    medians = {name: float(np.median(results.column(name))) for name in names}
    weakest = min(p["singular_values"])
    limit = theory.critical_lambda(weakest, p["sqrt_beta"] ** 2)
    exact = int(np.sum(kept == rank))
    better = int(np.sum(results.column("tuned") * 10 <= results.column("vanilla")))
    numbers = {
        "exact": exact,
        "seeds": kept.size,
        "kept": np.bincount(kept),
        "median_squared_errors": medians,
        "vanilla_range": [results.column("vanilla").min(), results.column("vanilla").max()],
        "tuned_range": [results.column("tuned").min(), results.column("tuned").max()],
        "at_least_ten_times_better": better,
        "critical_lambda_of_the_weakest_direction": limit,
        "pruned_error_over_half_sigma_r_squared": float(
            np.median(np.sqrt(results.column("pruned"))) / (0.5 * weakest**2)
        ),
    }
    measured = (
        f"exactly {rank} of {p['width']} columns kept on {exact} of {kept.size} seeds; median "
        f"squared error {medians['vanilla']:.2g} for vanilla descent, {medians['penalised']:.2g} "
        f"with the penalty, {medians['tuned']:.1g} after pruning and fine-tuning"
    )
    nothing = sum(s**4 for s in p["singular_values"])
    lost = [name for name in names if not medians[name] <= 10 * nothing]
    if lost:
        condition = (
            f"the squared error of the {lost[0]} run is {medians[lost[0]]:.2g}, while that of the "
            f"zero matrix is {nothing:.2g}: a step of {p['step_size']:g} is too long"
        )
        return Verdict(Status.FAILS, measured, condition, numbers)
    seeds = f"{better} of {kept.size} seeds"
    if exact >= 0.98 * kept.size and better >= 0.98 * kept.size:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    if exact >= 0.98 * kept.size:
        gain = medians["vanilla"] / medians["tuned"]
        condition = f"a gain of {gain:.2g} times in the median, tenfold on {seeds}"
        if p["noise"] > 0:
            floor = theory.noise_floor(p["noise"], p["d"], rank, p["measurements"]) ** 2
            condition += f", as noise of {p['noise']:g} leaves a squared error of about {floor:.2g}"
        status = Status.HOLDS_WITH if better >= 0.5 * kept.size else Status.FAILS
        return Verdict(status, measured, condition, numbers)
    found = f"{kept.min()} to {kept.max()} columns are kept"
    condition = (
        f"a smaller strength: {found} at lambda = {p['lam']:g}, above half of {limit:.2g}, at "
        "which the weakest direction of X is lost"
        if p["lam"] > 0.5 * limit
        else f"other settings: {found}, and the gain is tenfold on {seeds}"
    )
    status = Status.HOLDS_WITH if better >= 0.5 * kept.size else Status.FAILS
    return Verdict(status, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Errors along the runs, and column norms at pruning."""
    from leanrank.research.experiments import _drawing as look

    rank, steps = len(p["singular_values"]), p["iterations"]
    size = f"d = {p['d']}, k = {p['width']}, r = {rank}, n = {p['measurements']}"
    title = f"Vanilla gradient descent against pruning and fine-tuning, {size}"
    figure, (left, right) = look.panels(2, title)
    runs = (
        ("vanilla_errors", 0, look.RED, "vanilla"),
        ("penalised_errors", 0, look.BLUE, "group Lasso"),
        ("tuned_errors", steps, look.COLOURS[2], "pruned and fine-tuned"),
    )
    for name, begin, colour, label in runs:
        errors = np.maximum(results.column(name), 1e-32)
        x = begin + _EVERY * np.arange(errors.shape[1])
        left.plot(x, errors.T, color=colour, linewidth=0.5, alpha=0.2)
        left.plot(x, np.median(errors, axis=0), color=colour, linewidth=2, label=label)
    left.axvline(steps, color=look.INK, linewidth=0.8, linestyle="--")
    left.set_yscale("log")
    left.set(xlabel="iteration", ylabel=r"squared error $\|UU^T - X\|_F^2$", xlim=(0, 2 * steps))
    look.legend(left, loc="lower left")
    for name, colour, label in (
        ("vanilla_norms", look.RED, "vanilla"),
        ("norms", look.BLUE, "group Lasso"),
    ):
        norms = results.column(name)
        index = np.arange(1, norms.shape[1] + 1)
        right.plot(index, norms.T, color=colour, linewidth=0.5, alpha=0.2)
        right.plot(index, np.median(norms, axis=0), "o-", color=colour, markersize=4, label=label)
    threshold = 2 * p["sqrt_beta"]
    right.axhline(threshold, color=look.INK, linewidth=0.8, linestyle="--")
    right.text(
        index[-1], 1.04 * threshold, "pruning threshold", fontsize=8, ha="right", va="bottom"
    )
    right.set(xlabel="column, the longest first", ylabel="column norm before pruning")
    look.whole_numbers(right)
    right.set_ylim(bottom=-0.02)
    look.legend(right)
    return figure


experiment = Experiment(
    name="pruning-fig2",
    title="Vanilla gradient descent against pruning and fine-tuning, few measurements",
    reference="Rajaraman et al. (2023), Figure 2",
    claim="Greedy pruning followed by fine-tuning generalises better than vanilla gradient "
    "descent by an order of magnitude, and finds the rank.",
    parameters={
        "d": Parameter(20, None, "size of the matrix", least=1),
        "width": Parameter(20, None, "number of columns k", least=1),
        "singular_values": Parameter((1.0, 1.0, 1.0), None, "of U*; as many as the rank", above=0),
        "measurements": Parameter(100, None, "number of measurements n", least=1),
        "noise": Parameter(0.0, None, "standard deviation of the noise", least=0),
        "lam": Parameter(0.2, None, "strength of the penalty", least=0),
        "sqrt_beta": Parameter(0.1, None, "root of its smoothing", above=0),
        "scale": Parameter(0.1, None, "standard deviation of the start", above=0),
        "step_size": Parameter(0.02, None, "of descent on the literal gradient", above=0),
        "iterations": Parameter(2000, None, "steps of each of the two phases", least=_EVERY),
        "seeds": Parameter(50, 8, "problems", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

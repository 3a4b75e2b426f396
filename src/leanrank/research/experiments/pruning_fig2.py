"""Figure 2 of the pruning paper: vanilla descent against pruning and fine-tuning, few samples.

The paper has neither strength nor smoothing, step size, start, nor the spectrum of U*: those here
are the ones for which its figure comes true. Its gradient lacks a factor 4, so that its step size
would be four times as large as this one. Its caption names the penalty of eq. (3), which is not
smooth, its algorithm the smooth one of eq. (8): both are run, the latter by Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import initial
from leanrank.factors import Factors
from leanrank.problem import Problem
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
    follow,
    sensing,
    squared_error,
    truth_of,
    waiting,
)
from leanrank.research.greedy import greedy_prune
from leanrank.research.solvers import ProximalGradientDescent
from leanrank.solvers import PerturbedGradientDescent, State

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_EVERY = 20
_EXACT = 0.98
"""Share of the seeds that have to have the right rank, and to gain so much:"""
_GAIN = 10.0


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """One for each seed: all runs share measurements, and starts but for their scale."""
    common = {k: v for k, v in p.items() if k != "seeds"}
    return [{"stream": i, **common} for i in range(p["seeds"])]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Squared errors along all runs, and the column norms at the moment of pruning."""
    d, steps = t["d"], t["iterations"]
    truth = truth_of(d, t["singular_values"], rng)
    X = truth.to_dense()
    problem = sensing(truth, t["measurements"], rng, t["noise"])
    unit = initial.gaussian((d, d), t["width"], scale=1.0, symmetric=True, random_state=rng)

    def error(state: State) -> float:
        return squared_error(state.factors, X)

    vanilla = []
    for scale in t["baselines"]:
        start = unit.with_stacked(scale * unit.W)
        vanilla.append(descend(problem, start, t["step_size"], 2 * steps, error, _EVERY))
    start = unit.with_stacked(t["scale"] * unit.W)
    found = [_algorithm_1(t, problem, start, X, rng), _not_smooth(t, problem, start, X)]
    return {
        "vanilla": [errors for _, errors in vanilla],
        "vanilla_norms": np.sort(vanilla[0][0].column_norms())[::-1],
        **{k: np.array([f[k] for f in found]) for k in found[0]},
    }


def _algorithm_1(
    t: Trial, problem: Problem, start: Factors, X: np.ndarray, rng: np.random.Generator
) -> dict[str, Any]:
    """Greedy pruning as it is printed, which goes on once its point is stationary."""
    seen: dict[str, list[float]] = {"penalise": [], "fine-tune": []}

    def watch(state: State) -> None:
        if state.iteration % _EVERY == 0:
            seen[state.phase].append(squared_error(state.factors, X))

    result = greedy_prune(
        problem.op,
        problem.y,
        lam=t["lam"],
        beta=t["sqrt_beta"] ** 2,
        step_size=t["step_size"],
        solver=PerturbedGradientDescent(t["step_size"], random_state=rng),
        start=start,
        max_iter=t["iterations"],
        fine_tune_steps=t["iterations"],
        callbacks=[watch],
        random_state=rng,
    )
    after = result.column_norms.get("after pruning", np.empty(0))
    last = squared_error(result.factors, X)
    return _outcome(t, result.column_norms["before pruning"], after.size, seen, last)


def _not_smooth(t: Trial, problem: Problem, start: Factors, X: np.ndarray) -> dict[str, Any]:
    """The same under the group Lasso itself, by proximal steps."""
    steps = t["iterations"]

    def error(state: State) -> float:
        return squared_error(state.factors, X)

    solver = ProximalGradientDescent(t["step_size"], t["lam"])
    found, first = follow(solver, problem, start, steps, error, _EVERY)
    kept = prune(found, 2 * t["sqrt_beta"])
    tuned, second = descend(problem, kept, t["step_size"], steps, error, _EVERY)
    seen = {"penalise": first, "fine-tune": second}
    return _outcome(t, found.column_norms(), kept.width, seen, squared_error(tuned, X))


def _outcome(
    t: Trial, norms: np.ndarray, kept: int, seen: Mapping[str, list[float]], last: float
) -> dict[str, Any]:
    """What is kept of a run that pruned, in arrays of the same length for all."""
    count = t["iterations"] // _EVERY + 1
    return {
        "norms": np.sort(norms)[::-1],
        "kept": kept,
        "penalised": waiting(seen["penalise"], count),
        "tuned": waiting(seen["fine-tune"] or [last], count),
    }


def _ends(results: Results, name: str) -> np.ndarray:
    """Errors at the end, seeds x runs of that name."""
    ends: np.ndarray = results.column(name)[:, :, -1]
    return ends


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Pruning finds the rank, and fine-tuning beats vanilla descent from every start."""
    rank, seeds = len(p["singular_values"]), len(results)
    kept, vanilla, tuned = (
        results.column("kept"),
        _ends(results, "vanilla"),
        _ends(results, "tuned"),
    )
    exact = np.sum(kept == rank, axis=0)
    better = np.sum(_GAIN * tuned[:, :1] <= vanilla, axis=0)
    weakest = min(p["singular_values"])
    limit = theory.critical_lambda(weakest, p["sqrt_beta"] ** 2)
    medians = {
        name: np.median(_ends(results, name), axis=0) for name in ("vanilla", "penalised", "tuned")
    }
    numbers = {
        "exact": exact,
        "seeds": seeds,
        "kept": np.bincount(kept[:, 0]),
        "median_squared_errors": medians,
        "largest_error_after_tuning": tuned.max(axis=0),
        "at_least_ten_times_better": better,
        "critical_lambda_of_the_weakest_direction": limit,
    }
    baselines = ", ".join(
        f"{error:.1g} from a start of {scale:g}"
        for scale, error in zip(p["baselines"], medians["vanilla"], strict=True)
    )
    measured = (
        f"exactly {rank} of {p['width']} columns kept on {exact[0]} of {seeds} seeds by Algorithm "
        f"1, on {exact[1]} under the penalty that is not smooth; median squared error of vanilla "
        f"descent {baselines}; under the penalty {medians['penalised'][0]:.1g}, after pruning and "
        f"fine-tuning {medians['tuned'][0]:.1g} ({medians['tuned'][1]:.1g} where the penalty is "
        "not smooth)"
    )
    nothing = sum(s**4 for s in p["singular_values"])
    if not medians["vanilla"].max() <= 10 * nothing:
        condition = (
            f"the squared error of vanilla descent is {medians['vanilla'].max():.2g}, while that "
            f"of the zero matrix is {nothing:.2g}: a step of {p['step_size']:g} is too long"
        )
        return Verdict(Status.FAILS, measured, condition, numbers)
    parts = []
    if exact[0] < _EXACT * seeds:
        found = f"{kept[:, 0].min()} to {kept[:, 0].max()} columns are kept"
        parts.append(
            f"a smaller strength: {found} at lambda = {p['lam']:g}, above half of {limit:.2g}, at "
            "which the weakest direction of X is lost"
            if p["lam"] > 0.5 * limit
            else f"other settings: {found}"
        )
    for scale, count, error in zip(p["baselines"], better, medians["vanilla"], strict=True):
        if count < _EXACT * seeds:
            gain = error / medians["tuned"][0]
            parts.append(
                f"a gain over a start of {scale:g} of {gain:.2g} times in the median, tenfold on "
                f"{count} of {seeds} seeds"
            )
    if p["noise"] > 0 and parts:
        floor = theory.noise_floor(p["noise"], p["d"], rank, p["measurements"]) ** 2
        parts.append(f"noise of {p['noise']:g} leaves a squared error of about {floor:.2g}")
    if not parts:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    status = Status.HOLDS_WITH if better.max() >= 0.5 * seeds else Status.FAILS
    return Verdict(status, measured, "; ".join(parts), numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Errors along the runs, and column norms at pruning."""
    from leanrank.research.experiments import _drawing as look

    rank, steps = len(p["singular_values"]), p["iterations"]
    size = f"d = {p['d']}, k = {p['width']}, r = {rank}, n = {p['measurements']}"
    title = f"Vanilla gradient descent against pruning and fine-tuning, {size}"
    figure, (left, right) = look.panels(2, title)
    # What is drawn first is wider, and seen where the other covers it.
    kinds = (("smooth", look.BLUE, "-", 4.0), ("not smooth", look.COLOURS[4], "--", 1.6))
    for i, (scale, line) in enumerate(zip(p["baselines"], ("-", "--", ":"), strict=False)):
        label = f"vanilla, start of {scale:g}"
        _draw_errors(left, results.column("vanilla")[:, i], 0, look.RED, line, 2.0, label)
    for i, (kind, colour, line, width) in enumerate(kinds):
        for name, begin, label in (("penalised", 0, f"group Lasso, {kind}"), ("tuned", steps, "")):
            errors = results.column(name)[:, i]
            _draw_errors(left, errors, begin, colour, line, width, label)
    left.axvline(steps, color=look.INK, linewidth=0.8, linestyle="--")
    left.set_yscale("log")
    left.set(xlabel="iteration", ylabel=r"squared error $\|UU^T - X\|_F^2$", xlim=(0, 2 * steps))
    look.legend(left, loc="lower left", handlelength=2.0)
    drawn = [("vanilla", results.column("vanilla_norms"), look.RED, "-", 2.0)]
    drawn += [(k, results.column("norms")[:, i], c, x, w) for i, (k, c, x, w) in enumerate(kinds)]
    for kind, norms, colour, line, width in drawn:
        index = np.arange(1, norms.shape[1] + 1)
        right.plot(index, norms.T, color=colour, linewidth=0.4, alpha=0.12)
        shape: dict[str, Any] = {"color": colour, "linewidth": width, "markersize": 2 + width}
        right.plot(
            index,
            np.median(norms, axis=0),
            "o" + line,
            label={"vanilla": "none"}.get(kind, kind),
            **shape,
        )
    threshold = 2 * p["sqrt_beta"]
    right.axhline(threshold, color=look.INK, linewidth=0.8, linestyle="--")
    right.text(
        index[-1], 1.04 * threshold, "pruning threshold", fontsize=8, ha="right", va="bottom"
    )
    right.set(xlabel="column, the longest first", ylabel="column norm before pruning")
    look.whole_numbers(right)
    right.set_ylim(bottom=-0.02)
    look.legend(right, title="penalty", title_fontsize=8)
    return figure


def _draw_errors(
    ax: Axes, errors: np.ndarray, begin: int, colour: str, line: str, width: float, label: str
) -> None:
    """Errors of all seeds over the iteration, and their median."""
    errors = np.maximum(errors, 1e-32)
    x = begin + _EVERY * np.arange(errors.shape[1])
    ax.plot(x, errors.T, color=colour, linewidth=0.4, alpha=0.12)
    ax.plot(x, np.median(errors, axis=0), line, color=colour, linewidth=width, label=label or None)


experiment = Experiment(
    name="pruning-fig2",
    title="Vanilla gradient descent against pruning and fine-tuning, few measurements",
    reference="Rajaraman et al. (2023), Figure 2",
    claim="Greedy pruning followed by fine-tuning generalises better than vanilla gradient "
    "descent by an order of magnitude, and finds the rank.",
    criterion=f"HOLDS if Algorithm 1 keeps exactly r columns, and has a squared error {_GAIN:g} "
    f"times below that of vanilla descent from every start, each on {_EXACT:.0%} of the seeds; "
    "HOLDS with if the gain is so large over some start on half of them.",
    parameters={
        "d": Parameter(20, None, "size of the matrix", least=1),
        "width": Parameter(20, None, "number of columns k", least=1),
        "singular_values": Parameter((1.0, 1.0, 1.0), None, "of U*; as many as the rank", above=0),
        "measurements": Parameter(100, None, "number of measurements n", least=1),
        "noise": Parameter(0.0, None, "standard deviation of the noise", least=0),
        "lam": Parameter(0.2, None, "strength of the penalty", least=0),
        "sqrt_beta": Parameter(0.1, None, "root of its smoothing", above=0),
        "scale": Parameter(0.1, None, "standard deviation of the start", above=0),
        "baselines": Parameter(
            (0.1, 0.01, 0.001), None, "those of vanilla descent, three at most", above=0
        ),
        "step_size": Parameter(0.02, None, "of descent on the literal gradient", above=0),
        "iterations": Parameter(2000, None, "steps of each of the two phases", least=_EVERY),
        "seeds": Parameter(50, 8, "problems", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

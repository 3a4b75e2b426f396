"""Sections 4 and 5 of Wind: the perturbation that descent amounts to, against all its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.factors import Factors
from leanrank.linalg import singular_value
from leanrank.research import theory
from leanrank.research.experiments import _asymmetric as wind
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.experiments._tolerance import Tolerance
from leanrank.research.solvers import (
    PerturbedSensingDescent,
    constant_perturbation,
    fresh_gaussian_average,
    fresh_measurements,
    imperfect_measurements,
    sum_of_perturbations,
)
from leanrank.solvers import iterate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_RECORDS = 30
_SOURCES = ("isometric", "few", "fresh")
_RATIOS = ("F.1 size", "F.1 drive", "theorem size", "theorem drive", "measurements")
_ROUNDING = 1.0 + 1e-9
_FAILURE = 0.05


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Descent on each kind of measurement at each kappa, and draws of fresh ones."""
    names = ("n", "rank", "learning_rate", "perturbation", "time")
    common = {"part": "descent", **{k: p[k] for k in names}}
    sizes = {"isometric": p["isometric"], "few": p["few"], "fresh": p["fresh"]}
    out: list[Trial] = [
        {"source": source, "multiple": x, "kappa": kappa, **common, "stream": i}
        for i in range(p["seeds"])
        for source, x in sizes.items()
        for kappa in p["kappas"]
    ]
    drawn = {"part": "draws", "n": p["n"], "draws": p["draws"], "stream": p["seeds"]}
    return [*out, *({**drawn, "m": m, "of_rank": k} for m in p["batches"] for k in (1, p["n"]))]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Sizes of E_t and their bounds at evenly spaced steps; or sizes of measurement errors."""
    if t["part"] == "draws":
        return {"xi": _draws(t["n"], t["m"], t["of_rank"], t["draws"], rng)}
    problem, truth = wind.population(t["n"], t["rank"], t["kappa"], rng)
    scale = theory.largest_start(truth.shape, t["rank"], 1.0 / t["kappa"], kappa=t["kappa"])
    begin = wind.start(truth, scale, rng)
    m, step = round(t["multiple"] * 2 * t["n"] * t["rank"]), t["learning_rate"] / 2.0
    steps = wind.steps(t["learning_rate"], t["kappa"], scale, t["time"])
    # Theorem E.1 with its open constant 1, for a probability of failure of 0.05.
    rho = np.sqrt(np.log(2 * t["n"] * steps / _FAILURE) / t["multiple"])
    seen = fresh_measurements(truth, m, rng)
    if t["source"] != "fresh":
        op = wind.gaussian_set(truth.shape, m, rng)
        seen = imperfect_measurements(op, truth)
        rho = _isometry(op, t["rank"] + 1, t["source"] == "isometric", rng)
    E = rng.standard_normal((2 * t["n"], 2 * t["n"]))
    given = E * (t["perturbation"] / np.linalg.norm(E, 2))
    # What Theorems D.1 and E.1 say; of few measurements D.1 says nothing.
    arguments = (truth.shape, t["rank"], 1.0, step)
    claim = theory.FlowAssumption.fresh if t["source"] == "fresh" else None
    claim = theory.FlowAssumption.isometric if t["source"] == "isometric" else claim
    claimed = claim(*arguments, rho, perturbation=t["perturbation"]) if claim else None
    watch = np.linspace(0, steps, _RECORDS + 1).round().astype(int)
    solver = PerturbedSensingDescent(step, sum_of_perturbations(seen, constant_perturbation(given)))
    rows, frame = [], theory.TargetFrame.of(truth)
    for state in islice(iterate(solver, problem, begin), steps + 1):
        if state.iteration in watch:
            error = np.asarray(seen(state.iteration, state.factors))
            rows.append(_row(state.factors, frame, error, given, step, claimed, rho, m))
    values = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {**values, "share_of_time": watch / steps, "rho": rho, "m": m}


def _isometry(op: Any, rank: int, above: bool, rng: np.random.Generator) -> float:
    """A bound on the isometry constant: from above by the spectrum, or from below by search."""
    if above:
        rows = op.matrices(np.arange(op.size)).reshape(op.size, -1)
        s = np.linalg.svd(rows, compute_uv=False)
        return float(max(op.weight * s[0] ** 2 - 1.0, 1.0 - op.weight * s[-1] ** 2))
    return theory.restricted_isometry(op, rank, random_state=rng).delta


def _row(
    f: Factors,
    truth: theory.TargetFrame,
    error: np.ndarray,
    given: np.ndarray,
    step: float,
    claimed: theory.FlowAssumption | None,
    rho: float,
    m: int,
) -> dict[str, float]:
    """Largest sizes of E_t within a step, their bounds, and that of the measurements' error."""
    total, n1 = error + given, f.shape[0]
    within = [theory.flow_perturbation(f, truth, total, step, share=x) for x in (0.0, 0.5, 1.0)]
    size = max(singular_value(E) for E in within)
    drive = max(theory.imbalance_drive(E, n1) for E in within)
    of_step = theory.step_perturbation_bounds(f, truth, total, step)
    of_theorem = claimed.bounds(f, truth) if claimed else (np.nan, np.nan)
    isometric = theory.isometry_error_bound(f, truth, rho)
    return {
        "size": size,
        "drive": drive,
        "F.1 size": size / of_step[0],
        "F.1 drive": drive / of_step[1],
        "theorem size": size / of_theorem[0],
        "theorem drive": drive / of_theorem[1],
        "measurements": singular_value(error) / isometric,
        "xi": singular_value(error) / theory.fresh_error_bound(f, truth, m),
    }


def _draws(n: int, m: int, rank: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Xi of Proposition H.7: the error of fresh measurements of a matrix of unit norm."""
    X = wind.start(Factors(np.eye(n), np.eye(n)), 1.0, rng).U[:, :rank] @ np.eye(rank, n)
    X = X / np.linalg.norm(X)
    errors = [np.linalg.norm(fresh_gaussian_average(X, m, rng) - X, 2) for _ in range(count)]
    return np.array(errors) / np.sqrt(2 * n / m)


def _tail(xi: np.ndarray, n: int) -> float:
    """The largest c with P(xi > x) <= 2 n exp(-c x^2) for all x that were seen."""
    x = np.sort(xi)
    above = 1.0 - np.arange(x.size) / x.size  # the share at or above each
    return float((np.log(2 * n / above) / x**2).min())


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether no bound is exceeded."""
    rows = results.where(part="descent")
    worst = {
        source: {name: float(rows.where(source=source).column(name).max()) for name in _RATIOS}
        for source in _SOURCES
    }
    needed = float(rows.where(source="fresh").column("xi").max())
    draws = results.where(part="draws")
    tails = {f"m {r['m']}, rank {r['of_rank']}": _tail(r["xi"], p["n"]) for r in draws}
    largest = max(float(r["xi"].max()) for r in draws)
    rho = float(rows.where(source="isometric").column("rho").max())
    few = float(rows.where(source="few").column("rho").min())
    numbers = {
        "ratios": worst,
        "largest_xi_along_descent": needed,
        "largest_xi_drawn": largest,
        "c2": tails,
        "isometry_constant_at_most": rho,
        "isometry_constant_of_few_at_least": few,
    }
    step = max(max(w["F.1 size"], w["F.1 drive"]) for w in worst.values())
    isometric, fresh = worst["isometric"], worst["fresh"]
    theorem = max(isometric["theorem size"], isometric["theorem drive"])
    of_fresh = max(fresh["theorem size"], fresh["theorem drive"])
    measured = (
        f"largest sizes over bounds: Proposition F.1 {step:.2f}; Theorem D.1 {theorem:.2f} and "
        f"Proposition G.1 {isometric['measurements']:.2f} where the isometry constant is certainly "
        f"below {rho:.2g}; G.1 {worst['few']['measurements']:.2f} on {p['few']:g} r (n1 + n2) "
        f"measurements (constant at least {few:.2g}); Theorem E.1 {of_fresh:.2f} with its constant "
        f"C = 1; H.8 needs a xi of {needed:.2f}, and of {len(draws) * p['draws']} draws H.7 one of "
        f"{largest:.2f}, its probability bounded with c_2 = {min(tails.values()):.2g}"
    )
    ratios = [worst[s][name] for s in _SOURCES for name in _RATIOS if (s, name) not in _OPEN]
    if not np.nanmax(ratios) <= _ROUNDING or not needed <= p["xi"] or not largest <= p["xi"]:
        return Verdict(Status.FAILS, measured, numbers=numbers)
    return Verdict(Status.HOLDS, measured, numbers=numbers)


_OPEN = {("few", "theorem size"), ("few", "theorem drive"), ("fresh", "measurements")}
"""Bounds that suppose more than these measurements have."""


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """E_t over its bounds along descent, its size, and the tail of fresh measurements' errors."""
    from leanrank.research.experiments import _drawing as look

    figure, (ratio, size, tail) = look.panels(
        3, "The perturbation that a step of descent amounts to, against the bounds on it", width=4.6
    )
    kappa = max(p["kappas"])
    rows = {s: results.where(part="descent", source=s, kappa=kappa)[0] for s in _SOURCES}
    labels = {"isometric": "D.1", "fresh": "E.1"}
    for colour, source in zip((look.BLUE, look.RED), ("isometric", "fresh"), strict=True):
        row = rows[source]
        x = row["share_of_time"]
        broad: dict[str, Any] = {"linewidth": 3.5, "alpha": 0.5} if source == "isometric" else {}
        ratio.plot(x, row["F.1 size"], "-", color=colour, label=f"F.1, {source}", **broad)
        ratio.plot(x, row["F.1 drive"], "--", color=colour, label="its |J E + E' J|")
        name = f"{labels[source]}, {source}"
        ratio.plot(x, row["theorem size"], "-.", color=colour, label=name)
    ratio.plot(x, rows["few"]["measurements"], ":", color=look.INK, label="G.1, few")
    ratio.plot(x, rows["isometric"]["measurements"], "-.", color=look.INK, label="G.1, isometric")
    ratio.axhline(1.0, color=look.INK, linewidth=0.8)
    ratio.set(yscale="log", xlabel="share of all steps", ylabel="size over bound")
    look.legend(ratio, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for colour, source in zip(look.COLOURS, _SOURCES, strict=False):
        row = rows[source]
        size.plot(row["share_of_time"], row["size"], color=colour, label=f"|E|, {source}")
        size.plot(row["share_of_time"], row["drive"], "--", color=colour)
    size.plot([], [], "--", color=look.INK, label="|J E + E' J|")
    size.set(yscale="log", xlabel="share of all steps", ylabel="perturbation")
    look.heading(size, f"kappa = {kappa:g}, eta = {p['learning_rate']:g}")
    look.legend(size, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    draws = results.where(part="draws")
    for colour, row in zip(look.shades(len(draws)), draws, strict=True):
        x = np.sort(row["xi"])
        share = 1.0 - np.arange(x.size) / x.size
        tail.step(x, share, color=colour, label=f"m = {row['m']}, rank {row['of_rank']}")
    c = min(_tail(row["xi"], p["n"]) for row in draws)
    x = np.linspace(0.0, p["xi"], 100)
    bound = np.minimum(1.0, 2 * p["n"] * np.exp(-c * x**2))
    tail.plot(x, bound, ":", color=look.INK, label=f"bound, c_2 = {c:.2g}")
    tail.set(yscale="log", xlabel="xi", ylabel="share of draws above")
    tail.set_ylim(bottom=0.5 / p["draws"])
    look.legend(tail, fontsize=7, loc="lower left")
    return figure


experiment = Experiment(
    name="asymmetric-reduction",
    title="The perturbation of gradient flow that a step of descent amounts to",
    reference="Wind (2025), Assumption 4.1, Theorems D.1, E.1, Propositions F.1, G.1, H.7, H.8",
    claim="Descent on imperfect measurements passes through gradient flow under E_t = log(I + eta "
    "R) / eta - R_t, and F.1, D.1 and E.1 bound E_t by step, isometry constant or number of fresh "
    "measurements, and perturbation.",
    criterion="HOLDS if no bound is exceeded at the start, the middle or the end of any step seen, "
    "E.1's with C = 1 for 95 % of runs, and no fresh measurements need a xi above 3.",
    tolerances={"c2*": Tolerance(relative=0.05)},
    parameters={
        "n": Parameter(10, 8, "size of Y, and width", least=2),
        "rank": Parameter(2, None, "rank of Y", least=1),
        "kappas": Parameter((1.0, 3.0), None, "condition numbers of Y", least=1),
        "isometric": Parameter(
            20_000.0, None, "measurements over r (n1 + n2), where D.1 applies", above=0
        ),
        "few": Parameter(10.0, None, "measurements over r (n1 + n2), too few for D.1", above=0),
        "fresh": Parameter(100.0, None, "fresh ones in each step over r (n1 + n2)", above=0),
        "perturbation": Parameter(0.001, None, "size of a further perturbation", least=0),
        "learning_rate": Parameter(0.05, None, "eta, at most 1 / 12", above=0),
        "time": Parameter(2.5, None, "time in units of log(sigma_r / eps^2) / sigma_r", above=0),
        "batches": Parameter((40, 4_000), None, "fresh measurements drawn at once", least=1),
        "draws": Parameter(10_000, 500, "draws of each", least=1),
        "xi": Parameter(3.0, None, "the largest xi that counts as a constant", above=0),
        "seeds": Parameter(3, 1, "instances", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

r"""Theorem 3.2 of Wang and Jacot: the set of low approximate rank, once reached, is not left.

At the learning rates of the figures, with constants read off trajectories; and the constants for
which the theorem is proved, so small that no run could ever meet them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research.deep import (
    DeepFactors,
    Phase,
    annealing,
    approximate_rank,
    measured,
    train,
)
from leanrank.research.experiments import _deep
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Tolerance,
    Trial,
    Verdict,
)
from leanrank.research.theory import AbsorbingSet, absorbing_exponents, absorbing_set

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_RECORDED = 50
_MOST = 0.8
_MEASURED = ("balance", "rank", "product", "size")


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Ten runs each."""
    names = ("epsilon", "depth", "width", "learning_rate", "slower", "ridge", "longest", "steps")
    common = {k: p[k] for k in (*names, "alpha")}
    return [
        {"first": i * _deep.CHUNK, "count": count, **common}
        for i, count in enumerate(_deep.chunks(p["runs"]))
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """What defines the set, along runs that go on for ``steps`` after all of them have jumped."""
    problem = _deep.observed(t["epsilon"])
    rates = {"learning_rate": t["learning_rate"], "ridge": t["ridge"]}
    nets = _deep.starts(t["count"], t["depth"], t["width"], rng)
    options: dict[str, Any] = {"threads": 1, "random_state": rng}
    schedule = annealing(t["longest"], 0, **rates)
    waited = train(problem, nets, schedule, every=_RECORDED, until_rank=1, **options)
    jumped = [net for net, at in zip(waited.networks, waited.jumps(), strict=True) if at >= 0]
    found: dict[str, Any] = {"jumped": len(jumped), "runs": t["count"]}
    times = list(range(_RECORDED, t["steps"] + 1, _RECORDED))
    first = _along(problem, nets, annealing(t["steps"] - 500, 0, **rates), times, t, rng)
    found |= {f"first_{name}": values for name, values in first.items()}
    later: dict[str, list[np.ndarray]] = {}
    for rate in (t["learning_rate"], *t["slower"]):
        phase = [Phase(t["steps"], rate, t["ridge"])]
        for name, values in _along(problem, jumped, phase, times, t, rng).items():
            later.setdefault(name, []).append(values)
    return found | {f"later_{name}": np.array(values) for name, values in later.items()}


def _along(
    problem: Any, nets: Any, schedule: Any, times: list[int], t: Trial, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Squared balance errors, approximate ranks, of the product, too, squared norms of layers."""
    if not nets:
        return {name: np.zeros((len(times), 0)) for name in _MEASURED}
    kept = train(
        problem, nets, schedule, every=_RECORDED, keep=times, threads=1, random_state=rng
    ).kept

    def rank(network: DeepFactors) -> float:
        return float(np.max(network.approximate_ranks(t["alpha"])))

    def product(network: DeepFactors) -> float:
        return approximate_rank(network.singular_values() ** (2.0 / t["depth"]), t["alpha"])

    return {
        "product": measured(kept, product),
        "balance": measured(kept, lambda network: float(np.max(network.balance_errors()) ** 2)),
        "rank": measured(kept, rank),
        "size": measured(kept, lambda network: max(np.sum(W * W) for W in network.layers)),
    }


def _later(results: Results) -> dict[str, np.ndarray]:
    """What defines the set after jumps, each (rates, times, runs)."""
    return {name: _deep.joined(results, f"later_{name}", axis=2) for name in _MEASURED}


def _settled(p: Mapping[str, Any]) -> int:
    """Records to leave out, until a singular value that jumped is at rounding."""
    return p["settling"] // _RECORDED


def _proved(p: Mapping[str, Any]) -> AbsorbingSet:
    largest_square = max(1.0, p["epsilon"] ** 2)
    return absorbing_set(p["depth"], p["ridge"], max(p["width"], 2), largest_square)


def _largest(values: np.ndarray, axis: Any = None) -> np.ndarray:
    """Of runs that have not diverged; 0 if there are none."""
    return np.nanmax(values, axis=axis, initial=0.0)


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether any record after a jump is outside the set, or of a run that diverged."""
    later = {name: values[:, _settled(p) :] for name, values in _later(results).items()}
    jumped, runs = (int(sum(row[name] for row in results)) for name in ("jumped", "runs"))
    inside = (
        (later["balance"] <= p["balance"])
        & (later["rank"] <= 1.0 + p["excess"])
        & (later["size"] <= p["bound"])
    )
    proved = _proved(p)
    numbers = {
        "jumped": jumped,
        "runs": runs,
        "records": inside[0].size,
        "outside": int(np.sum(~inside[0])),
        "diverged": int(np.sum(np.isnan(later["size"][:, -1:]))),
        "largest_squared_balance_error_by_rate": _largest(later["balance"], axis=(1, 2)),
        "largest_approximate_rank": float(_largest(later["rank"])),
        "largest_approximate_rank_of_the_product": float(_largest(later["product"])),
        "exponent_of_the_learning_rate": absorbing_exponents(p["depth"]).learning_rate,
        "printed_exponent": 4 * p["depth"] + 1 + (p["depth"] + 1) / (p["depth"] - 2),
        "largest_square_norm": float(_largest(later["size"])),
        "learning_rates": np.array([p["learning_rate"], *p["slower"]]),
        "log10_alpha": proved.log10_alpha,
        "log10_balance": proved.log10_balance,
        "log10_learning_rate": proved.log10_learning_rate,
        "log10_steps": proved.log10_steps,
        "log10_probability": proved.log10_probability,
    }
    errors = ", ".join(
        f"{error:.2g} at rate {rate:g}"
        for error, rate in zip(
            numbers["largest_squared_balance_error_by_rate"],
            numbers["learning_rates"],
            strict=True,
        )
    )
    decades = -proved.log10_probability
    chance = f"above 10^(-10^{math.log10(decades):.0f})" if decades > 0.0 else "one"
    sentence = (
        f"{jumped} of {runs} runs reach rank one; of {numbers['records']} records in the "
        f"{p['steps']} steps after, {numbers['outside']} are outside; largest squared balance "
        f"error {errors}; approximate rank at most {numbers['largest_approximate_rank']:.6f}, "
        f"that of the product (Proposition 3.3, which has it for critical points) at most "
        f"{numbers['largest_approximate_rank_of_the_product']:.6f}, "
        f"squared norms of layers at most {numbers['largest_square_norm']:.2f}. As proved, it "
        f"takes a learning rate of 10^{proved.log10_learning_rate:.0f}, and 10^"
        f"{proved.log10_steps:.0f} steps until a jump, of a probability that is proved to be "
        f"{chance}; by Theorem B.1 the rate goes with power "
        f"{numbers['exponent_of_the_learning_rate']:.3g} of the ridge, where Section 3.2 prints "
        f"{numbers['printed_exponent']:.3g}"
    )
    if jumped < _MOST * runs or not numbers["records"] or numbers["outside"]:
        return Verdict(Status.FAILS, sentence, numbers=numbers)
    condition = (
        f"a set as wide as eps1 = {p['balance']:g}, eps2 = {p['excess']:g}, alpha = "
        f"{p['alpha']:g}, C = {p['bound']:g}; the theorem's own constants say nothing of any run"
    )
    return Verdict(Status.HOLDS_WITH, sentence, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Approximate rank and balance of some runs, the latter by rate, and what is proved."""
    from leanrank.research.experiments import _drawing as look

    first = next(iter(results))
    figure, (rank, balance, rates) = look.panels(
        3, "Theorem 3.2: approximate rank and balance along runs", width=4.5
    )
    times = np.arange(1, len(first["first_rank"]) + 1) * _RECORDED
    for i, colour in zip(range(5), look.COLOURS, strict=False):
        rank.plot(times, np.asarray(first["first_rank"])[:, i : i + 1], color=colour, lw=1)
        balance.plot(times, np.asarray(first["first_balance"])[:, i : i + 1], color=colour, lw=0.7)
    rank.axhline(1.0 + p["excess"], color=look.INK, lw=0.8, ls=":")
    rank.set(ylim=(0.8, 4.2), xlabel="SGD steps", ylabel="approximate rank, largest of the layers")
    look.heading(rank, "Up to five runs, and the bound")
    balance.axhline(p["balance"], color=look.INK, lw=0.8, ls=":")
    balance.set(yscale="log", xlabel="SGD steps", ylabel="squared balance error")
    look.heading(balance, "The same runs")
    later = _later(results)["balance"][:, _settled(p) :]
    seen = np.array([p["learning_rate"], *p["slower"]])
    order = np.argsort(seen)
    rates.plot(
        seen[order],
        _largest(later, axis=(1, 2))[order],
        "o-",
        ms=4,
        color=look.BLUE,
        label="largest seen after jumps",
    )
    proved = _proved(p)
    rates.plot(
        10.0**proved.log10_learning_rate,
        10.0 ** (2.0 * proved.log10_balance),
        "s",
        ms=5,
        color=look.RED,
        label="what the theorem asks for",
    )
    rates.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="squared balance error")
    look.heading(rates, "After jumps, over the learning rate")
    look.legend(rates, loc="upper left")
    return figure


experiment = Experiment(
    name="deep-theorem32",
    title="The absorbing set of low approximate rank",
    reference="Wang and Jacot (2024), Theorems 3.2, B.1 and B.2, Proposition 3.3",
    claim="SGD reaches the set of networks that are approximately balanced, bounded and of "
    "approximate rank one, and never leaves it.",
    criterion=f"HOLDS with the constants that are told if at least {_MOST:.0%} of the runs jump, "
    "and after that no record is outside the set, and no run diverges.",
    tolerances={
        "records": Tolerance(1e-6, 0.2),
        "largest_*": Tolerance(0.02, 0.5),
        "jumped": Tolerance(2.0),
    },
    parameters={
        "epsilon": Parameter(0.25, None, "the small observed entry", above=0),
        "depth": Parameter(3, None, "layers", least=3),
        "width": Parameter(20, 5, "of the hidden layers", least=2),
        "learning_rate": Parameter(0.2, None, "that waits for jumps", above=0),
        "slower": Parameter((0.1, 0.05, 0.02), (0.05,), "rates after jumps", above=0),
        "ridge": Parameter(0.1, None, "all along", above=0),
        "longest": Parameter(60_000, None, "steps to wait for jumps", least=1),
        "steps": Parameter(40_000, 10_000, "steps that are looked at, twice", least=1000),
        "settling": Parameter(1000, None, "steps after a jump until it is done", least=0),
        "balance": Parameter(0.25, None, "eps1, for the squared balance error", above=0),
        "excess": Parameter(0.01, None, "eps2, for the approximate rank", above=0),
        "alpha": Parameter(0.05, None, "squared singular value that counts in full", above=0),
        "bound": Parameter(4.0, None, "C, for squared norms of layers", above=0),
        "runs": Parameter(40, 10, "networks", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

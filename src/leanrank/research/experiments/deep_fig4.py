r"""Figure 4 of Wang and Jacot: noisy and quiet phases in turn.

How long a phase lasts is not stated: of the periods tried here, 1000 steps and more give the
picture. A run is solved at the end of a quiet phase if its test loss is small there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research.deep import measured, periodic, train
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_WARM_UP = 500
_SOLVED, _NOISY = 0.6, 0.9
"""Shares of runs that are solved in the end, and of jumps that are in noisy phases."""
_POINTS = 10
"""Looks at the networks in each phase."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Ten runs each, for every period, and with every learning rate for the first of them."""
    odd = [period for period in p["periods"] if period % _POINTS]
    if odd:
        raise ValueError(f"periods must be multiples of {_POINTS}, got {odd[0]}")
    names = ("epsilon", "depth", "width", "ridge", "quiet_learning_rate", "quiet_ridge", "cycles")
    common = {k: p[k] for k in names}
    first, rate = p["periods"][0], p["learning_rates"][0]
    settings = [(period, rate) for period in p["periods"]]
    settings += [(first, other) for other in p["learning_rates"][1:]]
    return [
        {"period": a, "learning_rate": b, "first": i * _deep.CHUNK, "count": count, **common}
        for a, b in settings
        for i, count in enumerate(_deep.chunks(p["runs"]))
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Test losses and ratios of singular values over steps, jumps, and which runs diverge."""
    schedule = periodic(
        t["period"],
        t["cycles"],
        learning_rate=t["learning_rate"],
        ridge=t["ridge"],
        quiet_learning_rate=t["quiet_learning_rate"],
        quiet_ridge=t["quiet_ridge"],
        warm_up_steps=_WARM_UP,
    )
    every = t["period"] // _POINTS
    warm_up, *phases = schedule[:-1]  # ends with a quiet phase
    nets = _deep.starts(t["count"], t["depth"], t["width"], rng)
    options: dict[str, Any] = {"threads": 1, "random_state": rng}
    begun = train(_deep.observed(t["epsilon"]), nets, [warm_up], every=_WARM_UP, **options)
    times = list(range(every, len(phases) * t["period"] + 1, every))
    training = train(
        _deep.observed(t["epsilon"]), begun.networks, phases, every=every, keep=times, **options
    )
    return {
        "steps": np.array(times) + _WARM_UP,
        "test": measured(training.kept, _deep.test_loss(t["epsilon"])),
        "ratios": training.ratios()[1:],
        "jumps": training.jumps(),
        "diverged": _deep.diverged(training),
        "quiet_ends": training.steps[1:] // t["period"] % 2 == 1,
        "phase_ends": training.steps[1:] % t["period"] == 0,
    }


def _solved(p: Mapping[str, Any], rows: Results) -> np.ndarray:
    """Whether each run is solved at the end of each quiet phase, (phases, runs)."""
    first = next(iter(rows))
    ends = np.asarray(first["quiet_ends"]) & np.asarray(first["phase_ends"])
    with np.errstate(invalid="ignore"):
        return np.asarray(_deep.joined(rows, "test", axis=1)[ends] < p["solved"])


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """When runs are solved, where their jumps are, and how many diverge."""
    parts: list[str] = []
    numbers: dict[str, Any] = {}
    holds, lost, least = False, 0, max(p["periods"])
    for period, rate in _settings(results):
        rows = results.where(period=period, learning_rate=rate)
        solved = _solved(p, rows)
        jumps, diverged = (_deep.joined(rows, name) for name in ("jumps", "diverged"))
        runs = diverged.size
        by_phase = solved.sum(axis=1)
        # The phases begin with a quiet one: jumps in odd ones are in noisy ones. A ratio takes a
        # while to fall, so that a jump may be seen only after a phase in which it began.
        noisy = int(np.sum((jumps[jumps >= 0] - 1) // period % 2 == 1))
        count, jumped = int(solved.any(axis=0).sum()), int(np.sum(jumps >= 0))
        numbers |= {
            f"solved_{period}_{rate:g}": by_phase,
            f"solved_at_all_{period}_{rate:g}": count,
            f"diverged_{period}_{rate:g}": int(diverged.sum()),
            f"jumped_{period}_{rate:g}": jumped,
            f"jumped_in_noise_{period}_{rate:g}": noisy,
        }
        parts.append(
            f"period {period}, rate {rate:g}: {_deep.interval(count, runs)} solved, after quiet "
            f"phases {', '.join(str(x) for x in by_phase)}; {diverged.sum()} diverge; {noisy} of "
            f"{jumped} jumps in noisy phases"
        )
        does = count >= _SOLVED * runs and by_phase[-1] > by_phase[0] and noisy >= _NOISY * jumped
        if does and rate == p["learning_rates"][0]:
            least = min(least, period)
        if (period, rate) == (p["periods"][0], p["learning_rates"][0]):
            holds, lost = does, int(diverged.sum())
    sentence = "; ".join(parts)
    if not holds:
        return Verdict(Status.FAILS, sentence, numbers=numbers)
    condition = f"a period of {least} steps or more, which the paper does not state"
    if lost:
        condition += f", and a run that does not diverge ({lost} of {p['runs']} do)"
    return Verdict(Status.HOLDS_WITH, sentence, condition, numbers)


def _settings(results: Results) -> list[tuple[int, float]]:
    return list(dict.fromkeys((row["period"], row["learning_rate"]) for row in results))


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Test losses and ratios of five runs, and the share that is solved after each quiet phase."""
    from leanrank.research.experiments import _drawing as look

    period, rate = p["periods"][0], p["learning_rates"][0]
    rows = results.where(period=period, learning_rate=rate)
    first = next(iter(rows))
    figure, (tests, ratios, shares) = look.panels(
        3, f"Figure 4: noisy (shaded) and quiet phases in turn, {period} steps each", width=4.6
    )
    for ax, name in ((tests, "test"), (ratios, "ratios")):
        for colour, line in zip(look.COLOURS[:5], np.asarray(first[name]).T, strict=False):
            ax.plot(first["steps"], np.maximum(line, 1e-18), color=colour, lw=1)
        for cycle in range(p["cycles"] - 1):
            start = _WARM_UP + (2 * cycle + 1) * period
            ax.axvspan(start, start + period, color=look.PALE, alpha=0.35, lw=0)
        ax.set(yscale="log", xlabel="SGD steps")
    tests.axhline(p["solved"], color=look.INK, lw=0.8, ls=":")
    tests.set_ylabel("test loss over that of zero")
    look.heading(tests, f"Five runs, rate {rate:g} under noise")
    ratios.set(ylabel="$s_2 / s_1$", ylim=(5e-19, 3))
    look.heading(ratios, "The same runs")
    for i, (a, b) in enumerate(_settings(results)):
        solved = _solved(p, results.where(period=a, learning_rate=b))
        shares.plot(
            range(1, len(solved) + 1),
            solved.mean(axis=1),
            "o-",
            ms=9 - 1.5 * i,  # lines may coincide
            lw=max(4.5 - 1.1 * i, 0.8),
            color=look.COLOURS[i % len(look.COLOURS)],
            label=f"period {a}, rate {b:g}",
        )
    shares.set(ylim=(-0.05, 1.4), xlabel="quiet phase", ylabel="share of runs solved at its end")
    shares.set_yticks(np.linspace(0.0, 1.0, 6))
    look.heading(shares, "All runs")
    look.whole_numbers(shares)
    look.legend(shares, loc="upper left", ncols=2)
    return figure


experiment = Experiment(
    name="deep-fig4",
    title="Noisy and quiet phases in turn",
    reference="Wang and Jacot (2024), Figure 4",
    claim="Under a periodic schedule networks jump during the noisy phases, and settle at a low "
    "test error in the quiet ones after it.",
    criterion=f"HOLDS with the period, which is not stated, if at the first period and rate at "
    f"least {_SOLVED:.0%} of the runs are solved at the end of some quiet phase (test loss below "
    f"the parameter solved), more of the last than of the first, and at least {_NOISY:.0%} of "
    "jumps are in noisy phases; the least period of which that is true is told.",
    tolerances={"*": Tolerance(9.0)},
    parameters={
        "epsilon": Parameter(0.2, None, "the small observed entry", above=0),
        "depth": Parameter(3, None, "layers", least=2),
        "width": Parameter(100, 20, "of the hidden layers", least=1),
        "periods": Parameter(
            (1000, 500, 2000), None, "steps of a phase; the first is judged", least=10
        ),
        "cycles": Parameter(4, None, "quiet phases, with noisy ones between them", least=2),
        "learning_rates": Parameter((0.4, 0.3), None, "under noise; the first is judged", above=0),
        "ridge": Parameter(0.1, None, "under noise", above=0),
        "quiet_learning_rate": Parameter(0.1, None, "in quiet phases", above=0),
        "quiet_ridge": Parameter(0.001, None, "in quiet phases", least=0),
        "solved": Parameter(0.02, None, "test loss that counts as solved", above=0),
        "runs": Parameter(60, 20, "networks of each kind; the paper has 5", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

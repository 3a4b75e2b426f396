"""Lemma A.1 of Li, Ma and Zhang: where to cut rank-one measurements, and how many it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank import _checks
from leanrank.research.experiments._experiment import (
    Experiment,
    Parameter,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.theory import (
    largest_truncated_deviation,
    rank_one_sample_size,
    truncation_bias,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["experiment"]

_RADII = {
    "printed": "R = log(1/delta)",
    "proof": "R = log(1/delta)^2",
    "none": "no truncation",
}


def _radius(kind: str, delta: float) -> float:
    power = {"printed": 1, "proof": 2}
    return math.log(1.0 / delta) ** power[kind] if kind in power else math.inf


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Every number of samples of every size, with all radii on the same samples."""
    _checks.real_number(p["delta"], "delta", most=0.01)
    return [
        {"d": d, "samples": n, "delta": p["delta"], "restarts": p["restarts"], "stream": i}
        for i in range(p["seeds"])
        for d in p["sizes"]
        for n in p["samples"]
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """The largest deviation that was found at each radius."""
    x = rng.standard_normal((t["samples"] * t["d"], t["d"]))
    search = {"restarts": t["restarts"], "random_state": rng}
    return {
        kind: largest_truncated_deviation(x, _radius(kind, t["delta"]), **search) for kind in _RADII
    }


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether deviations come down to delta, and from how many samples on."""
    delta, samples = p["delta"], np.array(p["samples"], dtype=float)
    bias = {kind: truncation_bias(_radius(kind, delta)) for kind in _RADII}
    axes = {"d": p["sizes"], "samples": p["samples"]}
    found = {kind: results.grid(kind, np.median, **axes) for kind in _RADII}
    excess = found["proof"] * np.sqrt(samples)
    asked = {d: rank_one_sample_size(d, delta) / d for d in p["sizes"]}
    numbers = {
        "delta": delta,
        "radius": {kind: _radius(kind, delta) for kind in _RADII},
        "bias": bias,
        "samples_over_d": samples,
        "deviation": found,
        "samples_asked_over_d": asked,
    }
    measured = (
        f"at delta = {delta:g} truncation takes away {bias['printed']:.3g} in expectation with "
        f"the printed R = log(1/delta), {bias['proof']:.2g} with its square, which the proof "
        f"has; with {samples[-1]:g} d samples the deviation is "
        + ", ".join(f"{found[kind][:, -1].max():.2g} ({words})" for kind, words in _RADII.items())
        + f"; at the proof's radius it goes like {excess.min():.2g} to {excess.max():.2g} "
        f"sqrt(d / m), while the lemma with constant 1 asks for {asked[p['sizes'][0]]:.1g} d "
        "samples"
    )
    if bias["printed"] <= delta:
        return Verdict(Status.HOLDS, measured, numbers=numbers)
    condition = "R = log(1/delta)^2, as in the proof: with the printed R no m is enough"
    return Verdict(Status.HOLDS_WITH, measured, condition, numbers)


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Deviations over the number of samples, and the bias of truncation over delta."""
    from leanrank.research.experiments import _drawing as look

    figure, (left, right) = look.panels(
        2, "Lemma A.1: the largest deviation of truncated rank-one measurements", width=5.0
    )
    styles = {"printed": ("-", "o"), "proof": ("--", "s"), "none": (":", "^")}
    samples = np.array(p["samples"], dtype=float)
    for colour, d in zip(cycle(look.COLOURS), p["sizes"], strict=False):
        for kind, (line, marker) in styles.items():
            values = results.grid(kind, np.median, d=(d,), samples=p["samples"])[0]
            # With the printed radius all sizes end at one value: none hides another.
            size = 7 if d == p["sizes"][0] else 4
            style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": size}
            left.plot(samples, values, line, label=f"d = {d}, {_RADII[kind]}", **style)
    left.axhline(p["delta"], color=look.INK, linewidth=0.8)
    left.set(xscale="log", yscale="log", xlabel="m / d")
    left.set_ylim(bottom=p["delta"] / 30)
    look.heading(left, f"found, for delta = {p['delta']:g} (line)")
    look.legend(left, fontsize=7, loc="lower left", ncols=len(p["sizes"]))
    deltas = np.geomspace(1e-8, 0.1, 80)
    for colour, kind in zip(look.COLOURS, ("printed", "proof"), strict=False):
        bias = [truncation_bias(_radius(kind, x)) for x in deltas]
        right.plot(deltas, bias, color=colour, label=_RADII[kind])
    right.plot(deltas, deltas, color=look.INK, linewidth=0.8, label="delta")
    right.set(xscale="log", yscale="log", xlabel="delta", ylim=(1e-12, None))
    look.heading(right, "what truncation takes away in expectation")
    look.legend(right)
    return figure


experiment = Experiment(
    name="implicit-lemma-a1",
    title="Truncated rank-one measurements",
    reference="Li, Ma and Zhang (2018), Lemma A.1",
    claim="Cut at R = log(1/delta), about d log^4(d / (q delta)) / delta^2 samples see every X of "
    "nuclear norm 1 as 2 X + tr(X) I, up to delta in operator norm.",
    criterion="HOLDS if what truncation takes away in expectation is at most delta: more than that "
    "no number of samples makes up for.",
    parameters={
        "sizes": Parameter((5, 10), (4,), "d", least=2),
        "samples": Parameter(
            (30, 300, 3000, 30000, 100000), (30, 1000, 30000), "samples over d", least=1
        ),
        "delta": Parameter(0.01, None, "accuracy", above=0),
        "restarts": Parameter(2, None, "of the search for the worst X", least=1),
        "seeds": Parameter(3, 1, "sets of samples", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
)

r"""Theorem 3.2 of Wang and Jacot beyond 2 x 2: SGD goes down the ranks, one at a time.

The 2 x 2 problem made larger: :math:`A_{ij} = \epsilon^{i - j}` is observed on the diagonal and
below, which a matrix of rank one can fit. What the ridge alone takes is seen from descent on all
entries from the same starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leanrank.research.deep import Phase, annealing, train
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

_WARM_UP = 1000
_RECORDED = 100
_SETTLING = 3000
"""Steps from a jump on in which singular values may still be on their way to rounding."""
_NONE_BACK = 1e-6
_MOST = 0.8
_QUIET_RATE, _TIMES = 0.1, 30.0
"""Learning rate without noise, and for how long, in units of 1 / ridge."""
_DRAWN = 400
"""Records that are kept for the figure."""


def trials(p: Mapping[str, Any]) -> list[Trial]:
    """Ten runs each, for every size."""
    names = ("epsilon", "depth", "width", "steps", "learning_rate", "ridge")
    return [
        {"size": n, "first": i * _deep.CHUNK, "count": count, **{k: p[k] for k in names}}
        for n in p["sizes"]
        for i, count in enumerate(_deep.chunks(p["runs"]))
    ]


def run_trial(t: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """When each rank is reached, whether it is left, and the rank without noise."""
    n = t["size"]
    problem = _deep.observed(t["epsilon"], n)
    nets = _deep.starts(t["count"], t["depth"], t["width"], rng, size=n)
    schedule = annealing(
        t["steps"],
        0,
        learning_rate=t["learning_rate"],
        ridge=t["ridge"],
        warm_up_steps=_WARM_UP,
    )
    options: dict[str, Any] = {"every": _RECORDED, "threads": 1, "random_state": rng}
    training = train(problem, nets, schedule, **options)
    quiet = Phase(round(_TIMES / (_QUIET_RATE * t["ridge"])), _QUIET_RATE, t["ridge"])
    options["every"] = quiet.steps
    alone = train(problem, nets, [quiet], batch_size=None, **options)
    chosen = np.unique(np.geomspace(1, training.steps.size, _DRAWN).astype(int)) - 1
    ranks = range(1, n)
    return {
        "jumps": np.array([training.jumps(r) for r in ranks]),
        "back": np.array([training.largest_after_jump(r, settling=_SETTLING) for r in ranks]),
        "alone": _rank(alone.singular_values[-1]),
        "last": _rank(training.singular_values[-1]),
        "diverged": _deep.diverged(training),
        "steps": training.steps[chosen],
        "ranks": _rank(training.singular_values[chosen]),
        "values": training.singular_values[chosen],
    }


def _rank(singular_values: np.ndarray) -> np.ndarray:
    """Those above a millionth of one, as the diagonal has; -1 where the run was at its end."""
    rank = np.sum(singular_values > _NONE_BACK, axis=-1)
    return np.where(np.isnan(singular_values[..., 0]), -1, rank)


def judge(p: Mapping[str, Any], results: Results) -> Verdict:
    """Whether runs go below the rank that the ridge alone leaves, rank by rank, and never back."""
    numbers: dict[str, Any] = {}
    parts = []
    holds, steps, drops = True, 0, 0
    for n in p["sizes"]:
        rows = results.where(size=n)
        jumps, back = (_deep.joined(rows, name, axis=1) for name in ("jumps", "back"))
        alone, last, lost = (_deep.joined(rows, name) for name in ("alone", "last", "diverged"))
        runs = lost.size
        words = []
        for r in range(n - 1, 0, -1):
            times = jumps[r - 1, ~lost]
            # Until it is at rank r + 1 a run does not wait for rank r.
            since = jumps[r, ~lost] if r < n - 1 else np.full(times.size, _WARM_UP)
            both = (times > since) & (since >= 0)
            waits = (times - since)[both]
            reached = int(np.sum(times >= 0))
            numbers |= {
                f"reached_{r}_of_{n}": reached,
                f"median_wait_{r}_of_{n}": _deep.median(waits),
            }
            words.append(f"{r} by {reached} of {runs}, the median {_deep.median(waits):.0f} later")
            steps += int(np.sum(both))
            if r < n - 1:
                drops += int(np.sum((times >= 0) & (times <= since)))
        largest = float(np.fmax.reduce(np.ravel(back[:, ~lost]), initial=np.nan))
        below = int(np.sum((last < alone) & ~lost))
        underestimating = int(np.sum((last == 0) & ~lost))
        numbers |= {
            f"largest_ratio_after_{n}": largest,
            f"rank_without_noise_{n}": np.bincount(alone, minlength=n + 1),
            f"rank_at_the_end_{n}": np.bincount(last[~lost], minlength=n + 1),
            f"diverged_{n}": int(lost.sum()),
        }
        parts.append(
            f"{n} x {n}: without noise ranks {_counted(alone)}; with it rank {'; '.join(words)}; "
            f"in the end ranks {_counted(last[~lost])}; s_(r+1) / s_1 after a jump to rank r at "
            f"most {largest:.1e}" + (f"; {lost.sum()} diverge" if lost.any() else "")
        )
        holds &= largest < _NONE_BACK and below >= _MOST * runs
        numbers[f"at_zero_{n}"] = underestimating
    numbers |= {"single_steps": steps, "more_at_once": drops}
    sentence = ". ".join(parts) + f". {drops} of {steps + drops} jumps pass a rank at once"
    holds &= steps >= _MOST * (steps + drops)
    return Verdict(Status.HOLDS if holds else Status.FAILS, sentence, numbers=numbers)


def _counted(ranks: np.ndarray) -> str:
    values, counts = np.unique(ranks, return_counts=True)
    return ", ".join(f"{r} ({c} runs)" for r, c in zip(values[::-1], counts[::-1], strict=True))


def draw(p: Mapping[str, Any], results: Results) -> Figure:
    """Singular values of one run, ranks of all, over steps."""
    from leanrank.research.experiments import _drawing as look

    figure, axes = look.panels(
        2 * len(p["sizes"]),
        "Theorem 3.2: SGD on larger matrices goes down the ranks",
        rows=len(p["sizes"]),
        width=5.4,
        height=3.0,
    )
    for one, every, n in zip(axes[::2], axes[1::2], p["sizes"], strict=True):
        rows = results.where(size=n)
        first = next(iter(rows))
        steps = np.maximum(first["steps"], 1)
        # The run of the first ten that is in the middle by its last jump.
        run = int(
            np.argsort(np.where(first["jumps"][0] < 0, np.inf, first["jumps"][0]))[
                first["jumps"].shape[1] // 2
            ]
        )
        for r in range(n):
            one.plot(
                steps,
                np.maximum(first["values"][:, run, r], 1e-18),
                color=look.COLOURS[r],
                lw=1,
                label=f"$s_{r + 1}$",
            )
        one.set(xscale="log", yscale="log", ylim=(5e-19, 30), ylabel="singular values")
        look.heading(one, f"{n} x {n}: one run")
        look.legend(one, loc="lower left")
        ranks = _deep.joined(rows, "ranks", axis=1)
        for r in range(n + 1):
            every.plot(steps, np.mean(ranks == r, axis=1), color=look.COLOURS[r], label=f"rank {r}")
        every.set(xscale="log", ylim=(-0.03, 1.05), ylabel="share of runs")
        look.heading(every, f"{n} x {n}: {ranks.shape[1]} runs")
        look.legend(every, loc="center left")
        for ax in (one, every):
            ax.set(xlabel="SGD steps", xlim=(_RECORDED, None))
    return figure


experiment = Experiment(
    name="deep-ranks",
    title="Jumps from rank r to r - 1 on larger matrices",
    reference="Wang and Jacot (2024), Theorem 3.2 and Section 1",
    claim="SGD jumps from every rank to lower ones, until rank one, and never to higher ones.",
    criterion=f"HOLDS if at least {_MOST:.0%} of the runs end below the rank that descent on all "
    f"entries under the same ridge comes to, at least {_MOST:.0%} of all jumps pass no rank, "
    f"and no singular value that was lost comes back to {_NONE_BACK:g} of the first.",
    parameters={
        "epsilon": Parameter(0.25, None, "below the diagonal", above=0),
        "sizes": Parameter((3, 4), None, "of the matrix", least=3),
        "depth": Parameter(3, None, "layers", least=3),
        "width": Parameter(20, 8, "of the hidden layers", least=4),
        "steps": Parameter(400_000, 100_000, "steps under noise", least=10_000),
        "learning_rate": Parameter(0.4, None, "under noise", above=0),
        "ridge": Parameter(0.03, None, "all along", above=0),
        "runs": Parameter(40, 10, "networks of each size", least=1),
    },
    trials=trials,
    run_trial=run_trial,
    judge=judge,
    draw=draw,
    tolerances={
        "largest_ratio_after_*": Tolerance(1e-10),
        "reached_*": Tolerance(4.0),
        "rank_at_the_end_*": Tolerance(6.0),
        "at_zero_*": Tolerance(4.0),
        "single_steps": Tolerance(10.0),
        "more_at_once": Tolerance(4.0),
        "median_wait_*": Tolerance(1e-6, 0.8),
        "diverged_*": Tolerance(2.0),
        "rank_without_noise_*": Tolerance(2.0),
    },
)

"""Does leanrank ever claim success while it is wrong? A thousand small random problems.

Easy ones, and hopeless ones: too few measurements, noise only, ill-conditioned, extreme scale,
observed entries that fall apart into blocks or hang together by few, rows with fewer entries than
the rank, holes, factors with heavy tails, columns in units of their own, indefinite matrices.

A claim is a status CONVERGED or a certificate that holds. It is wrong

- without noise, if the relative error is above 1e-6;
- with noise, if the relative error is above 0.5, or above five times the certificate's own
  ``error_estimate`` (plus 1e-6);
- in both cases, if the relative error on the entries that were not observed, or on those of a
  hole, is above five times the certificate's own ``filled_error`` (plus 1e-6), where it has one.

APPROXIMATE is a claim of its own, that unseen entries are predicted better than by nothing. It is
wrong if their relative error is one or more.

The number of wrong claims and predictions must be zero: the exit status is 1 if it is not. Left out
is what no method can tell from the measurements: a matrix with a spike exactly where nobody looked.

Refusals are counted, too: of the noisy problems that were answered within 1.1 times the error of an
oracle (least squares at the true rank, from the truth), how many were not certified, and how many
of those have more than three times as many measurements as degrees of freedom. A refusal is right
where the answer is off by more than a certificate allows, whether or not anything better could be
had: by a tenth, or on entries that were not observed by a fifth. The others are to be at most a
tenth of what could be certified, beyond three times the degrees of freedom.

``--bridges`` looks at error estimates where one flat direction outweighs all others. An estimate
is the root of an expected square: the error of one answer can be far smaller by luck, and is to be
at most three times it. What an estimate must not exceed by more than three times is the larger one
of that error and of the root mean square of refits to fresh noise, from the truth.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from honesty_problems import Trial, make_trial
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

import leanrank as lr

WRONG_NOISELESS = 1e-6
WRONG_NOISY = 0.5
ESTIMATE_MARGIN = 5.0
AS_GOOD = 1.1
"""Times the oracle's error within which an answer ought to be certified."""
WITHIN = 3.0
"""Factor that errors and their estimates may differ by."""
DETERMINED = 1e-7
"""Identifiability from which an error estimate means something."""
PLENTY = 3.0
"""Times the degrees of freedom from which measurements ought to be enough for that."""


@dataclass(frozen=True)
class Verdict:
    """What became of a trial: ``outcome`` is one of OUTCOMES.

    ``filled`` is the relative error on what was not observed, ``oracle`` that of least squares at
    the true rank, ``excess`` the number of measurements over the true degrees of freedom, and
    ``numbers`` the certificate.
    """

    seed: int
    operator: str
    difficulty: str
    outcome: str
    status: str = ""
    true_rank: int = 0
    rank: int = -1
    error: float = float("nan")
    estimate: float = float("nan")
    filled: float = float("nan")
    oracle: float = float("nan")
    excess: float = float("nan")
    numbers: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    note: str = ""
    warned: str = ""


OUTCOMES = {
    "true claim": "green",
    "WRONG CLAIM": "bold red",
    "predicts": "green",
    "WRONG PREDICTION": "bold red",
    "right, unclaimed": "yellow",
    "wrong, unclaimed": "cyan",
    "refused": "blue",
    "CRASH": "bold red",
}
_FORBIDDEN = ("WRONG CLAIM", "WRONG PREDICTION", "CRASH")


def relative_error(factors: lr.Factors, trial: Trial) -> float:
    """Relative Frobenius error, safe at scales whose squares are not numbers."""
    found = factors.scaled(1.0 / trial.scale)
    size = trial.truth.norm()
    error = found.distance(trial.truth) if factors.width or trial.truth.width else 0.0
    return error / size if size > 0 else (0.0 if error == 0.0 else float("inf"))


def filled_error(factors: lr.Factors, trial: Trial) -> float:
    """Relative error on the entries that were not observed, or on a hole if that is larger."""
    if not isinstance(trial.op, lr.operators.ObservedEntries) or trial.scale != 1.0:
        return 0.0
    truth = trial.truth.to_dense()
    miss = np.zeros_like(truth) if factors.width == 0 else factors.to_dense()
    miss = miss - truth
    hidden = np.ones(trial.op.shape, dtype=bool)
    hidden[trial.op.rows, trial.op.cols] = False
    parts = [hidden] if trial.hole is None else [hidden, trial.hole]
    sizes = [np.linalg.norm(truth[part]) for part in parts]
    errors = [np.linalg.norm(miss[part]) for part in parts]
    return float(max(e / s if s > 0 else 0.0 for e, s in zip(errors, sizes, strict=True)))


def oracle_error(trial: Trial) -> float:
    """Relative error of least squares at the true rank, started from the truth."""
    truth = trial.truth
    if not trial.noisy or not 0 < truth.width < min(truth.shape) / 2:
        return float("nan")
    problem = lr.Problem(trial.op, trial.y / trial.scale)
    result = lr.solvers.solve(lr.solvers.GaussNewton(), problem, truth, tol=1e-8, max_iter=100)
    return result.factors.distance(truth) / truth.norm()


def is_right(error: float, filled: float, certificate: lr.Certificate | None, trial: Trial) -> bool:
    """Whether an answer is what a claim would say that it is."""
    if certificate is None:
        return error <= WRONG_NOISELESS
    most = WRONG_NOISELESS
    if trial.noisy:
        most = min(WRONG_NOISY, ESTIMATE_MARGIN * certificate.error_estimate + WRONG_NOISELESS)
    claimed = getattr(certificate, "filled_error", None)
    if claimed is None:
        return error <= most
    return error <= most and filled <= ESTIMATE_MARGIN * claimed + WRONG_NOISELESS


def judge(seed: int) -> Verdict:
    """Run one trial and compare what is claimed with what is true."""
    trial = make_trial(seed)
    where = (seed, trial.operator, trial.difficulty)
    start = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = lr.recover(trial.op, trial.y, symmetric=trial.symmetric, random_state=seed)
        except (ValueError, TypeError) as error:
            return Verdict(*where, "refused", note=str(error))
        except Exception:
            return Verdict(*where, "CRASH", note=traceback.format_exc(limit=-3))
    seconds = time.process_time() - start
    certificate = result.certificate
    error, filled = relative_error(result.factors, trial), filled_error(result.factors, trial)
    right = is_right(error, filled, certificate, trial)
    holds = certificate is not None and certificate.holds
    if result.status is lr.Status.APPROXIMATE and not holds:
        outcome = "predicts" if filled < 1.0 else "WRONG PREDICTION"
    elif holds or result.status is lr.Status.CONVERGED:
        outcome = "true claim" if right else "WRONG CLAIM"
    else:
        outcome = "right, unclaimed" if right else "wrong, unclaimed"
    return Verdict(
        *where,
        outcome,
        status=result.status.name,
        true_rank=trial.truth.width,
        rank=result.rank,
        error=error,
        estimate=certificate.error_estimate if certificate is not None else float("inf"),
        filled=filled,
        oracle=oracle_error(trial),
        excess=trial.op.size / max(trial.truth.degrees_of_freedom(), 1),
        numbers=asdict(certificate) if certificate is not None else {},
        seconds=seconds,
        note=result.message,
        warned="; ".join(sorted({str(w.message) for w in caught})),
    )


def bridges(seeds: list[int], refits: int = 20) -> Table:
    """Tabulate errors over their estimates in blocks that hang together by few entries.

    Of the answers of the right rank that the entries determine: the error itself, which can be
    small by luck, and the root mean square of the errors of refits to other draws of the noise.
    """
    errors, typical, refused, loose = [], [], 0, 0
    for seed in seeds:
        trial = make_trial(seed, "entries", "bridged")
        result = lr.recover(trial.op, trial.y, random_state=seed)
        c = result.certificate
        if result.rank != trial.truth.width or c is None:
            continue
        if c.identifiability < DETERMINED:
            loose += 1
            continue
        estimate = c.error_estimate
        errors.append(relative_error(result.factors, trial) / estimate)
        typical.append(_typical_error(trial, seed, refits) / estimate)
        refused += result.status is not lr.Status.CONVERGED
        if errors[-1] > WITHIN or max(errors[-1], typical[-1]) < 1 / WITHIN:
            print(f"seed {seed}: error {errors[-1]:.2f}, refits {typical[-1]:.2f} estimates; {c!r}")
    right = len(errors) + loose
    table = Table(
        title=f"Bridged blocks: right rank {right} of {len(seeds)}, undetermined {loose}; "
        f"not certified {refused} of {len(errors)}"
    )
    names = (
        "error / estimate",
        "least",
        "10 %",
        "median",
        "90 %",
        "largest",
        f"beyond {WITHIN:g}",
        f"below 1/{WITHIN:g}",
    )
    for name in names:
        table.add_column(name, justify="left" if name == names[0] else "right")
    larger = [max(pair) for pair in zip(errors, typical, strict=True)]
    kinds = {"of the answer": errors, "root mean square of refits": typical, "the larger": larger}
    for name, ratios in kinds.items():
        q = np.quantile(ratios, [0.0, 0.1, 0.5, 0.9, 1.0])
        beyond, below = sum(np.array(ratios) > WITHIN), sum(np.array(ratios) < 1 / WITHIN)
        table.add_row(name, *(f"{v:.2f}" for v in q), str(beyond), str(below))
    return table


def _typical_error(trial: Trial, seed: int, refits: int) -> float:
    """Root mean square error of refits to fresh noise of the true size, from the truth."""
    rng = np.random.default_rng([seed, 1])
    clean = trial.op.forward(trial.truth)
    noise = float(np.sqrt(np.mean((trial.y - clean) ** 2)))
    squares = []
    for _ in range(refits):
        problem = lr.Problem(trial.op, clean + noise * rng.standard_normal(clean.size))
        fit = lr.solvers.solve(lr.solvers.GaussNewton(), problem, trial.truth, tol=1e-8)
        squares.append(fit.factors.distance(trial.truth) ** 2)
    return float(np.sqrt(np.mean(squares))) / trial.truth.norm()


def _one_thread() -> None:
    threadpool_limits(1)


def verdicts(seeds: list[int], jobs: int) -> Iterator[Verdict]:
    """Judge all seeds, in this process or in several."""
    if jobs == 1:
        with threadpool_limits(1):
            yield from map(judge, seeds)
        return
    with ProcessPoolExecutor(jobs, initializer=_one_thread) as pool:
        yield from pool.map(judge, seeds, chunksize=8)


def confusion(
    found: list[Verdict], title: str, key: Callable[[Verdict], tuple[str, ...]], names: list[str]
) -> Table:
    """Tabulate the counts of every outcome, one line per value of ``key``."""
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name)
    for outcome, style in OUTCOMES.items():
        table.add_column(outcome, justify="right", style=style)
    table.add_column("CPU s, median", justify="right")
    table.add_column("max", justify="right")
    groups: dict[tuple[str, ...], list[Verdict]] = {}
    for verdict in found:
        groups.setdefault(key(verdict), []).append(verdict)
    for group in sorted(groups):
        members = groups[group]
        counts = [sum(v.outcome == outcome for v in members) for outcome in OUTCOMES]
        seconds = [v.seconds for v in members]
        table.add_row(
            *group,
            *(str(c) if c else "." for c in counts),
            f"{np.median(seconds):.3f}",
            f"{max(seconds):.2f}",
        )
    return table


def refusals(found: list[Verdict]) -> Table:
    """Tabulate how often answers as good as the oracle's were not certified, noise given."""
    table = Table(title="Noisy, answered as well as the oracle", title_justify="left")
    counts = ("answered", "refused", "rightly", "wrongly")
    for name in ("difficulty", *counts, f"beyond {PLENTY:g} dof", *counts[1:], "share"):
        table.add_column(name, justify="left" if name == "difficulty" else "right")
    good = [v for v in found if v.oracle > WRONG_NOISELESS and v.error <= AS_GOOD * v.oracle]
    for name in [*sorted({v.difficulty for v in good}), "all"]:
        members = [v for v in good if name in ("all", v.difficulty)]
        cells = []
        for some in (members, [v for v in members if v.excess > PLENTY]):
            refused = [v for v in some if v.status != "CONVERGED"]
            rightly = sum(map(is_too_far_off, refused))
            wrongly = len(refused) - rightly
            cells += [len(some), len(refused), rightly, wrongly]
        share = wrongly / max(len(some) - rightly, 1)
        table.add_row(name, *map(str, cells), f"{share:.0%}")
    return table


def is_too_far_off(verdict: Verdict) -> bool:
    """Whether an answer is off by more than a certificate allows."""
    limits = lr.policy.EvidencePolicy()
    return verdict.error > limits.largest_error or verdict.filled > limits.largest_filled_error


def list_offenders(console: Console, found: list[Verdict], limit: int) -> None:
    """Print the seeds behind wrong claims, crashes and warnings."""
    for outcome in _FORBIDDEN:
        members = [v for v in found if v.outcome == outcome]
        if not members:
            continue
        console.print(
            f"\n[bold red]{outcome}[/]: {len(members)}, seeds {[v.seed for v in members]}"
        )
        for v in members[:limit]:
            console.print(
                f"  seed {v.seed} {v.operator}/{v.difficulty}: {v.status} rank {v.rank} of "
                f"{v.true_rank}, error {v.error:.1e}, estimate {v.estimate:.1e}; {v.note}",
                markup=False,
                highlight=False,
            )
    warned = [v for v in found if v.warned]
    if warned:
        console.print(f"\nWarnings raised: {len(warned)}, seeds {[v.seed for v in warned]}")
        for text in sorted({v.warned for v in warned})[:limit]:
            console.print(f"  {text}", markup=False, highlight=False)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--seed", type=int, nargs="*", help="only these seeds, with their verdicts")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--list", type=int, default=40, help="offenders to describe")
    parser.add_argument("--json", metavar="FILE", help="write all verdicts")
    parser.add_argument("--bridges", type=int, metavar="N", help="only N bridged problems")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 150)
    if options.bridges:
        with threadpool_limits(1):
            console.print(bridges(list(range(options.first, options.first + options.bridges))))
        return 0
    seeds = options.seed or list(range(options.first, options.first + options.trials))
    start = time.perf_counter()
    found = list(verdicts(seeds, options.jobs))
    elapsed = time.perf_counter() - start
    if options.seed:
        for verdict in found:
            console.print(asdict(verdict))
    console.print(
        confusion(found, "By difficulty", lambda v: (v.difficulty,), ["difficulty"]),
        confusion(found, "By operator", lambda v: (v.operator,), ["operator"]),
    )
    list_offenders(console, found, options.list)
    console.print(refusals(found))
    counts = {each: sum(v.outcome == each for v in found) for each in _FORBIDDEN}
    shown = ", ".join(f"{name} {count}" for name, count in counts.items())
    console.print(f"\n{len(found)} problems in {elapsed:.0f} s: {shown}")
    if options.json:
        text = json.dumps([asdict(v) for v in found], indent=1)
        Path(options.json).write_text(text, encoding="utf-8")
    return int(any(counts.values()))


if __name__ == "__main__":
    sys.exit(main())

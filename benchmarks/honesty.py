"""Does leanrank ever claim success while it is wrong? A thousand small random problems.

Easy ones, and hopeless ones: too few measurements, noise only, ill-conditioned, extreme scale,
observed entries that fall apart into blocks, rows with fewer entries than the rank. A claim is a
status CONVERGED or a certificate that holds. It is wrong

- without noise, if the relative error is above 1e-6;
- with noise, if the relative error is above 0.5, or above five times the certificate's own
  ``error_estimate`` (plus 1e-6).

The number of wrong claims must be zero: the exit status is 1 if it is not. Left out is what
no method can tell from the measurements: a matrix with a spike exactly where nobody looked.
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
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

import leanrank as lr

OPERATORS = (
    "dense",
    "dense-symmetric",
    "entries",
    "entries-symmetric",
    "rank-one",
    "rank-one-symmetric",
    "full",
)
COMMON = (
    "easy",
    "ill-conditioned",
    "noisy",
    "buried",
    "noise-only",
    "full-rank",
    "tiny",
    "huge",
    "zero",
    "outliers",
)
SAMPLED = (*COMMON, "few", "borderline")
SCALED = (*SAMPLED, "operator-tiny", "operator-huge")
PATTERNS = (*SAMPLED, "disconnected", "starved-rows", "duplicates")
DIFFICULTIES = {
    "dense": SCALED,
    "dense-symmetric": (*SCALED, "indefinite"),
    "entries": PATTERNS,
    "entries-symmetric": (*PATTERNS, "indefinite"),
    "rank-one": SCALED,
    "rank-one-symmetric": (*SCALED, "indefinite"),
    "full": COMMON,
}
NOISY = {"noisy", "buried", "noise-only", "outliers"}
WRONG_NOISELESS = 1e-6
WRONG_NOISY = 0.5
ESTIMATE_MARGIN = 5.0


@dataclass(frozen=True)
class Trial:
    """One random problem; ``scale`` is the size of the truth, taken out before comparing."""

    seed: int
    operator: str
    difficulty: str
    op: lr.operators.Measurement
    y: np.ndarray
    truth: lr.Factors
    symmetric: bool
    scale: float

    @property
    def noisy(self) -> bool:
        """Whether an exact answer is out of reach."""
        return self.difficulty in NOISY


@dataclass(frozen=True)
class Verdict:
    """What became of a trial: ``outcome`` is one of OUTCOMES."""

    seed: int
    operator: str
    difficulty: str
    outcome: str
    status: str = ""
    true_rank: int = 0
    rank: int = -1
    error: float = float("nan")
    estimate: float = float("nan")
    seconds: float = 0.0
    note: str = ""
    warned: str = ""


OUTCOMES = {
    "true claim": "green",
    "WRONG CLAIM": "bold red",
    "right, unclaimed": "yellow",
    "wrong, unclaimed": "cyan",
    "refused": "blue",
    "CRASH": "bold red",
}


def make_trial(seed: int) -> Trial:
    """Draw the problem of a seed: operators and difficulties in turn, everything else at random."""
    operator = OPERATORS[seed % len(OPERATORS)]
    choices = DIFFICULTIES[operator]
    difficulty = choices[seed // len(OPERATORS) % len(choices)]
    rng = np.random.default_rng([20240229, seed])
    symmetric = operator.endswith("symmetric")
    n1 = int(rng.integers(6, 26))
    n2 = n1 if symmetric else int(rng.integers(6, 26))
    truth = _truth(rng, difficulty, (n1, n2), symmetric)
    dof = lr.factors.degrees_of_freedom((n1, n2), max(truth.width, 1), symmetric)
    op = _operator(rng, operator, difficulty, (n1, n2), _size(rng, operator, difficulty, dof))
    scale = {"tiny": 1e-150, "huge": 1e150}.get(difficulty, 1.0)
    clean = op.forward(truth)
    y = (clean + _noise(rng, difficulty, clean, op)) * scale
    return Trial(seed, operator, difficulty, op, y, truth, symmetric, scale)


def _truth(
    rng: np.random.Generator, difficulty: str, shape: tuple[int, int], symmetric: bool
) -> lr.Factors:
    n1, n2 = shape
    rank = int(rng.integers(1, max(2, min(shape) // 4) + 1))
    if difficulty in ("zero", "noise-only"):
        return lr.Factors.empty(shape, symmetric)
    if difficulty == "full-rank":
        rank = min(shape)
    kappa = 10.0 ** rng.uniform(0.0, 1.0)
    if difficulty == "ill-conditioned":
        rank, kappa = max(rank, 2), 10.0 ** rng.uniform(2.0, 14.0)
    s = np.geomspace(1.0, 1.0 / kappa, rank) if rank > 1 else np.ones(1)
    s *= np.sqrt(n1 * n2) / np.linalg.norm(s)
    P = np.linalg.qr(rng.standard_normal((n1, rank)))[0] * np.sqrt(s)
    if difficulty == "indefinite":
        signs = np.where(np.arange(rank) == rng.integers(rank), -1.0, 1.0)
        return lr.Factors(P, P * signs)
    if symmetric:
        return lr.Factors(P)
    return lr.Factors(P, np.linalg.qr(rng.standard_normal((n2, rank)))[0] * np.sqrt(s))


def _size(rng: np.random.Generator, operator: str, difficulty: str, dof: int) -> int:
    """Choose the number of measurements for so many degrees of freedom."""
    if difficulty == "few":
        return max(1, int(dof * rng.uniform(0.2, 0.99)))
    if difficulty == "borderline":
        return int(np.ceil(dof * rng.uniform(1.0, 1.6)))
    if difficulty == "full-rank":
        return max(4, int(dof * rng.uniform(0.3, 0.95)))
    low, high = (4.0, 8.0) if operator.startswith("rank-one") else (2.5, 6.0)
    return int(dof * rng.uniform(low, high))


def _operator(
    rng: np.random.Generator, operator: str, difficulty: str, shape: tuple[int, int], size: int
) -> lr.operators.Measurement:
    n1, n2 = shape
    gain = {"operator-tiny": 1e-100, "operator-huge": 1e100}.get(difficulty, 1.0)
    if operator.startswith("dense"):
        A = rng.standard_normal((size, n1, n2)) * gain
        return lr.operators.DenseSensing(A, symmetric=operator == "dense-symmetric")
    if operator.startswith("rank-one"):
        x = rng.standard_normal((size, n1)) * gain**0.5
        z = None if operator == "rank-one-symmetric" else rng.standard_normal((size, n2))
        return lr.operators.RankOneSensing(x, None if z is None else z * gain**0.5)
    if operator == "full":
        return lr.operators.FullObservation(shape)
    rows, cols = _pattern(rng, difficulty, shape, size)
    return lr.operators.ObservedEntries(rows, cols, shape)


def _pattern(
    rng: np.random.Generator, difficulty: str, shape: tuple[int, int], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Observed positions, uniform but for what the difficulty asks."""
    n1, n2 = shape
    allowed = np.ones(shape, dtype=bool)
    if difficulty == "disconnected":
        i, j = int(rng.integers(2, n1 - 1)), int(rng.integers(2, n2 - 1))
        allowed[:i, j:] = allowed[i:, :j] = False
    if difficulty == "starved-rows":
        for i in rng.choice(n1, size=int(rng.integers(1, 3)), replace=False):
            allowed[i] = False
            allowed[i, rng.choice(n2, size=int(rng.integers(0, 2)), replace=False)] = True
        if rng.random() < 0.5:
            allowed[:, rng.integers(n2)] = False
    flat = np.flatnonzero(allowed)
    if difficulty == "disconnected":
        size = flat.size
    chosen = rng.choice(flat, size=min(size, flat.size), replace=False)
    if difficulty == "duplicates":
        chosen = rng.choice(chosen[: max(1, chosen.size // 3)], size=chosen.size)
    return np.divmod(chosen, n2)


def _noise(
    rng: np.random.Generator, difficulty: str, clean: np.ndarray, op: lr.operators.Measurement
) -> np.ndarray:
    level = float(np.sqrt(np.mean(clean**2)))
    draw = rng.standard_normal(clean.shape)
    if difficulty == "noise-only":
        return draw
    if difficulty == "noisy":
        return draw * level * 10.0 ** rng.uniform(-4.0, -0.3)
    if difficulty == "buried":
        return draw * level * 10.0 ** rng.uniform(0.5, 2.0)
    if difficulty == "outliers":
        hit = rng.random(clean.shape) < rng.uniform(0.01, 0.1)
        hit |= _matching(rng, op)
        return draw * hit * level * 10.0 ** rng.uniform(0.0, 2.0)
    return np.zeros_like(clean)


def _matching(rng: np.random.Generator, op: lr.operators.Measurement) -> np.ndarray:
    """One measurement; if they are entries, one in every row or column that can have one.

    A few wrong entries of a matrix that is seen as a whole are a matrix of low rank, too, and
    nobody could tell which of the two is meant.
    """
    hit = np.zeros(op.size, dtype=bool)
    if isinstance(op, lr.operators.ObservedEntries):
        rows, cols = op.rows, op.cols
    elif isinstance(op, lr.operators.FullObservation):
        rows, cols = np.divmod(np.arange(op.size), op.shape[1])
    else:
        hit[rng.integers(op.size)] = True
        return hit
    free_rows, free_cols = np.ones(op.shape[0], dtype=bool), np.ones(op.shape[1], dtype=bool)
    for p in rng.permutation(op.size):
        if free_rows[rows[p]] and free_cols[cols[p]]:
            hit[p], free_rows[rows[p]], free_cols[cols[p]] = True, False, False
    return hit


def relative_error(factors: lr.Factors, trial: Trial) -> float:
    """Relative Frobenius error, safe at scales whose squares are not numbers."""
    found = factors.scaled(1.0 / trial.scale)
    size = trial.truth.norm()
    error = found.distance(trial.truth) if factors.width or trial.truth.width else 0.0
    return error / size if size > 0 else (0.0 if error == 0.0 else float("inf"))


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
    estimate = float("inf") if certificate is None else certificate.error_estimate
    error = relative_error(result.factors, trial)
    right = error <= WRONG_NOISELESS
    if trial.noisy:
        right = error <= WRONG_NOISY and error <= ESTIMATE_MARGIN * estimate + WRONG_NOISELESS
    claims = result.success or (certificate is not None and certificate.holds)
    if claims:
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
        estimate=estimate,
        seconds=seconds,
        note=result.message,
        warned="; ".join(sorted({str(w.message) for w in caught})),
    )


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


def list_offenders(console: Console, found: list[Verdict], limit: int) -> None:
    """Print the seeds behind wrong claims, crashes and warnings."""
    for outcome in ("WRONG CLAIM", "CRASH"):
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
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 150)
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
    wrong = sum(v.outcome == "WRONG CLAIM" for v in found)
    crashed = sum(v.outcome == "CRASH" for v in found)
    console.print(
        f"\n{len(found)} problems in {elapsed:.0f} s: wrong claims {wrong}, crashes {crashed}"
    )
    if options.json:
        text = json.dumps([asdict(v) for v in found], indent=1)
        Path(options.json).write_text(text, encoding="utf-8")
    return int(wrong + crashed > 0)


if __name__ == "__main__":
    sys.exit(main())

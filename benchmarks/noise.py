"""Noise: the error of what is predicted, and whether intervals cover, beside peers in one run.

    python benchmarks/noise.py                          # every section, some minutes on one core
    python benchmarks/noise.py small ratings --seeds 3 --first 100
    python benchmarks/noise.py large photos --full

Peers know more than leanrank, which is told nothing: least squares the rank and a start at the
truth, soft-impute a threshold (and what intercepts are shrunk by) that held-out entries chose.
``myfm`` (Gibbs sampling) takes part in the ratings where it is installed.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import noise_peers as peers
import numpy as np
from rich.console import Console
from rich.table import Table
from sections import print_sections
from sklearn.datasets import load_sample_image

from leanrank import posterior, recover, simulate
from leanrank.operators import ObservedEntries
from leanrank.problem import Problem
from leanrank.solvers import GaussNewton, solve

SHAPE, RANK = (200, 150), 3
CONSOLE = Console(width=None if sys.stdout.isatty() else 150)


def table(title: str, *columns: str) -> Table:
    """A table whose first column is text."""
    out = Table(title=title, title_justify="left")
    for i, name in enumerate(columns):
        out.add_column(name, justify="right" if i else "left")
    return out


def clocked(work: Callable[[], object]) -> tuple[object, float]:
    """What it returns, and CPU seconds."""
    begun = time.process_time()
    return work(), time.process_time() - begun


def noisy(
    seed: int, rho: float, noise: float, skew: float = 0.0
) -> tuple[simulate.Instance, np.ndarray]:
    """Completion of a matrix of rank 3, and readings; the noise relative to the entries."""
    inst = simulate.matrix_completion(SHAPE, RANK, oversampling=rho, random_state=seed)
    rng = np.random.default_rng([seed, 1])
    X = inst.truth.to_dense()
    op = inst.op
    if skew:
        # As many entries, where rows and columns differ in how often they are met.
        chance = np.outer(*(rng.lognormal(0.0, skew, n) for n in SHAPE)).ravel()
        found = rng.choice(X.size, op.size, replace=False, p=chance / chance.sum())
        op = ObservedEntries(*np.unravel_index(found, SHAPE), SHAPE)
    y = X[op.rows, op.cols]
    return simulate.Instance(op, y, inst.truth, 0.0), y + noise * np.std(y) * rng.standard_normal(
        y.size
    )


def span(seeds: range) -> str:
    """Which seeds they are."""
    return f"seeds {seeds.start} to {seeds.stop - 1}"


def peak() -> float:
    """MiB that were resident at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def relative_error(X: np.ndarray, truth: np.ndarray) -> float:
    """In Frobenius norm."""
    return float(np.linalg.norm(X - truth) / np.linalg.norm(truth))


def small(seeds: range, full: bool) -> None:
    """200 x 150 of rank 3, from much noise to none, against least squares told the rank."""
    del full
    out = table(
        f"200 x 150, rank 3, {span(seeds)}: relative error of X, median",
        "rho", "noise", "told the rank", "recover", "posterior", "recover / told",
        "posterior / told", "largest error", "rank 3", "CPU s: told", "recover", "posterior",
    )  # fmt: skip
    pooled: dict[float, list[list[float]]] = {}
    for rho in (2.0, 3.0, 5.0):
        for noise in (0.0, 0.01, 0.1, 0.3, 0.5, 1.0):
            found, ranks = [], []
            for seed in seeds:
                inst, y = noisy(seed, rho, noise)
                X, problem = inst.truth.to_dense(), Problem(inst.op, y)
                told, a = clocked(
                    lambda p=problem, t=inst.truth: solve(GaussNewton(), p, t, max_iter=100)
                )
                result, b = clocked(lambda p=problem: recover(p.op, p.y))
                post, c = clocked(lambda p=problem, s=seed: posterior(p.op, p.y, random_state=s))
                ranks.append((result.rank, post.rank))
                errors = [
                    relative_error(Z, X)
                    for Z in (told.factors.to_dense(), result.factors.to_dense(), post.to_dense())
                ]
                found.append([*errors, a, b, c])
            pooled.setdefault(rho, []).extend(found)
            x, right = np.array(found), (np.array(ranks) == RANK).sum(axis=0)
            ratio = np.median(x[:, 1:3] / x[:, :1], axis=0)
            out.add_row(
                f"{rho:g}", f"{noise:g}", *(f"{v:.3g}" for v in np.median(x[:, :3], axis=0)),
                *(f"{v:.3f}" for v in ratio), " ".join(f"{v:.2g}" for v in x[:, 1:3].max(axis=0)),
                f"{right[0]}, {right[1]} of {len(x)}",
                *(f"{v:.2f}" for v in x[:, 3:].mean(axis=0)),
            )  # fmt: skip
    CONSOLE.print(out)
    for rho, rows in pooled.items():
        ratio = np.array(rows)
        seen = ratio[:, 0] > 1e-6
        at = np.median(ratio[seen, 1:3] / ratio[seen, :1], axis=0)
        CONSOLE.print(
            f"rho {rho:g}, all noises: recover {at[0]:.3f}, posterior {at[1]:.3f} of told"
        )


def large(seeds: range, full: bool) -> None:
    """20000 x 5000 of rank 10, two million entries, noise .1; and fifty imputations."""
    del full
    out = table(
        "20000 x 5000, rank 10, 2M entries, noise .1",
        "seed", "told the rank", "recover", "posterior", "ranks", "CPU s: told", "recover",
        "posterior", "50 draws over fit", "MiB of recover", "of draws",
    )  # fmt: skip
    for seed in seeds[:1]:
        inst = simulate.matrix_completion((20000, 5000), 10, fraction=0.02, random_state=seed)
        rng = np.random.default_rng([seed, 1])
        y = inst.y + 0.1 * np.std(inst.y) * rng.standard_normal(inst.y.size)
        i, j = rng.integers(20000, size=400_000), rng.integers(5000, size=400_000)
        X = _at(inst.truth, i, j)
        problem = Problem(inst.op, y)
        told, a = clocked(lambda p=problem, t=inst.truth: solve(GaussNewton(), p, t, max_iter=100))
        before = peak()
        result, b = clocked(lambda p=problem: recover(p.op, p.y))
        above = peak() - before
        post, c = clocked(lambda p=problem: posterior(p.op, p.y, draws=50))
        drawn = sum(x.nbytes for x in (post.left, post.right, post.centres)) >> 20
        found = (_at(told.factors, i, j), _at(result.factors, i, j), post.mean(i, j))
        errors = [np.std(Z - X) for Z in found]
        out.add_row(
            str(seed), *(f"{e / np.std(X):.5f}" for e in errors), f"{result.rank}, {post.rank}",
            *(f"{v:.1f}" for v in (a, b, c, c / b)), f"{above:.0f}", f"{drawn:.0f}",
        )  # fmt: skip
    CONSOLE.print(out)


def _at(factors: object, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Entries of a product of factors."""
    return np.einsum("ek,ek->e", factors.U[i], factors.V[j])  # type: ignore[attr-defined]


def rated(seed: int) -> tuple[peers.Data, peers.Data, np.ndarray, tuple[int, int]]:
    """Ratings seen and held out, the expected ratings of those, and the shape.

    Intercepts, ten decaying directions, steps of a half between .5 and 5, and entries where
    popular columns and busy rows meet: 100,000 of 943 x 1682, a fifth of them held out.
    """
    rng, shape = np.random.default_rng([seed, 7]), (943, 1682)
    scale = 0.28 * 0.85 ** np.arange(10)
    U, V = (rng.standard_normal((n, 10)) for n in shape)
    X = 3.55 + 0.42 * rng.standard_normal((943, 1)) + 0.5 * rng.standard_normal((1, 1682))
    X = X + (U * scale) @ V.T
    chance = np.outer(rng.lognormal(0, 0.9, 943), np.arange(1, 1683) ** -0.9).ravel()
    # As many draws without replacement as are asked for: the largest of exponential clocks.
    found = np.argsort(rng.exponential(size=chance.size) / chance)[:100_000]
    rows, cols = np.unravel_index(found, shape)
    y = X[rows, cols] + 0.85 * rng.standard_normal(rows.size)
    y = np.clip(np.round(2 * y) / 2, 0.5, 5.0)
    seen, held = peers.split((rows, cols, y), 0.2, rng)
    return seen, held, np.clip(X[held[0], held[1]], 0.5, 5.0), shape


def ratings(seeds: range, full: bool) -> None:
    """Generated ratings: root mean square error of held-out ones, coverage of their intervals."""
    del full
    out = table(
        "ratings, 943 x 1682, 80,000 seen, 20,000 held out",
        "seed", "method", "RMSE", "over leanrank's", "CPU s", "coverage of 95 %",
    )  # fmt: skip
    for seed in seeds:
        data, held, truth, shape = rated(seed)
        op, draws = ObservedEntries(data[0], data[1], shape), {}

        def room(op=op, y=data[2], keep=draws) -> peers.Predict:
            keep["post"] = posterior(op, y, intercepts=True).clipped(0.5, 5.0)
            return keep["post"].mean

        methods: dict[str, Callable[[], peers.Predict]] = {
            "leanrank": room,
            "soft-impute with intercepts": lambda d=data, s=shape: peers.soft_impute(
                d, s, with_intercepts=True
            ),
            "biases": lambda d=data, s=shape: peers.biases(d, s),
            "Gibbs (myFM)": lambda d=data, s=shape: peers.gibbs(d, s),
        }
        own = np.nan
        for name, make in methods.items():
            try:
                predict, seconds = peers.timed(make)
            except ImportError:
                out.add_row(str(seed), name, "not installed")
                continue
            error, cover = peers.rmse(predict, held), ""
            if name == "leanrank":
                own = error
                low, high = draws["post"].interval(held[0], held[1], reading=True)
                cover = f"{np.mean((low <= held[2]) & (held[2] <= high)):.3f}"
            out.add_row(
                str(seed), name, f"{error:.4f}", f"{error / own:.4f}", f"{seconds:.1f}", cover
            )
        floor = float(np.sqrt(np.mean((truth - held[2]) ** 2)))
        out.add_row(str(seed), "(expected ratings)", f"{floor:.4f}", f"{floor / own:.4f}")
    CONSOLE.print(out)


def photos(seeds: range, full: bool) -> None:
    """Photographs, gray, half of the pixels: peak signal to noise ratio.

    Of the hidden pixels, which are what is asked for, and of all: there a method gains by
    repeating what it was given. The first seed says which are hidden.
    """
    out = table(
        f"photographs, half of the pixels{'' if full else ', every other row and column'}, "
        f"seed {seeds.start}",
        "photograph", "method", "PSNR dB: hidden", "all", "rank", "CPU s",
    )  # fmt: skip
    for name in ("china.jpg", "flower.jpg"):
        X = load_sample_image(name) @ np.array([0.299, 0.587, 0.114])
        X = X if full else X[::2, ::2]
        seen = np.random.default_rng(seeds.start).random(X.shape) < 0.5
        rows, cols = np.nonzero(seen)
        y, (i, j) = X[seen], np.indices(X.shape)

        def psnr(Z: np.ndarray, X: np.ndarray = X, seen: np.ndarray = seen) -> list[str]:
            missed = (np.clip(Z, 0, 255) - X) ** 2
            return [f"{-10 * np.log10(np.mean(m) / 255**2):.2f}" for m in (missed[~seen], missed)]

        op = ObservedEntries(rows, cols, X.shape)
        post, a = clocked(lambda o=op, v=y: posterior(o, v, intercepts=True))
        out.add_row(name, "leanrank", *psnr(post.to_dense()), str(post.rank), f"{a:.1f}")
        data = (rows, cols, y)
        for label, with_ in (("soft-impute", False), ("soft-impute with intercepts", True)):
            predict, b = peers.timed(
                lambda d=data, s=X.shape, w=with_: peers.soft_impute(
                    d, s, with_intercepts=w, width=100
                )
            )
            out.add_row(name, label, *psnr(predict(i, j)), "", f"{b:.1f}")
    CONSOLE.print(out)


def coverage(seeds: range, full: bool) -> None:
    """Intervals of 95 % over all entries that were not observed, and where entries are few."""
    del full
    out = table(
        f"200 x 150, rank 3, {span(seeds)}: coverage of 95 % intervals",
        "sampling", "rho", "noise", "all unobserved", "tenth with fewest entries", "worst seed",
    )  # fmt: skip
    i, j = np.indices(SHAPE)
    for name, skew in (("uniform", 0.0), ("skewed", 0.7)):
        for rho in (2.0, 3.0, 5.0, 10.0):
            for noise in (0.1, 0.3, 1.0):
                found = []
                for seed in seeds:
                    inst, y = noisy(seed, rho, noise, skew)
                    op, X = inst.op, inst.truth.to_dense()
                    low, high = posterior(op, y, random_state=seed).interval(i, j)
                    inside = np.clip(X, low, high) == X
                    hidden = np.ones(SHAPE, bool)
                    hidden[op.rows, op.cols] = False
                    counts = (
                        np.bincount(op.rows, minlength=SHAPE[0])[:, None]
                        + np.bincount(op.cols, minlength=SHAPE[1])[None, :]
                    )
                    few = hidden & (counts <= np.quantile(counts[hidden], 0.1))
                    found.append((inside[hidden].mean(), inside[few].mean()))
                x = np.array(found)
                out.add_row(
                    name, f"{rho:g}", f"{noise:g}", *(f"{v:.3f}" for v in x.mean(axis=0)),
                    f"{x[:, 0].min():.3f}",
                )  # fmt: skip
    CONSOLE.print(out)


def imputation(seeds: range, full: bool) -> None:
    """A regression coefficient from twenty imputed tables, pooled by Rubin's rules."""
    runs, tables = (500 if full or len(seeds) >= 10 else 50 * len(seeds)), 20
    out = table(
        f"multiple imputation, 200 x 6, 30 % missing, {tables} tables, {runs} simulations from "
        f"seed {seeds.start} on",
        "missing", "coverage of 95 %", "mean estimate", "truth", "length over complete data's",
    )  # fmt: skip
    load = np.array([[1.0, 0.2], [0.8, -0.5], [0.9, 0.6], [0.3, 1.0], [0.7, 0.1], [-0.5, 0.8]])
    cov = load @ load.T + np.diag([0.5, 0.6, 0.4, 0.5, 0.7, 0.5])
    truth = cov[0, 1] / cov[1, 1]
    for name in ("at random everywhere", "where the last column, complete, is large"):
        found = []
        for run in range(seeds.start, seeds.start + runs):
            rng = np.random.default_rng([run, 5])
            Y = rng.multivariate_normal(np.zeros(6), cov, size=200)
            hide = rng.random(Y.shape) < 0.3
            if name.startswith("where"):
                hide &= (Y[:, -1:] > 0) | (rng.random(Y.shape) < 0.4)
                hide[:, -1] = False
            op = ObservedEntries(*np.nonzero(~hide), Y.shape)
            post = posterior(op, Y[~hide], noise="columns", random_state=run)
            parts = []
            for factors in post.draws(tables):
                noise = np.sqrt(post.noise) * rng.standard_normal(Y.shape)
                parts.append(slope(np.where(hide, factors.to_dense() + noise, Y)))
            estimate, half = rubin(np.array(parts))
            alone = slope(Y)
            found.append((estimate, abs(estimate - truth) <= half, half / (1.97 * alone[1] ** 0.5)))
        x = np.array(found, dtype=float).mean(axis=0)
        out.add_row(name, f"{x[1]:.3f}", f"{x[0]:.4f}", f"{truth:.4f}", f"{x[2]:.2f}")
    CONSOLE.print(out)


def slope(Y: np.ndarray) -> tuple[float, float]:
    """Coefficient of the first column on the second, and its variance."""
    a, b = Y[:, 1] - Y[:, 1].mean(), Y[:, 0] - Y[:, 0].mean()
    beta = float(a @ b / (a @ a))
    return beta, float(np.sum((b - beta * a) ** 2) / ((len(a) - 2) * (a @ a)))


def rubin(parts: np.ndarray) -> tuple[float, float]:
    """Estimate and half the length of its 95 % interval (Rubin 1987, section 3.1)."""
    from scipy.stats import t

    M = len(parts)
    within, between = parts[:, 1].mean(), parts[:, 0].var(ddof=1)
    total = within + (1 + 1 / M) * between
    free = (M - 1) * (1 + within / ((1 + 1 / M) * between)) ** 2
    return float(parts[:, 0].mean()), float(t.ppf(0.975, free) * np.sqrt(total))


if __name__ == "__main__":
    sections = (small, large, ratings, photos, coverage, imputation)
    print_sections(
        __doc__, sections, seeds=10, flag="full", meaning="photographs at their full size"
    )

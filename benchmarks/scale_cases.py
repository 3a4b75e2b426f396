"""What `scale.py` measures: each case alone in a process of its own.

    python benchmarks/scale_cases.py '{"case": "exact", "n": 1000, "seed": 0}'

prints a line of JSON: CPU and wall seconds, the most memory above what the input takes, and how
well the matrix is predicted.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from memory import MIB, forget_peak, resident

from leanrank import MatrixFactorization, recover, simulate
from leanrank.io import read_ratings, stored_entries
from leanrank.posterior import Entries, EntriesOnDisk
from leanrank.search.factorising import factorise

PIECE = 1 << 20
"""Entries that are generated at once."""


def measured(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What it returns, and what it took."""
    forget_peak()
    before, cpu, wall = resident("VmRSS"), time.process_time(), time.perf_counter()
    found = work()
    took = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    most = resident("VmHWM")
    return found, {**took, "above": most - before, "peak": most}


class Ratings:
    """A matrix of intercepts and decaying directions, and noisy entries of it, piece by piece.

    Rows and columns are met by chances that are skewed: those of columns fall with their place, as
    titles do, and those of rows are lognormal. ``uniform`` has neither skew nor intercepts.
    """

    def __init__(
        self, shape: tuple[int, int], size: int, seed: int, *, uniform: bool = False, rank: int = 10
    ) -> None:
        self.rng = rng = np.random.default_rng([seed, 13])
        self.shape, self.size, (n1, n2) = shape, size, shape
        decay = np.full(rank, rank**-0.5) if uniform else 0.4 * 0.85 ** np.arange(rank)
        self.U = (rng.standard_normal((n1, rank)) * decay).astype(np.float32)
        self.V = rng.standard_normal((n2, rank)).astype(np.float32)
        skewed = 0.0 if uniform else 1.0
        self.mean, self.noise = 3.5 * skewed, 0.1 if uniform else 0.8
        self.b = (0.4 * skewed * rng.standard_normal(n1)).astype(np.float32)
        self.c = (0.5 * skewed * rng.standard_normal(n2)).astype(np.float32)
        self.of_rows = np.cumsum(rng.lognormal(0.0, skewed, n1))
        self.of_columns = np.cumsum(np.arange(1, n2 + 1.0) ** (-0.9 * skewed))

    def truth(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Entries without noise."""
        products = np.einsum("ek,ek->e", self.U[i], self.V[j])
        return self.mean + self.b[i] + self.c[j] + products

    def pairs(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """As entries are met."""
        found = (
            np.searchsorted(chance, self.rng.random(size) * chance[-1]).astype(np.int32)
            for chance in (self.of_rows, self.of_columns)
        )
        return next(found), next(found)

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Rows, columns and readings, many at a time; few pairs are met twice."""
        for first in range(0, self.size, PIECE):
            i, j = self.pairs(min(PIECE, self.size - first))
            noise = self.noise * self.rng.standard_normal(i.size)
            yield i, j, (self.truth(i, j) + noise).astype(np.float32)

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All of them."""
        out = tuple(np.empty(self.size, kind) for kind in (np.int32, np.int32, np.float32))
        for k, piece in enumerate(self.pieces()):
            for whole, part in zip(out, piece, strict=True):
                whole[k * PIECE : k * PIECE + part.size] = part
        return out  # type: ignore[return-value]

    def error(self, predict: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
        """Root mean square over pairs as they are met, against entries without noise."""
        i, j = self.pairs(200_000)
        return float(np.sqrt(np.mean((predict(i, j) - self.truth(i, j)) ** 2)))


def product(U: np.ndarray, V: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Entries of a product of factors."""
    return lambda i, j: np.einsum("ek,ek->e", U[i], V[j])


def warm(data: Ratings, threads: int) -> None:
    """Compile what is compiled at the first use."""
    few = tuple(part[:5000] for part in next(iter(data.pieces())))
    entries = Entries.of(*few, data.shape, dtype=np.float32)
    factorise(entries, threads=threads, rng=np.random.default_rng(0))


def in_memory(
    shape: tuple[int, int], size: int, seed: int, threads: int, uniform: bool
) -> dict[str, Any]:
    """Entries in any order, sorted and factorised."""
    data = Ratings(shape, size, seed, uniform=uniform)
    warm(data, threads)
    i, j, y = data.entries()

    def work() -> Any:
        entries = Entries.of(i, j, y, shape, dtype=np.float32)
        return factorise(entries, threads=threads, rng=np.random.default_rng(seed))

    found, took = measured(work)
    error = data.error(found.state.predict)
    told = {"rank": found.state.width, "sweeps": found.sweeps, "status": found.status.name}
    return {**took, "error": error, **told}


def cmfrec(shape: tuple[int, int], size: int, seed: int, enough: float) -> list[dict[str, Any]]:
    """Told the rank, on one thread: its ways of solving, each until the error is low enough."""
    from cmfrec import CMF
    from scipy.sparse import coo_array

    data = Ratings(shape, size, seed, uniform=True)
    i, j, y = data.entries()
    X, out = coo_array((y, (i, j)), shape=shape), []
    for conjugate in (False, True):
        for rounds in range(4, 16):
            model = CMF(
                k=10, lambda_=0.1, niter=rounds, use_cg=conjugate, use_float=True, nthreads=1,
                user_bias=False, item_bias=False, center=False, verbose=False,
                precompute_for_predictions=False,
            )  # fmt: skip
            _, took = measured(lambda model=model: model.fit(X))
            error = data.error(product(model.A_, model.B_))
            way = "conjugate gradients" if conjugate else "Cholesky"
            out.append({**took, "error": error, "rank": 10, "way": f"{way}, {rounds} rounds"})
            if error <= enough:
                break
    return out


def least_squares(
    shape: tuple[int, int], size: int, seed: int, rounds: int, told: bool
) -> dict[str, Any]:
    """Alternating least squares in NumPy, told the rank; ``told`` starts it at the truth."""
    data = Ratings(shape, size, seed, uniform=True)
    i, j, y = data.entries()
    U, V = data.U.astype(float), data.V.astype(float)
    if not told:
        V = np.random.default_rng(seed).standard_normal(V.shape)

    def work() -> None:
        by_row, by_column = (np.argsort(x, kind="stable") for x in (i, j))
        for _ in range(rounds):
            U[:] = _solved(i[by_row], j[by_row], y[by_row], V, len(U))
            V[:] = _solved(j[by_column], i[by_column], y[by_column], U, len(V))

    _, took = measured(work)
    return {**took, "error": data.error(product(U, V)), "rank": 10}


def _solved(rows: np.ndarray, cols: np.ndarray, y: np.ndarray, V: np.ndarray, n: int) -> np.ndarray:
    """Rows given the other factor, a ridge of a hundredth; entries are in order of rows."""
    k, ptr = V.shape[1], np.searchsorted(rows, np.arange(n + 1))
    out = np.empty((n, k))
    for r in range(n):
        part = slice(ptr[r], ptr[r + 1])
        X = V[cols[part]]
        out[r] = np.linalg.solve(X.T @ X + 0.01 * np.eye(k), X.T @ y[part])
    return out


def on_disk(shape: tuple[int, int], size: int, seed: int, threads: int) -> dict[str, Any]:
    """From Parquet that is written in pieces, through sorted files, to factors."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = Ratings(shape, size, seed)
    warm(data, threads)
    folder = Path(tempfile.mkdtemp(prefix="leanrank-scale-"))
    try:
        fields = {"user": pa.int32(), "item": pa.int32(), "rating": pa.float32()}
        with pq.ParquetWriter(folder / "ratings.parquet", pa.schema(fields.items())) as file:
            for piece in data.pieces():
                file.write_table(pa.table(dict(zip(fields, piece, strict=True))))
        length = (folder / "ratings.parquet").stat().st_size / MIB

        def sort() -> Any:
            return stored_entries(
                folder / "ratings.parquet", folder / "sorted", ("user", "item", "rating")
            )

        stored, sorting = measured(sort)
        at = (stored.row_labels.astype(int), stored.col_labels.astype(int))

        def fit() -> Any:
            entries = EntriesOnDisk.open(stored.folder, stored.shape[1])
            return factorise(entries, threads=threads, rng=np.random.default_rng(seed))

        found, took = measured(fit)
    finally:
        shutil.rmtree(folder)
    U, V = (np.zeros((n, found.state.layout.size)) for n in shape)
    U[at[0]], V[at[1]] = found.state.rows, found.state.columns.mean
    both = {key: took[key] + sorting[key] for key in ("cpu", "wall")}
    peak = max(took["peak"], sorting["peak"])
    above = max(took["above"], sorting["above"])
    return {
        **both, "above": above, "peak": peak, "sorting": sorting["wall"], "file": length,
        "error": data.error(product(U, V)), "rank": found.state.width,
        "sweeps": found.sweeps, "status": found.status.name,
    }  # fmt: skip


def from_csv(shape: tuple[int, int], size: int, seed: int, threads: int) -> dict[str, Any]:
    """A CSV of ratings to predictions of pairs with intervals; and pairs a second after that."""
    data = Ratings(shape, size, seed)
    warm(data, threads)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ratings.csv"
        with path.open("w") as file:
            file.write("user,item,rating\n")
            for i, j, y in data.pieces():
                file.writelines(f"u{a},i{b},{c:.4f}\n" for a, b, c in zip(i, j, y, strict=True))

        def work() -> tuple[Any, np.ndarray, np.ndarray]:
            given = read_ratings(path)
            users, items = given.row_labels[given.rows], given.col_labels[given.cols]
            model = MatrixFactorization(n_jobs=threads, random_state=seed)
            model.fit(users, items, given.values)
            model.predict_interval(users[:100_000], items[-100_000:])
            return model, users, items

        (model, users, items), took = measured(work)
    # Pairs that nobody rated, of users and items that are known.
    others = np.random.default_rng(seed).permutation(items.size)
    users, items = np.tile(users, 10)[:1_000_000], np.tile(items[others], 10)[:1_000_000]
    predicted, speed = measured(lambda: model.predict(users, items))
    i, j = (np.array([int(label[1:]) for label in labels]) for labels in (users, items))
    error = np.sqrt(np.mean((predicted - data.truth(i, j)) ** 2))
    told = {"rank": model.rank_, "sweeps": model.n_iter_, "status": model.status_.name}
    return {**took, "error": float(error), **told, "pairs a second": users.size / speed["cpu"]}


def exact(n: int, seed: int) -> dict[str, Any]:
    """Completion of n x n of rank 5 without noise, from three times the degrees of freedom."""
    few = simulate.matrix_completion((60, 60), 5, oversampling=4, random_state=seed)
    recover(few.op, few.y)
    inst = simulate.matrix_completion((n, n), 5, oversampling=3, random_state=seed)
    found, took = measured(lambda: recover(inst.op, inst.y, random_state=seed))
    return {
        **took, "error": inst.error(found.factors), "rank": found.rank, "size": inst.op.size,
        "status": found.status.name,
    }  # fmt: skip


CASES: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (in_memory, cmfrec, least_squares, on_disk, from_csv, exact)
}


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    print(json.dumps(CASES[options.pop("case")](**options)))

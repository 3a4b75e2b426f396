"""Ratings of a low-rank model, with popular users and items, as a file of any size, in pieces.

python benchmarks/generate.py ratings.parquet --lines 100000000 --rows 140000 --columns 27000
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

PIECE = 1_000_000
"""Lines at a time."""


def pieces(
    lines: int, rows: int, columns: int, *, rank: int = 10, noise: float = 0.5, seed: int = 0
) -> Iterator[dict[str, np.ndarray]]:
    """Columns userId, movieId, rating and timestamp, piece by piece.

    A rating is 3.5 plus intercepts of the user and of the item (deviation 0.4) plus a product of
    factors (deviation 0.7) plus noise. Users are drawn with the square, items with the cube of a
    uniform number, so that a few have most of the ratings.
    """
    rng = np.random.default_rng(seed)
    names = rng.permutation(rows) + 1, 7 * rng.permutation(columns) + 3
    users, items = rng.standard_normal((rows, rank)), rng.standard_normal((columns, rank))
    items *= 0.7 / np.sqrt(rank)
    bias = 0.4 * rng.standard_normal(rows), 0.4 * rng.standard_normal(columns)
    for start in range(0, lines, PIECE):
        size = min(PIECE, lines - start)
        i = (rows * rng.random(size) ** 2).astype(np.int64)
        j = (columns * rng.random(size) ** 3).astype(np.int64)
        rating = 3.5 + bias[0][i] + bias[1][j] + noise * rng.standard_normal(size)
        for k in range(rank):  # without a piece times rank in memory
            rating += users[i, k] * items[j, k]
        yield {
            "userId": names[0][i],
            "movieId": names[1][j],
            "rating": rating.round(3),
            "timestamp": rng.integers(900_000_000, 1_500_000_000, size),
        }


def write(path: Path, parts: Iterator[dict[str, np.ndarray]]) -> None:
    """Write pieces as ``.parquet``, a group of rows each, or as text."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as parquet

        writer = None
        for part in parts:
            table = pa.table(part)
            writer = writer or parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
        return
    with path.open("w") as file:
        for number, part in enumerate(parts):
            if number == 0:
                file.write(",".join(part) + "\n")
            lines = zip(*(column.tolist() for column in part.values()), strict=True)
            file.writelines(f"{user},{item},{y},{when}\n" for user, item, y, when in lines)


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help=".parquet or .csv")
    parser.add_argument("--lines", type=int, default=20_000_000)
    parser.add_argument("--rows", type=int, default=140_000)
    parser.add_argument("--columns", type=int, default=27_000)
    parser.add_argument("--rank", type=int, default=10)
    parser.add_argument("--noise", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    shape = told.lines, told.rows, told.columns
    write(told.path, pieces(*shape, rank=told.rank, noise=told.noise, seed=told.seed))


if __name__ == "__main__":
    main()

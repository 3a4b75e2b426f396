"""One sweep over observed entries: all rows given the columns, then columns given the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from leanrank.posterior import _kernels

__all__ = ["Entries", "Gaussian", "Moments", "Sweep", "packed", "unpacked"]

_BLOCK_BYTES = 1 << 20
"""Second moments of as many rows stay in cache while their entries are met again."""


@lru_cache(maxsize=64)
def _below(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of a lower triangle; of small ones they take longer than what is done there."""
    return np.tril_indices(k)


def packed(matrices: np.ndarray) -> np.ndarray:
    """Lower triangles of symmetric matrices, row after row: (..., K, K) to (..., K (K + 1) / 2)."""
    below = _below(matrices.shape[-1])
    return np.ascontiguousarray(matrices[..., below[0], below[1]])


def unpacked(triangles: np.ndarray, k: int) -> np.ndarray:
    """The symmetric matrices that :func:`packed` took."""
    a, b = _below(k)
    out = np.empty((*triangles.shape[:-1], k, k))
    out[..., a, b] = triangles
    out[..., b, a] = triangles
    return out


@dataclass(frozen=True)
class Entries:
    """Observed entries, row after row.

    Attributes
    ----------
    indptr : ndarray of int64, shape (n1 + 1,)
    cols : ndarray of int32, shape (m,)
    y : ndarray, shape (m,)
    weights : ndarray, shape (m,) or (0,)
        Inverse variances of the noise up to its level; none for ones.
    shape : tuple of int
    """

    indptr: np.ndarray
    cols: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def of(
        cls,
        rows: np.ndarray,
        cols: np.ndarray,
        y: np.ndarray,
        shape: tuple[int, int],
        weights: np.ndarray | None = None,
    ) -> Entries:
        """Entries in any order."""
        order = np.argsort(rows, kind="stable")
        indptr = np.searchsorted(rows[order], np.arange(shape[0] + 1))
        w = np.empty(0) if weights is None else weights[order].astype(float)
        return cls(indptr, cols[order].astype(np.int32), y[order].astype(float), w, shape)

    @property
    def rows(self) -> np.ndarray:
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr))

    def counts(self) -> np.ndarray:
        """Number of entries of each column."""
        return np.bincount(self.cols, minlength=self.shape[1]).astype(float)

    def by_column(self, values: np.ndarray | None = None) -> np.ndarray:
        """Sums over the entries of each column of values times weights (ones by default)."""
        w = self.weights if self.weights.size else None
        if values is not None:
            w = values if w is None else w * values
        return np.bincount(self.cols, weights=w, minlength=self.shape[1]).astype(float)


@dataclass(frozen=True)
class Gaussian:
    """Prior of the free coordinates of the rows of one factor."""

    precision: np.ndarray
    mean: np.ndarray

    @property
    def pull(self) -> np.ndarray:
        return self.precision @ self.mean


@dataclass(frozen=True)
class Moments:
    """First and second moments of rows; the second packed, or of a draw its squares.

    ``fixed`` is the coordinate that is one, -1 for none.
    """

    mean: np.ndarray
    second: np.ndarray
    fixed: int

    def total(self) -> np.ndarray:
        """Sum of the second moments, shape (K, K)."""
        return unpacked(self.second.sum(axis=0), self.mean.shape[1])

    def covariances(self) -> np.ndarray:
        """Posterior covariances, shape (n, K, K)."""
        outer = self.mean[:, :, None] * self.mean[:, None, :]
        return unpacked(self.second, self.mean.shape[1]) - outer

    def mapped(self, T: np.ndarray) -> Moments:
        """Those of T times each row."""
        k = T.shape[1]
        second = T @ unpacked(self.second, k) @ T.T
        return Moments(self.mean @ T.T, packed(second), self.fixed)


class Sweep:
    """Solves rows and columns in turn.

    Parameters
    ----------
    entries : Entries
    threads : int
        The result does not depend on it.
    """

    def __init__(self, entries: Entries, threads: int = 1) -> None:
        self.entries = entries
        self.threads = threads
        self.squares = entries.by_column(entries.y**2)
        """Sum of w y^2 over the entries of each column."""

    def __call__(
        self,
        columns: Moments,
        noise: np.ndarray,
        prior_rows: Gaussian,
        prior_columns: Gaussian,
        fixed_in_rows: int,
        keys: tuple[int, int] | None = None,
        centres: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, Moments, np.ndarray]:
        """Means and total second moment of the rows, the new columns, and what they miss.

        Parameters
        ----------
        columns : Moments
        noise : ndarray, shape (n2,)
            Variance of the noise of each column.
        prior_rows, prior_columns : Gaussian
        fixed_in_rows : int
        keys : pair of int, optional
            Draw rows and columns with these keys of random numbers.
        centres : ndarray, shape (n1, K), optional
            Written: means of the rows that were drawn.

        Returns
        -------
        rows : ndarray, shape (n1, K)
        total : ndarray, shape (K, K)
        columns : Moments
        missed : ndarray, shape (n2,)
            Expected sum of w (y - x)^2 over the entries of each column.
        """
        (n1, n2), K, P = self.entries.shape, columns.mean.shape[1], columns.second.shape[1]
        A, h = np.zeros((n2, P)), np.zeros((n2, K))
        means, total = np.empty((n1, K)), np.zeros(P)
        known = _Given(columns, 1.0 / noise, prior_rows, fixed_in_rows, keys and keys[0])
        for first, last in self._blocks(P):
            mean, second = self._solved(known, first, last, centres)
            means[first:last] = mean
            total += second.sum(axis=0)
            self._add(first, mean, second, A, h)
        mean, second = np.empty((n2, K)), np.empty((n2, P))
        known = _Given(columns, 1.0 / noise, prior_columns, columns.fixed, keys and keys[1])
        known.solve(A, h, known.precision, 0, mean, second, self._split)
        twice = packed(2.0 - np.eye(K))
        missed = self.squares - 2.0 * np.sum(h * mean, axis=1) + (A * second) @ twice
        new = Moments(mean, second, columns.fixed)
        return means, unpacked(total, K), new, np.maximum(missed, 0.0)

    def rows(
        self,
        columns: Moments,
        noise: np.ndarray,
        prior: Gaussian,
        fixed: int,
        key: int | None = None,
    ) -> Moments:
        """All rows given the columns, or a draw of them."""
        known = _Given(columns, 1.0 / noise, prior, fixed, key)
        blocks = [self._solved(known, *block) for block in self._blocks(columns.second.shape[1])]
        mean, second = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return Moments(mean, second, fixed)

    def _blocks(self, P: int) -> Iterator[tuple[int, int]]:
        """Ranges of rows whose moments stay in cache."""
        n, size = self.entries.shape[0], max(16, _BLOCK_BYTES // (8 * max(P, 1)))
        return ((first, min(first + size, n)) for first in range(0, n, size))

    def _solved(
        self, known: _Given, first: int, last: int, centres: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means and second moments of a range of rows."""
        e, columns, n = self.entries, known.columns, last - first
        A, h = np.empty((n, columns.second.shape[1])), np.empty((n, columns.mean.shape[1]))
        mean, second, ones = np.empty_like(h), np.empty_like(A), np.ones(n)

        def gather(a: int, b: int) -> None:
            _kernels.gather(
                e.indptr, e.cols, e.y, e.weights, known.precision, columns.mean, columns.second,
                first + a, first + b, A[a:b], h[a:b],
            )  # fmt: skip

        self._split(n, gather)
        centre = None if centres is None else centres[first:last]
        known.solve(A, h, ones, first, mean, second, self._split, centre)
        return mean, second

    def _add(
        self, first: int, mean: np.ndarray, second: np.ndarray, A: np.ndarray, h: np.ndarray
    ) -> None:
        """What a range of rows says to the columns."""
        e, rows = self.entries, (first, first + mean.shape[0])

        def add(a: int, b: int) -> None:
            _kernels.add_to_columns(
                e.indptr, e.cols, e.y, e.weights, rows, mean, second, a, b, A, h
            )

        self._split(e.shape[1], add)

    def _split(self, n: int, work: Callable[[int, int], None]) -> None:
        """Deal 0 to n out to the threads."""
        parts = min(self.threads, n)
        if parts <= 1:
            work(0, n)
            return
        edges = np.linspace(0, n, parts + 1).astype(int)
        with ThreadPoolExecutor(parts) as pool:
            list(pool.map(work, edges[:-1], edges[1:]))


@dataclass(frozen=True)
class _Given:
    """What the rows of one factor are solved with.

    ``precision`` is that of the noise of each column; with a ``key`` they are drawn.
    """

    columns: Moments
    precision: np.ndarray
    prior: Gaussian
    fixed: int
    key: int | None

    def solve(
        self,
        A: np.ndarray,
        h: np.ndarray,
        scale: np.ndarray,
        first: int,
        mean: np.ndarray,
        second: np.ndarray,
        split: Callable[[int, Callable[[int, int], None]], None],
        centre: np.ndarray | None = None,
    ) -> None:
        """Solve normal equations of rows from ``first`` on, and write what comes out."""
        precision, pull = self.prior.precision, self.prior.pull
        draw, key = self.key is not None, np.uint64(self.key or 0)
        middle = np.empty((0, h.shape[1])) if centre is None else centre

        def solve(a: int, b: int) -> None:
            bad = _kernels.solve_each(
                A[a:b], h[a:b], scale[a:b], precision, pull, self.fixed, draw, key,
                first + a, first + b, mean[a:b], second[a:b], middle[a:b],
            )  # fmt: skip
            if bad >= 0:
                raise FloatingPointError(f"the precision of row {bad} is not positive definite")

        split(mean.shape[0], solve)

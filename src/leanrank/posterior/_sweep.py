"""One sweep over observed entries: all rows given the columns, then columns given the rows.

Data are read in order, once a sweep: each block of rows is solved, and what it says is at once
added to the normal equations of the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from leanrank.posterior import _kernels
from leanrank.posterior._entries import Block, Blocks, added
from leanrank.posterior._moments import Gaussian, Moments
from leanrank.posterior._team import Team

__all__ = ["Sweep"]


class Sweep:
    """Solves rows and columns in turn.

    Parameters
    ----------
    entries : Blocks
    threads : int or Team
        The result does not depend on it.
    """

    def __init__(self, entries: Blocks, threads: int | Team = 1) -> None:
        self.entries = entries
        self.team = threads if isinstance(threads, Team) else Team(threads)
        self.squares = entries.sums()[1]
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
        variances: tuple[np.ndarray, np.ndarray] | None = None,
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
        variances : pair of ndarray, shape (n1, K) and (n2, K), optional
            Written: posterior variances of rows and columns.

        Returns
        -------
        rows : ndarray, shape (n1, K)
        total : ndarray, shape (K, K)
        columns : Moments
        missed : ndarray, shape (n2,)
            Expected sum of w (y - x)^2 over the entries of each column; where nothing is missed it
            may be negative, by rounding.
        """
        n2, dtype = self.entries.shape[1], self.entries.dtype
        K, P = columns.mean.shape[1], columns.second.shape[1]
        of_rows, of_columns = variances or (None, None)
        known = _Given(columns, 1.0 / noise, prior_rows, fixed_in_rows, keys and keys[0])
        centres = None if keys is None else centres
        wanted = centres is not None, of_rows is not None
        parts = self.entries.each(_said, known, *wanted, team=self.team)
        A, h, total = (added(getattr(p, n) for p in parts) for n in ("A", "h", "total"))
        means = _joined([p.means for p in parts], None)
        _joined([p.centres for p in parts], centres)
        _joined([p.variances for p in parts], of_rows)
        del parts
        new = Moments(np.empty((n2, K), dtype), np.empty((n2, P), dtype), columns.fixed)
        known = _Given(columns, 1.0 / noise, prior_columns, columns.fixed, keys and keys[1])
        missed = self.squares.copy()

        def solve(a: int, b: int) -> None:
            known.solve(A, h, known.precision, 0, new, (a, b), None, of_columns, missed)

        self.team.split(n2, solve)
        return means, total, new, missed

    def rows(
        self,
        columns: Moments,
        noise: np.ndarray,
        prior: Gaussian,
        fixed: int,
        key: int | None = None,
    ) -> Moments:
        """All rows given the columns, or a draw of them; of entries that are here, in one part."""
        known = _Given(columns, 1.0 / noise, prior, fixed, key)
        return Moments(*_moments(self.entries, known, self.team), fixed)


@dataclass(frozen=True)
class _Said:
    """What a part of the entries says: of its rows, and to all columns."""

    means: np.ndarray
    centres: np.ndarray | None
    variances: np.ndarray | None
    total: np.ndarray
    A: np.ndarray
    h: np.ndarray


def _said(
    part: Blocks, known: _Given, with_centres: bool, with_variances: bool, team: Team
) -> _Said:
    """Solve the rows of each block, and add what they say to the columns at once."""
    (n1, n2), dtype = part.shape, part.dtype
    K, P = known.columns.mean.shape[1], known.columns.second.shape[1]
    A, h = np.zeros((n2, P)), np.zeros((n2, K))
    means, total = np.empty((n1, K), dtype), np.zeros((K, K))
    centres = np.empty((n1, K), dtype) if with_centres else None
    variances = np.empty((n1, K), np.float32) if with_variances else None
    for block in part.blocks():
        rows = _solved(known, block, dtype, team, centres, variances)
        means[block.part] = rows.mean
        total += rows.total(team)
        _add(block, rows, A, h, team)
    return _Said(means, centres, variances, total, A, h)


def _moments(part: Blocks, known: _Given, team: Team) -> tuple[np.ndarray, np.ndarray]:
    """First and second moments of all rows."""
    blocks = [_solved(known, block, part.dtype, team) for block in part.blocks()]
    mean = np.concatenate([block.mean for block in blocks])
    return mean, np.concatenate([block.second for block in blocks])


def _joined(parts: list[Any], out: np.ndarray | None) -> Any:
    """Arrays of consecutive rows as one, written to ``out`` where that is given."""
    if out is not None:
        np.concatenate(parts, out=out)
    elif parts[0] is not None:
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
    return out


def _solved(
    known: _Given,
    block: Block,
    dtype: np.dtype,
    team: Team,
    centres: np.ndarray | None = None,
    variances: np.ndarray | None = None,
) -> Moments:
    """Moments of the rows of a block."""
    columns, n = known.columns, block.rows
    K, P = columns.mean.shape[1], columns.second.shape[1]
    A, h, ones = np.zeros((n, P)), np.zeros((n, K)), np.ones(n)
    scale, mean, second = (
        np.asarray(x, dtype) for x in (known.precision, columns.mean, columns.second)
    )
    rows = Moments(np.empty((n, K), dtype), np.empty((n, P), dtype), known.fixed)
    written = [None if x is None else x[block.part] for x in (centres, variances)]

    def solve(a: int, b: int) -> None:
        block.to_rows(a, b, scale, mean, second, A, h)
        known.solve(A, h, ones, block.first, rows, (a, b), *written)

    team.split(n, solve, block.indptr)
    return rows


def _add(block: Block, rows: Moments, A: np.ndarray, h: np.ndarray, team: Team) -> None:
    """What a block of rows says to the columns."""
    by = block.by_column

    def add(a: int, b: int) -> None:
        block.to_columns(a, b, rows.mean, rows.second, A, h)

    team.split(by.which.size, add, by.ptr)


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
        out: Moments,
        part: tuple[int, int],
        centres: np.ndarray | None = None,
        variances: np.ndarray | None = None,
        missed: np.ndarray | None = None,
    ) -> None:
        """Solve the normal equations of some rows, and write what comes out.

        ``first`` is the number of the row that A and h begin with.
        """
        prior = np.column_stack([self.prior.precision, self.prior.pull])
        key = np.array([] if self.key is None else [self.key], dtype=np.uint64)
        at, nothing = slice(*part), np.empty((0, h.shape[1]))
        bad = _kernels.solve_each(
            A[at], h[at], scale[at], prior, self.fixed, key, first + part[0], out.mean[at],
            out.second[at],
            nothing.astype(out.mean.dtype) if centres is None else centres[at],
            nothing.astype(np.float32) if variances is None else variances[at],
            np.empty(0) if missed is None else missed[at],
        )  # fmt: skip
        if bad >= 0:
            raise FloatingPointError(f"the precision of row {bad} is not positive definite")

"""Entries that were filled in: how far off are those that nobody observed?

The error of a whole matrix says little about them where most of it was observed. Noise is
propagated to them as to the rest. A *hole*, a block of which nothing was observed though elsewhere
much was, asks for more: what is wrong there is not noise but misfit, which grows where nothing
holds it, and entries that are left out at random do not tell, as their neighbours are seen. Blocks
of the hole's shape that were observed do: they are left out in turn, to first order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from leanrank._arrays import array_namespace, gaussian, to_numpy
from leanrank.evidence.joining import apart, loosely_joined
from leanrank.evidence.sensitivity import gauss_newton_step, noise_deviation
from leanrank.factors import Factors
from leanrank.operators import Measurement, ObservedEntries, Projected
from leanrank.operators._pattern import distinct
from leanrank.policy import EvidencePolicy
from leanrank.problem import Point, Problem

__all__ = [
    "Block",
    "Filled",
    "different",
    "filled_error",
    "largest_hole",
    "left_out_error",
    "observed_entries",
]

_CELLS = 256
"""Cells along the longer side that holes are looked for in."""
_STEP = 1.25
"""Ratio of the sizes of blocks that are looked for."""
_STRONG = 0.1
"""Singular value over the largest from which on a direction makes much of what two parts share."""
_DENSEST = 0.99
"""Chance of being observed beyond which an entry that is missing tells no more."""


@dataclass(frozen=True)
class Block:
    """Rows [top, bottom) and columns [left, right) of a matrix."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> int:
        return (self.bottom - self.top) * (self.right - self.left)

    def size_with_mirror(self, symmetric: bool) -> int:
        """Entries of the block, and of its transpose if the matrix is symmetric, each once."""
        if not symmetric:
            return self.size
        common = max(min(self.bottom, self.right) - max(self.top, self.left), 0)
        return 2 * self.size - common * common

    def contains(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Flags of the positions inside."""
        inside = (rows >= self.top) & (rows < self.bottom)
        return inside & (cols >= self.left) & (cols < self.right)

    def square(self, factors: Factors) -> float:
        """Sum of squares of a matrix's entries inside."""
        left = factors.U[self.top : self.bottom]
        return float(np.sum((left @ factors.V[self.left : self.right].T) ** 2))


@dataclass(frozen=True)
class Filled:
    """What is known of entries that were not observed.

    Attributes
    ----------
    error : float or None
        Estimated relative error on them, or on the largest hole if it is worse there; None where
        measurements are not entries, or all entries were observed.
    misfit : float
        Expected squared error of X in the hole that is not noise.
    in_hole : float
        The hole's share of the entries that were not observed.
    apart : float
        Share of them that join rows and columns which no chain of observed entries joins, or
        where X is not determined two parts that too few do.
    """

    error: float | None = None
    misfit: float = 0.0
    in_hole: float = 0.0
    apart: float = 0.0


def observed_entries(op: Measurement, symmetric: bool) -> ObservedEntries | None:
    """Each entry of X that measurements show, once; None where they are not entries."""
    found = _entries(op)
    if found is None:
        return None
    rows, cols, scale = found
    rows, cols = rows[scale != 0], cols[scale != 0]
    if symmetric:
        rows, cols = np.concatenate([rows, cols]), np.concatenate([cols, rows])
    flat = distinct(rows * np.int64(op.shape[1]) + cols)
    if isinstance(op, ObservedEntries) and not symmetric and flat.size == op.size:
        return op
    dtype = to_numpy(op.reference).dtype
    return ObservedEntries(*np.divmod(flat, op.shape[1]), op.shape, dtype=dtype)


def different(seen: ObservedEntries, symmetric: bool) -> int:
    """Number of entries that were seen; (i, j) and (j, i) of a symmetric matrix are one."""
    return (seen.size + int(np.sum(seen.rows == seen.cols))) // 2 if symmetric else seen.size


def _entries(op: Measurement) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Rows, columns and factors of the entries that are measured, if that is what is measured.

    Of those that nuisances are eliminated from, too.
    """
    return _entries(op.op) if isinstance(op, Projected) else op.entries()


def filled_error(
    problem: Problem,
    point: Point,
    seen: ObservedEntries | None,
    changes: Iterable[Factors] | None,
    exact: bool,
    policy: EvidencePolicy,
    rng: np.random.Generator,
) -> Filled:
    """Estimated errors of the entries that were not observed.

    Parameters
    ----------
    problem, point
        Balanced factors and their residual.
    seen : ObservedEntries or None
        What :func:`observed_entries` gives.
    changes : iterable of Factors or None
        Of :class:`~leanrank.evidence.sensitivity.Sensitivity`.
    exact : bool
        Whether the fit is exact: then there is no misfit to look for.
    policy : EvidencePolicy
    rng : Generator
        Draws the blocks that are left out.
    """
    factors = point.factors
    if seen is None or seen.size == math.prod(seen.shape):
        return Filled()
    parted = apart(seen)
    if changes is None:
        singular = to_numpy(factors.singular_values())
        strong = int(np.sum(singular >= _STRONG * singular[0]))
        loose = loosely_joined(seen, strong, rng, symmetric=factors.symmetric)
        return Filled(math.inf, apart=max(parted, loose))
    changes = tuple(changes)
    noise = sum(_hidden_square(change, seen) for change in changes)
    error = _ratio(noise, _hidden_square(factors, seen))
    # What is exact everywhere else and determined in the hole is exact there, too.
    hole = None if exact else largest_hole(seen, policy)
    if hole is None:
        return Filled(error, apart=parted)
    expected = sum(hole.square(change) for change in changes)
    misfit = left_out_error(problem, point, hole, policy, rng)
    inside = _ratio(expected + hole.size * misfit, hole.square(factors))
    size = hole.size_with_mirror(factors.symmetric)
    share = hole.size / (math.prod(seen.shape) - seen.size)
    return Filled(max(error, inside), size * misfit, share, parted)


def _hidden_square(factors: Factors, seen: ObservedEntries) -> float:
    """Sum of squares of the entries that are not among those seen."""
    return max(factors.norm() ** 2 - float(np.sum(seen.forward(factors) ** 2)), 0.0)


def _ratio(square: float, size: float) -> float:
    """Root of a quotient of squares; of nothing, infinite unless there is no error either."""
    return math.sqrt(square / size) if size > 0 else (0.0 if square == 0 else math.inf)


def largest_hole(seen: ObservedEntries, policy: EvidencePolicy) -> Block | None:
    """The block without any observed entry that chance explains least, if it explains it badly.

    Were entry (i, j) observed with a chance of p_i q_j / p, from the shares of row, column and
    matrix, the block would be empty with probability exp(-s). There are about (n1 n2)^2 / 4 blocks,
    so that one with a large enough s is not there by chance. Large matrices are looked at in cells
    of several entries.
    """
    (n1, n2), cell = seen.shape, math.ceil(max(seen.shape) / _CELLS)
    counts, surprise = _in_cells(seen, cell)
    most = 2.0 * math.log(n1 * n2 / 2.0) - math.log(policy.hole_chance)
    best = None
    widths = _sizes(counts.shape[1] - 1)
    for height in _sizes(counts.shape[0] - 1)[::-1]:
        # The lower the blocks, the wider the empty ones: widths go up as heights go down.
        while widths:
            empty = _boxes(counts, height, widths[0]) == 0
            if not empty.any():
                break
            scores = np.where(empty, _boxes(surprise, height, widths[0]), 0.0)
            if scores.max() > most:
                most = float(scores.max())
                i, j = (int(k) for k in np.unravel_index(int(scores.argmax()), scores.shape))
                best = Block(i, i + height, j, j + widths[0])
            widths = widths[1:]
    return None if best is None else _grown(best, cell, seen)


def _in_cells(seen: ObservedEntries, cell: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums of observed entries and of s over all blocks of cells that begin at the first one."""
    (n1, n2), shape = seen.shape, tuple(math.ceil(n / cell) for n in seen.shape)
    counts = np.zeros(shape)
    np.add.at(counts, (seen.rows // cell, seen.cols // cell), 1.0)
    heights, widths = (np.bincount(np.arange(n) // cell) for n in (n1, n2))
    by_row, by_col = counts.sum(axis=1) / heights, counts.sum(axis=0) / widths
    chance = np.outer(by_row, by_col) / seen.size
    surprise = -np.log1p(-np.minimum(chance, _DENSEST)) * np.outer(heights, widths)
    return _sums(counts), _sums(surprise)


def _sizes(n: int) -> list[int]:
    """Side lengths in steps of a quarter, rising."""
    sizes = [1]
    while sizes[-1] < n:
        sizes.append(min(n, max(sizes[-1] + 1, int(sizes[-1] * _STEP))))
    return sizes


def _sums(values: np.ndarray) -> np.ndarray:
    """Sums over rows [0, i) and columns [0, j)."""
    return np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _boxes(sums: np.ndarray, height: int, width: int) -> np.ndarray:
    """Sums over all blocks of a size."""
    rows = sums[height:] - sums[:-height]
    return rows[:, width:] - rows[:, :-width]


def _grown(block: Block, cell: int, seen: ObservedEntries) -> Block:
    """A block of cells, its sides moved outwards for as long as nothing observed comes in."""
    n1, n2 = seen.shape
    top, bottom = block.top * cell, min(block.bottom * cell, n1)
    left, right = block.left * cell, min(block.right * cell, n2)
    beside = seen.rows[(seen.cols >= left) & (seen.cols < right)]
    top, bottom = _between(beside, top, bottom, n1)
    beside = seen.cols[(seen.rows >= top) & (seen.rows < bottom)]
    return Block(top, bottom, *_between(beside, left, right, n2))


def _between(taken: np.ndarray, start: int, stop: int, n: int) -> tuple[int, int]:
    """The largest range around [start, stop) that holds no position that is taken."""
    before, after = taken[taken < start], taken[taken >= stop]
    first = int(before.max()) + 1 if before.size else 0
    return first, int(after.min()) if after.size else n


def left_out_error(
    problem: Problem, point: Point, hole: Block, policy: EvidencePolicy, rng: np.random.Generator
) -> float:
    """Median misfit, the squared error less that of noise, on blocks of a hole's shape left out.

    What they would be missed by if the residual were noise is drawn for each block. Where few of
    its entries were observed anywhere there is nothing to go by: infinite.
    """
    found = _entries(problem.op)
    assert found is not None
    rows, cols, scale = found
    precision = scale**2
    if problem.loss.weights is not None:
        precision = precision * to_numpy(problem.loss.weights)
    n1, n2 = problem.op.shape
    height, width = hole.bottom - hole.top, hole.right - hole.left
    misfits = []
    for _ in range(policy.translates):
        top, left = int(rng.integers(n1 - height + 1)), int(rng.integers(n2 - width + 1))
        block = Block(top, top + height, left, left + width)
        out = block.contains(rows, cols)
        if point.factors.symmetric:
            out |= block.contains(cols, rows)
        if not precision[out].any() or not precision[~out].any():
            continue
        both = (problem, _of_noise(problem, point, rng))
        missed, of_noise = (_missed(each, point.factors, out) for each in both)
        # In units of X: noise of one measurement is 1 / precision.
        misfits.append((missed - of_noise) / np.mean(precision[out]))
    if not misfits:
        return math.inf
    # The upper one of the middle two: some blocks hold the rest together, none of the others does.
    return max(float(np.sort(misfits)[len(misfits) // 2]), 0.0)


def _of_noise(problem: Problem, point: Point, rng: np.random.Generator) -> Problem:
    """The problem as it would be if the factors were right, and the residual noise."""
    noise = gaussian(rng, (problem.op.size,), problem.y) * noise_deviation(problem, point)
    if problem.loss.weights is not None:
        noise = noise / array_namespace(noise).sqrt(problem.loss.weights)
    return problem.with_measurements(problem.y + point.residual - noise)


def _missed(problem: Problem, factors: Factors, out: np.ndarray) -> float:
    """Squared size of the residual where measurements are left out, one step after that."""
    inside, held = problem.subset(np.flatnonzero(~out)), problem.subset(np.flatnonzero(out))
    # In sums of squares, which leaving measurements out does not rescale.
    shift = problem.penalty.weights(factors.W) / (2.0 * problem.op.weight)
    there = held.op.tangent(factors)
    step = gauss_newton_step(inside, factors, shift)
    return held.loss.size(there.value - held.y + there.matvec(step)) ** 2

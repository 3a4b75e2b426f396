r"""Denoising: the answer in closed form where all of X was seen, with noise that is white.

The singular values above the noise and their vectors are what an SVD finds, so that nothing needs
growing and nothing holding out: the noise tells itself by the bulk of singular values. Rank is the
number of those above its edge, and each is shrunk as is best in Frobenius norm
(:mod:`leanrank.evidence.white_noise`). Least cost: four products with a block of as many columns as
the rank and a few more; two or four with a few columns, until singular vectors of noise are seen to
end at its edge; one for the sums of squares of rows and columns, and two with a few columns for the
fourth moment, by which it is checked that the noise is white; two to certify. A randomised SVD that
is told the rank takes sixteen, with ten columns more than that.

Where noise is not white, or what stands out may be a few wild entries, or as many columns are
needed as half of the directions, all this is not true: then the usual search, by measurements held
out, has its turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from leanrank._arrays import Array, array_namespace, gaussian, like, norm, to_numpy
from leanrank.evidence.denoised import Spectrum, sees_all
from leanrank.evidence.white_noise import WhiteNoise
from leanrank.factors import Factors
from leanrank.linalg import RitzPairs, eigenpairs
from leanrank.problem import Problem, exact_tolerance
from leanrank.search.fitting import Fitter

__all__ = ["Denoised", "denoised"]

_BLOCK = 32
"""Columns to begin with: as fast, nearly, as fewer, and enough for most ranks."""
_SPARE = 8
"""Columns beyond the rank, in which singular vectors of noise show where its edge is."""
_SMALL = 4 * _BLOCK
"""Rows or columns up to which the whole SVD is as fast."""
_SETTLED = 1e-3
"""Sum of squares still to be gained by another block, over what noise adds to the error."""
_UNEVEN = 0.01
"""Squared coefficient of variation of the noise among rows or columns, up to which the edge of
their spectrum is where it is of white noise, within what chance allows."""
_FLAT, _FLAT_BY_CHANCE = 1.1, 6.0
"""Fourth moment of the singular values of noise over what it should be, in large matrices, and what
chance adds in small ones, of four to five standard deviations. Noise that each entry passes on to
the next one, by three tenths, has 1.13."""
_PROBED = 12_000
"""Random numbers that it is estimated from: to a fortieth."""
_HELD = 0.5
"""Share of a row or column that may be due to itself alone: beyond, it may be noise of its own."""


@dataclass(frozen=True)
class Denoised:
    """Factors in closed form, and the spectrum that they come from."""

    factors: Factors
    spectrum: Spectrum


def denoised(problem: Problem, fitter: Fitter, *, symmetric: bool, most: int) -> Denoised | None:
    """The singular values above the noise, shrunk, or all of them where there is no noise.

    None where not all of X was seen, or its noise is not white.

    Parameters
    ----------
    problem : Problem
    fitter : Fitter
    symmetric : bool
        Eigenvalues instead, positive ones.
    most : int
        Columns at most.
    """
    if not sees_all(problem):
        return None
    xp = array_namespace(problem.y)
    Y = xp.reshape(problem.y, problem.op.shape)
    matrix = (Y + Y.T) / 2 if symmetric else Y
    skew = norm(Y - matrix) ** 2 if symmetric else 0.0
    square = problem.zero_loss if skew == 0 else norm(matrix) ** 2
    found = _Decomposed.of(matrix, square, symmetric, fitter.rng)
    problem.passes += found.passes
    exact = found.rank_of_exact(problem.zero_loss**0.5 * exact_tolerance(Y), skew)
    if exact is not None and exact <= most:
        return _of_leading(found, exact, None, skew)
    rank, noise = found.split()
    if not found.is_told(rank, most) or noise.deviation == 0:
        return None
    problem.passes += 3.0
    if not _is_white(matrix, found, rank, noise, fitter.rng):
        return None
    return _of_leading(found, rank, noise, skew)


@dataclass(frozen=True)
class _Decomposed:
    """Leading singular triplets, or eigenpairs by size, and the sum of squares beyond them."""

    left: Array
    values: np.ndarray
    right: Array
    beyond: float
    symmetric: bool
    passes: float

    @classmethod
    def of(
        cls, matrix: Array, square: float, symmetric: bool, rng: np.random.Generator
    ) -> _Decomposed:
        """As many as stand out of the noise, and a few more; all of a small matrix.

        ``square`` is the matrix's sum of squares.
        """
        n1, n2 = matrix.shape
        space, passes = RitzPairs(matrix, symmetric=symmetric), 0.0
        block, before = gaussian(rng, (n2, _BLOCK), matrix), None
        while space.width + int(block.shape[1]) <= min(n1, n2) // 2 and min(n1, n2) > _SMALL:
            space.extend(block)
            passes += 2.0
            left, values, right = space.pairs()
            beyond = square - float(np.sum(to_numpy(values).astype(np.float64) ** 2))
            if beyond < square * float(np.finfo(to_numpy(values).dtype).eps) ** 0.5:
                beyond, passes = norm(matrix - (left * values) @ right.T) ** 2, passes + 1.0
            now = cls(left, to_numpy(values), right, beyond, symmetric, passes)
            k, _ = now.split()
            if k > space.width - _SPARE:  # all of it stands out: there may be as many again
                fresh = gaussian(rng, (n2, space.width), matrix)
                block, before = array_namespace(matrix).concat([right, fresh], axis=1), None
                continue
            if now.is_settled(before, k):
                return now
            if before is None:
                block = right
            else:
                block = right[:, 0 if before.is_moving(now, k) else k : k + _SPARE]
            before = now
        passes += min(n1, n2)
        if symmetric:
            left, values, right = eigenpairs(matrix)
        else:
            left, values, right = array_namespace(matrix).linalg.svd(matrix, full_matrices=False)
            right = right.T
        return cls(left, to_numpy(values), right, 0.0, symmetric, passes)

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.left.shape[0]), int(self.right.shape[0])

    @property
    def sizes(self) -> np.ndarray:
        """Singular values, also of a symmetric matrix."""
        return np.abs(self.values).astype(np.float64)

    def beyond_rank(self, k: int) -> float:
        """Sum of squares of what the leading k leave."""
        return self.beyond + float(np.sum(self.sizes[k:] ** 2))

    def noise(self, k: int) -> WhiteNoise:
        """White noise that k leave."""
        return WhiteNoise.left_by(self.beyond_rank(k), k, self.shape, self.symmetric)

    def split(self) -> tuple[int, WhiteNoise]:
        """How many stand out of the noise that they leave, and that noise: the largest such number.

        From many columns to fewer: with many, little of the matrix passes for noise.
        """
        k = min(len(self.values), min(self.shape) // 2)
        while (fewer := self.noise(k).standing_out(self.sizes)) < k:
            k = fewer
        return k, self.noise(k)

    def is_told(self, k: int, most: int) -> bool:
        """Whether the bulk of noise shows, and nothing negative stands out of it."""
        return k <= most and k < min(self.shape) // 2 and bool(np.all(self.values[:k] > 0))

    def rank_of_exact(self, tolerance: float, skew: float) -> int | None:
        """The least rank that leaves nothing but rounding, if these triplets hold one.

        ``skew`` is the sum of squares that no symmetric matrix explains.
        """
        tails = skew + self.beyond + np.append(np.cumsum(self.sizes[::-1] ** 2)[::-1], 0.0)
        small = np.flatnonzero(tails <= tolerance**2)
        negative = np.any(self.values[: small[0]] < 0) if small.size else True
        return None if negative else int(small[0])

    def gained(self, before: _Decomposed, k: int) -> float:
        """Sum of squares by which the leading k have grown."""
        return float(np.sum(self.sizes[:k] ** 2) - np.sum(before.sizes[:k] ** 2))

    def is_moving(self, now: _Decomposed, k: int) -> bool:
        """Whether the leading k, of these on the way to others, would gain by another block.

        Each block lowers what is still to be gained by the fourth power of the ratio to the next
        singular value, at least: one product for each side, in squares.
        """
        noise = now.noise(k)
        if not k or noise.deviation == 0:
            return False
        ratio = min(noise.edge / now.sizes[k - 1], 0.9) ** 4
        more = now.gained(self, k) * ratio / (1 - ratio)
        return more > _SETTLED * k * noise.deviation**2 * sum(self.shape)

    def is_settled(self, before: _Decomposed | None, k: int) -> bool:
        """Whether another block would hardly change the leading k, nor bring one more to light."""
        threshold = self.noise(k).threshold
        if threshold <= self.sizes[0] * float(np.finfo(self.values.dtype).eps):
            return True  # nothing but rounding is left
        if before is None or len(before.values) <= k or before.is_moving(self, k):
            return False
        # Each block brings it half of the way to where it ends, or more.
        return bool(2 * self.sizes[k] - before.sizes[k] <= threshold)


def _of_leading(found: _Decomposed, rank: int, noise: WhiteNoise | None, skew: float) -> Denoised:
    """Factors of the leading triplets, shrunk for the noise that there is."""
    values, rest = found.sizes[:rank], found.values[rank:]
    taken = values if noise is None else noise.shrunk(values)
    root = like(np.sqrt(taken), found.left)
    P = found.left[:, :rank] * root
    factors = Factors(P) if found.symmetric else Factors(P, found.right[:, :rank] * root)
    spectrum = Spectrum(
        values=values,
        next_above=max(0.0, float(np.max(rest, initial=0.0))),
        next_below=max(0.0, -float(np.min(rest, initial=0.0))),
        beyond=found.beyond_rank(rank) + skew,
        noise=noise,
    )
    return Denoised(factors, spectrum)


def _is_white(
    matrix: Array, found: _Decomposed, rank: int, noise: WhiteNoise, rng: np.random.Generator
) -> bool:
    """Whether what is left is noise of one size everywhere, and nowhere hangs together."""
    return _is_even(matrix, found, rank, noise) and _is_flat(matrix, found, rank, noise, rng)


def _is_even(matrix: Array, found: _Decomposed, rank: int, noise: WhiteNoise) -> bool:
    """Whether rows, and columns, are all left with noise of the same size.

    And whether none of them is what it is by itself: a row of more noise than the others, or an
    entry, is a singular vector of its own.
    """
    xp = array_namespace(matrix)
    n1, n2 = matrix.shape
    weights = like(found.sizes[:rank] ** 2, matrix)
    sides = ((found.left, -1, n2), (found.right, -2, n1))
    for vectors, axis, others in sides[:1] if found.symmetric else sides:
        spread = vectors[:, :rank] ** 2
        held = to_numpy(xp.sum(spread, axis=1))
        left = to_numpy(xp.linalg.vecdot(matrix, matrix, axis=axis) - spread @ weights)
        if held.max() > _HELD:
            return False
        ratio = left / (noise.deviation**2 * (others - rank) * (1 - held)) - 1.0
        by_chance = 2.0 / (others - rank)
        uneven = float(np.mean(ratio**2)) - by_chance * (1 + 3 * math.sqrt(2.0 / ratio.size))
        if uneven > _UNEVEN:
            return False
    return True


def _is_flat(
    matrix: Array, found: _Decomposed, rank: int, noise: WhiteNoise, rng: np.random.Generator
) -> bool:
    r"""Whether singular values of what is left have the fourth moment that those of noise have.

    Their sum is :math:`\sigma^4 n_1 n_2 (n_1 + n_2)` then, and more where noise is correlated, or
    weak structure is left. Estimated from what random vectors become (Hutchinson). Two passes.
    """
    n1, n2 = matrix.shape
    P, Q = found.left[:, :rank], found.right[:, :rank]
    block = gaussian(rng, (n2, max(_SPARE, _PROBED // n2)), matrix)
    image = matrix @ (block - Q @ (Q.T @ block))
    back = matrix.T @ (image - P @ (P.T @ image))
    fourth = norm(back - Q @ (Q.T @ back)) ** 2 / int(block.shape[1])
    m1, m2 = n1 - rank, n2 - rank
    expected = noise.deviation**4 * m1 * m2 * (m1 + m2)
    return fourth <= (_FLAT + _FLAT_BY_CHANCE / math.sqrt(m1 * m2)) * expected

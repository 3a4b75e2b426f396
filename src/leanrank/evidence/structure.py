r"""Structure that a residual still shows: what further columns would find, against noise.

**Virtual columns.** Append a zero column to W. The Hessian of the penalised objective is then
block diagonal: the block of the existing columns, and for the new column z

.. math:: \langle z, H z\rangle = c_0 |z|^2 +
    \begin{cases} z^\top (G + G^\top) z & X = U U^\top \\
    2 z_U^\top G z_V & X = U V^\top \end{cases}

where G is the gradient of the loss in X and :math:`c_0` the penalty's curvature at zero (mixed
derivatives vanish, since X depends on z to second order only, and p on each column alone). So
the smallest curvature of *any* wider factorisation is the smaller of the active block's and
:math:`c_0 - \lambda_{\max}(-G - G^\top)` or :math:`c_0 - \sigma_{\max}(G)`: one extreme
eigenvalue of a matrix that need not be formed certifies second-order stationarity at every
width, and the eigenvector is the next column to add.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leanrank._arrays import (
    Array,
    MatrixLike,
    array_namespace,
    gaussian,
    like,
    norm,
    to_numpy,
)
from leanrank.factors import Factors
from leanrank.linalg import leading_pairs
from leanrank.policy import EvidencePolicy
from leanrank.problem import Point, Problem

__all__ = [
    "bulk_centre",
    "explained_of_noise",
    "leading_gap",
    "leaves_noise",
    "noise_level",
    "opposed_share",
    "residual_spectral_norm",
    "virtual_columns",
]


_MANY = 100_000
"""Measurements from which singular values of noise hardly differ from draw to draw."""

_FEW = 3
"""Draws that tell them there, and random directions that tell a mean."""


def virtual_columns(
    matrix: MatrixLike, factors: Factors, rng: np.random.Generator, k: int = 1
) -> tuple[Factors, np.ndarray]:
    """Unit columns along which a wider factorisation descends fastest, and how fast.

    Parameters
    ----------
    matrix : MatrixLike
        Gradient G of the loss in X.
    factors : Factors
        Gives shape, symmetry and array namespace.
    rng : Generator
    k : int
        How many.

    Returns
    -------
    columns : Factors
        Of width j <= k, with orthonormal columns in U and V.
    strength : ndarray, shape (j,), decreasing
        Largest eigenvalues of -(G + G^T) if symmetric, singular values of G if not.
    """
    reference = factors.W
    left, values, right = leading_pairs(
        _Negated(matrix), k, rng, reference, symmetric=factors.symmetric
    )
    strength = to_numpy(values) * (2.0 if factors.symmetric else 1.0)
    return Factors(left, None if factors.symmetric else right), strength


@dataclass(frozen=True)
class _Negated:
    matrix: MatrixLike

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape

    @property
    def T(self) -> _Negated:
        return _Negated(self.matrix.T)

    def __matmul__(self, other: Array) -> Array:
        return -(self.matrix @ other)


def bulk_centre(matrix: MatrixLike, factors: Factors, rng: np.random.Generator) -> float:
    """Mean of the strengths that virtual columns have in all directions, by a few random ones.

    Zero where factors are not symmetric. Where they are, quadratic measurements of a positive
    semi-definite matrix lift all directions alike, by its trace.
    """
    if not factors.symmetric:
        return 0.0
    Z = gaussian(rng, (factors.shape[0], _FEW), factors.W)
    along = array_namespace(Z).sum(Z * (matrix @ Z))
    return -2.0 * float(along) / norm(Z) ** 2


def residual_spectral_norm(matrix: MatrixLike, factors: Factors, rng: np.random.Generator) -> float:
    """Spectral norm of what virtual columns see of a gradient in X.

    For symmetric factors of both signs: a residual that no positive semi-definite matrix can
    lower is structure, too.
    """
    sides = (matrix, _Negated(matrix)) if factors.symmetric else (matrix,)
    return max(float(virtual_columns(side, factors, rng)[1][0]) for side in sides)


def noise_level(problem: Problem, point: Point, rng: np.random.Generator, draws: int = 10) -> float:
    """The structure that the residual would show if it were noise.

    Random signs on the residual keep its size measurement by measurement and destroy whatever
    the measurements see in it; one pass a draw. What counts is one standard deviation above the
    mean of the draws: the largest of a few is itself so random, in small problems, that structure
    now and then passes for noise. Of many measurements it is the same for all draws, and a few do.
    """
    levels = []
    for _ in range(draws if problem.op.size < _MANY else min(draws, _FEW)):
        signs = like(rng.integers(0, 2, problem.op.size) * 2.0 - 1.0, problem.y)
        G = problem.gradient_matrix(signs * point.residual)
        levels.append(residual_spectral_norm(G, point.factors, rng))
    return float(np.mean(levels) + np.std(levels))


def leaves_noise(
    problem: Problem,
    point: Point,
    rng: np.random.Generator,
    policy: EvidencePolicy,
    draws: int = 10,
) -> bool:
    """Whether nothing stands out of a residual: a first look, before all of a certificate."""
    G = problem.gradient_matrix(point.residual)
    shown = residual_spectral_norm(G, point.factors, rng)
    return shown <= policy.structure * noise_level(problem, point, rng, draws)


def leading_gap(problem: Problem, point: Point, rng: np.random.Generator, count: int) -> float:
    """Mean of the leading singular values of a residual over those that noise would have.

    Noise is the residual with random signs. One direction may stand out by chance, and weak
    structure may not rise above the strongest direction of noise at all, but many directions at
    once are not lifted by chance: of fits to noise the ratio is at most 1.04, of photographs
    whose strong columns have been taken 1.06 and more.
    """

    def mean(residual: Array) -> float:
        G = problem.gradient_matrix(residual)
        return float(np.mean(virtual_columns(G, point.factors, rng, count)[1]))

    noise = []
    for _ in range(_FEW if problem.op.size < _MANY else 1):
        signs = like(rng.integers(0, 2, problem.op.size) * 2.0 - 1.0, problem.y)
        noise.append(mean(signs * point.residual))
    level = float(np.mean(noise))
    return mean(point.residual) / level if level > 0 else 0.0


def opposed_share(problem: Problem, point: Point, rng: np.random.Generator) -> float:
    r"""Share of the residual's sum of squares that one column of negative sign explains.

    That is, the best :math:`-t z z^\top` along the leading eigenvector z of what no positive
    semi-definite matrix can lower. A share of 1 means that the matrix is indefinite and nothing
    else is wrong, though few entries of different size may hide that from the spectral norm.
    """
    G = problem.gradient_matrix(point.residual)
    column = virtual_columns(_Negated(G), point.factors, rng)[0]
    problem.passes += 1.0
    image = problem.op.forward(column)
    xp = array_namespace(image)
    scores, image = problem.loss.scores(point.residual), problem.loss.standardised(image)
    along, square = float(xp.sum(scores * image)), float(xp.sum(image * image))
    total = norm(scores) ** 2
    return along * along / (square * total) if along > 0 and square > 0 < total else 0.0


def explained_of_noise(new: int, spare: int, policy: EvidencePolicy) -> float:
    """Largest share of noise's sum of squares that ``new`` of ``spare`` degrees of freedom explain.

    See :attr:`EvidencePolicy.explained <leanrank.policy.EvidencePolicy>`.
    """
    return min(policy.explained * new / max(spare, 1), policy.most_explained)

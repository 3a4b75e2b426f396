r"""Sensitivity: how far noise moves the answer, and whether any other fits as well.

Noise :math:`\xi` in the measurements moves the factors by :math:`Z = (J^\top J)^+ J^\top\xi` and
the matrix by D Z, where J and D are the derivatives of measurements and matrix, each measurement in
units of its own noise (times the root of its weight). So the expected
squared error of the matrix is :math:`\sigma^2 \operatorname{tr}(D (J^\top J)^+ D^\top)`. The mean
over a few draws of :math:`\xi` estimates it well where many directions count alike, and badly
where one flat direction outweighs the rest, as it does in blocks that hang together by few
entries: its share of a draw is that of one normal number squared. Therefore the flattest direction
is added at its expectation. It is what inverse iteration makes of a random direction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from leanrank._arrays import Array, array_namespace, gaussian, norm, to_numpy
from leanrank.factors import Factors
from leanrank.linalg import ConjugateGradients, conjugate_gradients
from leanrank.operators import Tangent
from leanrank.problem import Point, Problem

__all__ = [
    "Sensitivity",
    "change_of_matrix",
    "gauss_newton_step",
    "is_bounded",
    "noise_deviation",
    "normal_inverse",
    "probed",
    "random_pull_back",
    "sensitivity",
]

_TIGHT = 1e-3
_MOST_ITERATIONS = 500
_BLOCK = 2.0
"""Rows, counted by how much they move, from which a direction turns a block of them."""
_MOST_LEVERAGE = 0.95
"""Leverages come from few draws, and are not told from 1 beyond this."""


@dataclass(frozen=True)
class Sensitivity:
    """How the factors answer to noise in the measurements.

    Attributes
    ----------
    identifiability : float
        Smallest curvature along directions that change X, relative to each factor row's own.
    changes : tuple of Factors or None
        Changes of X whose squares add up to the expected squared error, on any set of entries;
        None where nothing bounds it.
    strain, held_by : float
        Where the flattest direction turns a block of rows of a symmetric matrix: how badly the
        measurements that hold it are missed (above 1 worse than by noise), and how many they are.
        A block that few hold, or that strains at them, may fit as well turned another way, which
        no derivative shows. 0 and infinite where nothing turns.
    missed : float
        Mean square error of measurements that are left out, over that of noise.
    """

    identifiability: float
    changes: tuple[Factors, ...] | None
    strain: float = 0.0
    held_by: float = math.inf
    missed: float = math.inf

    @property
    def error(self) -> float:
        """Root of the expected squared error of X, in Frobenius norm."""
        if self.changes is None:
            return math.inf
        return math.sqrt(sum(change.norm() ** 2 for change in self.changes))


def noise_deviation(problem: Problem, point: Point, unknowns: int | None = None) -> float:
    """Standard deviation of the noise that leaves such a residual; infinite if anything fits.

    The one place where a residual is taken for noise of some size. At least rounding. The
    ``unknowns`` are those of the factors where they are not given.
    """
    unknowns = problem.unknowns(point.factors) if unknowns is None else unknowns
    deviation = problem.loss.deviation(point.residual, unknowns)
    eps = float(array_namespace(problem.y).finfo(problem.y.dtype).eps)
    size = norm(problem.loss.standardised(problem.y))
    return math.hypot(deviation, eps * size / problem.op.size**0.5)


def sensitivity(
    problem: Problem, point: Point, tangent: Tangent, rng: np.random.Generator, draws: int
) -> Sensitivity:
    """Solve with the Gauss-Newton matrix for a random direction and for draws of noise.

    The first changes X, and has a solution only if no direction that does is flat.

    Parameters
    ----------
    problem : Problem
    point : Point
        Balanced factors without empty columns, at least one.
    tangent : Tangent
        There.
    rng : Generator
    draws : int
        Of noise.
    """
    factors, deviation = point.factors, noise_deviation(problem, point)
    xp = array_namespace(factors.W)
    standardised = problem.loss.standardised
    solve, unit = normal_inverse(problem, tangent, problem.loss.weights)
    b, probe = probed(problem, factors, solve, rng)
    identifiability = max(probe.smallest_ritz, 0.0) if probe.residual <= _TIGHT else 0.0
    if not is_bounded(probe) or not math.isfinite(deviation):
        return Sensitivity(identifiability, None)
    # Inverse iteration: another step of it, as far as draws of noise are worth more than one.
    flat = probe.x
    if draws > 1:
        gauges = problem.op.gauges(factors)
        b = _seen(_pull_back(change_of_matrix(flat, factors), factors), gauges)
        flat = solve(b).x
    curvature = float(xp.sum(flat * b))
    shifts = []
    if curvature > 0:
        shifts.append(flat * (deviation / math.sqrt(unit * curvature)))
    for _ in range(draws):
        xi = gaussian(rng, (problem.op.size,), problem.y) * (deviation / math.sqrt(draws))
        problem.passes += tangent.apply_cost
        shifts.append(solve(tangent.rmatvec(standardised(xi)) / unit).x)
    changes = tuple(change_of_matrix(Z, factors) for Z in shifts)
    problem.passes += len(shifts) * tangent.apply_cost
    turned, leverage = np.zeros(0), np.zeros(problem.op.size)
    for Z in shifts:
        moved = (to_numpy(standardised(tangent.matvec(Z))) / deviation) ** 2
        leverage += moved
        turned = turned if turned.size else moved
    strain, held_by = 0.0, math.inf
    if draws > 1 and curvature > 0 and factors.symmetric and _turns_a_block(flat):
        scores = problem.loss.scores(point.residual) / problem.loss.mean_curvature(point.residual)
        fit = (to_numpy(scores) / deviation) ** 2
        strain, held_by = _strain(turned, fit), _number(turned)
    return Sensitivity(identifiability, changes, strain, held_by, _missed(leverage))


def probed(
    problem: Problem,
    factors: Factors,
    solve: Callable[[Array], ConjugateGradients],
    rng: np.random.Generator,
) -> tuple[Array, ConjugateGradients]:
    """A random direction that changes X, as the gradient in W that it gives, and its solution."""
    b = _seen(random_pull_back(factors, rng), problem.op.gauges(factors))
    return b, solve(b)


def is_bounded(probe: ConjugateGradients) -> bool:
    """Whether no direction was met that no measurement sees: there conjugate gradients end early.

    A random direction meets all of those; draws of noise meet none.
    """
    return probe.residual <= _TIGHT or probe.iterations >= _MOST_ITERATIONS


def _turns_a_block(Z: Array) -> bool:
    """Whether a direction moves several rows; one is a matter of linear least squares."""
    return _number(to_numpy(array_namespace(Z).sum(Z * Z, axis=1))) > _BLOCK


def _number(weights: np.ndarray) -> float:
    """How many equal weights would be as unequal as these."""
    return float(np.sum(weights) ** 2 / np.sum(weights**2))


def _strain(weights: np.ndarray, fit: np.ndarray) -> float:
    """Weighted mean of squared residuals in units of noise, over its thousandth largest of noise.

    The weights, which add up to 1, say how much of a direction hangs on each measurement.
    """
    few = 1.0 / _number(weights)
    mean = float(np.sum(weights * fit / np.maximum(1.0 - weights, few)))
    return mean / (1.0 + 3.0 * math.sqrt(2.0 * few) + 6.0 * few)


def _missed(leverage: np.ndarray) -> float:
    """Mean of 1 / (1 - h): what a measurement that is left out is missed by, in units of noise."""
    return float(np.mean(1.0 / (1.0 - np.minimum(leverage, _MOST_LEVERAGE))))


def _seen(b: Array, gauges: Array) -> Array:
    """A direction of unit length, or zero, without what eliminated unknowns could take over."""
    if gauges.shape[0]:
        xp = array_namespace(b)
        flat = xp.reshape(gauges, (gauges.shape[0], -1))
        basis = xp.linalg.qr(flat.T)[0]
        vector = xp.reshape(b, (-1,))
        b = xp.reshape(vector - basis @ (basis.T @ vector), b.shape)
    return b / (norm(b) or 1.0)  # zero is what is left where all that it could be is flat


def normal_inverse(
    problem: Problem, tangent: Tangent, weights: Array | None, shift: Array | float = 0.0
) -> tuple[Callable[..., ConjugateGradients], float]:
    """Solutions of (J^T diag(weights) J + diag(shift)) Z = unit B, and the unit.

    That is the largest curvature: in units of it nothing overflows, however the operator is scaled.
    The tolerance of a solution may be given.
    """
    W = tangent.factors.W
    xp = array_namespace(W)
    unit = float(xp.max(tangent.column_curvature(weights)))
    eps = float(xp.finfo(W.dtype).eps)
    damping = xp.full_like(W[0, :], eps * unit) + shift
    precondition = tangent.preconditioner(damping, weights)

    def inverse(R: Array) -> Array:
        return precondition(R) * unit

    def normal(Z: Array) -> Array:
        problem.passes += tangent.normal_cost
        return (tangent.normal(Z, weights) + Z * shift) / unit

    def solve(B: Array, tol: float = _TIGHT) -> ConjugateGradients:
        return conjugate_gradients(normal, B, inverse, tol=tol, max_iter=_MOST_ITERATIONS)

    return solve, unit


def change_of_matrix(Z: Array, factors: Factors) -> Factors:
    """First-order change of X when W moves by Z, in factored form (never symmetric)."""
    xp = array_namespace(Z)
    if factors.symmetric:
        return Factors(xp.concat([Z, factors.U], axis=1), xp.concat([factors.U, Z], axis=1))
    n1 = factors.shape[0]
    left, right = [Z[:n1, :], factors.U], [factors.V, Z[n1:, :]]
    return Factors(xp.concat(left, axis=1), xp.concat(right, axis=1))


def random_pull_back(factors: Factors, rng: np.random.Generator) -> Array:
    """The gradient in W that a random gradient in X gives: of every direction that changes X.

    And of no other, such as rotations of the factors.
    """
    (n1, n2), q = factors.shape, 2 * factors.width
    A, B = gaussian(rng, (n1, q), factors.W), gaussian(rng, (n2, q), factors.W)
    return _pull_back(Factors(A, B), factors)


def _pull_back(gradient: Factors, factors: Factors) -> Array:
    """D^T G for a G in factored form."""
    left = gradient.U @ (gradient.V.T @ factors.V)
    right = gradient.V @ (gradient.U.T @ factors.U)
    xp = array_namespace(factors.W)
    return left + right if factors.symmetric else xp.concat([left, right], axis=0)


def gauss_newton_step(problem: Problem, factors: Factors, shift: Array) -> Array:
    """The change of W that fits the measurements best, to first order.

    ``shift``, of shape (k,), is what a penalty adds to the curvature of each column.
    """
    point, tangent = problem.linearise(factors)
    scale, weights = problem.majoriser(point.residual)
    slope = tangent.rmatvec(problem.op.weight * problem.loss.slope(point.residual)) / scale
    shift = shift * (2.0 * problem.op.weight / scale)
    slope = slope + factors.W * shift
    solve, unit = normal_inverse(problem, tangent, weights, shift)
    return solve(-slope / unit).x

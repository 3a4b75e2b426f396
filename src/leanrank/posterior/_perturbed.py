r"""Draws from the posterior by perturbed solves, for measurements of any kind.

.. math:: \left(J^\top C J / \sigma^2 + L\right) z
    = J^\top C\, \varepsilon / \sigma^2 + L^{1/2} \eta, \qquad
    \varepsilon \sim N(0, \sigma^2 C^{-1}), \quad \eta \sim N(0, I)

has the inverse of the matrix on the left as its covariance, that of the factors' posterior to first
order (Laplace), where C are the weights of the measurements, J their derivative and L the precision
of the prior (Papandreou and Yuille 2010). So a draw costs a solve with the conjugate gradients that
certificates have.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, gaussian, to_numpy
from leanrank._guidance import check_penalty
from leanrank.evidence.sensitivity import is_bounded, noise_deviation, normal_inverse, probed
from leanrank.factors import Factors, check_factors
from leanrank.operators import Tangent
from leanrank.penalties import Penalty
from leanrank.posterior._posterior import Posterior
from leanrank.problem import Point, Problem

__all__ = ["perturbed"]

_TOLERANCE = 1e-3
"""Of a draw's solution, where the measurements determine it."""

_WEAKEST = 1e-11
"""Precision of a prior, over the largest of the measurements, below which it bounds nothing."""


def perturbed(
    problem: Problem,
    factors: Factors,
    rng: np.random.Generator,
    size: int = 50,
    prior: Penalty | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Posterior:
    r"""A sample of the posterior around fitted factors: W + z for draws of z.

    Under no prior z has the covariance :math:`\sigma^2 (J^\top C J)^+`, the inverse Fisher
    information. The variance of the noise is that of the residual; where the loss is not quadratic,
    that of its scores (a sandwich). An exact fit leaves no noise, and its draws are all the same
    but for rounding.

    Parameters
    ----------
    problem : Problem
    factors : Factors
        Where its objective is least; symmetric ones have symmetric draws.
    rng : Generator
    size : int
        Number of draws, two at least.
    prior : Penalty, optional
        What the factors were penalised by, in the units of the mean loss; the problem's penalty by
        default. A normal prior for each column, of the precision that its gradient weights stand
        for.
    progress : callable
        Called with the number of draws so far.

    Returns
    -------
    Posterior
        With method "perturbation", in the floating-point type of the factors.

    Raises
    ------
    ValueError
        If the measurements do not determine the matrix at this rank, or are too few to tell the
        noise from, and no prior makes up for it.

    Examples
    --------
    >>> import numpy as np
    >>> import leanrank as lr
    >>> inst = lr.simulate.dense_sensing(10, 1, m=60, symmetric=True, noise=0.1, random_state=0)
    >>> problem = lr.Problem(inst.op, inst.y)
    >>> factors = lr.recover(inst.op, inst.y, symmetric=True).factors
    >>> posterior = perturbed(problem, factors, np.random.default_rng(0))
    >>> low, high = posterior.interval(np.arange(10), np.arange(10)[:, None])
    >>> truth = inst.truth.to_dense()
    >>> bool(np.mean((low <= truth) & (truth <= high)) > 0.9)
    True
    """
    size = _checks.whole_number(size, "size", least=2)
    check_penalty(prior)
    factors = check_factors(factors, "factors").compress()
    problem = problem if prior is None else problem.with_penalty(prior)
    point, tangent = problem.linearise(factors)
    n1, n2 = factors.shape
    if factors.width:
        shifts, deviation = _shifts(problem, point, tangent, rng, size, progress)
    else:
        shifts = np.zeros((size, *factors.W.shape), to_numpy(factors.W).dtype)
        deviation = noise_deviation(problem, point)
    W = to_numpy(factors.W) + deviation * shifts
    left = W[:, :n1]
    right = left if factors.symmetric else W[:, n1:]
    noise = np.full(n2, deviation**2)
    return Posterior(factors, left, right, noise, method="perturbation")


def _shifts(
    problem: Problem,
    point: Point,
    tangent: Tangent,
    rng: np.random.Generator,
    size: int,
    progress: Callable[[int], None],
) -> tuple[np.ndarray, float]:
    """Draws of z for noise of unit size, shape (size, rows, k), and the size that it has."""
    factors, loss = point.factors, problem.loss
    xp = array_namespace(factors.W)
    curvature = 2.0 * problem.op.weight * loss.mean_curvature(point.residual)
    if curvature == 0:
        raise ValueError("every measurement is an outlier to the loss: none says anything")
    shift = problem.penalty.weights(factors.W) / curvature
    solve, unit = normal_inverse(problem, tangent, loss.weights, shift)
    # A direction that the prior alone bounds makes little of a draw's right-hand side, and most of
    # its solution.
    least = float(xp.min(shift)) / unit
    tol = _TOLERANCE * math.sqrt(min(least, 1.0) if least >= _WEAKEST else 1.0)
    if least < _WEAKEST and not is_bounded(probed(problem, factors, solve, rng)[1]):
        raise ValueError(
            f"op does not determine a matrix of rank {factors.width}, whose entries then have no "
            "bounds: pass a stronger prior, such as Ridge, or factors of lower rank"
        )
    shifts, fitted = np.empty((size, *factors.W.shape), to_numpy(factors.W).dtype), 0.0
    for t in range(size):
        xi = gaussian(rng, (problem.op.size,), problem.y)
        eta = xp.sqrt(shift) * gaussian(rng, tuple(factors.W.shape), factors.W)
        z = solve((tangent.rmatvec(loss.standardised(xi)) + eta) / unit, tol).x
        problem.passes += 2.0 * tangent.apply_cost
        fitted += float(xp.sum(xi * loss.standardised(tangent.matvec(z)))) / size
        shifts[t] = to_numpy(_without_turns(z, factors))
        progress(t + 1)
    # Under a prior a fit follows less of the noise than it has parameters.
    unknowns = problem.unknowns(factors)
    if problem.penalised:
        unknowns = min(unknowns, round(fitted) + problem.op.eliminated)
    deviation = noise_deviation(problem, point, unknowns)
    if not math.isfinite(deviation):
        raise ValueError(
            f"the {problem.op.size} measurements are no more than the {unknowns} unknowns of a "
            f"matrix of rank {factors.width}, and leave nothing to tell the noise from: pass a "
            "prior, such as Ridge, or factors of lower rank"
        )
    return shifts, deviation


def _without_turns(Z: Array, factors: Factors) -> Array:
    """A change of balanced factors less the part that leaves X as it is, to first order.

    Only a prior bounds that part. It would show in the product of the changes of both factors.
    """
    xp = array_namespace(Z)
    sums = xp.sum(factors.U**2, axis=0)
    sums = sums[:, None] + sums[None, :]
    if factors.symmetric:
        core = factors.U.T @ Z
        return Z - factors.U @ ((core - core.T) / sums)
    n1 = factors.shape[0]
    core = (factors.U.T @ Z[:n1, :] - (factors.V.T @ Z[n1:, :]).T) / sums
    return Z - xp.concat([factors.U @ core, -factors.V @ core.T], axis=0)

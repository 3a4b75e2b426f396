"""Sensitivity: how far noise moves the answer, and whether any other fits as well."""

from __future__ import annotations

import math

import numpy as np

from leanrank._arrays import Array, array_namespace, gaussian, norm
from leanrank.factors import Factors
from leanrank.linalg import conjugate_gradients
from leanrank.operators import Tangent
from leanrank.problem import Point, Problem

__all__ = ["change_of_matrix", "off_rotations", "sensitivity"]


def sensitivity(
    problem: Problem, point: Point, tangent: Tangent, rng: np.random.Generator
) -> tuple[float, float]:
    """Identifiability of the factors, and the relative error that noise causes.

    Both come from solving with the Gauss-Newton matrix: for a random direction off the rotations
    of the factors, which has a solution only if no other direction is flat; and for noise of the
    residual's size.
    """
    factors = point.factors
    xp = array_namespace(factors.W)
    eps = float(xp.finfo(factors.W.dtype).eps)
    columns = tangent.column_curvature()
    # In units of the largest curvature nothing overflows, however the operator is scaled.
    unit = float(xp.max(columns))
    columns = columns / unit
    precondition = tangent.preconditioner(xp.full_like(columns, eps * unit))

    def inverse(R: Array) -> Array:
        return precondition(R) * unit

    def normal(Z: Array) -> Array:
        problem.passes += tangent.normal_cost
        return tangent.normal(Z) / unit

    direction = gaussian(rng, tuple(factors.W.shape), factors.W) * xp.sqrt(columns)
    probe = conjugate_gradients(
        normal, off_rotations(direction, factors), inverse, tol=1e-3, max_iter=500
    )
    identifiability = max(probe.smallest_ritz, 0.0) if probe.residual <= 1e-3 else 0.0
    m, dof = problem.op.size, problem.unknowns(factors)
    if m <= dof:
        return identifiability, math.inf
    noise = math.hypot(norm(point.residual) / math.sqrt(m - dof), eps * norm(problem.y) / m**0.5)
    xi = noise * gaussian(rng, (m,), problem.y)
    pulled = tangent.rmatvec(xi) / unit
    shift = conjugate_gradients(normal, pulled, inverse, tol=1e-2, max_iter=200).x
    return identifiability, change_of_matrix(shift, factors) / factors.norm()


def change_of_matrix(Z: Array, factors: Factors) -> float:
    """Frobenius norm of the first-order change of X when W moves by Z."""
    xp = array_namespace(Z)
    Zu, Zv = (Z, Z) if factors.symmetric else (Z[: factors.shape[0], :], Z[factors.shape[0] :, :])
    left, right = xp.concat([Zu, factors.U], axis=1), xp.concat([factors.V, Zv], axis=1)
    return Factors(left, right).norm()


def off_rotations(Z: Array, factors: Factors) -> Array:
    """The part of a direction that is orthogonal to changes of basis, for balanced factors."""
    xp = array_namespace(Z)
    U, V = factors.U, factors.V
    squares = xp.sum(U * U, axis=0)
    tiny = float(xp.finfo(factors.W.dtype).smallest_normal)
    sums = xp.clip(squares[:, None] + squares[None, :], min=tiny)
    if factors.symmetric:
        cross = U.T @ Z
        return Z - U @ ((cross - cross.T) / sums)
    Zu, Zv = Z[: factors.shape[0], :], Z[factors.shape[0] :, :]
    mix = (U.T @ Zu - Zv.T @ V) / sums
    return Z - xp.concat([U @ mix, -(V @ mix.T)], axis=0)

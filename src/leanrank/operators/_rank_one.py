"""Rank-one sensing: quadratic measurements and quadratic networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, ArrayLike, MatrixLike, array_namespace, integers
from leanrank.factors import Factors
from leanrank.operators._base import Measurement
from leanrank.operators._tangent import ExplicitTangent, Tangent

__all__ = ["RankOneSensing"]


class RankOneSensing(Measurement):
    r"""Measurements :math:`y_i = x_i^\top X x_i`, or :math:`x_i^\top X z_i`, matrix-free.

    The hidden layer of a network with quadratic activations: for :math:`X = U U^\top`,
    :math:`y_i = \sum_j (x_i^\top u_j)^2`. For standard normal x and z the mean of
    :math:`\langle A_i, X\rangle^2` is :math:`|X|_F^2`; for :math:`x x^\top` it is
    :math:`2|X|_F^2 + (\operatorname{tr} X)^2`. A pass costs m (n1 + n2) k, never m n1 n2.

    Parameters
    ----------
    x : array, shape (m, n1)
    z : array, shape (m, n2), optional
        Left out: :math:`A_i = x_i x_i^\top`, which sees only the symmetric part of X.

    Raises
    ------
    ValueError
        If the arrays are not matrices with the same number of rows, or not finite.
    TypeError
        If they are complex or not numeric, or differ in dtype.

    Examples
    --------
    >>> import numpy as np
    >>> RankOneSensing(np.array([[1.0, 2.0]])).forward(Factors(np.eye(2)))
    array([5.])
    """

    def __init__(self, x: ArrayLike, z: ArrayLike | None = None) -> None:
        self.x = _checks.real_array(x, "x", ndim=2)
        self.z = self.x if z is None else _checks.real_array(z, "z", ndim=2)
        if self.x.shape[0] != self.z.shape[0]:
            raise ValueError(
                "x and z must have the same number of rows (measurements), got "
                f"{self.x.shape[0]} and {self.z.shape[0]}"
            )
        if self.x.dtype != self.z.dtype:
            raise TypeError(
                f"x and z must have the same dtype, got {self.x.dtype} and {self.z.dtype}"
            )
        if 0 in (*self.x.shape, *self.z.shape):
            raise ValueError(
                f"x and z must not be empty, got {tuple(self.x.shape)}, {tuple(self.z.shape)}"
            )
        self.shape = (int(self.x.shape[1]), int(self.z.shape[1]))
        self.size = int(self.x.shape[0])
        self.symmetric = z is None

    @property
    def reference(self) -> Array:
        return self.x

    def subset(self, index: np.ndarray) -> RankOneSensing:
        xp = array_namespace(self.x)
        take = integers(self._indices(index), self.x)
        x = xp.take(self.x, take, axis=0)
        return RankOneSensing(x, None if self.symmetric else xp.take(self.z, take, axis=0))

    def matrices(self, index: np.ndarray) -> Array:
        op = self.subset(index)
        return op.x[:, :, None] * op.z[:, None, :]

    def forward(self, factors: Factors) -> Array:
        left = self.x @ factors.U
        right = left if self.symmetric and factors.symmetric else self.z @ factors.V
        return array_namespace(self.x).sum(left * right, axis=1)

    def adjoint(self, residual: Array) -> MatrixLike:
        return _WeightedOuter(self.x, residual, self.z)

    def tangent(self, factors: Factors) -> Tangent:
        xp = array_namespace(self.x)
        rows, k = factors.W.shape
        if k == 0 or self.size * rows * k > 1 << 24:
            return _RankOneTangent(self, factors)
        left = self.x @ factors.U
        if self.symmetric and factors.symmetric:
            right, J = left, (2.0 * left)[:, :, None] * self.x[:, None, :]
        else:
            right = self.z @ factors.V
            J = right[:, :, None] * self.x[:, None, :]
            J_right = left[:, :, None] * self.z[:, None, :]
            J = J + J_right if factors.symmetric else xp.concat([J, J_right], axis=2)
        value = xp.sum(left * right, axis=1)
        cost = rows * k / sum(self.shape)
        return ExplicitTangent(self, factors, xp.reshape(J, (self.size, -1)), value, cost)


class _RankOneTangent(Tangent):
    """J applied through the projections x U and z V, computed once: m (n1 + n2) k a product."""

    def __init__(self, op: RankOneSensing, factors: Factors) -> None:
        self.left, self.right = op.x @ factors.U, op.z @ factors.V
        value = array_namespace(op.x).sum(self.left * self.right, axis=1)
        super().__init__(op, factors, value)

    def matvec(self, Z: Array) -> Array:
        op, f = self.op, self.factors
        Zu, Zv = (Z, Z) if f.symmetric else (Z[: op.shape[0], :], Z[op.shape[0] :, :])
        return array_namespace(Z).sum((op.x @ Zu) * self.right + self.left * (op.z @ Zv), axis=1)

    def rmatvec(self, t: Array) -> Array:
        op = self.op
        left = op.x.T @ (self.right * t[:, None])
        right = op.z.T @ (self.left * t[:, None])
        if self.factors.symmetric:
            return left + right
        return array_namespace(t).concat([left, right], axis=0)


@dataclass(frozen=True)
class _WeightedOuter:
    """x^T diag(weights) z as something that multiplies."""

    x: Array
    weights: Array
    z: Array

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.x.shape[1]), int(self.z.shape[1])

    @property
    def T(self) -> _WeightedOuter:
        return _WeightedOuter(self.z, self.weights, self.x)

    def __matmul__(self, other: Array) -> Array:
        product = self.z @ other
        weights = self.weights if product.ndim == 1 else self.weights[:, None]
        return self.x.T @ (product * weights)

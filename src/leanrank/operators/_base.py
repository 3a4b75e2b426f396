"""What a measurement operator is, and its linearisation at given factors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import (
    Array,
    MatrixLike,
    array_namespace,
    device_of,
    is_array,
    is_numpy_array,
    like,
)
from leanrank._display import one_line, operator_html
from leanrank.factors import Factors
from leanrank.operators import _kernels

__all__ = ["ExplicitTangent", "Measurement", "Tangent", "pull_back"]

_WIDE = 32
"""Columns from which the sum of a matrix and its transpose costs less than a second product."""


class Measurement(ABC):
    r"""A linear map from n1 x n2 matrices to m measurements :math:`y_i = \langle A_i, X\rangle`.

    Attributes
    ----------
    shape : tuple of int
        (n1, n2) of the matrices that are measured.
    size : int
        Number of measurements m.
    symmetric : bool
        Whether only the symmetric part of X is seen (then only symmetric X can be recovered).
    weight : float
        The number that a squared residual is multiplied with in the loss; 1/m but for the
        population loss.
    eliminated : int
        Number of unknowns besides X that were eliminated, each at the price of a measurement.
    """

    shape: tuple[int, int]
    size: int
    symmetric: bool = False
    eliminated: int = 0

    @property
    def weight(self) -> float:
        return 1.0 / self.size

    @property
    @abstractmethod
    def reference(self) -> Array:
        """Some array of the operator's: its namespace, dtype and device are the operator's."""

    @abstractmethod
    def forward(self, factors: Factors) -> Array:
        """Measurements of the matrix, shape (m,). One pass."""

    @abstractmethod
    def adjoint(self, residual: Array) -> MatrixLike:
        r""":math:`\sum_i \text{residual}_i A_i`, something n1 x n2 that multiplies. One pass."""

    @abstractmethod
    def subset(self, index: np.ndarray) -> Measurement:
        """The operator of the measurements with the given indices, in that order.

        Raises
        ------
        ValueError
            If there are none, or some lie outside [0, m).
        TypeError
            If they are not integers.
        """

    def matrices(self, index: np.ndarray) -> Array:
        """The sensing matrices :math:`A_i` of some measurements, shape (len(index), n1, n2).

        For a few at a time, where no operator pays: solvers that take them one by one.

        Raises
        ------
        ValueError, TypeError
            As :meth:`subset`.
        """
        op, xp = self.subset(index), array_namespace(self.reference)
        units, columns = np.eye(op.size), like(np.eye(self.shape[1]), self.reference)
        return xp.stack([op.adjoint(like(unit, self.reference)) @ columns for unit in units])

    def _indices(self, index: np.ndarray) -> np.ndarray:
        """Indices of measurements, checked."""
        index = _checks.positions(index, "index", self.size)
        if index.size == 0:
            raise ValueError("index is empty: at least one measurement must be kept")
        return index

    def tangent(self, factors: Factors) -> Tangent:
        """The derivative of ``forward`` at ``factors``."""
        return Tangent(self, factors)

    def residual_and_adjoint(self, factors: Factors, y: Array) -> tuple[Array, MatrixLike, float]:
        """Residual, its adjoint, and the passes they took (fewer where one sweep does both)."""
        residual = self.forward(factors) - y
        return residual, self.adjoint(residual), 2.0

    def residuals_and_adjoints(
        self, many: Sequence[Factors], y: Array
    ) -> tuple[list[Array], list[MatrixLike], float]:
        """As :meth:`residual_and_adjoint` for many factors at once, of the same measurements."""
        found = [self.residual_and_adjoint(factors, y) for factors in many]
        return [r for r, _, _ in found], [S for _, S, _ in found], sum(cost for _, _, cost in found)

    def undetermined(self, rank: int, symmetric: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of X that the measurements cannot determine at this rank."""
        none = np.zeros(0, dtype=np.intp)
        return none, none

    def core(self, least: int, symmetric: bool = False) -> np.ndarray | None:
        """Indices of the measurements among rows and columns that have at least so many each.

        None where that is all of them. What lies outside adds unknowns and hardly constraints,
        and can trap a solver: a row seen in as few entries as the rank fits whatever the other
        factor is, if need be with huge values.
        """
        return None

    def extend(self, factors: Factors, y: Array, inside: np.ndarray, noise: float) -> Factors:
        """Factors that were fitted to a core, with the rows outside it estimated from the rest."""
        return factors

    def __repr__(self) -> str:
        return one_line(type(self).__name__, shape=self.shape, size=self.size)

    def _repr_html_(self) -> str:
        return operator_html(self)


class Tangent:
    r"""The linearised operator :math:`J(Z) = \mathcal A(Z_U V^\top + U Z_V^\top)` at factors.

    ``value`` is ``forward(factors)``. ``Z`` has the shape of the stacked W; for symmetric
    factors :math:`J(Z) = \mathcal A(Z U^\top + U Z^\top)`. This class applies the operator
    itself; operators with something faster derive from it.

    Attributes
    ----------
    build_cost, apply_cost : float
        Passes over the measurements that building it took (``value`` included) and that one
        ``matvec`` or ``rmatvec`` takes.
    normal_cost : float
        Passes of one ``normal``: less than twice ``apply_cost`` where it is a single sweep.
    """

    build_cost: float = 1.0
    apply_cost: float = 1.0

    def __init__(self, op: Any, factors: Factors, value: Array | None = None) -> None:
        self.op = op
        self.factors = factors
        self.value = op.forward(factors) if value is None else value

    @property
    def normal_cost(self) -> float:
        return 2.0 * self.apply_cost

    def matvec(self, Z: Array) -> Array:
        """J Z, shape (m,)."""
        f, xp = self.factors, array_namespace(Z)
        if f.symmetric:
            left, right = [Z, f.U], [f.U, Z]
        else:
            n1 = f.shape[0]
            left, right = [Z[:n1, :], f.U], [f.V, Z[n1:, :]]
        return self.op.forward(Factors(xp.concat(left, axis=1), xp.concat(right, axis=1)))

    def rmatvec(self, t: Array) -> Array:
        """J^T t, the shape of W."""
        return pull_back(self.op.adjoint(t), self.factors)

    def normal(self, Z: Array) -> Array:
        """J^T J Z."""
        return self.rmatvec(self.matvec(Z))

    def column_curvature(self) -> Array:
        """Mean diagonal of J^T J in each column of W, shape (k,)."""
        f = self.factors
        xp = array_namespace(f.W)
        scale = self._scale()
        rows = f.W.shape[0]
        if f.symmetric:
            return 2.0 * (1.0 + 1.0 / rows) * scale * xp.sum(f.W * f.W, axis=0)
        n1, n2 = f.shape
        left, right = xp.sum(f.U * f.U, axis=0), xp.sum(f.V * f.V, axis=0)
        return scale * (n1 * right + n2 * left) / rows

    def _scale(self) -> float:
        """Mean of <A_i, X>^2 summed over i for a matrix of unit norm, estimated at X itself."""
        xp = array_namespace(self.value)
        size = self.factors.norm()
        return float(xp.sum(self.value * self.value)) / size**2 if size > 0 else 1.0

    def preconditioner(self, damping: Array) -> Callable[[Array], Array]:
        """An approximate inverse of J^T J + diag(damping) on columns (damping of shape (k,)).

        Here the population Hessian's block: the Gram matrix of the other factor, scaled to the
        operator.
        """
        f = self.factors
        xp = array_namespace(f.W)
        damping = damping + float(xp.finfo(f.W.dtype).smallest_normal)
        shift = xp.eye(f.width, dtype=f.W.dtype, device=device_of(f.W)) * damping
        scale = self._scale()
        if f.symmetric:
            inverse = xp.linalg.inv(2.0 * scale * (f.U.T @ f.U) + shift)
            return lambda R: R @ inverse
        left = xp.linalg.inv(scale * (f.V.T @ f.V) + shift)
        right = xp.linalg.inv(scale * (f.U.T @ f.U) + shift)
        n1 = f.shape[0]
        return lambda R: xp.concat([R[:n1, :] @ left, R[n1:, :] @ right], axis=0)


class ExplicitTangent(Tangent):
    """A tangent that holds its matrix J, shape (m, k * rows): built in one pass, then cheap.

    The directions that J is multiplied with run along W column by column.
    """

    def __init__(
        self, op: Any, factors: Factors, jacobian: Array, value: Array, apply_cost: float
    ) -> None:
        super().__init__(op, factors, value)
        self.jacobian = jacobian
        self.apply_cost = apply_cost

    @property
    def normal_cost(self) -> float:
        return (1.0 if is_numpy_array(self.jacobian) else 2.0) * self.apply_cost

    def _vector(self, Z: Array) -> Array:
        return array_namespace(Z).reshape(Z.T, (-1,))

    def _matrix(self, vector: Array) -> Array:
        rows, k = self.factors.W.shape
        return array_namespace(vector).reshape(vector, (k, rows)).T

    def matvec(self, Z: Array) -> Array:
        return self.jacobian @ self._vector(Z)

    def rmatvec(self, t: Array) -> Array:
        return self._matrix(t @ self.jacobian)

    def normal(self, Z: Array) -> Array:
        return self.weighted_normal(Z, None)

    def weighted_normal(self, Z: Array, weights: Array | None) -> Array:
        """J^T diag(weights) J Z, in one sweep where J is a NumPy array."""
        J = self.jacobian
        if not is_numpy_array(J):
            t = self.matvec(Z)
            return self.rmatvec(t if weights is None else t * weights)
        m, n = J.shape
        vector = np.asarray(self._vector(Z), dtype=J.dtype)
        shift, out, total = np.zeros(m, J.dtype), np.empty(m, J.dtype), np.empty(n, J.dtype)
        _kernels.sweep(J, vector, shift, shift + 1 if weights is None else weights, out, total)
        return self._matrix(total)

    def column_curvature(self) -> Array:
        xp = array_namespace(self.jacobian)
        rows, k = self.factors.W.shape
        J = xp.reshape(self.jacobian, (-1, k, rows))
        if is_numpy_array(J):
            return np.einsum("icr,icr->c", J, J) / rows
        return xp.linalg.vector_norm(J, axis=(0, 2)) ** 2 / rows


def pull_back(matrix: Any, factors: Factors) -> Array:
    """The gradient in W that a gradient in X gives: (G V; G^T U), or (G + G^T) U if symmetric."""
    xp = array_namespace(factors.W)
    if factors.symmetric and factors.width >= _WIDE and is_array(matrix):
        return (matrix + matrix.T) @ factors.U
    left = matrix @ factors.V
    right = matrix.T @ factors.U
    return left + right if factors.symmetric else xp.concat([left, right], axis=0)

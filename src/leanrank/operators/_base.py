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
    to_numpy,
)
from leanrank._display import one_line, operator_html
from leanrank.factors import Factors
from leanrank.operators import _kernels
from leanrank.operators._pattern import Pattern

__all__ = [
    "ExplicitTangent",
    "Measurement",
    "Tangent",
    "block_preconditioner",
    "ones_or",
    "pull_back",
]

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
        index, position = np.unique(self._indices(index), return_inverse=True)
        op, xp = self.subset(index), array_namespace(self.reference)
        units, columns = np.eye(op.size), like(np.eye(self.shape[1]), self.reference)
        each = [op.adjoint(like(unit, self.reference)) @ columns for unit in units]
        return xp.stack([each[i] for i in position])

    def _indices(self, index: np.ndarray) -> np.ndarray:
        """Indices of measurements, checked."""
        index = _checks.positions(index, "index", self.size)
        if index.size == 0:
            raise ValueError("index is empty: at least one measurement must be kept")
        return index

    def tangent(self, factors: Factors) -> Tangent:
        """The derivative of ``forward`` at ``factors``."""
        return Tangent(self, factors)

    def residual_and_adjoint(
        self, factors: Factors, y: Array, weights: Array | None = None
    ) -> tuple[Array, MatrixLike, float]:
        """Residual, the adjoint of it times ``weights`` (ones if None), and the passes they took.

        Fewer passes where one sweep does both.
        """
        residual = self.forward(factors) - y
        weighted = residual if weights is None else weights * residual
        return residual, self.adjoint(weighted), 2.0

    def residuals_and_adjoints(
        self, many: Sequence[Factors], y: Array, weights: Array | None = None
    ) -> tuple[list[Array], list[MatrixLike], float]:
        """As :meth:`residual_and_adjoint` for many factors at once, of the same measurements."""
        found = [self.residual_and_adjoint(factors, y, weights) for factors in many]
        return [r for r, _, _ in found], [S for _, S, _ in found], sum(cost for _, _, cost in found)

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Rows, columns and factors s, if measurement i is the entry X[rows_i, cols_i] times s_i.

        None if the measurements are not of single entries. What follows is about which entries
        there are, and says nothing of other measurements.
        """
        return None

    def _pattern(self, symmetric: bool) -> tuple[Pattern, np.ndarray] | None:
        """The graph of the entries that count, and their positions among the measurements."""
        found = self.entries()
        if found is None:
            return None
        rows, cols, scale = found
        (seen,) = np.nonzero(scale)
        return Pattern(rows[seen], cols[seen], self.shape, symmetric), seen

    def undetermined(self, rank: int, symmetric: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of X that the measurements cannot determine at this rank."""
        found = self._pattern(symmetric)
        if found is None:
            none = np.zeros(0, dtype=np.intp)
            return none, none
        n1 = self.shape[0]
        flags = found[0].distinct().undetermined(max(rank, 1))
        return np.flatnonzero(flags[:n1]), np.flatnonzero(flags[0 if symmetric else n1 :])

    def well_observed(self, least: int, symmetric: bool = False) -> np.ndarray | None:
        """Indices of the measurements among rows and columns that have at least so many each.

        None where that is all of them. What lies outside adds unknowns and hardly constraints,
        and can trap a solver: a row seen in as few entries as the rank fits whatever the other
        factor is, if need be with huge values.
        """
        found = self._pattern(symmetric)
        if found is None:
            return None
        pattern, seen = found
        inside = pattern.core(least)
        return None if inside.all() or not inside.any() else seen[inside]

    def gauges(self, factors: Factors) -> Array:
        """Changes of W that no measurement can see, whatever they are; shape (g, rows, k).

        Those of unknowns that the operator eliminates and X could take over; rotations of the
        factors are not among them. None as a rule.
        """
        xp = array_namespace(factors.W)
        W = factors.W
        return xp.zeros((0, *W.shape), dtype=W.dtype, device=device_of(W))

    def estimate_rest(
        self,
        factors: Factors,
        y: Array,
        inside: np.ndarray,
        noise: float,
        weights: Array | None = None,
    ) -> Factors:
        """Factors fitted to well-observed rows, with the other rows estimated from those.

        Ridge regression of each row outside on what is known of the others: from the core
        outwards, a row as soon as it has as many entries with known rows as there are factors, in
        the end from what there is. The ridge is the ratio of the variance of the noise to that of
        the known rows: with an exact core it vanishes.

        Parameters
        ----------
        factors : Factors
            Fitted to the measurements ``inside``.
        y : array, shape (m,)
        inside : ndarray of int
            What :meth:`well_observed` gave.
        noise : float
            Standard deviation of a measurement, of one of weight one.
        weights : array, shape (m,), optional
            Inverse variances of the measurements, up to the noise.
        """
        found, entries = self._pattern(factors.symmetric), self.entries()
        if found is None or entries is None:
            return factors
        (pattern, seen), scale = found, entries[2]
        precision = scale**2 if weights is None else scale**2 * to_numpy(weights)
        values = to_numpy(y)[seen] / scale[seen]
        core = np.isin(seen, inside)
        W = pattern.regressed(to_numpy(factors.W), values, core, noise, precision[seen])
        return factors.with_stacked(like(W, factors.W))

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
    exact_blocks : bool
        Whether ``blocks`` are those of this operator, and not of a population like it.
    """

    build_cost: float = 1.0
    apply_cost: float = 1.0
    exact_blocks: bool = False

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

    def normal(self, Z: Array, weights: Array | None = None) -> Array:
        """J^T diag(weights) J Z; weights of shape (m,) and any sign, ones if None."""
        image = self.matvec(Z)
        return self.rmatvec(image if weights is None else weights * image)

    def column_curvature(self, weights: Array | None = None) -> Array:
        """Mean diagonal of J^T diag(weights) J in each column of W, shape (k,)."""
        f = self.factors
        xp = array_namespace(f.W)
        scale = self._scale(weights)
        rows = f.W.shape[0]
        if f.symmetric:
            return 2.0 * (1.0 + 1.0 / rows) * scale * xp.sum(f.W * f.W, axis=0)
        n1, n2 = f.shape
        left, right = xp.sum(f.U * f.U, axis=0), xp.sum(f.V * f.V, axis=0)
        return scale * (n1 * right + n2 * left) / rows

    def _scale(self, weights: Array | None) -> float:
        """Mean of w_i <A_i, X>^2 summed over i for an X of unit norm, estimated at X itself."""
        xp = array_namespace(self.value)
        size = self.factors.norm()
        square = self.value * self.value
        total = float(xp.sum(square if weights is None else weights * square))
        return total / size**2 if size > 0 else 1.0

    def _two_blocks(self, weights: Array | None) -> tuple[Array, Array]:
        """The population Hessian's block of the rows of U, and that of V, scaled to the operator.

        The Gram matrix of the other factor.
        """
        f, scale = self.factors, self._scale(weights)
        if f.symmetric:
            block = 2.0 * scale * (f.U.T @ f.U)
            return block, block
        return scale * (f.V.T @ f.V), scale * (f.U.T @ f.U)

    def blocks(self, weights: Array | None = None) -> Array:
        """Diagonal blocks of J^T diag(weights) J for the rows of W; shape (rows, k, k).

        Here those of the population.
        """
        f, (left, right) = self.factors, self._two_blocks(weights)
        xp = array_namespace(f.W)
        n1, n2 = (f.shape[0], 0) if f.symmetric else f.shape
        k = f.width
        each = [xp.broadcast_to(left, (n1, k, k)), xp.broadcast_to(right, (n2, k, k))]
        return xp.concat(each, axis=0)

    def preconditioner(
        self, damping: Array, weights: Array | None = None
    ) -> Callable[[Array], Array]:
        """An approximate inverse of J^T diag(weights) J + diag(damping).

        Damping is that of the columns, shape (k,); weights are not negative. Here of the
        population's blocks.
        """
        f = self.factors
        xp = array_namespace(f.W)
        damping = damping + float(xp.finfo(f.W.dtype).smallest_normal)
        shift = xp.eye(f.width, dtype=f.W.dtype, device=device_of(f.W)) * damping
        left, right = self._two_blocks(weights)
        left = xp.linalg.inv(left + shift)
        if f.symmetric:
            return lambda R: R @ left
        right = xp.linalg.inv(right + shift)
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

    def normal(self, Z: Array, weights: Array | None = None) -> Array:
        """J^T diag(weights) J Z, in one sweep where J is a NumPy array."""
        J = self.jacobian
        if not is_numpy_array(J):
            return super().normal(Z, weights)
        m, n = J.shape
        vector = np.asarray(self._vector(Z), dtype=J.dtype)
        shift, out, total = np.zeros(m, J.dtype), np.empty(m, J.dtype), np.empty(n, J.dtype)
        _kernels.sweep(J, vector, shift, ones_or(weights, shift), out, total)
        return self._matrix(total)

    def column_curvature(self, weights: Array | None = None) -> Array:
        xp = array_namespace(self.jacobian)
        rows, k = self.factors.W.shape
        J = xp.reshape(self.jacobian, (-1, k, rows))
        if is_numpy_array(J):
            if weights is None:
                return np.einsum("icr,icr->c", J, J) / rows
            return weights @ np.einsum("icr,icr->ic", J, J) / rows
        squares = xp.linalg.vector_norm(J, axis=2) ** 2
        return (xp.sum(squares, axis=0) if weights is None else weights @ squares) / rows


def block_preconditioner(blocks: Array, damping: Array) -> Callable[[Array], Array]:
    """The inverse of the blocks of rows, shape (rows, k, k), damped by columns, shape (k,)."""
    xp = array_namespace(blocks)
    info, k = xp.finfo(blocks.dtype), int(blocks.shape[1])
    if not k:
        return lambda R: R
    diagonal = xp.linalg.diagonal(blocks)
    # A row seen in few entries has a singular block, an unseen one a zero block.
    floor = xp.maximum(xp.max(diagonal, axis=1), 1e-6 * xp.mean(diagonal))
    floor = xp.clip(100.0 * float(info.eps) * floor, min=float(info.smallest_normal))
    shift = xp.maximum(xp.broadcast_to(damping, diagonal.shape), floor[:, None])
    if not is_numpy_array(blocks):
        eye = xp.eye(k, dtype=blocks.dtype, device=device_of(blocks))
        inverse = xp.linalg.inv(blocks + shift[:, :, None] * eye)
        return lambda R: xp.matmul(inverse, R[:, :, None])[:, :, 0]
    shifted = blocks.copy()
    shifted[:, range(k), range(k)] += shift
    inverse = np.linalg.inv(shifted)

    def apply(R: np.ndarray) -> np.ndarray:
        out = np.empty_like(R)
        _kernels.rows_times_blocks(inverse, R, out)
        return out

    return apply


def ones_or(weights: Array | None, example: np.ndarray) -> np.ndarray:
    """Weights for a kernel: ones where there are none."""
    return np.ones_like(example) if weights is None else np.asarray(weights, dtype=example.dtype)


def pull_back(matrix: Any, factors: Factors) -> Array:
    """The gradient in W that a gradient in X gives: (G V; G^T U), or (G + G^T) U if symmetric."""
    xp = array_namespace(factors.W)
    if factors.symmetric and factors.width >= _WIDE and is_array(matrix):
        return (matrix + matrix.T) @ factors.U
    left = matrix @ factors.V
    right = matrix.T @ factors.U
    return left + right if factors.symmetric else xp.concat([left, right], axis=0)

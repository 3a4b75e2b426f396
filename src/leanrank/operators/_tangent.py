"""The linearisation of measurements at given factors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from leanrank._arrays import Array, array_namespace, device_of, is_array, is_numpy_array
from leanrank.factors import Factors
from leanrank.operators import _kernels

__all__ = ["ExplicitTangent", "Tangent", "block_preconditioner", "ones_or", "pull_back"]

_WIDE = 32
"""Columns from which the sum of a matrix and its transpose costs less than a second product."""

_AT_ONCE = 1 << 12
"""Blocks that are inverted at once; each is of few numbers, and there may be millions."""


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


def block_preconditioner(
    blocks: Array, damping: Array, *, overwrite: bool = False
) -> Callable[[Array], Array]:
    """The inverse of the blocks of rows, shape (rows, k, k), damped by columns, shape (k,).

    NumPy's blocks may be overwritten with it.
    """
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
    inverse = blocks if overwrite else blocks.copy()
    inverse[:, range(k), range(k)] += shift
    for first in range(0, len(inverse), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        inverse[part] = np.linalg.inv(inverse[part])

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

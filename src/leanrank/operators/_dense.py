"""Dense sensing: every measurement has a full matrix A_i of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from leanrank import _checks
from leanrank._arrays import (
    Array,
    ArrayLike,
    MatrixLike,
    array_namespace,
    integers,
    is_numpy_array,
    like,
)
from leanrank.factors import Factors
from leanrank.operators import _kernels
from leanrank.operators._base import Measurement
from leanrank.operators._row_wise import Selected
from leanrank.operators._tangent import ExplicitTangent, Tangent, ones_or

__all__ = ["DenseSensing"]

_BLOCK_BYTES = 1 << 20
"""A block of sensing matrices that is used twice should still be in the second-level cache."""


class DenseSensing(Measurement):
    r"""Measurements :math:`y_i = \langle A_i, X\rangle` with dense sensing matrices.

    Entries of :math:`A_i` of unit variance give :math:`\tfrac1m\sum_i\langle A_i,X\rangle^2
    \approx |X|_F^2`, the scale that default parameters expect. (With variance 1/d, as some
    papers write, it is smaller by d.)

    Parameters
    ----------
    A : array, shape (m, n1, n2)
        Sensing matrices, real and finite. Not copied unless ``symmetric``.
    symmetric : bool
        Keep only the upper triangle of the symmetric part of each :math:`A_i`, packed: half the
        memory and half the time of a pass. Then only symmetric X can be recovered.
    overwrite_a : bool
        Let the packed triangles take the place of A, which must not be used afterwards: no memory
        beyond that of A is needed. Only where something is packed, and only for NumPy arrays that
        are contiguous and of float32 or float64; others are left as they are.

    Raises
    ------
    ValueError
        If A is not a stack of matrices, is empty or not finite, is to be symmetrised and not
        square, or is to be overwritten and read-only.
    TypeError
        If A is complex or not numeric.

    Examples
    --------
    >>> import numpy as np
    >>> op = DenseSensing(np.arange(8.0).reshape(2, 2, 2), symmetric=True)
    >>> op.forward(Factors(np.eye(2)))
    array([ 3., 11.])
    """

    def __init__(self, A: ArrayLike, *, symmetric: bool = False, overwrite_a: bool = False) -> None:
        if np.ndim(A) == 2:
            raise ValueError(
                f"A must hold a matrix for each measurement, got shape {tuple(np.shape(A))}; where "
                "matrices were flattened to rows, pass A.reshape(-1, n1, n2)"
            )
        A = _checks.real_array(A, "A", ndim=3)
        m, n1, n2 = (int(n) for n in A.shape)
        if min(m, n1, n2) == 0:
            raise ValueError(f"A must not be empty, got shape {(m, n1, n2)}")
        if symmetric and n1 != n2:
            raise ValueError(
                f"A must hold square matrices to be used with symmetric=True, got {n1} x {n2}"
            )
        if symmetric:
            if overwrite_a and is_numpy_array(A) and not A.flags.writeable:
                raise ValueError("A is read-only: leave overwrite_a=False, or pass a copy")
            triangle = _Triangle(n1, A)
            self._set(pack(A, triangle, overwrite=overwrite_a), (n1, n2), triangle)
        else:
            self._set(array_namespace(A).reshape(A, (m, n1 * n2)), (n1, n2))

    def _set(
        self, data: Array, shape: tuple[int, int], triangle: _Triangle | None = None
    ) -> DenseSensing:
        self._data, self._triangle = data, triangle
        self.shape = shape
        self.size = int(data.shape[0])
        self.symmetric = triangle is not None
        return self

    @classmethod
    def from_packed(cls, packed: ArrayLike, d: int) -> DenseSensing:
        """Symmetric sensing from packed upper triangles, row by row; shape (m, d (d + 1) / 2).

        Off-diagonal entries are those of the symmetric matrices, not doubled. No copy.
        """
        packed = _checks.real_array(packed, "packed", ndim=2)
        d = _checks.whole_number(d, "d", least=1)
        if packed.shape[0] == 0:
            raise ValueError(f"packed must not be empty, got shape {tuple(packed.shape)}")
        if packed.shape[1] != d * (d + 1) // 2:
            raise ValueError(
                f"packed must have d (d + 1) / 2 = {d * (d + 1) // 2} columns for d = {d}, "
                f"got {packed.shape[1]}"
            )
        return cls.__new__(cls)._set(packed, (d, d), _Triangle(d, packed))

    @property
    def reference(self) -> Array:
        return self._data

    @property
    def nbytes(self) -> int:
        """Bytes of measurement data that one pass reads."""
        bits = int(array_namespace(self._data).finfo(self._data.dtype).bits)
        return self.size * int(self._data.shape[1]) * bits // 8

    def subset(self, index: np.ndarray) -> Measurement:
        index = self._indices(index)
        if 2 * index.size > self.size and np.unique(index).size == index.size:
            return Selected(self, index)
        xp = array_namespace(self._data)
        data = xp.take(self._data, integers(index, self._data), axis=0)
        return DenseSensing.__new__(DenseSensing)._set(data, self.shape, self._triangle)

    def matrices(self, index: np.ndarray) -> Array:
        take = integers(self._indices(index), self._data)
        return self._unpacked(array_namespace(self._data).take(self._data, take, axis=0))

    def _unpacked(self, rows: Array) -> Array:
        """Rows of the data as the matrices they stand for."""
        xp = array_namespace(rows)
        if self._triangle is not None:
            rows = xp.take(rows, self._triangle.expansion, axis=1)
        return xp.reshape(rows, (-1, *self.shape))

    def _vector(self, factors: Factors) -> Array:
        """What each row of the data is multiplied with: X, or its packed triangle doubled."""
        xp = array_namespace(self._data)
        # Promotion the other way would copy all of the data.
        X = xp.astype(factors.to_dense(), self._data.dtype, copy=False)
        if self._triangle is None:
            return xp.reshape(X, (-1,))
        if not factors.symmetric:
            X = (X + X.T) / 2
        return xp.take(xp.reshape(X, (-1,)), self._triangle.upper, axis=0) * self._triangle.weights

    def _matrix(self, vector: Array) -> Array:
        """The n1 x n2 matrix of a combination of data rows."""
        return self._unpacked(vector[None, :])[0, ...]

    def forward(self, factors: Factors) -> Array:
        return self._data @ self._vector(factors)

    def adjoint(self, residual: Array) -> MatrixLike:
        xp = array_namespace(self._data)
        return self._matrix(xp.astype(residual, self._data.dtype, copy=False) @ self._data)

    def residual_and_adjoint(
        self, factors: Factors, y: Array, weights: Array | None = None
    ) -> tuple[Array, MatrixLike, float]:
        """One sweep: each row is multiplied both ways while it is in cache."""
        residuals, matrices, cost = self.residuals_and_adjoints([factors], y, weights)
        return residuals[0], matrices[0], cost

    def residuals_and_adjoints(
        self, many: Sequence[Factors], y: Array, weights: Array | None = None
    ) -> tuple[list[Array], list[MatrixLike], float]:
        """One sweep for all: the data is read once, whatever their number."""
        if not many:
            return [], [], 0.0
        xp = array_namespace(self._data)
        vectors = xp.stack([self._vector(factors) for factors in many])
        residuals, totals, cost = self._sweep(vectors, y, weights)
        each = range(len(many))
        return [residuals[i, :] for i in each], [self._matrix(totals[i, :]) for i in each], cost

    def _sweep(self, vectors: Array, y: Array, weights: Array | None) -> tuple[Array, Array, float]:
        """Residuals (b, m) of vectors (b, p), what they sum the data up to (b, p), and passes."""
        if not is_numpy_array(self._data):
            residuals = vectors @ self._data.T - y
            weighted = residuals if weights is None else residuals * weights
            return residuals, weighted @ self._data, 2.0
        y = np.asarray(y, dtype=self._data.dtype)
        residuals = np.empty((vectors.shape[0], self.size), dtype=self._data.dtype)
        totals, w = np.empty_like(vectors), ones_or(weights, y)
        if vectors.shape[0] == 1:
            _kernels.sweep(self._data, vectors[0], y, w, residuals[0], totals[0])
        else:
            _kernels.sweep_many(self._data, vectors, y, w, residuals, totals)
        return residuals, totals, 1.0

    def _blocks(self) -> list[slice]:
        rows = max(1, _BLOCK_BYTES * self.size // self.nbytes)
        return [slice(i, min(i + rows, self.size)) for i in range(0, self.size, rows)]

    def tangent(self, factors: Factors) -> Tangent:
        rows, k = factors.W.shape
        share = rows * k / self._data.shape[1]
        if k == 0 or share > 0.5:
            return Tangent(self, factors)
        xp = array_namespace(self._data)
        if self.symmetric and factors.symmetric and is_numpy_array(self._data):
            J = np.empty((self.size, k, rows), dtype=self._data.dtype)
            value = np.empty(self.size, dtype=self._data.dtype)
            Ut = np.ascontiguousarray(factors.U.T)
            _kernels.packed_tangent(self._data, Ut, J, value)
        else:
            J = xp.concat([self._tangent_block(block, factors) for block in self._blocks()])
            value = (xp.reshape(J, (self.size, -1)) @ xp.reshape(factors.W.T, (-1,))) / 2
        return ExplicitTangent(self, factors, xp.reshape(J, (self.size, -1)), value, share)

    def _tangent_block(self, block: slice, factors: Factors) -> Array:
        """Rows of J as (b, k, rows): V^T A_i^T beside U^T A_i, added up if the factors are one."""
        xp = array_namespace(self._data)
        A = self._unpacked(self._data[block, :])
        left = xp.matmul(factors.V.T, xp.permute_dims(A, (0, 2, 1)))
        right = xp.matmul(factors.U.T, A)
        return left + right if factors.symmetric else xp.concat([left, right], axis=2)


class _Triangle:
    """Where the numbers of a packed triangle lie in its d x d matrix, and back.

    Made once for an operator and the operators of its subsets, whose steps can be shorter than
    making it.

    Attributes
    ----------
    upper : array of int, shape (d (d + 1) / 2,)
        Flat positions of the upper triangle.
    weights : array, shape (d (d + 1) / 2,)
        1 on the diagonal, 2 off it.
    expansion : array of int, shape (d * d,)
        For each position of the matrix, where its value lies in the packed triangle.
    """

    def __init__(self, d: int, reference: Array) -> None:
        i, j = np.triu_indices(d)
        expansion = np.empty((d, d), dtype=np.int64)
        expansion[i, j] = expansion[j, i] = np.arange(i.size)
        self.upper = integers(i * d + j, reference)
        self.weights = like(np.where(i == j, 1.0, 2.0), reference)
        self.expansion = integers(expansion.ravel(), reference)


def pack(A: Array, triangle: _Triangle, *, overwrite: bool = False) -> Array:
    """Upper triangles of the symmetric parts of a stack of matrices, shape (m, d (d + 1) / 2).

    With ``overwrite`` they take the place of a contiguous NumPy array.
    """
    xp = array_namespace(A)
    m, d, upper = int(A.shape[0]), int(A.shape[1]), triangle.upper
    rows = max(1, _BLOCK_BYTES // (d * d * 8))
    if not is_numpy_array(A):
        rows = max(rows, 256)
    starts = range(0, m, rows)
    if not is_numpy_array(A):
        return xp.concat([_packed_block(A[i : min(i + rows, m), :, :], upper) for i in starts])
    packed_shape = (m, d * (d + 1) // 2)
    if overwrite:
        # Triangles are shorter than matrices, so none is written over what is still to be read.
        out = A.reshape(-1)[: math.prod(packed_shape)].reshape(packed_shape)
    else:
        out = np.empty(packed_shape, dtype=A.dtype)
    for i in starts:
        out[i : i + rows] = _packed_block(A[i : i + rows], upper)
    return out


def _packed_block(block: Array, upper: Array) -> Array:
    xp = array_namespace(block)
    block = (block + xp.permute_dims(block, (0, 2, 1))) / 2
    return xp.take(xp.reshape(block, (int(block.shape[0]), -1)), upper, axis=1)

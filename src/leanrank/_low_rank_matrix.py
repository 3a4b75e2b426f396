"""A product of two thin matrices as a matrix: it multiplies and is indexed without being formed."""

from __future__ import annotations

import operator
from typing import ClassVar, SupportsIndex

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, ArrayLike, array_namespace, integers, is_array, to_numpy

__all__ = ["LowRankMatrix"]


class LowRankMatrix:
    r"""What :math:`X = U V^\top` does as a matrix; subclasses have U, V and the shape (n1, n2)."""

    # So NumPy leaves ``v @ matrix`` to __rmatmul__; under a library that leaves it to no one,
    # ``matrix.T @ v`` is the same for a vector.
    __array_ufunc__: ClassVar[None] = None

    shape: tuple[int, int]

    @property
    def U(self) -> Array:
        """Left factor, shape (n1, k)."""
        raise NotImplementedError

    @property
    def V(self) -> Array:
        """Right factor, shape (n2, k)."""
        raise NotImplementedError

    def to_dense(self) -> Array:
        """The matrix X itself, shape (n1, n2)."""
        return self.U @ self.V.T

    def __array__(
        self, dtype: np.typing.DTypeLike | None = None, copy: bool | None = None
    ) -> np.ndarray:
        """The matrix X itself as a NumPy array: dense, n1 x n2, and made anew each time."""
        if copy is False:
            raise ValueError("factors hold no dense matrix to share: leave out copy=False")
        dense = to_numpy(self.to_dense())
        return dense if dtype is None else dense.astype(dtype)

    def __matmul__(self, v: ArrayLike) -> Array:
        if not is_array(v):
            return NotImplemented
        U, V, v = self._operands(v, self.shape[1], 0)
        return U @ (V.T @ v)

    def __rmatmul__(self, v: Array) -> Array:
        if not is_array(v):
            return NotImplemented
        U, V, v = self._operands(v, self.shape[0], -1)
        return (v @ U) @ V.T

    def _operands(self, v: Array, size: int, axis: int) -> tuple[Array, Array, Array]:
        """U, V and what X is multiplied with, checked, in one precision."""
        xp = _checks.one_library(v, self.U, "v", "factors")
        if v.ndim not in (1, 2) or v.shape[axis] != size:
            raise ValueError(
                f"v must be a vector or matrix with {size} {'columns' if axis else 'rows'} to "
                f"multiply factors of shape {self.shape}, got shape {tuple(v.shape)}"
            )
        v = _checks.floating(v, "v")
        dtype = xp.result_type(v, self.U)
        U, V, v = (xp.astype(x, dtype, copy=False) for x in (self.U, self.V, v))
        return U, V, v

    def __getitem__(self, index: tuple[SupportsIndex | slice, SupportsIndex | slice]) -> Array:
        if not isinstance(index, tuple) or len(index) != 2:
            raise TypeError(
                "factors take two indices, factors[i, j]; their two parts are factors.U and "
                "factors.V"
            )
        blocks = [
            _rows(factor, i, axis)
            for axis, (factor, i) in enumerate(zip((self.U, self.V), index, strict=True))
        ]
        whole = tuple(slice(None) if isinstance(i, slice) else 0 for i in index)
        return (blocks[0] @ blocks[1].T)[whole]

    def entries(self, rows: ArrayLike, cols: ArrayLike) -> Array:
        """Entries X[rows, cols], without forming X.

        Parameters
        ----------
        rows, cols : array of int, shape (m,)

        Returns
        -------
        array, shape (m,)

        Raises
        ------
        ValueError
            If they differ in length, or lie outside [0, n1) and [0, n2).
        TypeError
            If they are not integers.
        """
        xp = array_namespace(self.U)
        rows = _checks.positions(rows, "rows", self.shape[0])
        cols = _checks.positions(cols, "cols", self.shape[1])
        if rows.size != cols.size:
            raise ValueError(
                f"rows and cols must have the same length, got {rows.size} and {cols.size}"
            )
        i, j = integers(rows, self.U), integers(cols, self.U)
        return xp.sum(xp.take(self.U, i, axis=0) * xp.take(self.V, j, axis=0), axis=1)


def _rows(factor: Array, index: SupportsIndex | slice, axis: int) -> Array:
    """The rows of a factor that an index along an axis of X asks for; one row for a number."""
    size = int(factor.shape[0])
    whole = hasattr(index, "__index__") and not getattr(index, "ndim", False)
    if isinstance(index, slice):
        found = np.arange(size)[index]
    elif isinstance(index, bool) or not whole:
        raise TypeError(
            f"indices of factors must be integers or slices, got {index!r} for axis {axis}; for "
            "many single entries use factors.entries(rows, cols)"
        )
    else:
        number = operator.index(index)
        if not -size <= number < size:
            raise IndexError(f"index {number} is out of bounds for axis {axis} with size {size}")
        found = np.array([number % size])
    return array_namespace(factor).take(factor, integers(found, factor), axis=0)

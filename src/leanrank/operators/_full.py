"""Full observation: the population loss."""

from __future__ import annotations

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, ArrayLike, MatrixLike, array_namespace, is_numpy_array
from leanrank.factors import Factors
from leanrank.operators._base import Measurement
from leanrank.operators._tangent import Tangent

__all__ = ["FullObservation"]


class FullObservation(Measurement):
    r"""X itself is seen: the loss is the population loss :math:`|U V^\top - Y|_F^2`.

    The measurements are all entries of X, row after row (a matrix of the right shape is taken,
    too), and the loss is their sum of squares, not the mean: its ``weight`` is 1.

    Parameters
    ----------
    shape : tuple of int
        (n1, n2).
    reference : array, optional
        An array whose namespace, dtype and device the operator shall use; NumPy float64 if left
        out.

    Examples
    --------
    >>> FullObservation((2, 2)).forward(Factors(np.eye(2)))
    array([1., 0., 0., 1.])
    """

    def __init__(self, shape: tuple[int, int], *, reference: ArrayLike | None = None) -> None:
        self.shape = _checks.matrix_shape(shape, "shape")
        self.size = self.shape[0] * self.shape[1]
        self._reference = _checks.reference(reference)

    @property
    def weight(self) -> float:
        return 1.0

    @property
    def reference(self) -> Array:
        return self._reference

    def subset(self, index: np.ndarray) -> Measurement:
        from leanrank.operators._entries import ObservedEntries

        if not is_numpy_array(self._reference):
            raise TypeError("single entries of X can be selected with NumPy arrays only")
        rows, cols = np.divmod(self._indices(index), self.shape[1])
        return ObservedEntries(rows, cols, self.shape, dtype=self._reference.dtype)

    def matrices(self, index: np.ndarray) -> Array:
        return self.subset(index).matrices(np.arange(len(index)))

    def forward(self, factors: Factors) -> Array:
        return array_namespace(factors.W).reshape(factors.to_dense(), (-1,))

    def adjoint(self, residual: Array) -> MatrixLike:
        return array_namespace(residual).reshape(residual, self.shape)

    def tangent(self, factors: Factors) -> Tangent:
        return _FullTangent(self, factors)


class _FullTangent(Tangent):
    """J^T J from k x k Gram matrices, without forming an n1 x n2 matrix."""

    @property
    def normal_cost(self) -> float:
        return 0.0

    def _scale(self, weights: Array | None) -> float:
        return 1.0 if weights is None else float(array_namespace(weights).mean(weights))

    def normal(self, Z: Array, weights: Array | None = None) -> Array:
        if weights is not None:
            return super().normal(Z, weights)
        f = self.factors
        U, V = f.U, f.V
        if f.symmetric:
            return 2.0 * (Z @ (U.T @ U) + U @ (Z.T @ U))
        Zu, Zv = Z[: f.shape[0], :], Z[f.shape[0] :, :]
        left = Zu @ (V.T @ V) + U @ (Zv.T @ V)
        right = Zv @ (U.T @ U) + V @ (Zu.T @ U)
        return array_namespace(Z).concat([left, right], axis=0)

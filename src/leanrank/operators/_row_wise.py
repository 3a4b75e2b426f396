"""Measurements of another operator, some of them, or each with a weight: no data are copied."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, MatrixLike, array_namespace, integers, like, to_numpy
from leanrank.factors import Factors
from leanrank.operators._base import Measurement
from leanrank.operators._tangent import Tangent

__all__ = ["RowWise", "Selected", "Weighted", "check_operator"]


def check_operator(op: object, name: str = "op") -> Measurement:
    """The operator, if that is what it is."""
    if not isinstance(op, Measurement):
        raise TypeError(f"{name} must be a measurement operator, got {type(op).__name__}")
    return op


class RowWise(Measurement):
    r"""Measurements :math:`D\,\mathcal A(X)` with one non-zero entry at most in each row of D.

    A product with the normal matrix is one of ``op`` with other weights, as
    :math:`D^\top \operatorname{diag}(w)\, D` is diagonal: as many sweeps, and 8 m bytes more.
    """

    def __init__(self, op: Measurement) -> None:
        self.op = check_operator(op)
        self.shape, self.size, self.symmetric = op.shape, op.size, op.symmetric
        self.eliminated = op.eliminated

    @abstractmethod
    def down(self, values: Array) -> Array:
        """D times values of the operator's measurements."""

    @abstractmethod
    def up(self, values: Array) -> Array:
        """D^T times values of these measurements."""

    @abstractmethod
    def inner_weights(self, weights: Array | None) -> Array:
        """The diagonal of D^T diag(weights) D."""

    def preimage(self, y: Array) -> Array | None:
        """Values that D takes to y, if there are any for every y."""
        return None

    @property
    def reference(self) -> Array:
        return self.op.reference

    def forward(self, factors: Factors) -> Array:
        return self.down(self.op.forward(factors))

    def adjoint(self, residual: Array) -> MatrixLike:
        return self.op.adjoint(self.up(residual))

    def residual_and_adjoint(
        self, factors: Factors, y: Array, weights: Array | None = None
    ) -> tuple[Array, MatrixLike, float]:
        inner = self.preimage(y)
        if inner is None:
            return super().residual_and_adjoint(factors, y, weights)
        weights = self.inner_weights(weights)
        residual, S, cost = self.op.residual_and_adjoint(factors, inner, weights)
        return self.down(residual), S, cost

    def gains(self) -> Array:
        return self.down(self.op.gains())

    def undetermined(self, rank: int, symmetric: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """What all measurements of ``op`` leave undetermined, some of them leave so, too."""
        if self.entries() is None:
            return self.op.undetermined(rank, symmetric)
        return super().undetermined(rank, symmetric)

    def tangent(self, factors: Factors) -> Tangent:
        return _RowWiseTangent(self, self.op.tangent(factors))


class _RowWiseTangent(Tangent):
    op: RowWise

    def __init__(self, op: RowWise, inner: Tangent) -> None:
        super().__init__(op, inner.factors, op.down(inner.value))
        self.inner, self.exact_blocks = inner, inner.exact_blocks
        self.build_cost, self.apply_cost = inner.build_cost, inner.apply_cost

    @property
    def normal_cost(self) -> float:
        return self.inner.normal_cost

    def matvec(self, Z: Array) -> Array:
        return self.op.down(self.inner.matvec(Z))

    def rmatvec(self, t: Array) -> Array:
        return self.inner.rmatvec(self.op.up(t))

    def normal(self, Z: Array, weights: Array | None = None) -> Array:
        return self.inner.normal(Z, self.op.inner_weights(weights))

    def column_curvature(self, weights: Array | None = None) -> Array:
        return self.inner.column_curvature(self.op.inner_weights(weights))

    def blocks(self, weights: Array | None = None) -> Array:
        return self.inner.blocks(self.op.inner_weights(weights))

    def preconditioner(
        self, damping: Array, weights: Array | None = None
    ) -> Callable[[Array], Array]:
        return self.inner.preconditioner(damping, self.op.inner_weights(weights))


class Selected(RowWise):
    """The measurements of ``op`` with the given indices, as a view.

    A pass costs as much as one of ``op``, so it is meant for most of the measurements; where the
    data are large, that beats a copy, which ``op.subset`` makes where it is better.

    Parameters
    ----------
    op : Measurement
    index : array of int, shape (m',)
        Distinct indices into the measurements of ``op``, in any order.

    Raises
    ------
    ValueError, TypeError
        If there are none, or they are no integers, lie outside [0, m), or occur twice.

    Examples
    --------
    >>> from leanrank.operators import ObservedEntries
    >>> op = Selected(ObservedEntries([0, 0, 1], [0, 1, 1], (2, 2)), [2, 0])
    >>> op.forward(Factors(np.array([[1.0], [3.0]])))
    array([9., 1.])
    """

    def __init__(self, op: Measurement, index: np.ndarray) -> None:
        super().__init__(op)
        self.index = self._indices(index)
        if np.unique(self.index).size < self.index.size:
            raise ValueError("index must not name a measurement twice")
        self.size = int(self.index.size)
        # One more place than there are measurements: where a zero stands for those left out.
        position = np.full(op.size, self.size)
        position[self.index] = np.arange(self.size)
        self._take = integers(self.index, op.reference)
        self._position = integers(position, op.reference)
        self._mask = like((position < self.size).astype(float), op.reference)

    def down(self, values: Array) -> Array:
        return array_namespace(values).take(values, self._take, axis=0)

    def up(self, values: Array) -> Array:
        xp = array_namespace(values)
        padded = xp.concat([values, xp.zeros_like(values[:1])])
        return xp.take(padded, self._position, axis=0)

    def preimage(self, y: Array) -> Array:
        return self.up(y)

    def inner_weights(self, weights: Array | None) -> Array:
        return self._mask if weights is None else self.up(weights)

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        found = self.op.entries()
        if found is None:
            return None
        rows, cols, scale = found
        return rows[self.index], cols[self.index], scale[self.index]

    def subset(self, index: np.ndarray) -> Measurement:
        return self.op.subset(self.index[self._indices(index)])


class Weighted(RowWise):
    r"""Measurements :math:`\sqrt{w_i}\,\langle A_i, X\rangle`, for noise of variance 1 / w_i.

    Fit :meth:`weigh` (y) with it: under any loss that is what the loss with these weights is to
    ``op`` and y. Made for parts of :class:`Stacked` and for :class:`Projected`; where nothing
    else is composed, ``Squared(weights)`` says the same.

    Parameters
    ----------
    op : Measurement
    weights : array, shape (m,)
        Inverse variances up to a constant, not negative, not all zero. Measurements of weight zero
        are left out by :func:`~leanrank.recover` and :func:`~leanrank.check_certificate`, unless
        there is a penalty or :class:`Projected` comes after.

    Raises
    ------
    ValueError, TypeError
        If they are otherwise, or not one for each measurement.

    Examples
    --------
    >>> from leanrank.operators import ObservedEntries
    >>> op = Weighted(ObservedEntries([0, 1], [0, 1], (2, 2)), [1.0, 4.0])
    >>> op.forward(Factors(np.eye(2))), op.weigh([5.0, 5.0])
    (array([1., 2.]), array([ 5., 10.]))
    """

    def __init__(self, op: Measurement, weights: Array) -> None:
        super().__init__(op)
        w = to_numpy(_checks.real_array(weights, "weights", ndim=1))
        if w.size != op.size or (w < 0).any() or not w.any():
            raise ValueError(
                f"weights must have a number for each of the {op.size} measurements, none negative "
                f"and not all zero, got {w.size}, the smallest {w.min(initial=np.inf):.3g}"
            )
        self.weights, self._root = like(w, op.reference), like(np.sqrt(w), op.reference)
        self._positive = bool((w > 0).all())

    @property
    def weight(self) -> float:
        return self.op.weight

    def weigh(self, y: Array) -> Array:
        r""":math:`\sqrt{w_i}\, y_i`, what the measurements y become; shape (m,)."""
        y = _checks.real_array(y, "y", ndim=1)
        if y.shape[0] != self.size:
            raise ValueError(f"y must have {self.size} values, got {y.shape[0]}")
        return self.down(y)

    def down(self, values: Array) -> Array:
        return self._root * values

    up = down

    def preimage(self, y: Array) -> Array | None:
        return y / self._root if self._positive else None

    def inner_weights(self, weights: Array | None) -> Array:
        return self.weights if weights is None else self.weights * weights

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        found = self.op.entries()
        if found is None:
            return None
        rows, cols, scale = found
        return rows, cols, scale * to_numpy(self._root)

    def subset(self, index: np.ndarray) -> Measurement:
        index = self._indices(index)
        take = integers(index, self.reference)
        weights = array_namespace(self.weights).take(self.weights, take, axis=0)
        return Weighted(self.op.subset(index), weights)

"""Some of the measurements of an operator, without a copy of its data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from leanrank._arrays import Array, MatrixLike, array_namespace, integers, like
from leanrank.factors import Factors
from leanrank.operators._base import ExplicitTangent, Measurement, Tangent

__all__ = ["Selected"]


class Selected(Measurement):
    """The measurements of ``op`` with the given indices, as a view.

    A pass costs as much as one of ``op``, so it is meant for most of the measurements; where the
    data are large, that beats a copy.

    Parameters
    ----------
    op : Measurement
    index : ndarray of int, shape (m',)
        Distinct indices into the measurements of ``op``.
    """

    def __init__(self, op: Measurement, index: np.ndarray) -> None:
        self.op, self.index = op, index
        self.shape, self.symmetric = op.shape, op.symmetric
        self.size = int(index.size)
        # One more place than there are measurements: where a zero stands for those left out.
        position = np.full(op.size, self.size)
        position[index] = np.arange(self.size)
        self._take = integers(index, op.reference)
        self._position = integers(position, op.reference)
        self.mask = like((position < self.size).astype(float), op.reference)

    @property
    def reference(self) -> Array:
        return self.op.reference

    def select(self, values: Array) -> Array:
        """The selected ones of the operator's m values."""
        return array_namespace(values).take(values, self._take, axis=0)

    def spread(self, values: Array) -> Array:
        """Values of the selected measurements, zeros at the others."""
        xp = array_namespace(values)
        padded = xp.concat([values, xp.zeros_like(values[:1])])
        return xp.take(padded, self._position, axis=0)

    def subset(self, index: np.ndarray) -> Measurement:
        return self.op.subset(self.index[self._indices(index)])

    def forward(self, factors: Factors) -> Array:
        return self.select(self.op.forward(factors))

    def adjoint(self, residual: Array) -> MatrixLike:
        return self.op.adjoint(self.spread(residual))

    def tangent(self, factors: Factors) -> Tangent:
        return _SelectedTangent(self, self.op.tangent(factors))


class _SelectedTangent(Tangent):
    op: Selected

    def __init__(self, op: Selected, inner: Tangent) -> None:
        super().__init__(op, inner.factors, op.select(inner.value))
        self.inner = inner
        self.build_cost, self.apply_cost = inner.build_cost, inner.apply_cost

    def matvec(self, Z: Array) -> Array:
        return self.op.select(self.inner.matvec(Z))

    def rmatvec(self, t: Array) -> Array:
        return self.inner.rmatvec(self.op.spread(t))

    @property
    def normal_cost(self) -> float:
        explicit = isinstance(self.inner, ExplicitTangent)
        return self.inner.normal_cost if explicit else super().normal_cost

    def normal(self, Z: Array) -> Array:
        if isinstance(self.inner, ExplicitTangent):
            return self.inner.weighted_normal(Z, self.op.mask)
        return super().normal(Z)

    def column_curvature(self) -> Array:
        return self.inner.column_curvature() * (self.op.size / self.op.op.size)

    def preconditioner(self, damping: Array) -> Callable[[Array], Array]:
        share = self.op.size / self.op.op.size
        apply = self.inner.preconditioner(damping / share)
        return lambda R: apply(R) / share

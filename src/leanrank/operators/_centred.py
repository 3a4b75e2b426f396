"""Centred measurements: an unknown constant in y, eliminated exactly."""

from __future__ import annotations

import numpy as np

from leanrank._arrays import Array, MatrixLike, array_namespace
from leanrank.factors import Factors
from leanrank.operators._base import ExplicitTangent, Measurement, Tangent
from leanrank.operators._selected import Selected

__all__ = ["Centred"]


class Centred(Measurement):
    r"""Measurements less their mean: :math:`\langle A_i - \bar A, X\rangle`.

    Where :math:`y_i = \langle A_i, X\rangle + b` with a constant b that nobody knows, fit
    :math:`y_i - \bar y` with this operator: least squares over X and b is least squares over X
    alone here, with :math:`b = \bar y - \langle\bar A, X\rangle`. No approximation is made, and
    :math:`\bar A` is never formed.

    For quadratic measurements of standard normal x the centred loss is about
    :math:`2 |X|_F^2`, while the loss itself is :math:`2 |X|_F^2 + (\operatorname{tr} X)^2`
    (eq. 347 of Rajaraman et al., 2023): the trace, which keeps it from being an isometry of
    low-rank matrices, is gone. Their corrected loss (eq. 348) subtracts the expectation of what
    is subtracted here, and unlike this one can be unbounded from below.

    Parameters
    ----------
    op : Measurement
        What is centred. A pass here is a pass there.

    Raises
    ------
    TypeError
        If ``op`` is not a measurement operator.

    Notes
    -----
    The measurements of ``subset`` keep the mean over all m of them, so that an exact fit to all
    is one to any of them.

    Examples
    --------
    >>> import numpy as np
    >>> from leanrank.operators import RankOneSensing
    >>> x = np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> Centred(RankOneSensing(x)).forward(Factors(np.eye(2)))
    array([-1.5,  1.5])
    """

    def __init__(self, op: Measurement) -> None:
        if not isinstance(op, Measurement):
            raise TypeError(f"op must be a measurement operator, got {type(op).__name__}")
        self.op = op
        self.shape, self.size, self.symmetric = op.shape, op.size, op.symmetric

    @property
    def weight(self) -> float:
        return self.op.weight

    @property
    def reference(self) -> Array:
        return self.op.reference

    def subset(self, index: np.ndarray) -> Measurement:
        return Selected(self, self._indices(index))

    def forward(self, factors: Factors) -> Array:
        return _centred(self.op.forward(factors))

    def adjoint(self, residual: Array) -> MatrixLike:
        return self.op.adjoint(_centred(residual))

    def undetermined(self, rank: int, symmetric: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """What is undetermined with the constant known stays so without it."""
        return self.op.undetermined(rank, symmetric)

    def tangent(self, factors: Factors) -> Tangent:
        inner = self.op.tangent(factors)
        value = _centred(inner.value)
        if isinstance(inner, ExplicitTangent):
            J = _centred(inner.jacobian)
            return ExplicitTangent(self, factors, J, value, inner.apply_cost)
        return _CentredTangent(self, inner, value)


class _CentredTangent(Tangent):
    def __init__(self, op: Centred, inner: Tangent, value: Array) -> None:
        super().__init__(op, inner.factors, value)
        self.inner = inner
        self.build_cost, self.apply_cost = inner.build_cost, inner.apply_cost

    def matvec(self, Z: Array) -> Array:
        return _centred(self.inner.matvec(Z))

    def rmatvec(self, t: Array) -> Array:
        return self.inner.rmatvec(_centred(t))


def _centred(values: Array) -> Array:
    """Values less their mean over the measurements, the first axis."""
    return values - array_namespace(values).mean(values, axis=0)

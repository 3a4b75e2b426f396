"""Centred measurements: an unknown constant in y, eliminated exactly."""

from __future__ import annotations

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, ArrayLike, MatrixLike, array_namespace, like, to_numpy
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
    along : array, shape (m,), optional
        s, where the constant enters as :math:`b\,s_i`: what is left is orthogonal to s. By default
        ones. Least squares with weights w is that of measurements times :math:`s_i = \sqrt{w_i}`.

    Raises
    ------
    TypeError
        If ``op`` is not a measurement operator.
    ValueError
        If ``along`` has not one finite value for each measurement, or is zero.

    Notes
    -----
    The measurements of ``subset`` keep the constant of all m of them, so that an exact fit to all
    is one to any of them.

    Examples
    --------
    >>> import numpy as np
    >>> from leanrank.operators import RankOneSensing
    >>> x = np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> Centred(RankOneSensing(x)).forward(Factors(np.eye(2)))
    array([-1.5,  1.5])
    """

    eliminated = 1

    def __init__(self, op: Measurement, along: ArrayLike | None = None) -> None:
        if not isinstance(op, Measurement):
            raise TypeError(f"op must be a measurement operator, got {type(op).__name__}")
        self.op = op
        self.shape, self.size, self.symmetric = op.shape, op.size, op.symmetric
        s = np.ones(op.size)
        if along is not None:
            s = to_numpy(_checks.real_array(along, "along", ndim=1))
        if s.size != op.size or not s.any():
            raise ValueError(
                f"along must have a value for each of the {op.size} measurements, not all of them "
                f"zero, got {s.size} with sum of squares {float(s @ s):.3g}"
            )
        self.along = like(s, op.reference)
        self._square = float(np.mean(s * s))

    def constant(self, values: Array) -> Array:
        r"""The b of least squares: :math:`\sum_i s_i v_i / \sum_i s_i^2`, along the first axis."""
        if values.ndim == 1:  # a mean rounds less than a product with so long a vector
            return array_namespace(values).mean(self.along * values) / self._square
        return self.along @ values / (self.size * self._square)

    def centre(self, values: Array) -> Array:
        """Values less the constant, along the first axis."""
        column = self.along if values.ndim == 1 else self.along[:, None]
        return values - column * self.constant(values)

    @property
    def weight(self) -> float:
        return self.op.weight

    @property
    def reference(self) -> Array:
        return self.op.reference

    def subset(self, index: np.ndarray) -> Measurement:
        return Selected(self, self._indices(index))

    def forward(self, factors: Factors) -> Array:
        return self.centre(self.op.forward(factors))

    def adjoint(self, residual: Array) -> MatrixLike:
        return self.op.adjoint(self.centre(residual))

    def undetermined(self, rank: int, symmetric: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """What is undetermined with the constant known stays so without it."""
        return self.op.undetermined(rank, symmetric)

    def tangent(self, factors: Factors) -> Tangent:
        inner = self.op.tangent(factors)
        value = self.centre(inner.value)
        if isinstance(inner, ExplicitTangent):
            J = self.centre(inner.jacobian)
            return ExplicitTangent(self, factors, J, value, inner.apply_cost)
        return _CentredTangent(self, inner, value)


class _CentredTangent(Tangent):
    op: Centred

    def __init__(self, op: Centred, inner: Tangent, value: Array) -> None:
        super().__init__(op, inner.factors, value)
        self.inner = inner
        self.build_cost, self.apply_cost = inner.build_cost, inner.apply_cost

    def matvec(self, Z: Array) -> Array:
        return self.op.centre(self.inner.matvec(Z))

    def rmatvec(self, t: Array) -> Array:
        return self.inner.rmatvec(self.op.centre(t))

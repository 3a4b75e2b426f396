"""Centred measurements: an unknown constant in y, eliminated exactly."""

from __future__ import annotations

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, ArrayLike, array_namespace, like, to_numpy
from leanrank.operators._base import Measurement
from leanrank.operators._projected import Projected
from leanrank.operators._row_wise import check_operator

__all__ = ["Centred"]


class Centred(Projected):
    r"""Measurements less their mean: :math:`\langle A_i - \bar A, X\rangle`.

    Where :math:`y_i = \langle A_i, X\rangle + b` with a constant b that nobody knows, fit
    :math:`y_i - \bar y` with this operator: least squares over X and b is least squares over X
    alone here, with :math:`b = \bar y - \langle\bar A, X\rangle`. No approximation is made, and
    :math:`\bar A` is never formed. :class:`Projected` is the same for several nuisances.

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

    Examples
    --------
    >>> import numpy as np
    >>> from leanrank import Factors
    >>> from leanrank.operators import RankOneSensing
    >>> x = np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> Centred(RankOneSensing(x)).forward(Factors(np.eye(2)))
    array([-1.5,  1.5])
    """

    def __init__(self, op: Measurement, along: ArrayLike | None = None) -> None:
        check_operator(op)
        self._sides = (False, False)
        s = np.ones(op.size)
        if along is not None:
            s = to_numpy(_checks.real_array(along, "along", ndim=1))
        if s.size != op.size or not s.any():
            raise ValueError(
                f"along must have a value for each of the {op.size} measurements, not all of them "
                f"zero, got {s.size} with sum of squares {float(s @ s):.3g}"
            )
        self.op = op
        self.shape, self.size, self.symmetric = op.shape, op.size, op.symmetric
        self.eliminated = op.eliminated + 1
        self.along = like(s, op.reference)
        self._square = float(np.mean(s * s))

    def constant(self, values: Array) -> Array:
        r"""The b of least squares: :math:`\sum_i s_i v_i / \sum_i s_i^2`, along the first axis."""
        if values.ndim == 1:  # a mean rounds less than a product with so long a vector
            return array_namespace(values).mean(self.along * values) / self._square
        return self.along @ values / (self.size * self._square)

    def coefficients(self, values: Array) -> Array:
        return array_namespace(values).reshape(self.constant(values), (1, *values.shape[1:]))

    def project(self, values: Array) -> Array:
        column = self.along if values.ndim == 1 else self.along[:, None]
        return values - column * self.constant(values)

    def centre(self, values: Array) -> Array:
        """Values less the constant, along the first axis."""
        return self.project(values)

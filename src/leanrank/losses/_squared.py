"""The squared loss, with weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from leanrank._arrays import Array, array_namespace
from leanrank.losses._base import Loss, checked_weights

__all__ = ["Squared"]


@dataclass(frozen=True, eq=False)
class Squared(Loss):
    r"""Squares, :math:`w_i r_i^2`: the right loss for Gaussian noise of variance :math:`1/w_i`.

    Parameters
    ----------
    weights : array, shape (m,), optional
        Inverse variances up to a constant, not negative; a measurement of weight zero is as good
        as left out, one of weight two as good as one that is there twice.

    Raises
    ------
    ValueError, TypeError
        If weights are negative, all zero or not finite, or no real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> loss = Squared([1.0, 0.5])
    >>> loss.value(np.array([3.0, 2.0])), loss.slope(np.array([3.0, 2.0]))
    (array([9., 2.]), array([6., 2.]))
    """

    weights: Array | None = None
    quadratic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", checked_weights(self.weights))

    def value(self, residual: Array) -> Array:
        return self._weighted(residual * residual)

    def slope(self, residual: Array) -> Array:
        return self._weighted(2.0 * residual)

    def curvature(self, residual: Array) -> Array:
        return self._weighted(array_namespace(residual).full_like(residual, 2.0))

    def majoriser(self, residual: Array) -> Array:
        return self.curvature(residual)

    def __repr__(self) -> str:
        return "Squared()" if self.weights is None else "Squared(weights=...)"

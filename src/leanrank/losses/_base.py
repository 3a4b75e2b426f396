"""What a loss is: everything that solvers and certificates ask of one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, integers, like, norm, to_numpy

__all__ = ["Loss", "checked_weights"]


class Loss(ABC):
    """What residuals cost. Arrays are of shape (m,), one number for each measurement.

    A loss of anything but the residual (of labels or counts) keeps what it needs of y in
    :meth:`bound`; the prediction is then residual + y.

    Attributes
    ----------
    quadratic : bool
        Whether the loss is ``weights * residual**2`` and no other: then one sweep can give
        residual and gradient.
    scales : bool
        Whether the fit of c y is c times the fit of y, under ``scaled(c)``.
    weights : array, shape (m,), or None
        Inverse variances of the measurements up to a constant; None stands for ones.
    """

    quadratic: ClassVar[bool] = False
    scales: ClassVar[bool] = True
    weights: Array | None = None

    @property
    def plain(self) -> bool:
        """Whether this is the squared loss without weights."""
        return self.quadratic and self.weights is None

    @abstractmethod
    def value(self, residual: Array) -> Array:
        """Cost of each residual."""

    @abstractmethod
    def slope(self, residual: Array) -> Array:
        """First derivative of each cost."""

    @abstractmethod
    def curvature(self, residual: Array) -> Array:
        """Second derivative of each cost; may be negative."""

    @abstractmethod
    def majoriser(self, residual: Array) -> Array:
        """Curvatures of parabolas that touch the costs and lie nowhere below; not negative."""

    def bound(self, y: Array) -> Self:
        """The loss of the measurements ``y``: weights counted, and of y's dtype.

        Raises
        ------
        ValueError
            If the number of weights is not that of the measurements.
        """
        if self.weights is None:
            return self
        if self.weights.shape != y.shape:
            raise ValueError(
                f"weights must have a number for each of the {y.shape[0]} measurements, got "
                f"{self.weights.shape[0]}"
            )
        return self._with(weights=like(to_numpy(self.weights), y))

    def subset(self, index: np.ndarray) -> Self:
        """The loss of some of the measurements."""
        if self.weights is None:
            return self
        take = integers(index, self.weights)
        return self._with(weights=array_namespace(self.weights).take(self.weights, take, axis=0))

    def scaled(self, factor: float) -> Self:
        r"""The loss that fits ``factor`` * y as this one fits y: its cost of c r is c^2 times that.

        What is in the units of y, such as a threshold, is multiplied; weights stay.
        """
        return self

    def normalised(self) -> Self:
        """This loss divided by the mean of its weights, which are then one on average."""
        if self.weights is None:
            return self
        mean = self.mean_weight
        return self._with(weights=self.weights / mean).scaled(mean**-0.5)

    def fitted(self, residual: Array, unknowns: int = 0, least: float = 0.0) -> Self:
        """The loss with what is to be estimated from the residual of a fit; itself if nothing is.

        Parameters
        ----------
        residual : array, shape (m,)
        unknowns : int
            Free parameters of the fit.
        least : float
            Least share of what was estimated before: where a scale falls slowly, rows whose few
            measurements have an outlier among them follow.
        """
        return self

    @property
    def estimated(self) -> bool:
        """Whether some number of the loss is estimated from residuals."""
        return False

    def unweighted(self) -> Self:
        """The loss with weights of one."""
        return self if self.weights is None else self._with(weights=None)

    def weighted_as(self, other: Loss) -> Self:
        """The loss with the weights of another."""
        return self._with(weights=other.weights)

    @property
    def mean_weight(self) -> float:
        """Mean of the weights."""
        if self.weights is None:
            return 1.0
        return float(array_namespace(self.weights).mean(self.weights))

    def standardised(self, residual: Array) -> Array:
        r"""Residuals in equal units, :math:`\sqrt{w_i}\, r_i`."""
        if self.weights is None:
            return residual
        return array_namespace(residual).sqrt(self.weights) * residual

    def size(self, residual: Array, unknowns: int = 0) -> float:
        """Standard deviation of noise that would leave such residuals, at weight one.

        The root mean square of the standardised residuals (of those of positive weight), over
        what ``unknowns`` free parameters leave of it.
        """
        left = max(self.count(residual) - unknowns, 1)
        return norm(self.standardised(residual)) / math.sqrt(left)

    def _weighted(self, values: Array) -> Array:
        return values if self.weights is None else self.weights * values

    def scores(self, residual: Array) -> Array:
        r"""Slopes over :math:`2 \sqrt{w_i}`: for the squared loss the standardised residuals."""
        slope = 0.5 * self.slope(residual)
        if self.weights is None:
            return slope
        xp = array_namespace(residual)
        return slope / xp.sqrt(xp.where(self.weights > 0, self.weights, xp.ones_like(slope)))

    def mean_curvature(self, residual: Array) -> float:
        """Mean curvature over that of squares of the same weights: 1 for the squared loss."""
        curvature = float(array_namespace(residual).mean(self.curvature(residual)))
        return max(curvature / (2.0 * self.mean_weight), 0.0)

    def deviation(self, residual: Array, unknowns: int = 0) -> float:
        r"""Standard deviation of noise that moves a fit as far as this one, at weight one.

        A fit moves by :math:`(J^\top W J)^{-1} J^\top W^{1/2} \xi` with :math:`\xi` of this size:
        the root mean square of the scores over their mean curvature (a sandwich, Huber 1967).
        Infinite where nothing is left to tell it from.
        """
        left = self.count(residual) - unknowns
        steep = self.mean_curvature(residual)
        if left < 1 or steep == 0:
            return math.inf
        return norm(self.scores(residual)) / (math.sqrt(left) * steep)

    def count(self, residual: Array) -> int:
        """Number of measurements of positive weight."""
        if self.weights is None:
            return int(residual.shape[0])
        xp = array_namespace(self.weights)
        return int(xp.sum(xp.astype(self.weights > 0, xp.int64)))

    def _with(self, **changes: Any) -> Self:
        return replace(self, **changes)  # type: ignore[type-var]


def checked_weights(weights: Any) -> Array | None:
    """Weights as an array, finite, not negative, and not all zero."""
    if weights is None:
        return None
    weights = _checks.real_array(weights, "weights", ndim=1)
    xp = array_namespace(weights)
    if not weights.shape[0] or bool(xp.any(weights < 0)) or not bool(xp.any(weights > 0)):
        raise ValueError("weights must not be negative, and not all of them zero")
    return weights

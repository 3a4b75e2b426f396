r"""Losses: what a residual costs, measurement by measurement.

.. math:: L(X) = \text{weight} \cdot \sum_i \ell_i(r_i),\qquad r_i = \langle A_i, X\rangle - y_i

One convention: every loss is :math:`w_i r_i^2` close to zero, so that a threshold or a scale that
is large makes it the squared loss, and no step size or penalty needs another factor.

A solver asks a loss for four things, all functions of the residual: its ``value``, its ``slope``,
its ``curvature`` (the second derivative, which may be negative: certificates look at the true
Hessian), and its ``majoriser``, a curvature c for which

.. math:: \ell(r + z) \le \ell(r) + \ell'(r) z + \tfrac12 c z^2 .

Gauss-Newton steps use the last. For losses whose slope over residual falls as the residual grows,
such as Huber's and Student's, :math:`c = \ell'(r) / r` does it (iteratively reweighted least
squares): that is what makes damped Gauss-Newton a descent method on them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, gaussian, integers, like, norm, to_numpy

__all__ = ["Huber", "Loss", "ResidualLoss", "Squared", "StudentT"]

_GAUSSIAN_MEDIAN = 0.6744897501960817
"""Median of the absolute value of a standard normal number."""
_EFFICIENT = 1.345
"""Huber's threshold, in standard deviations, that is 95 % efficient under Gaussian noise."""


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

    def fitted(self, residual: Array, unknowns: int = 0) -> Self:
        """The loss with what is to be estimated from the residual of a fit; itself if nothing is.

        Parameters
        ----------
        residual : array, shape (m,)
        unknowns : int
            Free parameters of the fit.
        """
        return self

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
        return norm(self.standardised(residual)) / math.sqrt(self._left(residual, unknowns))

    def _weighted(self, values: Array) -> Array:
        return values if self.weights is None else self.weights * values

    def _left(self, residual: Array, unknowns: int) -> float:
        """Measurements of positive weight beyond the number of unknowns, one at least."""
        count = float(residual.shape[0])
        if self.weights is not None:
            xp = array_namespace(self.weights)
            count = float(xp.sum(xp.astype(self.weights > 0, xp.int64)))
        return max(count - unknowns, 1.0)

    def information(self, residual: Array) -> Array:
        r"""Expected curvature of each cost, for Fisher or sandwich covariances.

        The weight times the mean of the curvature over the standardised residuals: errors of a fit
        are about :math:`(J^\top C J)^{-1} J^\top \xi` with C this and :math:`\xi` slopes of noise,
        see :meth:`noise`.
        """
        xp = array_namespace(residual)
        curvature = self.curvature(residual)
        if self.weights is None:
            return xp.full_like(curvature, max(float(xp.mean(curvature)), 0.0))
        mean = float(xp.sum(curvature)) / float(xp.sum(self.weights))
        return max(mean, 0.0) * self.weights

    def noise(
        self, residual: Array, unknowns: int, rng: np.random.Generator, floor: float = 0.0
    ) -> Array:
        """A draw of the slopes that noise of the residual's size has, Gaussian; shape (m,).

        Parameters
        ----------
        residual : array, shape (m,)
        unknowns : int
            Free parameters of the fit, which have taken their share of the noise.
        rng : Generator
        floor : float
            Standard deviation of noise that is there in any case (rounding), at weight one.
        """
        xp = array_namespace(residual)
        slope, weights = self.slope(residual), self.weights
        if weights is not None:
            slope = slope / xp.sqrt(xp.where(weights > 0, weights, xp.ones_like(weights)))
        size = math.hypot(norm(slope) / math.sqrt(self._left(residual, unknowns)), 2.0 * floor)
        return self.standardised(size * gaussian(rng, tuple(residual.shape), residual))

    def _with(self, **changes: Any) -> Self:
        return replace(self, **changes)  # type: ignore[type-var]


def _checked_weights(weights: Any) -> Array | None:
    """Weights as an array, finite, not negative, and not all zero."""
    if weights is None:
        return None
    weights = _checks.real_array(weights, "weights", ndim=1)
    xp = array_namespace(weights)
    if not weights.shape[0] or bool(xp.any(weights < 0)) or not bool(xp.any(weights > 0)):
        raise ValueError("weights must not be negative, and not all of them zero")
    return weights


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
        object.__setattr__(self, "weights", _checked_weights(self.weights))

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


class ResidualLoss(Loss):
    r"""A function :math:`\rho` of standardised residuals: :math:`\ell_i(r) = \rho(\sqrt{w_i} r)`.

    Weights are inverse variances here, too (as R's ``rlm`` has it with ``inv.var``): a residual is
    large or small by the measure of its own noise. Derive from it for a loss of your own: ``rho``,
    ``psi`` (its derivative), ``bend`` (that of psi) and ``ratio``, :math:`\psi(u) / u`, which must
    not rise with :math:`|u|`.
    """

    @abstractmethod
    def rho(self, u: Array) -> Array:
        """Costs: u^2 close to zero."""

    @abstractmethod
    def psi(self, u: Array) -> Array:
        """Derivative of rho."""

    @abstractmethod
    def bend(self, u: Array) -> Array:
        """Derivative of psi."""

    @abstractmethod
    def ratio(self, u: Array) -> Array:
        """Psi over u; 2 at zero."""

    def value(self, residual: Array) -> Array:
        return self.rho(self.standardised(residual))

    def slope(self, residual: Array) -> Array:
        return self._weighted(self.ratio(self.standardised(residual))) * residual

    def curvature(self, residual: Array) -> Array:
        return self._weighted(self.bend(self.standardised(residual)))

    def majoriser(self, residual: Array) -> Array:
        return self._weighted(self.ratio(self.standardised(residual)))

    def size(self, residual: Array, unknowns: int = 0) -> float:
        """Robust standard deviation: the median of the absolute standardised residuals over .6745.

        Of the largest m - ``unknowns`` of them, as a fit can make that many vanish, and of those
        with positive weight only (Maronna, Martin, Yohai and Salibian-Barrera, 2019, sec. 4.4).
        """
        u = np.abs(to_numpy(self.standardised(residual)))
        if self.weights is not None:
            u = u[to_numpy(self.weights) > 0]
        u = np.sort(u)[min(unknowns, u.size - 1) :]
        return float(np.median(u)) / _GAUSSIAN_MEDIAN


def _positive_or_none(x: float | None, name: str) -> float | None:
    if x is None or x == math.inf:
        return x
    return _checks.real_number(x, name, above=0.0)


def _estimated(loss: ResidualLoss, residual: Array, unknowns: int) -> float:
    """Size of the residuals, kept above zero.

    An exact fit would make every other residual an outlier; where more than half of all are zero,
    the smallest of the others stands for them.
    """
    size = loss.size(residual, unknowns)
    if size > 0:
        return size
    u = np.abs(to_numpy(loss.standardised(residual)))
    return float(np.min(u[u > 0], initial=np.inf)) if (u > 0).any() else 1.0


@dataclass(frozen=True, eq=False)
class Huber(ResidualLoss):
    r"""Squares up to a threshold, straight beyond it: outliers pull with a bounded force.

    .. math:: \rho(u) = \begin{cases} u^2 & |u| \le t \\ 2 t |u| - t^2 & |u| > t \end{cases}

    Parameters
    ----------
    threshold : float, optional
        t, in the units of y where weights are one; infinite makes it the squared loss. Left out:
        1.345 standard deviations of the noise, estimated by :meth:`fitted` from the median
        absolute residual, at first that of the zero matrix.
    weights : array, shape (m,), optional
        As in :class:`Squared`.

    Raises
    ------
    ValueError, TypeError
        If the threshold is not positive, or weights are not as they should be.

    Notes
    -----
    Huber (1964). Convex in the residual. A far outlier still pulls with force 2 t, and factors
    give it a lever: where entries are observed at three times the degrees of freedom and 5 % are
    outliers of 20 times the entries' size, the minimum itself is far off (errors of 1.4 to 12 times
    that of the fit to clean data from a start at the truth, and rows that explode from elsewhere).
    There :class:`StudentT`, with errors of 1.05 to 1.11 times it, is the loss to take.

    Examples
    --------
    >>> import numpy as np
    >>> Huber(1.0).value(np.array([0.5, 3.0]))
    array([0.25, 5.  ])
    """

    threshold: float | None = None
    weights: Array | None = None
    _estimate: bool | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "threshold", _positive_or_none(self.threshold, "threshold"))
        object.__setattr__(self, "weights", _checked_weights(self.weights))
        if self._estimate is None:
            object.__setattr__(self, "_estimate", self.threshold is None)

    def scaled(self, factor: float) -> Huber:
        return self._with(threshold=_times(self.threshold, factor))

    def fitted(self, residual: Array, unknowns: int = 0) -> Huber:
        if not self._estimate:
            return self
        return self._with(threshold=_EFFICIENT * _estimated(self, residual, unknowns))

    def _clipped(self, u: Array) -> tuple[Array, Array]:
        """|u|, and that cut at the threshold."""
        xp = array_namespace(u)
        size = xp.abs(u)
        return size, xp.clip(size, max=_known(self.threshold, "threshold"))

    def rho(self, u: Array) -> Array:
        size, cut = self._clipped(u)
        return cut * (2.0 * size - cut)

    def psi(self, u: Array) -> Array:
        return u * self.ratio(u)

    def bend(self, u: Array) -> Array:
        size, cut = self._clipped(u)
        return 2.0 * array_namespace(u).astype(size <= cut, u.dtype)

    def ratio(self, u: Array) -> Array:
        size, cut = self._clipped(u)
        xp = array_namespace(u)
        one = xp.ones_like(u)
        return 2.0 * xp.where(size > cut, cut / xp.where(size > cut, size, one), one)

    def __repr__(self) -> str:
        return _shown("Huber", self.threshold, self.weights)


@dataclass(frozen=True, eq=False)
class StudentT(ResidualLoss):
    r"""Minus the log-likelihood of Student's t, scaled to be :math:`u^2` close to zero.

    .. math:: \rho(u) = \nu s^2 \log\left(1 + \frac{u^2}{\nu s^2}\right)

    Far outliers hardly pull at all, so that it resists more of them than :class:`Huber`; in
    return it is not convex in the residual.

    Parameters
    ----------
    dof : float
        Degrees of freedom :math:`\nu` of the noise; 1 is Cauchy's distribution.
    scale : float, optional
        s, in the units of y where weights are one; infinite makes it the squared loss. Left out:
        the standard deviation of the noise, estimated as for :class:`Huber`.
    weights : array, shape (m,), optional
        As in :class:`Squared`.

    Raises
    ------
    ValueError, TypeError
        If a number is not positive, or weights are not as they should be.

    Examples
    --------
    >>> import numpy as np
    >>> StudentT(1.0, scale=1.0).value(np.array([0.0, 1.0])).round(3)
    array([0.   , 0.693])
    """

    dof: float = 4.0
    scale: float | None = None
    weights: Array | None = None
    _estimate: bool | None = None

    def __post_init__(self) -> None:
        _checks.float_fields(self, "dof", above=0.0)
        object.__setattr__(self, "scale", _positive_or_none(self.scale, "scale"))
        object.__setattr__(self, "weights", _checked_weights(self.weights))
        if self._estimate is None:
            object.__setattr__(self, "_estimate", self.scale is None)

    def scaled(self, factor: float) -> StudentT:
        return self._with(scale=_times(self.scale, factor))

    def fitted(self, residual: Array, unknowns: int = 0) -> StudentT:
        if not self._estimate:
            return self
        return self._with(scale=_estimated(self, residual, unknowns))

    def _unit(self) -> float:
        return math.sqrt(self.dof) * _known(self.scale, "scale")

    def _square(self, u: Array) -> Array:
        """u^2 over nu s^2."""
        v = u / self._unit()
        return v * v

    def rho(self, u: Array) -> Array:
        if self._unit() == math.inf:
            return u * u
        return self._unit() ** 2 * array_namespace(u).log1p(self._square(u))

    def psi(self, u: Array) -> Array:
        return u * self.ratio(u)

    def bend(self, u: Array) -> Array:
        q = self._square(u)
        # Squares of the denominator would overflow in float32 long before the ratio does.
        return 2.0 * ((1.0 - q) / (1.0 + q)) / (1.0 + q)

    def ratio(self, u: Array) -> Array:
        return 2.0 / (1.0 + self._square(u))

    def __repr__(self) -> str:
        return _shown(f"StudentT({self.dof:g},", self.scale, self.weights)


def _times(x: float | None, factor: float) -> float | None:
    return None if x is None else x * float(factor)


def _known(x: float | None, name: str) -> float:
    if x is None:
        raise ValueError(
            f"{name} is not known yet: it is to be estimated from residuals, by fitted(residual)"
        )
    return x


def _shown(name: str, number: float | None, weights: Array | None) -> str:
    start = name + " " if name.endswith(",") else name + "("
    shown = "estimated" if number is None else f"{number:.4g}"
    return start + shown + (", weights=...)" if weights is not None else ")")

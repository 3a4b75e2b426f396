"""Losses that bound how far an outlier pulls: functions of standardised residuals."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, to_numpy
from leanrank.losses._base import Loss, checked_weights

__all__ = ["Huber", "ResidualLoss", "StudentT"]

_GAUSSIAN_MEDIAN = 0.6744897501960817
"""Median of the absolute value of a standard normal number."""
_EFFICIENT = 1.345
"""Huber's threshold, in standard deviations, that is 95 % efficient under Gaussian noise."""


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
        object.__setattr__(self, "weights", checked_weights(self.weights))
        if self._estimate is None:
            object.__setattr__(self, "_estimate", self.threshold is None)

    def scaled(self, factor: float) -> Huber:
        return self._with(threshold=_times(self.threshold, factor))

    @property
    def estimated(self) -> bool:
        return bool(self._estimate)

    def fitted(self, residual: Array, unknowns: int = 0, least: float = 0.0) -> Huber:
        if not self._estimate:
            return self
        estimate = _EFFICIENT * _estimated(self, residual, unknowns)
        return self._with(threshold=max(estimate, least * (self.threshold or 0.0)))

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
        object.__setattr__(self, "weights", checked_weights(self.weights))
        if self._estimate is None:
            object.__setattr__(self, "_estimate", self.scale is None)

    def scaled(self, factor: float) -> StudentT:
        return self._with(scale=_times(self.scale, factor))

    @property
    def estimated(self) -> bool:
        return bool(self._estimate)

    def fitted(self, residual: Array, unknowns: int = 0, least: float = 0.0) -> StudentT:
        if not self._estimate:
            return self
        estimate = _estimated(self, residual, unknowns)
        return self._with(scale=max(estimate, least * (self.scale or 0.0)))

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

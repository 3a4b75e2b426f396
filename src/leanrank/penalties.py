r"""Penalties on the columns of the stacked factor W: group Lasso, relevance, ridge, none.

A penalty knows its value, gradient and Hessian-vector product, all right at a zero column, which
is the normal case here. It also knows ``weights``, the diagonal majoriser that second-order
solvers use: :math:`p(W + Z) \le p(W) + \langle \nabla p, Z\rangle + \tfrac12 \sum_j d_j |z_j|^2`
with d the gradient weights, as in iteratively reweighted least squares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from leanrank import _checks
from leanrank._arrays import Array, array_namespace

__all__ = ["ARD", "GroupLasso", "NoPenalty", "Penalty", "Ridge"]


class Penalty(Protocol):
    """A function of the column norms of W, smooth everywhere."""

    def value(self, W: Array) -> float:
        """Value of the penalty."""
        ...

    def weights(self, W: Array) -> Array:
        """Gradient weights d, shape (k,): the gradient is ``W * d``."""
        ...

    def hvp(self, W: Array, Z: Array) -> Array:
        """Hessian at W times Z, the shape of W."""
        ...

    def scaled(self, factor: float) -> Penalty:
        """The penalty under which W sqrt(factor) is to y * factor what W is to y under this one.

        Its value is factor^2 times that of this one, as that of a loss of residuals is.
        """
        ...

    @property
    def curvature_at_zero(self) -> float:
        """The (isotropic) second derivative at a zero column."""
        ...


def _squares(W: Array) -> Array:
    return array_namespace(W).sum(W * W, axis=0)


@dataclass(frozen=True)
class _Smoothed:
    """The two numbers of a penalty that is smooth at a zero column."""

    strength: float
    smoothing: float

    def __post_init__(self) -> None:
        _checks.float_fields(self, "strength", least=0.0)
        _checks.float_fields(self, "smoothing", above=0.0)


@dataclass(frozen=True)
class GroupLasso(_Smoothed):
    r"""Smoothed group Lasso :math:`\lambda \sum_j |w_j|^2 / \sqrt{|w_j|^2 + \beta}`.

    Parameters
    ----------
    strength : float
        :math:`\lambda \ge 0`, in units of the loss per unit of column norm.
    smoothing : float
        :math:`\beta > 0`, in units of a squared column norm. Columns of norm at most
        :math:`2\sqrt\beta` are pruned: there the penalty's radial curvature is most negative.

    Notes
    -----
    Eq. (8) of Rajaraman et al. (2023). On the stacked W of a general matrix the group is the
    column of (U; V): its minimum over factorisations is :math:`\sum_j \sqrt{2\sigma_j}`, a
    Schatten-1/2 penalty.

    Examples
    --------
    >>> import numpy as np
    >>> GroupLasso(2.0, 9.0).value(np.array([[4.0, 0.0], [0.0, 0.0]]))
    6.4
    """

    @property
    def prune_threshold(self) -> float:
        r"""Column norm :math:`2\sqrt\beta` up to which Algorithm 1 prunes."""
        return 2.0 * math.sqrt(self.smoothing)

    @property
    def curvature_at_zero(self) -> float:
        return 2.0 * self.strength / math.sqrt(self.smoothing)

    def scaled(self, factor: float) -> GroupLasso:
        return GroupLasso(self.strength * factor**1.5, self.smoothing * factor)

    def value(self, W: Array) -> float:
        xp = array_namespace(W)
        s = _squares(W)
        return self.strength * float(xp.sum(s / xp.sqrt(s + self.smoothing)))

    def weights(self, W: Array) -> Array:
        level = _squares(W) + self.smoothing
        return self.strength * (1.0 + self.smoothing / level) / array_namespace(W).sqrt(level)

    def hvp(self, W: Array, Z: Array) -> Array:
        xp = array_namespace(W)
        level = _squares(W) + self.smoothing
        root = xp.sqrt(level)
        # Powers of beta beyond the first would underflow in float32.
        unit = W / root
        radial = self.strength * (1.0 + 3.0 * self.smoothing / level) / root
        return Z * self.weights(W) - unit * (radial * xp.sum(unit * Z, axis=0))


@dataclass(frozen=True)
class ARD(_Smoothed):
    r"""Automatic relevance determination :math:`c \sum_j \log(1 + |w_j|^2 / 2b)`.

    What is left of normal priors :math:`w_j \sim N(0, d_j I)` whose variances have inverse-gamma
    priors of shape a and scale b, where each variance is the likeliest one,
    :math:`d_j = (|w_j|^2 / 2 + b) / ((n_1 + n_2) / 2 + a + 1)`: a column that the data do not need
    loses its variance, and is emptied. For noise of variance :math:`\sigma^2` in m measurements the
    maximum of the posterior is where the mean squared residual and this penalty are least with
    :math:`c = \sigma^2 (n_1 + n_2 + 2 a + 2) / m`.

    Parameters
    ----------
    strength : float
        :math:`c \ge 0`, in units of the loss.
    smoothing : float
        :math:`b > 0`, in units of a squared column norm.

    Notes
    -----
    MacKay (1994) and Tipping (2001); for columns of factors Tan and Fevotte (2013). Up to a
    constant, which makes it zero at zero. Its minimum over factorisations of a general matrix is
    :math:`c \sum_j \log(1 + \sigma_j / b)`, by the inequality of Rotfel'd: strong directions are
    hardly shrunk.

    Examples
    --------
    >>> import numpy as np
    >>> penalty = ARD(2.0, 0.5)
    >>> penalty.value(np.array([[2.0, 0.0], [0.0, 0.0]])) == 2.0 * math.log(5.0)
    True
    """

    @property
    def prune_threshold(self) -> float:
        r"""Column norm :math:`\sqrt{6 b}`, where the radial curvature is most negative."""
        return math.sqrt(6.0 * self.smoothing)

    @property
    def curvature_at_zero(self) -> float:
        return self.strength / self.smoothing

    def scaled(self, factor: float) -> ARD:
        return ARD(self.strength * factor**2, self.smoothing * factor)

    def value(self, W: Array) -> float:
        xp = array_namespace(W)
        return self.strength * float(xp.sum(xp.log1p(_squares(W) / (2.0 * self.smoothing))))

    def weights(self, W: Array) -> Array:
        return self.strength / (_squares(W) / 2.0 + self.smoothing)

    def hvp(self, W: Array, Z: Array) -> Array:
        xp = array_namespace(W)
        # Powers of b beyond the first would underflow in float32.
        unit = W / xp.sqrt(_squares(W) / 2.0 + self.smoothing)
        return self.weights(W) * (Z - unit * xp.sum(unit * Z, axis=0))


@dataclass(frozen=True)
class Ridge:
    r"""Squared Frobenius norm :math:`\lambda |W|_F^2` of the factors.

    Its minimum over factorisations of X is :math:`2\lambda` times the nuclear norm
    (:math:`\lambda` times the trace when symmetric).

    Parameters
    ----------
    strength : float
        :math:`\lambda \ge 0`.
    """

    strength: float

    def __post_init__(self) -> None:
        _checks.float_fields(self, "strength", least=0.0)

    @property
    def curvature_at_zero(self) -> float:
        return 2.0 * self.strength

    def scaled(self, factor: float) -> Ridge:
        return Ridge(self.strength * factor)

    def value(self, W: Array) -> float:
        return self.strength * float(array_namespace(W).sum(W * W))

    def weights(self, W: Array) -> Array:
        xp = array_namespace(W)
        return xp.full_like(W[0, :], 2.0 * self.strength)

    def hvp(self, W: Array, Z: Array) -> Array:
        return Z * self.weights(W)


class NoPenalty(Ridge):
    """No penalty at all: the loss alone."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def scaled(self, factor: float) -> NoPenalty:
        return self

    def value(self, W: Array) -> float:
        return 0.0

    def __repr__(self) -> str:
        return "NoPenalty()"

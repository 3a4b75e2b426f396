"""Penalties that only papers use."""

from __future__ import annotations

from dataclasses import dataclass

from leanrank import _checks
from leanrank._arrays import Array, array_namespace
from leanrank.penalties import GroupLasso

__all__ = ["TraceCorrectedLasso"]


@dataclass(frozen=True)
class TraceCorrectedLasso:
    r"""Group Lasso less what the trace of X adds to the loss of a quadratic network.

    .. math:: \lambda \mathcal R_\beta(U) - (|U|_F^2 - \tau)^2

    For standard normal x the loss of :math:`x^\top UU^\top x` is about
    :math:`2 |UU^\top - X|_F^2 + (|U|_F^2 - \mathrm{tr} X)^2`: what is left of it with this penalty
    is twice that of matrix sensing. Eqs. (347) and (348) of Rajaraman et al. (2023), whose
    penalty has no lambda.

    Parameters
    ----------
    strength, smoothing : float
        :math:`\lambda` and :math:`\beta` of :class:`~leanrank.penalties.GroupLasso`.
    trace : float
        :math:`\tau = |U_\star|_F^2`, or the mean of y, which estimates it.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> TraceCorrectedLasso(0.0, 0.01, trace=3.0).value(np.eye(2))
    -1.0
    """

    strength: float
    smoothing: float
    trace: float

    def __post_init__(self) -> None:
        _checks.float_fields(self, "strength", "trace", least=0.0)
        _checks.float_fields(self, "smoothing", above=0.0)

    @property
    def _lasso(self) -> GroupLasso:
        return GroupLasso(self.strength, self.smoothing)

    @property
    def prune_threshold(self) -> float:
        r"""Column norm :math:`2\sqrt\beta` up to which Algorithm 1 prunes."""
        return self._lasso.prune_threshold

    @property
    def curvature_at_zero(self) -> float:
        """The (isotropic) second derivative at a zero column of factors that are all zero."""
        return self._lasso.curvature_at_zero + 4.0 * self.trace

    def scaled(self, factor: float) -> TraceCorrectedLasso:
        """As of a :class:`~leanrank.penalties.Penalty`."""
        lasso = self._lasso.scaled(factor)
        return TraceCorrectedLasso(lasso.strength, lasso.smoothing, factor * self.trace)

    def value(self, W: Array) -> float:
        """Value of the penalty."""
        excess = self._excess(W)
        return self._lasso.value(W) - excess * excess

    def weights(self, W: Array) -> Array:
        """Gradient weights d, shape (k,)."""
        return self._lasso.weights(W) - 4.0 * self._excess(W)

    def hvp(self, W: Array, Z: Array) -> Array:
        """Hessian at W times Z."""
        inner = float(array_namespace(W).sum(W * Z))
        return self._lasso.hvp(W, Z) - 4.0 * self._excess(W) * Z - 8.0 * inner * W

    def _excess(self, W: Array) -> float:
        return float(array_namespace(W).sum(W * W)) - self.trace

r"""Calculators of the pruning theory: parameters, collapse conditions.

Everything here is about the loss :math:`L(U) = |U U^\top - U_\star U_\star^\top|_F^2` (or its
empirical version with measurements of unit scale) plus the smoothed group Lasso
:math:`\lambda \sum_j |u_j|^2 / \sqrt{|u_j|^2 + \beta}`, with the literal gradient, whose factor 4
the paper drops. ``sigma`` is always a singular value of :math:`U_\star`, the square root of a
singular value of X. Theorems and equations are those of Rajaraman et al. (2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from leanrank import _checks

__all__ = [
    "PruningParameters",
    "critical_lambda",
    "origin_is_stable",
    "predicted_column_norm",
    "pruning_parameters",
    "smallest_surviving_sigma",
]


@dataclass(frozen=True)
class PruningParameters:
    """Parameters of Algorithm 1.

    Attributes
    ----------
    lam, beta : float
        Strength and smoothing of the group Lasso, in units of sigma cubed and sigma squared.
    epsilon, gamma : float
        Accuracy of the second-order stationary point: gradient norm at most epsilon (sigma
        cubed), Hessian at least -gamma (sigma squared).
    """

    lam: float
    beta: float
    epsilon: float
    gamma: float


def pruning_parameters(
    sigma_r: float,
    rank: int,
    width: int,
    *,
    spectral_norm: float = 1.0,
    c_beta: float = 0.03,
    c_lambda: float = 1.0,
    c_gamma: float = 1.0,
    c_epsilon: float = 1.0,
) -> PruningParameters:
    r"""Parameters for which Theorem 3 says that pruning leaves exactly r columns, eq. (10).

    .. math:: \beta = c_\beta \frac{\sigma_r^2}{r},\quad
        \lambda = c_\lambda \frac{\sigma_r^3}{\sqrt{k r}},\quad
        \gamma = c_\gamma \frac{\sigma_r^3}{\sigma_1 \sqrt{k}\, r^{5/2}},\quad
        \epsilon = c_\epsilon \frac{\sigma_r^{7/2}}{\sigma_1^{1/2} \sqrt{k}\, r^{5/2}}

    Parameters
    ----------
    sigma_r : float
        Smallest nonzero singular value of U*.
    rank, width : int
        Rank r of U* and number of columns k >= r of the model.
    spectral_norm : float
        Largest singular value of U*; the paper has 1.
    c_beta, c_lambda, c_gamma, c_epsilon : float
        The absolute constants, which the theorem leaves open. With the defaults of the first two
        exactly r columns of the population loss were kept, if columns started at half the norm of
        U*, at ranks 2 to 5 from k = r on, and at rank 1 from k = 3 on: with one or two columns for
        one direction this lambda can empty them all. From a tiny start it takes k >= 9: see the
        notes. With a ``c_lambda`` of 0.3 every case tried did, from either start.

    Raises
    ------
    ValueError, TypeError
        If a number is not positive, the width is below the rank, or sigma_r above the norm.

    Notes
    -----
    Where a printed version has the square root reach over :math:`k r^{5/2}`, the root of k alone
    is meant: only that agrees with the proof and with the sample size of eq. (17).
    With these parameters zero is a stable point, a trap for descent from a tiny start, if and
    only if :math:`\sigma_r^2 / (\sigma_1^2 \sqrt k) \ge 2 \sqrt{c_\beta} / c_\lambda`. With the
    default constants that is 0.346, met for k <= 8 where :math:`\sigma_r = \sigma_1`. For
    :math:`\sigma_r < \sigma_1` the weakest directions alone may be lost, again for k <= 8. See
    :func:`origin_is_stable`.

    Examples
    --------
    >>> pruning_parameters(1.0, 4, 100)
    PruningParameters(lam=0.05, beta=0.0075, epsilon=0.003125, gamma=0.003125)
    """
    rank = _checks.whole_number(rank, "rank", least=1)
    width = _checks.whole_number(width, "width", least=rank)
    top = _checks.real_number(spectral_norm, "spectral_norm", above=0.0)
    sigma = _checks.real_number(sigma_r, "sigma_r", above=0.0, most=top)
    for name, c in (("beta", c_beta), ("lambda", c_lambda), ("gamma", c_gamma)):
        _checks.real_number(c, f"c_{name}", above=0.0)
    _checks.real_number(c_epsilon, "c_epsilon", above=0.0)
    spread = math.sqrt(width) * rank**2.5
    return PruningParameters(
        lam=c_lambda * sigma**3 / math.sqrt(width * rank),
        beta=c_beta * sigma**2 / rank,
        epsilon=c_epsilon * sigma**3.5 / (math.sqrt(top) * spread),
        gamma=c_gamma * sigma**3 / (top * spread),
    )


def _penalty_slope(s: float, beta: float) -> float:
    """D(s): the penalty's gradient at a column of squared norm s is the column times D."""
    return (s + 2.0 * beta) / (s + beta) ** 1.5


def _turning_point(target: float, beta: float) -> float:
    """Squared norm at which the pull towards ``target`` over the penalty's slope is largest.

    The maximum of (target - s) / D(s): the root of a quadratic, or 0 when beta >= target.
    """
    if beta >= target:
        return 0.0
    b, c = 5.0 * beta - 0.5 * target, 2.0 * beta * (beta - target)
    root = math.sqrt(b * b - 6.0 * c)
    return (root - b) / 3.0 if b < 0 else -2.0 * c / (b + root)


def _pull(sigma: float, symmetric: bool) -> tuple[float, float]:
    """(target, factor) such that a column of squared norm s is pulled by factor (target - s)."""
    return (sigma**2, 4.0) if symmetric else (2.0 * sigma**2, 1.0)


def critical_lambda(sigma: float, beta: float, *, symmetric: bool = True) -> float:
    r"""Largest strength under which a direction of X of strength sigma can survive.

    .. math:: \lambda_{crit}(\sigma) = \max_{s \ge 0} \frac{4 (\sigma^2 - s)}{D(s)},\qquad
        D(s) = \frac{s + 2\beta}{(s + \beta)^{3/2}}

    A column along an eigenvector of X is stationary where
    :math:`4 (s - \sigma^2) + \lambda D(s) = 0`; above the critical strength there is no such
    length but zero, and the direction is lost without a sound. Stay below half of it. As beta
    goes to 0 it is :math:`8 \sigma^3 / (3 \sqrt 3) \approx 1.54 \sigma^3`.

    Parameters
    ----------
    sigma : float
        Singular value of U*: the square root of the singular value of X.
    beta : float
        Smoothing of the penalty.
    symmetric : bool
        Whether X = U U^T. For a general pair, with the column of the stacked (U; V) as the group,
        the numerator is :math:`2\sigma^2 - s`.

    Raises
    ------
    ValueError, TypeError
        If sigma is negative or beta is not positive.

    Notes
    -----
    Derived from eq. (9); the paper does not state the condition.

    Examples
    --------
    >>> round(critical_lambda(1.0, 0.01), 3), round(critical_lambda(0.5, 0.01), 3)
    (1.518, 0.184)
    """
    sigma = _checks.real_number(sigma, "sigma", least=0.0)
    beta = _checks.real_number(beta, "beta", above=0.0)
    target, factor = _pull(sigma, symmetric)
    s = _turning_point(target, beta)
    return factor * (target - s) / _penalty_slope(s, beta)


def smallest_surviving_sigma(lam: float, beta: float, *, symmetric: bool = True) -> float:
    """Return the sigma whose critical strength is ``lam``: every weaker direction is lost.

    Examples
    --------
    >>> round(smallest_surviving_sigma(critical_lambda(0.5, 0.01), 0.01), 6)
    0.5
    """
    lam = _checks.real_number(lam, "lam", least=0.0)
    high = 1.0
    while critical_lambda(high, beta, symmetric=symmetric) < lam:
        high *= 2.0
    return _bisect(lambda x: critical_lambda(x, beta, symmetric=symmetric) < lam, 0.0, high)


def origin_is_stable(lam: float, beta: float, sigma: float, *, symmetric: bool = True) -> bool:
    r"""Whether zero is a stable point, to which descent from a tiny start collapses.

    The Hessian at zero is :math:`-4 \sigma_1^2 + 2\lambda/\sqrt\beta`, so the condition is
    :math:`\lambda \ge 2 \sqrt\beta\, \sigma_1^2` (for a general pair
    :math:`\lambda \ge \sqrt\beta\, \sigma_1^2`). Such a zero is a valid second-order stationary
    point that prunes to nothing. Eq. (10) does not rule it out: with the parameters of
    :func:`pruning_parameters` the condition is :math:`\sigma_r^2 / (\sigma_1^2 \sqrt k) \ge
    2 \sqrt{c_\beta} / c_\lambda`, 0.346 by default, so that for :math:`\sigma_r = \sigma_1` up to
    k = 8 columns collapse, and 9 do not. A start with columns much longer than
    :math:`\sqrt\beta` still escapes.

    Parameters
    ----------
    lam, beta : float
        Strength and smoothing of the penalty.
    sigma : float
        Largest singular value of U*.
    symmetric : bool
        Whether X = U U^T.

    Examples
    --------
    >>> origin_is_stable(0.1, 0.03**2, 1.0), origin_is_stable(0.1, 0.1**2, 1.0)
    (True, False)
    """
    lam = _checks.real_number(lam, "lam", least=0.0)
    beta = _checks.real_number(beta, "beta", above=0.0)
    sigma = _checks.real_number(sigma, "sigma", least=0.0)
    return lam >= (2.0 if symmetric else 1.0) * math.sqrt(beta) * sigma**2


def predicted_column_norm(
    sigma: float, lam: float, beta: float, *, symmetric: bool = True
) -> float:
    r"""Norm of the column along a direction of strength sigma at the penalised solution.

    The square root of the largest root of :math:`4 (s - \sigma^2) + \lambda D(s) = 0`, and 0
    where there is none. For small lam the penalty shrinks it by about
    :math:`\lambda / (8 \sigma^2)`.

    Parameters
    ----------
    sigma : float
        Singular value of U*.
    lam, beta : float
        Strength and smoothing of the penalty.
    symmetric : bool
        Whether X = U U^T; for a general pair it is the norm of the column of (U; V), which is
        :math:`\sqrt 2 \sigma` without a penalty.

    Examples
    --------
    >>> round(predicted_column_norm(1.0, 0.1, 0.01), 5)
    0.98719
    """
    lam = _checks.real_number(lam, "lam", least=0.0)
    if lam > critical_lambda(sigma, beta, symmetric=symmetric):
        return 0.0
    target, factor = _pull(float(sigma), symmetric)

    def short(s: float) -> bool:
        return factor * (target - s) > lam * _penalty_slope(s, beta)

    return math.sqrt(_bisect(short, _turning_point(target, beta), target))


def _bisect(below: Callable[[float], bool], low: float, high: float) -> float:
    """Where ``below`` turns from true to false between two positive numbers."""
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if below(middle) else (low, middle)
    return high

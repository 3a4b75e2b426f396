r"""Deep linear networks: ridges that leave critical points.

All of it in the convention of :mod:`leanrank.research.deep`: the mean of squared residuals over all
measurements plus :math:`\tfrac\lambda2 |\theta|^2`, which for a product A is at least

.. math:: C_\lambda(A) = \tfrac1m \sum_i (\langle A_i, A\rangle - y_i)^2
    + \tfrac{\lambda L}2 \sum_i s_i(A)^{2/L}.
"""

from __future__ import annotations

from scipy import optimize

from leanrank import _checks

__all__ = ["collapse_ridge", "largest_ridge", "ridge_equilibria"]


def largest_ridge(singular_value: float, depth: int, size: int = 1) -> float:
    r"""The ridge at which a singular value of a fully observed matrix is lost.

    .. math:: \tfrac2m \max_s (\sigma - s) s^{1 - 2/L}

    Parameters
    ----------
    singular_value : float
        :math:`\sigma`, not negative.
    depth : int
        L, at least 2.
    size : int
        Number m of entries, over which the loss is the mean.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    Wang and Jacot (2024) state no such bound; it is the balance of loss and ridge along a singular
    direction. With the rates of their text, four times the ridge of their figures, no network can
    learn a singular value of one.

    Examples
    --------
    >>> largest_ridge(1.0, 2), round(largest_ridge(1.0, 3), 4)
    (2.0, 0.9449)
    """
    sigma = _checks.real_number(singular_value, "singular_value", least=0.0)
    depth = _checks.whole_number(depth, "depth", least=2)
    size = _checks.whole_number(size, "size", least=1)
    power = 1.0 - 2.0 / depth
    s = sigma * power / (1.0 + power)
    return 2.0 / size * (sigma - s) * s**power


def ridge_equilibria(
    singular_value: float, depth: int, ridge: float, size: int = 1
) -> tuple[float, ...]:
    r"""Where descent of a balanced network on a fully observed matrix can rest, but for zero.

    The solutions s of :math:`\tfrac2m (\sigma - s) s^{1 - 2/L} = \lambda`, in increasing order:
    none above :func:`largest_ridge`; below it two for L > 2, of which the larger one is stable, and
    one for L = 2.

    Parameters
    ----------
    singular_value : float
        :math:`\sigma`, not negative.
    depth : int
        L, at least 2.
    ridge : float
        :math:`\lambda > 0`.
    size : int
        Number m of entries, over which the loss is the mean.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Examples
    --------
    >>> [round(s, 4) for s in ridge_equilibria(1.0, 3, 0.5)]
    [0.0164, 0.7212]
    """
    ridge = _checks.real_number(ridge, "ridge", above=0.0)
    if ridge > largest_ridge(singular_value, depth, size):
        return ()
    target = ridge * size / 2.0
    if depth == 2:
        return (singular_value - target,)
    power = 1.0 - 2.0 / depth
    peak = singular_value * power / (1.0 + power)

    def balance(s: float) -> float:
        return float((singular_value - s) * s**power - target)

    return tuple(
        float(optimize.brentq(balance, a, b, xtol=1e-15 * singular_value))
        for a, b in ((0.0, peak), (peak, singular_value))
    )


def collapse_ridge(depth: int, mean_square: float, gradient_norm: float) -> float:
    r"""A ridge above which zero is the only critical point, whatever was measured.

    At a critical point :math:`\lambda N = 2 \langle f, y - f\rangle / m`, with f for the
    measurements of the product and :math:`N = \sum_i s_i^{2/L}` over its singular values. For
    :math:`u = \langle f, y\rangle / m` and :math:`Y = |y|^2 / m` that is at most
    :math:`2 (u - u^2 / Y)`, by Cauchy and Schwarz; and with
    :math:`G = \tfrac1m \mathcal A^*(y)`, :math:`u \le |G|_2 \sum_i s_i \le |G|_2 N^{L/2}`.
    Hence :math:`\lambda \le 2 |G|_2^{2/L} (u - u^2 / Y) u^{-2/L}`, and of that the maximum over u
    leaves nothing but zero for

    .. math:: \lambda > \frac{2 p^p}{(1 + p)^{1 + p}} \, Y^p \, |G|_2^{2/L},
        \qquad p = 1 - 2 / L.

    Parameters
    ----------
    depth : int
        L, at least 2.
    mean_square : float
        Of the measurements, Y.
    gradient_norm : float
        :math:`|G|_2`, the spectral norm.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    Sufficient: a smaller ridge may do. For one fully observed entry it is :func:`largest_ridge`.

    Examples
    --------
    >>> collapse_ridge(2, 1.0, 1.0), round(collapse_ridge(3, 1.0, 1.0), 4)
    (2.0, 0.9449)
    """
    depth = _checks.whole_number(depth, "depth", least=2)
    mean_square = _checks.real_number(mean_square, "mean_square", least=0.0)
    gradient_norm = _checks.real_number(gradient_norm, "gradient_norm", least=0.0)
    p = 1.0 - 2.0 / depth
    return 2.0 * p**p / (1.0 + p) ** (1.0 + p) * mean_square**p * gradient_norm ** (1.0 - p)

r"""Deep linear networks: ridges that leave critical points, and an absorbing set.

All of it in the convention of :mod:`leanrank.deep`: the mean of squared residuals over all
measurements plus :math:`\tfrac\lambda2 |\theta|^2`, which for a product A is at least

.. math:: C_\lambda(A) = \tfrac1m \sum_i (\langle A_i, A\rangle - y_i)^2
    + \tfrac{\lambda L}2 \sum_i s_i(A)^{2/L}.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import optimize

from leanrank import _checks

__all__ = [
    "AbsorbingSet",
    "absorbing_set",
    "collapse_ridge",
    "largest_ridge",
    "ridge_equilibria",
]


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


@dataclass(frozen=True)
class AbsorbingSet:
    r"""For which constants :math:`B_r` is never left, and how long it may take to get there.

    Numbers that no floating-point number can hold are given by their logarithms.

    Attributes
    ----------
    bound : float
        C, on squared Frobenius norms of layers.
    log10_alpha : float
        Of :math:`\alpha`, squared singular values above which count as a rank of one.
    excess : float
        :math:`\epsilon_2`.
    log10_balance : float
        Of :math:`\epsilon_1`, the largest squared balance error.
    log10_learning_rate : float
        Of the largest learning rate.
    log10_steps : float
        Of the number of steps after which a jump is counted on.
    log10_probability : float
        Of the bound on the probability that it has come by then.
    """

    bound: float
    log10_alpha: float
    excess: float
    log10_balance: float
    log10_learning_rate: float
    log10_steps: float
    log10_probability: float


def absorbing_set(
    depth: int,
    ridge: float,
    width: int,
    target_square: float,
    *,
    rank: int = 1,
    sides: int = 2,
    bound: float | None = None,
    excess: float = 0.5,
    slope: float = 2.0,
) -> AbsorbingSet:
    r"""The constants of Theorems B.1 and B.2, as large as the theorems allow.

    Parameters
    ----------
    depth : int
        L, at least 3.
    ridge : float
        :math:`\lambda > 0`, in the convention of :class:`leanrank.deep.Phase`: twice that of the
        paper's appendix, as the learning rate is half of it there.
    width : int
        n, the largest width or height of a layer.
    target_square : float
        :math:`C_1`, which the paper does not define: no observed entry may have a larger square.
    rank : int
        r.
    sides : int
        The smaller one of the matrix.
    bound : float, optional
        C; the least that both theorems allow if left out.
    excess : float
        :math:`\epsilon_2`, below or at 1/2.
    slope : float
        K, with :math:`f_\alpha' \le K / \alpha`; 2 for the paper's example.

    Returns
    -------
    AbsorbingSet

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    Wang and Jacot (2024), Theorems B.1 and B.2. As printed, the proofs disagree with them in
    places: Theorem D.4 has :math:`C \le 1 / 2\lambda` for :math:`C \ge C_1 / 2\lambda`, Theorem
    D.5 :math:`32 n (r + 1)` for :math:`64 n K (r + 1)^2`, Proposition D.2 :math:`C^L` where it uses
    :math:`C^{L-1}`, and under gradient flow the balance error falls at the rate
    :math:`-2\lambda` rather than :math:`-\lambda`. The weaker, printed statements are used.

    Examples
    --------
    >>> found = absorbing_set(3, 0.2, 100, 18.0, bound=90.0)
    >>> round(found.log10_alpha, 1), found.log10_learning_rate < -50
    (-8.2, True)
    """
    L = _checks.whole_number(depth, "depth", least=3)
    lam = _checks.real_number(ridge, "ridge", above=0.0) / 2.0
    n = _checks.whole_number(width, "width", least=1)
    C1 = _checks.real_number(target_square, "target_square", above=0.0)
    r = _checks.whole_number(rank, "rank", least=1)
    sides = _checks.whole_number(sides, "sides", least=r)
    C = C1 / lam if bound is None else _checks.real_number(bound, "bound", least=C1 / (2 * lam))
    eps2 = _checks.real_number(excess, "excess", above=0.0, most=0.5)
    K = _checks.real_number(slope, "slope", above=0.0)
    log = math.log
    noise = 2.0 * (C1 + C**L)
    alpha = (2.0 * log(lam) - log(noise)) / (L - 2)
    top = log(lam) + alpha + log(eps2)
    curved = log(64.0 * n * K) + 2.0 * log(r + 1.0)
    balance = 2.0 * (top - curved - log(L) - (L - 1) / 2.0 * log(C) - 0.5 * log(noise))
    drift = log(noise * C ** (L - 1) + lam**2 * C)
    rates = (
        log(C1 / 4.0) - drift,
        log(2.0 * lam) + balance - log(2.0 * noise * C ** (L - 1)),
        top - curved - drift,
        log(2.0 * (r + 1.0) / lam),
        log(lam) + balance - log(2.0 * noise * C ** (L - 1) + 2.0 * lam**2 * C),
    )
    rate = min(rates)
    settling = log(log(2.0 * C) - balance) - rate - log(lam)
    waiting = log(log(4.0 * max(n - r, 1) * C) - alpha - log(eps2)) - rate - log(2.0 * lam)
    steps = max(settling, waiting) + math.log1p(math.exp(-abs(settling - waiting)))
    ten = log(10.0)
    return AbsorbingSet(
        bound=C,
        log10_alpha=alpha / ten,
        excess=eps2,
        log10_balance=balance / ten,
        log10_learning_rate=(rate - log(2.0)) / ten,
        log10_steps=steps / ten,
        log10_probability=-math.exp(waiting) * math.log10(sides / r),
    )

"""Sets of networks of low approximate rank: how they are reached, and what they say of products."""

from __future__ import annotations

import math

from leanrank import _checks

__all__ = ["column_event_steps", "product_rank_bound"]


def column_event_steps(
    learning_rate: float,
    ridge: float,
    *,
    bound: float,
    alpha: float,
    excess: float,
    others: int = 1,
    slope: float = 2.0,
) -> float:
    r"""Steps on entries of r columns alone after which a bounded network is of rank about r.

    .. math:: T = \frac{\log(2 K (n - r) C / (\alpha \epsilon_2))}{2 \eta \lambda}

    Parameters
    ----------
    learning_rate, ridge : float
        :math:`\eta` and :math:`\lambda`, as in :class:`leanrank.research.deep.Phase`.
    bound, alpha, excess : float
        C, :math:`\alpha` and :math:`\epsilon_2` of the set :math:`B_r`.
    others : int
        n - r, how many singular values of a layer have to vanish.
    slope : float
        K, with :math:`f_\alpha' \le K / \alpha`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    Wang and Jacot (2024), Theorem E.2, for networks that are nearly balanced. Columns of
    :math:`W_1` whose entries are not drawn only shrink, so that :math:`s_{r+1}(W_1)` is at most
    :math:`(1 - \eta\lambda)^T` times the norm of these columns at the start, whatever the learning
    rate; balance hands that on to the other layers. The same goes for rows and :math:`W_L`.

    Examples
    --------
    >>> round(column_event_steps(0.2, 0.1, bound=4.0, alpha=0.05, excess=0.01))
    259
    """
    numbers = {"learning_rate": learning_rate, "ridge": ridge, "bound": bound}
    numbers |= {"alpha": alpha, "excess": excess, "slope": slope}
    eta, lam, C, alpha, eps2, K = (
        _checks.real_number(value, name, above=0.0) for name, value in numbers.items()
    )
    others = _checks.whole_number(others, "others", least=1)
    return max(math.log(2.0 * K * others * C / (alpha * eps2)), 0.0) / (2.0 * eta * lam)


def product_rank_bound(
    rank: int,
    *,
    depth: int,
    width: int,
    balance: float,
    excess: float,
    alpha: float,
    bound: float,
    slope: float = 2.0,
) -> float:
    r"""What the approximate rank of the product of a network in :math:`B_r` is at most.

    .. math:: \sum_i f_\alpha(s_i(A)^2) \le r + \epsilon_2
        + \frac{K n L^2}{2 \alpha} C^{L-1} \epsilon_1

    Parameters
    ----------
    rank : int
        r.
    depth, width : int
        L, and n, the largest width or height of a layer.
    balance : float
        :math:`\epsilon_1`, a spectral norm that is not squared, as in Appendix B.
    excess, alpha, bound : float
        :math:`\epsilon_2`, :math:`\alpha < 1`, and C.
    slope : float
        K, with :math:`f_\alpha' \le K / \alpha`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    Wang and Jacot (2024), Proposition F.1. It takes :math:`\alpha < 1`, which the paper does not
    say: larger singular values than one count in full there.

    Examples
    --------
    >>> options = {"depth": 3, "width": 5, "excess": 0.01, "alpha": 0.05, "bound": 2.0}
    >>> [product_rank_bound(1, balance=eps1, **options) for eps1 in (0.0, 1e-5)]
    [1.01, 1.046]
    """
    r = _checks.whole_number(rank, "rank")
    L = _checks.whole_number(depth, "depth", least=2)
    n = _checks.whole_number(width, "width", least=1)
    eps1 = _checks.real_number(balance, "balance", least=0.0)
    eps2 = _checks.real_number(excess, "excess", least=0.0)
    alpha = _checks.real_number(alpha, "alpha", above=0.0, below=1.0)
    C = _checks.real_number(bound, "bound", above=0.0)
    K = _checks.real_number(slope, "slope", above=0.0)
    return r + eps2 + K * n * L**2 / (2.0 * alpha) * C ** (L - 1) * eps1

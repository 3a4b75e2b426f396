r"""Deep linear networks: descent that does not rise, keeps its rank, and comes to a small loss.

Propositions 3.2 and A.4 to A.7 of Wang and Jacot (2024) with constants that can be computed, in the
convention of :mod:`leanrank.research.deep`: the mean of m squared residuals plus
:math:`\tfrac\lambda2 |\theta|^2`.
"""

from __future__ import annotations

import math

from leanrank import _checks

__all__ = ["deep_smoothness", "deep_step_size", "rank_margin", "ridge_descent_time"]


def deep_smoothness(
    depth: int, radius: float, ridge: float, data_norm: float, size: int = 1
) -> float:
    r"""A Lipschitz constant of the gradient where :math:`|\theta| \le D`.

    .. math:: H = \frac2m \Bigl( L q_L^{L-1}
        + (L - 1)\, q_{L-2}^{(L-2)/2} \bigl(q_L^{L/2} + |y|\bigr) \Bigr) + \lambda,
        \qquad q_k = D^2 / k.

    Parameters
    ----------
    depth : int
        L, at least 2.
    radius : float
        D, of the ball around zero.
    ridge : float
        :math:`\lambda`.
    data_norm : float
        :math:`|y|`, of the observed entries.
    size : int
        m, of these.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    The second derivative of the loss along :math:`\phi` is :math:`\frac2m (|PA'|^2 + \langle r,
    A''\rangle) + \lambda|\phi|^2`, with :math:`|A'|^2 \le |\phi|^2 \sum_l \prod_{k \ne l}
    |W_k|_F^2` and :math:`|A''| \le (L - 1) |\phi|^2 \max_{k < l} \prod_{j \ne k, l} |W_j|_F`: means
    of squares bound these products. It takes the place of Lemma A.1 of Wang and Jacot (2024), whose
    constant divides the ridge, too, by the number of entries: near zero, where only the ridge
    curves the loss, it is too small for more than :math:`2 L \sqrt{L - 1}` of them.

    Examples
    --------
    >>> deep_smoothness(3, 0.0, 0.1, 5.0, size=4)
    0.1
    """
    L = _checks.whole_number(depth, "depth", least=2)
    square = _checks.real_number(radius, "radius", least=0.0) ** 2
    ridge = _checks.real_number(ridge, "ridge", least=0.0)
    data_norm = _checks.real_number(data_norm, "data_norm", least=0.0)
    size = _checks.whole_number(size, "size", least=1)
    slopes = L * (square / L) ** (L - 1)
    others = (square / (L - 2)) ** ((L - 2) / 2.0) if L > 2 else 1.0
    residual = (square / L) ** (L / 2.0) + data_norm
    return 2.0 / size * (slopes + (L - 1) * others * residual) + ridge


def deep_step_size(loss: float, depth: int, ridge: float, data_norm: float, size: int = 1) -> float:
    r"""A learning rate, :math:`2 / H`, below which descent on all entries never rises.

    Parameters
    ----------
    loss : float
        Where it starts, the ridge included. The loss bounds the weights, :math:`|\theta|^2 \le 2
        L_\lambda / \lambda`, and does so as long as it does not rise.
    depth, ridge, data_norm, size
        As for :func:`deep_smoothness`; the ridge above zero.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    Wang and Jacot (2024), Proposition A.5.

    Examples
    --------
    >>> round(deep_step_size(1.0, 3, 0.1, 1.5, size=3), 4)
    0.01
    """
    loss = _checks.real_number(loss, "loss", least=0.0)
    ridge = _checks.real_number(ridge, "ridge", above=0.0)
    radius = math.sqrt(2.0 * loss / ridge)
    return 2.0 / deep_smoothness(depth, radius, ridge, data_norm, size)


def rank_margin(loss: float, lower_rank_loss: float, rank: int, sides: int, size: int = 1) -> float:
    r"""What singular value number r cannot be below at a small loss; negative if it says nothing.

    .. math:: s_r(A) \ge \sqrt{\frac{m}{n - r + 1}}
        \Bigl( \sqrt{\inf_{\operatorname{rank} B < r} C(B)} - \sqrt{C(A)} \Bigr)

    Parameters
    ----------
    loss : float
        C(A), the mean of squared residuals; with a ridge on top it is a bound on that.
    lower_rank_loss : float
        The infimum of these over matrices of lower rank, or less.
    rank : int
        r, at least 1.
    sides : int
        n, the smaller side of the matrix.
    size : int
        m, the number of observed entries.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    Proposition 3.2 of Wang and Jacot (2024) with its constant c: the best approximation of A of
    lower rank is within :math:`\sqrt{n - r + 1}\, s_r` of A in Frobenius norm, and its loss is at
    least the infimum. Descent that does not rise (:func:`deep_step_size`) keeps the rank for ever
    once its loss, the ridge included, is below the infimum.

    Examples
    --------
    The identity of two rows: no matrix of rank one has a sum of squared residuals below one.

    >>> round(rank_margin(0.01, 0.25, rank=2, sides=2, size=4), 2)
    0.8
    """
    loss = _checks.real_number(loss, "loss", least=0.0)
    lower = _checks.real_number(lower_rank_loss, "lower_rank_loss", least=0.0)
    rank = _checks.whole_number(rank, "rank", least=1)
    sides = _checks.whole_number(sides, "sides", least=rank)
    size = _checks.whole_number(size, "size", least=1)
    return math.sqrt(size / (sides - rank + 1)) * (math.sqrt(lower) - math.sqrt(loss))


def ridge_descent_time(
    loss: float, norm: float, ridge: float, polyak: float
) -> tuple[float, float]:
    r"""When gradient flow under a ridge has come to a loss of its order, and to which.

    .. math:: T = \frac1\beta \log \frac{L_0}{\ell}, \qquad \ell = \frac{\lambda}{\beta}
        \Bigl( 2 \sqrt{2 \beta L_0}\,(|\theta_0| + R) + \beta\,(|\theta_0| + R)^2 \Bigr),
        \qquad R = \sqrt{L_0 / \beta}

    Parameters
    ----------
    loss : float
        :math:`L_0` at the start, the ridge included.
    norm : float
        :math:`|\theta_0|`.
    ridge : float
        :math:`\lambda > 0`.
    polyak : float
        :math:`\beta > 0` with :math:`\tfrac12 |\nabla L|^2 \ge \beta L` for the loss without ridge,
        within R of the start (:func:`leanrank.research.deep.polyak_constant`).

    Returns
    -------
    time : float
        T, zero if the loss is as small at once.
    level : float
        :math:`\ell`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    Wang and Jacot (2024), Lemma A.2, whose ridge is half of this one. Its time leaves out
    :math:`\log L_0`, which is for losses of at most one.

    Examples
    --------
    >>> time, level = ridge_descent_time(1.0, 1.0, 1e-6, 0.5)
    >>> round(time, 1), level < 1e-4
    (22.2, True)
    """
    loss = _checks.real_number(loss, "loss", above=0.0)
    norm = _checks.real_number(norm, "norm", least=0.0)
    ridge = _checks.real_number(ridge, "ridge", above=0.0)
    polyak = _checks.real_number(polyak, "polyak", above=0.0)
    reach = norm + math.sqrt(loss / polyak)
    level = ridge / polyak * (2.0 * math.sqrt(2.0 * polyak * loss) * reach + polyak * reach**2)
    return max(math.log(loss / level), 0.0) / polyak, level

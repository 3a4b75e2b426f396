r"""Where gradient flow on the population loss ends up, and how many columns stay long there.

All of it is about :math:`L(U) = |U U^\top - X|_F^2` without a penalty, from a small Gaussian
start: Section 3 and Appendix A of Rajaraman et al. (2023).
"""

from __future__ import annotations

import numpy as np
from scipy import special

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, norm
from leanrank.factors import Factors

__all__ = ["active_fraction", "expected_active", "gradient_flow_limit_norms"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(120)


def gradient_flow_limit_norms(start: Factors, truth: Factors, *, correction: bool = True) -> Array:
    r"""Column norms of the limit of gradient flow from a small start, eq. (6).

    With :math:`X = \sum_j \sigma_j^2 p_j p_j^\top`, eigenvalues in decreasing order,

    .. math:: |U_\infty e_i|^2 \approx \sum_j \sigma_j^2 W_{ji}^2 + |E_0 (I - W^\top W) e_i|^2

    where the orthonormal rows of W are those of :math:`P^\top U_0`, made orthogonal one after
    another (Gram and Schmidt), and :math:`E_0 = (I - P P^\top) U_0`. The order among equal
    eigenvalues makes no difference. A row that depends on those before it is left out: the flow
    never finds a direction that its start misses. At rank 1 the first part is the paper's
    :math:`|\langle u_\star, U_0 e_i\rangle| / |u_\star^\top U_0|`.

    Parameters
    ----------
    start : Factors
        :math:`U_0`, symmetric, of any width k.
    truth : Factors
        Of X, symmetric.
    correction : bool
        Whether to add the second part, which the paper leaves out: the flow shrinks the part of
        the start outside the range of X along the rows of W only. Without it the norms of
        columns that hardly overlap with X are far too small.

    Returns
    -------
    array, shape (k,)

    Raises
    ------
    ValueError
        If the two do not fit together, or one is not symmetric.

    Notes
    -----
    At rank 1 the relative error falls with the square of the start's scale. In general the strong
    directions must be through before the weak ones begin, for which eigenvalues that are close
    to each other, but not equal, take an extremely small start; the error is then up to their
    relative difference. The step size of descent hardly matters. The paper has rank 1 only; the
    rest follows from power iteration, which a tiny start undergoes.

    Examples
    --------
    >>> import numpy as np
    >>> truth = Factors(np.array([[1.0], [0.0]]))
    >>> start = Factors(1e-6 * np.array([[3.0, 4.0], [0.0, 0.0]]))
    >>> gradient_flow_limit_norms(start, truth)
    array([0.6, 0.8])
    """
    if not (start.symmetric and truth.symmetric):
        raise ValueError("start and truth must be symmetric: the formula is for X = U U^T")
    if start.shape != truth.shape:
        raise ValueError(f"start has shape {start.shape}, but truth has {truth.shape}")
    xp = array_namespace(start.W, truth.W)
    P, values, _ = truth.svd()
    rounding = sum(start.shape) * float(xp.finfo(start.W.dtype).eps)
    rank = int(xp.sum(xp.astype(values > rounding * values[:1], xp.int64)))
    P = P[:, :rank]
    overlap = P.T @ start.U
    rows, squares = start.U[:0, :], xp.zeros_like(start.U[0, :])
    for j in range(rank):
        row = overlap[j : j + 1, :]
        for _ in range(2):  # once leaves rounding errors of the size of what was taken off
            row = row - (row @ rows.T) @ rows
        if norm(row) > rounding * norm(start.U):
            row = row / norm(row)
            rows = xp.concat([rows, row], axis=0)
            squares = squares + values[j] * row[0, :] ** 2
    if correction:
        rest = start.U - P @ overlap
        rest = rest - (rest @ rows.T) @ rows
        squares = squares + xp.sum(rest * rest, axis=0)
    return xp.sqrt(squares)


def expected_active(width: int, rank: int, level: float) -> float:
    r"""Expected number of columns at least ``level`` times as long as the longest, no penalty.

    .. math:: 1 + (k - 1)\, \mathbb E\left[1 - \frac{F(x M)}{F(M)}\right]

    with F the distribution function of a :math:`\chi_r` variable and M the largest of k of them:
    where the eigenvalues of X are equal, the columns of the limit are long as the columns of
    :math:`U_\star^\top U_0`, whose norms are independent :math:`\chi_r` variables.

    Parameters
    ----------
    width : int
        Number of columns k, much larger than the rank.
    rank : int
        Rank r of X.
    level : float
        x, from 0 to 1.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range.

    Notes
    -----
    Theorem 1 of Rajaraman et al. (2023) says that a power of k columns is at 0.99 or more. The
    power is :math:`1 - x^2`, times powers of log k, so that at 0.99 it is 0.02: the count is 1.10
    at k = 500 and 1.25 at k = 500,000, which is the longest column and hardly another. At half
    the length of the longest it is what the theorem has in mind.

    Examples
    --------
    >>> [round(expected_active(500, 1, x), 2) for x in (0.5, 0.9, 0.99)]
    [55.12, 2.54, 1.1]
    """
    width = _checks.whole_number(width, "width", least=1)
    rank = _checks.whole_number(rank, "rank", least=1)
    level = _checks.real_number(level, "level", least=0.0, most=1.0)
    # The distribution function of the largest is uniform: M by its inverse, from the upper tail.
    upper = -np.expm1(np.log((_NODES + 1) / 2) / width)
    half_square = special.gammainccinv(rank / 2, upper)
    between = special.gammaincc(rank / 2, level**2 * half_square) - upper
    share = np.clip(between / (1 - upper), 0.0, 1.0)
    return float(1 + (width - 1) * (_WEIGHTS / 2) @ share)


def active_fraction(width: int, rank: int, level: float) -> float:
    """Expected share of the columns at least ``level`` times as long as the longest.

    :func:`expected_active` over ``width``: the curve of Figure 1 without a penalty.

    Examples
    --------
    >>> round(active_fraction(500, 4, 0.5), 2)
    0.34
    """
    return expected_active(width, rank, level) / width

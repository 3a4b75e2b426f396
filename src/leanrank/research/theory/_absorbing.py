"""The set of low approximate rank that descent of a deep linear network never leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from leanrank import _checks

__all__ = ["AbsorbingExponents", "AbsorbingSet", "absorbing_exponents", "absorbing_set"]


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
        Of :math:`\epsilon_1`, the largest :math:`|W_l W_l^\top - W_{l+1}^\top W_{l+1}|_2`: a
        spectral norm, and not squared, as in Appendix B. Section 3.2 bounds squares in Frobenius
        norm, which are below :math:`\epsilon_1` there if they are below its square here.
    log10_learning_rate : float
        Of the largest learning rate.
    log10_steps : float
        Of the number of steps after which a jump is counted on, from layers of squared norms up to
        C; minus infinity if there need not be any.
    log10_probability : float
        Of the bound on the probability that it has come by then; minus infinity if even that is
        beyond floating-point numbers.
    """

    bound: float
    log10_alpha: float
    excess: float
    log10_balance: float
    log10_learning_rate: float
    log10_steps: float
    log10_probability: float


@dataclass(frozen=True)
class AbsorbingExponents:
    r"""Powers of a small ridge that the constants of :class:`AbsorbingSet` go with.

    Attributes
    ----------
    bound, alpha, balance, learning_rate : float
        Of :math:`C`, :math:`\alpha`, :math:`\epsilon_1` and the largest learning rate.
    """

    bound: float
    alpha: float
    balance: float
    learning_rate: float


def absorbing_exponents(depth: int) -> AbsorbingExponents:
    r"""Exponents of the ridge in the constants of Theorem B.1, for C as small as it may be.

    .. math:: C \sim \lambda^{-1}, \quad \alpha \sim \lambda^{\frac{L+2}{L-2}}, \quad
        \epsilon_1 \sim \lambda^{2\frac{L+2}{L-2} + 2L + 1}, \quad
        \eta \sim \lambda^{2\frac{L+2}{L-2} + 4L + 1}

    Parameters
    ----------
    depth : int
        L, at least 3.

    Raises
    ------
    ValueError, TypeError
        If the depth is below 3 or no whole number.

    Notes
    -----
    Wang and Jacot (2024), Section 3.2, print :math:`\frac{L+1}{L-2}` where the last exponent has
    :math:`2\frac{L+2}{L-2}`: 17 for 23 at depth 3.

    Examples
    --------
    >>> absorbing_exponents(3)
    AbsorbingExponents(bound=-1.0, alpha=5.0, balance=17.0, learning_rate=23.0)
    """
    L = _checks.whole_number(depth, "depth", least=3)
    alpha = (L + 2) / (L - 2)
    return AbsorbingExponents(-1.0, alpha, 2 * alpha + 2 * L + 1, 2 * alpha + 4 * L + 1)


def absorbing_set(
    depth: int,
    ridge: float,
    width: int,
    target_square: float,
    *,
    rank: int = 1,
    sides: int = 2,
    bound: float | None = None,
    excess: float = 0.25,
    slope: float = 2.0,
) -> AbsorbingSet:
    r"""The constants of Theorems B.1 and B.2, as large as both allow.

    Parameters
    ----------
    depth : int
        L, at least 3.
    ridge : float
        :math:`\lambda > 0`, in the convention of :class:`leanrank.research.deep.Phase`: twice
        that of the paper's appendix, as the learning rate is half of it there.
    width : int
        n, the largest width or height of a layer.
    target_square : float
        :math:`C_1`, which the paper does not define: no observed entry may have a larger square.
    rank : int
        r.
    sides : int
        The smaller one of the matrix.
    bound : float, optional
        C; if left out the least that both theorems allow, :math:`C_1` over the ridge of the
        appendix.
    excess : float
        :math:`\epsilon_2`, below 1/2.
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
    Wang and Jacot (2024), Theorems B.1 and B.2, and the condition on :math:`\epsilon_1` that
    Theorem E.2 adds to the latter. As printed, the proofs disagree with the theorems in places:
    Theorem D.4 has :math:`C \le 1 / 2\lambda` for :math:`C \ge C_1 / 2\lambda`, Theorem D.5
    :math:`32 n (r + 1)` for :math:`64 n K (r + 1)^2`, Proposition D.2 :math:`C^L` where it uses
    :math:`C^{L-1}`, Theorem B.2 4 for the 2 K of E.2, and under gradient flow the balance error
    falls at the rate :math:`-2\lambda` rather than :math:`-\lambda`. Of constants the weaker ones
    are used.

    Examples
    --------
    >>> found = absorbing_set(3, 0.2, 100, 18.0)
    >>> found.bound, round(found.log10_alpha, 1), found.log10_learning_rate < -50
    (180.0, -9.1, True)
    """
    L = _checks.whole_number(depth, "depth", least=3)
    lam = _checks.real_number(ridge, "ridge", above=0.0) / 2.0
    n = _checks.whole_number(width, "width", least=1)
    C1 = _checks.real_number(target_square, "target_square", above=0.0)
    r = _checks.whole_number(rank, "rank", least=1)
    sides = _checks.whole_number(sides, "sides", least=r)
    C = C1 / lam if bound is None else _checks.real_number(bound, "bound", least=C1 / lam)
    eps2 = _checks.real_number(excess, "excess", above=0.0, below=0.5)
    K = _checks.real_number(slope, "slope", above=0.0)

    # Logarithms of everything that powers of C may take out of range.
    log, log_sum = math.log, np.logaddexp
    others = max(n - r, 1)  # singular values of a layer that have to vanish, at most
    noise = log(2.0) + log_sum(log(C1), L * log(C))
    drift = noise + (L - 1) * log(C)
    step = log_sum(drift, 2.0 * log(lam) + log(C))
    alpha = (2.0 * log(lam) - noise) / (L - 2)
    fall = log(lam) + alpha + log(eps2) - log(64.0 * n * K) - 2.0 * log(r + 1.0)
    balance = min(
        2.0 * (fall - log(L) - (L - 1) / 2.0 * log(C) - noise / 2.0),
        alpha + log(eps2) - log(2.0 * K * others * (L - 1)),
    )
    rate = min(
        log(C1 / 4.0) - step,
        log(2.0 * lam) + balance - log_sum(log(2.0) + drift, 2.0 * log(lam) + balance),
        fall - step,
        log(2.0 * (r + 1.0) / lam),
        log(lam) + balance - log(2.0) - step,
    )

    def log_steps(shrinking: float, times: float) -> float:
        """Until the ridge has shrunk something by so much, a logarithm."""
        return log(shrinking) - rate - log(times * lam) if shrinking > 0.0 else -math.inf

    settling = log_steps(log(2.0 * C) - balance, 1.0)
    waiting = log_steps(log(2.0 * K * others * C) - alpha - log(eps2), 2.0)
    with np.errstate(over="ignore"):
        probability = np.exp(waiting) * math.log10(r / sides) if r < sides else 0.0
    ten = log(10.0)
    return AbsorbingSet(
        bound=C,
        log10_alpha=float(alpha / ten),
        excess=eps2,
        log10_balance=float(balance / ten),
        log10_learning_rate=float((rate - log(2.0)) / ten),
        log10_steps=float(log_sum(settling, waiting) / ten),
        log10_probability=float(probability),
    )

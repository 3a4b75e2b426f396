r"""How smooth the penalised population loss is, and what its gradient is at least.

Conventions are those of the pruning calculators: :math:`|U U^\top - U_\star U_\star^\top|_F^2`
plus the smoothed group Lasso, with the literal gradient. Theorems are those of Rajaraman et al.
(2023).
"""

from __future__ import annotations

import math

from leanrank import _checks
from leanrank._arrays import array_namespace
from leanrank.factors import Factors
from leanrank.penalties import GroupLasso

__all__ = ["gradient_lower_bound", "invariant_step_size", "smoothness_constants"]


def invariant_step_size(spectral_norm: float = 1.0) -> float:
    r"""Step size with which perturbed descent keeps :math:`|U|_{op} \le 3 |U_\star|_{op}`.

    Holds for :math:`\alpha \le 1 / (32\, |U_\star|_{op}^2)`, :math:`\lambda \le \sqrt\beta\,
    |U_\star|_{op}^2` and perturbations with :math:`|P_t|_{op} \le |U_\star|_{op}^3`, for the
    population loss of symmetric factors and its literal gradient.

    Parameters
    ----------
    spectral_norm : float
        Largest singular value of U*.

    Notes
    -----
    Theorem 8 prints 1/8, which is false: it belongs to the gradient without its factor 4. With
    X = 0, U = 3 and step 1/8 the next iterate of a 1 x 1 problem is -10.5, and the one after it
    far worse. Proof of 1/32 (norm 1): write the step as
    :math:`U((1-t) I - \alpha\Lambda) + U(t I - 4\alpha U^\top U) + 4\alpha X U - \alpha P` with
    :math:`0 \le \Lambda \le 2` and :math:`t = 1 - \alpha`. The four norms are at most
    :math:`3\alpha`, :math:`\max_{\sigma \le 3} |t\sigma - 4\alpha\sigma^3|`, :math:`12\alpha`
    and :math:`\alpha`. Up to :math:`\alpha = 1/109` the maximum is at 3 and the sum is
    :math:`3 - 95\alpha`; from there to 1/32 the maximum is below 2.02 and the sum below 2.6.

    Examples
    --------
    >>> invariant_step_size()
    0.03125
    """
    return 1.0 / (32.0 * _checks.real_number(spectral_norm, "spectral_norm", above=0.0) ** 2)


def smoothness_constants(lam: float, beta: float, *, radius: float = 3.0) -> tuple[float, float]:
    r"""Lipschitz constants of gradient and Hessian for :math:`|U|_{op} \le R`, Theorem 7.

    .. math:: 12 R^2 + \frac{2\lambda}{\sqrt\beta},\qquad 24 R + 2.743\, \frac\lambda\beta

    in Frobenius norm: 108 and 72 on the paper's ball of radius 3, without a penalty. The inverse
    of the first is a step size that never raises the objective within the ball.

    Parameters
    ----------
    lam, beta : float
        Strength and smoothing of the penalty.
    radius : float
        R, at least the largest singular value of U*.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range.

    Notes
    -----
    The theorem leaves both constants open. Each of the four terms is attained. For the loss, whose
    derivatives along Z are :math:`4\langle Z, (UU^\top - X) Z\rangle + 2|UZ^\top + ZU^\top|_F^2`
    and :math:`24 \langle UZ^\top, ZZ^\top\rangle`, at :math:`Z = u v^\top` and
    :math:`U = R u v^\top` with X u = 0. For the penalty at a zero column, and in the third
    derivative :math:`3x(x^2 - 4)(x^2 + 1)^{-7/2}\lambda/\beta` of a column of norm
    :math:`x\sqrt\beta` along itself at x = 0.389.

    Examples
    --------
    >>> smoothness_constants(0.0, 0.01), smoothness_constants(0.1, 0.01)[0]
    ((108.0, 72.0), 110.0)
    """
    lam = _checks.real_number(lam, "lam", least=0.0)
    beta = _checks.real_number(beta, "beta", above=0.0)
    radius = _checks.real_number(radius, "radius", above=0.0)
    x = math.sqrt((27.0 - math.sqrt(665.0)) / 8.0)
    bend = 3.0 * x * (4.0 - x * x) / (x * x + 1.0) ** 3.5
    return 12.0 * radius**2 + 2.0 * lam / math.sqrt(beta), 24.0 * radius + bend * lam / beta


def gradient_lower_bound(factors: Factors, penalty: GroupLasso) -> float:
    r"""Least norm that a penalised gradient can have at factors, whatever the loss, Lemma 22.

    .. math:: |\nabla (L + \lambda\mathcal R_\beta)(W)|_F \ge \lambda \max_{i \ne j}
        \frac{|D_i - D_j|\, |\langle w_i, w_j\rangle|}{\sqrt{|w_i|^2 + |w_j|^2}},\qquad
        D_i = \frac{|w_i|^2 + 2\beta}{(|w_i|^2 + \beta)^{3/2}}

    So at a stationary point columns of different length are orthogonal. Rotating two columns
    changes X, and with it any loss of X, in no way, and the penalty at this rate.

    Parameters
    ----------
    factors : Factors
        W, of :math:`UU^\top` or :math:`UV^\top`.
    penalty : GroupLasso

    Returns
    -------
    float
        0 for fewer than two columns.

    Examples
    --------
    >>> import numpy as np
    >>> round(gradient_lower_bound(Factors(np.array([[1.0, 0.5]])), GroupLasso(1.0, 0.01)), 6)
    0.461391
    """
    W = factors.W
    xp = array_namespace(W)
    gram, D = W.T @ W, penalty.weights(W)
    if not factors.width:
        return 0.0
    squares = xp.linalg.diagonal(gram)
    sizes = xp.sqrt(squares[:, None] + squares[None, :])
    rates = xp.abs((D[:, None] - D[None, :]) * gram)
    return float(xp.max(rates / xp.where(sizes > 0, sizes, xp.ones_like(sizes))))

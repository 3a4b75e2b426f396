r"""Calculators of the pruning theory: parameters, collapse conditions, step sizes, sample sizes.

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
from leanrank.factors import degrees_of_freedom

__all__ = [
    "PruningParameters",
    "critical_lambda",
    "degrees_of_freedom",
    "fine_tuning_steps",
    "invariant_step_size",
    "origin_is_stable",
    "predicted_column_norm",
    "pruning_parameters",
    "sample_size",
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
        The absolute constants, which the theorem leaves open. The defaults of the first two kept
        exactly r columns of the population loss in every case tried.

    Raises
    ------
    ValueError, TypeError
        If a number is not positive, the width is below the rank, or sigma_r above the norm.

    Notes
    -----
    Where a printed version has the square root reach over :math:`k r^{5/2}`, the root of k alone
    is meant: only that agrees with the proof and with the sample size of eq. (17).
    From a tiny start these parameters can make zero a trap: see :func:`origin_is_stable`.

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
    point that prunes to nothing; it does not meet eq. (10) with the constants of Theorem 3. A
    start with columns much longer than :math:`\sqrt\beta` still escapes it.

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


def invariant_step_size(spectral_norm: float = 1.0) -> float:
    r"""Step size with which perturbed descent stays in the ball |U|_op <= 3 |U*|_op.

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


def fine_tuning_steps(
    sigma_1: float, sigma_r: float, measurements: int, d: int, *, c: float = 1.0
) -> int:
    r"""Fine-tuning steps after which Theorem 5 promises the noise floor.

    .. math:: m = \left\lceil C (\sigma_1/\sigma_r)^{10} \log\left(\frac{\sigma_r}{\sigma_1}
        \frac nd\right) \right\rceil

    Parameters
    ----------
    sigma_1, sigma_r : float
        Largest and smallest singular values of U*.
    measurements, d : int
        Number of measurements n, and size d of the matrix.
    c : float
        The constant, which the theorem leaves open.

    Returns
    -------
    int
        At least 1, also where the logarithm is not positive: the bound then says nothing.

    Notes
    -----
    The bound says how soon the error is at the noise floor of eq. (16), for the theorem's own
    step size; without noise there is no floor, and descent goes on at a linear rate for as long
    as it is run. The tenth power is far from sharp: the rate seen is linear, in proportion to
    the step size times :math:`\sigma_r^2`.

    Examples
    --------
    >>> fine_tuning_steps(1.0, 0.8, 1000, 20, c=10.0)
    344
    """
    top = _checks.real_number(sigma_1, "sigma_1", above=0.0)
    low = _checks.real_number(sigma_r, "sigma_r", above=0.0, most=top)
    n = _checks.whole_number(measurements, "measurements", least=1)
    d = _checks.whole_number(d, "d", least=1)
    c = _checks.real_number(c, "c", above=0.0)
    return max(1, math.ceil(c * (top / low) ** 10 * math.log(low / top * n / d)))


def sample_size(
    d: int,
    rank: int,
    width: int,
    *,
    accuracy: float,
    sigma_r: float = 1.0,
    noise: float = 0.0,
    failure: float = 0.05,
    c_floor: float = 1.0,
    c_prune: float = 1.0,
) -> float:
    r"""Gaussian measurements that eq. (17) asks for, with :math:`|U_\star|_{op} = 1`.

    .. math:: n = C_1 \frac{\sigma^2}{\sigma_r^4} \frac{r d}{\varepsilon^2}
        + C_2 \frac{1 + \sigma^2}{\sigma_r^4} d k^2 r^5 \log(d/\eta)

    Parameters
    ----------
    d, rank, width : int
        Size of the matrix, rank r and width k.
    accuracy : float
        Error of X in Frobenius norm, epsilon.
    sigma_r : float
        Smallest singular value of U*, at most 1.
    noise : float
        Standard deviation sigma of the noise.
    failure : float
        Probability eta of failure.
    c_floor, c_prune : float
        The two constants, which the remark leaves open.

    Returns
    -------
    float
        Not rounded: it can be larger than any integer type cares for.

    Notes
    -----
    Only the first term depends on the accuracy. The second is far from what is needed (pruning
    succeeded with about 1.5 times :func:`degrees_of_freedom`), and its power of sigma_r is not
    the one that the proof gives: inserting eq. (10) in the proof's condition leads to the power
    -7 where -4 is printed.

    Examples
    --------
    >>> round(sample_size(20, 3, 20, accuracy=0.1, noise=0.1, c_prune=1e-5))
    178
    """
    d = _checks.whole_number(d, "d", least=1)
    rank = _checks.whole_number(rank, "rank", least=1, most=d)
    width = _checks.whole_number(width, "width", least=rank)
    accuracy = _checks.real_number(accuracy, "accuracy", above=0.0)
    sigma_r = _checks.real_number(sigma_r, "sigma_r", above=0.0, most=1.0)
    noise = _checks.real_number(noise, "noise", least=0.0)
    failure = _checks.real_number(failure, "failure", above=0.0, most=1.0)
    _checks.real_number(c_floor, "c_floor", above=0.0)
    _checks.real_number(c_prune, "c_prune", above=0.0)
    floor = c_floor * noise**2 * rank * d / accuracy**2
    prune = c_prune * (1.0 + noise**2) * d * width**2 * rank**5 * math.log(d / failure)
    return (floor + prune) / sigma_r**4

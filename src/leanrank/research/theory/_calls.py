"""How many gradients Algorithm 1 takes: Theorems 5 and 9 of Rajaraman et al. (2023)."""

from __future__ import annotations

import math

from leanrank import _checks

__all__ = ["fine_tuning_steps", "gradient_calls"]


def fine_tuning_steps(
    sigma_1: float, sigma_r: float, measurements: int, d: int, *, c: float = 50.0
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
        The constant, which the theorem leaves open. It is in proportion to the inverse step size:
        50 is for steps of :math:`0.02/\sigma_1^2` and a little noise, as follows.

    Returns
    -------
    int
        At least 1, also where the logarithm is not positive: the bound then says nothing.

    Notes
    -----
    The bound says how soon the error is at the noise floor of eq. (16), and is short of what it
    depends on most: the count grows with the logarithm of the error at the start over that floor,
    and so of 1 / noise. At d = 20, r = 3, n = 400, step 0.02 and an error of 0.25 after pruning it
    takes 29 to 50 steps to within a tenth of the floor with noise 0.1, 79 to 112 with 0.01, and
    142 to 175 with 0.001. Without noise there is no floor, and descent goes on at a linear rate
    for as long as it is run. The tenth power is far from sharp: the rate seen is in proportion to
    the step size times :math:`\sigma_r^2`.

    Examples
    --------
    >>> fine_tuning_steps(1.0, 1.0, 400, 20)
    150
    """
    top = _checks.real_number(sigma_1, "sigma_1", above=0.0)
    low = _checks.real_number(sigma_r, "sigma_r", above=0.0, most=top)
    n = _checks.whole_number(measurements, "measurements", least=1)
    d = _checks.whole_number(d, "d", least=1)
    c = _checks.real_number(c, "c", above=0.0)
    return max(1, math.ceil(c * (top / low) ** 10 * math.log(low / top * n / d)))


def gradient_calls(
    sigma_r: float,
    rank: int,
    width: int,
    measurements: int,
    d: int,
    *,
    c_search: float = 1.0,
    c_tune: float = 50.0,
) -> float:
    r"""Gradients that Theorem 9 counts in both phases of Algorithm 1; :math:`|U_\star|_{op} = 1`.

    .. math:: T = \frac{C_1}{\sigma_r^{10}} \log\frac{n}{d\,\sigma_r}
        + C_2 \frac{k r^5}{\sigma_r^7}

    The second term is :math:`1 / \min\{\epsilon^2, \gamma^2\}` at eq. (10), for noisy gradient
    descent to a stationary point of the second order; logarithms of it are left out.

    Parameters
    ----------
    sigma_r : float
        Smallest singular value of U*, at most 1.
    rank, width : int
        r and k.
    measurements, d : int
        Number n of measurements and size d of the matrix.
    c_search, c_tune : float
        The two constants, which the theorem leaves open.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range.

    Notes
    -----
    Theorem 9 and its eq. (19) are in the older version of Rajaraman et al. (2023) only. The count
    is that of a method that knows nothing of the loss but that it is smooth. On this loss descent
    converges at a linear rate, and its calls grow with the logarithm of 1 / epsilon: see the
    experiment ``pruning-theorem9``.

    Examples
    --------
    >>> round(gradient_calls(1.0, 3, 20, 400, 20))
    5010
    """
    sigma = _checks.real_number(sigma_r, "sigma_r", above=0.0, most=1.0)
    rank = _checks.whole_number(rank, "rank", least=1)
    width = _checks.whole_number(width, "width", least=rank)
    n = _checks.whole_number(measurements, "measurements", least=1)
    d = _checks.whole_number(d, "d", least=1)
    _checks.real_number(c_search, "c_search", above=0.0)
    _checks.real_number(c_tune, "c_tune", above=0.0)
    tune = max(math.log(n / (d * sigma)), 0.0) / sigma**10
    return c_tune * tune + c_search * width * rank**5 / sigma**7

r"""How well noise lets a matrix be known, from Gaussian measurements of unit scale."""

from __future__ import annotations

import math

from leanrank import _checks

__all__ = ["noise_floor", "oracle_error"]


def noise_floor(noise: float, d: int, width: int, measurements: int) -> float:
    r"""The rate of Theorem 5, :math:`\sigma \sqrt{k d / n}`, with k = r once pruned, eq. (16).

    Parameters
    ----------
    noise : float
        Standard deviation sigma of the noise in y.
    d : int
        Size of the symmetric matrix.
    width : int
        Number of columns that are fitted.
    measurements : int
        Their number n.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range.

    Notes
    -----
    Eq. (16) of Rajaraman et al. (2023) has a factor :math:`1/\sigma_r^2` and an open constant;
    measured errors are this with neither, within 10 % from about 7 times the degrees of freedom
    on. For k > r it is an upper bound that descent run to convergence stays well below, since
    positive semi-definiteness alone regularises. :func:`oracle_error` is precise at every n.

    Examples
    --------
    >>> round(noise_floor(0.1, 20, 3, 600), 6)
    0.031623
    """
    noise = _checks.real_number(noise, "noise", least=0.0)
    d = _checks.whole_number(d, "d", least=1)
    width = _checks.whole_number(width, "width", least=1)
    measurements = _checks.whole_number(measurements, "measurements", least=1)
    return noise * math.sqrt(width * d / measurements)


def oracle_error(noise: float, freedom: int, measurements: int) -> float:
    r"""Root mean square error of least squares with Gaussian measurements.

    .. math:: \sigma \sqrt{\frac{p}{n - p - 1}}

    in Frobenius norm, with p degrees of freedom: exact for a linear model whose measurements
    are Gaussian, and so to first order in the noise for a matrix of known rank.

    Parameters
    ----------
    noise : float
        Standard deviation sigma of the noise in y.
    freedom : int
        :func:`degrees_of_freedom` p of the matrix.
    measurements : int
        Their number n.

    Returns
    -------
    float
        Infinite unless there are at least p + 2 measurements.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range.

    Examples
    --------
    >>> round(oracle_error(0.1, 57, 400), 4)
    0.0408
    """
    noise = _checks.real_number(noise, "noise", least=0.0)
    freedom = _checks.whole_number(freedom, "freedom")
    measurements = _checks.whole_number(measurements, "measurements", least=1)
    spare = measurements - freedom - 1
    return noise * math.sqrt(freedom / spare) if spare > 0 else math.inf

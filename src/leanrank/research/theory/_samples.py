r"""How many Gaussian measurements it takes: what theorems ask for, and what was enough.

The theorems leave constants open, which are arguments here, with defaults from runs. Their powers
of rank, width and condition number are in no run; :func:`enough_measurements` is what was seen.
"""

from __future__ import annotations

import math

from leanrank import _checks
from leanrank.factors import degrees_of_freedom

__all__ = [
    "enough_measurements",
    "fresh_batch_size",
    "isometry_sample_size",
    "sample_size",
]


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
    c_prune: float = 1e-5,
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
        The two constants, which the remark leaves open. As measured at d = k = 20 and r = 3: with
        the first at 1 the error is the accuracy to 15 % from 200 measurements on, and with the
        second at 1e-5 there are enough to prune.

    Returns
    -------
    float
        Not rounded: it can be larger than any integer type cares for.

    Notes
    -----
    Only the first term depends on the accuracy. Of the powers of k and r in the second nothing is
    seen, so that elsewhere :func:`enough_measurements` says better what is needed. Its power of
    sigma_r is not the one that the proof gives: inserting eq. (10) in the proof's condition leads
    to the power -7 where -4 is printed.

    Examples
    --------
    >>> round(sample_size(20, 3, 20, accuracy=0.1, noise=0.1))
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


def isometry_sample_size(
    shape: tuple[int, int], rank: int, *, kappa: float = 1.0, c: float = 3.0
) -> float:
    r"""Gaussian measurements of a fixed set that Theorem 2.8 needs.

    .. math:: m = C r^2 (n_1 + n_2)\, \kappa^4

    From restricted isometry at rank r + 1 with constant :math:`c/(\sqrt r \kappa^2)`.

    Parameters
    ----------
    shape : tuple of int
        (n1, n2).
    rank : int
    kappa : float
        Condition number of Y.
    c : float
        The theorem leaves it open; 3 was enough at rank 1 and kappa 1. The powers are not seen:
        see :func:`enough_measurements`.

    Raises
    ------
    ValueError, TypeError
        If the shape is not one, or a number is out of its range.

    Examples
    --------
    >>> isometry_sample_size((20, 20), 2)
    480.0
    """
    n1, n2 = _checks.matrix_shape(shape, "shape")
    rank = _checks.whole_number(rank, "rank", least=1, most=min(n1, n2))
    kappa = _checks.real_number(kappa, "kappa", least=1.0)
    return _checks.real_number(c, "c", above=0.0) * rank**2 * (n1 + n2) * kappa**4


def enough_measurements(
    shape: tuple[int, int], rank: int, *, symmetric: bool = False, c: float | None = None
) -> int:
    r"""Gaussian measurements that were enough without noise: a measured law, of no theorem.

    .. math:: \lceil 1.6\, p \rceil\ \text{for } U U^\top,\qquad
        3\, r (n_1 + n_2)\ \text{for } U V^\top

    with p the :func:`degrees_of_freedom`. The first is for greedy pruning from d columns: with
    1.4 p already every run found rank and matrix. The second is for descent from a start of norm
    0.001, on one fixed set: the relative error is then below 0.015, with 2 r (n1 + n2) it is up
    to 0.1, with 6 r (n1 + n2) below 0.001.

    Parameters
    ----------
    shape : tuple of int
        (n1, n2).
    rank : int
        Rank r.
    symmetric : bool
        Whether X = U U^T.
    c : float, optional
        The factor, 1.6 or 3.

    Raises
    ------
    ValueError, TypeError
        If the shape is not one, or a number is out of its range.

    Notes
    -----
    Measured at d = 20 to 40, ranks 1 to 5 and widths 20 to 40 for pruning; at 20 x 20 and 15 x 25,
    ranks 1 to 3 and condition numbers 1 and 2 for descent. Of the powers of width, rank and
    condition number in :func:`sample_size` and :func:`isometry_sample_size` nothing is seen.

    Examples
    --------
    >>> enough_measurements((20, 20), 3, symmetric=True), enough_measurements((20, 20), 2)
    (92, 240)
    """
    n1, n2 = _checks.matrix_shape(shape, "shape")
    rank = _checks.whole_number(rank, "rank", least=1, most=min(n1, n2))
    unit = degrees_of_freedom((n1, n2), rank, symmetric=True) if symmetric else rank * (n1 + n2)
    factor = (1.6 if symmetric else 3.0) if c is None else c
    return math.ceil(_checks.real_number(factor, "c", above=0.0) * unit)


def fresh_batch_size(
    shape: tuple[int, int],
    rank: int,
    steps: int,
    *,
    kappa: float = 1.0,
    failure: float = 0.05,
    power: float = 4.0,
    c: float = 0.05,
) -> float:
    r"""Fresh Gaussian measurements in each step that Theorem 2.9 of Wind (2025) asks for.

    .. math:: m = C (\log(n_1 + n_2) + \log K + \log(1/\delta))\, r (n_1 + n_2)\, \kappa^4

    Parameters
    ----------
    shape : tuple of int
        (n1, n2).
    rank : int
    steps : int
        K.
    kappa : float
        Condition number of Y.
    failure : float
        Probability delta.
    power : float
        Of kappa: 4 in the theorem; the text of Section 5 says 8.
    c : float
        The theorem leaves it open. With 0.05, some 0.6 r (n1 + n2) measurements at kappa 1, the
        error was at most three times what twice as many left; 0.02 is enough for small steps.

    Notes
    -----
    "Near-optimal total samples" counts m K: at n = 20 more than the n^2 numbers that determine
    any matrix, and more than a fixed set needs.

    Examples
    --------
    >>> round(fresh_batch_size((20, 20), 2, 691))
    53
    """
    n1, n2 = _checks.matrix_shape(shape, "shape")
    rank = _checks.whole_number(rank, "rank", least=1, most=min(n1, n2))
    steps = _checks.whole_number(steps, "steps", least=1)
    kappa = _checks.real_number(kappa, "kappa", least=1.0)
    failure = _checks.real_number(failure, "failure", above=0.0, most=1.0)
    power = _checks.real_number(power, "power", least=0.0)
    logs = math.log(n1 + n2) + math.log(steps) - math.log(failure)
    return _checks.real_number(c, "c", above=0.0) * logs * rank * (n1 + n2) * kappa**power

"""Seeded instances of every kind of measurement, with the truth that they come from.

Singular vectors are uniformly distributed, singular values geometrically spaced with ratio
``kappa`` from first to last. Everything is drawn by NumPy: the truth first, then the
measurements, then the noise, so that instances that differ in noise share the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array
from leanrank._positions import determining_positions
from leanrank._threads import one_blas_thread
from leanrank.factors import Factors, degrees_of_freedom
from leanrank.operators import (
    DenseSensing,
    FullObservation,
    Measurement,
    ObservedEntries,
    RankOneSensing,
)

__all__ = [
    "Instance",
    "dense_sensing",
    "full_observation",
    "gaussian_operator",
    "matrix_completion",
    "rank_one_sensing",
]


@dataclass(frozen=True, eq=False)
class Instance:
    """Measurements of a matrix that is known.

    Attributes
    ----------
    op : Measurement
    y : array, shape (m,)
        ``op.forward(truth)`` plus noise.
    truth : Factors
        Balanced, and of exactly the true rank.
    noise_std : float
        Standard deviation of the noise in ``y``, in units of y.
    """

    op: Measurement
    y: Array
    truth: Factors
    noise_std: float

    def error(self, factors: Factors) -> float:
        """Frobenius norm of the difference to the truth, relative to that of the truth."""
        return factors.distance(self.truth) / self.truth.norm()


@one_blas_thread()
def dense_sensing(
    shape: int | tuple[int, int],
    rank: int,
    *,
    m: int | None = None,
    oversampling: float | None = None,
    kappa: float = 1.0,
    noise: float = 0.0,
    symmetric: bool = False,
    dtype: Any = np.float64,
    random_state: Any = None,
) -> Instance:
    r"""Sensing with standard normal matrices: :math:`y_i = \langle A_i, X\rangle + \text{noise}`.

    The largest singular value of X is 1, and :math:`\tfrac1m\sum_i\langle A_i, X\rangle^2` is
    :math:`|X|_F^2` in expectation. With ``symmetric`` X is positive semi-definite and each
    :math:`A_i` the symmetric part of a standard normal matrix (variance 1 on the diagonal, 1/2
    off it), which gives the same measurements; the packed triangles are drawn directly, so that
    memory is m d (d + 1) / 2 numbers of the given dtype and no more.

    Parameters
    ----------
    shape : int or tuple of int
        (n1, n2), or d for (d, d).
    rank : int
        True rank, from 1 to min(n1, n2).
    m : int, optional
        Number of measurements.
    oversampling : float, optional
        Instead of m: measurements per degree of freedom, of which there are r (n1 + n2 - r), or
        r (2 d - r + 1) / 2 when symmetric. 3 if neither is given.
    kappa : float
        Largest over smallest singular value, at least 1.
    noise : float
        Standard deviation of the noise over that of the noise-free measurements.
    symmetric : bool
        Positive semi-definite X = U U^T seen through symmetric matrices.
    dtype : dtype
        float32 or float64, of everything; the two draw different matrices.
    random_state : int, Generator or None

    Returns
    -------
    Instance

    Raises
    ------
    ValueError
        If a number is out of range, both m and oversampling are given, or ``symmetric`` is asked
        of a shape that is not square.
    TypeError
        If an argument is of the wrong kind, or the dtype is not float32 or float64.

    Examples
    --------
    >>> instance = dense_sensing(20, 3, m=100, symmetric=True, random_state=0)
    >>> instance.op, instance.truth
    (DenseSensing(shape=(20, 20), size=100), Factors(U U^T, shape=(20, 20), width=3))
    """
    rng, dtype = _checks.generator(random_state), _checks.float_dtype(dtype)
    shape = _shape(shape, symmetric)
    truth = _truth(shape, rank, kappa, symmetric, dtype, rng)
    m = _count(truth, m, oversampling)
    op = gaussian_operator(shape, m, symmetric=symmetric, dtype=dtype, random_state=rng)
    return _measure(op, truth, noise, rng)


def gaussian_operator(
    shape: int | tuple[int, int],
    m: int,
    *,
    symmetric: bool = False,
    dtype: Any = np.float64,
    random_state: Any = None,
) -> DenseSensing:
    """Sensing with m standard normal matrices, or with their symmetric parts, packed.

    Parameters
    ----------
    shape, m, symmetric, dtype, random_state
        As in :func:`dense_sensing`.

    Raises
    ------
    ValueError, TypeError
        As in :func:`dense_sensing`.

    Examples
    --------
    >>> gaussian_operator((4, 3), 20, random_state=0)
    DenseSensing(shape=(4, 3), size=20)
    """
    rng, dtype = _checks.generator(random_state), _checks.float_dtype(dtype)
    n1, n2 = _shape(shape, symmetric)
    m = _checks.whole_number(m, "m", least=1)
    if not symmetric:
        return DenseSensing(rng.standard_normal((m, n1, n2), dtype=dtype))
    packed = rng.standard_normal((m, n1 * (n1 + 1) // 2), dtype=dtype)
    i, j = np.triu_indices(n1)
    packed *= np.where(i == j, 1.0, math.sqrt(0.5)).astype(dtype)
    return DenseSensing.from_packed(packed, n1)


@one_blas_thread()
def rank_one_sensing(
    shape: int | tuple[int, int],
    rank: int,
    *,
    m: int | None = None,
    oversampling: float | None = None,
    kappa: float = 1.0,
    noise: float = 0.0,
    symmetric: bool = False,
    dtype: Any = np.float64,
    random_state: Any = None,
) -> Instance:
    r"""Sensing with :math:`x_i z_i^\top`, or :math:`x_i x_i^\top` if symmetric, x and z normal.

    With ``symmetric`` this is a quadratic network: :math:`y_i = \sum_j (x_i^\top u_j)^2`. The
    largest singular value of X is 1; see :class:`~leanrank.operators.RankOneSensing` for the
    scale of the measurements.

    Parameters
    ----------
    shape : int or tuple of int
        (n1, n2), or d for (d, d).
    rank, m, oversampling, kappa, noise, symmetric, dtype, random_state
        As in :func:`dense_sensing`.

    Returns
    -------
    Instance

    Raises
    ------
    ValueError, TypeError
        As :func:`dense_sensing`.

    Examples
    --------
    >>> rank_one_sensing((8, 5), 2, oversampling=4, random_state=0).op
    RankOneSensing(shape=(8, 5), size=88)
    """
    rng, dtype = _checks.generator(random_state), _checks.float_dtype(dtype)
    shape = _shape(shape, symmetric)
    truth = _truth(shape, rank, kappa, symmetric, dtype, rng)
    m = _count(truth, m, oversampling)
    x = rng.standard_normal((m, shape[0]), dtype=dtype)
    z = None if symmetric else rng.standard_normal((m, shape[1]), dtype=dtype)
    return _measure(RankOneSensing(x, z), truth, noise, rng)


@one_blas_thread()
def full_observation(
    shape: int | tuple[int, int],
    rank: int,
    *,
    kappa: float = 1.0,
    noise: float = 0.0,
    symmetric: bool = False,
    dtype: Any = np.float64,
    random_state: Any = None,
) -> Instance:
    """All of X, whose largest singular value is 1: the population loss, or plain denoising.

    Parameters
    ----------
    shape : int or tuple of int
        (n1, n2), or d for (d, d).
    rank, kappa, noise, symmetric, dtype, random_state
        As in :func:`dense_sensing`. Noise is independent in all entries, also when symmetric.

    Returns
    -------
    Instance

    Raises
    ------
    ValueError, TypeError
        As :func:`dense_sensing`.

    Examples
    --------
    >>> instance = full_observation(6, 2, kappa=4, symmetric=True, random_state=0)
    >>> instance.truth.singular_values().round(6)
    array([1.  , 0.25])
    """
    rng, dtype = _checks.generator(random_state), _checks.float_dtype(dtype)
    shape = _shape(shape, symmetric)
    truth = _truth(shape, rank, kappa, symmetric, dtype, rng)
    op = FullObservation(shape, reference=np.empty(0, dtype=dtype))
    return _measure(op, truth, noise, rng)


@one_blas_thread()
def matrix_completion(
    shape: int | tuple[int, int],
    rank: int,
    *,
    fraction: float | None = None,
    oversampling: float | None = None,
    kappa: float = 1.0,
    noise: float = 0.0,
    dtype: Any = np.float64,
    random_state: Any = None,
) -> Instance:
    r"""Some entries of a matrix with :math:`|X|_F = \sqrt{n_1 n_2}`: entries of unit mean square.

    Positions are a uniform sample without replacement, given that they determine every row and
    every column (at least ``rank`` entries each, and no row and column of just as many that share
    one). The sample is drawn again until that holds; if it is too rare an event, the last one is
    repaired, by adding entries at random where they lack and removing as many at random where
    none is missed. That leaves r or more in each row and column: if none can be spared, each lies
    in a row or a column that has exactly r of them, and counting those shows that there are at
    most r (n1 + n2 - r).

    From (r + 1) (n1 + n2 - r - 1) entries on a repaired sample has r + 1 in each, and determines
    them. One of fewer may leave rows and columns of r entries that share one, which no method can
    determine, and ``op.undetermined(rank)`` names: most large samples of just as many entries as
    degrees of freedom have some, few of 1.2 times as many.

    Parameters
    ----------
    shape : int or tuple of int
        (n1, n2), or d for (d, d).
    rank : int
        True rank, from 1 to min(n1, n2).
    fraction : float, optional
        Share of the entries that is seen, above 0 and at most 1.
    oversampling : float, optional
        Instead of the fraction: entries per degree of freedom r (n1 + n2 - r), at least 1; 3 if
        neither is given.
    kappa, noise, dtype, random_state
        As in :func:`dense_sensing`.

    Returns
    -------
    Instance
        Its positions are sorted by row.

    Raises
    ------
    ValueError
        If a number is out of range, both fraction and oversampling are given, or the number of
        entries is below the degrees of freedom or above n1 n2.
    TypeError
        If an argument is of the wrong kind, or the dtype is not float32 or float64.

    Examples
    --------
    >>> instance = matrix_completion((30, 20), 2, oversampling=3, random_state=0)
    >>> instance.op
    ObservedEntries(shape=(30, 20), size=288)
    """
    rng, dtype = _checks.generator(random_state), _checks.float_dtype(dtype)
    shape = _shape(shape, False)
    truth = _truth(shape, rank, kappa, False, dtype, rng)
    entries = shape[0] * shape[1]
    truth = truth.scaled(math.sqrt(entries) / truth.norm())
    if fraction is None:
        m = _count(truth, None, oversampling)
    elif oversampling is None:
        m = round(_checks.real_number(fraction, "fraction", above=0.0, most=1.0) * entries)
    else:
        raise ValueError("give fraction or oversampling, not both")
    least = truth.degrees_of_freedom()
    if not least <= m <= entries:
        raise ValueError(
            f"a {shape[0]} x {shape[1]} matrix of rank {rank} has {entries} entries and {least} "
            f"degrees of freedom: {m} observed entries are impossible or too few"
        )
    rows, cols = np.divmod(determining_positions(shape, m, truth.width, rng), shape[1])
    return _measure(ObservedEntries(rows, cols, shape, dtype=dtype), truth, noise, rng)


def _shape(shape: Any, symmetric: bool) -> tuple[int, int]:
    if isinstance(shape, (int, np.integer)) and not isinstance(shape, bool):
        shape = (shape, shape)
    n1, n2 = _checks.matrix_shape(shape, "shape")
    if symmetric and n1 != n2:
        raise ValueError(f"a symmetric matrix must be square, got shape {(n1, n2)}")
    return n1, n2


def _truth(
    shape: tuple[int, int],
    rank: int,
    kappa: float,
    symmetric: bool,
    dtype: np.dtype,
    rng: np.random.Generator,
) -> Factors:
    """Balanced factors with singular values from 1 to 1 / kappa."""
    rank = _checks.whole_number(rank, "rank", least=1, most=min(shape))
    kappa = _checks.real_number(kappa, "kappa", least=1.0)
    root = np.sqrt(np.geomspace(1.0, 1.0 / kappa, rank))
    halves = [
        (np.linalg.qr(rng.standard_normal((n, rank)))[0] * root).astype(dtype)
        for n in (shape[:1] if symmetric else shape)
    ]
    return Factors(*halves)


def _count(truth: Factors, m: int | None, oversampling: float | None) -> int:
    """Number of measurements from whichever of the two was given."""
    if m is not None and oversampling is not None:
        raise ValueError("give m or oversampling, not both")
    if m is not None:
        return _checks.whole_number(m, "m", least=1)
    rate = 3.0 if oversampling is None else oversampling
    freedom = degrees_of_freedom(truth.shape, truth.width, truth.symmetric)
    return math.ceil(_checks.real_number(rate, "oversampling", above=0.0) * freedom - 1e-9)


def _measure(op: Measurement, truth: Factors, noise: float, rng: np.random.Generator) -> Instance:
    noise = _checks.real_number(noise, "noise", least=0.0)
    y = op.forward(truth)
    std = noise * float(np.std(y))
    if std > 0:
        y = y + rng.standard_normal(y.shape, dtype=y.dtype) * y.dtype.type(std)
    return Instance(op, y, truth, std)

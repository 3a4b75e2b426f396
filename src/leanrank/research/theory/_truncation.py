r"""Rank-one measurements x x^T cut at a radius: Lemma A.1 of Li, Ma and Zhang (2018).

For standard normal x, and X of nuclear norm 1, the lemma bounds

.. math:: \Big|\frac1m \sum_i \langle x_i x_i^\top, X\rangle\, x_i x_i^\top\,
    \mathbb 1_{|\langle x_i x_i^\top, X\rangle| \le R} - 2 X - \mathrm{tr}(X) I\Big| \le \delta

with :math:`R = \log(1/\delta)`. What the cut takes away has an expectation that no number of
samples makes smaller: :func:`truncation_bias`, which at that radius is many times delta. In the
proof the cut is at :math:`\langle x, a\rangle^2 \le R^2`, and there it is small. Truncation is not
homogeneous in X, so that the lemma cannot be meant for "every symmetric X", only for those of
norm 1; and for X of higher rank the cut sees all of X, not each of its singular vectors, over
which the proof sums.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from leanrank import _checks

__all__ = [
    "largest_truncated_deviation",
    "rank_one_sample_size",
    "truncated_deviation",
    "truncated_moments",
    "truncation_bias",
]


def truncated_moments(radius: float) -> tuple[float, float]:
    r"""Mean of :math:`\langle x, a\rangle^2 x x^\top` where :math:`\langle x,a\rangle^2 \le R`.

    It is :math:`p\, a a^\top + q I` for a unit vector a, with

    .. math:: q = \mathrm E[g^2 \mathbb 1_{g^2 \le R}],\qquad
        p + q = \mathrm E[g^4 \mathbb 1_{g^2 \le R}]

    for a standard normal g. Without truncation p is 2 and q is 1.

    Parameters
    ----------
    radius : float
        R.

    Returns
    -------
    tuple of float
        p and q.

    Raises
    ------
    ValueError, TypeError
        If the radius is not positive; infinity is welcome.

    Examples
    --------
    >>> truncated_moments(float("inf"))
    (2.0, 1.0)
    >>> p, q = truncated_moments(9.0)
    >>> round(p, 4), round(q, 4)
    (1.7021, 0.9707)
    """
    if radius == math.inf:
        return 2.0, 1.0
    R = _checks.real_number(radius, "radius", above=0.0)
    tail = math.sqrt(2.0 * R / math.pi) * math.exp(-R / 2.0)
    q = math.erf(math.sqrt(R / 2.0)) - tail
    return 2.0 * q - R * tail, q


def truncation_bias(radius: float) -> float:
    r"""What truncation costs in expectation: the least delta of Lemma A.1, for any m.

    .. math:: 3 - \mathrm E[g^4 \mathbb 1_{g^2 \le R}] \approx \sqrt{2/\pi}\, R^{3/2} e^{-R/2}

    Parameters
    ----------
    radius : float
        R.

    Raises
    ------
    ValueError, TypeError
        If the radius is not positive.

    Examples
    --------
    With delta = 0.01 at the printed radius, and at its square, which the proof has:

    >>> import math
    >>> R = math.log(100)
    >>> round(truncation_bias(R), 3), round(truncation_bias(R**2), 4)
    (1.398, 0.0022)
    """
    p, q = truncated_moments(radius)
    return 3.0 - p - q


def truncated_deviation(samples: Any, a: Any, radius: float) -> float:
    r"""The left-hand side of Lemma A.1 at :math:`X = a a^\top`, in operator norm.

    Parameters
    ----------
    samples : array, shape (m, d)
        The :math:`x_i`.
    a : array, shape (d,)
        Scaled to norm 1.
    radius : float
        R, of :math:`\langle x, a\rangle^2`.

    Raises
    ------
    ValueError, TypeError
        If an array is not of its shape, a is zero, or the radius is not positive.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((20000, 2))
    >>> bool(truncated_deviation(x, np.ones(2), float("inf")) < 0.2)
    True
    """
    x, a = _checked(samples, a, radius)
    return float(abs(_deviation(x, a, radius)[0]))


def largest_truncated_deviation(
    samples: Any, radius: float, *, restarts: int = 3, max_iter: int = 20, random_state: Any = None
) -> float:
    """The largest :func:`truncated_deviation` that was found, over unit vectors a.

    The vector that shows the deviation best is taken as the next a, as long as that helps. A lower
    bound: what is found is the deviation at some a. With few samples and a small radius, where
    the deviation jumps as samples are cut, it can be far from the worst.

    Parameters
    ----------
    samples : array, shape (m, d)
    radius : float
    restarts, max_iter : int
    random_state : int, Generator or None

    Raises
    ------
    ValueError, TypeError
        If the samples are not a matrix, or a number is out of range.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((20000, 2))
    >>> found = largest_truncated_deviation(x, 4.0, random_state=0)
    >>> bool(found >= truncated_deviation(x, np.ones(2), 4.0))
    True
    """
    x, _ = _checked(samples, np.ones(np.shape(samples)[-1]), radius)
    rng = _checks.generator(random_state)
    restarts = _checks.whole_number(restarts, "restarts", least=1)
    max_iter = _checks.whole_number(max_iter, "max_iter", least=1)
    starts = rng.standard_normal((restarts, x.shape[1]))
    return max(_ascend(x, start, radius, max_iter) for start in starts)


def _ascend(x: np.ndarray, a: np.ndarray, radius: float, max_iter: int) -> float:
    best = 0.0
    for _ in range(max_iter):
        found, v = _deviation(x, a / np.linalg.norm(a), radius)
        if abs(found) <= best:
            break
        a, best = v, abs(found)
    return best


def _deviation(x: np.ndarray, a: np.ndarray, radius: float) -> tuple[float, np.ndarray]:
    """The eigenvalue of largest modulus of the deviation at a, and its eigenvector."""
    square = (x @ a) ** 2
    square[square > radius] = 0.0
    mean = (x * square[:, None]).T @ x / x.shape[0]
    values, vectors = np.linalg.eigh(mean - 2.0 * np.outer(a, a) - np.eye(a.size))
    at = int(np.argmax(np.abs(values)))
    return float(values[at]), vectors[:, at]


def _checked(samples: Any, a: Any, radius: float) -> tuple[np.ndarray, np.ndarray]:
    x = np.asarray(_checks.real_array(samples, "samples", ndim=2), dtype=float)
    a = np.asarray(_checks.real_array(a, "a", ndim=1), dtype=float)
    if a.shape != x.shape[1:] or not np.any(a):
        raise ValueError(f"a must be a nonzero vector of {x.shape[1]} entries, got {a}")
    if radius != math.inf:
        _checks.real_number(radius, "radius", above=0.0)
    return x, a / np.linalg.norm(a)


def rank_one_sample_size(d: int, delta: float, *, failure: float = 0.01, c: float = 1.0) -> float:
    r"""Samples that Lemma A.1 asks for.

    .. math:: m = \frac{c\, d \log^4(d / (q \delta))}{\delta^2}

    Parameters
    ----------
    d : int
    delta : float
        Accuracy, at most 0.01.
    failure : float
        Probability q of failure, at most 0.01.
    c : float
        The lemma leaves it open. The deviation seen at the radius of the proof is about
        :math:`10 \sqrt{d/m}` with none of the logarithms: see ``implicit-lemma-a1`` in
        :mod:`leanrank.research.experiments`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range.

    Examples
    --------
    >>> round(rank_one_sample_size(10, 0.01) / 1e9, 2)
    1.76
    """
    d = _checks.whole_number(d, "d", least=1)
    delta = _checks.real_number(delta, "delta", above=0.0, most=0.01)
    failure = _checks.real_number(failure, "failure", above=0.0, most=0.01)
    c = _checks.real_number(c, "c", above=0.0)
    return c * d * math.log(d / (failure * delta)) ** 4 / delta**2

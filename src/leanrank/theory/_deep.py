r"""Deep linear networks: critical points by rank, ridges that leave any, and an absorbing set.

All of it in the convention of :mod:`leanrank.deep`: the mean of squared residuals over all
measurements plus :math:`\tfrac\lambda2 |\theta|^2`, which for a product A is at least

.. math:: C_\lambda(A) = \tfrac1m \sum_i (\langle A_i, A\rangle - y_i)^2
    + \tfrac{\lambda L}2 \sum_i s_i(A)^{2/L}.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from leanrank import _checks

__all__ = [
    "AbsorbingSet",
    "CriticalPoint",
    "absorbing_set",
    "collapse_ridge",
    "largest_ridge",
    "ridge_equilibria",
    "two_by_two_critical_points",
]


def largest_ridge(singular_value: float, depth: int, size: int = 1) -> float:
    r"""The ridge at which a singular value of a fully observed matrix is lost.

    .. math:: \tfrac2m \max_s (\sigma - s) s^{1 - 2/L}

    Parameters
    ----------
    singular_value : float
        :math:`\sigma`, not negative.
    depth : int
        L, at least 2.
    size : int
        Number m of entries, over which the loss is the mean.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    Wang and Jacot (2024) state no such bound; it is the balance of loss and ridge along a singular
    direction. With the rates of their text, four times the ridge of their figures, no network can
    learn a singular value of one.

    Examples
    --------
    >>> largest_ridge(1.0, 2), round(largest_ridge(1.0, 3), 4)
    (2.0, 0.9449)
    """
    sigma = _checks.real_number(singular_value, "singular_value", least=0.0)
    depth = _checks.whole_number(depth, "depth", least=2)
    size = _checks.whole_number(size, "size", least=1)
    power = 1.0 - 2.0 / depth
    s = sigma * power / (1.0 + power)
    return 2.0 / size * (sigma - s) * s**power


def ridge_equilibria(
    singular_value: float, depth: int, ridge: float, size: int = 1
) -> tuple[float, ...]:
    r"""Where descent of a balanced network on a fully observed matrix can rest, but for zero.

    The solutions s of :math:`\tfrac2m (\sigma - s) s^{1 - 2/L} = \lambda`, in increasing order:
    none above :func:`largest_ridge`; below it two for L > 2, of which the larger one is stable, and
    one for L = 2.

    Parameters
    ----------
    singular_value : float
        :math:`\sigma`, not negative.
    depth : int
        L, at least 2.
    ridge : float
        :math:`\lambda > 0`.
    size : int
        Number m of entries, over which the loss is the mean.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Examples
    --------
    >>> [round(s, 4) for s in ridge_equilibria(1.0, 3, 0.5)]
    [0.0164, 0.7212]
    """
    ridge = _checks.real_number(ridge, "ridge", above=0.0)
    if ridge > largest_ridge(singular_value, depth, size):
        return ()
    target = ridge * size / 2.0
    if depth == 2:
        return (singular_value - target,)
    power = 1.0 - 2.0 / depth
    peak = singular_value * power / (1.0 + power)

    def balance(s: float) -> float:
        return float((singular_value - s) * s**power - target)

    return tuple(
        float(optimize.brentq(balance, a, b, xtol=1e-15 * singular_value))
        for a, b in ((0.0, peak), (peak, singular_value))
    )


def collapse_ridge(depth: int, mean_square: float, gradient_norm: float) -> float:
    r"""A ridge above which zero is the only critical point, whatever was measured.

    At a critical point :math:`\lambda \sum_i s_i^{2/L} = \tfrac2m \sum_i f_i (y_i - f_i)`, with f
    for the measurements of the product. The right side is at most :math:`\tfrac1{2m} |y|^2`, and at
    most :math:`2 |G|_2 \sum_i s_i` for :math:`G = \tfrac1m \mathcal A^*(y)`; and
    :math:`\sum_i s_i \le (\sum_i s_i^{2/L})^{L/2}`. Together they leave nothing but zero for

    .. math:: \lambda > (\tfrac1{2m} |y|^2)^{1 - 2/L} \, (2 |G|_2)^{2/L}.

    Parameters
    ----------
    depth : int
        L, at least 2.
    mean_square : float
        Of the measurements, :math:`|y|^2 / m`.
    gradient_norm : float
        :math:`|G|_2`, the spectral norm.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    Sufficient: a smaller ridge may do. For one fully observed entry it is 4/3 of
    :func:`largest_ridge` at L = 3, and equal to it at L = 2.

    Examples
    --------
    >>> collapse_ridge(2, 1.0, 1.0)
    2.0
    """
    depth = _checks.whole_number(depth, "depth", least=2)
    mean_square = _checks.real_number(mean_square, "mean_square", least=0.0)
    gradient_norm = _checks.real_number(gradient_norm, "gradient_norm", least=0.0)
    share = 2.0 / depth
    return float((mean_square / 2.0) ** (1.0 - share) * (2.0 * gradient_norm) ** share)


@dataclass(frozen=True)
class CriticalPoint:
    r"""A matrix at which :math:`C_\lambda` is stationary among those of its rank.

    Attributes
    ----------
    matrix : ndarray, shape (2, 2)
    rank : int
    value : float
        Of :math:`C_\lambda`.
    is_minimum : bool
        Whether it is a local minimum, among all matrices: for L > 2 the ridge keeps singular
        values at zero that are zero.
    """

    matrix: np.ndarray
    rank: int
    value: float
    is_minimum: bool


def two_by_two_critical_points(
    epsilon: float, depth: int, ridge: float
) -> tuple[CriticalPoint, ...]:
    r"""Critical points of the matrix ((1, x), (epsilon, 1)), x not observed, by rank and value.

    Parameters
    ----------
    epsilon : float
        Above 0.
    depth : int
        L, at least 3.
    ridge : float
        :math:`\lambda > 0`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    Wang and Jacot (2024), Sections 3.1 and 4. By Theorem 3.1 local minima of the network are those
    of :math:`C_\lambda`, whose smooth parts, one for each rank, are searched by Newton's method
    from a grid of starts; points that none of them leads to are missed.

    Examples
    --------
    >>> points = two_by_two_critical_points(0.25, 3, 0.001)
    >>> [(p.rank, round(float(p.matrix[0, 1]), 4)) for p in points if p.is_minimum]
    [(0, 0.0), (1, 3.7807), (1, -23.3111), (2, 0.5189)]
    """
    epsilon = _checks.real_number(epsilon, "epsilon", above=0.0)
    depth = _checks.whole_number(depth, "depth", least=3)
    ridge = _checks.real_number(ridge, "ridge", above=0.0)
    objective = _TwoByTwo(epsilon, depth, ridge)
    zero = np.zeros((2, 2))
    ones = _found(objective, _of_rank_one(objective))
    twos = _found(objective, _of_rank_two(objective, ones))
    points = [CriticalPoint(zero, 0, objective.value(zero), is_minimum=True)]
    points += [point for _, point in (*ones, *twos)]
    return tuple(sorted(points, key=lambda point: (point.rank, point.value)))


@dataclass(frozen=True)
class _Polar:
    """A matrix by its singular values, which may be tiny, and angles of singular vectors."""

    coordinates: np.ndarray
    orientation: int = 1

    @classmethod
    def of(cls, s: np.ndarray, P: np.ndarray, Q: np.ndarray) -> _Polar:
        """From singular values and, in columns, vectors."""
        angles = np.arctan2(P[1, 0], P[0, 0]), np.arctan2(Q[1, 0], Q[0, 0])
        sign = np.sign(np.linalg.det(P) * np.linalg.det(Q)) if len(s) > 1 else 1
        return cls(np.array([*np.log(s), *angles]), int(sign))

    @property
    def values(self) -> np.ndarray:
        return np.exp(self.coordinates[:-2])

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        (a, b), o = self.coordinates[-2:], self.orientation
        P = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        return P, np.array([[np.cos(b), -o * np.sin(b)], [np.sin(b), o * np.cos(b)]])

    def matrix(self) -> np.ndarray:
        s, (P, Q) = self.values, self.vectors()
        return (P[:, : s.size] * s) @ Q[:, : s.size].T

    def is_close(self, other: _Polar) -> bool:
        pairs = []
        for polar in (self, other):
            order = np.argsort(-polar.values)
            P, Q = polar.vectors()
            leading = np.outer(P[:, order[0]], Q[:, order[0]])
            pairs.append(np.array([*polar.coordinates[order], *leading.ravel(), polar.orientation]))
        return np.allclose(*pairs, rtol=0.0, atol=1e-5)


@dataclass(frozen=True)
class _TwoByTwo:
    epsilon: float
    depth: int
    ridge: float

    @property
    def target(self) -> np.ndarray:
        return np.array([[1.0, 0.0], [self.epsilon, 1.0]])

    @property
    def largest(self) -> float:
        """No critical point has a larger singular value: see :func:`collapse_ridge`."""
        mean_square = (2.0 + self.epsilon**2) / 3.0
        return float((mean_square / (2.0 * self.ridge)) ** (self.depth / 2.0))

    def smallest(self, slope: np.ndarray) -> np.ndarray:
        """Singular values at which the ridge balances a loss of that slope at zero."""
        return (self.ridge / slope) ** (self.depth / (self.depth - 2.0))

    def residual(self, A: np.ndarray) -> np.ndarray:
        R = A - self.target
        R[0, 1] = 0.0
        return R

    def value(self, A: np.ndarray) -> float:
        s = np.linalg.svd(A, compute_uv=False)
        cost = self.depth * np.sum(s ** (2.0 / self.depth))
        return float(np.sum(self.residual(A) ** 2) / 3.0 + self.ridge / 2.0 * cost)

    def gradient(self, polar: _Polar) -> np.ndarray:
        """Of the value in polar coordinates, each part divided by something positive."""
        s, (P, Q), o = polar.values, polar.vectors(), polar.orientation
        G = 2.0 / 3.0 * P.T @ self.residual(polar.matrix()) @ Q
        pull = self.ridge * s ** (2.0 / self.depth - 1.0)
        t = s[1] / s[0] if s.size > 1 else 0.0
        turns = np.array([G[1, 0] - t * G[0, 1], o * (G[0, 1] - t * G[1, 0])])
        return np.concatenate([np.diag(G)[: s.size] / pull + 1.0, turns / pull[0]])


_Found = list[tuple[_Polar, CriticalPoint]]


def _found(objective: _TwoByTwo, starts: Iterable[_Polar]) -> _Found:
    found: _Found = []
    for start in starts:

        def gradient(x: np.ndarray, o: int = start.orientation) -> np.ndarray:
            return objective.gradient(_Polar(x, o))

        with np.errstate(all="ignore"):
            x = optimize.root(gradient, start.coordinates, tol=1e-12).x
            if not np.linalg.norm(gradient(x)) < 1e-7:
                continue
        polar = _Polar(x, start.orientation)
        if not any(polar.is_close(other) for other, _ in found):
            A = polar.matrix()
            # Positive factors of a gradient keep the signs of its derivative's eigenvalues.
            curvature = np.linalg.eigvals(_jacobian(gradient, x)).real
            point = CriticalPoint(A, x.size - 2, objective.value(A), bool(np.all(curvature > 0)))
            found.append((polar, point))
    return found


def _fits(objective: _TwoByTwo) -> Iterator[_Polar]:
    """What fits, with any x."""
    for x in np.geomspace(0.1, max(10.0 / objective.epsilon, objective.largest), 24):
        for sign in (-1.0, 1.0):
            P, s, Qt = np.linalg.svd(objective.target + [[0.0, sign * x], [0.0, 0.0]])
            yield _Polar.of(s, P, Qt.T)


def _of_rank_one(objective: _TwoByTwo) -> Iterator[_Polar]:
    """Where zero is left in either direction; leading parts of what fits; and a grid."""
    P, s, Qt = np.linalg.svd(objective.target)
    for i, size in enumerate(objective.smallest(2.0 / 3.0 * s)):
        yield _Polar.of(np.array([size]), P[:, i:], Qt[i:].T)
    for fit in _fits(objective):
        for size in (0.1, 1.0):
            yield _Polar.of(size * fit.values[:1], *fit.vectors())
    for size in (0.003, 0.1, 1.0):
        for a in np.linspace(0.05, np.pi + 0.05, 4, endpoint=False):
            for b in np.linspace(-np.pi, np.pi, 8, endpoint=False):
                yield _Polar(np.array([np.log(size), a, b + 0.02]))


def _of_rank_two(objective: _TwoByTwo, ones: _Found) -> Iterator[_Polar]:
    """What fits; and where points of rank one are left in the other direction."""
    yield from _fits(objective)
    for polar, point in ones:
        P, Q = polar.vectors()
        slope = 2.0 / 3.0 * float(P[:, 1] @ objective.residual(point.matrix) @ Q[:, 1])
        small = objective.smallest(np.array(abs(slope)))
        for size in np.geomspace(small, polar.values[0], 6):
            s = np.array([*polar.values, size])
            yield _Polar(np.array([*np.log(s), *polar.coordinates[1:]]), -1 if slope > 0 else 1)


def _jacobian(gradient: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    h = 1e-6
    columns = [(gradient(x + h * e) - gradient(x - h * e)) / (2 * h) for e in np.eye(x.size)]
    return np.array(columns)


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
        Of :math:`\epsilon_1`, the largest squared balance error.
    log10_learning_rate : float
        Of the largest learning rate.
    log10_steps : float
        Of the number of steps after which a jump is counted on.
    log10_probability : float
        Of the bound on the probability that it has come by then.
    """

    bound: float
    log10_alpha: float
    excess: float
    log10_balance: float
    log10_learning_rate: float
    log10_steps: float
    log10_probability: float


def absorbing_set(
    depth: int,
    ridge: float,
    width: int,
    target_square: float,
    *,
    rank: int = 1,
    sides: int = 2,
    bound: float | None = None,
    excess: float = 0.5,
    slope: float = 2.0,
) -> AbsorbingSet:
    r"""The constants of Theorems B.1 and B.2, as large as the theorems allow.

    Parameters
    ----------
    depth : int
        L, at least 3.
    ridge : float
        :math:`\lambda > 0`, in the convention of :class:`leanrank.deep.Phase`: twice that of the
        paper's appendix, as the learning rate is half of it there.
    width : int
        n, the largest width or height of a layer.
    target_square : float
        :math:`C_1`, which the paper does not define: no observed entry may have a larger square.
    rank : int
        r.
    sides : int
        The smaller one of the matrix.
    bound : float, optional
        C; the least that both theorems allow if left out.
    excess : float
        :math:`\epsilon_2`, below or at 1/2.
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
    Wang and Jacot (2024), Theorems B.1 and B.2. As printed, the proofs disagree with them in
    places: Theorem D.4 has :math:`C \le 1 / 2\lambda` for :math:`C \ge C_1 / 2\lambda`, Theorem
    D.5 :math:`32 n (r + 1)` for :math:`64 n K (r + 1)^2`, Proposition D.2 :math:`C^L` where it uses
    :math:`C^{L-1}`, and under gradient flow the balance error falls at the rate
    :math:`-2\lambda` rather than :math:`-\lambda`. The weaker, printed statements are used.

    Examples
    --------
    >>> found = absorbing_set(3, 0.2, 100, 18.0, bound=90.0)
    >>> round(found.log10_alpha, 1), found.log10_learning_rate < -50
    (-8.2, True)
    """
    L = _checks.whole_number(depth, "depth", least=3)
    lam = _checks.real_number(ridge, "ridge", above=0.0) / 2.0
    n = _checks.whole_number(width, "width", least=1)
    C1 = _checks.real_number(target_square, "target_square", above=0.0)
    r = _checks.whole_number(rank, "rank", least=1)
    sides = _checks.whole_number(sides, "sides", least=r)
    C = C1 / lam if bound is None else _checks.real_number(bound, "bound", least=C1 / (2 * lam))
    eps2 = _checks.real_number(excess, "excess", above=0.0, most=0.5)
    K = _checks.real_number(slope, "slope", above=0.0)
    log = math.log
    noise = 2.0 * (C1 + C**L)
    alpha = (2.0 * log(lam) - log(noise)) / (L - 2)
    top = log(lam) + alpha + log(eps2)
    curved = log(64.0 * n * K) + 2.0 * log(r + 1.0)
    balance = 2.0 * (top - curved - log(L) - (L - 1) / 2.0 * log(C) - 0.5 * log(noise))
    drift = log(noise * C ** (L - 1) + lam**2 * C)
    rates = (
        log(C1 / 4.0) - drift,
        log(2.0 * lam) + balance - log(2.0 * noise * C ** (L - 1)),
        top - curved - drift,
        log(2.0 * (r + 1.0) / lam),
        log(lam) + balance - log(2.0 * noise * C ** (L - 1) + 2.0 * lam**2 * C),
    )
    rate = min(rates)
    settling = log(log(2.0 * C) - balance) - rate - log(lam)
    waiting = log(log(4.0 * max(n - r, 1) * C) - alpha - log(eps2)) - rate - log(2.0 * lam)
    steps = max(settling, waiting) + math.log1p(math.exp(-abs(settling - waiting)))
    ten = log(10.0)
    return AbsorbingSet(
        bound=C,
        log10_alpha=alpha / ten,
        excess=eps2,
        log10_balance=balance / ten,
        log10_learning_rate=(rate - log(2.0)) / ten,
        log10_steps=steps / ten,
        log10_probability=-math.exp(waiting) * math.log10(sides / r),
    )

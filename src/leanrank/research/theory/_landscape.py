r"""Critical points of the 2 x 2 completion problem of Wang and Jacot, by rank.

In the convention of :mod:`leanrank.research.deep`; :math:`C_\lambda` is the mean of squared
residuals over the three observed entries, plus the ridge on a deep linear network of least norm:

.. math:: C_\lambda(A) = \tfrac13 \sum_{(i, j) \ne (1, 2)} (A_{ij} - A^*_{ij})^2
    + \tfrac{\lambda L}2 \sum_i s_i(A)^{2/L}.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from leanrank import _checks

__all__ = ["CriticalPoint", "two_by_two_critical_points"]


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
        return np.allclose(pairs[0], pairs[1], rtol=0.0, atol=1e-5)


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
        """No critical point has a larger singular value: twice lambda N is below the mean square.

        That is the bound of ``collapse_ridge``, whatever u.
        """
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

    def balance(self, polar: _Polar) -> np.ndarray:
        """What is zero at critical points: loss against ridge, and turns of singular vectors."""
        s, (P, Q) = polar.values, polar.vectors()
        G = 2.0 / 3.0 * P.T @ self.residual(polar.matrix()) @ Q
        pull = self.ridge * s ** (2.0 / self.depth - 1.0)
        return np.array(
            [*(np.diag(G)[: s.size] / pull + 1.0), *(np.array([G[1, 0], G[0, 1]]) / pull[0])]
        )

    def curvature(self, polar: _Polar) -> np.ndarray:
        """Eigenvalues with the signs of those of the Hessian, at a critical point."""
        # Times this, the balance is the gradient in these coordinates but for positive factors.
        s, o = polar.values, polar.orientation
        t = s[1] / s[0] if s.size > 1 else 0.0
        to_gradient = np.eye(s.size + 2)
        to_gradient[-2:, -2:] = [[1.0, -t], [-o * t, o]]
        h = 1e-6
        x = polar.coordinates
        columns = [
            self.balance(_Polar(x + h * e, o)) - self.balance(_Polar(x - h * e, o))
            for e in np.eye(x.size)
        ]
        return np.linalg.eigvals(to_gradient @ np.array(columns).T / (2.0 * h)).real


_Found = list[tuple[_Polar, CriticalPoint]]


def _found(objective: _TwoByTwo, starts: Iterable[_Polar]) -> _Found:
    found: _Found = []
    for start in starts:
        polar = _stationary(objective, start)
        if polar is None or any(polar.is_close(other) for other, _ in found):
            continue
        A = polar.matrix()
        is_minimum = bool(np.all(objective.curvature(polar) > 0))
        found.append((polar, CriticalPoint(A, polar.values.size, objective.value(A), is_minimum)))
    return found


def _stationary(objective: _TwoByTwo, start: _Polar) -> _Polar | None:
    def balance(x: np.ndarray) -> np.ndarray:
        return objective.balance(_Polar(x, start.orientation))

    with np.errstate(all="ignore"):
        x = optimize.root(balance, start.coordinates, tol=1e-12).x
        return _Polar(x, start.orientation) if np.linalg.norm(balance(x)) < 1e-7 else None


def _fits(objective: _TwoByTwo) -> Iterator[_Polar]:
    """What fits, with any x."""
    for x in np.geomspace(0.1, max(10.0 / objective.epsilon, objective.largest), 24):
        for sign in (-1.0, 1.0):
            fit = objective.target
            fit[0, 1] = sign * x
            P, s, Qt = np.linalg.svd(fit)
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

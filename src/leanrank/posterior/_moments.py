"""Moments of the rows of a factor, and priors of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leanrank.posterior import _kernels
from leanrank.posterior._team import Team

__all__ = ["Gaussian", "Moments", "packed", "unpacked"]


def packed(matrices: np.ndarray) -> np.ndarray:
    """Lower triangles of symmetric matrices, row after row: (..., K, K) to (..., K (K + 1) / 2)."""
    below = np.tril_indices(matrices.shape[-1])
    return np.ascontiguousarray(matrices[..., below[0], below[1]])


def unpacked(triangles: np.ndarray, k: int) -> np.ndarray:
    """The symmetric matrices that :func:`packed` took."""
    a, b = np.tril_indices(k)
    out = np.empty((*triangles.shape[:-1], k, k))
    out[..., a, b] = triangles
    out[..., b, a] = triangles
    return out


@dataclass(frozen=True)
class Gaussian:
    """Prior of the free coordinates of the rows of one factor."""

    precision: np.ndarray
    mean: np.ndarray

    @property
    def pull(self) -> np.ndarray:
        return self.precision @ self.mean


@dataclass(frozen=True)
class Moments:
    """First and second moments of rows; the second packed, or of a draw its squares.

    Attributes
    ----------
    mean : ndarray, shape (n, K)
    second : ndarray, shape (n, K (K + 1) / 2)
        Of the same precision, single or double.
    fixed : int
        Coordinate that is one in every row, or -1 for none.
    """

    mean: np.ndarray
    second: np.ndarray
    fixed: int

    @classmethod
    def independent(
        cls, mean: np.ndarray, variances: np.ndarray | None = None, fixed: int = -1
    ) -> Moments:
        """Of rows whose coordinates are independent, or certain where no variances are given."""
        n, K = mean.shape
        second = np.empty((n, K * (K + 1) // 2), mean.dtype)
        of = np.empty((0, K), mean.dtype) if variances is None else variances.astype(mean.dtype)
        _kernels.outer(mean, of, second)
        return cls(mean, second, fixed)

    def total(self, team: Team | None = None) -> np.ndarray:
        """Sum of the second moments, shape (K, K)."""
        total = np.zeros(self.second.shape[1])

        def add(a: int, b: int) -> None:
            _kernels.add_up(self.second[:, a:b], total[a:b])

        (team or Team()).split(total.size, add)
        return unpacked(total, self.mean.shape[1])

    def covariances(self) -> np.ndarray:
        """Posterior covariances, shape (n, K, K)."""
        outer = self.mean[:, :, None] * self.mean[:, None, :]
        return unpacked(self.second, self.mean.shape[1]) - outer

    def variances(self) -> np.ndarray:
        """Diagonals of the posterior covariances, shape (n, K), in single precision."""
        c = np.arange(self.mean.shape[1])
        own = self.second[:, c * (c + 1) // 2 + c] - self.mean**2
        return np.maximum(own, 0.0).astype(np.float32)

    def mapped(self, T: np.ndarray, team: Team | None = None) -> Moments:
        """Those of T times each row."""
        second = np.empty_like(self.second, shape=(len(self.mean), len(T) * (len(T) + 1) // 2))
        T = np.ascontiguousarray(T)

        def turn(a: int, b: int) -> None:
            _kernels.turn(T, self.second[a:b], second[a:b])

        (team or Team()).split(len(self.mean), turn)
        return Moments(self.mean @ T.T.astype(self.mean.dtype), second, self.fixed)

    def kept(self, coordinates: np.ndarray, fixed: int) -> Moments:
        """Those of some coordinates, in increasing order."""
        c, d = (coordinates[index] for index in np.tril_indices(coordinates.size))
        mean = np.ascontiguousarray(self.mean[:, coordinates])
        return Moments(mean, np.take(self.second, c * (c + 1) // 2 + d, axis=1), fixed)

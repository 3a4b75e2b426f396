r"""A whole covariance of the columns, shrunk towards that of a factor model.

.. math:: z_i \sim N(\mu, S), \qquad
    S \sim \text{inverse Wishart, of mean } T \text{ and worth } \nu \text{ rows}

with T the covariance that factors and the noise of each column make. Where there are many more
rows than columns, what factors leave is correlated, too, and a few rows' worth of T keeps the
rest from being fitted as noise. The estimate is that of the EM algorithm; from there parameters
are drawn by data augmentation (Tanner and Wong 1987).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import wishart

from leanrank._compile import compiled
from leanrank.posterior._kernels import _normals

__all__ = ["Covariance"]


@compiled(fastmath=True)
def _complete(X, seen, mean, S, draw, key, variance, together):  # type: ignore[no-untyped-def]
    """Complete rows in place: with conditional means, or draws.

    ``variance`` gets the conditional variances, and ``together`` what is added to it: the lower
    triangle of the sum of the conditional covariances.

    Returns
    -------
    int
        The first row whose covariance is not positive definite, or -1.
    """
    n, p = X.shape
    L, x, z, order = np.empty((p, p)), np.empty(p), np.empty(p), np.empty(p, np.int64)
    for i in range(n):
        o = 0
        for j in range(p):
            if seen[i, j]:
                order[o] = j
                o += 1
        if o == p:
            continue
        at = o
        for j in range(p):
            if not seen[i, j]:
                order[at] = j
                at += 1
        if draw:
            _normals(key, i, z)
        # The factor of the observed part, then what it says of the rest.
        for a in range(p):
            ja = order[a]
            for b in range(a + 1):
                jb = order[b]
                total = S[ja, jb]
                for t in range(b if draw else min(b, o)):
                    total -= L[a, t] * L[b, t]
                if b >= o and not draw:
                    together[max(ja, jb), min(ja, jb)] += total
                    if a == b:
                        variance[i, ja] = total
                elif a == b:
                    if not total > 0.0:
                        return i
                    L[a, a] = math.sqrt(total)
                else:
                    L[a, b] = total / L[b, b]
            if a < o:
                total = X[i, ja] - mean[ja]
                for t in range(a):
                    total -= L[a, t] * x[t]
                x[a] = total / L[a, a]
            else:
                total = mean[ja]
                for t in range(o):
                    total += L[a, t] * x[t]
                if draw:
                    for t in range(o, a + 1):
                        total += L[a, t] * z[t]
                X[i, ja] = total
    return -1


_JITTER = 1e-13
"""Variance of a column's own, over its variance."""

_NUMBERS = 1 << 20
"""Of the covariances that are inverted at once."""


@dataclass(frozen=True)
class Covariance:
    """Mean and covariance of the columns of a table.

    Attributes
    ----------
    mean : ndarray, shape (p,)
    matrix : ndarray, shape (p, p)
    """

    mean: np.ndarray
    matrix: np.ndarray

    def complete(
        self, X: np.ndarray, key: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows whose NaN are replaced by conditional means, or by draws with this key.

        Returns
        -------
        completed, variance : ndarray, shape (n, p)
            Variances of what was missing, zeros elsewhere and of draws.
        together : ndarray, shape (p, p)
            Sum of the conditional covariances; zero of draws.
        """
        out = np.array(X, dtype=np.float64, order="C")
        seen, p = ~np.isnan(out), out.shape[1]
        variance, together = np.zeros(out.shape), np.zeros((p, p))
        mean, draw = np.ascontiguousarray(self.mean), key is not None
        matrix = self._regular()
        bad = _complete(out, seen, mean, matrix, draw, np.uint64(key or 0), variance, together)
        if bad >= 0:
            raise FloatingPointError(f"the covariance of row {bad} is not positive definite")
        below = np.tril(together, -1)
        return out, variance, together + below.T

    def _regular(self) -> np.ndarray:
        """Columns that say the same leave a covariance that is singular but for rounding."""
        return self.matrix + np.diag(_JITTER * np.diagonal(self.matrix))

    def residuals(self, X: np.ndarray) -> np.ndarray:
        r"""Each entry less its conditional mean given the others of its row; NaN where X is.

        .. math:: r_j = [S_{oo}^{-1} (z_o - \mu_o)]_j \,/\, [S_{oo}^{-1}]_{jj}
        """
        seen, matrix, p = ~np.isnan(X), self._regular(), X.shape[1]
        out, size = np.full(X.shape, np.nan), max(1, _NUMBERS // p**2)
        for first in range(0, X.shape[0], size):
            rows = slice(first, first + size)
            at = seen[rows]
            # What is missing is independent of the rest and of variance one.
            block = np.where(at[:, :, None] & at[:, None, :], matrix, np.eye(p))
            inverse = np.linalg.inv(block)
            rest = np.where(at, X[rows] - self.mean, 0.0)
            own = np.diagonal(inverse, axis1=1, axis2=2)
            scaled = np.einsum("npq,nq->np", inverse, rest) / own
            out[rows] = np.where(at, scaled, np.nan)
        return out

    def fitted(
        self,
        X: np.ndarray,
        target: np.ndarray,
        worth: float,
        *,
        center: bool,
        max_sweeps: int = 40,
        tol: float = 1e-3,
        watch: Callable[[], None] = lambda: None,
    ) -> Covariance:
        """The estimate for rows with gaps, from here.

        Parameters
        ----------
        X : ndarray, shape (n, p)
            NaN where entries are missing.
        target : ndarray, shape (p, p)
            What the covariance is shrunk towards.
        worth : float
            As many rows as the target counts for.
        center : bool
            Whether the mean is estimated, too.
        max_sweeps : int
        tol : float
            Change of any covariance in one sweep, over the largest variance, at which it ends.
        watch : callable
            Called after every sweep.
        """
        now, n = self, X.shape[0]
        for _ in range(max_sweeps):
            completed, _, together = now.complete(X)
            mean = completed.mean(axis=0) if center else now.mean
            rest = completed - mean
            matrix = (rest.T @ rest + together + worth * target) / (n + worth)
            change = np.max(np.abs(matrix - now.matrix)) / np.max(np.diagonal(matrix))
            now = Covariance(mean, matrix)
            watch()
            if change < tol:
                break
        return now

    def draws(
        self,
        X: np.ndarray,
        target: np.ndarray,
        worth: float,
        rng: np.random.Generator,
        *,
        center: bool,
    ) -> Iterator[Covariance]:
        """Draw after draw of mean and covariance; the first ones still remember this one."""
        now, (n, p) = self, X.shape
        while True:
            completed, _, _ = now.complete(X, int(rng.integers(2**63)))
            mean = completed.mean(axis=0) if center else now.mean
            rest = completed - mean
            spread = rest.T @ rest + worth * target
            # The prior of this mean has p + 1 degrees of freedom more than it is worth rows.
            freedom = n - int(center) + worth + p + 1
            precision = np.atleast_2d(wishart.rvs(freedom, np.linalg.inv(spread), random_state=rng))
            matrix = np.linalg.inv(precision)
            matrix = 0.5 * (matrix + matrix.T)
            if center:
                mean = mean + np.linalg.cholesky(matrix / n) @ rng.standard_normal(p)
            now = Covariance(mean, matrix)
            yield now

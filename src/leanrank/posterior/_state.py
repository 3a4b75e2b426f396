"""What is known of a matrix in the course of inference: moments of its factors, and priors."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from leanrank.factors import Factors
from leanrank.losses import Loss
from leanrank.posterior._entries import Blocks
from leanrank.posterior._moments import Gaussian, Moments

__all__ = ["Layout", "State"]

_EDGE = 1.25
"""Singular value over the edge of noise up to which a column may be noise."""


@dataclass(frozen=True)
class Layout:
    """Coordinates of a row: ``width`` factors, then the intercept of rows, then that of columns.

    The partner of an intercept is one: rows hold a one where columns have their intercept.
    """

    width: int
    row_intercepts: bool = False
    column_intercepts: bool = False

    @property
    def size(self) -> int:
        """K."""
        return self.width + self.row_intercepts + self.column_intercepts

    @property
    def row_intercept(self) -> int:
        """Coordinate of the rows' intercepts, which is one in columns; -1 for none."""
        return self.width if self.row_intercepts else -1

    @property
    def column_intercept(self) -> int:
        """Coordinate of the columns' intercepts, which is one in rows; -1 for none."""
        return self.width + self.row_intercepts if self.column_intercepts else -1

    def free(self, fixed: int) -> np.ndarray:
        """All coordinates but one."""
        return np.array([c for c in range(self.size) if c != fixed], dtype=int)


@dataclass(frozen=True)
class State:
    """What is known after a sweep.

    Attributes
    ----------
    layout : Layout
    entries : Blocks
        With the weights of the last sweep, those of a loss that resists outliers among them.
    rows : ndarray, shape (n1, K)
        Posterior means.
    columns : Moments
    noise : ndarray, shape (n2,)
        Variance of the noise of each column, at weight one.
    variances : ndarray, shape (width,)
        Prior variances d of the columns of V.
    row_variance, column_variance : float
        Prior variances of the intercepts.
    mean : float
        Prior mean of the columns' intercepts.
    loss : Loss or None
        With its scale, where it resists outliers.
    row_moment : ndarray, shape (K, K), or None
        Sum of the second moments of the rows; None before the first sweep.
    change : float
        By how much the last sweep changed X, relative; 0 where sweeps were stopped early.
    sweeps : int
        After how many they were stopped early; 0 where they were not.
    """

    layout: Layout
    entries: Blocks
    rows: np.ndarray
    columns: Moments
    noise: np.ndarray
    variances: np.ndarray
    row_variance: float = 1.0
    column_variance: float = 1.0
    mean: float = 0.0
    loss: Loss | None = None
    row_moment: np.ndarray | None = None
    change: float = math.inf
    sweeps: int = 0

    @property
    def width(self) -> int:
        return self.layout.width

    @property
    def factors(self) -> Factors:
        """Posterior means as factors, intercepts among their columns."""
        return Factors(self.rows.copy(), self.columns.mean.copy())

    def predict(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Means of entries; arrays of the same shape."""
        return np.einsum("...k,...k->...", self.rows[rows], self.columns.mean[cols])

    @property
    def uncertainty(self) -> float:
        """Root of the expected squared error of X over that of X itself, were the model true.

        Factors are taken to be independent, which makes it somewhat too small.
        """
        assert self.row_moment is not None
        size = float(np.sum(self.row_moment * self.columns.total()))
        mean = float(np.sum((self.rows.T @ self.rows) * (self.columns.mean.T @ self.columns.mean)))
        return math.sqrt(max(1.0 - mean / size, 0.0)) if size > 0 else 0.0

    def standing_out(self, factor: float = _EDGE) -> int:
        r"""Number of leading columns whose singular values lie beyond ``factor`` times the edge.

        Noise in a share p of the entries has singular values up to
        :math:`\sigma (\sqrt{n_1} + \sqrt{n_2}) / \sqrt p`. A singular value s of what was observed,
        in units of :math:`\sigma / \sqrt p`, is shrunk to the larger t with :math:`t^2
        - (s - (n_1 + n_2) / s) t + n_1 n_2 / s^2 = 0` (Nakajima et al. 2013). Rows are taken to be
        as long as their prior says, which makes s up to a twentieth too large.

        Parameters
        ----------
        factor : float
            At least 1.
        """
        n1, n2 = self.entries.shape
        noise = float(np.mean(self.noise)) * n1 * n2 / self.entries.size
        means = np.mean(self.columns.mean[:, : self.width] ** 2, axis=0)
        shrunk = np.sqrt(n1 * n2 * means / noise)
        s = factor * (math.sqrt(n1) + math.sqrt(n2))
        half = 0.5 * (s - (n1 + n2) / s)
        least = half + math.sqrt(max(half**2 - n1 * n2 / s**2, 0.0))
        return int(np.argmin(np.append(shrunk > least, False)))

    def priors(self) -> tuple[Gaussian, Gaussian]:
        """Of the free coordinates of rows and of columns."""
        at = self.layout
        rows, columns, mean = np.ones(at.size), np.ones(at.size), np.zeros(at.size)
        columns[: at.width] = 1.0 / self.variances
        if at.row_intercepts:
            rows[at.row_intercept] = 1.0 / self.row_variance
        if at.column_intercepts:
            columns[at.column_intercept] = 1.0 / self.column_variance
            mean[at.column_intercept] = self.mean
        r, c = at.free(at.column_intercept), at.free(at.row_intercept)
        return Gaussian(np.diag(rows[r]), np.zeros(r.size)), Gaussian(np.diag(columns[c]), mean[c])

    def with_columns(
        self, rows: np.ndarray, columns: np.ndarray, covariance: np.ndarray, variances: np.ndarray
    ) -> State:
        """The state with further columns, independent of those that there are.

        Parameters
        ----------
        rows, columns : ndarray, shape (n1, more) and (n2, more)
            Their means.
        covariance : ndarray, shape (n2, more)
            Their posterior variances.
        variances : ndarray, shape (more,)
            Their prior variances.
        """
        at, more = self.layout, variances.size
        layout = replace(at, width=at.width + more)
        places, dtype = [at.width] * more, self.columns.mean.dtype
        mean = np.insert(self.columns.mean, places, columns, axis=1)
        spread = np.insert(np.zeros(self.columns.mean.shape), places, covariance, axis=1)
        new = Moments.independent(mean, spread, layout.row_intercept)
        old = np.concatenate([np.arange(at.width), np.arange(layout.width, layout.size)])
        c, d = (old[index] for index in np.tril_indices(at.size))
        new.second[:, c * (c + 1) // 2 + d] = self.columns.second
        return replace(
            self,
            layout=layout,
            rows=np.insert(self.rows, places, rows, axis=1).astype(dtype, copy=False),
            row_moment=None,
            columns=new,
            variances=np.concatenate([self.variances, variances]),
        )

    def without(self, empty: np.ndarray) -> State:
        """The state less the columns that are flagged."""
        at = self.layout
        layout = replace(at, width=int(np.count_nonzero(~empty)))
        left = np.concatenate([np.flatnonzero(~empty), np.arange(at.width, at.size)])
        return replace(
            self,
            layout=layout,
            rows=np.ascontiguousarray(self.rows[:, left]),
            row_moment=None if self.row_moment is None else self.row_moment[np.ix_(left, left)],
            columns=self.columns.kept(left, layout.row_intercept),
            variances=self.variances[~empty],
        )

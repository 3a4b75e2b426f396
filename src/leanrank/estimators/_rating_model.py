r"""What a fit of ratings leaves: posterior means and variances of users and of items.

.. math:: \hat y_{ij} = b_i + c_j + u_i^\top v_j, \qquad
    \hat s_{ij}^2 = \sum_h u_{ih}^2 \Psi_{jh} + v_{jh}^2 \Sigma_{ih} + \Sigma_{ih} \Psi_{jh}
    + \sigma^2
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from leanrank._labels import Labels
from leanrank.estimators._ranking import Barred, best
from leanrank.posterior import Entries, Layout, Moments, State, Sweep, finished
from leanrank.search.factorising import Factorisation

__all__ = ["RatingModel", "Side"]

_CHUNK = 1 << 15
"""Pairs whose factors are looked up at once, and stay in cache."""


@dataclass(frozen=True)
class Side:
    """Users or items.

    Attributes
    ----------
    labels : Labels
    mean : ndarray, shape (n, K)
        Posterior means; K coordinates as in :class:`~leanrank.posterior.Layout`.
    variance : ndarray of float32, shape (n, K)
        Diagonals of the posterior covariances.
    """

    labels: Labels
    mean: np.ndarray
    variance: np.ndarray

    def at(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances; code -1 is somebody of whom nothing is known."""
        mean, variance = self.mean[codes], self.variance[codes]
        unknown = codes < 0
        if unknown.any():
            mean[unknown], variance[unknown] = self.typical
        return mean, variance

    @cached_property
    def typical(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance over all: of one of whom nothing is known."""
        mean = self.mean.mean(axis=0)
        return mean, self.variance.mean(axis=0) + np.mean((self.mean - mean) ** 2, axis=0)

    def among(self, labels: Labels, places: np.ndarray) -> Side:
        """The same among more, at these places; the others are typical."""
        codes = np.full(labels.size, -1, np.int32)
        codes[places] = np.arange(places.size, dtype=np.int32)
        return Side(labels, *self.at(codes))


@dataclass(frozen=True)
class RatingModel:
    r"""Users and items with all that predictions need.

    Attributes
    ----------
    users, items : Side
    layout : Layout
    variances : ndarray, shape (width,)
        Prior variances of the items' factors; those of users are one.
    intercepts : tuple of float
        Prior variances of the intercepts of users and of items, and the mean of the latter.
    noise : float
        Variance of the noise of a rating of weight one.
    unit : float
        What ratings are divided by, so that none of these numbers is extreme; predictions and
        deviations are in the units of the ratings, all else is not.
    scores : ndarray
        Sorted :math:`|y - \hat y| / \hat s` of ratings that were held out.
    """

    users: Side
    items: Side
    layout: Layout
    variances: np.ndarray
    intercepts: tuple[float, float, float]
    noise: float
    unit: float
    scores: np.ndarray

    @classmethod
    def of(cls, users: Labels, items: Labels, unit: float, found: Factorisation) -> RatingModel:
        """What a factorisation found of ratings that were divided by ``unit``."""
        state = found.state
        return cls(
            Side(users, state.rows, found.row_variances),
            Side(items, state.columns.mean, found.column_variances),
            state.layout,
            state.variances,
            (state.row_variance, state.column_variance, state.mean),
            float(np.mean(state.noise)),
            unit,
            found.scores,
        )

    def predict(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Posterior means of pairs of codes, which may be -1."""
        out = np.empty(rows.size)
        for part in _chunks(rows.size):
            u, v = self.users.at(rows[part])[0], self.items.at(cols[part])[0]
            np.einsum("ek,ek->e", u, v, out=out[part])
        return self.unit * out

    def deviation(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Standard deviations of new ratings."""
        out = np.empty(rows.size)
        for part in _chunks(rows.size):
            u, of_u = self.users.at(rows[part])
            v, of_v = self.items.at(cols[part])
            own = np.einsum("ek,ek->e", u**2, of_v) + np.einsum("ek,ek->e", v**2 + of_v, of_u)
            np.sqrt(own + self.noise, out=out[part])
        return self.unit * out

    def best(
        self, users: np.ndarray, n: int, barred: Barred | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of ``users``, shape (m, K), and the items that are best for each; see `best`."""

        def score(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
            return self.unit * np.einsum("ek,ek->e", users[rows], self.items.mean[cols])

        return best(users, self.items.mean, n, barred, score)

    def with_new_user(
        self, cols: np.ndarray, y: np.ndarray, weights: np.ndarray | None
    ) -> RatingModel:
        """A user with these ratings, alone, given the items."""
        entries = Entries(
            np.array([0, cols.size]),
            np.arange(cols.size, dtype=np.int32),
            y / self.unit,
            np.empty(0) if weights is None else weights,
            (1, cols.size),
        )
        state = self._state(entries, np.zeros((1, self.layout.size)), *self.items.at(cols))
        prior = state.priors()[0]
        moments = Sweep(entries).rows(
            state.columns, state.noise, prior, self.layout.column_intercept
        )
        variance = np.diagonal(moments.covariances(), axis1=1, axis2=2)
        alone = Labels(np.zeros(1, np.int64), "number")
        return replace(self, users=Side(alone, moments.mean, np.maximum(variance, 0.0)))

    def updated(self, users: Side, items: Side, entries: Entries, threads: int) -> RatingModel:
        """Users, then items, solved anew from all entries."""
        state = self._state(entries, users.mean, items.mean, items.variance)
        state, of_rows, of_columns = finished(state, entries, threads)
        return replace(
            self,
            users=Side(users.labels, state.rows, of_rows),
            items=Side(items.labels, state.columns.mean, of_columns),
            noise=float(np.mean(state.noise)),
        )

    @property
    def offsets(self) -> tuple[float, float]:
        """Means of the intercepts of users and of items, in the units of the ratings."""
        at = self.layout
        own = self.users.mean[:, at.row_intercept].mean() if at.row_intercepts else 0.0
        of_items = self.items.mean[:, at.column_intercept].mean() if at.column_intercepts else 0.0
        return self.unit * float(own), self.unit * float(of_items)

    def biases(self) -> tuple[np.ndarray, np.ndarray]:
        """Intercepts of users and items about their means, in these units; zeros without."""
        at, (own, of_items) = self.layout, self.offsets
        users, items = (np.zeros(side.labels.size) for side in (self.users, self.items))
        if at.row_intercepts:
            users = self.unit * self.users.mean[:, at.row_intercept] - own
        if at.column_intercepts:
            items = self.unit * self.items.mean[:, at.column_intercept] - of_items
        return users, items

    def item_directions(self) -> np.ndarray:
        """Items' factors in the metric of the users' second moment; shape (n2, width).

        At most of length one, less where they are uncertain.
        """
        k = self.layout.width
        users, items = self.users.mean[:, :k], self.items.mean[:, :k]
        spread = self.users.variance[:, :k].mean(axis=0, dtype=float)
        M = users.T @ users / users.shape[0] + np.diag(spread)
        directions = items @ np.linalg.cholesky(M + 1e-12 * np.trace(M) * np.eye(k))
        square = np.sum(directions**2, axis=1) + self.items.variance[:, :k] @ np.diagonal(M)
        # An item without a direction is similar to none.
        return directions / np.sqrt(np.where(square > 0, square, 1.0))[:, None]

    def _state(
        self, entries: Entries, rows: np.ndarray, mean: np.ndarray, variance: np.ndarray
    ) -> State:
        """A state to solve from; covariances of items are taken to be diagonal."""
        return State(
            self.layout,
            entries,
            rows,
            Moments.independent(mean, variance, self.layout.row_intercept),
            np.full(mean.shape[0], self.noise),
            self.variances,
            *self.intercepts,
        )


def _chunks(size: int) -> Iterator[slice]:
    return (slice(first, first + _CHUNK) for first in range(0, size, _CHUNK))

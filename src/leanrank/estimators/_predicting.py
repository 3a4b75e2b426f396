"""What a fit of ratings can be asked: predictions, intervals, the best items, similar ones."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from leanrank import _checks
from leanrank._threads import one_blas_thread
from leanrank.estimators._arguments import row_weights
from leanrank.estimators._folded import FoldedUser, interval
from leanrank.estimators._ranking import Barred, Ranking, best
from leanrank.estimators._rating_input import looked_up, pairs
from leanrank.estimators._rating_model import RatingModel
from leanrank.estimators._ratings import checked_ratings
from leanrank.io import StoredEntries
from leanrank.posterior import Entries

__all__ = ["RatingPredictor"]


class RatingPredictor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """The part of :class:`~leanrank.MatrixFactorization` that comes after ``fit``."""

    _model: RatingModel
    _seen: Entries | StoredEntries | None
    _weight_unit: float
    column_names_: tuple[str, str]

    @overload
    def predict(
        self, users: Any, items: Any = None, *, return_std: Literal[False] = False
    ) -> np.ndarray: ...

    @overload
    def predict(
        self, users: Any, items: Any = None, *, return_std: Literal[True]
    ) -> tuple[np.ndarray, np.ndarray]: ...

    def predict(
        self, users: Any, items: Any = None, *, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Expected ratings of pairs.

        Parameters
        ----------
        users, items : array-like, shape (m,)
            Labels of the pairs; of one of the two a single label in [ ] stands for all. Without
            ``items`` the pairs are the two columns of ``users``, or those of a frame that are
            called as in ``fit`` (``column_names_``).
        return_std : bool
            Whether standard deviations of new ratings are returned, too.

        Returns
        -------
        ndarray of float64, shape (m,)
            In the units of the ratings, between ``min_value`` and ``max_value``. A user or an item
            that ``fit`` has not seen counts as a typical one.
        deviation : ndarray of float64, shape (m,)
            With ``return_std=True``.

        Warns
        -----
        UnknownLabelWarning
            Once, with the number of users and items that ``fit`` has not seen.
        """
        rows, cols = self._codes(users, items)
        middle = np.clip(self._model.predict(rows, cols), *self._bounds())
        return (middle, self._model.deviation(rows, cols)) if return_std else middle

    def predict_interval(
        self, users: Any, items: Any = None, level: float = 0.95
    ) -> tuple[np.ndarray, np.ndarray]:
        """Intervals that hold new ratings with probability ``level``.

        Standard deviations come from the model; how many of them an interval is long, from the
        ratings that ``fit`` held out (split conformal prediction; Lei et al. 2018). Of ratings like
        those that were given, as many are covered as is said.

        Parameters
        ----------
        users, items : array-like
            As in :meth:`predict`.
        level : float
            In (0, 1).

        Returns
        -------
        low, high : ndarray, shape (m,)
            Between ``min_value`` and ``max_value``; unbounded without these where so few ratings
            were held out that no length covers so many.
        """
        rows, cols = self._codes(users, items)
        told = self._model.predict(rows, cols), self._model.deviation(rows, cols)
        return interval(*told, self._model.scores, level, self._bounds())

    def score(
        self, users: Any, items: Any, ratings: Any = None, sample_weight: Any = None
    ) -> float:
        r"""Share of the variance of ratings that predictions explain, :math:`R^2`.

        As of scikit-learn's regressors: more is better, and 0 is what the mean of these very
        ratings reaches. ``scoring="neg_root_mean_squared_error"`` of ``cross_val_score`` gives
        errors in the units of the ratings.

        Parameters
        ----------
        users, items, ratings : array-like, shape (m,)
            Without ``ratings``, the pairs are the two columns of the first argument, and the
            second is their ratings.
        sample_weight : array-like, shape (m,), optional

        Returns
        -------
        float
        """
        if ratings is None:
            (users, items), ratings = pairs(users, None, self.column_names_), items
        predicted = self.predict(users, items)
        return float(r2_score(checked_ratings(ratings), predicted, sample_weight=sample_weight))

    @one_blas_thread()
    def recommend(self, users: Any, n: int = 10, *, exclude_seen: bool = True) -> Ranking:
        """The items with the highest expected ratings for each of some users.

        Users and items are multiplied block by block: nothing of the size of all users times all
        items is formed.

        Parameters
        ----------
        users : array-like, shape (m,)
            One that ``fit`` has not seen gets what is best on average, and a warning is given.
        n : int
            How many, at most.
        exclude_seen : bool
            Leave out items that the user has rated.

        Returns
        -------
        Ranking
            User after user, the best item first: ``asked``, ``ranks``, ``items`` and ``scores``,
            what :meth:`predict` gives. Those that it cuts at bounds are ranked by what they were
            before, and equal ones are in the order of the items.

        Raises
        ------
        ValueError
            If ``exclude_seen`` is asked of a model that has not kept its ratings.
        """
        n, model = _checks.whole_number(n, "n", least=1), self._fitted()
        (rows,) = looked_up((model.users.labels, users, "users"))
        barred: Barred | None = None
        if _checks.flag(exclude_seen, "exclude_seen"):
            barred = _rated(self._ratings_kept(), rows)
        asked = model.users.labels.values[rows]
        if (rows < 0).any():
            asked = np.where(rows < 0, np.fromiter(users, object, rows.size), asked)
        found = model.best(model.users.at(rows)[0], n, barred)
        names = (*self.column_names_, "score")
        return Ranking.of(asked, model.items.labels.values, found, names, self._bounds())

    @one_blas_thread()
    def similar_items(self, items: Any, n: int = 10) -> Ranking:
        r"""The items that are liked by the same users as each of some items.

        .. math:: \frac{v_j^\top M v_k}{\sqrt{(v_j^\top M v_j + \operatorname{tr} M \Psi_j)
            (v_k^\top M v_k + \operatorname{tr} M \Psi_k)}}

        with M the mean of :math:`u_i u_i^\top` over users: the correlation of two items' ratings
        over users, less intercepts and noise. What is uncertain of the factors counts as length,
        so that an item that hardly anybody has rated is similar to none.

        Parameters
        ----------
        items : array-like, shape (m,)
            Items that ``fit`` has seen.
        n : int
            How many, at most.

        Returns
        -------
        Ranking
            As from :meth:`recommend`: ``asked`` are the items asked for, scores lie in [-1, 1].

        Raises
        ------
        ValueError
            If ``fit`` has not seen an item, or there are no factors to compare by.
        """
        n, model = _checks.whole_number(n, "n", least=1), self._fitted()
        codes = model.items.labels.codes(items, "items")
        if (codes < 0).any():
            raise ValueError(
                f"items must be among those of fit, got {np.count_nonzero(codes < 0)} that are not,"
                f" the first at {np.argmax(codes < 0)}"
            )
        if not model.layout.width:
            raise ValueError("items cannot be compared: fit found no factors, rank_ is 0")
        units = model.item_directions()

        def score(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
            return np.asarray(np.einsum("ek,ek->e", units[codes[rows]], units[cols]))

        found = best(units[codes], units, n, lambda a, b: (np.arange(b - a), codes[a:b]), score)
        values = model.items.labels.values
        return Ranking.of(values[codes], values, found, (self.column_names_[1], "similar", "score"))

    @one_blas_thread()
    def fold_in(self, items: Any, ratings: Any, sample_weight: Any = None) -> FoldedUser:
        """A new user with a few ratings, without fitting anew.

        The factors and the intercept of the user are solved for given those of the items and what
        is uncertain of these, as in a sweep of ``fit``; nothing else changes.

        Parameters
        ----------
        items : array-like, shape (m,)
            Those that ``fit`` has not seen count as typical ones.
        ratings : array-like, shape (m,)
        sample_weight : array-like, shape (m,), optional
            In the unit of those that ``fit`` was given.

        Returns
        -------
        FoldedUser
            With ``predict``, ``predict_interval`` and ``recommend`` of its own.
        """
        model, y = self._fitted(), checked_ratings(ratings)
        (cols,) = looked_up((model.items.labels, items, "items"))
        if cols.size != y.size:
            raise ValueError(f"ratings must be as many as items, {cols.size}, got {y.size}")
        weights = None
        if sample_weight is not None:
            weights = row_weights(sample_weight, y.size) / self._weight_unit
        alone = model.with_new_user(cols, y, weights)
        bias = alone.offsets[0] - model.offsets[0]
        seen = np.unique(cols[cols >= 0])
        return FoldedUser(alone, bias, seen, self._bounds(), self.column_names_)

    def _fitted(self) -> RatingModel:
        check_is_fitted(self)
        return self._model

    def _ratings_kept(self) -> Entries | StoredEntries:
        if self._seen is None:
            raise ValueError(
                "this model has not kept its ratings, since it was saved without them, or fitted "
                "with a memory_limit or on a cluster: exclude_seen must be False, and partial_fit "
                "is not possible"
            )
        return self._seen

    def _bounds(self) -> tuple[float, float]:
        low, high = self.min_value, self.max_value
        return -np.inf if low is None else low, np.inf if high is None else high

    def _codes(self, users: Any, items: Any) -> tuple[np.ndarray, np.ndarray]:
        """Codes of pairs."""
        model = self._fitted()
        users, items = pairs(users, items, self.column_names_)
        rows, cols = looked_up(
            (model.users.labels, users, "users"), (model.items.labels, items, "items")
        )
        if rows.size != cols.size and 1 not in (rows.size, cols.size):
            raise ValueError(f"users and items must be as many, got {rows.size} and {cols.size}")
        rows, cols = np.broadcast_arrays(rows, cols)
        return rows, cols


def _rated(entries: Entries | StoredEntries, codes: np.ndarray) -> Barred:
    """The items that users have rated."""

    def barred(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        part = codes[first:last]
        begin = np.where(part < 0, 0, entries.indptr[part])
        count = np.where(part < 0, 0, entries.indptr[part + 1] - begin)
        rows = np.repeat(np.arange(part.size), count)
        within = np.arange(rows.size) - np.repeat(np.cumsum(count) - count, count)
        return rows, entries.cols[np.repeat(begin, count) + within]

    return barred

"""A new user, whose factors are solved for given those of the items."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np

from leanrank import _checks
from leanrank._display import one_line
from leanrank.estimators._choosing import quantile
from leanrank.estimators._ranking import Ranking
from leanrank.estimators._rating_input import looked_up
from leanrank.estimators._rating_model import RatingModel

__all__ = ["FoldedUser", "interval"]


class FoldedUser:
    """A user whom ``fit`` has not seen, from :meth:`~leanrank.MatrixFactorization.fold_in`.

    Attributes
    ----------
    factors : ndarray, shape (rank,)
        Posterior mean, on the scale of ``user_factors_``.
    bias : float
        Intercept, on the scale of ``user_bias_``.
    """

    def __init__(
        self,
        model: RatingModel,
        bias: float,
        seen: np.ndarray,
        bounds: tuple[float, float],
        names: tuple[str, str],
    ) -> None:
        self.factors = model.users.mean[0, : model.layout.width]
        self.bias = bias
        self._model, self._seen, self._bounds, self._names = model, seen, bounds, names

    @overload
    def predict(self, items: Any, *, return_std: Literal[False] = False) -> np.ndarray: ...

    @overload
    def predict(
        self, items: Any, *, return_std: Literal[True]
    ) -> tuple[np.ndarray, np.ndarray]: ...

    def predict(
        self, items: Any, *, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Expected ratings, as :meth:`~leanrank.MatrixFactorization.predict`.

        Parameters
        ----------
        items : array-like, shape (m,)
        return_std : bool
            Whether standard deviations of new ratings are returned, too.

        Returns
        -------
        ndarray, shape (m,), or two of them
        """
        middle, deviation = self._told(items)
        middle = np.clip(middle, *self._bounds)
        return (middle, deviation) if return_std else middle

    def predict_interval(self, items: Any, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Intervals as :meth:`~leanrank.MatrixFactorization.predict_interval`.

        Parameters
        ----------
        items : array-like, shape (m,)
        level : float
            In (0, 1).

        Returns
        -------
        low, high : ndarray, shape (m,)
        """
        return interval(*self._told(items), self._model.scores, level, self._bounds)

    def recommend(self, n: int = 10, *, exclude_seen: bool = True) -> Ranking:
        """The items with the highest expected ratings.

        Parameters
        ----------
        n : int
            How many, at most.
        exclude_seen : bool
            Leave out the items of the ratings that the user was folded in with.

        Returns
        -------
        Ranking
            Whose ``asked`` is None throughout: the user has no label.
        """
        n = _checks.whole_number(n, "n", least=1)
        seen = self._seen if exclude_seen else self._seen[:0]
        found = self._model.best(
            self._model.users.mean, n, lambda a, b: (np.zeros_like(seen), seen)
        )
        values, asked = self._model.items.labels.values, np.array([None])
        return Ranking.of(asked, values, found, (*self._names, "score"), self._bounds)

    def _told(self, items: Any) -> tuple[np.ndarray, np.ndarray]:
        (cols,) = looked_up((self._model.items.labels, items, "items"))
        rows = np.zeros(cols.size, np.int32)
        return self._model.predict(rows, cols), self._model.deviation(rows, cols)

    def __repr__(self) -> str:
        return one_line("FoldedUser", rank=self.factors.size, bias=self.bias)


def interval(
    middle: np.ndarray,
    deviation: np.ndarray,
    scores: np.ndarray,
    level: float,
    bounds: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of so many deviations as held-out scores ask for, between bounds."""
    level = _checks.real_number(level, "level", above=0, below=1)
    half = quantile(scores, level) * deviation
    return np.clip(middle - half, *bounds), np.clip(middle + half, *bounds)

"""What a fitted imputer does with tables: completes them, draws them, says how surely."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse
from scipy.stats import norm
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from leanrank import _checks
from leanrank._threads import one_blas_thread
from leanrank._warn import warn_caller
from leanrank.estimators._arguments import RecoveryWarning, entry_weights
from leanrank.estimators._choosing import quantile
from leanrank.estimators._row_model import CovarianceRows, Rows
from leanrank.estimators._rows import ExactRows
from leanrank.estimators._tables import checked_bounds, checked_gap, read_table

__all__ = ["TableCompleter", "shown"]

_CELLS = 1 << 17
"""Entries that are completed at once."""


class TableCompleter(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The part of :class:`~leanrank.LowRankImputer` that comes after ``fit``."""

    @one_blas_thread()
    def transform(self, X: Any, sample_weight: Any = None) -> np.ndarray:
        """Complete rows, each from its own observed entries.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Rows of the training table or new ones, NaN where entries are missing.
        sample_weight : array-like, shape (n_samples,) or (n_samples, n_features), optional
            In the unit of those that ``fit`` was given. By default every entry counts as one of
            average weight there. Entries of weight zero do not count in the completion of others.

        Returns
        -------
        ndarray, shape (n_samples, n_features_out)
            A new array, float32 if X is, without NaN. Columns that had no entry in ``fit`` are
            left out unless ``keep_empty_features`` is set.
        """
        check_is_fitted(self)
        if self.sample_posterior:
            return self.draw(X, 1, sample_weight)[0]
        X, form = read_table(self, X, checked_gap(self.missing_values), reset=False)
        weights = self._weights(X, sample_weight)
        equal, missing, out = self._equal(weights), np.isnan(X), X.copy()
        rows = np.flatnonzero(missing.any(axis=1))
        if not self.keep_observed:
            rows = np.arange(X.shape[0])
        if rows.size:
            for part in _parts(rows, X.shape[1]):
                completed = self._rounded(self._completed(X[part], weights[part], equal)[0])
                replaced = missing[part] | (not self.keep_observed)
                out[part] = np.where(replaced, completed, X[part])
            self._report_rows(rows, np.count_nonzero(weights, axis=1)[rows])
        return self._handed_out(out, missing, form)

    @one_blas_thread()
    def draw(self, X: Any, n: int, sample_weight: Any = None) -> list[Any]:
        """Completed tables as they may be: draws from the posterior, for multiple imputation.

        What one wants to know is computed from each of them; their mean is the estimate, and by
        Rubin's rules its variance is the mean of the variances within tables plus (1 + 1/n) times
        the variance between them.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            As in :meth:`transform`.
        n : int
            Number of tables.
        sample_weight : array-like, optional
            As in :meth:`transform`.

        Returns
        -------
        list of ndarray, each of shape (n_samples, n_features_out)
            Observed entries are as they came. The same ones each time.
        """
        check_is_fitted(self)
        n = _checks.whole_number(n, "n", least=1)
        X, form = read_table(self, X, checked_gap(self.missing_values), reset=False)
        weights, missing = self._weights(X, sample_weight), np.isnan(X)
        rng = np.random.default_rng(self._seed)
        chain = None if self._chain is None else self._chain.draws(rng)
        tables = []
        for _ in range(n):
            rows: Rows = self._rows if chain is None else next(chain)
            out = X.copy()
            for part in _parts(np.arange(X.shape[0]), X.shape[1]):
                Z = rows.draw(self._scaled(X[part]), weights[part][:, self._inner], rng)
                out[part] = np.where(missing[part], self._rounded(self._unscaled(Z)), X[part])
            tables.append(self._handed_out(out, missing, form))
        return tables

    @one_blas_thread()
    def predict_interval(
        self, X: Any, level: float = 0.95, sample_weight: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Intervals that hold readings of missing entries with probability ``level``.

        Standard deviations come from the model; how many of them an interval is long, from the
        entries that ``fit`` held out (split conformal prediction; Lei et al. 2018). Where entries
        are missing at random, as many of them are covered as of those.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            As in :meth:`transform`.
        level : float
            In (0, 1).
        sample_weight : array-like, optional
            As in :meth:`transform`.

        Returns
        -------
        low, high : ndarray, shape (n_samples, n_features)
            Observed entries are both ends of theirs. Of a table that is exactly of low rank
            intervals are as short as rounding, wherever a row determines its scores. They are
            unbounded where a column had no entry in ``fit``, and where so few were held out that
            no length covers so many.

        Raises
        ------
        ValueError
            If ``level`` is not in (0, 1).
        """
        check_is_fitted(self)
        level = _checks.real_number(level, "level", above=0, below=1)
        X, _ = read_table(self, X, checked_gap(self.missing_values), reset=False)
        weights, missing = self._weights(X, sample_weight), np.isnan(X)
        equal = self._equal(weights)
        multiple = float(norm.ppf(0.5 + 0.5 * level))
        if self._scores is not None:
            multiple = quantile(self._scores, level)
        bounds = checked_bounds(self.min_value, self.max_value, X.shape[1])
        ends = X.astype(float), X.astype(float)
        for part in _parts(np.arange(X.shape[0]), X.shape[1]):
            middle, deviation = self._completed(X[part], weights[part], equal)
            half = np.where(deviation > 0, multiple, 0.0) * np.where(deviation > 0, deviation, 0.0)
            for sign, end in zip((-1.0, 1.0), ends, strict=True):
                reached = np.clip(middle + sign * half, *bounds)
                end[part] = np.where(missing[part], reached, X[part])
        return ends

    @property
    def _correlated(self) -> bool:
        """Whether a covariance takes part in completing rows."""
        return isinstance(getattr(self._rows, "main", None), CovarianceRows)

    def _weights(self, X: np.ndarray, sample_weight: Any) -> np.ndarray:
        """Weights of entries in units of the average in ``fit``; zero where there are none."""
        weights = np.ones(X.shape)
        if sample_weight is not None:
            weights = entry_weights(sample_weight, X.shape) / self._weight_unit
        return np.where(np.isnan(X) | ~self._seen_columns, 0.0, weights)

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        """The columns that vary, centred and scaled."""
        at = self._inner
        return np.asarray((X[:, at].astype(float) - self._offset[at]) / self.scale_[at])

    def _unscaled(self, Z: np.ndarray) -> np.ndarray:
        """All columns, in their own units and between their bounds."""
        at = self._inner
        out = np.tile(self.statistics_, (Z.shape[0], 1))
        out[:, at] = self._offset[at] + self.scale_[at] * Z
        return np.clip(out, *checked_bounds(self.min_value, self.max_value, out.shape[1]))

    def _rounded(self, X: np.ndarray) -> np.ndarray:
        """With whole numbers in columns of such, if a user asked for it."""
        if not self.keep_integers:
            return X
        return self._whole.rounded(X, *checked_bounds(self.min_value, self.max_value, X.shape[1]))

    def _equal(self, weights: np.ndarray) -> bool:
        """Whether weights are such as the model of the rows knows."""
        # A covariance knows nothing of weights, nor of what is noise in an entry.
        given = weights[:, self._inner]
        return not self._correlated or bool((np.isclose(given, 1.0) | (given == 0)).all())

    def _completed(
        self, X: np.ndarray, weights: np.ndarray, equal: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means of all entries, and standard deviations of their readings."""
        Z, given = self._scaled(X), weights[:, self._inner]
        middle, variance = (self._rows if equal else self._smooth).complete(Z, given)
        if not self.keep_observed:
            middle = np.where(given > 0, self._smooth.complete(Z, given)[0], middle)
        deviation = np.where(self._seen_columns, 0.0, np.inf) * np.ones(X.shape)
        deviation[:, self._inner] = self.scale_[self._inner] * np.sqrt(variance)
        completed = self._unscaled(middle)
        if not self.center:
            completed[~(weights > 0).any(axis=1)] = self.statistics_
        return completed, deviation

    def _handed_out(self, out: np.ndarray, missing: np.ndarray, form: str) -> Any:
        """The columns that a user asked for, in the format that came in."""
        kept = np.ones(out.shape[1], bool) if self.keep_empty_features else self._seen_columns
        out = out[:, kept]
        if self.add_indicator:
            out = np.hstack([out, missing[:, self._gaps].astype(out.dtype)])
        return sparse.csr_array(out).asformat(form) if form else out

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that ``transform`` returns.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the input columns; by default those seen in ``fit``, or x0, x1, ...

        Returns
        -------
        ndarray of str
        """
        names = super().get_feature_names_out(input_features)
        told = names if self.keep_empty_features else names[self._seen_columns]
        if not self.add_indicator:
            return told
        marks = [f"missingindicator_{name}" for name in names[self._gaps]]
        return np.concatenate([told, np.asarray(marks, dtype=object)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _report_rows(self, rows: np.ndarray, counts: np.ndarray) -> None:
        few = rows[:0]
        if isinstance(self._rows, ExactRows):
            few = rows[(counts > 0) & (counts < self.rank_)]
        none = rows[counts == 0]
        sentences = []
        if few.size:
            sentences.append(
                f"{few.size} row(s) have fewer observed entries than the rank, {self.rank_}, and "
                f"are completed towards typical training rows: {shown(few)}"
            )
        if none.size:
            sentences.append(
                f"{none.size} row(s) have no entry and are completed with column means: "
                f"{shown(none)}"
            )
        if sentences:
            self._warn("; ".join(sentences))

    def _warn(self, message: str) -> None:
        if self.on_failure == "warn":
            warn_caller(message, RecoveryWarning)


def _parts(rows: np.ndarray, p: int) -> Iterator[np.ndarray]:
    """Rows in parts that are small beside a long table, all that models say of them included."""
    size = max(1, _CELLS // p)
    return (rows[first : first + size] for first in range(0, rows.size, size))


def shown(index: np.ndarray) -> str:
    """The first of some rows or columns."""
    first = ", ".join(str(i) for i in index[:5]) + (", ..." if index.size > 5 else "")
    return f"{first} (counted from 0)"

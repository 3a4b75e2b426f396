r"""LowRankImputer: tables with missing entries in, completed tables out.

The columns of a table are centred and scaled, and :func:`leanrank.recover` finds the rank and the
row space of the rest from its observed entries. A factor model starts from there, and each row,
old or new, is completed on its own by the conditional mean of its missing entries given its
observed ones: with Z the centred and scaled table, B the loadings (the components times the
standard deviations of the rows along them), :math:`\sigma_j` the noise level of column j and o
the observed entries of a row z,

.. math:: \hat t = \arg\min_t \sum_{j \in o} \frac{w_j ((B t)_j - z_j)^2}{\sigma_j^2} + |t|^2,
    \qquad \hat z = B \hat t,

where the weights w are ones unless some entries are noisier than others.
Without noise that is the recovered matrix itself, the least-squares fit to the observed entries.
With noise it is more accurate, much more so where the rank is set too high; and it stays sensible
for a row that has fewer observed entries than the rank, or none.
"""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from leanrank import _checks
from leanrank._threads import one_blas_thread
from leanrank.estimators._arguments import RecoveryWarning, check_fit_options, entry_weights
from leanrank.estimators._entries import Columns, Entries, observed, varying
from leanrank.estimators._recovery import recover_table
from leanrank.estimators._rows import RowModel
from leanrank.operators import ObservedEntries
from leanrank.recover import recover
from leanrank.results import Result
from leanrank.search import Strategy

__all__ = ["LowRankImputer", "RecoveryWarning"]


class LowRankImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    r"""Complete a table whose columns are related: low rank plus noise, the rank unknown.

    Rows are samples, columns are features, NaN marks what is missing. The model of a row is
    ``mean_ + scale_ * (scores @ components_)`` plus noise, with as many components as the
    observed entries support.

    Parameters
    ----------
    rank : int, optional
        Number of components, if it is known. By default it is found.
    width : int, optional
        Largest number of components to consider, before centring takes one away. By default as
        many as the entries can determine.
    center : bool
        Give each column a mean of its own. Where the table itself is of low rank, a picture for
        instance, ``center=False`` spares the means.
    scale : bool
        Bring each column to unit standard deviation (about zero if not centred) before the fit,
        so that its unit of measurement does not matter. Where all columns are in the same unit
        and those that vary most are to count most, say ``scale=False``.
    validation : float, optional
        Share of the entries to hold out for the choice of the rank; see
        :func:`leanrank.recover`.
    keep_observed : bool
        Return observed entries as they came. Otherwise they, too, are replaced by what the model
        says, which removes noise.
    keep_empty_features : bool
        Complete a column that had no entry in ``fit`` with zeros instead of leaving it out, as in
        scikit-learn's imputers.
    max_iter : int
        Largest number of steps of the last fit.
    time_limit : float, optional
        Seconds after which ``fit`` settles for the best factors so far.
    random_state : int, Generator, RandomState or None
        The same seed gives the same answer.
    on_failure : {"warn", "raise", "ignore"}
        What to do where the certificate does not hold: give a :class:`RecoveryWarning`, raise
        :class:`~leanrank.RecoveryError`, or leave it to the caller to look at ``status_``. The
        last two also hold back the warnings about rows and columns without entries.

    Attributes
    ----------
    rank_ : int
        Number of components.
    components_ : ndarray, shape (rank_, n_features)
        Orthonormal rows, in scaled units and in decreasing order of ``singular_values_``; zero
        in columns that are empty or constant.
    singular_values_ : ndarray, shape (rank_,)
        Standard deviations of the rows along the components times the root of the number of rows
        that have entries, in scaled units.
    mean_, scale_ : ndarray, shape (n_features,)
        In the units of the columns: zeros without ``center``, ones without ``scale``. The mean is
        that of completed columns, which is less biased than that of what was observed.
    statistics_ : ndarray, shape (n_features,)
        What a row without entries is completed with: ``mean_``, or without ``center`` the means
        of the observed entries.
    noise_variance_ : ndarray, shape (n_features,)
        Variance of the noise in each column, in scaled units; that of an entry of average weight.
    status_ : Status
        CONVERGED only if the certificate holds.
    message_ : str
        Why the fit ended so, and what to do about it.
    certificate_ : Certificate or None
        How far to trust the matrix that was recovered: the centred and scaled table without the
        rows that have no entry and the columns that have none or are constant. None if the fit
        was stopped or not possible.
    result_ : Result
        Of :func:`leanrank.recover` for that matrix.
    n_iter_ : int
        Iterations over all phases of the recovery.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where ``fit`` was given column names.

    Raises
    ------
    ValueError, TypeError
        In ``fit`` and ``transform``: if the table is infinite somewhere, complex, sparse, not a
        table or without any entry, or if a parameter cannot be right.
    RecoveryError
        In ``fit`` with ``on_failure="raise"``.

    See Also
    --------
    leanrank.recover : The same for measurements of any kind.

    Notes
    -----
    With fewer entries than a matrix of rank one has unknowns, the answer is the column means:
    rank 0 and the status STALLED. ``float32`` tables come back as such. A complete table comes
    back as it is (unless ``keep_observed=False``).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> full = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 12)) + 5.0
    >>> X = np.where(rng.random(full.shape) < 0.3, np.nan, full)
    >>> imputer = LowRankImputer()
    >>> bool(np.allclose(imputer.fit_transform(X), full))
    True
    >>> imputer.rank_, imputer.status_.name
    (2, 'CONVERGED')
    """

    def __init__(
        self,
        rank: int | None = None,
        *,
        width: int | None = None,
        center: bool = True,
        scale: bool = True,
        validation: float | None = None,
        keep_observed: bool = True,
        keep_empty_features: bool = False,
        max_iter: int = 200,
        time_limit: float | None = None,
        random_state: Any = 0,
        on_failure: str = "warn",
    ) -> None:
        self.rank = rank
        self.width = width
        self.center = center
        self.scale = scale
        self.validation = validation
        self.keep_observed = keep_observed
        self.keep_empty_features = keep_empty_features
        self.max_iter = max_iter
        self.time_limit = time_limit
        self.random_state = random_state
        self.on_failure = on_failure

    @one_blas_thread()
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> LowRankImputer:
        """Find the components of a table.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            NaN where entries are missing.
        y : None
            Ignored.
        sample_weight : array-like, shape (n_samples,) or (n_samples, n_features), optional
            Inverse variances of the noise of rows, or of entries, up to a constant. Zero is as
            good as missing. A row of weight two counts like one that is there twice in means,
            scales and the recovery, and is still one row where those are counted or held out.

        Returns
        -------
        LowRankImputer
            Itself.
        """
        self._check_parameters()
        X = self._table(X, reset=True)
        weights = None if sample_weight is None else entry_weights(sample_weight, X.shape)
        entries, self._weight_unit = observed(X, weights)
        if entries.values.size == 0:
            gone = "NaN" if weights is None else "NaN or of weight zero"
            raise ValueError(
                f"X has no entries, every value is {gone}: there is nothing to learn from"
            )
        columns = Columns.of(entries, self.center, self.scale)
        self._seen_columns = columns.counts > 0
        inner, row_index, col_index = varying(entries, columns)
        end = math.inf if self.time_limit is None else time.monotonic() + self.time_limit
        result, model, self.n_iter_ = recover_table(
            inner, lambda part, rank: self._run(part, rank, end), self.rank, self.center
        )
        self.result_, self.status_, self.certificate_ = result, result.status, result.certificate
        self.message_ = result.message + self._left_out(entries, row_index.size, col_index.size)
        self.rank_ = model.loadings.shape[1]
        p, dtype = entries.shape[1], entries.values.dtype
        loadings, shift, noise = np.zeros((p, self.rank_)), np.zeros(p), np.zeros(p)
        loadings[col_index], shift[col_index] = model.loadings, model.shift
        noise[col_index] = model.noise
        self._model = RowModel(loadings, np.zeros(p), noise)
        lengths = np.linalg.norm(loadings, axis=0)
        self.components_ = (loadings / lengths).T.astype(dtype)
        n = np.unique(entries.rows).size
        self.singular_values_ = (lengths * math.sqrt(n)).astype(dtype)
        self.noise_variance_ = noise**2
        self.mean_ = columns.offset + columns.scale * shift
        self.scale_ = columns.scale
        self.statistics_ = self.mean_ if self.center else columns.means
        if self.on_failure == "raise":
            result.raise_if_failed()
        if not result.success:
            self._warn(f"{self.status_.name}: {self.message_}")
        empty = np.flatnonzero(~self._seen_columns)
        if empty.size:
            what = "filled with zeros" if self.keep_empty_features else "left out"
            self._warn(f"{empty.size} column(s) have no entry and are {what}: {_shown(empty)}")
        return self

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """``fit`` and ``transform`` with the same weights.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            NaN where entries are missing.
        y : None
            Ignored.
        sample_weight : array-like, shape (n_samples,) or (n_samples, n_features), optional
            As in :meth:`fit`.

        Returns
        -------
        ndarray, shape (n_samples, n_features_out)
        """
        return self.fit(X, y, sample_weight).transform(X, sample_weight)

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
        X = self._table(X, reset=False)
        weights = np.ones(X.shape)
        if sample_weight is not None:
            weights = entry_weights(sample_weight, X.shape) / self._weight_unit
        missing = np.isnan(X)
        out = X.copy()
        if self.keep_observed:
            rows, replaced = np.flatnonzero(missing.any(axis=1)), missing
        else:
            rows, replaced = np.arange(X.shape[0]), np.ones_like(missing)
        if rows.size:
            Z = np.where(missing[rows], 0.0, (X[rows] - self.mean_) / self.scale_)
            given = np.where(missing[rows] | ~self._seen_columns, 0.0, weights[rows])
            completed = self.mean_ + self.scale_ * self._model.complete(Z, given)
            counts = np.count_nonzero(given, axis=1)
            completed[counts == 0] = self.statistics_
            out[rows] = np.where(replaced[rows], completed, X[rows])
            self._report_rows(rows, counts)
        return out if self.keep_empty_features else out[:, self._seen_columns]

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
        return names if self.keep_empty_features else names[self._seen_columns]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _table(self, X: Any, *, reset: bool) -> np.ndarray:
        if np.ma.is_masked(X):
            raise ValueError("X has masked values; pass X.filled(np.nan)")
        return validate_data(
            self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan"
        )

    def _check_parameters(self) -> None:
        """Check here what recover would not get to see, or not under this name."""
        for name in ("center", "scale", "keep_observed", "keep_empty_features"):
            _checks.flag(getattr(self, name), name)
        if self.rank is not None:
            _checks.whole_number(self.rank, "rank", least=1)
        check_fit_options(self)

    def _run(self, entries: Entries, rank: int | None, end: float) -> Result:
        op = ObservedEntries(entries.rows, entries.cols, entries.shape, dtype=entries.values.dtype)
        width = None if self.width is None else min(self.width, *entries.shape)
        return recover(
            op,
            entries.values,
            loss=entries.loss,
            rank=rank,
            width=width,
            strategy=self._strategy(),
            validation=self.validation,
            max_iter=self.max_iter,
            time_limit=None if end == math.inf else max(end - time.monotonic(), 1e-9),
            random_state=self.random_state,
        )

    def _strategy(self) -> Strategy | None:
        """What recover is to propose factors by."""
        return None

    def _left_out(self, entries: Entries, n_rows: int, n_cols: int) -> str:
        """A sentence about rows and columns that the fit did not see."""
        rows, cols = entries.shape[0] - n_rows, entries.shape[1] - n_cols
        if not rows and not cols:
            return ""
        return (
            f" (without {rows} row(s) that have no entry in a column that varies and {cols} "
            "column(s) that do not vary or have no entry; the others are counted from 0)"
        )

    def _report_rows(self, rows: np.ndarray, counts: np.ndarray) -> None:
        few = rows[(counts > 0) & (counts < self.rank_)]
        none = rows[counts == 0]
        sentences = []
        if few.size:
            sentences.append(
                f"{few.size} row(s) have fewer observed entries than the rank, {self.rank_}, and "
                f"are completed towards typical training rows: {_shown(few)}"
            )
        if none.size:
            sentences.append(
                f"{none.size} row(s) have no entry and are completed with column means: "
                f"{_shown(none)}"
            )
        if sentences:
            self._warn("; ".join(sentences))

    def _warn(self, message: str) -> None:
        if self.on_failure == "warn":
            warnings.warn(message, RecoveryWarning, stacklevel=4)


def _shown(index: np.ndarray) -> str:
    first = ", ".join(str(i) for i in index[:5]) + (", ..." if index.size > 5 else "")
    return f"{first} (counted from 0)"

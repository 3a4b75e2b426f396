r"""LowRankImputer: tables with missing entries in, completed tables out.

The columns of a table are centred and scaled, and columns with a prior that the data can empty
find how many components it has (:mod:`leanrank.posterior`). What they leave may be correlated,
too, which a covariance of all columns tells, shrunk towards that of the components; and what that
misses of a row is often what it misses of similar rows. How much each of these and column means
count in a column, entries that were held out decide. Each row, old or new, is completed on its
own, by conditional means of its missing entries given its observed ones. Where the table is
exactly of low rank, :func:`leanrank.recover` finds it, and it comes back exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._threads import one_blas_thread
from leanrank.estimators._arguments import RecoveryWarning, entry_weights
from leanrank.estimators._completing import shown
from leanrank.estimators._entries import Columns, Entries, observed, varying
from leanrank.estimators._steps import TableFitter
from leanrank.estimators._tables import Whole, checked_bounds, checked_gap, read_table
from leanrank.solvers import Callback

__all__ = ["LowRankImputer", "RecoveryWarning"]


class LowRankImputer(TableFitter):
    r"""Complete a table whose columns are related: low rank plus noise, the rank unknown.

    Rows are samples, columns are features, NaN marks what is missing. The model of a row is
    ``mean_ + scale_ * (scores @ components_)`` plus noise, with as many components as the
    observed entries support. Where that predicts better, noise is correlated between columns and
    alike in similar rows.

    Parameters
    ----------
    rank : int, optional
        Number of components, if it is known; then they are all that completes rows. By default
        it is found, and none are taken where they predict no better than column means.
    width : int, optional
        Largest number of components to consider.
    center : bool
        Give each column a mean of its own. Where the table itself is of low rank, a picture for
        instance, ``center=False`` spares the means.
    scale : bool
        Bring each column to unit standard deviation (about zero if not centred) before the fit,
        so that its unit of measurement does not matter. Where all columns are in the same unit
        and those that vary most are to count most, say ``scale=False``.
    validation : float, optional
        Share of the entries to hold out at a time, in turn, for the choice of the model and the
        calibration of intervals; a tenth by default.
    keep_observed : bool
        Return observed entries as they came. Otherwise they, too, are replaced by what the model
        says, which removes noise.
    keep_empty_features : bool
        Complete a column that had no entry in ``fit`` with zeros instead of leaving it out, as in
        scikit-learn's imputers.
    keep_integers : bool
        Complete columns whose entries are all whole numbers with whole numbers, and those of
        zeros and ones with these. Intervals are about what was not rounded.
    missing_values : float
        What marks a gap, if it is not NaN. Of a sparse table entries that are not stored are
        zeros, not gaps.
    add_indicator : bool
        Append a column of zeros and ones for each column that had gaps in ``fit``: where.
    sample_posterior : bool
        ``transform`` returns a draw from the posterior instead of its mean; the same one each
        time. See :meth:`draw` for several.
    min_value, max_value : float or array-like of shape (n_features,), optional
        What completed entries are cut at.
    callbacks : iterable of callables
        Called with a :class:`~leanrank.solvers.State` in each sweep over the table; True stops.
    max_iter : int
        Largest number of steps of the last fit of a table that is exactly of low rank.
    time_limit : float, optional
        Seconds after which ``fit`` settles for the best model so far.
    random_state : int, Generator, RandomState or None
        The same seed gives the same answer.
    on_failure : {"warn", "raise", "ignore"}
        What to do where missing entries are not predicted, or nothing can be said of them: give a
        :class:`RecoveryWarning`, raise :class:`~leanrank.RecoveryError`, or leave it to the
        caller to look at ``status_``. The last two also hold back the warnings about rows and
        columns without entries.

    Attributes
    ----------
    rank_ : int
        Number of components.
    components_ : ndarray, shape (rank, n_features)
        Orthonormal rows, in scaled units and in decreasing order of ``singular_values_``; zero
        in columns that are empty or constant.
    singular_values_ : ndarray, shape (rank,)
        Standard deviations of the rows along the components times the root of the number of rows
        that have entries, in scaled units.
    covariance_ : ndarray, shape (n_features, n_features), or None
        Covariance of the columns, in scaled units, that takes part in completing rows; None where
        there is none: with ``rank``, weights, or more than 128 columns.
    mean_, scale_ : ndarray, shape (n_features,)
        In the units of the columns: zeros without ``center``, ones without ``scale``. The mean is
        that of completed columns, which is less biased than that of what was observed.
    statistics_ : ndarray, shape (n_features,)
        What a row without entries is completed with: ``mean_``, or without ``center`` the means
        of the observed entries.
    noise_variance_ : ndarray, shape (n_features,)
        Variance of the noise in each column, in scaled units; that of an entry of average weight.
    status_ : Status
        CONVERGED if the certificate holds: the matrix itself is pinned down. APPROXIMATE if
        entries that were held out are predicted clearly better than by column means. STALLED if
        neither.
    message_ : str
        How held-out entries were predicted; why the fit ended so, and what to do about it.
    certificate_ : Certificate or None
        How far to trust the components as a recovered matrix: the centred and scaled table
        without the rows that have no entry and the columns that have none or are constant. None
        if the fit was stopped or not possible.
    held_out_error_ : float or None
        Relative error on held-out entries, in centred and scaled units.
    result_ : Result
        The components as the factors of that matrix.
    n_iter_ : int
        Sweeps over the entries, and iterations of the recovery, of all fits.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where ``fit`` was given column names.

    Raises
    ------
    ValueError, TypeError
        In ``fit`` and ``transform``: if the table is infinite somewhere, complex, not a table or
        without any entry, or if a parameter cannot be right.
    RecoveryError
        In ``fit`` with ``on_failure="raise"``.

    See Also
    --------
    leanrank.recover : The same for measurements of any kind.

    Notes
    -----
    With fewer entries than a matrix of rank one has unknowns, the answer is the column means:
    rank 0 and the status STALLED. ``float32`` tables come back as such, sparse ones sparse. A
    complete table comes back as it is (unless ``keep_observed=False``).

    Rows are completed by a weighted mean, column by column, of what several models say: components
    with a noise level for each column, a covariance that is shrunk towards theirs, the same with
    what it misses of similar rows of the training table (both up to 128 columns, without ``rank``
    and weights), and column means. The weights are those that miss the least of entries that are
    held out, a tenth at a time (stacking; Breiman 1996), and lean towards means as far as the gain
    may be chance. What a model says is cut at two standard deviations beyond the entries that a
    column has, as it is at ``min_value`` and ``max_value``. Of tables longer than 10,000 rows and
    20 for each column, so many rows, drawn at random, tell the weights, the number of components,
    and whether the table may be exactly of low rank.

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
        keep_integers: bool = False,
        missing_values: float = np.nan,
        add_indicator: bool = False,
        sample_posterior: bool = False,
        min_value: Any = None,
        max_value: Any = None,
        callbacks: Iterable[Callback] = (),
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
        self.keep_integers = keep_integers
        self.missing_values = missing_values
        self.add_indicator = add_indicator
        self.sample_posterior = sample_posterior
        self.min_value = min_value
        self.max_value = max_value
        self.callbacks = callbacks
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
            good as missing. A row of weight two counts like one that is there twice in scales,
            components and noise, and is still one row in the mean of a noisy table and where
            rows are counted or entries held out.

        Returns
        -------
        LowRankImputer
            Itself.
        """
        self._check_parameters()
        X, _ = read_table(self, X, checked_gap(self.missing_values), reset=True)
        weights = None if sample_weight is None else entry_weights(sample_weight, X.shape)
        low, high = checked_bounds(self.min_value, self.max_value, X.shape[1])
        entries, self._weight_unit = observed(X, weights)
        if entries.values.size == 0:
            gone = "NaN" if weights is None else "NaN or of weight zero"
            raise ValueError(
                f"X has no entries, every value is {gone}: there is nothing to learn from"
            )
        columns = Columns.of(entries, self.center, self.scale)
        self._seen_columns = columns.counts > 0
        self._gaps, self._whole = np.isnan(X).any(axis=0), Whole.of(X)
        inner, row_index, at = varying(entries, columns)
        self._inner, self._offset, self.scale_ = at, columns.offset, columns.scale
        scaled = [((b - columns.offset) / columns.scale)[at] for b in (low, high)]
        n_rows = int(np.count_nonzero(np.bincount(entries.rows)))
        without = _left_out(entries, row_index.size, at.size)
        del entries  # as large as the table
        rng = _checks.generator(self.random_state)
        fitted = self._fitted(inner, scaled, rng)
        self._seed = int(rng.integers(2**62))
        self._rows, self._smooth, self._chain = fitted.rows, fitted.factors, fitted.chain
        self._scores, self.n_iter_ = fitted.scores, fitted.sweeps
        result = fitted.result
        self.result_, self.status_, self.certificate_ = result, result.status, result.certificate
        certificate = result.certificate
        self.held_out_error_ = None if certificate is None else certificate.held_out_error
        self.message_ = result.message + without
        self._describe(fitted.loadings, columns, n_rows, X.dtype)
        if self.on_failure == "raise":
            result.raise_if_failed()
        if not result.success:
            self._warn(f"{self.status_.name}: {self.message_}")
        empty = np.flatnonzero(~self._seen_columns)
        if empty.size:
            what = "filled with zeros" if self.keep_empty_features else "left out"
            self._warn(f"{empty.size} column(s) have no entry and are {what}: {shown(empty)}")
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


def _left_out(entries: Entries, n_rows: int, n_cols: int) -> str:
    """A sentence about rows and columns that the fit did not see."""
    rows, cols = entries.shape[0] - n_rows, entries.shape[1] - n_cols
    told = [f"{rows} row(s) that have no entry in a column that varies"] if rows else []
    told += [f"{cols} column(s) that do not vary or have no entry"] if cols else []
    return f" (without {' and '.join(told)}; the others are counted from 0)" if told else ""

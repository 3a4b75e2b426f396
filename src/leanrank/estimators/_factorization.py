r"""MatrixFactorization: long lists of ratings in, predictions for pairs and the best items out.

.. math:: y_{ij} = b_i + c_j + u_i^\top v_j + \varepsilon_{ij}

Factors have priors whose variances are learnt, so that the data empty those that they do not need
(:mod:`leanrank.posterior`); sweeps over the ratings solve users and items in turn
(:mod:`leanrank.search.factorising`). Nothing of the size of all users times all items is formed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Self

import numpy as np

from leanrank import _checks
from leanrank._files import FileError, PathLike
from leanrank._labels import Labels
from leanrank._threads import one_blas_thread
from leanrank._warn import warn_caller
from leanrank.estimators._arguments import RecoveryWarning
from leanrank.estimators._predicting import RatingPredictor
from leanrank.estimators._ranking import names_for
from leanrank.estimators._rating_fit import checked_parameters, factorised, threads_of, verdict
from leanrank.estimators._rating_input import (
    check_alone,
    checked_columns,
    is_dask,
    notes_of,
    ratings_given,
)
from leanrank.estimators._rating_model import RatingModel
from leanrank.estimators._ratings import LabelledRatings
from leanrank.estimators._saved_ratings import SavedFit, load_fit, save_fit
from leanrank.io import StoredEntries, stored_entries
from leanrank.posterior import Blocks, EntriesOnDisk
from leanrank.results import Status
from leanrank.search.factorising import Progress

__all__ = ["MatrixFactorization"]

_ANEW = 1.5
"""Ratings over those of the last whole fit, from which on ``partial_fit`` is one, too."""


_TOLD = (
    "status_", "message_", "certificate_", "held_out_error_", "n_iter_", "notes_",
    "column_names_", "_fitted_to", "_weight_unit",
)  # fmt: skip
"""Attributes that tell how a fit went."""


class MatrixFactorization(RatingPredictor):
    r"""Ratings by users of items, or any other readings of pairs: intercepts and low rank.

    Each rating is the intercept of its user plus that of its item plus a product of their factors
    plus noise. How many factors there are, how much they are shrunk, and whether there are
    intercepts is found, by how well ratings that are held out are predicted.

    Parameters
    ----------
    rank : int, optional
        Number of factors, if it is known.
    width : int, optional
        Largest number of factors to consider.
    intercepts : bool or "auto"
        Whether users and items have intercepts. By default they have; but where the mean of the
        ratings is about zero, only if held-out ratings are predicted clearly better with them.
    validation : float, optional
        Share of the ratings to hold out, at most a half. By default 2 to 5 %, 100,000 at most; of
        less than 500 ratings 25, but not more than a fifth. What is held out for the choice, and
        for intervals, counts in the end, too.
    min_value, max_value : float, optional
        Ends of the scale: predictions and intervals are cut at these.
    duplicates : {"mean", "error"}
        What is done where a user has rated an item several times: average, with the weight of as
        many, or refuse.
    memory_limit : int, optional
        Bytes that sorting may take. Where it is given, ``fit`` of a file sorts the ratings on disk,
        in the folder for temporary files (16 bytes each), and reads them from there block by block:
        memory holds labels, factors and some blocks.
    checkpoint : path, optional
        A file that ``fit`` is kept in after a sweep, and that is removed at its end. Where there is
        one of the same ratings and parameters, ``fit`` goes on from there, and comes to the same.
    time_limit : float, optional
        Seconds after which ``fit`` settles for what it has.
    n_jobs : int, optional
        Threads; all cores by default and with -1. The answer does not depend on it.
    callbacks : iterable of callables
        Called with a ``leanrank.search.factorising.Progress`` after every sweep; True stops.
    random_state : int, Generator, RandomState or None
        Chooses the ratings to hold out. The same seed gives the same answer.

    Attributes
    ----------
    users_, items_ : ndarray, shape (n_users,) and (n_items,)
        Labels, sorted where they can be: int64, float64 or objects. Of ratings on disk in the order
        in which they came.
    rank_ : int
        Number of factors.
    intercept_ : float
        Mean over users and items; zero without intercepts.
    user_bias_, item_bias_ : ndarray, shape (n_users,) and (n_items,)
        Intercepts about that, in the units of the ratings.
    user_factors_, item_factors_ : ndarray, shape (n_users, rank) and (n_items, rank)
        Posterior means. Those of users are on the scale of a variance of one; a prediction is
        ``intercept_ + user_bias_[i] + item_bias_[j] + user_factors_[i] @ item_factors_[j]``.
    noise_ : float
        Standard deviation of the noise of a rating of average weight.
    status_ : Status
        APPROXIMATE if held-out ratings are predicted better than by means of users and items,
        beyond chance, and intervals cover them; STALLED if not; MAX_ITER or STOPPED if sweeps did
        not end by themselves.
    message_ : str
        How held-out ratings were predicted; why the fit ended so, and what to do about it.
    certificate_ : Prediction
        The evidence: errors on held-out ratings against those of means, and the share of them that
        lies in 95 % intervals.
    held_out_error_ : float
        Root mean square error on them, of the same predictor before it has seen them.
    n_iter_ : int
        Sweeps over the ratings.
    notes_ : tuple of str
        What one should know of how a file was read the last time.
    column_names_ : tuple of two str
        What users and items are called in the frame or file that ``fit`` was given, and are in
        rankings; user and item where they have no names.

    Raises
    ------
    ValueError, TypeError
        In ``fit``: if ratings are not finite, fewer than two, or not as many as users and items;
        if labels are missing, or of several types; if a parameter cannot be right.

    Warns
    -----
    RecoveryWarning
        In ``fit``, unless ``status_`` is APPROXIMATE.

    See Also
    --------
    leanrank.posterior : Joint draws of a whole matrix, by sampling, where that is small enough.
    leanrank.LowRankImputer : The same for tables whose columns have units of their own.

    Notes
    -----
    Labels are of any type that can be hashed, and all of one: 1 and "1" are hardly meant to be
    two users. Ratings are sorted first, so that the order in which they come does not matter.

    Where more ratings come in later, ``fold_in`` solves for one new user, and ``partial_fit`` takes
    them in for all. A fit keeps its ratings for that, and for ``exclude_seen``: 12 bytes each, or
    20 with weights, and of more than a million, which are kept in single precision, 8 or 12; beside
    12 bytes for each of ``rank_`` + 2 numbers of each user and item. Of ratings that do not fit in
    memory ``fit`` takes what :func:`leanrank.io.stored_entries` leaves in a folder, and refers to
    that; with ``memory_limit``, a file, of which nothing is kept.

    As scikit-learn's regressors it takes pairs and their ratings, too, ``fit(X, y)`` with X of two
    columns, which is what ``cross_val_score`` and ``GridSearchCV`` cut into parts.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> taste, kind = rng.normal(size=(200, 2)), rng.normal(size=(2, 100))
    >>> users, items = rng.integers(0, 200, 6000), rng.integers(0, 100, 6000)
    >>> liking = 3.0 + 0.5 * (taste @ kind)[users, items]
    >>> model = MatrixFactorization(min_value=1, max_value=5)
    >>> model.fit(users, items, liking + rng.normal(0.0, 0.3, 6000)).status_
    <Status.APPROXIMATE: 'approximate'>
    >>> low, high = model.predict_interval([7, 8], [5, 5])
    >>> model.recommend([7], n=3).items.shape
    (3,)
    """

    def __init__(
        self,
        rank: int | None = None,
        *,
        width: int | None = None,
        intercepts: bool | str = "auto",
        validation: float | None = None,
        min_value: float | None = None,
        max_value: float | None = None,
        duplicates: str = "mean",
        memory_limit: int | None = None,
        checkpoint: PathLike | None = None,
        time_limit: float | None = None,
        n_jobs: int | None = None,
        callbacks: Iterable[Callable[[Progress], bool | None]] = (),
        random_state: Any = 0,
    ) -> None:
        self.rank = rank
        self.width = width
        self.intercepts = intercepts
        self.validation = validation
        self.min_value = min_value
        self.max_value = max_value
        self.duplicates = duplicates
        self.memory_limit = memory_limit
        self.checkpoint = checkpoint
        self.time_limit = time_limit
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.random_state = random_state

    def fit(
        self,
        users: Any,
        items: Any = None,
        ratings: Any = None,
        sample_weight: Any = None,
        *,
        columns: tuple[Any, ...] | None = None,
    ) -> Self:
        """Find intercepts and factors.

        Parameters
        ----------
        users, items : array-like, shape (m,)
            Labels: integers, strings, tuples, or any other hashable type.
        ratings : array-like, shape (m,)
        sample_weight : array-like, shape (m,), optional
            Inverse variances of the noise up to a constant. Zero is as good as missing.
        columns : tuple, optional
            Names of users, items and ratings, and perhaps weights, in a frame or file. By default
            those that are named so or alike, or the first three where there are three.

        Returns
        -------
        MatrixFactorization
            Itself.

        Notes
        -----
        Instead of three columns: ``fit(frame, columns=("who", "what", "stars"))`` takes a frame of
        pandas, polars or PyArrow, and ``fit(path)`` a file of any kind that
        :func:`leanrank.io.read_ratings` reads, or what that has read; ``fit(matrix)`` takes the
        stored entries of a SciPy sparse matrix, zeros included, by the numbers of their rows and
        columns; ``fit(X, y)`` takes pairs and ratings. ``fit(collection)`` of a Dask DataFrame or
        array leaves the ratings with the workers of the current ``distributed.Client``, which do
        the sweeps; the answer does not depend on how many there are.
        """
        checked_parameters(self)
        sorting = self.memory_limit is not None and isinstance(users, str | os.PathLike)
        if sorting or isinstance(users, StoredEntries) or is_dask(users):
            check_alone(users, items, ratings, sample_weight, columns)
        if isinstance(users, StoredEntries):
            return self._fit_stored(users)
        if is_dask(users):
            return self._fit_shared(users, columns)
        if sorting:
            with tempfile.TemporaryDirectory() as folder:
                chosen = checked_columns(columns)
                self._fit_stored(
                    stored_entries(
                        users, folder, *chosen, memory_limit=self.memory_limit,
                        duplicates=self.duplicates,  # type: ignore[arg-type]
                    )
                )  # fmt: skip
                self._seen = None  # gone with the folder
            return self
        given, self.notes_, self.column_names_ = ratings_given(
            users, items, ratings, sample_weight, columns
        )
        self._weight_unit = 1.0 if given.weights is None else float(np.mean(given.weights))
        unit = given.typical_size()
        given = given.weighted(1.0 / self._weight_unit).scaled(1.0 / unit)
        labels, entries = (given.users, given.items), given.entries(self.duplicates)
        del given  # as large as the entries
        return self._fit_all(*labels, entries, unit)

    def partial_fit(
        self,
        users: Any,
        items: Any = None,
        ratings: Any = None,
        sample_weight: Any = None,
        *,
        columns: tuple[Any, ...] | None = None,
    ) -> Self:
        """Take in further ratings, by known and new users of known and new items.

        One more sweep over all ratings, old and new, from where the last one ended; users first,
        so that new items find users that are solved already. Where the ratings are half as many
        again as those of the last whole fit, all is chosen anew, as by ``fit``; in between, rank,
        intervals, ``held_out_error_`` and ``certificate_`` stay those of that fit. Batch after
        batch comes to nearly the same predictions as ``fit`` on all.

        Parameters
        ----------
        users, items, ratings, sample_weight, columns
            As in :meth:`fit`, weights in the unit of the first ones. A rating of a pair that was
            rated before counts as a duplicate.

        Returns
        -------
        MatrixFactorization
            Itself.

        Raises
        ------
        ValueError
            If this model was saved without its ratings, or fitted to ratings on disk or on a
            cluster.
        """
        if not hasattr(self, "_model"):
            return self.fit(users, items, ratings, sample_weight, columns=columns)
        checked_parameters(self)
        model, seen = self._model, self._ratings_kept()
        if isinstance(seen, StoredEntries):
            raise ValueError("ratings on disk cannot be added to: fit all")  # noqa: TRY004
        new, self.notes_, _ = ratings_given(users, items, ratings, sample_weight, columns)
        new = new.weighted(1.0 / self._weight_unit).scaled(1.0 / model.unit)
        old = LabelledRatings.of_entries(model.users.labels, model.items.labels, seen)
        both, *places = old.joined(new)
        entries = both.entries(self.duplicates)
        if entries.size >= _ANEW * self._fitted_to:
            return self._fit_all(both.users, both.items, entries, model.unit)
        users = model.users.among(both.users, places[0])
        items = model.items.among(both.items, places[1])
        with one_blas_thread():
            self._keep(model.updated(users, items, entries, threads_of(self.n_jobs)), entries)
        self.n_iter_ += 1
        return self

    def _fit_shared(self, source: Any, columns: tuple[Any, ...] | None) -> Self:
        """Fit to ratings that the workers of a cluster hold, and keep holding."""
        from leanrank.cluster import shared_entries  # which asks for Dask

        users, items, entries = shared_entries(source, columns, duplicates=self.duplicates)
        self.notes_, self._weight_unit = (), 1.0
        self.column_names_ = names_for(columns or ())
        self._fit_all(users, items, entries, 1.0)
        self._seen = None  # not here
        return self

    def _fit_stored(self, stored: StoredEntries) -> Self:
        """Choose and fit everything, block by block from a folder."""
        entries = EntriesOnDisk.open(stored.folder, stored.shape[1])
        users, items = (Labels.of(labels) for labels in (stored.row_labels, stored.col_labels))
        self.notes_, self._weight_unit = notes_of(stored), 1.0
        self.column_names_ = names_for(stored.names)
        return self._fit_all(users, items, entries, 1.0, stored)

    def _fit_all(
        self,
        users: Labels,
        items: Labels,
        entries: Blocks,
        unit: float,
        stored: StoredEntries | None = None,
    ) -> Self:
        """Choose and fit everything; ratings were divided by ``unit``."""
        if entries.size < 2:
            raise ValueError("ratings must be of at least two pairs of a user and an item, got one")
        most = min(entries.shape)
        if self.rank is not None:
            _checks.whole_number(self.rank, "rank", least=1, most=most)
        found, weight = factorised(self, entries)
        model = RatingModel.of(users, items, unit, found)
        self._keep(replace(model, noise=weight * model.noise), stored or entries)
        self._fitted_to = entries.size
        self.status_, self.message_ = verdict(found, unit)
        self.certificate_, self.held_out_error_ = found.prediction, unit * found.held_out_error
        self.n_iter_ = found.sweeps
        if self.status_ is not Status.APPROXIMATE:
            warn_caller(f"{self.status_.name}: {self.message_}", RecoveryWarning)
        return self

    def _keep(self, model: RatingModel, seen: Any) -> None:
        """The model, the ratings that it has seen, and the attributes that tell what it is."""
        self._model, self._seen = model, seen
        k = self.rank_ = model.layout.width
        self.users_, self.items_ = model.users.labels.values, model.items.labels.values
        self.intercept_ = sum(model.offsets)
        self.user_bias_, self.item_bias_ = model.biases()
        self.user_factors_ = model.users.mean[:, :k]
        self.item_factors_ = model.unit * model.items.mean[:, :k]
        self.noise_ = model.unit * float(np.sqrt(model.noise))

    def save(self, path: PathLike, *, ratings: bool = True) -> None:
        """Write the model to an ``.npz``, whole or not at all, without pickle.

        Parameters
        ----------
        path : path
        ratings : bool
            Whether the ratings that it has seen are written, too: :meth:`recommend` needs them to
            leave out what was seen, and :meth:`partial_fit`.

        Raises
        ------
        FileError
            If the file cannot be written.
        TypeError
            If labels are neither numbers nor strings.
        """
        model, told = self._fitted(), {name: getattr(self, name) for name in _TOLD}
        seen = self._seen if _checks.flag(ratings, "ratings") else None
        if isinstance(seen, StoredEntries):  # they are in a folder of their own
            seen = None
        save_fit(path, SavedFit(model, seen, self.get_params(), told))

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """A model from a file of :meth:`save`; without its callbacks.

        Raises
        ------
        FileError
            If the file cannot be read, or holds something else.
        """
        found = load_fit(path)
        try:
            loaded = cls(**found.parameters)
            checked_parameters(loaded)
        except (TypeError, ValueError) as error:
            raise FileError(f"{path}: does not hold a whole model ({error})") from None
        for name in _TOLD:
            setattr(loaded, name, found.told[name])
        loaded._keep(found.model, found.entries)
        return loaded

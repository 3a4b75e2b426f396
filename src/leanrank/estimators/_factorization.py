r"""MatrixFactorization: long lists of ratings in, predictions for pairs and the best items out.

.. math:: y_{ij} = b_i + c_j + u_i^\top v_j + \varepsilon_{ij}

Factors have priors whose variances are learnt, so that the data empty those that they do not need
(:mod:`leanrank.posterior`); sweeps over the ratings solve users and items in turn
(:mod:`leanrank.search.factorising`). Nothing of the size of all users times all items is formed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Self

import numpy as np

from leanrank import _checks
from leanrank._files import FileError, PathLike
from leanrank._threads import one_blas_thread
from leanrank.estimators._arguments import RecoveryWarning
from leanrank.estimators._predicting import RatingPredictor
from leanrank.estimators._rating_model import RatingModel
from leanrank.estimators._ratings import Ratings, ratings_given
from leanrank.estimators._saved_ratings import SavedFit, load_fit, save_fit
from leanrank.policy import EvidencePolicy
from leanrank.posterior import Entries
from leanrank.results import Status
from leanrank.search.factorising import Factorisation, Progress, factorise

__all__ = ["MatrixFactorization"]

_ANEW = 1.5
"""Ratings over those of the last whole fit, from which on ``partial_fit`` is one, too."""


_EVIDENCE = EvidencePolicy(predicted=1.0)
"""Factors are to predict better than means beyond chance, not by a tenth as elsewhere: what they
add to those of users and items, which are part of the answer here, is a few hundredths of the error
on most ratings."""

_FEW, _ENOUGH = 500, 25
"""Ratings below which more are held out than elsewhere, and how many: a 95 % interval takes 19."""

_CENTRED = 0.1
"""Mean of ratings over their standard deviation, up to which it is about zero."""

_TOLD = (
    "status_", "message_", "certificate_", "held_out_error_", "n_iter_", "notes_",
    "_fitted_to", "_weight_unit",
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
    time_limit : float, optional
        Seconds after which ``fit`` settles for what it has.
    n_jobs : int, optional
        Threads; all cores by default and with -1. The answer does not depend on it.
    callbacks : iterable of callables
        Called with a :class:`~leanrank.search.factorising.Progress` after every sweep; True stops.
    random_state : int, Generator, RandomState or None
        Chooses the ratings to hold out. The same seed gives the same answer.

    Attributes
    ----------
    users_, items_ : ndarray, shape (n_users,) and (n_items,)
        Labels, sorted where they can be: int64, float64 or objects.
    rank_ : int
        Number of factors.
    intercept_ : float
        Mean over users and items; zero without intercepts.
    user_bias_, item_bias_ : ndarray, shape (n_users,) and (n_items,)
        Intercepts about that, in the units of the ratings.
    user_factors_, item_factors_ : ndarray, shape (n_users, rank_) and (n_items, rank_)
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
    them in for all. A fit keeps its ratings for that, and for ``exclude_seen``: 12 bytes each, 20
    with weights, beside 12 bytes for each of ``rank_`` + 2 numbers of each user and item.

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
        columns; ``fit(X, y)`` takes pairs and ratings.
        """
        self._check_parameters()
        given, notes = ratings_given(users, items, ratings, sample_weight, columns)
        self._weight_unit = 1.0 if given.weights is None else float(np.mean(given.weights))
        given = given.weighted(1.0 / self._weight_unit)
        unit, self.notes_ = given.typical_size(), notes
        return self._fit_all(given.scaled(1.0 / unit), unit)

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
            If this model was saved without its ratings.
        """
        if not hasattr(self, "_model"):
            return self.fit(users, items, ratings, sample_weight, columns=columns)
        self._check_parameters()
        model = self._model
        new, self.notes_ = ratings_given(users, items, ratings, sample_weight, columns)
        old = Ratings.of_entries(model.users.labels, model.items.labels, self._ratings_kept())
        new = new.weighted(1.0 / self._weight_unit).scaled(1.0 / model.unit)
        both, *places = old.joined(new)
        entries = both.entries(self.duplicates)
        if entries.size >= _ANEW * self._fitted_to:
            return self._fit_all(both, model.unit, entries)
        users = model.users.among(both.users, places[0])
        items = model.items.among(both.items, places[1])
        with one_blas_thread():
            self._keep(model.updated(users, items, entries, self._threads()), entries)
        self.n_iter_ += 1
        return self

    def _fit_all(self, given: Ratings, unit: float, entries: Entries | None = None) -> Self:
        """Choose and fit everything; ratings were divided by ``unit``."""
        entries = given.entries(self.duplicates) if entries is None else entries
        if entries.size < 2:
            raise ValueError("ratings must be of at least two pairs of a user and an item, got one")
        most = min(entries.shape)
        if self.rank is not None:
            _checks.whole_number(self.rank, "rank", least=1, most=most)
        # Where sweeps start, a weight of one is that of an average rating.
        weight = float(np.mean(entries.weights)) if entries.weights.size else 1.0
        found = self._factorised(replace(entries, weights=entries.weights / weight))
        model = RatingModel.of(given.users, given.items, unit, found)
        self._keep(replace(model, noise=weight * model.noise), entries)
        self._fitted_to = entries.size
        self.status_, self.message_ = _verdict(found, unit)
        self.certificate_, self.held_out_error_ = found.prediction, unit * found.held_out_error
        self.n_iter_ = found.sweeps
        if self.status_ not in (Status.APPROXIMATE, Status.CONVERGED):
            warnings.warn(f"{self.status_.name}: {self.message_}", RecoveryWarning, stacklevel=3)
        return self

    def _factorised(self, entries: Entries) -> Factorisation:
        callbacks = _checks.functions(self.callbacks, "callbacks")
        return factorise(
            entries,
            rank=self.rank,
            width=self.width,
            intercepts=self._with_intercepts(entries.y),
            held_out=self._share(entries.size),
            threads=self._threads(),
            time_limit=self.time_limit,
            watch=lambda progress: any([callback(progress) for callback in callbacks]),
            rng=_checks.generator(self.random_state),
        )

    def _with_intercepts(self, y: np.ndarray) -> bool | None:
        """None where held-out ratings are to decide: only those about zero can do without."""
        if self.intercepts != "auto":
            return bool(self.intercepts)
        return None if abs(float(y.mean())) <= _CENTRED * float(y.std()) else True

    def _share(self, m: int) -> float | None:
        """Share of m ratings to hold out: of few so many that 95 % intervals are bounded."""
        if self.validation is not None or m >= _FEW:
            return self.validation
        return min(_ENOUGH / m, 0.2)

    def _keep(self, model: RatingModel, entries: Entries | None) -> None:
        """The model and the attributes that tell what it is."""
        self._model, self._entries = model, entries
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
        entries = self._entries if _checks.flag(ratings, "ratings") else None
        save_fit(path, SavedFit(model, entries, self.get_params(), told))

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
            loaded._check_parameters()
        except (TypeError, ValueError) as error:
            raise FileError(f"{path}: does not hold a whole model ({error})") from None
        for name in _TOLD:
            setattr(loaded, name, found.told[name])
        loaded._keep(found.model, found.entries)
        return loaded

    def _threads(self) -> int:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return (cores or 1) if self.n_jobs in (None, -1) else int(self.n_jobs)

    def _check_parameters(self) -> None:
        for name in ("width", "n_jobs"):
            value = getattr(self, name)
            if value is not None and not (name == "n_jobs" and value == -1):
                _checks.whole_number(value, name, least=1)
        if self.rank is not None:
            _checks.whole_number(self.rank, "rank", least=1)
        if self.intercepts != "auto":
            _checks.flag(self.intercepts, "intercepts")
        if self.validation is not None:
            _checks.real_number(self.validation, "validation", above=0, most=0.5)
        if self.duplicates not in ("mean", "error"):
            raise ValueError(f'duplicates must be "mean" or "error", got {self.duplicates!r}')
        if self.time_limit is not None:
            _checks.real_number(self.time_limit, "time_limit", above=0)
        low, high = (
            None if x is None else _checks.real_number(x, name)
            for x, name in ((self.min_value, "min_value"), (self.max_value, "max_value"))
        )
        if low is not None and high is not None and not low < high:
            raise ValueError(f"min_value must be below max_value, got {low:g} and {high:g}")


def _verdict(found: Factorisation, unit: float) -> tuple[Status, str]:
    """How a fit ended, and what that means, in the units of the ratings."""
    told, error = found.prediction, unit * found.held_out_error
    of_means = told.baseline * (error / told.error) if told.error > 0 else told.baseline * unit
    text = (
        f"{told.size} held-out ratings are missed by {error:.3g} (means of users and items miss "
        f"them by {of_means:.3g})"
    )
    if told.coverage is not None:
        text += f", and {told.coverage:.0%} of them lie in their 95 % intervals"
    reasons = told.reasons(_EVIDENCE)
    if found.status is Status.STOPPED:
        return Status.STOPPED, f"stopped after {found.sweeps} sweeps; {text}"
    if reasons:
        return Status.STALLED, f"{text}; {'; '.join(reasons)}"
    if found.status is Status.MAX_ITER:
        return (
            Status.MAX_ITER,
            f"more sweeps than {found.sweeps} would predict still better; {text}",
        )
    return Status.APPROXIMATE, text

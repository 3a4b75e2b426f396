r"""QuadraticNetworkRegressor: one hidden layer of squared units, as many as the data support.

The outputs of such a network are linear in :math:`X = \sum_j u_j u_j^\top`:

.. math:: y_i = \sum_j (x_i^\top u_j)^2 + b = \langle x_i x_i^\top, X\rangle + b,

so that :func:`leanrank.recover` finds X, and with it the number of neurons. The intercept b is
eliminated by :class:`~leanrank.operators.Centred`, which is exact: the fit is that of least
squares over neurons and intercept together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from leanrank import _checks, initial
from leanrank._threads import one_blas_thread
from leanrank._warn import warn_caller
from leanrank.estimators._arguments import RecoveryWarning, check_fit_options, row_weights
from leanrank.estimators._corrected import default_penalty, prune_corrected
from leanrank.evidence import (
    check_certificate,
    noise_level,
    virtual_columns,
)
from leanrank.factors import Factors, degrees_of_freedom
from leanrank.operators import Centred, Measurement, RankOneSensing
from leanrank.penalties import GroupLasso, Ridge
from leanrank.policy import EvidencePolicy
from leanrank.problem import Problem, exact_tolerance, measurement_scale
from leanrank.recover import recover
from leanrank.results import History, Result, Status
from leanrank.solvers import Deadline

__all__ = ["QuadraticNetworkRegressor"]


class QuadraticNetworkRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    r"""Regression by a sum of squared projections, the number of neurons found from the data.

    The model is :math:`\hat y = \sum_j (x^\top u_j)^2 + b`: a network with one hidden layer,
    quadratic activations and output weights of one. Features are not centred, since the model
    has no linear term: append a constant feature where it should have one.

    Parameters
    ----------
    n_neurons : int, optional
        Number of neurons, if it is known; fewer where fewer fit exactly. By default it is found.
    width : int, optional
        Largest number of neurons to consider. By default as many as the samples can determine,
        or with ``penalty`` or ``correction`` as many as there are features.
    fit_intercept : bool
        Whether there is a constant b, of either sign.
    penalty : GroupLasso or Ridge, optional
        Solve the problem with this penalty at full ``width``, prune and refit without it, instead
        of choosing by held-out samples. It acts on the neurons, in the units of
        :math:`\sqrt y / x`; features are then left in their units.
    correction : bool
        Subtract :math:`(\sum_j |u_j|^2 - \bar y)^2` from the penalised loss (eq. 348 of Rajaraman
        et al., 2023, which prints the penalty without its strength). For standard normal features
        that is what the trace of X adds to it. Needs a
        :class:`~leanrank.penalties.GroupLasso`, or takes one that fits standard normal features.
        Kept for comparison: it needs more samples than the loss itself, on few it is unbounded
        from below, and ``fit_intercept=True`` removes the trace without that fault.
    validation : float, optional
        Share of the samples to hold out for the choice of the number of neurons; see
        :func:`leanrank.recover`.
    max_iter : int
        Largest number of steps of the last fit.
    time_limit : float, optional
        Seconds after which ``fit`` settles for the best network so far.
    random_state : int, Generator, RandomState or None
        The same seed gives the same answer.
    on_failure : {"warn", "raise", "ignore"}
        What to do where the status is not CONVERGED: give a
        :class:`~leanrank.RecoveryWarning`, raise :class:`~leanrank.RecoveryError`, or
        leave it to the caller to look at ``status_``.

    Attributes
    ----------
    neurons_ : ndarray, shape (rank, n_features)
        Orthogonal, the longest first. The data determine neurons up to an orthogonal mixing
        among them, which changes no output; these are the principal axes of X.
    rank_ : int
        Number of neurons.
    intercept_ : float
        b; zero without ``fit_intercept``.
    status_ : Status
        CONVERGED only if the certificate holds.
    message_ : str
        Why the fit ended so, and what to do about it.
    certificate_ : Certificate or None
        How far to trust X, for features of unit mean square and without those that are zero.
        None if the fit was stopped, or the samples determine no network at all.
    result_ : Result
        Of the recovery of that X.
    n_iter_ : int
        Iterations over all phases of the recovery.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where ``fit`` was given column names.

    Raises
    ------
    ValueError, TypeError
        If X or y are not finite, not real, or do not fit together, or if a parameter cannot be
        right.
    RecoveryError
        In ``fit`` with ``on_failure="raise"``.

    See Also
    --------
    leanrank.recover : The same for measurements of any kind.
    leanrank.research.solvers.RescaledGradientDescent : The descent of Li, Ma and Zhang (2018).

    Notes
    -----
    X is positive semi-definite: outputs less b are never negative. Where y falls along a
    direction of the features no network of this form fits it: the status is STALLED, and the
    message says so. If all of it falls, fit ``-y``. If squares count with both signs, with x for
    the features ``recover(Centred(RankOneSensing(x, x)), y - y.mean())`` finds them: of its X the
    symmetric part is what the data determine, the rest is free, and its certificate says so by
    not holding. With fewer samples than one neuron has
    unknowns the prediction is the mean of y (zero without intercept), with ``rank_`` 0 and the
    status STALLED; so it is where y is constant on samples that would not tell of a neuron. A pass
    costs m d k for m samples, d features and k neurons; no d x d matrix is formed for any sample.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, neurons = rng.standard_normal((200, 10)), rng.standard_normal((2, 10))
    >>> y = np.sum((X @ neurons.T) ** 2, axis=1) - 7.0
    >>> network = QuadraticNetworkRegressor().fit(X, y)
    >>> network.rank_, round(network.intercept_, 6), network.status_.name
    (2, -7.0, 'CONVERGED')
    """

    def __init__(
        self,
        n_neurons: int | None = None,
        *,
        width: int | None = None,
        fit_intercept: bool = True,
        penalty: GroupLasso | Ridge | None = None,
        correction: bool = False,
        validation: float | None = None,
        max_iter: int = 200,
        time_limit: float | None = None,
        random_state: Any = 0,
        on_failure: str = "warn",
    ) -> None:
        self.n_neurons = n_neurons
        self.width = width
        self.fit_intercept = fit_intercept
        self.penalty = penalty
        self.correction = correction
        self.validation = validation
        self.max_iter = max_iter
        self.time_limit = time_limit
        self.random_state = random_state
        self.on_failure = on_failure

    @one_blas_thread()
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> QuadraticNetworkRegressor:
        """Find the neurons.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
        y : array-like, shape (n_samples,)
        sample_weight : array-like, shape (n_samples,), optional
            Not negative: what squared residuals are multiplied with. Those of weight zero are left
            out. A weight of two fits like a sample that is there twice, but is still one sample
            where those are counted or held out.

        Returns
        -------
        QuadraticNetworkRegressor
            Itself.
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], y_numeric=True)
        self._check_parameters(X.shape[1])
        weight = np.ones(len(y)) if sample_weight is None else row_weights(sample_weight, len(y))
        weight = weight / weight.max()
        used = weight > 0
        X, y, weight = X[used], y[used].astype(np.float64), weight[used] / weight[used].mean()
        scale = _scales(X, unit=self.penalty is not None or self.correction)
        seen = scale > 0
        # In units of its largest value y neither overflows nor underflows.
        unit = _largest(y, X.dtype)
        offset = unit * float(np.average(y / unit, weights=weight)) if self.fit_intercept else 0.0
        # Least squares with weights is that of samples times roots: <x x^T, X> is of degree two.
        root = np.sqrt(weight)
        x = (X[:, seen] / scale[seen] * np.sqrt(root)[:, None]).astype(X.dtype)
        result = self._recover(x, ((y - offset) * root).astype(X.dtype), root)
        neurons = np.zeros((X.shape[1], result.rank), dtype=X.dtype)
        neurons[seen] = result.factors.U / scale[seen, None]
        self.neurons_ = _principal(neurons).T
        self.rank_ = result.rank
        outputs = _outputs(X, self.neurons_)
        mean = float(np.average(outputs, weights=weight))
        self.intercept_ = offset - mean if self.fit_intercept else 0.0
        self.result_, self.status_, self.message_ = result, result.status, result.message
        self.certificate_, self.n_iter_ = result.certificate, result.n_iter
        if self.on_failure == "raise":
            result.raise_if_failed()
        if self.on_failure == "warn" and not result.success:
            warn_caller(f"{result.status.name}: {result.message}", RecoveryWarning)
        return self

    @one_blas_thread()
    def predict(self, X: Any) -> np.ndarray:
        """Outputs of the network.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples,)
            float32 if X is, else float64.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return (_outputs(X, self.neurons_) + self.intercept_).astype(X.dtype)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # A sum of squares cannot follow the linear functions that scikit-learn tests with.
        tags.regressor_tags.poor_score = True
        return tags

    def _check_parameters(self, d: int) -> None:
        """Check here what recover would not get to see, or not under this name."""
        for name in ("fit_intercept", "correction"):
            _checks.flag(getattr(self, name), name)
        if self.n_neurons is not None:
            _checks.whole_number(self.n_neurons, "n_neurons", least=1, most=d)
        check_fit_options(self)
        if self.penalty is not None and not isinstance(self.penalty, (GroupLasso, Ridge)):
            raise TypeError(f"penalty must be GroupLasso or Ridge, got {self.penalty!r}")
        if self.n_neurons is not None and (self.penalty is not None or self.correction):
            raise ValueError("give n_neurons, or a penalty or correction that finds it, not both")
        if self.correction and self.fit_intercept:
            raise ValueError(
                "correction=True needs fit_intercept=False: an intercept already takes the trace "
                "of X out of the loss"
            )
        if self.correction and isinstance(self.penalty, Ridge):
            raise ValueError(f"correction=True needs a GroupLasso penalty, got {self.penalty!r}")

    def _recover(self, x: np.ndarray, y: np.ndarray, root: np.ndarray) -> Result:
        """The matrix X of scaled features, and how it came about."""
        m, d = x.shape
        nothing = Factors.empty((max(d, 1), max(d, 1)), True, x)
        nothing = nothing.with_stacked(nothing.W[:d])
        if d == 0:
            message = "every feature is zero: nothing but an intercept can be fitted"
            return Result(nothing, Status.STALLED, message, None, History())
        least = degrees_of_freedom((d, d), 1, symmetric=True) + int(self.fit_intercept)
        if m < least:
            message = (
                f"{m} samples are fewer than the {least} unknowns of a network with one neuron on "
                f"{d} features: predictions are constant; take more samples or fewer features"
            )
            return Result(nothing, Status.STALLED, message, None, History())
        op = RankOneSensing(x)
        centred = Centred(op, root)
        seen: Measurement = centred if self.fit_intercept else op
        if not np.any(y):
            return self._constant(seen, y)
        result = self._corrected(centred, y) if self.correction else self._run(seen, y)
        if result.status is Status.STALLED and self._falls(seen, y, result.factors):
            call = "RankOneSensing(X, X), y"
            if self.fit_intercept:
                call = "Centred(RankOneSensing(X, X)), y - y.mean()"
            message = (
                "; the residual falls along a direction of the features by more than noise "
                "would, which no sum of squares does: if y is minus one, fit -y; squares with "
                f"both signs are fitted by leanrank.recover({call})"
            )
            return replace(result, message=result.message + message)
        return result

    def _constant(self, op: Measurement, y: np.ndarray) -> Result:
        """No neuron, and whether the samples would have shown one, drawn at random."""
        result = self._run(op, y)
        neuron = initial.gaussian(op.shape, 1, symmetric=True, reference=y, random_state=0)
        shown = check_certificate(op, op.forward(neuron), neuron)
        what = "y is constant" if self.fit_intercept else "y is zero"
        if shown.holds:
            return replace(result, message=f"{what}: no neuron is needed")
        message = f"{what}, but these samples would not tell of a neuron: {shown.reasons[0]}"
        return replace(result, status=Status.STALLED, message=message, certificate=None)

    def _run(self, op: Measurement, y: np.ndarray) -> Result:
        d = op.shape[0]
        width = d if self.width is None and self.penalty is not None else self.width
        return recover(
            op,
            y,
            symmetric=True,
            rank=None if self.n_neurons is None else min(self.n_neurons, d),
            width=None if width is None else min(width, d),
            penalty=self.penalty,
            validation=self.validation,
            max_iter=self.max_iter,
            time_limit=self.time_limit,
            random_state=_checks.generator(self.random_state),
        )

    def _corrected(self, op: Centred, y: np.ndarray) -> Result:
        rng, d = _checks.generator(self.random_state), op.shape[0]
        penalty = default_penalty(op, y, rng) if self.penalty is None else self.penalty
        assert isinstance(penalty, GroupLasso)
        return prune_corrected(
            op,
            y,
            penalty,
            width=d if self.width is None else min(self.width, d),
            max_iter=self.max_iter,
            callbacks=() if self.time_limit is None else (Deadline(self.time_limit),),
            rng=rng,
        )

    def _falls(self, op: Measurement, y: np.ndarray, factors: Factors) -> bool:
        """Whether a neuron of output weight -1 would lower the loss more than noise explains."""
        scale = measurement_scale(op, y)
        problem = Problem(op, y / scale)
        point = problem.evaluate(factors.scaled(1.0 / scale))
        if point.loss <= exact_tolerance(y) ** 2:
            return False
        rng = _checks.generator(0)
        down = problem.gradient_matrix(-point.residual)
        strength = float(virtual_columns(down, point.factors, rng)[1][0])
        return strength > EvidencePolicy().structure * noise_level(problem, point, rng)


def _largest(y: np.ndarray, dtype: np.dtype) -> float:
    """Largest magnitude of y, which features of that dtype can give; 1 if y is zero."""
    largest = float(np.max(np.abs(y))) or 1.0
    # Less its mean y can be twice as large.
    if not float(np.finfo(dtype).tiny) <= largest <= float(np.finfo(dtype).max) / 2:
        remedy = "scale y, or pass X as float64" if dtype == np.float32 else "scale y"
        raise ValueError(
            f"y must be in the range of {dtype}, the dtype of X: its largest magnitude is "
            f"{largest:.3g}; {remedy}"
        )
    return largest


def _scales(X: np.ndarray, *, unit: bool) -> np.ndarray:
    """Root mean squares of the columns, or ones with ``unit``; zero where a column is."""
    peak = np.max(np.abs(X), axis=0).astype(np.float64)
    safe = np.where(peak > 0, peak, 1.0)
    if unit:
        return np.asarray(peak > 0, dtype=np.float64)
    return peak * np.sqrt(np.mean((X / safe) ** 2, axis=0, dtype=np.float64))


def _principal(neurons: np.ndarray) -> np.ndarray:
    """The same X by orthogonal columns, decreasing in norm, their largest entries positive."""
    if neurons.shape[1] == 0:
        return neurons
    left, s, _ = np.linalg.svd(neurons, full_matrices=False)
    signs = np.sign(left[np.argmax(np.abs(left), axis=0), np.arange(s.size)])
    return left * (s * signs)


def _outputs(X: np.ndarray, neurons: np.ndarray) -> np.ndarray:
    """Outputs without the intercept, summed in double precision."""
    return np.asarray(np.sum((X @ neurons.T) ** 2, axis=1, dtype=np.float64))

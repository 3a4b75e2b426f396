"""From the entries of a centred and scaled table to what completes its rows, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from leanrank.estimators._choosing import (
    Candidate,
    HeldOut,
    Settings,
    candidates,
    factors,
    held_out,
    means,
    table,
)
from leanrank.estimators._entries import Entries
from leanrank.estimators._missingness import missing_by_others, missing_by_size
from leanrank.estimators._recovery import nothing, recover_table
from leanrank.estimators._row_model import Chain, FactorChain, FactorRows, Rows
from leanrank.estimators._rows import ExactRows, along_axes
from leanrank.evidence import Certificate, Prediction, certify, of_shrunk
from leanrank.factors import Factors, degrees_of_freedom
from leanrank.operators import ObservedEntries
from leanrank.policy import EvidencePolicy
from leanrank.posterior import State
from leanrank.problem import Problem
from leanrank.results import History, Result, Status
from leanrank.search import StopRun
from leanrank.solvers import Callback, GaussNewton, solve
from leanrank.solvers import State as SolverState

__all__ = ["Fitted", "Watch", "fit_table"]

_PINNED_DOWN = 0.15
"""Relative uncertainty of the components up to which the certificate may hold."""

_STEPS = 30
"""Of Gauss-Newton to where the prior does not count, at most."""

_EXACT = 1e-3
"""Noise level of columns of unit variance below which a table may be exactly of low rank."""

Runner = Callable[[Entries, int | None, Callback], Result]
"""Recovers the matrix of some entries, of a rank if it is given, unless the callback stops it."""


@dataclass(frozen=True)
class Fitted:
    """What a table came to, in scaled units.

    Attributes
    ----------
    result : Result
    rows : Rows
        What completes missing entries.
    factors : FactorRows or ExactRows
        What observed entries are without their noise.
    loadings : ndarray, shape (p, rank)
        Of the factors; orthogonal columns.
    chain : Chain or None
        Draws of the parameters; None where they are known exactly.
    scores : ndarray or None
        Sorted misses of held-out entries over their deviations.
    sweeps : int
        Over the entries, by factors and covariances, and iterations of the recovery.
    """

    result: Result
    rows: Rows
    factors: FactorRows | ExactRows
    loadings: np.ndarray
    chain: Chain | None
    scores: np.ndarray | None
    sweeps: int


class Watch:
    """Counts sweeps, remembers the latest factors, and asks callbacks."""

    def __init__(self, entries: Entries, callbacks: tuple[Callback, ...]) -> None:
        self.sweeps = 0
        self.latest: State | None = None
        self._callbacks = callbacks
        self._problem = problem_of(entries) if callbacks else None

    def __call__(self, state: State | None) -> None:
        self.sweeps += 1
        self.latest = state or self.latest
        if self._problem is None or self.latest is None:
            return
        dtype = self._problem.y.dtype
        of = Factors(self.latest.rows.astype(dtype), self.latest.columns.mean.astype(dtype))
        point = self._problem.evaluate(of)
        now = SolverState(point, self.sweeps, float(self.sweeps), phase="posterior")
        if any([callback(now) for callback in self._callbacks]):
            raise StopRun


def problem_of(entries: Entries, shift: np.ndarray | None = None) -> Problem:
    """The recovery of the matrix of these entries, less a number of each column."""
    op = ObservedEntries(entries.rows, entries.cols, entries.shape, dtype=entries.values.dtype)
    y = entries.values
    if shift is not None:
        y = (y - shift[entries.cols]).astype(y.dtype)
    return Problem(op, y, loss=entries.loss)


def fit_table(
    entries: Entries,
    run: Runner,
    settings: Callable[[Watch], Settings],
    *,
    always: bool,
    validation: float | None,
    callbacks: tuple[Callback, ...],
    rng: np.random.Generator,
) -> Fitted:
    """Fit, choose, certify.

    Parameters
    ----------
    entries : Entries
    run : callable
        Recovers the matrix of some entries.
    settings : callable
        The settings, given who watches.
    always : bool
        Whether to recover in any case, and not only where the matrix may be pinned down.
    validation : float, optional
        Share of the entries that is held out at a time.
    callbacks : tuple of callables
    rng : Generator
    """
    if entries.values.size < max(degrees_of_freedom(entries.shape, 1), 1):
        only = means(entries)
        assert isinstance(only.rows, FactorRows)
        return _fitted(nothing(entries), only, None, 0)
    watch = Watch(entries, callbacks)
    chosen = settings(watch)
    try:
        return _fit(entries, run, chosen, watch, always, validation, rng)
    except StopRun:
        why = "stopped by a callback or the time limit; the model so far, not certified"
        state = watch.latest
        best = means(entries)
        if state is not None:
            best = Candidate("factors", FactorRows.of(state), state, FactorChain(state, True))
        result = Result(_factors(best, entries), Status.STOPPED, why, None, History())
        return _fitted(result, best, None, watch.sweeps)


def _fit(
    entries: Entries,
    run: Runner,
    settings: Settings,
    watch: Watch,
    always: bool,
    validation: float | None,
    rng: np.random.Generator,
) -> Fitted:
    recovered, exact, n_iter = _recovered(entries, run, settings, quick=not always)
    if exact is not None:
        assert recovered is not None
        return Fitted(recovered, exact, exact, exact.loadings, None, None, n_iter)
    if always:
        assert recovered is not None
        settings = replace(settings, rank=recovered.rank or None)
    state = factors(entries, settings, rng)
    if recovered is None and np.median(state.noise) < _EXACT**2:
        recovered, exact, n_iter = _recovered(entries, run, settings)
        if exact is not None and recovered is not None:
            n_iter += watch.sweeps
            return Fitted(recovered, exact, exact, exact.loadings, None, None, n_iter)
    held = held_out(entries, settings, validation, rng)
    may_hold = held is not None and not held.correlated and state.uncertainty <= _PINNED_DOWN
    if recovered is None and may_hold:
        recovered, _, n_iter = _recovered(entries, run, settings)
        if recovered is not None and recovered.status is not Status.CONVERGED:
            recovered = None
    empty = always and settings.rank is None
    best = _named("means" if held is None or empty else held.best, entries, settings, rng, state)
    result = _result(entries, best, held, recovered, rng)
    return _fitted(result, best, held, n_iter + watch.sweeps)


def _recovered(
    entries: Entries, run: Runner, settings: Settings, *, quick: bool = False
) -> tuple[Result | None, ExactRows | None, int]:
    """What recover makes of a table; if it is to be quick, only where that is an exact fit."""
    stopped = []

    def enough(state: SolverState) -> bool:
        if quick and state.phase in ("penalise", "posterior"):
            stopped.append(state)
        return bool(stopped)

    recovered, exact, n_iter = recover_table(
        entries, lambda part, rank: run(part, rank, enough), settings.rank, settings.center
    )
    if recovered.status is Status.STOPPED and not stopped:
        raise StopRun
    return (None if stopped else recovered), exact, n_iter


def _named(
    name: str, entries: Entries, settings: Settings, rng: np.random.Generator, first: State | None
) -> Candidate:
    """The candidate of a name, fitted to all entries."""
    if name == "means":
        return means(entries)
    return next(c for c in candidates(entries, settings, rng, first=first) if c.name == name)


def _fitted(result: Result, best: Candidate, held: HeldOut | None, sweeps: int) -> Fitted:
    of = best.rows if best.state is None else FactorRows.of(best.state)
    assert isinstance(of, FactorRows)
    scores = None if held is None else held.scores
    return Fitted(result, best.rows, of, along_axes(of.loadings), best.chain, scores, sweeps)


def _factors(best: Candidate, entries: Entries) -> Factors:
    """Posterior means without the columns' means."""
    like = entries.values
    if best.state is None:
        return Factors.empty(entries.shape, False, like)
    inside, state = slice(0, best.state.width), best.state
    found = Factors(
        state.rows[:, inside].astype(like.dtype), state.columns.mean[:, inside].astype(like.dtype)
    )
    # Of a fixed rank the data may empty all columns.
    return found if found.norm() > 0 else Factors.empty(entries.shape, False, like)


def _result(
    entries: Entries,
    best: Candidate,
    held: HeldOut | None,
    recovered: Result | None,
    rng: np.random.Generator,
) -> Result:
    """Status, message and certificate of a table that is not exactly of low rank."""
    prediction = None if held is None else held.prediction
    result = recovered
    if result is None or (result.status is not Status.CONVERGED and result.rank != _width(best)):
        result = _certified(entries, best, prediction, rng)
    certificate = result.certificate
    assert certificate is not None
    looked_at = certificate.prediction
    if looked_at is not None and prediction is not None:
        prediction = replace(prediction, in_hole=looked_at.in_hole, apart=looked_at.apart)
    notes = _missingness(entries, best, held)
    error = certificate.held_out_error if prediction is None else prediction.error
    certificate = replace(
        certificate,
        prediction=prediction,
        held_out_error=error,
        notes=certificate.notes + notes,
    )
    status, told = result.status, [result.message]
    if status is not Status.CONVERGED:
        status, told = _judged(best, prediction, certificate)
    if prediction is not None:
        told.insert(0, str(prediction))
    return replace(
        result, status=status, message="; ".join([*told, *notes]), certificate=certificate
    )


def _width(best: Candidate) -> int:
    return 0 if best.state is None else best.state.width


def _certified(
    entries: Entries, best: Candidate, prediction: Prediction | None, rng: np.random.Generator
) -> Result:
    """The factors of a candidate as a result."""
    found, shift, change = _factors(best, entries), None, None
    if best.state is not None:
        shift, change = FactorRows.of(best.state).mean, best.state.change
    problem = problem_of(entries, shift)
    certificate = certify(problem, found, rng, prediction=prediction, change=change)
    if certificate.holds and change is not None:
        plain = solve(GaussNewton(), problem, found, max_iter=_STEPS).factors
        if not certify(problem, plain, rng).holds:
            certificate = of_shrunk(certificate)
    status = Status.CONVERGED if certificate.holds else Status.STALLED
    message = "" if not certificate.holds else f"estimated error {certificate.error_estimate:.1e}"
    return Result(found, status, message, certificate, History())


def _judged(
    best: Candidate, prediction: Prediction | None, certificate: Certificate
) -> tuple[Status, list[str]]:
    """What an answer that is not pinned down is worth."""
    if prediction is None:
        return Status.STALLED, ["; ".join(certificate.reasons)]
    policy = EvidencePolicy()
    reasons = prediction.reasons(policy)
    if best.state is None or (best.name == "factors" and best.state.width == 0):
        return Status.STALLED, [
            "columns say nothing of one another that would be found in so few entries, and what "
            "is missing is completed with column means",
            *(reasons if prediction.beats_means(policy) else reasons[1:]),
        ]
    if reasons:
        return Status.STALLED, list(reasons)
    what = f"completed by {_width(best)} component(s)"
    if best.name.startswith("covariance"):
        what += " and the covariance that they leave"
    return Status.APPROXIMATE, [what]


def _missingness(entries: Entries, best: Candidate, held: HeldOut | None) -> tuple[str, ...]:
    """A note where what is missing is not missing at random."""
    Z = table(entries)
    missing = np.isnan(Z)
    others, sizes = missing_by_others(Z), []
    if held is not None and best.state is not None:
        filled = best.rows.complete(Z, np.ones(Z.shape))[0]
        cols = entries.cols[held.index]
        sizes = missing_by_size(filled, missing, cols, held.predicted)
    told = []
    if others:
        j, k = others[0]
        told.append(
            f"where column {j} is missing, column {k} is not as elsewhere ({len(others)} such "
            "pair(s))"
        )
    if sizes:
        j, larger = sizes[0]
        side = "larger" if larger else "smaller"
        told.append(
            f"what is missing of column {j} is predicted to be {side} than what was observed "
            f"({len(sizes)} such column(s))"
        )
    if not told:
        return ()
    return (
        "entries are not missing at random: "
        + ", and ".join(told)
        + "; means, held-out errors and intervals are those of entries like the observed ones",
    )

"""From the entries of a centred and scaled table to what completes its rows, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from leanrank.estimators._choosing import HeldOut, held_out
from leanrank.estimators._entries import Entries
from leanrank.estimators._judging import factors_of, result_of
from leanrank.estimators._mixed import MixedChain, MixedRows
from leanrank.estimators._models import MEANS, Model, Settings, factors, means, model_of
from leanrank.estimators._recovery import nothing, recover_table
from leanrank.estimators._row_model import FactorRows
from leanrank.estimators._rows import ExactRows, along_axes
from leanrank.factors import Factors, degrees_of_freedom
from leanrank.posterior import State
from leanrank.results import History, Result, Status
from leanrank.search import StopRun
from leanrank.solvers import Callback
from leanrank.solvers import State as SolverState

__all__ = ["Fitted", "Watch", "fit_table"]

_PINNED_DOWN = 0.15
"""Relative uncertainty of the components up to which the certificate may hold."""

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
    rows : MixedRows or ExactRows
        What completes missing entries.
    factors : FactorRows or ExactRows
        What observed entries are without their noise.
    loadings : ndarray, shape (p, rank)
        Of the factors; orthogonal columns.
    chain : MixedChain or None
        Draws of the parameters; None where they are known exactly.
    scores : ndarray or None
        Sorted misses of held-out entries over their deviations.
    sweeps : int
        Over the entries, by factors and covariances, and iterations of the recovery.
    """

    result: Result
    rows: MixedRows | ExactRows
    factors: FactorRows | ExactRows
    loadings: np.ndarray
    chain: MixedChain | None
    scores: np.ndarray | None
    sweeps: int


class Watch:
    """Counts sweeps, remembers the latest factors of all rows and what was told, asks callbacks."""

    def __init__(self, entries: Entries, callbacks: tuple[Callback, ...]) -> None:
        self.sweeps = 0
        self.latest: State | None = None
        self.held_out_error: float | None = None
        self._total: float | None = None
        self._callbacks = callbacks
        self._problem = entries.problem() if callbacks else None
        self._n = entries.shape[0]

    def tell(self, held_out_error: float, share: float) -> None:
        """Learn how well entries were predicted that a fit had not seen, and how much is done."""
        self.held_out_error, self._total = held_out_error, self.sweeps / share

    def __call__(self, state: State | None) -> None:
        self.sweeps += 1
        if state is not None and state.rows.shape[0] == self._n:
            self.latest = state
        if self._problem is None or self.latest is None:
            return
        dtype = self._problem.y.dtype
        of = Factors(self.latest.rows.astype(dtype), self.latest.columns.mean.astype(dtype))
        point = self._problem.evaluate(of)
        now = SolverState(
            point,
            self.sweeps,
            float(self.sweeps),
            phase="posterior",
            held_out_error=self.held_out_error,
            share=None if self._total is None else min(self.sweeps / self._total, 0.99),
        )
        if any([callback(now) for callback in self._callbacks]):
            raise StopRun


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
        return _fitted(nothing(entries), means(entries), None, 0)
    watch = Watch(entries, callbacks)
    chosen = settings(watch)
    try:
        return _fit(entries, run, chosen, watch, always, validation, rng)
    except StopRun:
        why = "stopped by a callback or the time limit; the model so far, not certified"
        best = means(entries) if watch.latest is None else Model.of_factors(watch.latest)
        result = Result(factors_of(best, entries), Status.STOPPED, why, None, History())
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
    recovered, exact, n_iter = None, None, 0
    few = entries if always else entries.of_some_rows(rng)[0]
    if few is not entries:
        _, exact, n_iter = _recovered(few, run, settings, quick=True)
    if few is entries or exact is not None:
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
    held = held_out(entries, settings, validation, rng, watch.tell)
    may_hold = held is not None and not held.beyond and state.uncertainty <= _PINNED_DOWN
    if recovered is None and may_hold:
        for part in (entries,) if few is entries else (few, entries):
            recovered, _, n_iter = _recovered(part, run, settings)
            if recovered is None or recovered.status is not Status.CONVERGED:
                recovered = None
                break
    if held is None or (always and settings.rank is None):
        best = means(entries)
    else:
        alone = held.means_alone
        best = means(entries) if alone else model_of(entries, settings, rng, first=state)
        best = best.weighed(held.weights[[MEANS]] if alone else held.weights, held.stretch)
    result = result_of(entries, best, held, recovered, rng)
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


def _fitted(result: Result, best: Model, held: HeldOut | None, sweeps: int) -> Fitted:
    of = best.rows.main if best.state is None else FactorRows.of(best.state)
    assert isinstance(of, FactorRows)
    scores = None if held is None else held.scores
    return Fitted(result, best.rows, of, along_axes(of.loadings), best.draws(), scores, sweeps)

r"""Factorising: many observed entries, by sweeps alone.

Some entries are held out. Width, intercepts and the number of sweeps are chosen by how well these
are predicted (:mod:`leanrank.posterior` has the model and the sweep), and what is reported is
measured on them. The last sweep is over all entries, from where the others ended.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from leanrank import _checks
from leanrank._threads import one_blas_thread
from leanrank.evidence import Prediction
from leanrank.evidence.prediction import NORMAL
from leanrank.policy import Policy
from leanrank.posterior import Blocks, Layout, State, Team, finished, start, sweeps, widened
from leanrank.results import Status
from leanrank.search.holding_out import choose_width, clearly_better

__all__ = ["Factorisation", "Progress", "factorise"]

_WIDTH = 12
"""Columns to begin with: those of most data, and two that are seen to be empty."""
_SWEEPS = 30
"""Of one width, at most."""
_SETTLED = 5e-4
"""Relative fall of the held-out error in one sweep, below which sweeps end."""
_PASSES = 3
"""Over the entries, for the directions to begin with."""
_SPARED = 2
"""Sweeps before columns that the data seem to empty are dropped: they turn first."""
_CLEARLY = 2.0
"""Standard errors by which more columns must predict held-out entries better."""
_EDGE = 1.25
"""Singular value over the edge of noise up to which a column may be noise."""
_MOST_HELD = 100_000
_FEW_HELD = 5_000
_SHARE, _LARGEST_SHARE = 0.02, 0.05


@dataclass(frozen=True)
class Progress:
    """How far sweeps are.

    Attributes
    ----------
    sweep : int
        Number of sweeps so far.
    width : int
        Columns at work.
    held_out_error : float
        Root mean square over the held-out entries, in the units of y.
    share : float
        Share of the work that is done, in (0, 1]; a guess, since sweeps end when they gain
        nothing more.
    """

    sweep: int
    width: int
    held_out_error: float
    share: float


@dataclass(frozen=True)
class Factorisation:
    """What sweeps come to.

    Attributes
    ----------
    state : State
        Posterior means of rows and columns; intercepts are coordinates of both.
    row_variances, column_variances : ndarray of float32, shape (n1, K) and (n2, K)
        Diagonals of the posterior covariances; zero where a coordinate is fixed at one.
    prediction : Prediction
        Held-out entries against what means make of them.
    held_out_error : float
        Root mean square over the held-out entries, in the units of y.
    scores : ndarray, shape (held,)
        Sorted misses of held-out readings in their standard deviations: quantiles of them make
        intervals that cover as many as they say (split conformal prediction).
    status : Status
        APPROXIMATE if held-out entries are predicted clearly better than by means and sweeps ended
        by themselves.
    message : str
    sweeps : int
    """

    state: State
    row_variances: np.ndarray
    column_variances: np.ndarray
    prediction: Prediction
    held_out_error: float
    scores: np.ndarray
    status: Status
    message: str
    sweeps: int

    def deviation(self, rows: np.ndarray, cols: np.ndarray, *, reading: bool = False) -> np.ndarray:
        r"""Standard deviations of entries, or of new readings of them.

        .. math:: \hat s_{ij}^2 = \sum_h u_{ih}^2 \Psi_{jh} + v_{jh}^2 \Sigma_{ih}
            + \Sigma_{ih} \Psi_{jh} \; (+ \sigma_j^2)

        Parameters
        ----------
        rows, cols : array of int
            Of one shape.
        reading : bool
            With the variance of the noise.
        """
        variances = self.row_variances, self.column_variances
        return np.sqrt(_variance(self.state, *variances, rows, cols, reading))


def factorise(
    entries: Blocks,
    *,
    rank: int | None = None,
    width: int | None = None,
    intercepts: bool | None = None,
    held_out: float | None = None,
    threads: int | None = None,
    time_limit: float | None = None,
    watch: Callable[[Progress], bool | None] = lambda progress: None,
    rng: np.random.Generator,
) -> Factorisation:
    """Factors, intercepts and their uncertainty from observed entries.

    Parameters
    ----------
    entries : Blocks
    rank : int, optional
        Number of columns, if it is known. Otherwise the data empty those that they do not need.
    width : int, optional
        Largest number of columns to consider.
    intercepts : bool, optional
        Whether rows and columns have intercepts; by default where these predict held-out entries
        clearly better than one mean.
    held_out : float, optional
        Share of the entries to hold out, at most a half. By default 2 to 5 %, and not more than
        100,000 entries.
    threads : int, optional
        All cores by default. The result does not depend on it.
    time_limit : float, optional
        Seconds after which sweeps are stopped; the two last ones are still made.
    watch : callable
        Called with a :class:`Progress` after every sweep; True stops.
    rng : Generator

    Returns
    -------
    Factorisation
        Of all entries. Held-out error, prediction and scores are those of the same predictor before
        it has seen the entries that were held out.

    Raises
    ------
    ValueError
        If there are fewer than two entries.
    """
    if entries.size < 2:
        raise ValueError(f"entries must be at least two, got {entries.size}")
    most = min(rank or width or entries.shape[0], *entries.shape)
    team = Team(threads or len(os.sched_getaffinity(0)))
    begun = time.monotonic()

    def stop(progress: Progress) -> bool:
        late = time_limit is not None and time.monotonic() - begun > time_limit
        return bool(watch(progress)) or late

    with one_blas_thread():
        held, train = _held_out(entries, held_out, rng)
        room = _Room(train, held, team, stop, rank is None, rng)
        means = room.means()
        if intercepts is None:
            one = np.full(held.y.size, means.mean)
            zero = min(held.y**2, (held.y - one) ** 2, key=np.mean)
            intercepts = clearly_better(held.errors(means), zero)
        found = room.search(means if intercepts else None, min(rank or _WIDTH, most), most)
        return _told(found, means, entries, held, room)


@dataclass(frozen=True)
class _Held:
    """Entries that were held out."""

    rows: np.ndarray
    cols: np.ndarray
    y: np.ndarray
    weights: np.ndarray

    def errors(self, state: State) -> np.ndarray:
        """Squared errors, times weights."""
        return self.weights * (state.predict(self.rows, self.cols) - self.y) ** 2

    def error(self, state: State) -> float:
        return math.sqrt(float(self.errors(state).mean() / self.weights.mean()))

    def worth_keeping(self, state: State) -> int:
        """Number of leading columns beyond which these entries gain nothing clear.

        Only columns are looked at that may be the strongest directions of noise.
        """
        sure = state.standing_out(_EDGE)
        parts = state.rows[self.rows] * state.columns.mean[self.cols]
        fixed = parts[:, state.width :].sum(axis=1) - self.y
        missed = fixed + parts[:, :sure].sum(axis=1)
        errors = {sure: self.weights * missed**2}
        for k in range(sure, state.width):
            missed = missed + parts[:, k]
            errors[k + 1] = self.weights * missed**2
        return choose_width(errors, _CLEARLY)


def _held_out(
    entries: Blocks, share: float | None, rng: np.random.Generator
) -> tuple[_Held, Blocks]:
    """One entry at random of each of as many stretches as are to be held out, and the rest."""
    m = entries.size
    if share is None:
        count = min(max(_SHARE * m, min(_FEW_HELD, _LARGEST_SHARE * m)), _MOST_HELD)
    else:
        count = min(_checks.real_number(share, "held_out", above=0), 0.5) * m
    size = max(1, int(count))
    at = ((np.arange(size) + rng.random(size)) * (m / size)).astype(np.int64)
    rows, cols, y, w = entries.at(at)
    return _Held(rows, cols, y, w), entries.without(at)


@dataclass(frozen=True)
class _Found:
    """A state, and how the search for it ended."""

    state: State
    sweeps: int
    stopped: bool = False
    ended: bool = True


@dataclass(frozen=True)
class _Room:
    """Sweeps over the entries that were not held out, judged by those that were."""

    train: Blocks
    held: _Held
    team: Team
    stop: Callable[[Progress], bool]
    prune: bool
    rng: np.random.Generator

    def means(self) -> State:
        """Intercepts of rows and columns, alone."""
        at = Layout(0, True, True)
        state = start(self.train, at, self.rng, passes=1, team=self.team)
        return finished(state, self.train, self.team)[0]

    def wider(self, state: State, more: int) -> State:
        return widened(state, more, self.rng, passes=_PASSES, team=self.team)

    def search(self, means: State | None, width: int, most: int) -> _Found:
        """Wider as long as no column is emptied and held-out entries are predicted better."""
        if means is None:
            state = start(self.train, Layout(width), self.rng, passes=_PASSES, team=self.team)
        else:
            state = self.wider(means, width)
        layout, found = state.layout, self.swept(state, 0)
        if not self.prune:
            return found
        while self.held.worth_keeping(found.state) == layout.width < most and not found.stopped:
            state = found.state
            layout = replace(layout, width=min(2 * state.width, most))
            more = layout.width - state.width
            wider = self.swept(self.wider(state, more), found.sweeps)
            if not clearly_better(self.held.errors(wider.state), self.held.errors(state), _CLEARLY):
                return replace(found, sweeps=wider.sweeps, stopped=wider.stopped)
            found = wider
        kept = self.held.worth_keeping(found.state)
        less = found.state.without(np.arange(found.state.width) >= kept)
        return replace(found, state=less)

    def swept(self, state: State, before: int) -> _Found:
        """Sweeps until held-out entries are not predicted better."""
        best, least, at = state, math.inf, before
        chain = sweeps(
            state, column_noise=False, prune=self.prune, spared=_SPARED, threads=self.team
        )
        count = 0
        try:
            for count, state in enumerate(islice(chain, _SWEEPS), 1):
                error = self.held.error(state)
                stopped = self.stop(Progress(before + count, state.width, error, count / _SWEEPS))
                settled = not error < (1.0 - _SETTLED) * least
                if error < least:
                    best, least, at = state, error, before + count
                if settled or stopped:
                    return _Found(best, before + count, stopped)
        except KeyboardInterrupt:  # as in recover: what there is, marked as stopped
            return _Found(best, before + count, stopped=True)
        return _Found(best, at, ended=False)


def _variance(
    state: State,
    row_variances: np.ndarray,
    column_variances: np.ndarray,
    rows: np.ndarray,
    cols: np.ndarray,
    reading: bool,
) -> np.ndarray:
    """Of entries, factors taken to be uncorrelated."""
    u, v = state.rows[rows] ** 2, state.columns.mean[cols] ** 2
    of_u, of_v = row_variances[rows], column_variances[cols]
    own = np.einsum("...k,...k->...", u, of_v) + np.einsum("...k,...k->...", v + of_v, of_u)
    return own + state.noise[cols] if reading else own


def _told(found: _Found, means: State, entries: Blocks, held: _Held, room: _Room) -> Factorisation:
    """The last sweep, and what is to be said of the one that held-out entries were kept from."""
    state, of_rows, of_columns = finished(found.state, room.train, room.team)
    if not held.errors(state).mean() <= held.errors(means).mean():
        state, of_rows, of_columns = finished(means, room.train, room.team)
    zero = np.full(held.y.size, means.mean)
    of_means = min(held.weights * (zero - held.y) ** 2, held.errors(means), key=np.mean)
    noise = state.noise[held.cols] / held.weights
    variance = _variance(state, of_rows, of_columns, held.rows, held.cols, False) + noise
    scores = np.abs(state.predict(held.rows, held.cols) - held.y) / np.sqrt(variance)
    prediction = Prediction.of_costs(
        held.errors(state), of_means, held.weights * held.y**2, _inside(scores)
    )
    error = held.error(state)
    state, of_rows, of_columns = finished(state, entries, room.team)
    status, message = _status(found, prediction)
    scores, count = np.sort(scores), found.sweeps + 2
    return Factorisation(
        state, of_rows, of_columns, prediction, error, scores, status, message, count
    )


def _inside(scores: np.ndarray) -> np.ndarray:
    """Which lie in 95 % intervals: each half in those that the other half asks for."""
    if scores.size < 2:
        return scores <= NORMAL
    halves = scores[::2], scores[1::2]
    limits = [np.quantile(half, 0.95) for half in halves]
    return np.concatenate([halves[0] <= limits[1], halves[1] <= limits[0]])


def _status(found: _Found, prediction: Prediction) -> tuple[Status, str]:
    """How it ended, and what that means."""
    if found.stopped:
        return Status.STOPPED, f"stopped after {found.sweeps} sweeps; {prediction}"
    reasons = prediction.reasons(Policy().evidence)
    if reasons:
        return Status.STALLED, f"{prediction}; {'; '.join(reasons)}"
    if not found.ended:
        text = f"held-out entries are still predicted better with every sweep after {found.sweeps}"
        return Status.MAX_ITER, f"{text}; {prediction}"
    return Status.APPROXIMATE, f"{prediction}"

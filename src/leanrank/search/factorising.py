r"""Factorising: many observed entries, by sweeps alone.

Some entries are held out. Width, intercepts and the number of sweeps are chosen by how well these
are predicted (:mod:`leanrank.posterior` has the model and the sweep), and what is reported is
measured on them. The last sweep is over all entries, from where the others ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from leanrank import _checks
from leanrank._files import PathLike
from leanrank._threads import one_blas_thread
from leanrank.evidence import Prediction
from leanrank.evidence.prediction import inside_by_halves
from leanrank.policy import Policy
from leanrank.posterior import Blocks, State, Team, finished
from leanrank.results import Status
from leanrank.search.checkpoints import Checkpoint
from leanrank.search.holding_out import clearly_better
from leanrank.search.sweeping import Held, Progress, Search, Stage

__all__ = ["Factorisation", "Progress", "factorise"]

_WIDTH = 12
"""Columns to begin with: those of most data, and two that are seen to be empty."""
_MOST_HELD = 100_000
_FEW_HELD = 5_000
_SHARE, _LARGEST_SHARE = 0.02, 0.05


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
    checkpoint: PathLike | None = None,
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
        Called with a :class:`Progress` after every sweep; True stops, as Ctrl-C during one does.
    checkpoint : path, optional
        An ``.npz`` that is written after a sweep, and removed at the end unless the search was
        stopped. Where there is one of the same entries and settings, the search goes on from there,
        with its seed, and comes to what it would have come to.
    rng : Generator

    Returns
    -------
    Factorisation
        Of all entries. Held-out error, prediction and scores are those of the same predictor before
        it has seen the entries that were held out.

    Raises
    ------
    ValueError
        If there are fewer than two entries, or the checkpoint is that of another search.
    FileError
        If the checkpoint cannot be read or written.
    """
    if entries.size < 2:
        raise ValueError(f"entries must be at least two, got {entries.size}")
    most = min(rank or width or entries.shape[0], *entries.shape)
    settings = {"rank": rank, "width": width, "intercepts": intercepts, "held_out": held_out}
    saved = Checkpoint.at(checkpoint, entries, settings, int(rng.integers(2**63)))
    with one_blas_thread():
        held, train = _held_out(entries, held_out, saved.seed)
        search = Search(
            train, held, Team(threads), saved.seed, rank is None, most,
            _stopping(watch, time_limit), saved.keep,
        )  # fmt: skip
        means = search.means()
        if intercepts is None:
            zero = min(held.costs(held.y), held.costs(held.y - means.mean), key=np.mean)
            intercepts = clearly_better(held.errors(means), zero)
        begun = min(rank or _WIDTH, most)
        stage = saved.stage(train) or search.begin(means if intercepts else None, begun)
        found = _told(search.run(stage), means, entries, search)
    if found.status is not Status.STOPPED:
        saved.remove()
    return found


def _stopping(
    watch: Callable[[Progress], bool | None], time_limit: float | None
) -> Callable[[Progress], bool]:
    """Whether to stop, by who watches or by the clock."""
    begun = time.monotonic()

    def stop(progress: Progress) -> bool:
        late = time_limit is not None and time.monotonic() - begun > time_limit
        return bool(watch(progress)) or late

    return stop


def _held_out(entries: Blocks, share: float | None, seed: int) -> tuple[Held, Blocks]:
    """One entry at random of each of as many stretches as are to be held out, and the rest."""
    m = entries.size
    if share is None:
        count = min(max(_SHARE * m, min(_FEW_HELD, _LARGEST_SHARE * m)), _MOST_HELD)
    else:
        count = min(_checks.real_number(share, "held_out", above=0), 0.5) * m
    size = max(1, int(count))
    rng = np.random.default_rng(seed)
    at = ((np.arange(size) + rng.random(size)) * (m / size)).astype(np.int64)
    return Held(*entries.at(at)), entries.without(at)


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


def _told(stage: Stage, means: State, entries: Blocks, search: Search) -> Factorisation:
    """The last sweep, and what is to be said of the one that held-out entries were kept from."""
    held, train, team = search.held, search.train, search.team
    state, of_rows, of_columns = finished(stage.state, train, team)
    of_means, zero = held.errors(means), held.costs(held.y)
    if not held.errors(state).mean() <= of_means.mean():
        state, of_rows, of_columns = finished(means, train, team)
    baseline = min(of_means, held.costs(held.y - means.mean), key=np.mean)
    noise = state.noise[held.cols] / held.weights
    variance = _variance(state, of_rows, of_columns, held.rows, held.cols, False) + noise
    scores = np.abs(state.predict(held.rows, held.cols) - held.y) / np.sqrt(variance)
    errors = held.errors(state)
    prediction = Prediction.of_costs(errors, baseline, zero, inside_by_halves(scores))
    state, of_rows, of_columns = finished(state, entries, team)
    status, message = _status(stage, prediction)
    return Factorisation(
        state, of_rows, of_columns, prediction, held.error(errors), np.sort(scores), status,
        message, stage.total + 2,
    )  # fmt: skip


def _status(stage: Stage, prediction: Prediction) -> tuple[Status, str]:
    """How it ended, and what that means."""
    if stage.stopped:
        return Status.STOPPED, f"stopped after {stage.total} sweeps; {prediction}"
    reasons = prediction.reasons(Policy().evidence)
    if reasons:
        return Status.STALLED, f"{prediction}; {'; '.join(reasons)}"
    if not stage.ended:
        text = f"held-out entries are still predicted better with every sweep after {stage.total}"
        return Status.MAX_ITER, f"{text}; {prediction}"
    return Status.APPROXIMATE, f"{prediction}"

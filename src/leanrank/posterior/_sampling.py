r"""Draws from the posterior by Gibbs sampling, from where the variational approximation ended.

Rows and columns have normal priors whose means and precisions are drawn, too, under a
normal-Wishart prior of small scale (Salakhutdinov and Mnih 2008), and noise levels under a flat
one. Random numbers of a row depend on the seed, the sweep and the row alone: draws are the same
whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np

from leanrank.posterior._moments import Gaussian, Moments
from leanrank.posterior._posterior import Posterior
from leanrank.posterior._state import State
from leanrank.posterior._sweep import Sweep
from leanrank.posterior._variational import COLUMN_NOISE, LEAST_NOISE, typical_noise

__all__ = ["SPARE", "Draw", "draws", "sampled"]

_BURNT = 12
"""Draws that are left out: sampling starts from the variational answer."""

_BURNT_WEAK = 60
"""The same where nothing found is stronger than the edge of noise: weak columns mix slowly."""

_SCALE = 0.04
"""Variance of factors, over the noise's deviation, that a Wishart prior counts as one row of.

Small, or pictures are over-fitted. Of the noise and not of y: spare columns then are as small where
there is little noise, and intervals as long as they should be.
"""

_HIDDEN = 0.6
"""The same where directions may be hidden, over the deviation of entries at the edge of noise.

At the edge, a direction's entries have as large a variance as noise gives to its own strongest one.
Where nothing that was found is stronger, there may be others of that size: at twice the degrees of
freedom and as much noise as signal, 95 % intervals cover .94 of the entries, and .90 with the small
prior. Where much stronger ones were found, others of their kind would have been, too.
"""

SPARE = 3
"""Columns that are sampled besides those that the data did not empty.

Without them intervals know nothing of directions that are there but too weak to be found: at twice
the degrees of freedom and as much noise as signal, 95 % intervals cover .91 of the entries instead
of .78.
"""


@dataclass(frozen=True)
class Draw:
    """One draw of everything.

    Attributes
    ----------
    rows, centres : ndarray, shape (n1, K)
        Rows as drawn, and the means that they were drawn around given the columns: averages
        of ``centres @ columns.T`` need half as many draws as those of what was drawn.
    columns : ndarray, shape (n2, K)
        The draw before, that rows were drawn given.
    noise : ndarray, shape (n2,)
    given : ndarray, shape (n2,)
        That of the draw before, that rows were drawn given.
    prior : Gaussian
        Of the rows, as it was drawn.
    """

    rows: np.ndarray
    centres: np.ndarray
    columns: np.ndarray
    noise: np.ndarray
    given: np.ndarray
    prior: Gaussian


def draws(
    state: State,
    rng: np.random.Generator,
    *,
    column_noise: bool,
    isotropic: bool = False,
    least_noise: float = 0.0,
    threads: int = 1,
) -> Iterator[Draw]:
    """Draw after draw, each of a sweep; the first ones still remember where they started."""
    at, entries = state.layout, state.entries
    sweep = Sweep(entries, threads)
    balance = np.ones(at.size)
    balance[: at.width] = state.variances**0.25
    rows, given = state.rows * balance, state.columns.mean / balance
    moments = Moments.independent(given, fixed=at.row_intercept)
    noise = state.noise
    scale = _scales(state)
    counts = entries.counts()
    floor = max(least_noise, LEAST_NOISE * entries.mean_square())
    of_rows, of_columns = at.free(at.column_intercept), at.free(at.row_intercept)
    prior = partial(_isotropic, width=at.width) if isotropic else _prior
    while True:
        priors = (
            prior(rows[:, of_rows], scale[of_rows], rng),
            prior(moments.mean[:, of_columns], scale[of_columns], rng),
        )
        centres, keys = np.empty_like(rows), rng.integers(2**63, size=2)
        rows, _, drawn, missed = sweep(
            moments, noise, *priors, at.column_intercept, (keys[0], keys[1]), centres
        )
        before = noise
        if column_noise:
            own = np.maximum(missed, 0.0) + COLUMN_NOISE * typical_noise(noise)
            noise = own / rng.chisquare(counts + COLUMN_NOISE)
        else:
            common = max(float(missed.sum()), 0.0) / rng.chisquare(entries.size)
            noise = np.full(entries.shape[1], common)
        noise = np.maximum(noise, floor)
        yield Draw(rows, centres, moments.mean, noise, before, priors[0])
        moments = drawn


def _with_spare(state: State, spare: int, rng: np.random.Generator) -> State:
    """The state with more columns, of the size that noise would give them, or could hide."""
    at, (n1, n2) = state.layout, state.entries.shape
    spare = max(0, min(spare, n1 - at.width, n2 - at.width))
    size = float(np.mean(state.noise)) / max(1.0, state.entries.size / n2)
    size = max(size, _hidden(state) ** 2)
    rows = rng.standard_normal((n1, spare))
    columns = size**0.5 * rng.standard_normal((n2, spare))
    return state.with_columns(rows, columns, np.zeros((n2, spare)), np.full(spare, size))


def _edge(state: State) -> float:
    """Variance of the entries of the strongest direction of noise."""
    n1, n2 = state.entries.shape
    return float(np.mean(state.noise)) * (n1**0.5 + n2**0.5) ** 2 / state.entries.size


def _strength(state: State) -> float:
    """Variance of the entries of the strongest column, over that at the edge of noise."""
    return float(np.max(state.variances, initial=0.0)) / _edge(state)


def _hidden(state: State) -> float:
    """Deviation of the entries that columns may have which were not found."""
    return _HIDDEN * _edge(state) ** 0.5 / max(1.0, _strength(state)) ** 2


def _scales(state: State) -> np.ndarray:
    """What a prior counts as one row of, for each coordinate: factors are as of deviations."""
    at, variance = state.layout, float(np.mean(state.noise))
    of_factors = max(_SCALE * variance**0.5, _hidden(state))
    return np.where(np.arange(at.size) < at.width, of_factors, _SCALE * variance)


def _prior(rows: np.ndarray, scale: np.ndarray, rng: np.random.Generator) -> Gaussian:
    """A draw of the prior of rows, given rows.

    Of a Wishart variable as the product of a triangle of normal and chi numbers with its transpose
    (Bartlett 1933), between roots of the inverse spread.
    """
    n, k = rows.shape
    if k == 0:
        return Gaussian(np.zeros((0, 0)), np.zeros(0))
    mean = rows.mean(axis=0)
    spread = (rows - mean).T @ (rows - mean) + n / (n + 1.0) * np.outer(mean, mean)
    spread += k * np.diag(scale)
    triangle = np.tril(rng.standard_normal((k, k)), -1)
    triangle[np.diag_indices(k)] = np.sqrt(rng.chisquare(k + n - np.arange(k)))
    root = np.linalg.solve(np.linalg.cholesky(spread).T, triangle)
    shift = np.linalg.solve(root.T, rng.standard_normal(k)) / np.sqrt(n + 1.0)
    return Gaussian(root @ root.T, n / (n + 1.0) * mean + shift)


def _isotropic(
    rows: np.ndarray, scale: np.ndarray, rng: np.random.Generator, width: int
) -> Gaussian:
    """The same where factors have mean zero and one variance; intercepts keep their own."""
    n = rows.shape[0]
    own = _prior(rows[:, width:], scale[width:], rng)
    precision, mean = np.zeros((scale.size, scale.size)), np.zeros(scale.size)
    if width:
        spread = float(np.sum(rows[:, :width] ** 2)) + scale[0]
        precision[:width, :width] = np.eye(width) * rng.chisquare(n * width + 1) / spread
    precision[width:, width:], mean[width:] = own.precision, own.mean
    return Gaussian(precision, mean)


def sampled(
    state: State,
    rng: np.random.Generator,
    *,
    size: int = 60,
    column_noise: bool = False,
    spare: int = SPARE,
    isotropic: bool = False,
    least_noise: float = 0.0,
    threads: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> Posterior:
    """A sample of the posterior, in single precision.

    Parameters
    ----------
    state : State
        Where the variational approximation ended.
    rng : Generator
    size : int
        Number of draws that are kept.
    column_noise : bool
    spare : int
        Columns that are sampled besides those of the state.
    isotropic : bool
        Whether all factors have one variance and mean zero: of many columns, hardly any of
        which stands out.
    least_noise : float
        Variance that the noise does not fall below. Where the matrix is of low rank only nearly,
        it takes in what the columns leave; many of them would fit that, too, and nothing beyond
        the entries that were seen.
    threads : int
    progress : callable
        Called with the number of draws so far.
    """
    burnt = _BURNT if _strength(state) > 1.0 else _BURNT_WEAK
    state, point = _with_spare(state, spare, rng), state.factors
    (n1, n2), K = state.entries.shape, state.layout.size
    left, centres = (np.empty((size, n1, K), np.float32) for _ in range(2))
    right, noise = np.empty((size, n2, K), np.float32), np.zeros(n2)
    chain = draws(
        state,
        rng,
        column_noise=column_noise,
        isotropic=isotropic,
        least_noise=least_noise,
        threads=threads,
    )
    for t, draw in enumerate(islice(chain, burnt, burnt + size)):
        left[t], centres[t], right[t] = draw.rows, draw.centres, draw.columns
        noise += draw.noise / size
        progress(t + 1)
    return Posterior(point, left, right, noise, centres)

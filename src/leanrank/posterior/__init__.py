"""Posterior: columns with a prior that the data can empty, and what is uncertain of every entry."""

from leanrank.posterior._covariance import Covariance
from leanrank.posterior._perturbed import perturbed
from leanrank.posterior._posterior import Posterior
from leanrank.posterior._sampling import SPARE, draws, sampled
from leanrank.posterior._starting import entries_of, start, widened
from leanrank.posterior._state import Layout, State
from leanrank.posterior._sweep import Entries, Gaussian, Moments, Sweep, packed
from leanrank.posterior._variational import COLUMN_NOISE, fit, sweeps

__all__ = [
    "COLUMN_NOISE",
    "SPARE",
    "Covariance",
    "Entries",
    "Gaussian",
    "Layout",
    "Moments",
    "Posterior",
    "State",
    "Sweep",
    "draws",
    "entries_of",
    "fit",
    "packed",
    "perturbed",
    "sampled",
    "start",
    "sweeps",
    "widened",
]

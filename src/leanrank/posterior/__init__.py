"""Posterior: columns with a prior that the data can empty, and what is uncertain of every entry."""

from leanrank.posterior._covariance import Covariance
from leanrank.posterior._posterior import Posterior
from leanrank.posterior._sampling import draws, sampled
from leanrank.posterior._variational import Layout, State, entries_of, fit, start, sweeps

__all__ = [
    "Covariance",
    "Layout",
    "Posterior",
    "State",
    "draws",
    "entries_of",
    "fit",
    "sampled",
    "start",
    "sweeps",
]

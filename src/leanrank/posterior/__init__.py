"""Posterior: columns with a prior that the data can empty, and what is uncertain of every entry."""

from leanrank.posterior._perturbed import perturbed
from leanrank.posterior._posterior import Posterior
from leanrank.posterior._sampling import SPARE, sampled
from leanrank.posterior._variational import Layout, State, entries_of, fit, start, sweeps, widened

__all__ = [
    "SPARE",
    "Layout",
    "Posterior",
    "State",
    "entries_of",
    "fit",
    "perturbed",
    "sampled",
    "start",
    "sweeps",
    "widened",
]

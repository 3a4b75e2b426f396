"""Posterior: columns with a prior that the data can empty, and what is uncertain of every entry."""

from leanrank.posterior._covariance import Covariance
from leanrank.posterior._entries import Blocks, Entries
from leanrank.posterior._moments import Moments
from leanrank.posterior._on_disk import EntriesOnDisk
from leanrank.posterior._perturbed import perturbed
from leanrank.posterior._posterior import Posterior
from leanrank.posterior._sampling import SPARE, draws, sampled
from leanrank.posterior._starting import entries_of, start, widened
from leanrank.posterior._state import Layout, State
from leanrank.posterior._sweep import Sweep
from leanrank.posterior._team import Team
from leanrank.posterior._variational import finished, fit, sweeps

__all__ = [
    "SPARE",
    "Blocks",
    "Covariance",
    "Entries",
    "EntriesOnDisk",
    "Layout",
    "Moments",
    "Posterior",
    "State",
    "Sweep",
    "Team",
    "draws",
    "entries_of",
    "finished",
    "fit",
    "perturbed",
    "sampled",
    "start",
    "sweeps",
    "widened",
]

"""Measurement operators: what was observed of the matrix."""

from leanrank.operators._base import Measurement
from leanrank.operators._centred import Centred
from leanrank.operators._dense import DenseSensing
from leanrank.operators._entries import ObservedEntries
from leanrank.operators._full import FullObservation
from leanrank.operators._projected import Projected
from leanrank.operators._rank_one import RankOneSensing
from leanrank.operators._row_wise import Selected, Weighted
from leanrank.operators._stacked import Stacked
from leanrank.operators._tangent import Tangent, pull_back

__all__ = [
    "Centred",
    "DenseSensing",
    "FullObservation",
    "Measurement",
    "ObservedEntries",
    "Projected",
    "RankOneSensing",
    "Selected",
    "Stacked",
    "Tangent",
    "Weighted",
    "pull_back",
]

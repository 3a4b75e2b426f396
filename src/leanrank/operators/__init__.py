"""Measurement operators: what was observed of the matrix."""

from leanrank.operators._base import Measurement, Tangent, pull_back
from leanrank.operators._centred import Centred
from leanrank.operators._dense import DenseSensing
from leanrank.operators._entries import ObservedEntries
from leanrank.operators._full import FullObservation
from leanrank.operators._rank_one import RankOneSensing

__all__ = [
    "Centred",
    "DenseSensing",
    "FullObservation",
    "Measurement",
    "ObservedEntries",
    "RankOneSensing",
    "Tangent",
    "pull_back",
]

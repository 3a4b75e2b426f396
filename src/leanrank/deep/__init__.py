"""Deep linear networks: descent with noise, and its jumps to lower rank.

The setting of Z. Wang and A. Jacot, *Implicit bias of SGD in L2-regularized linear DNNs: one-way
jumps from high to low rank* (2024).
"""

from leanrank.deep._analysis import (
    WaitingTimes,
    measured,
    offshoots,
    recovery,
    waiting_times,
)
from leanrank.deep._factors import DeepFactors, representation_cost
from leanrank.deep._initial import initial_layers
from leanrank.deep._jumps import JumpWatch
from leanrank.deep._ladder import RidgeLadder
from leanrank.deep._schedule import Phase, annealing, periodic
from leanrank.deep._train import CollapseWarning, train
from leanrank.deep._training import Training

__all__ = [
    "CollapseWarning",
    "DeepFactors",
    "JumpWatch",
    "Phase",
    "RidgeLadder",
    "Training",
    "WaitingTimes",
    "annealing",
    "initial_layers",
    "measured",
    "offshoots",
    "periodic",
    "recovery",
    "representation_cost",
    "train",
    "waiting_times",
]

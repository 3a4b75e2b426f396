"""Deep linear networks: descent with noise, and its jumps to lower rank.

The setting of Z. Wang and A. Jacot, *Implicit bias of SGD in L2-regularized linear DNNs: one-way
jumps from high to low rank* (2024).
"""

from leanrank.research.deep._analysis import (
    WaitingTimes,
    measured,
    offshoots,
    recovery,
    waiting_times,
)
from leanrank.research.deep._factors import (
    DeepFactors,
    approximate_rank,
    representation_cost,
)
from leanrank.research.deep._initial import initial_layers
from leanrank.research.deep._jumps import JumpWatch
from leanrank.research.deep._ladder import RidgeLadder
from leanrank.research.deep._langevin import langevin
from leanrank.research.deep._polyak import full_rank_neighbour, polyak_constant
from leanrank.research.deep._schedule import Phase, annealing, periodic
from leanrank.research.deep._train import CollapseWarning, train
from leanrank.research.deep._trajectories import Training

__all__ = [
    "CollapseWarning",
    "DeepFactors",
    "JumpWatch",
    "Phase",
    "RidgeLadder",
    "Training",
    "WaitingTimes",
    "annealing",
    "approximate_rank",
    "full_rank_neighbour",
    "initial_layers",
    "langevin",
    "measured",
    "offshoots",
    "periodic",
    "polyak_constant",
    "recovery",
    "representation_cost",
    "train",
    "waiting_times",
]

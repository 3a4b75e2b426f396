"""Solvers that the papers study: to the letter, for experiments rather than for work."""

from leanrank.research.solvers._many_problems import descend_batch
from leanrank.research.solvers._many_starts import descend_together
from leanrank.research.solvers._perturbed import (
    Perturbation,
    PerturbedSensingDescent,
    constant_perturbation,
    measurement_noise,
    random_perturbation,
    tilting_perturbation,
    unbalancing_perturbation,
)
from leanrank.research.solvers._projected import ProjectedGradientDescent
from leanrank.research.solvers._proximal import ProximalGradientDescent
from leanrank.research.solvers._quadratic import RescaledGradientDescent
from leanrank.research.solvers._sgd import (
    FreshGaussianDescent,
    StochasticGradientDescent,
    fresh_gaussian_average,
)
from leanrank.research.solvers._stationary import StationaryPoint, stationary_point

__all__ = [
    "FreshGaussianDescent",
    "Perturbation",
    "PerturbedSensingDescent",
    "ProjectedGradientDescent",
    "ProximalGradientDescent",
    "RescaledGradientDescent",
    "StationaryPoint",
    "StochasticGradientDescent",
    "constant_perturbation",
    "descend_batch",
    "descend_together",
    "fresh_gaussian_average",
    "measurement_noise",
    "random_perturbation",
    "stationary_point",
    "tilting_perturbation",
    "unbalancing_perturbation",
]

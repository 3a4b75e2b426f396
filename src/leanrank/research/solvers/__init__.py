"""Solvers that the papers study: to the letter, for experiments rather than for work."""

from leanrank.research.solvers._flow import PerturbedGradientFlow
from leanrank.research.solvers._many_problems import descend_batch
from leanrank.research.solvers._many_starts import descend_together
from leanrank.research.solvers._measurement_errors import (
    adversarial_measurements,
    fresh_measurements,
    imperfect_measurements,
    sum_of_perturbations,
    worst_isometry,
)
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
    "PerturbedGradientFlow",
    "PerturbedSensingDescent",
    "ProjectedGradientDescent",
    "ProximalGradientDescent",
    "RescaledGradientDescent",
    "StationaryPoint",
    "StochasticGradientDescent",
    "adversarial_measurements",
    "constant_perturbation",
    "descend_batch",
    "descend_together",
    "fresh_gaussian_average",
    "fresh_measurements",
    "imperfect_measurements",
    "measurement_noise",
    "random_perturbation",
    "stationary_point",
    "sum_of_perturbations",
    "tilting_perturbation",
    "unbalancing_perturbation",
    "worst_isometry",
]

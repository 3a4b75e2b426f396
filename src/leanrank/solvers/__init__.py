"""Solvers: each a frozen set of parameters with ``init`` and ``step``, run by one loop."""

from leanrank.solvers._base import Callback, Solver, State, iterate, record, solve
from leanrank.solvers._batch import descend_batch
from leanrank.solvers._curvature import smallest_curvature
from leanrank.solvers._gauss_newton import GaussNewton
from leanrank.solvers._gradient import GradientDescent, PerturbedGradientDescent
from leanrank.solvers._lbfgs import LBFGS
from leanrank.solvers._perturbed import (
    Perturbation,
    PerturbedSensingDescent,
    constant_perturbation,
    measurement_noise,
    random_perturbation,
    tilting_perturbation,
    unbalancing_perturbation,
)
from leanrank.solvers._projected import ProjectedGradientDescent
from leanrank.solvers._quadratic import RescaledGradientDescent
from leanrank.solvers._sgd import (
    FreshGaussianDescent,
    StochasticGradientDescent,
    fresh_gaussian_average,
)
from leanrank.solvers._stationary import StationaryPoint, stationary_point
from leanrank.solvers._together import descend_together

__all__ = [
    "LBFGS",
    "Callback",
    "FreshGaussianDescent",
    "GaussNewton",
    "GradientDescent",
    "Perturbation",
    "PerturbedGradientDescent",
    "PerturbedSensingDescent",
    "ProjectedGradientDescent",
    "RescaledGradientDescent",
    "Solver",
    "State",
    "StationaryPoint",
    "StochasticGradientDescent",
    "constant_perturbation",
    "descend_batch",
    "descend_together",
    "fresh_gaussian_average",
    "iterate",
    "measurement_noise",
    "random_perturbation",
    "record",
    "smallest_curvature",
    "solve",
    "stationary_point",
    "tilting_perturbation",
    "unbalancing_perturbation",
]

"""Solvers: each a frozen set of parameters with ``init`` and ``step``, run by one loop."""

from typing import TYPE_CHECKING

from leanrank._moved import no_attribute
from leanrank.solvers._base import Callback, Solver, State, iterate, record, solve
from leanrank.solvers._curvature import smallest_curvature
from leanrank.solvers._deadline import Deadline
from leanrank.solvers._gauss_newton import GaussNewton
from leanrank.solvers._gradient import GradientDescent, PerturbedGradientDescent
from leanrank.solvers._lbfgs import LBFGS

__all__ = [
    "LBFGS",
    "Callback",
    "Deadline",
    "GaussNewton",
    "GradientDescent",
    "PerturbedGradientDescent",
    "Solver",
    "State",
    "iterate",
    "record",
    "smallest_curvature",
    "solve",
]

_MOVED = {
    name: f"leanrank.research.solvers.{name}"
    for name in (
        "FreshGaussianDescent",
        "Perturbation",
        "PerturbedSensingDescent",
        "ProjectedGradientDescent",
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
    )
}

if not TYPE_CHECKING:  # a type checker is to see every name that is not there

    def __getattr__(name: str) -> None:
        raise no_attribute(__name__, name, _MOVED)

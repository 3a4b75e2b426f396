"""Solvers: each a frozen set of parameters with ``init`` and ``step``, run by one loop."""

from leanrank.solvers._base import Callback, Solver, State, iterate, record, solve
from leanrank.solvers._gauss_newton import GaussNewton
from leanrank.solvers._gradient import GradientDescent, PerturbedGradientDescent
from leanrank.solvers._lbfgs import LBFGS
from leanrank.solvers._projected import ProjectedGradientDescent
from leanrank.solvers._stationary import StationaryPoint, smallest_curvature, stationary_point

__all__ = [
    "LBFGS",
    "Callback",
    "GaussNewton",
    "GradientDescent",
    "PerturbedGradientDescent",
    "ProjectedGradientDescent",
    "Solver",
    "State",
    "StationaryPoint",
    "iterate",
    "record",
    "smallest_curvature",
    "solve",
    "stationary_point",
]

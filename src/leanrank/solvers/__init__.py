"""Solvers: each a frozen set of parameters with ``init`` and ``step``, run by one loop."""

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

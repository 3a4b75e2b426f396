"""Solvers: each a frozen set of parameters with ``init`` and ``step``, run by one loop."""

from leanrank.solvers._base import Callback, Solver, State, iterate, record, solve
from leanrank.solvers._gauss_newton import GaussNewton

__all__ = ["Callback", "GaussNewton", "Solver", "State", "iterate", "record", "solve"]

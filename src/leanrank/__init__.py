"""Recover low-rank matrices of unknown rank from few linear measurements."""

from leanrank import operators
from leanrank.factors import Factors

__all__ = ["Factors", "operators"]
__version__ = "0.1.0"

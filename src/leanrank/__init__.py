"""Recover low-rank matrices of unknown rank from few linear measurements."""

from leanrank import operators, simulate
from leanrank.certificates import Certificate, check_certificate
from leanrank.estimators import LowRankImputer, QuadraticNetworkRegressor, RecoveryWarning
from leanrank.factors import Factors
from leanrank.greedy import greedy_prune
from leanrank.penalties import GroupLasso, NoPenalty, Ridge
from leanrank.recover import recover
from leanrank.results import RecoveryError, Result, Status

__all__ = [
    "Certificate",
    "Factors",
    "GroupLasso",
    "LowRankImputer",
    "NoPenalty",
    "QuadraticNetworkRegressor",
    "RecoveryError",
    "RecoveryWarning",
    "Result",
    "Ridge",
    "Status",
    "check_certificate",
    "greedy_prune",
    "operators",
    "recover",
    "simulate",
]
__version__ = "0.1.0"

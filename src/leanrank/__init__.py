"""Recover low-rank matrices of unknown rank from few linear measurements."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from leanrank import deep, operators, simulate, solvers, testing, theory
from leanrank.certificates import Certificate, check_certificate
from leanrank.factors import Factors
from leanrank.greedy import greedy_prune
from leanrank.penalties import GroupLasso, NoPenalty, Ridge
from leanrank.problem import Problem
from leanrank.recover import recover
from leanrank.results import RecoveryError, Result, Status

if TYPE_CHECKING:
    from leanrank.estimators import (
        DeepLinearCompletion,
        LowRankImputer,
        QuadraticNetworkRegressor,
        RecoveryWarning,
    )

__all__ = [
    "Certificate",
    "DeepLinearCompletion",
    "Factors",
    "GroupLasso",
    "LowRankImputer",
    "NoPenalty",
    "Problem",
    "QuadraticNetworkRegressor",
    "RecoveryError",
    "RecoveryWarning",
    "Result",
    "Ridge",
    "Status",
    "callbacks",
    "check_certificate",
    "deep",
    "diagnostics",
    "estimators",
    "greedy_prune",
    "io",
    "operators",
    "papers",
    "plotting",
    "recover",
    "simulate",
    "solvers",
    "testing",
    "theory",
]
__version__ = "0.1.0"

# scikit-learn and matplotlib take longer to import than all the rest: they wait for their use.
_LAZY_MODULES = ("callbacks", "diagnostics", "estimators", "io", "papers", "plotting")
_LAZY_ESTIMATORS = (
    "DeepLinearCompletion",
    "LowRankImputer",
    "QuadraticNetworkRegressor",
    "RecoveryWarning",
)


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return import_module(f"leanrank.{name}")
    if name in _LAZY_ESTIMATORS:
        value = getattr(import_module("leanrank.estimators"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'leanrank' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Recover low-rank matrices of unknown rank from few linear measurements."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from leanrank import losses, operators, simulate, solvers, testing
from leanrank._moved import no_attribute
from leanrank.evidence import Certificate, check_certificate
from leanrank.factors import Factors
from leanrank.inference import posterior
from leanrank.losses import Huber, Squared, StudentT
from leanrank.penalties import ARD, GroupLasso, NoPenalty, Ridge
from leanrank.policy import Policy
from leanrank.posterior import Posterior
from leanrank.problem import Problem
from leanrank.recover import recover
from leanrank.results import RecoveryError, Result, Status

if TYPE_CHECKING:
    from leanrank import callbacks, cluster, estimators, io, plotting, reporting, research
    from leanrank.estimators import (
        LowRankImputer,
        MatrixFactorization,
        QuadraticNetworkRegressor,
        RecoveryWarning,
        UnknownLabelWarning,
        complete,
    )
    from leanrank.research.estimators import DeepLinearCompletion
    from leanrank.research.greedy import greedy_prune

__all__ = [
    "ARD",
    "Certificate",
    "DeepLinearCompletion",
    "Factors",
    "GroupLasso",
    "Huber",
    "LowRankImputer",
    "MatrixFactorization",
    "NoPenalty",
    "Policy",
    "Posterior",
    "Problem",
    "QuadraticNetworkRegressor",
    "RecoveryError",
    "RecoveryWarning",
    "Result",
    "Ridge",
    "Squared",
    "Status",
    "StudentT",
    "UnknownLabelWarning",
    "callbacks",
    "check_certificate",
    "cluster",
    "complete",
    "estimators",
    "greedy_prune",
    "io",
    "losses",
    "operators",
    "plotting",
    "posterior",
    "recover",
    "reporting",
    "research",
    "simulate",
    "solvers",
    "testing",
]
__version__ = "0.1.0"

# What takes longer to import than all the rest waits for its use; so does the research wing.
_LAZY_MODULES = ("callbacks", "cluster", "estimators", "io", "plotting", "reporting", "research")
_LAZY_NAMES = {
    "DeepLinearCompletion": "leanrank.research.estimators",
    "LowRankImputer": "leanrank.estimators",
    "MatrixFactorization": "leanrank.estimators",
    "QuadraticNetworkRegressor": "leanrank.estimators",
    "RecoveryWarning": "leanrank.estimators",
    "UnknownLabelWarning": "leanrank.estimators",
    "complete": "leanrank.estimators",
    "greedy_prune": "leanrank.research.greedy",
}
_MOVED = {
    "certificates": "leanrank.evidence",
    "deep": "leanrank.research.deep",
    "deep_path": "leanrank.research.deep",
    "diagnostics": "leanrank.research.diagnostics",
    "greedy": "leanrank.research.greedy",
    "papers": "leanrank.research.experiments",
    "path": "leanrank.search.growing",
    "pipeline": "leanrank.search.plan",
    "shrinkage": "leanrank.search.shrinking",
    "theory": "leanrank.research.theory",
    "validation": "leanrank.search.holding_out",
}

if not TYPE_CHECKING:  # a type checker is to see every name that is not there

    def __getattr__(name: str) -> Any:
        if name in _LAZY_MODULES:
            return import_module(f"leanrank.{name}")
        if name in _LAZY_NAMES:
            value = getattr(import_module(_LAZY_NAMES[name]), name)
            globals()[name] = value
            return value
        raise no_attribute(__name__, name, _MOVED)


def __dir__() -> list[str]:
    return sorted(__all__)

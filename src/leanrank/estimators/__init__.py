"""Scikit-learn estimators."""

from typing import TYPE_CHECKING

from leanrank._moved import no_attribute
from leanrank.estimators._arguments import RecoveryWarning, UnknownLabelWarning
from leanrank.estimators._complete import complete
from leanrank.estimators._factorization import MatrixFactorization
from leanrank.estimators._folded import FoldedUser
from leanrank.estimators._imputer import LowRankImputer
from leanrank.estimators._quadratic import QuadraticNetworkRegressor
from leanrank.estimators._ranking import Ranking

__all__ = [
    "FoldedUser",
    "LowRankImputer",
    "MatrixFactorization",
    "QuadraticNetworkRegressor",
    "Ranking",
    "RecoveryWarning",
    "UnknownLabelWarning",
    "complete",
]

_MOVED = {"DeepLinearCompletion": "leanrank.DeepLinearCompletion"}

if not TYPE_CHECKING:  # a type checker is to see every name that is not there

    def __getattr__(name: str) -> None:
        raise no_attribute(__name__, name, _MOVED)

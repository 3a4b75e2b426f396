"""Scikit-learn estimators."""

from typing import TYPE_CHECKING

from leanrank._moved import no_attribute
from leanrank.estimators._arguments import RecoveryWarning
from leanrank.estimators._complete import complete
from leanrank.estimators._imputer import LowRankImputer
from leanrank.estimators._quadratic import QuadraticNetworkRegressor

__all__ = ["LowRankImputer", "QuadraticNetworkRegressor", "RecoveryWarning", "complete"]

_MOVED = {"DeepLinearCompletion": "leanrank.DeepLinearCompletion"}

if not TYPE_CHECKING:  # a type checker is to see every name that is not there

    def __getattr__(name: str) -> None:
        raise no_attribute(__name__, name, _MOVED)

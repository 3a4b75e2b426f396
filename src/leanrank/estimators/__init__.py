"""Scikit-learn estimators."""

from leanrank.estimators._imputer import LowRankImputer, RecoveryWarning
from leanrank.estimators._quadratic import QuadraticNetworkRegressor

__all__ = ["LowRankImputer", "QuadraticNetworkRegressor", "RecoveryWarning"]

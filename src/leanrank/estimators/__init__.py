"""Scikit-learn estimators."""

from leanrank.estimators._imputer import LowRankImputer, RecoveryWarning

__all__ = ["LowRankImputer", "RecoveryWarning"]

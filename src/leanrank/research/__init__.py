"""The research wing: the papers' algorithms, theory and experiments, to run, bend and check.

>>> from leanrank.research import experiments
>>> "pruning-fig2" in experiments.names()
True

``import leanrank`` does not load it. Its parts: ``deep`` (deep linear networks), ``diagnostics``
(what to watch along a trajectory), ``experiments`` (figures and claims), ``greedy`` (pruning to
the letter), ``penalties`` and ``solvers`` (those that only papers use), ``theory`` (parameters,
bounds, predictions).
"""

from leanrank.research import deep, diagnostics, experiments, penalties, solvers, theory
from leanrank.research.cross_validation import cross_validated_strength
from leanrank.research.greedy import greedy_prune

__all__ = [
    "cross_validated_strength",
    "deep",
    "diagnostics",
    "experiments",
    "greedy_prune",
    "penalties",
    "solvers",
    "theory",
]

"""Search: strategies that propose factors, and the plan that chooses by held-out data."""

from leanrank.search.fitting import Fitter, Stage
from leanrank.search.growing import append_leading, grow, is_significant
from leanrank.search.monitor import Monitor, StopRun
from leanrank.search.paths import Paths
from leanrank.search.plan import Plan
from leanrank.search.saved import AnotherRunError, FinishedFits, SavedRun
from leanrank.search.strategy import GrowAndPenalise, Strategy

__all__ = [
    "AnotherRunError",
    "FinishedFits",
    "Fitter",
    "GrowAndPenalise",
    "Monitor",
    "Paths",
    "Plan",
    "SavedRun",
    "Stage",
    "StopRun",
    "Strategy",
    "append_leading",
    "grow",
    "is_significant",
]

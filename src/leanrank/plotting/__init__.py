"""Pictures of a run: every function returns a matplotlib Figure and keeps no global state.

Colours are from the palette of Okabe and Ito, which colour-blind readers can tell apart; matrices
are drawn in cividis. Nothing is shown or saved: ``figure.savefig(...)`` does that.
"""

from leanrank.plotting._intervals import calibration, column_variances, intervals
from leanrank.plotting._ratings import certainty, rating_variances
from leanrank.plotting._runs import (
    column_norms,
    completion,
    convergence,
    overview,
    singular_values,
)

__all__ = [
    "calibration",
    "certainty",
    "column_norms",
    "column_variances",
    "completion",
    "convergence",
    "intervals",
    "overview",
    "rating_variances",
    "singular_values",
]

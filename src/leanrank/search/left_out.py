r"""Leaving one out: what each measurement would be missed by, from one fit to all of them.

A linear fit misses a measurement that it has not seen by :math:`r_i / (1 - h_i)`, with its leverage
h_i. Where every measurement sees all of the matrix leverages are nearly equal, and their sum is the
number of unknowns (generalised cross-validation, Golub, Heath and Wahba 1979). But a column that
fits noise is the best of many directions: it explains twice as much of square noise as so many
unknowns would, and predicts worse by as much. To keep it pays from

.. math:: 1 + \frac{4 \beta}{(1 + \beta) (1 + \beta + \sqrt{\beta^2 + 14 \beta + 1})}

times what they would explain twice over, for an n1 x n2 matrix with :math:`\beta = n_1 / n_2 \le 1`
(Gavish and Donoho 2014, eq. 11): 4/3 for square matrices. Its unknowns count so many times here.
"""

from __future__ import annotations

import math

from leanrank.policy import Policy
from leanrank.problem import Point, Problem
from leanrank.search.fitting import Stage
from leanrank.search.holding_out import Split, clearly_better

__all__ = ["column_weight", "left_out_error", "width_by_leaving_out"]

_REFUTED = 2.0
"""Standard errors by which another width must be better on held-out measurements."""


def width_by_leaving_out(data: Split, stages: list[Stage], policy: Policy) -> int | None:
    """The width that predicts measurements best that are left out one by one.

    None where the measurements that were held out say otherwise, or are too few to ask, and where
    leverages differ: of entries, and of losses that resist outliers.

    Parameters
    ----------
    data : Split
    stages : list of Stage
        Of widths that rise, fitted to what is not held out, and assessed.
    policy : Policy
    """
    train, enough = data.train, data.held.op.size >= policy.enough_held_out
    if not enough or not train.loss.quadratic or train.op.entries() is not None:
        return None
    known = {stage.width: stage for stage in reversed(stages)}
    errors = {k: left_out_error(train, stage.point) for k, stage in known.items()}
    width = min(sorted(errors), key=lambda k: errors[k])
    chosen = known[width].errors
    assert chosen is not None
    others = (stage.errors for stage in known.values() if stage.errors is not None)
    refuted = any(clearly_better(other, chosen, _REFUTED) for other in others)
    return None if refuted else width


def left_out_error(problem: Problem, point: Point) -> float:
    """Mean cost of missing each measurement by a fit to the others.

    Infinite where the unknowns leave nothing over.
    """
    taken = column_weight(problem.op.shape) * problem.unknowns(point.factors)
    left = 1.0 - taken / problem.effective_size
    return problem.mean_loss(point.residual) / left**2 if left > 0 else math.inf


def column_weight(shape: tuple[int, int]) -> float:
    """How many times the unknowns of a column count: see above."""
    beta = min(shape) / max(shape)
    return 1.0 + 4.0 * beta / ((1.0 + beta) * (1.0 + beta + math.sqrt(beta**2 + 14.0 * beta + 1.0)))

"""A centred and scaled table, recovered about the means that it turns out to have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from leanrank.estimators._entries import Entries
from leanrank.estimators._rows import ExactRows
from leanrank.factors import Factors, degrees_of_freedom
from leanrank.problem import exact_tolerance
from leanrank.results import History, Result, Status

__all__ = ["nothing", "recover_table"]

Run = Callable[[Entries, int | None], Result]
"""Recovers the matrix of some entries, of a rank if it is given."""


def recover_table(
    entries: Entries, run: Run, rank: int | None, center: bool
) -> tuple[Result, ExactRows | None, int]:
    """Factors of the scaled table, the model of its rows if they fit, and the iterations."""
    result = run(entries, rank)
    n_iter = result.n_iter
    # The means of what was observed need not be those of the table: a table of some rank
    # about its own means may be of the next rank about these.
    if center and rank is not None and _may_be_shifted(result, entries):
        second = run(entries, rank + 1)
        n_iter += second.n_iter
        result = second if _is_exact(second, entries) else result
    if not _is_exact(result, entries):
        return result, None, n_iter
    if center and not _are_enough(entries, result.rank):
        return _undetermined(result), None, n_iter
    model = ExactRows.of(result.factors, entries, center=center)
    found = model.loadings.shape[1]
    if 0 < found < result.rank:
        values = (entries.values - model.mean[entries.cols]).astype(entries.values.dtype)
        centred = entries._replace(values=values)
        second = run(centred, found)
        n_iter += second.n_iter
        if _are_enough(entries, found) and _is_exact(second, centred):
            result, shift = second, model.mean
            model = ExactRows.of(result.factors, centred, center=True)
            model = replace(model, mean=shift + model.mean)
    return result, model, n_iter


def nothing(entries: Entries) -> Result:
    """The zero matrix, for too few entries or none."""
    shape, m = entries.shape, entries.values.size
    factors = Factors.empty((max(shape[0], 1), max(shape[1], 1)), False, entries.values)
    if m == 0:
        message = "every column is constant where it was observed"
        return Result(factors, Status.CONVERGED, message, None, History())
    message = (
        f"{m} entries are fewer than the {degrees_of_freedom(shape, 1)} unknowns of a matrix of "
        f"rank one and shape {shape[0]} x {shape[1]}: missing entries are completed with column "
        "means; observe more of them, or leave out rows and columns that have few"
    )
    return Result(factors, Status.STALLED, message, None, History())


def _is_exact(result: Result, entries: Entries) -> bool:
    certificate = result.certificate
    return certificate is not None and certificate.relative_residual <= exact_tolerance(
        entries.values
    )


def _are_enough(entries: Entries, rank: int) -> bool:
    """Whether there are more entries than unknowns, the means that were fitted among these.

    Means along the loadings are the scores' own.
    """
    p = entries.shape[1]
    return entries.values.size > degrees_of_freedom(entries.shape, rank) + p - rank


def _undetermined(result: Result) -> Result:
    """An exact fit that as many means and factors would be to any entries."""
    assert result.certificate is not None
    reason = (
        f"there are no more entries than means and factors of rank {result.rank} have unknowns, "
        "so that these fit whatever the entries are: observe more of them"
    )
    certificate = replace(result.certificate, holds=False, reasons=(reason,))
    return replace(result, status=Status.STALLED, message=reason, certificate=certificate)


def _may_be_shifted(result: Result, entries: Entries) -> bool:
    """Whether means of observed entries, taken for those of columns, may explain the residual.

    Allows for twice the standard error that they have where entries are missing at random.
    """
    (n, p), m, wider = entries.shape, entries.values.size, result.rank + 1
    if _is_exact(result, entries) or wider > min(n, p) or degrees_of_freedom((n, p), wider) > m:
        return False
    residual = result.factors.entries(entries.rows, entries.cols) - entries.values
    lost = float(np.mean(1.0 / entries.column_counts() - 1.0 / n))
    error = entries.mean_square(entries.values) * lost
    return entries.mean_square(residual) <= 4.0 * error

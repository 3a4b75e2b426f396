"""What a completed table is worth: status, message, certificate, and notes on what is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from leanrank.estimators._choosing import HeldOut
from leanrank.estimators._entries import Entries
from leanrank.estimators._missingness import missing_by_others, missing_by_size
from leanrank.estimators._models import FACTORS, MEANS, Model, table
from leanrank.estimators._row_model import FactorRows
from leanrank.evidence import Certificate, Prediction, certify, of_shrunk
from leanrank.factors import Factors
from leanrank.policy import EvidencePolicy
from leanrank.results import History, Result, Status
from leanrank.solvers import GaussNewton, solve

__all__ = ["factors_of", "result_of"]

_STEPS = 30
"""Of Gauss-Newton to where the prior does not count, at most."""


def factors_of(best: Model, entries: Entries) -> Factors:
    """Posterior means without the columns' means."""
    like = entries.values
    if best.state is None:
        return Factors.empty(entries.shape, False, like)
    inside, state = slice(0, best.state.width), best.state
    found = Factors(
        state.rows[:, inside].astype(like.dtype), state.columns.mean[:, inside].astype(like.dtype)
    )
    # Of a fixed rank the data may empty all columns.
    return found if found.norm() > 0 else Factors.empty(entries.shape, False, like)


def result_of(
    entries: Entries,
    best: Model,
    held: HeldOut | None,
    recovered: Result | None,
    rng: np.random.Generator,
) -> Result:
    """Status, message and certificate of a table that is not exactly of low rank."""
    prediction = None if held is None else held.prediction
    result = recovered
    if result is None or (result.status is not Status.CONVERGED and result.rank != _width(best)):
        result = _certified(entries, best, prediction, rng)
    certificate = result.certificate
    assert certificate is not None
    looked_at = certificate.prediction
    if looked_at is not None and prediction is not None:
        prediction = replace(prediction, in_hole=looked_at.in_hole, apart=looked_at.apart)
    notes = _missingness(entries, best, held)
    error = certificate.held_out_error if prediction is None else prediction.error
    certificate = replace(
        certificate,
        prediction=prediction,
        held_out_error=error,
        notes=certificate.notes + notes,
    )
    status, told = result.status, [result.message]
    if status is not Status.CONVERGED:
        status, told = _judged(best, prediction, certificate)
    if prediction is not None:
        told.insert(0, str(prediction))
    return replace(
        result, status=status, message="; ".join([*told, *notes]), certificate=certificate
    )


def _width(best: Model) -> int:
    return 0 if best.state is None else best.state.width


def _certified(
    entries: Entries, best: Model, prediction: Prediction | None, rng: np.random.Generator
) -> Result:
    """The factors of a candidate as a result."""
    found, shift, change = factors_of(best, entries), None, None
    if best.state is not None:
        shift, change = FactorRows.of(best.state).mean, best.state.change
    problem = entries.problem(shift)
    certificate = certify(problem, found, rng, prediction=prediction, change=change)
    if certificate.holds and change is not None:
        plain = solve(GaussNewton(), problem, found, max_iter=_STEPS).factors
        if not certify(problem, plain, rng).holds:
            certificate = of_shrunk(certificate)
    status = Status.CONVERGED if certificate.holds else Status.STALLED
    message = "" if not certificate.holds else f"estimated error {certificate.error_estimate:.1e}"
    return Result(found, status, message, certificate, History())


def _judged(
    best: Model, prediction: Prediction | None, certificate: Certificate
) -> tuple[Status, list[str]]:
    """What an answer that is not pinned down is worth."""
    if prediction is None:
        return Status.STALLED, ["; ".join(certificate.reasons)]
    policy = EvidencePolicy()
    reasons = prediction.reasons(policy)
    if best.state is None or (not best.correlated and best.state.width == 0):
        return Status.STALLED, [
            "columns say nothing of one another that would be found in so few entries, and what "
            "is missing is completed with column means",
            *(reasons if prediction.beats_means(policy) else reasons[1:]),
        ]
    if reasons:
        return Status.STALLED, list(reasons)
    return Status.APPROXIMATE, [f"completed by {_parts(best)}"]


def _parts(best: Model) -> str:
    """What completes missing entries, and how much each part counts on average over columns."""
    components, shares = f"{_width(best)} component(s)", best.rows.weights.mean(axis=1)
    if len(shares) == 1:
        return components
    told = {components: shares[0], "means": shares[MEANS]}
    if best.correlated:
        told = {
            f"a covariance near that of {components}": shares[0],
            "a covariance and similar rows": shares[-1],
            components: shares[FACTORS],
            "means": shares[MEANS],
        }
    elif len(shares) > FACTORS:
        told["components with one noise level"] = shares[FACTORS]
    counts = [(what, share) for what, share in told.items() if share > 0.005]
    return "a weighted mean of " + ", ".join(
        f"{what} ({100 * share:.0f} %)" for what, share in counts
    )


def _missingness(entries: Entries, best: Model, held: HeldOut | None) -> tuple[str, ...]:
    """A note where what is missing is not missing at random."""
    Z = table(entries)
    missing = np.isnan(Z)
    others, sizes = missing_by_others(Z), []
    if held is not None and best.state is not None:
        main = best.rows.main
        above = main.complete(Z, np.ones(Z.shape))[0] - main.mean
        sizes = missing_by_size(above, missing, entries.cols[held.index], held.above)
    told = []
    if others:
        j, k = others[0]
        told.append(
            f"where column {j} is missing, column {k} is not as elsewhere ({len(others)} such "
            "pair(s))"
        )
    if sizes:
        j, larger = sizes[0]
        side = "larger" if larger else "smaller"
        told.append(
            f"what is missing of column {j} is predicted to be {side} than what was observed "
            f"({len(sizes)} such column(s))"
        )
    if not told:
        return ()
    return (
        "entries are not missing at random: "
        + ", and ".join(told)
        + "; means, held-out errors and intervals are those of entries like the observed ones",
    )

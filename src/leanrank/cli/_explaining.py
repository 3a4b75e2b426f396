"""``leanrank explain``: how far to trust a result, in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

import leanrank
from leanrank import io
from leanrank._display import percent
from leanrank.cli._terminal import Terminal
from leanrank.evidence import Certificate, Prediction
from leanrank.policy import EvidencePolicy
from leanrank.results import Result

__all__ = ["explain"]


def explain(
    result: Annotated[
        Path,
        typer.Argument(
            metavar="RESULT",
            show_default=False,
            help="What `recover --out`, `complete --factors` or `fit --out` wrote (.npz).",
        ),
    ],
) -> None:
    """Say in plain words how far to trust a result: every number of its certificate."""
    terminal = Terminal(json=False, quiet=False)
    with terminal.errors():
        io.check_readable(result)
        try:
            told = list(_result(io.load_result(result)))
        except io.FileError as error:
            try:
                told = list(_model(leanrank.MatrixFactorization.load(result)))
            except io.FileError:
                raise error from None
        told = [line.replace("? ", "?\n  ", 1) for line in told]  # the answer below the question
        terminal.say(told[0], told[1:])


def _result(found: Result) -> Iterator[str]:
    n1, n2 = found.factors.shape
    yield f"A matrix of {n1} x {n2}, of rank {found.rank}."
    yield f"{found.status.name}: {found.status.meaning}."
    certificate = found.certificate
    if certificate is None:
        yield "There is no certificate: only a run that comes to its end has one."
        return
    limits = EvidencePolicy() if found.policy is None else found.policy.evidence
    if certificate.prediction is not None:
        yield from _prediction(certificate.prediction, limits, "measurements")
    yield from _questions(certificate, limits)
    if certificate.reasons:
        yield "What speaks against the matrix itself, and what would help:"
        yield from (f"- {reason}" for reason in certificate.reasons)
    yield from (f"Note: {note}" for note in certificate.notes)


def _model(model: leanrank.MatrixFactorization) -> Iterator[str]:
    from leanrank.estimators._rating_fit import EVIDENCE  # other commands do without scikit-learn

    users, items = model.users_.size, model.items_.size
    yield f"A model of {users} rows and {items} columns, with {model.rank_} factor(s)."
    yield f"{model.status_.name}: {model.status_.meaning}."
    found = model.certificate_
    unit = model.held_out_error_ / found.error if found.error else None
    yield from _prediction(found, EVIDENCE, "entries", unit)


def _questions(c: Certificate, limits: EvidencePolicy) -> Iterator[str]:
    """Each number as the answer to a question, with what would be a good one."""
    yield (
        f"Are there enough measurements? {c.measurements}, where a matrix of this rank has "
        f"{c.degrees_of_freedom} unknowns; more are needed than there are unknowns."
    )
    yield (
        f"How much of them does the answer leave unexplained? {_share(c.relative_residual)}, the "
        "residual. That should be the size of the noise, or 0 % where there is none."
    )
    if c.rank == 0:
        return
    yield (
        f"Does the residual look like noise? Its gap to noise is {c.noise_gap:.2f}: about 1 or "
        f"less is noise, above {limits.structure:g} there is something left to be found."
    )
    yield (
        "Would another matrix of this rank fit as well? The identifiability is "
        f"{c.identifiability:.1e}; below {limits.least_identifiability:.0e} one would."
    )
    yield (
        f"How far may the matrix be off? By about {_share(c.error_estimate)} of its size; at most "
        f"{limits.largest_error:.0%} is good."
    )
    if c.filled_error is not None:
        yield (
            f"How far may entries be off that nobody observed? By about {_share(c.filled_error)}; "
            f"at most {limits.largest_filled_error:.0%} is good."
        )
    if c.held_out_error is not None:
        yield (
            "How well are measurements predicted that were held out, not fitted to? They are "
            f"missed by {_share(c.held_out_error)}; the size of the noise is good."
        )
    yield (
        f"How far apart are the singular values? The largest is {c.condition_number:.3g} times "
        "the least. That is a matter of the data."
    )


def _prediction(
    p: Prediction, limits: EvidencePolicy, what: str, unit: float | None = None
) -> Iterator[str]:
    """How held-out measurements are missed: in shares of their size, or in their ``unit``."""
    error, baseline = (
        _share(x) if unit is None else f"{unit * x:.3g}" for x in (p.error, p.baseline)
    )
    good = "Less than that is good"
    if limits.predicted < 1:
        good = f"At most {limits.predicted:g} times as much is good"
    yield (
        f"Are {what} predicted that the fit has not seen? {p.size} were held out and are missed by "
        f"{error}; means miss them by {baseline}. {good}."
    )
    if p.coverage is not None:
        yield (
            f"Are intervals to be trusted? {p.coverage:.0%} of what was held out lies in its 95 % "
            "interval."
        )
    lacking = p.reasons(limits)
    if lacking:
        yield "What speaks against predictions, and what would help:"
        yield from (f"- {reason}" for reason in lacking)
    else:
        yield "So unseen entries are predicted."


def _share(x: float) -> str:
    if not math.isfinite(x):
        return "no known bound"
    return "less than 0.0001 %" if 0 < x < 1e-6 else percent(x)

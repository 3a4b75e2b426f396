"""How ratings are fitted: what is asked of the sweeps, and what is said of what comes out."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank.policy import EvidencePolicy
from leanrank.posterior import Blocks, Entries
from leanrank.results import Status
from leanrank.search.factorising import Factorisation, factorise

__all__ = ["EVIDENCE", "checked_parameters", "factorised", "threads_of", "verdict"]

EVIDENCE = EvidencePolicy(predicted=1.0, gain=2.0)
"""Factors are to predict better than means beyond chance, not by a tenth as elsewhere: what they
add to those of users and items, which are part of the answer here, is a few hundredths of the error
on most ratings. Two standard errors, not three: of small lists two dozen ratings are held out, and
what was taken for better by chance predicts as means do."""

_FEW, _ENOUGH = 500, 25
"""Ratings below which more are held out than elsewhere, and how many: a 95 % interval takes 19."""

_CENTRED = 0.1
"""Mean of ratings over their standard deviation, up to which it is about zero."""


def factorised(estimator: Any, entries: Blocks) -> tuple[Factorisation, float]:
    """What sweeps make of entries, and the mean weight of these, which is one to the sweeps."""
    given, weight = entries, 1.0
    if isinstance(entries, Entries):
        # Others, so that what sweeps note of them does not outlive these.
        e, w = entries, entries.weights
        if w.size:
            weight = float(np.mean(w, dtype=float))
        given = Entries(e.indptr, e.cols, e.y, w / e.y.dtype.type(weight), e.shape)
    callbacks = _checks.functions(estimator.callbacks, "callbacks")
    found = factorise(
        given,
        rank=estimator.rank,
        width=estimator.width,
        intercepts=_with_intercepts(estimator.intercepts, entries),
        held_out=_share(estimator.validation, entries.size),
        threads=threads_of(estimator.n_jobs),
        time_limit=estimator.time_limit,
        watch=lambda progress: any([callback(progress) for callback in callbacks]),
        checkpoint=estimator.checkpoint,
        rng=_checks.generator(estimator.random_state),
    )
    return found, weight


def _with_intercepts(asked: bool | str, entries: Blocks) -> bool | None:
    """None where held-out ratings are to decide: only those about zero can do without."""
    if asked != "auto":
        return bool(asked)
    mean, square = entries.mean(), entries.mean_square()
    return None if mean**2 < _CENTRED**2 * (square - mean**2) else True


def _share(asked: float | None, m: int) -> float | None:
    """Share of m ratings to hold out: of few so many that 95 % intervals are bounded."""
    return asked if asked is not None or m >= _FEW else min(_ENOUGH / m, 0.2)


def threads_of(n_jobs: int | None) -> int:
    """So many, all cores for None and -1."""
    if n_jobs not in (None, -1):
        return int(n_jobs)
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def verdict(found: Factorisation, unit: float) -> tuple[Status, str]:
    """How a fit ended, and what that means, in the units of the ratings."""
    told, error = found.prediction, unit * found.held_out_error
    of_means = told.baseline * (error / told.error if told.error > 0 else unit)
    text = (
        f"{told.size} held-out ratings are missed by {error:.3g} (means of users and items miss "
        f"them by {of_means:.3g})"
    )
    if told.coverage is not None:
        text += f", and {told.coverage:.0%} of them lie in their 95 % intervals"
    reasons = told.reasons(EVIDENCE)
    if found.status is Status.STOPPED:
        return Status.STOPPED, f"stopped after {found.sweeps} sweeps; {text}"
    if reasons:
        return Status.STALLED, f"{text}; {'; '.join(reasons)}"
    if found.status is Status.MAX_ITER:
        return (
            Status.MAX_ITER,
            f"more sweeps than {found.sweeps} would predict still better; {text}",
        )
    return Status.APPROXIMATE, text


def checked_parameters(estimator: Any) -> None:
    """Raise where a parameter of the estimator cannot be right."""
    for name in ("rank", "width", "memory_limit", "n_jobs"):
        value = getattr(estimator, name)
        if value is not None and not (name == "n_jobs" and value == -1):
            _checks.whole_number(value, name, least=1)
    if estimator.intercepts != "auto":
        _checks.flag(estimator.intercepts, "intercepts")
    if estimator.validation is not None:
        _checks.real_number(estimator.validation, "validation", above=0, most=0.5)
    if estimator.duplicates not in ("mean", "error"):
        raise ValueError(f'duplicates must be "mean" or "error", got {estimator.duplicates!r}')
    if estimator.time_limit is not None:
        _checks.real_number(estimator.time_limit, "time_limit", above=0)
    bounds = [
        _checks.real_number(getattr(estimator, name), name)
        for name in ("min_value", "max_value")
        if getattr(estimator, name) is not None
    ]
    if len(bounds) == 2 and not bounds[0] < bounds[1]:
        raise ValueError(f"min_value must be below max_value, got {bounds[0]:g} and {bounds[1]:g}")

"""The arguments of recover, checked once, where they enter."""

from __future__ import annotations

from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._guidance import check_strategy, measured_pair
from leanrank.factors import Factors, degrees_of_freedom
from leanrank.losses import Squared
from leanrank.operators import Measurement
from leanrank.penalties import Penalty
from leanrank.problem import Problem, check_library, check_measurements, counted
from leanrank.search.saved import AnotherRunError, SavedRun, fingerprint
from leanrank.search.strategy import GrowAndPenalise, Strategy

__all__ = [
    "check_recoverable",
    "checked_start",
    "checked_strategy",
    "checked_validation",
    "described",
    "number_of_columns",
]


def described(validation: Any) -> Any:
    """A share as it is, measurements of one's own by a digest."""
    return fingerprint(validation[1], {}) if isinstance(validation, tuple) else validation


def checked_start(
    start: Any, op: Measurement, symmetric: bool, run: str
) -> tuple[Factors | None, tuple[tuple[str, np.ndarray], ...]]:
    """Factors to start from, if any, and the fits that an earlier run has finished."""
    if isinstance(start, SavedRun):
        if start.fingerprint != run:
            raise AnotherRunError
        return start.start, start.fits
    if start is None:
        return None, ()
    if not isinstance(start, Factors):
        raise TypeError(
            "start must be Factors or what leanrank.io.load_checkpoint returns, got "
            f"{type(start).__name__}"
        )
    if tuple(start.shape) != tuple(op.shape) or start.symmetric != symmetric:
        raise ValueError(
            f"start must have shape {tuple(op.shape)} and symmetric={symmetric}, got {start!r}"
        )
    _checks.real_array(start.W, "start", ndim=2)
    check_library(start.W, op, "start")
    return start.astype(op.reference), ()


def check_recoverable(op: Measurement, symmetric: bool) -> None:
    """Raise where no method could recover anything."""
    n1, n2 = op.shape
    symmetric = _checks.flag(symmetric, "symmetric")
    if symmetric and n1 != n2:
        raise ValueError(f"symmetric=True needs a square matrix, but op measures {n1} x {n2}")
    if op.symmetric and not symmetric:
        raise ValueError(
            "op sees only the symmetric part of a matrix: pass symmetric=True, or build it "
            "from general sensing matrices"
        )
    least = degrees_of_freedom(op.shape, 1, symmetric)
    if op.size < least:
        raise ValueError(
            f"{op.size} measurements are fewer than the {least} unknowns of a matrix of rank "
            f"one and shape {n1} x {n2}: nothing can be recovered"
        )


def number_of_columns(op: Measurement, k: int | None, name: str) -> int | None:
    """A number of columns that the matrix can have, or None."""
    return None if k is None else _checks.whole_number(k, name, least=1, most=min(op.shape))


def checked_strategy(
    strategy: Any, problem: Problem, symmetric: bool, rank: int | None, penalty: Penalty | None
) -> Strategy:
    """The strategy, if it can serve."""
    if strategy is None:
        return GrowAndPenalise()
    check_strategy(strategy)
    if penalty is not None:
        raise ValueError(
            f"penalty must be left out where a strategy searches for factors, got {penalty!r}"
        )
    strategy.check(problem, symmetric, rank)
    return strategy


def checked_validation(validation: Any, op: Measurement) -> Any:
    """A share, or a pair of an operator and what it measured; None stays."""
    if validation is None:
        return None
    if not isinstance(validation, tuple):
        return _checks.real_number(validation, "validation", above=0, most=0.9)
    held, y_held = measured_pair(validation, "validation", op.shape)
    held, y_held, _ = counted(held, check_measurements(held, y_held), Squared())
    return held, y_held

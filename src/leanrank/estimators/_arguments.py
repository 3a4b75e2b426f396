"""What the estimators check alike, and the warning that they give."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from leanrank import _checks

__all__ = [
    "RecoveryWarning",
    "UnknownLabelWarning",
    "check_fit_options",
    "entry_weights",
    "row_weights",
]


class RecoveryWarning(ConvergenceWarning):  # type: ignore[misc]
    """Completed entries are there, but something speaks against relying on them."""


class UnknownLabelWarning(UserWarning):
    """Predictions are there, but some are of users or items that ``fit`` has not seen."""


def check_fit_options(estimator: Any) -> None:
    """Check what recover would not get to see, or not under this name."""
    if estimator.on_failure not in ("warn", "raise", "ignore"):
        raise ValueError(
            f'on_failure must be "warn", "raise" or "ignore", got {estimator.on_failure!r}'
        )
    if estimator.width is not None:
        _checks.whole_number(estimator.width, "width", least=1)
    _checks.whole_number(estimator.max_iter, "max_iter", least=1)
    if estimator.time_limit is not None:
        _checks.real_number(estimator.time_limit, "time_limit", above=0)
    if estimator.validation is not None:
        _checks.real_number(estimator.validation, "validation", above=0, most=0.9)
    _checks.generator(estimator.random_state)


def row_weights(sample_weight: Any, n: int) -> np.ndarray:
    """Weights of n samples, checked, in float64."""
    weight = np.asarray(_checks.real_array(sample_weight, "sample_weight", ndim=1), np.float64)
    if weight.size != n:
        raise ValueError(
            f"sample_weight must have one value for each of the {n} samples, got {weight.size}"
        )
    return _checked(weight)


def entry_weights(sample_weight: Any, shape: tuple[int, int]) -> np.ndarray:
    """Weights of the entries of a table, given for them or for its rows; checked, in float64."""
    given = sample_weight if hasattr(sample_weight, "ndim") else np.asarray(sample_weight)
    if given.ndim != 2:
        return np.broadcast_to(row_weights(given, shape[0])[:, None], shape)
    weight = np.asarray(_checks.real_array(given, "sample_weight", ndim=2), np.float64)
    if weight.shape != shape:
        raise ValueError(
            f"sample_weight must have one value for each of the {shape[0]} samples, or the shape "
            f"of X, {shape}, got shape {weight.shape}"
        )
    return _checked(weight)


def _checked(weight: np.ndarray) -> np.ndarray:
    if weight.min(initial=0.0) < 0 or not weight.any():
        raise ValueError(
            "sample_weight must not be negative, nor zero throughout, got values from "
            f"{weight.min():g} to {weight.max():g}"
        )
    return weight

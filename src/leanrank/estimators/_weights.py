"""Sample weights, checked where they come in."""

from __future__ import annotations

from typing import Any

import numpy as np

from leanrank import _checks

__all__ = ["entry_weights", "row_weights"]


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

"""Tables as they come in and go out: gaps, bounds, whole numbers, sparse matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import validate_data

from leanrank import _checks

__all__ = ["Whole", "checked_bounds", "checked_gap", "read_table"]


def checked_gap(missing_values: Any) -> float:
    """What marks a gap, as a float."""
    if missing_values is None or missing_values is getattr(_pandas(), "NA", 0):
        return float("nan")
    if isinstance(missing_values, (float, np.floating)) and np.isnan(missing_values):
        return float("nan")
    return _checks.real_number(missing_values, "missing_values")


def _pandas() -> Any:
    import sys

    return sys.modules.get("pandas")


def read_table(estimator: Any, X: Any, gap: float, *, reset: bool) -> tuple[np.ndarray, str]:
    """A table with NaN for gaps, and the format that it came in where it is sparse.

    Of a sparse matrix what is not stored is zero, and stored entries may be gaps.
    """
    if np.ma.is_masked(X):
        raise ValueError("X has masked values; pass X.filled(np.nan)")
    if sparse.issparse(X) and gap == 0:
        raise ValueError(
            "missing_values=0 makes no sense for a sparse X, whose zeros are not stored: pass "
            "X.toarray(), or stored NaN for gaps"
        )
    try:
        X = validate_data(
            estimator,
            X,
            reset=reset,
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan" if np.isnan(gap) else True,
            accept_sparse=["csr", "csc", "coo"],
        )
    except ValueError as error:
        if "could not convert string" not in str(error):
            raise
        raise ValueError(
            f"X has text in it ({error}); take its columns of numbers, in pandas "
            'X.select_dtypes("number"), or leanrank.complete, which leaves text as it is'
        ) from error
    form = ""
    if sparse.issparse(X):
        form, X = X.format, X.toarray()
    if not np.isnan(gap):
        X = np.where(gap == X, np.array(np.nan, X.dtype), X)
    return X, form


def checked_bounds(low: Any, high: Any, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of each column, from a number for all or one for each; None for none."""
    found = []
    for bound, name, none in ((low, "min_value", -np.inf), (high, "max_value", np.inf)):
        values = np.asarray(none if bound is None else bound)
        if values.dtype.kind not in "fiu":
            raise TypeError(f"{name} must be a number or one for each column, got {bound!r}")
        if values.ndim > 1 or (values.ndim == 1 and values.size != p):
            raise ValueError(
                f"{name} must be a number or one for each of the {p} columns, got shape "
                f"{values.shape}"
            )
        if np.isnan(values).any():
            raise ValueError(f"{name} must not be NaN, got {bound!r}")
        found.append(np.broadcast_to(values.astype(float), (p,)))
    crossed = np.flatnonzero(~(found[0] < found[1]))
    if crossed.size:
        j = int(crossed[0])
        raise ValueError(
            f"min_value must be below max_value, got {found[0][j]:g} and {found[1][j]:g} for "
            f"column {j}"
        )
    return found[0], found[1]


@dataclass(frozen=True)
class Whole:
    """Which columns hold whole numbers only, and which only zeros and ones; shapes (p,)."""

    whole: np.ndarray
    binary: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray) -> Whole:
        """By the entries of a table with NaN for gaps."""
        seen = ~np.isnan(X)
        values = np.where(seen, X, 0.0)
        whole = np.all(values == np.round(values), axis=0) & seen.any(axis=0)
        return cls(whole, whole & np.all((values == 0.0) | (values == 1.0), axis=0))

    def rounded(self, X: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Those columns rounded, between bounds."""
        low, high = np.where(self.binary, 0.0, np.ceil(low)), np.where(self.binary, 1.0, high)
        return np.where(self.whole, np.clip(np.round(X), low, np.floor(high)), X)

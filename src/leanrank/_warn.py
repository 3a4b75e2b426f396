"""Warnings point at the line that called leanrank, through whatever calls it in turn."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn_caller"]

_PASSED = frozenset({"leanrank", "contextlib", "sklearn", "joblib"})
"""Packages whose lines tell the reader of a warning nothing: a pipeline is fitted within these."""


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn at the innermost line outside leanrank and scikit-learn; once for each such line.

    Parameters
    ----------
    message : str
    category : type
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _package(frame.f_globals) in _PASSED:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _package(names: dict[str, object]) -> str:
    return str(names.get("__name__", "")).partition(".")[0]

"""What verdicts share: from where on something holds."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["holds_from"]


def holds_from(values: Iterable[float], holds: Iterable[bool]) -> float:
    """The smallest of the values from which on all hold; infinite if the largest does not.

    Examples
    --------
    >>> holds_from([3, 6, 12, 30], [True, False, True, True])
    12.0
    """
    found = math.inf
    for value, good in sorted(zip(values, holds, strict=True), reverse=True):
        if not good:
            break
        found = float(value)
    return found

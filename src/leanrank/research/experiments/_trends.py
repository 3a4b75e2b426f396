"""What experiments over several axes share: their cells, and from where on something holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["cells_along", "holds_from", "values_along"]


def values_along(p: Mapping[str, Any], axis: str) -> Sequence[Any]:
    """Values of the parameter ``axis`` + "s", in order, the common one, ``axis``, among them.

    Examples
    --------
    >>> values_along({"rank": 3, "ranks": (1, 5)}, "rank")
    [1, 3, 5]
    """
    return sorted({p[axis], *p[f"{axis}s"]})


def cells_along(p: Mapping[str, Any], axes: Iterable[str]) -> list[dict[str, Any]]:
    """Settings in which one axis leaves its common value at a time; that of all once.

    Examples
    --------
    >>> cells_along({"k": 1, "ks": (2,), "r": 3, "rs": (3,)}, ["k", "r"])
    [{'k': 1, 'r': 3}, {'k': 2, 'r': 3}]
    """
    axes = list(axes)
    middle = {axis: p[axis] for axis in axes}
    cells: list[dict[str, Any]] = []
    for axis in axes:
        around = [{**middle, axis: x} for x in values_along(p, axis)]
        cells += [cell for cell in around if cell not in cells]
    return cells


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

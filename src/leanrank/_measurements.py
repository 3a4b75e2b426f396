"""Checks and scales of measurements y, and of the loss that goes with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import (
    Array,
    array_namespace,
    integers,
    is_numpy_array,
    like,
    norm,
    to_numpy,
)
from leanrank._guidance import measured_values
from leanrank.losses import Loss, Squared
from leanrank.operators import Measurement

__all__ = [
    "check_library",
    "check_loss",
    "check_measurements",
    "counted",
    "exact_tolerance",
    "measurement_scale",
]


_BLOCK = 1 << 16
"""Numbers at a time, where an array of all of them would cost more than what is computed."""


def check_measurements(op: Measurement, y: Any, name: str = "y", *, copy: bool = True) -> Array:
    """``y`` as a finite vector of m numbers in the namespace and dtype of the operator.

    Without a ``copy`` it may be the caller's own array, to be read only.
    """
    y = measured_values(op, y, name)
    if is_numpy_array(y):
        return like(y.copy() if copy else y, op.reference)
    return check_library(y, op, name).astype(y, op.reference.dtype)


def check_loss(op: Measurement, y: Array, loss: Loss | None) -> Loss:
    """The loss of the measurements ``y``, with what it estimates taken from them."""
    if loss is None:
        return Squared()
    if not isinstance(loss, Loss):
        raise TypeError(
            f"loss must be a Loss, such as leanrank.losses.Huber(), got {type(loss).__name__}"
        )
    if op.eliminated and not loss.plain:
        raise ValueError(
            f"loss must be Squared() without weights where op eliminates unknowns, got {loss!r}: "
            "eliminating is exact for that one only; for weights use "
            "Projected(Weighted(op, weights), basis) and weigh the basis, too"
        )
    return loss if loss.plain else loss.bound(y).fitted(-y)


def counted(
    op: Measurement, y: Array, loss: Loss, penalised: bool = False
) -> tuple[Measurement, Array, Loss]:
    """The measurements without those of weight zero, which nobody is to take for observed.

    Under a penalty the loss must not change in size: weights of the loss are relative, and those
    of the operator are not; nor are any where the loss is a sum.
    """
    weights = None if loss.weights is None else to_numpy(loss.weights)
    if not penalised:
        gains = to_numpy(op.gains())
        weights = gains if weights is None else weights * gains
    elif op.weight * op.size > 1.5:
        return op, y, loss
    if weights is None or weights.all():
        return op, y, loss
    index = np.flatnonzero(weights)
    if not index.size:
        raise ValueError("no measurement is left: each has weight zero, in op or in the loss")
    y = array_namespace(y).take(y, integers(index, y), axis=0)
    return op.subset(index), y, loss.subset(index).fitted(-y)


def check_library(x: Array, op: Measurement, name: str) -> Any:
    """The namespace that an array shares with an operator."""
    return _checks.one_library(x, op.reference, name, "the operator")


def exact_tolerance(reference: Array) -> float:
    """Relative residual that counts as an exact fit in the precision of ``reference``."""
    return 1e-12 if array_namespace(reference).finfo(reference.dtype).eps < 1e-10 else 4e-6


def measurement_scale(op: Measurement, y: Array, loss: Loss | None = None) -> float:
    r"""The number c for which y / c has loss 1 at the zero matrix; 0 if y is zero.

    Computed without overflow for any finite y. Of a loss, one whose numbers are known.
    """
    xp = array_namespace(y)
    largest = max(float(xp.max(y)), -float(xp.min(y)))
    if largest == 0:
        return 0.0
    if loss is None or loss.plain:
        ends = [*range(_BLOCK, op.size, _BLOCK), op.size]
        parts = [norm(y[start:end] / largest) for start, end in zip([0, *ends], ends, strict=False)]
        return largest * math.sqrt(op.weight) * math.hypot(*parts)
    total = float(xp.sum(loss.scaled(1.0 / largest).value(y / -largest)))
    return largest * math.sqrt(op.weight * total)

"""Checks at the border: each error names the argument, what came and what was expected."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from leanrank._arrays import Array, array_namespace, is_array, is_numpy_array, to_numpy

__all__ = [
    "flag",
    "float_dtype",
    "float_fields",
    "floating",
    "functions",
    "generator",
    "matrix_shape",
    "one_library",
    "positions",
    "real_array",
    "real_number",
    "reference",
    "seed",
    "whole_number",
]


def real_array(x: Any, name: str, *, ndim: int, remedy: str = "") -> Array:
    """``x`` as a finite, contiguous floating-point array with ``ndim`` axes."""
    if np.ma.is_masked(x):
        raise ValueError(f"{name} has masked values; leave them out before you pass it on")
    if not is_array(x) or np.ma.isMaskedArray(x) or isinstance(x, np.matrix):
        x = np.asarray(x)
    xp = array_namespace(x)
    if is_numpy_array(x) and x.dtype.kind not in "fiubc":
        raise TypeError(f"{name} must be real numbers, got dtype {x.dtype}")
    if xp.isdtype(x.dtype, "complex floating"):
        raise TypeError(
            f"{name} must be real, got dtype {x.dtype}; stack its real and imaginary parts"
        )
    if x.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension(s), got shape {tuple(x.shape)}")
    if not xp.isdtype(x.dtype, "real floating"):
        x = xp.astype(x, xp.float64)
    elif is_numpy_array(x) and x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float32 if x.dtype.itemsize < 4 else np.float64)
    if is_numpy_array(x) and not x.flags.c_contiguous:
        x = np.ascontiguousarray(x)
    # A finite sum settles it without an array of flags; a sum that overflows settles nothing.
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(xp.sum(x))
    if not math.isfinite(total) and not bool(xp.all(xp.isfinite(x))):
        bad = int(xp.sum(xp.astype(~xp.isfinite(x), xp.int64)))
        raise ValueError(f"{name} must be finite, got {bad} NaN or infinite value(s){remedy}")
    return x


def floating(x: Array, name: str) -> Array:
    """An array in floating point, converted if it holds integers."""
    xp = array_namespace(x)
    if xp.isdtype(x.dtype, "real floating"):
        return x
    if xp.isdtype(x.dtype, ("integral", "bool")):
        return xp.astype(x, xp.float64)
    raise TypeError(f"{name} must be real numbers, got dtype {x.dtype}")


def real_number(
    x: Any,
    name: str,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> float:
    """``x`` as a finite float with least <= x <= most and above < x < below."""
    if isinstance(x, bool) or not isinstance(x, numbers.Real):
        raise TypeError(f"{name} must be a number, got {x!r}")
    value = float(x)
    if not (math.isfinite(value) and least <= value <= most and above < value < below):
        bounds = [f"at least {least:g}"] if least > -math.inf else []
        bounds += [f"above {above:g}"] if above > -math.inf else []
        bounds += [f"at most {most:g}"] if most < math.inf else []
        bounds += [f"below {below:g}"] if below < math.inf else []
        wanted = " and ".join(["finite", *bounds])
        raise ValueError(f"{name} must be {wanted}, got {x!r}")
    return value


def float_fields(owner: Any, *names: str, **bounds: float) -> None:
    """Check number fields of a frozen dataclass, and keep them as Python floats.

    A NumPy scalar would lift float32 arrays to float64. None stays where it is the default.
    """
    for name in names:
        value = getattr(owner, name)
        if value is not None or getattr(type(owner), name, 0) is not None:
            object.__setattr__(owner, name, real_number(value, name, **bounds))


def whole_number(x: Any, name: str, *, least: int = 0, most: int | None = None) -> int:
    """``x`` as an int with least <= x <= most."""
    if isinstance(x, bool) or not isinstance(x, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {x!r}")
    value = int(x)
    if value < least or (most is not None and value > most):
        upper = "" if most is None else f" and at most {most}"
        raise ValueError(f"{name} must be at least {least}{upper}, got {value}")
    return value


def flag(x: Any, name: str) -> bool:
    """True or False."""
    if not isinstance(x, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {x!r}")
    return bool(x)


def functions(x: Any, name: str) -> tuple[Any, ...]:
    """Things to call, as a tuple."""
    if callable(x):
        raise TypeError(f"{name} must be a list of functions, got one by itself: put it in [ ]")
    for i, function in enumerate(listed := tuple(x)):
        if not callable(function):
            raise TypeError(f"{name}[{i}] must be a function, got {function!r}")
    return listed


def matrix_shape(shape: Any, name: str) -> tuple[int, int]:
    """A pair of positive integers."""
    try:
        n1, n2 = shape
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a pair (n1, n2), got {shape!r}") from None
    return whole_number(n1, f"{name}[0]", least=1), whole_number(n2, f"{name}[1]", least=1)


def one_library(x: Array, other: Array, name: str, owner: str) -> Any:
    """The namespace that an array shares with one of ``owner``'s."""
    try:
        return array_namespace(x, other)
    except TypeError:
        ours, theirs = (type(array).__module__.partition(".")[0] for array in (other, x))
        raise TypeError(
            f"{name} and {owner} must be arrays of one library, got {type(x).__name__} and "
            f"{type(other).__name__}: convert {name} from {theirs} to {ours}"
        ) from None


def positions(index: Any, name: str, size: int) -> np.ndarray:
    """A vector of integers in [0, size)."""
    index = to_numpy(index)
    if index.ndim != 1:
        raise ValueError(f"{name} must be a vector, got shape {index.shape}")
    if index.size and index.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got dtype {index.dtype}")
    index = index.astype(np.int64)
    if index.size and (index.min() < 0 or index.max() >= size):
        bad = index[(index < 0) | (index >= size)][0]
        raise ValueError(f"{name} must lie in [0, {size}), got {bad}")
    return index


def float_dtype(dtype: Any) -> np.dtype:
    """float32 or float64."""
    for known in (np.dtype(np.float32), np.dtype(np.float64)):
        try:
            if np.dtype(dtype) == known:
                return known
        except TypeError:
            break
    raise TypeError(f"dtype must be float32 or float64, got {dtype!r}")


def reference(x: Any) -> Array:
    """An array for its namespace, dtype and device; None stands for NumPy's float64."""
    if x is None:
        return np.empty(0)
    if not is_array(x):
        raise TypeError(f"reference must be an array, got {x!r}; an empty one of the dtype will do")
    return x


def generator(random_state: Any) -> np.random.Generator:
    """A NumPy Generator from a seed, a Generator or a scikit-learn style RandomState."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31 - 1))
    if isinstance(random_state, numbers.Integral):
        return np.random.default_rng(whole_number(random_state, "random_state"))
    if isinstance(random_state, np.random.Generator) or random_state is None:
        return np.random.default_rng(random_state)
    raise TypeError(f"random_state must be an int, a Generator or None, got {random_state!r}")


def seed(random_state: Any) -> int:
    """A seed drawn from a random state, for what is to repeat however often it is asked for."""
    return int(generator(random_state).integers(2**62))

"""The array namespace behind an array, and the few moves the standard does not spell out.

Everything but the Numba kernels is written against the Python array API standard, so that NumPy
arrays, strict arrays in tests and tensors on an accelerator go in and come out as such.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj, is_numpy_array, to_device
from array_api_compat import device as device_of

Array: TypeAlias = np.ndarray
"""What we give: an array of the library that the operator's arrays are of.

Type checkers are told NumPy's, which is the default; there is no type yet for all that follow the
array API standard.
"""

ArrayLike: TypeAlias = Any
"""What we take: an array of any library that follows the standard, or what NumPy makes one of."""

__all__ = [
    "Array",
    "ArrayLike",
    "MatrixLike",
    "array_namespace",
    "device_of",
    "gaussian",
    "integers",
    "is_array",
    "is_numpy_array",
    "like",
    "norm",
    "to_numpy",
]


class MatrixLike(Protocol):
    """What an adjoint returns: something with a shape that multiplies blocks of vectors."""

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def T(self) -> MatrixLike: ...

    def __matmul__(self, other: Array, /) -> Array: ...


def is_array(x: Any) -> bool:
    """Whether x is an array of some library, and not just something that multiplies."""
    return not isinstance(x, type) and is_array_api_obj(x)


def norm(x: Array) -> float:
    """Frobenius (Euclidean) norm of an array of any shape, as a Python float."""
    xp = array_namespace(x)
    with np.errstate(over="ignore"):
        return float(xp.linalg.vector_norm(xp.reshape(x, (-1,))))


def like(values: np.ndarray, reference: Array) -> Array:
    """NumPy ``values`` in the namespace, dtype and device of ``reference``."""
    if is_numpy_array(reference):
        return np.asarray(values, dtype=reference.dtype)
    xp = array_namespace(reference)
    return xp.asarray(values, dtype=reference.dtype, device=device_of(reference))


def integers(values: np.ndarray, reference: Array) -> Array:
    """NumPy integers or flags in the namespace and on the device of ``reference``."""
    if is_numpy_array(reference):
        return values
    return array_namespace(reference).asarray(values, device=device_of(reference))


def gaussian(rng: np.random.Generator, shape: tuple[int, ...], reference: Array) -> Array:
    """Standard normal entries, drawn by NumPy so that a seed means the same on every device."""
    return like(rng.standard_normal(shape), reference)


def to_numpy(x: Array) -> np.ndarray:
    """A NumPy copy of ``x`` (no copy if it is a NumPy array), from any device."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
    elif is_array(x) and not is_numpy_array(x):
        x = to_device(x, array_namespace(x).__array_namespace_info__().default_device())
    return np.asarray(x)

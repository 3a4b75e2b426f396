"""Posteriors on disk: draws as arrays, without pickle."""

from __future__ import annotations

from typing import Any

import numpy as np

from leanrank._files import FileError, PathLike
from leanrank._npz import read_arrays, write_arrays
from leanrank.factors import Factors
from leanrank.posterior import Posterior

__all__ = ["load_posterior", "posterior_arrays", "posterior_of", "save_posterior"]

_PREFIX = "posterior: "
_OPTIONAL = ("centres", "scores")


def save_posterior(path: PathLike, posterior: Posterior) -> None:
    """Write a posterior to an ``.npz``, whole or not at all.

    Raises
    ------
    FileError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib, leanrank as lr
    >>> inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=5, random_state=0)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "posterior.npz"
    >>> save_posterior(path, lr.posterior(inst.op, inst.y, draws=10))
    >>> load_posterior(path).size
    10
    """
    write_arrays(path, posterior_arrays(posterior))


def load_posterior(path: PathLike) -> Posterior:
    """A posterior from a file of :func:`save_posterior`.

    Raises
    ------
    FileError
        If the file cannot be read or holds something else.
    """
    try:
        found = posterior_of(read_arrays(path))
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise FileError(f"{path}: does not hold a posterior ({error})") from None
    if found is None:
        raise FileError(f"{path}: does not hold a posterior; see save_posterior")
    return found


def posterior_arrays(posterior: Posterior) -> dict[str, Any]:
    """What a file holds of a posterior."""
    arrays = {
        "U": posterior.factors.U,
        "V": posterior.factors.V,
        "left": posterior.left,
        "right": posterior.right,
        "noise": posterior.noise,
        "bounds": np.array(posterior.bounds),
        "method": np.array(posterior.method),
    }
    for name in _OPTIONAL:
        if getattr(posterior, name) is not None:
            arrays[name] = getattr(posterior, name)
    return {_PREFIX + name: array for name, array in arrays.items()}


def posterior_of(arrays: dict[str, np.ndarray]) -> Posterior | None:
    """The posterior among arrays of a file; None if there is none."""
    own = {name.removeprefix(_PREFIX): a for name, a in arrays.items() if name.startswith(_PREFIX)}
    if not own:
        return None
    factors = Factors(own["U"], own["V"])
    _check(own, factors)
    low, high = own["bounds"].tolist()
    return Posterior(
        factors,
        own["left"],
        own["right"],
        own["noise"],
        centres=own.get("centres"),
        bounds=(low, high),
        scores=own.get("scores"),
        method=str(own["method"]),
    )


def _check(own: dict[str, np.ndarray], factors: Factors) -> None:
    """Raise ValueError where arrays do not fit each other, or do not hold numbers as they must."""
    (n1, n2), draws = factors.shape, own["left"].shape
    if len(draws) != 3 or draws[:2] != (draws[0], n1) or not draws[0]:
        raise ValueError(f"draws of {n1} rows of shape {draws}")
    shapes = {
        "left": draws,
        "right": (draws[0], n2, draws[2]),
        "centres": draws,
        "noise": (n2,),
        "bounds": (2,),
        "scores": (own["scores"].size,) if "scores" in own and own["scores"].size else (1,),
    }
    for name, shape in shapes.items():
        if name not in own and name in _OPTIONAL:
            continue
        array = own[name]
        if array.shape != shape or array.dtype.kind != "f":
            raise ValueError(f"{name} of {array.dtype} and shape {array.shape}")
        # Of few readings calibrated intervals may be infinite, and bounds need not be.
        if np.isnan(array).any() or (
            name not in ("bounds", "scores") and not np.isfinite(array).all()
        ):
            raise ValueError(f"{name} holds NaN or infinite values")
    if (own["noise"] < 0).any() or own["bounds"][0] >= own["bounds"][1]:
        raise ValueError("noise that is negative, or bounds that cross")

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
    low, high = own["bounds"].tolist()
    left, right = own["left"], own["right"]
    factors = Factors(own["U"], own["V"])
    if left.ndim != 3 or right.ndim != 3 or left.shape[::2] != right.shape[::2]:
        raise ValueError(f"draws of shapes {left.shape} and {right.shape}")
    if (left.shape[1], right.shape[1]) != factors.shape:
        raise ValueError(f"draws of a matrix of another shape than {factors.shape}")
    if own["noise"].shape != (factors.shape[1],):
        raise ValueError(f"noise of shape {own['noise'].shape}")
    return Posterior(
        factors,
        left,
        right,
        own["noise"],
        centres=own.get("centres"),
        bounds=(low, high),
        scores=own.get("scores"),
        method=str(own["method"]),
    )

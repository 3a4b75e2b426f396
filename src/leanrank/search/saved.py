"""Saved runs: what a run of recover has done so far, so that another can go on from there.

A run is a chain of fits, and what lies between them is short and repeats by the seed. So what must
be kept are the factors that each finished fit ended with: a run that goes on from them takes the
same steps without computing these fits again, and comes to the same answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leanrank._arrays import Array, like, to_numpy
from leanrank.factors import Factors

__all__ = ["AnotherRunError", "FinishedFits", "SavedRun", "fingerprint"]

_FIT = "fit: "
_FINGERPRINT = "fingerprint"
_START = "start"


class AnotherRunError(ValueError):
    """A checkpoint that was given to a run which is not the one that it was made by."""

    def __init__(self) -> None:
        super().__init__(
            "start is the checkpoint of another run: its measurements, settings or seed differ; "
            "pass start=start.factors to begin anew from its factors"
        )


def fingerprint(y: Array, settings: Mapping[str, Any]) -> str:
    """What tells one run from another: a digest of measurements and settings."""
    digest = hashlib.sha256(np.ascontiguousarray(to_numpy(y)).data)
    for name in sorted(settings):
        digest.update(f"\n{name}={settings[name]!r}".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class SavedRun:
    """A run of :func:`leanrank.recover` that was cut short, to be given back as its ``start``.

    Attributes
    ----------
    factors : Factors
        What the run would have returned, in the units of y.
    fingerprint : str
        Of its measurements and settings: a run goes on only with the same.
    fits : tuple of (str, ndarray)
        Phase and stacked factors, in unit scale, of the fits that it had finished.
    start : Factors or None
        What the run itself had started from, in the units of y.
    """

    factors: Factors
    fingerprint: str
    fits: tuple[tuple[str, np.ndarray], ...] = ()
    start: Factors | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """As named arrays, U and V (U alone if symmetric) among them."""
        found = {"U": to_numpy(self.factors.U)}
        if not self.factors.symmetric:
            found["V"] = to_numpy(self.factors.V)
        found[_FINGERPRINT] = np.array(self.fingerprint)
        if self.start is not None:
            found[_START] = to_numpy(self.start.W)
        for i, (phase, W) in enumerate(self.fits):
            found[f"{_FIT}{i} {phase}"] = W
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> SavedRun:
        """The inverse of :meth:`arrays`.

        Raises
        ------
        KeyError, ValueError, TypeError
            If the arrays are those of something else.
        """
        factors = Factors(arrays["U"], arrays.get("V"))
        if not np.isfinite(factors.W).all():
            raise ValueError("the factors hold NaN or infinite values")
        fits: dict[int, tuple[str, np.ndarray]] = {}
        for name, W in arrays.items():
            if name.startswith(_FIT):
                number, phase = name.removeprefix(_FIT).split(" ", 1)
                if W.ndim != 2 or W.shape[0] != factors.W.shape[0] or not np.isfinite(W).all():
                    raise ValueError(f"array '{name}' holds no factors of this matrix")
                fits[int(number)] = (phase, W)
        if sorted(fits) != list(range(len(fits))):
            raise ValueError("some of the finished fits are missing")
        start = factors.with_stacked(arrays[_START]) if _START in arrays else None
        ordered = tuple(fits[i] for i in range(len(fits)))
        return cls(factors, str(arrays[_FINGERPRINT]), ordered, start)


@dataclass
class FinishedFits:
    """The fits that a run has finished, and those that an earlier one had.

    Attributes
    ----------
    fits : list of (str, ndarray)
        In order.
    known : tuple of (str, ndarray)
        Fits that need not be computed again.
    """

    known: tuple[tuple[str, np.ndarray], ...] = ()
    fits: list[tuple[str, np.ndarray]] = field(default_factory=list)

    def known_result(self, phase: str, factors: Factors) -> Factors | None:
        """Where the next fit ends, if an earlier run has finished it."""
        if len(self.fits) >= len(self.known):
            return None
        known_phase, W = self.known[len(self.fits)]
        if known_phase != phase or W.shape[0] != factors.W.shape[0]:
            raise ValueError(
                f"start is a checkpoint that does not fit this run: its fit {len(self.fits)} is of "
                f"phase {known_phase!r}, this run's of {phase!r}; start from its factors instead"
            )
        return factors.with_stacked(like(W, factors.W))

    def result(self, phase: str, factors: Factors, compute: Callable[[], Factors]) -> Factors:
        """Where a fit ends, computed if no earlier run has finished it."""
        known = self.known_result(phase, factors)
        found = compute() if known is None else known
        self.add(phase, found)
        return found

    def add(self, phase: str, factors: Factors) -> None:
        """Keep the result of the fit that has just been finished."""
        self.fits.append((phase, to_numpy(factors.W)))

"""Checkpoints of sweeps: a search that was interrupted goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from leanrank._files import FileError, PathLike
from leanrank._npz import read_arrays, write_arrays
from leanrank.posterior import Blocks
from leanrank.search.saved import AnotherRunError, fingerprint
from leanrank.search.sweeping import Stage

__all__ = ["Checkpoint"]

_SHARE = 0.1
"""Of the time, at most, that goes into writing."""


@dataclass
class Checkpoint:
    """A file that a search is kept in.

    Attributes
    ----------
    path : Path or None
        None keeps nothing.
    digest : str
        Of entries and settings.
    seed : int
        Of the search: that of the file, if there is one.
    arrays : dict
        What the file held.
    """

    path: Path | None
    digest: str
    seed: int
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    _next: float = 0.0

    @classmethod
    def at(
        cls, path: PathLike | None, entries: Blocks, settings: Mapping[str, Any], seed: int
    ) -> Checkpoint:
        """The checkpoint in a file, or a new one.

        Raises
        ------
        AnotherRunError
            If it is of other entries or settings.
        FileError
            If the file is something else.
        """
        if path is None:
            return cls(None, "", seed)
        place = Path(path)
        counts, squares = entries.sums()
        told = {**settings, "shape": entries.shape, "size": entries.size}
        digest = fingerprint(np.concatenate([counts, squares]), told)
        if not place.exists():
            return cls(place, digest, seed)
        arrays = read_arrays(place)
        if "digest" not in arrays or "seed" not in arrays:
            raise FileError(f"{path}: is no checkpoint; choose another name")
        if str(arrays["digest"]) != digest:
            raise AnotherRunError
        return cls(place, digest, int(arrays["seed"]), arrays)

    def stage(self, entries: Blocks) -> Stage | None:
        """What was known; None if nothing was."""
        return Stage.from_arrays(self.arrays, entries) if self.arrays else None

    def keep(self, stage: Stage) -> None:
        """Write what is known, unless it takes too much of the time."""
        begun = time.monotonic()
        if self.path is None or begun < self._next:
            return
        own = {"digest": np.array(self.digest), "seed": np.array(self.seed)}
        write_arrays(self.path, stage.arrays() | own, compressed=False)
        self._next = begun + (time.monotonic() - begun) / _SHARE

    def remove(self) -> None:
        """Nothing is left to go on with."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

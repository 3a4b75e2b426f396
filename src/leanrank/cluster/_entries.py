"""Observed entries that the workers of a cluster hold, some rows each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeVar

import dask
import numpy as np
from distributed import CancelledError, Client, KilledWorker

from leanrank.posterior import Block, Blocks, Entries, Team

__all__ = ["EntriesOnCluster"]

_T = TypeVar("_T")

_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before a piece of work is sent again, since a worker died that had been sent it.

Others may take a while to be told of it, and one in its place a while to begin.
"""


@dataclass(frozen=True)
class EntriesOnCluster(Blocks):
    """Observed entries in parts of consecutive rows, held by workers.

    What is asked of all entries is computed where they are; sums are taken in the order of the
    parts, so that they are the same, bit by bit, on one worker and on many.

    Attributes
    ----------
    client : distributed.Client
    parts : tuple of Future
        Of ``leanrank.posterior.Entries``, their rows numbered from zero.
    row_ends, ends : ndarray of int64, shape (parts + 1,)
        Rows and entries before each part, and in all.
    shape : tuple of int
    weighted : bool
    omitted : ndarray of int64
    """

    client: Client
    parts: tuple[Any, ...]
    row_ends: np.ndarray
    ends: np.ndarray
    shape: tuple[int, int]
    weighted: bool = False
    omitted: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(float)

    @property
    def stored(self) -> int:
        return int(self.ends[-1])

    def _read(self) -> Iterator[Block]:
        raise TypeError("entries on a cluster are not read here; ask each part of them")

    def without(self, places: np.ndarray) -> EntriesOnCluster:
        parts = tuple(
            self.client.submit(Entries.without, part, own, pure=False)
            for part, own in zip(self.parts, self._dealt(places), strict=True)
        )
        return replace(self, parts=parts, omitted=places)

    def at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        asked = [
            self.client.submit(Entries.at, part, own, pure=False)
            for part, own in zip(self.parts, self._dealt(places), strict=True)
        ]
        rows, cols, y, weights = zip(*self.client.gather(asked), strict=True)
        numbered = [own + first for own, first in zip(rows, self.row_ends, strict=False)]
        joined = (np.concatenate(parts) for parts in (numbered, cols, y, weights))
        return tuple(joined)  # type: ignore[return-value]

    def each(
        self,
        work: Callable[..., _T],
        *common: Any,
        of_rows: tuple[np.ndarray, ...] = (),
        team: Team,
    ) -> list[_T]:
        for pause in _PAUSES:
            with suppress(CancelledError, KilledWorker, OSError):
                return self._asked(work, common, of_rows)
            time.sleep(pause)
        return self._asked(work, common, of_rows)

    def _asked(
        self, work: Callable[..., _T], common: tuple[Any, ...], of_rows: tuple[np.ndarray, ...]
    ) -> list[_T]:
        """What the workers make of their parts, if none of them dies meanwhile."""
        # Sent once, not once with each part; and as work, so that it can be sent again: what is
        # scattered is lost with the last worker that holds it, and hangs while one dies.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
            sent = self.client.submit(tuple, list(common), pure=False)
        rows = [slice(*ends) for ends in pairwise(self.row_ends)]
        asked = [
            self.client.submit(_worked, part, work, sent, tuple(x[at] for x in of_rows), pure=False)
            for part, at in zip(self.parts, rows, strict=True)
        ]
        return list(self.client.gather(asked))

    def _dealt(self, places: np.ndarray) -> list[np.ndarray]:
        """Places of entries as those in each part."""
        cuts = np.searchsorted(places, self.ends[1:-1])
        return [
            own - start for own, start in zip(np.split(places, cuts), self.ends[:-1], strict=True)
        ]


def _worked(
    part: Entries, work: Callable[..., _T], common: tuple[Any, ...], of_rows: tuple[np.ndarray, ...]
) -> _T:
    """On a worker, whose threads have a part each."""
    return work(part, *common, *of_rows, Team())

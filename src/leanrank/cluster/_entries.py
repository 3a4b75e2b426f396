"""Observed entries that the workers of a cluster hold, some rows each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from distributed import CancelledError, Client, KilledWorker

from leanrank.posterior import Block, Blocks, Entries, Team

__all__ = ["EntriesOnCluster"]

_T = TypeVar("_T")

_TRIES = 3
"""Of a piece of work: what was sent to a worker that died is lost, and sent again."""


@dataclass(frozen=True)
class EntriesOnCluster(Blocks):
    """Observed entries in parts of consecutive rows, held by workers.

    What is asked of all entries is computed where they are; sums are taken in the order of the
    parts, so that they are the same, bit by bit, on one worker and on many.

    Attributes
    ----------
    client : distributed.Client
    parts : tuple of Future
        Of :class:`~leanrank.posterior.Entries`, their rows numbered from zero.
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
        return EntriesOnCluster(
            self.client, parts, self.row_ends, self.ends, self.shape, self.weighted, places
        )

    def at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        asked = [
            self.client.submit(Entries.at, part, own, pure=False)
            for part, own in zip(self.parts, self._dealt(places), strict=True)
        ]
        found = self.client.gather(asked)
        rows = [own[0] + first for own, first in zip(found, self.row_ends, strict=False)]
        return np.concatenate(rows), *(np.concatenate([own[i] for own in found]) for i in (1, 2, 3))

    def each(
        self,
        work: Callable[..., _T],
        *common: Any,
        of_rows: tuple[np.ndarray, ...] = (),
        team: Team,
    ) -> list[_T]:
        for left in reversed(range(_TRIES)):
            # Once to each worker, not once with each part.
            (sent,) = self.client.scatter([common], broadcast=True, hash=False)
            asked = [
                self.client.submit(
                    _worked, part, work, sent,
                    tuple(x[self.row_ends[i] : self.row_ends[i + 1]] for x in of_rows), pure=False,
                )
                for i, part in enumerate(self.parts)
            ]  # fmt: skip
            try:
                return list(self.client.gather(asked))
            except (CancelledError, KilledWorker):
                if not left:
                    raise
        raise AssertionError("unreachable")

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

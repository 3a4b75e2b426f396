"""What a jump to lower rank is, seen record by record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leanrank import _checks

__all__ = ["JumpWatch", "sane"]

_WILD = 10.0


@dataclass
class JumpWatch:
    """Watches a singular value beside the first, and dates its fall to nothing.

    Parameters
    ----------
    rank : int
        The one that is watched comes after so many.
    tol : float
        A fall begins where it is below this share of the first
    floor : float
        and is decided where it is below this share of the first, and of what the first was before:
        it has to fall, not the first to rise.

    Attributes
    ----------
    jumped : int
        The step at which it fell below ``tol`` for good, once that is decided; -1 until then.

    Examples
    --------
    >>> watch = JumpWatch()
    >>> [watch.see(step, [1.0, s]) for step, s in enumerate([0.01, 0.3, 0.01, 1e-9])]
    [False, False, False, True]
    >>> watch.jumped
    2
    """

    rank: int = 1
    tol: float = 0.02
    floor: float = 1e-6
    jumped: int = -1
    _since: int = -1
    _before: float = math.inf

    def __post_init__(self) -> None:
        _checks.whole_number(self.rank, "rank", least=1)
        _checks.real_number(self.floor, "floor", above=0.0)
        _checks.real_number(self.tol, "tol", least=self.floor)

    def see(self, step: int, singular_values: Sequence[float] | np.ndarray) -> bool:
        """Take a record; whether there was a jump, now or before.

        After one of NaN no fall counts that begins before the next above ``tol``.
        """
        if self.jumped >= 0:
            return True
        first, other = singular_values[0], singular_values[self.rank]
        if not other < self.tol * first:
            self._since, self._before = -1, first
        elif self._since < 0:
            self._since = step
        if other < self.floor * first and other < self.floor * self._before:
            self.jumped = self._since
        return self.jumped >= 0


def sane(singular_values: np.ndarray, losses: np.ndarray, largest_square: float) -> np.ndarray:
    """Singular values (..., k), but NaN where a run blows up.

    There the second is soon below any share of the first, and then lost in its rounding, while all
    is finite: what tells are squared residuals far above any squared measurement.
    """
    wild = np.asarray(losses)[..., None] > _WILD * largest_square
    return np.where(wild, np.nan, singular_values)

"""What a jump to lower rank is, seen record by record."""

from __future__ import annotations

from dataclasses import dataclass

from leanrank import _checks

__all__ = ["JumpWatch"]


@dataclass
class JumpWatch:
    """Watches the ratio of a singular value to the first, and dates its fall to nothing.

    Parameters
    ----------
    tol : float
        Where a fall begins.
    floor : float
        Where it is decided.

    Attributes
    ----------
    jumped : int
        The step at which the ratio fell below ``tol`` for good, once it is decided; -1 until then.

    Examples
    --------
    >>> watch = JumpWatch()
    >>> [watch.see(step, ratio) for step, ratio in enumerate([0.01, 0.3, 0.01, 1e-9])]
    [False, False, False, True]
    >>> watch.jumped
    2
    """

    tol: float = 0.02
    floor: float = 1e-6
    jumped: int = -1
    _since: int = -1

    def __post_init__(self) -> None:
        _checks.real_number(self.floor, "floor", above=0.0)
        _checks.real_number(self.tol, "tol", least=self.floor)

    def see(self, step: int, ratio: float) -> bool:
        """Take a record; whether there was a jump, now or before."""
        if self.jumped >= 0:
            return True
        if not ratio < self.tol:
            self._since = -1
        elif self._since < 0:
            self._since = step
        if ratio < self.floor:
            self.jumped = self._since
        return self.jumped >= 0

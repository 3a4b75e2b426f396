"""Deadline: the callback that every run with a time limit has."""

from __future__ import annotations

import time

from leanrank import _checks
from leanrank.solvers._base import State

__all__ = ["Deadline"]


class Deadline:
    """Stops a run some time after this object was made.

    Parameters
    ----------
    seconds : float
        Above 0.

    Raises
    ------
    ValueError, TypeError
        If ``seconds`` is not a positive number.

    Examples
    --------
    >>> import numpy as np, leanrank as lr
    >>> inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
    >>> lr.recover(inst.op, inst.y, callbacks=[Deadline(1e-6)]).status
    <Status.STOPPED: 'stopped'>
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = _checks.real_number(seconds, "seconds", above=0)
        self._end = time.monotonic() + self.seconds

    def __call__(self, state: State) -> bool:
        return time.monotonic() >= self._end

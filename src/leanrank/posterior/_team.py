"""Threads that share a piece of work, and come to the same whatever their number."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise

import numpy as np

__all__ = ["Team"]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Team:
    """So many threads, kept for the next piece of work.

    Parameters
    ----------
    threads : int or None
        None for as many as there are cores for this process.
    """

    def __init__(self, threads: int | None = 1) -> None:
        self.threads = _cores() if threads is None else threads

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.threads)

    def split(
        self, n: int, work: Callable[[int, int], object], ptr: np.ndarray | None = None
    ) -> None:
        """Deal 0 to n out: ``work(first, last)`` is called for each part.

        Parameters
        ----------
        n : int
        work : callable
            Parts do not depend on each other.
        ptr : ndarray of int, shape (n + 1,), optional
            How much work there is before each: parts have as much of it, one as the other.
        """
        if self.threads == 1 or n < 2:
            work(0, n)
            return
        if ptr is None:
            edges = np.linspace(0, n, self.threads + 1).astype(int)
        else:
            shares = np.linspace(ptr[0], ptr[-1], self.threads + 1)[1:-1]
            edges = np.concatenate([[0], np.searchsorted(ptr, shares), [n]])
        jobs = [self._pool.submit(work, int(a), int(b)) for a, b in pairwise(edges) if a < b]
        for job in jobs:
            job.result()

"""What runs leave behind, and what can be read off it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank.research.deep._factors import DeepFactors
from leanrank.research.deep._jumps import JumpWatch, sane
from leanrank.results import Status

__all__ = ["Training"]


@dataclass(frozen=True)
class Training:
    """What runs of :func:`train` leave behind, all of them over the same records.

    Attributes
    ----------
    steps : ndarray of int, shape (T,)
        When records were taken, 0 among them.
    singular_values : ndarray, shape (T, runs, k)
        Of the products; NaN where a run was at its end.
    losses : ndarray, shape (T, runs)
        Mean squared residual of what was drawn since the record before; NaN at first.
    networks : tuple of DeepFactors
        At the end; of a run that diverged, at its last finite record, or up to 4096 steps before
        it diverged if there is none among these.
    kept : dict
        Networks of the runs at the steps that were asked for, None for a run that had ended.
    statuses : tuple of Status
        MAX_ITER where the schedule was run to its end, STOPPED at the rank that was waited for or
        by Ctrl-C, DIVERGED.
    messages : tuple of str
        Why, with phase and step.
    largest_square : float
        Of the measurements: losses far above it are those of a run that blows up.
    products : ndarray, shape (T, runs, n1, n2), or None
        At the records, NaN where a run was at its end, if they were asked for.
    """

    steps: np.ndarray
    singular_values: np.ndarray
    losses: np.ndarray
    networks: tuple[DeepFactors, ...]
    kept: dict[int, tuple[DeepFactors | None, ...]]
    statuses: tuple[Status, ...]
    messages: tuple[str, ...]
    largest_square: float
    products: np.ndarray | None = None

    def ratios(self, rank: int = 1) -> np.ndarray:
        """Singular value number ``rank`` + 1 of each product over the first, shape (T, runs)."""
        s = self.singular_values
        rank = _checks.whole_number(rank, "rank", least=1, most=s.shape[2] - 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return s[:, :, rank] / s[:, :, 0]

    def jumps(self, rank: int = 1, *, tol: float = 0.02, floor: float = 1e-6) -> np.ndarray:
        """When each run jumped to ``rank`` or less, -1 where it did not, shape (runs,).

        Parameters
        ----------
        rank : int
        tol : float
            A jump is where singular value number ``rank`` + 1 falls below this share of the first
        floor : float
            and goes on to below this one without coming back above ``tol``. A start at which one
            direction grows before the others passes the first, not the second. The fall of a run
            that blows up, its losses ten times ``largest_square``, does not count.

        Raises
        ------
        ValueError, TypeError
            If a number is out of range.
        """
        most = self.singular_values.shape[2] - 1
        rank = _checks.whole_number(rank, "rank", least=1, most=most)
        seen = sane(self.singular_values, self.losses, self.largest_square)
        times = []
        for run in range(len(self.networks)):
            watch = JumpWatch(rank, tol, floor)
            for step, values in zip(self.steps, seen[:, run], strict=True):
                if watch.see(int(step), values):
                    break
            times.append(watch.jumped)
        return np.array(times)

    def largest_after_jump(
        self, rank: int = 1, *, settling: int = 0, **options: float
    ) -> np.ndarray:
        """The largest ratio of singular values since each run's jump, shape (runs,).

        A jump is one-way if that is at rounding. Infinite for a run that diverged after it; NaN
        where there was no jump or no record since.

        Parameters
        ----------
        rank : int
        settling : int
            Steps from the jump on in which what falls may be on its way.
        **options
            ``tol`` and ``floor`` of :meth:`jumps`.

        Raises
        ------
        ValueError, TypeError
            If a number is out of range.
        """
        settling = _checks.whole_number(settling, "settling")
        jumps, ratios = self.jumps(rank, **options), self.ratios(rank)
        since = (jumps >= 0) & (self.steps[:, None] >= jumps + settling)
        largest = np.fmax.reduce(np.where(since, ratios, np.nan), axis=0)
        diverged = np.array([status is Status.DIVERGED for status in self.statuses])
        return np.where((jumps >= 0) & diverged, np.inf, largest)

    def errors(self, target: np.ndarray, entries: Any = None) -> np.ndarray:
        """Relative error of each final product, shape (runs,).

        Parameters
        ----------
        target : array, shape (n1, n2)
        entries : pair of index arrays, optional
            Rows and columns of the entries that count; all of them if left out.
        """
        target = _checks.real_array(target, "target", ndim=2)
        if target.shape != self.networks[0].shape:
            raise ValueError(
                f"target must be of shape {self.networks[0].shape}, got {target.shape}"
            )
        where = (slice(None), slice(None)) if entries is None else tuple(entries)
        size = np.linalg.norm(target[where])
        return (
            np.array([np.linalg.norm((n.product() - target)[where]) for n in self.networks]) / size
        )

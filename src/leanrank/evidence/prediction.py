"""Prediction: whether measurements that a fit has not seen come out as it says."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from leanrank.policy import EvidencePolicy

__all__ = ["NORMAL", "Prediction", "inside_by_halves"]

NORMAL = 1.959963984540054
"""Half the length of a 95 % interval in standard deviations."""


def inside_by_halves(scores: np.ndarray) -> np.ndarray:
    """Which misses, in standard deviations, lie in 95 % intervals that are calibrated.

    Each half in those that the other half asks for: the first half before the second.
    """
    if scores.size < 2:
        return scores <= NORMAL
    halves = scores[::2], scores[1::2]
    limits = [np.quantile(half, 0.95) for half in halves]
    return np.concatenate([halves[0] <= limits[1], halves[1] <= limits[0]])


@dataclass(frozen=True)
class Prediction:
    """How well measurements that were held out are predicted.

    Attributes
    ----------
    error, baseline : float
        Root mean squares of what they are missed by, by the predictor and by means, over that of
        the measurements themselves.
    gain : float
        How much lower the squared errors are than those of means, in standard errors.
    coverage : float or None
        Share of them inside their 95 % intervals; None where there are none.
    size : int
        Number of measurements that were held out.
    in_hole : float
        Share of the unobserved entries that lie in a block of which nothing was observed: what
        was held out is not like them.
    apart : float
        Share of them that join rows and columns which no chain of observed entries joins, or two
        parts that too few do.
    guessed : float
        Share of them in rows and columns that have too few measurements to be determined, and no
        prior.

    Examples
    --------
    >>> y = np.array([1.0, -1.0, 2.0, -2.0])
    >>> print(Prediction.of(y, y + 0.1, np.zeros(4), np.full(4, 0.1)))
    4 held-out measurements are missed by 6.3 % (means miss them by 100.0 %), and 100 % of them lie in their 95 % intervals
    """  # noqa: E501

    error: float
    baseline: float
    gain: float
    coverage: float | None
    size: int
    in_hole: float = 0.0
    apart: float = 0.0
    guessed: float = 0.0

    @classmethod
    def of(
        cls,
        y: np.ndarray,
        predicted: np.ndarray,
        means: np.ndarray,
        deviation: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> Prediction:
        """From held-out measurements, what two predictors make of them, and their deviations.

        Parameters
        ----------
        y, predicted, means : ndarray, shape (held,)
        deviation : ndarray, shape (held,), optional
            Standard deviations of y about ``predicted``.
        weights : ndarray, shape (held,), optional
            Inverse variances up to a constant.
        """
        w = np.ones(y.size) if weights is None else weights
        inside = None if deviation is None else np.abs(predicted - y) <= NORMAL * deviation
        missed, of_means = w * (predicted - y) ** 2, w * (means - y) ** 2
        return cls.of_costs(missed, of_means, w * y**2, inside)

    @classmethod
    def of_costs(
        cls,
        missed: np.ndarray,
        of_means: np.ndarray,
        whole: np.ndarray,
        inside: np.ndarray | None = None,
    ) -> Prediction:
        """From what missing each measurement costs, by some loss.

        Parameters
        ----------
        missed, of_means, whole : ndarray, shape (held,)
            Costs of the predictor, of means, and of zero.
        inside : ndarray of bool, optional
            Which measurements lie in their intervals.
        """
        saved = of_means - missed
        noise = float(saved.std()) / math.sqrt(saved.size)
        gain = 0.0
        if saved.any():
            gain = float(saved.mean()) / noise if noise > 0 else math.inf * np.sign(saved.mean())
        unit = float(np.mean(whole)) or 1.0
        error, baseline = (math.sqrt(float(np.mean(x)) / unit) for x in (missed, of_means))
        coverage = None if inside is None or not inside.size else float(np.mean(inside))
        return cls(error, baseline, gain, coverage, int(saved.size))

    def beats_means(self, policy: EvidencePolicy) -> bool:
        """Whether held-out measurements are missed clearly less than by means."""
        return self.error <= policy.predicted * self.baseline and self.gain >= policy.gain

    def reasons(self, policy: EvidencePolicy) -> tuple[str, ...]:
        """Why unseen entries do not count as predicted; empty if they do."""
        found = []
        if not self.beats_means(policy):
            advice = "use the means, or take more measurements"
            if self.error <= policy.predicted * self.baseline:
                advice = "that they are lower may be chance, so take more measurements"
            found.append(f"these errors are not clearly below those of means: {advice}")
        if self.coverage is not None:
            # Either half is held against what the other asks for, which varies as much again.
            chance = 2.0 * math.sqrt(2.0 * 0.95 * 0.05 / self.size)
            if self.coverage < policy.least_coverage - chance:
                found.append("these intervals hold too few: do not rely on them, or calibrate them")
        if self.in_hole > policy.in_hole:
            found.append(
                f"{self.in_hole:.0%} of what is missing lies in one block of which nothing was "
                "observed, and measurements held out at random say nothing of it: observe some of "
                "it, or leave it out"
            )
        if self.apart > policy.in_hole:
            found.append(
                f"{self.apart:.0%} of what is missing joins parts that no chain of measurements "
                "joins, or too few of them, so that nothing tells it: measure some of it, or "
                "complete the parts one by one"
            )
        if self.guessed > policy.in_hole:
            found.append(
                f"{self.guessed:.0%} of what is missing lies in rows and columns that have too few "
                "measurements, and is a guess: observe more of them, or leave them out"
            )
        return tuple(found)

    def __str__(self) -> str:
        text = (
            f"{self.size} held-out measurements are missed by {100 * self.error:.1f} % (means miss "
            f"them by {100 * self.baseline:.1f} %)"
        )
        if self.coverage is not None:
            text += f", and {100 * self.coverage:.0f} % of them lie in their 95 % intervals"
        return text

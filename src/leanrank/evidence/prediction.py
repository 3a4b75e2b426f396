"""Prediction: whether measurements that a fit has not seen come out as it says."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from leanrank.policy import EvidencePolicy

__all__ = ["Prediction"]


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
        w = np.ones(y.size) if weights is None else weights / weights.mean()
        missed, whole = w * (predicted - y) ** 2, float(np.mean(w * y**2))
        of_means = w * (means - y) ** 2
        saved = of_means - missed
        noise = float(saved.std()) / math.sqrt(y.size)
        gain = float(saved.mean()) / noise if noise > 0 else math.copysign(math.inf, saved.mean())
        coverage = None
        if deviation is not None:
            coverage = float(np.mean(np.abs(predicted - y) <= _NORMAL * deviation))
        unit = whole or 1.0
        error, baseline = (math.sqrt(float(np.mean(x)) / unit) for x in (missed, of_means))
        return cls(error, baseline, gain if saved.any() else 0.0, coverage, int(y.size))

    def reasons(self, policy: EvidencePolicy) -> tuple[str, ...]:
        """Why unseen entries do not count as predicted; empty if they do."""
        found = []
        better = self.error <= policy.predicted * self.baseline and self.gain >= policy.gain
        if not better:
            found.append(
                f"held-out measurements are missed by {self.error:.1%}, not clearly less than by "
                f"means ({self.baseline:.1%}): use the means, or take more measurements"
            )
        if self.coverage is not None:
            chance = 2.0 * math.sqrt(0.95 * 0.05 / self.size)
            if self.coverage < policy.least_coverage - chance:
                found.append(
                    f"95 % intervals hold {self.coverage:.0%} of the held-out measurements: do not "
                    "rely on intervals, or calibrate them"
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


_NORMAL = 1.959963984540054

"""The local phase of sensing from a small start: Theorems 6.2 and 4.3 of Wind (2025)."""

from __future__ import annotations

import math

from leanrank import _checks
from leanrank.factors import Factors
from leanrank.linalg import singular_value
from leanrank.research.theory._assumption import FlowAssumption
from leanrank.research.theory._asymmetric import WarmUp

__all__ = ["LocalConvergence"]


class LocalConvergence:
    r"""How the error falls once the target is found, Theorem 6.2 of Wind (2025).

    From the time :math:`T_1 = \tfrac5{4\sigma_r}\log(\alpha^2\sigma_r/|W_0|^2)` to the end of the
    warm-up's, T_2,

    1. :math:`|R_t| \le M_t`
    2. :math:`|P_0 W_t Q_t| \le \tfrac25 M_t/\sqrt{|Y|}`

    with :math:`M_t = \max\big(3|Y| e^{-\frac25\sigma_r (t - T_1)}, M_\infty\big)` and

    .. math:: M_\infty = 64(\beta\gamma\kappa + \sqrt\kappa)\,|W_0|^2
        e^{6\sqrt\alpha\,\delta|Y|T_2} + 10^3\mu\kappa|Y|

    Parameters
    ----------
    warm_up : WarmUp
        The start, the target and theta.
    assumption : FlowAssumption
        What the perturbations satisfy.

    Attributes
    ----------
    start, end : float
        T_1 and T_2.
    floor : float
        :math:`M_\infty`, what the error is at most at T_2.

    Notes
    -----
    The power of :math:`|W_0|^2` in the floor is :math:`1 - \tfrac{15}{16}\theta`; the paper rounds
    it to :math:`1 - \theta` (:meth:`final_bound`), eq. (22), which is Theorem 4.3 with its open
    constants C_1 = 64 and C_2 = 1000.
    """

    def __init__(self, warm_up: WarmUp, assumption: FlowAssumption) -> None:
        self.warm_up, self.assumption = warm_up, assumption
        frame, size = warm_up.frame, warm_up.size
        self.end = warm_up.end
        self.start = 1.25 / frame.sigma_r * math.log(warm_up.alpha**2 * frame.sigma_r / size**2)
        growth = math.exp(6.0 * math.sqrt(warm_up.alpha) * warm_up.delta * frame.norm * self.end)
        self.floor = self._error(growth)

    def _error(self, growth: float) -> float:
        """The error's bound where the square of the nuisance has grown so many times."""
        frame, given = self.warm_up.frame, self.assumption
        started = given.beta * given.gamma * frame.kappa + math.sqrt(frame.kappa)
        floor = 1e3 * given.mu * frame.kappa * frame.norm
        return 64.0 * started * self.warm_up.size**2 * growth + floor

    def final_bound(self) -> float:
        r"""Bound on :math:`|R_{T_2}|`, eq. (22): Theorem 4.3.

        .. math:: 64(\beta\gamma\kappa + \sqrt\kappa)
            \Big(\frac{|W_0|^2}{\sigma_r}\Big)^{1-\theta}\sigma_r + 10^3\mu\kappa|Y|
        """
        share = self.warm_up.size**2 / self.warm_up.frame.sigma_r
        return self._error(share**-self.warm_up.theta)

    def quantities(self, factors: Factors) -> tuple[float, float]:
        """The left-hand sides of both items."""
        frame = self.warm_up.frame
        signal = frame.signal(factors)
        R = frame.to_dense() - factors.to_dense()
        return singular_value(R), singular_value(frame.outside(signal))

    def bounds(self, time: float) -> tuple[float, float]:
        """The right-hand sides at a time of gradient flow."""
        time = _checks.real_number(time, "time")
        frame = self.warm_up.frame
        falling = 3.0 * frame.norm * math.exp(-0.4 * frame.sigma_r * (time - self.start))
        bound = max(falling, self.floor)
        return bound, 0.4 * bound / math.sqrt(frame.norm)

    def ratios(self, factors: Factors, time: float) -> tuple[float, float]:
        """Quantity over bound: an item holds up to 1."""
        (error, outside), bounds = self.quantities(factors), self.bounds(time)
        return error / bounds[0], outside / bounds[1]

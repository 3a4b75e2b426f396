r"""What stays so along descent from a small start: Theorems 3.1 and 4.2 of Li, Ma and Zhang (2018).

Time steps are those of update (5), :math:`U \leftarrow (I - \eta M_t) U`, whose :math:`\eta` is
4 s for a step size s of this library's loss. X has spectral norm 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, norm
from leanrank.factors import Factors, check_factors
from leanrank.linalg import singular_value

__all__ = ["RankOneSteps", "SignalBounds"]

_ROUNDING = 1e-9
"""Sines and growth below this are rounding errors."""

Seen = Sequence[float] | np.ndarray
"""Least signal, error, signal and sine, as AdaptiveSignal gives them."""


class RankOneSteps:
    r"""What Propositions 3.2 and 3.3 say of one step, for :math:`X_\star = u_\star u_\star^\top`.

    With the signal :math:`r_t = U_t^\top u_\star` and the error :math:`E_t = (I - u_\star
    u_\star^\top) U_t`, as long as :math:`|E_t|_F \le 1/2` and :math:`|r_t| \le 3/2`:

    1. :math:`|E_{t+1}|_F^2 \le |E_t|_F^2 + 2 \eta \delta |E_t U_t^\top| + 9 \eta^2`, eq. (11)
    2. :math:`|E_{t+1}| \le (1 + 2\eta\delta) |E_t| + 2 \eta \delta |r_t|`
    3. :math:`|r_{t+1} - (1 + \eta(1 - |r_t|^2)) r_t| \le \eta |E_t|^2 |r_t|
       + 2 \eta \delta (|E_t| + |r_t|)`, eq. (13)

    with the restricted isometry constant delta of rank 4. (The proof of the second has
    :math:`8\delta` where :math:`2\delta` is stated.)

    Parameters
    ----------
    truth : Factors
        One column of norm 1.
    eta : float
        Of update (5).
    delta : float

    Raises
    ------
    ValueError, TypeError
        If the truth is not one column of norm 1, or a number is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> steps = RankOneSteps(Factors(np.eye(2)[:, :1]), 0.1, 0.0)
    >>> before = Factors(0.1 * np.eye(2))
    >>> X = np.diag([1.0, 0.0])
    >>> after = Factors(before.U - 0.1 * (before.U @ before.U.T - X) @ before.U)
    >>> steps.parts(before)
    (0.1, 0.1, 0.1)
    >>> [bool(ratio <= 1) for ratio in steps.ratios(before, after)]
    [True, True, True]
    """

    def __init__(self, truth: Factors, eta: float, delta: float) -> None:
        check_factors(truth, "truth")
        if truth.width != 1 or not truth.symmetric or abs(truth.norm() - 1.0) > 1e-6:
            raise ValueError(f"truth must be one column of norm 1, got {truth!r}")
        self._u = truth.U[:, 0]
        self._eta = _checks.real_number(eta, "eta", above=0.0)
        self._delta = _checks.real_number(delta, "delta", least=0.0)

    def parts(self, factors: Factors) -> tuple[float, float, float]:
        """Signal :math:`|r|`, and the error's operator and Frobenius norm."""
        r = self._u @ factors.U
        E = self._error(factors)
        return float(norm(r)), singular_value(E), float(norm(E))

    def _error(self, factors: Factors) -> Array:
        return factors.U - self._u[:, None] * (self._u @ factors.U)

    def applies(self, factors: Factors) -> bool:
        """Whether the propositions say anything of a step from here."""
        signal, _, error = self.parts(factors)
        return error <= 0.5 and signal <= 1.5

    def ratios(self, before: Factors, after: Factors) -> tuple[float, float, float]:
        r"""What each item bounds, over its bound: it holds up to 1.

        Of the first two that is growth, of :math:`|E|_F^2` and of :math:`|E|`, which is negative
        where the error falls.
        """
        eta, delta = self._eta, self._delta
        r, following = self._u @ before.U, self._u @ after.U
        signal, error, total = self.parts(before)
        cross = singular_value(self._error(before) @ before.U.T)
        _, new_error, new_total = self.parts(after)
        off = float(norm(following - (1.0 + eta * (1.0 - signal**2)) * r))
        drift = 2.0 * eta * delta * (error + signal)
        return (
            (new_total**2 - total**2) / (2.0 * eta * delta * cross + 9.0 * eta**2),
            _ratio(new_error - error, drift),
            _ratio(off, eta * error**2 * signal + drift),
        )


def _ratio(left: float, right: float) -> float:
    """Left over right, 0 where there is nothing on the left."""
    return left / right if right > 0 else (math.inf if left > 0 else 0.0)


@dataclass(frozen=True)
class SignalBounds:
    r"""The five invariants of Theorem 4.2, eqs. (19) to (23), up to :math:`T_1 =
    \tfrac\kappa\eta \log\tfrac d\alpha`.

    1. (19) :math:`\sin(Z_t, U_\star) \lesssim \eta \rho t` with :math:`\rho = \sqrt r \delta /
       (\kappa \log(d/\alpha))`
    2. (20) :math:`|E_t| \le 4 |E_0| = 4 \alpha`
    3. (21) :math:`\sigma_{\min}(U_\star^\top Z_t) \ge |E_t|`
    4. (22) :math:`\sigma_{\min}(U_\star^\top Z_t) \ge \min\{(1 + \tfrac\eta{8\kappa})^t
       \sigma_{\min}(U_\star^\top Z_0), \tfrac1{2\sqrt\kappa}\}`
    5. (23) :math:`|Z_t| \le 5`

    for the signal Z and the error E of
    :class:`~leanrank.research.diagnostics.AdaptiveSignal`. The constant of (19) is open and taken
    as 1; (20) also says :math:`\le 1/d`, which the start's :math:`\alpha < c/d` leaves to 4 alpha.

    Attributes
    ----------
    d, rank : int
    kappa : float
        Condition number of X.
    eta : float
        Of update (5).
    alpha : float
        Scale of the start.
    delta : float
        Restricted isometry constant of rank r.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range.

    Examples
    --------
    >>> bounds = SignalBounds(d=30, rank=2, kappa=2.0, eta=0.1, alpha=1e-3, delta=0.1)
    >>> round(bounds.end), bounds.ratios((1e-3, 1e-3, 1e-3, 0.0), 0)
    (206, (0.0, 0.25, 1.0, 1.0, 0.0002))
    """

    d: int
    rank: int
    kappa: float
    eta: float
    alpha: float
    delta: float

    def __post_init__(self) -> None:
        for name in ("d", "rank"):
            _checks.whole_number(getattr(self, name), name, least=1)
        _checks.float_fields(self, "kappa", least=1.0)
        _checks.float_fields(self, "eta", "alpha", above=0.0)
        _checks.float_fields(self, "delta", least=0.0)
        if self.alpha >= self.d:
            raise ValueError(f"alpha must be below d = {self.d}, got {self.alpha}")

    @property
    def end(self) -> float:
        """T_1, in steps."""
        return self.kappa / self.eta * math.log(self.d / self.alpha)

    @property
    def rho(self) -> float:
        """What the angle grows by in each unit of time."""
        return math.sqrt(self.rank) * self.delta / (self.kappa * math.log(self.d / self.alpha))

    def ratios(self, seen: Seen, t: int) -> tuple[float, ...]:
        """Each item's quantity over its bound, or bound over quantity for (21) and (22).

        ``seen`` is what :class:`~leanrank.research.diagnostics.AdaptiveSignal` gives at step t.
        """
        signal, error, size, sine = seen
        grown = self.alpha * math.exp(t * math.log1p(self.eta / (8.0 * self.kappa)))
        least = min(grown, 0.5 / math.sqrt(self.kappa))
        return (
            _ratio(sine if sine > _ROUNDING else 0.0, self.eta * self.rho * t),
            error / (4.0 * self.alpha),
            _ratio(error, signal),
            _ratio(least, signal),
            size / 5.0,
        )

    def step_constants(self, before: Seen, after: Seen) -> tuple[float, float, float]:
        r"""The constants C that Propositions D.2 and D.4 need in one step, and the ratio of D.5.

        .. math:: |E_{t+1}| \le (1 + C \eta (\sqrt r \delta + \sin_t)) |E_t|,\qquad
            \sin_{t+1} \le \sin_t + C \eta (\rho + |E_t|)

        and, at most 1 where D.5 holds, :math:`\min\{(1 + \tfrac\eta{8\kappa}) \sigma_t,
        \tfrac1{2\sqrt\kappa}\}` over :math:`\sigma_{t+1} = \sigma_{\min}(U_\star^\top
        Z_{t+1})`. Steps in which error or angle fall need no constant: 0.
        """
        signal, error, _, sine = before
        drift = self.eta * (math.sqrt(self.rank) * self.delta + sine)
        least = min((1.0 + self.eta / (8.0 * self.kappa)) * signal, 0.5 / math.sqrt(self.kappa))
        return (
            _ratio(max(after[1] / error - 1.0 - _ROUNDING, 0.0), drift),
            max(after[3] - sine - _ROUNDING, 0.0) / (self.eta * (self.rho + error)),
            _ratio(least, after[0]),
        )

    def contraction_excess(self, before: float, after: float, error: float) -> float:
        r"""The constant C that Proposition 4.3 needs in one step; negative if it needs none.

        .. math:: |R_{t+1}|_F^2 \le (1 - \tfrac\eta{8\kappa}) |R_t|_F^2
            + C\, \eta \sqrt{d r}\, |E_t|,\qquad R_t = U_t U_t^\top - X_\star

        Parameters
        ----------
        before, after : float
            :math:`|R_t|_F` and :math:`|R_{t+1}|_F`.
        error : float
            :math:`|E_t|`.
        """
        excess = after**2 - (1.0 - self.eta / (8.0 * self.kappa)) * before**2
        return excess / (self.eta * math.sqrt(self.d * self.rank) * error)

r"""Bounds along gradient flow on the population loss at rank 1, of the proof of Theorem 1.

The flow is that of eq. (5), :math:`\dot U = -(UU^\top - u_\star u_\star^\top) U` with
:math:`|u_\star| = 1`, whose time is four times that of the flow of the literal gradient.
Lemmas 10 to 19 of Rajaraman et al. (2023), Appendix A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, norm
from leanrank.factors import Factors

__all__ = ["RankOneFlow", "StartBounds", "start_bounds"]


@dataclass(frozen=True)
class StartBounds:
    r"""What a Gaussian start has with probability :math:`1 - O(1/k)`, Lemma 10.

    Attributes
    ----------
    noise : float
        Most that :math:`|E_0|_F^2` is, eq. (25).
    signal_low, signal_high : float
        Between which :math:`|r_0|^2` is, eq. (26).
    coordinate : float
        Least that any :math:`|\langle r_0, e_i\rangle|` is, eq. (27).
    """

    noise: float
    signal_low: float
    signal_high: float
    coordinate: float


def start_bounds(scale: float, width: int, d: int) -> StartBounds:
    r"""Lemma 10: :math:`2\alpha^2 k d`, :math:`[k\alpha^2/10, 10k\alpha^2]`, :math:`\alpha/k^2`.

    Parameters
    ----------
    scale : float
        Standard deviation :math:`\alpha` of the entries of the start.
    width, d : int
        Its number of columns k and of rows.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range.

    Examples
    --------
    >>> bounds = start_bounds(0.1, 10, 20)
    >>> round(bounds.noise, 6), round(bounds.coordinate, 6)
    (4.0, 0.001)
    """
    alpha = _checks.real_number(scale, "scale", above=0.0)
    k = _checks.whole_number(width, "width", least=1)
    d = _checks.whole_number(d, "d", least=1)
    square = alpha**2
    return StartBounds(2.0 * square * k * d, square * k / 10.0, 10.0 * square * k, alpha / k**2)


@dataclass(frozen=True)
class RankOneFlow:
    r"""Bounds on signal :math:`r = U^\top u_\star` and noise :math:`E = U - u_\star r^\top`.

    They obey :math:`\dot r = r (1 - |r|^2) - E^\top E r` and :math:`\dot E = -E U^\top U`, eqs.
    (23) and (24), so that :math:`|E|_F` never grows (Lemma 11). Make one with :meth:`of`.

    Attributes
    ----------
    signal : float
        :math:`|r_0|^2`, above 0 and below 1.
    noise : float
        :math:`|E_0|_F^2`, below 1.
    coupling : float
        :math:`|E_0 r_0|`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range.

    Notes
    -----
    Lemmas 13 to 15 as they follow from the differential inequalities, without the constants that
    the paper puts in to make them shorter. Eq. (52) drops the factor
    :math:`1 + e^{-2(1 - |E_0|^2) T_0 - 1}` on the right, which is above 1 and belongs there.

    Examples
    --------
    >>> import numpy as np
    >>> flow = RankOneFlow.of(Factors(1e-3 * np.eye(4)), Factors(np.eye(4, 1)))
    >>> round(flow.turning_time, 2), round(flow.least_signal(flow.turning_time + 2), 3)
    (7.41, 0.993)
    """

    signal: float
    noise: float
    coupling: float

    def __post_init__(self) -> None:
        _checks.float_fields(self, "signal", above=0.0)
        _checks.float_fields(self, "noise", "coupling", least=0.0)
        for name in ("signal", "noise"):
            if getattr(self, name) >= 1.0:
                raise ValueError(
                    f"{name} must be below 1, that is from a small start, got {getattr(self, name)}"
                )

    @classmethod
    def of(cls, start: Factors, truth: Factors) -> RankOneFlow:
        """The flow from symmetric factors to a truth with one column of norm 1."""
        u = truth.W
        if not (start.symmetric and truth.symmetric) or int(u.shape[1]) != 1:
            raise ValueError("start and truth must be symmetric, and truth have one column")
        if abs(norm(u) - 1.0) > 1e-6:
            raise ValueError(f"truth must be a column of norm 1, got {norm(u):.6g}")
        r = start.W.T @ u
        E = start.W - u @ r.T
        return cls(norm(r) ** 2, norm(E) ** 2, norm(E @ r))

    @property
    def turning_time(self) -> float:
        r""":math:`T_0 = (1 - \log|r_0|^2) / (2 - 2|E_0|_F^2)`, eq. (30)."""
        return 0.5 * (1.0 - math.log(self.signal)) / (1.0 - self.noise)

    def most_signal(self, time: float) -> float:
        """Largest that the squared signal can be at a time: Lemma 13, from eq. (37)."""
        return _logistic(self.signal, 1.0, time)

    def least_signal(self, time: float) -> float:
        """Smallest that the squared signal can be at a time: Lemma 14, from eq. (42).

        At most the start's own where that is above what noise leaves of 1.
        """
        room = 1.0 - self.noise
        return _logistic(self.signal, room, time) if self.signal < room else room

    def most_coupling(self, time: float) -> float:
        r"""Largest that :math:`|E r|` can be at a time: Lemma 15, eq. (46)."""
        time = _checks.real_number(time, "time", least=0.0)
        rate, turn = 2.0 * (1.0 - self.noise), self.turning_time
        grown = _log1p_exp(rate * (time - turn) - 1.0) - _log1p_exp(-rate * turn - 1.0)
        return self.coupling * math.exp(time - grown)

    def refined_signal(self, time: float, *, c: float = 1.0) -> float:
        r"""Lower bound of Lemma 16 on the squared signal, for times up to 1.5 :math:`T_0`.

        .. math:: \frac{e^{2t}}{|r_0|^{-2} + e^{2t} - 1} - C \frac{|E_0|_F^2\, T_0}{|r_0|}

        Parameters
        ----------
        time : float
        c : float
            The constant, which the lemma leaves open.

        Raises
        ------
        ValueError, TypeError
            If the time is beyond that.
        """
        time = _checks.real_number(time, "time", least=0.0, most=1.5 * self.turning_time)
        c = _checks.real_number(c, "c", above=0.0)
        lost = c * self.noise * self.turning_time / math.sqrt(self.signal)
        return _logistic(self.signal, 1.0, time) - lost

    def most_lacking(self, time: float, *, c: float = 1.0) -> float:
        r"""Lemma 17: largest that :math:`1 - |r|^2` is, from 1.5 :math:`T_0` on, eq. (65).

        .. math:: C e^{-3t/4} (1 + e^{11T_0/4} |E_0 r_0|^2 + e^{3T_0/4})
        """
        turn = self.turning_time
        time = _checks.real_number(time, "time", least=1.5 * turn)
        c = _checks.real_number(c, "c", above=0.0)
        terms = 1.0 + math.exp(2.75 * turn) * self.coupling**2 + math.exp(0.75 * turn)
        return c * math.exp(-0.75 * time) * terms

    def column_norms(self, start: Factors, truth: Factors, *, eta: float) -> tuple[Array, Array]:
        r"""Lemmas 18 and 19: between what the column norms of the limit are, eq. (21).

        .. math:: (1 - 5\eta) \frac{|\langle r_0, e_i\rangle|}{|r_0|} \le |U_\infty e_i| \le
            (1 + 4\sqrt\eta) \frac{|\langle r_0, e_i\rangle|}{|r_0|}

        for a start of scale :math:`\alpha \le c\, \eta^2 / (k^3 d \log kd)`.
        """
        eta = _checks.real_number(eta, "eta", above=0.0, most=1.0)
        r = (start.W.T @ truth.W)[:, 0]
        shares = array_namespace(r).abs(r) / norm(r)
        return (1.0 - 5.0 * eta) * shares, (1.0 + 4.0 * math.sqrt(eta)) * shares


def _logistic(first: float, limit: float, time: float) -> float:
    """Solution of x' = 2 x (limit - x) at a time, from ``first`` below the limit."""
    time = _checks.real_number(time, "time", least=0.0)
    return limit / (1.0 + (limit / first - 1.0) * math.exp(-2.0 * limit * time))


def _log1p_exp(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))

"""What Theorem 4.3 of Wind (2025) supposes of perturbed gradient flow, and what descent has."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from leanrank import _checks
from leanrank._arrays import Array
from leanrank.factors import Factors
from leanrank.linalg import singular_value
from leanrank.research.theory._asymmetric import TargetFrame, WarmUp
from leanrank.research.theory._reduction import imbalance_drive, leftover, residual, stacked

__all__ = ["FlowAssumption"]


@dataclass(frozen=True)
class FlowAssumption:
    r"""What Theorem 4.3 supposes of perturbations, Assumption 4.1 of Wind (2025).

    .. math:: |E_t| \le \beta\big(|R_\tau| + \gamma\sigma_{r+1}^2(W_\tau)\big) + \mu|Y|,\qquad
        |JE_t + E_t^\top J| \le \nu|Y|

    with :math:`\tau` the start of the step that t lies in, wherever
    :math:`|W_\tau| \le \tfrac32\sqrt{|Y|}` and :math:`\gamma\sigma_{r+1}^2(W_\tau) \le |Y|`.

    Attributes
    ----------
    gamma, beta, mu, nu : float
        Not negative.

    Raises
    ------
    ValueError, TypeError
        If one is negative.

    Examples
    --------
    Theorem D.1 at steps of 0.01 and an isometry constant of 0.01:

    >>> FlowAssumption.isometric((20, 20), 4, 1.0, 0.01, 0.01)
    FlowAssumption(gamma=5.0, beta=0.32, mu=0.0, nu=0.4)
    """

    gamma: float
    beta: float
    mu: float
    nu: float

    def __post_init__(self) -> None:
        _checks.float_fields(self, *(each.name for each in fields(self)), least=0.0)

    @classmethod
    def largest(cls, warm_up: WarmUp, *, gamma: float = 1.0) -> FlowAssumption:
        r"""The most that the proof of Theorem 4.3 allows, eqs (18-19).

        .. math:: \beta = \delta^2/13,\qquad \mu = \delta^2/4,\qquad \nu = 2\delta^2/(T_2|Y|)

        with :math:`\delta` and :math:`T_2` of :class:`~leanrank.research.theory.WarmUp`.
        """
        square = warm_up.delta**2
        drive = 2.0 * square / (warm_up.end * warm_up.frame.norm)
        return cls(gamma, square / 13.0, square / 4.0, drive)

    @classmethod
    def isometric(
        cls,
        shape: tuple[int, int],
        rank: int,
        spectral_norm: float,
        step_size: float,
        rho: float,
        *,
        perturbation: float = 0.0,
    ) -> FlowAssumption:
        r"""What descent under restricted isometry satisfies, Theorem D.1.

        .. math:: \gamma = \tfrac{\min(n_1, n_2)}r,\quad \beta = 10\eta|Y| + 6\sqrt r\rho,\quad
            \mu = 2\tilde\mu,\quad \nu = 20\eta|Y| + 2\tilde\mu

        Parameters
        ----------
        shape, rank, spectral_norm
            Of Y.
        step_size : float
            s, with :math:`\eta = 2 s \le 1/(12|Y|)`.
        rho : float
            Isometry constant at rank r + 1, at most :math:`1/(16\sqrt r)`.
        perturbation : float
            :math:`\tilde\mu`: the largest :math:`|\tilde E_k|` over :math:`|Y|`, at most 1/2.

        Raises
        ------
        ValueError, TypeError
            If a number is out of the range that the theorem supposes.
        """
        shape, rank, eta, mu = _descent(shape, rank, spectral_norm, step_size, perturbation)
        rho = _checks.real_number(rho, "rho", least=0.0, most=1.0 / (16.0 * math.sqrt(rank)))
        beta = 10.0 * eta + 6.0 * math.sqrt(rank) * rho
        return cls(min(shape) / rank, beta, 2.0 * mu, 20.0 * eta + 2.0 * mu)

    @classmethod
    def fresh(
        cls,
        shape: tuple[int, int],
        rank: int,
        spectral_norm: float,
        step_size: float,
        rho: float,
        *,
        perturbation: float = 0.0,
    ) -> FlowAssumption:
        r"""What descent on fresh measurements satisfies most of the time, Theorem E.1.

        .. math:: \gamma = \sqrt{\min(n_1, n_2)/r},\quad \beta = 10\eta|Y| + \rho,\quad
            \mu = 2\tilde\mu,\quad \nu = 20\eta|Y| + 2\tilde\mu

        with probability :math:`1 - \delta` over K steps of
        :math:`m \ge C\rho^{-2}\log((n_1 + n_2)K/\delta)\, r(n_1 + n_2)` measurements.

        Parameters
        ----------
        shape, rank, spectral_norm, step_size, perturbation
            As in :meth:`isometric`.
        rho : float
            Above 0, at most 1.

        Raises
        ------
        ValueError, TypeError
            If a number is out of the range that the theorem supposes.
        """
        shape, rank, eta, mu = _descent(shape, rank, spectral_norm, step_size, perturbation)
        rho = _checks.real_number(rho, "rho", above=0.0, most=1.0)
        return cls(math.sqrt(min(shape) / rank), 10.0 * eta + rho, 2.0 * mu, 20.0 * eta + 2.0 * mu)

    def applies(self, factors: Factors, target: Factors | TargetFrame) -> bool:
        """Whether it asks anything at these factors."""
        frame = TargetFrame.of(target)
        return bool(
            singular_value(stacked(factors)) <= 1.5 * math.sqrt(frame.norm)
            and self.gamma * leftover(factors, frame.rank) <= frame.norm
        )

    def bounds(self, factors: Factors, target: Factors | TargetFrame) -> tuple[float, float]:
        """The right-hand sides at the factors where a step starts."""
        frame = TargetFrame.of(target)
        R = singular_value(residual(factors, target))
        pull = R + self.gamma * leftover(factors, frame.rank)
        return self.beta * pull + self.mu * frame.norm, self.nu * frame.norm

    def ratios(
        self, E: Array, factors: Factors, target: Factors | TargetFrame
    ) -> tuple[float, float]:
        """Both sizes of a perturbation over their bounds: it is small enough up to 1."""
        sizes = singular_value(E), imbalance_drive(E, target.shape[0])
        pairs = zip(sizes, self.bounds(factors, target), strict=True)
        size, drive = (x / most if most else math.inf * x if x else 0.0 for x, most in pairs)
        return size, drive


def _descent(
    shape: tuple[int, int], rank: int, spectral_norm: float, step_size: float, perturbation: float
) -> tuple[tuple[int, int], int, float, float]:
    """What Theorems D.1 and E.1 suppose of descent: shape, r, eta |Y| and mu."""
    shape = _checks.matrix_shape(shape, "shape")
    rank = _checks.whole_number(rank, "rank", least=1, most=min(shape))
    norm = _checks.real_number(spectral_norm, "spectral_norm", above=0.0)
    s = _checks.real_number(step_size, "step_size", above=0.0, most=1.0 / (24.0 * norm))
    mu = _checks.real_number(perturbation, "perturbation", least=0.0, most=0.5)
    return shape, rank, 2.0 * s * norm, mu

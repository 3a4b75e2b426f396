"""Schedules of learning rate and ridge: data, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from leanrank import _checks

__all__ = ["Phase", "annealing", "check_schedule", "periodic"]


@dataclass(frozen=True)
class Phase:
    r"""So many updates with one learning rate and one ridge.

    .. math:: \theta \leftarrow (1 - \eta\lambda)\,\theta - \eta\,\nabla_\theta
        \tfrac1b \sum_{(i,j) \in B} (A_{ij} - y_{ij})^2

    This is the one convention of :mod:`leanrank.research.deep`, that of PyTorch's SGD with
    ``weight_decay`` and the one in which the figures of Wang and Jacot (2024) come out.

    Parameters
    ----------
    steps : int
        Updates, at least 1.
    learning_rate : float
        :math:`\eta > 0`.
    ridge : float
        :math:`\lambda \ge 0`, with :math:`\eta\lambda < 1`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Examples
    --------
    >>> phase = Phase.from_paper(100, 0.4, 0.025, "text")
    >>> phase
    Phase(steps=100, learning_rate=0.2, ridge=0.1)
    >>> phase.in_paper("appendix")
    (0.4, 0.05)
    """

    steps: int
    learning_rate: float
    ridge: float

    def __post_init__(self) -> None:
        steps = _checks.whole_number(self.steps, "steps", least=1)
        object.__setattr__(self, "steps", steps)
        _checks.float_fields(self, "learning_rate", above=0.0)
        _checks.float_fields(self, "ridge", least=0.0)
        if self.learning_rate * self.ridge >= 1.0:
            raise ValueError(
                f"learning_rate * ridge must be below 1, got {self.learning_rate:g} * "
                f"{self.ridge:g}: a single step would turn every weight around"
            )

    @classmethod
    def from_paper(cls, steps: int, learning_rate: float, ridge: float, source: str) -> Phase:
        r"""The phase for rates in one of the conventions of Wang and Jacot (2024).

        Parameters
        ----------
        steps : int
        learning_rate, ridge : float
            :math:`\eta` and :math:`\lambda` there.
        source : str
            ``"text"`` for Section 2.3, :math:`(1 - 2\eta\lambda)\theta - \frac\eta2 \nabla`;
            ``"appendix"`` for D (2), :math:`(1 - \eta\lambda)\theta - \frac\eta2 \nabla`; or
            ``"figures"``, whose numbers follow neither formula but are those of this class.

        Raises
        ------
        ValueError, TypeError
            If the source is another, or a number is out of range.
        """
        rate_factor, ridge_factor = _convention(source)
        return cls(steps, learning_rate * rate_factor, ridge * ridge_factor)

    def in_paper(self, source: str) -> tuple[float, float]:
        """Learning rate and ridge in a convention of :meth:`from_paper`, whose inverse this is."""
        rate_factor, ridge_factor = _convention(source)
        return self.learning_rate / rate_factor, self.ridge / ridge_factor


def _convention(source: str) -> tuple[float, float]:
    """What learning rates and ridges of the paper are multiplied with."""
    conventions = {"text": (0.5, 4.0), "appendix": (0.5, 2.0), "figures": (1.0, 1.0)}
    if source not in conventions:
        raise ValueError(f"source must be one of {', '.join(conventions)}, got {source!r}")
    return conventions[source]


def annealing(
    noisy_steps: int,
    quiet_steps: int = 8000,
    *,
    learning_rate: float = 0.2,
    ridge: float = 0.1,
    quiet_learning_rate: float = 0.02,
    quiet_ridge: float = 0.001,
    warm_up_steps: int = 500,
    warm_up_learning_rate: float = 0.03,
) -> tuple[Phase, ...]:
    """Warm up, wait for jumps under noise, then fit quietly: Figure 1 of Wang and Jacot (2024).

    Parts of no steps are left out. Without the warm-up, descent diverges at the large rate from
    the default initialisation of linear layers.

    Examples
    --------
    >>> [phase.steps for phase in annealing(5000)]
    [500, 5000, 8000]
    """
    parts = (
        (warm_up_steps, warm_up_learning_rate, ridge),
        (noisy_steps, learning_rate, ridge),
        (quiet_steps, quiet_learning_rate, quiet_ridge),
    )
    return _phases(parts)


def periodic(
    period: int,
    cycles: int,
    *,
    learning_rate: float = 0.4,
    ridge: float = 0.1,
    quiet_learning_rate: float = 0.1,
    quiet_ridge: float = 0.001,
    warm_up_steps: int = 500,
    warm_up_learning_rate: float = 0.03,
) -> tuple[Phase, ...]:
    """Warm up, then quiet and noisy phases of ``period`` steps in turn: Figure 4.

    A warm-up of no steps is left out.

    Raises
    ------
    ValueError, TypeError
        If the period or the number of cycles is not a whole number of at least 1, or a rate is out
        of range.

    Examples
    --------
    >>> [phase.ridge for phase in periodic(1000, 2)]
    [0.1, 0.001, 0.1, 0.001, 0.1]
    """
    period = _checks.whole_number(period, "period", least=1)
    cycles = _checks.whole_number(cycles, "cycles", least=1)
    cycle = ((period, quiet_learning_rate, quiet_ridge), (period, learning_rate, ridge))
    return _phases(((warm_up_steps, warm_up_learning_rate, ridge), *(cycle * cycles)))


def check_schedule(schedule: Any) -> None:
    """Refuse what is not a sequence of phases, at least one."""
    ok = isinstance(schedule, Sequence) and schedule
    if not ok or not all(isinstance(phase, Phase) for phase in schedule):
        raise TypeError(f"schedule must be a sequence of Phase, at least one, got {schedule!r}")


def _phases(parts: Iterable[tuple[int, float, float]]) -> tuple[Phase, ...]:
    return tuple(Phase(*part) for part in parts if part[0] != 0)

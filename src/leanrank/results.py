"""What a run leaves behind: a status with its cause, a history, and the factors."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from leanrank._display import html_table, one_line
from leanrank.evidence import Certificate
from leanrank.factors import Factors
from leanrank.policy import Policy
from leanrank.posterior import Posterior

__all__ = ["History", "Record", "RecoveryError", "Result", "Status"]


class Status(enum.Enum):
    """How a run ended.

    CONVERGED: X itself is pinned down, the certificate holds. APPROXIMATE: it is not, but unseen
    entries are predicted clearly better than by means, with intervals that cover what was held
    out. STALLED: neither.
    """

    CONVERGED = "converged"
    APPROXIMATE = "approximate"
    MAX_ITER = "max_iter"
    STALLED = "stalled"
    DIVERGED = "diverged"
    STOPPED = "stopped"

    @property
    def meaning(self) -> str:
        """In words."""
        return _MEANINGS[self.value]

    @property
    def success(self) -> bool:
        """Whether it is CONVERGED or APPROXIMATE."""
        return self in (Status.CONVERGED, Status.APPROXIMATE)


_MEANINGS = {
    "converged": "the certificate holds",
    "approximate": "unseen entries are predicted, though the matrix itself is not pinned down",
    "max_iter": "more iterations would have changed the answer",
    "stalled": "the certificate does not hold: this is the best answer found",
    "diverged": "the iterates grew without bound: nothing here is to be used",
    "stopped": "cut short, not certified",
}


@dataclass(frozen=True)
class Record:
    """One line of the history, measured at the factors of that moment."""

    phase: str
    iteration: int
    passes: float
    width: int
    loss: float
    value: float
    gradient_norm: float


@dataclass
class History:
    """The records of a run, in order; ``passes`` counts sweeps over the measurements."""

    records: list[Record] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __getitem__(self, index: int) -> Record:
        return self.records[index]

    def column(self, name: str) -> list[Any]:
        """All values of one field, such as ``loss`` or ``passes``."""
        return [getattr(record, name) for record in self.records]

    @property
    def passes(self) -> float:
        """Passes over the measurements in all."""
        return self.records[-1].passes if self.records else 0.0

    def __repr__(self) -> str:
        return one_line("History", records=len(self), passes=self.passes)


class RecoveryError(RuntimeError):
    """Raised by :meth:`Result.raise_if_failed`; its text is the result's message."""


@dataclass(frozen=True)
class Result:
    """Outcome of a solver or of :func:`leanrank.recover`.

    Attributes
    ----------
    factors : Factors
        The best factors found, also after a failure.
    status : Status
    message : str
        Why the run ended so, and what to do about it.
    certificate : Certificate or None
        How far to trust the answer.
    history : History
    column_norms : dict
        Column norms at named moments, such as before and after pruning.
    policy : Policy or None
        What :func:`leanrank.recover` decided by; None of a solver.
    sampler : callable or None
        Draws :attr:`posterior`.
    """

    factors: Factors
    status: Status
    message: str
    certificate: Certificate | None
    history: History
    column_norms: dict[str, Any] = field(default_factory=dict)
    policy: Policy | None = None
    sampler: Callable[[], Posterior] | None = field(default=None, repr=False, compare=False)

    @cached_property
    def posterior(self) -> Posterior:
        """What is known of every entry, in the units of y; drawn when first asked for.

        Raises
        ------
        ValueError
            If the result does not hold what that takes: of a run that was stopped, or of a solver.
        """
        if self.sampler is None:
            raise ValueError(
                "this result has no posterior: it was stopped, loaded without one, or comes from "
                "a solver; see leanrank.posterior(op, y)"
            )
        return self.sampler()

    @property
    def rank(self) -> int:
        """Number of columns of the factors."""
        return self.factors.width

    @property
    def success(self) -> bool:
        """Whether the status is CONVERGED or APPROXIMATE; the first is ``certificate.holds``."""
        return self.status.success

    @property
    def n_iter(self) -> int:
        """Number of iterations over all phases."""
        return len(self.history)

    def raise_if_failed(self) -> Result:
        """This result if it is a success; otherwise a :class:`RecoveryError` with the message."""
        if not self.success:
            raise RecoveryError(f"{self.status.name}: {self.message}")
        return self

    def __bool__(self) -> bool:
        """Whether it is a success: ``if result:`` would be read so in any case."""
        return self.success

    def __repr__(self) -> str:
        return f"Result(rank={self.rank}, status={self.status.name}, {self.factors!r})"

    def _repr_html_(self) -> str:
        n1, n2 = self.factors.shape
        rows = {
            "matrix": f"{n1} x {n2}, rank {self.rank}",
            "message": self.message,
            "iterations": self.n_iter,
            "passes": self.history.passes,
        }
        certificate = "" if self.certificate is None else self.certificate._repr_html_()
        return html_table(
            "Result", rows, verdict=self.status.name, good=self.success, inside=certificate
        )

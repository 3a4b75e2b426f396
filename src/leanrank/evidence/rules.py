"""The rules of certificates as data: a number, its limit, a sentence and a remedy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from leanrank._display import percent
from leanrank.evidence.certificate import Certificate
from leanrank.policy import EvidencePolicy

__all__ = ["RULES", "Facts", "Rule", "judge"]


@dataclass(frozen=True)
class Facts:
    """What rules look at: a certificate's numbers, and what else is known of the answer.

    Attributes
    ----------
    certificate : Certificate
    exact : bool
        Whether the measurements are fitted to rounding.
    symmetric, full_rank : bool
        Of the factors.
    shrunk : bool
        Whether they are posterior means, which are stationary where the loss is not.
    wider : int
        Degrees of freedom of one rank more.
    opposed : float
        Share of the residual that a column of negative sign explains, over what it would of noise.
    distinct : int
        Number of measurements, repeated ones counted once.
    rounding : float
        Relative error of held-out measurements that is no error.
    leading_gap : float
        Leading singular values of the residual, several of them, over those of noise.
    strain, held_by, missed : float
        Of :class:`~leanrank.evidence.sensitivity.Sensitivity`.
    rows, cols : ndarray of int
        Those with too few measurements to be determined.
    """

    certificate: Certificate
    exact: bool
    wider: int
    distinct: int
    symmetric: bool = False
    shrunk: bool = False
    full_rank: bool = False
    opposed: float = 0.0
    rounding: float = 1e-6
    leading_gap: float = 0.0
    strain: float = 0.0
    held_by: float = math.inf
    missed: float = 1.0
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    cols: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.intp))

    @property
    def c(self) -> Certificate:
        """The certificate."""
        return self.certificate

    @property
    def next_rank(self) -> int:
        return self.c.rank + 1

    @property
    def counted(self) -> str:
        """How many measurements there are that differ."""
        return f"{self.distinct}{' different' if self.distinct < self.c.measurements else ''}"

    @property
    def which_rows(self) -> str:
        return _named(self.rows, "row")

    @property
    def which_cols(self) -> str:
        return _named(self.cols, "column")

    @property
    def or_indefinite(self) -> str:
        return " or indefinite" if self.symmetric else ""

    @property
    def explained(self) -> float:
        """The error on held-out measurements that noise of the residual's size explains."""
        share = self.c.degrees_of_freedom / self.c.measurements
        noise = self.c.relative_residual / math.sqrt(max(1.0 - share, 1e-3))
        return noise * math.sqrt(self.missed)

    @property
    def percent_missed(self) -> str:
        return percent(self.c.held_out_error or 0.0)

    @property
    def percent_explained(self) -> str:
        return percent(self.explained)


def _named(index: np.ndarray, kind: str) -> str:
    """The subject of a sentence, and its verb."""
    if len(index) == 1:
        return f"{kind} {index[0]} (counted from 0) has"
    first = ", ".join(str(i) for i in index[:5]) + (", ..." if len(index) > 5 else "")
    return f"{len(index)} {kind}s ({first}, counted from 0) have"


@dataclass(frozen=True)
class Rule:
    """One thing that can speak against an answer.

    Attributes
    ----------
    name : str
    number : callable
        Of the facts; None where the rule does not apply.
    limit : str
        The field of the policy that the number is compared with.
    sentence, remedy : str
        What speaks against the answer, and what would help. ``{f}`` are the facts, ``{number}``
        (or ``{percent}``) and ``{limit}`` what was compared.
    unbounded : str
        What is said instead where the number is not finite.
    least : bool
        Whether the limit is the least good value rather than the largest.
    last : bool
        Whether nothing else matters where this speaks against the answer.
    """

    name: str
    number: Callable[[Facts], float | None]
    limit: str
    sentence: str
    remedy: str
    unbounded: str = ""
    least: bool = False
    last: bool = False

    def reason(self, facts: Facts, policy: EvidencePolicy) -> str | None:
        """What speaks against the answer, or None. A number that is NaN does."""
        number, limit = self.number(facts), float(getattr(policy, self.limit))
        if number is None or (number >= limit if self.least else number <= limit):
            return None
        sentence = self.sentence if math.isfinite(number) else self.unbounded or self.sentence
        said = {"f": facts, "number": number, "percent": percent(number), "limit": limit}
        return f"{sentence}: {self.remedy}".format(**said)


def _spare(f: Facts) -> float | None:
    return f.distinct - f.c.degrees_of_freedom if f.c.rank else None


def _to_tell(f: Facts) -> float | None:
    return None if f.exact or f.full_rank else f.distinct / f.wider


def _held_out_excess(f: Facts) -> float | None:
    missed = f.c.held_out_error
    return None if missed in (None, math.inf) else missed / (f.explained + f.rounding)


def _trapped(f: Facts) -> float | None:
    missed = f.c.held_out_error
    return None if missed is None else f.c.relative_residual / (missed + f.rounding)


_MORE = "take more measurements, or set a smaller width (fewer columns of the factors)"
_GUESS = "at rank {f.c.rank} what stands there is a guess; observe more of it"

RULES = (
    Rule(
        "signal",
        lambda f: float(f.c.rank == 0 and not f.exact),
        "nothing_found",
        "nothing in the measurements rises above the noise, so that the zero matrix is all that "
        "they support",
        "take more measurements, or less noisy ones",
        last=True,
    ),
    Rule(
        "unknowns",
        _spare,
        "least_spare",
        "{f.counted} measurements cannot determine the {f.c.degrees_of_freedom} "
        "unknowns of a fit of rank {f.c.rank}",
        _MORE,
        least=True,
    ),
    Rule(
        "misfit",
        _to_tell,
        "to_tell",
        "{f.counted} measurements are too few to tell noise from misfit, as a matrix of "
        "rank {f.next_rank} has {f.wider} free parameters",
        _MORE,
        least=True,
    ),
    Rule(
        "rows",
        lambda f: len(f.rows),
        "undetermined",
        "{f.which_rows} too few measurements to be determined",
        _GUESS,
    ),
    Rule(
        "columns",
        lambda f: len(f.cols),
        "undetermined",
        "{f.which_cols} too few measurements to be determined",
        _GUESS,
    ),
    Rule(
        "identifiability",
        lambda f: f.c.identifiability,
        "least_identifiability",
        "other matrices of this rank fit the measurements as well (the loss is flat along a "
        "direction that changes X)",
        _MORE,
        least=True,
    ),
    Rule(
        "gradient of an exact fit",
        lambda f: f.c.relative_gradient if f.exact else None,
        "gradient_exact",
        "the fit has not come to rest, the factors are not stationary (relative gradient "
        "{number:.1e})",
        "raise max_iter",
    ),
    Rule(
        "gradient",
        lambda f: None if f.exact or f.shrunk else f.c.relative_gradient,
        "gradient_noisy",
        "the fit has not come to rest, the factors are not stationary (relative gradient "
        "{number:.1e})",
        "raise max_iter",
    ),
    Rule(
        "error",
        lambda f: f.c.error_estimate,
        "largest_error",
        "noise as large as what is left unexplained makes X uncertain by {percent}, more than "
        "{limit:.0%}",
        "take more measurements, or less noisy ones",
        "nothing says how far off X is",
    ),
    Rule(
        "filled",
        lambda f: f.c.filled_error,
        "largest_filled_error",
        "entries that were not observed are uncertain by {percent}, more than {limit:.0%}, on "
        "the whole or in a block of which nothing was seen",
        "observe some of them, or leave them out",
        "nothing says how far off the entries are that were not observed",
    ),
    Rule(
        "held by few",
        lambda f: f.held_by,
        "held_by",
        "few measurements join a block of rows with the rest ({number:.1f}, counted by how much "
        "they say), and turned another way it may fit as well",
        "take more measurements that join them",
        least=True,
    ),
    Rule(
        "strain",
        lambda f: f.strain,
        "strain",
        "the few measurements that the least certain direction of X hangs on are missed "
        "{number:.1f} times as badly as noise could, so that another matrix may fit as well",
        "take more measurements like them",
    ),
    Rule(
        "held out",
        lambda f: f.c.held_out_error,
        "held_out",
        "measurements that were held out are missed by {percent}",
        "the matrix is not of low rank, or the measurements are too few or too noisy",
        "measurements that were held out are zero, and the answer is not",
    ),
    Rule(
        "held out, beyond noise",
        _held_out_excess,
        "held_out_excess",
        "measurements that were held out are missed by {f.percent_missed}, where noise as large "
        "as what is left unexplained would explain {f.percent_explained}, so that the fit misses "
        "structure or follows noise",
        "take more measurements, or set another width",
    ),
    Rule(
        "trapped",
        _trapped,
        "trapped",
        "the measurements that were fitted are missed {number:.1f} times as badly as others were "
        "that were held out, so that the fit is caught in a poor local minimum",
        "try another random_state, or set the rank",
    ),
    Rule(
        "structure",
        lambda f: f.c.noise_gap,
        "structure",
        "what is left unexplained, the residual, has structure, {number:.1f} times the level of "
        "noise, as the matrix is of low rank only approximately{f.or_indefinite}",
        "set a larger width, or take the answer for an approximation",
    ),
    Rule(
        "weak structure",
        lambda f: f.leading_gap,
        "leading_gap",
        "many directions of the residual are stronger than noise is, by {number:.2f} on average, "
        "as the matrix is of low rank only approximately",
        "take the answer for an approximation",
    ),
    Rule(
        "definite",
        lambda f: f.opposed,
        "opposed",
        "a column of negative sign would explain {number:.1f} times as much of the residual as it "
        "could of noise, so that the matrix is indefinite",
        "leave symmetric=True out",
    ),
)
"""In the order in which they are said."""


def judge(facts: Facts, policy: EvidencePolicy) -> tuple[str, ...]:
    """What speaks against an answer."""
    reasons: list[str] = []
    for rule in RULES:
        reason = rule.reason(facts, policy)
        if reason is not None:
            reasons.append(reason)
            if rule.last:
                break
    return tuple(reasons)

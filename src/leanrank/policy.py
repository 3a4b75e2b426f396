"""Policy: every number that recover and certificates decide by, and what justifies it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from leanrank import _checks

__all__ = ["EvidencePolicy", "Policy"]


@dataclass(frozen=True)
class EvidencePolicy:
    """Limits that a certificate is judged by, and the effort that its numbers are worth.

    Attributes
    ----------
    nothing_found, undetermined : float
        Zero: no answer may be empty, and no row or column undetermined.
    largest_error : float
        Largest ``error_estimate``: what "recovered" means, a matter of convention.
    largest_filled_error : float
        Largest ``filled_error``. Entries that were not observed are known less well than the matrix
        as a whole. Blocks of 30 x 40 pixels missing from twelve photographs came out at 0.14 to
        0.55.
    structure : float
        Largest ``noise_gap``. Of pure noise it is 1.0 to 1.1; a missing component of a tenth of
        the matrix lies above 1.3.
    many_directions : int
        Rows and columns from which so many directions of noise are all alike: with 40 their mean
        came to 1.2.
    leading_gap, leading : float, int
        Largest mean of so many leading singular values of the residual over those of noise: of
        noise 0.97 to 1.04, of photographs 1.06 and more.
    explained, most_explained : float
        Share of a residual's sum of squares that new degrees of freedom explain of noise, over
        their share of those that are left: up to twice as much, at the edge of the noise's
        spectrum, since their direction is the best of all, and a third more for chance. And the
        share beyond which no fit to noise goes.
    opposed : float
        Largest share of the residual's sum of squares that a column of negative sign explains,
        in times what it would explain of noise (symmetric matrices only).
    least_identifiability : float
        Below it another matrix fits as well: conjugate gradients tell curvatures from zero down
        to the square root of rounding, 1e-8.
    least_spare : float
        Least number of measurements beyond the degrees of freedom.
    to_tell : float
        Least number of measurements over the degrees of freedom of one rank more, where the fit
        is not exact. Below it a component that is missing is fitted as noise. At 2 it refused 58
        of 531 noisy answers with no other reason, and all of them were right.
    gradient_exact, gradient_noisy : float
        Largest ``relative_gradient`` of exact and of noisy fits; of the order of the residual.
    held_out : float
        Largest ``held_out_error``: beyond a half the matrix has not been learnt.
    held_out_excess : float
        Largest ``held_out_error`` in times what noise explains.
    trapped : float
        Largest residual over ``held_out_error``. Of 269 right answers one came to 1.5, and the
        others to 1.1 at most; a block turned the wrong way, with all measurements fitted, to 13.
    strain : float
        Largest miss of the measurements that the flattest direction hangs on, over the
        thousandth largest that noise would give.
    held_by : float
        Least number of measurements that hold a block of rows of a symmetric matrix. Of 62
        matrices whose blocks few entries join, 4 were certified in a wrong position before.
    predicted, gain : float
        Largest error of held-out measurements in times that of means, and by how many standard
        errors it must be lower, for unseen entries to count as predicted. What is no better than
        means is lower by three of them once in a thousand times.
    least_coverage : float
        Least share of held-out measurements in their 95 % intervals, but for chance.
    in_hole : float
        Largest share of the unobserved entries in one block, between parts that nothing joins, or
        in rows and columns that are not determined, for held-out ones to stand for them.
    draws : int
        Draws of noise that are propagated; with the flattest direction four are within a factor
        of two of the root mean square of refits.
    translates : int
        Blocks of the shape of a hole that are left out.
    hole_chance : float
        Expected number of blocks as empty as a hole where entries are observed at random.

    Raises
    ------
    ValueError, TypeError
        If a limit is negative or no number, or nothing is drawn.

    Examples
    --------
    A certificate that holds for answers within a thousandth only:

    >>> import numpy as np
    >>> import leanrank as lr
    >>> from leanrank.policy import EvidencePolicy
    >>> inst = lr.simulate.full_observation(20, 2, noise=0.1, random_state=0)
    >>> factors = lr.recover(inst.op, inst.y).factors
    >>> strict = EvidencePolicy(largest_error=1e-3)
    >>> lr.check_certificate(inst.op, inst.y, factors, policy=strict).holds
    False
    """

    nothing_found: float = 0.0
    undetermined: float = 0.0
    largest_error: float = 0.1
    largest_filled_error: float = 0.2
    structure: float = 1.2
    leading_gap: float = 1.05
    leading: int = 10
    many_directions: int = 64
    explained: float = 2.6
    most_explained: float = 0.6
    opposed: float = 1.0
    least_identifiability: float = 1e-7
    least_spare: float = 1.0
    to_tell: float = 1.5
    gradient_exact: float = 1e-4
    gradient_noisy: float = 1e-3
    held_out: float = 0.5
    held_out_excess: float = 1.5
    trapped: float = 2.0
    strain: float = 1.0
    held_by: float = 4.0
    predicted: float = 0.9
    gain: float = 3.0
    least_coverage: float = 0.9
    in_hole: float = 0.1
    draws: int = 4
    translates: int = 6
    hole_chance: float = 0.01

    def __post_init__(self) -> None:
        _check_numbers(self, least=1)


@dataclass(frozen=True)
class Policy:
    """The numbers that :func:`leanrank.recover` decides by.

    The defaults are what was measured to work on the instances of ``benchmarks/``; a
    :class:`~leanrank.Result` carries the policy that it was found with.

    Attributes
    ----------
    held_out_share : float
        Measurements held out while the rank is searched. A twentieth costs no degrees of freedom
        that matter at 1.2 times as many measurements as unknowns.
    fewest_held_out : int
        With fewer held out than this, the path is followed again with others held out in turn:
        the mean of so many squared errors has a relative standard error of about 1/20.
    enough_held_out : int
        From so many on, no path is followed again where a width is found by leaving measurements
        out one by one and those held out do not refute it: the root of the mean of so many squared
        errors has a relative standard error of a tenth.
    rounds, rounds_of_many : int
        How often, below and from ``many_measurements`` on.
    many_measurements : int
    patience : int
        Stages without a better prediction after which exploring ends.
    slack : int
        Measurements beyond the number of factors from which a row counts as well observed.
        Rows with fewer trap a fit, with fast growing values.
    spare_for_outliers : float
        Further measurements, over the number of factors, from which a row counts as well observed
        where there may be outliers: rows of six and nine entries followed theirs at rank 3.
    most_freed : int
        Further fits, at most, without the rows that a direction was spent on.
    determined : float
        Measurements over the unknowns of a matrix of twice the width, below which they are few:
        growing was seen trapped below 1.3.
    unpredicted : float
        Share of the mean square of held-out measurements that the best stage leaves, above which
        exploring may have been misled, and all measurements are fitted.
    widest_share : float
        Unknowns of the widest factors over the measurements.
    appended_share : int
        Factors grow by one column, and by one more for each so many.
    appended_at_once : int
        And by so many at most where they stand clear of noise.
    weakest_appended : float
        Strength of appended columns relative to the strongest.
    progress, steps_of_progress : float, int
        A fit on the way ends when the square root of the objective falls by less than this factor
        in so many steps.
    max_steps : int
        Steps of a fit on the way.
    rescalings, rescaling : int, float
        Turns that a fit and the estimated scale of its loss take at most, and the share of the
        scale that each leaves at least. Where it falls freely, rows with an outlier among six
        entries were left behind in 2 of 10 problems.
    flat : float
        Gradient norm times norm of W over the geometric mean of the losses here and at zero, at
        which a fit is stationary.
    settled : float
        ``progress`` of the last fit.
    strengths, strengths_from_last : tuple of float
        Group-Lasso strengths, strong ones first, from nothing and from the last good stage. From
        nothing suits singular values that are close, the other those that are far apart.
    smoothing : float
        sqrt(beta) of the group Lasso over the norm of a typical column.
    starting_width, widening : int, float
        Columns of a penalised start, at least; and the share of them that may be left, beyond
        which the start was too narrow and is doubled.
    penalised_excess : float
        Columns of the widest penalised start over the largest width that is considered.
    penalised_steps, penalised_tol : int, float
        Most steps under the group Lasso, and the relative decrease in three of them that is none.
    vanishing : float
        Norm relative to the pruning threshold at which a column is dropped on the way.
    negligible : float
        Singular value relative to the largest that an exact fit may be able to spare, and that a
        ridge has emptied.
    abundant : float
        Measurements over unknowns from which no ridge is tried where the residual is noise.
    ridges : tuple of float
        Ridges to try, relative to what balances the strongest virtual column.
    evidence : EvidencePolicy
        Limits of the certificate.
    """

    held_out_share: float = 0.05
    fewest_held_out: int = 1000
    enough_held_out: int = 50
    rounds: int = 5
    rounds_of_many: int = 2
    many_measurements: int = 2000
    patience: int = 2
    slack: int = 2
    spare_for_outliers: float = 2.0
    most_freed: int = 3
    determined: float = 1.5
    unpredicted: float = 0.25
    widest_share: float = 0.9
    appended_share: int = 8
    appended_at_once: int = 10
    weakest_appended: float = 1e-3
    progress: float = 0.7
    steps_of_progress: int = 3
    max_steps: int = 60
    rescalings: int = 60
    rescaling: float = 0.5
    flat: float = 1e-9
    settled: float = 1.0 - 1e-6
    strengths: tuple[float, ...] = (0.02, 0.004, 0.0008)
    strengths_from_last: tuple[float, ...] = (0.06, 0.02)
    smoothing: float = 0.05
    starting_width: int = 10
    widening: float = 0.8
    penalised_excess: float = 1.4
    penalised_steps: int = 150
    penalised_tol: float = 1e-3
    vanishing: float = 0.1
    negligible: float = 1e-3
    abundant: float = 3.0
    ridges: tuple[float, ...] = (4.0, 2.0, 1.0, 0.5, 0.25)
    evidence: EvidencePolicy = field(default_factory=EvidencePolicy)

    def __post_init__(self) -> None:
        _check_numbers(self, least=0)
        if not isinstance(self.evidence, EvidencePolicy):
            raise TypeError(f"evidence must be an EvidencePolicy, got {self.evidence!r}")


def _check_numbers(owner: EvidencePolicy | Policy, least: int) -> None:
    """Whole numbers of at least ``least``, and real ones that are not negative."""
    for each in fields(owner):
        value = getattr(owner, each.name)
        if each.type == "int":
            _checks.whole_number(value, each.name, least=least)
        elif each.type == "float":
            _checks.float_fields(owner, each.name, least=0.0)
        elif isinstance(each.type, str) and each.type.startswith("tuple"):
            numbers = [_checks.real_number(x, each.name, above=0.0) for x in value]
            object.__setattr__(owner, each.name, tuple(numbers))

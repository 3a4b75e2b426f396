"""Policy: every number that recover decides by, with its meaning and what justifies it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Policy"]


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
    rounds, rounds_of_many : int
        How often, below and from ``many_measurements`` on.
    many_measurements : int
    patience : int
        Stages without a better prediction after which exploring ends.
    slack : int
        Measurements beyond the number of factors from which a row counts as well observed.
        Rows with fewer trap a fit, with fast growing values.
    determined : float
        Measurements over the unknowns of a matrix of twice the width, below which they are few:
        growing was seen trapped below 1.3.
    unpredicted : float
        Share of the mean square of held-out measurements that the best stage leaves, above which
        exploring may have been misled, and all measurements are fitted.
    widest_share : float
        Unknowns of the widest factors over the measurements.
    least_gain, most_gain : float
        Decrease of the loss that a column must bring, over its share of the degrees of freedom,
        and the share of the loss beyond which no fit to noise goes. Noise gives up to twice its
        share, as the direction is the best of all (the edge of its spectrum); the rest is chance.
    appended_share : int
        Factors grow by one column, and by one more for each so many.
    weakest_appended : float
        Strength of appended columns relative to the strongest.
    progress, steps_of_progress : float, int
        A fit on the way ends when the square root of the objective falls by less than this factor
        in so many steps.
    max_steps : int
        Steps of a fit on the way.
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
    noise_level : float
        Structure of a residual over that of noise, up to which a ridge need not be tried.
    abundant : float
        Measurements over unknowns from which it then is not.
    ridges : tuple of float
        Ridges to try, relative to what balances the strongest virtual column.
    """

    held_out_share: float = 0.05
    fewest_held_out: int = 1000
    rounds: int = 5
    rounds_of_many: int = 2
    many_measurements: int = 2000
    patience: int = 2
    slack: int = 2
    determined: float = 1.5
    unpredicted: float = 0.25
    widest_share: float = 0.9
    least_gain: float = 2.6
    most_gain: float = 0.6
    appended_share: int = 8
    weakest_appended: float = 1e-3
    progress: float = 0.7
    steps_of_progress: int = 3
    max_steps: int = 60
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
    noise_level: float = 1.1
    abundant: float = 3.0
    ridges: tuple[float, ...] = (4.0, 2.0, 1.0, 0.5, 0.25)

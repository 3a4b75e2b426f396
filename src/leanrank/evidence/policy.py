"""The limits of the evidence, each with what it means and what was measured to justify it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from leanrank import _checks

__all__ = ["EvidencePolicy"]


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
    strain : float
        Largest miss of the measurements that the flattest direction hangs on, over the
        thousandth largest that noise would give.
    held_by : float
        Least number of measurements that hold a block of rows of a symmetric matrix. Of 62
        matrices whose blocks few entries join, 4 were certified in a wrong position before.
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
    >>> from leanrank.evidence import EvidencePolicy
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
    opposed: float = 1.0
    least_identifiability: float = 1e-7
    least_spare: float = 1.0
    to_tell: float = 1.5
    gradient_exact: float = 1e-4
    gradient_noisy: float = 1e-3
    held_out: float = 0.5
    held_out_excess: float = 1.5
    strain: float = 1.0
    held_by: float = 4.0
    draws: int = 4
    translates: int = 6
    hole_chance: float = 0.01

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.type == "int":
                _checks.whole_number(getattr(self, field.name), field.name, least=1)
            else:
                _checks.float_fields(self, field.name, least=0.0)

"""The certificate in closed form, where all of X was seen: everything follows from singular values.

The loss is the squared distance to Y. At factors along singular vectors of Y, with singular values
of their own, its Hessian falls apart into blocks of two, one for each pair of columns, and one for
each column with the leading singular pair of what is left. The measurements are the entries
themselves, so that their derivative is that of the matrix, and no direction is flat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from leanrank._arrays import array_namespace, norm, to_numpy
from leanrank.evidence.certificate import Certificate
from leanrank.evidence.rules import Facts, judge
from leanrank.evidence.structure import explained_of_noise
from leanrank.evidence.white_noise import WhiteNoise
from leanrank.factors import Factors, degrees_of_freedom
from leanrank.operators import FullObservation
from leanrank.policy import EvidencePolicy
from leanrank.problem import Problem, exact_tolerance

__all__ = ["Spectrum", "certify_denoised", "misalignment", "sees_all"]

_SHRUNK = (
    "the answer is shrunk: each singular value by what noise had added to it and turned its "
    "vectors by"
)


@dataclass(frozen=True)
class Spectrum:
    """What is known of the singular values of measurements, or eigenvalues if symmetric.

    Attributes
    ----------
    values : ndarray, shape (rank,)
        Those that columns stand for.
    next_above, next_below : float
        The largest of the others; the size of the most negative one, if symmetric.
    beyond : float
        Sum of squares of what those columns leave.
    noise : WhiteNoise or None
        None where there is none.
    """

    values: np.ndarray
    next_above: float
    next_below: float
    beyond: float
    noise: WhiteNoise | None

    def missed(self, factors: Factors) -> np.ndarray:
        """By how much the singular values of balanced factors are less."""
        return self.values - _singular_values(factors)

    def square(self, factors: Factors) -> float:
        """Sum of squares of the residual."""
        return self.beyond + float(np.sum(self.missed(factors) ** 2))

    def gradient_norm(self, factors: Factors) -> float:
        """Norm of the gradient of the loss: columns shrunk could be longer."""
        squares = np.sum(self.missed(factors) ** 2 * _singular_values(factors))
        return math.sqrt((16.0 if factors.symmetric else 8.0) * float(squares))


def _singular_values(factors: Factors) -> np.ndarray:
    """Those of balanced factors, from the lengths of their columns."""
    squares = to_numpy(factors.column_norms()).astype(np.float64) ** 2
    return squares if factors.symmetric else squares / 2


def sees_all(problem: Problem) -> bool:
    """Whether the measurements are all entries of X, each as good as the others."""
    return isinstance(problem.op, FullObservation) and problem.loss.plain and not problem.penalised


def misalignment(problem: Problem, factors: Factors) -> float:
    """Gradient norm times norm of W over the loss of zero, but for the lengths of columns.

    Balanced factors whose columns are shrunk are not where the loss is least. What they leave of
    singular values shows as structure of the residual; whether they lie along singular vectors is
    what is told here. One pass and a half.
    """
    xp = array_namespace(factors.W)
    Y = xp.reshape(problem.y, problem.op.shape)
    matrix = (Y + Y.T) / 2 if factors.symmetric else Y
    slope = (
        [matrix @ factors.V] if factors.symmetric else [matrix @ factors.V, matrix.T @ factors.U]
    )
    squares = 0.0
    for image, own in zip(slope, (factors.U, factors.V), strict=False):
        along = xp.sum(image * own, axis=0) / xp.sum(own * own, axis=0)
        squares += norm(image - own * along) ** 2
    problem.passes += 0.5 * len(slope) + 0.5
    scale = 4.0 if factors.symmetric else 2.0
    return scale * math.sqrt(squares) * norm(factors.W) / problem.zero_loss


def certify_denoised(
    problem: Problem, factors: Factors, spectrum: Spectrum, policy: EvidencePolicy
) -> Certificate:
    """The certificate of balanced factors along singular vectors of the measurements.

    Parameters
    ----------
    problem : Problem
        That :func:`sees_all` of X.
    factors : Factors
        As many columns as ``spectrum`` has values, in their order, of singular values of their own.
    spectrum : Spectrum
    policy : EvidencePolicy
    """
    rank, symmetric, noise = factors.width, factors.symmetric, spectrum.noise
    taken, missed, square = (
        _singular_values(factors),
        spectrum.missed(factors),
        spectrum.square(factors),
    )
    relative_residual = math.sqrt(square / problem.zero_loss)
    exact = relative_residual <= exact_tolerance(problem.y)
    largest = max(float(np.max(missed, initial=0.0)), spectrum.next_above)
    shown = max(largest, spectrum.next_below)
    size, error = float(np.linalg.norm(taken)), 0.0
    if noise is not None:
        error = noise.expected_error(spectrum.values, taken) / size if rank else math.inf
    dof = problem.unknowns(factors)
    certificate = Certificate(
        holds=False,
        reasons=(),
        notes=() if noise is None else (_SHRUNK,),
        rank=rank,
        degrees_of_freedom=dof,
        measurements=problem.op.size,
        relative_residual=relative_residual,
        relative_gradient=misalignment(problem, factors) if rank else 0.0,
        active_curvature=0.0 if exact else _active_curvature(taken, missed, spectrum, symmetric),
        virtual_curvature=-2.0 * (2.0 if symmetric else 1.0) * largest,
        noise_gap=0.0 if exact or noise is None else shown / noise.edge,
        identifiability=1.0,
        condition_number=float(taken[0] / taken[-1]) if rank else 1.0,
        error_estimate=error,
    )
    wider = degrees_of_freedom(problem.op.shape, rank + 1, symmetric)
    opposed = 0.0
    if symmetric and not exact and problem.op.size > dof:
        by_chance = explained_of_noise(wider - dof, problem.op.size - dof, policy)
        opposed = spectrum.next_below**2 / square / by_chance
    facts = Facts(
        certificate=certificate,
        exact=exact,
        wider=wider,
        distinct=problem.op.size,
        symmetric=symmetric,
        full_rank=rank >= min(problem.op.shape),
        opposed=opposed,
        missed=1.0 / (1.0 - min(dof / problem.op.size, 0.95)),
    )
    reasons = judge(facts, policy)
    return replace(certificate, holds=not reasons, reasons=reasons)


def _active_curvature(
    taken: np.ndarray, missed: np.ndarray, spectrum: Spectrum, symmetric: bool
) -> float:
    """Smallest eigenvalue of the Hessian's block of the columns that there are.

    Of two columns that turn into one another: their own curvature is twice what they hold less
    what they miss of the other, and they are coupled by what they hold together. A column by itself
    is lengthened, or, unless it is symmetric, lengthened in U and shortened in V. And it turns into
    the leading direction of what is left: twice the difference of their singular values.
    """
    if not taken.size:
        return 0.0
    own = 2.0 * (taken[:, None] - missed[None, :])
    coupled = 2.0 * np.sqrt(np.outer(taken, taken))
    lower = (own + own.T) / 2 - np.sqrt((own - own.T) ** 2 / 4 + coupled**2)
    itself = 4.0 * taken - 2.0 * missed
    np.fill_diagonal(lower, itself if symmetric else np.minimum(itself, 2.0 * missed))
    alone = 2.0 * (taken[-1] - spectrum.next_above)
    return (2.0 if symmetric else 1.0) * float(min(np.min(lower), alone))

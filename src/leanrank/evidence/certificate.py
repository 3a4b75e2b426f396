"""Certificates: how far to trust recovered factors, in numbers and in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, ArrayLike, gaussian, norm, to_numpy
from leanrank._threads import one_blas_thread
from leanrank.evidence.sensitivity import sensitivity
from leanrank.evidence.structure import noise_level, structure, virtual_columns
from leanrank.factors import Factors, degrees_of_freedom
from leanrank.linalg import smallest_eigenvalue
from leanrank.operators import Measurement
from leanrank.penalties import Penalty
from leanrank.problem import Problem, check_measurements, exact_tolerance, measurement_scale

__all__ = [
    "Certificate",
    "certify",
    "check_certificate",
    "in_units",
    "relative_error_on",
]

_LARGEST_ERROR = 0.1
"""Largest estimated relative error of X that a certificate lets pass."""


@dataclass(frozen=True)
class Certificate:
    """How far to trust recovered factors (numbers in the units of X unless relative).

    Attributes
    ----------
    holds : bool
        Whether the evidence supports the answer, with a relative error of at most a tenth.
    reasons : tuple of str
        What speaks against it, with the remedy; empty if it holds.
    notes : tuple of str
        What one should know although it does not speak against the answer.
    rank, degrees_of_freedom, measurements : int
        The second counts constants that the operator eliminates, too.
    relative_residual : float
        Norm of the residual over the norm of y.
    relative_gradient : float
        Gradient norm times norm of W over the loss of the zero matrix.
    active_curvature, virtual_curvature : float
        Smallest Hessian eigenvalue of the block of existing columns (at most about 0: rotations
        of the factors change nothing), and of a column that does not exist, at every width.
    noise_gap : float
        Spectral norm of the gradient in X over what noise of the residual's size gives by itself:
        about 1 or less when nothing is left to be found. 0 for an exact fit.
    identifiability : float
        Smallest curvature of the loss along directions that change X, relative to each factor
        row's own curvature; 0 where other matrices of this rank fit as well.
    condition_number : float
        Largest over smallest singular value of the recovered matrix.
    error_estimate : float
        Estimated relative error of X in Frobenius norm: noise of the residual's size propagated
        through the linearised measurements.
    held_out_error : float or None
        Relative error on measurements that were held out; None if none were.
    """

    holds: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    rank: int
    degrees_of_freedom: int
    measurements: int
    relative_residual: float
    relative_gradient: float
    active_curvature: float
    virtual_curvature: float
    noise_gap: float
    identifiability: float
    condition_number: float
    error_estimate: float
    held_out_error: float | None = None

    def __str__(self) -> str:
        verdict = "The certificate holds." if self.holds else "The certificate does not hold."
        held_out = (
            "none held out" if self.held_out_error is None else f"{self.held_out_error:.2e} (rel.)"
        )
        lines = [
            verdict,
            f"  rank                    {self.rank}",
            f"  degrees of freedom      {self.degrees_of_freedom} of {self.measurements} "
            "measurements",
            f"  residual                {self.relative_residual:.2e} (rel.)",
            f"  gradient                {self.relative_gradient:.2e} (rel.)",
            f"  curvature, active       {self.active_curvature:.2e}",
            f"  curvature, virtual      {self.virtual_curvature:.2e}",
            f"  gap to noise            {self.noise_gap:.2f}",
            f"  identifiability         {self.identifiability:.2e}",
            f"  condition number        {self.condition_number:.2e}",
            f"  estimated error of X    {self.error_estimate:.2e} (rel.)",
            f"  held-out error          {held_out}",
        ]
        lines += [f"  - {reason}" for reason in self.reasons]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


@one_blas_thread()
def check_certificate(
    op: Measurement,
    y: ArrayLike,
    factors: Factors,
    *,
    penalty: Penalty | None = None,
    held_out: tuple[Measurement, ArrayLike] | None = None,
    random_state: int | np.random.Generator | None = 0,
) -> Certificate:
    """The certificate of factors from anywhere, computed from scratch.

    Parameters
    ----------
    op : Measurement
    y : array, shape (m,)
    factors : Factors
        Of the shape that ``op`` measures.
    penalty : Penalty, optional
        The penalty under which the factors are to be stationary, in the units of ``y``.
    held_out : pair (Measurement, array), optional
        Measurements that the factors were not fitted to.
    random_state : int or Generator
        Draws of random directions and signs.

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError
        If shapes do not fit, or y or the factors are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from leanrank.operators import FullObservation
    >>> U = np.array([[1.0], [2.0], [0.0]])
    >>> certificate = check_certificate(FullObservation((3, 3)), U @ U.T, Factors(U))
    >>> certificate.holds, certificate.rank
    (True, 1)
    """
    y = check_measurements(op, y)
    if factors.shape != op.shape:
        raise ValueError(f"factors must be of shape {op.shape}, got {factors.shape}")
    _checks.real_array(factors.W, "factors", ndim=2)
    rng = _checks.generator(random_state)
    scale = measurement_scale(op, y)
    held_out_error = None
    if held_out is not None:
        held_out_error = relative_error_on(*held_out, factors)
    if penalty is None and scale > 0:
        certificate = certify(
            Problem(op, y / scale), factors.scaled(1.0 / scale), rng, held_out_error=held_out_error
        )
        return in_units(certificate, scale)
    return certify(Problem(op, y, penalty), factors, rng, held_out_error=held_out_error)


def relative_error_on(op: Measurement, y: Array, factors: Factors) -> float:
    """Norm of the residual on (held-out) measurements over the norm of those measurements."""
    y = check_measurements(op, y)
    size = norm(y)
    error = norm(op.forward(factors) - y)
    return error / size if size > 0 else (0.0 if error == 0 else math.inf)


def in_units(certificate: Certificate, scale: float) -> Certificate:
    """Curvatures of the problem of y / scale in the units of y."""
    return replace(
        certificate,
        active_curvature=certificate.active_curvature * scale,
        virtual_curvature=certificate.virtual_curvature * scale,
    )


def certify(
    problem: Problem,
    factors: Factors,
    rng: np.random.Generator,
    *,
    held_out_error: float | None = None,
) -> Certificate:
    """The certificate of factors for a problem whose y is of sensible scale."""
    factors = factors.compress()  # empty columns are no rank
    m, dof, rank = problem.op.size, problem.unknowns(factors), factors.width
    point, tangent = problem.linearise(factors)
    zero_loss = problem.zero_loss
    relative_residual = math.sqrt(point.loss / zero_loss) if zero_loss > 0 else 0.0
    exact = relative_residual <= exact_tolerance(problem.y)
    G = problem.gradient_matrix(point.residual)
    strength = float(virtual_columns(G, factors, rng)[1][0])
    level = 0.0 if exact else noise_level(problem, point, rng)
    singular = to_numpy(factors.singular_values()) if rank else np.zeros(0)
    active, identifiability, error = 0.0, 1.0, 0.0 if exact else math.inf
    if rank:
        start = gaussian(rng, tuple(factors.W.shape), factors.W)
        active = smallest_eigenvalue(problem.hessian(point, tangent), start)[0]
        identifiability, error = sensitivity(problem, point, tangent, rng)
    size = norm(factors.W) or 1.0
    certificate = Certificate(
        holds=False,
        reasons=(),
        notes=(),
        rank=rank,
        degrees_of_freedom=dof,
        measurements=m,
        relative_residual=relative_residual,
        relative_gradient=point.gradient_norm * size / zero_loss if zero_loss > 0 else 0.0,
        active_curvature=active,
        virtual_curvature=problem.penalty.curvature_at_zero - strength,
        noise_gap=structure(G, factors, rng) / level if level > 0 else 0.0,
        identifiability=identifiability,
        condition_number=float(singular[0] / singular[-1]) if rank and singular[-1] > 0 else 1.0,
        error_estimate=error,
        held_out_error=held_out_error,
    )
    reasons, notes = _judge(certificate, problem, exact, factors.symmetric)
    return replace(certificate, holds=not reasons, reasons=tuple(reasons), notes=tuple(notes))


def _judge(
    c: Certificate, problem: Problem, exact: bool, symmetric: bool
) -> tuple[list[str], list[str]]:
    """What speaks against an answer, and what one should know about it."""
    reasons: list[str] = []
    notes: list[str] = []
    if c.rank == 0 and not exact:
        reasons.append(
            "nothing in the measurements rises above the noise: the zero matrix is all that they "
            "support; take more measurements or less noisy ones"
        )
        return reasons, notes
    if c.rank and c.measurements <= c.degrees_of_freedom:
        reasons.append(
            f"{c.measurements} measurements cannot determine the {c.degrees_of_freedom} "
            f"unknowns of a fit of rank {c.rank}: take more, or set a smaller width"
        )
    wider = degrees_of_freedom(problem.op.shape, c.rank + 1, symmetric)
    if not exact and c.measurements < 2 * wider and c.rank < min(problem.op.shape):
        reasons.append(
            f"{c.measurements} measurements are too few to tell noise from misfit, as a matrix of "
            f"rank {c.rank + 1} has {wider} free parameters: take more, or set a smaller width"
        )
    rows, cols = problem.op.undetermined(c.rank, symmetric) if c.rank else ((), ())
    for name, index in (("row", rows), ("column", cols)):
        if len(index):
            shown = ", ".join(str(i) for i in index[:5]) + (", ..." if len(index) > 5 else "")
            reasons.append(
                f"{len(index)} {name}(s) have too few measurements to be determined at rank "
                f"{c.rank} ({name} {shown}, counted from 0): their values are a guess"
            )
    if c.identifiability < 1e-7:
        reasons.append(
            "other matrices of this rank fit the measurements as well (the loss is flat along a "
            "direction that changes X): take more measurements, or set a smaller width"
        )
    if not c.relative_gradient <= (1e-4 if exact else 1e-3):
        reasons.append(
            f"the factors are not stationary (relative gradient {c.relative_gradient:.1e}): raise "
            "max_iter"
        )
    if not c.error_estimate <= _LARGEST_ERROR:
        reasons.append(
            f"noise of the residual's size leaves X uncertain by {c.error_estimate:.0%}, more than "
            f"{_LARGEST_ERROR:.0%}: take more measurements, or less noisy ones"
        )
    limit = 0.5
    if c.held_out_error is not None and not c.held_out_error <= limit:
        reasons.append(
            f"measurements that were held out are missed by {c.held_out_error:.0%}: the matrix is "
            "not of low rank, or the measurements are too few"
        )
    noise = c.relative_residual / math.sqrt(max(1.0 - c.degrees_of_freedom / c.measurements, 1e-3))
    expected = math.hypot(noise, c.error_estimate)
    if c.held_out_error is not None and limit >= c.held_out_error > 1.5 * expected + 1e-6:
        reasons.append(
            f"measurements that were held out are missed by {c.held_out_error:.1%}, though noise "
            f"of the residual's size would explain {expected:.1%}: the fit misses structure, or "
            "follows noise; take more measurements, or set another width"
        )
    if c.noise_gap > 1.2:
        reasons.append(
            f"the residual has structure, {c.noise_gap:.1f} times the level of noise: the matrix "
            "is of low rank only approximately"
            + (" or indefinite" if symmetric else "")
            + ", or a larger width is needed"
        )
    if problem.penalty.curvature_at_zero > 0:
        notes.append(f"the answer is shrunk by a penalty, {problem.penalty!r}")
    return reasons, notes

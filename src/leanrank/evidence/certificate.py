"""What a certificate holds: numbers, a verdict, and reasons in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from leanrank._display import certificate_html, certificate_line
from leanrank.evidence.prediction import Prediction
from leanrank.policy import EvidencePolicy

__all__ = ["Certificate", "of_shrunk", "rescaled"]


_SHRUNK = (
    "the answer is shrunk, and without that a fit of its rank is not certified, or there are "
    "weaker columns that cannot be told from noise: take more measurements, or less noisy ones"
)


@dataclass(frozen=True)
class Certificate:
    """How far to trust recovered factors (numbers in the units of X unless relative).

    Attributes
    ----------
    holds : bool
        Whether the evidence supports the answer, with a relative error of at most a tenth (and of
        at most a fifth on entries that were not observed).
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
        Estimated relative error of X in Frobenius norm, the root of an expected square: noise of
        the residual's size propagated through the linearised measurements, and what is missed in
        the largest block of entries that were not observed. A single error may be smaller by luck.
    held_out_error : float or None
        Relative error on measurements that were held out; None if none were.
    filled_error : float or None
        Estimated relative error on the entries that were not observed, or on the largest block of
        them if it is worse there; None where measurements are not entries, or all were observed.
    prediction : Prediction or None
        How measurements that were held out are predicted, against means, and whether intervals
        cover them; None where that was not asked.

    Notes
    -----
    In a condition a certificate is what it says: ``if certificate:`` asks whether it holds.
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
    filled_error: float | None = None
    prediction: Prediction | None = None

    def predicts(self, policy: EvidencePolicy) -> bool:
        """Whether unseen entries are predicted, clearly better than by means."""
        return self.prediction is not None and not self.prediction.reasons(policy)

    def __bool__(self) -> bool:
        return self.holds

    def __repr__(self) -> str:
        return certificate_line(self)

    def _repr_html_(self) -> str:
        return certificate_html(self)

    def __str__(self) -> str:
        verdict = "The certificate holds." if self.holds else "The certificate does not hold."
        held_out = _relative(self.held_out_error, "none held out")
        filled = _relative(self.filled_error, "none filled in")
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
            f"  estimated error of X    {_relative(self.error_estimate, '')}",
            f"  of what was filled in   {filled}",
            f"  held-out error          {held_out}",
        ]
        if self.prediction is not None:
            lines.append(f"  - {self.prediction}")
        lines += [f"  - {reason}" for reason in self.reasons]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def _relative(error: float | None, otherwise: str) -> str:
    if error is None:
        return otherwise
    return f"{error:.2e} (rel.)" if math.isfinite(error) else "unbounded"


def of_shrunk(certificate: Certificate) -> Certificate:
    """That of posterior means, which does not hold by itself.

    A prior makes everything look determined: only a fit without it that is certified pins the
    matrix down.
    """
    return (
        replace(certificate, holds=False, reasons=(_SHRUNK,)) if certificate.holds else certificate
    )


def rescaled(certificate: Certificate, scale: float) -> Certificate:
    """The certificate of ``scale`` times the matrix: only curvatures have units."""
    return replace(
        certificate,
        active_curvature=certificate.active_curvature * scale,
        virtual_curvature=certificate.virtual_curvature * scale,
    )

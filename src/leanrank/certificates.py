"""Certificates: how far to trust an answer, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Certificate"]


@dataclass(frozen=True)
class Certificate:
    """How far to trust recovered factors (numbers in the units of X unless relative).

    Attributes
    ----------
    holds : bool
        Whether the evidence supports the answer.
    reasons : tuple of str
        What speaks against it, with the remedy; empty if it holds.
    rank, degrees_of_freedom, measurements : int
    relative_residual : float
        Norm of the residual over the norm of y.
    relative_gradient : float
        Gradient norm, scale-free.
    active_curvature, virtual_curvature : float
        Smallest Hessian eigenvalue of the block of existing columns, and of a column that does
        not exist (at every larger width).
    noise_gap : float
        Largest singular value of the gradient in X over the level that noise of the residual's
        size gives by itself: about 1 or less when nothing is left to be found.
    condition_number : float
        Largest over smallest singular value of the recovered matrix.
    error_estimate : float
        Estimated relative error of X in Frobenius norm.
    held_out_error : float or None
        Relative error on measurements that were held out; None if none were.
    """

    holds: bool
    reasons: tuple[str, ...]
    rank: int
    degrees_of_freedom: int
    measurements: int
    relative_residual: float
    relative_gradient: float
    active_curvature: float
    virtual_curvature: float
    noise_gap: float
    condition_number: float
    error_estimate: float
    held_out_error: float | None = None

"""Negative curvature: what tells a saddle point from a minimum."""

from __future__ import annotations

from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, gaussian, norm
from leanrank.linalg import smallest_eigenpair
from leanrank.problem import Point, Problem

__all__ = ["AtZero", "smallest_curvature"]

_LANCZOS = 200
_RESOLVED = 1e-5
"""Share of the Hessian's norm below which a curvature is not told from zero."""
_NO_BETTER = 1e-5
"""Share of the loss of the zero matrix below which an improvement does not count as one."""


def smallest_curvature(
    problem: Problem, point: Point, random_state: Any = None
) -> tuple[float, Array]:
    """Smallest eigenvalue of the Hessian of the objective at full width, and its direction.

    By Lanczos on Hessian-vector products, from a random start, with at most 200 of them: for up
    to 200 entries of W it is exact, beyond that a Rayleigh quotient, which errs upwards.

    Returns
    -------
    value : float
    direction : array, shape of W
        Of unit norm; zero where the factors have no columns, for which the value is infinite.
    """
    W = point.factors.W
    if 0 in W.shape:
        return float("inf"), W
    start = gaussian(_checks.generator(random_state), tuple(W.shape), W)
    return smallest_eigenpair(problem.hessian(point), start, max_iter=_LANCZOS, tol=_RESOLVED)


class AtZero:
    """Whether the factors of a run lie at zero, and zero is a saddle point.

    There the gradient is as small as the factors, whatever the problem. The curvature is looked at
    once for as long as the loss is no better than that of the zero matrix.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._curvature: float | None = None

    def saddle(self, point: Point) -> str:
        """A sentence that says so, or none."""
        zero_loss = self._problem.zero_loss
        if not (point.factors.width and point.loss >= (1.0 - _NO_BETTER) * zero_loss > 0):
            self._curvature = None
            return ""
        if self._curvature is None:
            self._curvature = self._negative_curvature(point)
        if self._curvature == 0:
            return ""
        return (
            f"zero is a saddle point of this problem (curvature {self._curvature:.1e}): start "
            "elsewhere or from larger factors, or use PerturbedGradientDescent"
        )

    def _negative_curvature(self, point: Point) -> float:
        """The smallest curvature if it is negative beyond doubt, else zero."""
        value, direction = smallest_curvature(self._problem, point, 0)
        hessian = self._problem.hessian(point)
        image = hessian(gaussian(np.random.default_rng(0), tuple(direction.shape), direction))
        # A step of the power method gives the Hessian's norm, roughly.
        norms = norm(image), norm(hessian(image))
        return value if value * norms[0] < -_RESOLVED * norms[1] else 0.0

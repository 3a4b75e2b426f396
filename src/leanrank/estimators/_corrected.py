"""Quadratic networks with the corrected loss: Appendix F of the pruning paper."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from leanrank import initial
from leanrank._arrays import Array, array_namespace, norm
from leanrank.evidence import check_certificate
from leanrank.linalg import leading_pairs
from leanrank.operators import Centred
from leanrank.penalties import GroupLasso, NoPenalty, Penalty
from leanrank.problem import Problem, measurement_scale
from leanrank.pruning import prune
from leanrank.results import History, Result, Status
from leanrank.solvers import LBFGS, Callback, GaussNewton, solve

__all__ = ["TraceCorrection", "default_penalty", "prune_corrected"]


@dataclass(frozen=True)
class TraceCorrection:
    r"""A penalty less what the mean output adds to the loss: :math:`p(W) - (|W|_F^2 - \tau)^2`.

    For standard normal inputs, factors U and :math:`\tau = \operatorname{tr} X_\star`, the
    expected loss of a quadratic network is :math:`2|UU^\top - X_\star|_F^2 + (|U|_F^2 - \tau)^2`;
    with this added, only the first term and p are left.

    Parameters
    ----------
    penalty : Penalty
        p, any penalty on the columns.
    trace : float
        :math:`\tau`; the mean of y estimates it.

    Notes
    -----
    Eq. (348) of Rajaraman et al. (2023), which prints the penalty without its strength lambda.
    Over finitely many samples the sum can be unbounded from below: then descent diverges.

    Examples
    --------
    >>> import numpy as np
    >>> TraceCorrection(NoPenalty(), 1.0).value(np.array([[1.0, 1.0], [0.0, 1.0]]))
    -4.0
    """

    penalty: Penalty
    trace: float

    @property
    def curvature_at_zero(self) -> float:
        """That of a zero column where the trace is right."""
        return self.penalty.curvature_at_zero

    def _excess(self, W: Array) -> float:
        return float(array_namespace(W).sum(W * W)) - self.trace

    def scaled(self, factor: float) -> TraceCorrection:
        return TraceCorrection(self.penalty.scaled(factor), self.trace * factor)

    def value(self, W: Array) -> float:
        excess = self._excess(W)
        return self.penalty.value(W) - excess * excess

    def weights(self, W: Array) -> Array:
        return self.penalty.weights(W) - 4.0 * self._excess(W)

    def hvp(self, W: Array, Z: Array) -> Array:
        inner = float(array_namespace(W).sum(W * Z))
        return self.penalty.hvp(W, Z) - 4.0 * self._excess(W) * Z - 8.0 * inner * W


def default_penalty(seen: Centred, y: Array, rng: Any) -> GroupLasso:
    r"""Strength 0.4 s^1.5 and smoothing 0.01 s, for s about the largest singular value of X.

    s is that of :math:`\tfrac1{2m}\sum_i (y_i - \bar y)\, x_i x_i^\top`, whose mean is X for
    standard normal x. With d = 20 and three neurons of unit norm they find the right width for 5 of
    6 seeds with 200 samples as with 500, and for all with 2000.
    """
    matrix = seen.adjoint(y * (0.5 / seen.size))
    values = leading_pairs(matrix, 1, rng, seen.reference, symmetric=True)[1]
    s = max(float(values[0]), 1e-3 * measurement_scale(seen, y))
    return GroupLasso(0.4 * s**1.5, 0.01 * s)


def prune_corrected(
    seen: Centred,
    y: Array,
    penalty: GroupLasso,
    *,
    width: int,
    max_iter: int,
    callbacks: tuple[Callback, ...],
    rng: Any,
) -> Result:
    """Minimise the corrected, penalised loss at full width; prune; refit to the loss alone.

    Parameters
    ----------
    seen : Centred
        The measurements of x x^T, and how a constant enters them.
    y : array, shape (m,)
        Not centred, and not all zero.
    penalty : GroupLasso
        In the units of y.
    width, max_iter : int
        Columns to start with, and the largest number of steps of each of the two fits.
    callbacks : tuple of callables
        True stops.
    rng : Generator
        For the start.

    Returns
    -------
    Result
        CONVERGED only if the certificate of the refitted network holds.
    """
    op, scale = seen.op, measurement_scale(seen, y)
    unit = penalty.scaled(1.0 / scale)
    trace = float(seen.constant(y)) / scale
    problem = Problem(op, y / scale, TraceCorrection(unit, trace))
    # Longer columns start beyond the ridge from which the loss falls without end; shorter ones
    # collapse where the penalty makes zero stable.
    start = initial.gaussian(
        op.shape,
        width,
        scale=3.0 * math.sqrt(unit.smoothing / op.shape[0]),
        symmetric=True,
        random_state=rng,
        reference=op.reference,
    )
    found = solve(
        LBFGS(),
        problem,
        start,
        tol=1e-5,
        max_iter=10 * max_iter,
        callbacks=callbacks,
        phase="penalise",
    )
    norms = {"before pruning": math.sqrt(scale) * found.factors.column_norms()}

    def outcome(result: Result, status: Status, message: str, certificate: Any = None) -> Result:
        history = found.history
        if result is not found:
            history = History([*found.history, *result.history])
        return Result(result.factors.scaled(scale), status, message, certificate, history, norms)

    if found.status is Status.STOPPED:
        return outcome(found, Status.STOPPED, "stopped by a callback or the time limit")
    if found.status is Status.DIVERGED or not norm(found.factors.W) ** 2 < 100.0 * (trace + 1.0):
        found = replace(found, factors=found.factors.with_stacked(found.factors.W[:, :0]))
        return outcome(
            found,
            Status.DIVERGED,
            "the corrected loss is unbounded from below on these samples, and no neurons are "
            "given; use correction=False, which needs fewer samples, or fit_intercept=True",
        )
    pruned = prune(found.factors, unit.prune_threshold)
    norms["after pruning"] = math.sqrt(scale) * pruned.column_norms()
    tuned = solve(
        GaussNewton(),
        problem.with_penalty(NoPenalty()),
        pruned,
        tol=1e-13,
        max_iter=max_iter,
        callbacks=callbacks,
        phase="fine-tune",
    )
    if tuned.status is Status.STOPPED:
        return outcome(tuned, Status.STOPPED, "stopped by a callback or the time limit")
    certificate = check_certificate(op, y, tuned.factors.scaled(scale), random_state=rng)
    message = "; ".join(certificate.reasons) or (
        f"{tuned.rank} of {width} columns kept and refitted; estimated relative error "
        f"{certificate.error_estimate:.1e}"
    )
    return outcome(
        tuned, Status.CONVERGED if certificate.holds else Status.STALLED, message, certificate
    )

"""Certificates: how far to trust recovered factors, from the answer and the measurements alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, ArrayLike, array_namespace, gaussian, norm, to_numpy
from leanrank._guidance import explains_arguments, measured_pair
from leanrank._threads import one_blas_thread
from leanrank.evidence.certificate import Certificate, rescaled
from leanrank.evidence.denoised import misalignment, sees_all
from leanrank.evidence.filled import Filled, different, filled_error, observed_entries
from leanrank.evidence.prediction import Prediction
from leanrank.evidence.rules import Facts, judge
from leanrank.evidence.sensitivity import Sensitivity, sensitivity
from leanrank.evidence.structure import (
    explained_of_noise,
    leading_gap,
    noise_level,
    opposed_share,
    residual_spectral_norm,
    virtual_columns,
)
from leanrank.factors import Factors, check_factors, degrees_of_freedom
from leanrank.linalg import smallest_eigenvalue
from leanrank.losses import Loss, Squared
from leanrank.operators import Measurement, ObservedEntries, Tangent
from leanrank.penalties import Penalty
from leanrank.policy import EvidencePolicy
from leanrank.problem import (
    Point,
    Problem,
    check_loss,
    check_measurements,
    counted,
    exact_tolerance,
    measurement_scale,
)

__all__ = ["certify", "check_certificate", "relative_error_on"]


@explains_arguments
@one_blas_thread()
def check_certificate(
    op: Measurement,
    y: ArrayLike,
    factors: Factors,
    *,
    penalty: Penalty | None = None,
    loss: Loss | None = None,
    held_out: tuple[Measurement, ArrayLike] | None = None,
    random_state: int | np.random.Generator | None = 0,
    policy: EvidencePolicy | None = None,
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
    loss : Loss, optional
        What residuals cost, in the units of ``y``; squares by default.
    held_out : pair (Measurement, array), optional
        Measurements that the factors were not fitted to, each of weight one; where they differ in
        noise, :class:`~leanrank.operators.Weighted` ones.
    random_state : int or Generator
        Draws of random directions, signs and blocks.
    policy : EvidencePolicy, optional
        The limits of the rules, and how many draws are made.

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
    if check_factors(factors, "factors").shape != op.shape:
        raise ValueError(f"factors must be of shape {op.shape}, got {factors.shape}")
    _checks.real_array(factors.W, "factors", ndim=2)
    rng = _checks.generator(random_state)
    op, y, loss = counted(op, y, check_loss(op, y, loss), penalty is not None)
    loss = loss.normalised()
    scale = measurement_scale(op, y, loss)
    held_out_error = None
    if held_out is not None:
        held_out_error = relative_error_on(
            *measured_pair(held_out, "held_out", op.shape), factors, loss.unweighted()
        )
    if penalty is None and scale > 0:
        problem = Problem(op, y / scale, loss=loss.scaled(1.0 / scale))
        factors = factors.scaled(1.0 / scale)
    else:
        problem, scale = Problem(op, y, penalty, loss), 1.0
    certificate = certify(problem, factors, rng, held_out_error=held_out_error, policy=policy)
    return rescaled(certificate, scale)


def relative_error_on(
    op: Measurement, y: Array, factors: Factors, loss: Loss | None = None
) -> float:
    """Size of the residual on (held-out) measurements over the size of those measurements."""
    y, loss = check_measurements(op, y), Squared() if loss is None else loss
    size, error = loss.size(y), loss.size(op.forward(factors) - y)
    return error / size if size > 0 else (0.0 if error == 0 else math.inf)


def certify(
    problem: Problem,
    factors: Factors,
    rng: np.random.Generator,
    *,
    held_out_error: float | None = None,
    prediction: Prediction | None = None,
    change: float | None = None,
    policy: EvidencePolicy | None = None,
) -> Certificate:
    """The certificate of factors for a problem whose y is of sensible scale.

    Posterior means are stationary where the loss is not: then ``change``, by how much they change
    from sweep to sweep, relative, takes the place of the gradient.
    """
    policy = EvidencePolicy() if policy is None else policy
    factors = factors.compress()  # empty columns are no rank
    if factors.width and factors.norm() == 0:  # nor are those too small for a product
        factors = factors.keep(np.zeros(factors.width, dtype=bool))
    rank = factors.width
    point, tangent = problem.linearise(factors, last=True)
    if problem.loss.estimated:
        problem = problem.refitted(point)
        point = problem.evaluate(factors)
    relative_residual, exact = problem.relative_residual(point), problem.is_exact(point)
    G = problem.gradient_matrix(point.residual)
    strength = float(virtual_columns(G, factors, rng)[1][0])
    level = 0.0 if exact else noise_level(problem, point, rng)
    singular = to_numpy(factors.singular_values()) if rank else np.zeros(0)
    active, identifiability, error = 0.0, 1.0, 0.0 if exact else math.inf
    filled, answer = Filled(), None
    seen = observed_entries(problem.op, factors.symmetric)
    if rank:
        active = _active_curvature(problem, point, tangent, exact, rng)
        # Intervals of a posterior mean come from its own draws.
        draws = 1 if exact or change is not None else policy.draws
        answer = sensitivity(problem, point, tangent, rng, draws)
        filled = filled_error(problem, point, seen, answer.changes, exact, policy, rng)
        identifiability = answer.identifiability
        error = math.hypot(answer.error, math.sqrt(filled.misfit)) / factors.norm()
    certificate = Certificate(
        holds=False,
        reasons=(),
        notes=_notes(problem, change is not None),
        rank=rank,
        degrees_of_freedom=problem.unknowns(factors),
        measurements=problem.op.size,
        relative_residual=relative_residual,
        relative_gradient=_relative_gradient(problem, point) if change is None else change,
        active_curvature=active,
        virtual_curvature=problem.penalty.curvature_at_zero - strength,
        noise_gap=residual_spectral_norm(G, factors, rng) / level if level > 0 else 0.0,
        identifiability=identifiability,
        condition_number=float(singular[0] / singular[-1]) if rank and singular[-1] > 0 else 1.0,
        error_estimate=error,
        held_out_error=held_out_error,
        filled_error=filled.error,
    )
    facts = _facts(problem, point, seen, certificate, answer, exact, policy, rng)
    if prediction is not None:
        shrunk = change is not None or problem.penalised
        guessed = 0.0 if shrunk or seen is None else _guessed(seen, facts.rows, facts.cols)
        prediction = replace(
            prediction, in_hole=filled.in_hole, apart=filled.apart, guessed=guessed
        )
    reasons = judge(replace(facts, shrunk=change is not None), policy)
    return replace(certificate, holds=not reasons, reasons=reasons, prediction=prediction)


def _active_curvature(
    problem: Problem, point: Point, tangent: Tangent, exact: bool, rng: np.random.Generator
) -> float:
    r"""Smallest eigenvalue of the Hessian's block of the columns that there are.

    Where squares are fitted exactly it is :math:`J^\top J`, and rotations of the factors are in its
    kernel: zero, without sixty products with it.
    """
    factors = point.factors
    turns = factors.width > 1 or not factors.symmetric
    if exact and turns and problem.loss.quadratic and not problem.penalised:
        return 0.0
    start = gaussian(rng, tuple(factors.W.shape), factors.W)
    return smallest_eigenvalue(problem.hessian(point, tangent), start)


def _relative_gradient(problem: Problem, point: Point) -> float:
    """Gradient norm times norm of W, over the loss of the zero matrix.

    Where the loss estimates its scale, over that of squares of most measurements: of the residual's
    own scale, the zero matrix is nothing but outliers. Where all of X was seen columns may be
    shrunk, within what noise explains.
    """
    if sees_all(problem) and point.factors.width and not problem.is_exact(point):
        return misalignment(problem, point.factors)
    whole = problem.zero_loss
    if problem.loss.estimated:
        whole = problem.op.weight * problem.op.size * problem.loss.size(problem.y) ** 2
    size = norm(point.factors.W) or 1.0
    return point.gradient_norm * size / whole if whole > 0 else 0.0


def _notes(problem: Problem, shrunk: bool) -> tuple[str, ...]:
    """What one should know although it does not speak against an answer."""
    if shrunk:
        return (
            "the answer is a mean over all that noise allows (a posterior mean), shrunk towards "
            "zero beside a fit, and was refined while held-out measurements were predicted better",
        )
    if problem.penalty.curvature_at_zero > 0:
        return (f"the answer is shrunk by a penalty, {problem.penalty!r}",)
    return ()


def _undetermined(problem: Problem, point: Point) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns that the measurements cannot determine.

    A loss that resists outliers can follow some measurements of a row and take the rest for
    outliers. So those that count for less than half do not count here, and of the others more than
    twice the rank must agree: a row of six entries followed its outlier at rank 3.
    """
    op, factors = problem.op, point.factors
    if not factors.width:
        nobody = np.zeros(0, dtype=np.intp)
        return nobody, nobody
    if problem.loss.quadratic:
        return op.undetermined(factors.width, factors.symmetric)
    loss, residual = problem.loss, point.residual
    full = loss.majoriser(array_namespace(residual).zeros_like(residual))
    followed = np.flatnonzero(to_numpy(loss.majoriser(residual)) > 0.5 * to_numpy(full))
    if not followed.size:
        return np.arange(op.shape[0]), np.arange(op.shape[1])
    return op.subset(followed).undetermined(2 * factors.width + 1, factors.symmetric)


def _guessed(seen: ObservedEntries, rows: np.ndarray, cols: np.ndarray) -> float:
    """Share of the unobserved entries that lie in some rows and columns."""
    (n1, n2), total = seen.shape, math.prod(seen.shape)
    outside = ~np.isin(seen.rows, rows) & ~np.isin(seen.cols, cols)
    left = (n1 - rows.size) * (n2 - cols.size) - np.count_nonzero(outside)
    return 1.0 - left / (total - seen.size) if total > seen.size else 0.0


def _facts(
    problem: Problem,
    point: Point,
    seen: ObservedEntries | None,
    c: Certificate,
    answer: Sensitivity | None,
    exact: bool,
    policy: EvidencePolicy,
    rng: np.random.Generator,
) -> Facts:
    """What the rules look at besides the certificate."""
    op, symmetric = problem.op, point.factors.symmetric
    rows, cols = _undetermined(problem, point)
    wider = degrees_of_freedom(op.shape, c.rank + 1, symmetric)
    opposed = 0.0
    if symmetric and not exact and c.measurements > c.degrees_of_freedom:
        noise = explained_of_noise(
            wider - c.degrees_of_freedom, c.measurements - c.degrees_of_freedom, policy
        )
        opposed = opposed_share(problem, point, rng) / noise if noise > 0 else 0.0
    weak = 0.0
    if not exact and min(op.shape) >= policy.many_directions and op.entries() is not None:
        weak = leading_gap(problem, point, rng, policy.leading)
    return Facts(
        certificate=c,
        exact=exact,
        symmetric=symmetric,
        full_rank=c.rank >= min(op.shape),
        wider=wider,
        opposed=opposed,
        rounding=max(exact_tolerance(problem.y), 1e-6),
        distinct=op.size if seen is None else different(seen, symmetric),
        leading_gap=weak,
        strain=0.0 if answer is None else answer.strain,
        held_by=math.inf if answer is None else answer.held_by,
        missed=math.inf if answer is None else answer.missed,
        rows=rows,
        cols=cols,
    )

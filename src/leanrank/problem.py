r"""The problem that solvers solve: mean loss of the residuals plus a penalty on the factors.

.. math:: f(W) = \frac1m \sum_{i=1}^m \ell_i(\langle A_i, X(W)\rangle - y_i) + p(W)

with :math:`\ell_i(r) = r^2` unless another :mod:`loss <leanrank.losses>` is given. One convention
in the whole library; experiments from papers write down their conversions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from leanrank._arrays import (
    Array,
    ArrayLike,
    MatrixLike,
    array_namespace,
    device_of,
    integers,
    is_array,
    norm,
)
from leanrank._guidance import check_penalty, explains_arguments
from leanrank._measurements import (
    check_library,
    check_loss,
    check_measurements,
    counted,
    exact_tolerance,
    measurement_scale,
)
from leanrank.factors import Factors
from leanrank.losses import Loss
from leanrank.operators import Measurement, Tangent, pull_back
from leanrank.penalties import ARD, GroupLasso, NoPenalty, Penalty, Ridge

__all__ = [
    "Meter",
    "Point",
    "Problem",
    "check_library",
    "check_loss",
    "check_measurements",
    "check_squared",
    "counted",
    "exact_tolerance",
    "measurement_scale",
]


_SMALL = 64
"""Rows and columns up to which a gradient in X is formed: it is multiplied many times."""


@dataclass(frozen=True)
class Point:
    """Everything that was measured at some factors.

    Attributes
    ----------
    factors : Factors
    residual : array, shape (m,)
        ``forward(factors) - y``.
    loss : float
        Mean loss; the mean squared residual by default.
    value : float
        Loss plus penalty.
    gradient : array, shape of W
        Gradient of ``value``.
    """

    factors: Factors
    residual: Array
    loss: float
    value: float
    gradient: Array

    @property
    def gradient_norm(self) -> float:
        """Frobenius norm of the gradient."""
        return norm(self.gradient)

    @property
    def is_finite(self) -> bool:
        """Whether value and gradient are finite."""
        return math.isfinite(self.value) and math.isfinite(self.gradient_norm)


@dataclass
class Meter:
    """Counts passes over the measurements."""

    passes: float = 0.0


class Problem:
    """Measurements of a matrix, and the penalty on its factors.

    Parameters
    ----------
    op : Measurement
    y : array, shape (m,)
        Finite and real. For :class:`~leanrank.operators.FullObservation` the n1 x n2 matrix is
        taken, too.
    penalty : Penalty
        None at all by default.
    loss : Loss
        The squared loss by default. What it leaves to be estimated (a threshold, a scale) is
        estimated from y, the residual of the zero matrix; see :meth:`refitted`.

    Attributes
    ----------
    passes : float
        Passes over the measurements so far (one forward, one adjoint, or one sweep that does
        both); shared by all problems made from this one.

    Raises
    ------
    ValueError, TypeError
        If ``y`` does not fit the operator, or is not finite or not real; if the loss does not fit
        ``y``, or is another than the squared one without weights where the operator eliminates
        unknowns, which is exact for that one only.

    Examples
    --------
    >>> import numpy as np
    >>> from leanrank.operators import FullObservation
    >>> problem = Problem(FullObservation((2, 2)), np.eye(2))
    >>> problem.evaluate(Factors(2 * np.eye(2))).loss
    18.0
    """

    @explains_arguments
    def __init__(
        self,
        op: Measurement,
        y: ArrayLike,
        penalty: Penalty | None = None,
        loss: Loss | None = None,
    ) -> None:
        self.op = op
        self.y = check_measurements(op, y)
        check_penalty(penalty)
        self.penalty: Penalty = NoPenalty() if penalty is None else penalty
        self.loss = check_loss(op, self.y, loss)
        self.meter = Meter()
        self._latest: tuple[Point, Tangent] | None = None

    @classmethod
    def in_unit_scale(cls, op: Measurement, y: Array, loss: Loss) -> tuple[Problem, float]:
        """The unpenalised problem of y divided by what makes its zero loss 1, and that number.

        Of measurements, and a normalised loss, that have been checked; the number is 1 where y is
        zero.
        """
        scale = measurement_scale(op, y, loss) or 1.0
        self = cls.__new__(cls)
        self.op, self.y, self.penalty, self.meter = op, y / scale, NoPenalty(), Meter()
        self.loss = check_loss(op, self.y, loss.scaled(1.0 / scale))
        self._latest = None
        return self, scale

    def _with(self, **changes: Any) -> Problem:
        """The same but for some attributes; passes are counted together."""
        new = Problem.__new__(Problem)
        vars(new).update(vars(self) | {"_latest": None} | changes)
        vars(new).pop("zero_loss", None)  # that of what it was made from
        return new

    def with_penalty(self, penalty: Penalty) -> Problem:
        """The same measurements under another penalty; passes are counted together."""
        return self._with(penalty=penalty)

    def refitted(self, point: Point, least: float = 0.0) -> Problem:
        """The problem with what its loss estimates (a threshold, a scale) taken at a point.

        Itself where there is nothing to estimate, and no less than ``least`` times what it was.
        Passes are counted together.
        """
        loss = self.loss.fitted(point.residual, self.unknowns(point.factors), least)
        return self if loss is self.loss else self._with(loss=loss)

    def comparable(self, points: Sequence[Point]) -> list[float]:
        """Losses of points by one measure.

        Where the loss estimates its scale, the squared size of their residuals: the losses are then
        taken at scales of their own, and mostly those of outliers.
        """
        if not self.loss.estimated:
            return [point.loss for point in points]
        return [self.loss.size(point.residual) ** 2 for point in points]

    @property
    def effective_size(self) -> float:
        r"""Number of measurements of equal weight that say as much, :math:`(\sum w)^2/\sum w^2`."""
        weights = self.loss.weights
        if weights is None:
            return float(self.op.size)
        xp = array_namespace(weights)
        return float(xp.sum(weights)) ** 2 / float(xp.sum(weights * weights))

    def subset(self, index: np.ndarray) -> Problem:
        """The unpenalised problem of some of the measurements; passes are counted together."""
        y = array_namespace(self.y).take(self.y, integers(index, self.y), axis=0)
        loss = self.loss.subset(index)
        return self._with(op=self.op.subset(index), y=y, loss=loss, penalty=NoPenalty())

    def with_measurements(self, y: Array) -> Problem:
        """The same operator, penalty and loss for other measurements; passes count together."""
        return self._with(y=y)

    def scaled(self, factor: float) -> Problem:
        """The unpenalised problem of a multiple of the matrix; passes are counted together."""
        y, loss = self.y * float(factor), self.loss.scaled(factor)
        return self._with(y=y, loss=loss, penalty=NoPenalty())

    @cached_property
    def zero_loss(self) -> float:
        """Loss of the zero matrix."""
        if self.loss.plain:
            return self.op.weight * norm(self.y) ** 2
        return self.mean_loss(-self.y)

    def relative_residual(self, point: Point) -> float:
        """Size of the residual relative to that of y; of most residuals, where outliers may be.

        For the squared loss the root of ``point.loss`` over :attr:`zero_loss`.
        """
        if self.loss.quadratic:
            size, whole = point.loss, self.zero_loss
            return math.sqrt(size / whole) if whole > 0 else (0.0 if size == 0 else math.inf)
        size = self.loss.size(point.residual, self.unknowns(point.factors))
        whole = self.loss.size(self.y) or norm(self.loss.standardised(self.y))
        return size / whole if whole > 0 else (0.0 if size == 0 else math.inf)

    def is_exact(self, point: Point) -> bool:
        """Whether a point fits the measurements to rounding; most of them, for a robust loss."""
        return self.relative_residual(point) <= exact_tolerance(self.y)

    def unknowns(self, factors: Factors) -> int:
        """Free parameters of the factors, and the unknowns that the operator eliminates."""
        return factors.degrees_of_freedom() + self.op.eliminated

    @property
    def gradient_scale(self) -> float:
        """The size of gradients between zero and the solution, of an ensemble of unit scale.

        The power 3/4 of the loss at zero, that is :math:`|X|_F^{3/2}`, and with weights the power
        1/4 of their mean; 1 where y is zero.
        """
        return self.zero_loss**0.75 * self.loss.mean_weight**0.25 or 1.0

    @property
    def passes(self) -> float:
        return self.meter.passes

    @passes.setter
    def passes(self, value: float) -> None:
        self.meter.passes = value

    def evaluate(self, factors: Factors) -> Point:
        """Residual, loss, value and gradient at ``factors``; one or two passes."""
        return self.evaluate_many([factors])[0]

    def evaluate_many(self, many: Sequence[Factors]) -> list[Point]:
        """As :meth:`evaluate` at each of many factors, in one sweep where the operator can."""
        if not any(factors.width for factors in many):
            return [self._point(f, -self.y, f.W) for f in many]  # the zero matrix, unmeasured
        if self.loss.quadratic:
            residuals, matrices, cost = self.op.residuals_and_adjoints(
                many, self.y, self.loss.weights
            )
            scale = 2.0 * self.op.weight
        else:
            residuals = [self.op.forward(factors) - self.y for factors in many]
            matrices = [self.op.adjoint(self.loss.slope(residual)) for residual in residuals]
            cost, scale = 2.0 * len(many), self.op.weight
        self.passes += cost
        return [
            self._point(factors, residual, scale * pull_back(S, factors))
            for factors, residual, S in zip(many, residuals, matrices, strict=True)
        ]

    def linearise(self, factors: Factors, *, last: bool = False) -> tuple[Point, Tangent]:
        """As :meth:`evaluate`, and the derivative of the measurements there.

        What it was for the latest factors is kept, so that a certificate can begin where a fit
        ended; not when this is the ``last`` time.
        """
        latest, self._latest = self._latest, None
        if latest is None or latest[0].factors is not factors:
            del latest  # a second tangent would take as much memory again
            tangent = self.op.tangent(factors)
            residual = tangent.value - self.y
            self.passes += tangent.build_cost + tangent.apply_cost
            pulled = tangent.rmatvec(self.op.weight * self.loss.slope(residual))
            latest = self._point(factors, residual, pulled), tangent
        if not last:
            self._latest = latest
        return latest

    def value(self, factors: Factors) -> float:
        """Loss plus penalty at ``factors``; one pass."""
        self.passes += 1.0
        residual = self.op.forward(factors) - self.y
        return self.mean_loss(residual) + self.penalty.value(factors.W)

    def mean_loss(self, residual: Array) -> float:
        """The loss of a residual, summed up with the operator's weight."""
        return self.op.weight * float(array_namespace(residual).sum(self.loss.value(residual)))

    def _point(self, factors: Factors, residual: Array, slope: Array) -> Point:
        """The point of a residual, given the gradient of the loss in W."""
        loss = self.mean_loss(residual)
        value = loss + self.penalty.value(factors.W)
        return Point(factors, residual, loss, value, self.add_penalty(slope, factors.W))

    def line_minimum(self, point: Point, image: Array) -> float:
        """Where the loss is least along a change of X that measures as ``image``, shape (m,).

        That of the parabola which touches the loss at the point and majorises it: a step of this
        length never raises the loss.
        """
        xp, (scale, weights) = array_namespace(image), self.majoriser(point.residual)
        square = image * image if weights is None else weights * image * image
        curvature = scale * float(xp.sum(square))
        descent = -self.op.weight * float(xp.sum(self.loss.slope(point.residual) * image))
        return descent / curvature if curvature > 0 else 0.0

    def majoriser(self, residual: Array) -> tuple[float, Array | None]:
        """Curvature of the loss in its measurements for Gauss-Newton: a number times weights.

        The matrix is then scale J^T diag(weights) J; weights None stand for ones.
        """
        return self._curvature(self.loss.majoriser, residual)

    def curvature(self, residual: Array) -> tuple[float, Array | None]:
        """As :meth:`majoriser`, but the second derivative itself, of either sign."""
        return self._curvature(self.loss.curvature, residual)

    def _curvature(
        self, of: Callable[[Array], Array], residual: Array
    ) -> tuple[float, Array | None]:
        if self.loss.quadratic:
            return 2.0 * self.op.weight, self.loss.weights
        return self.op.weight, of(residual)

    @property
    def penalised(self) -> bool:
        """Whether the penalty is more than zero."""
        return not isinstance(self.penalty, ARD | GroupLasso | Ridge) or self.penalty.strength > 0

    def add_penalty(self, slope: Array, W: Array) -> Array:
        """A gradient of the loss at W, and that of the penalty added to it."""
        return slope + W * self.penalty.weights(W) if self.penalised else slope

    def gradient_matrix(self, residual: Array) -> MatrixLike:
        """Gradient of the loss in X where the residual is so, n1 x n2, to multiply; one pass."""
        self.passes += 1.0
        G = self.op.adjoint(self.op.weight * self.loss.slope(residual))
        if is_array(G) or max(G.shape) > _SMALL:
            return G
        xp = array_namespace(residual)
        return G @ xp.eye(G.shape[1], dtype=residual.dtype, device=device_of(residual))

    def hessian(self, point: Point, tangent: Tangent | None = None) -> Callable[[Array], Array]:
        """The Hessian of ``value`` at a point, as a function of a direction (the shape of W).

        The Gauss-Newton part is the tangent's, with the loss's second derivatives, the rest is the
        gradient in X applied to the direction.
        """
        factors = point.factors
        tangent = self.op.tangent(factors) if tangent is None else tangent
        G = self.gradient_matrix(point.residual)
        scale, weights = self.curvature(point.residual)

        def apply(Z: Array) -> Array:
            self.passes += tangent.normal_cost
            curved = pull_back(G, factors.with_stacked(Z))
            flat = scale * tangent.normal(Z, weights)
            return flat + curved + self.penalty.hvp(factors.W, Z)

        return apply

    def __repr__(self) -> str:
        shown = "" if self.loss.plain else f", {self.loss!r}"
        return f"Problem({self.op!r}, {self.penalty!r}{shown})"


def check_squared(problem: Problem, name: str = "problem") -> None:
    """Raise where an algorithm that is made for plain squares has another loss before it."""
    if not problem.loss.plain:
        raise ValueError(
            f"{name} must have the squared loss without weights here, got {problem.loss!r}; "
            "GradientDescent, LBFGS and GaussNewton take any"
        )

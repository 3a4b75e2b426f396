r"""The problem that solvers solve: mean squared residual plus a penalty on the factors.

.. math:: f(W) = \frac1m \sum_{i=1}^m (\langle A_i, X(W)\rangle - y_i)^2 + p(W)

One convention in the whole library; experiments from papers write down their conversions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import (
    Array,
    ArrayLike,
    MatrixLike,
    array_namespace,
    integers,
    is_numpy_array,
    like,
    norm,
)
from leanrank.factors import Factors
from leanrank.operators import Measurement, Tangent, pull_back
from leanrank.penalties import GroupLasso, NoPenalty, Penalty, Ridge

__all__ = ["Point", "Problem", "check_measurements", "exact_tolerance", "measurement_scale"]


@dataclass(frozen=True)
class Point:
    """Everything that was measured at some factors.

    Attributes
    ----------
    factors : Factors
    residual : array, shape (m,)
        ``forward(factors) - y``.
    loss : float
        Mean squared residual.
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

    Attributes
    ----------
    passes : float
        Passes over the measurements so far (one forward, one adjoint, or one sweep that does
        both); shared by all problems made from this one by :meth:`with_penalty`.

    Raises
    ------
    ValueError, TypeError
        If ``y`` does not fit the operator, or is not finite or not real.

    Examples
    --------
    >>> import numpy as np
    >>> from leanrank.operators import FullObservation
    >>> problem = Problem(FullObservation((2, 2)), np.eye(2))
    >>> problem.evaluate(Factors(2 * np.eye(2))).loss
    18.0
    """

    def __init__(self, op: Measurement, y: ArrayLike, penalty: Penalty | None = None) -> None:
        self.op = op
        self.y = check_measurements(op, y)
        self.penalty: Penalty = NoPenalty() if penalty is None else penalty
        self.meter = Meter()

    def with_penalty(self, penalty: Penalty) -> Problem:
        """The same measurements under another penalty; passes are counted together."""
        new = Problem.__new__(Problem)
        new.op, new.y, new.penalty, new.meter = self.op, self.y, penalty, self.meter
        return new

    def subset(self, index: np.ndarray) -> Problem:
        """The unpenalised problem of some of the measurements; passes are counted together."""
        new = Problem.__new__(Problem)
        new.op, new.penalty, new.meter = self.op.subset(index), NoPenalty(), self.meter
        new.y = array_namespace(self.y).take(self.y, integers(index, self.y), axis=0)
        return new

    def scaled(self, factor: float) -> Problem:
        """The unpenalised problem of a multiple of the matrix; passes are counted together."""
        new = self.with_penalty(NoPenalty())
        new.y = self.y * float(factor)
        return new

    @property
    def zero_loss(self) -> float:
        """Loss of the zero matrix."""
        return self.op.weight * norm(self.y) ** 2

    def is_exact(self, point: Point) -> bool:
        """Whether a point fits the measurements to rounding."""
        return point.loss <= exact_tolerance(self.y) ** 2 * self.zero_loss

    def unknowns(self, factors: Factors) -> int:
        """Free parameters of the factors, and the unknowns that the operator eliminates."""
        return factors.degrees_of_freedom() + self.op.eliminated

    @property
    def gradient_scale(self) -> float:
        """The size of gradients between zero and the solution, of an ensemble of unit scale.

        The power 3/4 of the loss at zero, that is :math:`|X|_F^{3/2}`; 1 where y is zero.
        """
        return self.zero_loss**0.75 or 1.0

    @property
    def passes(self) -> float:
        return self.meter.passes

    @passes.setter
    def passes(self, value: float) -> None:
        self.meter.passes = value

    def evaluate(self, factors: Factors) -> Point:
        """Residual, loss, value and gradient at ``factors``; one or two passes."""
        residual, S, cost = self.op.residual_and_adjoint(factors, self.y)
        self.passes += cost
        return self._point(factors, residual, pull_back(S, factors))

    def evaluate_many(self, many: Sequence[Factors]) -> list[Point]:
        """As :meth:`evaluate` at each of many factors, in one sweep where the operator can."""
        residuals, matrices, cost = self.op.residuals_and_adjoints(many, self.y)
        self.passes += cost
        return [
            self._point(factors, residual, pull_back(S, factors))
            for factors, residual, S in zip(many, residuals, matrices, strict=True)
        ]

    def linearise(self, factors: Factors) -> tuple[Point, Tangent]:
        """As :meth:`evaluate`, and the derivative of the measurements there."""
        tangent = self.op.tangent(factors)
        residual = tangent.value - self.y
        self.passes += tangent.build_cost + tangent.apply_cost
        return self._point(factors, residual, tangent.rmatvec(residual)), tangent

    def value(self, factors: Factors) -> float:
        """Loss plus penalty at ``factors``; one pass."""
        self.passes += 1.0
        residual = self.op.forward(factors) - self.y
        return self._loss(residual) + self.penalty.value(factors.W)

    def _loss(self, residual: Array) -> float:
        return self.op.weight * float(array_namespace(residual).sum(residual * residual))

    def _point(self, factors: Factors, residual: Array, pulled: Array) -> Point:
        W = factors.W
        loss = self._loss(residual)
        gradient = self.add_penalty(2.0 * self.op.weight * pulled, W)
        return Point(factors, residual, loss, loss + self.penalty.value(W), gradient)

    @property
    def penalised(self) -> bool:
        """Whether the penalty is more than zero."""
        return not isinstance(self.penalty, GroupLasso | Ridge) or self.penalty.strength > 0

    def add_penalty(self, slope: Array, W: Array) -> Array:
        """A gradient of the loss at W, and that of the penalty added to it."""
        return slope + W * self.penalty.weights(W) if self.penalised else slope

    def gradient_matrix(self, residual: Array) -> MatrixLike:
        """Gradient of the loss in X, n1 x n2, as something that multiplies; one pass."""
        self.passes += 1.0
        return self.op.adjoint(2.0 * self.op.weight * residual)

    def hessian(self, point: Point, tangent: Tangent | None = None) -> Callable[[Array], Array]:
        """The Hessian of ``value`` at a point, as a function of a direction (the shape of W).

        The Gauss-Newton part is the tangent's, the rest is the gradient in X applied to the
        direction.
        """
        factors = point.factors
        tangent = self.op.tangent(factors) if tangent is None else tangent
        G = self.gradient_matrix(point.residual)

        def apply(Z: Array) -> Array:
            self.passes += tangent.normal_cost
            curved = pull_back(G, factors.with_stacked(Z))
            flat = 2.0 * self.op.weight * tangent.normal(Z)
            return flat + curved + self.penalty.hvp(factors.W, Z)

        return apply

    def __repr__(self) -> str:
        return f"Problem({self.op!r}, {self.penalty!r})"


def check_measurements(op: Measurement, y: Any, name: str = "y") -> Array:
    """``y`` as a finite vector of m numbers in the namespace and dtype of the operator."""
    if not isinstance(op, Measurement):
        raise TypeError(f"op must be a measurement operator, got {type(op).__name__}")
    shape = getattr(y, "shape", None)
    if shape is not None and len(shape) == 2 and tuple(shape) == op.shape and op.weight == 1.0:
        y = array_namespace(y).reshape(y, (-1,))
    y = _checks.real_array(y, name, ndim=1)
    if int(y.shape[0]) != op.size:
        raise ValueError(
            f"{name} must have one value for each of the {op.size} measurements, got {y.shape[0]}"
        )
    if is_numpy_array(y):
        return like(y.copy(), op.reference)
    return check_library(y, op, name).astype(y, op.reference.dtype)


def check_library(x: Array, op: Measurement, name: str) -> Any:
    """The namespace that an array shares with an operator."""
    try:
        return array_namespace(x, op.reference)
    except TypeError:
        raise TypeError(
            f"{name} and the operator must be arrays of one library, got {type(x).__name__} and "
            f"{type(op.reference).__name__}"
        ) from None


def exact_tolerance(reference: Array) -> float:
    """Relative residual that counts as an exact fit in the precision of ``reference``."""
    return 1e-12 if array_namespace(reference).finfo(reference.dtype).eps < 1e-10 else 4e-6


def measurement_scale(op: Measurement, y: Array) -> float:
    r"""The number c for which y / c has loss 1 at the zero matrix; 0 if y is zero.

    Computed without overflow for any finite y.
    """
    xp = array_namespace(y)
    largest = float(xp.max(xp.abs(y)))
    return largest * math.sqrt(op.weight) * norm(y / largest) if largest > 0 else 0.0

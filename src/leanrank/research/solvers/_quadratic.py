"""Descent for quadratic networks with truncation and rescaling: Algorithm 1 of Li, Ma, Zhang."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, array_namespace
from leanrank.factors import Factors
from leanrank.operators import RankOneSensing, pull_back
from leanrank.problem import Problem, check_squared
from leanrank.solvers._base import State

__all__ = ["RescaledGradientDescent"]

_TRUNCATIONS = ("output", "residual")
_RESCALINGS = {"consistent": 4.0, "printed": 1.0, "none": 0.0}


@dataclass(frozen=True)
class RescaledGradientDescent:
    r"""Gradient descent on a truncated loss, rescaled to undo what the trace of X adds to it.

    .. math:: \tilde U = U - \alpha \nabla\tilde f(U),\qquad
        U \leftarrow \frac{\tilde U}{1 - 4 \alpha (|U|_F^2 - \tau)},\qquad
        \tilde f(U) = \frac1m \sum_i (\hat y_i - y_i)^2\,\mathbb 1_i

    for a quadratic network :math:`\hat y_i = |U^\top x_i|^2`. For standard normal x the gradient
    is about :math:`8 (UU^\top - X_\star) U + 4 c U` with :math:`c = |U|_F^2 - \tau`; the rescaling
    takes the last term out, and what remains is the step of matrix sensing.

    Parameters
    ----------
    step_size : float
        :math:`\alpha`. The gradient is the literal derivative, :math:`4 \tilde M U` with
        :math:`\tilde M = \tfrac1m \sum_i \mathbb 1_i (\hat y_i - y_i) x_i x_i^\top`: for a step
        :math:`\eta \tilde M U` as in the paper's proof take :math:`\alpha = \eta / 4`.
    trace : float, optional
        :math:`\tau = |U_\star|_F^2`. The mean of y, which estimates it, if left out.
    radius : float
        R of the truncation, in the units of y; infinite by default, which truncates nothing.
    truncation : {"output", "residual"}
        Which samples count (:math:`\mathbb 1_i = 1`). "output" is the printed algorithm:
        :math:`|U^\top x_i|^2 \le R`. "residual" is Lemma A.1 where its proof uses it, at the
        error matrix: :math:`|\langle x_i x_i^\top, UU^\top - X_\star\rangle| \le R`.
    rescaling : {"consistent", "printed", "none"}
        "consistent" divides by :math:`1 - 4 \alpha c`, which is the paper's proof in this
        library's step size. "printed" divides by :math:`1 - \alpha c` as in the listing, whose
        gradient has a factor 4 that the proof drops: it undoes a quarter of the trace term.

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range; in ``init``, if the factors are not symmetric, or the
        problem is not one of quadratic measurements x x^T without a penalty.

    Notes
    -----
    Appendix A of Li, Ma and Zhang (2018). Measured at d = 50 and two neurons: the rescaling is
    ten times more accurate than plain descent with m = 30 d samples, and much less accurate for
    m <= 6 d, since c stands for the mean residual only up to fluctuations. It is not robust to
    an error of ``trace``: where that is too small, all columns grow to half the error. Descent on
    the loss of :class:`~leanrank.operators.Centred` measurements takes the mean out exactly, needs
    no trace, and is better than both. A radius below about six times ``trace`` for outputs, three
    times for residuals, leaves out samples that matter.

    Where the samples are noisy or few, a fixed point of the rescaled step is not a stationary
    point of the loss: :func:`~leanrank.solvers.solve` then ends with MAX_ITER. States are
    measured with the full loss.

    Examples
    --------
    >>> from leanrank.solvers import solve
    >>> x = np.random.default_rng(0).standard_normal((400, 4))
    >>> problem = Problem(RankOneSensing(x), x[:, 0] ** 2)
    >>> solver = RescaledGradientDescent(0.02, trace=1.0)
    >>> result = solve(solver, problem, Factors(np.full((4, 1), 0.1)))
    >>> result.status.name, result.factors.W[:, 0].round(6) + 0.0
    ('CONVERGED', array([1., 0., 0., 0.]))
    """

    step_size: float
    trace: float | None = None
    radius: float = math.inf
    truncation: str = "output"
    rescaling: str = "consistent"

    def __post_init__(self) -> None:
        _checks.float_fields(self, "step_size", above=0.0)
        _checks.float_fields(self, "trace", least=0.0)
        if self.radius != math.inf:
            _checks.float_fields(self, "radius", above=0.0)
        for name, known in (("truncation", _TRUNCATIONS), ("rescaling", tuple(_RESCALINGS))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")

    def init(self, problem: Problem, factors: Factors) -> State:
        """State at the starting factors."""
        op = problem.op
        if not isinstance(op, RankOneSensing) or not op.symmetric:
            raise TypeError(
                "problem must be of quadratic measurements, RankOneSensing(x) without z, got "
                f"{op!r}"
            )
        if not factors.symmetric:
            raise ValueError(
                "factors must be symmetric (X = U U^T), got a general pair; use Factors(U)"
            )
        check_squared(problem)
        if problem.penalised:
            raise ValueError(f"problem must have no penalty, got {problem.penalty!r}")
        return State(problem.evaluate(factors), 0, problem.passes)

    def step(self, problem: Problem, state: State) -> State:
        """The next state."""
        U, xp = state.factors.W, array_namespace(problem.y)
        trace = float(xp.mean(problem.y)) if self.trace is None else self.trace
        excess = float(xp.sum(U * U)) - trace
        divisor = 1.0 - _RESCALINGS[self.rescaling] * self.step_size * excess
        with np.errstate(over="ignore", invalid="ignore"):
            moved = U - self.step_size * self._gradient(problem, state)
            # Beyond zero the rescaling would turn the iterate around: the step is too large.
            moved = moved / divisor if divisor > 0 else xp.full_like(U, math.inf)
            point = problem.evaluate(state.factors.with_stacked(moved))
        if not point.is_finite:
            point = replace(point, value=math.inf)
        return replace(state, point=point, iteration=state.iteration + 1, passes=problem.passes)

    def _gradient(self, problem: Problem, state: State) -> Array:
        """Gradient of the truncated loss; a pass more than the state's if any sample is out."""
        residual = state.point.residual
        xp = array_namespace(residual)
        size = residual + problem.y if self.truncation == "output" else xp.abs(residual)
        inside = size <= self.radius
        if bool(xp.all(inside)):
            return state.point.gradient
        inside = xp.astype(inside, residual.dtype)
        return pull_back(problem.gradient_matrix(residual * inside), state.factors)

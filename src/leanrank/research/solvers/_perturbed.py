"""Gradient descent under perturbations of the gradient and changing measurements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, MatrixLike, array_namespace, device_of, gaussian
from leanrank.factors import Factors
from leanrank.operators import Measurement
from leanrank.problem import Problem, check_measurements
from leanrank.research.theory import TargetFrame, dilation
from leanrank.solvers._base import State
from leanrank.solvers._line_search import moved

__all__ = [
    "Perturbation",
    "PerturbedSensingDescent",
    "check_perturbation",
    "constant_perturbation",
    "measurement_noise",
    "perturbed",
    "random_perturbation",
    "tilting_perturbation",
    "unbalancing_perturbation",
]

Perturbation = Callable[[int, Factors], "MatrixLike | Array"]
"""From the number of a step and its factors to a matrix E_k with as many rows as W, square."""


@dataclass(frozen=True)
class PerturbedSensingDescent:
    r"""Gradient descent with a perturbation in each step, Definition 2.1 of Wind (2025).

    .. math:: W \leftarrow W - s \nabla f_k(W) + 2 s\, E_k W

    With Wind's learning rate :math:`\eta = 2 s` and loss
    :math:`L_k = \tfrac12 |\mathcal A_k(Y) - \mathcal A_k(UV^\top)|^2`, which is half of this
    library's, it reads :math:`W - \eta\nabla L_k + \eta E_k W`. Symmetric factors move as the pair
    (U, U) does with :math:`\eta = 4 s` and the perturbation :math:`E_k / 2`.

    Parameters
    ----------
    step_size : float
        s.
    perturbation : callable, optional
        ``perturbation(k, factors)`` gives E_k, n1 + n2 square (n square for symmetric factors),
        an array or something that multiplies. It may look at the factors, as an adversary does.
    measurements : callable, optional
        ``measurements(k)`` gives the Problem whose gradient step k takes. By default always the
        one that is solved, which is what the State is measured on in any case.

    Raises
    ------
    ValueError, TypeError
        If the step size is not a positive number, or the other two are no functions; in ``step``,
        if a perturbation has another shape.

    Notes
    -----
    Equation (3) of the paper, which writes the update out, lacks the factors V and U after the
    residual, and has E_UU and E_VU with a wrong sign.

    Examples
    --------
    >>> from leanrank.operators import FullObservation
    >>> from leanrank.solvers import solve
    >>> problem = Problem(FullObservation((2, 2)), np.diag([1.0, 0.0]))
    >>> solver = PerturbedSensingDescent(0.1, constant_perturbation(0.1 * np.eye(4)))
    >>> start = Factors(np.full((2, 1), 0.1), np.full((2, 1), 0.1))
    >>> result = solve(solver, problem, start, max_iter=200)
    >>> result.factors.to_dense().round(4) + 0.0
    array([[1.1, 0. ],
           [0. , 0. ]])
    """

    step_size: float
    perturbation: Perturbation | None = None
    measurements: Callable[[int], Problem] | None = None

    def __post_init__(self) -> None:
        _checks.float_fields(self, "step_size", above=0.0)
        check_perturbation(self.perturbation)
        if self.measurements is not None and not callable(self.measurements):
            raise TypeError(
                "measurements must be a function from the number of a step to a Problem, got "
                f"{self.measurements!r}; of a list: lambda k: problems[k]"
            )

    def init(self, problem: Problem, factors: Factors) -> State:
        """State at the starting factors."""
        return State(problem.evaluate(factors), 0, problem.passes)

    def step(self, problem: Problem, state: State) -> State:
        """The next state."""
        point, factors, k = state.point, state.factors, state.iteration
        direction = point.gradient
        if self.measurements is not None:
            current = self.measurements(k)
            before = current.passes
            direction = current.evaluate(factors).gradient
            if current.meter is not problem.meter:
                problem.passes += current.passes - before
        direction = perturbed(direction, self.perturbation, k, factors)
        new = moved(problem, point, direction, -self.step_size)
        return replace(state, point=new, iteration=k + 1, passes=problem.passes)


def check_perturbation(perturbation: Perturbation | None) -> None:
    """Raise where it cannot be called."""
    if perturbation is not None and not callable(perturbation):
        raise TypeError(
            "perturbation must be a function of the number of a step and its factors, got "
            f"{type(perturbation).__name__}; of a matrix: constant_perturbation(E)"
        )


def perturbed(
    gradient: Array, perturbation: Perturbation | None, k: int, factors: Factors
) -> Array:
    """The gradient less 2 E_k W, by which a step of size s adds 2 s E_k W."""
    if perturbation is None:
        return gradient
    E, rows = perturbation(k, factors), int(factors.W.shape[0])
    if tuple(getattr(E, "shape", ())) != (rows, rows):
        raise ValueError(
            f"perturbation must give matrices of shape ({rows}, {rows}), as W has {rows} rows, got "
            f"{getattr(E, 'shape', E)}"
        )
    return gradient - 2.0 * (E @ factors.W)


def constant_perturbation(E: MatrixLike | Array) -> Perturbation:
    """The same E in every step."""
    return lambda k, factors: E


def random_perturbation(size: float, random_state: Any = None) -> Perturbation:
    """Gaussian matrices scaled to operator norm ``size``, independent from step to step.

    Raises
    ------
    ValueError, TypeError
        If the size is negative or the random state is none.

    Examples
    --------
    >>> E = random_perturbation(0.5, random_state=0)(3, Factors(np.ones((2, 1)), np.ones((3, 1))))
    >>> E.shape, round(float(np.linalg.norm(E, 2)), 6)
    ((5, 5), 0.5)
    """
    size = _checks.real_number(size, "size", least=0.0)
    seed = _checks.seed(random_state)

    def perturbation(k: int, factors: Factors) -> Array:
        rows = int(factors.W.shape[0])
        G = gaussian(np.random.default_rng((seed, k)), (rows, rows), factors.W)
        return G * (size / float(array_namespace(G).linalg.matrix_norm(G, ord=2)))

    return perturbation


def measurement_noise(op: Measurement, noise: Array, *, symmetric: bool = False) -> Perturbation:
    r"""What noise in the measurements amounts to, Example 2.4 of Wind (2025).

    .. math:: E = \begin{pmatrix} 0 & N\\ N^\top & 0\end{pmatrix},\qquad
        N = \tfrac1m \sum_i e_i A_i

    and :math:`N + N^\top` for symmetric factors: with it, descent on the clean measurements takes
    the steps of descent on :math:`y + e`.

    Parameters
    ----------
    op : Measurement
    noise : array, shape (m,)
        e, in units of y.
    symmetric : bool
        Whether the factors are symmetric.

    Raises
    ------
    ValueError, TypeError
        If the noise does not fit the operator, or matrices that are not square are to be
        symmetric.
    """
    noise = check_measurements(op, noise, "noise")
    if symmetric and op.shape[0] != op.shape[1]:
        raise ValueError(
            f"op must measure square matrices with symmetric=True, got shape {op.shape}"
        )
    xp, n2 = array_namespace(noise), op.shape[1]
    N = op.adjoint(op.weight * noise) @ xp.eye(n2, dtype=noise.dtype, device=device_of(noise))
    if symmetric:
        return constant_perturbation(N + N.T)
    return constant_perturbation(dilation(N))


def tilting_perturbation(target: Factors, size: float) -> Perturbation:
    r"""A constant perturbation that makes X too large along its first direction,
    :math:`E = \xi\, p_+ p_+^\top`.

    :math:`p_+ = (u_1; v_1)/\sqrt2` belongs to the largest singular value of the target. Descent
    from a small start goes to that plus :math:`\xi` instead, an error of :math:`\xi` whatever the
    condition number. Of the perturbations tried that leave U and V balanced none does more.

    Raises
    ------
    ValueError, TypeError
        If the target is zero or the size negative.

    Examples
    --------
    >>> target = Factors(np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]]))
    >>> E = tilting_perturbation(target, 0.1)(0, target)
    >>> (10 * E).round(6)
    array([[0.5, 0. , 0. , 0.5],
           [0. , 0. , 0. , 0. ],
           [0. , 0. , 0. , 0. ],
           [0.5, 0. , 0. , 0.5]])
    """
    size = _checks.real_number(size, "size", least=0.0)
    first, _ = _ends(TargetFrame.of(target))
    return constant_perturbation(first @ first.T * size)


def unbalancing_perturbation(target: Factors, size: float) -> Perturbation:
    r"""A constant perturbation that feeds the imbalance of U and V, :math:`E = \xi\, p_- p_+^\top`.

    :math:`p_+ = (u_1; v_1)/\sqrt2` belongs to the largest singular value of the target and
    :math:`p_- = (u_r; -v_r)/\sqrt2` to the smallest. Of the directions tried it is the only one
    whose effect grows with the condition number, as the bound of Theorem 2.8 does.

    Raises
    ------
    ValueError, TypeError
        If the target is zero or the size negative.
    """
    size = _checks.real_number(size, "size", least=0.0)
    grown, fed = _ends(TargetFrame.of(target))
    return constant_perturbation(fed @ grown.T * size)


def _ends(frame: TargetFrame) -> tuple[Array, Array]:
    r"""The unit columns :math:`(u_1; v_1)/\sqrt2` and :math:`(u_r; -v_r)/\sqrt2`."""
    xp, left, right = array_namespace(frame.left), frame.left, frame.right
    pairs = ([left[:, :1], right[:, :1]], [left[:, -1:], -right[:, -1:]])
    first, last = (xp.concat(pair, axis=0) / 2.0**0.5 for pair in pairs)
    return first, last

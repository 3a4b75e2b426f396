"""What researchers plot along a trajectory: measures of a State, and the callback that takes them.

A measure is a function of a :class:`~leanrank.solvers.State`; :class:`Trace` calls those that it
was given, at the steps that it was asked for, and keeps the values. Nothing else is computed, and
no measure changes what a solver does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, ArrayLike, array_namespace, norm, to_numpy
from leanrank.factors import Factors, check_factors
from leanrank.linalg import singular_value
from leanrank.operators import Measurement, pull_back
from leanrank.problem import Problem, check_measurements
from leanrank.research.theory import TargetFrame, WarmUp
from leanrank.research.theory import misalignment as _misalignment
from leanrank.solvers import State

__all__ = [
    "AdaptiveSignal",
    "Measure",
    "Trace",
    "column_norms",
    "imbalance",
    "measurement_error",
    "misalignment",
    "operator_error",
    "recovery_error",
    "signal_and_error",
    "singular_values",
    "target_parts",
    "training_error",
    "warm_up_ratios",
]

Measure = Callable[[State], Any]
"""From a state to a number or an array."""


class Trace:
    """A callback that keeps measures of the states of a run.

    Parameters
    ----------
    measures : mapping of str to Measure
    every : int
        Take them at every so many iterations, the first state (iteration 0) among them.

    Attributes
    ----------
    iterations : list of int
        Where they were taken.

    Raises
    ------
    ValueError, TypeError
        If ``every`` is not a positive integer, or the measures are no mapping to functions.

    Examples
    --------
    >>> import leanrank as lr
    >>> from leanrank import initial
    >>> from leanrank.solvers import GradientDescent, solve
    >>> inst = lr.simulate.dense_sensing(10, 1, m=100, symmetric=True, random_state=0)
    >>> problem = Problem(inst.op, inst.y)
    >>> measures = {"train": training_error(problem), "test": recovery_error(inst.truth)}
    >>> trace = Trace(measures, every=100)
    >>> start = initial.identity((10, 10), scale=1e-3, symmetric=True)
    >>> result = solve(GradientDescent(0.02), problem, start, max_iter=400, callbacks=[trace])
    >>> trace.iterations
    [0, 100, 200, 300, 400]
    >>> bool(trace["test"][-1] < 0.01)
    True
    """

    def __init__(self, measures: Mapping[str, Measure], *, every: int = 1) -> None:
        self.every = _checks.whole_number(every, "every", least=1)
        if not isinstance(measures, Mapping):
            raise TypeError(
                f"measures must be a dict from names to functions of a state, got {measures!r}"
            )
        for name, measure in measures.items():
            if not callable(measure):
                raise TypeError(f"measures[{name!r}] must be a function of a state, got {measure}")
        self._measures = dict(measures)
        self._values: dict[str, list[np.ndarray]] = {name: [] for name in measures}
        self.iterations: list[int] = []

    def __call__(self, state: State) -> None:
        if state.iteration % self.every:
            return
        self.iterations.append(state.iteration)
        for name, measure in self._measures.items():
            self._values[name].append(np.array(to_numpy(measure(state))))

    def __getitem__(self, name: str) -> np.ndarray:
        """All values of a measure, the first axis over the iterations.

        Where the width changed on the way the values have different lengths; they are padded
        with NaN.
        """
        values = self._values[name]
        if len({value.shape for value in values}) <= 1:
            return np.array(values)
        out = np.full((len(values), max(value.size for value in values)), np.nan)
        for row, value in zip(out, values, strict=True):
            row[: value.size] = value.ravel()
        return out


def singular_values(state: State) -> Array:
    """Singular values of X, decreasing."""
    return state.factors_in_units.singular_values()


def column_norms(state: State) -> Array:
    """Euclidean norms of the columns of the stacked W."""
    return state.factors_in_units.column_norms()


def imbalance(state: State) -> float:
    """Operator norm of U^T U - V^T V; zero for symmetric factors."""
    U, V = state.factors_in_units.U, state.factors_in_units.V
    return singular_value(U.T @ U - V.T @ V)


def training_error(problem: Problem) -> Measure:
    r""":math:`|\mathcal A(X) - y| / |y|`, the training error of Li, Ma and Zhang (2018).

    Parameters
    ----------
    problem : Problem
        The one that is being solved: its residual is the state's, and costs no pass. For other
        measurements take :func:`measurement_error`.

    Raises
    ------
    ValueError
        If y is zero; on a call, if the state has another number of measurements.
    """
    scale = _positive(norm(problem.y), "the y of problem")

    def measure(state: State) -> float:
        m = int(state.point.residual.shape[0])
        if m != problem.op.size:
            raise ValueError(
                f"problem must be the one that is being solved, of {m} measurements, got one of "
                f"{problem.op.size}; for others take measurement_error(op, y)"
            )
        return state.scale * norm(state.point.residual) / scale

    return measure


def measurement_error(op: Measurement, y: ArrayLike) -> Measure:
    r""":math:`|\mathcal A(X) - y| / |y|` on measurements that were held out: a test error.

    One pass over them whenever it is asked for, which no problem counts.

    Parameters
    ----------
    op : Measurement
        Of matrices of the shape of those that are recovered.
    y : array, shape (m,)

    Raises
    ------
    ValueError, TypeError
        If y does not fit the operator, or is zero.

    Examples
    --------
    >>> import leanrank as lr
    >>> from leanrank import initial
    >>> from leanrank.solvers import GradientDescent, solve
    >>> inst = lr.simulate.dense_sensing(10, 1, m=120, symmetric=True, random_state=0)
    >>> rows = np.arange(120)
    >>> seen = Problem(inst.op, inst.y).subset(rows[:100])
    >>> trace = Trace({"test": measurement_error(inst.op.subset(rows[100:]), inst.y[100:])})
    >>> start = initial.identity((10, 10), scale=1e-3, symmetric=True)
    >>> result = solve(GradientDescent(0.02), seen, start, max_iter=400, callbacks=[trace])
    >>> bool(trace["test"][0] > 0.99), bool(trace["test"][-1] < 0.01)
    (True, True)
    """
    y = check_measurements(op, y)
    scale = _positive(norm(y), "y")
    return lambda state: norm(op.forward(state.factors_in_units) - y) / scale


def _positive(size: float, name: str) -> float:
    if size == 0:
        raise ValueError(f"{name} must not be zero: errors are relative to its norm")
    return size


def recovery_error(truth: Factors) -> Measure:
    r""":math:`|X - X_\star|_F / |X_\star|_F`, the test error of Li, Ma and Zhang (2018).

    Raises
    ------
    ValueError, TypeError
        If the truth is zero, or not Factors.
    """
    scale = _positive(check_factors(truth, "truth").norm(), "truth")
    return lambda state: state.factors_in_units.distance(truth) / scale


def operator_error(truth: Factors) -> Measure:
    """Operator norm of X - Y, the error of Wind (2025), without forming either."""
    xp = array_namespace(check_factors(truth, "truth").W)

    def measure(state: State) -> float:
        f = state.factors_in_units
        left = xp.linalg.qr(xp.concat([f.U, -truth.U], axis=1))[1]
        right = xp.linalg.qr(xp.concat([f.V, truth.V], axis=1))[1]
        return singular_value(left @ right.T)

    return measure


def misalignment(truth: Factors) -> Measure:
    """The factors' :func:`~leanrank.research.theory.misalignment` with the target."""
    return lambda state: _misalignment(state.factors_in_units, truth)


def signal_and_error(truth: Factors) -> Measure:
    r"""Operator norms of the parts of U within and outside the columns of U*, shape (2,).

    :math:`U = u_\star r^\top + E` of Li, Ma and Zhang (2018), eq. (9), for any rank. For a
    general pair the same of the stacked W and the columns of (U_Y; 0) and (0; V_Y).
    """
    frame = TargetFrame.of(truth)

    def measure(state: State) -> np.ndarray:
        f = state.factors_in_units
        xp = array_namespace(f.W)
        signal, error = frame.left.T @ f.U, f.U - frame.left @ (frame.left.T @ f.U)
        if not f.symmetric:
            signal = xp.concat([signal, frame.right.T @ f.V], axis=0)
            error = frame.outside(f)
        return np.array([singular_value(signal), singular_value(error)])

    return measure


def target_parts(truth: Factors) -> Measure:
    r"""Sizes of the parts of W of Wind (2025), Section 6.1, shape (5,).

    :math:`|P_A W|, \sigma_r(P_A W), |P_A J W|, |P_0 W|` and the nuisance :math:`|W (I - Q)|`, in
    operator norms; :math:`\sigma_r` is 0 where there are fewer columns than the rank r.
    """
    frame = TargetFrame.of(truth)

    def measure(state: State) -> np.ndarray:
        f = state.factors_in_units
        aligned = frame.aligned(f)
        parts = (frame.opposed(f), frame.outside(f), frame.nuisance(f))
        ends = (singular_value(aligned), singular_value(aligned, frame.rank))
        return np.array([*ends, *(singular_value(part) for part in parts)])

    return measure


def warm_up_ratios(warm_up: WarmUp, step_size: float) -> Measure:
    """The eight ratios of :class:`~leanrank.research.theory.WarmUp` along descent of a step size.

    The step size is that of this library's loss: each step takes twice that time, and four times
    with symmetric factors, whose iterates are those of the pair (U, U) at twice the step size.
    """
    step_size = _checks.real_number(step_size, "step_size", above=0.0)

    def measure(state: State) -> np.ndarray:
        rate = 4.0 if state.factors.symmetric else 2.0
        return np.array(warm_up.ratios(state.factors, rate * step_size * state.iteration))

    return measure


class AdaptiveSignal:
    r"""Signal and error along a subspace that moves with descent: Li, Ma and Zhang, eqs (16-18).

    .. math:: U_t = Z_t + E_t,\quad Z_t = P_{S_t} U_t,\qquad S_0 = \mathrm{span}(U_\star),\quad
        S_{t+1} = (I - \eta M_t) S_t

    so that Z keeps rank r and E grows only by what the measurements get wrong. One more pass in
    each step. It follows descent, of symmetric factors, only if it sees every state:
    ``Trace(..., every=1)``.

    Parameters
    ----------
    problem : Problem
        The one that is being solved, with no penalty.
    truth : Factors
    step_size : float
        That of the descent.

    Returns
    -------
    array, shape (4,)
        On each call: :math:`\sigma_r(U_\star^\top Z_t)` with orthonormal U*, :math:`|E_t|`,
        :math:`|Z_t|`, and the sine of the largest angle between S_t and U*.

    Raises
    ------
    ValueError, TypeError
        If the problem has a penalty, the truth is zero or the step size not positive; on a call,
        if the factors are a general pair, or the state does not follow the last one.
    """

    def __init__(self, problem: Problem, truth: Factors, step_size: float) -> None:
        self.step_size = _checks.real_number(step_size, "step_size", above=0.0)
        if problem.penalised:
            raise ValueError(
                "problem must have no penalty: the subspace follows the gradient of the loss; got "
                f"{problem.penalty!r}"
            )
        self._problem = problem
        self._fixed = TargetFrame.of(truth).left
        self._basis = self._fixed
        self._last = -1

    def __call__(self, state: State) -> np.ndarray:
        if not state.factors.symmetric:
            raise ValueError("state must be of symmetric factors (X = U U^T), got a general pair")
        if state.iteration != self._last + 1:
            raise ValueError(
                f"state must be the one of iteration {self._last + 1}, got iteration "
                f"{state.iteration}; the subspace follows every step"
            )
        xp, U, S = array_namespace(state.factors.W), state.factors.U, self._basis
        coordinates = S.T @ U
        E = U - S @ coordinates
        signal, rank = (self._fixed.T @ S) @ coordinates, int(S.shape[1])
        angle = self._fixed - S @ (S.T @ self._fixed)
        values = [singular_value(signal, rank), *map(singular_value, (E, coordinates, angle))]
        G = self._problem.gradient_matrix(state.point.residual)
        moved = S - self.step_size * pull_back(G, Factors(S))
        self._basis = xp.linalg.qr(moved)[0]
        self._last = state.iteration
        return np.array(values)

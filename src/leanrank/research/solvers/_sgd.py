"""Stochastic gradient descent: on a fixed set of measurements, or on fresh ones in each step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, gaussian, integers, norm
from leanrank.factors import Factors
from leanrank.operators import FullObservation, pull_back
from leanrank.problem import Problem, check_squared
from leanrank.research.solvers._perturbed import Perturbation, check_perturbation, perturbed
from leanrank.solvers._base import State
from leanrank.solvers._line_search import measured, moved

__all__ = ["FreshGaussianDescent", "StochasticGradientDescent", "fresh_gaussian_average"]


@dataclass(frozen=True)
class StochasticGradientDescent:
    r"""Gradient descent on a few measurements at a time, of a fixed set.

    .. math:: W \leftarrow W - s \nabla_W \Big(\frac1b \sum_{i \in B} (\langle A_i, X(W)\rangle
        - y_i)^2 + p(W)\Big)

    One ``step`` makes many such updates, and measures all of the problem once, at the end: what a
    State carries is the full loss and its gradient, at its own factors.

    Parameters
    ----------
    step_size : float
    batch_size : int
        b, at most m; 1 takes single measurements.
    replacement : bool
        Whether the measurements of each batch are drawn independently of all others. Otherwise
        they are dealt out in a new random order in each epoch, the last batch being what is left.
    updates : int, optional
        Updates in one step; left out, an epoch: m / b, rounded up.
    random_state : int, Generator or None
        A seed is drawn from it when the solver is made. Draws follow from that and the number of
        the update, so that ``init`` and ``step`` repeat exactly.

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range; in ``init``, if a batch is larger than the problem.

    Notes
    -----
    The stochastic gradient descent of Li, Ma and Zhang (2018), Fig. 5, has b = 1, replacement and
    s = 8e-5: the loss of a single measurement there is the squared residual, as it is here.
    An update costs 2 b / m passes.

    Examples
    --------
    >>> import leanrank as lr
    >>> from leanrank import initial
    >>> from leanrank.solvers import solve
    >>> inst = lr.simulate.dense_sensing(6, 1, m=60, symmetric=True, random_state=0)
    >>> start = initial.identity((6, 6), scale=0.1, symmetric=True)
    >>> solver = StochasticGradientDescent(0.005, random_state=0)
    >>> result = solve(solver, Problem(inst.op, inst.y), start, max_iter=200)
    >>> inst.error(result.factors) < 0.1
    True
    """

    step_size: float
    batch_size: int = 1
    replacement: bool = True
    updates: int | None = None
    random_state: Any = None
    _seed: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _checks.float_fields(self, "step_size", above=0.0)
        _checks.whole_number(self.batch_size, "batch_size", least=1)
        if self.updates is not None:
            _checks.whole_number(self.updates, "updates", least=1)
        _checks.flag(self.replacement, "replacement")
        object.__setattr__(self, "_seed", _checks.seed(self.random_state))

    def init(self, problem: Problem, factors: Factors) -> State:
        """State at the starting factors."""
        check_squared(problem)
        _checks.whole_number(self.batch_size, "batch_size", least=1, most=problem.op.size)
        return State(problem.evaluate(factors), 0, problem.passes)

    def step(self, problem: Problem, state: State) -> State:
        """The state after the next updates."""
        factors = state.factors
        with np.errstate(over="ignore", invalid="ignore"):
            for index in self._batches(problem.op.size, state.iteration):
                gradient = batch_gradient(problem, factors, index)
                factors = factors.with_stacked(factors.W - self.step_size * gradient)
        point = measured(problem, factors)
        return replace(state, point=point, iteration=state.iteration + 1, passes=problem.passes)

    def _batches(self, m: int, iteration: int) -> Iterator[np.ndarray]:
        """Indices of the measurements of each update of a step."""
        in_epoch = -(-m // self.batch_size)
        updates = in_epoch if self.updates is None else self.updates
        if self.replacement:
            rng = np.random.default_rng((self._seed, iteration))
            yield from rng.integers(m, size=(updates, self.batch_size))
            return
        dealt, order = -1, np.zeros(0, dtype=np.int64)
        for update in range(iteration * updates, (iteration + 1) * updates):
            epoch, place = divmod(update, in_epoch)
            if epoch != dealt:
                dealt, order = epoch, np.random.default_rng((self._seed, epoch)).permutation(m)
            yield order[place * self.batch_size : (place + 1) * self.batch_size]


def batch_gradient(problem: Problem, factors: Factors, index: np.ndarray) -> Array:
    """Unbiased estimate of the gradient of the problem from some of its measurements."""
    op, W = problem.op, factors.W
    part = op.subset(index)
    xp = array_namespace(W)
    y = xp.take(problem.y, integers(np.asarray(index), problem.y), axis=0)
    if index.size == 1:
        # X is bilinear, so that a measurement is half the derivative along W itself.
        slope = pull_back(part.adjoint(xp.ones_like(y)), factors)
        pulled = slope * (xp.sum(slope * W) / 2.0 - y[0])
    else:
        _, S, _ = part.residual_and_adjoint(factors, y)
        pulled = pull_back(S, factors)
    problem.passes += 2.0 * index.size / op.size
    share = 2.0 * op.weight * op.size / index.size
    return problem.add_penalty(share * pulled, W)


def fresh_gaussian_average(R: Array, batch_size: int, random_state: Any = None) -> Array:
    r"""A draw of :math:`\tfrac1m\sum_{i=1}^m \langle A_i, R\rangle A_i`, A_i standard normal.

    The part of each :math:`A_i` along R and the part across it are independent, so that

    .. math:: \tfrac1m\sum_i \langle A_i, R\rangle A_i \sim \frac{g^2}{m} R + \frac{g}{m} |R|_F
        \Big(G - \frac{\langle G, R\rangle}{|R|_F^2} R\Big),\qquad g^2 \sim \chi^2_m

    with one standard normal matrix G: O(n1 n2) work for any m, and exactly that distribution.

    Parameters
    ----------
    R : array, shape (n1, n2)
    batch_size : int
        m.
    random_state : int, Generator or None

    Returns
    -------
    array, shape (n1, n2)
        Its expectation is R.

    Raises
    ------
    ValueError, TypeError
        If R is not a finite matrix or the batch size is not positive.

    Examples
    --------
    >>> R = np.diag([1.0, 2.0])
    >>> fresh_gaussian_average(R, 10**8, random_state=0).round(2) + 0.0
    array([[1., 0.],
           [0., 2.]])
    """
    R = _checks.real_array(R, "R", ndim=2)
    m = _checks.whole_number(batch_size, "batch_size", least=1)
    rng = _checks.generator(random_state)
    size = norm(R)
    if size == 0:
        return R
    xp = array_namespace(R)
    square = float(rng.chisquare(m))
    G = gaussian(rng, tuple(R.shape), R)
    along = R / size
    across = G - along * xp.sum(along * G)
    return R * (square / m) + across * (size * square**0.5 / m)


@dataclass(frozen=True)
class FreshGaussianDescent:
    r"""Gradient descent that sees new Gaussian measurements in every step.

    .. math:: W \leftarrow W - s \nabla_W \Big(\frac1m \sum_{i=1}^m \langle A_i^{(k)}, X(W) -
        Y\rangle^2 + p(W)\Big) + 2 s\, E_k W,\qquad (A_i^{(k)})_{jl} \sim \mathcal N(0, 1)

    The problem is the population's, :class:`~leanrank.operators.FullObservation` of Y, and the
    State carries its loss; of Y a step uses what m measurements show. They are not drawn one by
    one: :func:`fresh_gaussian_average` has the same distribution at the price of one.

    Parameters
    ----------
    step_size : float
    batch_size : int
        Measurements m in each step.
    random_state : int, Generator or None
        As in :class:`StochasticGradientDescent`.
    perturbation : callable, optional
        :math:`E_k`, as in :class:`~leanrank.research.solvers.PerturbedSensingDescent`.

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range; in ``init``, if the problem is not the population's.

    Notes
    -----
    The mini-batches of Theorem 2.9 of Wind (2025), whose learning rate is 2 s (4 s, and whose
    perturbation is :math:`E_k / 2`, for symmetric factors).

    Examples
    --------
    >>> from leanrank import initial
    >>> from leanrank.solvers import solve
    >>> Y = np.outer([1.0, 0.0, 0.0], [0.0, 1.0])
    >>> problem = Problem(FullObservation((3, 2)), Y)
    >>> start = initial.gaussian((3, 2), 3, operator_norm=0.01, random_state=0)
    >>> solver = FreshGaussianDescent(0.05, 50, random_state=0)
    >>> result = solve(solver, problem, start, max_iter=300)
    >>> result.factors.to_dense().round(2) + 0.0
    array([[0., 1.],
           [0., 0.],
           [0., 0.]])
    """

    step_size: float
    batch_size: int
    random_state: Any = None
    perturbation: Perturbation | None = None
    _seed: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _checks.float_fields(self, "step_size", above=0.0)
        _checks.whole_number(self.batch_size, "batch_size", least=1)
        check_perturbation(self.perturbation)
        object.__setattr__(self, "_seed", _checks.seed(self.random_state))

    def init(self, problem: Problem, factors: Factors) -> State:
        """State at the starting factors."""
        check_squared(problem)
        if not isinstance(problem.op, FullObservation):
            raise TypeError(
                "problem must be of FullObservation, from which fresh measurements are drawn, "
                f"got {problem.op!r}; for a fixed set use StochasticGradientDescent"
            )
        return State(problem.evaluate(factors), 0, problem.passes)

    def step(self, problem: Problem, state: State) -> State:
        """The state after a step on new measurements."""
        point, W = state.point, state.factors.W
        rng = np.random.default_rng((self._seed, state.iteration))
        R = array_namespace(W).reshape(point.residual, problem.op.shape)
        average = fresh_gaussian_average(R, self.batch_size, rng)
        gradient = problem.add_penalty(2.0 * pull_back(average, state.factors), W)
        gradient = perturbed(gradient, self.perturbation, state.iteration, state.factors)
        new = moved(problem, point, gradient, -self.step_size)
        return replace(state, point=new, iteration=state.iteration + 1, passes=problem.passes)

"""Second-order stationary points, checked against dense Hessians."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank.factors import Factors
from leanrank.operators import DenseSensing, FullObservation
from leanrank.penalties import GroupLasso, NoPenalty
from leanrank.problem import Problem
from leanrank.pruning import max_pairwise_cosine
from leanrank.research import theory
from leanrank.research.solvers import stationary_point
from leanrank.results import Status
from leanrank.solvers import LBFGS, GradientDescent, PerturbedGradientDescent, smallest_curvature


def dense_hessian(problem, factors):
    apply = problem.hessian(problem.evaluate(factors))
    size = factors.W.size
    return np.stack([apply(e.reshape(factors.W.shape)).ravel() for e in np.eye(size)])


@pytest.mark.parametrize("seed", range(3))
def test_the_point_is_stationary_to_second_order_by_dense_algebra(seed):
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((6, 2)))[0]
    op = DenseSensing(rng.standard_normal((80, 6, 6)), symmetric=True)
    problem = Problem(op, op.forward(Factors(U)), GroupLasso(0.2, 0.01))
    start = Factors(0.3 * rng.standard_normal((6, 6)))
    epsilon, gamma = 1e-4, 1e-2
    found = stationary_point(
        problem,
        start,
        solver=PerturbedGradientDescent(random_state=seed),
        epsilon=epsilon,
        gamma=gamma,
        max_iter=5000,
        random_state=seed,
    )
    assert found.status is Status.CONVERGED
    assert problem.evaluate(found.factors).gradient_norm <= epsilon
    smallest = np.linalg.eigvalsh(dense_hessian(problem, found.factors))[0]
    assert smallest >= -gamma
    assert found.curvature == pytest.approx(smallest, abs=1e-4)
    # Eq. (11): the long columns are orthogonal.
    assert max_pairwise_cosine(found.factors, 0.2) < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_smallest_curvature_is_that_of_the_dense_hessian(seed):
    rng = np.random.default_rng(seed)
    op = DenseSensing(rng.standard_normal((100, 20, 20)), symmetric=True)
    truth = Factors(np.linalg.qr(rng.standard_normal((20, 3)))[0])
    problem = Problem(op, op.forward(truth), GroupLasso(0.2, 0.01))
    factors = Factors(0.2 * rng.standard_normal((20, 8)))
    value, direction = smallest_curvature(problem, problem.evaluate(factors), seed)
    values = np.linalg.eigvalsh(dense_hessian(problem, factors))
    assert value == pytest.approx(values[0], abs=1e-3 * (values[-1] - values[0]))
    assert np.linalg.norm(direction) == pytest.approx(1.0)


@pytest.mark.parametrize("solver", [GradientDescent(0.05), GradientDescent(), LBFGS()])
def test_saddle_points_are_left(solver):
    Y = np.diag([1.0, 0.7, 0.0, 0.0])
    problem = Problem(FullObservation((4, 4)), Y, GroupLasso(0.05, 0.01))
    # Zero, and then the point that has found one of the two directions only.
    one = np.zeros((4, 4))
    one[0, 0] = theory.predicted_column_norm(1.0, 0.05, 0.01)
    for start in (np.zeros((4, 4)), one):
        found = stationary_point(
            problem,
            Factors(start),
            solver=solver,
            epsilon=1e-7,
            gamma=1e-4,
            max_iter=5000,
            random_state=0,
        )
        assert found.status is Status.CONVERGED
        assert found.escapes >= 1
        norms = np.sort(found.factors.column_norms())
        assert norms[-1] == pytest.approx(theory.predicted_column_norm(1.0, 0.05, 0.01))
        assert norms[-2] == pytest.approx(theory.predicted_column_norm(0.7**0.5, 0.05, 0.01))
        assert norms[-3] < 1e-3


def test_a_first_order_point_is_not_called_converged():
    problem = Problem(FullObservation((3, 3)), np.eye(3), NoPenalty())
    zero = Factors(np.zeros((3, 3)))
    found = stationary_point(
        problem, zero, solver=GradientDescent(0.01), epsilon=1e-3, gamma=1e-3, max_iter=0
    )
    assert found.status is Status.MAX_ITER
    assert found.curvature == pytest.approx(-4.0)
    assert "curvature" in found.message


def test_the_way_out_goes_down_the_gradient():
    # At this point of negative curvature the gradient is not zero: one side only is downhill
    # for steps of the first length tried, so that the other would come back along the way.
    problem = Problem(FullObservation((1, 1)), np.eye(1))
    for start in (0.05, -0.05):
        states = []
        stationary_point(
            problem,
            Factors(np.array([[start]])),
            solver=GradientDescent(0.01),
            epsilon=1.0,
            gamma=1e-3,
            max_iter=1,
            callbacks=[states.append],
            random_state=0,
        )
        assert states[1].factors.W[0, 0] / start > 1

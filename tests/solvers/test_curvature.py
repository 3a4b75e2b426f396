"""Negative curvature: against the dense Hessian, and when zero is called a saddle point."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank.factors import Factors
from leanrank.operators import DenseSensing, FullObservation
from leanrank.penalties import GroupLasso
from leanrank.problem import Problem
from leanrank.solvers import smallest_curvature
from leanrank.solvers._curvature import AtZero


def test_the_smallest_curvature_is_that_of_the_dense_hessian(rng):
    op = DenseSensing(rng.standard_normal((50, 5, 4)))
    problem = Problem(op, rng.standard_normal(50), GroupLasso(0.2, 0.1))
    point = problem.evaluate(Factors(rng.standard_normal((5, 2)), rng.standard_normal((4, 2))))
    product = problem.hessian(point)
    H = np.array([product(E.reshape(9, 2)).ravel() for E in np.eye(18)])
    values, vectors = np.linalg.eigh((H + H.T) / 2)
    value, direction = smallest_curvature(problem, point, 0)
    assert value == pytest.approx(values[0], rel=1e-6)
    assert abs(direction.ravel() @ vectors[:, 0]) == pytest.approx(1.0, rel=1e-6)


def test_without_columns_there_is_no_curvature():
    problem = Problem(FullObservation((3, 3)), np.eye(3))
    value, direction = smallest_curvature(
        problem, problem.evaluate(Factors.empty((3, 3), symmetric=True))
    )
    assert (value, direction.shape) == (np.inf, (3, 0))


def of_y(*diagonal):
    return Problem(FullObservation((len(diagonal),) * 2), np.diag(diagonal).astype(float))


@pytest.mark.parametrize("units", [1e-6, 1.0, 1e6])
def test_zero_is_where_the_loss_is_that_of_zero_to_five_digits(units):
    # At w along the first axis the loss is (1 - w^2)^2 of it.
    problem = of_y(units, 0.0, 0.0)
    for square, near in ((0.45e-5, True), (0.55e-5, False)):
        W = np.zeros((3, 1))
        W[0] = np.sqrt(square * units)
        sentence = AtZero(problem).saddle(problem.evaluate(Factors(W)))
        assert bool(sentence) == near
        assert ("(curvature -4.0e" in sentence or "-4.0e+00" in sentence) == near


def test_without_a_matrix_or_columns_zero_is_no_saddle_point():
    for problem, width in ((of_y(0.0, 0.0), 1), (of_y(1.0, 0.0), 0)):
        assert AtZero(problem).saddle(problem.evaluate(Factors(np.zeros((2, width))))) == ""


@pytest.mark.parametrize(("size", "seen"), [(1e-3, True), (5e-5, True), (5e-7, False)])
def test_a_curvature_counts_from_a_hundred_thousandth_of_the_hessians_norm_on(size, seen):
    # The Hessian at zero is -4 Y.
    for units in (1e-6, 1.0, 1e6):
        problem = of_y(-units, size * units, -0.5 * units)
        sentence = AtZero(problem).saddle(problem.evaluate(Factors(np.zeros((3, 1)))))
        assert bool(sentence) == seen


def test_the_curvature_is_looked_at_again_once_a_run_has_been_elsewhere():
    problem = of_y(1.0, 0.5)
    at_zero, zero = AtZero(problem), problem.evaluate(Factors(np.zeros((2, 1))))
    costs = []
    for point in (zero, zero, problem.evaluate(Factors(np.eye(2, 1))), zero):
        before = problem.passes
        at_zero.saddle(point)
        costs.append(problem.passes - before)
    assert costs[0] == costs[3] > 0
    assert costs[1] == costs[2] == 0

"""Measurements as perturbations: the same iterates as descent on them, and who chooses them."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from leanrank import initial, simulate
from leanrank.factors import Factors
from leanrank.operators import DenseSensing, FullObservation
from leanrank.problem import Problem
from leanrank.research.solvers import (
    FreshGaussianDescent,
    PerturbedGradientFlow,
    PerturbedSensingDescent,
    adversarial_measurements,
    constant_perturbation,
    fresh_measurements,
    imperfect_measurements,
    sum_of_perturbations,
    worst_isometry,
)
from leanrank.solvers import GradientDescent, iterate, solve


def instance(m=80, seed=0):
    return simulate.dense_sensing((6, 5), 2, m=m, random_state=seed)


def begin(seed=1):
    return initial.gaussian((6, 5), 6, operator_norm=0.3, random_state=seed)


def population(truth):
    return Problem(FullObservation(truth.shape), truth.to_dense())


def last(solver, problem, start, steps):
    *_, state = islice(iterate(solver, problem, start), steps + 1)
    return state.factors.to_dense()


def test_descent_on_measurements_is_perturbed_descent_on_the_population():
    inst = instance()
    alone = last(GradientDescent(0.05), Problem(inst.op, inst.y), begin(), 40)
    solver = PerturbedSensingDescent(0.05, imperfect_measurements(inst.op, inst.truth))
    np.testing.assert_allclose(last(solver, population(inst.truth), begin(), 40), alone, atol=1e-10)


def test_fresh_measurements_have_the_mean_and_the_spread_of_fresh_descent():
    truth, f, m = instance().truth, begin(), 7
    R = truth.to_dense() - f.to_dense()
    draw = fresh_measurements(truth, m, 0)
    E = np.array([draw(k, f)[:6, 6:] for k in range(4000)])
    np.testing.assert_allclose(draw(3, f), draw(3, f).T)
    assert np.abs(E.mean(axis=0)).max() < 5 * np.linalg.norm(R) / np.sqrt(7 * 4000)
    # The variance of an entry of A <A, R> is |R|^2 + R_ij^2.
    expected = (np.sum(R**2) + R**2) / m
    np.testing.assert_allclose(E.var(axis=0), expected, rtol=0.15)
    again = fresh_measurements(truth, m, 0)
    np.testing.assert_array_equal(again(3, f), draw(3, f))
    solver = PerturbedSensingDescent(0.02, fresh_measurements(truth, 10**8, 0))
    near = last(FreshGaussianDescent(0.02, 10**8, 0), population(truth), begin(), 30)
    np.testing.assert_allclose(last(solver, population(truth), begin(), 30), near, atol=1e-3)


def test_the_adversary_takes_what_pushes_most_outside_of_the_target():
    truth, f = Factors(np.eye(3, 1), np.eye(3, 1)), Factors(np.zeros((3, 1)), np.zeros((3, 1)))

    def seen_as(X):
        """An operator with A*A(Y) - Y = X, for Y = e_1 e_1^T and symmetric gains."""
        M = np.eye(9)
        M[:, 0] += X.ravel()
        M[0, 1:] += X.ravel()[1:]
        values, vectors = np.linalg.eigh(M)
        half = (vectors * np.sqrt(values)) @ vectors.T
        return DenseSensing(3.0 * half.reshape(9, 3, 3))

    inside, outside, more = np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((3, 3))
    inside[0, 1], outside[1, 2], more[2, 1] = 0.5, 0.1, 0.2
    ops = [seen_as(X) for X in (inside, outside, more)]
    for op, X in zip(ops, (inside, outside, more), strict=True):
        np.testing.assert_allclose(imperfect_measurements(op, truth)(0, f)[:3, 3:], X, atol=1e-9)
    chosen = adversarial_measurements(ops, truth)(0, f)[:3, 3:]
    np.testing.assert_allclose(chosen, more, atol=1e-9)


def test_the_worst_isometry_is_one_of_its_constant():
    truth, f, rho = instance().truth, begin(), 0.3
    E = worst_isometry(truth, rho)(0, f)[:6, 6:]
    P, s, Q = np.linalg.svd(E)
    # As Lemma G.2 allows at most, but for what R has along the pair; and outside of the target.
    R = truth.to_dense() - f.to_dense()
    along = abs(P[:, 0] @ R @ Q[0])
    assert s[0] == pytest.approx(rho * np.sqrt(np.sum(R**2) - along**2))
    assert s[1] < 1e-12
    np.testing.assert_allclose(truth.U.T @ P[:, 0], 0.0, atol=1e-12)
    np.testing.assert_allclose(truth.V.T @ Q[0], 0.0, atol=1e-12)
    # The operator itself: I + rho (d r^T + r d^T), whose eigenvalues are 1 and 1 +- rho.
    d = np.outer(P[:, 0], Q[0]).ravel()
    r = R.ravel() - d * (d @ R.ravel())
    r /= np.linalg.norm(r)
    M = np.eye(30) + rho * (np.outer(d, r) + np.outer(r, d))
    ends = np.linalg.eigvalsh(M)[[0, -1]]
    np.testing.assert_allclose(ends, [1 - rho, 1 + rho])
    seen = (M @ R.ravel()).reshape(R.shape) - R
    np.testing.assert_allclose(P[:, 0] @ seen @ Q[0], P[:, 0] @ E @ Q[0], atol=1e-12)


def test_a_sum_is_the_sum():
    f = begin()
    E, F = np.eye(11), np.ones((11, 11))
    total = sum_of_perturbations(constant_perturbation(E), constant_perturbation(F))
    np.testing.assert_array_equal(total(0, f), E + F)


def test_the_flow_is_that_of_its_equation(rng):
    truth, start = instance().truth, begin()
    E = 0.2 * rng.standard_normal((11, 11))
    Y = truth.to_dense()

    def slope(t, w):
        U, V = np.split(w.reshape(11, 6), [6])
        R = Y - U @ V.T
        return (np.vstack([R @ V, R.T @ U]) + E @ w.reshape(11, 6)).ravel()

    expected = solve_ivp(slope, (0.0, 4.0), start.W.ravel(), rtol=1e-10, atol=1e-12).y[:, -1]
    errors = []
    for steps in (20, 40):
        solver = PerturbedGradientFlow(2.0 / steps, constant_perturbation(E))
        result = solve(solver, population(truth), start, max_iter=steps, tol=0.0)
        errors.append(np.abs(result.factors.W.ravel() - expected).max())
    assert errors[0] < 1e-3
    # Of the fourth order: half the step, a sixteenth of the error.
    assert 10 < errors[0] / errors[1] < 25


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: imperfect_measurements(FullObservation((5, 6)), instance().truth), "op must"),
        (lambda: adversarial_measurements([], instance().truth), "ops must have at least one"),
        (
            lambda: adversarial_measurements([FullObservation((5, 6))], instance().truth),
            r"ops\[0\] must",
        ),
        (lambda: fresh_measurements(instance().truth, 0), "m must"),
        (lambda: worst_isometry(Factors(np.eye(3), np.eye(3)), 0.1), "target must have a rank"),
        (lambda: worst_isometry(instance().truth, 1.1), "rho"),
        (lambda: PerturbedGradientFlow(0.0), "step_size"),
    ],
)
def test_errors_name_the_argument(call, match):
    with pytest.raises(ValueError, match=match):
        call()

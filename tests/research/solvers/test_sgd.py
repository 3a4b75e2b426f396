"""Stochastic descent against loops over single measurements, and fresh ones against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from leanrank import initial, simulate
from leanrank._arrays import to_numpy
from leanrank.factors import Factors
from leanrank.operators import DenseSensing, FullObservation
from leanrank.penalties import GroupLasso
from leanrank.problem import Problem
from leanrank.research.solvers import (
    FreshGaussianDescent,
    PerturbedSensingDescent,
    StochasticGradientDescent,
    fresh_gaussian_average,
    random_perturbation,
)
from leanrank.research.solvers._sgd import batch_gradient
from leanrank.results import Status
from leanrank.solvers import iterate, solve


def instances(symmetric):
    yield simulate.dense_sensing((6, 6), 2, m=40, symmetric=symmetric, random_state=0)
    yield simulate.rank_one_sensing((6, 6), 2, m=40, symmetric=symmetric, random_state=0)
    yield simulate.matrix_completion((6, 6), 1, oversampling=2, random_state=0)
    yield simulate.full_observation((6, 6), 2, symmetric=symmetric, random_state=0)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("penalty", [None, GroupLasso(0.1, 0.01)])
def test_batches_add_up_to_the_gradient(symmetric, penalty):
    factors = initial.gaussian((6, 6), 3, scale=0.5, symmetric=symmetric, random_state=1)
    for inst in instances(symmetric):
        problem = Problem(inst.op, inst.y, penalty)
        whole = problem.evaluate(factors).gradient
        m = inst.op.size
        single = [batch_gradient(problem, factors, np.array([i])) for i in range(m)]
        np.testing.assert_allclose(np.mean(single, axis=0), whole, atol=1e-12)
        halves = [np.arange(0, m, 2), np.arange(1, m, 2)]
        parts = [len(part) * batch_gradient(problem, factors, part) / m for part in halves]
        np.testing.assert_allclose(sum(parts), whole, atol=1e-12)
        twice = np.array([3, 3, 5])
        expected = (2 * single[3] + single[5]) / 3
        np.testing.assert_allclose(batch_gradient(problem, factors, twice), expected, atol=1e-12)


def test_updates_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    A, U = rng.standard_normal((10, 4, 4)), rng.standard_normal((4, 3))
    y = rng.standard_normal(10)
    solver = StochasticGradientDescent(0.01, 2, replacement=False, updates=7, random_state=3)
    problem = Problem(DenseSensing(A), y)
    state = solver.init(problem, Factors(U))
    for step in range(3):
        for index in solver._batches(10, step):
            res = np.einsum("mij,ij->m", A[index], U @ U.T) - y[index]
            G = np.einsum("m,mij->ij", res, A[index]) * 2 / len(index)
            U = U - 0.01 * (G + G.T) @ U
        state = solver.step(problem, state)
        np.testing.assert_allclose(state.factors.U, U, atol=1e-12)
        res = np.einsum("mij,ij->m", A, U @ U.T) - y
        assert state.point.loss == pytest.approx(np.mean(res**2))


@given(st.integers(1, 30), st.integers(1, 7), st.integers(1, 20), st.integers(0, 1000))
def test_without_replacement_every_epoch_has_each_measurement_once(m, batch, updates, seed):
    batch = min(batch, m)
    solver = StochasticGradientDescent(0.1, batch, False, updates, random_state=seed)
    epoch = -(-m // batch)
    steps = -(-3 * epoch // updates)
    dealt = [index for k in range(steps) for index in solver._batches(m, k)]
    for start in range(0, 3 * epoch, epoch):
        together = np.concatenate(dealt[start : start + epoch])
        np.testing.assert_array_equal(np.sort(together), np.arange(m))


def test_with_replacement_measurements_repeat_and_are_uniform():
    solver = StochasticGradientDescent(0.1, 2, random_state=5)
    drawn = np.concatenate([np.ravel(list(solver._batches(10, k))) for k in range(400)])
    counts = np.bincount(drawn, minlength=10)
    assert stats.chisquare(counts).pvalue > 1e-3
    epoch = np.ravel(list(solver._batches(10, 0)))
    assert len(epoch) == 10
    assert len(np.unique(epoch)) < 10


def test_a_step_has_no_side_effects_and_an_epoch_costs_two_passes():
    inst = simulate.dense_sensing(6, 1, m=30, symmetric=True, random_state=0)
    problem = Problem(inst.op, inst.y)
    solver = StochasticGradientDescent(0.01, random_state=1)
    state = solver.init(problem, initial.identity((6, 6), scale=0.1, symmetric=True))
    before = problem.passes
    a, b = solver.step(problem, state), solver.step(problem, state)
    np.testing.assert_array_equal(a.factors.W, b.factors.W)
    assert problem.passes - before == pytest.approx(2 * (2 + 1))
    assert a.passes == pytest.approx(before + 3)


@pytest.mark.parametrize("replacement", [True, False])
def test_recovers_and_says_so_when_it_diverges(replacement):
    inst = simulate.dense_sensing(8, 1, m=80, random_state=0)
    problem = Problem(inst.op, inst.y)
    start = initial.gaussian((8, 8), 8, scale=1e-3, random_state=0)
    solver = StochasticGradientDescent(0.02, 4, replacement, random_state=0)
    result = solve(solver, problem, start, tol=1e-4, max_iter=200)
    assert inst.error(result.factors) < 1e-2
    wild = StochasticGradientDescent(5.0, 4, replacement, random_state=0)
    assert solve(wild, problem, start, max_iter=200).status is Status.DIVERGED


class TestFreshMeasurements:
    """The quick sampler and one that draws every matrix have one distribution."""

    def brute(self, R, m, rng):
        A = rng.standard_normal((m, *R.shape))
        return np.einsum("m,mij->ij", np.einsum("mij,ij->m", A, R), A) / m

    @pytest.mark.parametrize("m", [1, 4, 30])
    def test_same_distribution_as_brute_force(self, m):
        rng = np.random.default_rng(m)
        R, probe = rng.standard_normal((2, 3, 4))
        probe -= R * np.sum(R * probe) / np.sum(R * R)
        draws = [
            np.array([sampler(R, m, rng) for _ in range(3000)])
            for sampler in (fresh_gaussian_average, self.brute)
        ]
        for statistic in (
            lambda G: np.sum(G * R),
            lambda G: np.sum(G * probe),
            lambda G: G[0, 0],
            lambda G: np.linalg.norm(G, 2),
            lambda G: np.sum(G * R) * np.sum(G * probe),
            lambda G: np.linalg.norm(G - R * np.sum(G * R) / np.sum(R * R)),
        ):
            quick, slow = ([statistic(G) for G in found] for found in draws)
            assert stats.ks_2samp(quick, slow).pvalue > 1e-3

    def test_covariance_is_the_exact_one(self):
        rng = np.random.default_rng(0)
        R, m, N = np.array([[1.0, 2.0], [0.0, -1.0]]), 5, 40_000
        draws = np.array([fresh_gaussian_average(R, m, rng) for _ in range(N)]).reshape(N, 4)
        r = R.ravel()
        # Isserlis: E <A,R>^2 A A^T = |R|^2 I + 2 R R^T.
        expected = (r @ r * np.eye(4) + np.outer(r, r)) / m
        np.testing.assert_allclose(draws.mean(axis=0), r, atol=0.03)
        np.testing.assert_allclose(np.cov(draws.T), expected, atol=0.06)

    def test_any_random_state_is_taken(self):
        R, m = np.eye(3), 5
        drawn = fresh_gaussian_average(R, m, 7)
        np.testing.assert_array_equal(drawn, fresh_gaussian_average(R, m, np.random.default_rng(7)))
        assert np.abs(drawn - fresh_gaussian_average(R, m)).max() > 0

    def test_zero_residual_gives_zero(self):
        assert not fresh_gaussian_average(np.zeros((2, 3)), 4, np.random.default_rng(0)).any()

    @pytest.mark.parametrize("symmetric", [True, False])
    def test_a_step_is_a_gradient_step_on_what_was_drawn(self, symmetric):
        inst = simulate.full_observation((5, 5), 2, symmetric=symmetric, random_state=0)
        problem = Problem(inst.op, inst.y, GroupLasso(0.1, 0.01))
        start = initial.gaussian((5, 5), 3, scale=0.5, symmetric=symmetric, random_state=1)
        solver = FreshGaussianDescent(0.05, 10**12, random_state=2)
        state = solver.init(problem, start)
        # So many measurements are as good as all of the matrix.
        expected = start.W - 0.05 * problem.evaluate(start).gradient
        new = solver.step(problem, state)
        np.testing.assert_allclose(new.factors.W, expected, atol=1e-5)
        np.testing.assert_array_equal(solver.step(problem, state).factors.W, new.factors.W)
        assert new.point.loss == pytest.approx(problem.evaluate(new.factors).loss)

    @pytest.mark.parametrize("symmetric", [True, False])
    def test_a_perturbation_is_that_of_perturbed_descent(self, symmetric):
        inst = simulate.full_observation((5, 5), 2, symmetric=symmetric, random_state=0)
        problem = Problem(inst.op, inst.y)
        start = initial.gaussian((5, 5), 3, scale=0.5, symmetric=symmetric, random_state=1)
        perturbation = random_perturbation(0.3, random_state=0)
        fresh = FreshGaussianDescent(0.05, 10**12, random_state=2, perturbation=perturbation)
        states = (
            iterate(solver, problem, start)
            for solver in (fresh, PerturbedSensingDescent(0.05, perturbation))
        )
        for _, (one, other) in zip(range(5), zip(*states, strict=False), strict=False):
            np.testing.assert_allclose(one.factors.W, other.factors.W, atol=1e-5)

    def test_recovers_from_fewer_measurements_than_unknowns_in_each_step(self):
        inst = simulate.full_observation((12, 12), 1, random_state=0)
        problem = Problem(inst.op, inst.y)
        start = initial.gaussian((12, 12), 12, operator_norm=1e-3, random_state=1)
        states = iterate(FreshGaussianDescent(0.025, 12, random_state=0), problem, start)
        for _, state in zip(range(800), states, strict=False):
            last = state
        assert inst.error(last.factors) < 1e-5


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: StochasticGradientDescent(0.0), ValueError, "step_size"),
        (lambda: StochasticGradientDescent(0.1, 0), ValueError, "batch_size"),
        (lambda: StochasticGradientDescent(0.1, updates=0), ValueError, "updates"),
        (lambda: FreshGaussianDescent(0.1, 2.5), TypeError, "batch_size"),
        (lambda: FreshGaussianDescent(0.1, 2, random_state="a"), TypeError, "random_state"),
        (
            lambda: StochasticGradientDescent(0.1, replacement="no"),
            TypeError,
            "replacement must be",
        ),
        (lambda: fresh_gaussian_average(np.ones(3), 1, None), ValueError, "R must have 2"),
        (lambda: fresh_gaussian_average(np.eye(2), 1, "a"), TypeError, "random_state"),
    ],
)
def test_errors_name_the_argument(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_what_does_not_fit_the_problem_is_named_at_the_start():
    inst = simulate.dense_sensing(4, 1, m=10, random_state=0)
    problem, start = Problem(inst.op, inst.y), initial.gaussian((4, 4), 2)
    with pytest.raises(ValueError, match="batch_size must be at least 1 and at most 10"):
        StochasticGradientDescent(0.1, 11).init(problem, start)
    with pytest.raises(TypeError, match="problem must be of FullObservation"):
        FreshGaussianDescent(0.1, 11).init(problem, start)


def test_other_array_libraries(convert):
    inst = simulate.dense_sensing(4, 1, m=12, random_state=0)
    y, start = inst.y, initial.gaussian((4, 4), 2, scale=0.3, random_state=0)
    data = np.asarray(inst.op._data).reshape(12, 4, 4)
    solver = StochasticGradientDescent(0.01, random_state=0)
    expected = solve(solver, Problem(inst.op, y), start, max_iter=3).factors.W
    other = Problem(DenseSensing(convert(data)), convert(y))
    result = solve(solver, other, Factors(convert(start.U), convert(start.V)), max_iter=3)
    np.testing.assert_allclose(to_numpy(result.factors.W), expected, atol=1e-12)
    Y = inst.truth.to_dense()
    solver = FreshGaussianDescent(0.01, 5, random_state=0)
    problem = Problem(FullObservation((4, 4)), Y)
    expected = solve(solver, problem, start, max_iter=3).factors.W
    problem = Problem(FullObservation((4, 4), reference=convert(Y)), convert(Y))
    result = solve(solver, problem, Factors(convert(start.U), convert(start.V)), max_iter=3)
    np.testing.assert_allclose(to_numpy(result.factors.W), expected, atol=1e-12)

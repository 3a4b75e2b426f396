"""Projected gradient descent against the optimality conditions of the cone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from leanrank._arrays import to_numpy
from leanrank.factors import Factors
from leanrank.operators import DenseSensing, FullObservation, ObservedEntries
from leanrank.penalties import GroupLasso
from leanrank.problem import Problem
from leanrank.research.solvers import ProjectedGradientDescent
from leanrank.results import Status
from leanrank.solvers import iterate, solve


def zero(d):
    return Factors.empty((d, d), symmetric=True)


def sensing(seed=0, d=8, r=1, m=25, symmetric=False, noise=0.0):
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((d, r)))[0]
    op = DenseSensing(rng.standard_normal((m, d, d)), symmetric=symmetric)
    return Problem(op, op.forward(Factors(U)) + noise * rng.standard_normal(m)), Factors(U)


def projection(X):
    values, vectors = np.linalg.eigh((X + X.T) / 2)
    return (vectors * np.maximum(values, 0)) @ vectors.T


@pytest.mark.parametrize("symmetric", [True, False])
def test_iterates_are_those_of_the_definition(symmetric):
    problem, _ = sensing(symmetric=symmetric)
    A = np.random.default_rng(0)
    A.standard_normal((8, 1))
    A = A.standard_normal((25, 8, 8))
    X = np.zeros((8, 8))
    states = iterate(ProjectedGradientDescent(0.02), problem, zero(8))
    for _ in range(20):
        state = next(states)
        np.testing.assert_allclose(state.factors.to_dense(), X, atol=1e-10)
        residual = np.einsum("mij,ij->m", A, X) - problem.y
        assert state.point.loss == pytest.approx(np.mean(residual**2))
        G = 2 / 25 * np.einsum("m,mij->ij", residual, A)
        following = projection(X - 0.02 * G)
        assert state.point.gradient_norm == pytest.approx(np.linalg.norm(following - X) / 0.02)
        X = following


def test_the_projection_of_a_matrix_is_found_in_one_step():
    Y = np.random.default_rng(1).standard_normal((6, 6))
    problem = Problem(FullObservation((6, 6)), Y)
    solver = ProjectedGradientDescent(0.5)
    state = solver.step(problem, solver.init(problem, zero(6)))
    np.testing.assert_allclose(state.factors.to_dense(), projection(Y), atol=1e-12)
    assert state.point.gradient_norm < 1e-12


@pytest.mark.parametrize("step_size", [None, 0.01])
def test_the_solution_meets_the_optimality_conditions(step_size):
    problem, _ = sensing(m=60, noise=0.5)
    result = solve(ProjectedGradientDescent(step_size), problem, zero(8), tol=1e-7, max_iter=5000)
    assert result.success
    X = result.factors.to_dense()
    residual = problem.op.forward(result.factors) - problem.y
    G = 2 / 60 * np.asarray(problem.op.adjoint(residual))
    G = (G + G.T) / 2
    assert np.linalg.eigvalsh(G)[0] > -1e-6
    assert abs(np.sum(G * X)) < 1e-6
    values = result.history.column("loss")
    assert all(b <= a * (1 + 1e-12) for a, b in itertools.pairwise(values))


def test_zero_is_not_called_stationary_unless_it_is():
    problem, truth = sensing(m=60)
    first = next(iterate(ProjectedGradientDescent(), problem, zero(8)))
    assert first.factors.width == 0
    assert first.point.gradient_norm > 0.1
    opposite = Problem(FullObservation((8, 8)), -np.eye(8))
    result = solve(ProjectedGradientDescent(0.1), opposite, Factors(np.eye(8)), max_iter=2000)
    assert result.success
    assert result.factors.norm() < 1e-6
    result = solve(ProjectedGradientDescent(), problem, zero(8), max_iter=2000)
    assert result.success
    assert result.factors.distance(truth) < 1e-6


def test_few_measurements_leave_it_far_from_the_truth_at_a_high_rank():
    # With m = 5 d the factored descent of the same paper recovers the matrix; this does not.
    problem, truth = sensing(d=20, m=100)
    result = solve(ProjectedGradientDescent(), problem, zero(20), tol=1e-3, max_iter=2000)
    assert result.history[-1].loss < 1e-3
    assert result.factors.distance(truth) > 0.2
    assert result.rank > 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("step_size", [5.0, 1e10, 1e30, 1e200, 1e308])
def test_divergence_is_a_status_and_no_warning(convert, dtype, step_size):
    A, Y = (
        np.random.default_rng(0).standard_normal((60, 6, 6)).astype(dtype),
        np.eye(6, dtype=dtype),
    )
    y = np.einsum("mij,ij->m", A, Y)
    for wrap in (np.asarray, convert):
        problem = Problem(DenseSensing(wrap(A)), wrap(y))
        start = Factors.empty((6, 6), symmetric=True, reference=wrap(Y))
        result = solve(ProjectedGradientDescent(step_size), problem, start)
        assert result.status is Status.DIVERGED
        assert np.isfinite(to_numpy(result.factors.W)).all()


def test_pruned_states_start_from_the_pruned_matrix():
    problem, _ = sensing(m=60, noise=0.5)
    solver = ProjectedGradientDescent(0.01)
    state = solver.init(problem, zero(8))
    for _ in range(20):
        state = solver.step(problem, state)
    mask = np.arange(state.factors.width) < 1
    pruned = state.keep(problem, mask)
    again = solver.init(problem, pruned.factors)
    np.testing.assert_allclose(
        solver.step(problem, pruned).factors.to_dense(),
        solver.step(problem, again).factors.to_dense(),
        atol=1e-12,
    )


def test_observed_entries():
    rng = np.random.default_rng(0)
    truth = Factors(rng.standard_normal((6, 1)))
    rows, cols = np.divmod(rng.permutation(36)[:30], 6)
    op = ObservedEntries(rows, cols, (6, 6))
    result = solve(
        ProjectedGradientDescent(), Problem(op, op.forward(truth)), zero(6), max_iter=3000
    )
    assert result.history[-1].loss < 1e-8


def test_other_array_libraries(convert):
    reference = convert(np.diag([2.0, 1.0, -1.0]))
    problem = Problem(FullObservation((3, 3), reference=reference), reference)
    start = Factors.empty((3, 3), symmetric=True, reference=reference)
    result = solve(ProjectedGradientDescent(), problem, start)
    assert result.success
    assert result.rank == 2


def test_what_does_not_fit_is_named_at_the_start():
    problem, _ = sensing()
    with pytest.raises(ValueError, match="factors must be symmetric"):
        ProjectedGradientDescent().init(problem, Factors(np.eye(8), np.eye(8)))
    penalised = problem.with_penalty(GroupLasso(0.1, 0.1))
    with pytest.raises(ValueError, match="problem must have no penalty"):
        ProjectedGradientDescent().init(penalised, zero(8))
    with pytest.raises(ValueError, match="step_size"):
        ProjectedGradientDescent(-1.0)

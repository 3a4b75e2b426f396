"""Gauss-Newton: optimality of what it returns, honesty of its status, invariances."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanrank import Factors, simulate
from leanrank._arrays import to_numpy
from leanrank.linalg import conjugate_gradients
from leanrank.losses import Squared
from leanrank.operators import DenseSensing, FullObservation
from leanrank.penalties import GroupLasso, NoPenalty, Ridge
from leanrank.problem import Problem
from leanrank.results import Status
from leanrank.solvers import GaussNewton, _gauss_newton, iterate, solve

seeds = st.integers(0, 2**32 - 1)


def instances(seed: int, noise: float = 0.0, kappa: float = 5.0) -> list[simulate.Instance]:
    shared = {"noise": noise, "kappa": kappa, "random_state": seed}
    return [
        simulate.dense_sensing((8, 7), 2, oversampling=4, **shared),
        simulate.dense_sensing(9, 2, oversampling=4, symmetric=True, **shared),
        simulate.matrix_completion((30, 25), 2, oversampling=5, **shared),
        simulate.rank_one_sensing(9, 2, oversampling=5, symmetric=True, **shared),
        simulate.full_observation((8, 7), 2, **shared),
    ]


def near(instance: simulate.Instance, seed: int, size: float = 0.1) -> Factors:
    W = instance.truth.W
    step = np.random.default_rng(seed).standard_normal(W.shape)
    return instance.truth.with_stacked(W + size * np.linalg.norm(W) / W.size**0.5 * step)


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("kappa", [1.0, 1e3])
def test_recovers_the_truth_whatever_its_condition(kind, kappa):
    instance = instances(0, kappa=kappa)[kind]
    problem = Problem(instance.op, instance.y)
    scale = np.sqrt(problem.op.weight * np.sum(instance.y**2))
    result = solve(GaussNewton(), problem, near(instance, 1, 0.02), tol=1e-11 * scale)
    assert result.success, result.message
    assert instance.error(result.factors) < 1e-6
    assert result.n_iter < 60


@given(
    seeds, st.integers(0, 4), st.sampled_from([NoPenalty(), Ridge(0.01), GroupLasso(0.02, 0.01)])
)
def test_converged_means_stationary(seed, kind, penalty):
    instance = instances(seed, noise=0.1)[kind]
    problem = Problem(instance.op, instance.y, penalty)
    tol = 1e-6 / problem.gradient_scale
    result = solve(GaussNewton(), problem, near(instance, seed), tol=tol, max_iter=200)
    assert result.status is Status.CONVERGED
    fresh = Problem(instance.op, instance.y, penalty).evaluate(result.factors)
    assert fresh.gradient_norm <= 1.1e-6
    assert result.history[-1].value == pytest.approx(fresh.value)


@given(seeds, st.integers(0, 4), st.sampled_from([NoPenalty(), GroupLasso(0.05, 0.01)]))
def test_descends_and_measures_at_its_factors(seed, kind, penalty):
    instance = instances(seed, noise=0.1)[kind]
    problem = Problem(instance.op, instance.y, penalty)
    start = instance.truth.with_stacked(
        np.random.default_rng(seed).standard_normal((instance.truth.W.shape[0], 4))
    )
    states = list(itertools.islice(iterate(GaussNewton(), problem, start), 8))
    for before, after in itertools.pairwise(states):
        assert after.point.value < before.point.value or after.stalled
        assert after.passes > before.passes
        assert after.iteration == before.iteration + 1
    for state in states:
        fresh = Problem(instance.op, instance.y, penalty).evaluate(state.factors)
        assert state.point.value == pytest.approx(fresh.value)
        np.testing.assert_allclose(
            state.point.gradient, fresh.gradient, atol=1e-9 * (1 + np.abs(fresh.gradient).max())
        )


def test_converges_superlinearly_to_an_exact_fit():
    instance = instances(3)[0]
    problem = Problem(instance.op, instance.y)
    states = itertools.islice(iterate(GaussNewton(), problem, near(instance, 0)), 20)
    errors = [instance.error(state.factors) for state in states]
    fast = [b / a for a, b in itertools.pairwise(errors) if 1e-11 < a < 1e-2]
    assert min(fast) < 1e-2


def test_steps_are_pure():
    instance = instances(0, noise=0.1)[0]
    problem = Problem(instance.op, instance.y, Ridge(0.01))
    start = near(instance, 0)
    before = start.W.copy()
    start.W.flags.writeable = False
    solver = GaussNewton()
    state = solver.init(problem, start)
    first, second = solver.step(problem, state), solver.step(problem, state)
    np.testing.assert_array_equal(first.factors.W, second.factors.W)
    np.testing.assert_array_equal(start.W, before)
    assert first.iteration == second.iteration == state.iteration + 1


@given(seeds, st.integers(0, 4))
def test_equivariant_under_scaling_of_y(seed, kind):
    instance = instances(seed)[kind]
    c = 4.0
    start = near(instance, seed)
    one, other = (
        [
            state.factors.to_dense()
            for state in itertools.islice(iterate(GaussNewton(), Problem(instance.op, y), f), 3)
        ]
        for y, f in ((instance.y, start), (c * instance.y, start.scaled(c)))
    )
    for X, Y in zip(one, other, strict=True):
        np.testing.assert_allclose(Y, c * X, rtol=1e-6, atol=1e-6 * np.abs(Y).max())


@pytest.mark.parametrize("kind", range(5))
def test_the_constant_in_the_weights_does_not_matter(kind):
    instance = instances(1, noise=0.1)[kind]
    w = np.random.default_rng(0).uniform(0.2, 2.0, instance.op.size)
    one, other = (
        [
            state.factors.to_dense()
            for state in itertools.islice(
                iterate(
                    GaussNewton(damping=1.0),
                    Problem(instance.op, instance.y, loss=Squared(c * w)),
                    near(instance, 0),
                ),
                3,
            )
        ]
        for c in (1.0, 2.0**20)
    )
    for X, Y in zip(one, other, strict=True):
        np.testing.assert_allclose(Y, X, rtol=1e-6, atol=1e-6 * np.abs(X).max())


@given(seeds, st.integers(0, 4))
def test_invariant_under_rotation_of_the_start(seed, kind):
    instance = instances(seed)[kind]
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((2, 2)))[0]
    start = near(instance, seed)
    problem = Problem(instance.op, instance.y)
    one, other = (
        list(itertools.islice(iterate(GaussNewton(), problem, f), 3))[-1].factors.to_dense()
        for f in (start, start.with_stacked(start.W @ Q))
    )
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6 * np.abs(one).max())


@pytest.mark.parametrize("penalty", [NoPenalty(), Ridge(0.2), GroupLasso(0.3, 0.1)])
@pytest.mark.parametrize("symmetric", [False, True])
def test_a_step_is_that_of_the_dense_damped_equations(rng, symmetric, penalty):
    """With a column so small that it is damped by a millionth of the largest curvature."""
    n1, n2, mu = 6, 6 if symmetric else 5, 0.3
    W = rng.standard_normal((n1 if symmetric else n1 + n2, 3)) * [1.0, 0.3, 1e-4]
    factors = Factors.stacked(W, (n1, n2), symmetric)
    problem = Problem(FullObservation((n1, n2)), rng.standard_normal((n1, n2)), penalty)
    # Measurements are quadratic in W: differences give their derivative exactly.
    J = np.array(
        [
            problem.op.forward(factors.with_stacked(W + E)).ravel()
            - problem.op.forward(factors.with_stacked(W - E)).ravel()
            for E in np.eye(W.size).reshape(-1, *W.shape)
        ]
    ).T
    H = 0.5 * problem.op.weight * J.T @ J + np.diag(np.tile(penalty.weights(W), len(W)))
    columns = 0.5 * problem.op.weight * np.mean(np.sum(J * J, axis=0).reshape(W.shape), axis=0)
    D = np.tile(np.maximum(columns, 1e-6 * columns.max()), len(W))
    solver = GaussNewton(mu, forcing=1e-9, balance=False)
    state = solver.init(problem, factors)
    memory = replace(state.memory, scale=1e40 * problem.zero_loss)  # as if the fit were exact
    Z, predicted = solver._direction(problem, state.point, memory, mu)
    g = state.point.gradient.ravel()
    expected = -np.linalg.solve(H + mu * np.diag(D), g)
    far = np.linalg.norm(Z - expected.reshape(Z.shape), axis=0)
    assert np.all(far < 0.01 * np.linalg.norm(expected.reshape(Z.shape), axis=0))
    model = -g @ expected - 0.5 * expected @ H @ expected
    assert predicted == pytest.approx(model, rel=1e-2)
    trial, _ = solver._trial(problem, state.point, Z)
    np.testing.assert_array_equal(trial.factors.W, W + Z)


def with_direction(monkeypatch, predicted, sign=1.0):
    """A problem and solver whose direction is a gradient step, and the dampings that it tries."""
    dampings = []

    def direction(self, problem, point, memory, damping):
        dampings.append(damping)
        Z = -1e-3 * sign * point.gradient
        new = problem.evaluate(point.factors.with_stacked(point.factors.W + Z))
        return Z, predicted(point.value - new.value)

    monkeypatch.setattr(GaussNewton, "_direction", direction)
    instance = instances(0)[0]
    return Problem(instance.op, instance.y), near(instance, 0), dampings


@pytest.mark.parametrize(
    ("ratio", "factor"),
    [(0.76, 0.3), (5.0, 0.3), (0.74, 1.0), (0.26, 1.0), (0.2501, 1.0), (0.2499, 3.0), (1e-9, 3.0)],
)
def test_the_damping_follows_how_well_the_model_predicts(monkeypatch, ratio, factor):
    problem, start, _ = with_direction(monkeypatch, lambda decrease: decrease / ratio)
    solver = GaussNewton(0.5, balance=False)
    state = solver.step(problem, solver.init(problem, start))
    assert state.memory.damping == pytest.approx(0.5 * factor, rel=1e-12)
    # A model that predicts no decrease says nothing against the one that there was.
    for nothing in (0.0, -1.0):
        problem, start, _ = with_direction(monkeypatch, lambda decrease, p=nothing: p)
        state = solver.step(problem, solver.init(problem, start))
        assert state.memory.damping == pytest.approx(0.5 * 0.3, rel=1e-12)


@pytest.mark.parametrize(("damping", "second"), [(0.5, 2.0), (0.0, 1e-12)])
def test_what_does_not_descend_is_tried_with_more_damping(monkeypatch, damping, second):
    problem, start, dampings = with_direction(monkeypatch, abs, sign=-1.0)
    solver = GaussNewton(damping)
    state = solver.init(problem, start)
    after = solver.step(problem, state)
    np.testing.assert_allclose(dampings, [damping, *(second * 4.0**k for k in range(11))])
    assert "flat to rounding" in after.stalled
    assert (after.memory, after.point) == (state.memory, state.point)


@pytest.mark.parametrize(
    ("loss", "forcing", "tol"),
    [(1.0, 0.3, 0.3), (0.2**4, 0.3, 0.2), (0.2**4, 0.1, 0.1), (1e-20, 0.3, 1e-3)],
)
def test_the_inner_solve_is_as_accurate_as_the_fit(monkeypatch, loss, forcing, tol):
    asked = []

    def solver_of(hessian, b, precondition, *, tol, max_iter):
        asked.append((tol, max_iter))
        return conjugate_gradients(hessian, b, precondition, tol=tol, max_iter=max_iter)

    monkeypatch.setattr(_gauss_newton, "conjugate_gradients", solver_of)
    instance = instances(0)[0]
    problem = Problem(instance.op, instance.y)
    solver = GaussNewton(forcing=forcing)
    state = solver.init(problem, near(instance, 0))
    assert state.memory.scale == problem.zero_loss
    memory = replace(state.memory, scale=state.point.loss / loss)
    solver._direction(problem, state.point, memory, 0.1)
    assert asked == [(pytest.approx(tol), 200)]
    GaussNewton(max_inner=3)._direction(problem, state.point, memory, 0.1)
    assert asked[1][1] == 3
    # Where the solve before was no dearer than a tangent and a half, as the residual itself.
    for passes, cheap in ((1.5, True), (1.6, False)):
        again = replace(memory, inner=passes * state.memory.tangent.build_cost)
        solver._direction(problem, state.point, again, 0.1)
        fine = min(forcing, max(loss**0.5, 1e-6))
        assert asked[-1][0] == pytest.approx(fine if cheap else tol)


def test_where_inner_solves_are_cheap_convergence_is_quadratic():
    """Each step squares the error, up to a constant, until nothing but rounding is left."""
    instance = simulate.dense_sensing(30, 2, m=600, symmetric=True, random_state=3)
    problem = Problem(instance.op, instance.y)
    errors = []
    for state in itertools.islice(iterate(GaussNewton(), problem, near(instance, 0, 0.3)), 12):
        errors.append(state.factors.distance(instance.truth) / instance.truth.norm())
        if errors[-1] < 1e-13:
            break
    close = [e for e in errors if e < 1e-2]
    assert len(close) >= 3
    for now, then in itertools.pairwise(close):
        assert then <= max(20 * now**2, 1e-13)


def test_where_y_is_zero_there_is_nothing_to_fit():
    problem = Problem(FullObservation((4, 4)), np.zeros((4, 4)), Ridge(0.1))
    result = solve(GaussNewton(), problem, Factors(np.eye(4, 2)))
    assert result.success
    assert result.factors.norm() < 1e-8


@pytest.mark.parametrize("balance", [True, False])
def test_factors_are_balanced_where_asked(rng, balance):
    instance = instances(0)[0]
    problem = Problem(instance.op, instance.y)
    start = Factors(3.0 * instance.truth.U + 0.1, instance.truth.V / 3.0)
    solver = GaussNewton(balance=balance)
    state = solver.init(problem, start)
    np.testing.assert_allclose(state.factors.to_dense(), start.to_dense(), atol=1e-12)
    for own in (state, solver.step(problem, state)):
        U, V = own.factors.U, own.factors.V
        assert np.allclose(U.T @ U, V.T @ V, atol=1e-9) == balance


def test_statuses():
    instance = instances(0)[0]
    problem = Problem(instance.op, instance.y)
    assert solve(GaussNewton(), problem, instance.truth).n_iter == 1
    empty = Factors.empty(instance.op.shape)
    done = solve(GaussNewton(), problem, empty)
    assert done.status is Status.CONVERGED
    assert done.rank == 0
    state = GaussNewton().step(problem, GaussNewton().init(problem, empty))
    assert "no columns" in state.stalled
    few = solve(GaussNewton(), problem, near(instance, 0), max_iter=1, tol=1e-12)
    assert few.status is Status.MAX_ITER
    assert "after 1 steps" in few.message
    strict = solve(GaussNewton(), problem, near(instance, 0), tol=0.0)
    assert strict.status is Status.STALLED
    assert "flat to rounding" in strict.message
    asked = solve(GaussNewton(), problem, near(instance, 0), callbacks=[lambda state: True])
    assert asked.status is Status.STOPPED


def test_a_start_that_overflows_is_reported():
    problem = Problem(FullObservation((3, 3)), np.eye(3))
    with np.errstate(all="ignore"):
        result = solve(GaussNewton(balance=False), problem, Factors(np.full((3, 1), 1e160)))
    assert result.status is Status.DIVERGED
    assert not result.success


def test_zero_columns_stay_under_the_penalty():
    instance = instances(0, noise=0.1)[0]
    problem = Problem(instance.op, instance.y, GroupLasso(1.0, 0.01))
    f = near(instance, 0).append(Factors(np.zeros((8, 1)), np.zeros((7, 1))))
    result = solve(GaussNewton(balance=False), problem, f, tol=1e-7, max_iter=100)
    assert np.all(np.isfinite(result.factors.W))
    assert result.factors.column_norms()[2] == 0.0
    assert result.success


@pytest.mark.parametrize("symmetric", [False, True])
def test_other_array_libraries(convert, symmetric, rng):
    A, W = rng.standard_normal((60, 6, 6)), rng.standard_normal((6 if symmetric else 12, 2))
    truth = Factors.stacked(W, (6, 6), symmetric)
    step = rng.standard_normal(W.shape)
    out = []
    for c in (np.asarray, convert):
        op = DenseSensing(c(A), symmetric=symmetric)
        y = op.forward(truth.with_stacked(c(W)))
        start = truth.with_stacked(c(W + 0.05 * step))
        out.append(solve(GaussNewton(), Problem(op, y), start, tol=1e-8))
    assert out[1].success
    assert out[1].n_iter == out[0].n_iter
    np.testing.assert_allclose(to_numpy(out[1].factors.to_dense()), truth.to_dense(), atol=1e-7)

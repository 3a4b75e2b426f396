"""Perturbed descent against its definition, in the paper's own convention."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import initial, simulate
from leanrank._arrays import to_numpy
from leanrank.factors import Factors
from leanrank.operators import DenseSensing, FullObservation
from leanrank.problem import Problem
from leanrank.research.solvers import (
    FreshGaussianDescent,
    PerturbedSensingDescent,
    constant_perturbation,
    measurement_noise,
    random_perturbation,
    tilting_perturbation,
    unbalancing_perturbation,
)
from leanrank.results import Status
from leanrank.solvers import GradientDescent, iterate, solve


def last(states, count):
    for _, state in zip(range(count + 1), states, strict=False):
        final = state
    return final


def test_iterates_are_those_of_definition_2_1():
    rng = np.random.default_rng(0)
    eta, m, shape = 0.04, 9, (4, 3)
    Y = rng.standard_normal(shape)
    start = initial.gaussian(shape, 5, scale=0.3, random_state=1)
    stacks = [rng.standard_normal((m, *shape)) for _ in range(4)]
    tilts = [rng.standard_normal((7, 7)) for _ in range(4)]

    def measurements(k):
        return Problem(DenseSensing(stacks[k]), np.einsum("mij,ij->m", stacks[k], Y))

    solver = PerturbedSensingDescent(eta / 2, lambda k, factors: tilts[k], measurements)
    states = iterate(solver, Problem(FullObservation(shape), Y), start)
    next(states)
    U, V = start.U, start.V
    for k in range(4):
        A = stacks[k] / np.sqrt(m)
        R = np.einsum("m,mij->ij", np.einsum("mij,ij->m", A, Y - U @ V.T), A)
        E = tilts[k]
        U, V = (
            U + eta * R @ V + eta * (E[:4, :4] @ U + E[:4, 4:] @ V),
            V + eta * R.T @ U + eta * (E[4:, :4] @ U + E[4:, 4:] @ V),
        )
        state = next(states)
        np.testing.assert_allclose(state.factors.U, U, atol=1e-12)
        np.testing.assert_allclose(state.factors.V, V, atol=1e-12)
        # What a state carries is of the problem that is solved, not of the step's.
        assert state.point.loss == pytest.approx(np.sum((U @ V.T - Y) ** 2))


def test_without_perturbations_it_is_gradient_descent():
    inst = simulate.dense_sensing((6, 5), 1, m=40, random_state=0)
    start = initial.gaussian((6, 5), 4, scale=0.1, random_state=0)
    a = solve(GradientDescent(0.05), Problem(inst.op, inst.y), start, max_iter=50)
    b = solve(PerturbedSensingDescent(0.05), Problem(inst.op, inst.y), start, max_iter=50)
    np.testing.assert_array_equal(a.factors.W, b.factors.W)
    assert b.history.passes == a.history.passes


@pytest.mark.parametrize("symmetric", [True, False])
def test_noise_in_the_measurements_is_a_perturbation(symmetric):
    rng = np.random.default_rng(1)
    inst = simulate.dense_sensing((5, 5), 1, m=30, symmetric=symmetric, random_state=0)
    noise = rng.standard_normal(30)
    start = initial.gaussian((5, 5), 4, scale=0.3, symmetric=symmetric, random_state=0)
    noisy = Problem(inst.op, inst.y + noise)
    expected = last(iterate(GradientDescent(0.02), noisy, start), 20)
    perturbation = measurement_noise(inst.op, noise, symmetric=symmetric)
    solver = PerturbedSensingDescent(0.02, perturbation)
    found = last(iterate(solver, Problem(inst.op, inst.y), start), 20)
    np.testing.assert_allclose(found.factors.W, expected.factors.W, atol=1e-12)


def test_passes_over_changing_measurements_are_counted():
    inst = simulate.dense_sensing((6, 5), 1, m=40, random_state=0)
    other = Problem(inst.op, inst.y)
    solver = PerturbedSensingDescent(0.05, measurements=lambda k: other)
    problem = Problem(inst.op, inst.y)
    state = solver.init(problem, initial.gaussian((6, 5), 4, random_state=0))
    assert solver.step(problem, state).passes == 3
    # A problem that shares the meter counts itself.
    solver = PerturbedSensingDescent(0.05, measurements=lambda k: problem)
    assert solver.step(problem, state).passes == 5


def test_random_perturbations_repeat_and_have_their_norm():
    perturbation = random_perturbation(0.3, random_state=0)
    factors = initial.gaussian((6, 5), 4)
    first = perturbation(0, factors)
    np.testing.assert_array_equal(first, perturbation(0, factors))
    assert not np.allclose(first, perturbation(1, factors))
    assert np.linalg.norm(first, 2) == pytest.approx(0.3)


def test_error_is_proportional_to_the_perturbation():
    # For as long as xi t is small: the imbalance of U and V grows linearly in time.
    inst = simulate.full_observation((8, 8), 2, random_state=0)
    start = initial.gaussian((8, 8), 8, operator_norm=1e-4, random_state=1)
    E = np.random.default_rng(2).standard_normal((16, 16))
    E /= np.linalg.norm(E, 2)
    errors = []
    for xi in (1e-3, 1e-2):
        solver = PerturbedSensingDescent(0.1, constant_perturbation(xi * E))
        state = last(iterate(solver, Problem(inst.op, inst.y), start), 100)
        X = state.factors.to_dense()
        errors.append(np.linalg.norm(X - inst.truth.to_dense(), 2) / xi)
    assert errors[1] == pytest.approx(errors[0], rel=0.1)
    assert 0.2 < errors[0] < 1.2


# At kappa = 16 what is left after so few steps is a transient: 160 or 1.1 by the last bit.
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_breaks_the_balance_is_worse_at_a_worse_condition(seed):
    errors = []
    for kappa in (1.0, 4.0):
        inst = simulate.full_observation((8, 8), 3, kappa=kappa, random_state=seed)
        start = initial.gaussian((8, 8), 8, operator_norm=1e-4, random_state=1)
        solver = PerturbedSensingDescent(0.1, unbalancing_perturbation(inst.truth, 1e-2))
        E = solver.perturbation(0, start)
        assert np.linalg.norm(E, 2) == pytest.approx(1e-2)
        # It maps the aligned part of the strongest direction to the opposed one of the weakest.
        P, _, Q = inst.truth.svd()
        expected = np.concatenate([P[:, -1], -Q[:, -1]]) / np.sqrt(2)
        along = E @ np.concatenate([P[:, 0], Q[:, 0]]) / np.sqrt(2)
        np.testing.assert_allclose(along, 1e-2 * expected, atol=1e-12)
        state = last(iterate(solver, Problem(inst.op, inst.y), start), round(250 * kappa))
        X = state.factors.to_dense()
        errors.append(np.linalg.norm(X - inst.truth.to_dense(), 2) / 1e-2)
    assert errors[1] > 2.5 * errors[0]


@pytest.mark.parametrize("kappa", [1.0, 4.0])
def test_a_tilt_along_the_first_direction_is_an_error_of_its_size(kappa):
    inst = simulate.full_observation((8, 6), 2, kappa=kappa, random_state=0)
    start = initial.gaussian((8, 6), 8, operator_norm=1e-4, random_state=1)
    rng = np.random.default_rng(2)
    P, _, Q = inst.truth.svd()
    columns = [*rng.standard_normal((4, 14)), np.concatenate([P[:, 1], Q[:, 1]])]
    tilts = [np.outer(p, p) / (p @ p) for p in columns]
    xi, errors = 1e-2, []
    perturbations = [constant_perturbation(xi * E) for E in tilts]
    for perturbation in (tilting_perturbation(inst.truth, xi), *perturbations):
        assert np.linalg.norm(perturbation(0, start), 2) == pytest.approx(xi)
        solver = PerturbedSensingDescent(0.1, perturbation)
        state = last(iterate(solver, Problem(inst.op, inst.y), start), round(150 * kappa))
        X = state.factors.to_dense()
        errors.append(np.linalg.norm(X - inst.truth.to_dense(), 2) / xi)
    assert errors[0] == pytest.approx(1.0, rel=0.01)
    assert max(errors[1:]) < 1.02


@pytest.mark.parametrize(
    "make",
    [
        lambda E: PerturbedSensingDescent(0.1, E),
        lambda E: FreshGaussianDescent(0.1, 50, random_state=0, perturbation=E),
    ],
)
def test_what_is_no_perturbation_is_named(make):
    problem, start = Problem(FullObservation((3, 3)), np.eye(3)), Factors(np.eye(3), np.eye(3))
    with pytest.raises(TypeError, match=r"perturbation must be .* constant_perturbation\(E\)"):
        make(np.eye(6))
    # Each of these would be broadcast to something that is no E W.
    for E in (np.ones(6), np.ones((1, 6)), np.eye(3), None):
        solver = make(lambda k, factors, E=E: E)
        with pytest.raises(ValueError, match=r"perturbation must give matrices of shape \(6, 6\)"):
            solver.step(problem, solver.init(problem, start))
    with pytest.raises(TypeError, match="measurements must be a function"):
        PerturbedSensingDescent(0.1, measurements=[problem, problem])


def test_an_adversary_that_pushes_outwards_makes_it_diverge():
    inst = simulate.full_observation((5, 5), 1, random_state=0)
    solver = PerturbedSensingDescent(0.1, lambda k, f: 10 * np.eye(10) * (1 + np.sum(f.W * f.W)))
    start = initial.gaussian((5, 5), 5, random_state=0)
    result = solve(solver, Problem(inst.op, inst.y), start, max_iter=500)
    assert result.status is Status.DIVERGED


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: PerturbedSensingDescent(-1.0), "step_size"),
        (lambda: random_perturbation(-0.1), "size"),
        (lambda: measurement_noise(FullObservation((2, 2)), np.ones(3)), "^noise must have one"),
        (
            lambda: measurement_noise(FullObservation((3, 2)), np.ones(6), symmetric=True),
            "op must measure square matrices",
        ),
        (lambda: tilting_perturbation(Factors(np.zeros((2, 1))), 0.1), "target"),
        (lambda: unbalancing_perturbation(Factors(np.zeros((2, 1))), 0.1), "target"),
    ],
)
def test_errors_name_the_argument(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_other_array_libraries(convert):
    inst = simulate.dense_sensing((4, 3), 1, m=12, random_state=0)
    data = np.asarray(inst.op._data).reshape(12, 4, 3)
    start = initial.gaussian((4, 3), 2, scale=0.3, random_state=0)
    noise = np.random.default_rng(0).standard_normal(12)
    ends = []
    for wrap in (lambda x: x, convert):
        op = DenseSensing(wrap(data))
        problem, factors = Problem(op, wrap(inst.y)), Factors(wrap(start.U), wrap(start.V))
        for perturbation in (
            measurement_noise(op, wrap(noise)),
            random_perturbation(0.1, random_state=0),
            unbalancing_perturbation(Factors(wrap(inst.truth.U), wrap(inst.truth.V)), 0.1),
            tilting_perturbation(Factors(wrap(inst.truth.U), wrap(inst.truth.V)), 0.1),
        ):
            solver = PerturbedSensingDescent(0.02, perturbation)
            ends.append(to_numpy(last(iterate(solver, problem, factors), 3).factors.W))
    for a, b in zip(ends[:4], ends[4:], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)

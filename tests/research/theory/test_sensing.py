"""Step sizes and counts against descent itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leanrank import initial, simulate
from leanrank.operators import FullObservation
from leanrank.problem import Problem
from leanrank.research import theory
from leanrank.solvers import GradientDescent, iterate, solve


@pytest.mark.parametrize("symmetric", [True, False])
def test_stable_step_is_near_the_edge_of_stability(symmetric):
    inst = simulate.full_observation((8, 8), 2, symmetric=symmetric, random_state=0)
    problem = Problem(FullObservation((8, 8)), 3.0 * inst.truth.to_dense())
    start = initial.gaussian((8, 8), 8, scale=1e-3, symmetric=symmetric, random_state=1)
    step = theory.stable_step_size(3.0, symmetric=symmetric)
    run = {"tol": 1e-6, "max_iter": 2000}
    assert solve(GradientDescent(step), problem, start, **run).success
    assert not solve(GradientDescent(1.25 * step), problem, start, **run).success


def test_descent_steps_suffice_and_a_fifth_of_them_do_not():
    inst = simulate.full_observation((10, 10), 2, kappa=2.0, random_state=0)
    start = initial.gaussian((10, 10), 10, operator_norm=1e-3, random_state=1)
    steps = theory.descent_steps(0.05, 0.5, 1e-3)
    assert steps == math.ceil(2.5 / 0.05 * math.log(0.5e6))
    problem = Problem(inst.op, inst.y)
    errors = []
    for state in iterate(GradientDescent(0.05), problem, start):
        errors.append(inst.error(state.factors))
        if state.iteration == steps:
            break
    assert errors[-1] < 1e-4
    assert errors[steps // 5] > 0.1


def test_window_needs_a_tiny_start():
    first, last = theory.descent_window(0.0025, 1e-3, 100)
    assert first > last
    first, last = theory.descent_window(0.0025, 1e-10, 100, kappa=2.0)
    assert first < last
    assert first == pytest.approx(2 * math.log(1e12) / 0.01)
    assert last == pytest.approx(100 / math.sqrt(200e-10))


def test_bounds_scale_as_the_theorems_say():
    assert theory.implicit_error_bound(4e-4, 81) == pytest.approx(math.sqrt(4e-4 * 9))
    ratio = theory.implicit_error_bound(1e-4, 50) / theory.implicit_error_bound(1e-2, 50)
    assert ratio == pytest.approx(0.1)
    bound = theory.asymmetric_error_bound
    assert bound(2.0, 0.0, kappa=3.0, perturbation=0.1) == pytest.approx(0.3)
    assert bound(1.0, 1e-3) / bound(1.0, 1e-2) == pytest.approx(10 ** (-4 / 3))


def test_implicit_error_falls_with_the_condition_number():
    bound = theory.implicit_error_bound
    assert bound(4e-4, 81, kappa=3.0) == pytest.approx(bound(4e-4, 81) / 3)


def test_step_and_start_of_theorem_28_by_hand():
    step = theory.largest_step_size(2.0, 1e-2, kappa=4.0, c=1.0)
    assert 2 * step == pytest.approx(1 / (64 * 2 * math.log(0.5 / 1e-4)))
    start = theory.largest_start((30, 12), 3, 0.25, kappa=4.0, c=2.0)
    assert start == pytest.approx(2 * 0.5 / (16 + 4))
    assert theory.largest_start((12, 30), 3, 0.25, kappa=4.0, c=2.0) == start
    assert theory.largest_step_size(1.0, math.exp(-0.5)) == pytest.approx(
        theory.stable_step_size(1.0)
    )


@pytest.mark.parametrize("rank", [1, 4])
def test_descent_as_theorem_28_allows_it_keeps_to_its_bound(rank):
    inst = simulate.full_observation((8, 8), rank, kappa=1.0, random_state=0)
    norm = float(inst.truth.singular_values()[0])
    size = theory.largest_start((8, 8), rank, norm)
    start = initial.gaussian((8, 8), 8, operator_norm=size, random_state=1)
    step = theory.largest_step_size(norm, size)
    steps = theory.descent_steps(step, norm, size)
    problem = Problem(inst.op, inst.y)
    found = solve(GradientDescent(step), problem, start, tol=0.0, max_iter=steps)
    error = np.linalg.norm(found.factors.to_dense() - inst.truth.to_dense(), 2)
    assert error < 0.1 * theory.asymmetric_error_bound(norm, size)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: theory.descent_steps(0.1, 0.01, 0.5), "start must be below"),
        (lambda: theory.descent_steps(0.0, 1.0, 0.1), "step_size"),
        (lambda: theory.stable_step_size(0.0), "spectral_norm"),
        (lambda: theory.asymmetric_error_bound(1.0, 0.1, exponent=1.5), "exponent"),
        (lambda: theory.stable_step_size(1.0, c=0.0), "c must be"),
        (lambda: theory.largest_step_size(1.0, 1.5), "start must be below"),
        (lambda: theory.largest_start((5, 5), 6, 1.0), "rank"),
    ],
)
def test_errors_name_the_argument(call, match):
    with pytest.raises(ValueError, match=match):
        call()

"""Limits of gradient flow and the law of active columns against runs and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanrank import initial
from leanrank.factors import Factors
from leanrank.operators import FullObservation
from leanrank.problem import Problem
from leanrank.research import theory
from leanrank.solvers import GradientDescent, solve


def limit(start, truth, step=0.1):
    problem = Problem(FullObservation(truth.shape), truth.to_dense())
    # What of the start lies outside the matrix hardly moves: the gradient never vanishes.
    result = solve(GradientDescent(step), problem, start, tol=1e-14, max_iter=1500)
    assert result.history[-1].gradient_norm < 1e-6
    return result.factors.column_norms()


def truth_with(values, d=12, seed=0):
    Q = initial.orthonormal((d, d), len(values), symmetric=True, random_state=seed).U
    return Factors(Q * np.sqrt(np.array(values)))


@pytest.mark.parametrize("seed", range(3))
def test_equation_6_with_its_correction(seed):
    truth = truth_with([1.0], seed=seed)
    start = initial.gaussian((12, 12), 12, scale=1e-4, symmetric=True, random_state=seed + 10)
    measured = limit(start, truth)
    overlap = truth.U[:, 0] @ start.U
    printed = np.abs(overlap) / np.linalg.norm(overlap)
    assert theory.gradient_flow_limit_norms(start, truth, correction=False) == pytest.approx(
        printed
    )
    corrected = theory.gradient_flow_limit_norms(start, truth)
    assert np.max(np.abs(corrected / measured - 1)) < 1e-4
    assert np.max(np.abs(corrected / measured - 1)) < np.max(np.abs(printed / measured - 1))


def test_a_column_that_misses_the_matrix_keeps_its_own_length():
    truth = Factors(np.array([[1.0], [0.0], [0.0]]))
    start = Factors(1e-5 * np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]))
    assert theory.gradient_flow_limit_norms(start, truth) == pytest.approx([1.0, 2e-5])
    assert theory.gradient_flow_limit_norms(start, truth, correction=False)[1] == 0
    assert limit(start, truth) == pytest.approx([1.0, 2e-5], rel=1e-5)


def test_the_flow_shrinks_what_is_outside_along_the_rows_of_the_overlap():
    truth = Factors(np.eye(2, 1))
    start = Factors(1e-2 * np.array([[1.0, 0.0], [2.0, 0.0]]))
    assert theory.gradient_flow_limit_norms(start, truth) == pytest.approx([1.0, 0.0], abs=1e-8)
    assert limit(start, truth) == pytest.approx([1.0, 0.0], abs=1e-8)


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ([[1.0, 2.0], [0.0, 0.0]], [1, 2]),
        ([[0.0, 0.0], [1.0, 2.0]], [0.8, 1.6]),
        ([[1.0, 2.0], [2.0, 4.0]], [1, 2]),
        ([[0.0, 0.0], [0.0, 0.0]], [0, 0]),
        ([[1.0], [2.0]], [5**0.5]),
    ],
)
def test_directions_that_the_start_misses_are_not_found(overlap, expected):
    truth = Factors(np.array([[1.0, 0.0], [0.0, 0.8], [0.0, 0.0]]))
    start = Factors(1e-4 * np.array([*overlap, [0.0] * len(overlap[0])]))
    norms = theory.gradient_flow_limit_norms(start, truth)
    assert norms == pytest.approx(np.array(expected) / 5**0.5, abs=1e-8)
    if np.any(overlap):
        assert limit(start, truth) == pytest.approx(norms, abs=1e-6)


def test_rounding_errors_are_no_directions(rng):
    truth, lengths = truth_with([1.0, 0.6, 0.3]), rng.standard_normal(5)
    start = Factors(1e-3 * np.outer(rng.standard_normal(12), lengths))
    norms = theory.gradient_flow_limit_norms(start, truth)
    assert norms == pytest.approx(np.abs(lengths) / np.linalg.norm(lengths))


def test_rows_that_are_nearly_parallel_are_made_orthogonal():
    truth = Factors(np.diag([1.0, 0.5]))
    start = Factors(np.array([[1.0, 1.1], [1.0, 1.1 + 1e-9]]))
    rows = np.array([[1.0, 1.1], [-1.1, 1.0]]) / np.hypot(1.0, 1.1)
    expected = np.sqrt(rows[0] ** 2 + 0.25 * rows[1] ** 2)
    norms = theory.gradient_flow_limit_norms(start, truth)
    assert norms == pytest.approx(expected, rel=1e-13)


def test_a_direction_that_is_missed_disturbs_none_after_it():
    truth = Factors(np.diag([1.0, 0.9, 0.8]))
    start = Factors(1e-9 * np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]]))
    norms = theory.gradient_flow_limit_norms(start, truth)
    first, third = np.array([1.0, 2.0, 0.0]) / 5**0.5, np.array([-2.0, 1.0, 5.0]) / 30**0.5
    assert norms == pytest.approx(np.sqrt(first**2 + 0.64 * third**2))
    assert limit(start, truth) == pytest.approx(norms, rel=1e-3)


@pytest.mark.parametrize(
    "truth", [Factors.empty((3, 3), True, np.eye(3)), Factors(np.zeros((3, 2)))]
)
def test_without_a_matrix_the_start_stays(truth):
    start = Factors(1e-4 * np.array([[1.0, 2.0], [0.0, 0.0], [1.0, 0.0]]))
    norms = theory.gradient_flow_limit_norms(start, truth)
    assert norms == pytest.approx(start.column_norms())
    assert not theory.gradient_flow_limit_norms(start, truth, correction=False).any()


def test_general_rank_by_decreasing_eigenvalue():
    truth = truth_with([1.0, 0.6, 0.3])
    start = initial.gaussian((12, 12), 9, scale=1e-8, symmetric=True, random_state=1)
    predicted = theory.gradient_flow_limit_norms(start, truth)
    assert np.max(np.abs(predicted / limit(start, truth) - 1)) < 1e-3
    # In another order Gram and Schmidt would say something else.
    backwards = np.linalg.qr((truth.svd()[0].T @ start.U)[::-1].T)[0].T[::-1]
    wrong = np.sqrt((np.array([1.0, 0.6, 0.3])[:, None] * backwards**2).sum(axis=0))
    assert np.max(np.abs(wrong / predicted - 1)) > 0.03


def test_the_order_of_equal_eigenvalues_does_not_matter():
    truth = truth_with([1.0, 1.0, 0.5])
    start = initial.gaussian((12, 12), 9, scale=1e-8, symmetric=True, random_state=2)
    predicted = theory.gradient_flow_limit_norms(start, truth)
    assert np.max(np.abs(predicted / limit(start, truth) - 1)) < 1e-3
    turned = np.array([[0.6, 0.8], [-0.8, 0.6]])
    other = Factors(truth.U @ np.block([[turned, np.zeros((2, 1))], [np.zeros((1, 2)), 1.0]]))
    assert theory.gradient_flow_limit_norms(start, other) == pytest.approx(predicted)


@given(seed=st.integers(0, 1000), rank=st.integers(1, 4))
def test_squared_norms_sum_to_the_trace(seed, rank):
    rng = np.random.default_rng(seed)
    truth = truth_with(np.sort(rng.random(rank) + 0.1)[::-1], seed=seed)
    start = initial.gaussian((12, 12), 8, scale=1e-3, symmetric=True, random_state=seed)
    norms = theory.gradient_flow_limit_norms(start, truth, correction=False)
    assert np.sum(norms**2) == pytest.approx(truth.singular_values().sum())


def test_other_array_libraries(convert):
    truth = truth_with([1.0, 0.5])
    start = initial.gaussian((12, 12), 6, scale=1e-3, symmetric=True, random_state=3)
    norms = theory.gradient_flow_limit_norms(Factors(convert(start.W)), Factors(convert(truth.W)))
    assert type(norms) is type(convert(start.W))
    expected = theory.gradient_flow_limit_norms(start, truth)
    assert np.array([float(x) for x in norms]) == pytest.approx(expected)


@pytest.mark.parametrize("rank", [1, 4])
@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_expected_active_against_simulation(rank, level, rng):
    lengths = np.sqrt(rng.chisquare(rank, size=(4000, 60)))
    counts = (lengths >= level * lengths.max(axis=1, keepdims=True)).sum(axis=1)
    error = 4 * counts.std() / np.sqrt(counts.size)
    assert theory.expected_active(60, rank, level) == pytest.approx(counts.mean(), abs=error)


def test_the_level_of_theorem_1_shows_the_longest_column_only():
    counts = [theory.expected_active(k, 1, 0.99) for k in (50, 500, 50_000, 500_000)]
    assert counts == pytest.approx([1.06, 1.10, 1.20, 1.25], abs=0.01)
    shares = [theory.active_fraction(500, 4, x) for x in (0.3, 0.5, 0.7, 0.9)]
    assert shares == pytest.approx([0.801, 0.345, 0.071, 0.008], abs=0.015)


def test_all_columns_at_level_0_and_one_at_level_1():
    assert theory.expected_active(30, 2, 0.0) == pytest.approx(30)
    assert theory.expected_active(30, 2, 1.0) == pytest.approx(1)
    assert theory.expected_active(1, 2, 0.5) == 1


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda a, b: theory.gradient_flow_limit_norms(a, Factors(a.U, a.U)), "symmetric"),
        (lambda a, b: theory.gradient_flow_limit_norms(b, a), "start has shape"),
        (lambda a, b: theory.expected_active(0, 1, 0.5), "width"),
        (lambda a, b: theory.expected_active(5, 1, 1.5), "level"),
    ],
)
def test_errors_name_the_argument(call, match):
    with pytest.raises(ValueError, match=match):
        call(Factors(np.eye(4, 2)), Factors(np.eye(3, 2)))

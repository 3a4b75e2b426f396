"""Many small problems at once: the iterates of one after another."""

from itertools import islice

import numpy as np
import pytest

import leanrank as lr
from leanrank import initial
from leanrank.penalties import GroupLasso, Ridge
from leanrank.problem import Problem
from leanrank.research.solvers import descend_batch
from leanrank.solvers import GradientDescent, iterate

KINDS = {
    "packed": lambda seed: lr.simulate.dense_sensing(6, 2, m=50, symmetric=True, random_state=seed),
    "dense": lambda seed: lr.simulate.dense_sensing((5, 7), 2, m=60, random_state=seed),
    "full": lambda seed: lr.simulate.full_observation((5, 7), 2, random_state=seed),
    "full, symmetric": lambda seed: lr.simulate.full_observation(
        6, 2, symmetric=True, random_state=seed
    ),
}
PENALTIES = {"none": None, "lasso": GroupLasso(0.1, 0.01), "ridge": Ridge(0.2)}


def made(kind, seed, penalty=None, width=4):
    inst = KINDS[kind](seed)
    start = initial.gaussian(
        inst.op.shape, width, scale=0.3, symmetric=inst.truth.symmetric, random_state=seed
    )
    return Problem(inst.op, inst.y, penalty), start


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("kind", KINDS)
def test_iterates_are_those_of_gradient_descent(kind, penalty):
    problems, starts = zip(*(made(kind, i, PENALTIES[penalty]) for i in range(3)), strict=True)
    starts[0].W[:, 1] = 0.0
    *_, last = islice(descend_batch(problems, starts, 0.01, stride=7), 4)
    for problem, start, state in zip(problems, starts, last, strict=True):
        *_, alone = islice(iterate(GradientDescent(0.01), problem, start), 22)
        np.testing.assert_allclose(state.factors.W, alone.factors.W, rtol=1e-10, atol=1e-12)
        assert state.point.loss == pytest.approx(alone.point.loss, rel=1e-9)
        assert state.iteration == alone.iteration == 21


def test_symmetric_factors_of_general_measurements():
    inst = lr.simulate.dense_sensing((6, 6), 2, m=60, random_state=0)
    start = initial.gaussian((6, 6), 3, scale=0.3, symmetric=True, random_state=0)
    problem = Problem(inst.op, inst.y)
    *_, (state,) = islice(descend_batch([problem], [start], 0.005, stride=20), 2)
    *_, alone = islice(iterate(GradientDescent(0.005), problem, start), 21)
    np.testing.assert_allclose(state.factors.W, alone.factors.W, rtol=1e-10, atol=1e-12)


def test_factors_that_are_not_symmetric_over_packed_measurements():
    inst = lr.simulate.dense_sensing(6, 2, m=60, symmetric=True, random_state=0)
    start = initial.gaussian((6, 6), 3, scale=0.3, random_state=0)
    problem = Problem(inst.op, inst.y)
    *_, (state,) = islice(descend_batch([problem], [start], 0.005, stride=20), 2)
    *_, alone = islice(iterate(GradientDescent(0.005), problem, start), 21)
    np.testing.assert_allclose(state.factors.W, alone.factors.W, rtol=1e-10, atol=1e-12)


def test_the_number_of_threads_changes_nothing():
    problems, starts = zip(*(made("packed", i) for i in range(5)), strict=True)
    ends = []
    for threads in (1, 4):
        *_, last = islice(descend_batch(problems, starts, 0.01, threads=threads), 3)
        ends.append([state.factors.W for state in last])
    np.testing.assert_array_equal(*ends)


def test_single_precision_stays_single():
    inst = lr.simulate.dense_sensing(6, 2, m=50, symmetric=True, dtype=np.float32, random_state=0)
    start = initial.identity((6, 6), scale=0.1, symmetric=True)
    problem = Problem(inst.op, inst.y)
    *_, (state,) = islice(descend_batch([problem], [start], 0.01), 2)
    assert state.factors.W.dtype == np.float32
    *_, alone = islice(iterate(GradientDescent(0.01), problem, state.factors), 2)
    assert alone.point.loss < state.point.loss


def test_inputs_are_left_alone_and_passes_are_counted():
    problem, start = made("packed", 0)
    before = start.W.copy()
    *_, (state,) = islice(descend_batch([problem], [start], 0.01, stride=10), 3)
    np.testing.assert_array_equal(start.W, before)
    assert state.passes == 21


@pytest.mark.parametrize("threads", [1, 4])
def test_runs_of_one_problem_count_their_own_passes(threads):
    problem, start = made("packed", 0)
    run = descend_batch([problem] * 6, [start] * 6, 0.001, stride=10, threads=threads)
    for steps in (0, 10, 20):
        assert [state.passes for state in next(run)] == [1 + steps] * 6
        assert problem.passes == 6 * (1 + steps)


def test_a_run_that_diverges_leaves_the_others_alone():
    (wild, start), (tame, calm) = made("packed", 0), made("packed", 1)
    start = start.with_stacked(100 * start.W)
    *_, (lost, state) = islice(descend_batch([wild, tame], [start, calm], 0.01), 4)
    assert not lost.point.is_finite
    assert lost.iteration == 100
    assert state.point.is_finite
    assert state.iteration == 300


def test_input_that_cannot_be_right():
    problem, start = made("packed", 0)
    with pytest.raises(ValueError, match="one element for each of the 1 problems, got 2"):
        descend_batch([problem], [start, start], 0.01)
    with pytest.raises(ValueError, match=r"starts\[0\] must be of shape \(6, 6\)"):
        descend_batch([problem], [initial.gaussian((5, 5), 2, symmetric=True)], 0.01)
    entries = lr.simulate.matrix_completion((6, 6), 1, random_state=0)
    with pytest.raises(TypeError, match=r"problems\[0\] must be of DenseSensing"):
        descend_batch([Problem(entries.op, entries.y)], [start], 0.01)
    with pytest.raises(ValueError, match="step_size"):
        descend_batch([problem], [start], 0.0)
    with pytest.raises(ValueError, match="stride"):
        descend_batch([problem], [start], 0.01, stride=0)

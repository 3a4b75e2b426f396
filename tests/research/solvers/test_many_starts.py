"""Runs side by side are the runs one by one."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import initial, simulate
from leanrank._arrays import to_numpy
from leanrank.factors import Factors
from leanrank.operators import DenseSensing
from leanrank.penalties import GroupLasso
from leanrank.problem import Problem
from leanrank.research.solvers import descend_together
from leanrank.solvers import GradientDescent, iterate


def instances(symmetric):
    yield simulate.dense_sensing((6, 6), 2, m=40, symmetric=symmetric, random_state=0)
    yield simulate.rank_one_sensing((6, 6), 2, m=40, symmetric=symmetric, random_state=0)
    yield simulate.full_observation((6, 6), 2, symmetric=symmetric, random_state=0)


@pytest.mark.parametrize("symmetric", [True, False])
def test_states_are_those_of_gradient_descent(symmetric):
    for inst in instances(symmetric):
        problem = Problem(inst.op, inst.y, GroupLasso(0.1, 0.01))
        starts = [
            initial.gaussian((6, 6), k, scale=0.1, symmetric=symmetric, random_state=k)
            for k in (1, 6, 9)
        ]
        together = descend_together(problem, starts, 0.002)
        alone = [iterate(GradientDescent(0.002), problem, start) for start in starts]
        for _ in range(5):
            states = next(together)
            for state, run in zip(states, alone, strict=True):
                expected = next(run)
                assert state.iteration == expected.iteration
                assert state.point.loss == pytest.approx(expected.point.loss)
                np.testing.assert_allclose(
                    state.point.gradient, expected.point.gradient, atol=1e-12
                )
                np.testing.assert_allclose(
                    state.factors.W, expected.factors.W, rtol=1e-9, atol=1e-12
                )


def test_dense_measurements_are_read_once_for_all():
    inst = simulate.dense_sensing(6, 1, m=30, symmetric=True, random_state=0)
    problem = Problem(inst.op, inst.y)
    starts = [initial.identity((6, 6), scale=a, symmetric=True) for a in (0.1, 0.2, 0.3)]
    run = descend_together(problem, starts, 0.01)
    next(run)
    assert problem.passes == 1
    assert next(run)[2].passes == problem.passes == 2
    assert next(descend_together(problem, [], 0.01)) == []


def test_a_run_that_diverges_does_not_disturb_the_others():
    inst = simulate.dense_sensing(6, 1, m=60, symmetric=True, random_state=0)
    problem = Problem(inst.op, inst.y)
    starts = [initial.identity((6, 6), scale=a, symmetric=True) for a in (1e3, 0.01)]
    run = descend_together(problem, starts, 0.02)
    for _ in range(300):
        wild, tame = next(run)
    assert not wild.point.is_finite
    assert wild.iteration < 20
    assert tame.iteration == 299
    assert inst.error(tame.factors) < 0.05


def test_step_size_is_checked():
    inst = simulate.dense_sensing(4, 1, m=10, random_state=0)
    with pytest.raises(ValueError, match="step_size"):
        descend_together(Problem(inst.op, inst.y), [], 0.0)


@pytest.mark.parametrize("symmetric", [True, False])
def test_other_array_libraries(convert, symmetric):
    rng = np.random.default_rng(0)
    A, y, U = rng.standard_normal((9, 4, 4)), rng.standard_normal(9), rng.standard_normal((4, 2))
    ends = []
    for wrap in (np.asarray, convert):
        problem = Problem(DenseSensing(wrap(A), symmetric=symmetric), wrap(y))
        run = descend_together(problem, [Factors(wrap(U)), Factors(wrap(U / 2))], 0.01)
        next(run)
        ends.append([to_numpy(state.factors.W) for state in next(run)])
    np.testing.assert_allclose(ends[1], ends[0], atol=1e-12)

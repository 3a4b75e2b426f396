"""Results: their posterior, success, and conditions."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from leanrank import Result, Status, recover, simulate
from leanrank.results import RecoveryError


@pytest.fixture(scope="module")
def entries() -> Result:
    inst = simulate.matrix_completion((40, 30), 2, oversampling=4, noise=0.3, random_state=0)
    return recover(inst.op, inst.y)


@pytest.fixture(scope="module")
def dense() -> Result:
    inst = simulate.dense_sensing((8, 7), 1, m=80, noise=0.1, random_state=0)
    return recover(inst.op, inst.y)


@pytest.fixture(params=["entries", "dense"])
def result(request: pytest.FixtureRequest) -> Result:
    """With a posterior by sampling, and one by perturbed solves."""
    return replace(request.getfixturevalue(request.param))


def test_success_is_converged_or_approximate(dense):
    for status in Status:
        each = replace(dense, status=status)
        good = status in (Status.CONVERGED, Status.APPROXIMATE)
        assert each.success == bool(each) == good
        if good:
            assert each.raise_if_failed() is each
        else:
            with pytest.raises(RecoveryError, match=status.name):
                each.raise_if_failed()


def test_the_posterior_is_drawn_once_and_when_it_is_asked_for(result):
    drawn = []

    def sampler():
        drawn.append(1)
        return result.sampler()

    own = replace(result, sampler=sampler)
    assert drawn == []
    assert own.posterior is own.posterior
    assert drawn == [1]


def test_it_is_the_same_whenever_it_is_asked_for(result):
    one, two = replace(result).posterior, replace(result).posterior
    assert one is not two
    np.testing.assert_array_equal(one.left, two.left)
    np.testing.assert_array_equal(one.right, two.right)
    assert one.shape == result.factors.shape


def test_a_result_can_be_pickled_with_what_its_posterior_takes(result):
    back = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(back.posterior.left, result.posterior.left)
    np.testing.assert_array_equal(back.factors.W, result.factors.W)


def test_the_point_estimate_is_about_the_mean(result):
    X = result.factors.to_dense()
    away = np.linalg.norm(result.posterior.to_dense() - X) / np.linalg.norm(X)
    assert away < 0.1


def test_the_posterior_is_in_the_units_of_y(entries):
    inst = simulate.matrix_completion((40, 30), 2, oversampling=4, noise=0.3, random_state=0)
    larger = recover(inst.op, 1e6 * inst.y)
    i, j = np.arange(30), np.arange(30)
    for a, b in (
        (larger.posterior.std(i, j), entries.posterior.std(i, j)),
        (larger.posterior.mean(i, j), entries.posterior.mean(i, j)),
        (np.sqrt(larger.posterior.noise), np.sqrt(entries.posterior.noise)),
    ):
        np.testing.assert_allclose(a, 1e6 * b, rtol=1e-3, atol=1e3)


def test_a_run_that_was_stopped_has_none():
    inst = simulate.matrix_completion((40, 30), 2, oversampling=4, noise=0.3, random_state=0)
    stopped = recover(inst.op, inst.y, callbacks=[lambda state: True])
    assert stopped.status is Status.STOPPED
    with pytest.raises(ValueError, match=r"no posterior: it was stopped.*leanrank.posterior\(op"):
        _ = stopped.posterior


def test_that_of_zeros_is_zero():
    inst = simulate.matrix_completion((20, 15), 1, oversampling=4, random_state=0)
    post = recover(inst.op, 0.0 * inst.y).posterior
    assert not post.to_dense().any()
    assert not np.array(post.interval(np.arange(15), np.arange(15))).any()


def test_that_of_an_exact_fit_has_no_width():
    inst = simulate.matrix_completion((40, 30), 2, oversampling=4, random_state=0)
    result = recover(inst.op, inst.y)
    i, j = np.indices((40, 30))
    low, high = result.posterior.interval(i, j)
    assert np.max(high - low) < 1e-8 * np.abs(inst.truth.to_dense()).max()

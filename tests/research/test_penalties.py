"""The corrected penalty of quadratic networks: its derivatives, and what it leaves of the loss."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank.factors import Factors
from leanrank.operators import FullObservation, RankOneSensing
from leanrank.problem import Problem
from leanrank.research.penalties import TraceCorrectedLasso

rng = np.random.default_rng(0)


@pytest.mark.parametrize("zero", [False, True])
def test_derivatives_are_those_of_the_value(zero):
    penalty = TraceCorrectedLasso(0.3, 0.05, trace=2.0)
    W, Z = rng.standard_normal((2, 5, 3))
    if zero:
        W[:, 1] = 0.0
    h = 1e-5
    slope = (penalty.value(W + h * Z) - penalty.value(W - h * Z)) / (2 * h)
    assert np.sum(W * penalty.weights(W) * Z) == pytest.approx(slope, rel=1e-7)
    ends = [(W + s * h * Z) * penalty.weights(W + s * h * Z) for s in (1, -1)]
    np.testing.assert_allclose(penalty.hvp(W, Z), (ends[0] - ends[1]) / (2 * h), rtol=1e-5)


def test_curvature_at_zero():
    penalty = TraceCorrectedLasso(0.3, 0.05, trace=2.0)
    Z = rng.standard_normal((5, 3))
    np.testing.assert_allclose(penalty.hvp(np.zeros((5, 3)), Z), penalty.curvature_at_zero * Z)


def test_scaling_is_that_of_a_loss():
    penalty = TraceCorrectedLasso(0.3, 0.05, trace=2.0)
    W = rng.standard_normal((5, 3))
    scaled = penalty.scaled(4.0)
    assert scaled.value(2.0 * W) == pytest.approx(16.0 * penalty.value(W))


def test_with_many_samples_twice_the_loss_of_sensing_is_left():
    x = rng.standard_normal((200_000, 4))
    truth, U = Factors(rng.standard_normal((4, 1))), Factors(0.7 * rng.standard_normal((4, 2)))
    op = RankOneSensing(x)
    penalty = TraceCorrectedLasso(0.0, 0.01, trace=float(np.sum(truth.W**2)))
    network = Problem(op, op.forward(truth), penalty).evaluate(U)
    sensing = Problem(FullObservation((4, 4)), truth.to_dense()).evaluate(U)
    assert network.value == pytest.approx(2 * sensing.value, rel=0.05)
    np.testing.assert_allclose(network.gradient, 2 * sensing.gradient, atol=0.05 * 8 * 2)


def test_bad_numbers():
    with pytest.raises(ValueError, match="trace must be"):
        TraceCorrectedLasso(0.1, 0.1, trace=-1.0)

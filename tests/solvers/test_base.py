"""The protocol and its loop: what holds for every solver."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import initial, simulate
from leanrank.factors import Factors
from leanrank.operators import FullObservation, RankOneSensing
from leanrank.problem import Problem
from leanrank.solvers import (
    FreshGaussianDescent,
    GaussNewton,
    GradientDescent,
    PerturbedGradientDescent,
    PerturbedSensingDescent,
    ProjectedGradientDescent,
    RescaledGradientDescent,
    StochasticGradientDescent,
)


@pytest.mark.parametrize("number", [float, np.float64, np.float32])
@pytest.mark.parametrize(
    "make",
    [
        lambda c: GradientDescent(c(0.01)),
        lambda c: PerturbedGradientDescent(c(0.01), c(0.1), c(9.0), 1, c(0.2), random_state=0),
        lambda c: StochasticGradientDescent(c(0.01), 5, random_state=0),
        lambda c: FreshGaussianDescent(c(0.01), 5, random_state=0),
        lambda c: PerturbedSensingDescent(c(0.01)),
        lambda c: ProjectedGradientDescent(c(0.01)),
        lambda c: RescaledGradientDescent(c(0.01), c(1.0), c(5.0)),
        lambda c: GaussNewton(c(0.01), c(0.3)),
    ],
)
def test_float32_stays_whatever_numbers_the_parameters_are(make, number):
    solver = make(number)
    truth = Factors(np.eye(6, 1, dtype=np.float32))
    if isinstance(solver, RescaledGradientDescent):
        x = np.random.default_rng(0).standard_normal((60, 6), dtype=np.float32)
        op = RankOneSensing(x)
    elif isinstance(solver, FreshGaussianDescent):
        op = FullObservation((6, 6), reference=truth.W)
    else:
        op = simulate.dense_sensing(6, 1, m=60, symmetric=True, dtype=np.float32, random_state=0).op
    problem = Problem(op, op.forward(truth))
    start = initial.identity((6, 6), scale=0.1, symmetric=True, reference=truth.W)
    state = solver.step(problem, solver.init(problem, start))
    assert state.factors.W.dtype == np.float32

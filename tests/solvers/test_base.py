"""The protocol and its loop: what holds for every solver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leanrank import _checks, initial, simulate
from leanrank.factors import Factors
from leanrank.operators import FullObservation, RankOneSensing
from leanrank.problem import Problem
from leanrank.solvers import (
    LBFGS,
    FreshGaussianDescent,
    GaussNewton,
    GradientDescent,
    PerturbedGradientDescent,
    PerturbedSensingDescent,
    ProjectedGradientDescent,
    RescaledGradientDescent,
    StochasticGradientDescent,
)

SOLVERS = [
    GradientDescent(0.01),
    PerturbedGradientDescent(0.01, 0.1, 9.0, 1, random_state=0),
    StochasticGradientDescent(0.01, 5, random_state=0),
    PerturbedSensingDescent(0.01),
    ProjectedGradientDescent(0.01),
    GaussNewton(),
    LBFGS(),
]
"""Solvers for dense sensing."""

SEEDED = [
    lambda random_state: PerturbedGradientDescent(0.01, 0.1, 9.0, random_state=random_state),
    lambda random_state: StochasticGradientDescent(0.01, 5, random_state=random_state),
    lambda random_state: FreshGaussianDescent(0.01, 5, random_state=random_state),
]


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: type(solver).__name__)
def test_a_step_keeps_what_is_not_its_own(solver):
    inst = simulate.dense_sensing(6, 1, m=60, symmetric=True, random_state=0)
    problem = Problem(inst.op, inst.y)
    state = solver.init(problem, initial.identity((6, 6), scale=0.3, symmetric=True))
    state = solver.step(problem, replace(state, phase="refit", scale=7.0, iteration=4))
    assert (state.phase, state.scale, state.iteration) == ("refit", 7.0, 5)


@pytest.mark.parametrize("make", SEEDED)
@pytest.mark.parametrize("source", [np.random.default_rng, np.random.RandomState])
def test_a_solver_repeats_whatever_it_was_seeded_by(make, source):
    inst = simulate.full_observation(6, 1, symmetric=True, random_state=0)
    problem, start = Problem(inst.op, inst.y), initial.identity((6, 6), scale=0.3, symmetric=True)
    rng = source(0)
    solvers = make(rng), make(rng), make(source(0))
    left = rng.standard_normal()
    first, other, again, twin = (
        solver.step(problem, solver.init(problem, start)).factors.W
        for solver in (solvers[0], solvers[1], solvers[0], solvers[2])
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, twin)
    assert np.abs(first - other).max() > 0
    # One draw each, and none for looking at it.
    expected = source(0)
    for _ in range(2):
        _checks.generator(expected).integers(2**62)
    assert left == expected.standard_normal()


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

"""Instances of every kind, and dense references."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from leanrank import Factors, simulate
from leanrank.operators import Measurement
from leanrank.problem import Problem
from leanrank.solvers import GaussNewton, solve

KINDS = {
    "dense": lambda **kw: simulate.dense_sensing((7, 6), 2, m=90, **kw),
    "packed": lambda **kw: simulate.dense_sensing(8, 2, m=70, symmetric=True, **kw),
    "rank one": lambda **kw: simulate.rank_one_sensing((7, 6), 2, m=110, **kw),
    "entries": lambda **kw: simulate.matrix_completion((10, 9), 2, fraction=0.75, **kw),
    "full": lambda **kw: simulate.full_observation((7, 6), 2, **kw),
}

Make = Callable[..., simulate.Instance]


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Make:
    """Makes instances of one kind of measurements; tests run for each."""
    return KINDS[str(request.param)]


@pytest.fixture
def make_dense() -> Make:
    return KINDS["dense"]


@pytest.fixture(params=["packed", "dense"])
def make_either(request: pytest.FixtureRequest) -> Make:
    """Of a symmetric matrix, and of a general one."""
    return KINDS[request.param]


@pytest.fixture
def fitted() -> Callable[[simulate.Instance], Factors]:
    """Least squares at the true rank, from the truth."""

    def fit(instance: simulate.Instance) -> Factors:
        problem = Problem(instance.op, instance.y)
        state = solve(GaussNewton(), problem, instance.truth, tol=1e-11, max_iter=100)
        return state.factors.balance()

    return fit


@pytest.fixture
def jacobian() -> Callable[[Measurement, Factors], np.ndarray]:
    """The derivative of the measurements as a dense matrix, from differences of its own."""

    def dense(op: Measurement, factors: Factors) -> np.ndarray:
        # The measurements are quadratic in W, so that central differences are exact.
        columns = []
        for unit in np.eye(factors.W.size).reshape(-1, *factors.W.shape):
            up, down = (factors.with_stacked(factors.W + h * unit) for h in (0.5, -0.5))
            columns.append(op.forward(up) - op.forward(down))
        return np.array(columns).T

    return dense

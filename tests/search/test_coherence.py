"""Coherence: rows that a direction was spent on are told, left out, and estimated by the rest."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Factors, simulate
from leanrank.policy import Policy
from leanrank.problem import Problem
from leanrank.search import Fitter, Monitor
from leanrank.search.coherence import spent_rows, without_rows
from leanrank.search.growing import grow
from leanrank.solvers import GaussNewton


@pytest.mark.parametrize("shape", [(40, 30), (300, 200)])
@pytest.mark.parametrize("width", [1, 3, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_gaussian_rows_are_hardly_ever_spent_on(shape, width, symmetric):
    n1, n2 = (shape[0], 0) if symmetric else shape
    flagged = 0
    for seed in range(100):
        W = np.random.default_rng(seed).standard_normal((n1 + n2, width))
        flagged += spent_rows(Factors.stacked(W, (n1, n2 or n1), symmetric)).any()
    assert flagged <= 2 + 100 * (1 / n1 + (1 / n2 if n2 else 0))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_row_that_a_column_is_spent_on_is_told(rng, scale):
    """Whatever the sizes of columns: leverage is that of the space that they span."""
    W = rng.standard_normal((500, 3))
    W[:300, 1] = 0.0
    W[17] = [0.0, 1.0, 0.0]
    flags = spent_rows(Factors.stacked(W * [1.0, scale, 1.0], (300, 200), False))
    assert flags[17]
    assert flags.sum() == 1


def test_flagged_rows_become_zero(rng):
    factors = Factors(rng.standard_normal((3, 2)), rng.standard_normal((4, 2)))
    flags = np.arange(7) % 3 == 1
    np.testing.assert_array_equal(
        without_rows(factors, flags).W, np.where(flags[:, None], 0.0, factors.W)
    )


def completion(seed: int) -> Problem:
    """Completion of 400 x 400, rank 3, at twice the degrees of freedom."""
    instance = simulate.matrix_completion(400, 3, oversampling=2, random_state=seed)
    return Problem(instance.op, instance.y / np.sqrt(np.mean(instance.y**2)))


def fitter(freed: int = 3) -> Fitter:
    policy = Policy(most_freed=freed)
    return Fitter(GaussNewton(), np.random.default_rng(0), Monitor(), policy)


def test_growing_is_trapped_by_rows_and_freed_from_them():
    """As many as half of the problems have rows that trap it."""
    exact = {0: 0, 3: 0}
    for seed in range(20, 30):
        problem = completion(seed)
        for freed in exact:
            nothing = Factors.empty(problem.op.shape)
            stages = list(grow(problem, nothing, fitter(freed), "x", max_width=3))
            exact[freed] += stages[-1].exact
    assert exact[3] >= 8
    assert exact[0] <= exact[3] - 3


def test_the_best_of_the_fits_is_returned(monkeypatch):
    """Where freeing does not help, nothing is lost by the attempt."""
    problem = completion(1)
    stage = list(grow(problem, Factors.empty((400, 400)), fitter(0), "x", max_width=3))[-1]
    assert spent_rows(stage.factors).any()
    losses = []
    kept = Fitter._fit_within

    def worse(self, problem, factors, index, phase):
        point = kept(self, problem, factors, index, phase)
        if losses:
            point = problem.evaluate(point.factors.scaled(1.0 + 0.5 * len(losses)))
        else:
            point = stage.point
        losses.append(point.loss)
        return point

    monkeypatch.setattr(Fitter, "_fit_within", worse)
    point = fitter().fit_well_observed(problem, stage.factors, "x")
    assert 1 < len(losses) <= 4
    assert point.loss == min(losses)

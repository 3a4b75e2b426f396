"""Choosing: how often measurements are held out, and what is refitted in the end."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Factors, simulate
from leanrank.problem import Problem
from leanrank.search import Fitter, GrowAndPenalise, Monitor, Paths, choosing
from leanrank.search.choosing import best_predicting, of_rank
from leanrank.search.holding_out import Split, split
from leanrank.solvers import GaussNewton


def paths_of(instance, max_width=4, seed=0) -> Paths:
    problem = Problem(instance.op, instance.y / np.sqrt(np.mean(instance.y**2)))
    own = Fitter(GaussNewton(), np.random.default_rng(seed), Monitor())
    return Paths(problem, False, max_width, GrowAndPenalise(), own)


def explored(paths: Paths, share: float) -> tuple[Split, list]:
    data = split(paths.problem, share, np.random.default_rng(1))[0]
    stages = list(paths.stages(data.train, "explore", 4, greedy=True))
    return data, [data.assess(stage) for stage in stages]


@pytest.mark.parametrize(("held", "again"), [(999, True), (1000, False)])
@pytest.mark.parametrize("may_split", [True, False])
def test_few_held_out_measurements_are_held_out_in_turn(monkeypatch, held, again, may_split):
    instance = simulate.full_observation((50, 40), 2, noise=0.2, random_state=0)
    paths = paths_of(instance)
    data, stages = explored(paths, held / 2000)
    assert data.held.op.size == held
    asked = []

    def counted(problem, share, rng, rounds):
        asked.append((problem, share, rounds))
        return split(problem, share, rng, rounds)

    monkeypatch.setattr(choosing, "split", counted)
    choice = best_predicting(paths, data, stages, may_split=may_split)
    expected = [(paths.problem, 0.25, 2)]  # of 2000 measurements and more, a quarter, twice
    assert asked == (expected if again and may_split else [])
    assert choice.factors.width == 2
    # The noise is a fifth of the matrix.
    assert choice.held_out_error == pytest.approx(0.2 / np.sqrt(1.04), rel=0.1)


def test_below_two_thousand_a_tenth_is_held_out_five_times(monkeypatch):
    instance = simulate.full_observation((43, 46), 2, noise=0.2, random_state=0)
    paths = paths_of(instance)
    assert instance.op.size == 1978
    asked = []

    def counted(problem, share, rng, rounds):
        asked.append((share, rounds))
        return split(problem, share, rng, rounds)

    monkeypatch.setattr(choosing, "split", counted)
    best_predicting(paths, *explored(paths, 0.05), may_split=True)
    assert asked == [(0.1, 5)]


def test_what_is_refitted_comes_from_all_measurements():
    instance = simulate.full_observation((30, 20), 2, noise=0.2, random_state=0)
    paths = paths_of(instance)
    data, stages = explored(paths, 0.05)
    choice = best_predicting(paths, data, stages, may_split=True)
    assert choice.penalty is None
    assert choice.factors is stages[2].factors
    before = paths.fitter.monitor.column_norms["before pruning"]
    assert len(before) == stages[-1].width == 4
    np.testing.assert_allclose(before, stages[-1].factors.balance().column_norms())


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_of_a_rank_that_is_known(rank):
    instance = simulate.full_observation((30, 20), 2, noise=0.2, random_state=0)
    found = of_rank(paths_of(instance), rank)
    U, s, Vt = np.linalg.svd((instance.y / np.sqrt(np.mean(instance.y**2))).reshape(30, 20))
    best = (U[:, :rank] * s[:rank]) @ Vt[:rank]
    assert found.width == rank
    assert np.linalg.norm(found.to_dense() - best) < 0.02 * np.linalg.norm(best)


def test_of_a_rank_that_measurements_hardly_determine():
    found = 0
    for seed in range(6):
        instance = simulate.dense_sensing((12, 9), 2, m=46, random_state=seed)
        paths = paths_of(instance)
        assert paths.are_few(2)
        factors = of_rank(paths, 2)
        assert factors.width <= 2
        found += paths.problem.is_exact(paths.problem.evaluate(factors))
    assert found >= 4


class Stuck:
    """A strategy whose path is not exact, and whose other stages and second thoughts are told."""

    def __init__(self, grown: Factors, other: Factors, better: Factors) -> None:
        self.grown, self.other, self.better = grown, other, better

    def _stage(self, problem, factors):
        point = problem.evaluate(factors)
        return choosing.Stage(point, problem.is_exact(point))

    def stages(self, problem, symmetric, fitter, phase, *, max_width, greedy):
        assert greedy
        yield self._stage(problem, self.grown)

    def reconsidered(self, problem, stages, fitter, phase, *, max_width):
        return [self._stage(problem, self.better)]

    def other_stages(self, problem, stages, fitter, *, max_width, most):
        yield self._stage(problem, self.other)


@pytest.mark.parametrize("m", [20, 80])
def test_where_a_rank_is_known_other_stages_count_if_they_are_exact_and_narrow(rng, m):
    one = Factors(rng.standard_normal((10, 1)), rng.standard_normal((8, 1)))
    two = one.append(Factors(np.zeros((10, 1)), np.zeros((8, 1))))
    scaled = one.scaled(0.9)
    op = simulate.ObservedEntries(*np.divmod(np.arange(m), 8), (10, 8))
    own = Fitter(GaussNewton(), np.random.default_rng(0), Monitor())
    half = one.scaled(0.5)
    cases = [(half, one, one), (half, two, scaled), (half, scaled, scaled), (one, None, None)]
    for grown, other, few in cases:
        strategy = Stuck(grown, other, scaled)
        paths = Paths(Problem(op, op.forward(one)), False, 4, strategy, own)
        assert paths.are_few(1) == (m < 48)
        # What was grown is not doubted if it is exact, or measurements are many.
        assert of_rank(paths, 1) is (few if m < 48 and grown is half else grown)

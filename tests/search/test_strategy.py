"""Strategies: recover takes what one proposes, and chooses by itself."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import leanrank as lr
from leanrank import Factors, Status, recover, simulate
from leanrank.search import Fitter, Stage, Strategy, strategy
from leanrank.search.growing import leading_columns


class Known(Strategy):
    """Proposes the leading columns of factors that somebody knows."""

    def __init__(self, factors: Factors, scale: float) -> None:
        self.factors = factors.scaled(1.0 / scale).balance()
        self.asked: list[tuple[str, int, bool]] = []

    def check(self, problem, symmetric, rank) -> None:
        if symmetric:
            raise ValueError("symmetric must be left out: these factors are not")

    def stages(self, problem, symmetric, fitter, phase, *, max_width, greedy):
        self.asked.append((phase, max_width, greedy))
        for k in range(1 + min(max_width, self.factors.width)):
            yield fitter.stage(problem, leading_columns(self.factors, k), phase)

    def remark(self, rank: int, fitter: Fitter) -> str:
        return f"rank {rank} was known"


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_one_of_ones_own(noise):
    inst = simulate.dense_sensing((12, 9), 2, m=180, noise=noise, random_state=0)
    scale = float(np.sqrt(np.mean(inst.y**2)))
    own = Known(inst.truth, scale)
    result = recover(inst.op, inst.y, strategy=own)
    assert (result.rank, result.status) == (2, Status.CONVERGED)
    assert result.message.endswith("; rank 2 was known")
    assert own.asked[0][0] == "explore"
    assert {phase for phase, _, _ in own.asked[1:]} == ({"validate"} if noise else set())
    assert all(greedy == (phase == "validate") for phase, _, greedy in own.asked)
    assert recover(inst.op, inst.y, strategy=own, width=1).rank == 1
    assert max(most for _, most, _ in own.asked[-1:]) == 1


def test_where_measurements_are_few_a_path_is_walked_back_from_the_middle_strength(monkeypatch):
    inst = simulate.dense_sensing((12, 9), 2, m=60, random_state=0)
    problem = lr.Problem(inst.op, inst.y)
    stages = [Stage(problem.evaluate(leading_columns(inst.truth, k)), False) for k in (0, 1)]
    own = SimpleNamespace(policy=lr.Policy())

    def penalise_wide(given, base, fitter, strength, *, max_width):
        assert (given, base, fitter, max_width) == (problem, stages[0].point, own, 5)
        assert strength == sorted(lr.Policy().strengths)[1]
        return inst.truth

    def walk_back(given, path, wide, fitter, phase):
        assert (given, path, wide, fitter, phase) == (problem, stages, inst.truth, own, "x")
        return ["walked"]

    monkeypatch.setattr(strategy, "penalise_wide", penalise_wide)
    monkeypatch.setattr(strategy, "walk_back", walk_back)
    found = strategy.GrowAndPenalise().reconsidered(problem, stages, own, "x", max_width=5)
    assert found == ["walked"]


def test_it_may_refuse():
    inst = simulate.dense_sensing(12, 2, m=180, symmetric=True, random_state=0)
    with pytest.raises(ValueError, match="symmetric must be left out"):
        recover(inst.op, inst.y, symmetric=True, strategy=Known(inst.truth, 1.0))


class Proposal:
    """Has stages, and nothing else that recover asks for."""

    def stages(self, problem, symmetric, fitter, phase, *, max_width, greedy):
        return iter(())


def test_something_that_is_none():
    inst = simulate.dense_sensing((12, 9), 2, m=180, random_state=0)
    with pytest.raises(TypeError, match="strategy must be a Strategy"):
        recover(inst.op, inst.y, strategy="deep")
    for proposed in (Known, Proposal()):
        with pytest.raises(TypeError, match="strategy must be a Strategy"):
            recover(inst.op, inst.y, strategy=proposed)
    with pytest.raises(ValueError, match="penalty must be left out"):
        recover(inst.op, inst.y, strategy=Known(inst.truth, 1.0), penalty=lr.Ridge(0.1))


def test_stages_know_how_well_they_predict():
    inst = simulate.dense_sensing((12, 9), 2, m=180, random_state=0)
    point = lr.Problem(inst.op, inst.y).evaluate(inst.truth)
    assert Stage(point, True).held_out == np.inf
    assert Stage(point, True, np.array([1.0, 3.0])).held_out == 2.0

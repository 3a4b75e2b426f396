"""Paths: how wide they may be, what counts as few measurements, and what is asked then."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Factors
from leanrank.operators import ObservedEntries
from leanrank.policy import Policy
from leanrank.problem import Problem
from leanrank.search import Fitter, Monitor, Paths
from leanrank.solvers import GaussNewton


class Recorded:
    """A strategy that writes down what it is asked."""

    def __init__(self):
        self.asked = []

    def stages(self, problem, symmetric, fitter, phase, **options):
        self.asked.append(("stages", phase, options))
        return iter(())

    def reconsidered(self, problem, stages, fitter, phase, **options):
        self.asked.append(("reconsidered", phase, options))
        return ["better"]

    def other_stages(self, problem, stages, fitter, **options):
        self.asked.append(("others", options))
        return iter(["other"])


def paths(m=60, start=None, max_width=3):
    """On m of 80 entries."""
    op = ObservedEntries(*np.divmod(np.arange(m), 8), (10, 8))
    own = Fitter(GaussNewton(), np.random.default_rng(0), Monitor(), Policy())
    return Paths(Problem(op, np.ones(m)), False, max_width, Recorded(), own, start)


@pytest.mark.parametrize(("m", "few"), [(47, True), (48, False)])
def test_few_is_less_than_one_and_a_half_times_the_unknowns_of_twice_the_width(m, few):
    # A matrix of rank two has 2 (10 + 8 - 2) = 32 of them.
    own = paths(m)
    assert own.are_few(1) is few
    stage = own.fitter.stage(own.problem, Factors(np.ones((10, 1)), np.ones((8, 1))), "x")
    assert own.reconsidered(own.problem, [stage], "again") == (["better"] if few else [stage])
    asked = [("reconsidered", "again", {"max_width": 3})]
    assert own.strategy.asked == (asked if few else [])


@pytest.mark.parametrize(("m", "width"), [(18, 0), (19, 1), (35, 1), (36, 2)])
def test_the_widest_has_nine_tenths_of_the_measurements_as_unknowns(m, width):
    # 17 of rank one, 32 of rank two.
    own = paths(m)
    assert own.widest(own.problem) == width


def test_no_path_is_wider_than_the_widest_asked_for():
    own = paths(max_width=3)
    for most, width in ((2, 2), (3, 3), (9, 3)):
        list(own.stages(own.problem, "explore", most, greedy=True))
        assert own.strategy.asked[-1] == ("stages", "explore", {"max_width": width, "greedy": True})
        assert own.others([], most) == ["other"]
        assert own.strategy.asked[-1] == ("others", {"max_width": 3, "most": width})
    list(own.stages(own.problem, "grow", 1))
    assert own.strategy.asked[-1] == ("stages", "grow", {"max_width": 1, "greedy": False})


def test_a_start_takes_the_place_of_the_strategy():
    own = paths(start=Factors(np.ones((10, 1)), np.ones((8, 1))))
    stages = list(own.stages(own.problem, "explore", 2))
    assert [(stage.width, stage.exact) for stage in stages] == [(0, False), (1, True)]
    assert own.strategy.asked == []
    assert own.nothing().width == 0

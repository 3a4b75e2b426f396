"""Penalising: the columns that are needed stay, and a start that was too narrow is doubled."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest

from leanrank import Factors, GroupLasso, simulate
from leanrank.policy import Policy
from leanrank.problem import Problem
from leanrank.search import Fitter, Monitor, Stage, penalising
from leanrank.search.penalising import penalise, penalise_wide, stages_by_penalising
from leanrank.solvers import GaussNewton, State

KINDS = {
    "dense": lambda **kw: simulate.dense_sensing((12, 9), 3, m=250, **kw),
    "packed": lambda **kw: simulate.dense_sensing(12, 3, m=150, symmetric=True, **kw),
    "entries": lambda **kw: simulate.matrix_completion((25, 20), 3, fraction=0.7, **kw),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def fitter(**monitor) -> Fitter:
    return Fitter(GaussNewton(), np.random.default_rng(0), Monitor(**monitor))


def posed(kind: str) -> tuple[simulate.Instance, Problem, Stage]:
    """An instance of unit loss at the zero matrix, and that stage."""
    instance = KINDS[kind](random_state=0)
    problem = Problem(instance.op, instance.y / np.sqrt(np.mean(instance.y**2)))
    nothing = Factors.empty(instance.op.shape, instance.truth.symmetric)
    return instance, problem, Stage(problem.evaluate(nothing), False)


@kinds
@pytest.mark.parametrize("strength", [0.02, 0.004])
def test_exactly_the_columns_that_are_needed_stay(kind, strength):
    instance, problem, nothing = posed(kind)
    own = fitter(scale=4.0)
    factors = penalise(problem, nothing.point, own, width=8, strength=strength)
    assert factors.width == 3
    size = np.sqrt(np.mean(instance.y**2))
    assert instance.error(factors.scaled(size)) < 0.2
    after = own.monitor.column_norms["after pruning"]
    np.testing.assert_allclose(after, 2.0 * factors.column_norms())
    assert 6 < own.monitor.history[0].width <= 8
    assert fitter().fit(problem, factors, "x").point.loss < 1e-20


@kinds
def test_too_strong_a_penalty_empties_every_column(kind):
    _, problem, nothing = posed(kind)
    assert penalise(problem, nothing.point, fitter(), width=8, strength=5.0).width == 0


@pytest.mark.parametrize(
    ("left", "asked"),
    [
        # Of what is left of each start, at most 0.8 may be left; the widest is ceil(1.4 * 20).
        ([8], [10]),
        ([9, 16], [10, 20]),
        ([9, 17, 28], [10, 20, 28]),
    ],
)
def test_the_start_doubles_until_pruning_finds_enough_to_prune(left, asked, monkeypatch):
    widths: list[int] = []

    def pretended(problem, base, fitter, *, width, strength):
        widths.append(width)
        k = left[len(widths) - 1]
        return Factors(np.ones((25, k)), np.ones((20, k)))

    monkeypatch.setattr(penalising, "penalise", pretended)
    small = Problem(
        simulate.ObservedEntries([0], [0], (40, 40)),
        np.ones(1),
    )
    found = penalise_wide(
        small, small.evaluate(Factors.empty((40, 40))), fitter(), 0.02, max_width=20
    )
    assert widths == asked
    assert found.width == left[-1]


def test_no_start_is_wider_than_the_matrix(monkeypatch):
    _, problem, nothing = posed("dense")
    widths = []

    def pretended(problem, base, fitter, *, width, strength):
        widths.append(width)
        return Factors(np.ones((12, width)), np.ones((9, width)))

    monkeypatch.setattr(penalising, "penalise", pretended)
    penalise_wide(problem, nothing.point, fitter(), 0.02, max_width=20)
    assert widths == [9]


@pytest.mark.parametrize("grown", [1, 4])
def test_strong_penalties_first_and_from_the_last_good_stage(grown, monkeypatch):
    """After a path of more than three stages the last but one is a start, too."""
    _, problem, nothing = posed("entries")
    U = np.eye(25, 3), np.eye(20, 3)
    stages = [nothing] + [
        Stage(problem.evaluate(Factors(U[0][:, :k], U[1][:, :k])), False) for k in range(1, grown)
    ]
    tried = []

    def pretended(problem, base, fitter, strength, *, max_width):
        tried.append((base.factors.width, strength))
        return Factors(np.ones((25, 9)), np.ones((20, 9)))

    monkeypatch.setattr(penalising, "penalise_wide", pretended)
    found = list(stages_by_penalising(problem, stages, fitter(), max_width=8, most=8))
    assert found == []
    strong, middle, weak = Policy().strengths
    if grown == 1:
        assert tried == [(0, strong), (0, middle), (0, weak)]
    else:
        first, second = Policy().strengths_from_last
        assert tried == [(2, first), (0, strong), (2, second), (0, middle), (0, weak)]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_the_last_but_one_is_a_start_where_there_are_more_than_three(length, monkeypatch):
    _, problem, nothing = posed("entries")
    U, V = np.eye(25, 5), np.eye(20, 5)
    grown = [nothing] + [
        Stage(problem.evaluate(Factors(U[:, :k], V[:, :k])), False) for k in range(1, length)
    ]
    tried = []

    def pretended(problem, base, fitter, strength, *, max_width):
        tried.append(base.factors.width)
        return Factors(U, V)

    monkeypatch.setattr(penalising, "penalise_wide", pretended)
    assert list(stages_by_penalising(problem, grown, fitter(), max_width=8, most=4)) == []
    assert set(tried) == ({0, length - 2} if length > 3 else {0})


@pytest.mark.parametrize(("most", "grown"), [(4, False), (5, True), (6, True)])
def test_what_is_wider_than_may_be_is_not_grown_on(most, grown, monkeypatch):
    _, problem, nothing = posed("entries")
    five = Factors(np.eye(25, 5), np.eye(20, 5))
    asked = []

    def grow(problem, factors, fitter, phase, *, max_width):
        asked.append((factors, phase, max_width))
        return iter(())

    monkeypatch.setattr(penalising, "penalise_wide", lambda *args, **options: five)
    monkeypatch.setattr(penalising, "grow", grow)
    list(stages_by_penalising(problem, [nothing], fitter(), max_width=8, most=most))
    assert asked == ([(five, "grow", most)] * 3 if grown else [])


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_penalty_is_relative_to_what_is_left(symmetric, monkeypatch, rng):
    op = simulate.FullObservation((7, 7))
    problem = Problem(op, rng.standard_normal(49))
    base = problem.evaluate(Factors.empty((7, 7), symmetric))
    seen = []

    def emptied(problem, start, penalty, fitter):
        seen.append((start.width, penalty))
        return start

    monkeypatch.setattr(penalising, "_emptied", emptied)
    penalise(problem, base, fitter(), width=3, strength=0.02)
    # A column of a matrix of the residual's size, of which all is seen.
    size = np.linalg.norm(base.residual)
    column = np.sqrt(size if symmetric else 2.0 * size)
    ((width, penalty),) = seen
    assert width == 3
    assert penalty.strength == pytest.approx(0.02 * base.loss / column, rel=1e-12)
    assert penalty.smoothing == pytest.approx((0.05 * column) ** 2, rel=1e-12)


@pytest.mark.parametrize("shape", [(7, 7), (9, 3)])
def test_the_size_of_what_is_left_costs_one_reading(shape, monkeypatch, rng):
    op = simulate.DenseSensing(rng.standard_normal((60, *shape)))
    problem = Problem(op, rng.standard_normal(60))
    point = problem.evaluate(Factors.empty(shape))
    read, forward = [], type(op).forward

    def counted(op, factors):
        read.append(factors.shape)
        return forward(op, factors)

    monkeypatch.setattr(type(op), "forward", counted)
    before = problem.passes
    penalising._typical_size(problem, point, fitter())
    assert problem.passes - before == len(read) == 1


@dataclass(frozen=True)
class Scripted:
    """A solver whose values, and norms of whose last column, are as told."""

    values: tuple[float, ...]
    last: tuple[float, ...] = ()
    damping: float = 0.0
    max_inner: int = 0
    inner: list[int] = field(default_factory=list)

    def init(self, problem: Problem, factors: Factors, step: int = 0) -> State:
        point = replace(problem.evaluate(factors), value=self.values[step])
        return State(point, step, problem.passes, SimpleNamespace(damping=0.7))

    def step(self, problem: Problem, state: State) -> State:
        self.inner.append(self.max_inner)
        step = state.iteration + 1
        W = np.array(state.factors.W)
        W[:, -1] *= (self.last[step - 1] if step <= len(self.last) else 1.0) / np.linalg.norm(
            W[:, -1]
        )
        return self.init(problem, state.factors.with_stacked(W), step)


def emptied(monkeypatch, script: Scripted, **policy) -> tuple[list[int], Factors]:
    """Widths on the way, and what is left; the pruning threshold is one."""
    monkeypatch.setattr(penalising, "PENALISED", script)
    problem = Problem(simulate.FullObservation((5, 4)), np.ones(20))
    own = Fitter(GaussNewton(), np.random.default_rng(0), Monitor(), Policy(**policy))
    start = Factors(np.eye(5, 3), np.eye(4, 3))
    penalty = GroupLasso(0.1, 0.25)
    assert penalty.prune_threshold == 1.0
    left = penalising._emptied(problem, start, penalty, own)
    return [record.width for record in own.monitor.history], left


@pytest.mark.parametrize(("last", "steps"), [(0.9989, 8), (0.9991, 4)])
def test_emptying_ends_where_three_steps_change_nothing(monkeypatch, last, steps):
    values = (1.0, 1.0, 1.0, last, *[0.5 * last] * 200)
    assert len(emptied(monkeypatch, Scripted(values))[0]) == steps


def test_emptying_has_its_steps(monkeypatch):
    falling = tuple(0.9**k for k in range(200))
    script = Scripted(falling)
    assert len(emptied(monkeypatch, script)[0]) == 150
    assert set(script.inner) == {100}  # of conjugate gradients in each
    assert len(emptied(monkeypatch, Scripted(falling), penalised_steps=7)[0]) == 7


def test_columns_that_vanish_on_the_way_are_dropped(monkeypatch):
    script = Scripted((1.0,) * 9, last=(0.101, 0.099))
    # The third column is kept at a tenth of the threshold and more; dropping it begins anew.
    widths, left = emptied(monkeypatch, script)
    assert widths[:3] == [3, 3, 2]
    assert left.width == 2
    np.testing.assert_allclose(left.column_norms()[0], np.sqrt(2.0))


def test_it_ends_with_the_first_exact_fit():
    _, problem, nothing = posed("entries")
    stages = list(stages_by_penalising(problem, [nothing], fitter(), max_width=8, most=8))
    assert [stage.exact for stage in stages][-1] is True
    assert not any(stage.exact for stage in stages[:-1])
    assert stages[-1].width == 3

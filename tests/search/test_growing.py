"""Paths: fits go down, growing ends where it should, penalising leaves the right columns."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leanrank import Factors, simulate
from leanrank.factors import degrees_of_freedom
from leanrank.penalties import GroupLasso
from leanrank.problem import Problem
from leanrank.search.growing import (
    Monitor,
    StopRun,
    append_leading,
    fit,
    fit_core_first,
    grow,
    paid,
    penalise,
    prune_recorded,
    retreat,
    widest,
)
from leanrank.solvers import LBFGS, GaussNewton

KINDS = {
    "dense": lambda **kw: simulate.dense_sensing((12, 9), 3, m=250, **kw),
    "packed": lambda **kw: simulate.dense_sensing(12, 3, m=150, symmetric=True, **kw),
    "entries": lambda **kw: simulate.matrix_completion((25, 20), 3, fraction=0.7, **kw),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def posed(kind: str, **options) -> tuple[simulate.Instance, Problem]:
    """An instance whose y has unit loss at the zero matrix, as in the pipeline."""
    instance = KINDS[kind](random_state=0, **options)
    return instance, Problem(instance.op, instance.y / np.sqrt(np.mean(instance.y**2)))


def empty(instance: simulate.Instance) -> Factors:
    return Factors.empty(instance.op.shape, instance.truth.symmetric)


@kinds
@pytest.mark.parametrize("solver", [GaussNewton(), LBFGS()])
@pytest.mark.parametrize("penalty", [None, GroupLasso(0.02, 0.01)])
def test_fit_never_increases_the_objective(kind, solver, penalty, rng):
    instance, problem = posed(kind, noise=0.2)
    if penalty is not None:
        problem = problem.with_penalty(penalty)
    W = 0.3 * rng.standard_normal((instance.truth.W.shape[0], 4))
    monitor = Monitor()
    state = fit(problem, instance.truth.with_stacked(W), solver, monitor, "name")
    values = np.array(monitor.history.column("value"))
    assert (np.diff(values) <= 0).all()
    assert state.point.value == values[-1]
    assert {record.phase for record in monitor.history} == {"name"}
    assert len(values) <= 61
    assert len(fit_limited(problem, instance, W, solver)) == 3


def fit_limited(problem, instance, W, solver):
    monitor = Monitor()
    fit(problem, instance.truth.with_stacked(W), solver, monitor, "x", max_iter=2, progress=1.0)
    return monitor.history


@kinds
def test_growing_ends_with_an_exact_fit_of_the_true_rank(kind, rng):
    instance, problem = posed(kind, kappa=5.0)
    stages = list(grow(problem, empty(instance), GaussNewton(), Monitor(), rng, max_width=8))
    assert [stage.width for stage in stages] == [0, 1, 2, 3]
    assert [stage.exact for stage in stages] == [False] * 3 + [True]
    losses = [stage.point.loss for stage in stages]
    assert losses == sorted(losses, reverse=True)
    assert stages[-1].held_out == math.inf


@kinds
@pytest.mark.parametrize("greedy", [True, False])
def test_growing_to_noise(kind, greedy, rng):
    """Unless it is to go on, it ends one column after the last that paid."""
    instance, problem = posed(kind, noise=0.1)
    stages = list(
        grow(problem, empty(instance), GaussNewton(), Monitor(), rng, max_width=5, greedy=greedy)
    )
    widths = [stage.width for stage in stages]
    assert not any(stage.exact for stage in stages)
    assert widths[-1] == (5 if greedy else 4)


def test_no_column_pays_on_noise():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        op = simulate.DenseSensing(rng.standard_normal((400, 12, 9)))
        problem = Problem(op, rng.standard_normal(400))
        before = problem.evaluate(Factors.empty((12, 9)))
        after = fit(
            problem,
            append_leading(problem, before, rng, 1),
            GaussNewton(),
            Monitor(),
            "x",
            progress=1.0,
        ).point
        assert after.loss < before.loss
        assert not paid(before, after, 400)


def test_what_pays_is_measured_by_its_degrees_of_freedom(rng):
    instance, problem = posed("dense", noise=0.1)
    before, after = (problem.evaluate(f) for f in (empty(instance), instance.truth))
    share = degrees_of_freedom((12, 9), 3) / 250
    limit = min(2.6 * share, 0.6)
    for drop, worth in ((0.9 * limit, False), (1.1 * limit, True)):
        object.__setattr__(after, "loss", (1.0 - drop) * before.loss)
        assert paid(before, after, 250) is worth


@kinds
@pytest.mark.parametrize("strength", [0.02, 0.004])
def test_penalising_leaves_exactly_the_columns_that_are_needed(kind, strength, rng):
    instance, problem = posed(kind)
    monitor = Monitor(scale=4.0)
    factors = penalise(
        problem, problem.evaluate(empty(instance)), rng, monitor, width=8, strength=strength
    )
    assert factors.width == 3
    size = np.sqrt(np.mean(instance.y**2))
    assert instance.error(factors.scaled(size)) < 0.2
    after = monitor.column_norms["after pruning"]
    np.testing.assert_allclose(after, 2.0 * factors.column_norms())
    assert 6 < monitor.history[0].width <= 8
    assert fit(problem, factors, GaussNewton(), Monitor(), "x").point.loss < 1e-20


@kinds
def test_too_strong_a_penalty_empties_every_column(kind, rng):
    instance, problem = posed(kind)
    factors = penalise(
        problem, problem.evaluate(empty(instance)), rng, Monitor(), width=8, strength=5.0
    )
    assert factors.width == 0


@kinds
def test_appended_columns_lower_the_loss(kind, rng):
    instance, problem = posed(kind, noise=0.1)
    point = problem.evaluate(empty(instance))
    for _ in range(3):
        wider = append_leading(problem, point, rng, 1)
        assert wider.width == point.factors.width + 1
        after = problem.evaluate(wider)
        assert after.loss < point.loss
        # The step along the column is the best one.
        for factor in (0.95, 1.05):
            new = wider.W[:, -1:] * math.sqrt(factor)
            W = np.concatenate([point.factors.W, new], axis=1)
            assert problem.evaluate(wider.with_stacked(W)).loss > after.loss
        point = after


def test_columns_are_appended_only_where_they_descend(rng):
    instance, problem = posed("packed")
    at_truth = problem.evaluate(instance.truth)
    assert append_leading(problem, at_truth, rng, 0).width == 3
    zero = problem.evaluate(empty(instance))
    assert append_leading(problem, zero, rng, 2, least=1e6).width == 0
    negative = Problem(simulate.FullObservation((4, 4)), -np.eye(4))
    start = negative.evaluate(Factors.empty((4, 4), True))
    assert append_leading(negative, start, rng, 2).width == 0


def test_widest_spends_at_most_its_share():
    op = simulate.ObservedEntries(np.arange(100) // 10, np.arange(100) % 10, (40, 30))
    for fill in (0.9, 2.0, 5.0):
        k = widest(op, False, fill)
        assert degrees_of_freedom((40, 30), k) <= fill * 100
        assert degrees_of_freedom((40, 30), k + 1) > fill * 100
    assert widest(simulate.FullObservation((4, 4)), True, 0.6) == 3
    assert widest(simulate.FullObservation((4, 4)), True, 10.0) == 4


def test_a_row_that_is_hardly_seen_does_not_trap_the_fit(rng):
    """It is left out of the fit, and then told by the rest."""
    truth = Factors(rng.standard_normal((12, 2)), rng.standard_normal((10, 2)))
    mask = np.ones((12, 10), dtype=bool)
    mask[11, 2:] = False
    op = simulate.ObservedEntries(*np.nonzero(mask), (12, 10))
    problem = Problem(op, op.forward(truth))
    start = truth.with_stacked(truth.W + 0.1 * rng.standard_normal(truth.W.shape))
    monitor = Monitor()
    sizes = []
    monitor.callbacks = (lambda state: sizes.append(state.point.residual.size),)
    point = fit_core_first(problem, start, GaussNewton(), monitor, "x")
    assert sizes[0] == 110
    assert sizes[-1] == 112
    assert point.factors.distance(truth) < 1e-9 * truth.norm()
    assert point.residual.size == 112


def test_pruning_is_recorded_in_the_units_of_y():
    factors = Factors(np.diag([3.0, 0.1, 2.0]))
    monitor = Monitor(scale=100.0)
    assert prune_recorded(factors, 0.5, monitor).width == 2
    np.testing.assert_allclose(monitor.column_norms["before pruning"], [30.0, 1.0, 20.0])
    np.testing.assert_allclose(monitor.column_norms["after pruning"], [30.0, 20.0])


def test_a_monitor_stops_when_any_callback_says_so():
    instance, problem = posed("dense")
    asked = []
    monitor = Monitor(
        callbacks=(lambda state: True, lambda state: asked.append(state.iteration)), scale=3.0
    )
    with pytest.raises(StopRun):
        fit(problem, instance.truth, GaussNewton(), monitor, "x")
    assert asked == [0]
    assert monitor.best is not None
    assert len(monitor.history) == 1


def test_walking_back_keeps_the_better_fit_of_each_width(rng):
    instance = simulate.rank_one_sensing(20, 2, m=80, symmetric=True, noise=0.1, random_state=11)
    problem = Problem(instance.op, instance.y / np.sqrt(np.mean(instance.y**2)))
    tools = (GaussNewton(), Monitor())
    stages = list(grow(problem, empty(instance), *tools, rng, max_width=4, greedy=True))
    wide = penalise(problem, stages[0].point, rng, Monitor(), width=10, strength=0.004)
    back = retreat(problem, stages, wide, *tools, "back")
    assert [stage.width for stage in back] == [stage.width for stage in stages]
    losses = [(new.point.loss, old.point.loss) for new, old in zip(back, stages, strict=True)]
    assert all(new <= old for new, old in losses)
    assert any(new < 0.5 * old for new, old in losses)
    for stage in back:
        assert stage.point.loss == problem.evaluate(stage.factors).loss
    alone = retreat(problem, stages, empty(instance), *tools, "back")
    assert [stage.point.loss for stage in alone] == [stage.point.loss for stage in stages]

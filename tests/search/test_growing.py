"""Growing: it ends where it should, by columns that pay; walking back keeps the better fits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leanrank import Factors, simulate
from leanrank.factors import degrees_of_freedom
from leanrank.losses import Squared
from leanrank.penalties import GroupLasso
from leanrank.policy import Policy
from leanrank.problem import Problem
from leanrank.search import Fitter, Monitor, Stage, StopRun
from leanrank.search.growing import (
    append_leading,
    grow,
    is_significant,
    leading_columns,
    stages_from,
    walk_back,
    widest,
)
from leanrank.search.penalising import penalise
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


def fitter(solver=None, seed: int = 0, **monitor) -> Fitter:
    rng = np.random.default_rng(seed)
    return Fitter(GaussNewton() if solver is None else solver, rng, Monitor(**monitor))


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
    own = fitter(solver)
    state = own.fit(problem, instance.truth.with_stacked(W), "name")
    values = np.array(own.monitor.history.column("value"))
    assert (np.diff(values) <= 0).all()
    assert state.point.value == values[-1]
    assert {record.phase for record in own.monitor.history} == {"name"}
    assert len(values) <= 61
    assert len(fit_limited(problem, instance, W, solver)) == 3


def fit_limited(problem, instance, W, solver):
    own = fitter(solver)
    own.fit(problem, instance.truth.with_stacked(W), "x", max_iter=2, progress=1.0)
    return own.monitor.history


@kinds
def test_growing_ends_with_an_exact_fit_of_the_true_rank(kind):
    instance, problem = posed(kind, kappa=5.0)
    stages = list(grow(problem, empty(instance), fitter(), "grow", max_width=8))
    widths = [stage.width for stage in stages]
    assert (widths[0], widths[-1]) == (0, 3)
    assert widths == sorted(set(widths))
    assert [stage.exact for stage in stages] == [False] * (len(stages) - 1) + [True]
    losses = [stage.point.loss for stage in stages]
    assert losses == sorted(losses, reverse=True)
    assert stages[-1].held_out == math.inf


@kinds
@pytest.mark.parametrize("greedy", [True, False])
def test_growing_to_noise(kind, greedy):
    """Unless it is to go on, it ends one column after the last that paid."""
    instance, problem = posed(kind, noise=0.1)
    stages = list(grow(problem, empty(instance), fitter(), "grow", max_width=5, greedy=greedy))
    widths = [stage.width for stage in stages]
    assert not any(stage.exact for stage in stages)
    assert widths[-1] == (5 if greedy else 4)


@pytest.mark.parametrize("greedy", [True, False])
def test_columns_that_stand_clear_of_noise_come_at_once(greedy):
    """Unless each width is of interest."""
    for seed in range(5):
        instance = simulate.dense_sensing(40, 4, m=800, symmetric=True, random_state=seed)
        problem = Problem(instance.op, instance.y / np.sqrt(np.mean(instance.y**2)))
        stages = list(grow(problem, empty(instance), fitter(), "x", max_width=9, greedy=greedy))
        assert [stage.width for stage in stages] == ([0, 1, 2, 3, 4] if greedy else [0, 4])
        assert stages[-1].exact


def test_at_most_so_many_columns_come_at_once(rng):
    U = np.linalg.qr(rng.standard_normal((200, 14)))[0]
    problem = Problem(simulate.FullObservation((200, 200)), U @ U.T)
    start = Factors.empty((200, 200), symmetric=True)
    stages = grow(problem, start, fitter(), "x", max_width=20)
    assert [stage.width for stage in stages] == [0, 10, 14]


@pytest.mark.parametrize("shape", [(60, 60), (120, 30)])
@pytest.mark.parametrize(("share", "taken"), [(0.8, 1), (1.25, 3)])
def test_columns_that_noise_blurs_too_much_are_not_among_them(shape, share, taken):
    """Around the threshold of Gavish and Donoho (2014), under noise on every entry."""
    n1, n2 = shape
    beta = n2 / n1
    root = 8 * beta / (beta + 1 + math.sqrt(beta**2 + 14 * beta + 1))
    shown = share * math.sqrt(n1 * (2 * (beta + 1) + root))
    # A singular value s of the matrix shows as sqrt((s^2 + n1) (s^2 + n2)) / s.
    half = (shown**2 - n1 - n2) / 2
    size = math.sqrt(half + math.sqrt(half**2 - n1 * n2)) if share > 1 else 0.0
    widths = []
    for seed in range(11):
        rng = np.random.default_rng(seed)
        P, Q = (np.linalg.qr(rng.standard_normal((n, 3)))[0] for n in shape)
        problem = Problem(
            simulate.FullObservation(shape), size * P @ Q.T + rng.standard_normal(shape)
        )
        stages = grow(problem, Factors.empty(shape), fitter(seed=seed), "x", max_width=6)
        next(stages)
        widths.append(next(stages).width)
    assert np.median(widths) == taken


def test_no_column_pays_on_noise():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        op = simulate.DenseSensing(rng.standard_normal((400, 12, 9)))
        problem = Problem(op, rng.standard_normal(400))
        before = problem.evaluate(Factors.empty((12, 9)))
        own = fitter(seed=seed)
        after = own.fit(problem, append_leading(problem, before, own, 1), "x", progress=1.0).point
        assert after.loss < before.loss
        assert not is_significant(before, after, problem, Policy())


def test_what_pays_is_measured_by_its_degrees_of_freedom(rng):
    instance, problem = posed("dense", noise=0.1)
    before, after = (problem.evaluate(f) for f in (empty(instance), instance.truth))
    share = degrees_of_freedom((12, 9), 3) / 250
    limit = min(2.6 * share, 0.6)
    for drop, worth in ((0.9 * limit, False), (1.1 * limit, True)):
        object.__setattr__(after, "loss", (1.0 - drop) * before.loss)
        assert is_significant(before, after, problem, Policy()) is worth


@kinds
def test_appended_columns_lower_the_loss(kind):
    instance, problem = posed(kind, noise=0.1)
    point = problem.evaluate(empty(instance))
    for _ in range(3):
        wider = append_leading(problem, point, fitter(), 1)
        assert wider.width == point.factors.width + 1
        after = problem.evaluate(wider)
        assert after.loss < point.loss
        # The step along the column is the best one.
        for factor in (0.95, 1.05):
            new = wider.W[:, -1:] * math.sqrt(factor)
            W = np.concatenate([point.factors.W, new], axis=1)
            assert problem.evaluate(wider.with_stacked(W)).loss > after.loss
        point = after


def test_columns_are_appended_only_where_they_descend():
    instance, problem = posed("packed")
    at_truth = problem.evaluate(instance.truth)
    assert append_leading(problem, at_truth, fitter(), 0).width == 3
    zero = problem.evaluate(empty(instance))
    assert append_leading(problem, zero, fitter(), 2, least=1e6).width == 0
    negative = Problem(simulate.FullObservation((4, 4)), -np.eye(4))
    start = negative.evaluate(Factors.empty((4, 4), True))
    assert append_leading(negative, start, fitter(), 2).width == 0


@pytest.mark.parametrize(("weakest", "taken"), [(0.99e-3, 2), (1.01e-3, 3)])
def test_columns_far_weaker_than_the_strongest_are_not_appended(weakest, taken):
    X = np.diag([1.0, 0.5, weakest, 0.0])
    problem = Problem(simulate.FullObservation((4, 4)), X)
    start = problem.evaluate(Factors.empty((4, 4)))
    assert append_leading(problem, start, fitter(), 4).width == taken


@pytest.mark.parametrize(("width", "more"), [(7, 1), (8, 2), (16, 3)])
def test_wide_factors_grow_by_several_columns_at_once(width, more, rng):
    truth = Factors(rng.standard_normal((40, 30)), rng.standard_normal((35, 30)))
    problem = Problem(simulate.FullObservation((40, 35)), truth.to_dense())
    start = leading_columns(truth.balance(), width)
    stages = grow(problem, start, fitter(), "grow", max_width=30, greedy=True)
    assert [next(stages).width, next(stages).width] == [width, width + more]


@pytest.mark.parametrize("max_width", [1, 2])
def test_what_is_as_wide_as_may_be_does_not_grow(max_width):
    instance, problem = posed("dense", noise=0.1)
    start = leading_columns(instance.truth.balance(), 2)
    stages = grow(problem, start, fitter(), "grow", max_width=max_width, greedy=True)
    assert next(stages).width == 2
    before = problem.passes
    assert next(stages, None) is None
    assert problem.passes == before  # nothing is read to find that out


def test_widest_spends_at_most_its_share():
    op = simulate.ObservedEntries(np.arange(100) // 10, np.arange(100) % 10, (40, 30))
    problem = Problem(op, np.ones(100))
    for fill in (0.9, 2.0, 5.0):
        k = widest(problem, False, fill)
        assert degrees_of_freedom((40, 30), k) <= fill * 100
        assert degrees_of_freedom((40, 30), k + 1) > fill * 100
    full = Problem(simulate.FullObservation((4, 4)), np.ones((4, 4)))
    assert widest(full, True, 0.6) == 3
    assert widest(full, True, 10.0) == 4
    half = Problem(op, np.ones(100), loss=Squared(np.repeat([1.0, 1e-6], 50)))
    assert widest(half, False, 4.0) == widest(problem, False, 2.0)


def test_a_row_that_is_hardly_seen_does_not_trap_the_fit(rng):
    """It is left out of the fit, and then told by the rest."""
    truth = Factors(rng.standard_normal((12, 2)), rng.standard_normal((10, 2)))
    mask = np.ones((12, 10), dtype=bool)
    mask[11, 2:] = False
    op = simulate.ObservedEntries(*np.nonzero(mask), (12, 10))
    problem = Problem(op, op.forward(truth))
    start = truth.with_stacked(truth.W + 0.1 * rng.standard_normal(truth.W.shape))
    sizes = []
    own = fitter(callbacks=(lambda state: sizes.append(state.point.residual.size),))
    point = own.fit_well_observed(problem, start, "x")
    assert sizes[0] == 110
    assert sizes[-1] == 112
    assert point.factors.distance(truth) < 1e-9 * truth.norm()
    assert point.residual.size == 112


def test_pruning_is_recorded_in_the_units_of_y():
    factors = Factors(np.diag([3.0, 0.1, 2.0]))
    monitor = Monitor(scale=100.0)
    assert monitor.prune(factors, 0.5).width == 2
    np.testing.assert_allclose(monitor.column_norms["before pruning"], [30.0, 1.0, 20.0])
    np.testing.assert_allclose(monitor.column_norms["after pruning"], [30.0, 20.0])


def test_a_monitor_stops_when_any_callback_says_so():
    instance, problem = posed("dense")
    asked = []
    monitor = Monitor(
        callbacks=(lambda state: True, lambda state: asked.append(state.iteration)), scale=3.0
    )
    with pytest.raises(StopRun):
        Fitter(GaussNewton(), np.random.default_rng(0), monitor).fit(problem, instance.truth, "x")
    assert asked == [0]
    assert monitor.best is not None
    assert len(monitor.history) == 1


def test_walking_back_keeps_the_better_fit_of_each_width():
    instance = simulate.rank_one_sensing(20, 2, m=80, symmetric=True, noise=0.1, random_state=11)
    problem = Problem(instance.op, instance.y / np.sqrt(np.mean(instance.y**2)))
    own = fitter()
    stages = list(grow(problem, empty(instance), own, "grow", max_width=4, greedy=True))
    wide = penalise(problem, stages[0].point, own, width=10, strength=0.004)
    back = walk_back(problem, stages, wide, own, "back")
    assert [stage.width for stage in back] == [stage.width for stage in stages]
    losses = [(new.point.loss, old.point.loss) for new, old in zip(back, stages, strict=True)]
    assert all(new <= old for new, old in losses)
    assert any(new < 0.5 * old for new, old in losses)
    for stage in back:
        assert stage.point.loss == problem.evaluate(stage.factors).loss
    alone = walk_back(problem, stages, empty(instance), own, "back")
    assert [stage.point.loss for stage in alone] == [stage.point.loss for stage in stages]


@pytest.mark.parametrize("wide", [0, 1, 2, 3])
def test_walking_back_starts_at_the_width_of_what_is_pruned(wide):
    """Each width takes the leading columns of what the next one kept, where that is better."""
    X = np.diag([4.0, 3.0, 2.0, 1.0])
    root, problem = np.sqrt(X), Problem(simulate.FullObservation((4, 4)), X)
    weak = Factors(root, root).keep(np.array([False, False, True, True]))
    asked = []

    class AsTheyAre:
        def stage(self, problem, factors, phase):
            asked.append((factors.width, phase))
            return Stage(problem.evaluate(factors), False)

    own = AsTheyAre()
    stages = [own.stage(problem, leading_columns(weak, k), "x") for k in range(3)]
    asked.clear()
    back = walk_back(problem, stages, leading_columns(Factors(root, root), wide), own, "back")
    assert asked == [(k, "back") for k in range(min(wide, 2), -1, -1)]
    for k, stage in enumerate(back):
        better = 0 < k <= wide
        best = sum(s * s for s in (4.0, 3.0, 2.0, 1.0)[k:])
        assert stage.point.loss == pytest.approx(best if better else stages[k].point.loss)
        assert (stage is stages[k]) is not better


@pytest.mark.parametrize("width", [1, 2, 4])
def test_stages_around_a_start(width, rng):
    """In rising order from zero to the most, whatever the width of the start."""
    instance, problem = posed("dense", noise=0.1)
    start = Factors(rng.standard_normal((12, width)), rng.standard_normal((9, width)))
    stages = list(stages_from(problem, start, fitter(), "x", max_width=5, greedy=True))
    assert [stage.width for stage in stages] == [*range(width + 1), *range(width + 1, 6)]
    losses = [stage.point.loss for stage in stages]
    assert losses == sorted(losses, reverse=True)
    grown = list(grow(problem, empty(instance), fitter(), "x", max_width=5, greedy=True))
    assert stages[3].point.loss <= 1.001 * grown[3].point.loss


def test_a_start_that_leads_to_an_exact_fit_is_all_there_is():
    instance, problem = posed("dense")
    start = instance.truth
    stages = list(stages_from(problem, start, fitter(), "x", max_width=5))
    assert [(stage.width, stage.exact) for stage in stages] == [(0, False), (3, True)]

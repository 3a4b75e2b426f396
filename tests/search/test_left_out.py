"""Widths by leaving measurements out one by one, against the truth and random matrix theory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from leanrank import simulate
from leanrank.losses import Huber, Squared
from leanrank.policy import Policy
from leanrank.problem import Problem
from leanrank.search import Fitter, GrowAndPenalise, Monitor, Paths, choosing
from leanrank.search.choosing import best_predicting
from leanrank.search.holding_out import split
from leanrank.search.left_out import column_weight, left_out_error, width_by_leaving_out
from leanrank.solvers import GaussNewton

ASKED = Policy(enough_held_out=20)


def explored(instance, symmetric, *, loss=None, share=0.1, most=5, policy=ASKED):
    problem = Problem(instance.op, instance.y / np.sqrt(np.mean(instance.y**2)), loss=loss)
    fitter = Fitter(GaussNewton(), np.random.default_rng(0), Monitor(), policy)
    paths = Paths(problem, symmetric, most, GrowAndPenalise(), fitter)
    data = split(problem, share, np.random.default_rng(1))[0]
    stages = list(paths.stages(data.train, "explore", most, greedy=True))
    return paths, data, [data.assess(stage) for stage in stages]


def packed(seed, noise=0.3, kappa=1.0, m=400):
    make = simulate.dense_sensing
    return make(24, 2, m=m, symmetric=True, noise=noise, kappa=kappa, random_state=seed)


@pytest.mark.parametrize("beta", [0.01, 0.3, 1.0])
def test_a_column_counts_as_much_as_one_that_is_as_well_left_out(beta):
    """Where a spike in white noise is seen so that keeping it costs what dropping it does."""

    def seen(x):
        return np.sqrt((x**2 + 1.0) * (x**2 + beta)) / x

    def saved(x):
        cosines = (x**4 - beta) / np.sqrt((x**4 + beta * x**2) * (x**4 + x**2))
        return 2.0 * x * cosines - seen(x)

    threshold = seen(brentq(saved, beta**0.25 + 1e-9, 10.0))
    # n2 (1 + beta) unknowns, each of which explains a share of 1 / n2 of such noise.
    assert column_weight((100, round(100 * beta))) == pytest.approx(
        threshold**2 / (2.0 * (1.0 + beta)), rel=1e-6
    )
    assert column_weight((3, 7)) == column_weight((7, 3))


@pytest.mark.parametrize(("noise", "kappa"), [(0.1, 1.0), (0.5, 3.0), (1.0, 3.0)])
def test_hardly_any_other_width_is_nearer_to_the_truth(noise, kappa):
    excess, widths = [], []
    for seed in range(12):
        instance = packed(seed, noise, kappa)
        _, data, stages = explored(instance, True)
        width = width_by_leaving_out(data, stages, ASKED)
        if width is None:
            continue
        truth = instance.truth.scaled(1.0 / np.sqrt(np.mean(instance.y**2)))
        errors = {stage.width: stage.factors.distance(truth) for stage in stages}
        excess.append(errors[width] / min(errors.values()))
        widths.append(width)
    assert len(widths) >= 9
    assert np.mean(excess) < 1.1
    assert noise == 1.0 or set(widths) == {2}


def test_what_is_left_out_is_missed_as_what_was_held_out():
    """More by a third of what the unknowns cost, which pays for having looked for directions."""
    ratios = []
    for seed in range(6):
        _, data, stages = explored(packed(seed, m=300), True, share=0.3)
        stage = next(s for s in stages if s.width == 2)
        ratios.append(left_out_error(data.train, stage.point) / stage.held_out)
    assert 0.9 < np.mean(ratios) < 1.35


def test_weights_count():
    """A measurement of weight zero is as good as not there."""
    instance = packed(0)
    w = np.ones(instance.op.size)
    w[::2] = 1e-12
    _, data, stages = explored(instance, True, loss=Squared(w), most=2)
    rest = np.flatnonzero(w[::1] == 1.0)
    kept = replace(instance, op=instance.op.subset(rest), y=instance.y[rest])
    _, other, others = explored(kept, True, most=2)
    one = [left_out_error(data.train, s.point) * instance.op.size for s in stages]
    two = [left_out_error(other.train, s.point) * rest.size for s in others]
    np.testing.assert_allclose(one[2] / one[0], two[2] / two[0], rtol=0.15)


def test_as_many_unknowns_as_measurements_predict_nothing():
    _, data, stages = explored(packed(0, m=60), True, most=5)
    wide = [s for s in stages if s.factors.degrees_of_freedom() > data.train.op.size]
    assert wide
    assert left_out_error(data.train, wide[0].point) == np.inf
    assert left_out_error(data.train, stages[0].point) < np.inf


def test_too_few_held_out_are_not_asked():
    _, data, stages = explored(packed(0), True)
    held = data.held.op.size
    assert width_by_leaving_out(data, stages, Policy(enough_held_out=held)) == 2
    assert width_by_leaving_out(data, stages, Policy(enough_held_out=held + 1)) is None


def test_what_held_out_measurements_refute_is_not_taken():
    _, data, stages = explored(packed(0), True)
    lie = [replace(s, errors=s.errors * (0.1 if s.width == 4 else 1.0)) for s in stages]
    assert width_by_leaving_out(data, lie, ASKED) is None


def test_leverages_that_differ_are_left_to_holding_out():
    entries = simulate.matrix_completion((30, 20), 2, fraction=0.9, noise=0.1, random_state=0)
    _, data, stages = explored(entries, False)
    assert width_by_leaving_out(data, stages, ASKED) is None
    _, data, stages = explored(packed(0), True, loss=Huber(1.0))
    assert width_by_leaving_out(data, stages, ASKED) is None


@pytest.mark.parametrize(
    ("m", "noise", "again"), [(400, 0.1, False), (130, 0.1, True), (400, 1.0, True)]
)
def test_no_path_is_followed_again_where_one_tells(monkeypatch, m, noise, again):
    """Measurements abound, and what is left of them is little, and noise."""
    instance = packed(1, noise=noise, m=m)
    paths, data, stages = explored(instance, True, share=0.2)
    asked = []
    followed = choosing._in_turn
    monkeypatch.setattr(choosing, "_in_turn", lambda *args: asked.append(1) or followed(*args))
    choice = best_predicting(paths, data, stages, may_split=True)
    assert bool(asked) == again
    assert choice.factors.width == 2
    assert choice.penalty is None
    if not again:
        assert choice.factors is stages[2].factors
        assert choice.held_out_error == pytest.approx(np.sqrt(stages[2].held_out / data.zero_error))
        norms = paths.fitter.monitor.column_norms["before pruning"]
        assert len(norms) == stages[-1].width


def test_a_user_s_own_held_out_measurements_decide_alone(monkeypatch):
    paths, data, stages = explored(packed(1), True)
    monkeypatch.setattr(choosing, "width_by_leaving_out", None)
    assert best_predicting(paths, data, stages, may_split=False).factors.width == 2

"""The pruning paper's claims at small sizes, and the traps among them."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import papers, theory
from leanrank.papers import Status

HOLDS, WITH, FAILS = Status.HOLDS, Status.HOLDS_WITH, Status.FAILS


def run(name, **parameters):
    done = papers.run(f"pruning-{name}", quick=True, **parameters)
    assert done.figure.axes
    return done.verdict


def test_fig1_group_lasso_keeps_exactly_the_rank():
    verdict = run("fig1", d=40, width=40, rank=2, iterations=700)
    assert verdict.status is HOLDS
    assert (verdict.numbers["kept"] == 2).all()
    assert verdict.numbers["longest_column_with"] == pytest.approx(0.98719, abs=1e-3)
    assert verdict.numbers["share_without"][2] > 0.3


def test_fig1_a_strength_that_makes_zero_stable_prunes_everything():
    assert theory.origin_is_stable(0.1, 0.03**2, 1.0)
    verdict = run("fig1", d=20, width=20, sqrt_beta=0.03, iterations=300, seeds=1)
    assert verdict.status is FAILS
    assert (verdict.numbers["kept"] == 0).all()


def test_fig2_pruning_beats_vanilla_by_far():
    verdict = run("fig2", seeds=3, iterations=1200, seed=5)
    assert verdict.status is HOLDS
    assert verdict.numbers["exact"] == 3
    medians = verdict.numbers["median_squared_errors"]
    assert medians["vanilla"] > 0.4
    assert medians["tuned"] < 1e-6


def test_fig2_a_strength_above_the_critical_one_loses_the_weak_direction():
    verdict = run("fig2", singular_values=(1, 0.75, 0.5), seeds=2, iterations=800)
    assert verdict.status is not HOLDS
    assert verdict.numbers["critical_lambda_of_the_weakest_direction"] < 0.2
    assert verdict.numbers["kept"][:3].sum() >= 1
    assert "the weakest direction of X is lost" in verdict.condition


def test_eq6_from_a_small_start_and_its_correction():
    verdict = run("eq6", d=15, width=15, scales=(1e-3, 1e-5), eigenvalues=(1, 0.5), seeds=2)
    assert verdict.status is not FAILS
    tables = verdict.numbers["median_95_max"]
    assert tables["printed_rank_1"][1, 0] < 1e-5
    assert tables["corrected_rank_1"][1, 2] < 0.1 * tables["printed_rank_1"][1, 2]
    assert verdict.numbers["exponent_of_the_median"] == pytest.approx(2, abs=0.15)
    assert tables["corrected_general"][1, 2] < 0.02


def test_eq6_fails_from_a_large_start():
    assert run("eq6", d=15, width=15, scales=0.05, seeds=2).status is FAILS


def test_theorem1_the_level_0_99_counts_hardly_more_than_the_longest():
    verdict = run("theorem1", widths=(50, 2000), levels=(0.5, 0.99), seeds=8)
    assert verdict.status is WITH
    half, nearly = verdict.numbers["mean_counts"][1]
    assert half > 60
    assert nearly < 2
    assert run("theorem1", widths=(50, 2000), levels=0.5, seeds=8).status is HOLDS


def test_theorem4_exact_from_little_more_than_the_degrees_of_freedom():
    few = {"measurements": (40, 120), "strengths": (0.1, 2.0), "widths": 12, "seeds": 3}
    verdict = run("theorem4", d=12, width=12, singular_values=(1, 1), **few)
    assert verdict.status is WITH
    assert verdict.numbers["degrees_of_freedom"] == 23
    assert verdict.numbers["enough_measurements"] <= 120
    assert verdict.numbers["recovered_by_strength"][1].tolist() == [1.0, 0.0]
    assert verdict.numbers["measurements_asked_for"] > 1e4


def test_theorem5_floor_of_the_rank_at_a_linear_rate():
    few = {"noises": 0.1, "measurements": 400, "widths": (2, 12), "seeds": 2}
    steps = {"iterations": 400, "short": 200, "long": 400}
    verdict = run("theorem5", d=12, width=12, rank=2, samples=400, **few, **steps)
    assert verdict.status is not FAILS
    assert verdict.numbers["exact_rank"] == 1
    assert verdict.numbers["tuned_over_floor_of_rank"][0, 0] == pytest.approx(1, abs=0.35)
    assert verdict.numbers["straightness_of_decay"] > 0.95
    late = verdict.numbers["warm_error_late"]
    assert late[1] > 1.3 * late[0]


def test_theorem8_fails_as_printed_and_holds_at_a_quarter():
    verdict = run("theorem8", iterations=20, seeds=3)
    assert verdict.status is FAILS
    left = dict(zip(verdict.numbers["step_sizes"], verdict.numbers["share_that_left"], strict=True))
    assert left[1 / 8] == left[1 / 16] == 1
    assert left[1 / 20] == left[1 / 32] == 0
    assert "1/32" in verdict.condition
    assert run("theorem8", step_sizes=(1 / 32, 1 / 64), iterations=20, seeds=3).status is HOLDS


def test_parameters_say_what_they_are():
    for name in papers.names():
        experiment = papers.get(name)
        assert experiment.name == name
        assert experiment.claim.endswith(".")
        assert all(parameter.about for parameter in experiment.parameters.values())
        assert np.all([experiment.settings({}, quick) for quick in (False, True)])

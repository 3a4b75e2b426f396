"""Wang and Jacot's figures and claims at small sizes: what holds, and what makes it fail."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import papers
from leanrank.deep import DeepFactors, Phase
from leanrank.papers import Status, _deep

HOLDS, WITH, FAILS = Status.HOLDS, Status.HOLDS_WITH, Status.FAILS


def run(name, **parameters):
    done = papers.run(f"deep-{name}", quick=True, **parameters)
    assert done.figure.axes
    return done.verdict


def test_the_problem_is_of_rank_one_where_the_test_loss_is_zero():
    epsilon = 0.25
    problem = _deep.observed(epsilon)
    full = DeepFactors([np.array([[1.0, 1 / epsilon]]), np.array([[1.0], [epsilon]])])
    np.testing.assert_allclose(problem.op.forward(full.to_factors()), problem.y)
    zero = DeepFactors([np.zeros((1, 2)), np.zeros((2, 1))])
    np.testing.assert_allclose(_deep.test_losses([full, zero], epsilon), [0.0, 1.0], atol=1e-15)


def test_networks_that_diverged_have_no_test_loss(rng):
    zero = DeepFactors([np.zeros((1, 2)), np.zeros((2, 1))])
    found = _deep.offshoot_losses([None, zero], 0.25, Phase(10, 0.1, 0.0), rng)
    np.testing.assert_array_equal(found, [np.nan, 1.0])


def test_chunks_make_up_all_runs():
    assert _deep.chunks(23) == [10, 10, 3]
    assert _deep.chunks(10) == [10]


def test_runs_that_have_not_jumped_count():
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    _deep.share_jumped(ax, np.array([300, -1, 100, -1]), 1000)
    x, y = ax.lines[0].get_data()
    np.testing.assert_array_equal(x, [0, 100, 300, 1000])
    np.testing.assert_array_equal(y, [0, 0.25, 0.5, 0.5])


def test_jumps_are_one_way_and_offshoots_tell_before_from_after():
    verdict = run("fig1", runs=10)
    assert verdict.status is HOLDS
    numbers = verdict.numbers
    assert numbers["largest_ratio_after"] < 1e-12
    assert numbers["test_loss_before_median"] > 0.4
    assert numbers["test_loss_after_median"] == pytest.approx(
        numbers["test_loss_predicted"], rel=0.1
    )


def test_without_noise_enough_there_is_no_jump():
    assert run("fig1", runs=10, learning_rate=0.05, steps=10_000).status is FAILS


def test_some_runs_take_longer():
    verdict = run("fig1", runs=10, steps=6000)
    assert verdict.status is WITH
    assert 0 < verdict.numbers["jumped"] < 10


def test_deeper_networks_jump():
    verdict = run("fig2", runs=10, steps=5000)
    assert verdict.status is HOLDS
    assert verdict.numbers["test_loss_3"] == pytest.approx(0.946, abs=0.02)
    assert verdict.numbers["test_loss_4"] == pytest.approx(0.08, abs=0.01)


def test_depth_three_jumps_too_where_epsilon_is_larger():
    assert run("fig2", runs=10, epsilon=0.35, steps=5000).status is FAILS


def test_noise_recovers_smaller_epsilon_but_the_ridge_alone_most():
    verdict = run("fig3", epsilons=(0.5, 0.15, 0.1), times=(0, 1000, 5000))
    assert verdict.status is WITH
    assert verdict.numbers["least_epsilon_all_entries"] == 0.15
    assert verdict.numbers["least_epsilon"].tolist() == [np.inf, 0.15, 0.1]


def test_more_noise_changes_nothing_where_all_is_recovered_at_once():
    assert run("fig3", epsilons=(0.5, 0.35), times=(0, 1000, 2000)).status is FAILS


def test_periodic_schedules_solve_in_quiet_phases():
    verdict = run("fig4", periods=(1000,), learning_rates=(0.4,))
    assert verdict.status is WITH
    assert verdict.numbers["solved_1000_0.4"][0] == 0
    assert verdict.numbers["solved_1000_0.4"][-1] >= 12


def test_phases_may_be_too_short():
    assert run("fig4", periods=(500,), learning_rates=(0.4,), runs=10).status is FAILS


def test_jumps_need_replacement():
    assert run("replacement", runs=10, width=20).status is HOLDS


def test_where_the_ridge_alone_is_enough_sampling_makes_no_difference():
    assert run("replacement", runs=10, depth=4, steps=5000).status is FAILS


def test_width_makes_no_difference():
    verdict = run("width", distributions=("linear", "he"))
    assert verdict.status in (HOLDS, WITH)
    assert verdict.numbers["factor"] < 2.0
    assert verdict.numbers["diverged cold: he, width 20"] == 40


def test_mean_waits_allow_for_runs_that_have_not_jumped():
    short = run("width", distributions=("linear",), steps=4000).numbers
    whole = run("width", distributions=("linear",)).numbers
    for key in ("mean wait: linear, width 5", "mean wait: linear, width 20"):
        assert short[key] == pytest.approx(whole[key], rel=0.5)


def test_low_rank_is_not_left():
    verdict = run("theorem32", runs=4, steps=3000)
    assert verdict.status is WITH
    balance = verdict.numbers["largest_squared_balance_error_by_rate"]
    assert balance[1] < 0.1 * balance[0]
    assert verdict.numbers["log10_learning_rate"] < -30


@pytest.mark.parametrize("tight", [{"balance": 1e-3}, {"bound": 1.0}])
def test_too_small_a_set_is_left(tight):
    assert run("theorem32", runs=4, steps=3000, **tight).status is FAILS


def test_descent_ends_at_predicted_minima():
    verdict = run("landscape", depths=(3,), starts=6)
    assert verdict.status is HOLDS
    assert verdict.numbers["largest_cost_gap"] < 1e-9


def test_a_large_ridge_leaves_no_minimum_of_rank_two():
    verdict = run("landscape", depths=(4,), ridges=(0.1,), starts=6)
    assert verdict.status is WITH
    assert "none of rank 2" in verdict.condition


def test_descent_that_is_cut_short_ends_astray():
    assert run("landscape", depths=(3,), ridges=(0.1,), starts=6, times=1.0).status is FAILS

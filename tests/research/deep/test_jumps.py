"""Jumps to lower rank, as the paper saw them."""

import numpy as np
import pytest

from leanrank.research.deep import DeepFactors, JumpWatch, Phase, annealing, initial_layers, train
from leanrank.research.experiments._deep import observed as two_by_two
from leanrank.results import Status


def test_runs_jump_to_rank_one_and_never_back():
    # Figure 1 at width 5, which does not matter for jumps.
    starts = [initial_layers((2, 2), 3, 5, random_state=i) for i in range(20)]
    training = train(two_by_two(0.25), starts, annealing(40_000, 0), random_state=1)
    jumps = training.jumps()
    assert np.all(jumps >= 0)
    assert 2_000 < np.median(jumps) - 500 < 8_000
    ratios = training.ratios()
    for run, jump in enumerate(jumps):
        assert ratios[training.steps > jump + 1_000, run].max(initial=0.0) < 1e-12


def test_before_a_jump_quiet_descent_fails_and_after_it_succeeds():
    problem = two_by_two(0.25)
    start = initial_layers((2, 2), 3, 5, random_state=4)
    times = range(1_000, 30_001, 1_000)
    training = train(problem, start, annealing(30_000, 0), keep=times, random_state=2)
    (jump,) = training.jumps()
    assert 2_000 < jump < 28_000
    quiet = (Phase(8_000, 0.02, 0.001),)
    for time in (jump // 1_000 * 1_000 - 1_000, jump // 1_000 * 1_000 + 2_000):
        end = train(problem, training.kept[time], quiet, random_state=0).networks[0].product()
        succeeded = abs(end[0, 1] / 4.0 - 1.0) < 0.1
        assert succeeded == (time > jump)


def test_dealt_out_in_epochs_nothing_jumps():
    # Of these starts none falls to rank one during the warm-up, as that of seed 0 does.
    starts = [initial_layers((2, 2), 3, 5, random_state=i) for i in range(1, 6)]
    training = train(
        two_by_two(0.25), starts, annealing(20_000, 0), replacement=False, random_state=0
    )
    assert np.all(training.jumps() == -1)


def test_a_run_ends_at_the_rank_that_is_waited_for():
    starts = [initial_layers((2, 2), 3, 5, random_state=i) for i in range(3)]
    whole = train(two_by_two(0.25), starts, annealing(20_000, 0), random_state=1)
    times = range(0, 20_001, 1000)
    training = train(
        two_by_two(0.25), starts, annealing(20_000, 0), keep=times, until_rank=1, random_state=1
    )
    np.testing.assert_array_equal(training.jumps(), whole.jumps())
    for run, jump in enumerate(training.jumps()):
        assert training.statuses[run] is Status.STOPPED
        assert training.messages[run] == f"jumped to rank 1 at step {jump}"
        assert training.networks[run].singular_values()[1] < 1e-5
        values = training.singular_values[:, run]
        assert np.isnan(values[-1]).all()
        last = np.flatnonzero(np.isfinite(values[:, 0]))[-1]
        np.testing.assert_allclose(
            training.networks[run].singular_values(), values[last], rtol=1e-10, atol=1e-14
        )
        for step, networks in training.kept.items():
            assert (networks[run] is None) == (step >= training.steps[last])
            if networks[run] is not None:
                s = training.singular_values[training.steps == step, run].ravel()
                np.testing.assert_allclose(networks[run].singular_values(), s, rtol=1e-10)


def test_a_run_that_begins_at_the_rank_ends_there():
    one = DeepFactors([np.ones((1, 2)), np.ones((1, 1)), np.ones((2, 1))])
    training = train(two_by_two(0.25), one, [Phase(100, 0.1, 0.1)], every=20, until_rank=1)
    assert training.messages == ("jumped to rank 1 at step 0",)
    assert training.jumps().tolist() == [0]
    np.testing.assert_array_equal(training.networks[0].product(), one.product())


@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("every", [1, 2, 5])
def test_a_run_that_blows_up_has_not_jumped(depth, every):
    # Its second singular value is soon below any share of the first, and then zero by rounding.
    starts = [
        initial_layers((2, 2), depth, 20, distribution="he", random_state=i) for i in range(60)
    ]
    schedule = annealing(200, 0, warm_up_steps=0, learning_rate=0.5)
    for until_rank in (None, 1):
        training = train(
            two_by_two(0.25),
            starts,
            schedule,
            every=every,
            until_rank=until_rank,
            random_state=0,
        )
        assert set(training.statuses) == {Status.DIVERGED}
        assert np.all(training.jumps() == -1)
    assert np.nanmin(training.ratios()) < 1e-6


def test_a_jump_counts_though_the_run_diverges_later():
    starts = [initial_layers((2, 2), 3, 5, random_state=i) for i in range(3)]
    schedule = (*annealing(20_000, 0), Phase(100, 20.0, 0.0))
    training = train(two_by_two(0.25), starts, schedule, random_state=1)
    assert set(training.statuses) == {Status.DIVERGED}
    assert np.all((training.jumps() >= 0) & (training.jumps() < 20_000))


def test_a_second_value_that_stands_still_has_not_fallen():
    watch = JumpWatch()
    assert not any(watch.see(step, [first, 1.0]) for step, first in enumerate([1.0, 1e3, 1e9]))
    assert watch.see(3, [1e9, 1e-9])
    assert watch.jumped == 1


def test_after_what_is_not_seen_a_fall_begins_anew():
    watch = JumpWatch()
    records = [[1.0, 1.0], [np.nan, np.nan], [1.0, 1e-9], [1.0, 0.5], [1.0, 1e-3], [1.0, 1e-9]]
    seen = [watch.see(step, values) for step, values in enumerate(records)]
    assert seen == [False] * 5 + [True]
    assert watch.jumped == 4

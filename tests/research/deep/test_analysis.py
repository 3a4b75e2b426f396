"""What trajectories tell: waiting times, offshoots, one-way jumps, recovery."""

import math

import numpy as np
import pytest

from leanrank.research.deep import (
    DeepFactors,
    Phase,
    annealing,
    initial_layers,
    measured,
    offshoots,
    recovery,
    train,
    waiting_times,
)
from leanrank.research.experiments._deep import observed as two_by_two
from leanrank.results import Status

QUIET = (Phase(8000, 0.02, 0.001),)


def relative_error(network):
    """Of the entry that is not seen, 4 for a matrix of rank one."""
    return abs(network.product()[0, 1] / 4.0 - 1.0)


def test_mean_waits_allow_for_runs_that_were_cut_short(rng):
    for cut in (200, 1000, 10_000):
        times = np.ceil(rng.exponential(1000.0, 20_000)).astype(int)
        waits = waiting_times(np.where(times <= cut, times, -1), cut)
        assert waits.mean == pytest.approx(1000.0, rel=0.03)
        assert waits.times.size + waits.waiting == 20_000
        # Those that jumped before the count begins are no part of it: jumps have no memory.
        later = waiting_times(np.where(times <= cut, times, -1), cut, since=100)
        assert later.mean == pytest.approx(1000.0, rel=0.05)
        assert later.error == pytest.approx(later.mean / later.times.size**0.5)
    none = waiting_times([-1, -1], 500)
    assert (none.mean, none.error, none.waiting, none.length) == (math.inf, math.inf, 2, 500)


def test_waiting_times_that_cannot_be_right():
    with pytest.raises(ValueError, match="since must be at least 0 and at most 100, got 200"):
        waiting_times([1, 2], 100, since=200)
    with pytest.raises(ValueError, match="jumps"):
        waiting_times([1, 200], 100)
    with pytest.raises(TypeError, match="jumps"):
        waiting_times([0.5], 100)


def test_offshoots_go_on_from_what_was_kept_and_leave_out_what_had_ended():
    problem = two_by_two(0.25)
    starts = [initial_layers((2, 2), 3, 5, random_state=i) for i in range(1, 4)]
    training = train(
        problem, starts, annealing(20_000, 0), keep=[0, 500], until_rank=1, random_state=1
    )
    kept = training.kept | {20_500: (None, None, training.networks[2])}
    ends = offshoots(problem, kept, QUIET, batch_size=None)
    assert list(ends) == [0, 500, 20_500]
    assert ends[20_500][:2] == (None, None)
    for step, run in ((0, 1), (500, 0), (20_500, 2)):
        alone = train(problem, kept[step][run], QUIET, batch_size=None).networks[0]
        np.testing.assert_allclose(ends[step][run].product(), alone.product(), rtol=1e-12)
    errors = measured(ends, relative_error)
    assert errors.shape == (3, 3)
    assert np.isnan(errors[2]).tolist() == [True, True, False]
    assert np.all(errors[:2] > 0.3)
    assert errors[2, 2] < 0.1
    assert offshoots(problem, {5: (None,)}, QUIET) == {5: (None,)}


def test_offshoots_that_diverge_have_no_end():
    kept = {7: (initial_layers((2, 2), 3, 5, random_state=0), DeepFactors([np.zeros((2, 2))] * 3))}
    ends = offshoots(two_by_two(0.25), kept, [Phase(100, 30.0, 0.0)], random_state=0)
    assert ends[7][0] is None
    assert ends[7][1].square_norm() == 0.0


def test_recovery_is_that_of_offshoots():
    problem, times = two_by_two(0.35), (0, 500, 3000)
    starts = [initial_layers((2, 2), 4, 5, random_state=i) for i in range(3)]
    options = {"batch_size": None, "threads": 1}
    found = recovery(problem, starts, annealing(2500, 0), times, QUIET, relative_error, **options)
    kept = train(problem, starts, annealing(2500, 0), every=500, keep=times, **options).kept
    expected = measured(offshoots(problem, kept, QUIET, **options), relative_error)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    start_only = recovery(problem, starts, QUIET, (0,), QUIET, relative_error, **options)
    np.testing.assert_allclose(start_only, found[:1], rtol=1e-9)


def test_largest_ratios_after_jumps_tell_one_way_from_divergence():
    starts = [initial_layers((2, 2), 3, 5, random_state=i) for i in range(3)]
    training = train(two_by_two(0.25), starts, annealing(20_000, 0), random_state=1)
    jumps = training.jumps()
    assert np.all(jumps >= 0)
    at_once, later = (training.largest_after_jump(settling=steps) for steps in (0, 1000))
    assert np.all((at_once > 1e-3) & (at_once < 0.02))
    assert np.all(later < 1e-12)
    assert np.isnan(training.largest_after_jump(settling=10**6)).all()

    wild = (*annealing(20_000, 0), Phase(100, 20.0, 0.0))
    training = train(two_by_two(0.25), starts, wild, random_state=1)
    assert set(training.statuses) == {Status.DIVERGED}
    assert np.isposinf(training.largest_after_jump()).all()
    none = train(two_by_two(0.25), starts[1:], [Phase(200, 0.1, 0.0)], random_state=1)
    assert np.isnan(none.largest_after_jump()).all()
    blown = train(two_by_two(0.25), starts[1:], [Phase(200, 20.0, 0.0)], every=1, random_state=1)
    assert set(blown.statuses) == {Status.DIVERGED}
    assert np.isnan(blown.largest_after_jump()).all()

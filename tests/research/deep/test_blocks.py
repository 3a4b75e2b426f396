"""Runs side by side: what is recorded and kept, and how they end."""

import numpy as np
import pytest

from leanrank.operators import DenseSensing, ObservedEntries
from leanrank.penalties import Ridge
from leanrank.problem import Problem
from leanrank.research.deep import DeepFactors, Phase, annealing, initial_layers, periodic, train
from leanrank.research.deep._engines import Sampling
from leanrank.research.experiments._deep import observed as two_by_two
from leanrank.results import Status


def test_the_number_of_threads_and_of_runs_changes_no_bit():
    problem, starts = (
        two_by_two(0.25),
        [initial_layers((2, 2), 3, 5, random_state=i) for i in range(6)],
    )
    runs = [
        train(problem, starts[:count], annealing(300, 100), threads=threads, random_state=0)
        for count, threads in ((6, 1), (6, 4), (3, 1))
    ]
    np.testing.assert_array_equal(runs[0].singular_values, runs[1].singular_values)
    np.testing.assert_array_equal(runs[0].singular_values[:, :3], runs[2].singular_values)


def test_progress_counts_and_stops():
    starts = [initial_layers((2, 2), 3, 5, random_state=i) for i in range(3)]
    seen = []
    train(two_by_two(0.25), starts, annealing(400, 0), progress=lambda *c: seen.append(c))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (2700, 2700)
    stopped = train(
        two_by_two(0.25),
        starts,
        annealing(8000, 0),
        progress=lambda done, _: done > 10_000,
        threads=1,
        random_state=0,
    )
    assert stopped.statuses == (Status.MAX_ITER, Status.STOPPED, Status.STOPPED)
    assert stopped.messages[2] == "stopped on request after 0 steps"
    last = stopped.steps[np.isfinite(stopped.losses[:, 1])][-1]
    assert stopped.messages[1] == f"stopped on request after {last} steps"
    s = stopped.singular_values[stopped.steps == last, 1].ravel()
    np.testing.assert_allclose(stopped.networks[1].singular_values(), s, rtol=1e-12)


def test_records_do_not_depend_on_how_often_they_are_taken():
    start = initial_layers((2, 2), 4, 5, random_state=0)
    schedule = (Phase(130, 0.03, 0.1), Phase(9000, 0.1, 0.1))
    often, seldom = (
        train(two_by_two(0.25), start, schedule, every=every, random_state=0) for every in (10, 500)
    )
    _, i, j = np.intersect1d(often.steps, seldom.steps, return_indices=True)
    assert j.size == seldom.steps.size == 20
    np.testing.assert_allclose(
        often.singular_values[i], seldom.singular_values[j], rtol=1e-12, atol=1e-13
    )
    kept = train(two_by_two(0.25), start, schedule, every=10, keep=[130, 4000], random_state=0).kept
    for step, (network,) in kept.items():
        record = often.singular_values[often.steps == step, 0].ravel()
        np.testing.assert_allclose(network.singular_values(), record, rtol=1e-12, atol=1e-13)


def test_losses_are_means_of_squared_residuals_since_the_record_before():
    # A record comes after more steps than are done in one go.
    start, schedule = initial_layers((2, 2), 3, 5, random_state=0), [Phase(9050, 0.1, 0.1)]
    often, seldom = (
        train(two_by_two(0.25), start, schedule, every=every, random_state=0) for every in (1, 9000)
    )
    squares = often.losses[1:, 0]
    assert seldom.steps.tolist() == [0, 9000, 9050]
    assert np.isnan(seldom.losses[0, 0])
    expected = [squares[:9000].mean(), squares[9000:].mean()]
    np.testing.assert_allclose(seldom.losses[1:, 0], expected, rtol=1e-9)
    seed = int(np.random.default_rng(0).integers(2**62))
    (pick,) = Sampling(3, 1, True).picks(seed, 0, 1)[0]
    entry = start.product()[[0, 1, 1], [0, 0, 1]][pick]
    assert squares[0] == pytest.approx((entry - two_by_two(0.25).y[pick]) ** 2, rel=1e-12)


def test_networks_are_kept_at_any_record_and_may_be_asked_for_by_number():
    start, phases = initial_layers((2, 2), 3, 5, random_state=0), [Phase(50, 0.1, 0.1)]
    training = train(two_by_two(0.25), start, phases, every=20, keep=[0, 40, 50], random_state=0)
    for step, network in ((0, start), (50, training.networks[0])):
        for own, W in zip(training.kept[step][0].layers, network.layers, strict=True):
            np.testing.assert_array_equal(own, W)
    alone = train(two_by_two(0.25), start, phases, every=20, keep=40, random_state=0)
    assert list(alone.kept) == [40]
    np.testing.assert_allclose(
        alone.kept[40][0].product(), training.kept[40][0].product(), rtol=1e-12
    )


def test_long_stretches_without_records_are_done_in_parts():
    calls = []
    train(
        two_by_two(0.25),
        initial_layers((2, 2), 3, 5, random_state=0),
        [Phase(20_000, 0.1, 0.1)],
        every=20_000,
        progress=lambda done, _: calls.append(done),
    )
    assert max(np.diff([0, *calls])) <= 4096
    assert calls[-1] == 20_000


@pytest.mark.parametrize("every", [1, 7, 5000])
def test_divergence_is_found_and_the_network_of_the_last_record_returned(every):
    start = initial_layers((2, 2), 3, 50, random_state=0)
    wild = (Phase(5040, 0.01, 0.1), Phase(1_000, 5.0, 0.1))
    training = train(two_by_two(0.25), [start, start], wild, every=every, random_state=0)
    assert training.statuses == (Status.DIVERGED, Status.DIVERGED)
    for run, network in enumerate(training.networks):
        assert "in phase 1, after" in training.messages[run]
        values = training.singular_values[:, run]
        assert np.isnan(values[-1]).all()
        last = np.flatnonzero(np.isfinite(values[:, 0]))[-1]
        expected = values[last]
        if every == 5000:  # there is none in the second phase: what it began with
            begun = train(two_by_two(0.25), [start, start], wild[:1], random_state=0)
            expected = begun.singular_values[-1, run]
        np.testing.assert_allclose(network.singular_values(), expected, rtol=1e-10)


def test_a_run_that_is_stopped_says_where_its_network_is():
    start = initial_layers((2, 2), 3, 5, random_state=0)
    phases = [Phase(30, 0.01, 0.1), Phase(100, 0.01, 0.1)]
    options = {"every": 20, "random_state": 0}
    stopped = train(two_by_two(0.25), start, phases, progress=lambda done, _: done == 30, **options)
    assert stopped.messages == ("stopped on request after 30 steps",)
    whole = train(two_by_two(0.25), start, phases[:1], **options)
    np.testing.assert_array_equal(stopped.networks[0].product(), whole.networks[0].product())


def test_records_can_be_looked_at_on_the_way():
    starts = [initial_layers((2, 2), 3, 5, random_state=i) for i in range(3)]
    seen = {run: [] for run in range(3)}

    def watch(run, steps, values):
        seen[run].append((steps, values))

    training = train(
        two_by_two(0.25),
        starts,
        (*annealing(3000, 0), Phase(100, 20.0, 0.0)),
        every=1,
        on_record=watch,
        random_state=0,
    )
    assert set(training.statuses) == {Status.DIVERGED}
    for run, parts in seen.items():
        assert len(parts) > 1
        steps, values = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        there = np.isfinite(training.singular_values[1:, run, 0])
        np.testing.assert_array_equal(steps, training.steps[1:][there])
        np.testing.assert_array_equal(values, training.singular_values[1:, run][there])


def test_an_error_in_progress_ends_the_other_runs_too():
    start, done = initial_layers((2, 2), 3, 5, random_state=0), []

    def fail(count, _):
        done.append(count)
        if len(done) == 1:
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        train(two_by_two(0.25), [start, start], annealing(400_000), progress=fail, threads=2)
    assert len(done) < 50


def test_starts_are_left_alone():
    start = initial_layers((2, 2), 3, 5, random_state=0)
    before = [W.copy() for W in start.layers]
    train(two_by_two(0.25), start, periodic(10, 2), random_state=0)
    for W, was in zip(start.layers, before, strict=True):
        np.testing.assert_array_equal(W, was)


@pytest.mark.parametrize("kind", ["entries", "dense"])
def test_all_is_computed_in_double_precision(rng, kind):
    start = initial_layers((3, 3), 3, 4, random_state=0)
    single = DeepFactors([W.astype(np.float32) for W in start.layers])
    op = (
        ObservedEntries([0, 1, 2], [1, 2, 0], (3, 3))
        if kind == "entries"
        else DenseSensing(rng.standard_normal((5, 3, 3)))
    )
    training = train(
        Problem(op, rng.standard_normal(op.size)), single, [Phase(10, 0.01, 0.1)], random_state=0
    )
    assert {W.dtype for W in training.networks[0].layers} == {np.dtype(float)}


def test_input_that_cannot_be_right():
    problem, start = two_by_two(0.25), initial_layers((2, 2), 3, 5, random_state=0)
    phases = (Phase(40, 0.1, 0.1),)
    with pytest.raises(TypeError, match="schedule must be a sequence of Phase"):
        train(problem, start, ())
    with pytest.raises(ValueError, match=r"starts\[0\] must be of shape \(2, 2\)"):
        train(problem, initial_layers((3, 2), 3, 5), phases)
    with pytest.raises(TypeError, match=r"starts\[0\] must be DeepFactors"):
        train(problem, [np.eye(2)], phases)
    with pytest.raises(ValueError, match="multiples of every = 20, got 30"):
        train(problem, start, phases, every=20, keep=[30])
    with pytest.raises(ValueError, match="keep must be at least 0 and at most 40, got 60"):
        train(problem, start, phases, every=20, keep=60)
    with pytest.raises(TypeError, match="replacement must be True or False, got 'without'"):
        train(problem, start, phases, replacement="without")
    with pytest.raises(ValueError, match="without a penalty"):
        train(problem.with_penalty(Ridge(0.1)), start, phases)
    with pytest.raises(ValueError, match=r"one depth, got 3 and, in starts\[1\], 4"):
        train(problem, [start, initial_layers((2, 2), 4, 5)], phases)
    with pytest.raises(ValueError, match="until_rank must be at least 1 and at most 1"):
        train(problem, start, phases, until_rank=2)
    with pytest.raises(ValueError, match="one of linear, width, xavier, lecun, he, got 'kaiming'"):
        initial_layers((2, 2), 3, 5, distribution="kaiming")
    with pytest.raises(ValueError, match="batch_size"):
        train(problem, start, phases, batch_size=4)

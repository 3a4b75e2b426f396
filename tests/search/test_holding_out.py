"""Holding out: disjoint and exhaustive rounds, patience, and the smallest width that will do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leanrank import Factors, Status, recover, simulate
from leanrank.operators import DenseSensing, FullObservation, ObservedEntries
from leanrank.problem import Problem
from leanrank.search import Stage
from leanrank.search.holding_out import (
    choose_width,
    clearly_better,
    joined,
    of_width,
    split,
    while_better,
)


@pytest.fixture
def problem() -> Problem:
    instance = simulate.dense_sensing((6, 5), 1, m=50, random_state=0)
    return Problem(instance.op, instance.y)


def stage(problem: Problem, size: float, *, width: int = 1, exact: bool = False) -> Stage:
    """A multiple of all ones."""
    W = np.zeros((11, width))
    W[:, 0] = math.sqrt(size)
    return Stage(problem.evaluate(Factors.stacked(W, (6, 5), False)), exact)


def test_rounds_hold_out_everything_once(problem, rng):
    parts = split(problem, 0.2, rng, rounds=5)
    assert [part.held.op.size for part in parts] == [10] * 5
    assert [part.train.op.size for part in parts] == [40] * 5
    np.testing.assert_array_equal(
        np.sort(np.concatenate([part.held.y for part in parts])), np.sort(problem.y)
    )
    ones = Factors(np.ones((6, 1)), np.ones((5, 1)))
    order = np.argsort(problem.y)
    for part in parts:
        both = np.sort(np.concatenate([part.train.y, part.held.y]))
        np.testing.assert_array_equal(both, problem.y[order])
        # Each half of the operator goes with its half of y.
        for op, y in ((part.train.op, part.train.y), (part.held.op, part.held.y)):
            at = order[np.searchsorted(problem.y[order], y)]
            np.testing.assert_allclose(op.forward(ones), problem.op.forward(ones)[at])


def test_split_is_random_and_seeded(problem):
    one, two, other = (split(problem, 0.3, np.random.default_rng(s))[0].held.y for s in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    assert one.size == 15


def test_no_second_look_at_an_entry_is_held_out_alone(rng):
    rows, cols = rng.integers(0, 12, 300), rng.integers(0, 9, 300)
    op = ObservedEntries(rows, cols, (12, 9))
    flat = rows * 9 + cols
    for part in split(Problem(op, np.arange(300.0)), 0.1, rng, rounds=1):
        out = np.isin(np.arange(300.0), part.held.y)
        both = set(flat[out]) & set(flat[~out])
        assert len(both) <= 1  # the last entry, where the share ends in the middle of it
        assert np.sum(out) == 30
    # Entries that differ are shuffled as before.
    once = np.unique(flat)
    single = Problem(ObservedEntries(*np.divmod(once, 9), (12, 9)), np.arange(float(once.size)))
    (part,) = split(single, 0.1, np.random.default_rng(3))
    expected = np.sort(np.random.default_rng(3).permutation(once.size)[: part.held.op.size])
    np.testing.assert_array_equal(part.held.y, expected)


def test_at_least_one_measurement_is_held_out(problem, rng):
    assert split(problem, 1e-6, rng)[0].held.op.size == 1


@pytest.mark.parametrize("m", range(1, 6))
@pytest.mark.parametrize(("share", "rounds"), [(0.05, 1), (0.9, 1), (0.1, 5), (0.5, 5)])
def test_few_measurements_are_never_all_held_out(rng, m, share, rounds):
    problem = Problem(DenseSensing(rng.standard_normal((m, 2, 2))), np.arange(m))
    parts = split(problem, share, rng, rounds)
    assert 1 <= len(parts) <= rounds
    held = np.concatenate([part.held.y for part in parts])
    assert len(set(held)) == len(held)
    for part in parts:
        assert part.held.op.size >= 1
        assert part.train.op.size == max(m - part.held.op.size, 1)
        if m > 1:
            assert not set(part.train.y) & set(part.held.y)


@pytest.mark.parametrize("validation", [None, 0.9])
@pytest.mark.parametrize(("m", "d"), [(1, 1), (2, 1), (2, 2), (3, 2), (4, 2), (5, 2)])
def test_few_measurements_end_with_a_status(rng, m, d, validation):
    A = rng.standard_normal((m, d, d))
    for y in (A.sum(axis=(1, 2)), rng.standard_normal(m)):
        result = recover(DenseSensing(A), y, symmetric=True, validation=validation)
        assert result.status in (Status.CONVERGED, Status.STALLED)
        assert result.certificate is not None


@pytest.mark.parametrize("d", [1, 2])
def test_as_many_measurements_as_unknowns_leave_nothing_to_check_a_fit_with(rng, d):
    result = recover(FullObservation((d, d)), rng.standard_normal((d, d)))
    assert result.status is Status.STALLED


def test_passes_are_counted_together(problem, rng):
    part = split(problem, 0.2, rng)[0]
    before = problem.passes
    part.train.evaluate(Factors(np.ones((6, 1)), np.ones((5, 1))))
    assert problem.passes > before
    fitted = stage(problem, 1.0)
    at = problem.passes
    part.assess(fitted)
    assert problem.passes == pytest.approx(at + 10 / 40)


def test_assess_measures_squared_errors(problem, rng):
    part = split(problem, 0.2, rng)[0]
    assert stage(problem, 1.0).held_out == math.inf
    seen = part.assess(stage(problem, 0.0))
    np.testing.assert_allclose(seen.errors, part.held.y**2)
    assert seen.held_out == pytest.approx(part.zero_error)
    at = part.assess(stage(problem, 2.0))
    residual = part.held.op.forward(Factors(np.full((6, 1), 2.0), np.ones((5, 1)))) - part.held.y
    np.testing.assert_allclose(at.errors, residual**2)
    expected = np.median(np.abs(residual)) / np.sqrt(np.mean(part.held.y**2))
    assert part.median_error(at) == pytest.approx(expected, rel=0.05)
    assert part.median_error(stage(problem, 2.0)) == 0.0


class FromList:
    """A split that knows its held-out errors beforehand."""

    def __init__(self, problem: Problem, errors: list[float]) -> None:
        self.problem, self.errors, self.seen = problem, errors, 0

    def assess(self, stage: Stage) -> Stage:
        self.seen += 1
        return Stage(stage.point, stage.exact, np.array([self.errors[self.seen - 1]]))


@pytest.mark.parametrize(
    ("errors", "patience", "length"),
    [
        ([5, 4, 3, 2, 1], 2, 5),
        ([5, 1, 2, 3, 0, 0], 2, 4),
        ([5, 1, 2, 0.5, 3, 4, 5], 2, 6),
        ([1, 2, 3, 4, 5], 1, 2),
        ([1, 1, 1, 1, 1], 2, 3),
        ([5, 1, 2, 3, 4, 0], 3, 5),
    ],
)
def test_exploring_is_patient(problem, errors, patience, length):
    stages = (stage(problem, 1.0, width=k + 1) for k in range(len(errors)))
    seen = while_better(stages, FromList(problem, errors), patience)
    assert [s.held_out for s in seen] == errors[:length]
    assert [s.width for s in seen] == list(range(1, length + 1))


def test_exploring_keeps_an_exact_stage(problem):
    """An exact fit ends the path by itself; it is not cut off for having come late."""
    stages = [stage(problem, 1.0) for _ in range(3)] + [stage(problem, 1.0, exact=True)]
    assert while_better(stages, FromList(problem, [1, 2, 0.5, 3]), 2)[-1].exact


def test_exploring_ends_with_what_comes_after_a_late_exact_stage(problem):
    stages = [stage(problem, 1.0, exact=k in (1, 2)) for k in range(5)]
    assert len(while_better(stages, FromList(problem, [0, 1, 1, 1, 1]), 1)) == 4


def test_exploring_draws_no_stage_too_many(problem):
    drawn = 0

    def path():
        nonlocal drawn
        for _ in range(10):
            drawn += 1
            yield stage(problem, 1.0)

    while_better(path(), FromList(problem, [1.0] * 10), 2)
    assert drawn == 3


def test_of_width_is_the_first(problem):
    path = [stage(problem, s, width=k) for s, k in ((1.0, 1), (2.0, 2), (3.0, 2))]
    assert of_width(path, 2) is path[1]


def test_joined_is_one_round_after_another(problem):
    point = stage(problem, 1.0).point
    parts = [Stage(point, False, np.array(e)) for e in ([1.0, 2.0], [3.0])]
    np.testing.assert_array_equal(joined([*parts, Stage(point, False)]), [1.0, 2.0, 3.0])


def test_clearly_better_compares_measurement_by_measurement():
    hard = np.array([0.0, 100.0, 0.0, 1e4])
    assert clearly_better(hard, hard + np.array([1.0, 1.1, 0.9, 1.0]))
    assert not clearly_better(hard, hard)
    assert not clearly_better(hard + 1.0, hard)
    # Better by half a standard error, and by two.
    gain = np.array([1.0, -1.0] * 50)
    assert not clearly_better(np.zeros(100), gain + 0.05)
    assert clearly_better(np.zeros(100), gain + 0.2)


@pytest.mark.parametrize(
    ("means", "width"),
    [
        ({1: 9.0, 2: 5.0, 3: 1.0, 4: 1.0}, 3),
        ({1: 9.0, 2: 1.04, 3: 1.02, 4: 1.0}, 2),
        ({1: 9.0, 2: 1.5, 3: 1.02, 4: 1.0}, 3),
        ({4: 1.0, 3: 1.02, 2: 1.5, 1: 9.0}, 3),
        ({2: 1.0, 3: 1.0}, 2),
        ({0: 1.05, 1: 1.0}, 0),
        ({5: 3.0}, 5),
    ],
)
def test_the_smallest_width_within_one_standard_error(means, width):
    """Differences wobble by one in each measurement: a standard error of about 0.1 to 0.14."""
    noise = np.tile([1.0, -1.0], 50)
    signs = {k: 1.0 if i % 2 else -1.0 for i, k in enumerate(sorted(means))}
    best = min(means, key=lambda k: (means[k], k))
    errors = {k: 3.0 + m + (0.0 if k == best else signs[k]) * noise for k, m in means.items()}
    assert choose_width(errors) == width

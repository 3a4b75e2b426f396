"""What draws make of held-out measurements: averages, coverage, and what does not count."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from leanrank import Factors, Posterior, Squared, StudentT, simulate
from leanrank.evidence import Prediction
from leanrank.operators import ObservedEntries
from leanrank.problem import Problem
from leanrank.search import drawing
from leanrank.search.drawing import Chain, Perturbation, draws_of_held_out

SHAPE, SIZE = (40, 30), 800


def held_out(monkeypatch, rng, *, deviation=1.0, point_off=0.0, loss=None, change=None):
    """Held-out readings of noise one, and what draws that are ``deviation`` wide make of them."""
    pick = rng.permutation(SHAPE[0] * SHAPE[1])[:SIZE]
    op = ObservedEntries(*np.unravel_index(pick, SHAPE), SHAPE)
    factors = Factors(rng.standard_normal((40, 2)), rng.standard_normal((30, 2)))
    y = op.forward(factors) + rng.standard_normal(SIZE)
    y = y if change is None else change(y)
    left = np.repeat(factors.U[None], 3, axis=0)
    right = np.repeat(factors.V[None], 3, axis=0)
    post = Posterior(factors, left, right, np.full(30, deviation**2))
    monkeypatch.setattr(drawing, "sampled", lambda state, rng, **options: post)
    held = Problem(op, y, loss=loss)
    of_average = op.forward(factors) - y
    seen = draws_of_held_out(
        held, None, of_average * (1.0 + point_off), held.loss, rng, Chain(spare=3)
    )
    return seen, np.abs(of_average) / (deviation or 1.0)


def test_intervals_that_cover_are_left_alone(monkeypatch, rng):
    seen, misses = held_out(monkeypatch, rng)
    assert seen.scores is None
    assert abs(np.mean(misses <= norm.ppf(0.975)) - 0.95) <= 0.02
    np.testing.assert_array_equal(seen.inside, misses <= norm.ppf(0.975))


@pytest.mark.parametrize("deviation", [0.4, 2.5])
def test_intervals_that_do_not_are_as_long_as_misses_ask(monkeypatch, rng, deviation):
    """And the coverage that is told is of each half by what the other asked for."""
    seen, misses = held_out(monkeypatch, rng, deviation=deviation)
    np.testing.assert_allclose(seen.scores, np.sort(misses), rtol=1e-12)
    a, b = misses[::2], misses[1::2]
    expected = np.sum(a <= np.quantile(b, 0.95)) + np.sum(b <= np.quantile(a, 0.95))
    assert seen.inside.sum() == expected
    assert seen.inside.size == SIZE
    assert np.mean(seen.inside) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("off", "averaged"), [(0.0, True), (-0.002, True), (-0.003, False)])
def test_the_average_is_taken_unless_the_point_estimate_is_better(monkeypatch, rng, off, averaged):
    """By more than five in a thousand of the squared error."""
    assert held_out(monkeypatch, rng, point_off=off)[0].averaged is averaged


def test_misses_are_those_of_what_is_returned(monkeypatch, rng):
    """Of the point estimate, where that is taken."""
    seen, misses = held_out(monkeypatch, rng, deviation=0.25, point_off=-0.5)
    assert not seen.averaged
    np.testing.assert_allclose(seen.scores, np.sort(0.5 * misses), rtol=1e-12)
    point = 0.5 * 0.25 * misses
    np.testing.assert_allclose(seen.errors, Squared().value(point), rtol=1e-12)


def test_outliers_do_not_count(monkeypatch, rng):
    def spoilt(y):
        return np.where(np.arange(SIZE) < 80, y + 1e3, y)

    with_them, _ = held_out(monkeypatch, rng, change=spoilt)
    assert with_them.inside.size == SIZE
    robust, _ = held_out(monkeypatch, rng, change=spoilt, loss=StudentT(scale=1.0))
    assert robust.inside.size < SIZE - 80
    assert np.mean(robust.inside) > 0.9


def test_weights_scale_the_noise_and_zero_does_not_count(monkeypatch, rng):
    """A reading of weight w has a deviation of the noise over its root."""
    w = np.where(np.arange(SIZE) % 4 == 0, 0.0, 4.0)
    seen, misses = held_out(monkeypatch, rng, deviation=1.0, loss=Squared(w))
    np.testing.assert_allclose(seen.scores, np.sort(2.0 * misses[w > 0]), rtol=1e-12)


def test_where_nothing_counts_there_is_no_coverage(monkeypatch, rng):
    seen, _ = held_out(monkeypatch, rng, deviation=0.0)
    assert (seen.scores, seen.inside.size) == (None, 0)
    ones = np.ones(3)
    assert Prediction.of_costs(ones, ones, ones, seen.inside).coverage is None


def test_other_operators_have_none(rng):
    inst = simulate.dense_sensing((6, 5), 1, m=40, random_state=0)
    held = Problem(inst.op, inst.y)
    assert draws_of_held_out(held, None, inst.y, held.loss, rng, Chain()) is None


def test_perturbation_is_seeded_and_in_the_units_of_y():
    inst = simulate.dense_sensing((8, 7), 1, m=80, noise=0.1, random_state=0)
    problem = Problem(inst.op, inst.y)
    draw = Perturbation(problem, inst.truth, 3, 1.0, 4)
    one, two, larger = draw(), draw(), Perturbation(problem, inst.truth, 3, 100.0, 4)()
    assert one.size == 4
    np.testing.assert_array_equal(one.left, two.left)
    i, j = np.indices((8, 7))
    np.testing.assert_allclose(larger.std(i, j), 100.0 * one.std(i, j), rtol=1e-9)
    assert Perturbation(problem, inst.truth, 3, 1.0)().size == 50

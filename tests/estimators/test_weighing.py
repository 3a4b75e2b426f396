"""Weights of models: the least squares that they claim, and what they lean on with few entries."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from leanrank.estimators import _weighing
from leanrank.estimators._weighing import cross_weighed, weighed


def errors_of(rng, held=200, p=3, quality=(0.5, 1.0, 0.7)):
    """Misses of models that know a part of y, and the columns of the entries."""
    y = rng.standard_normal(held)
    known = [q * rng.standard_normal(held) + 0.3 * (1 - q) * y for q in quality]
    return np.array(known), rng.integers(p, size=held)


def usual(p=3):
    weights = np.zeros((3, p))
    weights[2] = 1.0
    return weights


def test_weights_are_the_minimum_under_their_constraints(rng):
    errors, usual = errors_of(rng)[0], np.array([0.2, 0.3, 0.5])
    others = errors_of(rng)[0]
    for worth in (0.01, 1.0):
        gram, prior = errors @ errors.T, worth * others @ others.T
        found = _weighing._convex(gram, usual, prior)

        def cost(w, worth=worth):
            return np.sum((w @ errors) ** 2) + worth * np.sum(((w - usual) @ others) ** 2)

        whole = {"type": "eq", "fun": lambda w: w.sum() - 1.0}
        best = minimize(cost, usual, bounds=[(0, 1)] * 3, constraints=whole, tol=1e-12)
        np.testing.assert_allclose(found, best.x, atol=1e-5)
        assert cost(found) <= cost(best.x) * (1 + 1e-9)
    np.testing.assert_array_equal(_weighing._convex(0 * np.eye(3), usual, 0 * np.eye(3)), usual)


def test_a_poor_model_does_not_hold_the_others(rng):
    """Which of two good models counts is not a matter of how bad a third is."""
    good = rng.standard_normal(1500)
    errors = np.array([good, 30.0 * rng.standard_normal(1500), good + rng.standard_normal(1500)])
    assert weighed(errors, np.zeros(1500, int), usual(1), None)[0, 0] > 0.9


def test_the_model_that_knows_takes_all_where_there_are_many_entries(rng):
    errors, cols = errors_of(rng, held=3000, quality=(1.0, 1.0, 1.0))
    errors[0, cols == 1] *= 0.01
    errors[2, cols == 0] *= 0.01
    weights = weighed(errors, cols, usual(), None)
    np.testing.assert_allclose(weights.sum(axis=0), 1.0)
    assert weights[0, 1] > 0.95
    assert weights[2, 0] > 0.95
    assert weights.min() >= 0.0
    assert weights[:, 2].max() < 0.6


def test_few_entries_leave_the_usual_weights_and_none_do_entirely(rng):
    errors, cols = errors_of(rng, held=2)
    assert weighed(errors, cols, usual(), None)[2].min() > 0.5
    # A column without entries has what all others have in common.
    errors, _ = errors_of(rng, held=500)
    weights = weighed(errors, np.zeros(500, int), usual(2), None)
    common = weighed(errors, np.zeros(500, int), usual(1), None)
    gram = errors @ errors.T
    alone = _weighing._convex(gram, usual()[:, 0], _weighing._WORTH / 500 * gram)
    np.testing.assert_allclose(weights[:, 1], alone)
    np.testing.assert_allclose(weights[:, 0], common[:, 0])


def test_models_that_are_no_better_than_means_give_way_to_them(rng):
    y = rng.standard_normal(100)
    cols = np.zeros(100, int)
    useless = np.array([rng.standard_normal(100) - y, -y, rng.standard_normal(100) - y])
    assert weighed(useless, cols, usual(1), 1)[1, 0] > 0.95
    useful = np.array([0.1 * rng.standard_normal(100), -y, 0.1 * rng.standard_normal(100)])
    assert weighed(useful, cols, usual(1), 1)[1, 0] < 0.05


@pytest.mark.parametrize(
    ("moved", "needed", "share"),
    [
        ([1.0, -1.0], [1.0, -1.0], 1.0),  # exactly what is needed, without doubt
        ([1.0, -1.0], [-1.0, 1.0], 0.0),
        ([0.0, 0.0], [1.0, 2.0], 1.0),  # no move, nothing to take back
        # 0.5 on average, less its standard error, sqrt(2) / 4 / 2.
        ([1.0] * 4, [0.5 + 0.5**0.5 / 2, 0.5 - 0.5**0.5 / 2] * 2, 0.5 - 2**0.5 / 8),
    ],
)
def test_the_share_of_a_move_that_is_sure(moved, needed, share):
    assert _weighing._surely(np.array(moved), np.array(needed)) == pytest.approx(share)


def test_cross_fitted_misses_do_not_know_their_own_entry(rng):
    errors, cols = errors_of(rng, held=40)
    before = cross_weighed(errors, cols, usual(), 1)
    changed = errors.copy()
    changed[:, 0] = [50.0, -30.0, 1.0]
    after = cross_weighed(changed, cols, usual(), 1)
    # Entry 0 is weighed as before: with those of the other parts, whose sums are the same.
    weights = weighed(errors[:, 4:], cols[4:], usual(), 1)[:, cols[0]]
    assert after[0] == pytest.approx(float(weights @ changed[:, 0]))
    assert before[0] == pytest.approx(float(weights @ errors[:, 0]))
    assert np.abs(after[4:] - before[4:]).max() > 1e-3


def test_one_model_has_all_weight(rng):
    ones = np.ones((1, 3))
    np.testing.assert_array_equal(weighed(errors_of(rng)[0][:1], np.zeros(200, int), ones, None), 1)

"""Prediction: its numbers against sums written out, and each reason on either side of its limit."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from leanrank.evidence import Prediction
from leanrank.evidence.prediction import NORMAL, inside_by_halves
from leanrank.policy import EvidencePolicy

POLICY = EvidencePolicy()
GOOD = Prediction(error=0.5, baseline=1.0, gain=10.0, coverage=0.95, size=1000)


def test_its_numbers_are_what_they_say(rng):
    y, w = rng.standard_normal(50), rng.uniform(0.5, 2.0, 50)
    predicted, means = y + 0.3 * rng.standard_normal(50), np.full(50, y.mean())
    deviation = rng.uniform(0.1, 0.3, 50)
    found = Prediction.of(y, predicted, means, deviation, w)
    missed, of_means = w * (predicted - y) ** 2, w * (means - y) ** 2
    assert found.error == pytest.approx(math.sqrt(missed.sum() / (w * y**2).sum()))
    assert found.baseline == pytest.approx(math.sqrt(of_means.sum() / (w * y**2).sum()))
    saved = of_means - missed
    assert found.gain == pytest.approx(saved.mean() / (saved.std() / math.sqrt(50)))
    inside = np.abs(predicted - y) / deviation <= norm.ppf(0.975)
    assert found.coverage == pytest.approx(inside.mean())
    assert 0.2 < found.coverage < 1.0
    assert found.size == 50
    assert norm.ppf(0.975) == pytest.approx(NORMAL, rel=1e-12)


def test_units_of_measurements_and_weights_do_not_matter(rng):
    y, noise = rng.standard_normal((2, 40))
    args = (y, y + 0.3 * noise, np.zeros(40), np.full(40, 0.3))
    one = Prediction.of(*args)
    other = Prediction.of(*(1e3 * x for x in args), weights=np.full(40, 7.0))
    assert other == replace(
        one, **{k: pytest.approx(getattr(one, k)) for k in ("error", "baseline", "gain")}
    )


def test_what_is_as_good_as_means_gains_nothing():
    y = np.array([1.0, -2.0, 3.0])
    same = Prediction.of(y, np.zeros(3), np.zeros(3))
    assert (same.gain, same.error, same.baseline) == (0.0, 1.0, 1.0)
    # The same gain at every measurement is no chance.
    ones = np.ones(3)
    assert Prediction.of(ones, ones, 0 * ones).gain == math.inf
    assert Prediction.of(ones, 0 * ones, ones).gain == -math.inf


def test_measurements_that_are_all_zero_have_errors_of_their_own_size():
    found = Prediction.of_costs(np.full(4, 0.25), np.full(4, 1.0), np.zeros(4))
    assert (found.error, found.baseline) == (0.5, 1.0)


def test_no_coverage_where_nothing_counts():
    costs = np.ones(3), np.ones(3), np.ones(3)
    assert Prediction.of_costs(*costs).coverage is None
    assert Prediction.of_costs(*costs, np.zeros(0, bool)).coverage is None
    assert "intervals" not in str(Prediction.of_costs(*costs))


def test_good_predictions_have_no_reasons_against():
    assert GOOD.reasons(POLICY) == ()
    assert replace(GOOD, coverage=None).reasons(POLICY) == ()


# 0.9 less two standard errors of a share of .95 among 1000.
LEAST = 0.9 - 2.0 * math.sqrt(2.0 * 0.95 * 0.05 / 1000)


@pytest.mark.parametrize(
    ("field", "good", "bad", "words"),
    [
        ("error", 0.9, 0.901, "these errors are not clearly below those of means: use the means"),
        (
            "gain",
            3.0,
            2.99,
            "these errors are not clearly below those of means: that they are lower",
        ),
        ("coverage", LEAST + 1e-6, LEAST - 1e-6, "these intervals hold too few"),
        ("coverage", 1.0, 0.5, "do not rely on them, or calibrate them"),
        ("in_hole", 0.1, 0.11, "11% of what is missing lies in one block of which nothing was"),
        ("guessed", 0.1, 0.3, "30% of what is missing lies in rows and columns that have too few"),
        ("apart", 0.1, 0.5, "50% of what is missing joins parts that no chain of measurements"),
    ],
)
def test_each_reason_at_its_limit(field, good, bad, words):
    assert replace(GOOD, **{field: good}).reasons(POLICY) == ()
    (reason,) = replace(GOOD, **{field: bad}).reasons(POLICY)
    assert words in reason
    assert ": " in reason  # and what to do


def test_limits_are_those_of_the_policy():
    for field, limit in [("error", {"predicted": 0.4}), ("gain", {"gain": 11.0})]:
        assert len(GOOD.reasons(replace(POLICY, **limit))) == 1, field
    assert len(GOOD.reasons(replace(POLICY, least_coverage=0.97))) == 1
    assert len(replace(GOOD, in_hole=0.05).reasons(replace(POLICY, in_hole=0.04))) == 1


def test_few_measurements_may_miss_their_intervals_by_chance():
    few, many = (replace(GOOD, coverage=0.82, size=size) for size in (25, 2500))
    assert few.reasons(POLICY) == ()
    assert len(many.reasons(POLICY)) == 1


def test_halves_that_calibrate_each_other_are_seldom_refused():
    """Scores of what the model says, in fact and but for its width: 95 % of new ones are inside."""
    rng = np.random.default_rng(0)
    for size in (24, 100, 400):
        refused = 0
        for _ in range(400):
            scores = np.abs(rng.standard_normal(size))
            coverage = float(np.mean(inside_by_halves(scores)))
            refused += bool(replace(GOOD, coverage=coverage, size=size).reasons(POLICY))
        assert refused <= 0.03 * 400


def test_everything_against_is_told_at_once():
    bad = Prediction(1.2, 1.0, -3.0, 0.4, 500, in_hole=0.3, apart=0.4)
    assert len(bad.reasons(POLICY)) == 4


def test_both_numbers_are_in_its_words():
    text = str(GOOD)
    for words in ("1000 held-out", "by 50.0 %", "means miss them by 100.0 %", "95 % of them lie"):
        assert words in text

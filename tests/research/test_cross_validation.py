"""Lambda by cross-validation: folds, scores, and the strength that is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank.factors import Factors
from leanrank.operators import DenseSensing
from leanrank.research.cross_validation import CrossValidation, cross_validated_strength
from leanrank.solvers import LBFGS

rng = np.random.default_rng(0)
OP = DenseSensing(rng.standard_normal((90, 8, 8)), symmetric=True)
TRUTH = Factors(np.linalg.qr(rng.standard_normal((8, 2)))[0])
Y = OP.forward(TRUTH) + 0.1 * rng.standard_normal(90)
OPTIONS = {"beta": 0.01, "solver": LBFGS(), "scale": 0.1, "fine_tune_steps": 200}


def test_the_strength_that_keeps_the_rank_is_chosen():
    found = cross_validated_strength(OP, Y, [1e-4, 0.15, 4.0], random_state=0, **OPTIONS)
    assert found.best == 0.15
    assert np.all(found.ranks[:, 1] == 2)
    assert np.all(found.ranks[:, 0] > 2)
    assert np.all(found.ranks[:, 2] == 0)
    # What nothing explains is left: the mean square of y.
    assert found.errors[:, 2].mean() == pytest.approx(np.mean(Y**2), rel=1e-12)
    assert 0.01 < found.errors[:, 1].mean() < 0.02


def test_nothing_that_is_left_out_is_fitted():
    """With another value of one measurement, only folds that were fitted to it change."""
    first = cross_validated_strength(OP, Y, [0.15], folds=3, random_state=1, **OPTIONS)
    spoilt = Y.copy()
    spoilt[7] += 5.0
    second = cross_validated_strength(OP, spoilt, [0.15], folds=3, random_state=1, **OPTIONS)
    # The fold without it has the same fit, and misses it by what was added.
    change = 30 * (second.errors - first.errors)[:, 0]
    assert np.sum(np.abs(change - 25) < 5 * 2 * 0.6) == 1
    assert np.all(change != 0)


def test_best_is_of_the_mean_error():
    errors = np.array([[1.0, 0.5], [1.0, 2.0]])
    assert CrossValidation(np.array([0.1, 0.2]), errors, np.ones((2, 2), int)).best == 0.1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strengths": []}, "strengths must have at least one value, got none"),
        ({"strengths": [0.1, -1.0]}, r"strengths\[1\] must be"),
        ({"strengths": [0.1], "folds": 1}, "folds must be"),
        ({"strengths": [0.1], "folds": 91}, "folds must be"),
    ],
)
def test_bad_input(given, message):
    with pytest.raises(ValueError, match=message):
        cross_validated_strength(OP, Y, **given, **OPTIONS)

"""Schedules, the conventions of the paper, and ridges that leave nothing."""

import warnings

import numpy as np
import pytest

from leanrank.research.deep import (
    CollapseWarning,
    Phase,
    annealing,
    initial_layers,
    periodic,
    train,
)
from leanrank.research.experiments._deep import observed as two_by_two
from leanrank.research.theory import collapse_ridge


def test_schedules_have_the_rates_they_were_given():
    rates = {
        "learning_rate": 0.3,
        "ridge": 0.2,
        "quiet_learning_rate": 0.05,
        "quiet_ridge": 0.01,
        "warm_up_steps": 7,
        "warm_up_learning_rate": 0.02,
    }
    warm_up, noisy = Phase(7, 0.02, 0.2), Phase(10, 0.3, 0.2)
    assert annealing(10, 20, **rates) == (warm_up, noisy, Phase(20, 0.05, 0.01))
    quiet = Phase(10, 0.05, 0.01)
    assert periodic(10, 2, **rates) == (warm_up, quiet, noisy, quiet, noisy)
    assert periodic(10, 1, **(rates | {"warm_up_steps": 0})) == (quiet, noisy)
    assert annealing(0, 20, warm_up_steps=0) == (Phase(20, 0.02, 0.001),)


def test_schedules_that_cannot_be_right():
    with pytest.raises(ValueError, match="period must be at least 1, got 0"):
        periodic(0, 3)
    with pytest.raises(ValueError, match="cycles must be at least 1, got 0"):
        periodic(10, 0)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        annealing(-1)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        Phase(0, 0.1, 0.1)
    with pytest.raises(ValueError, match="below 1, got 2"):
        Phase(1, 2.0, 0.5)
    for convert in (
        lambda source: Phase.from_paper(1, 0.1, 0.1, source),
        lambda source: Phase(1, 0.1, 0.1).in_paper(source),
    ):
        with pytest.raises(ValueError, match="source must be one of text, appendix, figures"):
            convert("code")


def test_formulas_of_the_paper_become_phases():
    # (1 - 2 eta lambda) theta - eta / 2 grad, and with a factor of one in the appendix.
    eta, lam = 0.3, 0.05
    for source, decay in (("text", 2.0), ("appendix", 1.0)):
        phase = Phase.from_paper(1, eta, lam, source)
        assert phase.learning_rate == pytest.approx(eta / 2)
        assert phase.learning_rate * phase.ridge == pytest.approx(decay * eta * lam)
        assert phase.in_paper(source) == pytest.approx((eta, lam))
    assert Phase.from_paper(1, eta, lam, "figures") == Phase(1, eta, lam)
    assert Phase(1, eta, lam).in_paper("figures") == (eta, lam)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_a_ridge_that_leaves_nothing_is_warned_of(depth):
    problem = two_by_two(0.25)
    y, G = problem.y, np.array([[1.0, 0.0], [0.25, 1.0]]) / 3.0
    bound = collapse_ridge(depth, float(np.mean(y * y)), float(np.linalg.norm(G, 2)))
    start = initial_layers((2, 2), depth, 4, random_state=0)
    with pytest.warns(CollapseWarning, match="phase 1"):
        train(problem, start, [Phase(1, 0.1, 0.0), Phase(1, 0.1, 1.001 * bound)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(problem, start, [Phase(1, 0.1, 0.0), Phase(1, 0.1, 0.999 * bound)])
        train(problem, start, annealing(10, 10))
        train(problem, start, periodic(10, 2))


def test_nothing_but_zero_is_left_after_the_warning():
    problem = two_by_two(0.25)
    starts = [initial_layers((2, 2), 3, 4, random_state=i) for i in range(5)]
    with pytest.warns(CollapseWarning):
        training = train(problem, starts, [Phase(20_000, 0.05, 0.7)], batch_size=None)
    assert training.singular_values[-1].max() < 1e-12

"""Gaussian noise in place of sampling, against the moments of the steps that it stands for."""

import numpy as np
import pytest

from leanrank.losses import Huber
from leanrank.operators import FullObservation, ObservedEntries
from leanrank.penalties import Ridge
from leanrank.problem import Problem
from leanrank.research.deep import DeepFactors, Phase, initial_layers, langevin, train
from leanrank.results import Status

ROWS, COLS, Y = np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), np.array([1.0, -0.5, 2.0, 0.3])
PROBLEM = Problem(ObservedEntries(ROWS, COLS, (3, 2)), Y)


def flat(network):
    return np.concatenate([W.ravel() for W in network.layers])


def steps_of_sgd(start, phase):
    """Where one update on each single entry leads, (entries, weights)."""
    ends = []
    for i, j, value in zip(ROWS, COLS, Y, strict=True):
        one = Problem(ObservedEntries([i], [j], (3, 2)), [value])
        ends.append(flat(train(one, start, [phase], random_state=0).networks[0]))
    return np.array(ends)


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("covariance", ["isotropic", "sampling"])
def test_a_step_has_the_mean_and_the_noise_of_sgd(depth, covariance):
    start = initial_layers((3, 2), depth, 2, random_state=depth)
    phase = Phase(1, 0.1, 0.01)
    exact = steps_of_sgd(start, phase)
    expected = np.cov(exact.T, bias=True)
    if covariance == "isotropic":
        expected = np.trace(expected) / len(expected) * np.eye(len(expected))
    count = 8000
    many = langevin(PROBLEM, [start] * count, phase, covariance=covariance, random_state=0)
    seen = np.array([flat(network) for network in many.networks])
    size = np.sqrt(np.diag(expected).max())
    np.testing.assert_allclose(seen.mean(axis=0), exact.mean(axis=0), atol=5 * size / count**0.5)
    assert np.linalg.norm(np.cov(seen.T) - expected) < 0.1 * np.linalg.norm(expected)
    assert many.losses[1, 0] == pytest.approx(
        np.mean((start.product()[ROWS, COLS] - Y) ** 2), rel=1e-12
    )


def test_noise_of_sampling_keeps_to_the_directions_that_are_there():
    one = DeepFactors.balanced(np.outer([1.0, 0.5, 0.2], [1.0, 2.0]), 3, width=4)
    phase = Phase(500, 0.05, 0.05)
    ratios = {
        covariance: langevin(
            PROBLEM, [one] * 3, phase, covariance=covariance, every=100, random_state=1
        ).ratios()
        for covariance in ("isotropic", "sampling")
    }
    assert np.all(ratios["sampling"][1:] < 1e-14)
    assert np.all(ratios["isotropic"][1:] > 1e-6)


def test_runs_that_diverge_stay_at_their_last_record():
    start = initial_layers((3, 2), 3, 4, random_state=0)
    wild = DeepFactors([50.0 * W for W in start.layers])
    training = langevin(PROBLEM, [start, wild], Phase(50, 0.05, 0.1), every=10, random_state=0)
    assert training.statuses == (Status.MAX_ITER, Status.DIVERGED)
    assert np.isfinite(training.singular_values[:, 0]).all()
    assert np.isnan(training.singular_values[1:, 1]).all()
    np.testing.assert_array_equal(flat(training.networks[1]), flat(wild))
    assert training.steps.tolist() == [0, 10, 20, 30, 40, 50]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"problem": Problem(FullObservation((3, 2)), np.ones((3, 2)))}, "ObservedEntries"),
        ({"problem": Problem(PROBLEM.op, Y, Ridge(0.1))}, "without a penalty"),
        ({"problem": Problem(PROBLEM.op, Y, loss=Huber())}, "squared"),
        ({"covariance": "white"}, "covariance must be one of isotropic, sampling, got 'white'"),
        ({"starts": []}, "at least one network"),
        ({"starts": initial_layers((2, 2), 3, 4)}, r"shape \(3, 2\)"),
        (
            {"starts": [initial_layers((3, 2), 3, width) for width in (4, 5)]},
            r"same widths, got \(4, 4\) and, in starts\[1\], \(5, 5\)",
        ),
        ({"every": 0}, "every"),
    ],
)
def test_arguments_that_cannot_be_right(change, words):
    given = {
        "problem": PROBLEM,
        "starts": initial_layers((3, 2), 3, 4),
        "phase": Phase(1, 0.1, 0.1),
    }
    given |= change
    with pytest.raises((ValueError, TypeError), match=words):
        langevin(given.pop("problem"), given.pop("starts"), given.pop("phase"), **given)

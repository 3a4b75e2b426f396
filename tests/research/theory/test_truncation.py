"""Truncated rank-one measurements against quadrature and against samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from leanrank.research import theory

INF = math.inf


def normal(g):
    return math.exp(-g * g / 2) / math.sqrt(2 * math.pi)


@pytest.mark.parametrize("radius", [0.3, 2.0, 9.0, 40.0])
def test_moments_by_quadrature(radius):
    p, q = theory.truncated_moments(radius)
    edge = math.sqrt(radius)
    second = quad(lambda g: g**2 * normal(g), -edge, edge, epsabs=1e-12)[0]
    fourth = quad(lambda g: g**4 * normal(g), -edge, edge, epsabs=1e-12)[0]
    assert q == pytest.approx(second, abs=1e-9)
    assert p + q == pytest.approx(fourth, abs=1e-9)
    assert theory.truncation_bias(radius) == pytest.approx(3 - fourth, abs=1e-9)


def test_moments_are_those_of_samples(rng):
    x = rng.standard_normal((400_000, 3))
    a = np.array([2.0, -1.0, 2.0]) / 3
    square = (x @ a) ** 2
    mean = (x * np.where(square <= 3.0, square, 0.0)[:, None]).T @ x / len(x)
    p, q = theory.truncated_moments(3.0)
    np.testing.assert_allclose(mean, p * np.outer(a, a) + q * np.eye(3), atol=0.01)


def test_without_truncation_there_is_no_bias():
    assert theory.truncated_moments(INF) == (2.0, 1.0)
    assert theory.truncation_bias(INF) == 0.0
    # The asymptotic form, whose next term is 3 / R of it.
    R = 300.0
    assert theory.truncation_bias(R) == pytest.approx(0.0, abs=1e-12)
    bias = theory.truncation_bias(30.0)
    assert bias == pytest.approx(math.sqrt(2 / math.pi) * 30**1.5 * math.exp(-15), rel=0.15)


def test_the_printed_radius_costs_more_than_delta_and_that_of_the_proof_does_not():
    for delta in (1e-2, 1e-3, 1e-4, 1e-6):
        R = math.log(1 / delta)
        assert theory.truncation_bias(R) > 10 * delta
        assert theory.truncation_bias(R**2) < delta


def test_deviation_is_the_lemmas_left_hand_side(rng):
    x, a = rng.standard_normal((50, 4)), rng.standard_normal(4)
    u = a / np.linalg.norm(a)
    X = np.outer(u, u)
    total = np.zeros((4, 4))
    for row in x:
        A = np.outer(row, row)
        size = np.sum(A * X)
        total += size * A * (abs(size) <= 1.5) / 50
    expected = np.linalg.norm(total - 2 * X - np.eye(4), 2)
    assert theory.truncated_deviation(x, a, 1.5) == pytest.approx(expected)


def test_the_worst_is_worse_than_what_is_met_by_chance(rng):
    x = rng.standard_normal((200, 4))
    worst = theory.largest_truncated_deviation(x, INF, random_state=0)
    met = [theory.truncated_deviation(x, rng.standard_normal(4), INF) for _ in range(200)]
    assert worst > max(met)
    # In two dimensions every direction can be tried.
    x = rng.standard_normal((200, 2))
    worst = theory.largest_truncated_deviation(x, INF, restarts=5, random_state=0)
    angles = np.linspace(0, math.pi, 2000)
    every = [theory.truncated_deviation(x, (math.cos(t), math.sin(t)), INF) for t in angles]
    assert worst == pytest.approx(max(every), rel=1e-3)


def test_samples_are_those_of_the_lemma():
    n = theory.rank_one_sample_size(7, 0.005, failure=0.002, c=3.0)
    assert n == pytest.approx(3 * 7 * math.log(7 / 1e-5) ** 4 / 0.005**2)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: theory.truncation_bias(0.0), "radius"),
        (lambda: theory.truncated_deviation(np.ones((3, 2)), np.zeros(2), 1.0), "a must be"),
        (lambda: theory.truncated_deviation(np.ones((3, 2)), np.ones(3), 1.0), "a must be"),
        (lambda: theory.truncated_deviation(np.ones((3, 2)), np.ones(2), -1.0), "radius"),
        (lambda: theory.rank_one_sample_size(5, 0.02), "delta"),
        (lambda: theory.rank_one_sample_size(5, 0.01, failure=0.5), "failure"),
    ],
)
def test_errors_name_the_argument(call, match):
    with pytest.raises(ValueError, match=match):
        call()

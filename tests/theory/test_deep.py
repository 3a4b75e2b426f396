"""Calculators for deep linear networks, against training and against brute force."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from leanrank.deep import DeepFactors, Phase, train
from leanrank.operators import FullObservation
from leanrank.problem import Problem
from leanrank.theory import (
    absorbing_set,
    collapse_ridge,
    largest_ridge,
    ridge_equilibria,
)

depths = st.integers(2, 6)
sizes = st.integers(1, 40)
sigmas = st.floats(0.1, 20.0)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(sigma=sigmas, depth=depths, size=sizes)
def test_the_largest_ridge_is_a_maximum(sigma, depth, size):
    s = np.linspace(0.0, sigma, 20_001)
    most = np.max(2.0 / size * (sigma - s) * s ** (1.0 - 2.0 / depth))
    assert largest_ridge(sigma, depth, size) == pytest.approx(most, rel=1e-6)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(sigma=sigmas, depth=depths, size=sizes, share=st.floats(0.01, 0.99))
def test_equilibria_are_critical_points_of_the_regularised_loss(sigma, depth, size, share):
    ridge = share * largest_ridge(sigma, depth, size)

    def objective(w):
        return (w**depth - sigma) ** 2 / size + ridge / 2.0 * depth * w * w

    found = ridge_equilibria(sigma, depth, ridge, size)
    assert len(found) == (1 if depth == 2 else 2)
    h = 1e-5
    for s in found:
        w = s ** (1.0 / depth)
        slope = (objective(w * (1 + h)) - objective(w * (1 - h))) / (2 * h)
        assert abs(slope) <= 1e-6 * (sigma**2 / size)
    stable = found[-1] ** (1.0 / depth)
    assert objective(stable) <= min(objective(stable * 0.99), objective(stable * 1.01))
    assert ridge_equilibria(sigma, depth, 1.01 * largest_ridge(sigma, depth, size), size) == ()


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_descent_of_a_balanced_network_ends_at_the_equilibrium(depth):
    target = np.array([[1.5, 0.0], [0.0, 0.0]])
    ridge = 0.5 * largest_ridge(1.5, depth, 4)
    phase = [Phase(20_000, 0.05, ridge)]
    training = train(
        Problem(FullObservation((2, 2)), target),
        DeepFactors.balanced(target, depth),
        phase,
        batch_size=None,
        every=20_000,
    )
    expected = ridge_equilibria(1.5, depth, ridge, 4)[-1]
    assert training.singular_values[-1, 0, 0] == pytest.approx(expected, rel=1e-9)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), depth=depths, factor=st.floats(0.5, 1.0, exclude_max=True))
def test_no_critical_point_violates_the_ridge_of_collapse(seed, depth, factor):
    # At the largest of ridges with a nonzero critical point of rank one, found by brute force.
    rng = np.random.default_rng(seed)
    y = rng.standard_normal(3)
    A = np.zeros((2, 2))
    A[[0, 1, 1], [0, 0, 1]] = y / 3.0
    bound = collapse_ridge(depth, float(np.mean(y**2)), float(np.linalg.norm(A, 2)))

    def ridge_at(p):
        u, v, s = (
            np.array([np.cos(p[0]), np.sin(p[0])]),
            np.array([np.cos(p[1]), np.sin(p[1])]),
            p[2] ** 2,
        )
        f = (s * np.outer(u, v))[[0, 1, 1], [0, 0, 1]]
        return 2.0 * np.mean(f * (y - f)) / s ** (2.0 / depth) if s > 0 else 0.0

    best = max(
        -optimize.minimize(
            lambda p: -ridge_at(p), rng.uniform(0.1, 3.0, 3), method="Nelder-Mead"
        ).fun
        for _ in range(5)
    )
    assert best <= bound * (1 + 1e-9)


@pytest.mark.parametrize("depth", [2, 3, 4, 7])
@pytest.mark.parametrize("entry", [0.3, 1.0, 5.0])
def test_the_ridge_of_collapse_is_sharp_for_one_entry(depth, entry):
    sharp = largest_ridge(entry, depth)
    assert collapse_ridge(depth, entry**2, entry) == pytest.approx(sharp, rel=1e-12)


def test_constants_of_the_theorems_by_hand():
    found = absorbing_set(3, 0.2, 100, 18.0, bound=90.0)
    lam, C1, C, n, K, r, eps2 = 0.1, 18.0, 90.0, 100, 2.0, 1, 0.5
    alpha = lam**2 / (2 * (C1 + C**3))
    assert found.log10_alpha == pytest.approx(math.log10(alpha))
    root = lam * alpha * eps2 / (64 * n * K * 3 * (r + 1) ** 2 * C * math.sqrt(2 * (C1 + C**3)))
    assert found.log10_balance == pytest.approx(2 * math.log10(root))
    eps1 = root**2
    rates = [
        C1 / (4 * (2 * (C1 + C**3) * C**2 + lam**2 * C)),
        2 * lam * eps1 / (4 * (C1 + C**3) * C**2),
        lam * alpha * eps2 / (64 * n * K * (r + 1) ** 2 * (2 * (C1 + C**3) * C**2 + lam**2 * C)),
        2 * (r + 1) / lam,
        lam * eps1 / (4 * (C1 + C**3) * C**2 + 2 * lam**2 * C),
    ]
    eta = min(rates)
    assert found.log10_learning_rate == pytest.approx(math.log10(eta / 2))
    T0 = math.log(2 * C / eps1) / (eta * lam)
    T1 = math.log(4 * (n - r) * C / (alpha * eps2)) / (2 * eta * lam)
    assert found.log10_steps == pytest.approx(math.log10(T0 + T1))
    assert found.log10_probability == pytest.approx(-T1 * math.log10(2.0))


def test_constants_get_no_better_with_width_and_depth():
    wide, narrow, deep = (
        absorbing_set(depth, 0.1, width, 1.0) for depth, width in ((3, 100), (3, 10), (5, 10))
    )
    assert wide.log10_balance < narrow.log10_balance
    assert deep.log10_learning_rate < narrow.log10_learning_rate
    assert narrow.bound == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (largest_ridge, (-1.0, 3), "singular_value"),
        (largest_ridge, (1.0, 1), "depth"),
        (ridge_equilibria, (1.0, 3, 0.0), "ridge"),
        (collapse_ridge, (3, math.nan, 1.0), "mean_square"),
        (absorbing_set, (2, 0.1, 5, 1.0), "depth"),
        (absorbing_set, (3, 0.1, 0, 1.0), "width"),
    ],
)
def test_arguments_that_cannot_be_right(function, arguments, name):
    with pytest.raises((ValueError, TypeError), match=name):
        function(*arguments)


def test_a_bound_that_the_theorems_exclude():
    with pytest.raises(ValueError, match="bound"):
        absorbing_set(3, 0.1, 5, 1.0, bound=1.0)

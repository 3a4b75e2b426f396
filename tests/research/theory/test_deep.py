"""Calculators for deep linear networks, against training and against brute force."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from leanrank.operators import FullObservation
from leanrank.problem import Problem
from leanrank.research.deep import DeepFactors, Phase, train
from leanrank.research.theory import (
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


@pytest.mark.parametrize(
    ("ridge", "C1", "n", "r", "sides", "eps2", "K", "C"),
    [
        (0.2, 18.0, 100, 1, 2, 0.25, 2.0, 180.0),
        (0.2, 18.0, 100, 1, 2, 0.4, 1.5, 200.0),
        # Here the condition of E.2 on the balance error is the stricter one.
        (20.0, 0.1, 1000, 1, 3, 0.1, 1.0, 0.01),
        (1.0, 0.1, 6, 2, 5, 0.3, 2.0, 0.3),
    ],
)
def test_constants_of_the_theorems_by_hand(ridge, C1, n, r, sides, eps2, K, C):
    options = {"rank": r, "sides": sides, "excess": eps2, "slope": K, "bound": C}
    found = absorbing_set(3, ridge, n, C1, **options)
    lam, L = ridge / 2, 3
    alpha = lam**2 / (2 * (C1 + C**3))
    assert found.log10_alpha == pytest.approx(math.log10(alpha))
    root = lam * alpha * eps2 / (64 * n * K * L * (r + 1) ** 2 * C * math.sqrt(2 * (C1 + C**3)))
    eps1 = min(root**2, alpha * eps2 / (2 * K * (n - r) * (L - 1)))
    assert found.log10_balance == pytest.approx(math.log10(eps1))
    drift = 2 * (C1 + C**3) * C**2
    rates = [
        C1 / (4 * (drift + lam**2 * C)),
        2 * lam * eps1 / (2 * drift + lam**2 * eps1),
        lam * alpha * eps2 / (64 * n * K * (r + 1) ** 2 * (drift + lam**2 * C)),
        2 * (r + 1) / lam,
        lam * eps1 / (2 * drift + 2 * lam**2 * C),
    ]
    eta = min(rates)
    assert found.log10_learning_rate == pytest.approx(math.log10(eta / 2))
    T0 = math.log(2 * C / eps1) / (eta * lam)
    T1 = math.log(2 * K * (n - r) * C / (alpha * eps2)) / (2 * eta * lam)
    T0, T1 = max(T0, 0.0), max(T1, 0.0)
    assert found.log10_steps == pytest.approx(math.log10(T0 + T1))
    assert found.log10_probability == pytest.approx(T1 * math.log10(r / sides))


def test_constants_get_no_better_with_width_and_depth():
    wide, narrow, deep = (
        absorbing_set(depth, 0.1, width, 1.0) for depth, width in ((3, 100), (3, 10), (5, 10))
    )
    assert wide.log10_balance < narrow.log10_balance
    assert deep.log10_learning_rate < narrow.log10_learning_rate
    assert narrow.bound == pytest.approx(20.0)


def test_constants_beyond_floating_point_numbers():
    nothing = absorbing_set(3, 200.0, 100, 1.0)  # all the matrix is below alpha
    assert nothing.log10_alpha > math.log10(nothing.bound)
    assert nothing.log10_probability == 0.0
    endless = absorbing_set(30, 0.001, 100, 1.0)
    assert endless.log10_steps > 308
    assert endless.log10_probability == -math.inf
    assert absorbing_set(30, 0.001, 100, 1.0, rank=2).log10_probability == 0.0
    for depth in (3, 10, 100):
        for ridge in (1e-10, 1e-3, 1.0, 1e3, 1e10):
            found = absorbing_set(depth, ridge, 7, 2.0)
            assert not any(math.isnan(value) for value in vars(found).values())


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


def test_numbers_that_the_theorems_exclude():
    with pytest.raises(ValueError, match="bound must be finite and at least 20, got 15"):
        absorbing_set(3, 0.1, 5, 1.0, bound=15.0)  # enough for B.1, not for B.2
    with pytest.raises(ValueError, match="excess must be finite and above 0 and below 0.5, got 0"):
        absorbing_set(3, 0.1, 5, 1.0, excess=0.5)

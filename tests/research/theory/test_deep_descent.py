"""Bounds on descent of deep linear networks, against Hessians, brute force and exact flows."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize

from leanrank.operators import ObservedEntries
from leanrank.problem import Problem
from leanrank.research.deep import DeepFactors, Phase, initial_layers, train
from leanrank.research.theory import (
    deep_smoothness,
    deep_step_size,
    rank_margin,
    ridge_descent_time,
)


def completion(n, count, rng):
    """Rows, columns and values of so many entries."""
    rows, cols = np.divmod(rng.permutation(n * n)[:count], n)
    return rows, cols, rng.standard_normal(count)


def regularised(theta, shapes, rows, cols, y, ridge):
    parts = np.split(theta, np.cumsum([a * b for a, b in shapes])[:-1])
    A = np.linalg.multi_dot([p.reshape(s) for p, s in zip(parts, shapes, strict=True)][::-1])
    return np.mean((A[rows, cols] - y) ** 2) + ridge / 2 * theta @ theta


def hessian(theta, *problem, h=1e-3):
    """By central differences of the value."""
    n, steps = len(theta), h * np.eye(len(theta))

    def f(x):
        return regularised(x, *problem)

    return np.array(
        [
            [
                (f(theta + a + b) - f(theta + a - b) - f(theta - a + b) + f(theta - a - b))
                / (4 * h * h)
                for b in steps
            ]
            for a in steps
        ]
    ).reshape(n, n)


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("balanced", [True, False])
def test_no_hessian_in_the_ball_is_larger(depth, balanced):
    rng = np.random.default_rng(depth)
    rows, cols, y = np.array([0, 1, 1]), np.array([0, 0, 1]), rng.standard_normal(3)
    shapes = [(2, 2)] * depth
    for radius in (0.3, 1.0, 2.0):
        if balanced:  # the sharpest: a single direction, the same in all layers
            W = radius / depth**0.5 * np.outer([1.0, 0.0], [1.0, 0.0])
            y[0] = -abs(y[0])
            theta = np.concatenate([W.ravel()] * depth)
        else:
            theta = rng.standard_normal(4 * depth)
            theta *= radius / np.linalg.norm(theta)
        H = hessian(theta, shapes, rows, cols, y, 0.1)
        found = np.abs(np.linalg.eigvalsh(H)).max()
        assert found <= deep_smoothness(depth, radius, 0.1, float(np.linalg.norm(y)), 3) + 1e-6


@pytest.mark.parametrize("depth", [3, 4, 6])
def test_the_bound_is_met_by_one_neuron_that_has_no_data(depth):
    # y = 0 and equal weights: the Hessian along the weights is 2 (2 L - 1) q^(L - 1) + ridge.
    radius = 1.7
    q = radius**2 / depth
    exact = 2 * (2 * depth - 1) * q ** (depth - 1) + 0.1
    bound = deep_smoothness(depth, radius, 0.1, 0.0)
    assert exact <= bound < 1.6 * exact


def test_near_zero_the_ridge_alone_counts_and_the_paper_divides_it_by_the_number_of_entries():
    depth, size, ridge = 3, 16, 0.1
    bound = deep_smoothness(depth, 1e-9, ridge, 4.0, size)
    assert bound == pytest.approx(ridge)
    printed = 2 * depth * math.sqrt(depth - 1) / size * ridge  # its 2 lambda is the ridge here
    assert printed < 0.6 * bound


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("ridge", [0.05, 0.3])
@pytest.mark.filterwarnings("ignore::leanrank.research.deep.CollapseWarning")
def test_descent_at_that_step_never_rises_and_stays_in_the_ball(depth, ridge):
    rng = np.random.default_rng(depth)
    rows, cols, y = completion(3, 6, rng)
    problem = Problem(ObservedEntries(rows, cols, (3, 3)), y)
    start = initial_layers((3, 3), depth, 4, random_state=0)

    def value(network):
        square = np.mean((network.product()[rows, cols] - y) ** 2)
        return square + ridge / 2 * network.square_norm()

    first = value(start)
    rate = 0.999 * deep_step_size(first, depth, ridge, float(np.linalg.norm(y)), 6)
    steps = list(range(301))
    phase = Phase(300, rate, ridge)
    kept = train(problem, start, [phase], batch_size=None, every=1, keep=steps).kept
    values = np.array([value(kept[step][0]) for step in steps])
    assert np.all(np.diff(values) <= 1e-14)
    radius = math.sqrt(2 * first / ridge)
    assert all(kept[step][0].square_norm() <= radius**2 for step in steps)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), rank=st.integers(1, 3), scale=st.floats(0.01, 3.0))
def test_no_matrix_of_small_loss_has_a_smaller_singular_value(seed, rank, scale):
    # All entries are observed, so that the infimum is what the singular values say.
    rng = np.random.default_rng(seed)
    target, A = rng.standard_normal((2, 3, 4))
    A = target + scale * (A - target)
    lower = np.sum(np.linalg.svd(target, compute_uv=False)[rank - 1 :] ** 2) / 12
    margin = rank_margin(float(np.mean((A - target) ** 2)), lower, rank, 3, size=12)
    assert np.linalg.svd(A, compute_uv=False)[rank - 1] >= margin - 1e-12


def test_the_margin_is_met_where_all_that_is_lost_is_alike():
    target = np.eye(3)
    A = np.diag([1.0, 0.4, 0.4])
    margin = rank_margin(2 * 0.6**2 / 9, 2 / 9, 2, 3, size=9)
    assert margin == pytest.approx(np.linalg.svd(A, compute_uv=False)[1])
    assert rank_margin(float(np.mean(target**2)), 2 / 9, 2, 3, size=9) < 0.0


def test_the_margin_with_entries_missing_against_brute_force():
    rng = np.random.default_rng(0)
    rows, cols, y = completion(3, 8, rng)
    size = y.size

    def loss(X):
        return float(np.mean((X[rows, cols] - y) ** 2))

    lower = min(
        optimize.minimize(
            lambda p: loss(np.outer(p[:3], p[3:])), rng.standard_normal(6), method="BFGS"
        ).fun
        for _ in range(20)
    )
    found = 0
    for _ in range(300):
        X = rng.standard_normal((3, 3))
        X[rows, cols] = y + 0.5 * lower**0.5 * rng.standard_normal(size)
        margin = rank_margin(loss(X), lower, 2, 3, size=size)
        found += margin > 0.0
        assert np.linalg.svd(X, compute_uv=False)[1] >= margin - 1e-6
    assert found > 200


@pytest.mark.parametrize("polyak", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("ridge", [1e-6, 1e-4, 1e-2])
def test_flow_down_a_bowl_has_come_to_the_level_in_time(polyak, ridge):
    # L = polyak / 2 (x - 1)^2 along x, with equality in the inequality; L depends on x alone.
    start = np.array([3.0, 0.5])

    def value(x):
        return polyak / 2 * (x[0] - 1) ** 2 + ridge / 2 * x @ x

    def slope(_, x):
        return -np.array([polyak * (x[0] - 1) + ridge * x[0], ridge * x[1]])

    time, level = ridge_descent_time(value(start), float(np.linalg.norm(start)), ridge, polyak)
    end = start if time == 0 else integrate.solve_ivp(slope, (0, time), start, rtol=1e-10).y[:, -1]
    assert value(end) <= level
    reach = np.linalg.norm(start) + math.sqrt(value(start) / polyak)
    by_hand = (
        ridge / polyak * (2 * math.sqrt(2 * polyak * value(start)) * reach + polyak * reach**2)
    )
    assert level == pytest.approx(by_hand)
    assert time == pytest.approx(max(math.log(value(start) / level) / polyak, 0.0))


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (deep_smoothness, (1, 1.0, 0.1, 1.0), "depth"),
        (deep_smoothness, (3, -1.0, 0.1, 1.0), "radius"),
        (deep_step_size, (1.0, 3, 0.0, 1.0), "ridge"),
        (rank_margin, (0.1, 0.2, 3, 2), "sides"),
        (rank_margin, (-0.1, 0.2, 1, 2), "loss"),
        (ridge_descent_time, (1.0, 1.0, 0.1, 0.0), "polyak"),
        (ridge_descent_time, (0.0, 1.0, 0.1, 1.0), "loss"),
    ],
)
def test_arguments_that_cannot_be_right(function, arguments, name):
    with pytest.raises((ValueError, TypeError), match=name):
        function(*arguments)


def test_a_network_at_the_sharpest_point_of_the_ball_needs_a_step_that_small():
    # One neuron: the certified step is within a factor of what the Hessian allows.
    depth, y, ridge = 3, -0.5, 0.05
    network = DeepFactors([np.full((1, 1), 0.9)] * depth)
    value = (0.9**depth - y) ** 2 + ridge / 2 * depth * 0.81
    step = deep_step_size(value, depth, ridge, abs(y))
    sharp = np.linalg.eigvalsh(
        hessian(np.full(3, 0.9), [(1, 1)] * 3, np.array([0]), np.array([0]), np.array([y]), ridge)
    ).max()
    assert network.square_norm() <= 2 * value / ridge
    assert step < 2.0 / sharp

"""How sets of low approximate rank are reached, what they say of products, and their exponents."""

import math
from itertools import pairwise

import numpy as np
import pytest

from leanrank.operators import ObservedEntries
from leanrank.problem import Problem
from leanrank.research.deep import (
    DeepFactors,
    Phase,
    approximate_rank,
    initial_layers,
    train,
)
from leanrank.research.theory import (
    absorbing_exponents,
    absorbing_set,
    column_event_steps,
    product_rank_bound,
)


@pytest.mark.parametrize("depth", [3, 4, 6])
def test_exponents_are_the_slopes_of_the_constants(depth):
    ridges = (1e-12, 1e-14)
    ends = [absorbing_set(depth, ridge, 10, 1.0) for ridge in ridges]

    def slope(numbers):
        return (numbers[0] - numbers[1]) / 2.0

    expected = absorbing_exponents(depth)
    assert slope([math.log10(end.bound) for end in ends]) == pytest.approx(expected.bound)
    for name in ("alpha", "balance", "learning_rate"):
        found = slope([getattr(end, f"log10_{name}") for end in ends])
        assert found == pytest.approx(getattr(expected, name), rel=1e-6)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("transposed", [False, True])
def test_layers_lose_what_is_not_drawn_at_the_rate_of_the_ridge(rank, transposed):
    # Whatever the learning rate and the start: singular value r + 1 of the layer at that side.
    rng = np.random.default_rng(rank)
    rows, cols = np.divmod(np.arange(12), 4)
    y = rng.standard_normal(12)
    drawn = cols < rank
    ends = (cols[drawn], rows[drawn]) if transposed else (rows[drawn], cols[drawn])
    shape = (4, 3) if transposed else (3, 4)
    start = initial_layers(shape, 3, 5, random_state=rng)
    phase = Phase(200, 0.1, 0.05)
    problem = Problem(ObservedEntries(*ends, shape), y[drawn])
    times = list(range(0, 201, 20))
    kept = train(problem, start, [phase], every=20, keep=times, random_state=0).kept
    outer = -1 if transposed else 0
    size = np.linalg.norm(start.layers[outer], 2)
    for step, (network,) in kept.items():
        left = np.linalg.svd(network.layers[outer], compute_uv=False)[rank]
        assert left <= (1 - 0.1 * 0.05) ** step * size * (1 + 1e-10)


def test_after_the_steps_of_the_event_a_balanced_network_is_of_that_rank():
    # One column is drawn; without noise in it balance stays, as the theorem asks for.
    constants = {"bound": 2.0, "alpha": 0.1, "excess": 0.02}
    eta, ridge, depth, width = 0.01, 0.05, 3, 4
    A = np.array([[1.0, 0.3], [0.2, 0.9]])
    problem = Problem(ObservedEntries([0, 1], [0, 0], (2, 2)), A[:, 0])
    start = DeepFactors.balanced(A, depth, width)
    steps = math.ceil(column_event_steps(eta, ridge, others=width - 1, **constants))
    network = train(problem, start, [Phase(steps, eta, ridge)], random_state=0).networks[0]
    assert np.all(network.approximate_ranks(constants["alpha"]) <= 1.0 + constants["excess"])
    short = train(problem, start, [Phase(steps // 3, eta, ridge)], random_state=0).networks[0]
    assert np.max(short.approximate_ranks(constants["alpha"])) > 1.5


def test_steps_of_the_event_by_hand():
    found = column_event_steps(0.1, 0.2, bound=3.0, alpha=0.1, excess=0.05, others=7, slope=1.5)
    assert found == pytest.approx(math.log(2 * 1.5 * 7 * 3.0 / (0.1 * 0.05)) / (2 * 0.1 * 0.2))
    assert column_event_steps(0.1, 0.2, bound=1e-9, alpha=1.0, excess=0.4) == 0.0


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_products_are_of_no_larger_approximate_rank(depth):
    rng = np.random.default_rng(depth)
    alpha, sharp = 0.3, 0
    for noise in (0.0, 1e-5, 1e-3):
        for _ in range(20):
            A = np.outer(*rng.standard_normal((2, 3))) + 0.05 * rng.standard_normal((3, 3))
            layers = [
                W + noise * rng.standard_normal(W.shape)
                for W in DeepFactors.balanced(A, depth, 4).layers
            ]
            network = DeepFactors(layers)
            errors = [
                np.linalg.norm(low @ low.T - high.T @ high, 2) for low, high in pairwise(layers)
            ]
            rank = 1
            bound = product_rank_bound(
                rank,
                depth=depth,
                width=4,
                balance=max(errors),
                excess=max(float(np.max(network.approximate_ranks(alpha))) - rank, 0.0),
                alpha=alpha,
                bound=max(float(np.sum(W * W)) for W in layers),
            )
            found = approximate_rank(network.singular_values() ** 2, alpha)
            assert found <= bound + 1e-12
            sharp += bound < 3.0
    assert sharp > 5  # it says something: there are three singular values


def test_the_bound_on_products_by_hand():
    options = {"depth": 4, "width": 3, "excess": 0.1, "alpha": 0.2, "bound": 1.5, "slope": 1.7}
    found = product_rank_bound(2, balance=1e-3, **options)
    assert found == pytest.approx(2.1 + 1.7 * 3 * 16 / 0.4 * 1.5**3 * 1e-3)


def test_an_alpha_above_one_is_excluded_and_has_to_be():
    network = DeepFactors.balanced(np.array([[1.5**1.5]]), 3)
    layers, product = network.approximate_ranks(2.0), network.singular_values() ** 2
    assert approximate_rank(product, 2.0) > np.max(layers) + 0.05  # balanced, and yet larger
    with pytest.raises(ValueError, match="alpha"):
        product_rank_bound(1, depth=3, width=1, balance=0.0, excess=0.1, alpha=2.0, bound=2.0)


def test_approximate_ranks_at_the_ends():
    assert approximate_rank([0.0, 0.1, 5.0], 0.1) == 2.0
    assert approximate_rank([0.05], 0.1) == pytest.approx(0.75)
    with pytest.raises(ValueError, match=r"values must not be negative, got -1"):
        approximate_rank([1.0, -1.0], 0.1)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: absorbing_exponents(2), "depth"),
        (lambda: column_event_steps(0.0, 0.1, bound=1.0, alpha=1.0, excess=0.1), "learning_rate"),
        (
            lambda: column_event_steps(0.1, 0.1, bound=1.0, alpha=1.0, excess=0.1, others=0),
            "others",
        ),
        (
            lambda: product_rank_bound(
                1, depth=3, width=2, balance=-1.0, excess=0.1, alpha=0.1, bound=1.0
            ),
            "balance",
        ),
    ],
)
def test_arguments_that_cannot_be_right(call, name):
    with pytest.raises((ValueError, TypeError), match=name):
        call()

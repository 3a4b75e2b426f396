"""The inequality of Polyak and Lojasiewicz around networks of full rank."""

import numpy as np
import pytest

from leanrank.research.deep import (
    DeepFactors,
    full_rank_neighbour,
    initial_layers,
    polyak_constant,
)

ROWS, COLS = np.array([0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 0])


def loss_and_slopes(network, y, h=1e-6):
    """The mean squared residual, and its gradient by central differences."""

    def loss(layers):
        return np.mean((np.linalg.multi_dot(layers[::-1])[ROWS, COLS] - y) ** 2)

    slopes = []
    for number, W in enumerate(network.layers):
        for place in np.ndindex(W.shape):
            ends = []
            for sign in (1, -1):
                layers = [V.copy() for V in network.layers]
                layers[number][place] += sign * h
                ends.append(loss(layers))
            slopes.append((ends[0] - ends[1]) / (2 * h))
    return loss(network.layers), np.array(slopes)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_gradients_are_no_smaller(depth):
    rng = np.random.default_rng(depth)
    for seed in range(5):
        network = initial_layers((3, 2), depth, 5, random_state=seed)
        y = network.product()[ROWS, COLS] + rng.standard_normal(5)
        loss, slopes = loss_and_slopes(network, y)
        assert polyak_constant(network, 5) > 0.0
        assert 0.5 * slopes @ slopes >= polyak_constant(network, 5) * loss


def test_half_of_the_constant_of_the_paper_is_all_there_is():
    # One neuron whose last layer does not see the first: only the gradient in W_L is left.
    network = DeepFactors([np.array([[0.7]]), np.zeros((1, 1))])
    y = 0.3
    half_square = 0.5 * (2 * 0.7 * y) ** 2
    assert half_square == pytest.approx(polyak_constant(network, 1) * y**2)


@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize("distance", [1e-3, 0.3])
def test_a_neighbour_has_the_product_the_distance_and_the_rank(depth, distance):
    network = DeepFactors.balanced(np.outer([1.0, 2.0, 0.5], [1.0, -1.0]), depth, width=6)
    assert polyak_constant(network, 5) < 1e-30
    near = full_rank_neighbour(network, distance, random_state=0)
    np.testing.assert_allclose(near.product(), network.product(), atol=1e-14)
    changes = [a - b for a, b in zip(near.layers, network.layers, strict=True)]
    assert np.sqrt(sum(np.sum(c * c) for c in changes)) == pytest.approx(distance)
    assert polyak_constant(near, 5) > 0.0


def test_narrow_networks_have_no_constant_and_no_neighbour():
    narrow = initial_layers((3, 2), 3, 1, random_state=0)
    assert polyak_constant(narrow, 5) == 0.0
    with pytest.raises(ValueError, match=r"hidden widths of at least 5, .* got 4"):
        full_rank_neighbour(initial_layers((3, 2), 3, 4), 0.1)
    with pytest.raises(ValueError, match="distance"):
        full_rank_neighbour(initial_layers((3, 2), 3, 5), 0.0)

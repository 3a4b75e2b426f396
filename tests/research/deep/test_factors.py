"""DeepFactors: products, balance, representation cost, approximate rank."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import leanrank as lr
from leanrank.research.deep import DeepFactors, initial_layers, representation_cost


def balanced(A, depth):
    P, s, Qt = np.linalg.svd(A)
    root = np.diag(s ** (1.0 / depth))
    return DeepFactors([root @ Qt, *[root] * (depth - 2), P @ root])


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 5))
def test_representation_cost_is_a_bound_that_balanced_networks_reach(seed, depth, width):
    deep = initial_layers((4, 4), depth, width, random_state=seed)
    assert deep.square_norm() >= deep.representation_cost() * (1 - 1e-9)
    best = balanced(deep.product(), depth)
    np.testing.assert_allclose(best.product(), deep.product(), atol=1e-12)
    np.testing.assert_allclose(best.balance_errors(), 0.0, atol=1e-10)
    assert best.square_norm() == pytest.approx(deep.representation_cost(), rel=1e-6, abs=1e-9)


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 3), st.integers(0, 4))
def test_balanced_networks_have_the_product_and_the_least_cost(seed, depth, rank, spare):
    rng = np.random.default_rng(seed)
    factors = lr.Factors(rng.standard_normal((5, rank)), rng.standard_normal((4, rank)))
    for matrix in (factors, factors.to_dense()):
        deep = DeepFactors.balanced(matrix, depth, rank + spare)
        assert deep.widths == (rank + spare,) * (depth - 1)
        np.testing.assert_allclose(deep.product(), factors.to_dense(), atol=1e-12)
        np.testing.assert_allclose(deep.balance_errors(), 0.0, atol=1e-12)
        cost = representation_cost(np.asarray(factors.singular_values()), depth)
        assert deep.square_norm() == pytest.approx(cost, rel=1e-9)
    assert DeepFactors.balanced(factors, depth).widths == (rank,) * (depth - 1)


def test_balanced_networks_of_zero_and_of_too_small_a_width():
    zero = DeepFactors.balanced(np.zeros((3, 2)), 4)
    assert zero.square_norm() == 0.0
    assert zero.widths == (1, 1, 1)
    with pytest.raises(ValueError, match="width"):
        DeepFactors.balanced(np.eye(3), 3, 2)


def test_approximate_rank_and_membership():
    A = np.diag([2.0, 1.0, 1e-9])
    deep = balanced(A, 3)
    np.testing.assert_allclose(deep.approximate_ranks(0.1), 2.0, atol=1e-3)
    # By hand: half of alpha counts for three quarters.
    half = DeepFactors([np.diag([1.0, 0.05**0.5]), np.eye(2)])
    assert half.approximate_ranks(0.1)[0] == pytest.approx(1.75)
    limits = {"balance": 1e-6, "excess": 0.01, "alpha": 0.1, "bound": 10.0}
    assert deep.is_in_rank_set(2, **limits)
    assert not deep.is_in_rank_set(1, **limits)
    assert not deep.is_in_rank_set(2, **(limits | {"bound": 1.0}))
    assert not initial_layers((3, 3), 3, 5, random_state=0).is_in_rank_set(3, **limits)


def test_the_lean_factors_of_a_network(rng):
    U, V = rng.standard_normal((5, 2)), rng.standard_normal((4, 2))
    deep = DeepFactors([V.T, np.eye(2), U])
    factors = deep.to_factors()
    assert factors.width == 2
    np.testing.assert_allclose(factors.to_dense(), U @ V.T, atol=1e-12)
    np.testing.assert_allclose(deep.singular_values()[:2], factors.singular_values())
    one = deep.to_factors(rank=1)
    assert one.width == 1
    best = np.linalg.svd(U @ V.T)
    np.testing.assert_allclose(
        one.to_dense(), best[1][0] * np.outer(best[0][:, 0], best[2][0]), atol=1e-12
    )
    small = DeepFactors([np.diag([1.0, 1e-9]), np.eye(2)])
    assert [small.to_factors().width, small.to_factors(rank=2).width] == [1, 2]
    zero = DeepFactors([np.zeros((2, 3)), np.zeros((4, 2))])
    assert [zero.to_factors().width, zero.to_factors(rank=2).width] == [0, 0]
    with pytest.raises(ValueError, match="rank must be at least 0 and at most 4, got 5"):
        deep.to_factors(rank=5)


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize(("options", "tol"), [({}, 1e-6), ({"tol": 0.1}, 0.1)])
def test_singular_values_below_a_share_of_the_largest_are_left_out(size, options, tol):
    for share, width in ((1.01 * tol, 2), (0.99 * tol, 1)):
        deep = DeepFactors([size * np.diag([1.0, share, 0.0]), np.eye(3)])
        factors = deep.to_factors(**options)
        assert factors.width == width
        np.testing.assert_allclose(np.sum(factors.U**2, axis=0), np.sum(factors.V**2, axis=0))
        assert deep.to_factors(rank=3).width == 2  # as many as there are above zero
        assert deep.to_factors(rank=0).width == 0


def test_input_that_cannot_be_right():
    with pytest.raises(ValueError, match="at least two matrices, got 1"):
        DeepFactors([np.eye(2)])
    with pytest.raises(ValueError, match=r"layers\[1\] of shape \(2, 3\) does not fit"):
        DeepFactors([np.eye(2), np.ones((2, 3))])
    with pytest.raises(ValueError, match="must not be negative"):
        representation_cost([-1.0], 3)
    with pytest.raises(ValueError, match="depth"):
        representation_cost([1.0], 1)

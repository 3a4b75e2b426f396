"""Rank-one sensing: both forms of the tangent, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Factors
from leanrank.operators import RankOneSensing
from leanrank.operators._tangent import ExplicitTangent


@pytest.mark.parametrize(
    ("x", "z", "error", "match"),
    [
        (np.ones(3), None, ValueError, "x must have 2 dimension"),
        (np.ones((2, 3)), np.ones((3, 3)), ValueError, "same number of rows .* got 2 and 3"),
        (np.ones((0, 3)), None, ValueError, "must not be empty"),
        (np.ones((3, 0)), None, ValueError, "must not be empty"),
        (np.array([[np.nan]]), None, ValueError, "x must be finite"),
        (np.ones((1, 1)), np.array([[np.inf]]), ValueError, "z must be finite"),
        (np.ones((1, 1)), np.array([[1j]]), TypeError, "z must be real"),
        (np.ones((1, 1)), np.ones((1, 1), np.float32), TypeError, "same dtype"),
    ],
)
def test_bad_input(x, z, error, match):
    with pytest.raises(error, match=match):
        RankOneSensing(x, z)


def test_quadratic_network(rng):
    x, U = rng.standard_normal((6, 4)), rng.standard_normal((4, 3))
    expected = np.sum((x @ U) ** 2, axis=1)
    np.testing.assert_allclose(RankOneSensing(x).forward(Factors(U)), expected)
    np.testing.assert_allclose(RankOneSensing(x, x).forward(Factors(U)), expected)
    assert RankOneSensing(x).symmetric
    assert not RankOneSensing(x, x).symmetric


@pytest.mark.parametrize("symmetric", [False, True])
def test_both_tangents_agree(rng, symmetric):
    m, d, k = 3000, 60, 50
    x = rng.standard_normal((m, d))
    op = RankOneSensing(x, None if symmetric else rng.standard_normal((m, d)))
    W = rng.standard_normal((d if symmetric else 2 * d, 2 * k))
    wide, narrow = (Factors.stacked(W[:, :j], (d, d), symmetric) for j in (2 * k, 2))
    assert not isinstance(op.tangent(wide), ExplicitTangent)
    assert isinstance(op.tangent(narrow), ExplicitTangent)
    Z, t = np.zeros_like(W), rng.standard_normal(m)
    Z[:, :2] = rng.standard_normal((W.shape[0], 2))
    one, other = op.tangent(wide), op.tangent(narrow)
    np.testing.assert_allclose(one.matvec(Z), other.matvec(Z[:, :2]), atol=1e-9)
    np.testing.assert_allclose(one.rmatvec(t)[:, :2], other.rmatvec(t), atol=1e-8)
    np.testing.assert_allclose(one.value, op.forward(wide))


def test_adjoint_multiplies_vectors_from_both_sides(rng):
    x, z, r = rng.standard_normal((6, 4)), rng.standard_normal((6, 3)), rng.standard_normal(6)
    matrix = RankOneSensing(x, z).adjoint(r)
    dense = x.T @ np.diag(r) @ z
    np.testing.assert_allclose(matrix @ np.ones(3), dense @ np.ones(3))
    np.testing.assert_allclose(matrix.T @ np.ones(4), dense.T @ np.ones(4))
    np.testing.assert_allclose(matrix.T.T @ np.eye(3), dense)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("width", [1, 3])
def test_a_pass_with_the_derivative_reads_all_of_it(rng, symmetric, width):
    """In passes over the measurements, whose vectors are of n1 + n2 numbers."""
    op = RankOneSensing(rng.standard_normal((30, 5)), rng.standard_normal((30, 5)))
    U, V = rng.standard_normal((2, 5, width))
    tangent = op.tangent(Factors(U) if symmetric else Factors(U, V))
    assert isinstance(tangent, ExplicitTangent)
    assert tangent.apply_cost * op.size * sum(op.shape) == pytest.approx(tangent.jacobian.size)

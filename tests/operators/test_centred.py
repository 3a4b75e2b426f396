"""Centred measurements: what they are, and that nothing of the mean is left."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Factors, recover
from leanrank.operators import Centred, DenseSensing, ObservedEntries, RankOneSensing
from leanrank.operators._tangent import ExplicitTangent
from leanrank.problem import Problem
from leanrank.testing import check_adjoint


def operators(rng):
    x, z = rng.standard_normal((40, 6)), rng.standard_normal((40, 5))
    return [
        RankOneSensing(x),
        RankOneSensing(x, z),
        DenseSensing(rng.standard_normal((30, 6, 6))),
        RankOneSensing(x.astype(np.float32)),
    ]


def test_laws(rng):
    for op in operators(rng):
        check_adjoint(Centred(op))
        check_adjoint(Centred(op).subset(np.arange(3, 25)))


def test_it_measures_what_differs_from_the_mean_matrix(rng):
    x, U = rng.standard_normal((40, 6)), rng.standard_normal((6, 2))
    A = x[:, :, None] * x[:, None, :]
    expected = np.einsum("mij,ij->m", A - A.mean(axis=0), U @ U.T)
    op = Centred(RankOneSensing(x))
    np.testing.assert_allclose(op.forward(Factors(U)), expected)
    index = np.array([5, 2, 30])
    np.testing.assert_allclose(op.subset(index).forward(Factors(U)), expected[index])
    np.testing.assert_allclose(op.matrices(index), (A - A.mean(axis=0))[index])
    assert (op.shape, op.size, op.symmetric) == ((6, 6), 40, True)
    assert op.weight == RankOneSensing(x).weight


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_coefficients_of_several_right_hand_sides(rng, dtype):
    s, values = rng.standard_normal(40) + 1.0, rng.standard_normal((40, 3))
    op = Centred(RankOneSensing(rng.standard_normal((40, 6)).astype(dtype)), s.astype(dtype))
    expected = np.linalg.lstsq(s[:, None], values, rcond=None)[0]
    found, one = (op.coefficients(v.astype(dtype)) for v in (values, values[:, 0]))
    np.testing.assert_allclose(found, expected, rtol=1e-4 if dtype == np.float32 else 1e-10)
    assert (found.shape, one.shape) == ((1, 3), (1,))
    assert one[0] == pytest.approx(expected[0, 0], rel=1e-4)
    np.testing.assert_allclose(s @ op.project(values.astype(dtype)), 0.0, atol=1e-4)


def test_along_is_least_squares_with_weights(rng):
    x, U = rng.standard_normal((40, 6)), rng.standard_normal((6, 2))
    y, weight = rng.standard_normal(40), rng.random(40)
    s = np.sqrt(weight)
    op = Centred(RankOneSensing(x * np.sqrt(s)[:, None]), s)
    check_adjoint(op)
    forward = RankOneSensing(x).forward(Factors(U))
    b = np.average(y - forward, weights=weight)
    assert op.constant(s * (y - forward)) == pytest.approx(b)
    joint = np.mean(weight * (forward + b - y) ** 2)
    assert Problem(op, op.centre(s * y)).value(Factors(U)) == pytest.approx(joint)
    for k in (2, 100):
        tangent = op.tangent(Factors(rng.standard_normal((6, k))))
        image = tangent.matvec(rng.standard_normal((6, k)))
        assert abs(s @ image) < 1e-9
    assert recover(op, op.centre(s * forward), symmetric=True).factors.distance(Factors(U)) < 1e-9


def test_its_minimum_is_that_over_matrix_and_constant(rng):
    x, U = rng.standard_normal((40, 6)), rng.standard_normal((6, 2))
    y = rng.standard_normal(40)
    op = RankOneSensing(x)
    forward = op.forward(Factors(U))
    b = np.mean(y - forward)
    joint = np.mean((forward + b - y) ** 2)
    assert Problem(Centred(op), y - y.mean()).value(Factors(U)) == pytest.approx(joint)


def test_both_tangents_are_centred(rng):
    m, d, k = 3000, 60, 100
    x = rng.standard_normal((m, d))
    op = Centred(RankOneSensing(x))
    wide, narrow = (Factors(rng.standard_normal((d, j))) for j in (k, 2))
    assert not isinstance(op.tangent(wide), ExplicitTangent)
    assert isinstance(op.tangent(narrow), ExplicitTangent)
    for factors in (wide, narrow):
        tangent = op.tangent(factors)
        Z = rng.standard_normal(factors.W.shape)
        image = tangent.matvec(Z)
        assert abs(image.mean()) < 1e-9
        np.testing.assert_allclose(tangent.rmatvec(np.ones(m)), 0.0, atol=1e-8)
        assert tangent.build_cost >= 1.0


def test_recover_does_not_see_the_constant(rng):
    U = rng.standard_normal((10, 2))
    op = RankOneSensing(rng.standard_normal((200, 10)))
    y = op.forward(Factors(U)) - 50.0
    result = recover(Centred(op), y - y.mean(), symmetric=True)
    assert result.success
    assert result.factors.distance(Factors(U)) < 1e-9


def test_bad_input():
    with pytest.raises(TypeError, match="op must be a measurement operator"):
        Centred(np.eye(3))
    for along in (np.ones(2), np.zeros(3)):
        with pytest.raises(ValueError, match="along must have a value for each of the 3"):
            Centred(RankOneSensing(np.eye(3)), along)
    with pytest.raises(ValueError, match="index"):
        Centred(RankOneSensing(np.eye(3))).subset(np.array([7]))


def test_rows_that_nothing_was_measured_of_stay_undetermined():
    rows, cols = np.nonzero(np.ones((5, 4)))
    op = ObservedEntries(rows[rows != 2], cols[rows != 2], (5, 4))
    found = Centred(op).undetermined(1)
    np.testing.assert_array_equal(found[0], [2])
    np.testing.assert_array_equal(found[1], op.undetermined(1)[1])

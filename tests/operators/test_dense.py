"""Dense sensing: packing, memory, bad input."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from leanrank import Factors
from leanrank._arrays import to_numpy
from leanrank.operators import DenseSensing, _kernels
from leanrank.operators._tangent import ExplicitTangent
from leanrank.testing import check_adjoint


def pack(A):
    return DenseSensing(A, symmetric=True).reference


def test_where_triangles_lie_is_worked_out_once(rng, convert):
    op = DenseSensing(convert(rng.standard_normal((9, 5, 5))), symmetric=True)
    assert op.subset(np.array([3, 3, 1]))._triangle is op._triangle
    assert DenseSensing(convert(rng.standard_normal((9, 5, 5))))._triangle is None


@pytest.mark.parametrize("symmetric", [True, False])
def test_pickled_operators_are_whole(rng, symmetric):
    op = DenseSensing(rng.standard_normal((9, 5, 5)), symmetric=symmetric)
    again = pickle.loads(pickle.dumps(op))
    factors, residual = Factors(rng.standard_normal((5, 2))), rng.standard_normal(9)
    np.testing.assert_array_equal(again.forward(factors), op.forward(factors))
    np.testing.assert_array_equal(again.adjoint(residual), op.adjoint(residual))


def test_pack_in_several_blocks(rng, convert):
    d, m = 40, 300
    A = rng.standard_normal((m, d, d))
    i, j = np.triu_indices(d)
    expected = ((A + A.transpose(0, 2, 1)) / 2)[:, i, j]
    np.testing.assert_allclose(pack(A), expected)
    np.testing.assert_allclose(to_numpy(pack(convert(A))), expected)


@pytest.mark.parametrize(("m", "d"), [(1, 1), (5, 3), (300, 40)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_packing_in_place(rng, m, d, dtype):
    A = rng.standard_normal((m, d, d)).astype(dtype)
    expected = DenseSensing(A, symmetric=True).reference
    before = A.copy()
    op = DenseSensing(A, symmetric=True, overwrite_a=True)
    assert np.shares_memory(op.reference, A)
    np.testing.assert_array_equal(op.reference, expected)
    general = DenseSensing(before.copy(), overwrite_a=True)
    np.testing.assert_array_equal(general.reference, before.reshape(m, -1))


def test_what_cannot_be_packed_in_place_is_left_alone(rng, convert):
    A = rng.standard_normal((4, 6, 6))
    A.flags.writeable = False
    with pytest.raises(ValueError, match="A is read-only: leave overwrite_a=False"):
        DenseSensing(A, symmetric=True, overwrite_a=True)
    whole = rng.integers(-3, 4, (4, 6, 6))
    for given in (np.asfortranarray(A), whole, A.astype(np.float16), convert(A.copy())):
        before = to_numpy(given).copy()
        op = DenseSensing(given, symmetric=True, overwrite_a=True)
        np.testing.assert_array_equal(to_numpy(given), before)
        np.testing.assert_allclose(to_numpy(op.reference), pack(before.astype(float)), rtol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "d", "k"), [(1, 1, 1), (3, 2, 1), (4, 5, 2), (7, 33, 3), (6, 66, 9)])
def test_kernels_at_every_remainder(rng, m, d, k, dtype):
    A = rng.standard_normal((m, d, d))
    A = (A + A.transpose(0, 2, 1)) / 2
    U = rng.standard_normal((d, k))
    out, value = np.empty((m, k, d), dtype), np.empty(m, dtype)
    packed, Ut = pack(A).astype(dtype), np.ascontiguousarray(U.T, dtype)
    tol = {"rtol": 0, "atol": 1e3 * d * np.finfo(dtype).eps}
    _kernels.packed_tangent(packed, Ut, out, value)
    np.testing.assert_allclose(out, 2 * np.einsum("iab,bk->ika", A, U), **tol)
    np.testing.assert_allclose(value, np.einsum("iab,ak,bk->i", A, U, U), **tol)
    vector, shift, weights = (rng.standard_normal(n).astype(dtype) for n in (packed.shape[1], m, m))
    total = np.empty_like(vector)
    _kernels.sweep(packed, vector, shift, weights, value, total)
    expected = packed @ vector - shift
    np.testing.assert_allclose(value, expected, **tol)
    np.testing.assert_allclose(total, (weights * expected) @ packed, **tol)


@pytest.mark.parametrize("convert_data", [False, True])
def test_normal_of_an_explicit_tangent_is_one_sweep(rng, convert, convert_data):
    A, U, Z = rng.standard_normal((30, 12, 12)), *rng.standard_normal((2, 12, 2))
    to = convert if convert_data else np.asarray
    op = DenseSensing(to(A), symmetric=True)
    for of in (op, op.subset(np.arange(1, 28))):
        tangent = of.tangent(Factors(to(U)))
        assert tangent.normal_cost == (2.0 if convert_data else 1.0) * tangent.apply_cost
        found, apart = tangent.normal(to(Z)), tangent.rmatvec(tangent.matvec(to(Z)))
        np.testing.assert_allclose(to_numpy(found), to_numpy(apart), rtol=1e-12)


def test_symmetric_sensing_halves_the_data(rng):
    A = rng.standard_normal((7, 20, 20)).astype(np.float32)
    assert DenseSensing(A).nbytes == A.nbytes
    op = DenseSensing(A, symmetric=True)
    assert op.nbytes == 7 * 210 * 4
    assert repr(op) == "DenseSensing(shape=(20, 20), size=7)"


def test_data_is_used_in_place(rng):
    A = rng.standard_normal((3, 4, 5))
    triangles = rng.standard_normal((3, 10))
    assert np.shares_memory(DenseSensing(A).reference, A)
    assert np.shares_memory(DenseSensing.from_packed(triangles, 4).reference, triangles)


@pytest.mark.parametrize("symmetric", [False, True])
def test_many_blocks_and_explicit_tangents(rng, symmetric):
    d, m = 60, 150
    op = DenseSensing(rng.standard_normal((m, d, d)), symmetric=symmetric)
    assert len(op._blocks()) > 1
    assert sum(block.stop - block.start for block in op._blocks()) == m
    narrow, wide = (Factors(rng.standard_normal((d, k))) for k in (3, 40))
    assert isinstance(op.tangent(narrow), ExplicitTangent)
    assert not isinstance(op.tangent(wide), ExplicitTangent)
    check_adjoint(op)


def test_factors_of_another_precision_do_not_promote_the_data(rng):
    op = DenseSensing(rng.standard_normal((5, 4, 4)).astype(np.float32))
    f = Factors(rng.standard_normal((4, 2)))
    assert op.forward(f).dtype == np.float32
    assert op.adjoint(np.ones(5)).dtype == np.float32


@pytest.mark.parametrize(
    ("A", "error", "match"),
    [
        (np.ones((2, 6)), ValueError, r"shape \(2, 6\); .*A.reshape\(-1, n1, n2\)"),
        (np.ones(2), ValueError, "A must have 3 dimension"),
        (np.ones((0, 2, 2)), ValueError, "A must not be empty"),
        (np.ones((2, 2, 0)), ValueError, "A must not be empty"),
        (np.full((1, 2, 2), np.nan), ValueError, "A must be finite, got 4 NaN"),
        (np.full((1, 2, 2), -np.inf), ValueError, "A must be finite"),
        (np.ones((1, 2, 2)) * 1j, TypeError, "A must be real"),
        (np.full((1, 2, 2), "a"), TypeError, "A must be real"),
        (None, TypeError, "A must be real"),
    ],
)
def test_bad_input(A, error, match):
    with pytest.raises(error, match=match):
        DenseSensing(A)


def test_bad_symmetric_input():
    with pytest.raises(ValueError, match="square matrices .* got 2 x 3"):
        DenseSensing(np.ones((1, 2, 3)), symmetric=True)
    with pytest.raises(ValueError, match="= 6 columns for d = 3, got 5"):
        DenseSensing.from_packed(np.ones((1, 5)), 3)
    with pytest.raises(ValueError, match="packed must not be empty"):
        DenseSensing.from_packed(np.ones((0, 6)), 3)
    with pytest.raises(ValueError, match="d must be at least 1"):
        DenseSensing.from_packed(np.ones((2, 0)), 0)


def test_awkward_but_good_input(rng):
    A = rng.standard_normal((3, 4, 4))
    f = Factors(rng.standard_normal((4, 2)))
    expected = DenseSensing(A).forward(f)
    wide = np.repeat(A, 2, axis=2)[:, :, ::2]
    read_only = A.copy()
    read_only.flags.writeable = False
    for given in (wide, read_only, np.asfortranarray(A), A.tolist()):
        before = to_numpy(given).copy()
        for symmetric in (False, True):
            op = DenseSensing(given, symmetric=symmetric)
            np.testing.assert_allclose(op.forward(f), expected)
            op.tangent(f)
        np.testing.assert_array_equal(to_numpy(given), before)
    ones = DenseSensing(np.ones((1, 2, 2), dtype=int))
    assert ones.reference.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "n", "b"), [(1, 1, 2), (4, 511, 3), (6, 513, 7), (11, 1100, 2)])
def test_a_sweep_of_many_vectors_at_every_remainder(rng, m, n, b, dtype):
    sizes = ((m, n), (b, n), m, m)
    data, vectors, shift, weights = (rng.standard_normal(s).astype(dtype) for s in sizes)
    out, total = np.empty((b, m), dtype), np.empty((b, n), dtype)
    _kernels.sweep_many(data, vectors, shift, weights, out, total)
    expected = vectors.astype(float) @ data.T.astype(float) - shift
    tol = 1e2 * n * np.finfo(dtype).eps
    np.testing.assert_allclose(out, expected, rtol=0, atol=tol)
    np.testing.assert_allclose(total, (weights * expected) @ data, rtol=0, atol=n * tol)

"""Factors against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanrank import Factors
from leanrank._arrays import to_numpy
from leanrank.factors import degrees_of_freedom

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 7)


def random_factors(seed: int, n1: int, n2: int, k: int, symmetric: bool) -> Factors:
    rng = np.random.default_rng(seed)
    U = rng.standard_normal((n1, k))
    return Factors(U) if symmetric else Factors(U, rng.standard_normal((n2, k)))


any_factors = st.builds(random_factors, seeds, sizes, sizes, st.integers(0, 6), st.booleans())


def product(f: Factors) -> np.ndarray:
    X = np.zeros(f.shape)
    for u, v in zip(f.U.T, f.V.T, strict=True):
        X += np.outer(u, v)
    return X


@given(any_factors)
def test_dense_and_entries(f):
    X = product(f)
    np.testing.assert_allclose(f.to_dense(), X, atol=1e-12)
    rows, cols = np.indices(f.shape).reshape(2, -1)
    np.testing.assert_allclose(f.entries(rows, cols), X.ravel(), atol=1e-12)
    assert f.norm() == pytest.approx(np.linalg.norm(X))


@given(any_factors)
def test_singular_values_and_svd_agree_with_numpy(f):
    X = product(f)
    P, s, Q = f.svd()
    j = min(*f.shape, f.width)
    assert (P.shape, s.shape, Q.shape) == ((f.shape[0], j), (j,), (f.shape[1], j))
    np.testing.assert_allclose(s, np.linalg.svd(X)[1][:j], atol=1e-10)
    np.testing.assert_allclose(f.singular_values(), s)
    np.testing.assert_allclose(P * s @ Q.T, X, atol=1e-10)
    np.testing.assert_allclose(P.T @ P, np.eye(j), atol=1e-12)
    np.testing.assert_allclose(Q.T @ Q, np.eye(j), atol=1e-12)


@given(any_factors)
def test_balance(f):
    b = f.balance()
    np.testing.assert_allclose(b.to_dense(), product(f), atol=1e-10)
    assert b.symmetric == f.symmetric
    for half in (b.U, b.V):
        np.testing.assert_allclose(half.T @ half, np.diag(f.singular_values()), atol=1e-10)


@given(seeds, sizes, sizes, st.booleans(), st.booleans())
def test_distance(seed, n, k, first_symmetric, second_symmetric):
    f = random_factors(seed, n, n, k, first_symmetric)
    g = random_factors(seed + 1, n, n, 3, second_symmetric)
    assert f.distance(g) == pytest.approx(np.linalg.norm(product(f) - product(g)))
    assert f.distance(f) <= 1e-13 * f.norm()


@given(any_factors, seeds)
def test_rotation_leaves_the_matrix(f, seed):
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((f.width, f.width)))[0]
    np.testing.assert_allclose(f.with_stacked(f.W @ Q).to_dense(), product(f), atol=1e-12)


@given(any_factors, st.floats(0.1, 10))
def test_columns(f, c):
    mask = np.arange(f.width) % 2 == 0
    kept, dropped = f.keep(mask), f.keep(~mask)
    assert kept.width + dropped.width == f.width
    np.testing.assert_allclose(kept.append(dropped).to_dense(), product(f), atol=1e-12)
    np.testing.assert_allclose(f.scaled(c).to_dense(), c * product(f), atol=1e-10)
    norms = [
        np.linalg.norm(np.concatenate([u] if f.symmetric else [u, v]))
        for u, v in zip(f.U.T, f.V.T, strict=True)
    ]
    np.testing.assert_allclose(f.column_norms(), np.array(norms))


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 4])
def test_degrees_of_freedom_is_the_rank_of_the_jacobian(rank, symmetric):
    f = random_factors(0, 5, 5 if symmetric else 4, rank, symmetric)
    columns = []
    for Z in np.eye(f.W.size):
        up, down = (f.with_stacked(f.W + s * Z.reshape(f.W.shape)).to_dense() for s in (1, -1))
        columns.append((up - down).ravel())
    assert f.degrees_of_freedom() == np.linalg.matrix_rank(np.array(columns))
    assert degrees_of_freedom(f.shape, 99, symmetric) == (15 if symmetric else 20)


def test_empty():
    for symmetric in (False, True):
        f = Factors.empty((4, 4), symmetric, np.zeros(0, dtype=np.float32))
        assert (f.width, f.norm(), f.W.dtype) == (0, 0.0, np.float32)
        assert f.singular_values().shape == (0,)
        assert f.balance().width == 0
        np.testing.assert_array_equal(f.to_dense(), np.zeros((4, 4)))
    g = Factors(np.ones((4, 1)), np.ones((4, 1)))
    assert Factors.empty((4, 4)).append(g).distance(g) < 1e-14


def test_bad_factors():
    one = np.ones((3, 1))
    with pytest.raises(ValueError, match="U must be a matrix"):
        Factors(np.ones(3))
    with pytest.raises(ValueError, match="V must be a matrix"):
        Factors(one, np.ones((3, 1, 1)))
    with pytest.raises(ValueError, match="same number of columns, got 1 and 2"):
        Factors(one, np.ones((3, 2)))
    with pytest.raises(TypeError, match="V must be real"):
        Factors(one, 1j * one)
    with pytest.raises(TypeError, match="array"):
        Factors([[1.0], [2.0]])
    assert Factors(np.array([[1], [2]])).W.dtype == np.float64


def test_frozen_and_without_side_effects():
    W = np.arange(12.0).reshape(4, 3)
    W.flags.writeable = False
    f = Factors.stacked(W, (2, 2), symmetric=False)
    for g in (f.balance(), f.scaled(2.0), f.keep(np.array([True, False, True])), f.append(f)):
        assert not np.shares_memory(g.W, W)
    assert np.shares_memory(f.U, W)
    with pytest.raises(AttributeError):
        f.W = W
    assert repr(f) == "Factors(U V^T, shape=(2, 2), width=3)"


@pytest.mark.parametrize("symmetric", [False, True])
def test_other_array_libraries(convert, symmetric):
    f = random_factors(1, 5, 4, 3, symmetric)
    g = Factors(convert(f.U)) if symmetric else Factors(convert(f.U), convert(f.V))
    mask, index = np.array([True, False, True]), np.array([0, 1, 3])
    for one, other in [
        (f.to_dense(), g.to_dense()),
        (f.singular_values(), g.singular_values()),
        (f.balance().to_dense(), g.balance().to_dense()),
        (f.keep(mask).W, g.keep(mask).W),
        (f.keep(mask).W, g.keep(convert(mask)).W),
        (f.append(f).W, g.append(g).W),
        (f.scaled(2.0).W, g.scaled(2.0).W),
        (f.column_norms(), g.column_norms()),
        (f.entries(index, index), g.entries(index, index)),
        (np.zeros((f.W.shape[0], 0)), Factors.empty(f.shape, symmetric, g.W).W),
    ]:
        assert type(other) is type(g.W)
        np.testing.assert_allclose(to_numpy(other), one, atol=1e-12)
    assert g.norm() == pytest.approx(f.norm())
    assert g.distance(g.keep(mask)) == pytest.approx(f.distance(f.keep(mask)))
    assert g.astype(convert(np.zeros(1, np.float32))).W.dtype != g.W.dtype


@pytest.mark.parametrize("symmetric", [True, False])
def test_what_is_compressed_already_is_handed_back(symmetric, rng):
    W = rng.standard_normal((12, 3)) * [1e2, 1.0, 1e-2]
    factors = Factors.stacked(W, (12 if symmetric else 7, 12 if symmetric else 5), symmetric)
    lean = factors.compress()
    assert lean is not factors
    assert lean.compress() is lean
    turned = lean.with_stacked(lean.W @ np.linalg.qr(rng.standard_normal((3, 3)))[0])
    backwards = lean.with_stacked(lean.W[:, ::-1])
    for other in (turned, backwards):
        assert other.compress() is not other
        np.testing.assert_allclose(other.compress().to_dense(), lean.to_dense(), atol=1e-8)
    if not symmetric:
        skew = lean.with_stacked(lean.W * np.where(np.arange(12) < 7, 2.0, 0.5)[:, None])
        assert skew.compress() is not skew


def test_compress_drops_what_rounding_cannot_tell_from_zero(rng):
    U, V = rng.standard_normal((7, 2)), rng.standard_normal((5, 2))
    wide = Factors(np.hstack([U, 0 * U, U]), np.hstack([V, V, 1e-18 * V]))
    lean = wide.compress()
    assert lean.width == 2
    np.testing.assert_allclose(lean.to_dense(), U @ V.T, rtol=1e-12, atol=1e-14)
    assert Factors(0 * U, V).compress().width == 0
    assert Factors(0 * U).compress().width == 0
    assert Factors.empty((7, 5)).compress().width == 0


@given(any_factors, seeds)
def test_products_are_those_of_the_dense_matrix(f, seed):
    X, rng = product(f), np.random.default_rng(seed)
    for columns in ((), (1,), (3,)):
        v = rng.standard_normal((f.shape[1], *columns))
        w = rng.standard_normal((*columns, f.shape[0]))
        np.testing.assert_allclose(f @ v, X @ v, atol=1e-12)
        np.testing.assert_allclose(w @ f, w @ X, atol=1e-12)
    np.testing.assert_allclose(f.T.to_dense(), X.T, atol=1e-12)
    assert (f.T.shape, f.T.symmetric, f.T.width) == (f.shape[::-1], f.symmetric, f.width)


@given(any_factors)
def test_indexing_is_that_of_the_dense_matrix(f):
    X = product(f)
    kinds = [0, -1, np.int64(0), slice(None), slice(1, None, 2), slice(None, None, -1), slice(9, 3)]
    for i in kinds:
        for j in kinds:
            assert np.shape(f[i, j]) == np.shape(X[i, j])
            np.testing.assert_allclose(f[i, j], X[i, j], atol=1e-12)


@given(any_factors)
def test_numpy_makes_a_dense_matrix_of_it(f):
    X = np.asarray(f)
    np.testing.assert_array_equal(X, f.to_dense())
    np.testing.assert_array_equal(np.array(f, dtype=np.float32), X.astype(np.float32))
    np.testing.assert_array_equal(f.__array__(), X)  # as NumPy before 2.0 asks
    with pytest.raises(ValueError, match="no dense matrix to share: leave out copy=False"):
        f.__array__(copy=False)


def test_no_product_forms_the_matrix():
    n = 10**6  # dense, it would take terabytes
    f = Factors(np.ones((n, 2), np.float32), np.ones((n, 2), np.float32))
    v = np.arange(n) % 2
    assert np.all(f @ v == n)
    assert np.all(v @ f == n)
    assert (f[3, -1], f[5, :3].shape, f.T.shape) == (2.0, (3,), (n, n))


def test_precision_is_that_of_numpy():
    f = Factors(np.ones((2, 1), np.float32), np.ones((3, 1), np.float32))
    assert np.asarray(f).dtype == np.float32
    for dtype in (np.float32, np.float64, np.int8, np.bool_):
        expected = np.float32 if dtype is np.float32 else np.float64
        assert (f @ np.ones(3, dtype)).dtype == (np.ones(2, dtype) @ f).dtype == expected


@pytest.mark.parametrize(
    ("use", "error", "match"),
    [
        (lambda f: f @ np.ones(2), ValueError, r"with 3 rows .* shape \(2, 3\), got shape \(2,\)"),
        (lambda f: np.ones((2, 3)) @ f, ValueError, r"with 2 columns .* got shape \(2, 3\)"),
        (lambda f: f @ np.ones((1, 3, 1)), ValueError, "v must be a vector or matrix"),
        (lambda f: f @ np.array(1.0), ValueError, "v must be a vector or matrix"),
        (lambda f: f @ np.ones(3, complex), TypeError, "v must be real"),
        (lambda f: f @ [1, 2, 3], TypeError, "unsupported operand"),
        (lambda f: f @ f.T, TypeError, "unsupported operand"),
        (lambda f: f + np.ones((2, 3)), TypeError, "does not support ufuncs"),
        (lambda f: np.ones((2, 3)) - f, TypeError, "unsupported operand"),
        (lambda f: np.exp(f), TypeError, "does not support ufuncs"),
        (lambda f: f[0], TypeError, r"two indices, factors\[i, j\]"),
        (lambda f: [*f], TypeError, "two parts are factors.U and factors.V"),
        (lambda f: f[0, 3], IndexError, "index 3 is out of bounds for axis 1 with size 3"),
        (lambda f: f[-3, 0], IndexError, "index -3 is out of bounds for axis 0 with size 2"),
        (lambda f: f[0, [1, 2]], TypeError, r"use factors.entries\(rows, cols\)"),
        (lambda f: f[np.array([0]), 0], TypeError, "must be integers or slices"),
        (lambda f: f[True, 0], TypeError, "must be integers or slices, got True"),
        (lambda f: f.entries([0, 2], [0, 0]), ValueError, r"rows must lie in \[0, 2\), got 2"),
        (lambda f: f.entries([0], [-1]), ValueError, r"cols must lie in \[0, 3\), got -1"),
        (lambda f: f.entries([0], [0, 1]), ValueError, "same length, got 1 and 2"),
        (lambda f: f.entries([0.0], [0]), TypeError, "rows must be integers, got dtype float64"),
        (lambda f: f.entries([[0]], [[0]]), ValueError, "rows must be a vector"),
    ],
)
def test_bad_use_as_a_matrix(use, error, match):
    with pytest.raises(error, match=match):
        use(Factors(np.ones((2, 1)), np.ones((3, 1))))


@pytest.mark.parametrize("symmetric", [False, True])
def test_as_a_matrix_in_other_array_libraries(convert, symmetric):
    f = random_factors(2, 4, 4, 2, symmetric)
    g = f.with_stacked(convert(f.W))
    v, M, index = np.arange(4.0), np.ones((4, 2)), np.array([0, 3])
    for one, other in [
        (f @ v, g @ convert(v)),
        (v @ f, g.__rmatmul__(convert(v))),  # strict arrays give way to no one
        (f @ M, g @ convert(M)),
        (M.T @ f, g.__rmatmul__(convert(M.T))),
        (f @ index.repeat(2), g @ convert(index.repeat(2))),
        (f[1, 2], g[1, 2]),
        (f[-1, ::2], g[-1, ::2]),
        (f.T.W, g.T.W),
        (f.entries(index, index), g.entries(convert(index), convert(index))),
    ]:
        assert type(other) is type(g.W)
        np.testing.assert_allclose(to_numpy(other), one, atol=1e-12)
    np.testing.assert_allclose(np.asarray(g), f.to_dense())
    with pytest.raises(TypeError, match="v and factors must be arrays of one library"):
        g @ v
    with pytest.raises(TypeError, match="convert v from"):
        f @ convert(v)


def test_how_factors_are_shown():
    f = Factors(np.ones((60, 3), np.float32), np.ones((40, 3), np.float32))
    assert repr(f) == "Factors(U V^T, shape=(60, 40), width=3)"
    html = f._repr_html_()
    for part in ("U V^T", "60 x 40", "300 for 2400 entries", "float32"):
        assert part in html
    assert "180 for 3600 entries" in Factors(f.U)._repr_html_()

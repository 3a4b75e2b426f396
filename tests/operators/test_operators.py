"""Every operator: against explicit sensing matrices, and its laws in both precisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanrank import Factors
from leanrank._arrays import to_numpy
from leanrank.operators import (
    DenseSensing,
    FullObservation,
    Measurement,
    ObservedEntries,
    RankOneSensing,
    pull_back,
)
from leanrank.testing import check_adjoint

Explicit = tuple[Measurement, np.ndarray]
seeds = st.integers(0, 2**32 - 1)


def dense(rng, dtype=np.float64) -> Explicit:
    A = rng.standard_normal((11, 4, 5)).astype(dtype)
    return DenseSensing(A), A


def symmetric(rng, dtype=np.float64) -> Explicit:
    A = rng.standard_normal((11, 5, 5)).astype(dtype)
    return DenseSensing(A, symmetric=True), (A + A.transpose(0, 2, 1)) / 2


def packed(rng, dtype=np.float64) -> Explicit:
    triangles = rng.standard_normal((11, 15)).astype(dtype)
    A = np.zeros((11, 5, 5), dtype=dtype)
    for i, j, column in zip(*np.triu_indices(5), triangles.T, strict=True):
        A[:, i, j] = A[:, j, i] = column
    return DenseSensing.from_packed(triangles, 5), A


def rank_one(rng, dtype=np.float64) -> Explicit:
    x, z = (rng.standard_normal((11, n)).astype(dtype) for n in (4, 5))
    return RankOneSensing(x, z), np.einsum("ia,ib->iab", x, z)


def quadratic(rng, dtype=np.float64) -> Explicit:
    x = rng.standard_normal((11, 5)).astype(dtype)
    return RankOneSensing(x), np.einsum("ia,ib->iab", x, x)


def entries(rng, dtype=np.float64, shape=(4, 5)) -> Explicit:
    """Unsorted, one entry twice, the last row and the first column never seen."""
    flat = rng.permutation((shape[0] - 1) * (shape[1] - 1))[:8]
    rows, cols = np.divmod(flat, shape[1] - 1)
    rows, cols = np.append(rows, rows[3]), np.append(cols, cols[3]) + 1
    A = np.zeros((9, *shape), dtype=dtype)
    A[np.arange(9), rows, cols] = 1.0
    return ObservedEntries(rows, cols, shape, dtype=dtype), A


def square_entries(rng, dtype=np.float64) -> Explicit:
    return entries(rng, dtype, (5, 5))


def full(rng, dtype=np.float64, shape=(4, 5)) -> Explicit:
    A = np.eye(shape[0] * shape[1], dtype=dtype).reshape(-1, *shape)
    return FullObservation(shape, reference=np.empty(0, dtype=dtype)), A


def square_full(rng, dtype=np.float64) -> Explicit:
    return full(rng, dtype, (5, 5))


MAKERS: list[Callable[..., Explicit]] = [
    dense,
    symmetric,
    packed,
    rank_one,
    quadratic,
    entries,
    square_entries,
    full,
    square_full,
]
makers = st.sampled_from(MAKERS)


def some_factors(rng: np.random.Generator, op: Measurement, k: int = 2) -> list[Factors]:
    """General ones and, for a square shape, symmetric ones."""
    n1, n2 = op.shape
    dtype = op.reference.dtype
    out = [Factors.stacked(rng.standard_normal((n1 + n2, k)).astype(dtype), op.shape, False)]
    if n1 == n2:
        out.append(Factors(rng.standard_normal((n1, k)).astype(dtype)))
    return out


def jacobian(A: np.ndarray, f: Factors) -> np.ndarray:
    """dense J, shape (m, rows, k), from the product rule."""
    left = np.einsum("iab,bk->iak", A, f.V)
    right = np.einsum("iab,ak->ibk", A, f.U)
    return left + right if f.symmetric else np.concatenate([left, right], axis=1)


@given(makers, seeds)
def test_forward_and_adjoint_against_explicit_matrices(make, seed):
    rng = np.random.default_rng(seed)
    op, A = make(rng)
    r = rng.standard_normal(op.size)
    assert op.shape == A.shape[1:]
    assert op.size == A.shape[0]
    dense_adjoint = np.einsum("i,iab->ab", r, A)
    matrix = op.adjoint(r)
    np.testing.assert_allclose(matrix @ np.eye(op.shape[1]), dense_adjoint, atol=1e-12)
    np.testing.assert_allclose(matrix.T @ np.eye(op.shape[0]), dense_adjoint.T, atol=1e-12)
    for f in some_factors(rng, op):
        y = np.array([np.sum(a * f.to_dense()) for a in A])
        np.testing.assert_allclose(op.forward(f), y, atol=1e-12)
        expected = dense_adjoint @ f.V, dense_adjoint.T @ f.U
        expected = sum(expected) if f.symmetric else np.concatenate(expected)
        np.testing.assert_allclose(pull_back(matrix, f), expected, atol=1e-12)


@pytest.mark.parametrize("width", [3, 40])
@pytest.mark.parametrize("symmetric", [True, False])
def test_pull_back_of_an_array_narrow_and_wide(convert, rng, width, symmetric):
    G, U, V = (rng.standard_normal((4, n)) for n in (4, width, width))
    factors = Factors(convert(U)) if symmetric else Factors(convert(U), convert(V))
    expected = (G + G.T) @ U if symmetric else np.concatenate([G @ V, G.T @ U])
    np.testing.assert_allclose(to_numpy(pull_back(convert(G), factors)), expected, atol=1e-12)


@given(makers, seeds, st.integers(1, 3))
def test_tangent_against_explicit_matrices(make, seed, k):
    rng = np.random.default_rng(seed)
    op, A = make(rng)
    for f in some_factors(rng, op, k):
        tangent, J = op.tangent(f), jacobian(A, f)
        Z, t = rng.standard_normal(f.W.shape), rng.standard_normal(op.size)
        image = np.einsum("iak,ak->i", J, Z)
        np.testing.assert_allclose(tangent.matvec(Z), image, atol=1e-12)
        np.testing.assert_allclose(tangent.rmatvec(t), np.einsum("iak,i->ak", J, t), atol=1e-11)
        np.testing.assert_allclose(tangent.normal(Z), np.einsum("iak,i->ak", J, image), atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("make", MAKERS)
def test_laws(make, dtype, rng):
    op, _ = make(rng, dtype)
    check_adjoint(op, rng)
    f = some_factors(rng, op)[-1]
    tangent = op.tangent(f)
    for x in (op.forward(f), tangent.value, tangent.rmatvec(tangent.value), tangent.normal(f.W)):
        assert x.dtype == dtype
    residual, matrix, _ = op.residual_and_adjoint(f, op.forward(f))
    assert residual.dtype == (matrix @ f.V).dtype == dtype


@pytest.mark.parametrize("make", MAKERS)
def test_subset(make, rng):
    op, A = make(rng)
    index = np.array([5, 0, 3])
    index.flags.writeable = False
    part = op.subset(index)
    np.testing.assert_allclose(op.matrices(index), A[index], atol=1e-15)
    np.testing.assert_array_equal(op.matrices([3, 3]), np.stack(2 * [op.matrices(index)[2]]))
    f = some_factors(rng, op)[-1]
    assert part.size == 3
    np.testing.assert_allclose(part.forward(f), op.forward(f)[index], atol=1e-13)
    check_adjoint(part)
    for bad in (np.ones(op.size, dtype=bool), [0.0], ["a"]):
        with pytest.raises(TypeError, match="index must be integers"):
            op.subset(bad)
        with pytest.raises(TypeError, match="index must be integers"):
            op.matrices(bad)
    for bad in ([op.size], [-1], [[0]], []):
        with pytest.raises(ValueError, match="index"):
            op.subset(bad)
        with pytest.raises(ValueError, match="index"):
            op.matrices(bad)


@pytest.mark.parametrize("make", [full, square_full, entries, square_entries, rank_one, dense])
def test_column_curvature_is_the_mean_diagonal(make, rng):
    op, A = make(rng)
    for f in some_factors(rng, op):
        tangent = op.tangent(f)
        if make is dense and f.width * sum(op.shape) > op._data.shape[1] / 2:
            continue
        expected = np.mean(np.sum(jacobian(A, f) ** 2, axis=0), axis=0)
        np.testing.assert_allclose(tangent.column_curvature(), expected, rtol=1e-10)


@pytest.mark.parametrize("make", [full, entries, square_entries])
def test_preconditioner_inverts_the_blocks_of_rows(make, rng):
    op, A = make(rng)
    f = some_factors(rng, op)[-1]
    damping = np.array([0.3, 0.7])
    J = jacobian(A, f)
    R = rng.standard_normal(f.W.shape)
    expected = [
        np.linalg.solve(J[:, a].T @ J[:, a] + np.diag(damping), R[a]) for a in range(len(R))
    ]
    np.testing.assert_allclose(op.tangent(f).preconditioner(damping)(R), expected, rtol=1e-9)


@pytest.mark.parametrize("make", MAKERS)
def test_preconditioner_is_positive_and_finite_also_without_damping(make, rng):
    op, _ = make(rng)
    for f in some_factors(rng, op):
        f = f.append(f.with_stacked(np.zeros((f.W.shape[0], 1))))
        apply = op.tangent(f).preconditioner(np.full(3, 1e-3))
        R, S = rng.standard_normal((2, *f.W.shape))
        assert np.sum(R * apply(R)) > 0
        assert np.sum(R * apply(S)) == pytest.approx(np.sum(S * apply(R)))
        zero = f.with_stacked(0 * f.W)
        assert np.all(np.isfinite(op.tangent(zero).preconditioner(np.zeros(3))(R)))


def test_what_an_operator_must_have():
    needed = {"reference", "forward", "adjoint", "subset"}
    assert Measurement.__abstractmethods__ == needed
    for name in needed:
        parts = dict.fromkeys(needed - {name}) | {"shape": (2, 2), "size": 1}
        with pytest.raises(TypeError, match=name):
            type("Own", (Measurement,), parts)()
    own = type("Own", (Measurement,), dict.fromkeys(needed) | {"shape": (2, 2), "size": 4})()
    assert (own.weight, own.symmetric, own.eliminated) == (0.25, False, 0)


@pytest.mark.parametrize("make", MAKERS)
def test_no_columns(make, rng):
    op, _ = make(rng)
    for f in some_factors(rng, op, 0):
        tangent = op.tangent(f)
        np.testing.assert_array_equal(tangent.value, np.zeros(op.size))
        assert tangent.normal(f.W).shape == f.W.shape
        assert tangent.rmatvec(tangent.value).shape == f.W.shape
        residual, matrix, _ = op.residual_and_adjoint(f, np.ones(op.size))
        np.testing.assert_array_equal(residual, -np.ones(op.size))
        assert pull_back(matrix, f).shape == f.W.shape


@pytest.mark.parametrize("make", MAKERS)
def test_inputs_are_not_modified(make, rng):
    op, _ = make(rng)
    f = some_factors(rng, op)[-1]
    r, Z = rng.standard_normal(op.size), rng.standard_normal(f.W.shape)
    given = [f.W, r, Z, op.reference]
    before = [x.copy() for x in given]
    for x in given:
        x.flags.writeable = False
    op.forward(f)
    op.residual_and_adjoint(f, r)
    tangent = op.tangent(f)
    tangent.matvec(Z), tangent.rmatvec(r), tangent.normal(Z)
    tangent.preconditioner(np.ones(2))(Z)
    for x, y in zip(given, before, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("make", MAKERS)
def test_layout_of_the_factors_does_not_matter(make, rng):
    op, _ = make(rng)
    f = some_factors(rng, op)[-1]
    g = f.with_stacked(np.asfortranarray(f.W))
    Z = rng.standard_normal(f.W.shape)
    np.testing.assert_allclose(op.forward(g), op.forward(f), atol=1e-13)
    for W in (np.asfortranarray(Z), np.repeat(Z, 2, axis=1)[:, ::2]):
        np.testing.assert_allclose(op.tangent(g).normal(W), op.tangent(f).normal(Z), atol=1e-12)


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("kind", ["dense", "symmetric", "rank one", "full"])
def test_other_array_libraries(convert, kind, square, rng):
    shape = (5, 5) if square or kind == "symmetric" else (4, 5)
    A = rng.standard_normal((60, *shape))
    x, z = (rng.standard_normal((60, n)) for n in shape)
    make: Callable[[Any], Measurement] = {
        "dense": lambda c: DenseSensing(c(A)),
        "symmetric": lambda c: DenseSensing(c(A), symmetric=True),
        "rank one": lambda c: RankOneSensing(c(x), None if square else c(z)),
        "full": lambda c: FullObservation(shape, reference=c(x)),
    }[kind]
    op, other = make(np.asarray), make(convert)
    check_adjoint(other)
    for k in (1, 2):
        for f in some_factors(rng, op, k):
            g = f.with_stacked(convert(f.W))
            tangent, twin = op.tangent(f), other.tangent(g)
            damping = np.full(k, 0.5)
            for one, two in [
                (op.forward(f), other.forward(g)),
                (tangent.value, twin.value),
                (tangent.normal(f.W), twin.normal(g.W)),
                (tangent.column_curvature(), twin.column_curvature()),
                (
                    tangent.preconditioner(damping)(f.W),
                    twin.preconditioner(convert(damping))(g.W),
                ),
            ]:
                assert type(two) is type(g.W)
                np.testing.assert_allclose(to_numpy(two), one, rtol=1e-9, atol=1e-9)
    if kind != "full":
        part = other.subset(np.array([4, 1]))
        np.testing.assert_allclose(
            to_numpy(part.forward(g)), op.forward(f)[[4, 1]], rtol=1e-9, atol=1e-9
        )
        np.testing.assert_allclose(
            to_numpy(other.matrices(np.array([4, 1]))), op.matrices([4, 1]), atol=1e-15
        )


@pytest.mark.parametrize("make", MAKERS)
def test_weights_of_curvature_and_preconditioner(make, rng):
    """On one tangent with several weights: each counts, and a constant factor goes through."""
    op, A = make(rng)
    w, other, damping = *rng.uniform(0.1, 3.0, (2, op.size)), np.full(2, 0.3)
    for f in some_factors(rng, op):
        tangent = op.tangent(f)
        one, same = tangent.column_curvature(w), tangent.column_curvature(5.0 * w)
        np.testing.assert_allclose(same, 5.0 * one)
        assert not np.allclose(tangent.column_curvature(other), one, rtol=1e-6)
        np.testing.assert_allclose(
            tangent.preconditioner(5.0 * damping, 5.0 * w)(f.W),
            tangent.preconditioner(damping, w)(f.W) / 5.0,
        )
        if tangent.exact_blocks or hasattr(tangent, "jacobian"):
            J = jacobian(A, f)
            expected = np.mean(np.einsum("i,iak->ak", w, J**2), axis=0)
            np.testing.assert_allclose(one, expected)

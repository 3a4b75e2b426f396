"""Matrix-free linear algebra against dense decompositions."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import cg

from leanrank._arrays import to_numpy
from leanrank.linalg import (
    RitzPairs,
    conjugate_gradients,
    eigenpairs,
    leading_pairs,
    smallest_eigenpair,
    smallest_eigenvalue,
)

seeds = st.integers(0, 2**32 - 1)


def spd(seed: int, n: int) -> np.ndarray:
    B = np.random.default_rng(seed).standard_normal((n, n))
    return B @ B.T + 0.5 * np.eye(n)


@given(seeds, st.integers(1, 8))
def test_conjugate_gradients_solve(seed, n):
    H = spd(seed, n)
    b = np.random.default_rng(seed + 1).standard_normal(n)
    out = conjugate_gradients(lambda x: H @ x, b, lambda r: r, tol=1e-12, max_iter=50)
    np.testing.assert_allclose(out.x, scipy.linalg.solve(H, b), rtol=1e-6, atol=1e-8)
    assert out.residual <= 1e-12


@given(seeds)
def test_conjugate_gradients_take_the_steps_of_scipy(seed):
    H = spd(seed, 12)
    diagonal = np.diag(H)
    b = np.random.default_rng(seed + 1).standard_normal(12)
    ours = conjugate_gradients(lambda x: H @ x, b, lambda r: r / diagonal, tol=0.0, max_iter=4)
    theirs, _ = cg(H, b, rtol=0.0, maxiter=4, M=np.diag(1 / diagonal))
    assert ours.iterations == 4
    np.testing.assert_allclose(ours.x, theirs, rtol=1e-8, atol=1e-10)
    r = b - H @ ours.x
    expected = np.sqrt((r / diagonal) @ r / ((b / diagonal) @ b))
    assert ours.residual == pytest.approx(expected, rel=1e-6)


@given(seeds)
def test_smallest_ritz_value(seed):
    H, M = spd(seed, 6), spd(seed + 2, 6)
    b = np.random.default_rng(seed + 1).standard_normal(6)
    out = conjugate_gradients(
        lambda x: H @ x, b, lambda r: np.linalg.solve(M, r), tol=0.0, max_iter=6
    )
    smallest = scipy.linalg.eigh(H, M, eigvals_only=True)[0]
    assert out.smallest_ritz == pytest.approx(smallest, rel=1e-3)


def test_conjugate_gradients_on_blocks_and_edges():
    b = np.arange(6.0).reshape(3, 2)
    out = conjugate_gradients(lambda x: 2 * x, b, lambda r: r, tol=1e-8, max_iter=9)
    np.testing.assert_allclose(out.x, b / 2)
    assert (out.iterations, out.smallest_ritz) == (1, pytest.approx(2.0))
    zero = conjugate_gradients(lambda x: x, 0 * b, lambda r: r, tol=1e-8, max_iter=9)
    assert (zero.iterations, zero.residual, zero.smallest_ritz) == (0, 0.0, 0.0)
    flat = conjugate_gradients(lambda x: 0 * x, b, lambda r: r, tol=1e-8, max_iter=9)
    assert flat.iterations == 0
    np.testing.assert_array_equal(flat.x, 0 * b)


def steps_and_residual(H, b, tol=1e-6):
    out = conjugate_gradients(
        lambda x: np.array(H) @ x, np.array(b), lambda r: r, tol=tol, max_iter=9
    )
    return out.iterations, out.residual


def test_conjugate_gradients_stop_at_a_direction_that_is_flat_to_rounding():
    for size in (1.0, 1e8):  # of the right-hand side, which is no matter
        assert steps_and_residual([[0.9e-12]], [size]) == (0, 1.0)
        assert steps_and_residual([[1.1e-12]], [size]) == (1, pytest.approx(0.0, abs=1e-12))
    assert steps_and_residual([[-1.0]], [1.0]) == (0, 1.0)


@pytest.mark.parametrize("growth", [0.9e6, 1.1e6])
def test_conjugate_gradients_stop_where_the_residual_grows_without_end(growth):
    # From e_1 the first step leaves the residual (0, -growth); one more is exact.
    steps, residual = steps_and_residual([[1.0, growth], [growth, 2 * growth**2]], [1.0, 0.0])
    assert steps == (2 if growth < 1e6 else 1)
    assert residual == pytest.approx(0.0 if growth < 1e6 else growth, abs=1e-6)


def test_conjugate_gradients_stop_at_the_tolerance():
    H, b = [[1.0, 0.1], [0.1, 2.0]], [1.0, 0.0]  # the first step leaves a tenth
    assert steps_and_residual(H, b, tol=0.101) == (1, pytest.approx(0.1))
    assert steps_and_residual(H, b, tol=0.099) == (2, pytest.approx(0.0, abs=1e-12))


CASES = [(10, 10, 10, 1), (30, 30, 1, 1), (40, 40, 0, 2), (7, 50, 7, 3), (60, 12, 12, 2)]
CASES += [(80, 90, 3, 4), (1, 9, 1, 1), (9, 1, 1, 1), (3, 3, 2, 5)]


@pytest.mark.parametrize(("n1", "n2", "rank", "k"), CASES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_leading_pairs_agree_with_svd(rng, n1, n2, rank, k, dtype):
    left, right = rng.standard_normal((n1, rank)), rng.standard_normal((rank, n2))
    M = (left @ right).astype(dtype)
    P, s, Q = leading_pairs(M, k, rng, M)
    j = min(k, n1, n2)
    tol = 1e3 * np.finfo(dtype).eps
    exact = np.linalg.svd(M)[1][:j]
    np.testing.assert_allclose(s, exact, atol=tol * (1 + exact[0]))
    for basis in (P, Q):
        np.testing.assert_allclose(basis.T @ basis, np.eye(j), atol=tol)
    np.testing.assert_allclose(M @ Q, P * s, atol=tol * (1 + exact[0]))


@pytest.mark.parametrize(("n", "rank", "k"), [(10, 10, 2), (30, 1, 1), (40, 0, 2), (90, 3, 4)])
def test_leading_pairs_agree_with_eigh(rng, n, rank, k):
    M = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, n))
    V, values, same = leading_pairs(M, k, rng, M, symmetric=True)
    assert same is V
    S = (M + M.T) / 2
    np.testing.assert_allclose(values, np.linalg.eigvalsh(S)[::-1][:k], atol=1e-9)
    np.testing.assert_allclose(V.T @ V, np.eye(k), atol=1e-10)
    np.testing.assert_allclose(S @ V, V * values, atol=1e-7)


def test_leading_pairs_never_exceed_the_norm(rng):
    M = rng.standard_normal((120, 100))
    top = np.linalg.norm(M, 2)
    for depth in (1, 2, 4, 8):
        value = float(leading_pairs(M, 1, rng, M, depth=depth)[1][0])
        assert 0.5 * top < value <= top * (1 + 1e-12)
    assert value > 0.98 * top


class Counted:
    """A matrix that counts its products."""

    def __init__(self, M, counts=None):
        self.M, self.shape, self.counts = M, M.shape, [] if counts is None else counts

    @property
    def T(self):
        return Counted(self.M.T, self.counts)

    def __matmul__(self, other):
        self.counts.append(other.shape[1])
        return self.M @ other


@pytest.mark.parametrize("symmetric", [False, True])
def test_leading_pairs_cost_two_products_a_block_or_two_in_all(rng, symmetric):
    M = rng.standard_normal((22, 22))
    for depth, width, products in ((3, 6, 2 * 3), (4, 6, 1 + symmetric), (2, 12, 1 + symmetric)):
        counted = Counted(M)
        values = leading_pairs(counted, width - 4, rng, M, symmetric=symmetric, depth=depth)[1]
        assert len(counted.counts) == products
        exact = np.linalg.eigvalsh((M + M.T) / 2)[::-1] if symmetric else np.linalg.svd(M)[1]
        found = np.allclose(values, exact[: width - 4], rtol=1e-10)
        assert found == (depth * width >= 22)  # so many directions are all there are
        assert set(counted.counts) == {width if depth * width < 22 else 22}


def test_bases_stay_orthogonal_where_blocks_bring_nothing_new(rng):
    # Of rank three among blocks of five: all but the first are made up.
    for size in (1e-8, 1.0, 1e8):
        M = size * rng.standard_normal((70, 3)) @ rng.standard_normal((3, 90))
        P, s, Q = leading_pairs(M, 1, rng, M)
        exact = np.linalg.svd(M)[1][0]
        assert s[0] == pytest.approx(exact, rel=1e-12)
        assert np.linalg.norm(P) == pytest.approx(1.0, rel=1e-12)
        np.testing.assert_allclose(M @ Q, P * s, atol=1e-9 * exact)


@pytest.mark.parametrize("symmetric", [False, True])
def test_ritz_pairs_come_nearer_with_every_block(rng, symmetric):
    P, Q = (np.linalg.qr(rng.standard_normal((60, 60)))[0] for _ in range(2))
    s = np.concatenate([[9.0, -8.0, 7.0] if symmetric else [9.0, 8.0, 7.0], np.linspace(1, 0, 57)])
    M = (P * s) @ (P if symmetric else Q).T
    space, errors = RitzPairs(M, symmetric=symmetric), []
    block = rng.standard_normal((60, 5))
    for width in (5, 10, 12):
        space.extend(block)
        left, values, right = space.pairs()
        assert space.width == width
        assert left.shape == right.shape == (60, width)
        np.testing.assert_allclose(left.T @ left, np.eye(width), atol=1e-12)
        assert (np.diff(np.abs(values)) <= 0).all()
        # From below, and of the images of left vectors to rounding.
        assert (np.abs(values[:3]) <= np.abs(s[:3]) * (1 + 1e-12)).all()
        if not symmetric:
            np.testing.assert_allclose(M.T @ left, right * values, atol=1e-12)
        errors.append(np.abs(values[:3] - s[:3]).max())
        block = right if width == 5 else right[:, :2]
    assert errors[1] < 1e-3 * errors[0]
    assert errors[2] <= errors[1]


def test_eigenpairs_by_size(rng):
    P = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    vectors, values, same = eigenpairs((P * [1.0, -5.0, 3.0, -2.0]) @ P.T)
    np.testing.assert_allclose(values, [-5.0, 3.0, -2.0, 1.0])
    np.testing.assert_allclose(np.abs(vectors.T @ P[:, [1, 2, 3, 0]]), np.eye(4), atol=1e-12)
    assert same is vectors


def products_until(H, start, **options):
    """Value, and how many products it took."""
    H, count = np.array(H), []

    def product(x):
        count.append(1)
        return H @ x

    return smallest_eigenpair(product, np.array(start), **options)[0], len(count)


def test_smallest_eigenvalue_stops_at_its_tolerance():
    # What is left of the first product is the entry beside the diagonal, the width is four.
    for size in (1e-6, 1.0, 1e6):
        for beside, number in ((0.39, 1), (0.41, 2)):
            H = size * np.array([[-4.0, beside], [beside, 2.0]])
            value, products = products_until(H, [1.0, 0.0], tol=0.1)
            assert products == number
            exact = np.linalg.eigvalsh(H)[0] if number == 2 else -4.0 * size
            assert value == pytest.approx(exact, rel=1e-12)
    # Of two directions the width is the larger end's, and the residual the second one's share.
    for sign in (1.0, -1.0):
        for beside, number in ((0.24, 2), (0.26, 3)):
            H = np.array([[0.0, 3.0, 0.0], [3.0, -8.0 * sign, beside], [0.0, beside, 1.0]])
            small, vector = np.linalg.eigh(H[:2, :2])
            share = abs(vector[1, 0]) * 0.25 / np.abs(small).max()
            assert products_until(H, [1.0, 0.0, 0.0], tol=share)[1] == number


def test_smallest_eigenvalue_stops_at_rounding_and_at_its_limit(rng):
    eps = np.finfo(float).eps
    for beside, number in ((90 * eps, 1), (110 * eps, 2)):
        assert products_until([[1.0, beside], [beside, 2.0]], [1.0, 0.0], tol=0.0)[1] == number
    D = np.diag(np.arange(100.0))
    assert products_until(D, rng.standard_normal(100), tol=0.0)[1] == 60
    assert products_until(D, rng.standard_normal(100), tol=0.0, max_iter=7)[1] == 7
    # The default tolerance sees a negative eigenvalue of a hundredth among many zeros.
    values = np.zeros(1000)
    values[:2] = 1.0, -0.01
    assert smallest_eigenpair(lambda x: values * x, rng.standard_normal(1000))[0] < -0.0099


@given(seeds, st.integers(1, 9))
def test_smallest_eigenvalue_agrees_with_eigh(seed, n):
    rng = np.random.default_rng(seed)
    S = rng.standard_normal((n, n))
    S = S + S.T
    value, vector = smallest_eigenpair(lambda x: S @ x, rng.standard_normal(n), tol=1e-10)
    assert value == pytest.approx(np.linalg.eigvalsh(S)[0], abs=1e-8)
    assert np.linalg.norm(vector) == pytest.approx(1.0)
    assert vector @ S @ vector == pytest.approx(value, abs=1e-8)


def test_smallest_eigenvalue_under_a_large_kernel(rng):
    n = 200
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    values = np.concatenate([[-0.1], np.zeros(99), np.linspace(1, 10, 100)])
    S = Q * values @ Q.T
    value, vector = smallest_eigenpair(
        lambda Z: (S @ Z.ravel()).reshape(50, 4), rng.standard_normal((50, 4))
    )
    assert value == pytest.approx(-0.1, abs=1e-6)
    assert vector.shape == (50, 4)


def test_smallest_eigenvalue_edges():
    value, vector = smallest_eigenpair(lambda x: 0 * x, np.ones(4))
    assert value == 0.0
    assert np.linalg.norm(vector) == pytest.approx(1.0)
    D = np.array([3.0, -2.0, 5.0], dtype=np.float32)
    value, vector = smallest_eigenpair(lambda x: D * x, np.ones(3, dtype=np.float32))
    assert value == pytest.approx(-2.0, abs=1e-4)
    assert vector.dtype == np.float32


def test_other_array_libraries(convert, rng):
    M = rng.standard_normal((30, 20))
    N, H = convert(M), convert(M.T @ M + np.eye(20))
    P, s, Q = leading_pairs(N, 2, np.random.default_rng(0), N)
    assert type(P) is type(s) is type(Q) is type(N)
    mine = leading_pairs(M, 2, np.random.default_rng(0), M)[1]
    np.testing.assert_allclose(to_numpy(s), mine)
    values = leading_pairs(H, 2, np.random.default_rng(0), H, symmetric=True)[1]
    np.testing.assert_allclose(
        to_numpy(values), np.linalg.eigvalsh(to_numpy(H))[::-1][:2], rtol=1e-6
    )
    zero = convert(np.zeros((8, 8)))
    assert float(leading_pairs(zero, 1, rng, zero)[1][0]) == 0.0
    b = convert(rng.standard_normal(20))
    solved = conjugate_gradients(lambda x: H @ x, b, lambda r: r, tol=1e-10, max_iter=60)
    np.testing.assert_allclose(to_numpy(H @ solved.x), to_numpy(b), atol=1e-6)
    value, vector = smallest_eigenpair(lambda x: H @ x, b, tol=1e-8)
    assert value == pytest.approx(np.linalg.eigvalsh(to_numpy(H))[0], rel=1e-5)
    assert type(vector) is type(N)


def test_smallest_eigenvalue_keeps_few_vectors(rng):
    # The space of sixty vectors would take 230 MiB.
    values = np.linspace(1.0, 2.0, 500_000)
    values[0] = -1.0
    start = rng.standard_normal(values.size)
    start[0] = 0.0
    tracemalloc.start()
    value = smallest_eigenvalue(lambda x: values * x, start)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert value == pytest.approx(1.0, abs=0.01)
    assert peak < 20 * start.nbytes


@pytest.mark.parametrize("room", [0, 1000])
def test_smallest_eigenvalue_without_its_vector(rng, monkeypatch, room):
    # Found again and again, the largest ones do not hide the smallest one.
    monkeypatch.setattr("leanrank.linalg._ROOM", room)
    values = np.concatenate([[-0.1], np.zeros(99), np.linspace(1, 2, 97), [30.0, 50.0, 100.0]])
    start = rng.standard_normal(values.size)
    value = smallest_eigenvalue(lambda x: values * x, start)
    assert value == pytest.approx(-0.1, abs=1e-3)
    assert value == pytest.approx(smallest_eigenpair(lambda x: values * x, start)[0], abs=1e-3)

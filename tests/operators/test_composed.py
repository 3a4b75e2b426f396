"""Operators made of operators: their laws, explicit matrices, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from leanrank import Factors, Problem
from leanrank._arrays import to_numpy
from leanrank.losses import Squared
from leanrank.operators import (
    Centred,
    DenseSensing,
    FullObservation,
    Measurement,
    ObservedEntries,
    Projected,
    RankOneSensing,
    Selected,
    Stacked,
    Weighted,
)
from leanrank.operators._tangent import ExplicitTangent
from leanrank.solvers import GaussNewton, solve
from leanrank.testing import check_adjoint

seeds = st.integers(0, 2**32 - 1)


def entries(rng, dtype=np.float64, n=5, shape=(5, 5)) -> ObservedEntries:
    rows, cols = np.divmod(rng.permutation(shape[0] * shape[1])[: 3 * n], shape[1])
    return ObservedEntries(rows, cols, shape, dtype=dtype)


def plain(rng, dtype=np.float64) -> list[Measurement]:
    x, z = rng.standard_normal((2, 14, 5)).astype(dtype)
    A = rng.standard_normal((40, 5, 5)).astype(dtype)
    return [
        entries(rng, dtype),
        RankOneSensing(x),
        RankOneSensing(x, z),
        DenseSensing(A),
        DenseSensing(A[:12], symmetric=True),
        FullObservation((5, 5), reference=x),
    ]


def weights(rng, op) -> np.ndarray:
    return np.where(np.arange(op.size) == 3, 0.0, rng.uniform(0.1, 2.0, op.size))


def wrapped(op, rng) -> list[Measurement]:
    basis = rng.standard_normal((op.size, 2))
    return [
        Weighted(op, weights(rng, op)),
        Weighted(op, 0.5 + rng.random(op.size)),
        Selected(op, rng.permutation(op.size)[: op.size - 3]),
        Projected(op, basis),
        Projected(op, sparse.csr_array(np.round(basis))),
        Centred(op),
        Projected.intercepts(op, rows=True, columns=False),
    ]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", range(6))
def test_laws(kind, dtype, rng):
    for op in wrapped(plain(rng, dtype)[kind], rng):
        check_adjoint(op, trials=1)
        part = op.subset(rng.permutation(op.size)[:6])
        check_adjoint(part, trials=1)
        f = Factors(rng.standard_normal((5, 2)).astype(dtype))
        tangent = op.tangent(f)
        for array in (op.forward(f), tangent.rmatvec(tangent.value), tangent.normal(f.W)):
            assert array.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_laws_of_stacks_and_of_compositions_of_compositions(dtype, rng):
    ops = plain(rng, dtype)
    for chosen in ([0, 1], [0, 3, 4], [5, 0], [2]):
        stack = Stacked([ops[i] for i in chosen])
        check_adjoint(stack, trials=1)
        check_adjoint(stack.subset(rng.permutation(stack.size)[:9]), trials=1)
        for op in wrapped(stack, rng)[:5]:
            check_adjoint(op, trials=1)
    deep = Stacked([Weighted(Selected(ops[3], np.arange(30)), np.arange(30.0)), Centred(ops[0])])
    check_adjoint(deep)
    check_adjoint(Projected(Weighted(deep, 1.0 + rng.random(deep.size)), np.ones(deep.size)))
    assert deep.eliminated == 1


@given(seeds)
def test_against_explicit_matrices(seed):
    rng = np.random.default_rng(seed)
    base = plain(rng)[int(rng.integers(6))]
    A = base.matrices(np.arange(base.size)).reshape(base.size, -1)
    w, B = weights(rng, base), rng.standard_normal((base.size, 3))
    index = rng.permutation(base.size)[:7]
    P = np.eye(base.size) - B @ np.linalg.pinv(B)
    pairs = [
        (Weighted(base, w), np.sqrt(w)[:, None] * A),
        (Selected(base, index), A[index]),
        (Projected(base, B), P @ A),
        (Projected(base, sparse.csr_array(B)), P @ A),
        (Stacked([base, Weighted(base, w)]), np.concatenate([A, np.sqrt(w)[:, None] * A])),
    ]
    f = Factors(rng.standard_normal((5, 2)), rng.standard_normal((5, 2)))
    for op, expected in pairs:
        x = f.to_dense().ravel()
        np.testing.assert_allclose(op.forward(f), expected @ x, atol=1e-8)
        order = rng.permutation(op.size)[:5]
        np.testing.assert_allclose(op.subset(order).forward(f), (expected @ x)[order], atol=1e-8)
        twice = np.append(order, order[0])
        np.testing.assert_allclose(op.matrices(twice).reshape(6, -1), expected[twice], atol=1e-8)


@given(seeds)
def test_weights_of_a_product_go_through(seed):
    rng = np.random.default_rng(seed)
    base = plain(rng)[int(rng.integers(6))]
    f = Factors(rng.standard_normal((5, 2)), rng.standard_normal((5, 2)))
    for op in [*wrapped(base, rng), Stacked([base, entries(rng)])]:
        w = rng.random(op.size)
        tangent, same = op.tangent(f), Weighted(op, w).tangent(f)
        np.testing.assert_allclose(tangent.normal(f.W, w), same.normal(f.W), atol=1e-8)
        np.testing.assert_allclose(tangent.column_curvature(w), same.column_curvature(), atol=1e-8)
        damping = np.full(2, 0.1)
        np.testing.assert_allclose(
            tangent.preconditioner(damping, w)(f.W), same.preconditioner(damping)(f.W), atol=1e-8
        )


def test_sums_are_exact_where_all_parts_are(rng):
    parts = [entries(rng), Weighted(entries(rng), rng.random(15))]
    stack, f = Stacked(parts), Factors(rng.standard_normal((5, 2)), rng.standard_normal((5, 2)))
    tangent = stack.tangent(f)
    assert tangent.exact_blocks
    J = np.stack([tangent.rmatvec(unit) for unit in np.eye(stack.size)])
    expected = np.einsum("iak,ial->akl", J, J)
    np.testing.assert_allclose(tangent.blocks(), expected, atol=1e-12)
    np.testing.assert_allclose(
        tangent.preconditioner(np.array([0.3, 0.7]))(f.W),
        [np.linalg.solve(b + np.diag([0.3, 0.7]), r) for b, r in zip(expected, f.W, strict=True)],
    )
    assert not Stacked([parts[0], plain(rng)[1]]).tangent(f).exact_blocks


def test_passes_are_those_of_the_parts(rng):
    dense = DenseSensing(rng.standard_normal((40, 5, 5)))
    stack, f = Stacked([entries(rng), dense]), Factors(rng.standard_normal((5, 1)))
    assert stack.residual_and_adjoint(f, np.zeros(55))[2] == pytest.approx((2 * 15 + 40) / 55)
    for op in (Selected(dense, np.arange(30)), Weighted(dense, np.ones(40))):
        assert op.residual_and_adjoint(f, np.zeros(op.size))[2] == 1.0
        assert op.tangent(f).normal_cost == dense.tangent(f).normal_cost
    assert Weighted(entries(rng), np.ones(15)).tangent(f).normal_cost == 1.0


def test_a_pass_of_a_stack_reads_each_part_as_often_as_that_needs(rng):
    """Costs are in passes over all measurements: their number times the cost is what is read."""
    f = Factors(rng.standard_normal((5, 2)), rng.standard_normal((5, 2)))
    ops = plain(rng)
    for chosen in ([0, 5], [0, 2, 3], [1]):
        stack = Stacked([ops[i] for i in chosen])
        tangent, parts = stack.tangent(f), [ops[i].tangent(f) for i in chosen]
        for name in ("build_cost", "apply_cost", "normal_cost"):
            read = [ops[i].size * getattr(t, name) for i, t in zip(chosen, parts, strict=True)]
            assert stack.size * getattr(tangent, name) == pytest.approx(sum(read)), name
    assert Stacked([ops[0], ops[0]]).tangent(f).normal_cost == 1.0  # a single sweep of each


def test_symmetric_weight_and_size(rng):
    ops = plain(rng)
    assert Stacked([ops[1], ops[4]]).symmetric
    assert not Stacked([ops[0], ops[1]]).symmetric
    stack = Stacked([ops[5], ops[0]])
    assert stack.weight == 1 / 40
    assert Weighted(ops[5], np.ones(25)).weight == 1.0
    assert Projected(ops[5], np.ones(25)).weight == 1.0
    assert Selected(ops[5], np.arange(5)).weight == 0.2


def test_entries_are_counted_together(rng):
    """Each part sees a row too little, both together enough; weight zero is not seen."""
    mask = np.ones((6, 5), dtype=bool)
    mask[2] = False
    rows, cols = np.nonzero(mask)
    few = ObservedEntries([2, 2], [0, 1], (6, 5))
    most = ObservedEntries(rows, cols, (6, 5))
    more = ObservedEntries([2], [3], (6, 5))
    assert list(most.undetermined(2)[0]) == [2]
    stack = Stacked([most, few, more])
    assert list(Stacked([most, more]).undetermined(2)[0]) == [2]
    assert stack.undetermined(2)[0].size == 0
    assert list(Weighted(stack, np.append(np.ones(27), 0.0)).undetermined(3)[0]) == [2]
    assert list(Selected(stack, np.arange(25)).undetermined(2)[0]) == [2]
    assert list(Projected(most, np.ones(25)).subset(np.arange(24)).undetermined(2)[0]) == [2]
    dense = DenseSensing(rng.standard_normal((40, 6, 5)))
    assert Stacked([most, dense]).undetermined(2)[0].size == 0
    inside = stack.well_observed(4)
    np.testing.assert_array_equal(inside, np.arange(25))
    np.testing.assert_array_equal(
        Weighted(stack, np.append(0.0, np.ones(27))).well_observed(4), np.arange(1, 25)
    )


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_rest_is_estimated_by_weighted_ridge_regression(rng, noise):
    truth = Factors(rng.standard_normal((9, 2)), rng.standard_normal((8, 2)))
    mask = np.ones((9, 8), dtype=bool)
    mask[8, 3:] = False
    op = ObservedEntries(*np.nonzero(mask), (9, 8))
    w = rng.uniform(0.2, 3.0, op.size)
    weighted, y = Weighted(op, w), op.forward(truth) + rng.standard_normal(op.size)
    inside = op.well_observed(4)
    known = np.delete(truth.W, 8, axis=0)
    V, right = truth.V[:3], op.rows == 8
    C = np.diag(w[right])
    ridge = noise**2 / np.mean(known**2) * np.eye(2)
    expected = np.linalg.solve(V.T @ C @ V + ridge, V.T @ C @ y[right])
    for found in (
        op.estimate_rest(truth, y, inside, noise, w),
        weighted.estimate_rest(truth, weighted.weigh(y), inside, noise),
    ):
        np.testing.assert_allclose(found.U[8], expected)
        np.testing.assert_array_equal(found.V, truth.V)


def test_weights_in_the_operator_or_in_the_loss_give_one_solution(rng):
    truth = Factors(rng.standard_normal((6, 1)), rng.standard_normal((5, 1)))
    op = ObservedEntries(*np.nonzero(np.ones((6, 5))), (6, 5))
    w, y = rng.uniform(0.1, 5.0, 30), op.forward(truth) + 0.3 * rng.standard_normal(30)
    weighted = Weighted(op, w)
    one, other = (
        solve(GaussNewton(), problem, truth, tol=1e-9).factors
        for problem in (Problem(op, y, loss=Squared(w)), Problem(weighted, weighted.weigh(y)))
    )
    assert one.distance(other) < 1e-7
    assert solve(GaussNewton(), Problem(op, y), truth).factors.distance(one) > 1e-3


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_projecting_is_least_squares_over_matrix_and_nuisances(make, rng):
    x, U = rng.standard_normal((40, 6)), rng.standard_normal((6, 2))
    B, y = np.stack([np.ones(40), np.arange(40.0), np.full(40, 2.0)], axis=1), rng.random(40)
    op = RankOneSensing(x)
    forward = op.forward(Factors(U))
    c = np.linalg.lstsq(B, y - forward, rcond=None)[0]
    joint = np.mean((forward + B @ c - y) ** 2)
    projected = Projected(op, make(B))
    assert projected.eliminated == 2
    assert Problem(projected, projected.project(y)).value(Factors(U)) == pytest.approx(joint)
    found = projected.coefficients(y - forward)
    np.testing.assert_allclose(B @ found, B @ c, atol=1e-7)
    assert Problem(projected, projected.project(y)).unknowns(Factors(U)) == 11 + 2


def test_a_basis_of_one_column_is_centring(rng):
    op = plain(rng)[2]
    one, other = Centred(op, np.arange(14.0)), Projected(op, np.arange(14.0))
    f = Factors(rng.standard_normal((5, 2)))
    np.testing.assert_allclose(one.forward(f), other.forward(f), atol=1e-12)
    y = rng.standard_normal(14)
    np.testing.assert_allclose(one.coefficients(y), other.coefficients(y))
    np.testing.assert_allclose(one.centre(y), other.project(y), atol=1e-12)


def test_tangents_are_projected(rng):
    op = RankOneSensing(rng.standard_normal((3000, 60)))
    B = rng.standard_normal((3000, 2))
    for k, explicit in ((100, False), (2, True)):
        f = Factors(rng.standard_normal((60, k)))
        tangent = Projected(op, B).tangent(f)
        assert isinstance(tangent, ExplicitTangent) is explicit
        assert np.abs(B.T @ tangent.matvec(f.W)).max() < 1e-6


def pattern(rng, n1: int, n2: int, share: float) -> ObservedEntries:
    return ObservedEntries(*np.nonzero(rng.random((n1, n2)) < share), (n1, n2))


@pytest.mark.parametrize("of", ["entries", "dense"])
def test_intercepts_of_rows_and_columns_are_eliminated(of, rng):
    op: Measurement = pattern(rng, 12, 9, 0.8)
    if of == "dense":
        op = DenseSensing(rng.standard_normal((70, 12, 9)))
    seen = Projected.intercepts(op)
    a, b = rng.standard_normal((12, 1)), rng.standard_normal((9, 1))
    means = Factors(np.hstack([a, np.ones((12, 1))]), np.hstack([np.ones((9, 1)), b]))
    y = op.forward(means)
    assert np.abs(seen.project(y)).max() < 1e-13 * np.abs(y).max()
    assert seen.eliminated == 12 + 9 - 1
    assert Projected.intercepts(op, rows=False).eliminated == 9


def test_gauges_are_directions_that_nothing_sees(rng):
    """And, with rotations of the factors, all of those: no other direction is flat."""
    op = pattern(rng, 12, 9, 0.9)
    f = Factors(rng.standard_normal((12, 2)), rng.standard_normal((9, 2)))
    for rows, columns, count in ((True, False, 2), (False, True, 2), (True, True, 4)):
        seen = Projected.intercepts(op, rows=rows, columns=columns)
        tangent, gauges = seen.tangent(f), seen.gauges(f)
        assert gauges.shape == (count, 21, 2)
        for Z in gauges:
            assert np.linalg.norm(tangent.matvec(Z)) < 1e-8
            assert np.linalg.norm(op.tangent(f).matvec(Z)) > 0.1
        J = np.stack([tangent.rmatvec(unit) for unit in np.eye(seen.size)]).reshape(seen.size, -1)
        flat = J.shape[1] - np.linalg.matrix_rank(J, tol=1e-6)
        assert flat == 4 + count
    assert Projected(op, np.ones(op.size)).gauges(f).shape == (0, 21, 2)


def test_many_intercepts_of_a_sparse_pattern_in_several_pieces(rng):
    """The rank of the basis is rows plus columns less connected pieces."""
    block = pattern(rng, 40, 30, 0.3)
    rows = np.concatenate([block.rows, block.rows + 40])
    cols = np.concatenate([block.cols, block.cols + 30])
    op = Projected.intercepts(ObservedEntries(rows, cols, (80, 60)))
    assert op.eliminated == 80 + 60 - 2
    values = rng.standard_normal(op.size)
    B = np.zeros((op.size, 140))
    B[np.arange(op.size), rows] = B[np.arange(op.size), 80 + cols] = 1.0
    expected = values - B @ np.linalg.lstsq(B, values, rcond=None)[0]
    np.testing.assert_allclose(op.project(values), expected, atol=1e-10)


def test_other_array_libraries(convert, rng):
    A, W = rng.standard_normal((30, 4, 5)), rng.standard_normal((9, 2))
    x, z = rng.standard_normal((8, 4)), rng.standard_normal((8, 5))
    w, B = rng.random(38), rng.standard_normal((38, 2))
    found = []
    for c in (np.asarray, convert):
        stack = Stacked([DenseSensing(c(A)), RankOneSensing(c(x), c(z))])
        f = Factors.stacked(c(W), (4, 5), False)
        ops = [stack, Weighted(stack, c(w)), Selected(stack, np.arange(20)), Projected(stack, B)]
        for op in ops:
            check_adjoint(op, trials=1)
        found.append([op.tangent(f).normal(f.W) for op in ops])
        found[-1].append(stack.tangent(f).preconditioner(c(np.ones(2)))(f.W))
    for one, other in zip(*found, strict=True):
        assert type(other) is type(convert(W))
        np.testing.assert_allclose(to_numpy(other), one, rtol=1e-9, atol=1e-9)


def test_bad_input(rng):
    op = entries(rng)
    for make in (
        lambda x: Weighted(x, [1.0]),
        lambda x: Selected(x, [0]),
        lambda x: Projected(x, 1),
    ):
        with pytest.raises(TypeError, match="op must be a measurement operator"):
            make(np.eye(3))
    for bad in (np.ones(3), -np.ones(15), np.zeros(15)):
        with pytest.raises(ValueError, match="weights must have a number for each of the 15"):
            Weighted(op, bad)
    with pytest.raises(ValueError, match="y must have 15 values"):
        Weighted(op, np.ones(15)).weigh(np.ones(3))
    with pytest.raises(ValueError, match="index must not name a measurement twice"):
        Selected(op, [1, 1])
    with pytest.raises(ValueError, match=r"index must lie in \[0, 15\)"):
        Selected(op, [15])
    with pytest.raises(ValueError, match="ops is empty"):
        Stacked([])
    with pytest.raises(TypeError, match=r"ops\[1\] must be a measurement operator"):
        Stacked([op, 3])
    with pytest.raises(ValueError, match="ops must be of one shape and dtype"):
        Stacked([op, entries(rng, shape=(5, 6))])
    with pytest.raises(ValueError, match="ops must be of one shape and dtype"):
        Stacked([op, entries(rng, np.float32)])
    for bad in (np.ones(3), np.zeros((15, 2)), sparse.csr_array((15, 2)), sparse.eye_array(3)):
        with pytest.raises(ValueError, match="basis must have a .*row for each of the 15"):
            Projected(op, bad)
    with pytest.raises(ValueError, match="rows or columns must be True"):
        Projected.intercepts(op, rows=False, columns=False)

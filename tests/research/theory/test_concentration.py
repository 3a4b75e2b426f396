"""The concentration lemmas against dense sums, and the example that the printed ranks miss."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank.factors import Factors
from leanrank.operators import DenseSensing, FullObservation
from leanrank.research.theory import (
    determinant_operator,
    inner_product_gap,
    isometry_ceiling,
    largest_gap,
    product_gap,
    restricted_isometry,
)


@pytest.fixture
def dense(rng):
    return rng.standard_normal((40, 6, 5))


def pair(rng, shape, ranks):
    return [Factors(*(rng.standard_normal((n, r)) for n in shape)) for r in ranks]


def test_gaps_are_the_sums_of_the_lemmas(rng, dense):
    X, Y = pair(rng, (6, 5), (2, 3))
    A, x, y = dense, X.to_dense(), Y.to_dense()
    inner = inner_product_gap(DenseSensing(A), X, Y)
    seen = np.mean(np.einsum("mij,ij->m", A, x) * np.einsum("mij,ij->m", A, y))
    assert inner.value == pytest.approx(abs(seen - np.sum(x * y)))
    assert inner.delta == pytest.approx(inner.value / np.linalg.norm(x) / np.linalg.norm(y))
    nuclear = np.linalg.norm(x, "nuc")
    assert inner.nuclear_delta == pytest.approx(inner.value / nuclear / np.linalg.norm(y))
    R = rng.standard_normal((5, 3))
    product = product_gap(DenseSensing(A), X, R)
    missed = np.einsum("m,mij->ij", np.einsum("mij,ij->m", A, x), A) / 40 @ R - x @ R
    assert product.value == pytest.approx(np.linalg.norm(missed, 2))
    size = np.linalg.norm(R, 2)
    assert product.delta == pytest.approx(product.value / np.linalg.norm(x) / size)
    assert product.nuclear_delta == pytest.approx(product.value / nuclear / size)


def test_nothing_is_missed_where_all_is_observed(rng):
    X, Y = pair(rng, (4, 3), (1, 2))
    op = FullObservation((4, 3))
    assert inner_product_gap(op, X, Y).delta == pytest.approx(0.0, abs=1e-14)
    assert product_gap(op, X, np.eye(3)).delta == pytest.approx(0.0, abs=1e-14)
    assert inner_product_gap(op, Factors(np.zeros((4, 1)), np.ones((3, 1))), Y).delta == 0.0


@pytest.mark.parametrize("symmetric", [True, False])
def test_ceiling_is_the_spectrum_of_the_gram_matrix(rng, symmetric):
    A = rng.standard_normal((60, 4, 4))
    if symmetric:
        A = (A + A.transpose(0, 2, 1)) / 2
    gram = np.einsum("mij,mkl->ijkl", A, A).reshape(16, 16) / 60
    values = np.linalg.eigvalsh(gram)[6 if symmetric else 0 :]
    op = DenseSensing(A, symmetric=symmetric)
    assert isometry_ceiling(op) == pytest.approx(max(values[-1] - 1, 1 - values[0]))
    assert restricted_isometry(op, 2, random_state=0).delta <= isometry_ceiling(op)


def test_the_largest_gap_is_found_where_it_is_known(rng, dense):
    op = DenseSensing(dense)
    rows = dense.reshape(40, 30)
    missed = np.abs(np.linalg.eigvalsh(rows.T @ rows / 40 - np.eye(30))).max()
    found = largest_gap(op, (5, 5), max_iter=3000, tol=1e-10, random_state=0)
    assert found == pytest.approx(missed, rel=1e-3)
    low = largest_gap(op, (2, 1), random_state=0)
    assert low < found
    for _ in range(100):
        X, Y = pair(rng, (6, 5), (2, 1))
        assert inner_product_gap(op, X, Y).delta < low


def test_gaps_are_within_the_constants_of_the_proofs(rng):
    op = DenseSensing(rng.standard_normal((400, 8, 8)), symmetric=True)
    for ranks, rank in (((2, 2), 4), ((2, 1), 3), ((1, 1), 2)):
        gap = largest_gap(op, ranks, random_state=0)
        assert gap <= restricted_isometry(op, rank, tol=1e-7, random_state=0).delta


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 0.9])
def test_the_printed_rank_of_the_lemmas_is_not_enough(rng, epsilon):
    op = determinant_operator(epsilon)
    for _ in range(20):
        X, Y = pair(rng, (2, 2), (1, 2))
        assert inner_product_gap(op, X, X).delta == pytest.approx(0.0, abs=1e-14)
        x = Y.to_dense()
        seen = op.weight * np.sum(op.forward(Y) ** 2)
        assert seen == pytest.approx(np.sum(x**2) + 2 * epsilon * np.linalg.det(x))
    first, second = (Factors(np.eye(2)[:, [i]]) for i in (0, 1))
    assert inner_product_gap(op, first, second).delta == pytest.approx(epsilon)
    assert product_gap(op, first, np.eye(2)).nuclear_delta == pytest.approx(epsilon)
    assert restricted_isometry(op, 1, random_state=0).delta == pytest.approx(0.0, abs=1e-12)
    assert isometry_ceiling(op) == pytest.approx(epsilon)


def test_errors_name_the_argument(dense):
    op = DenseSensing(dense)
    with pytest.raises(ValueError, match="ranks"):
        largest_gap(op, (6, 1))
    with pytest.raises(ValueError, match="epsilon"):
        determinant_operator(1.0)
    with pytest.raises(TypeError, match="X"):
        inner_product_gap(op, np.eye(5), np.eye(5))
    with pytest.raises(TypeError, match="X"):
        product_gap(op, np.eye(5), np.eye(5))

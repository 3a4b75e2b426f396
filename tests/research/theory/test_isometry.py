"""Bounds on restricted isometry: certain, sharp where the answer is known, safe from drift."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank.factors import Factors
from leanrank.operators import DenseSensing, FullObservation, ObservedEntries
from leanrank.research.theory import restricted_isometry


def value(op, X):
    return op.weight * float(np.sum(op.forward(X) ** 2)) / X.norm() ** 2


@pytest.mark.parametrize("symmetric", [True, False])
def test_ends_are_values_at_matrices_of_that_rank(rng, symmetric):
    op = DenseSensing(rng.standard_normal((150, 8, 8)), symmetric=symmetric)
    bounds = restricted_isometry(op, 2, random_state=0)
    for end, at in ((bounds.low, bounds.low_at), (bounds.high, bounds.high_at)):
        dense = at.to_dense()
        assert np.linalg.matrix_rank(dense) <= 2
        assert value(op, at) == pytest.approx(end)
        if symmetric:
            np.testing.assert_allclose(dense, dense.T, atol=1e-14)
    assert bounds.delta == max(bounds.high - 1, 1 - bounds.low)
    for _ in range(200):
        X = Factors(rng.standard_normal((8, 2)), None if symmetric else rng.standard_normal((8, 2)))
        assert bounds.low < value(op, X) < bounds.high


def test_at_full_rank_the_ends_are_eigenvalues(rng):
    A = rng.standard_normal((100, 4, 4))
    bounds = restricted_isometry(DenseSensing(A), 4, max_iter=3000, tol=1e-9, random_state=0)
    eigenvalues = np.linalg.eigvalsh(np.einsum("mij,mkl->ijkl", A, A).reshape(16, 16) / 100)
    assert bounds.high == pytest.approx(eigenvalues[-1], rel=1e-4)
    assert bounds.low == pytest.approx(eigenvalues[0], rel=1e-3)


def test_far_more_is_seen_than_random_matrices_show(rng):
    op = DenseSensing(rng.standard_normal((100, 20, 20)), symmetric=True)
    sampled = [value(op, Factors(rng.standard_normal((20, 6)))) for _ in range(300)]
    bounds = restricted_isometry(op, 6, random_state=0)
    assert max(sampled) - 1 < 1.0
    assert bounds.delta > 3.0


def test_symmetric_operators_see_nothing_of_antisymmetric_matrices(rng):
    A = rng.standard_normal((400, 20, 20))
    op = DenseSensing(A, symmetric=True)
    u, v = rng.standard_normal((2, 20, 1))
    antisymmetric = Factors(np.hstack([u, -v]), np.hstack([v, u]))
    assert value(op, antisymmetric) == pytest.approx(0.0, abs=1e-20)
    assert value(DenseSensing(A), antisymmetric) > 0.5
    # So for all matrices the constant is 1, and for symmetric ones it is not.
    assert restricted_isometry(op, 2, symmetric=False, random_state=0).low < 1e-3
    bounds = restricted_isometry(op, 2, random_state=0)
    assert 0.35 < bounds.low < 0.55
    assert 1.6 < bounds.high < 2.0


def test_entries_of_variance_one_over_d_are_off_by_d(rng):
    # Rajaraman et al. (2023) say that N(0, 1/d) has restricted isometry: it is N(0, 1) that has.
    A = rng.standard_normal((1600, 10, 10))
    right = restricted_isometry(DenseSensing(A, symmetric=True), 1, random_state=0)
    wrong = restricted_isometry(DenseSensing(A / 10**0.5, symmetric=True), 1, random_state=0)
    assert right.delta < 0.35
    assert wrong.delta > 0.8
    assert wrong.high == pytest.approx(right.high / 10)


def test_of_a_general_operator_symmetric_matrices_see_the_symmetric_part(rng):
    A = rng.standard_normal((60, 6, 6))
    packed = restricted_isometry(DenseSensing(A, symmetric=True), 2, random_state=0)
    general = restricted_isometry(DenseSensing(A), 2, symmetric=True, random_state=0)
    assert (general.low, general.high) == pytest.approx((packed.low, packed.high))


def test_full_observation_is_an_isometry_and_missing_entries_are_none():
    assert restricted_isometry(FullObservation((5, 4)), 2, random_state=0).delta < 1e-12
    rows, cols = np.divmod(np.arange(1, 20), 4)
    missing = restricted_isometry(ObservedEntries(rows, cols, (5, 4)), 1, random_state=0)
    assert missing.low == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize(
    ("op", "options", "match"),
    [
        (FullObservation((5, 4)), {"rank": 5}, "rank"),
        (FullObservation((5, 4)), {"rank": 1, "symmetric": True}, "square"),
        (FullObservation((5, 4)), {"rank": 1, "restarts": 0}, "restarts"),
    ],
)
def test_errors_name_the_argument(op, options, match):
    with pytest.raises(ValueError, match=match):
        restricted_isometry(op, **options)


def test_other_array_libraries(convert):
    A = np.random.default_rng(0).standard_normal((40, 4, 4))
    for symmetric in (True, False):
        a = restricted_isometry(DenseSensing(A, symmetric=symmetric), 1, random_state=0)
        b = restricted_isometry(DenseSensing(convert(A), symmetric=symmetric), 1, random_state=0)
        assert (b.low, b.high) == pytest.approx((a.low, a.high))

"""Pruning keeps what it says, and the measures of how clear-cut it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanrank.factors import Factors
from leanrank.penalties import GroupLasso
from leanrank.pruning import kept_columns, max_pairwise_cosine, prune, separation


def factors(seed, k, symmetric):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-3, 1, k)
    U, V = rng.standard_normal((5, k)) * scale, rng.standard_normal((4, k)) * scale
    return Factors(U) if symmetric else Factors(U, V)


cases = {
    "seed": st.integers(0, 1000),
    "k": st.integers(0, 6),
    "symmetric": st.booleans(),
    "threshold": st.floats(0.01, 10.0),
}


@given(**cases)
@settings(max_examples=60, deadline=None)
def test_pruning_splits_the_columns_at_the_threshold(seed, k, symmetric, threshold):
    full = factors(seed, k, symmetric)
    kept = prune(full, threshold)
    norms = np.linalg.norm(full.W, axis=0)
    assert kept.symmetric == symmetric
    assert kept.shape == full.shape
    np.testing.assert_array_equal(kept.W, full.W[:, norms > threshold])
    largest, smallest = separation(full, threshold)
    assert largest <= 1 < smallest
    assert largest * threshold == pytest.approx(max(norms[norms <= threshold], default=0.0))
    if kept.width:
        assert smallest * threshold == pytest.approx(norms[norms > threshold].min())


@given(**cases)
@settings(max_examples=60, deadline=None)
def test_cosine_is_the_largest_over_pairs(seed, k, symmetric, threshold):
    full = factors(seed, k, symmetric)
    W = prune(full, threshold).W
    expected = 0.0
    for i in range(W.shape[1]):
        for j in range(i):
            a, b = W[:, i], W[:, j]
            expected = max(expected, abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b))
    assert max_pairwise_cosine(full, threshold) == pytest.approx(expected, abs=1e-12)


def test_a_column_at_the_threshold_goes():
    threshold = GroupLasso(1.0, 0.25).prune_threshold
    assert threshold == 1.0
    assert prune(Factors(np.diag([1.0, 1.0 + 1e-12])), threshold).width == 1


def test_zero_columns_are_harmless():
    full = Factors(np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]))
    assert max_pairwise_cosine(full) == pytest.approx(0.5**0.5)
    assert prune(full, 0.0).width == 2


def test_other_array_libraries(convert):
    full = Factors(convert(np.array([[3.0, 0.1, 1.0], [0.0, 0.0, 1.0]])))
    assert prune(full, 0.5).width == 2
    assert max_pairwise_cosine(full, 0.5) == pytest.approx(0.5**0.5)


@pytest.mark.parametrize("threshold", [-1.0, float("nan")])
def test_bad_threshold(threshold):
    with pytest.raises(ValueError, match="threshold must be finite"):
        kept_columns(Factors(np.eye(2)), threshold)

"""Simulated instances: scales, counts, and the condition on completion samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanrank import Factors
from leanrank.simulate import (
    dense_sensing,
    full_observation,
    matrix_completion,
    rank_one_sensing,
)

seeds = st.integers(0, 2**32 - 1)
MAKERS = [dense_sensing, rank_one_sensing, full_observation, matrix_completion]
SENSING = [dense_sensing, rank_one_sensing, full_observation]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("make", MAKERS)
def test_truth_and_measurements(make, dtype):
    instance = make((24, 20), 3, kappa=100, dtype=dtype, random_state=1)
    truth = instance.truth
    assert (truth.shape, truth.width, truth.symmetric) == ((24, 20), 3, False)
    scale = 1.0
    if make is matrix_completion:
        scale = truth.singular_values()[0]
        assert np.mean(truth.to_dense() ** 2) == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(truth.singular_values(), scale * np.array([1, 0.1, 0.01]), rtol=1e-4)
    np.testing.assert_allclose(truth.U.T @ truth.U, truth.V.T @ truth.V, atol=1e-5 * scale)
    assert instance.y.dtype == truth.W.dtype == instance.op.reference.dtype == dtype
    np.testing.assert_array_equal(instance.y, instance.op.forward(truth))
    assert instance.noise_std == 0.0
    assert instance.error(truth) < 1e-5
    assert instance.error(truth.scaled(1.5)) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("make", SENSING)
def test_symmetric(make):
    instance = make(8, 2, kappa=4, symmetric=True, random_state=0)
    assert instance.truth.symmetric
    np.testing.assert_allclose(instance.truth.singular_values(), [1, 0.25])
    with pytest.raises(ValueError, match=r"must be square, got shape \(8, 7\)"):
        make((8, 7), 2, symmetric=True)


@pytest.mark.parametrize("make", MAKERS)
def test_seeds_and_noise(make):
    clean = make(30, 2, random_state=5)
    noisy = make(30, 2, noise=0.2, random_state=5)
    again = make(30, 2, noise=0.2, random_state=np.random.default_rng(5))
    np.testing.assert_array_equal(again.y, noisy.y)
    np.testing.assert_array_equal(noisy.truth.W, clean.truth.W)
    assert not np.array_equal(make(30, 2, random_state=6).truth.W, clean.truth.W)
    assert noisy.noise_std == pytest.approx(0.2 * np.std(clean.y))
    assert np.std(noisy.y - clean.y) == pytest.approx(noisy.noise_std, rel=0.2)


def test_counts():
    assert dense_sensing(10, 2, random_state=0).op.size == 3 * 36
    assert dense_sensing(10, 2, m=7, random_state=0).op.size == 7
    assert dense_sensing(10, 2, oversampling=2, symmetric=True, random_state=0).op.size == 38
    assert rank_one_sensing(10, 2, oversampling=1.01, random_state=0).op.size == 37
    assert matrix_completion((20, 10), 2, oversampling=1.5, random_state=0).op.size == 84
    assert matrix_completion((20, 10), 2, fraction=0.5, random_state=0).op.size == 100
    assert full_observation((4, 3), 2, random_state=0).op.size == 12


def test_scale_of_dense_sensing():
    general = dense_sensing((30, 20), 2, m=4000, random_state=0)
    packed = dense_sensing(30, 2, m=4000, symmetric=True, dtype=np.float32, random_state=0)
    for instance in (general, packed):
        ratio = np.mean(instance.y**2) / instance.truth.norm() ** 2
        assert ratio == pytest.approx(1.0, abs=0.1)
    i, j = np.triu_indices(30)
    variance = np.var(packed.op.reference, axis=0)
    assert np.mean(variance[i == j]) == pytest.approx(1.0, abs=0.05)
    assert np.mean(variance[i != j]) == pytest.approx(0.5, abs=0.01)


@given(seeds, st.integers(3, 30), st.integers(3, 30), st.integers(1, 3), st.floats(1.0, 2.0))
def test_completion_samples_can_be_determined(seed, n1, n2, rank, rate):
    dof = rank * (n1 + n2 - rank)
    rate = min(rate, n1 * n2 / dof)
    op = matrix_completion((n1, n2), rank, oversampling=rate, random_state=seed).op
    assert op.size == np.ceil(rate * dof - 1e-9)
    flat = op.rows * n2 + op.cols
    assert np.all(np.diff(flat) > 0)
    assert np.bincount(op.rows, minlength=n1).min() >= rank
    assert np.bincount(op.cols, minlength=n2).min() >= rank
    if rank < min(n1, n2) and op.size >= (rank + 1) * (n1 + n2 - rank - 1):
        assert op.undetermined(rank)[0].size == op.undetermined(rank)[1].size == 0


@pytest.mark.parametrize("seed", range(5))
def test_repaired_samples_of_one_more_in_each_row_are_determined(seed):
    least = 2 * (200 + 150 - 2)
    op = matrix_completion((200, 150), 1, fraction=least / 30000, random_state=seed).op
    assert op.size == least
    assert min(np.bincount(op.rows).min(), np.bincount(op.cols).min()) == 2
    assert op.undetermined(1)[0].size == op.undetermined(1)[1].size == 0


def test_few_samples_above_the_degrees_of_freedom_are_undetermined():
    """As many entries as unknowns hardly ever determine them, if they are drawn at random."""
    found = []
    for rate in (1.0, 1.2):
        ops = [
            matrix_completion(30, 2, oversampling=rate, random_state=seed).op for seed in range(30)
        ]
        found.append(sum(op.undetermined(2)[0].size > 0 for op in ops))
    assert found[0] > 15 > 6 > found[1]


def test_completion_samples_are_uniform():
    counts = np.zeros((6, 6))
    for seed in range(400):
        op = matrix_completion(6, 1, fraction=0.5, random_state=seed).op
        counts[op.rows, op.cols] += 1
    assert counts.mean() == 200
    assert counts.std() < 3 * np.sqrt(400 * 0.25)
    assert counts.min() > 150


def test_repaired_samples_treat_all_positions_alike():
    counts = np.zeros((30, 30))
    for seed in range(100):
        op = matrix_completion(30, 2, oversampling=1, random_state=seed).op
        assert op.size == np.unique(op.rows * 30 + op.cols).size == 116
        assert min(np.bincount(op.rows).min(), np.bincount(op.cols).min()) == 2
        counts[op.rows, op.cols] += 1
    expected = 100 * 116 / 900
    assert abs(counts.mean(axis=0) / expected - 1).max() < 0.2
    assert abs(counts.mean(axis=1) / expected - 1).max() < 0.2
    assert abs(counts - expected).max() < 6 * np.sqrt(expected)


@pytest.mark.parametrize(
    ("make", "arguments", "error", "match"),
    [
        (dense_sensing, {"rank": 0}, ValueError, "rank must be at least 1"),
        (dense_sensing, {"rank": 7}, ValueError, "at most 6"),
        (dense_sensing, {"rank": 1.0}, TypeError, "rank must be an integer"),
        (dense_sensing, {"shape": (6, 0)}, ValueError, "shape"),
        (dense_sensing, {"shape": 0}, ValueError, "shape"),
        (dense_sensing, {"shape": "6"}, ValueError, "shape must be a pair"),
        (dense_sensing, {"m": 0}, ValueError, "m must be at least 1"),
        (dense_sensing, {"m": 5, "oversampling": 2}, ValueError, "not both"),
        (dense_sensing, {"oversampling": 0.0}, ValueError, "oversampling must be"),
        (dense_sensing, {"kappa": 0.5}, ValueError, "kappa must be finite and at least 1"),
        (dense_sensing, {"kappa": np.inf}, ValueError, "kappa must be finite"),
        (dense_sensing, {"noise": -1}, ValueError, "noise must be"),
        (dense_sensing, {"dtype": int}, TypeError, "float32 or float64"),
        (dense_sensing, {"random_state": "0"}, TypeError, "random_state"),
        (matrix_completion, {"fraction": 0.5, "oversampling": 2}, ValueError, "not both"),
        (matrix_completion, {"fraction": 0.0}, ValueError, "fraction must be"),
        (matrix_completion, {"fraction": 1.1}, ValueError, "fraction must be"),
        (matrix_completion, {"fraction": 0.5}, ValueError, "20 degrees of freedom: 18 observed"),
        (matrix_completion, {"oversampling": 2}, ValueError, "36 entries .* 40 observed"),
        (full_observation, {"noise": np.nan}, ValueError, "noise must be"),
    ],
)
def test_bad_arguments(make, arguments, error, match):
    with pytest.raises(error, match=match):
        make(**{"shape": 6, "rank": 2, **arguments})


def test_error_of_no_columns_at_all():
    instance = dense_sensing(6, 2, random_state=0)
    assert instance.error(Factors.empty((6, 6))) == pytest.approx(1.0)

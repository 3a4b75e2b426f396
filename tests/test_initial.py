"""Starting points have the shape, scale and spectrum that they promise."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import initial
from leanrank._arrays import device_of, to_numpy
from leanrank.factors import Factors
from leanrank.operators import DenseSensing, FullObservation, ObservedEntries
from leanrank.problem import Problem


@pytest.mark.parametrize("symmetric", [True, False])
def test_gaussian_has_its_scale_and_repeats(symmetric):
    shape = (40, 40) if symmetric else (40, 30)
    a = initial.gaussian(shape, 50, scale=0.1, symmetric=symmetric, random_state=3)
    b = initial.gaussian(shape, 50, scale=0.1, symmetric=symmetric, random_state=3)
    assert (a.shape, a.width, a.symmetric) == (shape, 50, symmetric)
    assert np.std(a.W) == pytest.approx(0.1, rel=0.05)
    np.testing.assert_array_equal(a.W, b.W)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("width", [1, 4, 9])
@pytest.mark.parametrize("make", [initial.gaussian, initial.identity])
def test_given_operator_norm(make, width, symmetric):
    shape = (6, 6) if symmetric else (6, 4)
    start = make(shape, width, operator_norm=0.03, symmetric=symmetric, scale=5.0)
    assert np.linalg.norm(start.W, 2) == pytest.approx(0.03)
    assert make(shape, 0, operator_norm=1.0, symmetric=symmetric).width == 0
    for no in (0, width):
        with pytest.raises(ValueError, match="operator_norm must be"):
            make(shape, no, operator_norm=-1.0, symmetric=symmetric)


def test_identity():
    start = initial.identity((3, 4), scale=0.5)
    np.testing.assert_array_equal(start.to_dense(), 0.25 * np.eye(3, 4))
    start = initial.identity((3, 3), 5, scale=2.0, symmetric=True)
    assert start.width == 5
    np.testing.assert_array_equal(start.to_dense(), 4 * np.eye(3))


@pytest.mark.parametrize("symmetric", [True, False])
def test_orthonormal_columns(symmetric):
    shape = (6, 6) if symmetric else (6, 5)
    start = initial.orthonormal(shape, 4, scale=0.5, symmetric=symmetric, random_state=0)
    np.testing.assert_allclose(start.U.T @ start.U, 0.25 * np.eye(4), atol=1e-14)
    np.testing.assert_allclose(start.V.T @ start.V, 0.25 * np.eye(4), atol=1e-14)


@pytest.mark.parametrize("symmetric", [True, False])
def test_spectral_is_the_best_approximation_under_full_observation(symmetric):
    rng = np.random.default_rng(1)
    Y = rng.standard_normal((8, 8 if symmetric else 6))
    if symmetric:
        Y = Y @ Y.T
    op = FullObservation(Y.shape)
    start = initial.spectral(op, Y, 2, symmetric=symmetric, random_state=0)
    left, s, right = np.linalg.svd(Y)
    best = (left[:, :2] * s[:2]) @ right[:2]
    np.testing.assert_allclose(start.to_dense(), best, atol=1e-8 * s[0])
    norms = start.column_norms()
    assert norms[0] >= norms[1]


def test_spectral_scale_does_not_hang_on_the_ensemble():
    rng = np.random.default_rng(2)
    truth = Factors(np.linalg.qr(rng.standard_normal((12, 2)))[0] * [2.0, 1.0])
    A = rng.standard_normal((1500, 12, 12))
    for factor in (1.0, 0.05):
        op = DenseSensing(factor * A)
        start = initial.spectral(op, op.forward(truth), 2, symmetric=True, random_state=0)
        assert start.distance(truth) < 0.25 * truth.norm()
    rows, cols = np.divmod(rng.permutation(144)[:110], 12)
    entries = ObservedEntries(rows, cols, (12, 12))
    start = initial.spectral(entries, entries.forward(truth), 2, random_state=0)
    dense = start.to_dense()
    assert np.linalg.norm(dense - truth.to_dense()) < 0.5 * truth.norm()


def test_spectral_leaves_negative_eigenvalues_out():
    start = initial.spectral(FullObservation((3, 3)), np.diag([2.0, -3.0, -4.0]), 2, symmetric=True)
    np.testing.assert_allclose(start.to_dense(), np.diag([2.0, 0.0, 0.0]), atol=1e-10)
    assert start.width == 2
    nothing = initial.spectral(FullObservation((3, 3)), np.zeros((3, 3)), 2)
    assert nothing.norm() == 0


def test_other_array_libraries(convert):
    Y = np.diag([2.0, 1.0, 0.5]).astype(np.float32)
    for make in (
        lambda Y: initial.gaussian((3, 2), 2, random_state=0, reference=Y),
        lambda Y: initial.gaussian((3, 2), 2, operator_norm=0.1, random_state=0, reference=Y),
        lambda Y: initial.identity((3, 2), reference=Y),
        lambda Y: initial.orthonormal((3, 2), 2, random_state=0, reference=Y),
        lambda Y: initial.spectral(FullObservation((3, 3), reference=Y), Y, 2, random_state=0),
    ):
        here, there = make(Y).to_dense(), make(convert(Y)).to_dense()
        assert (there.dtype, device_of(there)) == (convert(Y).dtype, device_of(convert(Y)))
        np.testing.assert_allclose(to_numpy(there), here, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: initial.gaussian((3, 2), 2, symmetric=True), "shape must be square"),
        (lambda: initial.gaussian((3, 2), -1), "width"),
        (lambda: initial.gaussian((3, 2), 1, scale=-1.0), "scale"),
        (lambda: initial.orthonormal((3, 2), 3), "width must be at least 0 and at most 2"),
        (lambda: initial.spectral(FullObservation((2, 2)), np.ones(3), 1), "y must have one value"),
    ],
)
def test_errors_name_the_argument(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_arguments_of_another_kind():
    for make in (initial.gaussian, initial.identity, initial.orthonormal):
        with pytest.raises(TypeError, match="reference must be an array, got <class"):
            make((3, 3), 2, reference=np.float32)
    problem = Problem(FullObservation((2, 2)), np.eye(2))
    with pytest.raises(TypeError, match="op must be a measurement operator, got Problem"):
        initial.spectral(problem, np.eye(2), 1)

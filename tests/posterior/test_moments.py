"""Moments: what is independent, what is kept, and sums in parts."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank.posterior import Moments, Team
from leanrank.posterior._moments import packed


@pytest.fixture(params=[np.float64, np.float32])
def moments(request, rng) -> Moments:
    root = rng.standard_normal((30, 4, 6))
    mean = rng.standard_normal((30, 4))
    second = root @ root.mT + mean[:, :, None] * mean[:, None, :]
    return Moments(mean.astype(request.param), packed(second).astype(request.param), 2)


def test_independent_coordinates_have_a_diagonal_covariance(rng):
    mean, variances = rng.standard_normal((20, 3)), rng.random((20, 3))
    found = Moments.independent(mean, variances, 1)
    expected = variances[:, :, None] * np.eye(3)
    np.testing.assert_allclose(found.covariances(), expected, atol=1e-14)
    assert found.fixed == 1
    assert not Moments.independent(mean).covariances().any()


def test_coordinates_that_are_kept_keep_their_moments(moments):
    left = np.array([0, 2, 3])
    part = moments.kept(left, 1)
    np.testing.assert_array_equal(part.mean, moments.mean[:, left])
    expected = moments.covariances()[:, left][:, :, left]
    np.testing.assert_allclose(part.covariances(), expected, atol=1e-6)
    assert part.second.flags.c_contiguous
    assert part.fixed == 1


def test_the_precision_is_kept_and_threads_change_nothing(moments, rng):
    T = rng.standard_normal((4, 4))
    one, two = moments.mapped(T), moments.mapped(T, Team(2))
    assert one.mean.dtype == one.second.dtype == moments.mean.dtype
    np.testing.assert_array_equal(one.second, two.second)
    np.testing.assert_array_equal(moments.total(), moments.total(Team(3)))
    rtol = 1e-4 if moments.mean.dtype == np.float32 else 1e-11
    expected = T @ moments.total() @ T.T
    np.testing.assert_allclose(one.total(), expected, rtol=rtol, atol=rtol * np.abs(expected).max())

"""Full observation: the population loss."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Factors
from leanrank.operators import FullObservation
from leanrank.problem import Problem


@pytest.mark.parametrize("bad", [3, (2,), (0, 2), (-1, 2)])
def test_bad_shape(bad):
    with pytest.raises(ValueError, match="shape"):
        FullObservation(bad)


def test_loss_is_a_sum(rng):
    Y, f = rng.standard_normal((4, 3)), Factors(np.ones((4, 1)), np.ones((3, 1)))
    point = Problem(FullObservation((4, 3)), Y).evaluate(f)
    assert point.loss == pytest.approx(np.linalg.norm(f.to_dense() - Y) ** 2)


def test_normal_needs_no_matrix(rng):
    n = 30000
    op = FullObservation((n, n))
    f = Factors(rng.standard_normal((n, 1)))
    Z = rng.standard_normal((n, 1))
    s, c = np.sum(f.U * f.U), np.sum(f.U * Z)
    tangent = type(op.tangent(Factors(np.ones((2, 1)))))(op, f, np.zeros(0))
    np.testing.assert_allclose(tangent.normal(Z), 2 * (s * Z + c * f.U))


def test_subset_needs_numpy(convert):
    op = FullObservation((2, 2), reference=convert(np.zeros(1)))
    with pytest.raises(TypeError, match="NumPy arrays only"):
        op.subset(np.array([0]))

from __future__ import annotations

import numpy as np
import pytest

import leanrank as lr
from leanrank import GroupLasso, Problem, Squared, StudentT, check_certificate, simulate
from leanrank.factors import Factors
from leanrank.operators import FullObservation, Measurement, Selected, Stacked, Weighted
from leanrank.search.arguments import checked_validation
from leanrank.solvers import GaussNewton, solve


def some_of_weight_zero(kind: str) -> tuple[Measurement, np.ndarray, np.ndarray]:
    """Noisy measurements, more than half of them of weight zero, and the indices of the rest."""
    if kind == "entries":
        made = simulate.matrix_completion((30, 24), 2, oversampling=5, noise=0.05, random_state=0)
    else:
        made = simulate.dense_sensing((12, 10), 2, oversampling=8, noise=0.05, random_state=0)
    w = (np.random.default_rng(1).random(made.y.size) < 0.45).astype(float)
    op = Weighted(made.op, w)
    return op, op.weigh(made.y), np.flatnonzero(w)


def composed(op: Measurement, y: np.ndarray, way: str) -> tuple[Measurement, np.ndarray]:
    """The same measurements in another composition."""
    if way == "selected":
        order = np.random.default_rng(2).permutation(op.size)
        return Selected(op, order), y[order]
    half = np.array_split(np.arange(op.size), 2)
    return Stacked([op.subset(index) for index in half]), y


@pytest.mark.parametrize("loss", [Squared(), StudentT()])
@pytest.mark.parametrize("kind", ["entries", "dense"])
def test_what_an_operator_weighs_with_zero_is_not_there(kind, loss):
    op, y, kept = some_of_weight_zero(kind)
    found = lr.recover(op, y, loss=loss)
    expected = lr.recover(op.subset(kept), y[kept], loss=loss)
    assert found.rank == 2
    assert found.certificate.measurements == kept.size
    np.testing.assert_array_equal(found.factors.to_dense(), expected.factors.to_dense())
    again = check_certificate(op, y, found.factors, loss=loss)
    assert again == check_certificate(op.subset(kept), y[kept], found.factors, loss=loss)


@pytest.mark.parametrize("way", ["stacked", "selected"])
def test_nor_where_it_is_composed_with_others(way):
    op, y, kept = some_of_weight_zero("entries")
    factors = lr.recover(op, y).factors
    expected = check_certificate(op.subset(kept), y[kept], factors)
    found = check_certificate(*composed(op, y, way), factors)
    assert found.measurements == kept.size
    assert found.relative_residual == pytest.approx(expected.relative_residual)
    assert found.noise_gap == pytest.approx(expected.noise_gap, rel=0.1)
    assert found.error_estimate == pytest.approx(expected.error_estimate, rel=0.2)


def test_nor_where_it_is_held_out():
    """The median held-out error would be zero, whatever the fit."""
    held, y_held, kept = some_of_weight_zero("entries")
    op, y = checked_validation((held, y_held), FullObservation(held.shape))
    assert op.size == kept.size
    np.testing.assert_array_equal(y, y_held[kept])


def test_under_a_penalty_the_loss_keeps_its_size():
    op, y, _ = some_of_weight_zero("dense")
    problem = Problem(op, y, GroupLasso(strength=0.05, smoothing=1e-3))
    start = lr.recover(op, y).factors
    state = solve(GaussNewton(), problem, start, max_iter=100)
    found = check_certificate(op, y, state.factors, penalty=problem.penalty)
    assert found.measurements == op.size
    assert found.relative_gradient < 1e-6


def test_weights_that_leave_nothing():
    op = Weighted(FullObservation((2, 2)), [1.0, 1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="no measurement is left"):
        check_certificate(op, np.zeros(4), Factors(np.ones((2, 1))), loss=Squared([0, 0, 1, 1]))


def test_gains_are_zero_where_measurements_are():
    op, _, _ = some_of_weight_zero("entries")
    f = Factors(*(np.random.default_rng(4).standard_normal((n, 3)) for n in op.shape))
    for each in (
        op,
        Stacked([op.op, op]),
        Selected(op, np.arange(40)),
        Weighted(op, 1 + op.gains()),
    ):
        np.testing.assert_array_equal(each.gains() == 0, each.forward(f) == 0)
        assert each.gains().shape == (each.size,)

"""Neighbours: against a loop that is written out, and where similar rows tell and where not."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank.estimators import _neighbours
from leanrank.estimators._neighbours import Neighbours
from leanrank.posterior import Covariance


@pytest.fixture
def rows(rng):
    """A table with gaps, its covariance, and rows that are completed by it."""
    A = rng.standard_normal((4, 4))
    model = Covariance(rng.standard_normal(4), A @ A.T + 0.2 * np.eye(4))
    X = rng.multivariate_normal(model.mean, model.matrix, size=30)
    return np.where(rng.random(X.shape) < 0.3, np.nan, X), model


def by_a_loop(Z, model, completed, gone):
    """The formula of the module, entry after entry."""
    filled, variance, _ = model.complete(Z)
    ridge = _neighbours._RIDGE * np.diag(np.diagonal(model.matrix))
    counts = np.diagonal(np.linalg.inv(model.matrix + ridge))
    residual = model.residuals(Z)
    out = np.zeros(completed.shape)
    for i, j in np.argwhere(gone):
        if gone[i].all():
            continue
        near = []
        for k in np.flatnonzero(~np.isnan(Z[:, j])):
            apart = (completed[i] - filled[k]) ** 2 + variance[k]
            near.append((np.sum(np.delete(counts * apart, j)), residual[k, j]))
        near = sorted(near)[: _neighbours._NEAREST]
        weights = np.exp([-2.0 * d / near[-1][0] for d, _ in near])
        out[i, j] = weights @ [r for _, r in near] / (weights.sum() + _neighbours._AS_SURE)
    return out


def test_corrections_are_those_of_the_formula(rows):
    Z, model = rows
    Z[3] = np.nan
    completed, gone = model.complete(Z)[0], np.isnan(Z)
    found = Neighbours.of(Z, model).correction(completed, gone)
    np.testing.assert_allclose(found, by_a_loop(Z, model, completed, gone), rtol=1e-9, atol=1e-12)
    assert np.count_nonzero(found) > 20
    assert not found[~gone].any()
    assert not found[3].any()


def test_few_rows_and_rows_that_are_the_same():
    model = Covariance(np.zeros(2), np.eye(2))
    # The other column says nothing: residuals are the values themselves.
    Z = np.array([[1.0, 2.0], [1.0, 4.0], [1.0, np.nan]])
    near = Neighbours.of(Z, model)
    found = near.correction(np.array([[1.0, 0.0]]), np.array([[False, True]]))
    np.testing.assert_allclose(found, [[0.0, 6.0 / 2.5]])
    # Nobody has the column.
    alone = Neighbours.of(Z[2:], model).correction(np.ones((1, 2)), np.array([[False, True]]))
    assert not alone.any()


def test_rows_of_long_tables_are_asked_evenly(monkeypatch, rows):
    Z, model = rows
    monkeypatch.setattr(_neighbours, "_MOST", 7)
    near = Neighbours.of(Z, model)
    assert near.columns.shape == (4, 7)
    last = near.columns[:, -1] / near.unit
    np.testing.assert_allclose(last, model.complete(Z)[0][-1])


def test_a_curve_is_told_and_noise_is_not(rng):
    x = rng.uniform(-2.0, 2.0, 400)
    Z = np.column_stack([x, x**2 - 4.0 / 3.0, rng.standard_normal(400)])
    model = Covariance(Z.mean(axis=0), np.diag(Z.var(axis=0)))
    gone = np.zeros(Z.shape, bool)
    gone[:80, 1:] = True
    seen = np.where(gone, np.nan, Z)
    completed = model.complete(seen)[0]
    found = completed + Neighbours.of(seen, model).correction(completed, gone)
    left, before = (np.mean((x - Z)[:80, 1:] ** 2, axis=0) for x in (found, completed))
    assert left[0] < 0.1 * before[0]
    assert before[1] < left[1] < 1.6 * before[1]

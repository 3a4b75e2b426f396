"""Where inference starts, and how a state is widened."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import StudentT, simulate
from leanrank.operators import ObservedEntries
from leanrank.posterior import Entries, Layout, entries_of, fit, start, widened
from leanrank.problem import Problem


def fitted(layout: Layout, y_plus: float = 0.0):
    inst = simulate.matrix_completion((40, 30), 3, oversampling=4, noise=0.1, random_state=0)
    entries, _ = entries_of(Problem(inst.op, inst.y + y_plus))
    return fit(start(entries, layout, np.random.default_rng(0)), prune=False, max_sweeps=20)


@pytest.mark.parametrize("intercepts", [False, True])
def test_widening_leaves_what_is_known_alone(rng, intercepts):
    state = fitted(Layout(2, intercepts, intercepts), 2.0)
    wider = widened(state, 3, rng)
    assert wider.width == 5
    i, j = np.indices((40, 30))
    np.testing.assert_allclose(wider.predict(i, j), state.predict(i, j), atol=1e-12)
    old = [0, 1, *range(5, wider.layout.size)]
    np.testing.assert_array_equal(wider.rows[:, old], state.rows)
    np.testing.assert_array_equal(wider.columns.mean[:, old], state.columns.mean)
    cov = wider.columns.covariances()
    np.testing.assert_allclose(
        cov[:, old][:, :, old], state.columns.covariances(), rtol=1e-6, atol=1e-9
    )
    assert (np.linalg.eigvalsh(cov) > -1e-10).all()
    np.testing.assert_array_equal(wider.variances[:2], state.variances)
    assert (wider.variances > 0).all()


def test_new_columns_are_the_leading_directions_of_what_is_left(rng):
    X = rng.standard_normal((20, 3)) @ np.diag([9.0, 3.0, 2.0]) @ rng.standard_normal((3, 15))
    entries, _ = entries_of(
        Problem(ObservedEntries(*np.nonzero(np.ones((20, 15))), (20, 15)), X.ravel())
    )
    state = fit(start(entries, Layout(1), rng), prune=False, max_sweeps=30)
    rest = X - state.factors.to_dense()
    _, s, Vt = np.linalg.svd(rest)
    new = widened(state, 2, rng).columns.mean[:, 1:]
    expected = Vt[:2].T * s[:2] / np.sqrt(20)
    np.testing.assert_allclose(np.abs(np.sum(new * expected, axis=0)), np.sum(expected**2, axis=0))


def test_what_was_missing_is_found_after_widening(rng):
    state = fitted(Layout(1))
    whole = fit(widened(state, 4, rng))
    assert whole.width == 3
    assert whole.noise[0] < 0.2 * state.noise[0]


def test_outliers_are_no_directions(rng):
    inst = simulate.matrix_completion((40, 30), 3, oversampling=5, noise=0.1, random_state=0)
    y = inst.y.copy()
    y[7] += 1e4 * np.std(y)
    entries, loss = entries_of(Problem(inst.op, y, loss=StudentT()))
    state = fit(start(entries, Layout(1), rng, loss), prune=False, max_sweeps=30)
    new = widened(state, 1, rng).columns.mean[:, 1]
    at = inst.op.cols[7]
    assert np.abs(new[at]) < 0.5 * np.linalg.norm(new)


# --- from a few passes over the entries ---------------------------------------------------------


def uneven(rng: np.random.Generator, X: np.ndarray, size: int) -> Entries:
    """Entries of which the first columns have most."""
    chance = np.outer(np.ones(X.shape[0]), np.arange(1, X.shape[1] + 1) ** -1.0).ravel()
    at = rng.choice(X.size, size, replace=False, p=chance / chance.sum())
    return Entries.of(*np.divmod(at, X.shape[1]), X.ravel()[at], X.shape)


def test_passes_lead_to_the_singular_vectors(rng):
    X = rng.standard_normal((80, 3)) @ np.diag([4.0, 2.0, 1.0]) @ rng.standard_normal((3, 60))
    entries = Entries.of(*np.divmod(np.arange(X.size), 60), X.ravel(), X.shape)
    state = fit(start(entries, Layout(1), rng), prune=False)
    for begin, first in (
        (lambda n: start(entries, Layout(3), rng, passes=n), 0),
        (lambda n: widened(state, 2, rng, passes=n), 1),
    ):
        exact, rough = (begin(n).columns.mean[:, first:] for n in (None, 4))
        length, whole = (np.linalg.norm(V, axis=0) for V in (rough, exact))
        assert (np.abs(np.sum(exact * rough, axis=0)) > 0.999 * length * whole).all()
        assert ((0.8 * whole < length) & (length < whole)).all()  # shrunk, as sweeps would


def test_columns_with_many_entries_start_no_longer_than_others(rng):
    V = np.where(rng.random((1, 100)) < 0.5, -1.0, 1.0)
    entries = uneven(rng, rng.standard_normal((400, 1)) @ V, 8000)
    found = np.abs(start(entries, Layout(1), rng, passes=4).columns.mean[:, 0])
    assert found[:10].mean() < 2.0 * found[50:].mean()
    assert 0.5 < found.mean() < 2.0


def test_columns_of_noise_start_short(rng):
    entries = uneven(rng, rng.standard_normal((400, 100)), 2000)
    state = start(entries, Layout(4), rng, passes=4)
    assert state.variances.sum() < 0.4  # 0.5 and more without shrinkage


@pytest.mark.parametrize("layout", [Layout(0, True, True), Layout(0, False, True)])
def test_intercepts_are_those_of_least_squares(rng, layout):
    b, c = 2.0 * rng.standard_normal((300, 1)), rng.standard_normal(100)
    X = 5.0 + c + (b if layout.row_intercepts else 0.0 * b)
    # Rows that are large have the first columns: means of columns alone would take that for theirs.
    seen = rng.random(X.shape) < np.where((b > 0) & (np.arange(100) < 50), 0.6, 0.2)
    entries = Entries.of(*np.nonzero(seen), X[seen], X.shape)
    for passes in (None, 2):
        state = start(entries, layout, rng, passes=passes)
        own = state.columns.mean[:, layout.column_intercept]
        np.testing.assert_allclose(own - own.mean(), c - c.mean(), atol=0.5)
        assert state.column_variance == pytest.approx(np.var(c), rel=0.2)
        if layout.row_intercepts:
            assert state.row_variance == pytest.approx(np.var(b), rel=0.2)

"""What is read off a state: uncertainty, columns beyond the edge of noise, fewer columns."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from leanrank import simulate
from leanrank.operators import ObservedEntries
from leanrank.posterior import Layout, Moments, State, entries_of, fit, packed, start, sweeps
from leanrank.problem import Problem


def with_columns(state: State, mean: np.ndarray, cov: np.ndarray, rows: np.ndarray) -> State:
    """The state with such moments, the row moment that of rows without uncertainty."""
    at = replace(state.layout, width=mean.shape[1])
    second = packed(mean[:, :, None] * mean[:, None, :] + cov)
    columns = Moments(np.ascontiguousarray(mean), second, -1)
    return replace(state, layout=at, rows=rows, columns=columns, row_moment=rows.T @ rows)


@pytest.fixture
def state(rng) -> State:
    inst = simulate.matrix_completion((30, 25), 2, oversampling=4, noise=0.3, random_state=0)
    entries, _ = entries_of(Problem(inst.op, inst.y))
    return start(entries, Layout(2), rng)


def test_uncertainty_is_that_of_draws(state, rng):
    """Rows known, columns normal: the root of the mean square that X moves by, over its size."""
    U, V = rng.standard_normal((30, 2)), rng.standard_normal((25, 2))
    root = 0.4 * rng.standard_normal((25, 2, 2))
    now = with_columns(state, V, root @ root.transpose(0, 2, 1), U)
    draws = V + np.einsum("jkl,tjl->tjk", root, rng.standard_normal((4000, 25, 2)))
    square = np.mean(np.sum((U @ (draws - V).transpose(0, 2, 1)) ** 2, axis=(1, 2)))
    whole = np.mean(np.sum((U @ draws.transpose(0, 2, 1)) ** 2, axis=(1, 2)))
    assert now.uncertainty == pytest.approx(math.sqrt(square / whole), rel=0.02)


def test_what_is_known_is_not_uncertain(state, rng):
    U, V = rng.standard_normal((30, 2)), rng.standard_normal((25, 2))
    assert with_columns(state, V, np.zeros((25, 2, 2)), U).uncertainty < 1e-7
    none = with_columns(state, np.zeros((25, 0)), np.zeros((25, 0, 0)), np.zeros((30, 0)))
    assert none.uncertainty == 0.0


def test_uncertainty_foretells_the_error():
    for seed in range(3):
        inst = simulate.matrix_completion(
            (100, 80), 3, oversampling=4, noise=0.3, random_state=seed
        )
        entries, _ = entries_of(Problem(inst.op, inst.y))
        state = fit(start(entries, Layout(3), np.random.default_rng(0)))
        assert 0.6 < state.uncertainty / inst.error(state.factors) < 1.2


# --- columns beyond the edge of noise -----------------------------------------------------------


@pytest.fixture(scope="module")
def full() -> tuple[State, np.ndarray]:
    """All entries of a matrix with known singular values over the edge, fitted; noise one."""
    rng = np.random.default_rng(1)
    n1, n2 = 80, 60
    edge = math.sqrt(n1) + math.sqrt(n2)
    U, V = (np.linalg.qr(rng.standard_normal((n, 4)))[0] for n in (n1, n2))
    X = edge * (U * np.array([8.0, 4.0, 2.0, 1.5])) @ V.T + rng.standard_normal((n1, n2))
    entries, _ = entries_of(
        Problem(ObservedEntries(*np.nonzero(np.ones((n1, n2))), (n1, n2)), X.ravel())
    )
    state = fit(start(entries, Layout(4), rng), prune=False, max_sweeps=500, tol=1e-6)
    return state, np.linalg.svd(X, compute_uv=False)[:4] / edge


def test_columns_stand_out_as_far_as_their_singular_values(full):
    """What shrinking made of each singular value is undone, to a few in a hundred."""
    state, over = full
    scale = 1.0 / math.sqrt(state.noise[0])
    assert state.width == 4
    for k in range(4):
        assert state.standing_out(0.99 * over[k] * scale) == k + 1
        assert state.standing_out(1.06 * over[k] * scale) == k
    assert state.standing_out(100.0) == 0


def test_only_leading_columns_stand_out(full):
    """Those after one that does not are not counted, however strong."""
    state, _ = full
    for size in (0.1, 1e-3, 0.0):
        columns = state.columns.mapped(np.eye(4))
        columns.mean[:, 1] *= size
        assert replace(state, columns=columns).standing_out() == 1


# --- fewer columns ------------------------------------------------------------------------------


@pytest.mark.parametrize("intercepts", [False, True])
def test_without_is_what_is_left(rng, intercepts):
    inst = simulate.matrix_completion((30, 25), 2, oversampling=4, noise=0.3, random_state=0)
    entries, _ = entries_of(Problem(inst.op, inst.y + 1.0))
    at = Layout(3, intercepts, intercepts)
    whole = next(sweeps(start(entries, at, rng), column_noise=False, prune=False))
    empty = np.array([False, True, False])
    left = np.array([0, 2, *range(3, at.size)])
    part = whole.without(empty)
    assert (part.width, part.layout.size) == (2, at.size - 1)
    np.testing.assert_array_equal(part.rows, whole.rows[:, left])
    np.testing.assert_array_equal(part.columns.mean, whole.columns.mean[:, left])
    np.testing.assert_allclose(
        part.columns.covariances(), whole.columns.covariances()[:, left][:, :, left], atol=1e-15
    )
    np.testing.assert_array_equal(part.variances, whole.variances[[0, 2]])
    np.testing.assert_array_equal(part.row_moment, whole.row_moment[np.ix_(left, left)])
    # Sweeps go on from there.
    next(sweeps(part, column_noise=False))

"""Held-out entries: which columns they keep, and how far sweeps are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leanrank.posterior import Entries, Layout, Moments, State
from leanrank.search.sweeping import Held, Stage, _left

SHAPE = (200, 150)


def stated(sizes: list[float], noise: float, certain: float = 1.0) -> State:
    """Columns of given sizes; of their mean squares a share is certain."""
    rng, k = np.random.default_rng(0), len(sizes)
    U = np.linalg.qr(rng.standard_normal((SHAPE[0], k)))[0] * SHAPE[0] ** 0.5
    V = np.linalg.qr(rng.standard_normal((SHAPE[1], k)))[0] * SHAPE[1] ** 0.5 * np.sqrt(sizes)
    at = np.nonzero(rng.random(SHAPE) < 0.3)
    entries = Entries.of(*at, np.zeros(at[0].size), SHAPE)
    columns = Moments.independent(V)
    variances = np.asarray(sizes) / certain
    return State(Layout(k), entries, U, columns, np.full(SHAPE[1], noise), variances)


def held_of(state: State, kept: int, noise: float) -> Held:
    """Readings of the first columns alone."""
    rng = np.random.default_rng(1)
    i, j = rng.integers(SHAPE[0], size=3000), rng.integers(SHAPE[1], size=3000)
    y = np.sum(state.rows[i, :kept] * state.columns.mean[j, :kept], axis=1)
    return Held(i, j, y + noise * rng.standard_normal(3000), np.ones(3000))


def test_columns_that_predict_nothing_are_not_worth_keeping():
    state = stated([1.0, 0.5, 0.03, 0.02], noise=1.0)
    for kept in (2, 3, 4):
        assert held_of(state, kept, 0.05).worth_keeping(state) == kept


def test_columns_that_stand_out_are_kept_whatever_held_out_entries_say():
    state = stated([1.0, 0.5, 0.4], noise=0.01)
    assert held_of(state, 1, 0.1).worth_keeping(state) == 3


def test_columns_that_are_all_but_emptied_are_not_kept_whatever_held_out_entries_say():
    state = stated([1.0, 0.5, 0.02, 0.01], noise=1.0)
    held = held_of(state, 4, 0.01)
    assert held.worth_keeping(state) == 4
    less = replace(state, variances=state.variances * np.array([1.0, 1.0, 100.0, 1.0]))
    assert held.worth_keeping(less) == 2


def test_weights_count(rng):
    state = stated([1.0, 0.02], noise=1.0)
    held = held_of(state, 1, 0.05)
    wrong = rng.random(3000) < 0.5
    both = held_of(state, 2, 0.05)
    mixed = replace(held, y=np.where(wrong, both.y, held.y))
    assert replace(mixed, weights=np.where(wrong, 1e-3, 1.0)).worth_keeping(state) == 1
    assert replace(mixed, weights=np.where(wrong, 1.0, 1e-3)).worth_keeping(state) == 2
    errors = replace(mixed, weights=rng.uniform(1, 2, 3000)).errors(state)
    assert held.error(errors / errors.mean()) == pytest.approx(1.0)


def test_what_is_left_is_where_the_fall_of_the_error_leads_to():
    """Falls by a half each, to five in ten thousand of the error: that takes so many more."""
    stage = Stage(stated([1.0], 1.0), np.ones(1), 1, made=3, total=3, last=1.0, fall=0.008)
    assert _left(stage, 0.016) == 2 + 4
    assert _left(replace(stage, ended=True), 0.016) == 2
    assert _left(stage, np.inf) == 5
    assert _left(replace(stage, fall=0.02), 0.016) == 5
    assert _left(replace(stage, fall=0.0159), 0.016) == 2 + 28

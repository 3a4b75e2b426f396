"""Entries in blocks: every one once, in both orders, and those left out nowhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanrank.posterior import Entries, Layout, finished, start, sweeps
from leanrank.posterior import _entries as room

SHAPE = (60, 40)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(room, "_BLOCK_ENTRIES", 100)
    monkeypatch.setattr(room, "_BLOCK_ROWS", 7)


def some(rng: np.random.Generator, *, weighted: bool = False, share: float = 0.3) -> Entries:
    """In no order; some rows and columns have none."""
    seen = rng.random(SHAPE) < share
    seen[5:9], seen[:, 3] = False, False
    rows, cols = (index[rng.permutation(seen.sum())] for index in np.nonzero(seen))
    X = rng.standard_normal((SHAPE[0], 2)) @ rng.standard_normal((2, SHAPE[1]))
    y = X[rows, cols] + 0.1 * rng.standard_normal(rows.size)
    weights = rng.uniform(0.5, 2.0, rows.size) if weighted else None
    return Entries.of(rows, cols, y, SHAPE, weights)


def test_sorting_keeps_every_entry_with_its_value(rng):
    rows, cols = rng.integers(60, size=500), rng.integers(40, size=500)
    y, weights = rng.standard_normal(500), rng.random(500)
    entries = Entries.of(rows, cols, y, SHAPE, weights)
    order = np.argsort(rows, kind="stable")
    for found, expected in (
        (entries.rows, rows), (entries.cols, cols), (entries.y, y), (entries.weights, weights),
    ):  # fmt: skip
        np.testing.assert_array_equal(found, expected[order])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 200), st.sampled_from([1, 2, 7, 300, 70_000, 3_000_000]), st.integers(0, 99))
def test_blocks_list_their_entries_by_column_in_the_order_of_rows(size, columns, seed):
    rng = np.random.default_rng(seed)
    rows, cols = rng.integers(60, size=size), rng.integers(columns, size=size)
    entries, seen = Entries.of(rows, cols, np.arange(size), (60, columns)), 0
    for block in entries.blocks():
        assert block.start == seen
        seen += block.cols.size
        by = block.by_column
        row_of = np.repeat(np.arange(block.rows), np.diff(block.indptr))
        expected = np.argsort(block.cols, kind="stable")
        np.testing.assert_array_equal(by.order, expected)
        np.testing.assert_array_equal(by.rows, row_of[expected])
        np.testing.assert_array_equal(by.which, np.unique(block.cols))
        np.testing.assert_array_equal(np.repeat(by.which, np.diff(by.ptr)), block.cols[expected])
    assert seen == size


def test_blocks_are_neither_long_nor_empty(rng):
    entries = some(rng)
    blocks = list(entries.blocks())
    assert [b.first for b in blocks[1:]] == [b.first + b.rows for b in blocks[:-1]]
    assert blocks[-1].part.stop == SHAPE[0]
    assert all(1 <= b.rows <= 7 for b in blocks)
    assert all(b.cols.size <= 100 or b.rows == 1 for b in blocks)


@pytest.mark.parametrize("weighted", [False, True])
def test_entries_that_are_left_out_are_as_good_as_not_there(rng, weighted):
    entries = some(rng, weighted=weighted)
    places = np.sort(rng.choice(entries.size, 60, replace=False))
    kept = np.setdiff1d(np.arange(entries.size), places)
    weights = entries.weights[kept] if weighted else None
    fewer = Entries.of(entries.rows[kept], entries.cols[kept], entries.y[kept], SHAPE, weights)
    without = entries.without(places)
    assert without.size == fewer.size
    np.testing.assert_array_equal(without.counts(), fewer.counts())
    assert without.mean_square() == pytest.approx(np.mean(fewer.y**2))
    for a, b in zip(without.sums(), fewer.sums(), strict=True):
        np.testing.assert_allclose(a, b)
    states = []
    for e in (without, fewer):
        state = start(e, Layout(2, True, True), np.random.default_rng(0), passes=2)
        state = next(sweeps(state, column_noise=False))
        states.append(finished(state, e)[0])
    # Two entries are added up at a time, so that sums are rounded otherwise.
    np.testing.assert_allclose(states[0].rows, states[1].rows, atol=1e-9)
    np.testing.assert_allclose(states[0].columns.second, states[1].columns.second, atol=1e-9)
    np.testing.assert_allclose(states[0].noise, states[1].noise)


def test_entries_are_found_by_their_places(rng):
    entries = some(rng, weighted=True)
    places = np.array([0, 1, 99, 100, 101, entries.size - 1])
    for found, whole in zip(
        entries.at(places), (entries.rows, entries.cols, entries.y, entries.weights), strict=True
    ):
        np.testing.assert_array_equal(found, whole[places])


def test_one_row_may_have_more_entries_than_a_block(rng):
    rows = np.concatenate([np.zeros(300, int), np.arange(1, 60)])
    cols = rng.integers(40, size=rows.size)
    entries = Entries.of(rows, cols, np.ones(rows.size), SHAPE)
    assert sum(b.cols.size for b in entries.blocks()) == rows.size
    np.testing.assert_array_equal(entries.counts(), np.bincount(cols, minlength=40))


@pytest.mark.parametrize(("columns", "most"), [(10, 100), (1 << 15, 200), (1 << 20, 400)])
def test_blocks_have_more_entries_where_columns_are_many(columns, most):
    indptr = np.arange(0, 5001, 20)
    blocks = list(room.ranges(indptr, columns))
    assert [a for a, _ in blocks] == [0, *(b for _, b in blocks[:-1])]
    assert blocks[-1][1] == 250
    assert all(last - first <= 7 for first, last in blocks)
    sizes = [indptr[last] - indptr[first] for first, last in blocks[:-1]]
    assert set(sizes) == {min(most, 140)}  # at most seven rows

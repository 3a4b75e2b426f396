"""Entries on disk: the same as in memory, bit by bit; and files that are not as they should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leanrank._files import FileError
from leanrank.posterior import Entries, EntriesOnDisk, Layout, State, start, sweeps, widened
from leanrank.posterior import _entries as room

SHAPE = (120, 80)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Of ten rows or less, so that there are many."""
    monkeypatch.setattr(room, "_BLOCK_ENTRIES", 300)
    monkeypatch.setattr(room, "_BLOCK_ROWS", 10)


@pytest.fixture(params=[False, True], ids=["unweighted", "weighted"])
def both(request, rng, tmp_path) -> tuple[Entries, EntriesOnDisk]:
    """The same entries in memory and on disk; some rows and columns have none."""
    rows, cols = np.nonzero(rng.random(SHAPE) < 0.3)
    kept = (rows % 17 != 3) & (cols != 5)
    rows, cols = rows[kept], cols[kept]
    X = rng.standard_normal((SHAPE[0], 2)) @ rng.standard_normal((2, SHAPE[1]))
    y = X[rows, cols] + 0.1 * rng.standard_normal(rows.size)
    weights = rng.uniform(0.5, 2.0, rows.size) if request.param else None
    entries = Entries.of(rows, cols, y, SHAPE, weights, dtype=np.float32)
    return entries, written(entries, tmp_path)


def written(entries: Entries, folder: Path) -> EntriesOnDisk:
    for name, array in (("indptr", entries.indptr), ("cols", entries.cols), ("values", entries.y)):
        np.save(folder / f"{name}.npy", array)
    if entries.weighted:
        np.save(folder / "weights.npy", entries.weights)
    return EntriesOnDisk.open(folder, entries.shape[1])


def swept(entries, at: Layout) -> State:
    """Started, swept, widened, swept."""
    rng = np.random.default_rng(0)
    state = start(entries, at, rng, passes=2)
    state = next(sweeps(state, column_noise=False, threads=2))
    return next(sweeps(widened(state, 1, rng, passes=2), column_noise=False, threads=2))


@pytest.mark.parametrize("intercepts", [False, True])
def test_sweeps_are_those_of_memory_bit_by_bit(both, intercepts):
    at = Layout(2, intercepts, intercepts)
    in_memory, on_disk = (swept(entries, at) for entries in both)
    np.testing.assert_array_equal(in_memory.rows, on_disk.rows)
    np.testing.assert_array_equal(in_memory.columns.second, on_disk.columns.second)
    np.testing.assert_array_equal(in_memory.noise, on_disk.noise)


def test_counts_and_entries_are_those_of_memory(both):
    places = np.array([0, 3, 299, 300, 301, both[0].size - 1])
    for entries in (both, [e.without(places) for e in both]):
        in_memory, on_disk = entries
        assert in_memory.size == on_disk.size
        assert in_memory.mean_square() == on_disk.mean_square()
        for a, b in zip(in_memory.sums(), on_disk.sums(), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(in_memory.at(places), on_disk.at(places), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_reader_that_stops_leaves_no_file_open(both):
    """ResourceWarning would be an error."""
    blocks = both[1].blocks()
    next(blocks)
    blocks.close()


def test_files_that_do_not_fit_are_named(both, tmp_path):
    entries, _ = both
    for name, wrong, text in [
        ("cols", entries.cols.astype(np.int64), "cols.npy: holds int64 of shape .*expected int32"),
        ("values", entries.y[:-1], r"values.npy: holds float32 of shape .*expected float32"),
        ("indptr", entries.indptr[::-1].copy(), "indptr.npy: must begin with 0 and never fall"),
    ]:
        written(entries, tmp_path)
        np.save(tmp_path / f"{name}.npy", wrong)
        with pytest.raises(FileError, match=text):
            EntriesOnDisk.open(tmp_path, SHAPE[1])
    written(entries, tmp_path)
    path = tmp_path / "values.npy"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(FileError, match="values.npy: the header claims shape"):
        EntriesOnDisk.open(tmp_path, SHAPE[1])
    path.unlink()
    with pytest.raises(FileError, match="values.npy: there is no such file"):
        EntriesOnDisk.open(tmp_path, SHAPE[1])


def test_what_becomes_of_files_while_they_are_read_is_noticed(both, tmp_path):
    entries, on_disk = both
    np.save(tmp_path / "cols.npy", np.where(entries.cols == 7, SHAPE[1], entries.cols))
    with pytest.raises(FileError, match=r"cols.npy: columns must lie in \[0, 80\), got 0 to 80"):
        list(on_disk.blocks())
    written(entries, tmp_path)
    path, blocks = tmp_path / "values.npy", on_disk.blocks()
    next(blocks)
    with path.open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(FileError, match="values.npy: ends before its last value"):
        list(blocks)

"""Entries sorted on disk: the same as in memory, and nothing left where something goes wrong."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from leanrank import io
from leanrank.io import FileError, _stored

M = 20_000


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Entries in no order, some of them twice and some three times, with weights."""
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 700, M) * 3, rng.integers(0, 90, M)
    stars, weights = rng.integers(1, 11, M) / 2, rng.integers(1, 4, M) / 4
    path = tmp_path_factory.mktemp("stored") / "a.csv"
    lines = zip(users, items, stars, weights, strict=True)
    text = "".join(f"{u},m{i},{y},{w}\n" for u, i, y, w in lines)
    path.write_text("user,item,rating,w\n" + text)
    return path


@pytest.fixture(autouse=True)
def pieces(monkeypatch):
    """Small, so that there are several."""
    monkeypatch.setattr(_stored, "_ENTRIES", 5000)


def means(rows, cols, values, weights) -> dict:
    """By pairs of labels: mean and sum of weights, entry by entry."""
    found: dict = {}
    for row, col, y, w in zip(rows, cols, values, weights, strict=True):
        total, moment = found.get((row, col), (0.0, 0.0))
        found[row, col] = total + w, moment + w * y
    return {pair: (moment / total, total) for pair, (total, moment) in found.items()}


@pytest.mark.parametrize("weight", [None, "w"])
@pytest.mark.parametrize("parts", [1, 7, 256])
def test_the_same_as_in_memory(source, tmp_path, monkeypatch, weight, parts):
    monkeypatch.setattr(_stored, "_PARTS", parts)
    seen: list[int] = []
    stored = io.stored_entries(source, tmp_path / "s", weight=weight, watch=seen.append)
    r = io.read_ratings(source, weight=weight)
    rows = np.repeat(np.arange(stored.shape[0]), np.diff(stored.indptr))
    weights = np.ones(rows.size) if stored.weights is None else stored.weights
    found = means(stored.row_labels[rows], stored.col_labels[stored.cols], stored.values, weights)
    expected = means(
        r.row_labels[r.rows],
        r.col_labels[r.cols],
        r.values,
        np.ones(M) if r.weights is None else r.weights,
    )
    assert len(found) == stored.cols.size  # each pair once
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[p] for p in found], [expected[p] for p in found], rtol=1e-6)
    within = np.diff(rows) == 0
    assert (np.diff(stored.cols.astype(int))[within] > 0).all()
    assert (stored.cols.dtype, stored.values.dtype) == (np.int32, np.float32)
    assert (stored.names, stored.ignored) == (r.names, r.ignored)
    assert f"{M - len(found)} entries repeat a pair" in stored.notes[-1]
    assert seen == [*range(8192, M, 8192), M]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s"]


def test_files_are_plain_arrays_and_open_again(source, tmp_path):
    stored = io.stored_entries(source, tmp_path / "s")
    assert np.array_equal(np.load(tmp_path / "s" / "cols.npy"), stored.cols)
    assert np.array_equal(np.load(tmp_path / "s" / "values.npy"), stored.values)
    assert np.array_equal(np.load(tmp_path / "s" / "indptr.npy"), stored.indptr)
    again = io.open_stored(tmp_path / "s")
    assert again.col_labels.tolist() == stored.col_labels.tolist()
    assert again.row_labels.tolist() == stored.row_labels.tolist()
    assert again.notes == stored.notes


def test_no_weights_where_all_are_one(tmp_path):
    (tmp_path / "a.csv").write_text("user,item,rating\n3,1,2\n1,1,4\n3,2,\n3,0,5\n")
    stored = io.stored_entries(tmp_path / "a.csv", tmp_path / "s")
    assert stored.weights is None
    assert not (tmp_path / "s" / "weights.npy").exists()
    assert (stored.missing, stored.shape, stored.indptr[-1]) == (1, (2, 2), 3)


def test_an_empty_folder_is_taken_and_another_is_not(source, tmp_path):
    (tmp_path / "s").mkdir()
    io.stored_entries(source, tmp_path / "s")
    for path in (tmp_path / "s", source):
        with pytest.raises(FileError, match="is there, and not an empty folder"):
            io.stored_entries(source, path)
    with pytest.raises(FileError, match="cannot be written"):
        io.stored_entries(source, tmp_path / "no" / "s")


def test_repeated_pairs_can_be_an_error(source, tmp_path):
    with pytest.raises(ValueError, match=r"a\.csv: \d+ entries repeat a pair"):
        io.stored_entries(source, tmp_path / "s", duplicates="error")
    with pytest.raises(ValueError, match="duplicates must be"):
        io.stored_entries(source, tmp_path / "s", duplicates="sum")
    assert list(tmp_path.iterdir()) == []


def test_a_limit_that_does_not_suffice_says_what_would(source, tmp_path):
    with pytest.raises(ValueError, match=r"at least (\d+) bytes to sort 20000") as error:
        io.stored_entries(source, tmp_path / "s", memory_limit=1000)
    assert list(tmp_path.iterdir()) == []
    least = int(str(error.value).split("at least ")[1].split()[0])
    io.stored_entries(source, tmp_path / "s", memory_limit=least)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left")])
@pytest.mark.parametrize("step", ["_joined", "_merged", "_keep_labels"])
def test_nothing_is_left(source, tmp_path, monkeypatch, error, step):
    def fails(*arguments):
        raise error

    monkeypatch.setattr(_stored, step, fails)
    interrupted = error is KeyboardInterrupt
    words = None if interrupted else "s: cannot be written .No space left"
    with pytest.raises(KeyboardInterrupt if interrupted else FileError, match=words):
        io.stored_entries(source, tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def test_a_bad_line_leaves_nothing(tmp_path):
    (tmp_path / "a.csv").write_text("user,item,rating\n" + "1,2,3\n" * 9000 + "1,2,x\n")
    with pytest.raises(FileError, match="line 9002: the value is 'x'"):
        io.stored_entries(tmp_path / "a.csv", tmp_path / "s")
    (tmp_path / "a.csv").write_text("user,item,rating\n1,2,1e39\n")
    with pytest.raises(FileError, match="beyond single precision"):
        io.stored_entries(tmp_path / "a.csv", tmp_path / "s")
    (tmp_path / "a.csv").write_text("user,item,rating\n1,2,\n")
    with pytest.raises(FileError, match="no entry at all"):
        io.stored_entries(tmp_path / "a.csv", tmp_path / "s")
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_of_a_process(source, tmp_path):
    code = (
        "import os, signal, sys; from leanrank import io; "
        "io.stored_entries(sys.argv[1], sys.argv[2], "
        "watch=lambda n: os.kill(os.getpid(), signal.SIGINT))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(source), str(tmp_path / "s")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert "KeyboardInterrupt" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_damage(source, tmp_path):
    io.stored_entries(source, tmp_path / "s")
    for name, words in (
        ("cols.npy", r"cols\.npy: is cut short or damaged"),
        ("entries.json", r"s: is no folder of stored_entries, or damaged"),
        ("row_labels.npy", r"row_labels\.npy"),
        ("col_labels.json", r"s: is no folder of stored_entries, or damaged"),
    ):
        copy = tmp_path / name
        shutil.copytree(tmp_path / "s", copy / "s")
        whole = (copy / "s" / name).read_bytes()
        (copy / "s" / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(FileError, match=words):
            io.open_stored(copy / "s")
        (copy / "s" / name).unlink()
        with pytest.raises(FileError, match="cannot be read"):
            io.open_stored(copy / "s")


def test_memory_is_that_of_a_piece(tmp_path):
    """Four times the entries of the same labels take no more memory."""
    pyarrow = pytest.importorskip("pyarrow", reason="PyArrow is optional")
    import pyarrow.parquet as parquet

    peaks = []
    for size in (1 << 18, 1 << 20):
        rng = np.random.default_rng(0)
        data = {"user": rng.integers(0, 3000, size), "item": rng.integers(0, 3000, size)}
        table = pyarrow.table(data | {"rating": rng.random(size)})
        parquet.write_table(table, tmp_path / "a.parquet", row_group_size=1 << 17)
        tracemalloc.start()
        io.stored_entries(tmp_path / "a.parquet", tmp_path / f"s{size}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]

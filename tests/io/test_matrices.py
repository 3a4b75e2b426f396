from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import leanrank as lr
from leanrank import io
from leanrank.io import FileError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


LONG = "user,item,rating\nann,tea,5\nbob,tea,4\nann,rum,1\nbob,gin,2\n"


class TestArrays:
    X = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]])

    def test_npy_and_npz(self, tmp_path):
        np.save(tmp_path / "a.npy", np.asfortranarray(self.X))
        np.savez(tmp_path / "a.npz", anything=self.X.astype(np.float32))
        rows, cols = np.nonzero(~np.isnan(self.X))
        y = self.X[rows, cols]
        np.savez(tmp_path / "b.npz", rows=rows[::-1], cols=cols[::-1], y=y[::-1], shape=[2, 3])
        for name in ("a.npy", "a.npz", "b.npz"):
            matrix = io.read_matrix(tmp_path / name)
            assert np.array_equal(matrix.completed(None), self.X, equal_nan=True)
        assert io.read_matrix(tmp_path / "a.npz").values.dtype == np.float32

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (np.ones(3), "two dimensions"),
            (np.ones((2, 2)) * 1j, "expected real numbers"),
            (np.array([["a"]]), "expected real numbers"),
            (np.ones((0, 3)), "is empty"),
            (np.full((2, 2), np.nan), "every entry is missing"),
            (np.array([[1.0, np.inf], [np.nan, 1.0]]), "row 0, column 1 .* is inf"),
        ],
    )
    def test_bad_arrays(self, tmp_path, array, message):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(FileError, match=message):
            io.read_matrix(tmp_path / "a.npy")

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"a": [[1.0]], "b": [[1.0]]}, "expected one array"),
            ({"rows": [0.5], "cols": [0], "y": [1], "shape": [1, 1]}, "expected integers rows"),
            ({"rows": [0], "cols": [0, 1], "y": [1], "shape": [1, 1]}, "expected integers rows"),
            ({"rows": [0], "cols": [-1], "y": [1], "shape": [1, 1]}, "'cols' must lie in"),
            ({"rows": [0], "cols": [0], "y": [1], "shape": [10**9, 10**9]}, "fewer than the"),
        ],
    )
    def test_bad_triplets(self, tmp_path, arrays, message):
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(FileError, match=message):
            io.read_matrix(tmp_path / "a.npz")

    def test_unknown_ending(self, tmp_path):
        with pytest.raises(FileError, match=r"unknown format '\.xlsx'"):
            io.read_matrix(write(tmp_path / "a.xlsx", ""))

    def test_a_list_is_looked_through_once_for_what_stands_for_missing(self, tmp_path):
        parquet = pytest.importorskip("pyarrow.parquet", reason="PyArrow is optional")
        arrow = pytest.importorskip("pyarrow")
        rows, cols = np.divmod(np.arange(60), 10)
        values = np.sin(np.arange(60.0))
        values[[3, 14, 25, 36]] = -999.0
        table = arrow.table({"user": rows, "item": cols, "rating": values})
        parquet.write_table(table, tmp_path / "a.parquet")
        (note,) = io.read_matrix(tmp_path / "a.parquet").notes
        assert "the value -999 is there 4 times" in note


class TestWriteMatrix:
    @pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz", ".mtx"])
    def test_every_digit_comes_back(self, tmp_path, suffix):
        X = np.random.default_rng(0).standard_normal((4, 5)) * 10.0 ** np.arange(-2, 3)
        io.write_matrix(tmp_path / f"a{suffix}", X)
        assert np.array_equal(io.read_matrix(tmp_path / f"a{suffix}").completed(None), X)

    def test_table_keeps_labels_and_given_numbers(self, tmp_path):
        text = 'site;"mon, am";tue\nA;1;\nB;2.5;3\n'
        path = write(tmp_path / "in.csv", text)
        matrix = io.read_matrix(path)
        X = matrix.completed(lr.Factors(np.ones((2, 1)), np.full((2, 1), 7.0)))
        io.write_matrix(tmp_path / "out.csv", X, table=matrix.table)
        assert (tmp_path / "out.csv").read_text() == "site;mon, am;tue\nA;1;7\nB;2.5;3\n"

    def test_long_stays_long(self, tmp_path):
        matrix = io.read_matrix(write(tmp_path / "in.csv", LONG))
        X = matrix.completed(lr.Factors(np.ones((2, 1)), np.zeros((3, 1))))
        io.write_matrix(tmp_path / "out.csv", X, table=matrix.table)
        lines = (tmp_path / "out.csv").read_text().splitlines()
        assert lines[0] == "user,item,rating"
        assert lines[1:4] == ["ann,tea,5", "ann,rum,1", "ann,gin,0"]
        assert len(lines) == 7

    def test_observed_entries_are_kept_unless_told(self, tmp_path):
        matrix = io.read_matrix(write(tmp_path / "in.csv", "1,\n2,3\n"))
        fit = lr.Factors(np.zeros((2, 1)), np.zeros((2, 1)))
        assert matrix.completed(fit).tolist() == [[1, 0], [2, 3]]
        assert matrix.completed(fit, keep_observed=False).tolist() == [[0, 0], [0, 0]]

    def test_refuses_what_cannot_be_written(self, tmp_path):
        with pytest.raises(FileError, match="unknown format"):
            io.write_matrix(tmp_path / "a.txt", np.ones((1, 1)))
        with pytest.raises(FileError, match="write its factors"):
            io.check_matrix_format("a.csv", (10**6, 10**6))
        with pytest.raises(FileError, match="cannot be written"):
            io.write_matrix(tmp_path / "no" / "a.csv", np.ones((1, 1)))

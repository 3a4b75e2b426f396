from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import io as scipy_io
from scipy import sparse

from leanrank import io
from leanrank.io import FileError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


class TestMatrixMarket:
    def test_coordinate_entries_are_the_observed_ones(self, tmp_path):
        text = "%%MatrixMarket matrix coordinate real general\n2 2 3\n1 1 0.0\n1 2 2\n2 1 3\n"
        matrix = io.read_matrix(write(tmp_path / "a.mtx", text))
        expected = [[0.0, 2.0], [3.0, np.nan]]
        assert np.array_equal(matrix.completed(None), expected, equal_nan=True)

    def test_array_file(self, tmp_path):
        text = "%%MatrixMarket matrix array real general\n2 2\n1\nnan\n3\n4\n"
        matrix = io.read_matrix(write(tmp_path / "a.mtx", text))
        expected = [[1.0, 3.0], [np.nan, 4.0]]
        assert np.array_equal(matrix.completed(None), expected, equal_nan=True)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("garbage\n", "not a readable Matrix Market"),
            ("%%MatrixMarket matrix coordinate real general\n2 2 3\n1 1 1\n", "bytes|readable"),
            (
                "%%MatrixMarket matrix array real general\n1000000000 1000000000\n1\n",
                "header claims|readable",
            ),
            (
                "%%MatrixMarket matrix coordinate real general\n9000000000 90000000 1\n1 1 1\n",
                "fewer than",
            ),
            ("%%MatrixMarket matrix coordinate pattern general\n1 1 1\n1 1\n", "got 'pattern'"),
            ("%%MatrixMarket matrix coordinate complex general\n1 1 1\n1 1 1 1\n", "got 'complex'"),
            ("%%MatrixMarket matrix coordinate real general\n2 2 1\n3 1 1.0\n", "readable"),
        ],
    )
    def test_bad_matrix_market(self, tmp_path, text, message):
        with pytest.raises(FileError, match=message):
            io.read_matrix(write(tmp_path / "a.mtx", text))

    HEADER = "%%MatrixMarket matrix coordinate real general\n"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            # SciPy's reader ends the process here.
            (
                "%%MatrixMarket matrix array real general\n1 1\n1e",
                "line 3: .* expected 1 number, got '1e'",
            ),
            ("%%MatrixMarket matrix array real general\n1 1\n-", "not a readable"),
            (HEADER, "ends before its sizes"),
            (HEADER + "2 2\n1 1 1\n", "line 2: expected rows, columns, entries, got '2 2'"),
            (HEADER + "2 -2 1\n1 1 1\n", "expected rows, columns, entries"),
            (HEADER + "0 2 0\n", "is empty"),
            (
                HEADER + "2 2 3\n1 1 1\n1 2 2 2 1 3\n",
                "line 4: .* expected 3 numbers, got '1 2 2 2 1 3'",
            ),
            (HEADER + "2 2 3\n1 1 1\n1 2 2\n% no more of it\n", "claims 3"),
            (
                HEADER + "2 2 3\n1 1 1\n1 2 2\n2 1 3\n2 2 4\n",
                "claims 3 lines of 3 numbers, but there are more than 3",
            ),
            (HEADER + "2 2 3\n1 1 1\n1 2.5 2\n2 1 3\n", "entry 2 has column 2.5"),
            (HEADER + "2 2 3\n1 1 1\n1 nan 2\n2 1 3\n", "entry 2 has column nan"),
            (HEADER + "2 2 3\n1 1 1\n1 2 2\n0 1 3\n", "entry 3 has row 0, expected a whole"),
            (HEADER.replace("general", "hermitian") + "1 1 1\n1 1 1\n", "got 'hermitian'"),
            (HEADER.replace("general", "symmetric") + "1 2 1\n1 1 1\n", "is square, got 1 x 2"),
            ("%%MatrixMarket matrix vector real general\n1\n1\n", "expected '%%MatrixMarket"),
            ("\0" * 5000, "line 1: not a readable"),
        ],
    )
    def test_damaged(self, tmp_path, text, message):
        path = write(tmp_path / "a.mtx", text)
        with pytest.raises(FileError, match=message) as error:
            io.read_matrix(path)
        assert str(error.value).startswith(str(path))

    @pytest.mark.parametrize("symmetry", ["general", "symmetric", "skew-symmetric"])
    @pytest.mark.parametrize("dense", [False, True])
    def test_the_same_as_scipy_reads(self, tmp_path, symmetry, dense):
        rng = np.random.default_rng(0)
        A = rng.integers(1, 9, (5, 5)).astype(float)
        A = {"general": A, "symmetric": A + A.T, "skew-symmetric": A - A.T}[symmetry]
        X = A if dense else sparse.coo_array(A * (rng.random((5, 5)) < 0.9))
        if symmetry != "general" and not dense:
            X = sparse.coo_array(
                np.tril(A) + (1 if symmetry == "symmetric" else -1) * np.tril(A, -1).T
            )
        scipy_io.mmwrite(tmp_path / "a.mtx", X, comment="of\nnothing", symmetry=symmetry)
        expected = X if dense else X.toarray()
        assert np.array_equal(
            np.nan_to_num(io.read_matrix(tmp_path / "a.mtx").completed(None)), expected
        )

    def test_what_is_written_is_columns_below_the_sizes(self, tmp_path):
        X = np.random.default_rng(0).standard_normal((4, 3)) * 10.0 ** np.arange(-200, 200, 150)
        io.write_matrix(tmp_path / "a.mtx", X)
        assert scipy_io.mminfo(tmp_path / "a.mtx") == (4, 3, 12, "array", "real", "general")
        below = np.loadtxt(tmp_path / "a.mtx", skiprows=2)
        assert np.array_equal(below.reshape((4, 3), order="F"), X)

    def test_comments_blank_lines_and_capitals(self, tmp_path):
        text = "%%matrixmarket MATRIX Array Integer General\n% a\n\n  2 1\n% b\n3\n\n4\n\n% c\n"
        matrix = io.read_matrix(write(tmp_path / "a.mtx", text))
        assert matrix.completed(None).tolist() == [[3.0], [4.0]]

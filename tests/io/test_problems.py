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


class TestReadProblem:
    def save(self, tmp_path, **arrays) -> Path:
        path = tmp_path / "problem.npz"
        np.savez(path, **arrays)
        return path

    @pytest.mark.parametrize("symmetric", [False, True])
    def test_every_kind(self, tmp_path, symmetric):
        rng = np.random.default_rng(0)
        A, x = rng.standard_normal((6, 3, 3)), rng.standard_normal((6, 3))
        z = rng.standard_normal((6, 2))
        packed = rng.standard_normal((6, 6))
        y = np.arange(6.0)
        U = rng.standard_normal((3, 1))
        square = lr.Factors(U)
        oblong = lr.Factors(U, rng.standard_normal((2, 1)))
        rows, cols = np.array([0, 1, 2, 2, 1, 0]), np.array([0, 1, 1, 2, 2, 1])
        ops = lr.operators
        cases = [
            ({"A": A}, ops.DenseSensing(A), square, symmetric),
            ({"packed": packed, "d": 3}, ops.DenseSensing.from_packed(packed, 3), square, True),
            (
                {"rows": rows, "cols": cols, "shape": [3, 3]},
                ops.ObservedEntries(rows, cols, (3, 3)),
                square,
                symmetric,
            ),
            ({"x": x}, ops.RankOneSensing(x), square, True),
        ]
        if not symmetric:
            cases.append(({"x": x, "z": z}, ops.RankOneSensing(x, z), oblong, False))
        for arrays, op, factors, expected in cases:
            problem = io.read_problem(self.save(tmp_path, y=y, symmetric=symmetric, **arrays))
            assert type(problem.op) is type(op)
            assert problem.symmetric is expected
            assert np.allclose(problem.op.forward(factors), op.forward(factors))
            assert np.array_equal(problem.y, y)

    def test_argument_asks_for_symmetry_too(self, tmp_path):
        path = self.save(tmp_path, y=np.ones(3), A=np.ones((3, 2, 2)))
        assert not io.read_problem(path).symmetric
        assert io.read_problem(path, symmetric=True).symmetric

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"A": np.ones((3, 2, 2))}, r"\(A\) are not those of one problem"),
            ({"y": np.ones(3)}, r"\(y\) are not those of one problem"),
            ({"y": [1.0], "A": np.ones((1, 2, 2)), "x": np.ones((1, 2))}, "not those of one"),
            ({"y": [1.0], "A": np.ones((1, 2, 2)), "typo": 1}, "typo"),
            ({"y": [1.0], "A": np.ones((1, 2))}, "A must have 3 dimension"),
            ({"y": [1.0], "A": np.full((1, 2, 2), np.nan)}, "A must be finite"),
            ({"y": [1.0], "A": np.ones((1, 2, 2)) * 1j}, "must be real"),
            ({"y": [1.0], "x": np.array([["a", "b"]])}, "x must be real numbers"),
            ({"y": [1.0], "packed": np.ones((1, 3)), "d": 1.5}, "'d' must hold one integer"),
            ({"y": [1.0], "packed": np.ones((1, 3)), "d": 3}, "columns for d = 3"),
            ({"y": [1.0], "rows": [0], "cols": [0], "shape": [1, 1, 1]}, "two integers"),
            ({"y": [1.0], "rows": [0], "cols": [0], "shape": [10**9, 10**9]}, "fewer than the"),
            ({"y": [1.0], "rows": [5], "cols": [0], "shape": [1, 1]}, r"rows must lie in \[0, 1\)"),
            ({"y": [1.0], "x": np.ones((1, 2)), "symmetric": [1, 0]}, "'symmetric' must hold one"),
        ],
    )
    def test_bad_arrays(self, tmp_path, arrays, message):
        path = self.save(tmp_path, **arrays)
        with pytest.raises(FileError, match=message) as error:
            io.read_problem(path)
        assert str(error.value).startswith(str(path))

    def test_columns_that_32_bits_cannot_count(self, tmp_path):
        path = self.save(tmp_path, rows=[0], cols=[2**31], shape=[1, 2**32], y=[1.0])
        for read in (io.read_problem, io.read_matrix):
            with pytest.raises(FileError, match=r"4294967296 columns, .* 32 bits; at most"):
                read(path)
        with pytest.raises(ValueError, match=r"fewer than 2\*\*31 columns"):
            lr.operators.ObservedEntries([0], [2**31], (1, 2**32))

    def test_other_formats_are_refused(self, tmp_path):
        with pytest.raises(FileError, match=r"expected the name of an \.npz"):
            io.read_problem(write(tmp_path / "a.csv", "1,2"))

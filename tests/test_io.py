from __future__ import annotations

import io as text_io
import json
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

import leanrank as lr
from leanrank import io
from leanrank._files import replacing
from leanrank.io import FileError


@pytest.fixture(scope="module")
def result():
    inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
    return lr.recover(inst.op, inst.y)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def npy_header(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    buffer = text_io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


class TestReplacing:
    def test_new_file_has_the_permissions_of_the_umask(self, tmp_path):
        (tmp_path / "plain").touch()
        with replacing(tmp_path / "a.txt", "w") as file:
            file.write("whole")
        assert (tmp_path / "a.txt").read_text() == "whole"
        assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_interrupted_write_leaves_the_old_file_and_nothing_else(self, tmp_path, error):
        path = write(tmp_path / "a.txt", "old")

        def half():
            with replacing(path, "w") as file:
                file.write("half")
                raise error

        with pytest.raises(error):
            half()
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_keeps_mode_and_follows_links(self, tmp_path):
        path = write(tmp_path / "real.txt", "old")
        path.chmod(0o640)
        link = tmp_path / "link.txt"
        link.symlink_to(path)
        with replacing(link, "w") as file:
            file.write("new")
        assert link.is_symlink()
        assert path.read_text() == "new"
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def test_full_disk_is_an_error_with_the_name(self, tmp_path):
        def full():
            with replacing(tmp_path / "a.txt"):
                raise OSError(28, "No space left on device")

        with pytest.raises(FileError, match=r"a\.txt: cannot be written \(No space"):
            full()


class TestCheckWritable:
    def test_leaves_nothing_behind(self, tmp_path):
        io.check_writable(tmp_path / "new.npz")
        assert list(tmp_path.iterdir()) == []

    def test_refuses(self, tmp_path):
        source = write(tmp_path / "in.csv", "1")
        hard = tmp_path / "hard.csv"
        os.link(source, hard)
        with pytest.raises(FileError, match="is a folder"):
            io.check_writable(tmp_path)
        with pytest.raises(FileError, match="there is no folder"):
            io.check_writable(tmp_path / "missing" / "out.csv")
        with pytest.raises(FileError, match="there is no folder"):
            io.check_writable(source / "out.csv")
        for same in (source, tmp_path / "." / "in.csv", hard):
            with pytest.raises(FileError, match="is the input, which is never overwritten"):
                io.check_writable(same, inputs=(source,))

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_refuses_read_only_folder(self, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(FileError, match="cannot be written"):
            io.check_writable(tmp_path / "out.csv")
        tmp_path.chmod(0o700)


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

    def test_other_formats_are_refused(self, tmp_path):
        with pytest.raises(FileError, match=r"expected the name of an \.npz"):
            io.read_problem(write(tmp_path / "a.csv", "1,2"))


class TestHostileArrays:
    def test_pickles_are_not_loaded(self, tmp_path):
        path = tmp_path / "a.npz"
        np.savez(path, y=np.array([print], dtype=object), A=np.ones((1, 2, 2)))
        with pytest.raises(FileError, match="array 'y': holds object values"):
            io.read_problem(path)

    def test_structured_arrays_are_refused(self, tmp_path):
        path = tmp_path / "a.npy"
        np.save(path, np.zeros(2, dtype=[("a", "f8")]))
        with pytest.raises(FileError, match="expected numbers"):
            io.read_matrix(path)

    @pytest.mark.parametrize("shape", [(10**12, 10), (2**62, 2**62), (3, 3), (-1, 5)])
    def test_claimed_shapes_are_compared_with_the_bytes(self, tmp_path, shape):
        content = npy_header(shape) + bytes(16)
        (tmp_path / "a.npy").write_bytes(content)
        with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
            archive.writestr("X.npy", content)
        for name in ("a.npy", "b.npz"):
            with pytest.raises(FileError, match="header claims shape|not an array"):
                io.read_matrix(tmp_path / name)

    def test_every_truncation_is_an_error(self, tmp_path):
        whole = tmp_path / "whole.npz"
        np.savez_compressed(whole, X=np.random.default_rng(0).random((5, 4)))
        data = whole.read_bytes()
        part = tmp_path / "part.npz"
        for n in range(0, len(data), 7):
            part.write_bytes(data[:n])
            with pytest.raises(FileError):
                io.read_matrix(part)

    def test_flipped_bytes_never_crash(self, tmp_path):
        whole = tmp_path / "whole.npz"
        np.savez_compressed(whole, X=np.full((5, 4), np.nan))
        data = bytearray(whole.read_bytes())
        part = tmp_path / "part.npz"
        for n in range(len(data)):
            damaged = data.copy()
            damaged[n] ^= 0x5A
            part.write_bytes(damaged)
            with pytest.raises(FileError):
                io.read_matrix(part)

    def test_missing_file(self, tmp_path):
        for name in ("a.npz", "a.npy", "a.csv", "a.mtx"):
            with pytest.raises(FileError, match=name):
                io.read_matrix(tmp_path / name)


class TestWide:
    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_header_and_row_labels(self, tmp_path, separator):
        text = "site,mon,tue,wed\nA,1,,3\nB,2.5,NA,nan\nC,-4,1e3,\n".replace(",", separator)
        matrix = io.read_matrix(write(tmp_path / "t.csv", text))
        assert matrix.shape == (3, 3)
        assert list(zip(matrix.rows, matrix.cols, matrix.values, strict=True)) == [
            (0, 0, 1.0),
            (0, 2, 3.0),
            (1, 0, 2.5),
            (2, 0, -4.0),
            (2, 1, 1000.0),
        ]
        assert matrix.table.header == ("site",)
        assert matrix.table.row_labels == ("A", "B", "C")
        assert matrix.table.column_labels == ("mon", "tue", "wed")

    def test_numbers_only(self, tmp_path):
        matrix = io.read_matrix(write(tmp_path / "t.csv", "\ufeff1,2\n\n3,\n"))
        assert (matrix.shape, matrix.missing) == ((2, 2), 1)
        assert matrix.table == io.Table()

    def test_index_column_under_an_empty_corner(self, tmp_path):
        matrix = io.read_matrix(write(tmp_path / "t.csv", ",a,b\n0,1,2\n1,,4\n"))
        assert (matrix.shape, matrix.missing) == ((2, 2), 1)
        assert matrix.table.row_labels == ("0", "1")

    def test_numbers_as_column_labels(self, tmp_path):
        text = "country,2001,2002\nA,1,2\nB,,4\n"
        path = write(tmp_path / "t.csv", text)
        matrix = io.read_matrix(path, header=True)
        assert (matrix.shape, matrix.table.column_labels) == ((2, 2), ("2001", "2002"))
        corner = io.read_matrix(write(path, text.replace("country", "")))
        assert (corner.shape, corner.table.row_labels) == ((2, 2), ("A", "B"))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is empty"),
            ("1,2\n3\n", "line 2: has 1 cells, expected 2"),
            ("a,b\n1,\n3,four\n", r"line 3, column 2 \('b'\): 'four' is not a finite number"),
            ("1,2\n,inf\n", "line 2, column 2: 'inf'"),
            ("1;2\n;1,5\n", "write decimals with a point"),
            ("1,2\n,1_000\n", "'1_000' is not a finite number"),
            (",\n,\n", "every entry is missing"),
            ("a,b\n", "no rows"),
            ("1,2\n,\n,\n", "fewer than the 4 unknowns"),
            ('1,"2\n3,4\n', "not readable as a table"),
        ],
    )
    def test_bad_tables(self, tmp_path, text, message):
        path = write(tmp_path / "t.csv", text)
        with pytest.raises(FileError, match=message) as error:
            io.read_matrix(path)
        assert str(error.value).startswith(str(path))

    def test_bytes_that_are_no_text(self, tmp_path):
        path = tmp_path / "t.csv"
        path.write_bytes(b"1,2\n\xff\xfe,3\n")
        with pytest.raises(FileError, match="UTF-8"):
            io.read_matrix(path)
        path.write_bytes(b"1,2\n\x00,3\n")
        with pytest.raises(FileError, match="line 2"):
            io.read_matrix(path)

    def test_enormous_cell(self, tmp_path):
        with pytest.raises(FileError, match="not readable|not a finite"):
            io.read_matrix(write(tmp_path / "t.csv", "1,2\n," + "x" * 200_000 + "\n"))

    def test_empty_rows_and_columns_are_taken(self, tmp_path):
        matrix = io.read_matrix(write(tmp_path / "t.csv", "1,2,,1\n3,4,,2\n,,,\n5,6,,3\n"))
        assert (matrix.shape, matrix.values.size) == ((4, 4), 9)


class TestLong:
    TEXT = "user,item,rating\nann,tea,5\nbob,tea,4\nann,rum,1\nbob,gin,2\n"

    def test_labels_in_order_of_appearance(self, tmp_path):
        matrix = io.read_matrix(write(tmp_path / "t.csv", self.TEXT))
        assert matrix.table.layout == "long"
        assert matrix.table.row_labels == ("ann", "bob")
        assert matrix.table.column_labels == ("tea", "rum", "gin")
        assert matrix.values.tolist() == [5, 1, 4, 2]

    def test_integers_by_size_and_no_header(self, tmp_path):
        matrix = io.read_matrix(write(tmp_path / "t.csv", "10,1,1.0\n2,1,2.0\n2,3,3.0\n"))
        assert matrix.table.row_labels == ("2", "10")
        assert matrix.table.column_labels == ("1", "3")
        assert matrix.values.tolist() == [2, 3, 1]

    def test_repeated_entries_count_with_their_mean(self, tmp_path):
        matrix = io.read_matrix(write(tmp_path / "t.csv", self.TEXT + "ann,tea,4\n"))
        assert matrix.values.tolist() == [4.5, 1, 4, 2]
        assert "1 entries are given more than once" in matrix.notes[0]

    def test_lines_without_a_value_are_passed_over(self, tmp_path):
        matrix = io.read_matrix(write(tmp_path / "t.csv", self.TEXT + "cat,tea,\n"))
        assert matrix.shape == (2, 3)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("user,item,rating\nann,,3\n", "line 2, column 2: is empty"),
            ("user,item,rating\nann,tea,good\n", r"line 2, column 3 \('rating'\): 'good'"),
            ("user,item,rating\nann,tea,\n", "every entry is missing"),
        ],
    )
    def test_bad_lines(self, tmp_path, text, message):
        with pytest.raises(FileError, match=message):
            io.read_matrix(write(tmp_path / "t.csv", text))

    def test_layout_can_be_asked_for(self, tmp_path):
        path = write(tmp_path / "t.csv", "1,1,3\n1,2,6\n2,1,9\n")
        assert io.read_matrix(path).table.layout == "long"
        assert io.read_matrix(path, layout="wide").shape == (3, 3)
        with pytest.raises(FileError, match="expected three: row"):
            io.read_matrix(write(path, "1,2\n3,4\n"), layout="long")
        with pytest.raises(ValueError, match="layout must be"):
            io.read_matrix(path, layout="round")  # type: ignore[arg-type]


class TestArraysAndMatrixMarket:
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

    def test_unknown_ending(self, tmp_path):
        with pytest.raises(FileError, match=r"unknown format '\.xlsx'"):
            io.read_matrix(write(tmp_path / "a.xlsx", ""))


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
        matrix = io.read_matrix(write(tmp_path / "in.csv", TestLong.TEXT))
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


class TestResults:
    def test_everything_comes_back(self, tmp_path, result):
        path = tmp_path / "r.npz"
        io.save_result(path, result, seed=3)
        back = io.load_result(path)
        assert np.array_equal(back.factors.W, result.factors.W)
        assert back.status is result.status
        assert back.message == result.message
        assert back.certificate == result.certificate
        assert back.history.records == result.history.records
        assert {k: v.tolist() for k, v in back.column_norms.items()} == {
            k: v.tolist() for k, v in result.column_norms.items()
        }
        with np.load(path, allow_pickle=False) as arrays:
            assert json.loads(str(arrays["summary"]))["seed"] == 3

    def test_failures_and_infinite_numbers_come_back(self, tmp_path):
        rng = np.random.default_rng(0)
        op = lr.operators.DenseSensing(rng.standard_normal((12, 6, 6)))
        result = lr.recover(op, rng.standard_normal(12), rank=2)
        assert result.certificate is not None
        assert not result.success
        io.save_result(tmp_path / "r.npz", result)
        back = io.load_result(tmp_path / "r.npz")
        assert back.certificate == result.certificate
        text = json.dumps(io.summary(result), allow_nan=False)
        assert json.loads(text)["certificate"]["holds"] is False

    def test_stopped_without_factors_comes_back(self, tmp_path):
        inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
        result = lr.recover(inst.op, inst.y, callbacks=[lambda state: True])
        io.save_result(tmp_path / "r.npz", result)
        back = io.load_result(tmp_path / "r.npz")
        assert (back.certificate, back.status) == (None, lr.Status.STOPPED)

    @pytest.mark.parametrize("symmetric", [False, True])
    def test_factors_come_back(self, tmp_path, symmetric):
        U = np.arange(6.0, dtype=np.float32).reshape(3, 2)
        factors = lr.Factors(U, None if symmetric else U[:2] + 1)
        io.save_factors(tmp_path / "f.npz", factors)
        back = io.load_factors(tmp_path / "f.npz")
        assert back.symmetric is symmetric
        assert back.shape == factors.shape
        assert back.W.dtype == np.float32
        assert np.array_equal(back.W, factors.W)

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"V": np.ones((2, 1))}, "has no array U"),
            ({"U": np.ones((2, 1)), "V": np.ones((2, 2))}, "same number of columns"),
            ({"U": np.full((2, 1), np.inf)}, "NaN or infinite"),
            ({"U": np.array([["a"]])}, "real numbers"),
        ],
    )
    def test_bad_factors(self, tmp_path, arrays, message):
        np.savez(tmp_path / "f.npz", **arrays)
        with pytest.raises(FileError, match=message):
            io.load_factors(tmp_path / "f.npz")

    def test_factors_alone_are_no_result(self, tmp_path, result):
        io.save_factors(tmp_path / "f.npz", result.factors)
        with pytest.raises(FileError, match="not a whole result"):
            io.load_result(tmp_path / "f.npz")

    def test_summary_is_plain_json(self, tmp_path, result):
        values = io.summary(result, seed=0, parameters={"rank": None, "share": np.float64("nan")})
        io.save_summary(tmp_path / "s.json", values)
        back = json.loads((tmp_path / "s.json").read_text())
        assert back["rank"] == 2
        assert back["shape"] == [30, 20]
        assert back["parameters"] == {"rank": None, "share": "nan"}
        assert back["certificate"]["holds"] is True
        assert len(back["singular_values"]) == 2
        assert back["leanrank"] == lr.__version__

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
            ("1;2.5\n;1,5\n", "'1,5' .* decimals are written with '.' here"),
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

    def test_a_user_without_a_value_has_an_empty_row(self, tmp_path):
        text = self.TEXT + "ann,gin,2\nbob,rum,3\ncat,tea,\n"
        matrix = io.read_matrix(write(tmp_path / "t.csv", text))
        assert (matrix.shape, matrix.values.size, matrix.fillable) == ((3, 3), 6, 0)
        assert matrix.notes == ("row 'cat': no entry at all, so left empty",)
        X = matrix.completed(lr.Factors(np.ones((3, 1)), np.ones((3, 1))))
        assert np.isnan(X[2]).all()
        io.write_matrix(tmp_path / "out.csv", X, table=matrix.table)
        assert "cat,gin,\n" in (tmp_path / "out.csv").read_text()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("user,item,rating\nann,,3\n", "line 2, column 2 .*: is empty"),
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

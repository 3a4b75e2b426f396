"""Tables as people send them: each is read as it was meant, or refused with the way to say it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leanrank import io
from leanrank.io import FileError

rng = np.random.default_rng(0)
X = np.where(rng.random((12, 6)) < 0.8, rng.standard_normal((12, 6)).round(4), np.nan)
RATED = [(i, j) for i in range(12) for j in range(6) if rng.random() < 0.7]
RATINGS = [(100 + i, 7 * j + 1, 0.5 * (1 + (i + j) % 9)) for i, j in RATED]


def write(path: Path, *lines: object) -> Path:
    text = [line if isinstance(line, str) else ",".join(map(str, line)) for line in lines]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def cells(row: np.ndarray, missing: str = "") -> list[str]:
    return [missing if np.isnan(x) else f"{x}" for x in row]


def same(matrix: io.IncompleteMatrix, expected: np.ndarray) -> bool:
    return np.array_equal(matrix.completed(None), expected, equal_nan=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t.csv"


class TestLong:
    @pytest.mark.parametrize(
        ("header", "order", "words"),
        [
            ("userId,movieId,rating", (0, 1, 2), "rows userId, columns movieId, values rating"),
            ("rating,user_id,item_id", (2, 0, 1), "rows user_id, columns item_id, values rating"),
            ("Product,Score,Customer", (1, 2, 0), "rows Customer, columns Product, values Score"),
            (None, (0, 1, 2), "rows column 1, columns column 2, values column 3"),
            ("a,b,c", (0, 1, 2), "rows a, columns b, values c"),
        ],
    )
    @pytest.mark.parametrize("gaps", [False, True])
    def test_names_or_three_columns(self, path, header, order, words, gaps):
        lines = [[line[k] for k in order] for line in RATINGS]
        if gaps:
            lines[4][order.index(2)] = "NA"
        matrix = io.read_matrix(write(path, *([header] if header else []), *lines))
        assert str(matrix.table) == f"long: {words}"
        assert matrix.shape == (12, 6)
        assert matrix.values.size == len(lines) - gaps
        assert matrix.values[0] == RATINGS[0][2]

    def test_what_is_ignored_is_said(self, path):
        lines = [(*line, 965_000_000 + k) for k, line in enumerate(RATINGS)]
        named = io.read_matrix(write(path, "userId,movieId,rating,timestamp", *lines))
        assert str(named.table).endswith("values rating; column timestamp is ignored")
        plain = io.read_matrix(write(path, *lines), columns=[1, 2, "3"])
        assert str(plain.table).endswith("values column 3; column 4 is ignored")
        for matrix in (named, plain):
            assert matrix.values.tolist() == [line[2] for line in RATINGS]

    def test_more_columns_without_names_are_a_question(self, path):
        lines = [(*line, 965_000_000 + k) for k, line in enumerate(RATINGS)]
        lines[3] = (*RATINGS[3][:2], "", 965_000_003)
        for header in ([], ["a,b,c,d"]):
            write(path, *header, *lines)
            with pytest.raises(FileError, match=r"columns 1,2,3 \(--columns\) or layout wide"):
                io.read_matrix(path)
            assert io.read_matrix(path, columns=[1, 2, 3]).shape == (12, 6)
            assert io.read_matrix(path, layout="wide").shape == (len(lines), 4)

    def test_infinite_values_are_named(self, path):
        with pytest.raises(FileError, match=r"line 1, column 3: 'inf' is not a finite number"):
            io.read_matrix(write(path, "1,1,inf", "1,2,inf", "2,1,inf", "2,2,inf"))

    def test_order_and_names_come_back(self, path):
        lines = [(z, x, y) for x, y, z in RATINGS]
        matrix = io.read_matrix(write(path, "rating,user_id,item_id", *lines))
        io.write_matrix(path, matrix.completed(None), table=matrix.table)
        after = path.read_text().splitlines()
        assert after[0] == "rating,user_id,item_id"
        assert len(after) == 1 + 12 * 6
        assert same(io.read_matrix(path), matrix.completed(None))

    @pytest.mark.parametrize(
        "rows",
        [
            [(1.5, 2, 3), (4, 5, 6), (7, 8, "")],  # decimals are no names
            [(1, 2, 3), (4, 5, 6), (7, 8, "")],  # no pair shares a row: nothing to complete
            [(k % 5, (k * 3) % 4, k if k % 3 else "") for k in range(60)],  # pairs repeat
            [(1, "", 3), (1, 2, 4), (2, 1, 5), (2, 2, 6)],  # a gap in a name
        ],
    )
    def test_three_columns_of_measurements_are_wide(self, path, rows):
        matrix = io.read_matrix(write(path, *rows))
        assert matrix.table.layout == "wide"
        assert matrix.shape == (len(rows), 3)


class TestWide:
    @pytest.mark.parametrize("corner", ["country", ""])
    def test_years_are_a_header(self, path, corner):
        body = [[f"Land{i}", *cells(row)] for i, row in enumerate(X)]
        matrix = io.read_matrix(write(path, [corner, *range(2000, 2006)], *body))
        assert same(matrix, X)
        assert matrix.table.column_labels == tuple(map(str, range(2000, 2006)))
        if corner:
            assert "(country, 2000, 2001, ...) is taken for a header" in matrix.notes[0]
            as_data = io.read_matrix(path, header=False)
            assert as_data.shape == (13, 6)

    def test_years_above_counts(self, path):
        body = [[f"Land{i}", i, "", 3 * i, 4] for i in range(6)]
        matrix = io.read_matrix(write(path, "country,1990,2000,2010,2020", *body))
        assert matrix.shape == (6, 4)
        assert io.read_matrix(write(path, "x,1,2,3,4", *body)).shape == (7, 4)

    def test_whole_numbers_over_whole_numbers_are_data(self, path):
        matrix = io.read_matrix(write(path, "1,2,3,4", "5,6,7,8", "9,,11,12"))
        assert (matrix.shape, matrix.notes) == ((3, 4), ())

    @pytest.mark.parametrize(
        ("name", "first", "taken"),
        [
            ("id", 100_000, True),
            ("customerId", 7, True),
            ("year", 1990, True),
            (None, 0, True),
            ("v", 100.5, False),
        ],
    )
    def test_whole_numbers_that_name_rows(self, path, name, first, taken):
        body = [[first + i, *cells(row)] for i, row in enumerate(X)]
        header = [[name, *"abcdef"]] if name else []
        matrix = io.read_matrix(write(path, *header, *body))
        assert (matrix.shape == (12, 6)) == taken
        if taken:
            assert same(matrix, X)
            assert matrix.table.row_labels == tuple(str(first + i) for i in range(12))
            assert "is taken for labels of the rows" in matrix.notes[0]
            assert io.read_matrix(path, id_columns=[0]).shape == (12, 7)

    def test_a_column_of_ids_anywhere(self, path):
        body = [[*cells(row[:2]), 7 * i % 5, *cells(row[2:])] for i, row in enumerate(X)]
        write(path, "a,b,plot,c,d,e,f", *body)
        assert io.read_matrix(path).shape == (12, 7)
        for wanted in ("plot", 3):
            matrix = io.read_matrix(path, id_columns=[wanted])
            assert same(matrix, X)
            io.write_matrix(path.with_name("out.csv"), X, table=matrix.table)
            assert path.with_name("out.csv").read_text() == path.read_text()

    def test_text_stays_text_beside_a_column_of_ids(self, path):
        body = [[7 * i % 5, *cells(row), "red"] for i, row in enumerate(X)]
        matrix = io.read_matrix(write(path, "plot,a,b,c,d,e,f,colour", *body), id_columns=["plot"])
        assert same(matrix, X)
        assert [passed.name for passed in matrix.table.passed] == ["colour"]

    def test_a_number_for_what_is_missing_in_a_column_of_text(self, path):
        body = [[*cells(row, "-9"), "-9" if i == 2 else "red"] for i, row in enumerate(X)]
        write(path, "a,b,c,d,e,f,colour", *body)
        with pytest.raises(FileError, match=r"only number in its column is -9: .*--id-column 7"):
            io.read_matrix(path)
        assert same(io.read_matrix(path, missing=[-9]), X)

    def test_one_word_among_numbers_is_an_error_and_no_text(self, path):
        body = [cells(row, "NA") for row in X]
        body[3][2] = "oops"
        with pytest.raises(
            FileError, match=r"line 5, column 3 \('c'\): 'oops' is not a .*--missing 'oops'"
        ):
            io.read_matrix(write(path, "a,b,c,d,e,f", *body))
        body[3][2], body[3][0] = "1", "oops"
        with pytest.raises(FileError, match=r"line 5, column 1 \('a'\): 'oops'"):
            io.read_matrix(write(path, "a,b,c,d,e,f", *body))

    def test_columns_without_entries(self, path):
        body = [[*cells(row), "", 7] for row in X]
        matrix = io.read_matrix(write(path, "a,b,c,d,e,f,empty,const", *body))
        assert matrix.shape == (12, 8)
        assert matrix.notes == ("column 'empty': no entry at all, so left empty",)
        assert matrix.fillable == int(np.isnan(X).sum())

    def test_a_value_for_missing(self, path):
        body = [cells(row, "-999") for row in X]
        write(path, "a,b,c,d,e,f", *body)
        assert "--missing -999" in io.read_matrix(path).notes[0]
        for word in (-999, "-999", "-999.0"):
            matrix = io.read_matrix(path, missing=[word])
            assert same(matrix, X)
            assert matrix.notes == ()
        np.save(path.with_suffix(".npy"), np.nan_to_num(X, nan=-999))
        assert same(io.read_matrix(path.with_suffix(".npy"), missing=[-999]), X)
        assert same(io.read_matrix(write(path, *(cells(row, "?") for row in X)), missing=["?"]), X)


class TestNotation:
    @pytest.mark.parametrize("separator", [";", "\t", "|"])
    def test_decimal_comma(self, path, separator):
        lines = [separator.join(cells(row)).replace(".", ",") for row in X]
        matrix = io.read_matrix(write(path, separator.join("abcdef"), *lines))
        assert same(matrix, X)
        assert str(matrix.table) == "wide table, header, decimal comma"
        io.write_matrix(path.with_name("out.csv"), np.nan_to_num(X, nan=1.5), table=matrix.table)
        assert "1,5" in path.with_name("out.csv").read_text()
        assert same(io.read_matrix(path.with_name("out.csv")), np.nan_to_num(X, nan=1.5))

    def test_thousands_or_decimals_is_a_question(self, path):
        write(path, "1,234;2", "3,456;", "5,678;9")
        with pytest.raises(FileError, match=r"'1,234' may have a decimal comma or be a thousand"):
            io.read_matrix(path)
        assert io.read_matrix(path, decimal=",").values[0] == 1.234

    def test_both_are_refused(self, path):
        with pytest.raises(FileError, match=r"'2,5' .*decimals are written with '\.' here"):
            io.read_matrix(write(path, "1.5;2,5", "3;4"))
        with pytest.raises(FileError, match=r"'1.5' .*decimals are written with ',' here"):
            io.read_matrix(write(path, "1.5;2,5", "3;4"), decimal=",")

    def test_a_separator_that_is_told(self, path):
        matrix = io.read_matrix(write(path, "1 2 3", "4  6", "7 8 9", "1 2 4"), delimiter=" ")
        assert (matrix.shape, matrix.missing) == ((4, 3), 1)

    def test_error_after_a_quoted_line_end_names_the_line_of_the_file(self, path):
        write(path, "a,b", '"two\nlines",1', "x,", "", "y,bad", "z,2", "w,3")
        with pytest.raises(FileError, match=r"line 6, column 2 \('b'\): 'bad'"):
            io.read_matrix(path)


def test_many_lines_in_memory_of_their_size(path):
    import tracemalloc

    n = 50_000
    text = "".join(f"{k % 400},{(k * 7) % 331},{k % 9 / 2},{900_000_000 + k}\n" for k in range(n))
    path.write_text("userId,movieId,rating,timestamp\n" + text)
    tracemalloc.start()
    matrix = io.read_matrix(path)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert matrix.shape == (400, 331)
    assert held < 8 * path.stat().st_size

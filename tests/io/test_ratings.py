"""Lists of entries of any kind: the same labels and values, whatever they came in."""

from __future__ import annotations

import gzip
import io as streams
import sys
from pathlib import Path

import numpy as np
import pytest

from leanrank import io
from leanrank.io import FileError, _opening, _sources

pandas = pytest.importorskip("pandas", reason="frames are tested where there are some")
pyarrow = pytest.importorskip("pyarrow", reason="PyArrow is optional")

rng = np.random.default_rng(0)
M = 10_000
USERS = rng.integers(1, 400, M) * 7
ITEMS = np.array([f"m{k:03}" for k in rng.integers(0, 90, M)], dtype=object)
STARS = rng.integers(1, 11, M) / 2


def written(
    path: Path,
    users: object = USERS,
    items: object = ITEMS,
    stars: object = STARS,
    header: str = "user,item,rating",
    sign: str = ",",
) -> Path:
    """A text file, longer than what is read of it at once."""
    lines = [header.replace(",", sign)] if header else []
    lines += [sign.join(map(str, line)) for line in zip(users, items, stars, strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def check(ratings: io.Ratings, users=USERS, items=ITEMS, stars=STARS) -> None:
    """That each entry is there, in its place, under its labels."""
    for labels, codes, given in (
        (ratings.row_labels, ratings.rows, users),
        (ratings.col_labels, ratings.cols, items),
    ):
        assert labels.tolist() == sorted(set(given.tolist()))
        assert labels[codes].tolist() == given.tolist()
        assert codes.dtype == np.int32
    assert ratings.values.tolist() == stars.tolist()
    assert ratings.shape == (len(set(users.tolist())), len(set(items.tolist())))


def frame() -> dict[str, np.ndarray]:
    return {"rating": STARS, "when": np.arange(M), "user": USERS, "item": ITEMS}


class TestText:
    @pytest.mark.parametrize(
        ("suffix", "sign"),
        [
            (".csv", ","),
            (".tsv", "\t"),
            (".dat", "::"),
            (".data", " "),
            (".txt", ";"),
            (".csv", "|"),
        ],
    )
    def test_every_delimiter(self, tmp_path, suffix, sign):
        ratings = io.read_ratings(written(tmp_path / f"a{suffix}", sign=sign))
        check(ratings)
        assert ratings.names == ("user", "item", "rating")
        assert ratings.notes == ratings.ignored == ()

    def test_runs_of_blanks(self, tmp_path):
        path = written(tmp_path / "a.dat", header="", sign="\t  ")
        check(io.read_ratings(path))
        check(io.read_ratings(path, delimiter="blanks"))

    def test_packed(self, tmp_path):
        text = written(tmp_path / "a.csv").read_bytes()
        (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text))
        check(io.read_ratings(tmp_path / "a.csv.gz"))
        with pyarrow.CompressedOutputStream(str(tmp_path / "a.tsv.zst"), "zstd") as file:
            file.write(text.replace(b",", b"\t"))
        check(io.read_ratings(tmp_path / "a.tsv.zst"))

    @pytest.mark.parametrize("suffix", [".gz", ".zst"])
    @pytest.mark.parametrize("left", [0.5, 0.999])
    def test_packed_and_cut_short(self, tmp_path, suffix, left):
        path = tmp_path / f"a.csv{suffix}"
        with pyarrow.CompressedOutputStream(
            str(path), {".gz": "gzip", ".zst": "zstd"}[suffix]
        ) as file:
            file.write(written(tmp_path / "a.csv").read_bytes())
        whole = path.read_bytes()
        path.write_bytes(whole[: int(left * len(whole))])
        with pytest.raises(FileError, match=rf"a\.csv{suffix}: is cut short or damaged"):
            io.read_ratings(path)

    def test_standard_input(self, tmp_path, monkeypatch):
        data = written(tmp_path / "a.csv").read_bytes()
        monkeypatch.setattr(sys, "stdin", streams.TextIOWrapper(streams.BytesIO(data)))
        check(io.read_ratings("-"))
        monkeypatch.setattr(sys, "stdin", streams.TextIOWrapper(streams.BytesIO(b"1,2,3\n1,2,x\n")))
        with pytest.raises(FileError, match="^standard input, line 2: the value is 'x'"):
            io.read_ratings("-")

    def test_what_is_a_number_and_what_is_not(self, tmp_path):
        path = written(tmp_path / "a.csv", ["7", " 8", "10"], ["007", "7", "1"], [1, 2, 3])
        ratings = io.read_ratings(path)
        assert ratings.row_labels.dtype == np.int64
        assert ratings.row_labels.tolist() == [7, 8, 10]
        assert ratings.col_labels.tolist() == ["007", "1", "7"]

    def test_a_word_far_down_makes_text_of_all(self, tmp_path):
        users = [*USERS.tolist(), "x"]
        path = written(tmp_path / "a.csv", users, [*ITEMS, "m000"], [*STARS, 1.0])
        assert set(io.read_ratings(path).row_labels) == set(map(str, users))

    def test_decimal_comma(self, tmp_path):
        stars = [str(x).replace(".", ",") for x in STARS]
        path = written(tmp_path / "a.csv", stars=stars, sign=";")
        check(io.read_ratings(path))
        with pytest.raises(FileError, match=r"line 2: the value is .* written with '\.' here"):
            io.read_ratings(path, decimal=".")

    def test_lines_without_a_value_are_pairs_to_predict(self, tmp_path):
        stars = STARS.astype(object)
        stars[[0, 5000, M - 1]] = "", "NA", "-9"
        users = USERS.astype(object)
        users[5000] = "cold"
        ratings = io.read_ratings(written(tmp_path / "a.csv", users, stars=stars), missing=["-9.0"])
        kept = np.delete(np.arange(M), [0, 5000, M - 1])
        check(ratings, USERS[kept], ITEMS[kept], STARS[kept])
        assert ratings.missing == 3
        assert "3 lines have no value: pairs to predict" in ratings.notes[0]

    @pytest.mark.parametrize("at", [0, 4095, 4096, 9999])
    @pytest.mark.parametrize(
        ("column", "cell", "words"),
        [
            ("stars", "inf", "the value is 'inf', expected a finite number"),
            ("stars", "four", "the value is 'four'"),
            ("items", "", "is empty, expected the column that the value belongs to"),
            ("users", " ", "is empty, expected the row that the value belongs to"),
            ("users", "1,2", "has 4 cells, expected 3"),
        ],
    )
    @pytest.mark.parametrize("header", ["user,item,rating", ""])
    def test_the_line_of_an_error(self, tmp_path, at, column, cell, words, header):
        changed = {"users": USERS, "items": ITEMS, "stars": STARS}
        changed[column] = changed[column].astype(object)
        changed[column][at] = cell
        path = written(tmp_path / "a.csv", **changed, header=header)
        if not header and at == 0 and cell == "four":  # a word above numbers is a header
            assert io.read_ratings(path, columns=[1, 2, 3]).values.size == M - 1
            return
        if not header and at == 0 and cell == "1,2":
            words, at = "has 3 cells, expected 4", 1
        line = at + (2 if header else 1)
        with pytest.raises(FileError, match=rf"a\.csv, line {line}: {words}"):
            io.read_ratings(path, columns=[1, 2, 3])

    def test_the_line_of_an_error_below_lines_without_values(self, tmp_path):
        stars = STARS.astype(object)
        stars[[3, 4, 5000]], stars[9000] = "", "?"
        with pytest.raises(FileError, match=r"line 9002: the value is '\?'"):
            io.read_ratings(written(tmp_path / "a.csv", stars=stars))
        path = written(tmp_path / "a.csv")
        lines = path.read_text().splitlines()
        lines[2345] = "1,\0,3"
        path.write_text("\n".join(lines))
        with pytest.raises(FileError, match=r"line 2346: has a NUL byte, so it is not text"):
            io.read_ratings(path)

    def test_blank_lines_and_quoted_line_ends_count(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text('user,item,rating\n\n"a\nb",x,1\n\nc,x,2\nd,x,?\n')
        with pytest.raises(FileError, match=r"line 7: the value is '\?'"):
            io.read_ratings(path)

    def test_a_value_far_outside_that_repeats(self, tmp_path):
        stars = STARS.copy()
        stars[::100] = -999
        ratings = io.read_ratings(written(tmp_path / "a.csv", stars=stars))
        assert "the value -999 is there 100 times, and all others lie" in ratings.notes[0]
        ratings = io.read_ratings(tmp_path / "a.csv", missing=[-999])
        assert (ratings.missing, ratings.values.min()) == (100, 0.5)
        assert "-999" not in ratings.notes[0]

    def test_weights(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("w,item,user,rating\n2,a,1,3\n,b,1,\n0,b,2,4\n0.5,b,3,5\n")
        ratings = io.read_ratings(path, weight="w")
        assert ratings.weights.tolist() == [2.0, 0.5]
        assert ratings.row_labels.tolist() == [1, 3]
        assert "1 of the entries have no weight, and do not count" in ratings.notes
        assert ratings.names == ("user", "item", "rating", "w")
        for bad, words in (
            ("-1", "is '-1', expected a number that is not negative"),
            ("", "is ''"),
        ):
            path.write_text(f"w,item,user,rating\n2,a,1,3\n{bad},b,2,4\n")
            with pytest.raises(FileError, match=f"line 3: the weight {words}"):
                io.read_ratings(path, weight="w")
        with pytest.raises(FileError, match=r"weight 'v' is not one of its 4 columns \(w, item"):
            io.read_ratings(path, weight="v")
        with pytest.raises(FileError, match="is not to be one of the others"):
            io.read_ratings(path, weight="user")


class TestColumns:
    @pytest.mark.parametrize("header", ["a,b,c", ""])
    def test_three_columns_in_order_and_said(self, tmp_path, header):
        ratings = io.read_ratings(written(tmp_path / "a.csv", header=header))
        check(ratings)
        shown = "a, b, c" if header else "1, 2, 3"
        assert f"columns {shown} are taken for row, column and value" in ratings.notes[0]

    def test_by_name_or_number(self, tmp_path):
        path = written(tmp_path / "a.csv", STARS, USERS, ITEMS, header="v1,who,what")
        for columns in (("who", "what", "v1"), (2, 3, 1), ("who", 3, "1")):
            ratings = io.read_ratings(path, columns)
            check(ratings)
            assert ratings.names == ("who", "what", "v1")
            assert ratings.notes == ()

    @pytest.mark.parametrize(
        "header", ["a,b,c,d", "rating,who,what", "user,who,rating,what", "user,user,rating,item"]
    )
    def test_what_may_be_two_things_is_a_question(self, tmp_path, header):
        path = tmp_path / "a.csv"
        width = header.count(",") + 1
        path.write_text("\n".join([header, *(",".join("1234"[:width]) for _ in range(3))]))
        with pytest.raises(FileError, match=r"does not tell which .* columns .*\(--columns\)"):
            io.read_ratings(path)

    def test_what_is_there_is_listed(self, tmp_path):
        path = written(tmp_path / "a.csv")
        with pytest.raises(FileError, match=r"column 'stars' is not .* \(user, item, rating\)"):
            io.read_ratings(path, ("user", "item", "stars"))
        with pytest.raises(FileError, match="columns must be three different ones"):
            io.read_ratings(path, ("user", "item", "item"))
        with pytest.raises(FileError, match="columns must be 3, for row, column and value, got 2"):
            io.read_ratings(path, ("user", "item"))


class TestColumnar:
    @pytest.fixture(params=["parquet", "arrow", "table", "pandas", "polars", "categories"])
    def source(self, request, tmp_path):
        """The same in a file or frame of each kind; files in several pieces."""
        table = pyarrow.table(frame())
        if request.param == "parquet":
            import pyarrow.parquet as parquet

            parquet.write_table(table, tmp_path / "a.parquet", row_group_size=3000)
            return tmp_path / "a.parquet"
        if request.param == "arrow":
            with pyarrow.ipc.new_file(tmp_path / "a.arrow", table.schema) as file:
                for batch in table.to_batches(max_chunksize=3000):
                    file.write(batch)
            return tmp_path / "a.arrow"
        if request.param == "polars":
            return pytest.importorskip("polars", reason="polars is optional").DataFrame(frame())
        data = pandas.DataFrame(frame())
        if request.param == "categories":
            data = data.astype({"item": "category", "user": "Int64", "rating": "Float64"})
        return table if request.param == "table" else data

    @pytest.mark.parametrize("rows", [1 << 18, 700])
    def test_every_kind(self, source, rows, monkeypatch):
        monkeypatch.setattr(_sources, "_ROWS", rows)
        ratings = io.read_ratings(source)
        check(ratings)
        assert ratings.ignored == ("when",)
        check(io.read_ratings(source, columns=("user", "item", 1)))

    @pytest.mark.parametrize("kind", ["table", "pandas", "polars"])
    @pytest.mark.parametrize(
        ("stars", "words"),
        [
            ([1.0, np.nan], r"the value is 'nan'.*\(--missing nan\)"),
            ([np.inf, 1.0], "the value is 'inf'"),
        ],
    )
    def test_what_is_no_rating(self, kind, stars, words):
        data = {"user": [1, 2], "item": [1, 1], "rating": np.array(stars)}
        made = {"table": pyarrow.table, "pandas": pandas.DataFrame}.get(kind)
        made = made or pytest.importorskip("polars", reason="polars is optional").DataFrame
        with pytest.raises(FileError, match=rf"row {int(np.isnan(stars[1]))} \(counted.*{words}"):
            io.read_ratings(made(data))
        if np.isnan(stars[1]):
            ratings = io.read_ratings(made(data), missing=[float("nan")])
            assert (ratings.values.tolist(), ratings.missing) == ([1.0], 1)

    def test_null_is_no_rating_and_no_label(self):
        polars = pytest.importorskip("polars", reason="polars is optional")
        for made, stars in (
            (pyarrow.table, [1.0, None]),
            (polars.DataFrame, [1, None]),
            (lambda d: pandas.DataFrame(d).astype({"rating": "Int64"}), [1, None]),
        ):
            ratings = io.read_ratings(made({"user": [1, 2], "item": ["a", "a"], "rating": stars}))
            assert (ratings.missing, ratings.row_labels.tolist()) == (1, [1])
            for users in ([None, 2], ["x", None]):
                with pytest.raises(FileError, match=r"row [01] \(counted from 0\): is empty"):
                    io.read_ratings(made({"user": users, "item": ["a", "a"], "rating": [1, 2]}))

    def test_labels_of_several_kinds_or_of_another(self):
        data = pandas.DataFrame({"user": [1, "1"], "item": [1, 1], "rating": [1, 2]}, dtype=object)
        with pytest.raises(TypeError, match=r"'user': labels are of several .* '1' \(str\) and 1"):
            io.read_ratings(data)
        for users in ([0.5, 1.0], [True, False]):
            data = pandas.DataFrame({"user": users, "item": [1, 1], "rating": [1, 2]})
            with pytest.raises(TypeError, match="'user': labels are (float|bool), such as"):
                io.read_ratings(data)
        whole = pandas.DataFrame({"user": [2.0, 1.0], "item": [1, 1], "rating": [1, 2]})
        assert io.read_ratings(whole).row_labels.tolist() == [1, 2]
        large = pyarrow.table(
            {"user": np.array([2**63, 1], np.uint64), "item": [1, 1], "y": [1, 2]}
        )
        with pytest.raises(TypeError, match="'user'"):
            io.read_ratings(large)

    def test_dates_are_labels(self):
        days = np.array(["2021-03-01", "2021-03-02"], dtype="datetime64[D]")
        for made in (pyarrow.table, pandas.DataFrame):
            ratings = io.read_ratings(made({"user": [1, 2], "item": days, "rating": [1, 2]}))
            assert [label[:10] for label in ratings.col_labels] == ["2021-03-01", "2021-03-02"]

    @pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
    @pytest.mark.parametrize("left", [6, 0.5, 0.99])
    def test_cut_short(self, tmp_path, suffix, left):
        import pyarrow.feather as feather
        import pyarrow.parquet as parquet

        path = tmp_path / f"a{suffix}"
        write = parquet.write_table if suffix == ".parquet" else feather.write_feather
        write(pyarrow.table(frame()), path)
        whole = path.read_bytes()
        path.write_bytes(whole[: left if left > 1 else int(left * len(whole))])
        with pytest.raises(FileError, match=rf"a{suffix}: is no readable Parquet or Arrow file"):
            io.read_ratings(path)

    def test_damaged_in_the_middle(self, tmp_path):
        import pyarrow.parquet as parquet

        path = tmp_path / "a.parquet"
        parquet.write_table(pyarrow.table(frame()), path, compression="zstd")
        data = bytearray(path.read_bytes())
        data[100:-3000] = bytes(len(data) - 3100)
        path.write_bytes(data)
        with pytest.raises(FileError, match=r"a\.parquet: is no readable"):
            io.read_ratings(path)

    def test_a_name_that_does_not_fit(self, tmp_path):
        path = written(tmp_path / "a.parquet")
        with pytest.raises(FileError, match="is no Parquet or Arrow file, whatever its name"):
            io.read_ratings(path)
        (tmp_path / "a.csv").write_bytes(b"PAR1 and so on")
        with pytest.raises(FileError, match="is no text, but of another format"):
            io.read_ratings(tmp_path / "a.csv")
        with pytest.raises(FileError, match=r"unknown format '.xls', expected .* \.csv, \.tsv"):
            io.read_ratings(written(tmp_path / "a.xls"))

    def test_without_pyarrow(self, tmp_path, monkeypatch):
        (tmp_path / "a.parquet").write_bytes(b"PAR1")
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(FileError, match=r"needs PyArrow to be read; pip install 'leanrank\["):
            io.read_ratings(tmp_path / "a.parquet")
        check(io.read_ratings(pandas.DataFrame(frame())))
        check(io.read_ratings(written(tmp_path / "a.csv")))


def test_arrays_and_matrix_market(tmp_path):
    np.savez(tmp_path / "a.npz", rows=[0, 2, 0], cols=[1, 0, 1], y=[1.0, 2.0, 3.0], shape=[3, 2])
    ratings = io.read_ratings(tmp_path / "a.npz")
    assert ratings.row_labels.tolist() == [0, 2]
    assert ratings.row_labels[ratings.rows].tolist() == [0, 2, 0]
    assert ratings.values.tolist() == [1.0, 2.0, 3.0]
    market = "%%MatrixMarket matrix coordinate real general\n3 2 2\n1 2 4.5\n3 1 0\n"
    (tmp_path / "a.mtx").write_text(market)
    ratings = io.read_ratings(tmp_path / "a.mtx")
    assert ratings.row_labels.tolist() == [1, 3]
    assert sorted(ratings.values.tolist()) == [0.0, 4.5]


def test_nothing_in_it(tmp_path):
    for text, words in (
        ("", "is empty"),
        ("user,item,rating\n", "no entry"),
        ("a,b,\n", "no entry"),
    ):
        (tmp_path / "a.csv").write_text(text)
        with pytest.raises(FileError, match=rf"a\.csv: .*{words}"):
            io.read_ratings(tmp_path / "a.csv")
    with pytest.raises(TypeError, match="source must be a path, a DataFrame .*, got list"):
        io.read_ratings([1, 2, 3])
    with pytest.raises(ValueError, match="delimiter must be one character, '::' or 'blanks'"):
        io.read_ratings(tmp_path / "a.csv", delimiter="ab")
    with pytest.raises(ValueError, match=r"decimal must be '\.' or ','"):
        io.read_ratings(tmp_path / "a.csv", decimal="x")
    with pytest.raises(ValueError, match="delimiter and decimal are both ','"):
        io.read_ratings(tmp_path / "a.csv", decimal=",", delimiter=",")
    assert _opening.plain_suffix("a.CSV.Gz") == ".csv"

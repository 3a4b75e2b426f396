"""``leanrank complete``: cells that are asked for, files of every kind, and what is too large."""

from __future__ import annotations

import csv
import gzip
import json

import numpy as np
import pytest

from leanrank import io


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(0)
    return rng.standard_normal((30, 2)) @ rng.standard_normal((2, 20))


@pytest.fixture(scope="module")
def seen(truth):
    return np.random.default_rng(1).random(truth.shape) < 0.6


@pytest.fixture(params=["wide", "long", "numbers"])
def given(request, truth, seen, tmp_path):
    """The same matrix as a table, as a list, and as arrays without labels."""
    if request.param == "numbers":
        rows, cols = np.nonzero(seen)
        path = tmp_path / "in.npz"
        np.savez(path, rows=rows, cols=cols, y=truth[seen], shape=truth.shape)
        return path, "{}", "{}"
    path = tmp_path / "in.csv"
    if request.param == "long":
        lines = [f"r{i},c{j},{truth[i, j]!r}" for i, j in zip(*np.nonzero(seen), strict=True)]
        lines = [line.replace("np.float64(", "").replace(")", "") for line in lines]
        path.write_text("\n".join(["user,item,rating", *lines]) + "\n")
    else:
        cells = np.where(seen, truth.astype(str), "").tolist()
        lines = [",".join([f"r{i}", *row]) for i, row in enumerate(cells)]
        header = ",".join(["site", *(f"c{j}" for j in range(truth.shape[1]))])
        path.write_text("\n".join([header, *lines]) + "\n")
    return path, "r{}", "c{}"


def cells_of(text: str) -> tuple[list[str], list[list[str]]]:
    header, *lines = csv.reader(text.splitlines())
    return header, lines


class TestCells:
    def test_only_the_cells_that_are_asked_for(self, given, truth, seen, tmp_path, run):
        path, row, column = given
        hidden = np.argwhere(~seen)[::7].tolist()
        asked = [*hidden, np.argwhere(seen)[3].tolist(), hidden[0]]
        lines = [f"{row.format(i)},{column.format(j)}" for i, j in asked]
        (tmp_path / "cells.csv").write_text("\n".join(["where,what", *lines]))
        options = ("complete", path, "--cells", tmp_path / "cells.csv", "--raw")
        header, found = cells_of(run(*options).stdout)
        assert header == ["where", "what", "value"]
        assert [",".join(line[:2]) for line in found] == lines
        values = np.array([float(line[2]) for line in found])
        np.testing.assert_allclose(values, [truth[i, j] for i, j in asked], atol=1e-7)
        assert values[-2] == truth[tuple(asked[-2])]  # as it came
        run(*options, "--out", tmp_path / "out.tsv", "--intervals", tmp_path / "i.csv")
        header, found = cells_of((tmp_path / "i.csv").read_text())
        assert header == ["where", "what", "low", "value", "high"]
        low, middle, high = (np.array([float(line[k]) for line in found]) for k in (2, 3, 4))
        assert (low <= middle + 1e-12).all()
        assert (middle <= high + 1e-12).all()
        assert (tmp_path / "out.tsv").read_text().startswith("where\twhat\tvalue\n")

    def test_without_names(self, given, tmp_path, run):
        path, row, column = given
        (tmp_path / "cells.dat").write_text(f"{row.format(3)}::{column.format(5)}\n")
        outcome = run("complete", path, "--raw", "--cells", tmp_path / "cells.dat")
        header, found = cells_of(outcome.stdout)
        assert header == ["row", "column", "value"]
        assert found[0][:2] == [row.format(3), column.format(5)]

    def test_they_are_those_of_the_whole(self, given, tmp_path, run):
        path, row, column = given
        lines = [f"{row.format(i)},{column.format(j)}" for i in range(30) for j in range(20)]
        (tmp_path / "cells.csv").write_text("\n".join(lines))
        for options in ((), ("--fit-all", "--max", 0.5)):
            run("complete", path, *options, "--out", tmp_path / "out.npy")
            X = np.load(tmp_path / "out.npy")
            run(
                "complete",
                path,
                *options,
                "--cells",
                tmp_path / "cells.csv",
                "--out",
                tmp_path / "o.csv",
            )
            labels = io.read_matrix(path).table
            found = {
                tuple(x[:2]): float(x[2]) for x in cells_of((tmp_path / "o.csv").read_text())[1]
            }
            rows = labels.row_labels or tuple(map(str, range(30)))
            cols = labels.column_labels or tuple(map(str, range(20)))
            whole = {(i, j): X[a, b] for a, i in enumerate(rows) for b, j in enumerate(cols)}
            assert found.keys() == whole.keys()
            np.testing.assert_allclose([found[k] for k in whole], list(whole.values()), rtol=1e-12)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (
                "{0},{1}\nnobody,{1}\n",
                "1 of its cells have a row that is not in the matrix, such as",
            ),
            ("{0},{1}\n{0},99\n", "1 of its cells have a column that is not in the matrix"),
            ("a,b\n", "asks for no cells"),
            ("a,b,c\n", "does not tell which of its 3 columns"),
            ("", "is empty"),
        ],
    )
    def test_bad_cells_are_2_before_the_fit(self, given, tmp_path, monkeypatch, text, words, run):
        monkeypatch.setattr("leanrank.cli._terminal.recover", lambda *a, **k: pytest.fail("ran"))
        path, row, column = given
        (tmp_path / "cells.csv").write_text(text.format(row.format(0), column.format(0)))
        outcome = run("complete", path, "--raw", "--cells", tmp_path / "cells.csv", code=2)
        assert words in " ".join(outcome.stderr.split())

    def test_contradictions(self, given, tmp_path, run):
        path, row, column = given
        cells = tmp_path / "cells.csv"
        cells.write_text(f"{row.format(0)},{column.format(0)}\n")
        out = tmp_path / "out.csv"
        outcome = run("complete", path, "--cells", cells, "--out", out, "--draws", 2, code=2)
        assert "--draws are whole matrices" in outcome.stderr
        outcome = run("complete", path, "--cells", cells, "--out", tmp_path / "o.npy", code=2)
        assert "expected a name that ends in .csv, .tsv, .parquet" in outcome.stderr


def test_a_cell_of_a_row_without_entries_is_empty(tmp_path, truth, run):
    lines = [f"r{i},c{j},{truth[i, j]}" for i in range(20) for j in range(15) if (i + j) % 3]
    (tmp_path / "in.csv").write_text("\n".join(["user,item,rating", *lines, "cold,c1,"]) + "\n")
    (tmp_path / "cells.csv").write_text("user,item\ncold,c1\nr0,c0\n")
    outcome = run(
        "complete", tmp_path / "in.csv", "--raw", "--cells", tmp_path / "cells.csv", code=1
    )
    assert outcome.stdout.splitlines()[1] == "cold,c1,"
    assert outcome.stdout.splitlines()[2] != "r0,c0,"


def test_a_matrix_that_is_too_large_is_refused_before_the_fit(tmp_path, monkeypatch, run):
    rng = np.random.default_rng(0)
    m = 200_000
    lines = zip(rng.integers(0, 70_000, m), rng.integers(0, 60_000, m), strict=True)
    text = "".join(f"{i},{j},{(i + j) % 7}\n" for i, j in lines)
    (tmp_path / "in.csv").write_text("user,item,rating\n" + text)
    (tmp_path / "cells.csv").write_text(text.split(",", 2)[0] + "," + text.split(",", 2)[1] + "\n")
    ran = []

    def never(*arguments, **options):
        ran.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr("leanrank.cli._terminal.recover", never)
    for options in ((), ("--out", tmp_path / "out.csv"), ("--plot", tmp_path / "p.png")):
        outcome = run("complete", tmp_path / "in.csv", *options, code=2)
        words = " ".join(outcome.stderr.split())
        assert (
            "more entries than are of use in a file; ask for some of its cells (--cells)" in words
        )
    assert not ran
    run("complete", tmp_path / "in.csv", "--cells", tmp_path / "cells.csv", code=130)
    assert ran


def test_too_little_memory_is_said_before_the_fit(tmp_path, monkeypatch, run):
    (tmp_path / "in.csv").write_text("a,b,c\n1,2,3\n2,,6\n3,6,9\n")
    monkeypatch.setattr("leanrank._files.os.sysconf", lambda name: 5)
    outcome = run("complete", tmp_path / "in.csv", "--out", tmp_path / "out.csv", code=2)
    assert "more than the memory of this machine" in " ".join(outcome.stderr.split())
    assert "--cells" in outcome.stderr


class TestFiles:
    """The same list of entries in files of every kind."""

    @pytest.fixture
    def text(self, truth, seen):
        lines = [f"r{i},c{j},{truth[i, j]}" for i, j in zip(*np.nonzero(seen), strict=True)]
        return "\n".join(["user,item,rating", *lines]) + "\n"

    @pytest.mark.parametrize("kind", [".csv.gz", ".tsv", ".dat", ".data", ".parquet", "-"])
    def test_they_are_completed_alike(self, tmp_path, truth, text, kind, run):
        path, stdin = tmp_path / f"in{kind}", None
        if kind == ".csv.gz":
            path.write_bytes(gzip.compress(text.encode()))
        elif kind == ".parquet":
            parquet = pytest.importorskip("pyarrow.parquet", reason="PyArrow is optional")
            import pyarrow.csv

            (tmp_path / "in.csv").write_text(text)
            parquet.write_table(pyarrow.csv.read_csv(tmp_path / "in.csv"), path)
        elif kind == "-":
            path, stdin = "-", text
        else:
            sign = {".tsv": "\t", ".dat": "::", ".data": " "}[kind]
            path.write_text(text.replace(",", sign))
        out = tmp_path / "out.npy"
        outcome = run("complete", path, "--raw", "--out", out, "--json", stdin=stdin)
        assert json.loads(outcome.stdout)["read_as"].startswith("long: rows user, columns item")
        X = np.load(out)
        (tmp_path / "plain.csv").write_text(text)
        table = io.read_matrix(tmp_path / "plain.csv").table
        if kind == ".parquet":  # sorted by label, not by appearance
            table = io.read_matrix(path).table
        places = np.ix_(
            *([int(x[1:]) for x in labels] for labels in (table.row_labels, table.column_labels))
        )
        np.testing.assert_allclose(X, truth[places], atol=1e-7)

    def test_what_is_written_of_two_signs_is_separated_by_commas(self, tmp_path, text, run):
        (tmp_path / "in.dat").write_text(text.replace(",", "::"))
        assert run("complete", tmp_path / "in.dat", "--raw").stdout.startswith("user,item,rating\n")

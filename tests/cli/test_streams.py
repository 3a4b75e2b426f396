"""What standard output and standard error can be, of a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from leanrank import io
from leanrank.cli import app

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Rank 1, one entry missing, a name that ASCII does not have."""
    X = np.outer(np.arange(1, 6), [1, 2, 4, 8])
    lines = [",".join(map(str, row)) for row in X.tolist()]
    lines[2] = lines[2].replace("12", "")
    path = tmp_path / "Zürich.csv"
    path.write_text("\n".join(["é,b,c,d", *lines]) + "\n", encoding="utf-8")
    return path


def shell(command: str, table: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command line; its words and what it leaves in out.csv are in UTF-8."""
    done = subprocess.run(
        ["bash", "-c", command.replace("leanrank", f"{sys.executable} -m leanrank.cli")],
        capture_output=True,
        check=False,
        cwd=table.parent,
        env=os.environ | {"FILE": table.name} | environment,
        encoding="utf-8",
        errors="surrogateescape",  # names of files come back as they went in
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("leanrank complete $FILE > /dev/full", 2, "No space left on device"),
        ("leanrank complete $FILE >&-", 2, "standard output is closed"),
        ("leanrank complete $FILE --json >&-", 2, "standard output is closed"),
        ("leanrank complete $FILE --quiet --out out.csv >&-", 0, ""),
        ("leanrank complete $FILE > /dev/null 2> /dev/full", 0, ""),
        ("leanrank complete missing.csv 2>&-", 2, ""),
        ("leanrank reproduce --list > /dev/full", 2, "No space left on device"),
        ("leanrank complete $FILE | true; exit ${PIPESTATUS[0]}", 141, ""),
        ("leanrank --help | true; exit ${PIPESTATUS[0]}", 141, ""),
    ],
)
def test_exit_codes(table, command, code, words):
    done = shell(command, table)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    if code == 141:
        assert "leanrank:" not in done.stderr


def test_words_that_cannot_be_said_lose_no_result(table):
    done = shell("leanrank complete $FILE --out out.csv > /dev/full", table)
    assert done.returncode == 2
    assert io.read_matrix(table.parent / "out.csv").missing == 0


@pytest.mark.parametrize("locale", [{"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C"}])
def test_always_in_utf8(table, locale):
    done = shell("leanrank complete $FILE", table, PYTHONUTF8="0", **locale)
    assert done.returncode == 0
    assert done.stdout.startswith("é,b,c,d\n1,2,4,8\n")
    assert "Zürich.csv: 5 x 4" in done.stderr


def test_a_file_name_that_is_no_text(table):
    done = shell("leanrank complete $'\\xff.csv' --json", table)
    assert done.returncode == 2
    assert "\udcff.csv: there is no such file" in done.stderr


def test_outputs_that_are_no_files(table):
    done = shell(
        "leanrank complete $FILE --out /dev/null --factors /dev/null --summary /dev/null "
        "--plot /dev/null && test -c /dev/null",
        table,
    )
    assert done.returncode == 0, done.stderr
    done = shell("leanrank complete $FILE --out /dev/stdout > out.csv", table)
    assert done.returncode == 0, done.stderr
    assert io.read_matrix(table.parent / "out.csv").missing == 0
    assert "CONVERGED" in done.stderr
    done = shell(
        "mkfifo pipe; cat pipe > copy & leanrank complete $FILE --summary pipe; wait", table
    )
    assert json.loads((table.parent / "copy").read_text())["rank"] == 1
    assert (table.parent / "pipe").is_fifo()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["complete", "loop.csv"], "loop.csv: cannot be read"),
        (["complete", "FILE", "--out", "loop.csv"], "loop.csv: cannot be written"),
        (["complete", "a" * 300 + ".csv"], "cannot be read (File name too long)"),
        (
            ["complete", "FILE", "--out", "a" * 300 + ".csv"],
            "cannot be written (File name too long)",
        ),
        (["complete", "/dev/zero"], "is a pipe or a device, expected a file"),
        (["recover", "pipe.npz"], "is a pipe or a device, expected a file"),
        (["complete", "."], "is a folder"),
        (["complete", "FILE/a.csv"], "there is no such file"),
        (["reproduce", "pruning-eq6", "--quick", "--out", "FILE"], "cannot be made a folder"),
    ],
)
def test_names_that_lead_nowhere_are_2(table, arguments, words, monkeypatch):
    monkeypatch.chdir(table.parent)
    Path("loop.csv").symlink_to("loop.csv")
    os.mkfifo("pipe.npz")
    done = CliRunner().invoke(app, [word.replace("FILE", table.name) for word in arguments])
    assert done.exit_code == 2, done.output
    assert words in done.stderr


def test_a_fault_of_ours_is_not_taken_for_an_answer(table):
    code = (
        "import sys, leanrank.io as io, leanrank.cli as cli; "
        "io.read_matrix = lambda *a, **k: 1 / 0; "
        "sys.argv = ['leanrank', 'complete', sys.argv[1]]; cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(table)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "ZeroDivisionError" in done.stderr

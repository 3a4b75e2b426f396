from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import leanrank as lr
from leanrank import io
from leanrank.cli import app
from leanrank.cli._commands import EXAMPLES
from leanrank.cli._demo import PATCH, from_patches, load_photograph, run_demo, to_patches

runner = CliRunner()


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(0)
    return rng.standard_normal((25, 2)) @ rng.standard_normal((2, 20))


@pytest.fixture
def table(tmp_path, truth):
    """A wide table of rank 2 with 40 % of its entries missing."""
    hidden = np.random.default_rng(1).random(truth.shape) < 0.4
    lines = [",".join(["site", *(f"c{j}" for j in range(truth.shape[1]))])]
    for i, row in enumerate(truth):
        cells = ["" if hidden[i, j] else repr(float(x)) for j, x in enumerate(row)]
        lines.append(",".join([f"r{i}", *cells]))
    path = tmp_path / "in.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def problem(tmp_path):
    rng = np.random.default_rng(0)
    A, U = rng.standard_normal((120, 10, 10)), rng.standard_normal((10, 2))
    path = tmp_path / "problem.npz"
    np.savez(path, A=A, y=np.einsum("mij,ik,jk->m", A, U, U), symmetric=True)
    return path


def run(*arguments: object, code: int = 0):
    outcome = runner.invoke(app, [str(argument) for argument in arguments])
    assert outcome.exit_code == code, outcome.output
    assert "Traceback" not in outcome.output
    return outcome


class TestRecover:
    def test_words(self, problem):
        words = run("recover", problem).stdout
        assert "CONVERGED  the certificate holds" in words
        assert "Exact fit of rank 2" in words
        assert "of a 10 x 10 matrix" in words

    def test_files(self, problem, tmp_path):
        out, plot, summary = (tmp_path / name for name in ("r.npz", "r.svg", "r.json"))
        run("recover", problem, "--out", out, "--plot", plot, "--summary", summary)
        result = io.load_result(out)
        assert (result.rank, result.status) == (2, lr.Status.CONVERGED)
        assert result.factors.symmetric
        assert plot.read_text().startswith("<?xml")
        assert json.loads(summary.read_text())["rank"] == 2

    def test_json(self, problem):
        outcome = run("recover", problem, "--json", "--seed", 5, "--width", 6)
        values = json.loads(outcome.stdout)
        assert values["rank"] == 2
        assert values["seed"] == 5
        assert values["parameters"]["width"] == 6
        assert values["parameters"]["symmetric"] is True
        assert values["measurements"] == 120
        assert values["certificate"]["holds"] is True
        assert "CONVERGED" in outcome.stderr

    def test_quiet(self, problem):
        outcome = run("recover", problem, "--quiet")
        assert outcome.output == ""

    def test_not_certified_is_1_and_written(self, problem, tmp_path):
        out = tmp_path / "r.npz"
        outcome = run("recover", problem, "--rank", 1, "--out", out, code=1)
        assert "does not hold" in outcome.stdout
        assert io.load_result(out).rank == 1

    def test_time_limit_keeps_what_there_is(self, problem, tmp_path):
        out = tmp_path / "r.npz"
        outcome = run("recover", problem, "--time-limit", 1e-9, "--out", out, code=1)
        assert "STOPPED" in outcome.stdout
        assert io.load_result(out).rank >= 1

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--rank", "11"], "rank must be at least 1 and at most 10"),
            (["--validation", "2"], "validation must be"),
            (["--time-limit", "-1"], "time_limit must be"),
            (["--out", "result.csv"], "expected a name that ends in .npz"),
            (["--plot", "no/where.png"], "there is no folder"),
            (["--plot", "a.xyz"], "expected a name that ends in .png, .pdf, .svg"),
            (["--plot", "a.png", "--summary", "./a.png"], "is to take two outputs"),
            (["--rank", "0"], "Invalid value"),
            (["--colour"], "No such option"),
        ],
    )
    def test_bad_options_are_2(self, problem, options, message, monkeypatch):
        monkeypatch.chdir(problem.parent)
        outcome = run("recover", problem, *options, code=2)
        assert message in " ".join(outcome.stderr.split())

    def test_bad_files_are_2(self, problem, tmp_path):
        assert "there is no such file" in run("recover", tmp_path / "no.npz", code=2).stderr
        half = tmp_path / "half.npz"
        half.write_bytes(problem.read_bytes()[:5000])
        assert "truncated" in run("recover", half, code=2).stderr
        few = tmp_path / "few.npz"
        np.savez(few, y=np.ones(2), x=np.eye(5)[:2])
        assert "fewer than the 5 unknowns" in run("recover", few, code=2).stderr

    def test_outputs_are_checked_before_the_run(self, problem, tmp_path, monkeypatch):
        def never(*args, **kwargs):
            raise AssertionError("the computation was started")

        monkeypatch.setattr("leanrank.cli._terminal.recover", never)
        run("recover", problem, "--out", problem, code=2)
        run("recover", problem, "--out", tmp_path / "no" / "r.npz", code=2)
        run("recover", problem, "--plot", tmp_path / "a.xyz", code=2)
        run("complete", problem, "--out", tmp_path / "a.xyz", code=2)


class TestComplete:
    def test_matrix_goes_down_the_pipe_and_words_beside_it(self, table, truth):
        outcome = run("complete", table)
        lines = outcome.stdout.splitlines()
        assert lines[0] == table.read_text().splitlines()[0]
        assert [line.split(",")[0] for line in lines[1:]] == [f"r{i}" for i in range(25)]
        X = np.array([[float(x) for x in line.split(",")[1:]] for line in lines[1:]])
        assert np.allclose(X, truth, atol=1e-8)
        assert "25 x 20" in outcome.stderr
        assert "CONVERGED" in outcome.stderr

    def test_observed_cells_are_not_touched(self, table, tmp_path):
        out = tmp_path / "out.csv"
        run("complete", table, "--out", out)
        before, after = io.read_matrix(table), io.read_matrix(out)
        assert after.missing == 0
        assert np.array_equal(after.completed(None)[before.rows, before.cols], before.values)
        run("complete", table, "--out", out, "--fit-all")
        fitted = io.read_matrix(out).completed(None)[before.rows, before.cols]
        assert np.allclose(fitted, before.values)
        assert not np.array_equal(fitted, before.values)

    @pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz", ".mtx"])
    def test_every_format_out(self, table, truth, tmp_path, suffix):
        out = tmp_path / f"out{suffix}"
        outcome = run("complete", table, "--out", out)
        assert np.allclose(io.read_matrix(out).completed(None), truth, atol=1e-8)
        assert f"Wrote the completed matrix to {out}" in outcome.stdout.replace("\n", "")

    def test_all_the_files(self, table, tmp_path):
        factors, plot, summary = (tmp_path / name for name in ("f.npz", "p.png", "s.json"))
        run("complete", table, "--factors", factors, "--plot", plot, "--summary", summary)
        assert io.load_factors(factors).shape == (25, 20)
        assert plot.read_bytes().startswith(b"\x89PNG")
        assert json.loads(summary.read_text())["missing"] == io.read_matrix(table).missing

    def test_json_takes_standard_output(self, table):
        outcome = run("complete", table, "--json")
        values = json.loads(outcome.stdout)
        assert (values["rank"], values["notes"]) == (2, [])
        assert values["read_as"] == "wide table, header, row labels"
        assert "CONVERGED" in outcome.stderr

    def test_empty_row_is_reported(self, table, tmp_path):
        lines = table.read_text().splitlines()
        lines.append("lost" + "," * 20)
        path = tmp_path / "gap.csv"
        path.write_text("\n".join(lines) + "\n")
        outcome = run("complete", path, "--raw", "--out", tmp_path / "out.csv", code=1)
        assert "filled-in error unbounded" in " ".join(outcome.stdout.split())
        assert "ow 25 (counted from 0) has too few" in " ".join(outcome.stdout.split())
        assert io.read_matrix(tmp_path / "out.csv").shape == (26, 20)
        outcome = run("complete", path, "--out", tmp_path / "out.csv")
        assert "without 1 row(s) that have no entry" in " ".join(outcome.stdout.split())
        assert io.read_matrix(tmp_path / "out.csv").empty[0].tolist() == [25]

    def test_noise_is_said_to_be_noise(self, tmp_path):
        rng = np.random.default_rng(0)
        cells = [
            ["" if rng.random() < 0.3 else f"{x:.6f}" for x in row]
            for row in rng.standard_normal((20, 15))
        ]
        path = tmp_path / "noise.csv"
        path.write_text("\n".join(",".join(row) for row in cells) + "\n")
        words = " ".join(run("complete", path, "--out", tmp_path / "o.csv", code=1).stdout.split())
        assert "STALLED the certificate does not hold" in words
        assert "othing in the measurements rises above the noise" in words
        assert "per free parameter" not in words

    def test_nothing_missing_is_passed_on_if_that_is_meant(self, tmp_path):
        path = tmp_path / "full.csv"
        path.write_text("a,b\n1,2.50\n3,4\n")
        for options in ([], ["--fit-all"]):
            outcome = run("complete", path, *options, code=2)
            assert "nothing is missing (read as: wide table, header)" in outcome.stderr
            assert "--allow-complete" in outcome.stderr
            assert outcome.stdout == ""
        outcome = run("complete", path, "--allow-complete", "--summary", tmp_path / "s.json")
        assert outcome.stdout == "a,b\n1,2.5\n3,4\n"
        assert "nothing is missing" in outcome.stderr
        assert json.loads((tmp_path / "s.json").read_text())["status"] == "complete"
        outcome = run("complete", path, "--allow-complete", "--json")
        assert json.loads(outcome.stdout)["success"] is True
        run("complete", path, "--allow-complete", "--fit-all", "--raw", code=1)

    def test_what_is_told_of_a_table(self, tmp_path, truth):
        """Columns by name, a value for missing, a decimal comma, bars: all at once and apart."""
        users, items = np.nonzero(np.random.default_rng(1).random(truth.shape) < 0.7)
        lines = [
            f"{truth[i, j]:.15g}|x|{i}|{j}".replace(".", ",")
            for i, j in zip(users, items, strict=True)
        ]
        path, out = tmp_path / "in.csv", tmp_path / "out.npy"
        path.write_text("\n".join(["a|b|c|d", *lines, "-999|x|0|0", "-999|x|new|0"]) + "\n")
        outcome = run(
            *("complete", path, "--out", out, "--columns", "c,4,a", "--missing", "-999"),
            *("--decimal", ",", "--delimiter", "|"),
            code=1,  # nothing is known of the row "new"
        )
        words = " ".join(outcome.stdout.split())
        assert "(long: rows c, columns d, values a; column b is ignored, decimal comma)" in words
        assert "row 'new': no entry at all, so left empty" in words
        X = np.load(out)
        assert np.allclose(X[:25], truth, atol=1e-8)
        assert np.isnan(X[25]).all()

    def test_rows_are_counted_in_one_way(self, tmp_path):
        path = tmp_path / "in.csv"
        path.write_text("a,b,c\n1,2,3\n,,\n2,4,6\n3,6,9\n4,8,\n")
        outcome = run("complete", path, "--raw", "--out", tmp_path / "out.csv", code=1)
        words = " ".join(outcome.stdout.split())
        assert "row 1 (counted from 0): no entry at all" in words
        assert "Row 1 (counted from 0) has too few measurements" in words

    def test_text_beside_numbers_comes_back(self, table, tmp_path):
        lines = [line.split(",") for line in table.read_text().splitlines()]
        for i, cells in enumerate(lines):
            cells.insert(3, f"2021-03-{i + 1:02}" if i else "date")
            cells.append("Oslo" if i else "city")
        path = tmp_path / "mixed.csv"
        path.write_text("\n".join(",".join(cells) for cells in lines) + "\n")
        outcome = run("complete", path)
        after = [line.split(",") for line in outcome.stdout.splitlines()]
        for k in (0, 3, -1):
            assert [cells[k] for cells in after] == [cells[k] for cells in lines]
        assert "passed through as it came: date, city" in outcome.stderr

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--columns", "c0,c1"], "columns must be three"),
            (["--columns", "c0,c1,c99"], "'c99' is not one of its 21 columns (site, c0, c1"),
            (["--columns", "c0,c1,2"], "columns must be three different ones"),
            (["--id-column", "99"], "id column '99' is not one of its 21 columns"),
            (["--decimal", "x"], "decimal must be '.' or ','"),
            (["--decimal", ","], "delimiter and decimal"),
            (["--delimiter", "ab"], "delimiter must be one character"),
            (["--layout", "long"], "say which columns they are in (--columns)"),
            (["--layout", "wide", "--columns", "1,2,3"], "columns are of a long table"),
            (["--layout", "round"], "Invalid value"),
        ],
    )
    def test_contradictions_are_2(self, table, options, message):
        if options == ["--decimal", ","]:
            options = [*options, "--delimiter", ","]
        outcome = run("complete", table, *options, code=2)
        assert message in " ".join(outcome.stderr.split())

    def test_constant_zero_is_an_answer(self, tmp_path):
        path = tmp_path / "zero.csv"
        path.write_text("0,0,0\n0,,0\n0,0,0\n")
        assert run("complete", path).stdout == "0,0,0\n" * 3

    def test_input_is_never_overwritten(self, table):
        before = table.read_bytes()
        assert "never overwritten" in run("complete", table, "--out", table, code=2).stderr
        assert table.read_bytes() == before

    def test_bad_input_is_2(self, tmp_path):
        path = tmp_path / "bad.csv"
        path.write_text("a,b\n1,\n3,four\n")
        outcome = run("complete", path, code=2)
        assert "line 3, column 2 ('b'): 'four' is not a finite number" in outcome.stderr
        assert outcome.stdout == ""

    def test_markup_in_names_is_taken_literally(self, tmp_path):
        path = tmp_path / "[red]x[bold].csv"
        path.write_text("1,four\n")
        assert path.name in run("complete", path, code=2).stderr.replace("\n", "")


class TestDemo:
    def test_patches_go_there_and_back(self):
        image = np.random.default_rng(0).random((2 * PATCH, 3 * PATCH, 3))
        matrix = to_patches(image)
        assert matrix.shape == (6, PATCH * PATCH * 3)
        assert np.array_equal(from_patches(matrix, image.shape), image)
        assert np.array_equal(matrix[1].reshape(PATCH, PATCH, 3), image[:PATCH, PATCH : 2 * PATCH])

    def test_seen_pixels_stay_and_the_rest_is_better_than_grey(self):
        image = load_photograph(4)
        demo = run_demo(image)
        hidden = np.isnan(demo.seen)
        assert abs(hidden.mean() - 0.6) < 0.01
        assert np.array_equal(hidden[..., 0], hidden[..., 2])
        assert np.array_equal(demo.completed[~hidden], image[~hidden])
        grey = -10 * np.log10(np.mean((image[hidden] - image[~hidden].mean()) ** 2))
        assert demo.psnr > grey + 5
        assert demo.psnr_of_mean < demo.psnr
        assert demo.result.rank >= 1

    def test_picture_and_words(self, tmp_path):
        out = tmp_path / "demo.png"
        outcome = runner.invoke(app, ["demo", "--shrink", "4", "--out", str(out)])
        assert outcome.exit_code == 0
        assert out.read_bytes().startswith(b"\x89PNG")
        words = " ".join(outcome.stdout.split())
        assert "The photograph is back." in words
        assert "dB on pixels that were not seen" in words
        assert "A hard case: a photograph of 160 x 104 pixels" in words
        times = float(re.search(r"are missed ([0-9.]+) times less than by the mean", words)[1])
        psnr, mean = re.search(r"PSNR ([0-9.]+) dB .* \(mean colour: ([0-9.]+)\)", words).groups()
        assert abs(20 * np.log10(times) - (float(psnr) - float(mean))) < 0.5
        assert "an approximation, and leanrank says so (STALLED, no certificate" in words

    def test_json_says_that_it_is_not_certified(self, tmp_path):
        outcome = run("demo", "--shrink", 4, "--json", "--out", tmp_path / "demo.png")
        values = json.loads(outcome.stdout)
        assert values["success"] is False
        assert values["psnr"] > values["psnr_of_mean_colour"] + 5
        assert "The photograph is back." in outcome.stderr

    def test_cut_short_is_1_and_drawn(self, tmp_path):
        out = tmp_path / "demo.png"
        outcome = run("demo", "--shrink", 6, "--time-limit", 1e-9, "--out", out, code=1)
        assert "Stopped early." in outcome.stdout
        assert "not certified" in outcome.stdout
        assert out.read_bytes().startswith(b"\x89PNG")

    def test_refuses_before_the_run(self, tmp_path):
        outcome = run("demo", "--out", tmp_path / "no" / "demo.png", code=2)
        assert "there is no folder" in outcome.stderr


def test_no_command_waits_for_libraries_that_it_does_not_use():
    code = (
        "import leanrank.cli, sys; "
        "sys.exit(any(name in sys.modules for name in ('sklearn', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there():
    for name in lr.__all__:
        assert getattr(lr, name) is not None
        assert name in dir(lr)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lr.nothing


def test_version_and_help():
    assert run("--version").stdout == run("-V").stdout == f"leanrank {lr.__version__}\n"
    assert run("--help").stdout == run("-h").stdout
    assert "Exit codes:" in run("-h").stdout


@pytest.mark.parametrize("command", [command.__name__ for command in EXAMPLES])
def test_help_of_each_command(command):
    words = " ".join(run(command, "-h").stdout.replace("│", " ").split())
    assert command in run("-h").stdout
    assert f"Example: leanrank {command} " in words
    assert ("Exit codes: 0 all" in words) == (command in ("complete", "fit", "recover"))
    for argument in re.findall(r"\* ([A-Z]+) ", words):
        assert re.search(rf"\* {argument} <\w+> [A-Z]\w* ", words), argument


def test_shells_complete_commands_and_options():
    def completed(*words: str) -> list[str]:
        line = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys; sys.argv[0] = 'leanrank'; import leanrank.cli as c; c.main()",
            ],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | line | {"_LEANRANK_COMPLETE": "complete_bash"},
        )
        return done.stdout.split()

    assert completed("leanrank", "rec") == ["recommend", "recover"]
    assert completed("leanrank", "fit", "--memory") == ["--memory-limit"]


class TestExplain:
    def test_a_result(self, problem, tmp_path):
        out = tmp_path / "r.npz"
        run("recover", problem, "--out", out)
        words = run("explain", out).stdout
        c = io.load_result(out).certificate
        assert "of rank 2" in words
        assert "CONVERGED: the certificate holds" in words
        assert f"{c.measurements}, where a matrix of this rank has {c.degrees_of_freedom}" in words
        assert f"identifiability is {c.identifiability:.1e}" in words
        assert words.count("?") >= 6
        assert "What speaks against" not in words

    def test_reasons_are_given(self, problem, tmp_path):
        out = tmp_path / "r.npz"
        run("recover", problem, "--rank", 1, "--out", out, code=1)
        words = run("explain", out).stdout
        assert "STALLED" in words
        for reason in io.load_result(out).certificate.reasons:
            assert f"- {reason}" in words

    def test_of_a_stopped_run(self, problem, tmp_path):
        out = tmp_path / "r.npz"
        run("recover", problem, "--time-limit", 1e-9, "--out", out, code=1)
        assert "There is no certificate" in run("explain", out).stdout

    def test_other_files_are_2(self, problem, tmp_path):
        assert "there is no such file" in run("explain", tmp_path / "no.npz", code=2).stderr
        assert str(problem) in run("explain", problem, code=2).stderr.replace("\n", "")


def slow_problem(path: Path) -> None:
    """Noise, which takes seconds to be sure of."""
    rng = np.random.default_rng(0)
    n = 400
    rows, cols = np.nonzero(rng.random((n, n)) < 0.5)
    U, V = rng.standard_normal((n, 60)), rng.standard_normal((n, 60))
    y = (U[rows] * V[cols]).sum(1) + rng.standard_normal(rows.size)
    np.savez(path, rows=rows, cols=cols, shape=[n, n], y=y)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and terminals")
def test_ctrl_c_keeps_the_best_factors(tmp_path):
    source, out = tmp_path / "slow.npz", tmp_path / "out.npz"
    slow_problem(source)
    # Progress on a (pseudo-)terminal tells that the run is under way.
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "leanrank.cli", "recover", str(source), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
        text=True,
        # As in a terminal, also where these tests run in the background, deaf to it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    seen = b""
    try:
        while b"width 2" not in seen:
            seen += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        words, _ = process.communicate(timeout=120)
    finally:
        process.kill()
        os.close(ours)
    assert process.returncode == 1
    assert "STOPPED" in words
    assert "Ctrl-C" in words
    result = io.load_result(out)
    assert result.status is lr.Status.STOPPED
    assert result.rank >= 1
    assert b"Traceback" not in seen
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.npz", "slow.npz"]


def test_ctrl_c_before_the_run_is_no_traceback(table, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("leanrank.io.read_matrix", interrupted)
    assert "interrupted" in run("complete", table, code=130).stderr


def test_closed_pipe_is_no_traceback(table):
    command = f"{sys.executable} -m leanrank.cli complete {table} --quiet | head -c 10"
    outcome = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert outcome.stdout.startswith("site,c0,c1"[:10])
    assert "Traceback" not in outcome.stderr


def test_a_deep_network_on_the_command_line(tmp_path):
    inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
    path, out = tmp_path / "problem.npz", tmp_path / "result.npz"
    np.savez(path, rows=inst.op.rows, cols=inst.op.cols, shape=(30, 20), y=inst.y)
    done = run("recover", path, "--deep", "--json", "--out", out)
    assert json.loads(done.stdout)["parameters"]["deep"] is True
    result = lr.io.load_result(out)
    assert inst.error(result.factors) < 1e-9
    assert any(record.phase == "descend" for record in result.history.records)
    done = run("recover", path, "--deep", "--rank", "2", code=2)
    assert "rank" in done.stderr

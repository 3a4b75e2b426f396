"""Experiments of any kind: parameters, streams of random numbers, resuming, files, the terminal."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from leanrank.cli import app
from leanrank.io import FileError
from leanrank.research import experiments as papers
from leanrank.research.experiments import (
    Experiment,
    Parameter,
    Results,
    Status,
    Tolerance,
    Verdict,
    differences,
)

runner = CliRunner()
calls: list[dict] = []


def toss(trial, rng):
    calls.append(dict(trial))
    return {"heads": int(rng.binomial(trial["coins"], 0.5)), "draws": rng.random(2), "name": "x"}


def judge(p, results):
    heads = results.column("heads")
    return Verdict(Status.HOLDS, f"{heads.mean():g} heads", numbers={"heads": heads, "nan": np.nan})


PARAMETERS = {
    "coins": Parameter((5, 10), (5,), "how many", least=1),
    "seeds": Parameter(3, None, "trials", least=1),
    "bias": Parameter(0.5, None, "not used", above=0),
    "kind": Parameter("fair", None, "of coin", choices=("fair", "bent")),
    "loud": Parameter(False, None, "says so"),
    "pair": Parameter((1, 2), None, "not used", fewest=2),
}


def experiment(**changes):
    parts = {
        "name": "coins",
        "title": "Coins",
        "reference": "nobody",
        "claim": "Coins fall.",
        "parameters": PARAMETERS,
        "trials": lambda p: [
            {"coins": c, "stream": i} for c in p["coins"] for i in range(p["seeds"])
        ],
        "run_trial": toss,
        "judge": judge,
        "draw": lambda p, results: Figure(),
    }
    return Experiment(**(parts | changes))


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


class TestParameters:
    def test_defaults_quick_and_given(self):
        assert experiment().settings({})["coins"] == (5, 10)
        assert experiment().settings({}, quick=True)["coins"] == (5,)
        assert experiment().settings({"coins": [7], "bias": 1}, quick=True) == {
            "coins": (7,),
            "seeds": 3,
            "bias": 1.0,
            "kind": "fair",
            "loud": False,
            "pair": (1, 2),
        }
        assert experiment().settings({"coins": np.int64(4)})["coins"] == (4,)

    @pytest.mark.parametrize(
        ("given", "error", "message"),
        [
            (
                {"coin": 1},
                ValueError,
                r"no parameter 'coin' \(did you mean coins\?\); it has: coins, seeds",
            ),
            ({"seeds": 0}, ValueError, "seeds must be .*at least 1"),
            ({"seeds": 1.5}, TypeError, "seeds must be an integer, got 1.5"),
            ({"seeds": "3"}, TypeError, "seeds must be a number"),
            ({"coins": (3, 0)}, ValueError, r"coins\[1\] must be"),
            ({"coins": ()}, ValueError, "coins must have at least one value, got none"),
            ({"pair": 1}, ValueError, "pair must have at least 2 values, got 1"),
            ({"bias": 0}, ValueError, "bias must be .*above 0"),
            ({"bias": float("nan")}, ValueError, "bias must be finite"),
            ({"kind": "flat"}, ValueError, "kind must be one of fair, bent, got 'flat'"),
            ({"loud": 1}, TypeError, "loud must be true or false"),
        ],
    )
    def test_errors_name_what_is_wrong(self, given, error, message):
        with pytest.raises(error, match=message):
            papers.run(experiment(), **given)
        assert not calls

    def test_reading_from_words(self):
        assert PARAMETERS["coins"].parse("3, 4", "coins") == (3, 4)
        assert PARAMETERS["bias"].parse("1e-3", "bias") == 1e-3
        assert PARAMETERS["loud"].parse("yes", "loud") is True
        with pytest.raises(TypeError, match="seeds must be a number, got 'many'"):
            PARAMETERS["seeds"].parse("many", "seeds")

    def test_names_that_the_command_needs_are_taken(self):
        with pytest.raises(ValueError, match="must not be named seed"):
            experiment(parameters={"seed": Parameter(1)})

    def test_the_list_of_names_is_in_the_error(self):
        with pytest.raises(
            ValueError, match="no experiment 'pruning'.*; there are: .*pruning-fig1"
        ):
            papers.run("pruning")


class TestRandomNumbers:
    def test_the_same_arguments_give_the_same_numbers(self):
        first, again, other = (papers.run(experiment(), seed=s) for s in (4, 4, 5))
        assert (first.results.column("draws") == again.results.column("draws")).all()
        assert (first.results.column("draws") != other.results.column("draws")).all()

    def test_one_stream_is_shared_and_others_differ(self):
        def draw(trial, rng):
            return {"heads": rng.random()}

        results = papers.run(experiment(run_trial=draw)).results
        five, ten = (results.where(coins=c).column("heads") for c in (5, 10))
        assert (five == ten).all()
        assert len(np.unique(five)) == 3

    def test_streams_are_those_of_spawned_seeds(self):
        drawn = papers.run(experiment(), seed=9, coins=5).results.column("draws")
        for child, row in zip(np.random.SeedSequence(9).spawn(3), drawn, strict=True):
            rng = np.random.default_rng(child)
            rng.binomial(5, 0.5)
            assert (rng.random(2) == row).all()


class TestFiles:
    def test_figure_summary_and_trials(self, tmp_path):
        done = papers.run(experiment(), seed=2, out=tmp_path / "new")
        assert (tmp_path / "new" / "coins.png").read_bytes().startswith(b"\x89PNG")
        summary = json.loads((tmp_path / "new" / "summary.json").read_text())
        assert summary["verdict"] == "HOLDS"
        assert summary["parameters"]["coins"] == [5, 10]
        assert summary["numbers"]["heads"] == done.results.column("heads").tolist()
        assert summary["numbers"]["nan"] == "nan"
        assert summary == done.summary()
        assert repr(done) == "Reproduction(coins: HOLDS, 6 trials)"
        assert done.figure.get_supxlabel() == "HOLDS"
        arrays = np.load(tmp_path / "new" / "results.npz")
        assert arrays["coins"].tolist() == [5, 5, 5, 10, 10, 10]
        assert (arrays["draws"] == done.results.column("draws")).all()
        assert (summary["seed"], summary["trials"], summary["streams"]) == (2, 6, [0, 1, 2])
        assert len(list((tmp_path / "new" / "trials").iterdir())) == 6

    def test_a_second_run_computes_nothing_and_says_the_same(self, tmp_path):
        first = papers.run(experiment(), out=tmp_path)
        text = (tmp_path / "summary.json").read_bytes()
        assert len(calls) == 6
        again = papers.run(experiment(), out=tmp_path)
        assert len(calls) == 6
        assert (tmp_path / "summary.json").read_bytes() == text
        for a, b in zip(first.results, again.results, strict=True):
            assert {k: type(v) for k, v in a.items()} == {k: type(v) for k, v in b.items()}

    def test_more_trials_reuse_the_finished_ones_and_another_seed_does_not(self, tmp_path):
        papers.run(experiment(), out=tmp_path, coins=5)
        papers.run(experiment(), out=tmp_path, coins=(5, 6))
        assert [c["coins"] for c in calls] == [5, 5, 5, 6, 6, 6]
        papers.run(experiment(), out=tmp_path, coins=5, seed=1)
        assert len(calls) == 9

    def test_an_interrupted_run_goes_on_where_it_was(self, tmp_path):
        seen = []

        def stop(done, total):
            seen.append((done, total))
            return done == 2

        with pytest.raises(KeyboardInterrupt):
            papers.run(experiment(), out=tmp_path, progress=stop)
        assert seen == [(0, 6), (1, 6), (2, 6)]
        assert not (tmp_path / "summary.json").exists()
        resumed = papers.run(experiment(), out=tmp_path)
        assert len(calls) == 6
        whole = papers.run(experiment())
        assert (resumed.results.column("draws") == whole.results.column("draws")).all()

    def test_a_damaged_trial_is_run_again(self, tmp_path):
        papers.run(experiment(), out=tmp_path)
        victim = min((tmp_path / "trials").iterdir())
        victim.write_bytes(victim.read_bytes()[:40])
        papers.run(experiment(), out=tmp_path)
        assert len(calls) == 7

    def test_an_error_while_drawing_leaves_what_was_there(self, tmp_path):
        papers.run(experiment(), out=tmp_path)
        before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}

        class Broken(Figure):
            def savefig(self, *args, **kwargs):
                super().savefig(*args, **kwargs)
                raise RuntimeError("no ink")

        with pytest.raises(RuntimeError, match="no ink"):
            papers.run(experiment(draw=lambda p, results: Broken()), out=tmp_path)
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before

    def test_an_error_while_drawing_loses_neither_verdict_nor_numbers(self, tmp_path):
        with pytest.raises(ZeroDivisionError):
            papers.run(experiment(draw=lambda p, results: 1 / 0), out=tmp_path)
        assert json.loads((tmp_path / "summary.json").read_text())["verdict"] == "HOLDS"
        assert (tmp_path / "results.npz").is_file()

    @pytest.mark.parametrize("name", ["coins.png", "results.npz", "summary.json"])
    def test_what_cannot_be_written_is_known_before_the_trials(self, tmp_path, name):
        (tmp_path / name).mkdir()
        with pytest.raises(FileError, match=name):
            papers.run(experiment(), out=tmp_path)
        assert not calls

    def test_trials_of_other_code_are_not_used(self, tmp_path, monkeypatch):
        papers.run(experiment(), out=tmp_path)
        monkeypatch.setattr("leanrank.research.experiments._reproduce._library", lambda: b"other")
        papers.run(experiment(), out=tmp_path)
        assert len(calls) == 12

    def test_trials_without_a_file_of_code_are_not_kept(self, tmp_path):
        names = {}
        exec(compile("def cell(t, rng): return {'heads': 1}", "<cell>", "exec"), names)
        papers.run(experiment(run_trial=names["cell"]), out=tmp_path)
        assert not list((tmp_path / "trials").iterdir())

    def test_a_file_where_the_folder_should_be(self, tmp_path):
        (tmp_path / "taken").write_text("")
        with pytest.raises(FileError, match="taken"):
            papers.run(experiment(), out=tmp_path / "taken")

    def test_outcomes_are_plain(self):
        with pytest.raises(TypeError, match="outcome 'what' must be numbers or strings"):
            papers.run(experiment(run_trial=lambda trial, rng: {"what": {}}))


def test_holds_with_needs_a_condition():
    with pytest.raises(ValueError, match="condition is empty"):
        Verdict(Status.HOLDS_WITH, "measured")
    assert str(Verdict(Status.HOLDS_WITH, "", "luck")) == "HOLDS WITH: luck"


def test_results_select_and_stack():
    results = Results([{"n": 1, "x": 2.0}, {"n": 2, "x": 3.0}, {"n": 1, "x": 4.0}])
    assert results.where(n=1).column("x").tolist() == [2.0, 4.0]
    assert results.values("n") == [1, 2]
    assert len(results[1:]) == 2
    assert results[0]["x"] == 2.0


def test_results_in_cells_of_a_table():
    results = Results([{"n": n, "k": k, "x": 10.0 * n + k} for n in (1, 2, 2) for k in (3, 4)])
    assert results.grid("x", np.sum, k=(4, 3), n=(2, 1)).tolist() == [[48, 14], [46, 13]]
    pairs = results.grid("x", lambda x: [x.min(), x.max()], n=(1, 2))
    assert pairs.tolist() == [[13, 14], [23, 24]]


def test_results_as_arrays():
    rows = [{"kind": "a", "x": [1, 2], "n": 3}, {"kind": "bc", "x": [4], "y": True, "m": (1,)}]
    arrays = Results([*rows, {"m": {}}]).arrays()
    assert arrays["kind"].tolist() == ["a", "bc", ""]
    np.testing.assert_array_equal(arrays["x"], [[1, 2], [4, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(arrays["n"], [3, np.nan, np.nan])
    np.testing.assert_array_equal(arrays["y"], [np.nan, 1, np.nan])
    assert arrays["m"].tolist() == ["null", "[1]", "{}"]


class TestDifferences:
    """Numbers of two runs."""

    def test_rounding_is_none_and_names_tell_where_it_is(self):
        then = {"a": {"b": [1.0, 1e-9]}, "n": 3, "nan": "nan", "sure": True}
        assert not differences({**then, "a": {"b": [1.009, 5e-8]}}, then, {})
        found = {"a": {"b": [1.02, 1e-9, 0.0]}, "n": 4, "nan": 1.0}
        assert differences(found, then, {}) == [
            "a.b.0 is 1.02, recorded 1",
            "n is 4, recorded 3",
            "nan is 1, recorded 'nan'",
            "sure is recorded, but not found",
            "a.b.2 is new",
        ]

    def test_the_first_tolerance_that_fits_counts(self):
        allowed = {"jumps_4": Tolerance(0), "jumps_*": Tolerance(2, relative=0)}
        assert not differences({"jumps_3": 18}, {"jumps_3": 20}, allowed)
        assert differences({"jumps_3": 17}, {"jumps_3": 20}, allowed)
        assert differences({"jumps_4": 18}, {"jumps_4": 20}, allowed)

    def test_truth_is_no_number(self):
        assert not Tolerance(1).allows(True, False)


SMALL = {"seeds": 2, "iterations": 2, "d": 4, "width": 3, "rank": 1}


def test_processes_give_the_same_numbers_as_none(tmp_path):
    one = papers.run("pruning-theorem8", **SMALL)
    two = papers.run("pruning-theorem8", out=tmp_path, jobs=2, **SMALL)
    assert (one.results.column("norms") == two.results.column("norms")).all()


def test_importing_the_package_imports_no_experiment():
    code = (
        "import sys, leanrank.research.experiments as e; "
        "own = e.__name__ + '.'; "
        "loaded = {n for n in sys.modules if n.startswith((own, 'matplotlib'))}; "
        "frame = {own + n for n in ('_experiment', '_parameter', '_reproduce', '_tolerance')}; "
        "assert loaded == frame, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class TestCommand:
    def run(self, *arguments, code=0):
        outcome = runner.invoke(app, ["reproduce", *map(str, arguments)])
        assert outcome.exit_code == code, outcome.output
        assert "Traceback" not in outcome.output
        return outcome

    def test_list(self):
        listed = self.run("--list").stdout
        assert all(name in listed for name in papers.names())
        values = json.loads(self.run("--list", "--json").stdout)
        assert [e["name"] for e in values["experiments"]] == papers.names()

    def test_list_of_parameters(self):
        listed = self.run("pruning-fig2", "--list").stdout
        assert "--sqrt-beta" in listed
        assert "order of magnitude" in listed
        listed = self.run("pruning-theorem8", "--list").stdout
        assert "--step-sizes 0.125,0.0833333,0.0625," in listed
        assert "0.03125,0.015625\n" in listed
        assert "perturbations; of none, random, adversarial" in listed
        assert "--seeds 60 (with --quick 12)\n" in listed
        values = json.loads(self.run("pruning-theorem1", "--list", "--json").stdout)
        assert values["parameters"]["widths"]["fewest"] == 2
        assert values["parameters"]["widths"]["quick"] == [50, 500, 5000]

    def test_run(self, tmp_path):
        options = [f"--{key}={value}" for key, value in SMALL.items()]
        outcome = self.run(
            "pruning-theorem8",
            *options,
            "--step-sizes",
            "0.125,0.03125",
            "--seed",
            3,
            "--out",
            tmp_path,
            "--jobs",
            1,
            "--json",
        )
        values = json.loads(outcome.stdout)
        assert values == json.loads((tmp_path / "summary.json").read_text())
        assert values["parameters"]["step_sizes"] == [0.125, 0.03125]
        assert values["seed"] == 3
        assert "HOLDS WITH" in outcome.stderr
        assert (tmp_path / "pruning-theorem8.png").is_file()

    def test_folders_by_name_if_none_is_given(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        options = [f"--{key}={value}" for key, value in SMALL.items()]
        self.run("pruning-theorem8", *options, "--jobs", 1)
        self.run("pruning-theorem8", *options, "--jobs", 1, "--quick", "--seed", 3)
        found = sorted(path.parent.name for path in tmp_path.glob("reproductions/*/summary.json"))
        assert found == ["pruning-theorem8-changed", "pruning-theorem8-quick-seed3-changed"]

    def test_progress_in_a_pipe_and_not_when_quiet(self, tmp_path):
        options = [f"--{key}={value}" for key, value in SMALL.items()]
        command = ["pruning-theorem8", *options, "--jobs", 1, "--out", tmp_path]
        told = self.run(*command).stderr
        assert "pruning-theorem8: 3 of 24 trials\n" in told
        assert "pruning-theorem8: 24 of 24 trials\n" in told
        assert not self.run(*command, "--quiet").stderr

    def test_an_interrupt_says_how_to_go_on(self, tmp_path, monkeypatch):
        def interrupted(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr(papers, "run", interrupted)
        told = self.run("pruning-fig1", "--out", tmp_path, code=130).stderr
        assert f"Trials are in {tmp_path}: the same command goes on from there" in told

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["pruning-fig9"], "there is no experiment 'pruning-fig9' (did you mean pruning-fig"),
            (["pruning-fig2", "--colour", "red"], "no parameter 'colour'; it has: d, width"),
            (["pruning-fig2", "--lam", "big"], "lam must be a number, got 'big'"),
            (["pruning-fig2", "--lam"], "--lam needs a value"),
            (["pruning-fig2", "stray"], "expected --PARAMETER VALUE, got stray"),
            (["--lam", "1", "pruning-fig2"], "the name of an experiment comes first"),
            ([], "give the name of an experiment, or --all"),
            (["--all", "--lam", "1"], "with --all no parameter can be set, got --lam"),
            (["pruning-fig2", "--all"], "give the name of an experiment, or --all"),
        ],
    )
    def test_bad_input_is_2(self, arguments, message, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        outcome = self.run(*arguments, code=2)
        assert message in outcome.stderr
        assert not list(tmp_path.iterdir())

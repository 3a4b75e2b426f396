"""``leanrank fit``, ``predict``, ``recommend``: ratings in, predictions and the best items out."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import leanrank as lr
from leanrank import io
from leanrank.cli._options import bytes_of

USERS, ITEMS = 300, 120


@pytest.fixture(scope="module")
def liking():
    rng = np.random.default_rng(0)
    X = 3.0 + 0.6 * rng.standard_normal((USERS, 1)) + 0.6 * rng.standard_normal(ITEMS)
    return X + 0.7 * rng.standard_normal((USERS, 2)) @ rng.standard_normal((2, ITEMS))


@pytest.fixture(scope="module")
def ratings(tmp_path_factory, liking):
    """A third of them, about means of users and items; the first user has rated all but one."""
    rng = np.random.default_rng(1)
    seen = rng.random(liking.shape) < 0.3
    seen[0], seen[0, 7] = True, False
    y = liking + 0.3 * rng.standard_normal(liking.shape)
    path = tmp_path_factory.mktemp("fitting") / "ratings.csv"
    lines = [
        f"{y[i, j]:.3f},u{i:03},{10 * j},{i + j}" for i, j in zip(*np.nonzero(seen), strict=True)
    ]
    path.write_text("stars,user,item,when\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def model(ratings, run):
    path = ratings.with_name("model.npz")
    run("fit", ratings, "--out", path, "--columns", "user,item,stars", "--seed", 3)
    return path


def table(text: str) -> dict[str, list[str]]:
    lines = list(csv.DictReader(text.splitlines()))
    return {name: [line[name] for line in lines] for name in lines[0]}


class TestFit:
    def test_the_model_is_that_of_the_library(self, ratings, model):
        fitted = lr.MatrixFactorization(random_state=3).fit(
            io.read_ratings(ratings, ("user", "item", "stars"))
        )
        loaded = lr.MatrixFactorization.load(model)
        assert loaded.users_.tolist() == [f"u{i:03}" for i in range(USERS)]
        assert loaded.items_.tolist() == [10 * j for j in range(ITEMS)]
        users, items = ["u001", "u200"], [50, 1190]
        np.testing.assert_array_equal(loaded.predict(users, items), fitted.predict(users, items))

    def test_words_and_summary(self, ratings, tmp_path, run):
        out, summary = tmp_path / "m.npz", tmp_path / "s.json"
        outcome = run(
            *("fit", ratings, "--columns", "2,3,1", "--out", out, "--summary", summary),
            *("--min", 1, "--max", 5),
        )
        words = " ".join(outcome.stdout.split())
        assert "entries of 300 rows x 120 columns (rows user, columns item, values stars" in words
        assert "column when is ignored" in words
        assert "APPROXIMATE" in words
        values = json.loads(summary.read_text())
        assert (values["success"], values["shape"], values["ignored"]) == (
            True,
            [300, 120],
            ["when"],
        )
        assert (values["parameters"]["min_value"], values["parameters"]["max_value"]) == (1.0, 5.0)
        predicted = lr.MatrixFactorization.load(out).predict(
            ["u000"] * ITEMS, np.arange(ITEMS) * 10
        )
        assert 1 <= predicted.min() <= predicted.max() <= 5

    def test_json_and_quiet(self, ratings, tmp_path, run):
        options = ("fit", ratings, "--columns", "user,item,stars", "--out", tmp_path / "m.npz")
        outcome = run(*options, "--json")
        assert json.loads(outcome.stdout)["status"] == "approximate"
        assert "APPROXIMATE" in outcome.stderr
        assert run(*options, "--quiet").output == ""

    def test_a_time_limit_is_1_and_written(self, ratings, tmp_path, run):
        options = ("--columns", "user,item,stars", "--out", tmp_path / "m.npz")
        outcome = run("fit", ratings, *options, "--time-limit", 1e-9, code=1)
        assert "STOPPED" in outcome.stdout
        assert lr.MatrixFactorization.load(tmp_path / "m.npz").status_ is lr.Status.STOPPED

    def test_standard_input_weights_and_missing(self, ratings, tmp_path, run):
        text = ratings.read_text().replace("when", "w") + "-1,u000,70,1\n"
        outcome = run(
            *("fit", "-", "--columns", "user,item,stars", "--weight", "w", "--missing", -1),
            *("--out", tmp_path / "m.npz"),
            stdin=text,
        )
        assert "standard input: " in outcome.stdout
        assert "weights w" in " ".join(outcome.stdout.split())
        assert "1 line has no value: pairs to predict" in outcome.stdout

    def test_more_than_memory(self, ratings, liking, tmp_path, run):
        out = tmp_path / "m.npz"
        options = ("--columns", "user,item,stars", "--memory-limit", "1MB", "--out", out)
        words = " ".join(run("fit", ratings, *options).stdout.split())
        assert "APPROXIMATE" in words
        assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]
        fitted = lr.MatrixFactorization.load(out)
        users = [f"u{i:03}" for i in range(1, USERS)]
        predicted = fitted.predict(users, [50] * len(users))
        assert np.sqrt(np.mean((predicted - liking[1:, 5]) ** 2)) < 0.4 * np.std(liking[1:, 5])
        bad = run("recommend", out, code=2)
        assert "cannot be told which ones to leave out: say --include-seen" in bad.stderr
        assert run("recommend", out, "--include-seen", "--top", 1).stdout.count("\n") == USERS + 1
        bad = run("fit", ratings, *options[:3], "much", "--out", out, code=2)
        assert "must be a size such as 500MB or 2GB, got 'much'" in bad.stderr
        bad = run("fit", ratings, *options[:3], "1KB", "--out", out, code=2)
        assert "memory_limit must be at least" in bad.stderr

    def test_a_checkpoint_is_gone_at_the_end(self, ratings, tmp_path, run):
        options = ("--columns", "user,item,stars", "--checkpoint", tmp_path / "c.npz")
        run("fit", ratings, *options, "--out", tmp_path / "m.npz")
        assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (("--no-header",), "does not tell which of its 4 columns (1, 2, 3, 4)"),
            (
                ("--columns", "user,item,rating"),
                "'rating' is not one of its 4 columns (stars, user",
            ),
            (("--columns", "user,item,stars", "--weight", "w"), "weight 'w' is not one of"),
            (("--columns", "stars,item,user"), "the value is 'u000', expected a finite number"),
            (
                ("--columns", "user,item,stars", "--rank", 121),
                "rank must be at least 1 and at most 120",
            ),
            (("--columns", "user,item,stars", "--min", 3, "--max", 2), "must be below"),
            (("--columns", "user,item,stars", "--decimal", "x"), "decimal must be '.' or ','"),
            (("--columns", "user,user,stars"), "columns must be three different ones"),
        ],
    )
    def test_bad_options_are_2(self, ratings, tmp_path, options, words, run):
        outcome = run("fit", ratings, *options, "--out", tmp_path / "m.npz", code=2)
        assert words in " ".join(outcome.stderr.split())
        assert list(tmp_path.iterdir()) == []

    def test_repeated_pairs_can_be_refused(self, tmp_path, run):
        (tmp_path / "a.csv").write_text("user,item,rating\n1,2,3\n1,2,4\n2,1,3\n2,2,1\n")
        out = tmp_path / "m.npz"
        outcome = run("fit", tmp_path / "a.csv", "--out", out, "--duplicates", "error", code=2)
        assert "must not be several" in " ".join(outcome.stderr.split())

    def test_outputs_are_checked_first(self, ratings, tmp_path, monkeypatch, run):
        monkeypatch.setattr("leanrank.io.read_ratings", lambda *a, **k: pytest.fail("was read"))
        for out in (ratings, tmp_path / "m.csv", tmp_path / "no" / "m.npz"):
            run("fit", ratings, "--out", out, code=2)

    @pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
    def test_ctrl_c_keeps_what_there_is(self, ratings, tmp_path):
        """The signal comes while sweeps are under way, from the process itself."""
        code = (
            "import os, signal, sys; import leanrank.cli as cli, leanrank.cli._fitting as f\n"
            "call = f._Sweeps.__call__\n"
            "def kill(self, state):\n"
            "    os.kill(os.getpid(), signal.SIGINT)\n"
            "f._Sweeps.__call__ = kill\n"
            "cli.main()"
        )
        out = tmp_path / "m.npz"
        options = ["fit", str(ratings), "--columns", "user,item,stars", "--out", str(out)]
        done = subprocess.run(
            [sys.executable, "-c", code, *options],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert done.returncode == 1, done.stderr
        assert "STOPPED" in done.stdout
        assert lr.MatrixFactorization.load(out).status_ is lr.Status.STOPPED


@pytest.mark.parametrize(
    ("text", "size"),
    [("500", 500), ("2KB", 2048), ("1.5 GiB", 3 << 29), ("10m", 10 << 20), (None, None)],
)
def test_sizes(text, size):
    assert bytes_of(text) == size


class TestPredict:
    @pytest.fixture
    def pairs(self, tmp_path) -> Path:
        path = tmp_path / "pairs.csv"
        path.write_text("when,item,user\n1,50,u001\n2,1190,u200\n3,050,u001\n4,50,nobody\n")
        return path

    def test_to_standard_output(self, model, pairs, run):
        outcome = run("predict", model, pairs, "--intervals", "--level", 0.8)
        found = table(outcome.stdout)
        assert list(found) == ["user", "item", "prediction", "low", "high"]
        assert found["user"] == ["u001", "u200", "u001", "nobody"]
        assert found["item"] == ["50", "1190", "050", "50"]  # as they came
        fitted = lr.MatrixFactorization.load(model)
        expected = fitted.predict(["u001", "u200"], [50, 1190])
        assert [float(x) for x in found["prediction"][:2]] == expected.tolist()
        low, high = fitted.predict_interval(["u001", "u200"], [50, 1190], level=0.8)
        assert [float(x) for x in found["low"][:2]] == low.tolist()
        assert [float(x) for x in found["high"][:2]] == high.tolist()
        words = " ".join(outcome.stderr.split())
        assert "1 of 4 lines have a user that the model has not seen, such as 'nobody'" in words
        assert "1 of 4 lines have a item that the model has not seen, such as '050'" in words

    def test_intervals_cover_what_was_hidden(self, model, liking, tmp_path, run):
        rng = np.random.default_rng(9)
        rows, cols = rng.integers(1, USERS, 3000), rng.integers(0, ITEMS, 3000)
        lines = [f"u{i:03},{10 * j}" for i, j in zip(rows, cols, strict=True)]
        (tmp_path / "p.csv").write_text("user,item\n" + "\n".join(lines))
        found = table(run("predict", model, tmp_path / "p.csv", "--intervals").stdout)
        low, middle, high = (np.array(found[k], float) for k in ("low", "prediction", "high"))
        y = liking[rows, cols] + 0.3 * rng.standard_normal(rows.size)
        assert 0.92 < np.mean((low <= y) & (y <= high)) < 0.98
        assert np.sqrt(np.mean((middle - y) ** 2)) < 0.5 * np.std(y)

    @pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
    def test_to_a_file_of_each_kind(self, model, pairs, tmp_path, suffix, run):
        out = tmp_path / f"out{suffix}"
        outcome = run("predict", model, pairs, "--out", out)
        assert f"Wrote 4 predictions to {out}" in outcome.stdout.replace("\n", "")
        again = io.read_ratings(out, ("user", "item", "prediction"))
        assert again.values.tolist() == [
            float(x) for x in table(run("predict", model, pairs).stdout)["prediction"]
        ]

    def test_pairs_of_other_kinds(self, model, tmp_path, run):
        pandas = pytest.importorskip("pandas", reason="frames are tested where there are some")
        pytest.importorskip("pyarrow", reason="PyArrow is optional")
        frame = pandas.DataFrame({"user": ["u001"], "item": [50]})
        frame.to_parquet(tmp_path / "p.parquet")
        (tmp_path / "p.dat").write_text("50::u001\n")
        first = run("predict", model, tmp_path / "p.parquet").stdout
        second = run("predict", model, tmp_path / "p.dat", "--columns", "2,1").stdout
        third = run("predict", model, "-", "--no-header", stdin="u001,50\n").stdout
        values = {text.splitlines()[1] for text in (first, second, third)}
        assert len(values) == 1
        assert values.pop().startswith("u001,50,")

    def test_no_pairs(self, model, tmp_path, run):
        (tmp_path / "p.csv").write_text("user,item\n")
        assert run("predict", model, tmp_path / "p.csv").stdout == "user,item,prediction\n"

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (
                "a,b,c\n1,2,3\n",
                "does not tell which of its 3 columns (a, b, c) hold row and column",
            ),
            ("user,item\nu1,\n", "line 2: is empty, expected the column"),
            ("user,low\nu1,1\n", "its columns user, low cannot be told from those"),
        ],
    )
    def test_bad_pairs_are_2(self, model, tmp_path, text, words, run):
        (tmp_path / "p.csv").write_text(text)
        outcome = run("predict", model, tmp_path / "p.csv", code=2)
        assert words in " ".join(outcome.stderr.split())
        assert outcome.stdout == ""

    def test_bad_models_and_outputs_are_2(self, model, pairs, tmp_path, run):
        assert "no such file" in run("predict", tmp_path / "no.npz", pairs, code=2).stderr
        half = tmp_path / "half.npz"
        half.write_bytes(model.read_bytes()[:2000])
        assert "half.npz" in run("predict", half, pairs, code=2).stderr
        assert "expected a name" in run("predict", model, pairs, "--out", "a.xyz", code=2).stderr
        assert "--level must" in run("predict", model, pairs, "--level", 2, code=2).stderr
        assert "is the input" in run("predict", model, pairs, "--out", pairs, code=2).stderr


class TestRecommend:
    def test_for_some(self, model, tmp_path, run):
        (tmp_path / "u.csv").write_text("user\nnobody\nu002\nu000\nu002\n")
        outcome = run("recommend", model, "--users", tmp_path / "u.csv", "--top", 3)
        found = table(outcome.stdout)
        assert found["user"] == ["nobody"] * 3 + ["u002"] * 3 + ["u000"] + ["u002"] * 3
        assert found["rank"] == [*"123", *"123", "1", *"123"]
        assert found["item"][6] == "70"  # the only one that the first user has not seen
        fitted = lr.MatrixFactorization.load(model)
        best = fitted.recommend(["u002"], 3)
        assert found["item"][3:6] == [str(x) for x in best.items] == found["item"][7:]
        assert [float(x) for x in found["score"][3:6]] == best.scores.tolist()
        assert "1 of 4 lines have a user" in outcome.stderr

    def test_for_some_by_their_labels(self, model, tmp_path, run):
        (tmp_path / "u.csv").write_text("u002\nu000\n")
        by_file = run("recommend", model, "--users", tmp_path / "u.csv", "--top", 3).stdout
        labels = ("--user", "u002", "--user", "u000")
        assert run("recommend", model, *labels, "--top", 3).stdout == by_file
        assert "not seen, such as 'x'" in run("recommend", model, "--user", "x").stderr
        both = run("recommend", model, "--users", tmp_path / "u.csv", "--user", "u002", code=2)
        assert "give one of them" in " ".join(both.stderr.split())

    def test_columns_have_the_names_of_the_ratings(self, tmp_path, run):
        rng = np.random.default_rng(0)
        lines = [
            f"{u},{rng.normal():.3f},d{i}" for u in range(30) for i in range(15) if (u + i) % 3
        ]
        ratings, model = tmp_path / "r.csv", tmp_path / "m.npz"
        ratings.write_text("\n".join(["member,mark,drink", *lines]))
        with pytest.warns(lr.RecoveryWarning, match="STALLED"):
            fitted = lr.MatrixFactorization().fit(ratings, columns=("member", "drink", "mark"))
        fitted.save(model)
        assert list(table(run("recommend", model, "--user", 3).stdout)) == [
            "member", "rank", "drink", "score"
        ]  # fmt: skip
        asked = tmp_path / "asked.csv"
        asked.write_text("drink,note,member\nd1,?,3\n")
        found = table(run("predict", model, asked).stdout)
        assert (found["member"], found["drink"]) == (["3"], ["d1"])

    def test_for_all_with_what_was_seen(self, model, tmp_path, run):
        out = tmp_path / "top.csv"
        run("recommend", model, "--top", 1, "--include-seen", "--out", out)
        found = table(out.read_text())
        assert found["user"] == [f"u{i:03}" for i in range(USERS)]
        fitted = lr.MatrixFactorization.load(model)
        scores = fitted.predict(["u005"] * ITEMS, fitted.items_)
        assert float(found["score"][5]) == pytest.approx(scores.max())


@pytest.mark.parametrize(
    ("name", "options", "shape", "ignored"),
    [
        ("userId,movieId,rating,timestamp", (), (30, 20), "timestamp"),
        ("customer,product,score", (), (30, 20), None),
        ("rating,user_id,item_id", (), (30, 20), None),
        ("a,b,c", (), (30, 20), None),
        ("a,b,c,d", ("--columns", "a,b,c"), (30, 20), "d"),
        ("", (), (30, 20), None),
    ],
)
def test_layouts_that_people_send(tmp_path, name, options, shape, ignored, run):
    rng = np.random.default_rng(0)
    path = tmp_path / "a.csv"
    width = name.count(",") + 1 if name else 3
    lines = []
    for i, j in ((i, j) for i in range(30) for j in range(20) if rng.random() < 0.6):
        cells = [f"{100 * i}", f"{7 * j}", f"{rng.integers(1, 11) / 2}"]
        lines.append(",".join(cells[-1:] + cells[:2] if name.startswith("rating") else cells))
        lines[-1] += ",9" * (width - 3)
    path.write_text("\n".join(([name] if name else []) + lines))
    outcome = run("fit", path, *options, "--out", tmp_path / "m.npz", "--json", code=1)
    values = json.loads(outcome.stdout)
    assert (tuple(values["shape"]), values["ignored"]) == (shape, [ignored] if ignored else [])


def test_explain_judges_a_model_as_fit_did(tmp_path, run):
    """A gain of less than a tenth over means counts in ratings, and elsewhere does not."""
    rng = np.random.default_rng(3)
    rows, cols = np.nonzero(rng.random((200, 80)) < 0.5)
    like = 0.45 * rng.standard_normal(200)[rows] * rng.standard_normal(80)[cols]
    y = rng.standard_normal(80)[cols] + like + rng.standard_normal(rows.size)
    model = lr.MatrixFactorization().fit(rows, cols, y)
    found = model.certificate_
    assert model.status_ is lr.Status.APPROXIMATE
    assert 0.9 * found.baseline < found.error < found.baseline
    model.save(tmp_path / "model.npz")
    words = run("explain", tmp_path / "model.npz").stdout
    assert "Less than that is good." in words
    assert "So unseen entries are predicted." in words

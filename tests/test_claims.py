"""The table of claims and its check: what is recorded, rendered, and found to differ."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from leanrank.research import experiments as papers

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / ".ci" / "check_claims.py"
NAME = "pruning-theorem8"


def script(*arguments):
    """Run the script, and give its exit code."""
    names = runpy.run_path(str(SCRIPT))
    before, sys.argv = sys.argv, [str(SCRIPT), *map(str, arguments)]
    try:
        return names["main"]()
    finally:
        sys.argv = before


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Documents and runs of a library with one small experiment."""
    folder = tmp_path_factory.mktemp("claims")
    experiment = papers.get(NAME)
    small = {"d": 4, "width": 3, "rank": 1, "iterations": 2, "seeds": 2, "step_sizes": (0.125,)}
    settings = experiment.settings
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(papers, "names", lambda: [NAME])
        patch.setattr(
            type(experiment), "settings", lambda self, given, quick=False: settings(small, quick)
        )
        docs = folder / "docs"
        (docs / "figures").mkdir(parents=True)
        (docs / "claims.md").write_text("Before.\n<!-- table: pruning -->\n<!-- end -->\nAfter.\n")
        for kind in ("full", "quick"):
            papers.run(NAME, quick=kind == "quick", out=folder / kind / NAME)
        script("--keep", "--docs", docs, folder / "full", folder / "quick")
        yield folder


@pytest.fixture
def place(kept, tmp_path):
    """A copy of them, to spoil."""
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    return tmp_path


def check(place, capsys):
    """What the check says of the quick run, and its exit code."""
    code = script("--docs", place / "docs", place / "quick")
    return code, capsys.readouterr().err


def changed(path, *keys, to):
    """Put another value into a file of JSON."""
    whole = json.loads(path.read_text())
    part = whole
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = to(part[keys[-1]])
    path.write_text(json.dumps(whole))


def test_what_was_recorded_is_what_is_found(place, capsys):
    page = (place / "docs" / "claims.md").read_text()
    verdict = json.loads((place / "full" / NAME / "summary.json").read_text())
    assert page.startswith("Before.\n")
    assert page.endswith("After.\n")
    assert f"[`{NAME}`](figures/{NAME}.png)" in page
    for part in ("claim", "condition", "measured", "criterion"):
        assert verdict[part].replace("|", r"\|") in page
    assert (place / "docs" / "figures" / f"{NAME}.png").read_bytes().startswith(b"\x89PNG")
    assert check(place, capsys) == (0, "")


def test_a_number_of_a_run_that_is_off(place, capsys):
    summary = place / "quick" / NAME / "summary.json"
    changed(summary, "numbers", "counterexample_1x1", to=lambda x: 1.005 * x)
    assert check(place, capsys) == (0, "")
    changed(summary, "numbers", "counterexample_1x1", to=lambda x: 1.02 * x)
    code, told = check(place, capsys)
    assert code == 1
    assert f"{NAME}, quick run: counterexample_1x1 is -10.76, recorded -10.5" in told


def test_a_number_of_the_page_that_is_off(place, capsys):
    page = place / "docs" / "claims.md"
    page.write_text(page.read_text().replace("-10.5", "-10.6"))
    code, told = check(place, capsys)
    assert code == 1
    assert "claims.md is not what" in told


@pytest.mark.parametrize(
    ("keys", "to", "said"),
    [
        (("quick", "verdict"), lambda x: "HOLDS", f"{NAME}: HOLDS WITH, recorded HOLDS"),
        (
            ("full", "verdict"),
            lambda x: "HOLDS",
            "the quick run should find HOLDS, and finds HOLDS W",
        ),
        (("full", "parameters", "d"), lambda x: 5, "the recorded full run has other settings"),
        (("quick", "seed"), lambda x: 1, "the recorded quick run has other settings"),
        (("quick", "numbers"), lambda x: {}, "printed.share_that_left.0 is new"),
    ],
)
def test_a_record_that_is_off(place, capsys, keys, to, said):
    changed(place / "docs" / "claims" / f"{NAME}.json", *keys, to=to)
    code, told = check(place, capsys)
    assert code == 1
    assert said in told


def test_what_is_missing_or_too_much(place, capsys):
    (place / "docs" / "claims" / "coins.json").write_text("{}")
    (place / "docs" / "figures" / f"{NAME}.png").unlink()
    (place / "quick" / NAME / "summary.json").unlink()
    (place / "docs" / "claims.md").write_text("")
    code, told = check(place, capsys)
    assert code == 1
    for said in (
        "coins.json: no such run",
        f"{NAME}.png is missing",
        f"{NAME} was not run",
        f"{NAME} is in no table",
    ):
        assert said in told


def test_a_run_of_other_settings_is_not_kept(place):
    changed(place / "full" / NAME / "summary.json", "seed", to=lambda x: 1)
    with pytest.raises(SystemExit, match=f"is a run of other settings than those of {NAME}"):
        script("--keep", "--docs", place / "docs", place / "full")


def test_a_run_of_other_settings_shows_nothing(place, capsys):
    changed(place / "quick" / NAME / "summary.json", "parameters", "d", to=lambda x: 5)
    code, told = check(place, capsys)
    assert code == 1
    assert f"is a run of other settings than those of {NAME}" in told


def test_long_arrays_are_left_out_and_numbers_rounded():
    short = runpy.run_path(str(SCRIPT))["_short"]
    assert short({"a": 0.123456, "n": 123456, "long": [[0.0] * 25] * 2, "s": ["inf"]}) == {
        "a": 0.1235,
        "n": 123456,
        "s": ["inf"],
    }

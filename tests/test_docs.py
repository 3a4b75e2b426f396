"""The examples of the documents, run as they stand, each page from top to bottom."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from leanrank.cli import app

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: str) -> list[tuple[int, str]]:
    """The Python blocks of a page, each with the line that it starts in."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [(text[: m.start(1)].count("\n"), m.group(1)) for m in BLOCK.finditer(text)]


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/certificate.md",
        "docs/extending.md",
        "docs/noise.md",
        "docs/ratings.md",
    ],
)
def test_every_block_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks(page)
    assert len(found) == (ROOT / page).read_text(encoding="utf-8").count("```python\n") > 0
    names: dict[str, object] = {"__name__": page}
    for line, code in found:
        # Empty lines put the block where it is on the page, for tracebacks.
        program = compile("\n" * line + code, str(ROOT / page), "exec", dont_inherit=True)
        exec(program, names)


def test_what_the_first_page_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/start.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    found = re.findall(
        r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", text, re.DOTALL | re.MULTILINE
    )
    for code, shown in found:
        exec(code, names)
        assert capsys.readouterr().out == shown
    assert sum(bool(shown) for _, shown in found) == 3


def test_every_command_runs(tmp_path, monkeypatch):
    """The page of the command line, Python and commands in their order."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "command-line"}
    ran = []
    found = re.findall(r"^```(python|sh)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for language, code in found:
        if language == "python":
            exec(code, names)
            continue
        for line in code.splitlines():
            command, *arguments = shlex.split(line)
            assert command == "leanrank"
            done = CliRunner().invoke(app, arguments)
            assert done.exit_code == 0, done.output
            ran.append(arguments[0])
    assert set(ran) == {"fit", "predict", "recommend", "complete"}
    assert len((tmp_path / "best.csv").read_text().splitlines()) == 21
    assert (tmp_path / "predictions.csv").read_text().startswith("userId,movieId,prediction,low,h")
    assert (tmp_path / "cells.csv").read_text().count("\n") == 4


def test_every_kind_of_part_has_a_section():
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    parts = ("An operator", "A loss", "A penalty", "A solver", "A strategy", "An experiment")
    for kind in parts:
        assert f"\n## {kind}\n" in text


def referenced() -> list[object]:
    """What the pages of the reference list, by the names that they give."""
    found = []
    for page in sorted((ROOT / "docs/reference").glob("*.rst")):
        module = None
        for line in page.read_text(encoding="utf-8").splitlines():
            if told := re.match(r"\.\. (?:current)?module:: (\S+)", line):
                module = import_module(told[1])
            elif name := re.fullmatch(r"   (\w+)", line):
                found.append(getattr(module, name[1]))
    return found


PUBLIC = [
    "",
    *("callbacks", "cluster", "estimators", "io", "losses", "operators", "plotting", "simulate"),
    *("initial", "penalties", "policy", "search", "evidence", "solvers", "testing"),
    *("research.deep", "research.diagnostics", "research.experiments", "research.solvers"),
    "research.theory",
]


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_in_the_reference(module):
    home = import_module(f"leanrank.{module}".rstrip("."))
    known = {id(each) for each in referenced()}
    public = {name: getattr(home, name) for name in home.__all__}
    missing = [
        name
        for name, each in public.items()
        if id(each) not in known and not hasattr(each, "__path__") and name not in PUBLIC
    ]
    assert not missing


def test_no_name_has_two_pages_in_the_reference():
    found = [id(each) for each in referenced()]
    assert len(found) == len(set(found))


def test_links_to_elsewhere_are_well_formed():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
    links = [
        (page.name, link)
        for page in pages
        for link in re.findall(r"\]\((\w+:[^)]*)\)|<(https?:[^>]*)>", page.read_text("utf-8"))
    ]
    assert links
    for page, pair in links:
        parts = urlsplit("".join(pair))
        assert parts.scheme == "https", page
        assert re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.netloc), page
        assert not re.search(r"\s", "".join(pair)), page

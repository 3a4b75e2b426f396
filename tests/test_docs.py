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
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)


def blocks(page: str) -> list[tuple[int, str, str | None]]:
    """The Python blocks of a page, each with the line that it starts in, and what it prints."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [(text[: m.start(1)].count("\n"), *m.groups()) for m in BLOCK.finditer(text)]


def words(shown: str) -> list[str]:
    """What is printed, but for the numbers, which are those of a machine."""
    return re.sub(r"[0-9][0-9.]*(e-?[0-9]+)?", "0", shown).split()


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/certificates.md",
        "docs/extending.md",
        "docs/noise.md",
        "docs/ratings.md",
        "docs/recover.md",
        "docs/start.md",
    ],
)
def test_every_block_runs_and_prints_what_is_shown(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = blocks(page)
    assert len(found) == (ROOT / page).read_text(encoding="utf-8").count("```python\n") > 0
    names: dict[str, object] = {"__name__": page}
    for line, code, shown in found:
        # Empty lines put the block where it is on the page, for tracebacks.
        program = compile("\n" * line + code, str(ROOT / page), "exec", dont_inherit=True)
        capsys.readouterr()
        exec(program, names)
        if shown is not None:
            assert words(capsys.readouterr().out) == words(shown)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", ["README.md", "docs/*.md", "benchmarks/README.md"])
def test_links_lead_somewhere(page):
    for path in ROOT.glob(page):
        for link in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
            to = path.parent / link
            if to.parts[-2] in ("gallery", "tutorials"):  # made of an example, with the site
                source = "GALLERY_HEADER.rst" if to.name == "index.rst" else f"{to.stem}.py"
                to = ROOT / "examples" / to.parts[-2] / source
            assert "://" in link or to.exists(), f"{path.name}: {link}"


def test_every_command_runs(tmp_path, monkeypatch):
    """The page of the command line, Python and commands in their order."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "command-line"}
    ran = []
    found = re.findall(r"^```(python|sh|console)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for language, code in found:
        if language == "python":
            exec(code, names)
            continue
        for line in re.findall(r"^\$ (.*)", code, re.MULTILINE) or code.splitlines():
            command, *arguments = shlex.split(line)
            assert command == "leanrank"
            done = CliRunner().invoke(app, arguments)
            assert done.exit_code == 0, done.output
            if language == "console":
                shown = code.partition(f"$ {line}\n")[2].partition("\n$ ")[0]
                assert words(done.stdout) == words(shown)
            ran.append(arguments[0])
    assert set(ran) == {"fit", "explain", "predict", "recommend", "complete"}
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
    *("callbacks", "cluster", "estimators", "io", "losses", "operators", "plotting", "reporting"),
    *("initial", "penalties", "policy", "search", "evidence", "simulate", "solvers", "testing"),
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

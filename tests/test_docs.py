"""The examples of the documents, run as they stand, each page from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: str) -> list[tuple[int, str]]:
    """The Python blocks of a page, each with the line that it starts in."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [(text[: m.start(1)].count("\n"), m.group(1)) for m in BLOCK.finditer(text)]


@pytest.mark.parametrize(
    "page", ["README.md", "docs/extending.md", "docs/noise.md", "docs/ratings.md"]
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


def test_every_kind_of_part_has_a_section():
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    parts = ("An operator", "A loss", "A penalty", "A solver", "A strategy", "An experiment")
    for kind in parts:
        assert f"\n## {kind}\n" in text

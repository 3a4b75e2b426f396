"""Whether the verdicts of the quick runs are those of the README's table of claims."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

# The README has the full settings; here is what the quick ones rightly find instead, and why.
QUICK: dict[str, str] = {}


def main(readme: str, folder: str) -> int:
    """Say what differs; the exit code is 1 if anything does."""
    row = re.compile(r"^\| \[`([\w-]+)`\]\(.*\| (HOLDS WITH|HOLDS|FAILS)\b")
    lines = Path(readme).read_text(encoding="utf-8").splitlines()
    claimed = {match[1]: match[2] for line in lines if (match := row.match(line))}
    found = {
        path.parent.name: json.loads(path.read_text())["verdict"]
        for path in Path(folder).glob("*/summary.json")
    }
    expected = claimed | QUICK
    wrong = [
        f"{name}: README.md has {expected.get(name)}, the quick run {found.get(name)}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
    sys.stderr.writelines(f"{line}\n" for line in wrong)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

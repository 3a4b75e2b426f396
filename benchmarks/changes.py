"""What changed between two records of each row in `history.jsonl`.

python benchmarks/changes.py                # the last two of each row
python benchmarks/changes.py 0.1.0 3f2a9c   # the last of each of two versions or commits
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from history import read
from rich.console import Console
from rich.table import Table

__all__ = ["changed", "pairs", "table"]

SHOWN = {
    "ratio": "CPU ratio",
    "ratio_worst": "worst",
    "passes": "passes",
    "error_worst": "error, worst",
    "memory": "memory / matrices",
}
"""Quantities that say the same on every machine, or nearly; all are better where smaller."""
SAME = 1.1
"""Up to this factor a CPU ratio or a number of passes is called the same."""


def pairs(
    records: Sequence[dict[str, Any]], names: Sequence[str] = ()
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Before and after of each row: its last two records, or the last ones of two names.

    A name is a version, or the beginning of a commit. Rows that lack either are left out.

    Raises
    ------
    ValueError
        If no record has such a name.
    """
    for name in names:
        if not any(is_called(record, name) for record in records):
            raise ValueError(f"no record is of version or commit {name!r}")
    by_row: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        by_row.setdefault(record["row"], []).append(record)
    found = []
    for mine in by_row.values():
        if names:
            named = [[r for r in mine if is_called(r, name)][-1:] for name in names]
            mine = [record for last in named for record in last]
        if len(mine) >= 2:
            found.append((mine[-2], mine[-1]))
    return found


def is_called(record: dict[str, Any], name: str) -> bool:
    """Whether a record is of that version or commit."""
    return record["version"] == name or record["commit"].startswith(name)


def changed(before: float | None, after: float | None) -> str:
    """Two figures in markup: green where the second is clearly smaller, red where larger."""
    if before is None or after is None:
        return "" if before is after else f"{before or 'not measured'} → {after or 'not measured'}"
    text = f"{before:.3g} → {after:.3g}"
    if after * SAME < before:
        return f"[green]{text}[/green]"
    return f"[red]{text}[/red]" if after > SAME * before else text


def table(found: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> Table:
    """A line for each row."""
    shown = Table(title=f"green and red: by more than {SAME - 1:.0%}", title_justify="left")
    for name in ("row", "commits", "solved", *SHOWN.values(), "CPU s"):
        shown.add_column(name, justify="left" if name in ("row", "commits") else "right")
    for before, after in found:
        alike = before["machine"] == after["machine"]
        shown.add_row(
            after["row"],
            " → ".join(f"{r['version']} {r['commit'][:7]}" for r in (before, after)),
            " → ".join(f"{r['solved']}/{r['seeds']}" for r in (before, after)),
            *(changed(before.get(name), after.get(name)) for name in SHOWN),
            changed(before.get("seconds"), after.get("seconds")) if alike else "other machine",
        )
    return shown


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="two versions or commits")
    names = parser.parse_args().names
    if len(names) not in (0, 2):
        parser.error(f"two versions or commits compare, or none for the last; got {len(names)}")
    try:
        found = pairs(read(), names)
    except ValueError as error:
        parser.error(str(error))
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table(found) if found else "no row has two records yet")


if __name__ == "__main__":
    main()

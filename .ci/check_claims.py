"""The table of claims: made from what runs of the experiments found, and checked against new ones.

    python .ci/check_claims.py --keep FOLDER   # what is there is recorded, the table rewritten
    python .ci/check_claims.py FOLDER          # the table is what was recorded, and so are the runs

FOLDER is what ``leanrank reproduce --all --out FOLDER`` wrote, with ``--quick`` or without. Of full
runs verdict, sentences, small numbers and figure are kept, of quick ones verdict and small numbers.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from leanrank.io import plain_values, save_summary
from leanrank.research import experiments as papers

# The table has the full settings; here is what the quick ones rightly find instead, and why.
QUICK: dict[str, str] = {}

_TABLE = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_LARGEST = 40  # numbers in an array that is kept
_WIDEST = 1600  # pixels of a figure
_HEAD = "| experiment | claim | verdict | criterion |\n| --- | --- | --- | --- |\n"


def main() -> int:
    """Say what differs; the exit code is 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--keep", action="store_true", help="record these runs")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where the table is")
    given = parser.parse_args()
    runs = [path for folder in given.folders for path in sorted(folder.glob("*/summary.json"))]
    if given.keep:
        for path in runs:
            keep(path, given.docs)
        page = given.docs / "claims.md"
        page.write_text(rendered(page.read_text("utf-8"), given.docs), "utf-8")
        return 0
    told = [*check_page(given.docs), *check_runs(runs, given.docs)]
    sys.stderr.writelines(f"{line}\n" for line in told)
    return 1 if told else 0


def record(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a summary: numbers to four digits, long arrays left out."""
    names = ["parameters", "seed", "trials", "verdict", "condition", "measured", "numbers"]
    kept = {name: _short(summary[name]) if name == "numbers" else summary[name] for name in names}
    return kept if not summary["quick"] else {k: kept[k] for k in names if k != "measured"}


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _short(v) for k, v in value.items() if _count(v) <= _LARGEST}
    if isinstance(value, list):
        return [_short(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _count(value: Any) -> int:
    return sum(map(_count, value)) if isinstance(value, list) else 1


def recorded(docs: Path, name: str) -> dict[str, Any]:
    """Runs of an experiment that were kept, ``full`` and ``quick``."""
    path = docs / "claims" / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _is_default(summary: Mapping[str, Any], *, quick: bool) -> bool:
    """Whether a run, or what is recorded of it, had the experiment's own settings and seed 0."""
    own = plain_values(papers.get(summary["name"]).settings({}, quick))
    return bool(summary["parameters"] == own and summary["seed"] == 0)


def keep(path: Path, docs: Path) -> None:
    """Record a run, and the figure of a full one."""
    summary = json.loads(path.read_text("utf-8"))
    name, quick = summary["name"], summary["quick"]
    if not _is_default(summary, quick=quick):
        raise SystemExit(f"{path}: is a run of other settings than those of {name}")
    both = recorded(docs, name) | {"quick" if quick else "full": record(summary)}
    (docs / "claims").mkdir(exist_ok=True)
    save_summary(docs / "claims" / f"{name}.json", {key: both[key] for key in sorted(both)})
    if not quick:
        image = Image.open(path.with_name(f"{name}.png")).convert("RGB")
        image.thumbnail((_WIDEST, _WIDEST))
        image.quantize(256).save(docs / "figures" / f"{name}.png", optimize=True)


def rendered(page: str, docs: Path) -> str:
    """The page with its tables made anew; each is named by how its experiments begin."""

    def table(match: re.Match[str]) -> str:
        rows = [_row(name, docs) for name in papers.names() if name.split("-")[0] == match[2]]
        return f"{match[1]}{_HEAD}{''.join(rows)}{match[3]}"

    return _TABLE.sub(table, page)


def _row(name: str, docs: Path) -> str:
    experiment, full = papers.get(name), recorded(docs, name).get("full")
    if full is None:
        full = {"verdict": "NOT RUN", "condition": "", "measured": ""}
    word = "with" if full["verdict"] == "HOLDS WITH" else "instead"
    condition = f" {word}: {full['condition']}." if full["condition"] else ""
    cells = [
        f"[`{name}`](figures/{name}.png): {experiment.reference}",
        experiment.claim,
        f"**{full['verdict'].removesuffix(' WITH')}**{condition} Measured: {full['measured']}.",
        experiment.criterion,
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def check_page(docs: Path) -> Iterator[str]:
    """Whether page, records and figures are those of the experiments that there are."""
    page = (docs / "claims.md").read_text("utf-8")
    if rendered(page, docs) != page:
        yield f"{docs / 'claims.md'} is not what {docs / 'claims'} has: --keep any run"
    tables = {match[2] for match in _TABLE.finditer(page)}
    names = set(papers.names())
    for folder, ending in (("claims", ".json"), ("figures", ".png")):
        there = {path.stem for path in (docs / folder).glob(f"*{ending}")}
        yield from (f"{docs / folder / (n + ending)} is missing" for n in sorted(names - there))
        yield from (f"{docs / folder / (n + ending)}: no such run" for n in sorted(there - names))
    for name in sorted(names):
        both = recorded(docs, name)
        if name.split("-")[0] not in tables:
            yield f"{name} is in no table of {docs / 'claims.md'}"
        if not papers.get(name).criterion:
            yield f"{name} does not say what its verdict takes: criterion is empty"
        for kind in ("full", "quick"):
            run = both.get(kind)
            if run is None:
                yield f"{name}: no {kind} run is recorded"
            elif not _is_default(run | {"name": name}, quick=kind == "quick"):
                yield f"{name}: the recorded {kind} run has other settings than the experiment"
        if both.keys() >= {"full", "quick"}:
            expected, found = QUICK.get(name, both["full"]["verdict"]), both["quick"]["verdict"]
            if expected != found:
                yield f"{name}: the quick run should find {expected}, and finds {found}"


def check_runs(runs: list[Path], docs: Path) -> Iterator[str]:
    """Whether runs found what is recorded, and every experiment was run."""
    for path in runs:
        summary = json.loads(path.read_text("utf-8"))
        name, kind = summary["name"], "quick" if summary["quick"] else "full"
        then, now = recorded(docs, name).get(kind, {}), record(summary)
        if not _is_default(summary, quick=summary["quick"]):
            yield f"{path}: is a run of other settings than those of {name}"
        if now["verdict"] != then.get("verdict"):
            yield f"{name}: {now['verdict']}, recorded {then.get('verdict')}"
        told = papers.differences(
            now["numbers"], then.get("numbers", {}), papers.get(name).tolerances
        )
        yield from (f"{name}, {kind} run: {line}" for line in told)
    missing = set(papers.names()) - {path.parent.name for path in runs}
    yield from (f"{name} was not run" for name in sorted(missing))


if __name__ == "__main__":
    sys.exit(main())

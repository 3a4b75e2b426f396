"""What releases measured, a line of JSON for each row (`history.jsonl`), and on which checkout."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from measuring import HERE

import leanrank as lr

__all__ = ["HISTORY", "append", "first_seed", "origin", "read"]

HISTORY = Path(__file__).with_name("history.jsonl")
MEASURED = ("src", "benchmarks", f":!benchmarks/{HISTORY.name}")
"""Paths on which figures depend."""


def git(*arguments: str) -> str:
    """What git says of this checkout.

    Raises
    ------
    RuntimeError
        If it says nothing: where there is no git, or no repository.
    """
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=HERE, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"git tells nothing of {HERE}: {error}") from error
    return done.stdout.strip()


def first_seed() -> int:
    """A seed that follows from the commit, so that nothing was tuned on it; 0 without git."""
    try:
        return 1000 * int(git("rev-parse", "HEAD")[:4], 16)
    except RuntimeError:
        return 0


def origin() -> dict[str, Any]:
    """Version, commit, day and machine (without its name) of figures that are to be kept.

    Raises
    ------
    RuntimeError
        If what is measured is not what the commit holds.
    """
    package = Path(lr.__file__).resolve()
    if HERE not in package.parents:
        raise RuntimeError(
            f"leanrank is that of {package.parent}, not of this checkout: set PYTHONPATH={HERE}/src"
        )
    changed = git("status", "--porcelain", "--", *MEASURED)
    if changed:
        raise RuntimeError(f"commit what has changed before figures are kept:\n{changed}")
    return {
        "version": lr.__version__,
        "commit": git("rev-parse", "HEAD")[:12],
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": {"cpu": processor(), "cores": os.cpu_count()},
    }


def processor() -> str:
    """The model of the CPU."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def read(path: Path = HISTORY) -> list[dict[str, Any]]:
    """All records, old ones first; none where there is no file.

    Raises
    ------
    ValueError
        If a line is not a record.
    """
    records = []
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            record["row"], record["commit"], record["version"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path.name}, line {number} is not a record: {error!r}") from error
        records.append(record)
    return records


def append(records: Iterable[dict[str, Any]], path: Path = HISTORY) -> None:
    """Add records; the file is whole at any time, also where this is interrupted."""
    written = path.with_name(f"{path.name}.{os.getpid()}")
    lines = [json.dumps(record) + "\n" for record in [*read(path), *records]]
    written.write_text("".join(lines), encoding="utf-8")
    written.replace(path)

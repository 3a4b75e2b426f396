"""Options that several commands have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from leanrank.io import FileError

__all__ = [
    "CheckpointEvery",
    "CheckpointFile",
    "Columns",
    "Decimal",
    "Deep",
    "Delimiter",
    "Header",
    "Json",
    "Least",
    "Level",
    "MemoryLimit",
    "Missing",
    "Most",
    "PairColumns",
    "Plot",
    "Quiet",
    "Rank",
    "Report",
    "Resume",
    "Seed",
    "Strict",
    "SummaryFile",
    "Symmetric",
    "TimeLimit",
    "Validation",
    "Width",
    "bytes_of",
    "check_level",
    "columns_of",
    "delimiter_of",
]

Json = Annotated[bool, typer.Option("--json", help="Print a summary in JSON to standard output.")]
Plot = Annotated[
    Path | None, typer.Option(help="Write a picture (.png, .pdf, .svg).", metavar="FILE")
]
Report = Annotated[
    Path | None,
    typer.Option(
        help="Write a page about the fit, with pictures, that needs no network (.html).",
        metavar="FILE",
    ),
]
SummaryFile = Annotated[
    Path | None, typer.Option("--summary", help="Write the JSON summary.", metavar="FILE")
]
Rank = Annotated[int | None, typer.Option(min=1, help="The rank, if you know it.")]
Width = Annotated[
    int | None, typer.Option(min=1, help="Largest rank to consider: columns of the factors.")
]
Validation = Annotated[
    float | None, typer.Option(help="Share of the measurements held out to choose the rank.")
]
TimeLimit = Annotated[
    float | None, typer.Option(help="Seconds after which to stop with the best so far.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same answer.")]
Symmetric = Annotated[bool, typer.Option("--symmetric", help="Recover X = U U^T.")]
Deep = Annotated[
    bool, typer.Option("--deep", help="Find the rank by training a deep linear network; slow.")
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        help="Keep there (.npz) what is done so far, to go on from after an interruption.",
        metavar="FILE",
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        help="Go on from a checkpoint of the same command, and keep it up to date.", metavar="FILE"
    ),
]
CheckpointEvery = Annotated[
    float, typer.Option(min=0, help="Seconds between two writes of a checkpoint.")
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Exit with 1 unless the matrix itself is pinned down, not only predicted."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Header = Annotated[
    bool | None,
    typer.Option("--header/--no-header", help="Whether a text file has one.", show_default="auto"),
]
Columns = Annotated[
    str | None,
    typer.Option(
        help="Where row, column and value stand on each line, by name or number from 1: "
        "user,item,rating or 1,2,3. Other columns are ignored.",
        metavar="ROW,COLUMN,VALUE",
    ),
]
PairColumns = Annotated[
    str | None,
    typer.Option(help="Where row and column stand, by name or number from 1.", metavar="NAMES"),
]
Missing = Annotated[
    list[str] | None,
    typer.Option(
        help="A value that stands for a missing entry, such as -999. Can be given several times.",
        metavar="VALUE",
    ),
]
Decimal = Annotated[
    str | None, typer.Option(help="'.' or ',', in a text file.", show_default="auto")
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        help="What separates cells of a text file; 'tab', '::', 'blanks'.", show_default="auto"
    ),
]
Level = Annotated[float, typer.Option(help="Probability that an interval holds the entry.")]
Least = Annotated[
    float | None, typer.Option("--min", help="Least value: predictions are cut at it.")
]
Most = Annotated[
    float | None, typer.Option("--max", help="Largest value: predictions are cut at it.")
]
MemoryLimit = Annotated[
    str | None,
    typer.Option(
        help="Sort the entries on disk, beside --out, with so much memory at a time (500MB, 2GB), "
        "and fit to them there: of lists that are more than memory.",
        metavar="SIZE",
    ),
]

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def bytes_of(text: str | None) -> int | None:
    """A size such as 500MB, 2GB or 1.5GiB, in bytes.

    Raises
    ------
    ValueError
        If it is none.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]+(?:[.][0-9]+)?) *([KMGT]?)I?B?", text.strip().upper())
    if found is None:
        raise ValueError(f"--memory-limit must be a size such as 500MB or 2GB, got '{text}'")
    return int(float(found[1]) * _UNITS[found[2]])


def check_level(level: float) -> None:
    """Raise FileError for what is no probability of an interval."""
    if not 0 < level < 1:
        raise FileError(f"--level must lie between 0 and 1, got {level:g}")


def delimiter_of(text: str | None) -> str | None:
    """A delimiter as it was typed."""
    return "\t" if text in ("tab", "\\t") else text


def columns_of(text: str | None) -> list[str | int] | None:
    """Names of columns, separated by commas."""
    return None if text is None else list(text.split(","))

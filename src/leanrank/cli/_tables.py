"""Matrices that ``leanrank complete`` is given, and those with nothing to complete."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

from leanrank import io
from leanrank.cli._terminal import Terminal, bad_input

__all__ = ["completed_unchanged", "read_input", "refuse_complete"]


def read_input(file: Path, **options: Any) -> io.IncompleteMatrix:
    """The matrix of a file; options that contradict one another are errors of input, too."""
    with bad_input():
        return io.read_matrix(file, **options)


def refuse_complete(file: Path, matrix: io.IncompleteMatrix) -> NoReturn:
    """Ask rather than pass on what may have been misunderstood."""
    hints = [
        "a value that stands for missing is declared by --missing VALUE",
        "to take it as it is, say --allow-complete",
    ]
    n2 = matrix.shape[1] + len(matrix.table.passed) + bool(matrix.table.row_labels)
    if file.suffix.lower() == ".csv" and matrix.table.layout == "wide" and n2 >= 3:
        hints.insert(0, "if each line holds row, column and value, say where: --columns 1,2,3")
    what = "nothing is missing"
    if matrix.missing:
        what = "nothing can be filled in: all that is missing lies in rows or columns without entry"
    raise io.FileError(f"{file}: {what} (read as: {matrix.table}); {'; '.join(hints)}")


def completed_unchanged(terminal: Terminal, source: Path, summary: Path | None) -> None:
    """Say that there was nothing to do."""
    message = "nothing is missing: the matrix is passed on as it is"
    values = {"status": "complete", "success": True, "message": message, "input": str(source)}
    if summary is not None:
        io.save_summary(summary, values)
    if terminal.json:
        io.dump_summary(sys.stdout, values)
    terminal.say(f"{source}: {message}")

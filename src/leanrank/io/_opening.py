"""Files as they lie there: plain or packed, text or not, or from standard input."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

from leanrank._files import FileError, PathLike, reading

__all__ = [
    "COLUMNAR",
    "TEXT",
    "first_bytes",
    "from_standard_input",
    "plain_suffix",
    "text_of",
    "with_pyarrow",
]

TEXT = (".csv", ".tsv", ".dat", ".data", ".txt")
"""Endings of the names of text files."""
COLUMNAR = (".parquet", ".arrow", ".feather")
"""And of those that PyArrow reads."""
_PACKED = (".gz", ".zst")
_GZIP, _ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BINARY = (b"PAR1", b"ARROW1", b"PK\x03\x04")


def plain_suffix(path: PathLike) -> str:
    """The ending of a name without that of a packed file, in small letters."""
    name = Path(path)
    return (Path(name.stem) if name.suffix.lower() in _PACKED else name).suffix.lower()


def first_bytes(path: PathLike) -> bytes:
    """What tells of which format a file is."""
    with reading(path) as file:
        return file.read(8)


def with_pyarrow(what: str, module: str = "") -> Any:
    """A module of PyArrow, which is needed for ``what``."""
    try:
        return import_module(f"pyarrow{module}")
    except ImportError:
        raise FileError(
            f"{what}: needs PyArrow to be read; pip install 'leanrank[large]'"
        ) from None


@contextmanager
def text_of(path: PathLike) -> Iterator[IO[str]]:
    """The text of a file in UTF-8, unpacked where it is packed.

    Raises
    ------
    FileError
        If the file cannot be read, is cut short or damaged, or is no text in UTF-8.
    """
    try:
        with _unpacked(path) as raw, TextIOWrapper(raw, "utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: is not text in UTF-8 (byte {error.start})") from None


@contextmanager
def _unpacked(path: PathLike) -> Iterator[IO[bytes]]:
    with reading(path) as file:
        head = file.peek(8)[:8]  # type: ignore[attr-defined]
        if head.startswith(_BINARY):
            raise FileError(f"{path}: is no text, but of another format than its name says")
        if head.startswith(_GZIP):
            try:
                with gzip.open(file) as unpacked:
                    yield unpacked  # type: ignore[misc]
            except (EOFError, zlib.error) as error:
                raise FileError(f"{path}: is cut short or damaged ({error})") from None
        elif head.startswith(_ZSTANDARD):
            pyarrow = with_pyarrow(f"{path}")
            try:
                with pyarrow.CompressedInputStream(file, "zstd") as unpacked:
                    yield unpacked
            except (pyarrow.ArrowException, OSError) as error:
                raise FileError(f"{path}: is cut short or damaged ({error})") from None
        else:
            yield file


@contextmanager
def from_standard_input(source: PathLike) -> Iterator[PathLike]:
    """A file that can be read twice: ``-`` stands for standard input, which is kept in one."""
    if os.fspath(source) != "-":
        yield source
        return
    with tempfile.NamedTemporaryFile(prefix="leanrank-") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield _StandardInput(file.name)


class _StandardInput(os.PathLike[str]):
    """What came from standard input: read from a file, but not called by its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __fspath__(self) -> str:
        return self._name

    def __str__(self) -> str:
        return "standard input"

"""What a list of entries is given as: which kind of file, frame or table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from leanrank._files import FileError, PathLike
from leanrank.io._binary import read_binary
from leanrank.io._opening import (
    COLUMNAR,
    TEXT,
    first_bytes,
    from_standard_input,
    plain_suffix,
    with_pyarrow,
)
from leanrank.io._records import check_signs
from leanrank.io._sources import ArraySource, ArrowSource, FrameSource, Source, TextSource

__all__ = ["numbers_of", "open_source"]

_ARRAYS = (".npz", ".mtx")


def numbers_of(missing: Sequence[str | float]) -> np.ndarray:
    """Those of the words that are numbers."""
    numbers = []
    for word in missing:
        with suppress(ValueError):
            numbers.append(float(word))
    return np.array(numbers, dtype=float)


@contextmanager
def open_source(
    source: Any,
    *,
    missing: Sequence[str | float] = (),
    header: bool | None = None,
    decimal: str | None = None,
    delimiter: str | None = None,
) -> Iterator[Source]:
    """A list of entries of any kind; see :func:`read_ratings`."""
    check_signs(delimiter, decimal)
    words = frozenset(str(word).strip() for word in missing)
    nan_is_missing = bool(np.isnan(numbers_of(missing)).any())
    if not isinstance(source, str | os.PathLike):
        yield _of_frame(source, nan_is_missing)
        return
    with from_standard_input(source) as path:
        head, suffix = first_bytes(path), plain_suffix(path)
        if head.startswith((b"PAR1", b"ARROW1")) and suffix not in TEXT:
            yield ArrowSource.of_file(path, head, nan_is_missing)
        elif suffix in COLUMNAR:
            raise FileError(f"{path}: is no Parquet or Arrow file, whatever its name says")
        elif suffix in _ARRAYS:
            yield _of_arrays(path)
        elif suffix in TEXT or os.fspath(source) == "-":
            yield TextSource(
                path, delimiter=delimiter, header=header, decimal=decimal, missing=words
            )
        else:
            raise FileError(
                f"{path}: unknown format '{suffix}', expected a name that ends in "
                + ", ".join((*TEXT, *COLUMNAR, *_ARRAYS))
            )


def _of_frame(frame: Any, nan_is_missing: bool) -> Source:
    if hasattr(frame, "iloc") or hasattr(frame, "to_series"):
        return FrameSource(frame, nan_is_missing)
    if hasattr(frame, "__arrow_c_stream__"):
        return ArrowSource.of_table(with_pyarrow("the table").table(frame), nan_is_missing)
    raise TypeError(
        "source must be a path, a DataFrame of pandas or polars or a Table of PyArrow, got "
        f"{type(frame).__name__}"
    )


def _of_arrays(path: PathLike) -> ArraySource:
    """A list with numbers for labels."""
    matrix = read_binary(path)
    first = 1 if plain_suffix(path) == ".mtx" else 0
    none = np.zeros(matrix.values.size, dtype=bool)
    columns = [(matrix.rows + first, none), (matrix.cols + first, none), (matrix.values, none)]
    return ArraySource(path, ("row", "column", "value"), columns)

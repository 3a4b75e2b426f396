"""Measurement problems from ``.npz`` files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leanrank._files import FileError, PathLike
from leanrank._npz import Headers, read_arrays
from leanrank.operators import DenseSensing, Measurement, ObservedEntries, RankOneSensing

__all__ = [
    "ProblemFile",
    "check_extent",
    "read_problem",
]

_KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "dense sensing": (("A",), ()),
    "packed symmetric sensing": (("packed", "d"), ()),
    "observed entries": (("rows", "cols", "shape"), ()),
    "rank-one sensing": (("x",), ("z",)),
}
"""Arrays that each kind of measurement needs, and those that it may have."""

_MOST_COLUMNS = 2**31 - 1

_DIMENSIONS = {
    "y": (1, 1),
    "A": (3, 3),
    "packed": (2, 2),
    "x": (2, 2),
    "z": (2, 2),
    "rows": (1, 1),
    "cols": (1, 1),
    "shape": (1, 1),
    "d": (0, 1),
    "symmetric": (0, 1),
}
"""Least and most dimensions of each array; numbers may come as arrays of one."""


@dataclass(frozen=True)
class ProblemFile:
    """What a file says was measured.

    Attributes
    ----------
    op : Measurement
    y : ndarray, shape (m,)
    symmetric : bool
        Whether a symmetric matrix X = U U^T is to be recovered.
    """

    op: Measurement
    y: np.ndarray
    symmetric: bool


def read_problem(path: PathLike, *, symmetric: bool = False) -> ProblemFile:
    """Read measurements and what was measured from an ``.npz`` file.

    Every file has ``y``, shape (m,), and the arrays of exactly one kind of measurement:

    =================  ============================================  ============================
    arrays             shapes                                        operator
    =================  ============================================  ============================
    A                  (m, n1, n2)                                   DenseSensing
    packed, d          (m, d (d + 1) / 2) and a number               DenseSensing.from_packed
    rows, cols, shape  (m,), (m,), counted from 0, and (n1, n2)      ObservedEntries
    x [, z]            (m, n1) [, (m, n2)]                           RankOneSensing
    =================  ============================================  ============================

    A number ``symmetric`` other than 0 asks for a symmetric matrix; packed sensing and rank-one
    sensing without z see nothing else.

    Parameters
    ----------
    path : path
    symmetric : bool
        Ask for a symmetric matrix whatever the file says.

    Raises
    ------
    FileError
        If the file cannot be read, or does not hold one problem of one kind.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "problem.npz"
    >>> np.savez(path, y=[1.0, 2.0, 4.0], rows=[0, 0, 1], cols=[0, 1, 1], shape=[2, 2])
    >>> read_problem(path).op
    ObservedEntries(shape=(2, 2), size=3)
    """
    if Path(path).suffix.lower() != ".npz":
        raise FileError(f"{path}: expected the name of an .npz file")
    arrays = read_arrays(path, lambda headers: _check_headers(headers, path))
    kind = _kind(arrays, path)
    y = arrays["y"]
    symmetric = symmetric or bool(_number(arrays, "symmetric", path))
    try:
        op = _operator(kind, arrays, symmetric, path)
    except (ValueError, TypeError, MemoryError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path}: {error or 'too large for the memory of this machine'}") from None
    return ProblemFile(op, y, symmetric or op.symmetric)


def _check_headers(headers: Headers, path: PathLike) -> None:
    """Refuse what is no problem before its values take memory."""
    _kind(headers, path)
    for name, header in headers.items():
        least, most = _DIMENSIONS[name]
        if not least <= header.ndim <= most:
            wanted = f"{least} dimension{'s' if least > 1 else ''}"
            raise FileError(f"{path}: {name} must have {wanted}, got shape {header.shape}")


def _kind(arrays: Collection[str], path: PathLike) -> str:
    """The one kind of measurement whose arrays are there."""
    names = set(arrays)
    for kind, (needed, optional) in _KINDS.items():
        if names - {"symmetric"} - set(optional) == {"y", *needed}:
            return kind
    wanted = "; or ".join(
        ", ".join(["y", *needed, *(f"[{name}]" for name in optional)])
        for needed, optional in _KINDS.values()
    )
    found = ", ".join(sorted(names)) or "none"
    raise FileError(
        f"{path}: its arrays ({found}) are not those of one problem; expected {wanted}; and "
        "[symmetric] with any of them"
    )


def _operator(
    kind: str, arrays: dict[str, np.ndarray], symmetric: bool, path: PathLike
) -> Measurement:
    if kind == "dense sensing":
        return DenseSensing(arrays["A"], symmetric=symmetric)
    if kind == "packed symmetric sensing":
        return DenseSensing.from_packed(arrays["packed"], _number(arrays, "d", path))
    if kind == "rank-one sensing":
        return RankOneSensing(arrays["x"], arrays.get("z"))
    shape = arrays["shape"]
    if shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise FileError(
            f"{path}: array 'shape' must hold two integers, got {shape.dtype} of shape "
            f"{shape.shape}"
        )
    n1, n2 = (int(n) for n in shape)
    check_extent(path, n1, n2, arrays["rows"].size)
    dtype = np.float32 if arrays["y"].dtype == np.float32 else np.float64
    return ObservedEntries(arrays["rows"], arrays["cols"], (n1, n2), dtype=dtype)


def check_extent(path: PathLike, n1: int, n2: int, entries: int) -> None:
    """Refuse a shape that so few entries cannot determine, before memory is taken for it."""
    if n2 > _MOST_COLUMNS:
        raise FileError(
            f"{path}: has {n2} columns, but positions are kept in 32 bits; at most "
            f"{_MOST_COLUMNS} can be told apart. Transpose it if it has fewer rows"
        )
    if entries < n1 + n2 - 1:
        raise FileError(
            f"{path}: {entries} entries of a {n1} x {n2} matrix are fewer than the {n1 + n2 - 1} "
            "unknowns of a matrix of rank one: nothing can be recovered"
        )


def _number(arrays: dict[str, np.ndarray], name: str, path: PathLike) -> int:
    """A whole number stored as an array; 0 if it is not there."""
    value = arrays.get(name, np.zeros((), dtype=np.int64))
    if value.size != 1 or value.dtype.kind not in "biu":
        raise FileError(
            f"{path}: array '{name}' must hold one integer, got {value.dtype} of shape "
            f"{value.shape}"
        )
    return int(value.reshape(()))

"""Arrays in NumPy's files, ``.npy`` and ``.npz``, read without trust and without pickle."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from leanrank._files import FileError, PathLike, check_fits_memory, reading, replacing

__all__ = ["ArrayHeader", "Headers", "array_header", "read_arrays", "write_array", "write_arrays"]

_CHUNK = 1 << 24
_HEADER = 1 << 14
"""Bytes to look for an array's header in; NumPy takes none beyond 10000."""
_EXPANSION = 1032
"""Bytes that one byte of deflated data can stand for."""
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,
    UnicodeError,
    IndexError,
    ValueError,
)
"""What the zipfile module raises on damaged files."""


@dataclass(frozen=True)
class ArrayHeader:
    """What a file says of an array before its values.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    start : int
        Where the values begin.
    fortran : bool
        Whether the first index runs fastest.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int
    fortran: bool

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype} of shape {self.shape}"


Headers = Mapping[str, ArrayHeader]
"""Of the arrays of a file, by name."""


def write_arrays(path: PathLike, arrays: Mapping[str, Any], *, compressed: bool = True) -> None:
    """Write named arrays as one ``.npz``, whole or not at all.

    ``numpy.savez_compressed`` would do, but NumPy 2.0 leaves the archive open on a full disk.
    """
    how = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with replacing(path) as file, zipfile.ZipFile(file, "w", how) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def write_array(path: PathLike, array: np.ndarray) -> None:
    """Write one array as ``.npy``, whole or not at all.

    ``numpy.save`` would do, but does not say why the bytes did not all fit on a disk.
    """
    array = np.ascontiguousarray(array)
    header = np.lib.format.header_data_from_array_1_0(array)
    with replacing(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(array.data)


def array_header(path: PathLike) -> ArrayHeader:
    """What an ``.npy`` says of its array, all bytes of which are there.

    Raises
    ------
    FileError
        If the file is missing, truncated, or not of this format.
    """
    with reading(path) as file:
        return _npy_header(file, path)


def _npy_header(file: IO[bytes], path: PathLike) -> ArrayHeader:
    size = file.seek(0, 2)
    file.seek(0)
    return _read_header(file, size, f"{path}")


def read_arrays(
    path: PathLike, check: Callable[[Headers], object] | None = None
) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz``, or that of an ``.npy`` under the name "".

    Nothing is unpickled. No memory is taken for more values than the bytes of the file can stand
    for, nor for any before ``check`` has seen their number and kind.

    Parameters
    ----------
    path : path
    check : callable, optional
        Called with the header of each array by name; raises FileError if they are not what is
        wanted.

    Raises
    ------
    FileError
        If the file is missing, truncated, not of this format, or holds anything but plain numbers,
        booleans and strings.
    """
    with reading(path) as file:
        try:
            if Path(path).suffix.lower() == ".npy":
                return _read_npy(file, path, check)
            with zipfile.ZipFile(file) as archive:
                return _read_members(archive, _members(archive, file, path), path, check)
        except FileError:
            raise
        except (MemoryError, OverflowError):
            raise FileError(f"{path}: too large for the memory of this machine") from None
        except _DAMAGED as error:
            raise FileError(
                f"{path}: not a readable file of arrays, or truncated ({error})"
            ) from None


def _read_npy(
    file: IO[bytes], path: PathLike, check: Callable[[Headers], object] | None
) -> dict[str, np.ndarray]:
    header = _npy_header(file, path)
    if check is not None:
        check({"": header})
    file.seek(header.start)
    return {"": _read_values(file, header, f"{path}")}


def _members(
    archive: zipfile.ZipFile, file: IO[bytes], path: PathLike
) -> dict[str, zipfile.ZipInfo]:
    """The members by the names of their arrays, once their sizes are seen to be possible."""
    size = file.seek(0, 2)
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name in members:
            raise FileError(f"{path}: array '{name}' is there twice")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # LZMA and bzip2 may ask for gigabytes of memory before the first byte comes out.
            raise FileError(
                f"{path}: array '{name}' is compressed in a way that NumPy does not write; "
                "expected a file of numpy.savez or numpy.savez_compressed"
            )
        factor = 1 if info.compress_type == zipfile.ZIP_STORED else _EXPANSION
        if info.file_size > factor * info.compress_size:
            raise FileError(
                f"{path}: array '{name}' is said to have {info.file_size} bytes in "
                f"{info.compress_size}, more than they can hold; the file is damaged"
            )
        members[name] = info
    if sum(info.compress_size for info in members.values()) > size:
        raise FileError(
            f"{path}: its arrays are said to take more than its {size} bytes; the file is damaged"
        )
    return members


def _read_members(
    archive: zipfile.ZipFile,
    members: Mapping[str, zipfile.ZipInfo],
    path: PathLike,
    check: Callable[[Headers], object] | None,
) -> dict[str, np.ndarray]:
    headers = {}
    for name, info in members.items():
        with archive.open(info) as member:
            headers[name] = _read_header(member, info.file_size, f"{path}: array '{name}'")
    if check is not None:
        check(headers)
    check_fits_memory(path, sum(info.file_size for info in members.values()))
    arrays = {}
    for name, info in members.items():
        with archive.open(info) as member:
            member.read(headers[name].start)
            arrays[name] = _read_values(member, headers[name], f"{path}: array '{name}'")
    return arrays


def _read_header(file: IO[bytes], size: int, where: str) -> ArrayHeader:
    """Shape and kind of an array in NumPy's format, in a file or member of known size."""
    head = BytesIO(file.read(_HEADER))
    try:
        version = np.lib.format.read_magic(head)
        if version not in _READERS:
            raise FileError(f"{where}: holds structured data, expected numbers")
        shape, fortran, dtype = _READERS[version](head)
    except FileError:
        raise
    except Exception as error:
        # The header is a Python literal: ast, tokenize and dtype all have errors of their own.
        text = " ".join(f"{error}".split())[:100]
        raise FileError(f"{where}: not an array in NumPy's format ({text})") from None
    if dtype.kind not in "biufcU" or dtype.itemsize == 0:
        raise FileError(f"{where}: holds {dtype} values, expected numbers")
    header = ArrayHeader(shape, dtype, head.tell(), fortran)
    needed, there = header.size * dtype.itemsize, size - header.start
    if needed != there or any(n < 0 for n in shape):
        raise FileError(
            f"{where}: the header claims shape {shape}, which takes {needed} bytes, but there are "
            f"{there}; the file is damaged"
        )
    return header


def _read_values(file: IO[bytes], header: ArrayHeader, where: str) -> np.ndarray:
    """The values, in memory that grows with the bytes that are really there."""
    needed = header.size * header.dtype.itemsize
    data = bytearray()
    while len(data) < needed:
        chunk = file.read(min(_CHUNK, needed - len(data)))
        if not chunk:
            raise FileError(f"{where}: ends before its {needed} bytes; the file is truncated")
        data += chunk
    array = np.frombuffer(data, dtype=header.dtype)
    array = array.reshape(header.shape, order="F" if header.fortran else "C")
    return array.astype(header.dtype.newbyteorder("="), copy=False)

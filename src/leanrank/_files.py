"""Files that are written whole or not at all, and arrays that are read without trust."""

from __future__ import annotations

import math
import os
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

__all__ = ["FileError", "PathLike", "check_writable", "read_arrays", "replacing", "write_arrays"]

_CHUNK = 1 << 24

PathLike = str | os.PathLike[str]


class FileError(ValueError):
    """A file that cannot be read or written as asked; the text begins with its name."""


@contextmanager
def replacing(path: PathLike, mode: str = "wb") -> Iterator[IO[Any]]:
    """A file to write to, that takes the place of ``path`` once it is complete.

    Everything goes to a temporary name in the same folder, which is renamed at the end. After an
    error, or Ctrl-C, what was at ``path`` before is untouched and the temporary file is gone.

    Parameters
    ----------
    path : path
        A symbolic link is followed.
    mode : {"wb", "w"}
        Bytes, or text in UTF-8 with line ends as written.

    Raises
    ------
    FileError
        If the folder cannot be written to.
    """
    target = Path(path).resolve()
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.tmp")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        # "x" and not tempfile: the file gets the permissions that the user's umask gives.
        file = temporary.open(mode.replace("w", "x"), **text)  # type: ignore[call-overload]
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror})") from None
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: PathLike, *, inputs: tuple[PathLike, ...] = ()) -> None:
    """Find out before a long computation whether its result can be written.

    Parameters
    ----------
    path : path
        Where the result shall go.
    inputs : tuple of paths
        Files that must not be overwritten.

    Raises
    ------
    FileError
        If ``path`` is a folder or one of the inputs, or its folder is missing or read-only.
    """
    target = Path(path)
    if target.is_dir():
        raise FileError(f"{path}: is a folder, expected the name of a file")
    for source in inputs:
        same = target.resolve() == Path(source).resolve()
        if same or (target.exists() and Path(source).exists() and target.samefile(source)):
            raise FileError(
                f"{path}: is the input, which is never overwritten; choose another name"
            )
    folder = target.resolve().parent
    if not folder.is_dir():
        raise FileError(f"{path}: cannot be written, there is no folder {folder}")
    if target.exists() and not os.access(target, os.W_OK):
        raise FileError(f"{path}: exists and is read-only")
    probe = folder / f".{secrets.token_hex(8)}.tmp"
    try:
        probe.touch(exist_ok=False)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror})") from None
    probe.unlink()


def write_arrays(path: PathLike, arrays: Mapping[str, Any]) -> None:
    """Write named arrays as one compressed ``.npz``, whole or not at all."""
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)


def read_arrays(path: PathLike) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz``, or that of an ``.npy`` under the name "".

    Nothing is unpickled, and no memory is taken before the size that a header claims has been
    compared with the bytes that are there.

    Raises
    ------
    FileError
        If the file is missing, truncated, not of this format, or holds anything but plain numbers,
        booleans and strings.
    """
    try:
        if Path(path).suffix.lower() == ".npy":
            with Path(path).open("rb") as file:
                return {"": _read_array(file, Path(path).stat().st_size, f"{path}")}
        with zipfile.ZipFile(path) as archive:
            arrays = {}
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                with archive.open(info) as member:
                    arrays[name] = _read_array(member, info.file_size, f"{path}: array '{name}'")
            return arrays
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise FileError(f"{path}: not a readable .npz file, or truncated ({error})") from None
    except (MemoryError, OverflowError):
        raise FileError(f"{path}: too large for the memory of this machine") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from None


def _read_array(file: IO[bytes], size: int, where: str) -> np.ndarray:
    """One array in NumPy's format from a file of known size."""
    header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(file)
        shape, fortran, dtype = header[version](file)
    except KeyError:
        raise FileError(f"{where}: holds structured data, expected numbers") from None
    except (ValueError, SyntaxError, TypeError) as error:
        raise FileError(f"{where}: not an array in NumPy's format ({error})") from None
    if dtype.kind not in "biufcU":
        raise FileError(f"{where}: holds {dtype} values, expected numbers")
    needed, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if needed != there or any(n < 0 for n in shape):
        raise FileError(
            f"{where}: the header claims shape {shape}, which takes {needed} bytes, but there are "
            f"{there}; the file is damaged"
        )
    data = bytearray(needed)
    view = memoryview(data)
    for start in range(0, needed, _CHUNK):
        chunk = file.read(min(_CHUNK, needed - start))
        view[start : start + len(chunk)] = chunk
        if start + len(chunk) != min(start + _CHUNK, needed):
            raise FileError(f"{where}: ends before its {needed} bytes; the file is truncated")
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")

"""Files that are written whole or not at all, and checks of what is there."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

__all__ = [
    "FileError",
    "PathLike",
    "check_fits_memory",
    "check_readable",
    "check_writable",
    "is_standard_output",
    "is_stream",
    "naming",
    "reading",
    "replacing",
]

PathLike = str | os.PathLike[str]


class FileError(ValueError):
    """A file that cannot be read or written as asked; the text begins with its name."""


@contextmanager
def naming(path: PathLike, what: str) -> Iterator[None]:
    """Errors of the system as a FileError that says what cannot be done with ``path``."""
    if "\0" in os.fspath(path):
        raise FileError(f"{os.fspath(path)!r}: has a NUL byte, so it is not the name of a file")
    try:
        yield
    except OSError as error:
        raise FileError(f"{path}: cannot be {what} ({error.strerror or error})") from None


@contextmanager
def replacing(path: PathLike, mode: str = "wb") -> Iterator[IO[Any]]:
    """A file to write to, that takes the place of ``path`` once it is complete.

    Everything goes to a temporary name in the same folder, which is renamed at the end. After an
    error, or Ctrl-C, what was at ``path`` before is untouched and the temporary file is gone. A
    pipe or a device is never replaced: what is complete is written to it.

    Parameters
    ----------
    path : path
        A symbolic link is followed.
    mode : {"wb", "w"}
        Bytes, or text in UTF-8 with line ends as written.

    Raises
    ------
    FileError
        If the folder, the pipe or the device cannot be written to.
    """
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    with naming(path, "written"):
        if is_stream(path):
            with tempfile.TemporaryFile(mode.replace("w", "w+"), **text) as whole:
                yield whole
                whole.seek(0)
                with _open_stream(path, mode, text) as stream:
                    shutil.copyfileobj(whole, stream)
            return
        target = _resolved(path)
        temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            # "x" and not tempfile: the file gets the permissions that the user's umask gives.
            with temporary.open(mode.replace("w", "x"), **text) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            with suppress(OSError):
                shutil.copymode(target, temporary)
            temporary.replace(target)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _resolved(path: PathLike) -> Path:
    """The file behind symbolic links. Unlike ``Path.resolve``, a loop of them is no error here."""
    return Path(os.path.realpath(path))


def _state(path: PathLike) -> os.stat_result | None:
    """What is at a path, None if there is nothing."""
    try:
        return Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_stdout(state: os.stat_result) -> bool:
    with suppress(OSError):
        return os.path.samestat(state, os.fstat(1))
    return False


def is_stream(path: PathLike) -> bool:
    """Whether bytes written there go on to somewhere else: pipes, devices, standard output."""
    state = _state(path)
    if state is None or stat.S_ISDIR(state.st_mode):
        return False
    return not stat.S_ISREG(state.st_mode) or _is_stdout(state)


def _open_stream(path: PathLike, mode: str, text: Mapping[str, Any]) -> IO[Any]:
    state = _state(path)
    if state is not None and _is_stdout(state):
        # A second look at a file that the shell has opened would begin at its first byte again.
        sys.stdout.flush()
        return os.fdopen(os.dup(1), mode, **text)
    return Path(path).open(mode, **text)


def is_standard_output(path: PathLike) -> bool:
    """Whether what is written to ``path`` comes out of standard output, as from /dev/stdout."""
    with suppress(OSError, ValueError):
        state = _state(path)
        return state is not None and _is_stdout(state)
    return False


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
        If ``path`` is a folder or one of the inputs, has a name that no file can have, or its
        folder is missing or read-only.
    """
    with naming(path, "written"):
        state, target = _state(path), _resolved(path)
        if state is not None and stat.S_ISDIR(state.st_mode):
            raise FileError(f"{path}: is a folder, expected the name of a file")
        for source in inputs:
            other = _state(source)
            same = state is not None and other is not None and os.path.samestat(state, other)
            if same or target == _resolved(source):
                raise FileError(
                    f"{path}: is the input, which is never overwritten; choose another name"
                )
        if not target.parent.is_dir() and not is_stream(path):
            raise FileError(f"{path}: cannot be written, there is no folder {target.parent}")
        if state is not None and not os.access(path, os.W_OK):
            raise FileError(f"{path}: exists and is read-only")
        if not is_stream(path):
            probe = target.with_name(f".{secrets.token_hex(8)}.tmp")
            probe.touch(exist_ok=False)
            probe.unlink()


def check_readable(path: PathLike) -> None:
    """Make sure that there is a file with an end to read.

    Raises
    ------
    FileError
        If there is nothing at ``path``, or a folder, a pipe or a device.
    """
    with naming(path, "read"):
        state = _state(path)
        if state is None:
            raise FileError(f"{path}: there is no such file")
        if stat.S_ISDIR(state.st_mode):
            raise FileError(f"{path}: is a folder, expected a file")
        if not stat.S_ISREG(state.st_mode):
            raise FileError(f"{path}: is a pipe or a device, expected a file; save it to one first")


@contextmanager
def reading(path: PathLike, mode: str = "rb", **text: Any) -> Iterator[IO[Any]]:
    """A file to read from, opened after :func:`check_readable`.

    Raises
    ------
    FileError
        If it cannot be opened, or read.
    """
    check_readable(path)
    with naming(path, "read"), Path(path).open(mode, **text) as file:
        yield file


def check_fits_memory(path: PathLike, needed: int) -> None:
    """Refuse to take more bytes than this machine has, where that can be found out.

    Raises
    ------
    FileError
        If ``needed`` is more.
    """
    there = 0
    with suppress(AttributeError, ValueError, OSError):
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there > 0:
        raise FileError(
            f"{path}: takes {needed / 2**30:.1f} GiB, more than the memory of this machine "
            f"({there / 2**30:.1f} GiB)"
        )

"""Standard output and standard error: in UTF-8, and without a way to crash a run."""

from __future__ import annotations

import errno
import io
import os
import select
import sys

__all__ = ["exit_code", "install", "is_stdout_closed"]

READER_GONE = 141
"""What a shell says of a program that wrote to a pipe after its reader had left."""


class _Stream(io.FileIO):
    """A stream that keeps the first error in mind instead of raising it.

    Words that cannot be said must not keep results from being written; the exit code tells.
    """

    failure: OSError | None = None
    was_closed = False

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        while self.failure is None:
            try:
                if self.was_closed:
                    raise OSError(errno.EBADF, "it is closed")
                written = super().write(view)
            except OSError as error:
                self.failure = error
                break
            if written is not None:
                return written
            select.select([], [self], [])  # another program has made it non-blocking
        return view.nbytes


def install() -> None:
    """Put both streams in place of Python's, once, at the start of the process."""
    closed = [not _is_open(number) for number in (1, 2)]
    # A file that is opened later must not get the number of a stream that is closed.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for name, number, was_closed in (("stdout", 1, closed[0]), ("stderr", 2, closed[1])):
        raw = _Stream(number, "w", closefd=False)
        raw.was_closed = was_closed
        text = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding="utf-8",
            errors="surrogateescape",  # names of files come out as they came in
            line_buffering=name == "stderr" or raw.isatty(),
        )
        setattr(sys, name, text)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _behind_stdout() -> _Stream | None:
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Stream) else None


def is_stdout_closed() -> bool:
    """Whether the process was started without a standard output."""
    raw = _behind_stdout()
    return raw is not None and raw.was_closed


def exit_code(code: int) -> int:
    """The exit code of the process: ``code``, unless standard output did not take all of it."""
    sys.stdout.flush()
    raw = _behind_stdout()
    error = None if raw is None else raw.failure
    if error is None:
        return code
    if error.errno == errno.EPIPE:
        return READER_GONE
    sys.stderr.write(f"leanrank: standard output cannot be written ({error.strerror})\n")
    return 2

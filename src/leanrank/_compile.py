"""Kernels, compiled by Numba at their first use and kept on disk where that is possible.

Numba's own cache raises where no folder can be written, and where a file of it is damaged. Neither
is a reason not to compute: the kernel is compiled anew, which takes a second or two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile

__all__ = ["compiled"]


def compiled(fastmath: bool | set[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function that Numba compiles for each combination of types that it meets.

    It runs without the interpreter's lock and divides as NumPy does. The machine code is kept
    beside the source, or in the user's cache folder, or nowhere if neither can be written.

    Parameters
    ----------
    fastmath : bool or set of str
        Which liberties LLVM may take with floating point; True is all of them.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        kernel = njit(nogil=True, error_model="numpy", fastmath=fastmath)(function)
        with suppress(RuntimeError):  # no folder to keep it in
            kernel._cache = _Cache(function)
        return kernel

    return decorate


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's, but what cannot be read counts as missing, and what cannot be written is left."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _SealedFile(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=self._impl.locator.get_source_stamp(),
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with suppress(Exception):  # whatever it was, compiling is the remedy
            return super().load_overload(sig, target_context)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):  # a full disk, or a folder that went away
            super().save_overload(sig, data)


class _SealedFile(IndexDataCacheFile):  # type: ignore[misc]
    """Each file ends with its digest: damaged machine code could do anything."""

    def save(self, key: Any, data: Any) -> None:
        """Machine code under a name of its own, then the index that names it.

        Numba numbers the files. Of two processes that compile at once, one then writes over what
        the other's index names, and code runs on types that it was not compiled for.
        """
        name = f"{Path(self._index_path).stem}.{sha256(repr(key).encode()).hexdigest()[:16]}.nbc"
        self._save_data(name, data)
        overloads = self._load_index()
        if overloads.get(key) != name:
            self._save_index(overloads | {key: name})

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[BytesIO]:
        with super()._open_for_write(filepath) as file:
            content = BytesIO()
            yield content
            file.write(content.getvalue() + sha256(content.getvalue()).digest())

    def _load_index(self) -> dict[Any, str]:
        return super()._load_index() if _intact(self._index_path) else {}

    def _load_data(self, name: str) -> Any:
        path = self._data_path(name)
        if not _intact(path):
            raise OSError(f"{path} is damaged")  # which Numba takes for a file that was removed
        return super()._load_data(name)


def _intact(path: str) -> bool:
    """Whether a file is there, and ends with the digest of what comes before."""
    size = sha256().digest_size
    try:
        content = Path(path).read_bytes()
    except OSError:
        return False
    return sha256(content[:-size]).digest() == content[-size:]

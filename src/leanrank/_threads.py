"""One thread of BLAS, for factors that are small."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ContextDecorator
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["one_blas_thread"]


def one_blas_thread() -> _OneBlasThread:
    """Give BLAS one thread, in a ``with`` block or as a decorator of a function.

    More threads cost more in waking up than they compute, and sum in another order: with one the
    result is the same to the last bit, however many there are. The number of threads belongs to
    the whole process, so uses are counted: the first to enter sets it, and the last to leave puts
    back what there was, in whatever order they come and go.
    """
    return _one_blas_thread


class _Limit:
    """Libraries, how many use them with one thread, and what they had before."""

    def __init__(self, libraries: Sequence[Any]) -> None:
        self.libraries = libraries
        self.users = 0
        self.before: list[int] = []

    def enter(self) -> None:
        if self.users == 0:
            self.before = [library.num_threads for library in self.libraries]
            self._set([1] * len(self.libraries))
        self.users += 1

    def leave(self) -> None:
        self.users -= 1
        if self.users == 0:
            self._set(self.before)

    def _set(self, numbers: list[int]) -> None:
        for library, number in zip(self.libraries, numbers, strict=True):
            # Since 3.8 threadpoolctl heeds none but the thread that set the number last.
            release = getattr(library, "clear_controlling_thread", lambda force: None)
            release(force=True)
            library.set_num_threads(number)
            release(force=True)


class _OneBlasThread(ContextDecorator):
    """The one that all users share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_thread = threading.local()

    def _limits(self) -> tuple[_Limit, _Limit]:
        """Of the process, and of this thread: OpenMP has a number for each."""
        of_process, by_thread = _blas()
        if not hasattr(self._of_thread, "limit"):
            self._of_thread.limit = _Limit(by_thread)
        return of_process, self._of_thread.limit

    def __enter__(self) -> None:
        with self._lock:
            for limit in self._limits():
                limit.enter()

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            for limit in self._limits():
                limit.leave()


_one_blas_thread = _OneBlasThread()


@cache
def _blas() -> tuple[_Limit, list[Any]]:
    """Libraries with one number of threads, and those with one for each thread that calls them."""
    # Compiled products go through SciPy's BLAS, which is found only once it is loaded.
    import scipy.linalg.cython_blas  # noqa: F401

    # Finding the libraries takes longer than a short run.
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    by_thread = [lib for lib in found if getattr(lib, "threading_layer", None) == "openmp"]
    return _Limit([lib for lib in found if lib not in by_thread]), by_thread

"""One thread of BLAS, for factors that are small."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController

__all__ = ["one_blas_thread"]


@cache
def _controller() -> ThreadpoolController:
    """Finding the libraries takes longer than a short run."""
    # Compiled products go through SciPy's BLAS, which is found only once it is loaded.
    import scipy.linalg.cython_blas  # noqa: F401

    return ThreadpoolController()


def one_blas_thread() -> AbstractContextManager[object]:
    """More threads cost more in waking up than they compute, and sum in another order."""
    return _controller().limit(limits=1, user_api="blas")

"""One BLAS thread, reproducible examples, and the array libraries that tests run under."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

settings.register_profile("leanrank", derandomize=True, deadline=None, max_examples=15)
settings.load_profile("leanrank")


@pytest.fixture(autouse=True, scope="session")
def one_blas_thread() -> Iterator[None]:
    """Small matrices on several threads spend their time waiting for one another."""
    with threadpool_limits(1):
        yield


@pytest.fixture(params=["strict", "device", "torch"])
def convert(request: pytest.FixtureRequest) -> Callable[[np.ndarray], Any]:
    """NumPy arrays to arrays of a library that is not NumPy, or not in the CPU's memory."""
    if request.param == "torch":
        return pytest.importorskip("torch", reason="PyTorch is optional").asarray
    import array_api_strict as strict

    device = strict.Device("device1") if request.param == "device" else None
    return partial(strict.asarray, device=device)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240501)

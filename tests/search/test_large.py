"""Large matrices of which few entries are seen: nothing of their size is formed."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from leanrank import Factors, Status, posterior, recover, simulate

SHAPE = (13_000, 12_000)
CELLS = SHAPE[0] * SHAPE[1]


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No more bytes than that at any moment, on top of what there is."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def error(X: Factors, truth: Factors) -> float:
    return truth.append(Factors(-X.U, X.V)).norm() / truth.norm()


@pytest.fixture(scope="module")
def seen() -> simulate.Instance:
    """A rank-one matrix, of which one in six hundred entries is seen."""
    return simulate.matrix_completion(SHAPE, 1, oversampling=10, random_state=0)


def test_less_than_a_byte_a_cell_shows_in_memory():
    """What these tests hold is told from what they forbid: flags of all cells."""
    with pytest.raises(AssertionError), at_most(CELLS):
        np.zeros(CELLS, dtype=bool)


def test_exact_completion_is_certified_in_memory_of_the_entries(seen):
    with at_most(CELLS):
        result = recover(seen.op, seen.y)
    assert result.status is Status.CONVERGED
    assert (result.rank, error(result.factors, seen.truth) < 1e-8) == (1, True)


@pytest.mark.parametrize("how", [recover, posterior])
def test_noisy_completion_takes_memory_of_the_entries(seen, how: Callable):
    y = seen.y + 0.2 * np.std(seen.y) * np.random.default_rng(0).standard_normal(seen.y.size)
    with at_most(CELLS):
        found = how(seen.op, y)
    assert (found.rank, error(found.factors, seen.truth) < 0.1) == (1, True)

"""Parts of a matrix that nothing joins, or too few observed entries."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Factors, simulate
from leanrank.evidence.joining import apart, loosely_joined
from leanrank.operators import ObservedEntries


def seen_where(mask: np.ndarray) -> ObservedEntries:
    return ObservedEntries(*np.nonzero(mask), mask.shape)


def joined_to(mask: np.ndarray) -> np.ndarray:
    """Which columns each row can be reached from, by powers of the pattern."""
    reach = mask.astype(float)
    for _ in range(sum(mask.shape)):
        reach = np.minimum(reach + mask @ mask.T @ reach, 1.0)
    return reach > 0


@pytest.mark.parametrize("share", [0.03, 0.08, 0.2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_apart_is_what_no_walk_reaches(seed, share):
    mask = np.random.default_rng(seed).random((20, 15)) < share
    hidden = ~mask
    expected = np.mean(~joined_to(mask)[hidden])
    assert apart(seen_where(mask)) == pytest.approx(expected)


def test_blocks_that_nothing_joins_areapart(rng):
    mask = np.zeros((12, 10), dtype=bool)
    mask[:6, :5] = mask[6:, 5:] = True
    assert apart(seen_where(mask)) == 1.0
    mask[0, 9] = True
    assert apart(seen_where(mask)) == 0.0


def blocks(rng: np.random.Generator, joined: int, symmetric: bool = False) -> np.ndarray:
    """Two blocks of which half was seen, in an order of their own, and so many entries between."""
    n1, n2 = (60, 60) if symmetric else (60, 50)
    mask = rng.random((n1, n2)) < 0.5
    part = np.arange(n1) < 25, np.arange(n2) < (25 if symmetric else 30)
    between = part[0][:, None] ^ part[1]
    if symmetric:
        mask = np.triu(mask)
    mask &= ~between
    upper = np.triu(between) if symmetric else between
    mask.flat[rng.choice(np.flatnonzero(upper), joined, replace=False)] = True
    mask = mask | mask.T if symmetric else mask
    order = rng.permutation(n1)
    return mask[order][:, order if symmetric else rng.permutation(n2)]


def open_between(mask: np.ndarray, rank: int, symmetric: bool) -> int:
    """Directions of a generic matrix that no entry sees, beyond those that leave it as it is."""
    rng = np.random.default_rng(7)
    n1, n2 = mask.shape
    W = rng.standard_normal((n1, rank))
    truth = Factors(W) if symmetric else Factors(W, rng.standard_normal((n2, rank)))
    U, V = truth.U, truth.V
    rows, cols = np.nonzero(np.triu(mask) if symmetric else mask)
    J = np.zeros((rows.size, (n1 if symmetric else n1 + n2) * rank))
    for t, (i, j) in enumerate(zip(rows, cols, strict=True)):
        J[t, i * rank : (i + 1) * rank] += V[j]
        k = j if symmetric else n1 + j
        J[t, k * rank : (k + 1) * rank] += U[i]
    gauge = rank * (rank - 1) // 2 if symmetric else rank * rank
    return int(J.shape[1] - np.linalg.matrix_rank(J) - gauge)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_parts_count_while_a_generic_matrix_is_open_between_them(rank, symmetric):
    """Against the kernel of the derivative; what is between the parts is half of the matrix."""
    needed = max(rank * (rank - 1) // 2 if symmetric else rank * rank, 1)
    for joined in sorted({0, needed - 1, needed, needed + 2}):
        rng = np.random.default_rng([rank, joined])
        mask = blocks(rng, joined, symmetric)
        share = loosely_joined(seen_where(mask), rank, rng, symmetric=symmetric)
        is_open = joined < needed
        assert (share > 0.5) == is_open
        if rank > 1 or not symmetric:  # signs of blocks of rank one leave no direction open
            assert (open_between(mask, rank, symmetric) > 0) == is_open


def test_the_share_is_that_of_what_is_between(rng):
    mask = blocks(rng, 2)
    between = 25 * 20 + 35 * 30 - 2
    share = loosely_joined(seen_where(mask), 2, rng)
    assert share == pytest.approx(between / np.sum(~mask))


@pytest.mark.parametrize("seed", range(5))
def test_what_was_seen_at_random_is_one_part(seed, rng):
    op = simulate.matrix_completion((80, 60), 3, oversampling=1.5, random_state=seed).op
    assert loosely_joined(op, 3, rng) == 0.0


def test_a_few_thin_rows_are_no_part(rng):
    mask = rng.random((60, 50)) < 0.5
    mask[:8] = False
    mask[:8, :2] = True
    assert loosely_joined(seen_where(mask), 3, rng) == 0.0


def test_a_part_with_fewer_entries_than_unknowns_is_none(rng):
    mask = np.zeros((60, 50), dtype=bool)
    mask[:30, :25] = rng.random((30, 25)) < 0.6
    mask[30:, 25:] = rng.random((30, 25)) < 0.12  # of rank two it has 106 unknowns
    mask[0, 30] = True
    assert np.sum(mask[30:, 25:]) < 106
    assert loosely_joined(seen_where(mask), 2, rng) == 0.0
    mask[30:, 25:] = rng.random((30, 25)) < 0.3
    assert loosely_joined(seen_where(mask), 2, rng) > 0.5

"""Patterns of observed entries against the rank of the dense Jacobian at generic factors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanrank import Factors
from leanrank.operators import ObservedEntries
from leanrank.operators._pattern import Pattern, distinct


def moved(
    rows: np.ndarray, cols: np.ndarray, shape: tuple[int, int], rank: int, symmetric: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of X that change along the null space of the Jacobian, by brute force."""
    rng = np.random.default_rng(0)
    n1, n2 = shape
    U = rng.standard_normal((n1, rank))
    V = U if symmetric else rng.standard_normal((n2, rank))
    n = (n1 if symmetric else n1 + n2) * rank
    full = np.zeros((n1, n2, n))
    for i in range(n1):
        for j in range(n2):
            full[i, j, i * rank : (i + 1) * rank] += V[j]
            start = (j if symmetric else n1 + j) * rank
            full[i, j, start : start + rank] += U[i]
    _, s, right = np.linalg.svd(full[rows, cols].reshape(len(rows), n))
    flat = right[(s > 1e-9 * s[0]).sum() :]
    changes = np.abs(full @ flat.T).max(axis=2) > 1e-7 if len(flat) else np.zeros(shape, bool)
    return changes.any(axis=1), changes.any(axis=0)


@st.composite
def problems(draw, symmetric: bool):
    n1 = draw(st.integers(3, 6))
    n2 = n1 if symmetric else draw(st.integers(3, 6))
    rank = draw(st.integers(1, 2))
    size = draw(st.integers(1, n1 * n2))
    seed = draw(st.integers(0, 2**32 - 1))
    flat = np.random.default_rng(seed).choice(n1 * n2, size, replace=False)
    return *np.divmod(flat, n2), (n1, n2), rank


@given(problems(symmetric=False))
def test_what_is_flagged_moves_though_every_entry_stays(problem):
    rows, cols, shape, rank = problem
    flagged = ObservedEntries(rows, cols, shape).undetermined(rank)
    for found, moves in zip(flagged, moved(rows, cols, shape, rank, False), strict=True):
        assert moves[found].all()


def is_cut(pattern: Pattern, out: set[int]) -> bool:
    """Whether the nodes without some of them fall apart."""
    rest = set(range(pattern.nodes)) - out
    reached, new = set(), {min(rest)}
    while new:
        reached |= new
        links = zip(pattern.mine, pattern.others, strict=True)
        new = {b for a, b in links if a in new and b in rest} - reached
    return reached != rest


@settings(max_examples=60)
@given(problems(symmetric=True), st.integers(1, 3))
def test_symmetric_patterns_that_fewer_nodes_than_the_rank_hold_together(problem, rank):
    """Menger: some row is flagged if and only if a cut of fewer rows than the rank exists."""
    rows, cols, (n, _), _ = problem
    pattern = Pattern(rows, cols, (n, n), symmetric=True)
    cuts = (c for size in range(rank) for c in itertools.combinations(range(n), size))
    expected = any(is_cut(pattern, set(c)) for c in cuts if n - len(c) >= 2)
    lonely = (np.bincount(pattern.mine, minlength=n) < rank).any()
    core = pattern.core(rank + 1).any()
    found, same = ObservedEntries(rows, cols, (n, n)).undetermined(rank, symmetric=True)
    np.testing.assert_array_equal(found, same)
    if expected or lonely:
        assert found.size
    elif not core:
        assert not found.size


def test_rows_with_fewer_entries_than_the_rank():
    mask = np.ones((6, 7), dtype=bool)
    mask[2, 1:] = False
    mask[:, 5] = False
    op = ObservedEntries(*np.nonzero(mask), (6, 7))
    for rank, rows in ((1, []), (2, [2])):
        found = op.undetermined(rank)
        np.testing.assert_array_equal(found[0], rows)
        np.testing.assert_array_equal(found[1], [5])
    wide = ObservedEntries(op.cols, op.rows, (7, 6)).undetermined(2)
    np.testing.assert_array_equal(wide[0], [5])
    np.testing.assert_array_equal(wide[1], [2])


def row_and_column(shared: bool) -> tuple[np.ndarray, np.ndarray]:
    """All of a 7 x 7 matrix, but of the last row and column two entries each."""
    mask = np.ones((7, 7), dtype=bool)
    mask[6, :] = mask[:, 6] = False
    mask[6, [0, 6 if shared else 1]] = True
    mask[[0, 6 if shared else 1], 6] = True
    return np.nonzero(mask)


@pytest.mark.parametrize("shared", [True, False])
def test_a_row_and_a_column_that_share_one_of_their_last_entries(shared):
    """Each has as many entries as the rank, but together they have one too few."""
    rows, cols = row_and_column(shared)
    found = ObservedEntries(rows, cols, (7, 7)).undetermined(2)
    true = [np.flatnonzero(m) for m in moved(rows, cols, (7, 7), 2, False)]
    expected = [6] if shared else []
    for flags, moves in zip(found, true, strict=True):
        np.testing.assert_array_equal(flags, expected)
        assert set(expected) <= set(moves)
        assert bool(len(moves)) == shared


def test_a_second_look_determines_nothing():
    rows, cols = row_and_column(shared=True)
    twice = ObservedEntries(np.tile(rows, 3), np.tile(cols, 3), (7, 7))
    assert [list(found) for found in twice.undetermined(2)] == [[6], [6]]


def hanging(links: int) -> tuple[np.ndarray, np.ndarray]:
    """Two groups of five rows, each seen completely, and links between them."""
    mask = np.zeros((10, 10), dtype=bool)
    mask[:5, :5] = mask[5:, 5:] = True
    mask[range(links), range(5, 5 + links)] = True
    return np.nonzero(mask)


def test_a_group_that_hangs_on_fewer_others_than_the_rank_can_be_reflected():
    """Both solutions, built explicitly: every entry is the same, the matrix is not."""
    rng = np.random.default_rng(0)
    mask = np.ones((8, 8), dtype=bool)
    mask[:3, 4:] = mask[4:, :3] = False  # the two groups meet in row 3 alone
    rows, cols = np.nonzero(mask)
    U = rng.standard_normal((8, 2))
    pivot = U[3] / np.linalg.norm(U[3])
    mirror = 2.0 * np.outer(pivot, pivot) - np.eye(2)
    other = U.copy()
    other[4:] = U[4:] @ mirror
    op = ObservedEntries(rows, cols, (8, 8))
    np.testing.assert_allclose(op.forward(Factors(U)), op.forward(Factors(other)), atol=1e-12)
    assert np.abs(U @ U.T - other @ other.T).max() > 0.1
    found = op.undetermined(2, symmetric=True)[0]
    assert set(found) == {0, 1, 2}
    assert op.undetermined(1, symmetric=True)[0].size == 0


def test_a_row_of_rank_links_is_reflected_by_its_last_link_only():
    """Off the diagonal r entries with r rows determine a row linearly; r - 1 do not."""
    mask = np.ones((7, 7), dtype=bool)
    mask[6, :] = mask[:, 6] = False
    for links, expected in ((1, [6]), (2, [])):
        mask[6, :links] = True
        found = ObservedEntries(*np.nonzero(mask), (7, 7)).undetermined(2, symmetric=True)[0]
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("links", [1, 2, 3])
def test_groups_need_as_many_disjoint_links_as_the_rank(links):
    rows, cols = hanging(links)
    found = set(ObservedEntries(rows, cols, (10, 10)).undetermined(2, symmetric=True)[0])
    assert (found == set()) == (links >= 2)
    if links < 2:
        assert found >= {*range(1, 5)} or found >= {*range(6, 10)}


def test_core_is_the_largest_set_of_nodes_with_enough_links(rng):
    flat = rng.choice(80, 34, replace=False)
    pattern = Pattern(*np.divmod(flat, 8), (10, 8), symmetric=False)
    for least in (1, 2, 3):
        nodes = set(range(18))
        while True:
            links = [(a, b) for a, b in zip(pattern.a, pattern.b, strict=True) if {a, b} <= nodes]
            degree = {n: sum(n in link for link in links) for n in nodes}
            weak = {n for n in nodes if degree[n] < least}
            if not weak:
                break
            nodes -= weak
        expected = [{a, b} <= nodes for a, b in zip(pattern.a, pattern.b, strict=True)]
        inside = pattern.core(least)
        np.testing.assert_array_equal(inside, expected)
        assert set(np.flatnonzero(pattern.known_by(inside))) == (nodes if any(expected) else set())


@pytest.mark.parametrize("symmetric", [False, True])
def test_outwards_goes_layer_after_layer(symmetric):
    """A chain: each node is linked with the two before it."""
    n = 8
    rows = np.concatenate([np.arange(1, n), np.arange(2, n)])
    cols = np.concatenate([np.arange(n - 1), np.arange(n - 2)])
    pattern = Pattern(rows, cols, (n, n), symmetric)
    if not symmetric:
        known = np.zeros(2 * n, dtype=bool)
        known[:2] = known[n : n + 2] = True
        layers = list(pattern.outwards(known, 2))
        # Column entries lead to later rows only: columns never have two links to known rows
        # before both rows are known.
        order = [np.flatnonzero(ready).tolist() for ready, _ in layers]
        assert order[0] == [2]
        assert len({i for layer in order for i in layer}) == sum(map(len, order))
        return
    known = np.zeros(n, dtype=bool)
    known[:2] = True
    for expected, (ready, links) in enumerate(pattern.outwards(known, 2), start=2):
        assert np.flatnonzero(ready).tolist() == [expected]
        assert sorted(pattern.others[links]) == [expected - 2, expected - 1]
        assert set(pattern.mine[links]) == {expected}
    assert known.all()


def test_outwards_stops_where_nothing_more_can_be_told():
    pattern = Pattern(np.array([0, 1, 2]), np.array([0, 0, 1]), (3, 2), symmetric=False)
    known = np.array([True, False, False, False, False])
    layers = [np.flatnonzero(ready).tolist() for ready, _ in pattern.outwards(known, 1)]
    assert layers == [[3], [1]]
    np.testing.assert_array_equal(known, [True, True, False, True, False])


def test_diagonal_entries_link_nothing():
    pattern = Pattern(np.arange(4), np.arange(4), (4, 4), symmetric=True)
    assert not pattern.core(1).any()
    assert pattern.undetermined(1).all()


def with_hanging_row(rng: np.random.Generator, links: int, width: int = 2):
    """A core, and one row seen in a few entries."""
    truth = Factors(rng.standard_normal((9, width)), rng.standard_normal((8, width)))
    mask = np.ones((9, 8), dtype=bool)
    mask[8, links:] = False
    op = ObservedEntries(*np.nonzero(mask), (9, 8))
    return truth, op


def test_well_observed_of_an_operator(rng):
    _, op = with_hanging_row(rng, 2)
    assert op.well_observed(2) is None
    np.testing.assert_array_equal(op.well_observed(3), np.flatnonzero(op.rows < 8))
    assert op.well_observed(100) is None  # nothing would be left
    flags = np.zeros(sum(op.shape), dtype=bool)
    flags[[1, op.shape[0] + 2]] = True  # row 1 and column 2
    away = np.flatnonzero((op.rows != 1) & (op.cols != 2))
    np.testing.assert_array_equal(op.well_observed(0, without=flags), away)
    assert set(op.well_observed(3, without=flags)) <= set(away)
    assert op.well_observed(0, without=np.ones_like(flags)) is None


@pytest.mark.parametrize("links", [2, 3])
def test_estimate_rest_finds_an_exact_row_from_an_exact_core(rng, links):
    truth, op = with_hanging_row(rng, links)
    inside = op.well_observed(4)
    W = truth.W.copy()
    W[8] = 1e3
    found = op.estimate_rest(truth.with_stacked(W), op.forward(truth), inside, 0.0)
    np.testing.assert_allclose(found.to_dense(), truth.to_dense(), atol=1e-10)
    assert W[8, 0] == 1e3


def test_estimate_rest_shrinks_a_row_by_the_noise(rng):
    """The ridge is the noise's variance over that of the known rows, as least squares says."""
    truth, op = with_hanging_row(rng, 3)
    y = op.forward(truth)
    noise = 0.7
    found = op.estimate_rest(truth, y, op.well_observed(4), noise)
    known = np.delete(truth.W, 8, axis=0)
    ridge = noise**2 / np.mean(known**2)
    partners = truth.V[:3]
    expected = np.linalg.solve(
        partners.T @ partners + ridge * np.eye(2), partners.T @ y[op.rows == 8]
    )
    np.testing.assert_allclose(found.U[8], expected)
    np.testing.assert_array_equal(found.V, truth.V)


def test_estimate_rest_leaves_what_nothing_tells_at_zero(rng):
    truth, op = with_hanging_row(rng, 0)
    found = op.estimate_rest(truth, op.forward(truth), np.arange(op.size), 0.0)
    np.testing.assert_array_equal(found.U[8], 0.0)


@given(st.lists(st.integers(0, 30)))
def test_distinct_positions_are_sorted_and_there_once(flat):
    np.testing.assert_array_equal(distinct(np.array(flat, dtype=np.int64)), sorted(set(flat)))


@pytest.mark.parametrize("symmetric", [False, True])
def test_links_are_not_listed_from_both_ends(monkeypatch, symmetric):
    """They take 48 bytes an entry; only a regression along them needs that."""

    def refuse(pattern):
        raise AssertionError("links were listed")

    table = np.ones((7, 7), dtype=bool)
    table[0, 3:] = table[3:, 0] = table[0, 0] = False
    rows, cols = np.nonzero(table)
    pattern = Pattern(rows, cols, (7, 7), symmetric)
    for name in ("mine", "others", "entry"):
        monkeypatch.setattr(Pattern, name, property(refuse))
    most = 10 if symmetric else 6
    np.testing.assert_array_equal(pattern.core(most), (rows > 0) & (cols > 0))
    assert not pattern.core(20).any()
    assert pattern.distinct().a.size == table.sum()
    if not symmetric:
        assert not pattern.distinct().undetermined(2).any()
        np.testing.assert_array_equal(np.flatnonzero(pattern.undetermined(3)), [0, 7])

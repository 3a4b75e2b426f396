"""Consensus: rows against brute force over all subsets, and what is left as it is."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanrank import Factors
from leanrank.losses import Huber, Loss, StudentT
from leanrank.operators import DenseSensing, Measurement, ObservedEntries, Weighted
from leanrank.problem import Problem
from leanrank.search import consensus
from leanrank.search.consensus import agreed_rows

seeds = st.integers(0, 2**32 - 1)


def agreed(problem: Problem, factors: Factors, seed: int = 0) -> Factors:
    return agreed_rows(problem, problem.evaluate(factors), np.random.default_rng(seed))


def scattered(rng, shape, width, loss=None) -> tuple[Problem, Factors]:
    """Most entries in no order, weighted, some of them outliers; and factors that fit nothing."""
    rows, cols = np.nonzero(rng.random(shape) < 0.9)
    order = rng.permutation(rows.size)
    rows, cols = rows[order], cols[order]
    truth = Factors(*(rng.standard_normal((n, width)) for n in shape))
    y = truth.to_dense()[rows, cols] + 0.1 * rng.standard_normal(rows.size)
    y[rng.random(rows.size) < 0.2] += 10.0
    loss = StudentT(2.0, 0.3, rng.uniform(0.2, 5.0, rows.size)) if loss is None else loss
    other = Factors(*(rng.standard_normal((n, width)) for n in shape))
    return Problem(ObservedEntries(rows, cols, shape), y, loss=loss), other


def by_brute_force(op: ObservedEntries, y, loss: Loss, W: np.ndarray) -> np.ndarray:
    """V's rows and then U's, each the cheapest of all fits to as many entries as there are factors.

    Costs of all entries are summed up, those of other rows as well, in the dense residual.
    """
    W, (n1, k) = W.copy(), (op.shape[0], W.shape[1])
    rows, cols = op.rows, op.cols + n1

    def cost(i, fit):
        new = W.copy()
        new[i] = fit
        return np.sum(loss.value((new[:n1] @ new[n1:].T)[op.rows, op.cols] - y))

    for mine, others in ((cols, rows), (rows, cols)):
        for i in sorted(set(mine)):
            (seen,) = np.nonzero(mine == i)
            subsets = map(list, combinations(seen, k) if seen.size > k else ())
            fits = [W[i], *(np.linalg.solve(W[others[s]], y[s]) for s in subsets)]
            W[i] = min(fits, key=lambda fit: cost(i, fit))
    return W


@pytest.mark.parametrize(("width", "seed"), [(1, 0), (2, 1), (2, 2)])
def test_each_row_is_the_cheapest_fit_to_so_few_of_its_entries(monkeypatch, width, seed):
    monkeypatch.setattr(consensus, "_SUBSETS", 600)  # all fifteen pairs of six are among them
    problem, factors = scattered(np.random.default_rng(seed), (6, 5), width)
    expected = by_brute_force(problem.op, problem.y, problem.loss, factors.W)
    found = agreed(problem, factors)
    np.testing.assert_allclose(found.W, expected, rtol=1e-9)
    moved = np.any(found.W != factors.W, axis=1)
    assert 8 <= moved.sum() < moved.size  # what is there may be the cheapest


@given(seeds, st.integers(1, 3), st.sampled_from([None, Huber(0.3)]))
def test_the_loss_never_rises(seed, width, loss):
    problem, factors = scattered(np.random.default_rng(seed), (9, 8), width, loss)
    found = agreed(problem, factors, seed)
    assert problem.value(found) <= problem.value(factors) * (1 + 1e-12)
    assert found.W.dtype == factors.W.dtype
    np.testing.assert_array_equal(found.W, agreed(problem, factors, seed).W)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_row_that_follows_its_outlier_is_led_back(rng, scaled):
    truth = Factors(rng.standard_normal((20, 2)), rng.standard_normal((12, 2)))
    seen = np.ones((20, 12), dtype=bool)
    seen[4, 7:] = False  # seven entries, one of them wrong
    op: Measurement = ObservedEntries(*np.nonzero(seen), (20, 12))
    y = op.forward(truth)
    y[np.flatnonzero((op.rows == 4) & (op.cols == 3))] += 50.0
    if scaled:
        weights = rng.uniform(0.1, 9.0, op.size)
        op, y = Weighted(op, weights), np.sqrt(weights) * y
    follows = truth.U.copy()
    follows[4] = np.linalg.solve(truth.V[[3, 5]], truth.to_dense()[4, [3, 5]] + [50.0, 0.0])
    found = agreed(Problem(op, y, loss=StudentT(4.0, 1e-3)), Factors(follows, truth.V))
    np.testing.assert_allclose(found.to_dense(), truth.to_dense(), atol=1e-9)


@pytest.mark.parametrize(("seen", "mended"), [(2, False), (3, True)])
def test_a_row_of_no_more_entries_than_factors_stays(rng, seen, mended):
    truth = Factors(rng.standard_normal((9, 2)), rng.standard_normal((8, 2)))
    mask = np.ones((9, 8), dtype=bool)
    mask[4, seen:] = False
    op = ObservedEntries(*np.nonzero(mask), (9, 8))
    wild = truth.U.copy()
    wild[4] = [30.0, -40.0]
    problem = Problem(op, op.forward(truth), loss=StudentT(4.0, 1e-3))
    row = agreed(problem, Factors(wild, truth.V)).U[4]
    np.testing.assert_allclose(row, truth.U[4] if mended else wild[4], rtol=1e-9)


def test_rows_without_entries_stay(rng):
    truth = Factors(rng.standard_normal((6, 1)), rng.standard_normal((5, 1)))
    mask = np.ones((6, 5), dtype=bool)
    mask[2], mask[:, 4] = False, False
    op = ObservedEntries(*np.nonzero(mask), (6, 5))
    other = truth.with_stacked(truth.W + 1.0)
    found = agreed(Problem(op, op.forward(truth), loss=Huber(0.1)), other)
    assert (found.U[2], found.V[4]) == (other.U[2], other.V[4])


def test_where_there_are_no_rows_of_entries_nothing_changes(rng):
    f, loss = Factors(rng.standard_normal((4, 1)), rng.standard_normal((4, 1))), Huber(0.1)
    op = ObservedEntries(*np.nonzero(np.ones((4, 4))), (4, 4))
    dense = DenseSensing(rng.standard_normal((20, 4, 4)))
    for problem, factors in (
        (Problem(dense, np.ones(20), loss=loss), f),
        (Problem(op, np.ones(16), loss=loss), Factors(f.U)),
        (Problem(op, np.ones(16), loss=loss), Factors.empty((4, 4))),
    ):
        assert agreed(problem, factors) is factors


@given(seeds)
def test_elemental_fits_go_through_as_many_entries_as_there_are_factors(seed):
    rng = np.random.default_rng(seed)
    design, y = rng.standard_normal((5, 2)), rng.standard_normal(5)
    fits = consensus._elemental(design, y, rng)
    # Where a fifth are outliers, one of so many subsets of eight is clean in all but one of 10,000.
    assert (1.0 - 0.8**8) ** len(fits) < 1e-4
    residuals = np.abs(fits @ design.T - y)
    scale = np.linalg.norm(fits, axis=1)[:, None] + 1.0
    hit = residuals < 1e-9 * scale
    assert np.all(hit.sum(axis=1) == 2)
    assert len(np.unique(hit, axis=0)) >= 9  # of ten pairs


@pytest.mark.parametrize(("condition", "sound"), [(0.9e6, True), (1.1e6, False)])
def test_subsets_that_hardly_determine_a_fit_are_left_out(rng, condition, sound):
    # Two pairs of the three are singular.
    design = np.array([[condition, 0.0], [0.0, 1.0], [0.0, 0.0]])
    fits = consensus._elemental(design, np.array([condition, 2.0, 3.0]), rng)
    assert fits.shape[1] == 2
    assert (len(fits) > 0) is sound
    np.testing.assert_allclose(fits, np.broadcast_to([1.0, 2.0], fits.shape), rtol=1e-12)

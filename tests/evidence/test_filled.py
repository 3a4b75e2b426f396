"""Entries that nobody observed: noise that reaches them, and holes that it does not explain."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leanrank import Factors, Ridge, Status, check_certificate, recover, simulate
from leanrank.evidence.filled import (
    Block,
    _missed,
    _ratio,
    different,
    filled_error,
    largest_hole,
    left_out_error,
    observed_entries,
)
from leanrank.evidence.joining import apart
from leanrank.evidence.sensitivity import noise_deviation, sensitivity
from leanrank.operators import Centred, ObservedEntries
from leanrank.policy import EvidencePolicy
from leanrank.problem import Problem
from leanrank.solvers import GaussNewton, solve

POLICY = EvidencePolicy()


def seen_where(mask: np.ndarray) -> ObservedEntries:
    return ObservedEntries(*np.nonzero(mask), mask.shape)


def with_hole(shape: tuple[int, int], block: Block, share: float = 1.0) -> np.ndarray:
    mask = np.random.default_rng(0).random(shape) < share
    mask[block.top : block.bottom, block.left : block.right] = False
    return mask


# --- what was observed --------------------------------------------------------------------------


def test_each_entry_is_seen_once():
    op = ObservedEntries([0, 0, 1, 1, 2], [1, 1, 0, 2, 2], (3, 3))
    general, symmetric = observed_entries(op, False), observed_entries(op, True)
    assert list(zip(general.rows, general.cols, strict=True)) == [(0, 1), (1, 0), (1, 2), (2, 2)]
    expected = [(0, 1), (1, 0), (1, 2), (2, 1), (2, 2)]
    assert list(zip(symmetric.rows, symmetric.cols, strict=True)) == expected
    assert different(general, False) == 4
    assert different(symmetric, True) == 3
    assert observed_entries(Centred(op), False).size == 4


def test_only_entries_can_be_filled_in(make):
    instance = make(noise=0.05, random_state=0)
    certificate = check_certificate(instance.op, instance.y, instance.truth)
    entries = isinstance(instance.op, ObservedEntries)
    assert (certificate.filled_error is None) != entries
    assert ("none filled in" in str(certificate)) != entries


def test_where_all_was_observed_nothing_is_filled_in(rng):
    op = seen_where(np.ones((5, 4), dtype=bool))
    truth = Factors(rng.standard_normal((5, 1)), rng.standard_normal((4, 1)))
    assert check_certificate(op, op.forward(truth), truth).filled_error is None


# --- noise --------------------------------------------------------------------------------------


@pytest.mark.parametrize("symmetric", [False, True])
def test_noise_in_hidden_entries_is_that_of_the_full_information(symmetric, jacobian):
    """The root of the sum of sigma^2 a^T (J^T J)^+ a over them, of expectation, not of one draw."""
    shape = (14, 14) if symmetric else (14, 12)
    mask = np.random.default_rng(3).random(shape) < 0.7
    op = seen_where(mask)
    rng = np.random.default_rng(0)
    U, V = rng.standard_normal((14, 2)), rng.standard_normal((shape[1], 2))
    factors = (Factors(U) if symmetric else Factors(U, V)).balance()
    problem = Problem(op, op.forward(factors) + 0.01 * rng.standard_normal(op.size))
    point, tangent = problem.linearise(factors)
    found = sensitivity(problem, point, tangent, rng, 200)
    J = jacobian(op, factors)
    D = jacobian(seen_where(np.ones(shape, dtype=bool)), factors)
    inverse = np.linalg.pinv(J.T @ J, rcond=1e-12, hermitian=True)
    variances = np.einsum("ij,jk,ik->i", D, inverse, D).reshape(shape)
    hidden = ~(mask | mask.T) if symmetric else ~mask
    X = factors.to_dense()
    expected = noise_deviation(problem, point) * math.sqrt(variances[hidden].sum())
    expected /= np.linalg.norm(X[hidden])
    error = filled_error(
        problem,
        point,
        observed_entries(problem.op, factors.symmetric),
        found.changes,
        False,
        POLICY,
        rng,
    ).error
    assert error == pytest.approx(expected, rel=0.2)


def test_error_of_filled_entries_is_that_of_refits(fitted):
    errors, estimates = [], []
    for seed in range(8):
        instance = simulate.matrix_completion(
            (20, 18), 2, fraction=0.5, noise=0.02, random_state=seed
        )
        hidden = np.ones((20, 18), dtype=bool)
        hidden[instance.op.rows, instance.op.cols] = False
        factors, X = fitted(instance), instance.truth.to_dense()
        errors.append(np.linalg.norm((factors.to_dense() - X)[hidden]) / np.linalg.norm(X[hidden]))
        estimates.append(check_certificate(instance.op, instance.y, factors).filled_error)
    ratio = math.sqrt(np.mean(np.square(errors)) / np.mean(np.square(estimates)))
    assert 1 / 1.5 < ratio < 1.5


def test_an_error_of_nothing_is_infinite_unless_there_is_none():
    assert [_ratio(4.0, 1.0), _ratio(0.0, 1.0), _ratio(0.0, 0.0)] == [2.0, 0.0, 0.0]
    assert _ratio(1e-300, 0.0) == math.inf


def test_without_a_bound_there_is_none(rng):
    op = seen_where(with_hole((8, 8), Block(0, 2, 0, 2)))
    problem = Problem(op, rng.standard_normal(op.size))
    point = problem.evaluate(Factors(rng.standard_normal((8, 1)), rng.standard_normal((8, 1))))
    assert (
        filled_error(
            problem, point, observed_entries(problem.op, False), None, False, POLICY, rng
        ).error
        == math.inf
    )


# --- holes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "block", "share"),
    [
        ((40, 50), Block(10, 20, 30, 42), 1.0),
        ((40, 50), Block(0, 16, 34, 50), 0.5),
        ((60, 30), Block(55, 60, 0, 9), 0.9),
        ((600, 500), Block(203, 251, 101, 160), 0.1),
        ((10, 200), Block(4, 6, 70, 130), 0.5),
        ((200, 10), Block(70, 130, 4, 6), 0.5),
    ],
)
def test_a_hole_is_found_whole(shape, block, share):
    found = largest_hole(seen_where(with_hole(shape, block, share)), POLICY)
    assert found.top <= block.top
    assert found.bottom >= block.bottom
    assert found.left <= block.left
    assert found.right >= block.right
    assert found.size <= 1.5 * block.size


@pytest.mark.parametrize(("share", "found"), [(0.98, True), (1.02, False)])
def test_a_hole_is_one_if_chance_explains_it_less_often_than_is_allowed(share, found):
    """Of about (n1 n2)^2 / 4 blocks, each is empty with probability exp(-s)."""
    block = Block(3, 8, 5, 10)
    op = seen_where(with_hole((20, 24), block))
    # Observed with a chance of p_i q_j / p: of five of the rows, the columns and the matrix.
    chance = (19 / 24) * (15 / 20) / (1.0 - 25 / 480)
    surprise = -25 * math.log(1.0 - chance)
    blocks = (20 * 24) ** 2 / 4
    policy = EvidencePolicy(hole_chance=blocks * math.exp(-share * surprise))
    assert largest_hole(op, policy) == (block if found else None)


def test_gaps_of_chance_are_no_hole():
    rng = np.random.default_rng(0)
    for _ in range(100):
        mask = rng.random(rng.integers(6, 40, 2)) < rng.uniform(0.1, 0.9)
        # Rows and columns of their own density do not make one either.
        mask &= rng.random((mask.shape[0], 1)) > 0.3
        if mask.any():
            assert largest_hole(seen_where(mask), POLICY) is None
    assert largest_hole(seen_where(np.ones((30, 30), dtype=bool)), POLICY) is None


def test_the_largest_of_two_holes():
    mask = with_hole((40, 40), Block(0, 8, 0, 8))
    mask[20:35, 20:35] = False
    assert largest_hole(seen_where(mask), POLICY) == Block(20, 35, 20, 35)


def test_blocks(rng):
    block = Block(1, 3, 2, 5)
    X = rng.standard_normal((4, 2)) @ rng.standard_normal((2, 6))
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    assert block.size == 6
    assert block.square(Factors(U * s, Vt.T)) == pytest.approx(np.sum(X[1:3, 2:5] ** 2))
    rows, cols = np.array([0, 1, 2, 3, 1]), np.array([2, 2, 4, 2, 5])
    assert block.contains(rows, cols).tolist() == [False, True, True, False, False]


def picture(n1: int, n2: int, seed: int) -> np.ndarray:
    """Discs and rectangles, one over another: of low rank only approximately."""
    rng = np.random.default_rng(seed)
    i, j = np.indices((n1, n2))
    X = np.full((n1, n2), 0.5)
    for k in range(14):
        a = (i - rng.uniform(0, n1)) / rng.uniform(0.1 * n1, 0.4 * n1)
        b = (j - rng.uniform(0, n2)) / rng.uniform(0.1 * n2, 0.4 * n2)
        inside = a * a + b * b < 1 if k % 2 else np.maximum(abs(a), abs(b)) < 1
        X[inside] = rng.uniform(0.0, 1.0) + 0.2 * a[inside]
    return X


@pytest.mark.parametrize("seed", range(3))
def test_a_block_that_is_missing_from_a_picture_is_not_certified(seed):
    X = picture(60, 80, seed)
    hidden = ~with_hole(X.shape, Block(20, 37, 30, 53))
    op = seen_where(~hidden)
    result = recover(op, X[~hidden], rank=5)
    assert not result
    assert "one block of which nothing was" in result.message
    # Without shrinkage, which makes the error smaller, and no smaller estimate of it.
    problem = Problem(op, X[~hidden])
    plain = solve(GaussNewton(), problem, result.factors, max_iter=200).factors
    true = np.linalg.norm((plain.to_dense() - X)[hidden]) / np.linalg.norm(X[hidden])
    assert true > 0.1
    assert check_certificate(op, problem.y, plain).filled_error > min(true, 1.0) / 3


def test_blocks_left_out_show_what_noise_does_not():
    """The best matrix of rank two of a picture: its residual is structure, not noise."""
    X, block = picture(40, 40, 0), Block(10, 22, 12, 24)
    op = seen_where(with_hole(X.shape, block))
    y = X[op.rows, op.cols]
    result = recover(op, y, rank=2)
    problem = Problem(op, y)
    point = problem.evaluate(result.factors.balance())
    error = math.sqrt(left_out_error(problem, point, block, POLICY, np.random.default_rng(0)))
    residual = math.sqrt(point.loss)
    assert error > residual
    noise = np.random.default_rng(0).standard_normal(op.size) * residual
    of_noise = Problem(op, result.factors.entries(op.rows, op.cols) + noise)
    again = of_noise.evaluate(recover(op, of_noise.y, rank=2).factors.balance())
    square = left_out_error(of_noise, again, block, POLICY, np.random.default_rng(0))
    assert math.sqrt(square) < 0.7 * residual


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("strength", [0.0, 0.05])
def test_blocks_are_told_by_one_step_of_ridge_regression_on_the_rest(
    symmetric, strength, jacobian, rng
):
    shape = (14, 14) if symmetric else (14, 12)
    op = seen_where(rng.random(shape) < 0.8)
    U, V = rng.standard_normal((14, 2)), rng.standard_normal((shape[1], 2))
    factors = (Factors(U) if symmetric else Factors(U, V)).balance()
    # A direction is missing, so that what is left out is told badly.
    y = op.forward(factors) + op.forward(Factors(np.ones((14, 1)), np.ones((shape[1], 1))))
    problem = Problem(op, y, Ridge(strength) if strength else None)
    point, J = problem.evaluate(factors), jacobian(op, factors)
    # The mean square and the ridge, times the number of all measurements.
    ridge, W = strength * op.size, factors.W.ravel()
    for _ in range(6):
        top, left = rng.integers(14 - 4 + 1), rng.integers(shape[1] - 3 + 1)
        block = np.zeros(shape, dtype=bool)
        block[top : top + 4, left : left + 3] = True
        out = (block | block.T if symmetric else block)[op.rows, op.cols]
        A, r = J[~out], point.residual[~out]
        gram = A.T @ A + ridge * np.eye(W.size)
        Z = -np.linalg.lstsq(gram, A.T @ r + ridge * W, rcond=1e-12)[0]
        expected = np.mean((point.residual[out] + J[out] @ Z) ** 2)
        assert expected > 0.01
        assert _missed(problem, factors, out) == pytest.approx(expected, rel=0.02)
    whole = Block(0, 14, 0, shape[1])
    assert left_out_error(problem, point, whole, POLICY, np.random.default_rng(3)) == math.inf


def test_a_hole_in_exact_data_is_certified():
    block, rng = Block(4, 14, 5, 15), np.random.default_rng(0)
    op = seen_where(with_hole((30, 30), block))
    truth = Factors(rng.standard_normal((30, 2)), rng.standard_normal((30, 2)))
    result = recover(op, op.forward(truth))
    assert result
    assert result.certificate.filled_error < 1e-10


def test_a_symmetric_block_is_left_out_on_both_sides():
    """Or each entry would be told by its mirror image, though rank five follows the noise."""
    rng = np.random.default_rng(1)
    X = Factors(rng.standard_normal((20, 2))).to_dense()
    noise = 0.1 * rng.standard_normal((20, 20))
    X = X + (noise + noise.T) / 2
    block = Block(0, 6, 14, 20)
    mask = with_hole(X.shape, block) & with_hole(X.shape, block).T
    op = seen_where(mask)
    problem = Problem(op, X[mask])
    point = problem.evaluate(recover(op, X[mask], rank=5, symmetric=True).factors.balance())
    found = [
        left_out_error(problem, point, block, POLICY, np.random.default_rng(seed))
        for seed in range(5)
    ]
    assert np.median(found) > noise_deviation(problem, point) ** 2


@pytest.mark.parametrize(
    ("block", "size"),
    [(Block(2, 5, 3, 7), 20), (Block(0, 3, 5, 9), 24), (Block(1, 4, 1, 4), 9)],
)
def test_a_block_and_its_mirror_image(block, size):
    flags = np.zeros((9, 9), dtype=bool)
    flags[block.top : block.bottom, block.left : block.right] = True
    assert block.size_with_mirror(False) == flags.sum()
    assert block.size_with_mirror(True) == (flags | flags.T).sum() == size


def test_what_is_missed_in_a_hole_is_part_of_the_error():
    """A hole may hold nearly all of the error, of which the noise knows nothing."""
    X, block = picture(40, 40, 0), Block(10, 22, 12, 24)
    op = seen_where(with_hole(X.shape, block))
    problem = Problem(op, X[op.rows, op.cols])
    shrunk = recover(op, problem.y, rank=4).factors
    found = solve(GaussNewton(), problem, shrunk, max_iter=200).factors.balance()
    point, tangent = problem.linearise(found)
    noise = sensitivity(problem, point, tangent, np.random.default_rng(0), 4).error
    size = np.linalg.norm(X)
    true = np.linalg.norm(found.to_dense() - X) / size
    assert noise / size < true / 2
    c = check_certificate(op, problem.y, found)
    assert true / 3 < c.error_estimate < 3 * true
    # As nothing else is hidden, the error there is no larger than that of the whole.
    inside = c.filled_error * math.sqrt(block.square(found))
    assert noise < inside < c.error_estimate * found.norm()


# --- what nothing tells -------------------------------------------------------------------------


def two_blocks(rng: np.random.Generator, joined: int) -> tuple[ObservedEntries, np.ndarray]:
    """A matrix of rank two, half of it seen in two blocks, and so many entries that join them."""
    mask = np.zeros((60, 50), dtype=bool)
    mask[:30, :25] = rng.random((30, 25)) < 0.6
    mask[30:, 25:] = rng.random((30, 25)) < 0.6
    mask[rng.integers(0, 30, joined), rng.integers(25, 50, joined)] = True
    X = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 50))
    op = seen_where(mask)
    return op, X[mask] + 0.3 * rng.standard_normal(op.size)


def test_blocks_that_nothing_joins_do_not_count_as_predicted(rng):
    op, y = two_blocks(rng, 0)
    result = recover(op, y)
    assert result.status is Status.STALLED
    found = result.certificate.prediction
    assert found.error < 0.6 < found.baseline  # what was held out is predicted, in each block
    assert found.apart == apart(op)
    assert found.apart > 0.5
    assert "no chain of measurements joins" in result.message
    assert recover(*two_blocks(rng, 200)).certificate.prediction.apart == 0.0


def test_blocks_that_too_few_entries_join_do_not_count_as_predicted():
    """Two entries fix two of the four numbers that are open between blocks of rank two."""
    result = recover(*two_blocks(np.random.default_rng(0), 2))
    found = result.certificate.prediction
    assert result.status is Status.STALLED
    assert found.error < 0.6 < found.baseline
    assert found.apart > 0.5
    assert "or too few of them" in result.message


def test_a_hole_does_not_count_as_predicted():
    block = Block(5, 45, 10, 45)
    rng = np.random.default_rng(3)
    mask = with_hole((80, 60), block, 0.7)
    X = rng.standard_normal((80, 2)) @ rng.standard_normal((2, 60))
    result = recover(seen_where(mask), X[mask] + 0.6 * rng.standard_normal(mask.sum()))
    found = result.certificate.prediction
    assert result.status is not Status.APPROXIMATE
    expected = block.size / np.sum(~mask)
    assert found.in_hole == pytest.approx(expected, rel=0.15)  # it may have grown at its sides
    assert "in one block of which nothing was observed" in result.message

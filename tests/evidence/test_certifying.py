"""What the rules are told of an answer, and the relative error on other measurements."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leanrank import Factors, check_certificate, simulate
from leanrank.evidence import certifying
from leanrank.evidence.certifying import certify, relative_error_on
from leanrank.evidence.structure import explained_of_noise, opposed_share
from leanrank.factors import degrees_of_freedom
from leanrank.losses import Huber, Squared, StudentT
from leanrank.operators import FullObservation, ObservedEntries
from leanrank.policy import EvidencePolicy
from leanrank.problem import Problem


@pytest.fixture
def told(monkeypatch):
    """The facts that rules get for an answer, and the draws of noise that were asked for."""
    seen = {}
    judge, sensitivity = certifying.judge, certifying.sensitivity

    def judged(facts, policy):
        seen["facts"] = facts
        return judge(facts, policy)

    def drawn(problem, point, tangent, rng, draws):
        seen["draws"] = draws
        return sensitivity(problem, point, tangent, rng, draws)

    monkeypatch.setattr(certifying, "judge", judged)
    monkeypatch.setattr(certifying, "sensitivity", drawn)

    def tell(op, y, factors):
        seen.clear()
        certificate = check_certificate(op, y, factors)
        return certificate, seen["facts"], seen.get("draws")

    return tell


def test_of_a_noisy_answer(told):
    instance = simulate.dense_sensing((7, 6), 2, m=90, noise=0.1, random_state=0)
    certificate, facts, draws = told(instance.op, instance.y, instance.truth)
    assert (facts.exact, facts.symmetric, facts.full_rank, draws) == (False, False, False, 4)
    assert (facts.wider, facts.distinct) == (degrees_of_freedom((7, 6), 3), 90)
    assert (facts.opposed, facts.strain, facts.held_by) == (0.0, 0.0, math.inf)
    assert 1.0 < facts.missed < 2.0
    assert facts.rounding == 1e-6
    assert (facts.rows.size, facts.cols.size) == (0, 0)
    assert certificate.degrees_of_freedom == degrees_of_freedom((7, 6), 2)
    s = np.asarray(instance.truth.singular_values())
    assert certificate.condition_number == pytest.approx(s[0] / s[1])


def test_of_an_exact_answer(told):
    instance = simulate.dense_sensing(8, 2, m=70, symmetric=True, random_state=0)
    certificate, facts, draws = told(instance.op, instance.y, instance.truth)
    assert (facts.exact, facts.symmetric, facts.opposed, draws) == (True, True, 0.0, 1)
    assert certificate.noise_gap == 0.0
    assert certificate.holds


def test_of_nothing(told):
    instance = simulate.dense_sensing((7, 6), 2, m=90, noise=0.1, random_state=0)
    certificate, facts, draws = told(instance.op, instance.y, Factors.empty((7, 6)))
    assert draws is None
    assert (facts.strain, facts.held_by, facts.missed) == (0.0, math.inf, math.inf)
    assert (facts.rows.size, facts.cols.size, facts.wider) == (0, 0, 12)
    assert (certificate.rank, certificate.condition_number) == (0, 1.0)
    assert (certificate.active_curvature, certificate.identifiability) == (0.0, 1.0)
    assert certificate.error_estimate == math.inf
    assert certificate.filled_error is None


@pytest.mark.parametrize(("m", "asked"), [(70, True), (16, True), (15, False)])
def test_opposition_is_told_in_what_noise_would_explain(told, m, asked):
    # Rank two of order eight has 15 degrees of freedom, rank three has 21.
    instance = simulate.dense_sensing(8, 2, m=m, symmetric=True, noise=0.3, random_state=0)
    _, facts, _ = told(instance.op, instance.y, instance.truth)
    problem = Problem(instance.op, instance.y)
    share = opposed_share(problem, problem.evaluate(instance.truth), np.random.default_rng(0))
    noise = explained_of_noise(6, m - 15, EvidencePolicy())
    assert facts.opposed == pytest.approx(share / noise if asked else 0.0, rel=1e-6)
    assert (facts.opposed > 0) == asked


def test_rows_that_are_not_determined_and_entries_seen_twice_are_told(told, rng):
    mask = np.ones((8, 8), dtype=bool)
    mask[7, 1:] = False
    rows, cols = np.nonzero(mask)
    op = ObservedEntries(np.append(rows, 0), np.append(cols, 0), (8, 8))
    truth = Factors(rng.standard_normal((8, 2)), rng.standard_normal((8, 2)))
    y = op.forward(truth) + 0.01 * rng.standard_normal(op.size)
    _, facts, _ = told(op, y, truth)
    assert facts.rows.tolist() == [7]
    assert (op.size, facts.distinct) == (58, 57)


def test_the_scale_of_a_robust_loss_is_that_of_the_answer(rng):
    instance = simulate.dense_sensing((7, 6), 2, m=120, noise=0.1, random_state=0)
    y = instance.y + np.where(rng.random(120) < 0.05, 20.0, 0.0)
    problem = Problem(instance.op, y, loss=Huber())
    fitted = problem.refitted(problem.evaluate(instance.truth))
    assert fitted.loss != problem.loss
    one, other = (
        certifying.certify(own, instance.truth, np.random.default_rng(0))
        for own in (problem, fitted)
    )
    assert one == other
    # Of the zero matrix the scale would be another one.
    assert problem.evaluate(instance.truth).value != fitted.evaluate(instance.truth).value


@pytest.mark.parametrize("size", [0.1, 10.0])
@pytest.mark.parametrize("outliers", [0, 5])
def test_a_robust_gradient_is_about_as_large_as_that_of_squares_without_outliers(size, outliers):
    instance = simulate.dense_sensing((7, 6), 2, m=800, noise=0.05, random_state=0)
    y, near = size * instance.y, instance.truth.scaled(1.04 * size)
    squares = Problem(instance.op, y)
    y = y.copy()
    y[:outliers] += 1e6 * size  # nearly all of the zero matrix's own loss
    robust = Problem(instance.op, y, loss=StudentT())
    robust = robust.refitted(robust.evaluate(near))
    expected, found = (
        certifying._relative_gradient(p, p.evaluate(near)) for p in (squares, robust)
    )
    assert found == pytest.approx(expected, rel=0.5)


@pytest.mark.parametrize(("rank", "full"), [(3, False), (4, True), (5, True)])
def test_as_many_columns_as_the_shorter_side_are_full_rank(told, rng, rank, full):
    op = FullObservation((6, 4))
    truth = Factors(rng.standard_normal((6, rank)), rng.standard_normal((4, rank)))
    _, facts, _ = told(op, op.forward(truth) + 0.1 * rng.standard_normal(24), truth)
    assert facts.full_rank is full


def test_an_error_on_measurements_is_relative_to_them(rng):
    op = FullObservation((3, 2))
    one = Factors(np.ones((3, 1)), np.ones((2, 1)))
    y = np.full((3, 2), 4.0)
    assert relative_error_on(op, y, one) == pytest.approx(0.75)
    assert relative_error_on(op, np.zeros((3, 2)), one) == math.inf
    assert relative_error_on(op, np.zeros((3, 2)), Factors.empty((3, 2))) == 0.0


def seen_in_part(rng, counts, *, symmetric=False) -> tuple[ObservedEntries, Factors]:
    """Rank two of order twelve; of the last row, only so many entries as told, from the left."""
    mask = np.ones((12, 12), dtype=bool)
    mask[11, counts:] = False
    if symmetric:
        mask &= mask.T
    U, V = rng.standard_normal((2, 12, 2))
    truth = Factors(U) if symmetric else Factors(U, V)
    return ObservedEntries(*np.nonzero(mask), (12, 12)), truth


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(
    ("loss", "counts", "found"),
    [
        (Squared(), 2, []),  # as many as the rank
        (Squared(), 1, [11]),
        (Huber(0.1), 5, []),  # more than twice the rank
        (Huber(0.1), 4, [11]),
        (StudentT(4.0, 0.1), 5, []),
        (StudentT(4.0, 0.1), 4, [11]),
    ],
)
def test_where_outliers_may_be_more_than_twice_the_rank_hold_a_row(
    rng, loss, counts, found, symmetric
):
    op, truth = seen_in_part(rng, counts, symmetric=symmetric)
    problem = Problem(op, op.forward(truth), loss=loss)
    rows, cols = certifying._undetermined(problem, problem.evaluate(truth))
    assert (rows.tolist(), cols.tolist()) == (found, found if symmetric else [])


@pytest.mark.parametrize(
    ("loss", "half"),
    [
        (Huber(0.1), 0.2),  # pulled at by a fixed force, half of what a square would have there
        (StudentT(4.0, 0.1), 0.2),
        (StudentT(4.0, 0.1, np.linspace(0.5, 3.0, 137)), 0.2),
    ],
)
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_measurements_that_count_for_less_than_half_hold_nothing(rng, loss, half, sign):
    op, truth = seen_in_part(rng, 5)
    (last,) = np.nonzero((op.rows == 11) & (op.cols == 4))
    for share, found in ((0.99, []), (1.01, [11])):
        y = op.forward(truth)
        root = 1.0 if loss.weights is None else np.sqrt(loss.weights[last])
        y[last] += sign * share * half / root
        problem = Problem(op, y, loss=loss)
        rows, cols = certifying._undetermined(problem, problem.evaluate(truth))
        assert (rows.tolist(), cols.tolist()) == (found, [])


def test_where_no_measurement_agrees_nothing_is_determined(rng):
    op, truth = seen_in_part(rng, 12)
    problem = Problem(op, op.forward(truth) + 1.0, loss=Huber(0.1))
    rows, cols = certifying._undetermined(problem, problem.evaluate(truth))
    assert rows.tolist() == cols.tolist() == list(range(12))
    nothing = problem.evaluate(Factors.empty((12, 12)))
    assert [found.size for found in certifying._undetermined(problem, nothing)] == [0, 0]


def test_columns_too_small_for_a_product_are_no_rank():
    """Pure noise at a known rank leaves such means; their norm is zero."""
    tiny = Factors(np.ones((6, 1)), np.full((5, 1), 1e-170))
    op = FullObservation((6, 5))
    y = np.random.default_rng(0).standard_normal(30)
    certificate = certify(Problem(op, y), tiny, np.random.default_rng(0))
    assert certificate.rank == 0
    assert not certificate.holds

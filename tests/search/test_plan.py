"""The plan: what each of its steps is given, and what it says in the end."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from leanrank import Factors, Ridge, Status, recover, simulate
from leanrank.evidence import Prediction, certify
from leanrank.losses import Huber, Squared, StudentT
from leanrank.operators import FullObservation, ObservedEntries
from leanrank.problem import Problem
from leanrank.search import Fitter, GrowAndPenalise, Monitor, Paths, Plan, ending, plan
from leanrank.search.consensus import agreed_rows
from leanrank.search.ending import Ending
from leanrank.solvers import GaussNewton


def plan_of(instance, *, scale=1.0, loss=None, max_width=4, **options) -> Plan:
    problem = Problem(instance.op, instance.y / scale, loss=loss)
    own = Fitter(GaussNewton(), np.random.default_rng(0), Monitor(scale=scale))
    paths = Paths(problem, False, max_width, GrowAndPenalise(), own)
    usual = {"rank": None, "penalty": None, "validation": None, "max_iter": 50}
    return Plan(paths, scale, **(usual | options))


@pytest.fixture
def noisy() -> simulate.Instance:
    return simulate.dense_sensing((12, 9), 2, m=200, noise=0.1, random_state=0)


def test_a_twentieth_is_held_out_or_the_share_that_is_asked_for(noisy):
    assert plan_of(noisy)._held_out().held.op.size == 10
    data = plan_of(noisy, validation=0.3)._held_out()
    assert (data.held.op.size, data.train.op.size) == (60, 140)


def test_measurements_of_ones_own_are_in_the_units_of_y_and_unweighted(noisy):
    other = simulate.dense_sensing((12, 9), 2, m=30, random_state=1)
    weights = np.linspace(1.0, 2.0, 200)
    own = plan_of(noisy, scale=4.0, loss=Squared(weights), validation=(other.op, other.y))
    data = own._held_out()
    assert data.train is own.problem
    assert data.held.op is other.op
    np.testing.assert_array_equal(data.held.y, other.y / 4.0)
    assert data.held.loss.weights is None


def test_exploring_tries_one_column_at_least(noisy):
    few = replace(noisy, op=noisy.op.subset(np.arange(18)), y=noisy.y[:18])
    own = plan_of(few)
    data = own._held_out()
    assert own.paths.widest(data.train) == 0
    assert [stage.width for stage in own._explored(data)] == [0, 1]


def certified(monkeypatch, holding):
    """Plans certify nothing; answers hold if their width is among those told."""
    asked = []

    def certify(self, problem, factors, held_out_error, prediction=None):
        asked.append((factors.width, held_out_error))
        status = Status.CONVERGED if factors.width in holding else Status.STALLED
        return SimpleNamespace(rank=factors.width, status=status)

    monkeypatch.setattr(Ending, "certified", certify)
    return asked


@pytest.mark.parametrize(
    ("holding", "lower", "rank", "asked"),
    [
        ({3}, 2, 3, [(3, 0.1)]),
        ({2}, 2, 2, [(3, 0.1), (2, None)]),
        (set(), 2, 3, [(3, 0.1), (2, None)]),
        (set(), None, 3, [(3, 0.1)]),
    ],
)
def test_of_a_loose_exact_fit_a_lower_one_is_looked_for(
    noisy, monkeypatch, holding, lower, rank, asked
):
    wide = Factors(np.eye(12, 4), np.eye(9, 4))
    narrow = {k: Factors(np.eye(12, k), np.eye(9, k)) for k in (2, 3)}
    seen = certified(monkeypatch, holding)
    monkeypatch.setattr(plan, "least_rank", lambda problem, factors, fitter: narrow[3])

    def lower_fit(paths, stages, least):
        assert (stages, least) == (["stages"], 3)
        return None if lower is None else narrow[lower]

    monkeypatch.setattr(plan, "lower_exact_fit", lower_fit)
    assert plan_of(noisy)._of_least_rank(wide, 0.1, ["stages"]).rank == rank
    assert seen == asked


def test_under_a_penalty_that_empties_nothing_only_rounding_is_pruned(noisy, monkeypatch):
    norms = np.array([4.0, 1.0, 4.04e-6, 3.96e-6])
    W = np.eye(21, 4) * norms
    left = Factors(W[:12], W[12:])
    asked = []

    def fit(self, problem, factors, phase, **options):
        asked.append((phase, problem.penalty, factors.width, self.solver, options))
        return SimpleNamespace(factors=left)

    monkeypatch.setattr(Fitter, "fit", fit)
    own = plan_of(noisy, scale=4.0, penalty=Ridge(0.1))
    assert own._penalised(Ridge(0.1)).width == 3
    ((phase, penalty, width, solver, options),) = asked
    assert (phase, penalty, width) == ("penalise", Ridge(0.1).scaled(0.25), 4)
    assert (solver.damping, solver.forcing, solver.balance) == (0.1, 0.1, False)
    assert options == {"progress": 1.0 - 1e-6, "max_iter": 50}


def test_a_penalised_start_is_widened_to_the_width(noisy, monkeypatch):
    widths = []

    def fit(self, problem, factors, phase, **options):
        widths.append(factors.width)
        return SimpleNamespace(factors=factors)

    monkeypatch.setattr(Fitter, "fit", fit)
    own = plan_of(noisy)
    start = Factors(np.eye(12, 1), np.eye(9, 1))
    for begin in (None, start):
        replace(own, paths=replace(own.paths, start=begin))._penalised(Ridge(1e-6))
    assert widths == [4, 4]


@pytest.mark.parametrize("width", [0, 2])
def test_the_last_fit_is_settled_and_limited(noisy, monkeypatch, width):
    asked = []
    own = plan_of(noisy, max_iter=7)
    seen = certified(monkeypatch, {0, 2})

    def fit(self, problem, factors, phase, **options):
        asked.append((problem, phase, options))
        return SimpleNamespace(factors=factors)

    monkeypatch.setattr(Fitter, "fit", fit)
    own.ending.refitted(plan.Choice(Factors(np.eye(12, width), np.eye(9, width)), 0.2))
    expected = (own.problem, "refit", {"progress": 1.0 - 1e-6, "max_iter": 7})
    assert asked == ([expected] if width else [])
    assert seen == [(width, 0.2)]


def test_a_ridge_shrinks_before_the_last_fit(noisy, monkeypatch):
    asked = []
    own, factors = plan_of(noisy), Factors(np.eye(12, 3), np.eye(9, 3))

    def shrink(problem, factors, top, fitter, phase):
        asked.append((problem.penalty, top, phase))
        return SimpleNamespace(factors=factors)

    monkeypatch.setattr(ending, "shrink", shrink)
    certified(monkeypatch, {3})
    own.ending.refitted(plan.Choice(factors, 0.2, Ridge(0.3)))
    assert asked == [(Ridge(0.3), 3, "penalise")]


@pytest.mark.parametrize("at", ["before any state", "later"])
@pytest.mark.parametrize("reason", [plan.StopRun, KeyboardInterrupt])
def test_what_is_stopped_says_why_and_gives_the_best_so_far(noisy, monkeypatch, at, reason):
    own = plan_of(noisy, scale=4.0)
    best = Factors(np.eye(12, 1), np.eye(9, 1))
    own.fitter.monitor.best = None if at == "before any state" else best

    def stopped(self):
        raise reason

    monkeypatch.setattr(Plan, "_result", stopped)
    result = own.result()
    assert result.status is Status.STOPPED
    assert ("Ctrl-C" in result.message) == (reason is KeyboardInterrupt)
    assert ("a callback or the time limit" in result.message) == (reason is plan.StopRun)
    assert result.rank == (0 if at == "before any state" else 1)
    if result.rank:
        np.testing.assert_allclose(result.factors.to_dense(), 4.0 * best.to_dense())


@pytest.mark.parametrize(("noise", "words"), [(0.0, "exact fit of rank 2"), (0.05, "fitted to")])
def test_the_message_says_whether_the_fit_is_exact(noise, words):
    instance = simulate.dense_sensing((12, 9), 2, m=300, noise=noise, random_state=0)
    result = recover(instance.op, instance.y)
    assert result.message.startswith(words)
    assert f"estimated relative error {result.certificate.error_estimate:.1e}" in result.message
    assert result.status is Status.CONVERGED
    refused = recover(instance.op, instance.y, rank=1)
    assert refused.message == "; ".join(refused.certificate.reasons)
    assert refused.status is Status.STALLED


# --- rows that agree ------------------------------------------------------------------------------


def as_far_off(truth: Factors, loss: float) -> Factors:
    """Factors of this loss, where that of the zero matrix is 1."""
    return truth.scaled(1.0 + float(np.sqrt(loss)))


@pytest.mark.parametrize(
    ("losses", "kept", "fits"),
    [
        ([0.9985, 0.9980], 0.9985, 2),  # the next one is lower by less than a thousandth
        ([0.9995], 1.0, 1),
        ([1.5], 1.0, 1),
        ([np.nan], 1.0, 1),
        ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], 0.5, 5),
    ],
)
def test_a_robust_fit_goes_on_from_rows_that_agree_while_it_falls(monkeypatch, losses, kept, fits):
    truth = Factors(np.full((3, 1), 1 / 3), np.ones((3, 1)))  # of norm 1
    problem = Problem(FullObservation((3, 3)), truth.to_dense(), loss=Huber(np.inf))
    own = plan_of(problem, loss=problem.loss, max_iter=7)
    starts, asked = [], []

    def agreed_rows(problem, point, rng):
        assert rng is own.fitter.rng
        starts.append((point, Factors(point.factors.U, point.factors.V)))
        return starts[-1][1]

    def fit(self, problem, factors, phase, **options):
        asked.append((problem, factors, phase, options))
        new = as_far_off(truth, losses[len(asked) - 1])
        return SimpleNamespace(factors=new, point=problem.evaluate(new))

    monkeypatch.setattr(ending, "agreed_rows", agreed_rows)
    monkeypatch.setattr(Fitter, "fit", fit)
    found = own.ending._agreed(problem, as_far_off(truth, 1.0))
    assert problem.evaluate(found).loss == pytest.approx(kept)
    assert len(asked) == len(starts) == fits
    seen = [1.0, *losses]
    for i, ((point, start), (given, factors, phase, options)) in enumerate(
        zip(starts, asked, strict=True)
    ):
        assert point.loss == pytest.approx(seen[i])
        assert (given, factors, phase) == (problem, start, "refit")
        assert options == {"progress": 1.0 - 1e-6, "max_iter": 7}


def test_squares_and_nothing_agree_as_they_are(noisy, monkeypatch):
    monkeypatch.setattr(ending, "agreed_rows", None)
    own = plan_of(noisy)
    assert own.ending._agreed(own.problem, noisy.truth) is noisy.truth
    nothing = Factors.empty((12, 9))
    assert own.ending._agreed(Problem(noisy.op, noisy.y, loss=Huber(1.0)), nothing) is nothing


def test_a_row_that_follows_its_outlier_is_led_back_by_the_last_fit(rng, monkeypatch):
    truth = Factors(rng.standard_normal((30, 1)), rng.uniform(1.0, 2.0, (25, 1)))
    seen = np.ones((30, 25), dtype=bool)
    seen[4, 6:] = False  # six entries, one of them wrong
    op = ObservedEntries(*np.nonzero(seen), (30, 25))
    y = op.forward(truth) + 0.01 * rng.standard_normal(op.size)
    y[np.flatnonzero((op.rows == 4) & (op.cols == 3))] += 50.0
    problem = Problem(op, y, loss=StudentT())
    own = plan_of(problem, loss=problem.loss)
    follows = np.array(truth.W)
    follows[4] += 50.0 / truth.V[3]
    at = problem.refitted(problem.evaluate(truth))
    caught = own.fitter.fit(at, truth.with_stacked(follows), "refit", progress=1.0 - 1e-6).factors
    assert caught.distance(truth) > 20.0
    scales = []

    def spied(problem, point, rng):
        scales.append((problem.loss.scale, problem.refitted(point).loss.scale))
        return agreed_rows(problem, point, rng)

    monkeypatch.setattr(ending, "agreed_rows", spied)
    assert own.ending._agreed(problem, caught).distance(truth) < 0.01 * truth.norm()
    assert all(scale == of_fit < problem.loss.scale for scale, of_fit in scales)


# --- under noise --------------------------------------------------------------------------------


GOOD = Prediction(error=0.5, baseline=1.0, gain=10.0, coverage=0.95, size=1000)


@pytest.fixture(scope="module")
def unsure():
    """A plan, what columns with a prior come to, and the certificate of that."""
    inst = simulate.matrix_completion((60, 50), 2, oversampling=4, noise=0.3, random_state=0)
    own = plan_of(inst, scale=float(np.std(inst.y)))
    found = own._with_prior(own._held_out(), 6)
    return own, found


def decided(monkeypatch, unsure, *, plain=None, as_well=True, **certificate):
    """What is made of it where certificates and fits without a prior are as told."""
    own, found = unsure
    asked = []

    def unshrunk(self, found):
        asked.append(found)
        return plain

    def certified(*args, **options):
        return replace(certify(*args, **options), **certificate)

    monkeypatch.setattr(plan, "certify", certified)
    monkeypatch.setattr(Plan, "_unshrunk", unshrunk)
    monkeypatch.setattr(Plan, "_predicts_as_well", lambda self, found: as_well)
    sure = replace(found, state=replace(found.state, row_moment=None))
    monkeypatch.setattr(type(found.state), "uncertainty", 0.15)
    return own._predicting(sure), asked


def plain_result(unsure):
    own, found = unsure
    return own.ending.certified(own.problem, found.factors(own.problem), 0.3)


@pytest.mark.parametrize("as_well", [True, False])
def test_a_certified_fit_without_a_prior_is_taken_if_it_predicts_as_well(
    monkeypatch, unsure, as_well
):
    plain = replace(plain_result(unsure), status=Status.CONVERGED)
    result, _ = decided(monkeypatch, unsure, plain=plain, as_well=as_well, holds=True, reasons=())
    np.testing.assert_array_equal(
        result.factors.U == plain.factors.U, np.full(plain.factors.U.shape, as_well)
    )
    assert result.status is Status.CONVERGED
    # Draws are of the posterior, either way.
    assert result.posterior.method == "sampling"


def test_what_is_shrunk_does_not_hold_unless_that_fit_does(monkeypatch, unsure):
    result, asked = decided(monkeypatch, unsure, holds=True, reasons=())
    assert len(asked) == 1
    assert result.status is Status.APPROXIMATE
    assert not result.certificate.holds
    (reason,) = result.certificate.reasons
    assert reason.startswith("the answer is shrunk")
    assert reason in result.message


@pytest.mark.parametrize(
    ("doubtful", "uncertainty", "tried"), [(2, 0.15, 1), (3, 0.15, 0), (2, 0.151, 0)]
)
def test_a_certificate_is_tried_for_where_it_may_hold(
    monkeypatch, unsure, doubtful, uncertainty, tried
):
    own, found = unsure
    asked = []
    monkeypatch.setattr(Plan, "_unshrunk", lambda self, found: asked.append(found))
    monkeypatch.setattr(type(found.state), "uncertainty", uncertainty)
    own._predicting(replace(found, doubtful=doubtful))
    assert len(asked) == tried


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, Status.APPROXIMATE),
        ({"error": 0.96}, Status.STALLED),
        ({"gain": 1.9}, Status.STALLED),
        ({"coverage": 0.5}, Status.STALLED),
    ],
)
def test_approximate_is_what_predicts(monkeypatch, unsure, change, status):
    own, found = unsure
    prediction = replace(GOOD, **change)
    result = own._predicting(
        replace(found, assessment=SimpleNamespace(prediction=prediction), doubtful=9)
    )
    assert result.status is status
    assert result.message.startswith(str(prediction))
    assert result.certificate.prediction == prediction
    for reason in prediction.reasons(own.fitter.policy.evidence):
        assert reason in result.message
    assert "the matrix itself is not pinned down: " in result.message


def test_without_a_prior_it_predicts_as_well_up_to_two_in_a_hundred(monkeypatch, unsure):
    own, found = unsure
    part, state = found.rounds[0]
    missed = part.errors(state.factors).mean()
    for ratio, as_well in ((1.019, True), (1.021, False)):
        given = iter([np.array([ratio * missed]), np.array([missed])])
        monkeypatch.setattr(type(part), "errors", lambda self, f, given=given: next(given))
        assert own._predicts_as_well(found) is as_well


@pytest.mark.parametrize(("status", "shrunk"), [(Status.CONVERGED, 0), (Status.STALLED, 1)])
def test_a_known_rank_is_shrunk_only_where_its_fit_is_not_certified(
    monkeypatch, unsure, status, shrunk
):
    own, found = unsure
    asked = []

    def with_prior(self, data, width):
        asked.append((width, self.rank))
        return found

    monkeypatch.setattr(plan, "of_rank", lambda paths, rank: found.factors(paths.problem))
    monkeypatch.setattr(
        Ending, "refitted", lambda self, choice: replace(plain_result(unsure), status=status)
    )
    monkeypatch.setattr(Plan, "_with_prior", with_prior)
    replace(own, rank=2)._told(2)
    assert asked == [(2, 2)] * shrunk

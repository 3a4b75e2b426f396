"""Columns with a prior: what is kept, what is told of held-out measurements, how good it is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from leanrank import Status, StudentT, recover, simulate
from leanrank.operators import Centred, DenseSensing, ObservedEntries
from leanrank.posterior import Layout, State, entries_of, fit, start
from leanrank.problem import Problem
from leanrank.search import Fitter, Monitor, predicting
from leanrank.search.drawing import HeldOutDraws
from leanrank.search.holding_out import split
from leanrank.search.predicting import (
    Sampler,
    _leading,
    _Room,
    _worth_keeping,
    predicted,
    splits_by_rows,
)
from leanrank.solvers import GaussNewton, solve


def fitter(seed: int = 0) -> Fitter:
    return Fitter(GaussNewton(), np.random.default_rng(seed), Monitor())


def completion(seed: int, **options) -> simulate.Instance:
    usual = {"shape": (60, 50), "rank": 2, "oversampling": 4, "noise": 0.3}
    usual |= options
    shape, rank = usual.pop("shape"), usual.pop("rank")
    return simulate.matrix_completion(shape, rank, random_state=seed, **usual)


def found(seed: int = 0, rounds: int = 2, **options):
    inst = completion(seed)
    problem = Problem(inst.op, inst.y / np.std(inst.y))
    own = fitter(seed)
    parts = split(problem, 0.1, own.rng, rounds)
    return problem, parts, predicted(problem, parts, own, **({"width": 8, "most": 12} | options))


def test_what_splits_by_rows(convert):
    inst = completion(0)
    rows, cols, y = inst.op.rows, inst.op.cols, inst.y
    square = rows < 50
    entries = Problem(inst.op, y)
    assert splits_by_rows(entries, False)
    assert not splits_by_rows(Problem(Centred(inst.op), y), False)
    assert not splits_by_rows(
        Problem(ObservedEntries(rows[square], cols[square], (50, 50)), y[square]), True
    )
    A = np.ones((3, 4, 4))
    assert not splits_by_rows(Problem(DenseSensing(A), np.ones(3)), False)
    assert not splits_by_rows(Problem(DenseSensing(convert(A)), convert(np.ones(3))), False)


# --- what is told of held-out measurements ------------------------------------------------------


def test_held_out_errors_are_those_of_the_means_that_are_returned():
    """Written out, over all rounds; and against means of rows and columns fitted otherwise."""
    _, parts, own = found()
    missed, of_means, whole = [], [], []
    for part, (same, state) in zip(parts, own.rounds, strict=True):
        assert same is part
        op, held = part.train.op, part.held
        X = state.rows @ state.columns.mean.T
        missed.append((X[held.op.rows, held.op.cols] - held.y) ** 2)
        whole.append(held.y**2)
        b, c = np.zeros(60), np.zeros(50)
        for _ in range(30):  # a ridge of two readings
            left = part.train.y - c[op.cols]
            b = np.bincount(op.rows, left, 60) / (np.bincount(op.rows, minlength=60) + 2.0)
            left = part.train.y - b[op.rows]
            c = np.bincount(op.cols, left, 50) / (np.bincount(op.cols, minlength=50) + 2.0)
        of_means.append((b[held.op.rows] + c[held.op.cols] - held.y) ** 2)
    missed, of_means, whole = (np.concatenate(x) for x in (missed, of_means, whole))
    seen = own.prediction
    assert seen.error == pytest.approx(np.sqrt(missed.mean() / whole.mean()), rel=1e-9)
    assert seen.size == missed.size
    assert own.held_out_error == pytest.approx(seen.error, rel=1e-6)
    assert seen.baseline <= 1.0  # zero, if means do worse
    assert seen.baseline == pytest.approx(
        min(1.0, np.sqrt(of_means.mean() / whole.mean())), rel=0.05
    )
    assert 0.85 < seen.coverage <= 1.0


def test_means_are_the_better_of_intercepts_and_zero(rng):
    """Where rows and columns are all there is, columns with a prior gain nothing."""
    rows, cols = np.nonzero(rng.random((60, 50)) < 0.3)
    X = 3.0 + rng.standard_normal((60, 1)) + rng.standard_normal((1, 50))
    y = X[rows, cols] + 0.5 * rng.standard_normal(rows.size)
    problem = Problem(ObservedEntries(rows, cols, (60, 50)), y)
    own = fitter()
    seen = predicted(
        problem, split(problem, 0.1, own.rng, 1), own, width=4, most=8, intercepts=True
    )
    assert seen.state.width == 0
    noise = 0.5 / np.sqrt(np.mean(y**2))
    assert noise < seen.prediction.baseline < 1.4 * noise
    assert seen.prediction.error == pytest.approx(seen.prediction.baseline, rel=0.02)
    assert seen.prediction.gain < 2.0


def test_the_certificate_tells_the_error_of_the_very_predictor():
    """Held-out measurements of one's own: nothing else is held out."""
    inst = completion(1)
    rng = np.random.default_rng(5)
    hidden = np.ones((60, 50), dtype=bool)
    hidden[inst.op.rows, inst.op.cols] = False
    own = ObservedEntries(*np.nonzero(hidden & (rng.random((60, 50)) < 0.3)), (60, 50))
    y = own.forward(inst.truth) + inst.noise_std * rng.standard_normal(own.size)
    result = recover(inst.op, inst.y, validation=(own, y))
    residual = own.forward(result.factors) - y
    seen = result.certificate.prediction
    assert seen.size == own.size
    # The state that is returned was fitted again with fewer or other sweeps, of the same data.
    error = np.linalg.norm(residual) / np.linalg.norm(y)
    assert seen.error == pytest.approx(error, rel=0.01)
    assert result.certificate.held_out_error == pytest.approx(seen.error, rel=1e-6)


# --- what is kept -------------------------------------------------------------------------------


def test_the_data_choose_the_number_of_columns_unless_it_is_known():
    assert found()[2].state.width == 2
    assert [state.width for _, state in found()[2].rounds] == [2, 2]
    told = found(width=5, most=5, prune=False)[2]
    assert told.state.width == 5
    assert told.doubtful == 0


@pytest.mark.parametrize(("width", "most"), [(2, 2), (1, 1)])
def test_never_more_than_most(width, most):
    assert found(width=width, most=most)[2].state.width == most


def test_too_narrow_a_start_is_widened():
    assert found(width=1, most=12)[2].state.width == 2


def rounds_of(width: int, seeds=(0, 1)) -> list[tuple]:
    """Fits of more columns than there are, none of them pruned."""
    rounds = []
    for seed in seeds:
        inst = completion(seed)
        part = split(Problem(inst.op, inst.y), 0.1, np.random.default_rng(seed))[0]
        entries, _ = entries_of(part.train)
        state = start(entries, Layout(width), np.random.default_rng(0))
        rounds.append((part, fit(state, prune=False, max_sweeps=30)))
    return rounds


def test_columns_that_predict_nothing_are_not_kept():
    assert _worth_keeping(rounds_of(6)) == 2
    assert _worth_keeping(rounds_of(1)) == 1


def test_columns_that_stand_out_are_not_asked_after(monkeypatch):
    monkeypatch.setattr(State, "standing_out", lambda state: 4)
    assert _worth_keeping(rounds_of(6)) == 4
    # What predicts clearly better is kept, though none of it stands out.
    monkeypatch.setattr(State, "standing_out", lambda state: 0)
    assert _worth_keeping(rounds_of(6)) == 2


def test_columns_sure_in_every_round_are_what_counts(monkeypatch):
    given = iter([5, 3])
    monkeypatch.setattr(State, "standing_out", lambda state: next(given))
    assert _worth_keeping(rounds_of(6)) == 3


def test_leading_columns_keep_intercepts():
    inst = completion(0)
    entries, _ = entries_of(Problem(inst.op, inst.y + 3.0))
    state = fit(start(entries, Layout(3, True, True), np.random.default_rng(0)), prune=False)
    kept = _leading(state, 1).to_dense()
    U, V = state.rows, state.columns.mean
    expected = U[:, [0, 3, 4]] @ V[:, [0, 3, 4]].T
    np.testing.assert_allclose(kept, expected, atol=1e-12)


def test_narrowed_leaves_what_is_narrow_alone():
    inst = completion(0)
    problem = Problem(inst.op, inst.y)
    room = _Room(fitter(), False, False, False)
    state = room.fit(problem, 4)
    assert room.narrowed(problem, state, 4) is state
    assert room.narrowed(problem, state, 2).width == 2
    assert replace(room, sweeps=3).fit(problem, 4).width == 4


def test_every_sweep_is_seen_by_the_monitor():
    problem, _, own = found()
    assert problem.passes > 2.0 * len(own.rounds)


# --- draws --------------------------------------------------------------------------------------


def test_draws_are_centred_and_calibrated_as_held_out_measurements_ask():
    own, rng = found()[2], np.random.default_rng
    scores = np.array([0.1, 0.5, 2.0])
    for averaged in (True, False):
        seen = HeldOutDraws(np.ones(3), 1.0, averaged, scores, np.ones(3, bool))
        post = replace(
            own, assessment=SimpleNamespace(chain=own.assessment.chain, draws=seen)
        ).sample(rng(0), 4)
        assert (post.centres is not None) == averaged
        np.testing.assert_array_equal(post.scores, scores)
        assert post.size == 4
    unseen = replace(own, assessment=SimpleNamespace(chain=own.assessment.chain, draws=None))
    assert unseen.sample(rng(0), 2).scores is None


def test_known_ranks_are_sampled_without_columns_to_spare():
    own = found()[2]
    assert own.sample(np.random.default_rng(0), 2).left.shape[2] == 5
    told = found(width=2, most=2, prune=False)[2]
    assert told.sample(np.random.default_rng(0), 2).left.shape[2] == 2


def test_samplers_repeat_themselves():
    own = found()[2]
    draw = Sampler(own, 3, 10.0)
    one, two, unit = draw(), draw(), Sampler(own, 3, 1.0)()
    np.testing.assert_array_equal(one.left, two.left)
    np.testing.assert_allclose(one.noise, 100.0 * unit.noise)
    assert not np.array_equal(Sampler(own, 4, 10.0)().left, one.left)


# --- how good it is -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_where_entries_are_few_it_beats_least_squares_told_the_rank(seed):
    inst = completion(seed, shape=(200, 150), rank=3, oversampling=2)
    told = solve(GaussNewton(), Problem(inst.op, inst.y), inst.truth, max_iter=100).factors
    result = recover(inst.op, inst.y)
    assert inst.error(result.factors) < 0.75 * inst.error(told)
    assert result.rank == 3
    assert result.status is Status.APPROXIMATE
    assert result.success
    hidden = np.ones(inst.op.shape, dtype=bool)
    hidden[inst.op.rows, inst.op.cols] = False
    low, high = result.posterior.interval(*np.nonzero(hidden))
    X = inst.truth.to_dense()[hidden]
    assert 0.90 < np.mean((low <= X) & (high >= X)) < 0.99
    # Both numbers come first, and what speaks against the matrix after them.
    for words in ("held-out measurements are missed by", "means miss them by", "95 % intervals"):
        assert words in result.message.partition(";")[0]
    assert "the matrix itself is not pinned down" in result.message


@pytest.mark.parametrize(("seed", "told"), [(0, None), (1, None), (0, 2), (1, 2)])
def test_pure_noise_is_stalled(seed, told):
    rng = np.random.default_rng(seed)
    rows, cols = np.nonzero(rng.random((60, 50)) < 0.3)
    op = ObservedEntries(rows, cols, (60, 50))
    result = recover(op, rng.standard_normal(rows.size), rank=told)
    assert result.status is Status.STALLED
    assert result.certificate.rank == 0 or told == 2
    assert not result.success
    assert "these errors are not clearly below those of means" in result.message


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_a_known_rank_is_shrunk_where_noise_keeps_it_from_being_certified(seed):
    inst = completion(seed, oversampling=2)
    told = solve(GaussNewton(), Problem(inst.op, inst.y), inst.truth, max_iter=100).factors
    result = recover(inst.op, inst.y, rank=2)
    assert result.rank == 2
    assert inst.error(result.factors) < 0.95 * inst.error(told)


@pytest.mark.parametrize("seed", [102, 106, 107])
def test_outliers_cost_little_under_student_t(seed):
    """One entry in twenty is off by twenty times the entries' size; beside the clean fit."""
    inst = completion(seed, shape=(100, 80), rank=3, oversampling=3.0)
    rng = np.random.default_rng(seed)
    y = inst.y.copy()
    bad = rng.random(y.size) < 0.05
    y[bad] += 20.0 * np.std(y) * rng.choice([-1.0, 1.0], int(bad.sum()))
    clean, robust = recover(inst.op, inst.y), recover(inst.op, y, loss=StudentT())
    assert robust.rank == 3
    assert inst.error(robust.factors) < 1.2 * inst.error(clean.factors)


def test_intercepts_are_worth_it_where_there_are_some(rng):
    n1, n2 = 80, 60
    b, c = rng.standard_normal((n1, 1)), 2.0 * rng.standard_normal(n2)
    X = 5.0 + b + c + 0.7 * rng.standard_normal((n1, 2)) @ rng.standard_normal((2, n2))
    rows, cols = np.nonzero(rng.random((n1, n2)) < 0.25)
    op = ObservedEntries(rows, cols, (n1, n2))
    y = X[rows, cols] + 0.7 * rng.standard_normal(rows.size)
    own, plain = (recover(op, y, intercepts=flag) for flag in (True, False))
    error, of_plain = (np.linalg.norm(r.factors.to_dense() - X) for r in (own, plain))
    assert error < 0.85 * of_plain
    assert own.status is Status.APPROXIMATE
    # A constant added to y is one added to the matrix.
    moved = recover(op, y + 100.0, intercepts=True)
    off = moved.factors.to_dense() - own.factors.to_dense() - 100.0
    assert np.sqrt(np.mean(off**2)) < 0.1


def test_intercepts_need_entries():
    inst = simulate.dense_sensing((6, 5), 1, m=50, random_state=0)
    with pytest.raises(
        ValueError, match=r"intercepts are for observed.*Projected.intercepts\(op\)"
    ):
        recover(inst.op, inst.y, intercepts=True)
    with pytest.raises(TypeError, match="intercepts must be True or False, got 'yes'"):
        recover(inst.op, inst.y, intercepts="yes")


def test_the_same_seed_gives_the_same_answer():
    inst = completion(4)
    one, two = (recover(inst.op, inst.y, random_state=7) for _ in range(2))
    np.testing.assert_array_equal(one.factors.U, two.factors.U)
    assert one.certificate == two.certificate
    np.testing.assert_array_equal(one.posterior.left, two.posterior.left)


def test_a_start_is_not_widened_where_it_leaves_noise(monkeypatch):
    """Three columns, three of them needed: no fourth is looked for."""
    asked = []
    widened = _Room.widened

    def counted(self, problem, state, more):
        asked.append((state.width, more))
        return widened(self, problem, state, more)

    monkeypatch.setattr(_Room, "widened", counted)
    inst = completion(0, shape=(100, 80), rank=3, oversampling=8, noise=0.1)
    problem, own = Problem(inst.op, inst.y / np.std(inst.y)), fitter()
    parts = split(problem, 0.1, own.rng, 1)
    for width, more in ((3, set()), (2, {(2, 8)})):
        asked.clear()
        assert predicted(problem, parts, own, width=width, most=40).state.width == 3
        assert {call for call in asked if call[0] == width and call[1] > 0} == more


def test_a_wider_fit_must_pay(monkeypatch):
    """Singular values that fall slowly: each widening gains a little, and less than the last."""
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((n, 60)))[0] for n in (90, 80))
    X = (U * (1.0 + np.arange(60)) ** -1.0) @ V.T
    rows, cols = np.nonzero(rng.random(X.shape) < 0.7)
    problem = Problem(ObservedEntries(rows, cols, X.shape), X[rows, cols] / X.std())
    widths = []
    for pays in (0.998, 0.5):
        monkeypatch.setattr(predicting, "_PAYS", pays)
        own = fitter()
        found = predicted(problem, split(problem, 0.1, own.rng, 1), own, width=4, most=60)
        widths.append(found.rounds[0][1].width)
    assert widths[1] <= 4 < widths[0]

"""The variational sweep: its bound, what its turns leave alone, and what it finds."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from leanrank import Squared, StudentT, simulate
from leanrank.operators import DenseSensing, ObservedEntries
from leanrank.posterior import Gaussian, Layout, State, Sweep, entries_of, fit, start, sweeps
from leanrank.posterior._variational import _turned
from leanrank.problem import Problem
from leanrank.solvers import GaussNewton, solve

ALL = Layout(2, row_intercepts=True, column_intercepts=True)


def noisy(seed: int, noise: float, rho: float = 4.0, shape: tuple[int, int] = (100, 80)):
    """A completion instance of rank 3 and its readings; the noise relative to them."""
    inst = simulate.matrix_completion(shape, 3, oversampling=rho, random_state=seed)
    rng = np.random.default_rng(seed + 1000)
    return inst, inst.y + noise * np.std(inst.y) * rng.standard_normal(inst.y.size)


def run(op, y, layout=None, loss=None, **options) -> State:
    entries, loss = entries_of(Problem(op, y) if loss is None else Problem(op, y, loss=loss))
    return fit(start(entries, layout or Layout(8), np.random.default_rng(0), loss), **options)


def error(state: State, X: np.ndarray) -> float:
    return float(np.linalg.norm(state.factors.to_dense() - X) / np.linalg.norm(X))


def divergence(mean: np.ndarray, cov: np.ndarray, prior: Gaussian) -> float:
    """Kullback-Leibler divergence of normal vectors from their prior, in sum."""
    far, k = mean - prior.mean, mean.shape[1]
    trace = np.einsum("ikl,lk->", cov, prior.precision)
    return 0.5 * float(
        trace
        + np.einsum("ik,kl,il->", far, prior.precision, far)
        - len(mean) * (k + np.linalg.slogdet(prior.precision)[1])
        - np.linalg.slogdet(cov)[1].sum()
    )


def bound(state: State) -> float:
    """Evidence lower bound, where rows are the best given everything else of a state."""
    at, entries = state.layout, state.entries
    of_rows, of_columns = state.priors()
    rows = Sweep(entries).rows(state.columns, state.noise, of_rows, at.column_intercept)
    (R, C), (i, j) = (rows.covariances(), state.columns.covariances()), (entries.rows, entries.cols)
    u, v = rows.mean[i], state.columns.mean[j]
    square = (entries.y - np.sum(u * v, axis=1)) ** 2
    square += np.einsum("ek,ekl,el->e", u, C[j], u) + np.einsum("ek,ekl,el->e", v, R[i], v)
    square += np.einsum("ekl,ekl->e", R[i], C[j])
    w = entries.weights if entries.weights.size else np.ones(entries.y.size)
    variance = state.noise[j] / w
    likely = -0.5 * float(np.sum(np.log(2 * np.pi * variance) + square / variance))
    r, c = at.free(at.column_intercept), at.free(at.row_intercept)
    return (
        likely
        - divergence(rows.mean[:, r], R[:, r][:, :, r], of_rows)
        - divergence(state.columns.mean[:, c], C[:, c][:, :, c], of_columns)
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(False, False), (True, False), (False, True)])
def test_every_sweep_raises_the_bound(rng, weighted, rows, columns):
    inst, y = noisy(3, 0.3, shape=(30, 25))
    weights = rng.uniform(0.2, 3.0, y.size) if weighted else None
    entries, _ = entries_of(Problem(inst.op, y + 0.5, loss=Squared(weights)))
    state = start(entries, Layout(3, rows, columns), rng)
    states = [s for s in islice(sweeps(state, column_noise=False), 25) if s.width == 3]
    bounds = np.array([bound(s) for s in states])
    assert len(states) > 10
    # Where factors hand their mean to the columns' intercepts, the prior of those is not asked.
    assert (np.diff(bounds) > (-1e-3 if columns else -1e-8 * np.abs(bounds[1:]))).all()


def test_sweeps_end_where_noise_and_variances_maximise_the_bound(rng):
    """Against finite differences of the bound that the test writes out."""
    inst, y = noisy(5, 0.3, shape=(30, 25))
    entries, _ = entries_of(Problem(inst.op, y))
    state = fit(start(entries, Layout(3), rng), max_sweeps=3000, tol=1e-9)
    top = bound(state)
    for factor in (0.97, 1.03):
        assert bound(replace(state, noise=state.noise * factor)) < top
        for h in range(state.width):
            variances = state.variances.copy()
            variances[h] *= factor
            assert bound(replace(state, variances=variances)) < top


@pytest.mark.parametrize("layout", [Layout(3), ALL, Layout(2, False, True), Layout(2, True)])
def test_turning_predicts_the_same(rng, layout):
    inst, y = noisy(1, 0.2, shape=(30, 20))
    entries, _ = entries_of(Problem(inst.op, y + 1.0))
    state = next(sweeps(start(entries, layout, rng), column_noise=False))
    # Any invertible map of the factors' coordinates is a state to turn back from.
    T, k = np.eye(layout.size), layout.width
    T[:k, :k] += 0.3 * rng.standard_normal((k, k))
    before = replace(state, rows=state.rows @ T.T, columns=state.columns.mapped(np.linalg.inv(T).T))
    after = _turned(before, before.rows.T @ before.rows)
    i, j = (index.ravel() for index in np.indices(inst.op.shape))
    np.testing.assert_allclose(after.predict(i, j), state.predict(i, j), atol=1e-9)
    spread = [
        np.einsum("ik,jkl,il->ij", s.rows, s.columns.covariances(), s.rows) for s in (state, after)
    ]
    np.testing.assert_allclose(spread[1], spread[0], atol=1e-9)
    U = after.rows[:, :k]
    np.testing.assert_allclose(U.T @ U / len(U), np.eye(k), atol=1e-9)
    of_columns = after.columns.total()[:k, :k] / inst.op.shape[1]
    np.testing.assert_allclose(of_columns, np.diag(after.variances), atol=1e-9)
    assert (np.diff(after.variances) <= 0).all()
    if layout.column_intercepts:
        np.testing.assert_allclose(U.mean(axis=0), 0.0, atol=1e-9)


@pytest.mark.parametrize("noise", [0.1, 0.3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_relevance_finds_the_rank_and_the_noise(seed, noise):
    inst, y = noisy(seed, noise)
    state = run(inst.op, y)
    assert state.width == 3
    assert state.noise[0] == pytest.approx((noise * np.std(inst.y)) ** 2, rel=0.15)


def test_what_is_fitted_beats_no_shrinkage_where_entries_are_few():
    inst, y = noisy(4, 0.5, rho=2.0)
    told = solve(GaussNewton(), Problem(inst.op, y), inst.truth, max_iter=100).factors
    assert error(run(inst.op, y), inst.truth.to_dense()) < 0.75 * inst.error(told)


def test_pure_noise_leaves_no_column(rng):
    rows, cols = np.nonzero(rng.random((60, 50)) < 0.3)
    op = ObservedEntries(rows, cols, (60, 50))
    state = run(op, rng.standard_normal(rows.size))
    assert state.width == 0
    assert np.array_equal(state.factors.to_dense(), np.zeros((60, 50)))


def test_columns_are_spared_for_a_while(rng):
    rows, cols = np.nonzero(rng.random((60, 50)) < 0.3)
    entries, _ = entries_of(Problem(ObservedEntries(rows, cols, (60, 50)), np.ones(rows.size)))
    state = start(entries, Layout(8), rng)
    chains = [sweeps(state, column_noise=False, spared=spared) for spared in (0, 4)]
    widths = [[next(chain).width for _ in range(6)] for chain in chains]
    assert widths[0][1] < 8
    assert widths[1][:4] == [8] * 4
    assert widths[1][4] < 8


def test_intercepts_are_found(rng):
    n1, n2 = 80, 60
    b, c = rng.standard_normal(n1), 2.0 * rng.standard_normal(n2)
    X = 5.0 + b[:, None] + c[None, :]
    rows, cols = np.nonzero(rng.random((n1, n2)) < 0.3)
    y = X[rows, cols] + 0.1 * rng.standard_normal(rows.size)
    state = run(ObservedEntries(rows, cols, (n1, n2)), y, Layout(6, True, True))
    assert state.width == 0
    assert np.std(state.factors.to_dense() - X) < 0.05
    assert state.mean == pytest.approx(5.0 + np.mean(c), abs=0.5)
    assert state.column_variance == pytest.approx(np.var(c), rel=0.1)
    assert state.row_variance == pytest.approx(np.var(b), rel=0.1)


@pytest.mark.parametrize("loss", [Squared, lambda w: StudentT(weights=w)])
def test_weight_zero_is_left_out(rng, loss):
    inst, y = noisy(2, 0.2, shape=(40, 30))
    keep = rng.random(y.size) < 0.8
    wrong = np.where(keep, y, 100.0)
    fewer = ObservedEntries(inst.op.rows[keep], inst.op.cols[keep], inst.op.shape)
    whole = run(inst.op, wrong, loss=loss(keep.astype(float)))
    part = run(fewer, y[keep], loss=loss(np.ones(keep.sum())))
    assert whole.width == part.width
    np.testing.assert_allclose(whole.factors.to_dense(), part.factors.to_dense(), atol=1e-8)
    np.testing.assert_allclose(whole.noise, part.noise, rtol=1e-8)


def test_weights_tell_noisy_entries_from_others(rng):
    inst, _ = noisy(6, 0.0)
    noise = 0.1 * np.std(inst.y) * np.where(rng.random(inst.y.size) < 0.5, 30.0, 1.0)
    y = inst.y + noise * rng.standard_normal(inst.y.size)
    X = inst.truth.to_dense()
    told, blind = run(inst.op, y, loss=Squared(noise**-2)), run(inst.op, y)
    assert told.width == 3
    assert error(told, X) < 0.25 * error(blind, X)
    assert told.noise[0] == pytest.approx(1.0, rel=0.15)


def test_student_t_resists_outliers(rng):
    inst, y = noisy(7, 0.1)
    clean = error(run(inst.op, y), inst.truth.to_dense())
    bad = rng.random(y.size) < 0.05
    y[bad] += 20.0 * np.std(y) * rng.choice([-1.0, 1.0], bad.sum())
    robust = run(inst.op, y, loss=StudentT())
    assert robust.width == 3
    assert error(robust, inst.truth.to_dense()) < 1.25 * clean
    assert error(run(inst.op, y), inst.truth.to_dense()) > 3 * clean


def test_columns_have_their_own_noise(rng):
    inst, _ = noisy(8, 0.0, rho=8.0)
    levels = np.std(inst.y) * np.geomspace(0.05, 1.0, inst.op.shape[1])
    y = inst.y + levels[inst.op.cols] * rng.standard_normal(inst.y.size)
    X = inst.truth.to_dense()
    own, common = run(inst.op, y, column_noise=True), run(inst.op, y)
    assert error(own, X) < 0.8 * error(common, X)
    assert np.abs(np.log(own.noise / levels**2)).mean() < 0.35


def test_readings_of_scaled_entries_are_brought_to_one_scale(rng):
    """An operator that scales entries measures them with more, or less, noise."""
    inst, y = noisy(9, 0.1, shape=(40, 30))
    entries, loss = entries_of(Problem(inst.op, y, loss=Squared(rng.uniform(1, 2, y.size))))
    assert loss is None
    order = np.argsort(inst.op.rows, kind="stable")
    rows, cols, scale = (a[order] for a in inst.op.entries())
    assert np.array_equal(entries.rows, rows)
    assert np.array_equal(entries.cols, cols)
    np.testing.assert_allclose(entries.y * scale, y[order])


def test_other_operators_are_refused(rng):
    op = DenseSensing(rng.standard_normal((20, 4, 4)))
    with pytest.raises(TypeError, match="op must measure entries of the matrix, got DenseSensing"):
        entries_of(Problem(op, rng.standard_normal(20)))


@pytest.mark.parametrize("threads", [2, 3])
def test_fits_do_not_depend_on_threads(threads):
    inst, y = noisy(10, 0.3)
    one, more = run(inst.op, y), run(inst.op, y, threads=threads)
    assert np.array_equal(one.factors.U, more.factors.U)
    assert np.array_equal(one.factors.V, more.factors.V)


# --- stopped by a score -------------------------------------------------------------------------


def scored(scores: list[float], **options) -> tuple[State, list[State]]:
    """A fit whose states have scores that are known beforehand, and all states it saw."""
    inst, y = noisy(11, 0.3, shape=(30, 25))
    seen: list[State] = []

    def score(state: State) -> float:
        seen.append(state)
        return scores[min(len(seen), len(scores)) - 1]

    options = {"prune": False, "tol": 0.0, "max_sweeps": 30} | options
    return run(inst.op, y, Layout(3), score=score, **options), seen


def test_the_best_state_is_returned_when_patience_ends():
    found, seen = scored([5.0, 4.0, 3.0, 3.5, 3.5, 3.5, 3.5, 3.5, 0.0])
    assert len(seen) == 8  # five sweeps after the best one
    assert found.sweeps == 3
    assert found.change == 0.0
    np.testing.assert_array_equal(found.factors.U, seen[2].factors.U)


def test_a_score_that_falls_again_in_time_is_waited_for():
    found, seen = scored([5.0, 3.0, 4.0, 4.0, 4.0, 4.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0])
    assert found.sweeps == 7
    assert len(seen) == 12


def test_a_score_that_hardly_rises_does_not_end_sweeps_early():
    """By less than five in a thousand: rounding of the score, not learning too much."""
    found, seen = scored([5.0, 3.0] + [3.014] * 40)
    assert len(seen) == 30
    assert found.sweeps == 0
    assert found.change > 0.0
    np.testing.assert_array_equal(found.factors.U, seen[-1].factors.U)
    assert scored([5.0, 3.0] + [3.016] * 40)[0].sweeps == 2


def test_where_sweeps_run_out_the_best_state_is_returned():
    found, seen = scored([5.0, 2.0, 3.0, 3.0], max_sweeps=4)
    assert (len(seen), found.sweeps) == (4, 2)


def test_a_number_of_sweeps_repeats_an_early_stop():
    found, _ = scored([5.0, 4.0, 3.0] + [4.0] * 9)
    inst, y = noisy(11, 0.3, shape=(30, 25))
    again = run(inst.op, y, Layout(3), prune=False, tol=0.0, max_sweeps=found.sweeps)
    np.testing.assert_array_equal(found.factors.U, again.factors.U)


def test_change_is_what_the_last_sweep_changed():
    inst, y = noisy(11, 0.3, shape=(30, 25))
    before, after = (
        run(inst.op, y, Layout(3), prune=False, tol=0.0, max_sweeps=n) for n in (9, 10)
    )
    X, Y = before.factors.to_dense(), after.factors.to_dense()
    assert after.change == pytest.approx(np.linalg.norm(Y - X) / np.linalg.norm(Y), rel=1e-6)

"""recover(): exact without noise, as good as knowing the rank with noise, honest otherwise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

import leanrank as lr
from leanrank import Factors, GroupLasso, NoPenalty, Ridge, Status, recover, simulate
from leanrank.operators import DenseSensing, FullObservation, ObservedEntries
from leanrank.problem import Problem
from leanrank.solvers import LBFGS, GaussNewton, State, solve

Make = Callable[..., simulate.Instance]


def entries_symmetric(*, kappa=1.0, noise=0.0, dtype=np.float64, random_state=0):
    """Entries on both sides of the diagonal and on it, of a positive semi-definite matrix."""
    rng = np.random.default_rng(random_state)
    root = np.sqrt(np.geomspace(1.0, 1.0 / kappa, 2))
    truth = Factors((10 * np.linalg.qr(rng.standard_normal((25, 2)))[0] * root).astype(dtype))
    flat = rng.choice(625, 260, replace=False)
    op = ObservedEntries(*np.divmod(flat, 25), (25, 25), dtype=dtype)
    y = op.forward(truth)
    std = noise * float(np.std(y))
    return simulate.Instance(op, y + rng.standard_normal(y.size).astype(dtype) * std, truth, std)


KINDS: dict[str, Make] = {
    "dense": lambda **kw: simulate.dense_sensing((12, 9), 2, m=180, **kw),
    "packed": lambda **kw: simulate.dense_sensing(15, 2, m=150, symmetric=True, **kw),
    "rank one": lambda **kw: simulate.rank_one_sensing((12, 9), 2, m=220, **kw),
    "rank one symmetric": lambda **kw: simulate.rank_one_sensing(
        15, 2, m=200, symmetric=True, **kw
    ),
    "entries": lambda **kw: simulate.matrix_completion((40, 30), 2, oversampling=4, **kw),
    "entries symmetric": entries_symmetric,
    "full": lambda **kw: simulate.full_observation((12, 9), 2, **kw),
    "full symmetric": lambda **kw: simulate.full_observation(12, 2, symmetric=True, **kw),
}
kinds = pytest.mark.parametrize("kind", KINDS)
some_kinds = pytest.mark.parametrize("kind", ["dense", "packed", "entries"])


def solved(instance: simulate.Instance, **options) -> lr.Result:
    return recover(instance.op, instance.y, symmetric=instance.truth.symmetric, **options)


def oracle_error(instance: simulate.Instance) -> float:
    """Error of least squares at the true rank, started from the truth."""
    fit = solve(GaussNewton(), Problem(instance.op, instance.y), instance.truth, max_iter=60)
    return instance.error(fit.factors)


def loss_at(op: lr.operators.Measurement, y: np.ndarray, factors: Factors) -> float:
    return op.weight * float(np.sum((op.forward(factors) - y) ** 2))


# --- exact data ---------------------------------------------------------------------------------


@kinds
@pytest.mark.parametrize("seed", [0, 1])
def test_exact_rank_and_matrix(kind, seed):
    instance = KINDS[kind](kappa=3.0, random_state=seed)
    result = solved(instance)
    assert (result.status, result.rank) == (Status.CONVERGED, 2)
    assert instance.error(result.factors) < 1e-9
    assert result.factors.symmetric == instance.truth.symmetric
    assert result.certificate.holds
    assert "exact fit of rank 2" in result.message
    assert result.raise_if_failed() is result


@kinds
def test_exact_where_singular_values_are_far_apart(kind):
    instance = KINDS[kind](kappa=1e5, random_state=0)
    result = solved(instance)
    assert (result.status, result.rank) == (Status.CONVERGED, 2)
    assert instance.error(result.factors) < 1e-9
    assert result.certificate.condition_number == pytest.approx(1e5, rel=1e-3)


@kinds
def test_single_precision(kind):
    instance = KINDS[kind](kappa=3.0, dtype=np.float32, random_state=0)
    result = solved(instance)
    assert (result.status, result.rank) == (Status.CONVERGED, 2)
    assert result.factors.W.dtype == np.float32
    assert instance.error(result.factors) < 1e-4


@kinds
@pytest.mark.parametrize("c", [1e-150, 1e150])
def test_scaled_measurements_give_scaled_factors(kind, c):
    instance = KINDS[kind](kappa=3.0, random_state=0)
    result = recover(instance.op, instance.y * c, symmetric=instance.truth.symmetric)
    assert (result.status, result.rank) == (Status.CONVERGED, 2)
    assert instance.error(result.factors.scaled(1.0 / c)) < 1e-9
    assert math.isfinite(result.certificate.virtual_curvature)


def test_a_scarce_instance_is_solved_by_penalising():
    instance = simulate.dense_sensing(24, 3, oversampling=1.5, symmetric=True, random_state=1)
    result = solved(instance)
    assert (result.status, result.rank) == (Status.CONVERGED, 3)
    assert instance.error(result.factors) < 1e-9


def test_arrays_of_every_layout(rng):
    A, U = rng.standard_normal((120, 10, 10)), rng.standard_normal((10, 2))
    y = np.einsum("mij,ik,jk->m", A, U, U)
    wide = np.zeros(240)
    wide[::2] = y
    layouts = [
        (np.asfortranarray(A), wide[::2]),
        (A[::-1][::-1], y[::-1][::-1]),
        (A.copy(), list(y)),
    ]
    for array in (A, y):
        array.flags.writeable = False
    plain = recover(DenseSensing(A, symmetric=True), y, symmetric=True)
    assert plain.rank == 2
    for sensing, values in layouts:
        result = recover(DenseSensing(sensing, symmetric=True), values, symmetric=True)
        np.testing.assert_allclose(result.factors.to_dense(), U @ U.T, atol=1e-9)


def test_integers():
    U, V = np.arange(1, 9)[:, None], np.arange(-3, 4)[:, None]
    result = recover(FullObservation((8, 7)), U @ V.T)
    assert (result.status, result.rank) == (Status.CONVERGED, 1)
    np.testing.assert_allclose(result.factors.to_dense(), U @ V.T, atol=1e-9)


@some_kinds
def test_inputs_are_left_alone(kind):
    instance = KINDS[kind](noise=0.1, random_state=0)
    before = instance.y.copy()
    held = (instance.op, instance.y)
    solved(instance, validation=held)
    np.testing.assert_array_equal(instance.y, before)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@some_kinds
def test_a_seed_determines_the_answer(kind, noise):
    instance = KINDS[kind](kappa=3.0, noise=noise, random_state=0)
    one, two = (solved(instance, random_state=seed) for seed in (7, np.random.default_rng(7)))
    np.testing.assert_array_equal(one.factors.W, two.factors.W)
    assert one.history.records == two.history.records
    assert one.certificate == two.certificate


# --- noise --------------------------------------------------------------------------------------


@kinds
def test_noise_costs_no_more_than_knowing_the_rank(kind):
    instance = KINDS[kind](kappa=3.0, noise=0.1, random_state=0)
    result = solved(instance)
    assert (result.status, result.rank) == (Status.CONVERGED, 2)
    assert instance.error(result.factors) < 1.05 * oracle_error(instance)
    assert "level of the noise" in result.message
    assert 0.05 < result.certificate.held_out_error < 0.25


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("seed", [1, 9, 11])
def test_few_and_noisy_measurements_do_not_trap_the_fit(seed, told):
    # 1.7 to 2 times the degrees of freedom: a fit that grows to its width is often trapped.
    instance = simulate.rank_one_sensing(20, 2, m=80, symmetric=True, noise=0.1, random_state=seed)
    result = solved(instance, rank=2 if told else None)
    assert result.rank == 2
    assert instance.error(result.factors) < 1.05 * oracle_error(instance)


def test_noise_only_is_never_called_a_success(rng):
    for op, symmetric in (
        (DenseSensing(rng.standard_normal((150, 10, 10)), symmetric=True), True),
        (DenseSensing(rng.standard_normal((150, 10, 8))), False),
        (FullObservation((12, 9)), False),
        (ObservedEntries(*np.divmod(rng.choice(600, 400, replace=False), 20), (30, 20)), False),
    ):
        result = recover(op, rng.standard_normal(op.size), symmetric=symmetric)
        assert result.status is Status.STALLED
        assert not result.certificate.holds
        with pytest.raises(lr.RecoveryError, match="STALLED: "):
            result.raise_if_failed()


def test_an_indefinite_matrix_is_no_square(rng):
    """No U U^T fits a matrix with a negative eigenvalue, and the answer does not pretend."""
    P = np.linalg.qr(rng.standard_normal((12, 2)))[0]
    X = P @ np.diag([3.0, -2.0]) @ P.T
    result = recover(FullObservation((12, 12)), X, symmetric=True)
    assert result.status is Status.STALLED
    assert "indefinite" in result.message


# --- rank 0 and constants -----------------------------------------------------------------------


@kinds
def test_zero_measurements_are_a_matrix_of_rank_zero(kind):
    instance = KINDS[kind](random_state=0)
    result = recover(instance.op, 0.0 * instance.y, symmetric=instance.truth.symmetric)
    assert (result.status, result.rank) == (Status.CONVERGED, 0)
    assert result.factors.shape == instance.op.shape
    assert result.factors.norm() == 0.0
    assert "zero" in result.message


def test_constant_entries_are_a_matrix_of_rank_one():
    op = KINDS["entries"](random_state=0).op
    result = recover(op, np.full(op.size, -2.5))
    assert (result.status, result.rank) == (Status.CONVERGED, 1)
    np.testing.assert_allclose(result.factors.to_dense(), -2.5, rtol=1e-9)


# --- entries ------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1])
def test_an_empty_row_or_column_is_named_and_the_rest_completed(axis):
    instance = KINDS["entries"](kappa=2.0, random_state=0)
    rows, cols = instance.op.rows, instance.op.cols
    keep = np.flatnonzero((rows, cols)[axis] != 7)
    op = instance.op.subset(keep)
    result = recover(op, instance.y[keep])
    assert result.status is Status.STALLED
    assert f"{('row', 'column')[axis]} 7" in result.message
    rest = np.delete(np.arange(op.shape[axis]), 7)
    found, true = (np.take(f.to_dense(), rest, axis) for f in (result.factors, instance.truth))
    np.testing.assert_allclose(found, true, atol=1e-8)


def test_an_entry_seen_twice_counts_twice_and_tells_nothing_new():
    instance = KINDS["entries"](kappa=3.0, random_state=0)
    twice = np.arange(instance.op.size).repeat(2)
    result = recover(instance.op.subset(twice), instance.y[twice])
    assert (result.status, result.rank) == (Status.CONVERGED, 2)
    assert instance.error(result.factors) < 1e-9
    few = np.arange(60).repeat(10)
    assert not recover(instance.op.subset(few), instance.y[few]).success


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2, 3])
@some_kinds
def test_a_given_rank_is_obeyed(kind, rank):
    instance = KINDS[kind](kappa=3.0, noise=0.05, random_state=0)
    result = solved(instance, rank=rank)
    assert result.rank == rank
    if rank == 2:
        assert result.success
        assert instance.error(result.factors) < 1.001 * oracle_error(instance)
    if rank == 1:
        assert result.status is not Status.CONVERGED


def test_a_given_rank_is_reached_where_measurements_are_scarce():
    instance = simulate.dense_sensing(24, 3, oversampling=1.5, symmetric=True, random_state=1)
    result = solved(instance, rank=3)
    assert (result.status, result.rank) == (Status.CONVERGED, 3)
    assert instance.error(result.factors) < 1e-9


@some_kinds
def test_width_is_no_rank(kind):
    result = solved(KINDS[kind](kappa=3.0, random_state=0), width=4)
    assert (result.status, result.rank) == (Status.CONVERGED, 2)
    assert max(result.history.column("width")) <= 4


@some_kinds
def test_width_limits_the_rank(kind):
    result = solved(KINDS[kind](kappa=3.0, random_state=0), width=1)
    assert result.status is not Status.CONVERGED
    assert result.rank <= 1


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_penalty_in_the_units_of_y(symmetric):
    """Group Lasso of y c at strength c^1.5 and smoothing c is the same problem."""
    instance = KINDS["packed" if symmetric else "dense"](kappa=2.0, random_state=0)
    c = 1e4
    for one, other in (
        (GroupLasso(0.02, 0.01), GroupLasso(0.02 * c**1.5, 0.01 * c)),
        (Ridge(0.02), Ridge(0.02 * c)),
    ):
        plain = solved(instance, penalty=one, width=5)
        scaled = recover(instance.op, c * instance.y, symmetric=symmetric, penalty=other, width=5)
        phase = [r for r in plain.history if r.phase == "penalise"]
        assert max(r.width for r in phase) == 5
        np.testing.assert_allclose(
            [r.value for r in scaled.history if r.phase == "penalise"],
            [r.value for r in phase],
            rtol=1e-6,
        )
        before = [r.column_norms["before pruning"] for r in (plain, scaled)]
        np.testing.assert_allclose(before[1], math.sqrt(c) * before[0], rtol=1e-4, atol=1e-6)


def test_group_lasso_empties_columns_and_the_refit_is_exact():
    instance = KINDS["dense"](kappa=2.0, random_state=0)
    result = solved(instance, penalty=GroupLasso(0.02, 0.01), width=6)
    assert (result.status, result.rank) == (Status.CONVERGED, 2)
    assert instance.error(result.factors) < 1e-9
    norms = result.column_norms["before pruning"]
    assert norms.size == 6
    assert (norms > 2 * math.sqrt(0.01)).sum() == 2


def test_another_solver():
    instance = KINDS["packed"](kappa=2.0, random_state=0)
    result = solved(instance, solver=LBFGS(), max_iter=500)
    assert result.rank == 2
    assert instance.error(result.factors) < 1e-4


def test_validation_of_ones_own():
    instance = KINDS["dense"](kappa=2.0, noise=0.1, random_state=0)
    held = np.arange(0, 180, 6)
    rest = np.setdiff1d(np.arange(180), held)
    op, y = instance.op.subset(rest), instance.y[rest]
    pair = (instance.op.subset(held), instance.y[held])
    result = recover(op, y, validation=pair)
    assert (result.status, result.rank) == (Status.CONVERGED, 2)
    assert result.certificate.held_out_error == pytest.approx(0.1, rel=0.5)
    misleading = recover(op, y, validation=(pair[0], -pair[1]))
    assert not misleading.success


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_validation_share(share):
    instance = KINDS["dense"](kappa=2.0, random_state=0)
    seen: list[int] = []

    def first(state: State) -> None:
        seen.append(state.point.residual.shape[0])

    result = solved(instance, validation=share, callbacks=[first])
    assert seen[0] == 180 - round(share * 180)
    assert seen[-1] == 180
    assert result.success


def test_max_iter_limits_the_last_refit():
    instance = KINDS["dense"](kappa=3.0, noise=0.1, random_state=0)
    history = solved(instance, max_iter=1).history
    last = [r.phase for r in history][::-1]
    tail = next(i for i, phase in enumerate(last) if phase != "refit")
    assert 1 <= tail <= 2


# --- stopping -----------------------------------------------------------------------------------


def test_a_time_limit_returns_the_best_so_far():
    instance = KINDS["dense"](noise=0.3, random_state=0)
    result = solved(instance, time_limit=1e-9)
    assert result.status is Status.STOPPED
    assert "time limit" in result.message
    assert result.factors.shape == instance.op.shape
    assert np.isfinite(result.factors.W).all()


@pytest.mark.parametrize("how", ["true", "interrupt"])
@some_kinds
def test_a_stopped_run_keeps_the_best_factors(kind, how):
    instance = KINDS[kind](kappa=3.0, noise=0.1, random_state=0)
    total = len(solved(instance).history)
    for count in (1, total // 2, total - 1):
        seen: list[State] = []

        def stop(state: State, seen=seen, count=count) -> bool:
            seen.append(state)
            if len(seen) == count and how == "interrupt":
                raise KeyboardInterrupt
            return len(seen) == count

        result = solved(instance, callbacks=[stop])
        assert result.status is Status.STOPPED
        assert result.certificate is None
        assert ("Ctrl-C" in result.message) == (how == "interrupt")
        assert len(result.history) == len(seen) == count
        assert np.isfinite(result.factors.W).all()


@some_kinds
def test_interrupted_while_growing_what_was_reached_is_returned(kind):
    """Of the states that were shown, the returned factors fit about as well as the best one."""
    instance = KINDS[kind](kappa=3.0, random_state=0)
    total = len(solved(instance).history)
    losses: list[float] = []

    def stop(state: State) -> bool:
        at = state.factors.scaled(state.scale)
        losses.append(loss_at(instance.op, instance.y, at))
        return len(losses) == total // 2

    result = solved(instance, callbacks=[stop])
    assert result.status is Status.STOPPED
    assert loss_at(instance.op, instance.y, result.factors) <= 1.01 * min(losses)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@some_kinds
def test_states_are_measured_at_their_factors(kind, noise):
    instance = KINDS[kind](kappa=3.0, noise=noise, random_state=0)
    op, checked = instance.op, 0

    def check(state: State) -> None:
        nonlocal checked
        if state.point.residual.shape[0] == op.size:
            y = instance.y / state.scale
            fresh = op.weight * float(np.sum((op.forward(state.factors) - y) ** 2))
            assert state.point.loss == pytest.approx(fresh, rel=1e-6, abs=1e-20)
            checked += 1
        mean = float(np.mean(state.point.residual**2)) * (op.size * op.weight)
        if not isinstance(op, FullObservation):
            assert state.point.loss == pytest.approx(mean, rel=1e-12)

    solved(instance, callbacks=[check])
    assert checked > 0


def test_every_callback_is_asked():
    instance = KINDS["dense"](random_state=0)
    calls = [0, 0]

    def count(which: int) -> Callable[[State], bool]:
        def callback(state: State) -> bool:
            calls[which] += 1
            return which == 0 and calls[0] == 4

        return callback

    assert solved(instance, callbacks=iter([count(0), count(1)])).status is Status.STOPPED
    assert calls == [4, 4]


def test_an_error_in_a_callback_is_not_swallowed():
    def broken(state: State) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        solved(KINDS["dense"](random_state=0), callbacks=[broken])


# --- history ------------------------------------------------------------------------------------


class Counted(DenseSensing):
    """Counts what is read of the measurements outside linearised steps."""

    calls = 0

    def forward(self, factors):
        Counted.calls += 1
        return super().forward(factors)

    def adjoint(self, residual):
        Counted.calls += 1
        return super().adjoint(residual)


@some_kinds
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_passes_never_decrease(kind, noise):
    history = solved(KINDS[kind](kappa=3.0, noise=noise, random_state=0)).history
    passes = history.column("passes")
    assert passes[0] >= 1.0
    assert all(a <= b for a, b in itertools.pairwise(passes))
    assert history.passes == passes[-1]
    assert history.column("iteration") == list(range(len(history)))


def test_passes_count_what_is_read(rng):
    """No direct reading of all measurements goes uncounted: passes are at least the calls."""
    A, U = rng.standard_normal((150, 10, 8)), rng.standard_normal((10, 2))
    V = rng.standard_normal((8, 2))
    Counted.calls = 0
    op = Counted(A)
    y = np.einsum("mij,ik,jk->m", A, U, V)
    at_last = 0

    def last(state: State) -> None:
        nonlocal at_last
        at_last = Counted.calls

    history = recover(op, y, rank=2, callbacks=[last]).history
    assert at_last > 0
    assert history.passes >= at_last


# --- bad input ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    return simulate.dense_sensing((8, 6), 1, m=60, random_state=0)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"symmetric": True}, ValueError, "square matrix, but op measures 8 x 6"),
        ({"rank": 0}, ValueError, "rank must be at least 1 and at most 6, got 0"),
        ({"rank": 7}, ValueError, "rank must be at least 1 and at most 6, got 7"),
        ({"rank": 2.0}, TypeError, "rank must be an integer, got 2.0"),
        ({"rank": True}, TypeError, "rank must be an integer, got True"),
        ({"width": 0}, ValueError, "width must be at least 1 and at most 6, got 0"),
        ({"width": "3"}, TypeError, "width must be an integer, got '3'"),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1, got 0"),
        ({"max_iter": 1e3}, TypeError, "max_iter must be an integer, got 1000.0"),
        ({"time_limit": 0}, ValueError, "time_limit must be finite and above 0, got 0"),
        ({"time_limit": math.nan}, ValueError, "time_limit must be finite and above 0, got nan"),
        ({"time_limit": "1 s"}, TypeError, "time_limit must be a number, got '1 s'"),
        ({"validation": 0.0}, ValueError, "validation must be finite and above 0 and at most 0.9"),
        ({"validation": 0.95}, ValueError, "validation must be .* at most 0.9, got 0.95"),
        ({"validation": "half"}, TypeError, "validation must be a number, got 'half'"),
        (
            {"validation": (FullObservation((3, 3)), np.eye(3))},
            ValueError,
            r"validation must measure matrices of shape \(8, 6\), got \(3, 3\)",
        ),
        (
            {"validation": (FullObservation((8, 6)), np.ones(3))},
            ValueError,
            "one value for each of the 48 measurements, got 3",
        ),
        ({"random_state": "0"}, TypeError, "random_state must be an int, .* got '0'"),
        (
            {"penalty": 0.1},
            TypeError,
            r"penalty must be a Penalty, such as GroupLasso.*, got float",
        ),
    ],
)
def test_bad_arguments(small, options, error, match):
    with pytest.raises(error, match=match):
        recover(small.op, small.y, **options)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda y: y[:-1], ValueError, "one value for each of the 60 measurements, got 59"),
        (lambda y: y[:, None], ValueError, r"y must have 1 dimension\(s\), got shape \(60, 1\)"),
        (lambda y: y + 0j, TypeError, "got dtype complex128; stack its real and imaginary parts"),
        (lambda y: np.where(y > 0, y, np.nan), ValueError, r"y must be finite, got \d+ NaN"),
        (lambda y: np.append(y[1:], -np.inf), ValueError, "y must be finite, got 1 NaN or inf"),
        (lambda y: y.astype(str), TypeError, "y must be real numbers, got dtype <U"),
        (lambda y: np.ma.masked_less(y, 0.0), ValueError, "y has masked values"),
        (lambda y: None, TypeError, "y must be the measured values, got None: pass the 60"),
    ],
)
def test_bad_measurements(small, change, error, match):
    with pytest.raises(error, match=match):
        recover(small.op, change(small.y))


def test_fewer_measurements_than_a_matrix_of_rank_one_has_unknowns():
    op = DenseSensing(np.ones((12, 8, 6)))
    with pytest.raises(ValueError, match="12 measurements are fewer than the 13 unknowns"):
        recover(op, np.ones(12))


def test_packed_measurements_need_a_symmetric_matrix():
    instance = KINDS["packed"](random_state=0)
    with pytest.raises(ValueError, match="pass symmetric=True"):
        recover(instance.op, instance.y)


def test_arguments_after_y_are_named(small):
    with pytest.raises(TypeError, match="positional"):
        recover(small.op, small.y, True)
    with pytest.raises(TypeError, match="unexpected keyword"):
        recover(small.op, small.y, ranks=2)


def test_something_that_is_no_operator(small):
    with pytest.raises(TypeError, match="op must be a measurement operator, got ndarray"):
        recover(np.ones((60, 8, 6)), small.y)


def test_something_that_is_no_callback(small):
    with pytest.raises(TypeError):
        recover(small.op, small.y, callbacks=[3])


def test_no_penalty_at_full_width_is_a_penalty(small):
    result = recover(small.op, small.y, penalty=NoPenalty(), width=2)
    assert result.factors.width <= 2


@pytest.mark.parametrize("seed", [2, 3, 6])
def test_where_growing_is_trapped_at_the_right_rank_a_lower_one_is_looked_for(seed):
    # One column more fits exactly in many ways; the certificate does not hold there.
    inst = lr.simulate.matrix_completion(200, 3, oversampling=2.0, random_state=seed)
    result = lr.recover(inst.op, inst.y, random_state=seed)
    assert (result.rank, result.status) == (3, lr.Status.CONVERGED)
    assert inst.error(result.factors) < 1e-9


# --- exact but for a few rows -------------------------------------------------------------------


def with_thin_rows(count: int) -> tuple[ObservedEntries, np.ndarray, np.ndarray]:
    """Exactly of rank three; so many rows have two entries only, and all others half of theirs."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 3)) @ rng.standard_normal((3, 40))
    mask = rng.random(X.shape) < 0.5
    mask[:count] = False
    mask[:count, [3, 17]] = True
    return ObservedEntries(*np.nonzero(mask), X.shape), X[mask], X


def test_an_exact_fit_with_a_few_thin_rows_predicts_the_others():
    op, y, X = with_thin_rows(3)
    result = recover(op, y)
    assert result.status is Status.APPROXIMATE
    assert not result.certificate.holds
    assert "3 rows (0, 1, 2, counted from 0) have too few measurements" in result.message
    np.testing.assert_allclose(result.factors.to_dense()[3:], X[3:], atol=1e-8)
    found = result.certificate.prediction
    hidden = 80 * 40 - op.size
    assert found.guessed == pytest.approx(3 * 38 / hidden)
    assert found.coverage is None


def test_an_exact_fit_with_many_thin_rows_does_not():
    op, y, _ = with_thin_rows(12)
    result = recover(op, y)
    assert result.status is Status.STALLED
    assert "have too few measurements" in result.message

"""posterior(): intervals that cover, what it refuses, seeds, weights, outliers, calibration."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Squared, StudentT, posterior, simulate
from leanrank.operators import ObservedEntries
from leanrank.results import RecoveryError


@pytest.fixture(scope="module")
def inst() -> simulate.Instance:
    return simulate.matrix_completion((60, 50), 2, oversampling=4, noise=0.3, random_state=0)


@pytest.fixture(scope="module")
def dense() -> simulate.Instance:
    return simulate.dense_sensing((9, 8), 1, m=120, noise=0.2, random_state=0)


def hidden(op: ObservedEntries) -> tuple[np.ndarray, np.ndarray]:
    mask = np.ones(op.shape, dtype=bool)
    mask[op.rows, op.cols] = False
    return np.nonzero(mask)


def share(interval, values) -> float:
    low, high = interval
    return float(np.mean((low <= values) & (values <= high)))


def error(post, inst) -> float:
    X = inst.truth.to_dense()
    return float(np.linalg.norm(post.to_dense() - X) / np.linalg.norm(X))


# --- what it says -------------------------------------------------------------------------------


def test_intervals_hold_what_nobody_observed():
    """Over all unobserved entries of three problems; .95 of them, but for the luck of the draw."""
    found = []
    for seed in range(3):
        inst = simulate.matrix_completion(
            (100, 80), 3, oversampling=3, noise=0.3, random_state=seed
        )
        at = hidden(inst.op)
        post = posterior(inst.op, inst.y, random_state=seed)
        found.append(share(post.interval(*at), inst.truth.to_dense()[at]))
        assert share(post.interval(*at, level=0.5), inst.truth.to_dense()[at]) < 0.6
    assert min(found) > 0.90
    assert max(found) < 0.99


def test_intervals_of_other_operators_cover():
    """On average: the few unknowns of one problem are wrong together, or right."""
    found, (i, j) = [], np.indices((9, 8))
    for seed in range(8):
        inst = simulate.dense_sensing((9, 8), 1, m=120, noise=0.2, random_state=seed)
        post = posterior(inst.op, inst.y, draws=50)
        assert post.method == "perturbation"
        assert np.all(post.std(i, j) > 0)
        found.append(share(post.interval(i, j), inst.truth.to_dense()))
    assert 0.90 < np.mean(found) < 0.99


def test_symmetric_draws_are_symmetric():
    inst = simulate.dense_sensing(8, 1, m=80, symmetric=True, noise=0.1, random_state=0)
    post = posterior(inst.op, inst.y, symmetric=True, draws=4)
    for drawn in post.draws():
        np.testing.assert_allclose(drawn.to_dense(), drawn.to_dense().T, atol=1e-12)


@pytest.mark.parametrize("factor", [1e-6, 1e5])
def test_units_of_y_are_those_of_the_answer(inst, factor):
    one, other = posterior(inst.op, inst.y), posterior(inst.op, factor * inst.y)
    i, j = np.arange(50), np.arange(50)
    size = np.abs(one.to_dense()).max()
    np.testing.assert_allclose(other.mean(i, j) / factor, one.mean(i, j), atol=1e-3 * size)
    np.testing.assert_allclose(other.std(i, j) / factor, one.std(i, j), atol=1e-3 * size)
    np.testing.assert_allclose(other.noise / factor**2, one.noise, rtol=1e-3)


def test_the_noise_is_found(inst):
    noise = np.std(inst.y - inst.op.forward(inst.truth))
    assert np.sqrt(posterior(inst.op, inst.y).noise[0]) == pytest.approx(noise, rel=0.15)


def test_each_column_may_have_a_noise_of_its_own():
    inst = simulate.matrix_completion((100, 40), 2, oversampling=7, random_state=1)
    rng = np.random.default_rng(0)
    levels = np.std(inst.y) * np.where(np.arange(40) < 20, 0.1, 1.0)
    y = inst.y + levels[inst.op.cols] * rng.standard_normal(inst.y.size)
    own, common = (posterior(inst.op, y, noise=n) for n in ("columns", "common"))
    assert np.ptp(common.noise) == 0.0
    assert np.abs(np.log(own.noise / levels**2)).mean() < 0.4
    assert error(own, inst) < error(common, inst)


def test_intercepts_of_rows_and_columns(rng):
    n1, n2 = 60, 50
    b, c = rng.standard_normal(n1), 2.0 * rng.standard_normal(n2)
    X = 5.0 + b[:, None] + c[None, :]
    rows, cols = np.nonzero(rng.random((n1, n2)) < 0.15)
    op = ObservedEntries(rows, cols, (n1, n2))
    y = X[rows, cols] + 0.5 * rng.standard_normal(rows.size)
    post, plain = (posterior(op, y, intercepts=flag) for flag in (True, False))
    missed, of_plain = (np.sqrt(np.mean((p.to_dense() - X) ** 2)) for p in (post, plain))
    assert missed < 0.3
    assert missed < 0.8 * of_plain


# --- what it is told ----------------------------------------------------------------------------


def test_weights_are_inverse_variances():
    inst = simulate.matrix_completion((100, 80), 3, oversampling=4, random_state=6)
    rng = np.random.default_rng(6)
    noise = 0.1 * np.std(inst.y) * np.where(rng.random(inst.y.size) < 0.5, 30.0, 1.0)
    y = inst.y + noise * rng.standard_normal(inst.y.size)
    told, blind = posterior(inst.op, y, loss=Squared(noise**-2)), posterior(inst.op, y)
    assert error(told, inst) < 0.5 * error(blind, inst)
    at = hidden(inst.op)
    assert 0.9 < share(told.interval(*at), inst.truth.to_dense()[at]) < 0.99
    # Up to a constant.
    again = posterior(inst.op, y, loss=Squared(1e4 * noise**-2))
    np.testing.assert_allclose(again.to_dense(), told.to_dense(), rtol=1e-3, atol=1e-3)


def test_weight_zero_tells_nothing(inst, rng):
    keep = rng.random(inst.y.size) < 0.8
    wrong = np.where(keep, inst.y, 1e3)
    whole = posterior(inst.op, wrong, loss=Squared(keep.astype(float)))
    assert error(whole, inst) < 1.3 * error(posterior(inst.op, inst.y), inst)


def test_outliers_do_not_mislead_student_t():
    inst = simulate.matrix_completion((100, 80), 3, oversampling=4, noise=0.2, random_state=3)
    rng = np.random.default_rng(3)
    y, bad = inst.y.copy(), rng.random(inst.y.size) < 0.05
    y[bad] += 20.0 * np.std(y) * rng.choice([-1.0, 1.0], bad.sum())
    clean = error(posterior(inst.op, inst.y), inst)
    robust = posterior(inst.op, y, loss=StudentT())
    assert error(robust, inst) < 1.25 * clean
    at = hidden(inst.op)
    assert share(robust.interval(*at), inst.truth.to_dense()[at]) > 0.88
    assert error(posterior(inst.op, y), inst) > 2 * clean


@pytest.mark.parametrize("rank", [1, 4])
def test_a_known_rank_is_kept(inst, rank):
    # One estimate for each column, and none that the data would have emptied.
    assert posterior(inst.op, inst.y, rank=rank, draws=2).rank == rank


def test_no_more_columns_than_the_width(inst):
    assert posterior(inst.op, inst.y, draws=2).rank == 2
    assert posterior(inst.op, inst.y, width=1, draws=2).rank == 1


@pytest.mark.parametrize("draws", [2, 7])
def test_so_many_draws_as_are_asked_for(inst, dense, draws):
    for each in (inst, dense):
        assert posterior(each.op, each.y, draws=draws).size == draws


# --- calibration --------------------------------------------------------------------------------


def test_calibrated_intervals_cover_readings_whatever_the_noise():
    """Two kinds of readings, one four times as noisy as the other: no normal noise."""
    inst = simulate.matrix_completion((100, 80), 2, oversampling=8, random_state=0)
    rng = np.random.default_rng(0)
    size = 0.5 * np.std(inst.y)

    def noise(n: int) -> np.ndarray:
        return size * rng.standard_normal(n) * np.where(rng.random(n) < 0.1, 6.0, 0.3)

    at = hidden(inst.op)
    new = inst.truth.to_dense()[at] + noise(at[0].size)
    plain, own = (
        posterior(inst.op, (y := inst.y + noise(inst.y.size)), calibration=c, draws=40)
        for c in (None, 0.2)
    )
    assert own.scores is not None
    assert own.scores.size == pytest.approx(0.2 * y.size, abs=1)
    for level in (0.5, 0.8, 0.95):
        covered = share(own.interval(*at, level=level, reading=True), new)
        assert covered == pytest.approx(level, abs=0.08)
    # Without it half of the readings are in intervals that are far too long.
    assert share(plain.interval(*at, level=0.5, reading=True), new) > 0.65


# --- what it refuses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"noise": "rows"}, ValueError, "noise must be 'common' or 'columns', got 'rows'"),
        ({"noise": None}, ValueError, "noise must be 'common' or 'columns', got None"),
        ({"calibration": 0}, ValueError, "calibration must be finite and above 0, got 0"),
        ({"calibration": 1.0}, ValueError, "calibration must be a share below 1, got 1"),
        ({"calibration": np.nan}, ValueError, "calibration must be finite"),
        ({"calibration": "a"}, TypeError, "calibration must be a number, got 'a'"),
        ({"draws": 1}, ValueError, "draws must be at least 2, got 1"),
        ({"draws": 2.5}, TypeError, "draws must be an integer"),
        ({"intercepts": 1}, TypeError, "intercepts must be True or False, got 1"),
        ({"symmetric": "no"}, TypeError, "symmetric must be True or False"),
        ({"rank": 0}, ValueError, "rank must be"),
        ({"width": 51}, ValueError, "width must be"),
        ({"loss": "huber"}, TypeError, "loss must be a Loss"),
        ({"loss": 0}, TypeError, "loss must be a Loss"),
        ({"callbacks": [3]}, TypeError, r"callbacks\[0\] must be a function, got 3"),
        ({"symmetric": True}, ValueError, "square"),
        ({"random_state": "seed"}, TypeError, "random_state must"),
    ],
)
def test_bad_arguments_are_named(inst, options, error, message):
    with pytest.raises(error, match=message):
        posterior(inst.op, inst.y, **options)


def test_bad_measurements_are_named(inst):
    for y, message in (
        (inst.y[:-1], "y must"),
        (np.where(np.arange(inst.y.size) == 3, np.nan, inst.y), "y"),
    ):
        with pytest.raises(ValueError, match=message):
            posterior(inst.op, y)
    with pytest.raises(ValueError, match="weights must not be negative, and not all of them zero"):
        posterior(inst.op, inst.y, loss=Squared(np.zeros(inst.y.size)))


@pytest.mark.parametrize(
    "options", [{"intercepts": True}, {"noise": "columns"}, {"calibration": 0.1}]
)
def test_what_needs_entries_says_so(dense, options):
    with pytest.raises(ValueError, match="are for observed entries of a matrix that is not sym"):
        posterior(dense.op, dense.y, **options)
    seen = np.nonzero(np.random.default_rng(0).random((9, 9)) < 0.9)
    with pytest.raises(ValueError, match="are for observed entries"):
        posterior(ObservedEntries(*seen, (9, 9)), np.ones(seen[0].size), symmetric=True, **options)


def test_a_callback_that_stops_is_told_so(inst, dense):
    for each in (inst, dense):
        with pytest.raises(RecoveryError, match="stopped by a callback before there was a post"):
            posterior(each.op, each.y, callbacks=[lambda state: True])


def test_callbacks_see_states(inst):
    seen = []
    posterior(inst.op, inst.y, draws=2, callbacks=[lambda state: seen.append(state.phase)])
    assert set(seen) == {"posterior"}


# --- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"intercepts": True}, {"noise": "columns"}])
def test_of_zeros_it_is_zero(inst, options):
    post = posterior(inst.op, np.zeros(inst.y.size), **options)
    assert not post.to_dense().any()
    assert not np.array(post.interval(np.arange(9), np.arange(9))).any()


def test_of_pure_noise_it_is_next_to_nothing(rng):
    rows, cols = np.nonzero(rng.random((60, 50)) < 0.3)
    op = ObservedEntries(rows, cols, (60, 50))
    post = posterior(op, rng.standard_normal(rows.size))
    assert np.sqrt(np.mean(post.to_dense() ** 2)) < 0.3
    zero = share(post.interval(*np.indices((60, 50))), 0.0)
    assert zero > 0.9


def test_without_noise_it_is_the_matrix():
    inst = simulate.matrix_completion((60, 50), 2, oversampling=4, random_state=0)
    assert error(posterior(inst.op, inst.y), inst) < 1e-5


def test_the_same_seed_gives_the_same_draws(inst, dense):
    for each in (inst, dense):
        one, two, other = (
            posterior(each.op, each.y, draws=3, random_state=s)
            for s in (5, np.random.default_rng(5), 6)
        )
        np.testing.assert_array_equal(one.left, two.left)
        np.testing.assert_array_equal(one.right, two.right)
        assert not np.array_equal(one.left, other.left)


def test_input_is_left_alone(inst):
    y, state = inst.y.copy(), np.random.get_state()[1].copy()  # noqa: NPY002 - that it is not used
    posterior(inst.op, y, draws=2)
    np.testing.assert_array_equal(y, inst.y)
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002

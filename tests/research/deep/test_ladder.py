"""A ladder of ridges: the rank is found, what is weak is grown, and nothing is claimed falsely."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import leanrank as lr
from leanrank.problem import Problem
from leanrank.research.deep import (
    CollapseWarning,
    DeepFactors,
    Phase,
    RidgeLadder,
    _ladder,
    annealing,
    initial_layers,
)
from leanrank.research.deep._engines import sharpest_entry, sharpness
from leanrank.results import Status

QUICK = RidgeLadder(epochs=10)


def completion(seed=0, **options):
    return lr.simulate.matrix_completion((60, 50), 3, oversampling=3, random_state=seed, **options)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_rank_is_found_and_the_fit_is_exact(depth):
    for seed in range(3):
        inst = completion(seed)
        result = lr.recover(inst.op, inst.y, strategy=RidgeLadder(depth=depth))
        assert result.rank == 3
        assert result.status is Status.CONVERGED
        assert result.message.endswith("the deep network came down to this rank by itself")
        assert inst.error(result.factors) < 1e-9


def test_with_noise_the_error_is_that_of_the_core():
    inst = lr.simulate.matrix_completion(30, 2, oversampling=5, noise=0.05, random_state=0)
    core = lr.recover(inst.op, inst.y)
    deep = lr.recover(inst.op, inst.y, strategy=RidgeLadder())
    assert core.rank == deep.rank == 2
    assert deep.status is Status.CONVERGED
    assert inst.error(deep.factors) <= 1.02 * inst.error(core.factors)


def test_singular_values_that_the_ridge_takes_are_grown():
    inst = completion(kappa=200.0)
    result = lr.recover(inst.op, inst.y, strategy=RidgeLadder(depth=4, epochs=20))
    assert (result.rank, result.status) == (3, Status.CONVERGED)
    assert inst.error(result.factors) < 1e-9
    assert "found by the fits that followed the deep network" in result.message


def test_a_network_that_did_not_descend_gets_no_credit():
    inst = completion()
    result = lr.recover(inst.op, inst.y, strategy=RidgeLadder(schedule=[Phase(1, 1e-6, 0.0)]))
    assert (result.rank, result.status) == (3, Status.CONVERGED)
    assert "the fits that followed the deep network, which had" in result.message


@pytest.mark.parametrize(
    "make",
    [
        lambda: lr.simulate.dense_sensing((14, 12), 2, oversampling=4, random_state=0),
        lambda: lr.simulate.rank_one_sensing((14, 12), 2, oversampling=4, random_state=0),
        lambda: lr.simulate.full_observation((14, 12), 2, random_state=0),
    ],
    ids=["dense", "rank one", "full"],
)
def test_all_measurements(make):
    inst = make()
    result = lr.recover(inst.op, inst.y, strategy=QUICK)
    assert (result.rank, result.status) == (2, Status.CONVERGED)
    assert inst.error(result.factors) < 1e-9


def unit_problem(inst):
    """In units of spectral norm one, and the leading direction of the matrix itself."""
    P, s, Qt = np.linalg.svd(inst.truth.to_dense())
    return Problem(inst.op, inst.y / s[0]), lr.Factors(P[:, :1], Qt[:1].T)


def test_networks_lose_rank_rung_by_rung(rng):
    problem, leading = unit_problem(completion(kappa=5.0))
    networks = RidgeLadder().networks(problem, leading, 40, rng)
    ranks = [network.to_factors(1e-2).width for network in networks]
    assert ranks[0] >= 3
    assert ranks == sorted(ranks, reverse=True)
    assert 3 in ranks
    assert ranks[-1] < 3


def test_a_network_comes_down_to_the_rank_of_a_large_matrix(rng):
    # Singular values over a factor of ten, a fifth observed: by itself, without any refit.
    inst = lr.simulate.matrix_completion(200, 3, fraction=0.2, kappa=10.0, random_state=1)
    problem, leading = unit_problem(inst)
    truth = inst.truth.to_dense() / np.linalg.norm(inst.truth.to_dense(), 2)
    ends = list(RidgeLadder().networks(problem, leading, 40, rng))
    assert ends[0].to_factors(1e-6).width == 40
    of_rank = [end for end in ends if end.to_factors(1e-6).width == 3]
    assert of_rank
    assert min(np.linalg.norm(end.product() - truth) for end in of_rank) < 0.15


@pytest.mark.parametrize("highest", [0.9, 1.2])
def test_the_ridge_of_collapse_is_where_a_full_matrix_is_lost(highest):
    # From a start that is large enough: a deep network at zero stays there under any ridge.
    problem, leading = unit_problem(lr.simulate.full_observation((5, 4), 1, random_state=0))
    ladder = RidgeLadder(
        lowest=highest, highest=highest, epochs=20_000, learning_rate=0.05, batch_size=20, start=2.0
    )
    ends = list(ladder.networks(problem, leading, 8, np.random.default_rng(0)))
    assert len(ends) == (highest < 1.0)
    assert all(end.singular_values()[0] > 0.25 for end in ends)


def rungs(monkeypatch, ladder, problem, leading, ends):
    """The phases of a ladder, and the networks that it gives, where descent ends as told."""
    phases, ends = [], iter(ends)

    def descend(problem, network, phase, batch, rng, show):
        phases.append((batch, phase))
        return next(ends)

    monkeypatch.setattr(_ladder, "_descend", descend)
    rng = np.random.default_rng(0)
    return phases, list(ladder.networks(problem, leading, 8, rng))


def of_size(size, depth=3):
    return DeepFactors.balanced(size * np.eye(5, 4)[:, :1] @ np.eye(4)[:1], depth)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_ridges_rise_from_the_lowest_to_the_highest_share_of_what_leaves_nothing(
    monkeypatch, depth
):
    problem, leading = unit_problem(lr.simulate.full_observation((5, 4), 2, random_state=0))
    ladder = RidgeLadder(depth, lowest=0.1, highest=0.81, factor=2.0, epochs=7.5)
    phases, found = rungs(monkeypatch, ladder, problem, leading, [of_size(1.0, depth)] * 9)
    # s (u v^T) is stationary for the ridge (2 / m) (1 - s) s^(1 - 2 / L).
    s = np.linspace(0.0, 1.0, 10_001)[1:]
    nothing = 2.0 / 20 * np.max((1.0 - s) * s ** (1.0 - 2.0 / depth))
    ridges = [phase.ridge for _, phase in phases]
    np.testing.assert_allclose(ridges, nothing * np.array([0.1, 0.2, 0.4, 0.8]), rtol=1e-3)
    assert len(found) == 4
    assert {(batch, phase.steps) for batch, phase in phases} == {(1, 150)}
    higher = RidgeLadder(depth, lowest=0.1, highest=0.79, factor=2.0)
    phases, _ = rungs(monkeypatch, higher, problem, leading, [of_size(1.0, depth)] * 9)
    assert len(phases) == 3


def test_learning_rates_are_stable_on_the_sharpest_entry_and_under_the_ridge(monkeypatch):
    problem, leading = unit_problem(lr.simulate.full_observation((5, 4), 2, random_state=0))
    reference = sharpest_entry(problem.op, DeepFactors.balanced(leading, 3))
    wide = of_size(50.0)  # sharper than the reference
    ladder = RidgeLadder(learning_rate=0.2, factor=4.0)
    phases, _ = rungs(monkeypatch, ladder, problem, leading, [of_size(1e-1), wide, wide, wide])
    rates = [phase.learning_rate for _, phase in phases]
    assert len(rates) == 4
    assert rates[0] <= 0.2 / reference * (1 + 1e-12)
    assert rates[1] == pytest.approx(0.2 / reference, rel=1e-12)
    sharpest = sharpest_entry(problem.op, wide)
    np.testing.assert_allclose(rates[2:], 0.2 / sharpest, rtol=1e-12)
    # However large a rate is asked for, a step takes half of every weight at most.
    phases, _ = rungs(monkeypatch, RidgeLadder(learning_rate=1e9), problem, leading, [wide] * 99)
    assert len(phases) == 13
    for _, phase in phases:
        assert phase.learning_rate * phase.ridge == pytest.approx(0.5, rel=1e-12)


def test_a_ladder_ends_once_the_network_is_about_zero(monkeypatch):
    problem, leading = unit_problem(lr.simulate.full_observation((5, 4), 2, random_state=0))
    ends = [of_size(1.0), of_size(0.0101), of_size(0.0099), of_size(1.0)]
    phases, found = rungs(monkeypatch, RidgeLadder(), problem, leading, ends)
    assert (len(phases), found) == (3, ends[:2])


@pytest.mark.parametrize(("diverging", "steps"), [(0, 4000), (3, 4000), (99, 499)])
def test_what_diverges_goes_on_at_half_the_rate_for_twice_as_long(monkeypatch, diverging, steps):
    problem, _ = unit_problem(lr.simulate.full_observation((5, 4), 2, random_state=0))
    tried, shown, start, passes = [], [], of_size(1.0), problem.passes

    def train(problem, network, schedule, *, batch_size, every, random_state):
        (phase,) = schedule
        assert every == phase.steps
        tried.append(phase)
        status = Status.DIVERGED if len(tried) <= diverging else Status.MAX_ITER
        return SimpleNamespace(statuses=[status], networks=[start])

    monkeypatch.setattr(_ladder, "train", train)
    phase = Phase(steps, 0.1, 0.01)
    _ladder._descend(problem, start, phase, 2, np.random.default_rng(0), shown.append)
    parts, halvings = 8 if steps == 4000 else 1, min(diverging, 10)
    assert len(shown) == parts
    assert len(tried) == halvings + parts
    for number, own in enumerate(tried):
        halved = 2 ** min(number, halvings)
        assert own == Phase(halved * steps // parts, 0.1 / halved, 0.01)
    updates = sum(own.steps for own in tried)
    assert problem.passes - passes == pytest.approx(2.0 * 2 * updates / 20, rel=1e-12)


def test_the_same_seed_gives_the_same_answer():
    inst = lr.simulate.matrix_completion(20, 2, oversampling=3, noise=0.05, random_state=0)
    one, two = (lr.recover(inst.op, inst.y, strategy=QUICK, random_state=4) for _ in range(2))
    np.testing.assert_array_equal(one.factors.W, two.factors.W)
    other = lr.recover(inst.op, inst.y, strategy=QUICK, random_state=5)
    assert not np.array_equal(one.factors.W, other.factors.W)


def test_a_schedule_of_ones_own():
    inst = completion()
    steps = 30 * inst.op.size
    schedule = annealing(steps, 0, learning_rate=0.05, ridge=1e-4, warm_up_steps=0)
    result = lr.recover(inst.op, inst.y, strategy=RidgeLadder(schedule=schedule))
    assert (result.rank, result.status) == (3, Status.CONVERGED)


def test_noise_alone_is_not_taken_for_a_matrix(rng):
    rows, cols = np.nonzero(rng.random((30, 30)) < 0.5)
    op = lr.operators.ObservedEntries(rows, cols, (30, 30))
    result = lr.recover(op, rng.standard_normal(rows.size), strategy=QUICK)
    assert not result.success


def test_measurements_that_say_nothing_but_one():
    # All that is not held out is zero: there is no direction to start from.
    op = lr.operators.ObservedEntries(*np.divmod(np.arange(100), 10), (10, 10))
    y = np.zeros(100)
    y[37] = 1.0
    for seed in range(5):
        result = lr.recover(op, y, strategy=QUICK, validation=0.5, random_state=seed)
        assert np.isfinite(result.factors.to_dense()).all()


def test_hardly_more_measurements_than_unknowns(rng):
    rows, cols = np.nonzero(np.ones((4, 3)))
    op = lr.operators.ObservedEntries(rows[:7], cols[:7], (4, 3))
    result = lr.recover(op, rng.standard_normal(7), strategy=QUICK)
    assert not result.success


def test_divergence_halves_the_rate():
    inst = completion()
    result = lr.recover(inst.op, inst.y, strategy=RidgeLadder(learning_rate=50.0, epochs=5))
    assert (result.rank, result.status) == (3, Status.CONVERGED)


def test_a_ladder_on_which_nothing_is_left_still_answers():
    inst = completion()
    ladder = RidgeLadder(schedule=[Phase(20 * inst.op.size, 0.05, 5.0)])
    with pytest.warns(CollapseWarning, match="phase 0"):
        result = lr.recover(inst.op, inst.y, strategy=ladder)
    assert (result.rank, result.status) == (3, Status.CONVERGED)


def test_callbacks_see_the_descent_and_can_stop_it():
    inst = completion()
    seen = []

    def third(state):
        seen.append((state.phase, threading.current_thread() is threading.main_thread()))
        return len(seen) == 3

    result = lr.recover(inst.op, inst.y, strategy=RidgeLadder(), callbacks=[third])
    assert result.status is Status.STOPPED
    assert seen == [("descend", True)] * 3
    assert result.factors.width > 0


def test_single_precision():
    inst = completion(dtype=np.float32)
    result = lr.recover(inst.op, inst.y, strategy=QUICK)
    assert result.factors.U.dtype == np.float32
    assert (result.rank, result.status) == (3, Status.CONVERGED)


def test_inputs_are_not_modified():
    inst = completion()
    y = inst.y.copy()
    lr.recover(inst.op, inst.y, strategy=QUICK)
    np.testing.assert_array_equal(inst.y, y)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth": 1}, "depth"),
        ({"hidden_width": 0}, "hidden_width"),
        ({"batch_size": 0}, "batch_size"),
        ({"epochs": 0.0}, "epochs"),
        ({"lowest": -0.1}, "lowest"),
        ({"lowest": 0.5, "highest": 0.4}, "highest"),
        ({"factor": 1.0}, "factor"),
        ({"learning_rate": np.nan}, "learning_rate"),
        ({"start": 0.0}, "start"),
        ({"schedule": []}, "schedule"),
        ({"schedule": [(1, 2, 3)]}, "schedule"),
    ],
)
def test_ladders_that_cannot_be_right(options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        RidgeLadder(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"solver": "deep"}, "RidgeLadder"),
        ({"strategy": "deep"}, "RidgeLadder"),
        ({"rank": 3}, "rank"),
        ({"penalty": lr.Ridge(0.1)}, "penalty"),
    ],
)
def test_calls_that_cannot_be_right(options, words):
    inst = completion()
    with pytest.raises((ValueError, TypeError), match=words):
        lr.recover(inst.op, inst.y, **({"strategy": RidgeLadder()} | options))


def test_symmetric_matrices_are_refused():
    inst = lr.simulate.dense_sensing(10, 2, symmetric=True, oversampling=4, random_state=0)
    with pytest.raises(ValueError, match="symmetric"):
        lr.recover(inst.op, inst.y, symmetric=True, strategy=RidgeLadder())


@pytest.mark.filterwarnings("ignore::leanrank.estimators.RecoveryWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [lr.DeepLinearCompletion(depth=2, hidden_width=4, epochs=1)],
    expected_failed_checks=lambda _: {
        "check_sample_weights_shape": "entries have weights, too",
        "check_sample_weight_equivalence_on_dense_data": "weights must be zero or all the same",
        "check_sample_weight_equivalence_on_sparse_data": "weights must be zero or all the same",
        "check_sample_weights_not_overwritten": "weights must be zero or all the same",
    },
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_the_sharpest_entry_is_the_sharpest_of_single_entries(rng):
    inst = completion()
    network = initial_layers((60, 50), 4, 7, random_state=rng)
    each = [sharpness(inst.op.subset(np.array([i])), network) for i in range(inst.op.size)]
    assert sharpest_entry(inst.op, network) == pytest.approx(max(each), rel=1e-12)


def test_a_table_is_completed():
    inst = lr.simulate.matrix_completion(60, 3, fraction=0.5, kappa=10.0, random_state=0)
    full = inst.truth.to_dense()
    X = np.full(full.shape, np.nan)
    X[inst.op.rows, inst.op.cols] = inst.y
    imputer = lr.DeepLinearCompletion(4)
    completed = imputer.fit_transform(X)
    assert (imputer.rank_, imputer.status_) == (3, Status.CONVERGED)
    assert np.linalg.norm(completed - full) < 1e-6 * np.linalg.norm(full)
    assert any(record.phase == "descend" for record in imputer.result_.history.records)


@pytest.mark.parametrize("name", ["depth", "hidden_width", "epochs", "learning_rate", "schedule"])
def test_parameters_are_checked_by_their_names(name):
    X = np.array([[1.0, np.nan], [2.0, 4.0], [3.0, 6.0]])
    with pytest.raises((ValueError, TypeError), match=name):
        lr.DeepLinearCompletion(**{name: -1}).fit(X)

"""Algorithm 1: what it recovers, what it verifies, and what it says when it fails."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from leanrank.factors import Factors
from leanrank.operators import DenseSensing
from leanrank.problem import Problem
from leanrank.research import theory
from leanrank.research.greedy import greedy_prune
from leanrank.results import Status
from leanrank.solvers import LBFGS

WIDTH = 20


def figure_2(seed, strengths=(1.0, 1.0, 1.0), m=100):
    """d = 20, r = 3, standard normal sensing: the setting of Fig. 2 of the paper."""
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((20, len(strengths))))[0] * np.array(strengths)
    op = DenseSensing(rng.standard_normal((m, 20, 20)), symmetric=True)
    truth = Factors(U)
    return op, op.forward(truth), truth


def test_fine_tuning_ends_at_a_share_of_epsilon_in_any_units():
    for units in (0.01, 100.0):
        op, y, _ = figure_2(0)
        epsilon = 1e3 * units**1.5
        result = greedy_prune(
            op,
            units * y,
            width=4,
            lam=0.2 * units**1.5,
            beta=0.01 * units,
            epsilon=epsilon,
            random_state=0,
        )
        before, last = result.history.records[-2:]
        assert last.gradient_norm <= 1e-10 * epsilon < before.gradient_norm


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["perturbed", "literal", "lbfgs"])
def test_exactly_three_columns_and_the_matrix(seed, kind):
    op, y, truth = figure_2(seed)
    options = {
        "perturbed": {},
        "literal": {"step_size": 0.02, "fine_tune_steps": 2500},
        "lbfgs": {"solver": LBFGS()},
    }[kind]
    result = greedy_prune(
        op, y, width=WIDTH, lam=0.2, beta=0.01, scale=0.1, random_state=seed, **options
    )
    assert result.status is Status.CONVERGED, result.message
    assert result.rank == 3
    assert result.factors.distance(truth) < 1e-6
    before, after = (result.column_norms[f"{when} pruning"] for when in ("before", "after"))
    assert before.shape == (WIDTH,)
    assert after.shape == (3,)
    assert np.sort(before)[-4] <= 0.2 < after.min()
    expected = theory.predicted_column_norm(1.0, 0.2, 0.01)
    assert after == pytest.approx([expected] * 3, rel=0.12)
    phases = result.history.column("phase")
    assert phases[0] == "penalise"
    assert phases[-1] == "fine-tune"
    assert phases == sorted(phases, reverse=True)
    widths = dict(zip(phases, result.history.column("width"), strict=True))
    assert widths == {"penalise": WIDTH, "fine-tune": 3}
    passes = result.history.column("passes")
    assert all(a <= b for a, b in itertools.pairwise(passes))


def test_fine_tuning_is_plain_descent_on_the_loss_alone():
    op, y, _ = figure_2(0)
    steps = greedy_prune(
        op, y, width=6, lam=0.2, beta=0.01, step_size=0.02, fine_tune_steps=7, random_state=0
    )
    pruned = greedy_prune(
        op, y, width=6, lam=0.2, beta=0.01, step_size=0.02, fine_tune_steps=0, random_state=0
    )
    assert pruned.factors.width == steps.factors.width
    W = pruned.factors
    problem = Problem(op, y)
    for _ in range(7):
        W = W.with_stacked(W.W - 0.02 * problem.evaluate(W).gradient)
    np.testing.assert_allclose(steps.factors.W, W.W, rtol=1e-12)
    assert steps.status is Status.MAX_ITER
    assert "raise fine_tune_steps" in steps.message


def test_a_point_longer_than_it_may_be_is_not_the_one_that_the_algorithm_asks_for():
    op, y, _ = figure_2(0)
    options = {"width": 6, "lam": 0.2, "beta": 0.01, "solver": LBFGS(), "random_state": 0}
    assert greedy_prune(op, y, **options).status is Status.CONVERGED
    long = greedy_prune(op, y, operator_norm=0.8, **options)
    assert long.status is Status.STALLED
    assert "but its operator norm is 0.9" in long.message
    assert long.rank == 3
    assert greedy_prune(op, y, operator_norm=1.1, **options).status is Status.CONVERGED


def test_over_regularisation_kills_the_weak_direction_and_the_message_says_so():
    op, y, truth = figure_2(0, (1.0, 0.75, 0.5))
    assert theory.critical_lambda(0.5, 0.01) < 0.2
    result = greedy_prune(op, y, width=WIDTH, lam=0.2, beta=0.01, solver=LBFGS(), random_state=0)
    assert result.rank == 2
    assert "warning" in result.message
    assert "try a smaller lam" in result.message
    close = greedy_prune(op, y, width=WIDTH, lam=0.1, beta=0.01, solver=LBFGS(), random_state=0)
    assert close.rank == 3
    assert "above half of" in close.message
    milder = greedy_prune(op, y, width=WIDTH, lam=0.06, beta=0.01, solver=LBFGS(), random_state=0)
    assert milder.rank == 3
    assert milder.factors.distance(truth) < 1e-6
    assert "warning" not in milder.message


def test_noise_alone_is_no_reason_to_warn():
    warned = 0
    for seed in range(5):
        op, y, _ = figure_2(seed, m=300)
        y = y + 0.2 * np.random.default_rng(seed).standard_normal(300)
        result = greedy_prune(op, y, width=8, lam=0.1, beta=0.01, solver=LBFGS(), random_state=seed)
        assert result.rank == 3
        warned += "warning" in result.message
    assert warned <= 1


def test_collapse_from_a_tiny_start_is_explained():
    op, y, _ = figure_2(0)
    options = {"lam": 0.1, "beta": 0.03**2, "width": WIDTH, "random_state": 0}
    assert theory.origin_is_stable(0.1, 0.03**2, 1.0)
    result = greedy_prune(op, y, scale=1e-3, **options)
    assert result.status is Status.STALLED
    assert result.rank == 0
    assert "all 20 columns were pruned: lam = 0.1 >= 2 sqrt(beta) sigma^2" in result.message
    assert "lower lam" in result.message
    assert result.column_norms["before pruning"].max() < 1e-3
    # The same penalty from columns much longer than sqrt(beta) does not collapse.
    assert greedy_prune(op, y, scale=0.1, **options).rank == 3


def test_a_threshold_above_every_column_is_explained():
    op, y, _ = figure_2(0)
    result = greedy_prune(op, y, width=6, lam=0.01, beta=1.0, random_state=0)
    assert result.status is Status.STALLED
    assert result.rank == 0
    assert "lower beta" in result.message


def test_too_few_steps_are_not_made_good_by_fine_tuning():
    op, y, _ = figure_2(0)
    result = greedy_prune(op, y, width=WIDTH, lam=0.1, beta=0.01, max_iter=20, random_state=0)
    assert result.history[-1].gradient_norm < 1e-4
    assert result.status is Status.MAX_ITER
    assert "no second-order stationary point within 20 steps" in result.message
    before = result.column_norms["before pruning"]
    assert np.sum((before > 0.1) & (before <= 0.2)) > 0
    np.testing.assert_array_equal(result.column_norms["after pruning"], before[before > 0.2])


def test_divergence_in_either_phase():
    op, y, _ = figure_2(0)
    options = {"width": WIDTH, "lam": 0.2, "beta": 0.01, "random_state": 0}
    result = greedy_prune(op, y, step_size=0.5, **options)
    assert result.status is Status.DIVERGED
    assert np.isfinite(result.factors.W).all()
    result = greedy_prune(op, y, step_size=2.0, solver=LBFGS(), **options)
    assert result.status is Status.DIVERGED
    assert "fine-tuning" in result.message
    assert result.rank == 3
    assert np.isfinite(result.factors.W).all()


@pytest.mark.parametrize("phase", ["penalise", "fine-tune"])
def test_callbacks_stop_the_run(phase):
    op, y, _ = figure_2(0)
    seen = []

    def stop(state):
        seen.append(state.phase)
        return state.phase == phase and state.iteration >= 3

    result = greedy_prune(op, y, width=6, lam=0.2, beta=0.01, callbacks=[stop], random_state=0)
    assert result.status is Status.STOPPED
    assert seen == result.history.column("phase")
    assert seen[-1] == phase


def test_the_answer_scales_with_the_measurements():
    op, y, truth = figure_2(1)
    base = greedy_prune(op, y, width=8, lam=0.2, beta=0.01, solver=LBFGS(), random_state=1)
    scaled = greedy_prune(
        op, 9.0 * y, width=8, lam=0.2 * 27, beta=0.01 * 9, solver=LBFGS(), random_state=1
    )
    assert base.rank == scaled.rank == 3
    assert scaled.factors.distance(truth.scaled(9.0)) < 1e-5
    np.testing.assert_allclose(
        np.sort(scaled.column_norms["after pruning"]),
        3 * np.sort(base.column_norms["after pruning"]),
        rtol=1e-2,
    )


def test_a_general_matrix():
    rng = np.random.default_rng(0)
    truth = Factors(rng.standard_normal((10, 2)) / 3, rng.standard_normal((8, 2)) / 3)
    op = DenseSensing(rng.standard_normal((160, 10, 8)))
    result = greedy_prune(
        op,
        op.forward(truth),
        width=6,
        lam=0.05,
        beta=1e-3,
        symmetric=False,
        solver=LBFGS(),
        fine_tune_steps=5000,
        random_state=0,
    )
    assert result.rank == 2, result.message
    assert result.factors.distance(truth) < 1e-5 * truth.norm()


def test_runs_repeat():
    op, y, _ = figure_2(2)
    runs = [
        greedy_prune(op, y, width=6, lam=0.2, beta=0.01, fine_tune_steps=20, random_state=5)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(runs[0].factors.W, runs[1].factors.W)


def test_nothing_measured_is_no_crash():
    op, y, _ = figure_2(0)
    result = greedy_prune(op, 0.0 * y, width=3, lam=0.1, beta=0.01, max_iter=50, random_state=0)
    assert result.status is not Status.CONVERGED


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"lam": -1.0}, "lam must be finite.*at least 0"),
        ({"beta": 0.0}, "beta must be finite.*above 0"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"width": 0}, "width must be at least 1"),
        ({"fine_tune_steps": -1}, "fine_tune_steps"),
        ({"start": Factors(np.eye(3))}, "start must have shape"),
        ({"start": Factors(np.eye(20)), "width": 3}, "start must have width = 3"),
        ({"y": np.ones(3)}, "y must have one value"),
    ],
)
def test_errors_name_the_argument(change, match):
    op, y, _ = figure_2(0)
    arguments = {"y": y, "lam": 0.1, "beta": 0.01} | change
    with pytest.raises(ValueError, match=match):
        greedy_prune(op, **arguments)

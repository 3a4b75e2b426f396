"""Wang and Jacot's remarks and propositions at small sizes: what holds, and what makes it fail."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank.research import experiments as papers
from leanrank.research.deep import DeepFactors
from leanrank.research.experiments import (
    Results,
    Status,
    _deep,
    deep_columns,
    deep_descent,
    deep_langevin,
    deep_ranks,
    deep_ridge,
    deep_unattained,
)
from leanrank.research.theory import two_by_two_critical_points

HOLDS, WITH, FAILS = Status.HOLDS, Status.HOLDS_WITH, Status.FAILS


def run(name, **parameters):
    done = papers.run(f"deep-{name}", quick=True, **parameters)
    assert done.figure.axes
    return done.verdict


def test_larger_problems_are_of_rank_one_for_one_choice_of_what_is_missing():
    problem = _deep.observed(0.5, 3)
    powers = 0.5 ** np.arange(3)
    full = DeepFactors([1.0 / powers[None], powers[:, None]])
    np.testing.assert_allclose(problem.op.forward(full.to_factors()), problem.y)
    np.testing.assert_array_equal(_deep.observed(0.25).y, [1.0, 0.25, 1.0])
    part = _deep.only(problem, np.array([True, False, False, True, False, False]))
    np.testing.assert_array_equal([part.op.rows, part.op.cols], [[0, 2], [0, 0]])
    np.testing.assert_array_equal(part.y, [1.0, 0.25])


# Remark 2.1


def test_langevin_dynamics_raise_the_rank_and_sgd_does_not():
    verdict = run("langevin", steps=2000, runs=20)
    numbers = verdict.numbers
    assert verdict.status in (HOLDS, WITH)  # the dynamics between both take longer
    assert numbers["largest_ratio_sgd_0.25"] < 1e-14
    assert numbers["median_ratio_isotropic_0.25"] > 1e-4
    assert numbers["noise_that_raises_sgd_0.25"] < 1e-20
    assert numbers["noise_that_raises_isotropic_0.25"] > 0.3
    # Where rank two has the lower loss SGD goes to rank one, and Langevin dynamics to rank two.
    low, high = numbers["loss_0.15"][::-1]
    assert low < high
    assert numbers["median_ratio_isotropic_0.15"] > 0.1


def langevin(*, sgd=1e-16, jumped=True, isotropic=1e-3, covariance=1e-16, diverged=0):
    rows = []
    p = deep_langevin.experiment.settings({"runs": 10}, quick=True)
    for epsilon in p["epsilons"]:
        for rank in (1, 2):
            two = np.full((4, 10), 0.3)
            fallen = np.vstack([two[:2], np.full((2, 10), 1e-16)])
            seen = {
                "sgd": [np.full((4, 10), sgd), fallen if jumped else two][rank - 1],
                "isotropic": [np.full((4, 10), isotropic), two][rank - 1],
                "sampling": [np.full((4, 10), covariance), fallen][rank - 1],
            }
            rows += [
                {
                    "epsilon": epsilon,
                    "rank": rank,
                    "dynamics": name,
                    "ratios": ratios,
                    "steps": np.arange(4),
                    "diverged": np.arange(10) < (diverged if name == "sampling" else 0),
                    "at_zero": 0,
                    "value": 0.2,
                    "raising": 0.0,
                }
                for name, ratios in seen.items()
            ]
    return deep_langevin.judge(p, Results(rows)).status


def test_langevin_verdicts_at_their_limits():
    assert langevin() is WITH
    assert langevin(covariance=1e-5) is HOLDS  # then it is continuity
    assert [langevin(diverged=5), langevin(diverged=6)] == [WITH, HOLDS]
    assert [langevin(sgd=9e-7), langevin(sgd=1e-6)] == [WITH, FAILS]
    assert [langevin(isotropic=1.1e-6), langevin(isotropic=1e-6)] == [WITH, FAILS]
    assert langevin(jumped=False) is FAILS


def test_the_share_that_raises_the_rank_is_that_of_the_complement():
    start = DeepFactors.balanced(np.outer([1.0, 2.0], [1.0, 1.0]), 2, 4)
    rng = np.random.default_rng(0)
    steps = [
        DeepFactors([W + rng.standard_normal(W.shape) for W in start.layers]) for _ in range(4000)
    ]
    # Of 8 weights in each layer 3 x 1 are off its row and its column.
    assert deep_langevin._raising(start, tuple(steps)) == pytest.approx(3 / 8, abs=0.02)


# Theorem E.2


def test_columns_that_are_not_drawn_are_lost():
    verdict = run("columns", sizes=(2,), learning_rates=(0.2,), ridges=(0.1,), steps=2000)
    assert verdict.status is HOLDS
    assert verdict.numbers["largest_ratio_to_decay"] <= 1.0
    assert verdict.numbers["log10_wait_for_the_event"] > 40.0


def test_too_few_steps_are_not_judged_and_a_set_that_is_too_small_is_not_reached():
    one = {"sizes": (2,), "learning_rates": (0.2,), "ridges": (0.1,), "steps": 500}
    assert run("columns", shares=(0.05, 0.1), **one).status is FAILS
    assert run("columns", bound=0.5, **one).status is FAILS


def test_drawn_entries_are_those_of_the_fullest_columns_and_rows():
    rows, cols = np.tril_indices(4)
    for rank in (1, 2, 3):
        for side, index in (("columns", cols), ("rows", rows)):
            drawn = deep_columns._drawn(4, rank, side)
            chosen = set(index[drawn])
            assert len(chosen) == rank
            counts = np.bincount(index)
            assert drawn.sum() == np.sort(counts)[::-1][:rank].sum()


# Theorem 3.2 on larger matrices


def test_larger_matrices_go_down_the_ranks():
    verdict = run("ranks", sizes=(3,), steps=60_000)
    assert verdict.status is HOLDS
    assert verdict.numbers["rank_without_noise_3"].tolist() == [0, 0, 0, 10]
    assert verdict.numbers["largest_ratio_after_3"] < 1e-12
    assert verdict.numbers["reached_2_of_3"] == 10


def test_without_noise_enough_ranks_stay():
    assert run("ranks", sizes=(3,), steps=20_000, learning_rate=0.1).status is FAILS


def ranks(*, back=1e-16, below=10, at_once=0):
    first = np.full(10, 4000)
    second = np.where(np.arange(10) < at_once, 4000, 20_000)
    row = {
        "size": 3,
        "jumps": np.array([second, first]),
        "back": np.full((2, 10), back),
        "alone": np.full(10, 3),
        "last": np.where(np.arange(10) < below, 1, 3),
        "diverged": np.zeros(10, bool),
    }
    p = deep_ranks.experiment.settings({"sizes": (3,)}, quick=True)
    return deep_ranks.judge(p, Results([row])).status


def test_rank_verdicts_at_their_limits():
    assert ranks() is HOLDS
    assert [ranks(back=9e-7), ranks(back=1e-6)] == [HOLDS, FAILS]
    assert [ranks(below=8), ranks(below=7)] == [HOLDS, FAILS]
    # Of 20 jumps at most a fifth may pass a rank.
    assert [ranks(at_once=4), ranks(at_once=5)] == [HOLDS, FAILS]


# Proposition 3.1


def test_the_minimum_is_that_of_the_landscape():
    verdict = run("ridge", depths=(3,))
    assert verdict.status is WITH
    for ridge, loss in zip(
        verdict.numbers["ridges"][:4], verdict.numbers["loss: two, depth 3"], strict=False
    ):
        point = next(
            q for q in two_by_two_critical_points(0.25, 3, ridge) if q.rank == 1 and q.is_minimum
        )
        residual = (point.matrix - [[1.0, 0.0], [0.25, 1.0]])[[0, 1, 1], [0, 0, 1]]
        assert loss == pytest.approx(np.mean(residual**2), rel=1e-4)


def test_small_ridges_alone_keep_the_rank():
    assert run("ridge", depths=(3,), ridges=(1e-5, 1e-4, 3e-4, 1e-3)).status is HOLDS


def ridge(*, rank=1.0, curvature=0.0, slope=0.0, power=2.0):
    p = deep_ridge.experiment.settings({"depths": (3,)}, quick=True)
    ridges = np.sort(p["ridges"])
    rows = [
        {
            "problem": name,
            "depth": 3,
            "least": 1.0,
            "loss": ridges**power,
            "rank": np.append(np.ones(ridges.size - 2), [rank, rank]),
            "curvature": np.full(ridges.size, curvature),
            "slope": np.full(ridges.size, slope),
        }
        for name in deep_ridge._PROBLEMS
    ]
    return deep_ridge.judge(p, Results(rows)).status


def test_ridge_verdicts_at_their_limits():
    assert ridge() is HOLDS
    assert ridge(rank=0.0) is WITH
    assert [ridge(curvature=-0.009), ridge(curvature=-0.01)] == [HOLDS, FAILS]
    assert [ridge(power=1.81), ridge(power=1.79)] == [HOLDS, FAILS]
    assert ridge(slope=1e-5) is FAILS


# Propositions 3.2 and A.5


def test_descent_keeps_the_rank_under_a_small_ridge():
    verdict = run("descent", ridges=(0.02, 0.2), steps=4000)
    numbers = verdict.numbers
    assert verdict.status is WITH
    assert numbers["guaranteed_3_0.02"] == 1.0
    assert numbers["lost_3_0.02"] == 0.0
    assert 0.0 < numbers["bound_3_0.02"] < numbers["second_singular_value_3_0.02"]
    assert numbers["lost_3_0.2"] == 1.0
    assert numbers["printed_constant_over_curvature"] < 0.6


def test_where_no_run_has_a_bound_nothing_is_shown():
    assert run("descent", ridges=(0.2,), steps=2000).status is FAILS


def test_a_loss_that_rises_is_seen():
    assert run("descent", ridges=(0.02,), steps=2000, learning_rate=1.5).status is FAILS


def test_no_rank_one_matrix_is_below_the_bound_on_its_loss():
    rng = np.random.default_rng(0)
    problem = deep_descent._PROBLEM
    rows, cols = problem.op.rows, problem.op.cols
    best = min(
        np.mean((np.outer(*rng.standard_normal((2, 3)))[rows, cols] - problem.y) ** 2)
        for _ in range(20_000)
    )
    assert best >= deep_descent._LOWER
    # Rank two fits: the third row and column are free to.
    A = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.5, 1.0, 1.0]])
    assert np.linalg.matrix_rank(A) == 2
    np.testing.assert_array_equal(A[rows, cols], problem.y)


# Propositions A.6 and A.7


def test_fits_that_are_attained_keep_their_rank():
    verdict = run("unattained", runs=5)
    numbers = verdict.numbers
    assert verdict.status is WITH
    assert numbers["fits_usual"] == 5
    assert numbers["fits_negative"] == 0
    assert numbers["median_free_x_negative"] > 5.0 > numbers["median_free_x_usual"]
    assert numbers["largest_over_level_usual"] <= 1.0
    assert numbers["fit_polyak"] < 1e-20 < numbers["near_polyak"]


def test_a_ridge_that_is_too_large_loses_the_rank():
    assert run("unattained", runs=5, ridges=(0.35,), free_steps=4000).status is FAILS


def unattained(*, ranks=2, others=1, late=0.5, near=1e-8):
    rows = [
        {
            "start": name,
            "polyak_free": np.full(5, 1e-9 if name == "negative" else 0.1),
            "free_loss": np.full(5, 1e-9),
            "free_x": np.ones(5),
            "ranks": np.full((2, 5), others if name == "negative" else ranks),
            "x": np.ones((2, 5)),
            "late": np.full(2, late),
            "fit_polyak": 0.0,
            "near_polyak": near,
            "near_moved": 0.0,
        }
        for name in deep_unattained._STARTS
    ]
    p = deep_unattained.experiment.settings({}, quick=True)
    return deep_unattained.judge(p, Results(rows)).status


def test_unattained_verdicts_at_their_limits():
    assert unattained() is WITH
    assert unattained(others=2) is HOLDS
    assert unattained(ranks=1) is FAILS
    assert [unattained(late=1.0), unattained(late=1.01)] == [WITH, FAILS]
    assert unattained(near=0.0) is FAILS


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("langevin", {"epsilons": (0.25,)}, r"one for each of epsilons, got \(0.2, 0.4\)"),
        ("langevin", {"epsilons": (0.25, 0.25)}, "epsilons must be different"),
        ("langevin", {"ridge": 0.5}, "no local minimum of rank"),
        ("columns", {"sizes": (2,)}, "as many as each other"),
        ("ridge", {"ridges": (0.1,)}, "at least 4 values"),
        ("unattained", {"width": 3}, "width"),
    ],
)
def test_parameters_that_cannot_be_judged_are_refused(name, parameters, words):
    with pytest.raises(ValueError, match=words):
        run(name, **parameters)

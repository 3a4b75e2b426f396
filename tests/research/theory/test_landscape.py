"""Critical points of the 2 x 2 problem, against differences, neighbours and training."""

import numpy as np
import pytest

from leanrank.operators import ObservedEntries
from leanrank.problem import Problem
from leanrank.research.deep import DeepFactors, Phase, representation_cost, train
from leanrank.research.theory import two_by_two_critical_points


def objective(A, epsilon, depth, ridge):
    y = np.array([1.0, epsilon, 1.0])
    s = np.linalg.svd(A, compute_uv=False)
    fit = np.mean((A[[0, 1, 1], [0, 0, 1]] - y) ** 2)
    return fit + ridge / 2.0 * representation_cost(s, depth)


@pytest.mark.parametrize(("epsilon", "depth", "ridge"), [(0.25, 3, 0.1), (0.1, 4, 0.01)])
def test_critical_points_are_stationary_by_differences(epsilon, depth, ridge):
    points = two_by_two_critical_points(epsilon, depth, ridge)
    assert [p.rank for p in points] == sorted(p.rank for p in points)
    h = 1e-6
    for p in points:
        s = np.linalg.svd(p.matrix, compute_uv=False)
        assert p.value == pytest.approx(objective(p.matrix, epsilon, depth, ridge), rel=1e-9)
        assert int(np.sum(s > 1e-9)) == p.rank
        if p.rank == 2 and s[1] > 1e-3:
            for E in np.eye(4).reshape(4, 2, 2):
                up, down = (objective(p.matrix + t * E, epsilon, depth, ridge) for t in (h, -h))
                assert abs(up - down) / (2 * h) < 1e-4


@pytest.mark.parametrize(("epsilon", "depth", "ridge"), [(0.25, 3, 0.1), (0.1, 4, 0.01)])
def test_minima_are_below_all_that_is_near_and_saddles_are_not(epsilon, depth, ridge):
    rng = np.random.default_rng(0)
    for p in two_by_two_critical_points(epsilon, depth, ridge):
        s = np.linalg.svd(p.matrix, compute_uv=False)
        size = 1e-4 * max(s[p.rank - 1], 1e-12) if p.rank else 1e-6
        lower = []
        for _ in range(2000):
            A = p.matrix + size * rng.standard_normal((2, 2))
            if p.rank == 1:  # on the matrices of rank one, too: others cost more by far
                u, t, v = np.linalg.svd(A)
                A = t[0] * np.outer(u[:, 0], v[0])
            lower.append(objective(A, epsilon, depth, ridge) < p.value - 1e-15)
        assert any(lower) != p.is_minimum


def test_the_minimiser_of_rank_one_is_what_offshoots_find():
    # The figure of the paper: 3.7807 instead of 4 under the quiet ridge.
    points = two_by_two_critical_points(0.25, 3, 0.001)
    best = min((p for p in points if p.rank == 1), key=lambda p: p.value)
    op = ObservedEntries(np.array([0, 1, 1]), np.array([0, 0, 1]), (2, 2))
    start = DeepFactors.balanced(np.array([[1.0, 4.0], [0.25, 1.0]]), 3, 4)
    problem = Problem(op, np.array([1.0, 0.25, 1.0]))
    phase = [Phase(200_000, 0.05, 0.001)]
    end = train(problem, start, phase, batch_size=None, every=200_000).networks[0]
    np.testing.assert_allclose(end.product(), best.matrix, atol=1e-8)
    assert end.square_norm() == pytest.approx(end.representation_cost(), rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((0.0, 3, 0.1), "epsilon"), ((0.25, 2, 0.1), "depth"), ((0.25, 3, 0.0), "ridge")],
)
def test_arguments_that_cannot_be_right(arguments, name):
    with pytest.raises(ValueError, match=name):
        two_by_two_critical_points(*arguments)

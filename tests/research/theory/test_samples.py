"""Numbers of measurements: the theorems' formulas, and that what is said to be enough is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leanrank import initial, simulate
from leanrank.penalties import GroupLasso
from leanrank.problem import Problem
from leanrank.pruning import prune
from leanrank.research import theory
from leanrank.solvers import LBFGS, GradientDescent, solve


def test_sample_size_by_hand():
    first = theory.sample_size(20, 3, 20, accuracy=0.1, noise=1.0, c_prune=1e-30)
    assert first == pytest.approx(3 * 20 / 0.01)
    second = theory.sample_size(20, 3, 20, accuracy=0.1, failure=0.1, c_prune=1.0)
    assert second == pytest.approx(20 * 400 * 243 * math.log(200))
    weaker = theory.sample_size(20, 3, 20, accuracy=0.1, failure=0.1, c_prune=1.0, sigma_r=0.5)
    assert weaker == pytest.approx(16 * second)


def test_sizes_scale_as_the_theorems_say():
    size = theory.isometry_sample_size
    assert size((10, 20), 4, kappa=2.0) == 64 * size((10, 20), 2)
    fresh = theory.fresh_batch_size
    assert fresh((10, 20), 2, 100, kappa=2.0) == 16 * fresh((10, 20), 2, 100)
    assert fresh((10, 20), 2, 100, kappa=2.0, power=8) == 256 * fresh((10, 20), 2, 100)
    assert fresh((10, 20), 2, 100, failure=1.0, c=1.0) == pytest.approx(60 * np.log(3000))


def test_open_constants_are_those_that_were_enough():
    freedom = theory.degrees_of_freedom((20, 20), 3, symmetric=True)
    assert theory.enough_measurements((20, 20), 3, symmetric=True) == math.ceil(1.6 * freedom)
    assert theory.enough_measurements((20, 10), 2) == theory.enough_measurements((10, 20), 2) == 180
    assert theory.enough_measurements((20, 10), 2, c=0.5) == 30
    assert 92 <= theory.sample_size(20, 3, 20, accuracy=0.1) < 140
    assert theory.isometry_sample_size((20, 20), 1) == theory.enough_measurements((20, 20), 1)
    assert 20 <= theory.fresh_batch_size((20, 20), 2, 691) <= 80


@pytest.mark.parametrize(("d", "r"), [(12, 1), (20, 3)])
def test_enough_to_prune(d, r):
    m = theory.enough_measurements((d, d), r, symmetric=True)
    instance = simulate.dense_sensing((d, d), r, m=m, symmetric=True, random_state=0)
    problem = Problem(instance.op, instance.y)
    start = initial.gaussian((d, d), d, scale=0.1, symmetric=True, random_state=1)
    penalised = problem.with_penalty(GroupLasso(0.2, 0.01))
    found = solve(LBFGS(), penalised, start, tol=1e-5, max_iter=2000).factors
    kept = prune(found, 0.2)
    assert kept.width == r
    tuned = solve(LBFGS(), problem, kept, tol=1e-9, max_iter=300).factors
    assert instance.error(tuned) < 1e-6


@pytest.mark.parametrize(("share", "least", "most"), [(1.0, 0.0, 0.015), (1 / 3, 0.2, 2.0)])
def test_enough_for_descent_from_a_small_start(share, least, most):
    m = round(share * theory.enough_measurements((20, 20), 1))
    instance = simulate.dense_sensing((20, 20), 1, m=m, random_state=0)
    start = initial.gaussian((20, 20), 20, operator_norm=1e-3, random_state=1)
    steps = theory.descent_steps(0.05, 1.0, 1e-3)
    problem = Problem(instance.op, instance.y)
    found = solve(GradientDescent(0.05), problem, start, tol=0.0, max_iter=steps)
    assert least <= instance.error(found.factors) <= most


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: theory.sample_size(20, 3, 20, accuracy=0.0), "accuracy"),
        (lambda: theory.fresh_batch_size((5, 5), 6, 1), "rank"),
        (lambda: theory.enough_measurements((5, 5), 6), "rank"),
        (lambda: theory.enough_measurements((5, 5), 2, c=0.0), "c must be"),
        (lambda: theory.isometry_sample_size((5, 5), 0), "rank"),
    ],
)
def test_errors_name_the_argument(call, match):
    with pytest.raises(ValueError, match=match):
        call()

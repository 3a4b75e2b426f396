"""Exact fits: of all measurements, and of no more directions than they need."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Factors, simulate
from leanrank.operators import FullObservation, ObservedEntries
from leanrank.policy import Policy
from leanrank.problem import Problem
from leanrank.search import Fitter, GrowAndPenalise, Monitor, Paths, Stage
from leanrank.search.exact import exact_fit, least_rank, lower_exact_fit
from leanrank.search.growing import leading_columns
from leanrank.search.holding_out import Split
from leanrank.solvers import GaussNewton


def fitter(policy: Policy | None = None) -> Fitter:
    return Fitter(GaussNewton(), np.random.default_rng(0), Monitor(), policy or Policy())


def paths_for(op, y, *, max_width: int = 6, policy: Policy | None = None) -> Paths:
    return Paths(Problem(op, y), False, max_width, GrowAndPenalise(), fitter(policy))


def diagonal(*values: float) -> tuple[Problem, Factors]:
    """A matrix that is seen entirely, and its factors."""
    X = np.diag(values)
    root = np.diag(np.sqrt(values))
    return Problem(FullObservation(X.shape), X), Factors(root, root)


class TestLeastRank:
    @pytest.mark.parametrize(("weakest", "tried"), [(0.99e-3, True), (1.01e-3, False)])
    def test_only_negligible_directions_are_tried(self, weakest, tried):
        """Where the fit of fewer is not exact, nothing is dropped whatever was tried."""
        problem, factors = diagonal(1.0, 0.5, weakest)
        own = fitter()
        assert least_rank(problem, factors, own).width == 3
        assert bool(own.monitor.history.records) is tried

    @pytest.mark.parametrize("spare", [1, 2, 3])
    def test_directions_that_are_spared_go(self, spare):
        problem, two = diagonal(1.0, 0.5, 0.0, 0.0, 0.0)
        wide = leading_columns(two, 2).append(Factors(1e-5 * np.eye(5, spare), np.eye(5, spare)))
        found = least_rank(problem, wide, fitter())
        assert found.width == 2
        assert problem.is_exact(problem.evaluate(found))

    def test_one_direction_stays(self):
        problem = Problem(FullObservation((2, 2)), np.full((2, 2), 1e-30))
        one = Factors(np.full((2, 1), 1e-15), np.full((2, 1), 1e-15))
        assert least_rank(problem, one, fitter()).width == 1


class TestExactFit:
    @staticmethod
    def explored(paths: Paths, factors: Factors, errors: np.ndarray, exact: bool) -> Stage:
        return Stage(paths.problem.evaluate(factors), exact, errors)

    def test_the_error_is_that_of_most_held_out_measurements(self):
        inst = simulate.matrix_completion((20, 15), 2, oversampling=4, random_state=0)
        paths = paths_for(inst.op, inst.y)
        data = Split(paths.problem, paths.problem)
        errors = np.full(inst.op.size, 1e-30)
        errors[:10] = 1.0
        stage = self.explored(paths, inst.truth, errors, exact=True)
        factors, error = exact_fit(paths, data, [stage], stage)
        assert inst.error(factors) < 1e-9
        assert error < 1e-14

    @pytest.mark.parametrize("limit", [0.25, 0.05])
    @pytest.mark.parametrize(("over", "looked_for"), [(0.96, False), (1.04, True)])
    def test_all_measurements_are_fitted_where_exploring_was_misled(self, over, looked_for, limit):
        inst, share = simulate.dense_sensing((12, 9), 2, m=400, random_state=0), over * limit
        paths = paths_for(inst.op, inst.y, policy=Policy(unpredicted=limit))
        data = Split(paths.problem, paths.problem)
        part = inst.truth.scaled(1.0 - np.sqrt(share))
        stage = self.explored(paths, part, np.ones(inst.op.size), exact=False)
        found = exact_fit(paths, data, [stage], stage)
        assert (found is not None) is looked_for
        if found is not None:
            assert found[1] is None
            assert inst.error(found[0]) < 1e-9

    @pytest.mark.parametrize(("widest", "most"), [(40, 14), (9, 9)])
    def test_all_measurements_are_fitted_up_to_twice_the_width_and_ten(self, widest, most):
        inst = simulate.matrix_completion((60, 50), 2, fraction=0.9, random_state=0)
        asked = []

        class Recorded(GrowAndPenalise):
            def stages(self, problem, symmetric, fitter, phase, *, max_width, greedy):
                asked.append((phase, max_width, greedy))
                return super().stages(
                    problem, symmetric, fitter, phase, max_width=max_width, greedy=greedy
                )

        paths = Paths(Problem(inst.op, inst.y), False, widest, Recorded(), fitter())
        data = Split(paths.problem, paths.problem)
        stage = self.explored(paths, inst.truth.scaled(0.1), np.ones(inst.op.size), exact=False)
        assert exact_fit(paths, data, [stage], stage) is not None
        assert asked == [("grow", most, False)]

    def test_a_fit_that_does_not_extend_to_all_measurements_is_none(self):
        inst = simulate.dense_sensing((12, 9), 2, m=400, noise=0.1, random_state=0)
        paths = paths_for(inst.op, inst.y)
        data = Split(paths.problem, paths.problem)
        stage = self.explored(paths, inst.truth, np.full(400, 1e-9), exact=True)
        assert exact_fit(paths, data, [stage], stage) is None


def test_a_lower_rank_is_looked_for_below_the_one_that_is_known():
    inst = simulate.matrix_completion((30, 25), 2, oversampling=2.5, random_state=0)
    paths = paths_for(inst.op, inst.y)
    empty = paths.nothing()
    grown = [Stage(paths.problem.evaluate(empty), False)]
    found = lower_exact_fit(paths, grown, rank=3)
    assert found is not None
    assert found.width == 2
    assert inst.error(found) < 1e-9
    assert lower_exact_fit(paths, grown, rank=2) is None
    assert lower_exact_fit(paths, grown, rank=1) is None


@pytest.mark.parametrize(("width", "lower"), [(2, True), (3, False), (4, False)])
def test_only_an_exact_fit_of_less_than_the_rank_is_lower(monkeypatch, width, lower):
    problem, factors = diagonal(4.0, 3.0, 2.0, 1.0)
    stage = Stage(problem.evaluate(leading_columns(factors, width)), True)
    asked = []

    def others(self, whole, most):
        asked.append(([s.width for s in whole], most))
        return [stage]

    monkeypatch.setattr(Paths, "others", others)
    paths = paths_for(problem.op, problem.y)
    found = lower_exact_fit(paths, [Stage(stage.point, False)], rank=3)
    assert asked == [([width], 2)]
    assert (found is not None) is lower
    assert found is None or found.width == width


@pytest.mark.parametrize(("m", "few"), [(119, True), (121, False)])
def test_few_is_measured_by_a_matrix_of_twice_the_width(m, few):
    op = ObservedEntries(np.arange(m) // 20, np.arange(m) % 20, (22, 20))
    # Rank 2 has 2 (22 + 20 - 2) = 80 free parameters.
    assert paths_for(op, np.ones(m)).are_few(1) is few

"""What a monitor keeps: the best factors, the history in one count, columns in the units of y."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.linalg import norm

from leanrank import Factors, recover, simulate
from leanrank.operators import FullObservation, Selected
from leanrank.problem import Problem
from leanrank.search import Monitor
from leanrank.solvers import GradientDescent


def state(size: float, phase: str):
    problem = Problem(FullObservation((3, 3)), np.eye(3))
    return replace(GradientDescent(0.1).init(problem, Factors(size * np.eye(3, 2))), phase=phase)


def test_the_best_are_the_latest_of_exploring_and_refitting():
    monitor = Monitor()
    assert monitor.saved() is None
    best = []
    for i, phase in enumerate(["grow", "grow", "explore", "validate", "penalise", "refit", "grow"]):
        monitor(state(1.0 + i, phase))
        best.append(monitor.best.U[0, 0] - 1.0)
    assert best == [0, 0, 2, 2, 2, 5, 5]


def test_states_are_counted_through_and_know_the_units_of_y():
    seen = []
    monitor = Monitor(callbacks=(seen.append,), scale=9.0)
    for phase in ("explore", "explore", "refit"):
        monitor(replace(state(1.0, phase), iteration=7))
    assert [(s.iteration, s.scale, s.phase) for s in seen] == [
        (0, 9.0, "explore"),
        (1, 9.0, "explore"),
        (2, 9.0, "refit"),
    ]
    assert [record.iteration for record in monitor.history] == [0, 1, 2]
    np.testing.assert_allclose(monitor.saved().factors.to_dense(), 9.0 * np.diag([1.0, 1.0, 0.0]))


def test_callbacks_that_want_to_know_are_told_of_begin_and_end():
    told = []

    class Told:
        def begin(self, saved):
            told.append(saved())

        def end(self, result):
            told.append(result)

        def __call__(self, state):
            return None

    monitor = Monitor(callbacks=(Told(), lambda state: None))
    monitor.begin()
    monitor.end("result")
    assert told == [None, "result"]


def test_columns_before_pruning_are_those_of_the_first_pruning():
    monitor = Monitor(scale=4.0)
    monitor.note_pruned(Factors(np.diag([3.0, 1.0])))
    np.testing.assert_allclose(monitor.column_norms["before pruning"], [6.0, 2.0])
    monitor.note_pruned(Factors(np.array([[5.0], [0.0]])))
    np.testing.assert_allclose(monitor.column_norms["before pruning"], [6.0, 2.0])
    np.testing.assert_allclose(monitor.column_norms["after pruning"], [10.0])


def test_states_know_how_the_latest_stage_predicted_what_was_held_out():
    inst = simulate.dense_sensing((12, 10), 2, m=200, noise=0.1, random_state=0)
    inside, out = Selected(inst.op, np.arange(170)), Selected(inst.op, np.arange(170, 200))
    y, seen = inst.y[170:], []
    recover(inside, inst.y[:170], validation=(out, y), callbacks=[seen.append])
    told = [s.held_out_error for s in seen]
    missed = [1.0, *(norm(out.forward(s.factors_in_units) - y) / norm(y) for s in seen)]
    assert told[-1] < 0.5
    for i, error in enumerate(told):  # of the zero matrix, or of a state that was before
        assert min(abs(m - error) for m in missed[: i + 1]) < 1e-9

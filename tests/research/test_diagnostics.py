"""Measures of a state against dense linear algebra, and the callback that keeps them."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from leanrank import initial, recover, simulate
from leanrank.factors import Factors
from leanrank.operators import FullObservation
from leanrank.penalties import Ridge
from leanrank.problem import Problem
from leanrank.research import diagnostics
from leanrank.research.diagnostics import AdaptiveSignal, Trace
from leanrank.research.theory import WarmUp, misalignment
from leanrank.solvers import GradientDescent, iterate, solve


def some_state(symmetric=False, seed=0):
    shape = (7, 7) if symmetric else (7, 5)
    inst = simulate.dense_sensing(shape, 2, m=60, symmetric=symmetric, random_state=seed)
    problem = Problem(inst.op, inst.y)
    start = initial.gaussian(shape, 4, scale=0.4, symmetric=symmetric, random_state=seed + 1)
    states = iterate(GradientDescent(0.01), problem, start)
    for _ in range(4):
        state = next(states)
    return inst, problem, state


def op_norm(X):
    return np.linalg.norm(X, 2)


@pytest.mark.parametrize("symmetric", [True, False])
def test_errors(symmetric):
    inst, problem, state = some_state(symmetric)
    X, Y = state.factors.to_dense(), inst.truth.to_dense()
    residual = inst.op.forward(state.factors) - inst.y
    train = np.linalg.norm(residual) / np.linalg.norm(inst.y)
    assert diagnostics.training_error(problem)(state) == pytest.approx(train)
    test = np.linalg.norm(X - Y) / np.linalg.norm(Y)
    assert diagnostics.recovery_error(inst.truth)(state) == pytest.approx(test)
    assert diagnostics.operator_error(inst.truth)(state) == pytest.approx(op_norm(X - Y))


def test_error_on_measurements_that_were_held_out():
    inst, _, state = some_state()
    held = simulate.dense_sensing((7, 5), 2, m=9, random_state=5)
    y = held.op.forward(inst.truth)
    expected = np.linalg.norm(held.op.forward(state.factors) - y) / np.linalg.norm(y)
    assert diagnostics.measurement_error(held.op, y)(state) == pytest.approx(expected)
    with pytest.raises(ValueError, match="the one that is being solved, of 60 .*, got one of 9"):
        diagnostics.training_error(Problem(held.op, y))(state)


def test_errors_relative_to_nothing_are_refused_at_once():
    op = simulate.dense_sensing((4, 4), 1, m=9, random_state=0).op
    zero, nothing = Factors(np.zeros((4, 1))), np.zeros(9)
    for make, match in (
        (lambda: diagnostics.training_error(Problem(op, nothing)), "the y of problem must not be"),
        (lambda: diagnostics.measurement_error(op, nothing), "^y must not be zero"),
        (lambda: diagnostics.measurement_error(op, np.ones(8)), "y must have one value"),
        (lambda: diagnostics.recovery_error(zero), "truth must not be zero"),
        (lambda: diagnostics.recovery_error(Factors.empty((4, 4))), "truth must not be zero"),
    ):
        with pytest.raises(ValueError, match=match):
            make()
    for measure in (diagnostics.recovery_error, diagnostics.operator_error):
        with pytest.raises(TypeError, match=r"truth must be Factors, got ndarray: wrap"):
            measure(np.eye(4))
    with pytest.raises(TypeError, match="target must be Factors"):
        diagnostics.target_parts(np.eye(4))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("width", [0, 1])
def test_fewer_columns_than_the_rank(convert, width, symmetric):
    shape = (6, 6) if symmetric else (6, 5)
    inst = simulate.full_observation(shape, 2, symmetric=symmetric, random_state=0)
    start = initial.gaussian(shape, 3, operator_norm=0.1, symmetric=symmetric, random_state=0)
    narrow = start.keep(np.arange(3) < width)
    for wrap in (np.asarray, convert):
        truth, factors, whole = (
            f.with_stacked(wrap(np.array(f.W))) for f in (inst.truth, narrow, start)
        )
        problem = Problem(FullObservation(shape, reference=truth.W), wrap(inst.y))
        state = GradientDescent(0.1).init(problem, factors)
        largest, smallest, *rest = diagnostics.target_parts(truth)(state)
        assert smallest == 0.0
        assert (largest > 0) == (max(rest) > 0) == (width > 0)
        assert diagnostics.misalignment(truth)(state) == np.inf
        signal, error = diagnostics.signal_and_error(truth)(state)
        assert (signal > 0) == (error > 0) == (width > 0)
        assert (diagnostics.imbalance(state) > 0) == (width > 0 and not symmetric)
        assert diagnostics.singular_values(state).shape == (width,)
        norm = float(np.linalg.norm(inst.truth.to_dense() - narrow.to_dense(), 2))
        assert diagnostics.operator_error(truth)(state) == pytest.approx(norm)
        *held, grown = diagnostics.warm_up_ratios(WarmUp(whole, truth), 0.1)(state)
        assert np.all(np.isfinite(held))
        assert grown == np.inf
        if symmetric:
            signal, _, size, _ = AdaptiveSignal(problem, truth, 0.1)(state)
            assert signal == 0.0
            assert (size > 0) == (width > 0)


@pytest.mark.parametrize("symmetric", [True, False])
def test_spectrum_columns_and_balance(symmetric):
    _, _, state = some_state(symmetric)
    f = state.factors
    values = np.linalg.svd(f.to_dense(), compute_uv=False)[:4]
    np.testing.assert_allclose(diagnostics.singular_values(state), values)
    np.testing.assert_allclose(diagnostics.column_norms(state), np.linalg.norm(f.W, axis=0))
    expected = op_norm(f.U.T @ f.U - f.V.T @ f.V)
    assert diagnostics.imbalance(state) == pytest.approx(expected)


@pytest.mark.parametrize("symmetric", [True, False])
def test_signal_and_error(symmetric):
    inst, _, state = some_state(symmetric)
    f = state.factors
    left, _, right = np.linalg.svd(inst.truth.to_dense())
    P = left[:, :2] @ left[:, :2].T
    if not symmetric:
        P = np.block([[P, np.zeros((7, 5))], [np.zeros((5, 7)), right[:2].T @ right[:2]]])
    expected = op_norm(P @ f.W), op_norm(f.W - P @ f.W)
    np.testing.assert_allclose(diagnostics.signal_and_error(inst.truth)(state), expected)


def test_parts_along_the_target():
    inst, _, state = some_state()
    f = state.factors
    left, _, right = np.linalg.svd(inst.truth.to_dense())
    U, V = left[:, :2].T @ f.U, right[:2] @ f.V
    A = (U + V) / np.sqrt(2)
    Q = np.linalg.pinv(A) @ A
    null = np.concatenate([left[:, 2:].T @ f.U, right[2:] @ f.V])
    expected = (
        *np.linalg.svd(A, compute_uv=False),
        op_norm(U - V) / np.sqrt(2),
        op_norm(null),
        op_norm(f.W - f.W @ Q),
    )
    np.testing.assert_allclose(diagnostics.target_parts(inst.truth)(state), expected)
    assert diagnostics.misalignment(inst.truth)(state) == misalignment(f, inst.truth)


def test_time_of_the_warm_up_is_that_of_the_paper():
    inst = simulate.full_observation((6, 5), 1, random_state=0)
    start = initial.gaussian((6, 5), 5, operator_norm=1e-2, random_state=0)
    warm_up = WarmUp(start, inst.truth)
    trace = Trace({"ratios": diagnostics.warm_up_ratios(warm_up, 0.05)}, every=10)
    problem = Problem(inst.op, inst.y)
    result = solve(GradientDescent(0.05), problem, start, max_iter=30, callbacks=[trace])
    assert trace["ratios"].shape == (4, 8)
    np.testing.assert_allclose(trace["ratios"][-1], warm_up.ratios(result.factors, 3.0))


def test_symmetric_factors_take_the_time_of_the_pair_at_twice_the_step_size():
    inst = simulate.full_observation(6, 1, symmetric=True, random_state=0)
    problem = Problem(inst.op, inst.y)
    U = initial.gaussian((6, 6), 6, operator_norm=1e-2, symmetric=True, random_state=0).U
    warm_up = WarmUp(Factors(U, U), inst.truth)
    ends = []
    for start, step_size in ((Factors(U), 0.01), (Factors(U, U), 0.02)):
        *_, state = islice(iterate(GradientDescent(step_size), problem, start), 51)
        np.testing.assert_allclose(
            diagnostics.warm_up_ratios(warm_up, step_size)(state),
            warm_up.ratios(state.factors, 2.0),
        )
        ends.append(state.factors.U)
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-12)


class TestAdaptiveSignal:
    def run(self, factor=1.0, steps=200):
        inst = simulate.dense_sensing(12, 2, m=800, kappa=2.0, symmetric=True, random_state=0)
        problem = Problem(inst.op, inst.y)
        start = initial.orthonormal((12, 12), 12, scale=1e-3, symmetric=True, random_state=1)
        trace = Trace({"signal": AdaptiveSignal(problem, inst.truth, factor * 0.02)})
        solver = GradientDescent(0.02)
        result = solve(solver, problem, start, tol=0, max_iter=steps, callbacks=[trace])
        return inst, result, trace["signal"]

    def test_follows_the_recursion(self):
        inst, _, values = self.run(steps=60)
        A = np.zeros((inst.op.size, 12, 12))
        upper = np.triu_indices(12)
        A[:, *upper] = inst.op._data
        A = np.maximum(np.abs(A), np.abs(A.transpose(0, 2, 1))) * np.sign(A + A.transpose(0, 2, 1))
        U = initial.orthonormal((12, 12), 12, scale=1e-3, symmetric=True, random_state=1).U
        fixed = S = np.linalg.qr(inst.truth.U)[0]
        for t in range(61):
            Z = S @ S.T @ U
            angle = np.linalg.svd(fixed.T @ S, compute_uv=False)[-1]
            expected = (
                np.linalg.svd(fixed.T @ Z, compute_uv=False)[1],
                op_norm(U - Z),
                op_norm(Z),
            )
            np.testing.assert_allclose(values[t, :3], expected, rtol=1e-6)
            assert values[t, 3] ** 2 == pytest.approx(1 - angle**2, abs=1e-8)
            M = np.einsum("m,mij->ij", np.einsum("mij,ij->m", A, U @ U.T) - inst.y, A) / len(A)
            U, S = U - 0.08 * M @ U, np.linalg.qr(S - 0.08 * M @ S)[0]

    def test_the_error_hardly_grows_while_the_signal_does(self):
        # Theorem 4.2: |E| stays within 4 |E_0| while the signal grows a hundredfold and more.
        _, _, values = self.run()
        assert values[-1, 0] > 100 * values[0, 0]
        assert values[:, 1].max() < 4 * values[0, 1]
        # With a subspace that does not follow, it does grow.
        _, _, wrong = self.run(factor=1e-9)
        assert wrong[:, 1].max() > 20 * wrong[0, 1]

    def test_says_so_when_a_state_was_left_out(self):
        inst, problem, state = some_state(symmetric=True)
        with pytest.raises(ValueError, match="state must be the one of iteration 0, got iter"):
            AdaptiveSignal(problem, inst.truth, 0.01)(state)

    def test_refuses_what_it_does_not_follow(self):
        inst, problem, state = some_state(symmetric=True)
        with pytest.raises(ValueError, match="problem must have no penalty"):
            AdaptiveSignal(problem.with_penalty(Ridge(0.1)), inst.truth, 0.01)
        point = problem.evaluate(Factors(state.factors.U, state.factors.U))
        with pytest.raises(ValueError, match="state must be of symmetric factors"):
            AdaptiveSignal(problem, inst.truth, 0.01)(replace(state, iteration=0, point=point))


class TestTrace:
    def test_takes_what_and_when_it_was_asked(self):
        inst = simulate.dense_sensing(6, 1, m=30, random_state=0)
        calls = []
        trace = Trace({"a": lambda state: calls.append(state.iteration) or 2.0}, every=3)
        start = initial.gaussian((6, 6), 3, random_state=0)
        problem = Problem(inst.op, inst.y)
        solve(GradientDescent(0.01), problem, start, max_iter=10, callbacks=[trace])
        assert calls == trace.iterations == [0, 3, 6, 9]
        np.testing.assert_array_equal(trace["a"], [2.0] * 4)

    def test_costs_no_passes_and_changes_nothing(self):
        inst = simulate.dense_sensing(6, 1, m=30, random_state=0)
        start = initial.gaussian((6, 6), 3, random_state=0)
        ends = []
        for measures in ({}, {"sv": diagnostics.singular_values, "b": diagnostics.imbalance}):
            problem = Problem(inst.op, inst.y)
            trace = Trace(measures)
            result = solve(GradientDescent(0.01), problem, start, max_iter=9, callbacks=[trace])
            ends.append((result.factors.W.tobytes(), problem.passes))
        assert ends[0] == ends[1]

    def test_columns_that_were_pruned_are_missing(self):
        _, problem, state = some_state()
        trace = Trace({"norms": diagnostics.column_norms})
        trace(state)
        trace(state.keep(problem, np.array([True, False, True, False])))
        norms = trace["norms"]
        assert norms.shape == (2, 4)
        np.testing.assert_array_equal(np.isnan(norms[1]), [False, False, True, True])

    def test_refuses(self):
        with pytest.raises(ValueError, match="every"):
            Trace({}, every=0)
        with pytest.raises(TypeError, match="measures\\['x'\\] must be a function"):
            Trace({"x": 3.0})
        with pytest.raises(TypeError, match="measures must be a dict"):
            Trace([diagnostics.imbalance])


def test_other_array_libraries(convert):
    inst, _, state = some_state()
    truth = Factors(convert(inst.truth.U), convert(inst.truth.V))
    f = state.factors
    factors = Factors(convert(np.array(f.U)), convert(np.array(f.V)))
    other = replace(state, point=replace(state.point, factors=factors))
    for make in (
        diagnostics.recovery_error,
        diagnostics.operator_error,
        diagnostics.target_parts,
        diagnostics.signal_and_error,
        lambda _: diagnostics.singular_values,
        lambda _: diagnostics.imbalance,
    ):
        a, b = Trace({"x": make(inst.truth)}), Trace({"x": make(truth)})
        a(replace(state, iteration=0))
        b(replace(other, iteration=0))
        np.testing.assert_allclose(b["x"], a["x"], atol=1e-10)


def test_in_a_pipeline_that_divides_y_measures_are_in_the_units_of_y():
    inst = simulate.dense_sensing((7, 5), 2, m=60, random_state=0)
    op, y, truth = inst.op, 1e3 * inst.y, inst.truth.scaled(1e3)
    trace = Trace(
        {
            "truth": diagnostics.recovery_error(truth),
            "operator": diagnostics.operator_error(truth),
            "test": diagnostics.measurement_error(op, y),
            "values": diagnostics.singular_values,
        }
    )
    result = recover(op, y, callbacks=[trace])
    assert result.success
    for name in ("truth", "operator", "test"):
        assert trace[name][-1] < 1e-9
    np.testing.assert_allclose(trace["values"][-1], result.factors.singular_values(), rtol=1e-9)

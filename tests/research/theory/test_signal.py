"""Invariants of small-start descent against the formulas of the paper, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leanrank.factors import Factors
from leanrank.research.theory import RankOneSteps, SignalBounds


def op(M):
    return np.linalg.norm(M, 2)


def test_ratios_of_a_step_are_those_of_the_propositions(rng):
    u = rng.standard_normal(5)
    u /= np.linalg.norm(u)
    U, after = 0.2 * rng.standard_normal((2, 5, 4))
    eta, delta = 0.3, 0.1
    steps = RankOneSteps(Factors(u[:, None]), eta, delta)
    P = np.eye(5) - np.outer(u, u)
    r, E = U.T @ u, P @ U
    r1, E1 = after.T @ u, P @ after
    signal, error = np.linalg.norm(r), op(E)
    drift = 2 * eta * delta * (error + signal)
    expected = (
        (np.linalg.norm(E1) ** 2 - np.linalg.norm(E) ** 2)
        / (2 * eta * delta * op(E @ U.T) + 9 * eta**2),
        (op(E1) - error) / drift,
        np.linalg.norm(r1 - (1 + eta * (1 - signal**2)) * r) / (eta * error**2 * signal + drift),
    )
    np.testing.assert_allclose(steps.ratios(Factors(U), Factors(after)), expected)
    np.testing.assert_allclose(steps.parts(Factors(U)), (signal, error, np.linalg.norm(E)))


def test_what_is_measured_as_it_is_keeps_to_the_propositions_without_any_delta(rng):
    u = np.linalg.qr(rng.standard_normal((6, 1)))[0]
    steps = RankOneSteps(Factors(u), 0.1, 0.0)
    U = 0.1 * np.linalg.qr(rng.standard_normal((6, 6)))[0]
    for _ in range(100):
        after = U - 0.1 * (U @ U.T - u @ u.T) @ U
        assert max(steps.ratios(Factors(U), Factors(after))) <= 1 + 1e-9
        U = after
    assert steps.parts(Factors(U))[0] == pytest.approx(1.0, abs=1e-3)


def test_where_the_propositions_apply():
    steps = RankOneSteps(Factors(np.eye(3)[:, :1]), 0.1, 0.1)

    def applies(signal, error):
        return steps.applies(Factors(np.diag([signal, error, 0.0])))

    assert applies(1.5, 0.5)
    assert not applies(1.51, 0.1)
    assert not applies(1.0, 0.51)


def test_bounds_are_those_of_theorem_42():
    bounds = SignalBounds(d=40, rank=3, kappa=2.0, eta=0.05, alpha=1e-3, delta=0.2)
    log = math.log(40 / 1e-3)
    assert bounds.end == pytest.approx(2.0 / 0.05 * log)
    assert bounds.rho == pytest.approx(math.sqrt(3) * 0.2 / (2 * log))
    ratios = bounds.ratios((0.02, 0.003, 2.0, 0.01), 10)
    least = 1e-3 * (1 + 0.05 / 16) ** 10
    expected = (0.01 / (0.05 * bounds.rho * 10), 0.75, 0.15, least / 0.02, 0.4)
    np.testing.assert_allclose(ratios, expected)
    # Late on what is asked of the signal is 1 / (2 sqrt(kappa)).
    late = bounds.ratios((0.5, 0.003, 2.0, 0.01), 10**5)[3]
    assert late == pytest.approx(1 / (2 * math.sqrt(2)) / 0.5)
    # The subspace starts at that of X, and rounding is no angle.
    assert bounds.ratios((1e-3, 1e-3, 1e-3, 1e-12), 0)[0] == 0.0
    assert bounds.ratios((1e-3, 1e-3, 1e-3, 1e-3), 0)[0] == math.inf


def test_constants_of_a_step_are_solved_for():
    bounds = SignalBounds(d=40, rank=3, kappa=2.0, eta=0.05, alpha=1e-3, delta=0.2)
    first, second, third = bounds.step_constants((0.1, 0.01, 0.5, 0.3), (0.11, 0.012, 0.5, 0.32))
    assert 1 + first * 0.05 * (math.sqrt(3) * 0.2 + 0.3) == pytest.approx(1.2)
    assert 0.3 + second * 0.05 * (bounds.rho + 0.01) == pytest.approx(0.32)
    assert third == pytest.approx((1 + 0.05 / 16) * 0.1 / 0.11)
    late = bounds.step_constants((0.9, 0.01, 1.0, 0.0), (0.8, 0.01, 1.0, 0.0))
    assert late[2] == pytest.approx(0.5 / math.sqrt(2) / 0.8)


def test_the_constant_of_proposition_43_is_solved_for():
    bounds = SignalBounds(d=10, rank=2, kappa=1.0, eta=0.1, alpha=1e-3, delta=0.2)
    C = bounds.contraction_excess(0.5, 0.51, 0.02)
    right = (1 - 0.1 / 8) * 0.5**2 + C * 0.1 * math.sqrt(20) * 0.02
    assert right == pytest.approx(0.51**2)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="truth must be one column"):
        RankOneSteps(Factors(2 * np.eye(3)[:, :1]), 0.1, 0.1)
    with pytest.raises(ValueError, match="eta"):
        RankOneSteps(Factors(np.eye(3)[:, :1]), 0.0, 0.1)
    good = {"d": 10, "rank": 2, "kappa": 1.0, "eta": 0.1, "alpha": 1e-3, "delta": 0.2}
    for name, value in (("kappa", 0.5), ("alpha", 20.0), ("delta", -1.0), ("eta", 0.0)):
        with pytest.raises(ValueError, match=name):
            SignalBounds(**(good | {name: value}))

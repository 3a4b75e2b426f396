"""Bounds along gradient flow at rank 1, against the flow itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from leanrank import initial
from leanrank.factors import Factors
from leanrank.research import theory

D, K = 6, 5


def flow_from(scale, seed=0):
    """The bounds, and the path of signal, noise and coupling of the flow as it is printed."""
    truth = initial.orthonormal((D, D), 1, symmetric=True, random_state=seed)
    start = initial.gaussian((D, D), K, scale=scale, symmetric=True, random_state=seed + 1)
    u = truth.W[:, 0]
    bounds = theory.RankOneFlow.of(start, truth)
    times = np.linspace(0.0, 3.0 * bounds.turning_time, 90)
    path = solve_ivp(
        lambda t, U: -((W := U.reshape(D, K)) @ W.T @ W - np.outer(u, u @ W)).ravel(),
        (0.0, times[-1]),
        start.W.ravel(),
        t_eval=times,
        rtol=1e-10,
        atol=1e-14,
    ).y.T.reshape(-1, D, K)
    return bounds, times, path, start, truth


def parts(path, truth):
    u = truth.W[:, 0]
    r = np.einsum("tdk,d->tk", path, u)
    E = path - np.einsum("d,tk->tdk", u, r)
    coupling = np.linalg.norm(np.einsum("tdk,tk->td", E, r), axis=1)
    return np.sum(r * r, axis=1), np.sum(E * E, axis=(1, 2)), coupling


@pytest.mark.parametrize("scale", [1e-1, 1e-2, 1e-4])
@pytest.mark.parametrize("seed", range(3))
def test_every_bound_holds_along_the_flow(scale, seed):
    bounds, times, path, _, truth = flow_from(scale, seed)
    signal, noise, coupling = parts(path, truth)
    slack = 1 + 1e-7
    assert np.all(noise <= bounds.noise * slack)
    assert np.all(signal <= slack * np.array([bounds.most_signal(t) for t in times]))
    assert np.all(signal * slack >= [bounds.least_signal(t) for t in times])
    assert np.all(coupling <= slack * np.array([bounds.most_coupling(t) for t in times]) + 1e-13)
    early = times <= 1.5 * bounds.turning_time
    assert np.all(signal[early] >= [bounds.refined_signal(t, c=4.0) for t in times[early]])
    assert np.all(1 - signal[~early] <= [bounds.most_lacking(t) for t in times[~early]])


def test_bounds_are_close_where_noise_is_small():
    bounds, times, path, _, truth = flow_from(1e-4)
    signal, _, coupling = parts(path, truth)
    for t, x, c in zip(times, signal, coupling, strict=True):
        assert x == pytest.approx(bounds.least_signal(t), rel=1e-3)
        assert x == pytest.approx(bounds.most_signal(t), rel=1e-3)
        assert bounds.most_coupling(t) < 10 * c + 1e-12


def test_printed_shorter_forms_are_weaker():
    bounds, times, *_ = flow_from(1e-2)
    turn, room = bounds.turning_time, 1 - bounds.noise
    for t in times:
        below = room / (1 + np.exp(-2 * room * (t - turn) + 1))  # eq. (39)
        assert bounds.least_signal(t) >= below
        above = np.exp(2 * (t - turn) + 1 + 0.1)  # eq. (35) with eta = 0.1
        assert bounds.most_signal(t) <= above / (1 + above)


def test_turning_time_is_that_of_lemma_12():
    bounds, *_ = flow_from(1e-4)
    log = -0.5 * np.log(bounds.signal)
    assert log + 0.5 <= bounds.turning_time <= log + 1.5
    assert bounds.least_signal(bounds.turning_time + 2) >= 0.75


def test_column_norms_lie_between_those_of_lemmas_18_and_19():
    _, _, path, start, truth = flow_from(1e-5)
    bounds = theory.RankOneFlow.of(start, truth)
    norms = np.linalg.norm(path[-1], axis=0)
    low, high = bounds.column_norms(start, truth, eta=0.01)
    assert np.all(low <= norms)
    assert np.all(norms <= high)
    assert high / low == pytest.approx(np.full(K, 1.4 / 0.95))


def test_a_start_has_what_lemma_10_says():
    k, d, alpha = 50, 20, 0.3
    bounds = theory.start_bounds(alpha, k, d)
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(200):
        U = alpha * rng.standard_normal((d, k))
        r, noise = U[0], np.sum(U[1:] ** 2)
        good = bounds.signal_low <= r @ r <= bounds.signal_high
        kept += bool(noise <= bounds.noise and good and np.abs(r).min() >= bounds.coordinate)
    assert kept >= 200 * (1 - 2 / k)


def test_what_is_no_small_start_is_refused():
    with pytest.raises(ValueError, match="signal must be below 1"):
        theory.RankOneFlow(1.5, 0.1, 0.1)
    with pytest.raises(ValueError, match="truth must be a column of norm 1, got 2"):
        theory.RankOneFlow.of(Factors(np.eye(3)), Factors(2 * np.eye(3, 1)))
    with pytest.raises(ValueError, match="truth have one column"):
        theory.RankOneFlow.of(Factors(np.eye(3)), Factors(np.eye(3, 2)))
    bounds, *_ = flow_from(1e-2)
    with pytest.raises(ValueError, match="time must be"):
        bounds.refined_signal(1.6 * bounds.turning_time)
    with pytest.raises(ValueError, match="time must be"):
        bounds.most_lacking(1.4 * bounds.turning_time)

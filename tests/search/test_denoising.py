"""Denoising in closed form, against the dense SVD and the formula written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanrank import Factors, Status, recover, simulate
from leanrank.losses import Squared
from leanrank.operators import FullObservation
from leanrank.problem import Problem
from leanrank.search import Fitter, GrowAndPenalise, Monitor
from leanrank.search.denoising import denoised
from leanrank.solvers import LBFGS, GaussNewton


def by_hand(Y: np.ndarray, rank: int) -> np.ndarray:
    """The leading singular triplets, shrunk as Gavish and Donoho (2017) have it for beta <= 1."""
    if Y.shape[0] > Y.shape[1]:
        return by_hand(Y.T, rank).T
    m, n = Y.shape
    P, s, Qt = np.linalg.svd(Y, full_matrices=False)
    sigma = np.sqrt(np.sum(s[rank:] ** 2) / ((m - rank) * (n - rank)))
    beta, y = m / n, s[:rank] / (sigma * np.sqrt(n))
    eta = np.sqrt((y**2 - beta - 1) ** 2 - 4 * beta) / y
    return (P[:, :rank] * (eta * sigma * np.sqrt(n))) @ Qt[:rank]


def in_closed_form(result) -> bool:
    return [record.phase for record in result.history] == ["denoise"]


def closed(Y, *, symmetric=False, most=40):
    problem = Problem(FullObservation(Y.shape), Y / np.linalg.norm(Y))
    own = Fitter(GaussNewton(), np.random.default_rng(0), Monitor())
    return denoised(problem, own, symmetric=symmetric, most=most)


@given(
    st.integers(25, 125),
    st.integers(25, 125),
    st.integers(1, 3),
    st.floats(0.02, 0.4),
    st.integers(0, 99),
)
def test_the_answer_is_the_svd_shrunk(n1, n2, rank, noise, seed):
    inst = simulate.full_observation((n1, n2), rank, noise=noise, random_state=seed)
    result = recover(inst.op, inst.y)
    assert in_closed_form(result)
    assert result.rank == rank
    Y = inst.y.reshape(n1, n2)
    np.testing.assert_allclose(result.factors.to_dense(), by_hand(Y, rank), atol=1e-9)


@pytest.mark.parametrize("shape", [(300, 260), (200, 700)])
@pytest.mark.parametrize(("rank", "noise", "kappa"), [(3, 0.1, 1), (6, 1.0, 3), (40, 0.01, 2)])
def test_a_few_products_find_it_in_large_matrices(shape, rank, noise, kappa):
    inst = simulate.full_observation(shape, rank, noise=noise, kappa=kappa, random_state=1)
    result = recover(inst.op, inst.y)
    assert in_closed_form(result)
    assert result.rank == rank
    best = by_hand(inst.y.reshape(shape), rank)
    truth = inst.truth.to_dense()
    missed = np.linalg.norm(best - truth)
    # What is not settled yet adds less than a thousandth to what noise leaves.
    assert np.linalg.norm(result.factors.to_dense() - truth) < 1.002 * missed
    assert result.certificate.error_estimate == pytest.approx(
        missed / np.linalg.norm(truth), rel=0.15
    )
    if rank < 32:
        assert result.history.passes < 30


def test_it_misses_less_than_the_svd_of_the_true_rank():
    inst = simulate.full_observation((200, 150), 5, noise=1.0, random_state=2)
    P, s, Qt = np.linalg.svd(inst.y.reshape(200, 150), full_matrices=False)
    told = Factors(P[:, :5] * s[:5], Qt[:5].T)
    assert inst.error(recover(inst.op, inst.y).factors) < 0.99 * inst.error(told)


@pytest.mark.parametrize("d", [60, 150])
@pytest.mark.parametrize("noise", [0.05, 0.5])
def test_symmetric_matrices_by_eigenvalues(d, noise):
    inst = simulate.full_observation(d, 3, noise=noise, symmetric=True, random_state=3)
    result = recover(inst.op, inst.y, symmetric=True)
    assert in_closed_form(result)
    assert result.factors.symmetric
    assert result.rank == 3
    S = inst.y.reshape(d, d)
    S = (S + S.T) / 2
    values, vectors = np.linalg.eigh(S)
    variance = (np.sum(values**2) - np.sum(values[-3:] ** 2)) / ((d - 3) * (d - 2))
    taken = np.sqrt(values[-3:] ** 2 - 4 * d * variance)
    best = (vectors[:, -3:] * taken) @ vectors[:, -3:].T
    missed = np.linalg.norm(best - inst.truth.to_dense())
    # What is not settled yet of a large one lies across that, and adds half a hundredth of it.
    unsettled = 1e-9 if d == 60 else 0.1 * missed
    assert np.linalg.norm(result.factors.to_dense() - best) < unsettled


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("d", "rank"), [(8, 2), (40, 5), (160, 4), (160, 40)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_without_noise_it_is_exact(symmetric, d, rank, dtype):
    inst = simulate.full_observation(
        (d, d), rank, kappa=5, symmetric=symmetric, dtype=dtype, random_state=4
    )
    result = recover(inst.op, inst.y, symmetric=symmetric)
    assert result.status is Status.CONVERGED, result.message
    assert result.message.startswith("exact fit")
    assert in_closed_form(result)
    assert result.rank == rank
    assert result.factors.W.dtype == dtype
    assert inst.error(result.factors) < (1e-12 if dtype == np.float64 else 1e-5)


def test_rank_of_exact_data_whose_singular_values_are_far_apart():
    inst = simulate.full_observation((150, 140), 6, kappa=1e6, random_state=0)
    result = recover(inst.op, inst.y)
    assert (result.rank, result.status) == (6, Status.CONVERGED)
    np.testing.assert_allclose(
        result.factors.singular_values(), np.geomspace(1.0, 1e-6, 6), rtol=1e-7
    )


@pytest.mark.parametrize("shape", [(30, 20), (200, 180)])
def test_of_noise_alone_nothing_is_taken(rng, shape):
    for _ in range(5):
        result = recover(FullObservation(shape), rng.standard_normal(shape))
        assert in_closed_form(result)
        assert result.rank == 0
        assert result.status is Status.STALLED
        assert "nothing in the measurements rises above the noise" in result.message


@given(st.floats(1e-8, 1e8), st.integers(0, 20))
def test_scale_and_transpose_change_nothing_else(scale, seed):
    inst = simulate.full_observation((150, 140), 2, noise=0.3, random_state=seed)
    Y = inst.y.reshape(150, 140)
    here, there = recover(inst.op, Y), recover(FullObservation((140, 150)), scale * Y.T)
    assert here.rank == there.rank == 2
    X = here.factors.to_dense()
    np.testing.assert_allclose(there.factors.to_dense().T / scale, X, atol=1e-3 * np.abs(X).max())


def rows_of_more_noise(rng):
    return np.where(np.arange(90)[:, None] < 45, 1.3, 1.0) * rng.standard_normal((90, 80))


def columns_of_more_noise(rng):
    return np.exp(0.6 * rng.standard_normal(80)) * rng.standard_normal((90, 80))


def one_wild_entry(rng):
    E = rng.standard_normal((90, 80))
    E[4, 7] = 100.0
    return E


def correlated(rng):
    """Sums over squares of four neighbours: of one size everywhere."""
    E = rng.standard_normal((91, 81))
    return E[1:, 1:] + E[:-1, 1:] + E[1:, :-1] + E[:-1, :-1]


@pytest.mark.parametrize(
    "noise", [rows_of_more_noise, columns_of_more_noise, one_wild_entry, correlated]
)
def test_noise_that_is_not_white_is_left_to_the_search(rng, noise):
    X = 2 * rng.standard_normal((90, 2)) @ rng.standard_normal((2, 80))
    assert closed(X + rng.standard_normal(X.shape)).factors.width == 2
    assert closed(X + noise(rng)) is None


def test_matrices_that_are_not_of_low_rank_or_definite_are_left_to_the_search(rng):
    half = rng.standard_normal((60, 30)) @ rng.standard_normal((30, 60))
    assert closed(half + 0.1 * rng.standard_normal((60, 60))) is None
    U = rng.standard_normal((60, 2))
    S = U @ np.diag([1.0, -1.0]) @ U.T
    for noise in (0.0, 0.1):
        assert closed(S + noise * rng.standard_normal(S.shape), symmetric=True) is None
    assert closed(U @ U.T + 0.1 * rng.standard_normal((60, 60)), symmetric=True, most=1) is None


def test_an_exact_symmetric_part_is_no_exact_fit(rng):
    U = rng.standard_normal((40, 2))
    A = rng.standard_normal((40, 40))
    found = closed(U @ U.T + 0.1 * (A - A.T), symmetric=True)
    assert found is None or found.spectrum.noise is not None


@pytest.mark.parametrize(
    "options",
    [
        {"rank": 2},
        {"validation": 0.1},
        {"solver": LBFGS()},
        {"loss": Squared(np.arange(1.0, 601.0))},
    ],
)
def test_whoever_asks_for_another_way_gets_it(options):
    inst = simulate.full_observation((30, 20), 2, noise=0.1, random_state=0)
    result = recover(inst.op, inst.y, **options)
    assert not in_closed_form(result)
    assert result.rank == 2


def test_strategies_of_ones_own_propose():
    class Own(GrowAndPenalise):
        """As ours, but somebody else's."""

    inst = simulate.full_observation((30, 20), 2, noise=0.1, random_state=0)
    assert not in_closed_form(recover(inst.op, inst.y, strategy=Own()))
    assert in_closed_form(recover(inst.op, inst.y, strategy=GrowAndPenalise()))


def test_callbacks_see_it_and_may_stop_there():
    inst = simulate.full_observation((30, 20), 2, noise=0.1, random_state=0)
    seen = []
    result = recover(inst.op, inst.y, callbacks=[seen.append])
    (state,) = seen
    silent = recover(inst.op, inst.y)
    assert state.factors_in_units.distance(result.factors) < 1e-12
    assert result.history[0].loss == pytest.approx(silent.history[0].loss)
    assert result.history[0].gradient_norm == pytest.approx(silent.history[0].gradient_norm)
    stopped = recover(inst.op, inst.y, callbacks=[lambda state: True])
    assert stopped.status is Status.STOPPED
    assert stopped.factors.distance(result.factors) < 1e-12


def test_posterior_intervals_cover_the_truth():
    inst = simulate.full_observation((40, 30), 2, noise=0.3, random_state=0)
    low, high = recover(inst.op, inst.y).posterior.interval(np.arange(40)[:, None], np.arange(30))
    truth = inst.truth.to_dense()
    assert 0.9 < np.mean((low <= truth) & (truth <= high)) < 0.99


def test_what_is_not_finite_is_refused():
    Y = np.ones((20, 10))
    Y[3, 4] = np.nan
    with pytest.raises(ValueError, match="y must be finite, got 1 NaN"):
        recover(FullObservation((20, 10)), Y)


@pytest.mark.parametrize("symmetric", [False, True])
def test_arrays_of_other_libraries(convert, symmetric):
    inst = simulate.full_observation(140, 2, noise=0.1, symmetric=symmetric, random_state=0)
    y = convert(inst.y)
    result = recover(FullObservation((140, 140), reference=y), y, symmetric=symmetric)
    expected = recover(inst.op, inst.y, symmetric=symmetric)
    assert result.certificate.holds
    assert type(result.factors.W) is type(y)
    W = result.factors.W
    assert W.shape == expected.factors.W.shape
    assert result.certificate.error_estimate == pytest.approx(expected.certificate.error_estimate)

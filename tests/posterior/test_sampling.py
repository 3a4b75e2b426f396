"""Gibbs draws: what they average to, what they cover, and what they do not depend on."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from scipy.special import digamma

from leanrank import simulate
from leanrank.operators import ObservedEntries
from leanrank.posterior import Layout, Posterior, State, _sampling, entries_of, fit, sampled, start
from leanrank.posterior._sampling import _isotropic, _prior, _scales, draws
from leanrank.problem import Problem


def fitted(op, y, layout=None, **options) -> State:
    entries, loss = entries_of(Problem(op, y))
    begin = start(entries, layout or Layout(8), np.random.default_rng(0), loss)
    return fit(begin, **options)


def noisy(seed: int, rho: float, noise: float, shape=(100, 80)):
    inst = simulate.matrix_completion(shape, 3, oversampling=rho, random_state=seed)
    rng = np.random.default_rng(seed + 1000)
    return inst, inst.y + noise * np.std(inst.y) * rng.standard_normal(inst.y.size)


def covered(post: Posterior, X: np.ndarray, op, level: float = 0.95) -> float:
    """Share of the entries that were not observed that lie in their intervals."""
    low, high = post.interval(*np.indices(X.shape), level=level)
    hidden = np.ones(X.shape, bool)
    hidden[op.rows, op.cols] = False
    return float((np.clip(X, low, high) == X)[hidden].mean())


def relative(Z: np.ndarray, X: np.ndarray) -> float:
    return float(np.linalg.norm(Z - X) / np.linalg.norm(X))


def test_a_matrix_of_one_column_against_the_exact_posterior(rng):
    """Every row its own reading of one number: the posterior of all is a normal one, by hand."""
    n, noise = 4000, 0.5
    truth = 1.0 + 2.0 * rng.standard_normal(n)

    rows = np.repeat(np.arange(n), 8)
    many = np.tile(np.arange(8), n)
    readings = np.repeat(truth, 8) + noise * rng.standard_normal(8 * n)

    op = ObservedEntries(rows, many, (n, 8))
    state = fitted(op, readings, Layout(0, row_intercepts=True))
    post = sampled(state, rng, size=200, spare=0)
    means = readings.reshape(n, 8).mean(axis=1)
    # Row intercepts: normal prior about the mean of all, eight readings.
    prior, each = np.var(means) - noise**2 / 8, noise**2 / 8
    exact = means.mean() + prior / (prior + each) * (means - means.mean())
    np.testing.assert_allclose(post.mean(np.arange(n), 0), exact, atol=0.002)
    deviation = np.sqrt(1.0 / (1.0 / prior + 1.0 / each))
    assert post.std(np.arange(n), 0).mean() == pytest.approx(deviation, rel=0.03)
    assert post.noise.mean() == pytest.approx(noise**2, rel=0.03)


@pytest.mark.parametrize(("rho", "noise"), [(2.0, 0.3), (3.0, 0.01), (4.0, 1.0), (8.0, 0.1)])
def test_intervals_cover(rho, noise):
    found = []
    for seed in range(3):
        inst, y = noisy(seed, rho, noise)
        post = sampled(fitted(inst.op, y), np.random.default_rng(seed))
        X = inst.truth.to_dense()
        found.append([covered(post, X, inst.op, level) for level in (0.5, 0.95)])
    half, most = np.mean(found, axis=0)
    assert 0.45 < half < 0.58
    assert 0.93 < most < 0.97


def test_spare_columns_know_of_directions_too_weak_to_find():
    found = []
    for seed in range(3):
        inst, y = noisy(seed, 2.0, 1.0, (200, 150))
        state, X = fitted(inst.op, y), inst.truth.to_dense()
        assert state.width < 3
        posts = [sampled(state, np.random.default_rng(0), spare=k) for k in (3, 0)]
        assert posts[0].rank == posts[1].rank == state.width
        assert posts[0].left.shape[2] == posts[1].left.shape[2] + 3
        found.append([covered(post, X, inst.op) for post in posts])
    with_, without = np.mean(found, axis=0)
    assert with_ > without + 0.015


def test_intervals_know_of_directions_as_strong_as_noise_hides():
    """Hardly one of three directions can be found; nine tenths were covered with a small prior."""
    found = []
    for seed in range(950, 956):
        inst, y = noisy(seed, 2.0, 1.0, (200, 150))
        post = sampled(fitted(inst.op, y), np.random.default_rng(seed))
        found.append(covered(post, inst.truth.to_dense(), inst.op))
    assert 0.925 < np.mean(found) < 0.97


@pytest.mark.parametrize("above", [0.5, 1.0, 2.0, 30.0])
def test_what_may_be_hidden_depends_on_what_was_found(above):
    """Of a matrix of noise, singular values end where the edge is, by its own decomposition."""
    n1, n2, noise = 300, 200, 0.7
    rng = np.random.default_rng(0)
    Y = noise**0.5 * rng.standard_normal((n1, n2))
    edge = np.linalg.norm(Y, 2) ** 2 / (n1 * n2)  # variance of the entries of its first direction
    entries, _ = entries_of(Problem(ObservedEntries(*np.nonzero(Y), Y.shape), Y.ravel()))
    begun = start(entries, Layout(2, True, True), rng)
    state = replace(begun, noise=np.full(n2, noise), variances=np.array([above * edge, 1e-9]))
    scales = _scales(state)
    small, large = 0.04 * noise**0.5, 0.6 * edge**0.5
    expected = max(small, large / max(1.0, above) ** 2)
    np.testing.assert_allclose(scales[:2], expected, rtol=0.1)
    np.testing.assert_allclose(scales[2:], 0.04 * noise)


@pytest.mark.parametrize(("above", "burnt"), [(0.9, 60), (1.1, 12)])
def test_weak_columns_are_given_time(monkeypatch, above, burnt):
    inst, y = noisy(7, 3.0, 0.3, (40, 30))
    state = fitted(inst.op, y)
    edge = float(np.mean(state.noise)) * (np.sqrt(40) + np.sqrt(30)) ** 2 / y.size
    state = replace(state, variances=np.full(state.width, above * edge))
    numbers, chain = [], _sampling.draws

    def counted(*args, **options):
        for number, draw in enumerate(chain(*args, **options)):
            numbers.append(number)
            yield draw

    monkeypatch.setattr(_sampling, "draws", counted)
    sampled(state, np.random.default_rng(0), size=2)
    assert len(numbers) == burnt + 2


def test_precisions_are_drawn_from_a_wishart_distribution(rng):
    """Mean and variances of the entries, and their mean log determinant, by formula."""
    n, k = 12, 3
    rows = rng.standard_normal((n, k)) @ rng.standard_normal((k, k)) + 1.0
    scale, mean = np.array([0.5, 0.1, 1.0]), rows.mean(axis=0)
    spread = (n - 1) * np.cov(rows.T) + n / (n + 1) * np.outer(mean, mean) + k * np.diag(scale)
    S, freedom = np.linalg.inv(spread), n + k
    drawn = [_prior(rows, scale, rng) for _ in range(20_000)]
    P = np.array([prior.precision for prior in drawn])
    variance = freedom * (S**2 + np.outer(np.diag(S), np.diag(S)))
    error = np.sqrt(variance / len(P))
    assert (np.abs(P.mean(axis=0) - freedom * S) < 4 * error).all()
    np.testing.assert_allclose(P.var(axis=0), variance, rtol=0.1)
    of_log = digamma((freedom - np.arange(k)) / 2).sum() + k * np.log(2) + np.linalg.slogdet(S)[1]
    assert np.linalg.slogdet(P)[1].mean() == pytest.approx(of_log, abs=0.03)
    # Given a precision, means are normal with n + 1 times as much of it.
    means = np.array([prior.mean for prior in drawn]) - n / (n + 1) * mean
    along = np.einsum("ti,tij,tj->t", means, P, means) * (n + 1)
    assert along.mean() == pytest.approx(k, rel=0.03)


def test_spare_columns_fit_the_shape():
    inst, y = noisy(1, 1.1, 0.1, (30, 4))
    post = sampled(fitted(inst.op, y, Layout(3), prune=False), np.random.default_rng(0))
    assert post.left.shape[2] == 4


def test_means_predict_at_least_as_well_as_where_sampling_began():
    errors = []
    for seed in range(4):
        inst, y = noisy(seed, 2.0, 0.5, (200, 150))
        state, X = fitted(inst.op, y), inst.truth.to_dense()
        post = sampled(state, np.random.default_rng(seed))
        errors.append([relative(Z, X) for Z in (post.to_dense(), state.factors.to_dense())])
    means, began = np.array(errors).T
    assert means.mean() < 1.03 * began.mean()
    assert means.max() < 0.6


def test_averages_of_centres_are_less_noisy_than_those_of_draws():
    inst, y = noisy(3, 3.0, 0.3)
    post = sampled(fitted(inst.op, y), np.random.default_rng(0), size=20)
    X = inst.truth.to_dense()
    plain = np.mean([factors.to_dense() for factors in post.draws()], axis=0)
    assert relative(post.to_dense(), X) < relative(plain, X)


@pytest.mark.parametrize("threads", [2, 3])
def test_a_seed_gives_the_same_draws_whatever_the_threads(threads):
    inst, y = noisy(4, 3.0, 0.3)
    state = fitted(inst.op, y, Layout(8, True, True))
    one, more = (sampled(state, np.random.default_rng(5), size=5, threads=t) for t in (1, threads))
    for name in ("left", "right", "centres", "noise"):
        assert np.array_equal(getattr(one, name), getattr(more, name))
    other = sampled(state, np.random.default_rng(6), size=5)
    assert not np.array_equal(one.left, other.left)


@pytest.mark.parametrize("layout", [Layout(6), Layout(6, True, True)])
def test_draws_scale_with_the_readings(layout):
    """A state of readings 100 times as large, sampled with the same numbers."""
    inst, y = noisy(5, 3.0, 0.3)
    state, factor = fitted(inst.op, y, layout), 100.0
    entries, _ = entries_of(Problem(inst.op, factor * y))
    grown = np.full(state.layout.size, 1.0)
    grown[: state.width] = factor
    kept, at = state.columns.mean * grown, state.layout
    rows = state.rows.copy()
    if at.row_intercepts:
        rows[:, at.row_intercept] *= factor
        kept[:, at.column_intercept] *= factor
    larger = replace(
        state,
        entries=entries,
        rows=rows,
        columns=replace(state.columns, mean=kept),
        noise=state.noise * factor**2,
        variances=state.variances * factor**2,
    )
    a, b = (sampled(s, np.random.default_rng(1), size=10) for s in (state, larger))
    np.testing.assert_allclose(b.to_dense(), factor * a.to_dense(), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(b.noise, factor**2 * a.noise, rtol=1e-4)


def test_noise_of_columns_is_drawn_around_what_it_is():
    inst, _ = noisy(8, 8.0, 0.0)
    rng = np.random.default_rng(0)
    levels = np.std(inst.y) * np.geomspace(0.05, 1.0, inst.op.shape[1])
    y = inst.y + levels[inst.op.cols] * rng.standard_normal(inst.y.size)
    state = fitted(inst.op, y, column_noise=True)
    post = sampled(state, rng, column_noise=True)
    assert np.abs(np.log(post.noise / levels**2)).mean() < 0.35
    low, high = post.interval(inst.op.rows, inst.op.cols, reading=True)
    fresh = inst.y + levels[inst.op.cols] * rng.standard_normal(inst.y.size)
    inside = np.clip(fresh, low, high) == fresh
    assert 0.92 < inside.mean() < 0.98
    # In clean columns as in noisy ones.
    by_column = np.bincount(inst.op.cols, inside) / np.bincount(inst.op.cols)
    assert min(by_column[:20].mean(), by_column[-20:].mean()) > 0.9


def test_draws_leave_what_is_fixed_at_one():
    inst, y = noisy(6, 3.0, 0.3, (40, 30))
    state = fitted(inst.op, y + 2.0, Layout(3, True, True))
    at = state.layout
    chain = draws(state, np.random.default_rng(0), column_noise=False)
    for draw in islice(chain, 3):
        assert (draw.rows[:, at.column_intercept] == 1.0).all()
        assert (draw.centres[:, at.column_intercept] == 1.0).all()
        assert (draw.columns[:, at.row_intercept] == 1.0).all()


def test_nothing_but_intercepts_can_be_sampled(rng):
    rows, cols = np.nonzero(rng.random((30, 20)) < 0.5)
    y = 3.0 + rng.standard_normal(rows.size)
    op = ObservedEntries(rows, cols, (30, 20))
    post = sampled(fitted(op, y, Layout(0, True, True)), rng, size=50, spare=0)
    assert post.rank == 2
    assert abs(post.to_dense() - 3.0).max() < 1.0
    empty = sampled(fitted(op, y, Layout(0)), rng, size=5, spare=0)
    assert np.array_equal(empty.to_dense(), np.zeros((30, 20)))


def test_progress_is_told():
    inst, y = noisy(7, 3.0, 0.3, (40, 30))
    seen: list[int] = []
    sampled(fitted(inst.op, y), np.random.default_rng(0), size=4, progress=seen.append)
    assert seen == [1, 2, 3, 4]


def test_one_variance_for_all_columns_against_its_exact_posterior(rng):
    """Precisions of rows that are all known: a gamma distribution, and intercepts apart."""
    rows = np.hstack([2.0 * rng.standard_normal((40, 3)), 5.0 + rng.standard_normal((40, 1))])
    scale = np.array([1e-3, 1e-3, 1e-3, 1e-3])
    found = [_isotropic(rows, scale, rng, 3) for _ in range(4000)]
    taus = np.array([prior.precision[0, 0] for prior in found])
    for prior in found[:5]:
        tau = prior.precision[0, 0]
        np.testing.assert_array_equal(prior.precision[:3], tau * np.eye(3, 4))
        np.testing.assert_array_equal(prior.mean[:3], 0.0)
    freedom, spread = 40 * 3 + 1, np.sum(rows[:, :3] ** 2) + 1e-3
    assert taus.mean() == pytest.approx(freedom / spread, rel=0.01)
    assert taus.std() == pytest.approx(np.sqrt(2 * freedom) / spread, rel=0.06)
    assert np.mean([prior.mean[3] for prior in found]) == pytest.approx(rows[:, 3].mean(), rel=0.03)


def test_noise_does_not_fall_below_what_is_given():
    inst, y = noisy(8, 4.0, 0.1)
    state = fitted(inst.op, y)
    free = sampled(state, np.random.default_rng(0), size=20, isotropic=True)
    held = 4.0 * free.noise.mean()
    kept = sampled(state, np.random.default_rng(0), size=20, isotropic=True, least_noise=held)
    np.testing.assert_allclose(kept.noise, held)
    assert (free.noise < 0.5 * held).all()
    # As little as there is hardly matters.
    low = sampled(state, np.random.default_rng(0), size=20, isotropic=True, least_noise=1e-9)
    np.testing.assert_array_equal(low.left, free.left)

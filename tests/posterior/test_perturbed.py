"""Draws by perturbed solves against dense inverses, and what their intervals cover."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Factors, recover, simulate
from leanrank._arrays import to_numpy
from leanrank.losses import Squared
from leanrank.operators import DenseSensing, ObservedEntries, Stacked
from leanrank.penalties import NoPenalty, Ridge
from leanrank.posterior import perturbed
from leanrank.posterior._perturbed import _without_turns
from leanrank.problem import Problem
from leanrank.solvers import GaussNewton, solve

KINDS = {
    "dense": lambda **kw: simulate.dense_sensing((7, 6), 2, m=90, **kw),
    "packed": lambda **kw: simulate.dense_sensing(8, 2, m=70, symmetric=True, **kw),
    "rank one": lambda **kw: simulate.rank_one_sensing((7, 6), 2, m=110, **kw),
    "entries": lambda **kw: simulate.matrix_completion((10, 9), 2, fraction=0.75, **kw),
}


def fitted(problem, start):
    return solve(GaussNewton(), problem, start, tol=1e-11, max_iter=100).factors.balance()


def derivatives(op, factors):
    """Those of the measurements and of the matrix in W, as dense matrices, from differences."""
    J, D = [], []
    for unit in np.eye(factors.W.size).reshape(-1, *factors.W.shape):
        up, down = (factors.with_stacked(factors.W + h * unit) for h in (0.5, -0.5))
        J.append(op.forward(up) - op.forward(down))
        D.append((up.to_dense() - down.to_dense()).ravel())
    return np.array(J).T, np.array(D).T


def everywhere(shape):
    return np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]


def assert_same_size(found, expected, draws):
    """Deviations of this many draws: five times as far off as they are on average is too far."""
    np.testing.assert_allclose(found / expected, 1.0, atol=5.0 / np.sqrt(2 * draws))
    np.testing.assert_allclose(np.mean(found / expected), 1.0, atol=0.06)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_deviations_are_those_of_the_inverse_fisher_information(kind, weighted, rng):
    inst = KINDS[kind](noise=1e-3, random_state=1)
    w = rng.uniform(0.1, 4.0, inst.op.size) if weighted else np.ones(inst.op.size)
    problem = Problem(inst.op, inst.y, loss=Squared(w) if weighted else None)
    factors = fitted(problem, inst.truth)
    posterior = perturbed(problem, factors, rng, size=300)
    J, D = derivatives(inst.op, factors)
    residual = inst.op.forward(factors) - inst.y
    variance = residual @ (w * residual) / (inst.op.size - factors.degrees_of_freedom())
    cov = variance * D @ np.linalg.pinv(J.T @ (w[:, None] * J), rcond=1e-10) @ D.T
    expected = np.sqrt(np.diag(cov)).reshape(inst.op.shape)
    assert_same_size(posterior.std(*everywhere(inst.op.shape)), expected, 300)
    np.testing.assert_allclose(posterior.noise, variance, rtol=1e-10)
    np.testing.assert_allclose(posterior.to_dense(), factors.to_dense())
    assert posterior.method == "perturbation"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strength", [1e-2, 1.0])
def test_a_ridge_is_a_normal_prior(kind, strength, rng):
    inst = KINDS[kind](noise=1e-3, random_state=1)
    problem = Problem(inst.op, inst.y)
    factors = fitted(problem, inst.truth)
    posterior = perturbed(problem, factors, rng, 300, Ridge(strength))
    J, D = derivatives(inst.op, factors)
    hat = np.linalg.inv(J.T @ J + inst.op.size * strength * np.eye(J.shape[1]))
    expected = np.sqrt(posterior.noise[0] * np.diag(D @ hat @ D.T)).reshape(inst.op.shape)
    assert_same_size(posterior.std(*everywhere(inst.op.shape)), expected, 300)
    left = np.sum((inst.op.forward(factors) - inst.y) ** 2)
    effective = np.trace(J @ hat @ J.T)
    assert posterior.noise[0] == pytest.approx(left / (inst.op.size - effective), rel=0.03)


def test_what_turns_the_factors_is_not_to_be_seen():
    """A weak prior leaves it nearly free, and changes nothing else."""
    inst = KINDS["packed"](noise=0.1, random_state=1)
    problem = Problem(inst.op, inst.y)
    factors = fitted(problem, inst.truth)
    at = everywhere(inst.op.shape)
    one, other = (
        perturbed(problem, factors, np.random.default_rng(0), 100, prior).std(*at)
        for prior in (NoPenalty(), Ridge(1e-8))
    )
    np.testing.assert_allclose(other / one, 1.0, atol=0.5)


def test_the_prior_may_be_given_apart(rng):
    inst = KINDS["dense"](noise=0.1, random_state=0)
    plain, ridge = Problem(inst.op, inst.y), Ridge(0.1)
    one, other = (
        perturbed(problem, inst.truth, np.random.default_rng(3), 3, prior)
        for problem, prior in ((plain, ridge), (plain.with_penalty(ridge), None))
    )
    np.testing.assert_array_equal(one.left, other.left)
    none = perturbed(
        plain.with_penalty(ridge), inst.truth, np.random.default_rng(3), 3, NoPenalty()
    )
    assert np.abs(none.left - one.left).max() > 0


def test_symmetric_factors_have_symmetric_draws(rng):
    inst = KINDS["packed"](noise=0.1, random_state=0)
    posterior = perturbed(Problem(inst.op, inst.y), inst.truth, rng, size=4)
    assert posterior.left is posterior.right
    for draw in posterior.draws():
        assert draw.symmetric
        assert np.linalg.eigvalsh(draw.to_dense()).min() > -1e-12


def test_a_seed_repeats_and_progress_is_told():
    inst = KINDS["dense"](noise=0.1, random_state=0)
    seen: list[int] = []
    problem = Problem(inst.op, inst.y)
    one = perturbed(problem, inst.truth, np.random.default_rng(5), size=3, progress=seen.append)
    other = perturbed(problem, inst.truth, np.random.default_rng(5), size=3)
    np.testing.assert_array_equal(one.left, other.left)
    assert seen == [1, 2, 3]
    assert np.abs(one.left[0] - one.left[1]).max() > 0


def test_an_exact_fit_has_no_width(rng):
    inst = KINDS["packed"](random_state=0)
    posterior = perturbed(Problem(inst.op, inst.y), inst.truth, rng, size=5)
    assert posterior.std(*everywhere(inst.op.shape)).max() < 1e-12 * inst.truth.norm()


def test_the_zero_matrix_has_no_width(rng):
    inst = KINDS["packed"](noise=0.1, random_state=0)
    nothing = Factors.empty(inst.op.shape, symmetric=True)
    posterior = perturbed(Problem(inst.op, inst.y), nothing, rng, size=5)
    assert posterior.left.shape == (5, 8, 0)
    assert posterior.std(*everywhere(inst.op.shape)).max() == 0
    assert posterior.noise[0] == pytest.approx(np.mean(inst.y**2))


def test_columns_of_zeros_change_nothing():
    inst = KINDS["dense"](noise=0.1, random_state=0)
    wide = inst.truth.append(Factors(np.zeros((7, 1)), np.zeros((6, 1))))
    problem = Problem(inst.op, inst.y)
    one, other = (perturbed(problem, f, np.random.default_rng(0), 3) for f in (inst.truth, wide))
    for a, b in zip(one.draws(), other.draws(), strict=True):
        np.testing.assert_allclose(a.to_dense(), b.to_dense(), rtol=1e-6, atol=1e-9)


def test_float32_and_other_libraries(convert):
    inst = KINDS["dense"](noise=0.1, random_state=0)
    single = DenseSensing(convert(inst.op.matrices(np.arange(90)).astype(np.float32)))
    y, W = convert(inst.y.astype(np.float32)), convert(inst.truth.W.astype(np.float32))
    factors = Factors.stacked(W, (7, 6), symmetric=False)
    found = perturbed(Problem(single, y), factors, np.random.default_rng(0), size=4)
    expected = perturbed(Problem(inst.op, inst.y), inst.truth, np.random.default_rng(0), size=4)
    assert found.left.dtype == np.float32
    for one, other in zip(found.draws(), expected.draws(), strict=True):
        np.testing.assert_allclose(one.to_dense(), other.to_dense(), rtol=0.02, atol=0.02)
    assert isinstance(to_numpy(found.factors.W), np.ndarray)


def test_what_is_not_determined_needs_a_prior(rng):
    mask = np.zeros((12, 12), dtype=bool)
    mask[:6, :6] = mask[6:, 6:] = True
    op = ObservedEntries(*np.nonzero(mask), (12, 12))
    truth = Factors(rng.standard_normal((12, 1)), rng.standard_normal((12, 1)))
    y = op.forward(truth) + 0.01 * rng.standard_normal(op.size)
    problem = Problem(op, y)
    with pytest.raises(
        ValueError, match=r"does not determine a matrix of rank 1.*pass a stronger prior"
    ):
        perturbed(problem, truth, rng)


@pytest.mark.parametrize("strength", [1e-4, 1e-8])
def test_what_only_a_prior_bounds_is_as_uncertain_as_the_prior(strength, rng):
    """Two blocks that nothing connects: how large their factors are is open but for the prior."""
    mask = np.zeros((12, 12), dtype=bool)
    mask[:6, :6] = mask[6:, 6:] = True
    op = ObservedEntries(*np.nonzero(mask), (12, 12))
    truth = Factors(rng.standard_normal((12, 1)), rng.standard_normal((12, 1))).balance()
    y = op.forward(truth) + 1e-6 * rng.standard_normal(op.size)
    posterior = perturbed(Problem(op, y), truth, rng, size=300, prior=Ridge(strength))
    J, D = derivatives(op, truth)
    hat = np.linalg.inv(J.T @ J + op.size * strength * np.eye(J.shape[1]))
    expected = np.sqrt(posterior.noise[0] * np.diag(D @ hat @ D.T)).reshape(op.shape)
    assert_same_size(posterior.std(*everywhere(op.shape)), expected, 300)


def test_as_many_unknowns_as_measurements_need_a_prior(rng):
    op = DenseSensing(rng.standard_normal((11, 6, 6)))
    factors = Factors(rng.standard_normal((6, 1)), rng.standard_normal((6, 1)))
    with pytest.raises(ValueError, match="11 measurements are no more than the 11 unknowns"):
        perturbed(Problem(op, rng.standard_normal(11)), factors, rng)


@pytest.mark.parametrize("bad", [1, 0, -3])
def test_too_few_draws(bad, rng):
    inst = KINDS["dense"](random_state=0)
    with pytest.raises(ValueError, match="size must be at least 2"):
        perturbed(Problem(inst.op, inst.y), inst.truth, rng, size=bad)


@pytest.mark.parametrize("symmetric", [False, True])
def test_turns_are_taken_out_and_nothing_else(symmetric, rng):
    rows = 7 if symmetric else 13
    shape = (7, 7 if symmetric else 6)
    factors = Factors.stacked(rng.standard_normal((rows, 3)), shape, symmetric).balance()
    Z = rng.standard_normal((rows, 3))
    less = _without_turns(Z, factors)
    D = derivatives(DenseSensing(np.zeros((1, *shape))), factors)[1]
    np.testing.assert_allclose(D @ (Z - less).ravel(), 0.0, atol=1e-10)
    kernel = np.linalg.svd(D)[2][np.linalg.matrix_rank(D) :]
    assert len(kernel) == (3 if symmetric else 9)
    np.testing.assert_allclose(kernel @ less.ravel(), 0.0, atol=1e-10)


@pytest.mark.parametrize(
    "make",
    [
        lambda s: simulate.dense_sensing(20, 2, m=150, symmetric=True, noise=0.2, random_state=s),
        lambda s: simulate.dense_sensing((14, 10), 2, m=120, noise=0.2, random_state=s),
        lambda s: simulate.rank_one_sensing(
            16, 2, m=150, symmetric=True, noise=0.2, random_state=s
        ),
    ],
)
def test_intervals_cover(make):
    covered = []
    for seed in range(8):
        inst = make(seed)
        problem = Problem(inst.op, inst.y)
        posterior = perturbed(problem, fitted(problem, inst.truth), np.random.default_rng(seed))
        low, high = posterior.interval(*everywhere(inst.op.shape))
        truth = inst.truth.to_dense()
        covered.append(np.mean((low <= truth) & (truth <= high)))
    assert 0.91 < np.mean(covered) < 0.98


def test_measurements_of_several_kinds(rng):
    sensing = simulate.dense_sensing((10, 9), 2, m=40, random_state=0)
    mask = rng.random((10, 9)) < 0.6
    op = Stacked([sensing.op, ObservedEntries(*np.nonzero(mask), (10, 9))])
    y = op.forward(sensing.truth) + 0.1 * rng.standard_normal(op.size)
    problem = Problem(op, y)
    posterior = perturbed(problem, fitted(problem, sensing.truth), rng)
    low, high = posterior.interval(*everywhere(op.shape))
    truth = sensing.truth.to_dense()
    assert np.mean((low <= truth) & (truth <= high)) > 0.85


def test_results_for_measurements_of_any_kind_have_a_posterior_in_the_units_of_y():
    covered = []
    for seed in range(4):
        make = simulate.dense_sensing
        inst = make(16, 2, m=160, symmetric=True, noise=0.2, random_state=seed)
        found = recover(inst.op, 1e3 * inst.y, symmetric=True)
        low, high = found.posterior.interval(*everywhere(inst.op.shape))
        truth = 1e3 * inst.truth.to_dense()
        covered.append(np.mean((low <= truth) & (truth <= high)))
        np.testing.assert_allclose(found.posterior.to_dense(), found.factors.to_dense())
        assert np.sqrt(found.posterior.noise[0]) == pytest.approx(1e3 * inst.noise_std, rel=0.3)
    assert 0.88 < np.mean(covered) < 0.995
    np.testing.assert_array_equal(found.posterior.left, found.sampler().left)


def test_the_posterior_of_a_ridge_is_under_the_ridge(rng):
    """Too few measurements for any width without a prior, which is then told to the draws."""
    inst = simulate.dense_sensing(
        16, 6, m=110, symmetric=True, kappa=30.0, noise=0.1, random_state=1
    )
    found = recover(inst.op, inst.y, symmetric=True)
    assert found.sampler.problem.penalised
    assert np.all(found.posterior.std(*everywhere(inst.op.shape)) > 0)

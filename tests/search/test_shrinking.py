"""Ridge on wide factors against the convex problem that it stands for: the nuclear norm."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from leanrank import Factors, simulate
from leanrank.losses import Huber
from leanrank.penalties import ARD, Ridge
from leanrank.policy import EvidencePolicy, Policy
from leanrank.problem import Problem
from leanrank.search import Fitter, Monitor, grow, shrinking
from leanrank.search.holding_out import joined, of_width, split, while_better
from leanrank.search.shrinking import better_ridge, better_shrunk, shrink
from leanrank.solvers import GaussNewton, solve


@pytest.fixture
def fitter() -> Fitter:
    return Fitter(GaussNewton(), np.random.default_rng(0), Monitor())


def approximately_low_rank(op_of, seed: int = 0) -> Problem:
    """Singular values that fall by half each, and a little noise."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((n, 8)))[0] for n in (14, 11))
    root = np.sqrt(10 * 0.5 ** np.arange(8))
    op = op_of(rng)
    y = op.forward(Factors(left * root, right * root))
    return Problem(op, y + 0.02 * rng.standard_normal(y.size))


def completion(rng):
    flat = rng.choice(14 * 11, 100, replace=False)
    return simulate.ObservedEntries(*np.divmod(flat, 11), (14, 11))


def sensing(rng):
    return simulate.DenseSensing(rng.standard_normal((110, 14, 11)))


def gradient(problem: Problem, X: np.ndarray) -> np.ndarray:
    """Gradient of the loss in X, dense."""
    residual = problem.op.forward(Factors(X, np.eye(X.shape[1]))) - problem.y
    return problem.gradient_matrix(residual) @ np.eye(X.shape[1])


def proximal_gradient(problem: Problem, threshold: float, steps: int = 3000) -> np.ndarray:
    """Minimise loss + threshold times the nuclear norm by accelerated soft-thresholded SVDs."""
    n1, n2 = problem.op.shape
    units = np.eye(n1 * n2).reshape(-1, n1, n2)
    A = np.stack([problem.op.forward(Factors(E, np.eye(n2))) for E in units], axis=1)
    step = 1.0 / (2.0 * problem.op.weight * np.linalg.norm(A, 2) ** 2)
    X = Y = np.zeros((n1, n2))
    t = 1.0
    for _ in range(steps):
        slope = 2.0 * problem.op.weight * (A.T @ (A @ Y.ravel() - problem.y)).reshape(n1, n2)
        left, s, right = np.linalg.svd(Y - step * slope, full_matrices=False)
        new = left * np.maximum(s - step * threshold, 0.0) @ right
        after = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * t * t))
        Y, X, t = new + (t - 1.0) / after * (new - X), new, after
    return X


def objective(problem: Problem, X: np.ndarray, threshold: float) -> float:
    residual = problem.op.forward(Factors(X, np.eye(X.shape[1]))) - problem.y
    return problem.op.weight * float(residual @ residual) + threshold * np.linalg.norm(X, "nuc")


@pytest.mark.parametrize("make", [completion, sensing])
@pytest.mark.parametrize("share", [0.6, 0.2, 0.05])
def test_the_minimiser_of_the_nuclear_norm(make, share, fitter):
    problem = approximately_low_rank(make)
    empty = Factors.empty((14, 11))
    largest = np.linalg.norm(gradient(problem, np.zeros((14, 11))), 2)
    ridge = Ridge(0.5 * share * largest)
    shrunk = problem.with_penalty(ridge)
    found = shrink(shrunk, empty, 11, fitter, "penalise").factors
    reference = proximal_gradient(problem, share * largest)
    best = objective(problem, reference, share * largest)
    assert objective(problem, found.to_dense(), share * largest) <= best * 1.001
    # Fitted to the end, the conditions of optimality hold: 2 lambda bounds the gradient's norm,
    # and is reached along the singular vectors of X.
    final = solve(GaussNewton(damping=1e-4), shrunk, found, tol=1e-10, max_iter=300).factors
    assert np.linalg.norm(final.to_dense() - reference) < 0.02 * np.linalg.norm(reference)
    G = gradient(problem, final.to_dense())
    assert np.linalg.norm(G, 2) <= 2.0 * ridge.strength * 1.02
    left, s, right = final.svd()
    alive = s > 1e-3 * s[0]
    np.testing.assert_allclose(
        (G @ right)[:, alive], -2.0 * ridge.strength * left[:, alive], atol=0.02 * ridge.strength
    )


def test_a_ridge_that_no_virtual_column_overcomes_leaves_nothing(fitter):
    problem = approximately_low_rank(completion)
    largest = np.linalg.norm(gradient(problem, np.zeros((14, 11))), 2)
    start = Factors(np.ones((14, 1)), np.ones((11, 1)))
    nothing = shrink(
        problem.with_penalty(Ridge(0.6 * largest)), Factors.empty((14, 11)), 11, fitter, "x"
    )
    assert nothing.factors.width == 0
    small = shrink(problem.with_penalty(Ridge(0.6 * largest)), start, 11, fitter, "x")
    assert small.factors.norm() < 1e-2 * start.norm()


def test_columns_come_up_to_the_top_only(fitter):
    problem = approximately_low_rank(sensing).with_penalty(Ridge(1e-4))
    found = shrink(problem, Factors.empty((14, 11)), 3, fitter, "x")
    assert found.factors.width == 3


def test_columns_that_the_ridge_empties_go(fitter, rng):
    problem = approximately_low_rank(sensing)
    largest = np.linalg.norm(gradient(problem, np.zeros((14, 11))), 2)
    wide = Factors(rng.standard_normal((14, 10)), rng.standard_normal((11, 10)))
    found = shrink(problem.with_penalty(Ridge(0.15 * largest)), wide, 11, fitter, "x").factors
    s = np.linalg.svd(proximal_gradient(problem, 0.3 * largest), compute_uv=False)
    assert 0 <= found.width - (s > 1e-3 * s[0]).sum() <= 1


def test_the_minimiser_of_the_trace(fitter):
    """Symmetric factors: lambda times the trace, and only positive semi-definite matrices."""
    instance = simulate.dense_sensing(9, 3, m=80, symmetric=True, noise=0.2, random_state=0)
    problem = Problem(instance.op, instance.y)
    zero = problem.gradient_matrix(-problem.y) @ np.eye(9)
    ridge = Ridge(0.2 * float(np.linalg.eigvalsh(-zero)[-1]))
    shrunk = problem.with_penalty(ridge)
    found = shrink(shrunk, Factors.empty((9, 9), True), 9, fitter, "x").factors
    final = solve(GaussNewton(damping=1e-4), shrunk, found, tol=1e-10, max_iter=300).factors
    residual = problem.op.forward(final) - problem.y
    G = problem.gradient_matrix(residual) @ np.eye(9)
    assert np.linalg.eigvalsh(-G)[-1] <= 1.02 * ridge.strength
    np.testing.assert_allclose(-G @ final.U, ridge.strength * final.U, atol=1e-3)


def assessed(problem: Problem, fitter: Fitter, rounds: int = 3):
    """Paths of least-squares fits of width 0 to 3, for several rounds."""
    paths = []
    for part in split(problem, 0.15, np.random.default_rng(1), rounds):
        stages = grow(
            part.train,
            Factors.empty(problem.op.shape),
            replace(fitter, rng=np.random.default_rng(2)),
            "validate",
            max_width=3,
            greedy=True,
        )
        paths.append((part, while_better(stages, part, patience=10)))
    return paths


def test_a_ridge_is_taken_if_it_predicts_clearly_better(fitter):
    """Factors of width one leave much of a matrix of rank four: the residual is no noise."""
    instance = simulate.dense_sensing((14, 11), 4, m=200, noise=0.05, random_state=0)
    problem = Problem(instance.op, instance.y)
    paths = assessed(problem, fitter)
    errors = joined([of_width(path, 1) for _, path in paths])
    assert better_ridge(paths, 1, 0.0 * errors, fitter, most=8) is None
    found = better_ridge(paths, 1, 100.0 + errors, fitter, most=8)
    assert found is not None
    assert found.errors.size == errors.size
    # What was reported are the errors of fits at about that ridge.
    part, _ = paths[0]
    fitted = shrink(part.train.with_penalty(found.penalty), found.factors, 8, fitter, "x").factors
    again = (part.held.op.forward(fitted) - part.held.y) ** 2
    assert again.mean() == pytest.approx(found.errors[: again.size].mean(), rel=0.1)


def test_ridges_that_leave_nothing_do_not_end_the_search(fitter):
    instance = simulate.dense_sensing((14, 11), 4, m=200, noise=0.05, random_state=0)
    paths = assessed(Problem(instance.op, instance.y), fitter)
    errors = joined([of_width(path, 1) for _, path in paths])
    found = better_ridge(paths, 1, 100.0 + errors, fitter, most=8)
    assert found.errors.mean() < 0.9 * np.mean([part.zero_error for part, _ in paths])


def test_no_ridge_where_the_residual_is_noise(fitter):
    instance = simulate.dense_sensing((14, 11), 2, m=300, noise=0.2, random_state=0)
    problem = Problem(instance.op, instance.y)
    paths = assessed(problem, fitter)
    errors = joined([of_width(path, 2) for _, path in paths])
    steps = len(fitter.monitor.history)
    assert better_ridge(paths, 2, errors, fitter, most=8) is None
    assert len(fitter.monitor.history) == steps


@pytest.mark.parametrize(("wide", "more"), [(0, 1), (3, 1), (4, 2), (7, 2), (8, 3), (9, 2)])
def test_a_quarter_is_added_in_each_round(monkeypatch, fitter, wide, more):
    problem = approximately_low_rank(sensing).with_penalty(Ridge(0.25))
    asked = []

    def append(problem, point, fitter, k, *, least):
        asked.append((k, least))
        return point.factors

    monkeypatch.setattr(shrinking, "append_leading", append)
    monkeypatch.setattr(shrinking, "_fitted", lambda problem, factors, fitter, phase: factors)
    start = Factors(np.eye(14, wide), np.eye(11, wide))
    shrink(problem, start, 12, fitter, "x")  # but the matrix has eleven columns
    assert asked == [(min(more, 11 - wide), pytest.approx(1.02 * 0.5))]


def test_there_are_six_rounds_at_most(monkeypatch, fitter):
    problem = approximately_low_rank(sensing).with_penalty(Ridge(0.25))
    rounds = []

    def fitted(problem, factors, fitter, phase):
        rounds.append(factors.width)
        return factors

    def append(problem, point, fitter, k, *, least):
        return Factors(np.eye(14, point.factors.width + 1), np.eye(11, point.factors.width + 1))

    monkeypatch.setattr(shrinking, "append_leading", append)
    monkeypatch.setattr(shrinking, "_fitted", fitted)
    point = shrink(problem, Factors(np.eye(14, 1), np.eye(11, 1)), 11, fitter, "x")
    assert rounds == [1, 2, 3, 4, 5, 6]
    assert point.factors.width == 6


def test_fits_on_the_way_are_short_and_drop_what_is_negligible(monkeypatch, fitter):
    asked = []

    def fit(self, problem, factors, phase, **options):
        asked.append((self.solver.max_inner, options))
        return SimpleNamespace(factors=factors)

    monkeypatch.setattr(Fitter, "fit", fit)
    problem = approximately_low_rank(sensing)
    for weakest, width in ((1.01e-3, 3), (0.99e-3, 2)):
        s = np.sqrt([1.0, 0.5, weakest])
        factors = Factors(np.eye(14, 3) * s, np.eye(11, 3) * s)
        assert shrinking._fitted(problem, factors, fitter, "x").width == width
    assert asked == [(40, {"progress": 0.999, "max_iter": 12})] * 2


def ridges_of(monkeypatch, fitter, problem, width, *, losses, most=8):
    """Ridges and tops that are tried where shrinking predicts with errors as told."""
    paths = assessed(problem, fitter, rounds=1)
    part, _ = paths[0]
    tried, errors = [], iter(losses)

    def shrunk(problem, factors, top, fitter, phase):
        tried.append((problem.penalty.strength, top))
        return problem.evaluate(factors)

    monkeypatch.setattr(shrinking, "shrink", shrunk)
    monkeypatch.setattr(shrinking, "joined", lambda tried: np.full(part.held.op.size, next(errors)))
    found = better_ridge(paths, width, np.full(part.held.op.size, 1.0), fitter, most=most)
    return tried, found, paths


@pytest.mark.parametrize(
    ("losses", "number", "best"),
    [
        ([0.9, 0.8, 0.7, 0.6, 0.5], 5, 4),
        ([0.9, 0.8, 0.85, 0.1, 0.1], 3, 1),
        ([0.9, 1.2, 0.1, 0.1, 0.1], 2, 0),
    ],
)
def test_ridges_go_down_until_they_predict_worse(monkeypatch, fitter, losses, number, best):
    instance = simulate.dense_sensing((14, 11), 4, m=200, noise=0.05, random_state=0)
    problem = Problem(instance.op, instance.y)
    scale = 0.99  # of what the zero matrix misses, beyond which nothing has been learnt
    tried, found, paths = ridges_of(monkeypatch, fitter, problem, 1, losses=losses)
    part, path = paths[0]
    assert part.zero_error * scale > max(losses)
    stage = of_width(path, 1)
    G = gradient(part.train, stage.factors.to_dense())
    natural = 0.5 * np.linalg.norm(G, 2)
    ratios = [4.0, 2.0, 1.0, 0.5, 0.25]
    np.testing.assert_allclose(
        [t[0] for t in tried], np.array(ratios[:number]) * natural, rtol=1e-6
    )
    assert {t[1] for t in tried} == {8}  # twice the widest stage and two more
    assert found.penalty.strength == pytest.approx(ratios[best] * natural, rel=1e-6)


@pytest.mark.parametrize(("first", "number"), [(0.995, 5), (0.985, 2)])
def test_what_hardly_beats_nothing_is_no_reason_to_stop(monkeypatch, fitter, first, number):
    instance = simulate.dense_sensing((14, 11), 4, m=200, noise=0.05, random_state=0)
    problem = Problem(instance.op, instance.y)
    nothing = assessed(problem, fitter, rounds=1)[0][0].zero_error
    losses = nothing * np.array([first, 0.999, 0.999, 0.999, 0.999])
    assert len(ridges_of(monkeypatch, fitter, problem, 1, losses=losses)[0]) == number


def test_no_factors_are_wider_than_asked_for(monkeypatch, fitter):
    instance = simulate.dense_sensing((14, 11), 4, m=200, noise=0.05, random_state=0)
    problem = Problem(instance.op, instance.y)
    tried, _, _ = ridges_of(monkeypatch, fitter, problem, 1, losses=[0.5] * 5, most=5)
    assert {top for _, top in tried} == {5}


@pytest.mark.parametrize(("abundant", "none"), [(0.999, True), (1.001, False)])
def test_of_noise_a_ridge_is_tried_where_measurements_are_few(monkeypatch, fitter, abundant, none):
    instance = simulate.dense_sensing((14, 11), 2, m=300, noise=0.2, random_state=0)
    problem = Problem(instance.op, instance.y)
    train = assessed(problem, fitter, rounds=1)[0][0].train.op.size
    limit = abundant * train / (2 * (14 + 11 - 2))
    own = replace(fitter, policy=Policy(abundant=limit))
    tried, _, _ = ridges_of(monkeypatch, own, problem, 2, losses=[0.5] * 5)
    assert (tried == []) is none


def test_measurements_abound_from_three_times_the_unknowns_on(monkeypatch, fitter):
    instance = simulate.dense_sensing((14, 11), 2, m=162, noise=0.2, random_state=0)
    problem = Problem(instance.op, instance.y)
    train = assessed(problem, fitter, rounds=1)[0][0].train.op.size
    assert train == 3 * 2 * (14 + 11 - 2)
    own = replace(fitter, policy=Policy(evidence=EvidencePolicy(structure=9.0)))
    assert ridges_of(monkeypatch, own, problem, 2, losses=[0.5] * 5)[0] == []


# --- columns with variances of their own ----------------------------------------------------------


def noisy_paths(fitter, seed, noise, loss=None):
    make = simulate.dense_sensing
    inst = make(24, 2, oversampling=4, symmetric=True, noise=noise, random_state=seed)
    problem = Problem(inst.op, inst.y, loss=loss)
    parts = split(problem, 0.1, np.random.default_rng(seed), 3)
    paths = []
    for part in parts:
        nothing = Factors.empty(inst.op.shape, True, inst.op.reference)
        stages = grow(part.train, nothing, fitter, "x", max_width=3, greedy=True)
        paths.append((part, [part.assess(stage) for stage in stages]))
    return inst, paths


def test_ard_predicts_better_where_noise_is_large_and_is_nearer_to_the_truth(fitter):
    gains = []
    for seed in range(4):
        inst, paths = noisy_paths(fitter, seed, 1.0)
        errors = joined([of_width(path, 2) for _, path in paths])
        found = better_shrunk(paths, 2, errors, fitter, most=3)
        if found is None:
            continue
        assert found.errors.mean() < errors.mean()
        assert isinstance(found.penalty, ARD)
        # The precision of the prior is that of normal columns in units of the noise.
        (data, path) = paths[0]
        left = np.sum(of_width(path, 2).point.residual ** 2)
        spare = data.train.op.size - of_width(path, 2).factors.degrees_of_freedom()
        strength = left / spare * 24 / data.train.op.size
        assert found.penalty.strength == pytest.approx(strength)
        plain = of_width(path, 2).factors.distance(inst.truth)
        gains.append(found.pruned.distance(inst.truth) / plain)
    assert len(gains) >= 2
    assert np.mean(gains) < 0.95


def test_neither_is_taken_where_noise_is_small_or_not_normal(fitter, monkeypatch):
    _, paths = noisy_paths(fitter, 0, 0.01)
    errors = joined([of_width(path, 2) for _, path in paths])
    assert better_shrunk(paths, 2, errors, fitter, most=3) is None
    _, paths = noisy_paths(fitter, 0, 1.0, Huber(1.0))
    errors = joined([of_width(path, 2) for _, path in paths])
    monkeypatch.setattr(shrinking, "better_ridge", lambda *args, **kw: None)
    assert better_shrunk(paths, 2, errors, fitter, most=3) is None

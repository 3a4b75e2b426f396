"""Losses against finite differences, one another, SciPy and dense linear algebra."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares
from scipy.stats import norm as gaussian
from scipy.stats import t as student

from leanrank import Factors, Problem
from leanrank._arrays import to_numpy
from leanrank.losses import Huber, Loss, Squared, StudentT
from leanrank.operators import (
    Centred,
    DenseSensing,
    FullObservation,
    ObservedEntries,
    RankOneSensing,
    Selected,
    Stacked,
    Weighted,
)
from leanrank.penalties import GroupLasso, NoPenalty, Ridge
from leanrank.problem import exact_tolerance, measurement_scale
from leanrank.solvers import LBFGS, GaussNewton, GradientDescent, iterate, solve

seeds = st.integers(0, 2**32 - 1)
M = 12


@st.composite
def losses(draw, weighted: bool | None = None) -> Loss:
    size = draw(st.floats(0.1, 5.0))
    use = draw(st.booleans()) if weighted is None else weighted
    weights = None
    if use:
        weights = np.random.default_rng(draw(seeds)).uniform(0.1, 3.0, M)
        weights[draw(st.integers(0, M - 1))] = 0.0
    kinds = [Squared(weights), Huber(size, weights), StudentT(draw(st.floats(1, 9)), size, weights)]
    return draw(st.sampled_from(kinds))


def residuals(seed: int) -> np.ndarray:
    """Small ones and large ones, and a zero."""
    rng = np.random.default_rng(seed)
    r = rng.standard_normal(M) * rng.choice([0.1, 1.0, 10.0], M)
    r[0] = 0.0
    return r


def dense_problem(seed: int, loss: Loss | None = None, penalty=None) -> tuple[Problem, Factors]:
    rng = np.random.default_rng(seed)
    op = DenseSensing(rng.standard_normal((M, 3, 4)))
    f = Factors(rng.standard_normal((3, 2)), rng.standard_normal((4, 2)))
    return Problem(op, 3.0 * rng.standard_normal(M), penalty, loss), f


class TestOneMeasurement:
    @given(losses(), seeds)
    def test_slope_and_curvature_are_derivatives(self, loss, seed):
        r, h = residuals(seed), 1e-5
        slope = (loss.value(r + h) - loss.value(r - h)) / (2 * h)
        np.testing.assert_allclose(loss.slope(r), slope, rtol=1e-5, atol=1e-4)
        kink = getattr(loss, "threshold", math.inf)
        smooth = np.abs(np.abs(loss.standardised(r)) - kink) > 1e-3
        curvature = (loss.slope(r + h) - loss.slope(r - h)) / (2 * h)
        found = loss.curvature(r)
        np.testing.assert_allclose(found[smooth], curvature[smooth], rtol=1e-4, atol=1e-5)

    @given(losses(), seeds, st.floats(-30, 30))
    def test_the_majoriser_touches_and_lies_nowhere_below(self, loss, seed, z):
        r = residuals(seed)
        bound = loss.value(r) + loss.slope(r) * z + 0.5 * loss.majoriser(r) * z * z
        assert np.all(loss.value(r + z) <= bound + 1e-10 * (1 + np.abs(bound)))
        assert np.all(loss.majoriser(r) >= 0)

    @given(losses(), seeds)
    def test_a_square_close_to_zero(self, loss, seed):
        r = 1e-5 * np.random.default_rng(seed).standard_normal(M)
        weights = np.ones(M) if loss.weights is None else loss.weights
        np.testing.assert_allclose(loss.value(r), weights * r * r, rtol=1e-6)
        np.testing.assert_allclose(loss.majoriser(0 * r), 2 * weights)
        np.testing.assert_allclose(loss.curvature(0 * r), 2 * weights)

    @given(losses(), seeds, st.floats(0.01, 100))
    def test_scales_with_the_square(self, loss, seed, c):
        r = residuals(seed)
        np.testing.assert_allclose(loss.scaled(c).value(c * r), c * c * loss.value(r))

    @given(losses(), seeds)
    def test_normalised_is_the_loss_over_its_mean_weight(self, loss, seed):
        r, one = residuals(seed), loss.normalised()
        assert one.mean_weight == pytest.approx(1.0)
        np.testing.assert_allclose(one.value(r), loss.value(r) / loss.mean_weight)

    @pytest.mark.parametrize("loss", [Huber(math.inf), StudentT(3, math.inf)])
    def test_infinite_thresholds_are_the_squared_loss(self, loss, rng):
        r, square = rng.standard_normal(M), Squared()
        for name in ("value", "slope", "curvature", "majoriser"):
            np.testing.assert_allclose(getattr(loss, name)(r), getattr(square, name)(r))
        assert loss.scaled(2.0).value(r) == pytest.approx(r * r)

    @pytest.mark.parametrize(
        ("loss", "name"), [(Huber(0.7), "huber"), (StudentT(1, 0.7), "cauchy")]
    )
    def test_agrees_with_scipy(self, loss, name, rng):
        r = 3 * rng.standard_normal(M)
        still = least_squares(
            lambda x: r + 0 * x, [0.0], jac=lambda x: np.zeros((M, 1)), loss=name, f_scale=0.7
        )
        assert np.sum(loss.value(r)) == pytest.approx(2 * still.cost, rel=1e-12)

    def test_student_is_the_likelihood_up_to_a_constant(self, rng):
        r, dof, s = rng.standard_normal(M), 5.0, 0.6
        loglik = student(dof, scale=s).logpdf(r) - student(dof, scale=s).logpdf(0.0)
        expected = -2 * loglik * dof * s * s / (dof + 1)
        np.testing.assert_allclose(StudentT(dof, s).value(r), expected)


class TestEstimates:
    @pytest.mark.parametrize("outliers", [0.0, 0.05])
    def test_the_scale_is_that_of_gaussian_noise(self, outliers):
        r = 0.3 * np.random.default_rng(0).standard_normal(40000)
        r[: int(outliers * r.size)] *= 1000
        rough = 0.1 if outliers else 0.02
        assert StudentT(4).fitted(r).scale == pytest.approx(0.3, rel=rough)
        assert Huber().fitted(r).threshold == pytest.approx(1.345 * 0.3, rel=rough)

    def test_zero_weights_do_not_count(self):
        r = np.random.default_rng(0).standard_normal(1000)
        w = np.zeros(1000)
        w[:300] = 4.0
        assert StudentT(4, weights=w).size(r) == pytest.approx(2 * StudentT(4).size(r[:300]))
        expected = np.sqrt(4 * np.sum(r[:300] ** 2) / (300 - 7))
        assert Squared(w).size(r, 7) == pytest.approx(expected)

    def test_residuals_that_a_fit_made_vanish_are_left_out(self):
        r = np.concatenate([np.zeros(600), np.random.default_rng(0).standard_normal(400)])
        assert Huber().size(r, unknowns=600) == pytest.approx(Huber().size(r[600:]))
        assert Huber().size(r) == 0.0

    def test_exact_fits_keep_a_scale_above_zero(self):
        assert Huber().fitted(np.array([0.0, 0.0, 0.0, 2.0])).threshold == pytest.approx(1.345 * 2)
        assert Huber().fitted(np.zeros(4)).threshold > 0

    def test_given_numbers_are_kept_and_estimated_ones_are_estimated_again(self):
        r = np.ones(5)
        assert Huber(2.0).fitted(r).threshold == 2.0
        once = Huber().fitted(r)
        assert once.fitted(3 * r).threshold == pytest.approx(3 * once.threshold)
        assert once.scaled(2.0).fitted(r).threshold == pytest.approx(once.threshold)
        assert StudentT(3).fitted(r).subset(np.arange(3)).fitted(2 * r).scale > 2

    def test_asked_before_they_are_known(self):
        with pytest.raises(ValueError, match="threshold is not known yet"):
            Huber().value(np.ones(3))
        with pytest.raises(ValueError, match="scale is not known yet"):
            StudentT().slope(np.ones(3))

    @pytest.mark.parametrize("weighted", [False, True])
    def test_sandwich_of_an_ordinary_regression(self, weighted):
        """Errors from ``deviation`` are those of repeated robust regressions."""
        rng = np.random.default_rng(0)
        m, p = 400, 3
        A = rng.standard_normal((m, p))
        w = rng.uniform(0.2, 4.0, m) if weighted else None
        sigma = 1.0 if w is None else 1 / np.sqrt(w)
        loss = Huber(1.0, w)

        def regression(y):
            b = np.zeros(p)
            for _ in range(60):
                c = loss.majoriser(A @ b - y)
                b = b - np.linalg.solve(A.T @ (c[:, None] * A), A.T @ loss.slope(A @ b - y))
            return b

        fits = [regression(sigma * rng.standard_normal(m)) for _ in range(300)]
        y = sigma * rng.standard_normal(m)
        r = A @ regression(y) - y
        weights = np.ones(m) if w is None else w
        covariance = np.linalg.inv(A.T @ (weights[:, None] * A)) * loss.deviation(r, p) ** 2
        np.testing.assert_allclose(np.sqrt(np.diag(covariance)), np.std(fits, axis=0), rtol=0.2)


class TestProblems:
    @given(losses(), seeds, st.sampled_from([NoPenalty(), Ridge(0.3), GroupLasso(0.4, 0.05)]))
    def test_gradient_and_hessian_against_differences(self, loss, seed, penalty):
        problem, f = dense_problem(seed, loss, penalty)
        point, tangent = problem.linearise(f)
        Z = np.random.default_rng(seed + 1).standard_normal(f.W.shape)
        h = 1e-6
        up, down = (problem.evaluate(f.with_stacked(f.W + s * Z)) for s in (h, -h))
        assert np.sum(point.gradient * Z) == pytest.approx(
            (up.value - down.value) / (2 * h), rel=1e-5, abs=1e-5
        )
        kink = getattr(loss, "threshold", math.inf)
        u = np.abs(loss.standardised(np.stack([up.residual, down.residual])))
        if np.any((u > kink).sum(axis=0) == 1):
            return  # the Hessian jumps between the two points
        expected = (up.gradient - down.gradient) / (2 * h)
        for found in (problem.hessian(point)(Z), problem.hessian(point, tangent)(Z)):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

    @given(losses(), seeds)
    def test_ways_to_evaluate_agree(self, loss, seed):
        problem, f = dense_problem(seed, loss)
        one, (other, _) = problem.evaluate(f), problem.linearise(f)
        both = problem.evaluate_many([f, f.scaled(2.0)])
        for point in (other, both[0]):
            np.testing.assert_allclose(point.gradient, one.gradient, atol=1e-9)
            assert point.loss == pytest.approx(one.loss)
        np.testing.assert_allclose(both[1].gradient, problem.evaluate(f.scaled(2.0)).gradient)
        assert problem.value(f) == pytest.approx(one.value)
        G = problem.gradient_matrix(one.residual) @ np.eye(4)
        np.testing.assert_allclose(np.concatenate([G @ f.V, G.T @ f.U]), one.gradient, atol=1e-9)
        zero = problem.evaluate(f.with_stacked(0 * f.W))
        assert problem.zero_loss == pytest.approx(zero.loss)

    @given(losses(), seeds, st.floats(0.1, 10))
    def test_equivariant_under_scaling_of_y(self, loss, seed, c):
        problem, f = dense_problem(seed, loss)
        other = problem.scaled(c).evaluate(f.scaled(c))
        assert other.loss == pytest.approx(c * c * problem.evaluate(f).loss)
        assert problem.scaled(c).zero_loss == pytest.approx(c * c * problem.zero_loss)
        found = measurement_scale(problem.op, c * problem.y, loss.scaled(c))
        assert found == pytest.approx(c * math.sqrt(problem.zero_loss))

    @given(losses(weighted=True), seeds)
    def test_weight_zero_is_left_out_and_weights_follow(self, loss, seed):
        problem, f = dense_problem(seed, loss)
        index = np.flatnonzero(loss.weights > 0)
        part = problem.subset(index)
        one, other = problem.evaluate(f), part.evaluate(f)
        np.testing.assert_allclose(other.residual, one.residual[index])
        assert other.loss * index.size == pytest.approx(one.loss * M)
        np.testing.assert_allclose(other.gradient * index.size, one.gradient * M, atol=1e-8)

    @given(losses(weighted=True), seeds, st.floats(1e-6, 1e6))
    def test_the_constant_in_the_weights_does_not_move_the_tolerance(self, loss, seed, c):
        """Of the squared loss; of others with a threshold that moves along."""
        one, f = dense_problem(seed, loss)
        other = Problem(one.op, one.y, loss=loss._with(weights=c * loss.weights).scaled(c**0.5))
        ratios = [p.evaluate(f).gradient_norm / p.gradient_scale for p in (one, other)]
        assert ratios[1] == pytest.approx(ratios[0])
        assert other.zero_loss == pytest.approx(c * one.zero_loss)

    @given(seeds)
    def test_a_repeated_measurement_is_one_of_weight_two(self, seed):
        problem, f = dense_problem(seed)
        again = np.append(np.arange(M), 3)
        w = np.ones(M)
        w[3] = 2.0
        one = Problem(problem.op, problem.y, loss=Squared(w)).evaluate(f)
        other = problem.subset(again).evaluate(f)
        np.testing.assert_allclose(one.gradient * M, other.gradient * (M + 1), atol=1e-9)

    @given(losses(weighted=True), seeds)
    def test_weights_of_the_loss_are_weights_of_the_operator(self, loss, seed):
        problem, f = dense_problem(seed, loss)
        op = Weighted(problem.op, loss.weights)
        plain = type(loss)(**{k: v for k, v in vars(loss).items() if k != "weights"})
        one, other = problem.evaluate(f), Problem(op, op.weigh(problem.y), loss=plain).evaluate(f)
        assert other.loss == pytest.approx(one.loss)
        np.testing.assert_allclose(other.gradient, one.gradient, atol=1e-9)

    @given(losses(), seeds)
    def test_a_line_minimum_never_raises_the_loss(self, loss, seed):
        problem, f = dense_problem(seed, loss)
        point = problem.evaluate(f)
        more = Factors(*(np.random.default_rng(seed).standard_normal((2, n, 1))[0] for n in (3, 4)))
        image = problem.op.forward(more)
        t = problem.line_minimum(point, image)
        found = problem.mean_loss(point.residual + t * image)
        assert found <= point.loss * (1 + 1e-12)
        if loss.quadratic:
            best = [problem.mean_loss(point.residual + (t + d) * image) for d in (-1e-3, 1e-3)]
            assert found <= min(best)

    def test_what_is_estimated_is_estimated_from_y_and_then_from_a_fit(self):
        problem, f = dense_problem(0, Huber())
        y = problem.y
        assert problem.loss.threshold == pytest.approx(Huber().fitted(y).threshold)
        point = problem.evaluate(f)
        again = problem.refitted(point)
        largest = np.sort(np.abs(point.residual))[f.degrees_of_freedom() :]
        expected = 1.345 * np.median(largest) / gaussian.ppf(0.75)
        assert 0 < largest.size < M
        assert again.loss.threshold == pytest.approx(expected)
        assert again.meter is problem.meter
        fixed = Problem(problem.op, y, loss=Huber(1.0))
        assert fixed.refitted(point) is fixed

    def test_exact_means_most_measurements_for_a_robust_loss(self, rng):
        truth = Factors(rng.standard_normal((9, 1)), rng.standard_normal((8, 1)))
        op = FullObservation((9, 8))
        y = op.forward(truth)
        y[::15] += 30.0
        for loss, exact in ((Huber(), True), (StudentT(), True), (Squared(), False)):
            problem = Problem(op, y, loss=loss)
            point = problem.evaluate(truth)
            assert problem.is_exact(point) is exact
            assert (problem.relative_residual(point) <= exact_tolerance(y)) is exact
            assert not problem.is_exact(problem.evaluate(truth.scaled(1.0001)))

    def test_a_fit_that_makes_as_many_residuals_vanish_as_it_has_unknowns_is_not_exact(self, rng):
        f = Factors(rng.standard_normal((3, 2)), rng.standard_normal((4, 2)))
        op = FullObservation((3, 4))
        y = op.forward(f)
        y[:3] += 1.0
        problem = Problem(op, y, loss=Huber(0.1))
        assert f.degrees_of_freedom() == 10
        assert not problem.is_exact(problem.evaluate(f))

    def test_bad_input(self):
        problem, _ = dense_problem(0)
        op, y = problem.op, problem.y
        with pytest.raises(TypeError, match="loss must be a Loss"):
            Problem(op, y, loss="huber")
        with pytest.raises(ValueError, match="weights must have a number for each of the 12"):
            Problem(op, y, loss=Squared(np.ones(3)))
        for loss in (Huber(), Squared(np.ones(M))):
            with pytest.raises(ValueError, match="where op eliminates unknowns"):
                Problem(Centred(op), y - y.mean(), loss=loss)
        for bad in ([-1.0, 2.0], [0.0, 0.0], []):
            with pytest.raises(ValueError, match="weights must"):
                Squared(bad)
        with pytest.raises(ValueError, match="weights must be finite"):
            Huber(1.0, [np.nan, 1.0])
        for bad in (0.0, -1.0, math.nan):
            with pytest.raises(ValueError, match="threshold must be"):
                Huber(bad)
            with pytest.raises(ValueError, match="scale must be"):
                StudentT(1.0, bad)
            with pytest.raises(ValueError, match="dof must be"):
                StudentT(bad)
        with pytest.raises(TypeError, match="threshold must be a number"):
            Huber("1")

    def test_what_they_print(self):
        assert repr(Squared()) == "Squared()"
        assert repr(Squared([1.0])) == "Squared(weights=...)"
        assert repr(Huber()) == "Huber(estimated)"
        assert repr(StudentT(4, 0.5, [1.0])) == "StudentT(4, 0.5, weights=...)"
        problem, _ = dense_problem(0, Huber(2.0))
        assert "Huber(2)" in repr(problem)

    @pytest.mark.parametrize("loss", [Squared(np.arange(12.0)), Huber(0.5), StudentT(3, 0.5)])
    def test_other_array_libraries(self, convert, loss, rng):
        A, W = rng.standard_normal((M, 3, 4)), rng.standard_normal((7, 2))
        found = []
        for c in (np.asarray, convert):
            op = DenseSensing(c(A))
            mine = Squared(c(np.arange(12.0))) if isinstance(loss, Squared) else loss
            problem = Problem(op, c(np.arange(12.0) - 5.0), loss=mine)
            f = Factors.stacked(c(W), (3, 4), False)
            point = problem.evaluate(f)
            found.append(
                [
                    point.gradient,
                    problem.hessian(point)(f.W),
                    problem.loss.scores(point.residual),
                    problem.loss.deviation(point.residual, 3),
                ]
            )
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(to_numpy(other), one, rtol=1e-9, atol=1e-9)


def sensing(seed: int, kind: str, outliers: int = 3) -> tuple[Problem, Factors]:
    """A small noisy problem, with a start that is not too far."""
    rng = np.random.default_rng(seed)
    U, V = rng.standard_normal((7, 2)), rng.standard_normal((6, 2))
    truth, x = Factors(U, V), rng.standard_normal((60, 7))
    rows, cols = np.divmod(rng.choice(42, 36, replace=False), 6)
    entries = ObservedEntries(rows, cols, (7, 6))
    dense = DenseSensing(rng.standard_normal((50, 7, 6)))
    op = {
        "dense": dense,
        "entries": entries,
        "rank one": RankOneSensing(x, rng.standard_normal((60, 6))),
        "stacked": Stacked([entries, dense.subset(np.arange(12))]),
        "weighted": Weighted(entries, rng.uniform(0.1, 2.0, 36)),
        "selected": Selected(dense, rng.permutation(50)[:40]),
        "full": FullObservation((7, 6)),
    }[kind]
    y = op.forward(truth) + 0.1 * rng.standard_normal(op.size)
    y[rng.choice(op.size, outliers, replace=False)] += 20.0
    return Problem(op, y), truth.with_stacked(truth.W + 0.5 * rng.standard_normal(truth.W.shape))


KINDS = ["dense", "entries", "rank one", "stacked", "weighted", "selected", "full"]


class TestSolvers:
    @pytest.mark.parametrize("penalty", [NoPenalty(), GroupLasso(0.05, 0.01)])
    @pytest.mark.parametrize("loss", [Squared(), Huber(0.3), StudentT(3, 0.3), "weights"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_gauss_newton_descends_to_stationary_points(self, kind, loss, penalty):
        # On large residuals that count in full Gauss-Newton is slow, though it descends.
        robust = isinstance(loss, Huber | StudentT)
        plain, start = sensing(1, kind, outliers=3 if robust else 0)
        if loss == "weights":
            loss = Squared(np.random.default_rng(0).uniform(0.0, 2.0, plain.op.size))
        problem = Problem(plain.op, plain.y, penalty, loss)
        states = list(itertools.islice(iterate(GaussNewton(), problem, start), 150))
        for before, after in itertools.pairwise(states):
            assert after.point.value < before.point.value or after.stalled
        fresh = problem.evaluate(states[-1].factors)
        assert fresh.gradient_norm < 1e-4 * problem.gradient_scale

    @pytest.mark.parametrize("solver", [LBFGS(), GradientDescent()])
    @pytest.mark.parametrize("loss", [Huber(0.3), StudentT(3, 0.3)])
    def test_first_order_solvers_agree_with_gauss_newton(self, solver, loss):
        plain, start = sensing(0, "dense", outliers=2)
        problem = Problem(plain.op, plain.y, loss=loss)
        best = solve(GaussNewton(), problem, start, max_iter=300, tol=1e-7)
        other = solve(solver, problem, best.factors.scaled(1.05), max_iter=4000, tol=1e-7)
        assert best.success
        assert other.success
        assert other.factors.distance(best.factors) < 1e-4 * best.factors.norm()

    @pytest.mark.parametrize(
        ("loss", "name"), [(Huber(0.5), "huber"), (StudentT(1.0, 0.5), "cauchy")]
    )
    def test_the_same_minimum_as_scipy(self, loss, name):
        plain, start = sensing(2, "dense")
        problem = Problem(plain.op, plain.y, loss=loss)
        found = solve(GaussNewton(), problem, start, max_iter=300, tol=1e-8)

        def residual(w):
            f = start.with_stacked(w.reshape(start.W.shape))
            return plain.op.forward(f) - plain.y

        same = least_squares(
            residual, start.W.ravel(), loss=name, f_scale=0.5, xtol=1e-12, ftol=1e-12, gtol=1e-10
        )
        expected = start.with_stacked(same.x.reshape(start.W.shape))
        assert found.success
        assert 2 * same.cost / plain.op.size == pytest.approx(
            problem.value(found.factors), rel=1e-5
        )
        assert found.factors.distance(expected) < 1e-2 * expected.norm()

    @pytest.mark.parametrize("solver", [GaussNewton(), LBFGS()])
    def test_half_of_the_entries_thirty_times_noisier(self, solver):
        """The error of the weighted least-squares oracle, by dense linear algebra at the truth."""
        for seed in range(3):
            rng = np.random.default_rng(seed)
            U, V = rng.standard_normal((40, 2)), rng.standard_normal((30, 2))
            truth = Factors(U, V)
            rows, cols = np.divmod(rng.choice(1200, 900, replace=False), 30)
            op = ObservedEntries(rows, cols, (40, 30))
            sigma = np.where(rng.random(900) < 0.5, 0.02, 0.6)
            noise = sigma * rng.standard_normal(900)
            problem = Problem(op, op.forward(truth) + noise, loss=Squared(1 / sigma**2))
            start = truth.with_stacked(truth.W + 0.2 * rng.standard_normal(truth.W.shape))
            found = solve(solver, problem, start, max_iter=2000, tol=1e-6)
            J = np.zeros((900, 70, 2))
            J[np.arange(900), rows] = V[cols]
            J[np.arange(900), 40 + cols] = U[rows]
            J = J.reshape(900, -1) / sigma[:, None]
            Z = (np.linalg.pinv(J, rcond=1e-10) @ (noise / sigma)).reshape(70, 2)
            oracle = np.linalg.norm(Z[:40] @ V.T + U @ Z[40:].T)
            assert found.success
            assert found.factors.distance(truth) < 1.1 * oracle

    @pytest.mark.parametrize("noise", [0.0, 0.1])
    def test_outliers_do_not_move_a_fit_with_student_loss(self, noise):
        """5 % of them, 20 times the entries' size, at three times the degrees of freedom."""
        good = 0
        for seed in range(5):
            rng = np.random.default_rng(seed)
            truth = Factors(rng.standard_normal((60, 2)), rng.standard_normal((40, 2)))
            m = 3 * truth.degrees_of_freedom()
            op = ObservedEntries(*np.divmod(rng.choice(2400, m, replace=False), 40), (60, 40))
            clean = op.forward(truth) + noise * rng.standard_normal(m)
            y = clean.copy()
            y[rng.choice(m, m // 20, replace=False)] += 20 * np.sqrt(np.mean(clean**2))
            start = truth.with_stacked(truth.W + 0.3 * rng.standard_normal(truth.W.shape))
            problem = Problem(op, y, loss=StudentT())
            factors = start
            for _ in range(25):
                point = solve(GaussNewton(), problem, factors, max_iter=15, tol=1e-10)
                factors = point.factors
                problem = problem.refitted(problem.evaluate(factors))
            best = solve(GaussNewton(), Problem(op, clean), start, max_iter=100, tol=1e-10)
            limit = 1.2 * best.factors.distance(truth) + 1e-8 * truth.norm()
            good += factors.distance(truth) <= limit
            if noise == 0:
                assert problem.is_exact(problem.evaluate(factors))
        assert good >= 4

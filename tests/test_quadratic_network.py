"""Quadratic networks: exact recovery, intercept, noise, both signs, bad input; centring itself."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import leanrank
from leanrank import (
    Factors,
    GroupLasso,
    NoPenalty,
    QuadraticNetworkRegressor,
    RecoveryError,
    RecoveryWarning,
    Ridge,
    Status,
)
from leanrank.estimators._corrected import TraceCorrection, default_penalty
from leanrank.operators import Centred, RankOneSensing
from leanrank.problem import Problem
from leanrank.solvers import GaussNewton, solve


def network(seed=0, m=300, d=12, r=2, intercept=0.0, noise=0.0, dtype=np.float64):
    """Features, outputs and neurons (r, d) of a network; noise relative to the outputs' spread."""
    rng = np.random.default_rng(seed)
    X, U = rng.standard_normal((m, d)), np.linalg.qr(rng.standard_normal((d, r)))[0].T
    y = np.sum((X @ U.T) ** 2, axis=1)
    y = y + noise * y.std() * rng.standard_normal(m) + intercept
    return X.astype(dtype), y.astype(dtype), U


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


def distance(neurons, U):
    return float(np.linalg.norm(neurons.T @ neurons - U.T @ U) / np.linalg.norm(U.T @ U))


@pytest.mark.filterwarnings("ignore::leanrank.estimators.RecoveryWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [
        QuadraticNetworkRegressor(),
        QuadraticNetworkRegressor(1, fit_intercept=False),
        QuadraticNetworkRegressor(fit_intercept=False, correction=True),
        QuadraticNetworkRegressor(penalty=GroupLasso(0.1, 0.01)),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_exact_network_and_its_width(seed, fit_intercept):
    X, y, U = network(seed, m=500, d=50, r=3, intercept=4.0 if fit_intercept else 0.0)
    model = QuadraticNetworkRegressor(fit_intercept=fit_intercept).fit(X, y)
    assert (model.rank_, model.status_) == (3, Status.CONVERGED)
    assert model.certificate_.holds
    assert distance(model.neurons_, U) < 1e-10
    assert model.intercept_ == pytest.approx(4.0 if fit_intercept else 0.0, abs=1e-9)
    fresh, truth, _ = network(seed + 100, m=400, d=50)
    truth = np.sum((fresh @ U.T) ** 2, axis=1) + model.intercept_
    assert model.score(fresh, truth) > 1 - 1e-10
    assert model.n_iter_ == len(model.result_.history)


@pytest.mark.parametrize("intercept", [-1e4, -3.0, 0.0, 1e4])
def test_an_intercept_of_either_sign_is_found(intercept):
    X, y, U = network(intercept=intercept)
    model = QuadraticNetworkRegressor().fit(X, y)
    assert model.intercept_ == pytest.approx(intercept, abs=1e-8)
    assert distance(model.neurons_, U) < 1e-9


def test_the_intercept_is_the_joint_least_squares_one():
    X, y, _ = network(noise=0.3, intercept=-5.0)
    model = QuadraticNetworkRegressor(2, on_failure="ignore").fit(X, y)
    U = model.neurons_.T
    residual = model.predict(X) - y
    # Stationary in the intercept and in every neuron at once.
    assert abs(residual.mean()) < 1e-10
    gradient = X.T @ ((X @ U) * residual[:, None]) / len(y)
    assert np.abs(gradient).max() < 1e-4


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_noise_of_a_tenth_against_least_squares_at_the_true_width(fit_intercept):
    X, y, U = network(0, m=500, d=50, r=3, noise=0.1)
    model = QuadraticNetworkRegressor(fit_intercept=fit_intercept).fit(X, y)
    assert (model.rank_, model.status_) == (3, Status.CONVERGED)
    oracle = solve(GaussNewton(), Problem(RankOneSensing(X), y), Factors(U.T), max_iter=50).factors
    assert distance(model.neurons_, U) < 1.05 * distance(oracle.U.T, U)


def test_neurons_are_orthogonal_and_sorted_and_their_order_is_unique():
    X, y, _ = network(r=3)
    y = y + 2.0 * X[:, 0] ** 2
    N = QuadraticNetworkRegressor().fit(X, y).neurons_
    gram = N @ N.T
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-9)
    assert np.all(np.diff(np.diag(gram)) <= 0)
    assert np.all(N[np.arange(len(N)), np.argmax(np.abs(N), axis=1)] > 0)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), exponent=st.integers(-3, 3), unit=st.integers(-100, 100))
def test_units_of_features_and_outputs_do_not_matter(seed, exponent, unit):
    X, y, U = network(seed)
    scale = 10.0 ** (exponent * np.random.default_rng(seed).random(X.shape[1]))
    model = QuadraticNetworkRegressor().fit(X * scale, y * 10.0**unit)
    assert distance(model.neurons_ * scale / 10.0 ** (unit / 2), U) < 1e-7


def test_known_and_limited_widths():
    X, y, _ = network(r=3, noise=0.05)
    for options in ({"n_neurons": 2}, {"width": 2}):
        model = QuadraticNetworkRegressor(**options, on_failure="ignore").fit(X, y)
        assert model.rank_ == 2
        assert model.status_ is Status.STALLED
    assert QuadraticNetworkRegressor(3).fit(X, y).rank_ == 3
    assert QuadraticNetworkRegressor(width=40).fit(X, y).rank_ == 3


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_penalise_prune_refit(fit_intercept):
    X, y, U = network()
    penalty = GroupLasso(0.3, 0.02)
    model = QuadraticNetworkRegressor(penalty=penalty, fit_intercept=fit_intercept).fit(X, y)
    assert (model.rank_, model.status_) == (2, Status.CONVERGED)
    assert len(model.result_.column_norms["before pruning"]) > 2
    assert distance(model.neurons_, U) < 1e-8


def test_corrected_loss():
    X, y, U = network(m=1500)
    options = {"correction": True, "fit_intercept": False}
    model = QuadraticNetworkRegressor(**options).fit(X, y)
    assert (model.rank_, model.status_) == (2, Status.CONVERGED)
    assert len(model.result_.column_norms["before pruning"]) == 12
    assert distance(model.neurons_, U) < 1e-8
    given_one = QuadraticNetworkRegressor(penalty=GroupLasso(0.4, 0.01), **options).fit(X, y)
    assert distance(given_one.neurons_, U) < 1e-8
    stopped = QuadraticNetworkRegressor(time_limit=1e-9, on_failure="ignore", **options).fit(X, y)
    assert stopped.status_ is Status.STOPPED


def test_columns_of_the_corrected_loss_start_long_enough_to_escape_from_zero():
    X, y, U = network(m=1500)
    penalty = GroupLasso(1.0, 0.01)
    model = QuadraticNetworkRegressor(correction=True, fit_intercept=False, penalty=penalty)
    assert distance(model.fit(X, y).neurons_, U) < 1e-8


def test_corrected_loss_without_a_minimum_diverges_and_says_so():
    """With fewer samples than features some X raises the trace and no output."""
    X, y, _ = network(m=20, d=18, r=1)
    model = QuadraticNetworkRegressor(
        correction=True, fit_intercept=False, penalty=GroupLasso(1e-3, 4.0), on_failure="ignore"
    ).fit(X, y)
    assert model.status_ is Status.DIVERGED
    assert "unbounded from below" in model.message_
    np.testing.assert_array_equal(model.predict(X), 0.0)


def test_trace_correction_derivatives():
    rng = np.random.default_rng(0)
    W, Z = rng.standard_normal((2, 5, 3))
    W[:, 2] = 0.0
    penalty = TraceCorrection(GroupLasso(0.7, 0.3), 2.0)
    h = 1e-5
    slope = (penalty.value(W + h * Z) - penalty.value(W - h * Z)) / (2 * h)
    assert np.sum(W * penalty.weights(W) * Z) == pytest.approx(slope, rel=1e-7)
    up, down = (V * penalty.weights(V) for V in (W + h * Z, W - h * Z))
    np.testing.assert_allclose(penalty.hvp(W, Z), (up - down) / (2 * h), rtol=1e-6, atol=1e-7)


def test_corrected_loss_is_the_low_rank_error_on_average():
    """Eq. (347): 2 |E|_F^2 + (tr E)^2, of which the correction leaves the first term."""
    rng = np.random.default_rng(0)
    U, W = rng.standard_normal((2, 4, 2))
    x = rng.standard_normal((400_000, 4))
    op = RankOneSensing(x)
    y, truth = op.forward(Factors(U)), Factors(U)
    penalty = TraceCorrection(NoPenalty(), float(np.sum(U * U)))
    expected = 2 * Factors(W).distance(truth) ** 2
    assert Problem(op, y, penalty).value(Factors(W)) == pytest.approx(expected, rel=0.05)
    centred = Problem(Centred(op), y - y.mean()).value(Factors(W))
    assert centred == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_outputs_that_fall_are_not_a_network(fit_intercept):
    X, y, U = network()
    model = QuadraticNetworkRegressor(fit_intercept=fit_intercept)
    with pytest.warns(RecoveryWarning, match="falls along a direction .* fit -y"):
        model.fit(X, -y)
    assert model.status_ is Status.STALLED
    assert model.rank_ == 0
    mixed = (X @ U[0]) ** 2 - (X @ U[1]) ** 2
    with pytest.warns(RecoveryWarning, match="falls along a direction"):
        model.fit(X, mixed)
    assert model.status_ is Status.STALLED


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_squares_with_both_signs_are_fitted_as_the_message_says(fit_intercept):
    X, _, U = network(r=3)
    y = (X @ U.T) ** 2 @ np.array([1.0, -1.0, 1.0]) + (5.0 if fit_intercept else 0.0)
    model = QuadraticNetworkRegressor(fit_intercept=fit_intercept, on_failure="ignore").fit(X, y)
    call = model.message_[model.message_.index("leanrank.recover(") :]
    names = {"leanrank": leanrank, "RankOneSensing": RankOneSensing, "Centred": Centred}
    result = eval(call, {**names, "X": X, "y": y})
    fitted = RankOneSensing(X, X).forward(result.factors)
    np.testing.assert_allclose(fitted + np.mean(y - fitted), y, atol=1e-9)
    found = result.factors.to_dense()
    expected = U.T @ np.diag([1.0, -1.0, 1.0]) @ U
    np.testing.assert_allclose(found + found.T, 2 * expected, atol=1e-9)


def test_pure_noise_is_not_called_structure():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 10)), rng.standard_normal(200)
    with pytest.warns(RecoveryWarning) as record:
        model = QuadraticNetworkRegressor().fit(X, y)
    assert "falls along" not in str(record[0].message)
    assert model.status_ is Status.STALLED
    assert np.abs(model.predict(X)).max() < 5


@pytest.mark.parametrize("value", [0.1, -3.0, 1e6, 0.0])
def test_constant_outputs(value):
    X = network()[0]
    model = QuadraticNetworkRegressor().fit(X, np.full(300, value))
    assert (model.rank_, model.status_) == (0, Status.CONVERGED)
    assert model.certificate_.holds
    assert model.neurons_.shape == (0, 12)
    np.testing.assert_allclose(model.predict(X), value, rtol=1e-15)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("what", ["one sample", "five", "five, repeated", "a feature twice"])
def test_constant_outputs_of_samples_that_determine_nothing(what, fit_intercept):
    X = network()[0]
    X = {
        "one sample": X[:1],
        "five": X[:5],
        "five, repeated": np.repeat(X[:5], 20, axis=0),
        "a feature twice": np.hstack([X, X[:, :1]]),
    }[what]
    value = 3.0 if fit_intercept else 0.0
    model = QuadraticNetworkRegressor(fit_intercept=fit_intercept, on_failure="ignore")
    model.fit(X, np.full(len(X), value))
    assert (model.rank_, model.status_, model.certificate_) == (0, Status.STALLED, None)
    np.testing.assert_array_equal(model.predict(X), value)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("m", range(1, 6))
def test_few_samples_end_with_a_status(rng, m, d, fit_intercept):
    X, model = rng.standard_normal((m, d)), QuadraticNetworkRegressor(fit_intercept=fit_intercept)
    model.set_params(on_failure="ignore")
    least = d + int(fit_intercept)
    for y in ((X**2) @ np.ones(d), X[:, 0] ** 2, rng.standard_normal(m)):
        model.fit(X, y)
        assert np.isfinite(model.predict(X)).all()
        # What fits by chance, or cannot fail to, is not called found.
        assert model.status_ is Status.STALLED or m > least
        assert (model.status_ is Status.CONVERGED) == bool(
            model.certificate_ and model.certificate_.holds
        )


def test_the_intercept_counts_among_the_unknowns():
    X, y, _ = network(m=13, r=1)
    with pytest.warns(RecoveryWarning, match="13 measurements cannot determine the 13 unknowns"):
        QuadraticNetworkRegressor(1).fit(X, y)
    X, y, _ = network(m=40, r=1)
    for fit_intercept, unknowns in ((True, 13), (False, 12)):
        model = QuadraticNetworkRegressor(1, fit_intercept=fit_intercept).fit(X, y)
        assert model.certificate_.degrees_of_freedom == unknowns


@pytest.mark.parametrize(("fit_intercept", "least"), [(True, 13), (False, 12)])
def test_fewer_samples_than_unknowns_give_a_constant(fit_intercept, least):
    X, y, _ = network()
    X, y = X[: least - 1], y[: least - 1]
    model = QuadraticNetworkRegressor(fit_intercept=fit_intercept)
    with pytest.warns(RecoveryWarning, match=f"{least - 1} samples are fewer than the {least} unk"):
        model.fit(X, y)
    expected = y.mean() if fit_intercept else 0.0
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-14)
    assert (model.rank_, model.status_, model.certificate_) == (0, Status.STALLED, None)


def test_features_that_are_zero_are_left_out():
    X, y, U = network()
    X = np.insert(X, 4, 0.0, axis=1)
    model = QuadraticNetworkRegressor().fit(X, y)
    assert model.status_ is Status.CONVERGED
    np.testing.assert_array_equal(model.neurons_[:, 4], 0.0)
    assert distance(np.delete(model.neurons_, 4, axis=1), U) < 1e-9
    with pytest.warns(RecoveryWarning, match="every feature is zero"):
        nothing = QuadraticNetworkRegressor().fit(np.zeros((20, 3)), y[:20])
    assert nothing.neurons_.shape == (0, 3)
    assert nothing.intercept_ == pytest.approx(y[:20].mean())


def test_a_feature_twice_fits_but_is_not_certified():
    X, y, _ = network()
    model = QuadraticNetworkRegressor(on_failure="ignore").fit(np.hstack([X, X[:, :1]]), y)
    assert model.status_ is Status.STALLED
    assert model.score(np.hstack([X, X[:, :1]]), y) > 1 - 1e-10


def test_float32_stays():
    X, y, U = network(dtype=np.float32, intercept=100.0)
    model = QuadraticNetworkRegressor().fit(X, y)
    assert model.neurons_.dtype == np.float32
    assert model.predict(X).dtype == np.float32
    assert model.rank_ == 2
    assert distance(model.neurons_, U) < 1e-4
    assert model.intercept_ == pytest.approx(100.0, abs=1e-2)


@pytest.mark.parametrize("unit", [1e40, 1e-50])
def test_outputs_beyond_float32_need_features_in_float64(unit):
    X, y, U = network()
    with pytest.raises(ValueError, match="y must be in the range of float32.* pass X as float64"):
        QuadraticNetworkRegressor().fit(X.astype(np.float32), y * unit)
    model = QuadraticNetworkRegressor().fit(X, y * unit)
    assert distance(model.neurons_ / unit**0.5, U) < 1e-9
    with pytest.raises(ValueError, match=r"y must be in the range of float64.*scale y$"):
        QuadraticNetworkRegressor().fit(X, y / np.abs(y).max() * 1.7e308)


def noisy(seed=3):
    X, y, _ = network(seed, noise=0.2, intercept=1.0)
    return X, y, np.random.default_rng(seed).integers(0, 4, len(y))


OPTIONS = [
    {"n_neurons": 2},
    {"n_neurons": 2, "fit_intercept": False},
    {"penalty": GroupLasso(0.5, 0.02)},
    {"correction": True, "fit_intercept": False, "penalty": GroupLasso(0.4, 0.01)},
    {"correction": True, "fit_intercept": False},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_whole_weights_are_repeated_samples(options):
    X, y, weight = noisy()
    if "correction" in options:
        y -= 1.0
    model = QuadraticNetworkRegressor(**options, on_failure="ignore")
    repeated = clone(model).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    model.fit(X, y, sample_weight=5.0 * weight)
    assert model.rank_ == repeated.rank_ == 2
    plain = clone(model).fit(X, y)
    assert distance(model.neurons_, repeated.neurons_) < 1e-4
    assert distance(model.neurons_, plain.neurons_) > 1e-2
    assert model.intercept_ == pytest.approx(repeated.intercept_, abs=1e-3)
    if "penalty" in options:
        one, two = (
            np.sort(fitted.result_.column_norms["before pruning"])[-2:]
            for fitted in (model, repeated)
        )
        np.testing.assert_allclose(one, two, rtol=2e-3)


def test_weights_act_on_the_default_penalty_as_repeated_samples_do():
    X, y, weight = noisy()
    root = np.sqrt(weight / weight.mean())
    weighted = Centred(RankOneSensing(X * np.sqrt(root)[:, None]), root)
    repeated = Centred(RankOneSensing(np.repeat(X, weight, axis=0)))
    one = default_penalty(weighted, y * root, np.random.default_rng(0))
    two = default_penalty(repeated, np.repeat(y, weight), np.random.default_rng(0))
    assert (one.strength, one.smoothing) == pytest.approx((two.strength, two.smoothing))


@pytest.mark.parametrize("options", [{}, *OPTIONS])
def test_samples_of_weight_zero_are_not_there(options):
    X, y, weight = noisy()
    weight = np.where(weight > 1, 0.7, 0.0)
    model = QuadraticNetworkRegressor(**options, on_failure="ignore")
    dropped = clone(model).fit(X[weight > 0], y[weight > 0])
    model.fit(X, np.where(weight > 0, y, 1e9), sample_weight=weight)
    np.testing.assert_allclose(model.neurons_, dropped.neurons_, rtol=1e-12)
    assert model.intercept_ == pytest.approx(dropped.intercept_)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_weights_do_not_disturb_an_exact_network(fit_intercept, rng):
    X, y, U = network(intercept=-7.0 if fit_intercept else 0.0)
    weight = 10.0 ** rng.uniform(-1, 1, len(y))
    model = QuadraticNetworkRegressor(fit_intercept=fit_intercept).fit(X, y, weight)
    assert (model.rank_, model.status_) == (2, Status.CONVERGED)
    assert distance(model.neurons_, U) < 1e-9
    assert model.intercept_ == pytest.approx(-7.0 if fit_intercept else 0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (np.ones(299), "sample_weight must have one value for each of the 300 samples, got 299"),
        (np.ones((300, 2)), "sample_weight must have 1 dimension"),
        (-np.ones(300), "sample_weight must not be negative"),
        (np.zeros(300), "sample_weight must not be negative, nor zero throughout"),
        (np.full(300, np.nan), "sample_weight must be finite"),
    ],
)
def test_bad_weights(weight, match):
    with pytest.raises(ValueError, match=match):
        QuadraticNetworkRegressor().fit(*network()[:2], sample_weight=weight)


def test_failure_is_raised_warned_of_or_left_to_the_caller():
    X, y, _ = network(m=12)
    with pytest.raises(RecoveryError, match="STALLED"):
        QuadraticNetworkRegressor(on_failure="raise").fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        QuadraticNetworkRegressor(on_failure="ignore").fit(X, y)


def test_time_limit():
    X, y, _ = network(noise=0.1)
    model = QuadraticNetworkRegressor(time_limit=1e-9, on_failure="ignore").fit(X, y)
    assert model.status_ is Status.STOPPED
    assert np.isfinite(model.predict(X)).all()


def test_the_same_seed_gives_the_same_answer():
    X, y, _ = network(noise=0.1)
    before = X.copy()
    X.flags.writeable = y.flags.writeable = False
    one, two = (QuadraticNetworkRegressor(random_state=3).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(one.neurons_, two.neurons_)
    np.testing.assert_array_equal(X, before)
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(again.predict(X), two.predict(X))


def test_parameters_survive_clone_and_repr():
    model = QuadraticNetworkRegressor(3, penalty=None, validation=0.1)
    assert clone(model).get_params() == model.get_params()
    assert repr(model) == "QuadraticNetworkRegressor(n_neurons=3, validation=0.1)"


def test_cross_validation():
    X, y, _ = network(noise=0.05, m=400)
    assert cross_val_score(QuadraticNetworkRegressor(), X, y, cv=3).min() > 0.98


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"n_neurons": 0}, ValueError, "n_neurons must be at least 1"),
        ({"n_neurons": 13}, ValueError, "n_neurons must be .*at most 12"),
        ({"n_neurons": 1.5}, TypeError, "n_neurons must be an integer"),
        ({"n_neurons": 2, "penalty": Ridge(1.0)}, ValueError, "give n_neurons, or a penalty"),
        ({"width": -1}, ValueError, "width must be at least 1"),
        ({"fit_intercept": 1}, TypeError, "fit_intercept must be True or False"),
        ({"correction": "yes"}, TypeError, "correction must be True or False"),
        ({"correction": True}, ValueError, "needs fit_intercept=False"),
        (
            {"correction": True, "fit_intercept": False, "penalty": Ridge(1.0)},
            ValueError,
            "needs a GroupLasso",
        ),
        ({"penalty": 0.1}, TypeError, "penalty must be GroupLasso or Ridge"),
        ({"validation": 2.0}, ValueError, "validation must be"),
        ({"max_iter": 0}, ValueError, "max_iter must be"),
        ({"time_limit": -1.0}, ValueError, "time_limit must be"),
        ({"random_state": "x"}, TypeError, "random_state must be"),
        ({"on_failure": "explode"}, ValueError, "on_failure must be"),
    ],
)
def test_bad_parameters(options, error, match):
    with pytest.raises(error, match=match):
        QuadraticNetworkRegressor(**options).fit(*network()[:2])


def test_bad_samples():
    X, y, _ = network()
    with pytest.raises(ValueError, match="NaN"):
        QuadraticNetworkRegressor().fit(np.where(X > 2, np.nan, X), y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        QuadraticNetworkRegressor().fit(X, y[:-1])
    with pytest.raises(NotFittedError):
        QuadraticNetworkRegressor().predict(X)
    with pytest.raises(ValueError, match="features"):
        QuadraticNetworkRegressor().fit(X, y).predict(X[:, :3])

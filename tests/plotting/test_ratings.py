from __future__ import annotations

import io as text_io

import numpy as np
import pytest

import leanrank as lr
from leanrank import plotting


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 80, 4000), rng.integers(0, 50, 4000)
    X = 3.0 + 0.5 * rng.normal(size=(80, 1)) + rng.normal(size=(80, 2)) @ rng.normal(size=(2, 50))
    y = X[users, items] + 0.5 * rng.normal(size=4000)
    return lr.MatrixFactorization(rank=2).fit(users, items, y), users, items, y


def test_figures_can_be_saved(fitted):
    model, users, items, y = fitted
    pairs = list(zip(users[:50], items[:50], strict=True))
    told = model.predict(users[:50], items[:50]), *model.predict_interval(users[:50], items[:50])
    for figure in (
        plotting.calibration(lambda level: model.predict_interval(users, items, level), y),
        plotting.rating_variances(model),
        plotting.certainty(*told, pairs),
    ):
        buffer = text_io.BytesIO()
        figure.savefig(buffer, format="png")
        assert buffer.getvalue().startswith(b"\x89PNG")


def test_shares_are_those_of_what_predictions_are_made_of(fitted):
    model, *_ = fitted
    ax = plotting.rating_variances(model).axes[0]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["users", "items", "factor 1", "factor 2", "noise"]
    shares = np.array([bar.get_width() for bar in ax.patches])
    assert np.isclose(shares.sum(), 100)
    parts = model.user_factors_ @ model.item_factors_.T
    own = [np.var(model.user_bias_), np.var(model.item_bias_)]
    whole = sum(own) + np.mean(parts**2) + model.noise_**2
    np.testing.assert_allclose(shares[:2], 100 * np.array(own) / whole)
    np.testing.assert_allclose(shares[2:4].sum(), 100 * np.mean(parts**2) / whole)
    assert shares[2] >= shares[3]
    np.testing.assert_allclose(shares[4], 100 * model.noise_**2 / whole)


def test_the_most_and_the_least_certain_are_named(rng):
    middle, half = rng.standard_normal(100), rng.permutation(np.arange(1.0, 101.0))
    names = [(f"u{int(x)}", 7) for x in half]
    ax = plotting.certainty(middle, middle - half, middle + half, names, most=3).axes[0]
    told = [label.get_text() for label in ax.get_yticklabels()]
    assert told == ["u1 / 7", "u2 / 7", "u3 / 7", "u98 / 7", "u99 / 7", "u100 / 7"]
    ends = np.concatenate([lines.get_segments() for lines in ax.collections])[:, :, 0]
    np.testing.assert_allclose(np.diff(ends, axis=1).ravel(), [2, 4, 6, 196, 198, 200])
    points = np.concatenate([line.get_xdata() for line in ax.lines])
    np.testing.assert_allclose(points, ends.mean(axis=1))


def test_few_cells_are_shown_once_and_long_names_are_cut():
    middle = np.arange(5.0)
    ax = plotting.certainty(middle, middle - 1, middle + 1, ["x" * 50] * 5).axes[0]
    told = [label.get_text() for label in ax.get_yticklabels()]
    assert told == ["x" * 27 + "…"] * 4


def test_refuses():
    y = np.zeros(3)
    with pytest.raises(ValueError, match="'names': 2"):
        plotting.certainty(y, y, y, "ab")
    with pytest.raises(ValueError, match="at least two"):
        plotting.certainty(y[:1], y[:1], y[:1], "a")
    with pytest.raises(ValueError, match="high must be a finite vector"):
        plotting.certainty(y, y, y + np.inf, "abc")

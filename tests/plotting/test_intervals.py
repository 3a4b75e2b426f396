from __future__ import annotations

import io as text_io

import numpy as np
import pytest
from scipy.stats import norm

import leanrank as lr
from leanrank import plotting


@pytest.fixture(scope="module")
def posterior():
    inst = lr.simulate.matrix_completion((40, 30), 2, oversampling=4, random_state=0)
    y = inst.y + 0.1 * np.random.default_rng(0).standard_normal(inst.y.size)
    return lr.posterior(inst.op, y)


def normal_intervals(shape, deviation=1.0):
    """Of readings that are standard normal, if the deviation is one."""

    def interval(level):
        half = deviation * norm.ppf(0.5 + 0.5 * level)
        return np.full(shape, -half), np.full(shape, half)

    return interval


def drawn_shares(figure):
    (points,) = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    return points.get_xdata(), points.get_ydata()


def test_figures_can_be_saved(posterior):
    y = np.random.default_rng(0).standard_normal(50)
    for figure in (
        plotting.calibration(normal_intervals(50), y),
        plotting.intervals(y, y - 1, y + 1),
        plotting.column_variances(posterior),
    ):
        buffer = text_io.BytesIO()
        figure.savefig(buffer, format="png")
        assert buffer.getvalue().startswith(b"\x89PNG")


def test_calibration_draws_shares_of_readings_that_are_given():
    y = np.random.default_rng(0).standard_normal((200, 100))
    y[:, ::2] = np.nan
    levels, shares = drawn_shares(plotting.calibration(normal_intervals(y.shape), y))
    assert np.allclose(shares, levels, atol=0.02)
    _, short = drawn_shares(plotting.calibration(normal_intervals(y.shape, 0.5), y))
    assert np.all(short < levels)
    inside = np.abs(y[:, 1::2]) <= norm.ppf(0.95)
    assert shares[list(levels).index(0.9)] == inside.mean()


def test_intervals_are_sorted_by_width_and_count_what_lies_outside():
    rng = np.random.default_rng(0)
    middle, half = rng.standard_normal(300), rng.random(300)
    truth = middle + np.where(np.arange(300) % 3 == 0, 2.0, 0.5) * half
    ax = plotting.intervals(middle, middle - half, middle + half, truth, most=300).axes[0]
    ends = np.array([segment[:, 1] for segment in ax.collections[0].get_segments()])
    assert np.allclose(np.diff(ends, axis=1).ravel(), np.sort(2 * half))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["predicted", "inside: 200 of 300", "outside: 100"]
    few = plotting.intervals(middle, middle - half, middle + half, most=7).axes[0]
    widths = [np.ptp(segment[:, 1]) for segment in few.collections[0].get_segments()]
    assert len(widths) == 7
    assert np.allclose([widths[0], widths[-1]], [2 * half.min(), 2 * half.max()])


def test_column_variances_add_up_to_the_mean_square(posterior):
    ax = plotting.column_variances(posterior).axes[0]
    kept, emptied = (line for line in ax.lines if line.get_marker() == "o")
    assert len(kept.get_xdata()) == posterior.rank == 2
    whole = np.sum(np.concatenate([kept.get_ydata(), emptied.get_ydata()]))
    squares = [np.mean(x.to_dense() ** 2) for x in posterior.draws()]
    assert np.isclose(whole, np.median(squares), rtol=0.02)
    assert max(emptied.get_ydata()) < 0.1 * min(kept.get_ydata())
    (noise,) = (line for line in ax.lines if line.get_label().startswith("noise"))
    assert np.allclose(noise.get_ydata(), posterior.noise.mean())


def test_refuses():
    y = np.zeros(3)
    with pytest.raises(ValueError, match="no finite reading"):
        plotting.calibration(normal_intervals(3), np.full(3, np.nan))
    with pytest.raises(ValueError, match=r"y's shape \(3,\), got \(2,\)"):
        plotting.calibration(normal_intervals(2), y)
    with pytest.raises(ValueError, match="low must be a finite vector"):
        plotting.intervals(y, y - np.inf, y)
    with pytest.raises(ValueError, match="'high': 2"):
        plotting.intervals(y, y, y[:2])
    with pytest.raises(ValueError, match="at least one"):
        plotting.intervals(y[:0], y[:0], y[:0])
    with pytest.raises(ValueError, match="most"):
        plotting.intervals(y, y, y, most=0)

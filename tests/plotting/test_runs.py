from __future__ import annotations

import io as text_io

import numpy as np
import pytest
from matplotlib.figure import Figure

import leanrank as lr
from leanrank import plotting
from leanrank.results import History, Result


@pytest.fixture(scope="module")
def result():
    inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, noise=0.1, random_state=0)
    return lr.recover(inst.op, inst.y)


def test_every_figure_can_be_saved(result):
    picture = np.random.default_rng(0).random((6, 9, 3))
    figures = [
        plotting.convergence(result),
        plotting.singular_values(result),
        plotting.column_norms(result),
        plotting.overview(result),
        plotting.completion(np.array([[1.0, np.nan]]), np.array([[1.0, 2.0]])),
        plotting.completion(picture, picture, picture),
    ]
    for figure in figures:
        assert isinstance(figure, Figure)
        buffer = text_io.BytesIO()
        figure.savefig(buffer, format="png")
        assert buffer.getvalue().startswith(b"\x89PNG")


def test_pyplot_is_left_alone():
    import subprocess
    import sys

    code = "import leanrank.plotting, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_convergence_draws_every_record_once(result):
    ax = plotting.convergence(result).axes[0]
    assert sum(len(line.get_xdata()) for line in ax.lines) == len(result.history)
    losses = np.concatenate([line.get_ydata() for line in ax.lines])
    assert np.allclose(losses, result.history.column("loss"))
    phases = [text.get_text() for text in ax.get_legend().get_texts()]
    assert phases == list(dict.fromkeys(result.history.column("phase")))


def test_singular_values_are_those_of_the_factors(result):
    ax = plotting.singular_values(result).axes[0]
    expected = np.linalg.svd(result.factors.to_dense(), compute_uv=False)[: result.rank]
    assert np.allclose(ax.lines[0].get_ydata(), expected)
    assert ax.get_yscale() == "linear"
    assert plotting.singular_values(np.array([100.0, 1.0])).axes[0].get_yscale() == "log"
    assert plotting.singular_values(lr.Factors.empty((3, 3))).axes[0].lines


def test_column_norms_in_decreasing_order():
    figure = plotting.column_norms({"before": [1.0, 3.0, 2.0], "after": np.array([2.0, 3.0])})
    before, after = figure.axes[0].containers
    assert [bar.get_height() for bar in before] == [3, 2, 1]
    assert [bar.get_height() for bar in after] == [3, 2]
    figure = plotting.column_norms({"before": [1.0, 3.0], "after": [2.0, 3.0]})
    (alone,) = figure.axes[0].containers
    assert [bar.get_height() for bar in alone] == [3, 2]
    assert alone.get_label() == "none pruned (2)"


def test_columns_with_units_of_their_own_are_on_scales_of_their_own():
    seen = np.array([[1.0, 1e6], [3.0, np.nan], [np.nan, 3e6]])
    completed = np.where(np.isnan(seen), [2.0, 4e6], seen)
    figure = plotting.completion(seen, completed, columns=["a", "b"])
    before, after, bar = figure.axes
    np.testing.assert_allclose(
        before.images[0].get_array().filled(np.nan), [[-1, -1], [1, np.nan], [np.nan, 1]]
    )
    np.testing.assert_allclose(after.images[0].get_array(), [[-1, -1], [1, 2], [0, 1]])
    assert [label.get_text() for label in after.get_xticklabels()] == ["a", "b"]
    assert bar.get_ylabel() == "standard deviations from a column's mean"
    with pytest.raises(ValueError, match="columns must be 2 names, got 1"):
        plotting.completion(seen, completed, columns=["a"])


def test_completion_uses_one_scale_for_all_panels():
    seen = np.array([[0.0, np.nan], [5.0, 1.0]])
    figure = plotting.completion(seen, np.array([[0.0, 9.0], [5.0, 1.0]]))
    panels = figure.axes[:2]  # then the colour bar
    assert [ax.get_title(loc="left") for ax in panels] == ["Seen: 75 %", "Completed"]
    assert {ax.images[0].get_clim() for ax in panels} == {(0.0, 5.0)}


def test_overview_leaves_out_what_is_not_there(result):
    bare = Result(result.factors, result.status, "", None, History())
    assert len(plotting.overview(bare).axes) == 1


def test_refuses(result):
    bare = Result(result.factors, result.status, "", None, History())
    with pytest.raises(ValueError, match="empty history"):
        plotting.convergence(bare)
    with pytest.raises(ValueError, match="no column norms"):
        plotting.column_norms(bare)
    with pytest.raises(ValueError, match="finite vector"):
        plotting.singular_values(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="seen must be of shape"):
        plotting.completion(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="Completed is of shape"):
        plotting.completion(np.ones((2, 2)), np.ones((2, 3)))

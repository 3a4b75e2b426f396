"""Pictures of a run and of a completed matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure, SubFigure

from leanrank._arrays import to_numpy
from leanrank._palette import BLUE, GREEN, INK, ORANGE, PALE, PINK, RED, SKY
from leanrank.factors import Factors
from leanrank.plotting._canvas import canvas, count_along_x, vector
from leanrank.results import Result

__all__ = ["column_norms", "completion", "convergence", "overview", "singular_values"]

_NAMED = 40
"""Columns up to which their names are written."""

_PHASES = {
    "explore": SKY,
    "grow": BLUE,
    "penalise": RED,
    "prune": PINK,
    "validate": PALE,
    "refit": GREEN,
}


def convergence(result: Result, *, figure: Figure | SubFigure | None = None) -> Figure | SubFigure:
    """Loss over passes through the measurements, one colour for each phase.

    Parameters
    ----------
    result : Result
        With at least one record in its history.
    figure : Figure or SubFigure, optional
        Where to draw; a new figure by default.

    Raises
    ------
    ValueError
        If the history is empty.

    Examples
    --------
    >>> import leanrank as lr
    >>> inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
    >>> figure = convergence(lr.recover(inst.op, inst.y))
    >>> figure.axes[0].get_xlabel()
    'passes over the measurements'
    """
    if not len(result.history):
        raise ValueError("result has an empty history: there is nothing to draw")
    figure, ax = canvas(figure, "Loss", "passes over the measurements", "mean squared residual")
    named: set[str] = set()
    for phase, group in groupby(result.history, key=lambda record: record.phase):
        records = list(group)
        passes = [record.passes for record in records]
        losses = [record.loss if record.loss > 0 else math.nan for record in records]
        ax.plot(
            passes,
            losses,
            color=_PHASES.get(phase, ORANGE),
            linewidth=1.6,
            marker="o",
            markersize=2.6,
            zorder=1 if phase == "validate" else 2,
            label=None if phase in named else phase,
        )
        named.add(phase)
    ax.set_yscale("log")
    ax.tick_params(which="minor", labelsize=7, color=PALE, labelcolor=INK)
    ax.set_xlim(left=0)
    if len(named) > 1:
        ax.legend(frameon=False, fontsize=8, labelcolor=INK, handlelength=1.4)
    return figure


def singular_values(
    source: Result | Factors | np.ndarray, *, figure: Figure | SubFigure | None = None
) -> Figure | SubFigure:
    """Singular values in decreasing order; on a log scale where they spread over a decade.

    Parameters
    ----------
    source : Result, Factors or array, shape (r,)
    figure : Figure or SubFigure, optional
        Where to draw; a new figure by default.

    Raises
    ------
    ValueError
        If the values of an array are not a finite vector.

    Examples
    --------
    >>> singular_values(np.array([3.0, 2.0])).axes[0].get_title(loc="left")
    'Singular values'
    """
    values = source
    if isinstance(values, Result):
        values = values.factors
    if isinstance(values, Factors):
        values = to_numpy(values.singular_values())
    values = vector(values, "source")
    figure, ax = canvas(figure, "Singular values", "index", "")
    x = np.arange(1, values.size + 1)
    ax.vlines(x, 0, values, color=PALE, linewidth=1.2, zorder=1)
    ax.plot(x, values, "o", color=BLUE, markersize=5.5, zorder=2)
    positive = values[values > 0]
    if positive.size and positive.max() > 10 * positive.min():
        ax.set_yscale("log")
        ax.set_ylim(positive.min() / 1.6, positive.max() * 1.6)
    else:
        ax.set_ylim(bottom=0)
    count_along_x(ax, values.size)
    return figure


def column_norms(
    source: Result | Mapping[str, Any], *, figure: Figure | SubFigure | None = None
) -> Figure | SubFigure:
    """Column norms of the factors before and after pruning, each in decreasing order.

    Parameters
    ----------
    source : Result or mapping
        Norms by moment, as in ``Result.column_norms``; the first is drawn pale and wide, the last
        dark and narrow before it. Where both have as many columns, nothing was pruned, and the
        last is drawn alone.
    figure : Figure or SubFigure, optional
        Where to draw; a new figure by default.

    Raises
    ------
    ValueError
        If there are no norms to draw, or they are not finite vectors.

    Examples
    --------
    >>> norms = {"before pruning": [2.0, 1.0, 0.1], "after pruning": [2.0, 1.0]}
    >>> figure = column_norms(norms)
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['before pruning (3)', 'after pruning (2)']
    """
    moments = source.column_norms if isinstance(source, Result) else source
    if not moments:
        raise ValueError("source has no column norms: there is nothing to draw")
    figure, ax = canvas(figure, "Column norms of the factors", "column", "")
    norms = {name: np.sort(vector(v, name))[::-1] for name, v in moments.items()}
    styles = [(PALE, 0.82), (BLUE, 0.44)]
    chosen = list(norms.items())[:: max(1, len(norms) - 1)]
    if len(chosen) > 1 and chosen[0][1].size == chosen[-1][1].size:
        chosen, styles = [("none pruned", chosen[-1][1])], [(BLUE, 0.6)]
    for (name, values), (colour, width) in zip(chosen, styles, strict=False):
        x = np.arange(1, values.size + 1)
        ax.bar(x, values, width=width, color=colour, label=f"{name} ({values.size})")
    ax.margins(y=0.15)  # room for the names above the bars
    ax.legend(frameon=False, fontsize=8, labelcolor=INK, handlelength=1.0, handleheight=1.0)
    count_along_x(ax, max(values.size for values in norms.values()))
    return figure


def completion(
    seen: np.ndarray,
    completed: np.ndarray,
    original: np.ndarray | None = None,
    *,
    columns: Sequence[str] | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """A matrix or picture as it was seen and as it came back, side by side, on one scale.

    Parameters
    ----------
    seen : array, shape (n1, n2) or (n1, n2, 3)
        NaN where nothing was observed. Three channels are colours from 0 to 1.
    completed : array of the same shape
    original : array of the same shape, optional
        The truth, drawn first.
    columns : sequence of str, optional
        Names of columns that have units of their own, as those of a table have: each is drawn in
        standard deviations from its mean, both of what was seen of it.
    figure : Figure or SubFigure, optional
        Where to draw; a new figure by default.

    Raises
    ------
    ValueError
        If the shapes differ or are not those of a matrix or a picture.

    Examples
    --------
    >>> figure = completion(np.array([[1.0, np.nan]]), np.array([[1.0, 2.0]]))
    >>> [ax.get_title(loc="left") for ax in figure.axes[:2]]
    ['Seen: 50 %', 'Completed']
    """
    seen = np.asarray(seen, dtype=float)
    colour = seen.ndim == 3 and seen.shape[2] == 3
    if not colour and seen.ndim != 2:
        raise ValueError(f"seen must be of shape (n1, n2) or (n1, n2, 3), got {seen.shape}")
    panels = {} if original is None else {"Original": original}
    panels |= {_seen_title(seen): seen, "Completed": completed}
    for name, image in panels.items():
        if np.shape(image) != seen.shape:
            raise ValueError(f"{name} is of shape {np.shape(image)}, but seen is {seen.shape}")
    if columns is not None:
        if colour or len(columns) != seen.shape[1]:
            raise ValueError(f"columns must be {seen.shape[1]} names, got {len(columns)}")
        panels = _standardised(panels, seen)
        seen = panels[_seen_title(seen)]
    aspect = seen.shape[0] / seen.shape[1]
    if figure is None:
        height = min(max(4.2 * aspect, 1.2), 8.0) + 0.5
        figure = Figure(figsize=(4.2 * len(panels), height), layout="constrained")
    known = seen[np.isfinite(seen)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
    palette = colormaps["cividis"].with_extremes(bad="#f2f2f2")
    for ax, (name, image) in zip(
        np.ravel(figure.subplots(1, len(panels))), panels.items(), strict=True
    ):
        values = np.asarray(image, dtype=float)
        if colour:
            ax.imshow(np.nan_to_num(values).clip(0, 1), interpolation="none")
        else:
            shape = "equal" if 0.2 < aspect < 5 else "auto"
            drawn = ax.imshow(
                values, cmap=palette, vmin=low, vmax=high, interpolation="none", aspect=shape
            )
        ax.set_title(name, loc="left", fontsize=10, color=INK)
        ax.set_axis_off()
        if columns is not None and len(columns) <= _NAMED:
            ax.set_axis_on()
            ax.set_frame_on(False)
            ax.set_yticks([])
            ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize=7, color=INK)
    if not colour:
        unit = "" if columns is None else "standard deviations from a column's mean"
        bar = figure.colorbar(drawn, ax=figure.axes, shrink=0.8, label=unit, pad=0.01)
        bar.ax.tick_params(labelsize=7)
    return figure


def _standardised(panels: dict[str, Any], seen: np.ndarray) -> dict[str, Any]:
    """Columns about their means and in their deviations, as far as they were seen."""
    known = np.isfinite(seen)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, seen, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, seen - mean, 0.0) ** 2).sum(axis=0) / count)
    spread[spread == 0] = 1.0
    return {name: (np.asarray(X, dtype=float) - mean) / spread for name, X in panels.items()}


def overview(result: Result) -> Figure:
    """Convergence, singular values and column norms of one result, side by side.

    Parameters
    ----------
    result : Result
        Panels for which it has no data are left out.

    Examples
    --------
    >>> import leanrank as lr
    >>> inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
    >>> len(overview(lr.recover(inst.op, inst.y)).axes)
    3
    """
    draw: list[Any] = [singular_values]
    if len(result.history):
        draw.insert(0, convergence)
    if result.column_norms:
        draw.append(column_norms)
    figure = Figure(figsize=(4.2 * len(draw), 3.4), layout="constrained")
    for part, function in zip(figure.subfigures(1, len(draw), squeeze=False)[0], draw, strict=True):
        function(result, figure=part)
    return figure


def _seen_title(seen: np.ndarray) -> str:
    return f"Seen: {np.isfinite(seen).mean():.0%}".replace("%", " %")

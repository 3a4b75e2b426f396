"""What the figures of all experiments share: paper-like panels and colours.

Maps are drawn in cividis, which colour-blind readers can tell apart, too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from leanrank._palette import BLUE, COLOURS, INK, PALE, RED

__all__ = [
    "BLUE",
    "COLOURS",
    "INK",
    "PALE",
    "RED",
    "heading",
    "legend",
    "marks",
    "panels",
    "shades",
    "whole_numbers",
]


def panels(
    count: int,
    title: str,
    *,
    rows: int = 1,
    width: float = 4.3,
    height: float = 3.5,
    **subplots: Any,
) -> tuple[Figure, list[Axes]]:
    """A figure with a title and so many tidy pairs of axes, row after row.

    ``width`` and ``height`` are those of one panel, in inches; further arguments go to
    ``Figure.subplots``.
    """
    columns = -(-count // rows)
    figure = Figure(figsize=(width * columns, height * rows + 0.45), layout="constrained")
    room = int(width * columns * 13)
    figure.suptitle(
        "\n".join(textwrap.wrap(title, room)), x=0.01, ha="left", fontsize=11, color=INK
    )
    axes = list(np.ravel(figure.subplots(rows, columns, squeeze=False, **subplots)))
    for ax in axes[count:]:
        ax.set_axis_off()
    for ax in axes[:count]:
        ax.tick_params(which="both", labelsize=8, color=PALE, labelcolor=INK)
        ax.xaxis.label.set(fontsize=9, color=INK)
        ax.yaxis.label.set(fontsize=9, color=INK)
        for side, spine in ax.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(PALE)
    return figure, axes[:count]


def heading(ax: Axes, text: str) -> None:
    """What a panel shows, above it on the left."""
    ax.set_title(text, loc="left", fontsize=9.5, color=INK)


def legend(ax: Axes, **options: Any) -> None:
    """A legend without a frame."""
    if ax.get_legend_handles_labels()[0]:
        look = {"frameon": False, "fontsize": 8, "labelcolor": INK, "handlelength": 2.6}
        ax.legend(**(look | options))


def marks(ax: Axes, values: Sequence[float]) -> None:
    """A logarithmic x axis with ticks at just these values, labelled where there is room."""
    ax.set_xscale("log")
    room = 0.08 * np.log(max(values) / min(values))
    labels, last = [], -np.inf
    for x in values:
        crowded = np.log(x) - last < room
        labels.append("" if crowded else f"{x:g}")
        last = last if crowded else np.log(x)
    ax.set_xticks(list(values), labels)
    ax.minorticks_off()


def whole_numbers(ax: Axes) -> None:
    """A few ticks along x, at whole numbers only."""
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def shades(count: int) -> list[Any]:
    """So many colours in order, from dark to light."""
    return [colormaps["cividis"](x) for x in np.linspace(0.0, 0.88, max(count, 1))]

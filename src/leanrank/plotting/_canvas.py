"""What all pictures share: axes, their labels, and checks of what is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from leanrank._arrays import to_numpy
from leanrank._palette import INK, PALE

__all__ = ["canvas", "count_along_x", "vector"]


def canvas(
    figure: Figure | SubFigure | None, title: str, x: str, y: str
) -> tuple[Figure | SubFigure, Axes]:
    """A figure and one tidy pair of axes in it."""
    if figure is None:
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    ax = figure.subplots()
    ax.set_title(title, loc="left", fontsize=10, color=INK)
    ax.set_xlabel(x, fontsize=9, color=INK)
    ax.set_ylabel(y, fontsize=9, color=INK)
    ax.tick_params(labelsize=8, color=PALE, labelcolor=INK)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(PALE)
    return figure, ax


def count_along_x(ax: Axes, n: int) -> None:
    """Whole numbers from 1 to n along the axis."""
    ax.set_xlim(0.3, max(n, 1) + 0.7)
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, n) if n <= 12 * s)
    ax.set_xticks([1, *range(step, n + 1, step)] if step > 1 else range(1, n + 1))


def vector(values: Any, name: str) -> np.ndarray:
    """Finite numbers in a row; the argument is named where they are not."""
    found = np.asarray(to_numpy(values), dtype=float)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise ValueError(f"{name} must be a finite vector, got an array of shape {found.shape}")
    return found

"""Pictures of ratings: where their variance lies, and which cells are the surest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure, SubFigure

from leanrank import _checks
from leanrank._palette import BLUE, INK, PALE, RED, SKY
from leanrank.factors import Factors
from leanrank.plotting._canvas import canvas, vector

__all__ = ["certainty", "rating_variances"]

_LONGEST = 28
"""Characters of a name that are shown."""


def rating_variances(model: Any, *, figure: Figure | SubFigure | None = None) -> Figure | SubFigure:
    r"""Which share of the variance of a rating users, items and factors explain, and the rest.

    Over all users and items: the variances of their intercepts; of direction h of the factors the
    mean of :math:`(u_{ih} v_{jh})^2`, where directions are the singular vectors of their product;
    and the variance of the noise. Shares are of the sum.

    Parameters
    ----------
    model : MatrixFactorization
        Fitted.
    figure : Figure or SubFigure, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> import leanrank as lr
    >>> rng = np.random.default_rng(0)
    >>> users, items = rng.integers(0, 60, 2000), rng.integers(0, 40, 2000)
    >>> taste, kind = rng.normal(size=(60, 1)), rng.normal(size=40)
    >>> y = 3.0 + (taste * kind)[users, items] + 0.5 * rng.normal(size=2000)
    >>> rating_variances(lr.MatrixFactorization(rank=1).fit(users, items, y)).axes[0].get_xlabel()
    'share of the variance, %'
    """
    n = model.user_bias_.size * model.item_bias_.size
    directions = Factors(model.user_factors_, model.item_factors_).singular_values() ** 2 / n
    names = ["users", "items", *(f"factor {h}" for h in range(1, directions.size + 1)), "noise"]
    own = [np.var(model.user_bias_), np.var(model.item_bias_)]
    variances = np.array([*own, *directions, model.noise_**2], dtype=float)
    shares = 100.0 * variances / (variances.sum() or 1.0)
    figure, ax = canvas(
        figure, "Where the variance of a rating lies", "share of the variance, %", ""
    )
    colours = [SKY, SKY, *[BLUE] * directions.size, RED]
    at = np.arange(shares.size)
    ax.barh(at, shares, color=colours, height=0.7)
    for place, share in enumerate(shares):
        ax.text(
            share + 0.01 * shares.max(), place, f"{share:.3g}", va="center", fontsize=8, color=INK
        )
    ax.set_yticks(at, names)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.12 * shares.max() or 1.0)
    return figure


def certainty(
    middle: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    names: Sequence[Any],
    *,
    most: int = 8,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """The cells that are known best and those that are known least, with their intervals.

    Parameters
    ----------
    middle, low, high : array, shape (n,)
        What is predicted of each cell, and the ends of its interval.
    names : sequence, length n
        What to write beside a cell; of pairs both are written.
    most : int
        How many of either kind.
    figure : Figure or SubFigure, optional
        Where to draw; a new figure by default.

    Raises
    ------
    ValueError
        If these are not finite vectors of one length with at least two cells.

    Examples
    --------
    >>> middle, half = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.5, 2.0, 1.0, 0.1])
    >>> figure = certainty(middle, middle - half, middle + half, "abcd", most=1)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['d', 'b']
    """
    columns = {"middle": middle, "low": low, "high": high}
    values = {name: vector(column, name) for name, column in columns.items()}
    sizes = {name: column.size for name, column in values.items()} | {"names": len(names)}
    if len(set(sizes.values())) > 1 or sizes["middle"] < 2:
        raise ValueError(f"as many must be given of each, and at least two, got {sizes}")
    n = min(_checks.whole_number(most, "most", least=1), sizes["middle"] // 2)
    order = np.argsort(values["high"] - values["low"], kind="stable")
    shown = np.concatenate([order[:n], order[-n:]])
    # A gap between the two kinds.
    at = np.concatenate([np.arange(n), np.arange(n) + n + 1])
    title = f"Most and least certain of {sizes['middle']} cells"
    if figure is None:
        figure = Figure(figsize=(4.6, 1.2 + 0.22 * at[-1]), layout="constrained")
    figure, ax = canvas(figure, title, "predicted, and its interval", "")
    for part, colour in ((slice(0, n), BLUE), (slice(n, None), RED)):
        ends = (values[name][shown[part]] for name in ("low", "high"))
        ax.hlines(at[part], *ends, color=PALE, linewidth=3.0, zorder=1)
        ax.plot(
            values["middle"][shown[part]], at[part], "o", color=colour, markersize=4.5, zorder=2
        )
    ax.set_yticks(at, [_named(names[i]) for i in shown])
    ax.set_ylim(at[-1] + 0.7, -0.7)
    return figure


def _named(name: Any) -> str:
    text = " / ".join(map(str, name)) if isinstance(name, tuple) else str(name)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"

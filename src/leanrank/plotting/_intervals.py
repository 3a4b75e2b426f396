"""Pictures of what is uncertain: calibration, intervals, and what a prior left of columns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure, SubFigure
from scipy.stats import binom

from leanrank import _checks
from leanrank._palette import BLUE, INK, PALE, RED, SKY
from leanrank.plotting._canvas import canvas, count_along_x, vector
from leanrank.posterior import Posterior

__all__ = ["calibration", "column_variances", "intervals"]

_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def calibration(
    interval: Callable[[float], tuple[np.ndarray, np.ndarray]],
    y: np.ndarray,
    *,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Share of readings that lie inside their intervals, against the level of these.

    Intervals that mean what they say lie on the diagonal; below it they are too short. Nine of ten
    points lie in the pale band where they do and readings are independent.

    Parameters
    ----------
    interval : callable
        Of a level in (0, 1): arrays low and high of the shape of ``y``.
    y : array
        Readings that were held out, NaN where there is none.
    figure : Figure or SubFigure, optional
        Where to draw; a new figure by default.

    Raises
    ------
    ValueError
        If there is no reading, or intervals are of another shape.

    Examples
    --------
    >>> import leanrank as lr
    >>> inst = lr.simulate.matrix_completion((60, 40), 2, oversampling=4, random_state=0)
    >>> held = np.arange(inst.op.size) % 10 == 0
    >>> y = inst.y + 0.1 * np.random.default_rng(0).standard_normal(inst.op.size)
    >>> post = lr.posterior(inst.op.subset(np.flatnonzero(~held)), y[~held])
    >>> rows, cols = inst.op.rows[held], inst.op.cols[held]
    >>> figure = calibration(lambda level: post.interval(rows, cols, level, reading=True), y[held])
    >>> figure.axes[0].get_xlabel()
    'level'
    """
    y = np.asarray(y, dtype=float)
    given = np.isfinite(y)
    n = int(np.count_nonzero(given))
    if not n:
        raise ValueError("y has no finite reading: there is nothing to compare intervals with")
    shares = []
    for level in _LEVELS:
        low, high = (np.asarray(end, dtype=float) for end in interval(level))
        if low.shape != y.shape or high.shape != y.shape:
            raise ValueError(
                f"interval must give two arrays of y's shape {y.shape}, got {low.shape} and "
                f"{high.shape}"
            )
        shares.append(float(np.mean(((low <= y) & (y <= high))[given])))
    figure, ax = canvas(figure, f"Calibration on {n} readings", "level", "share inside")
    levels = np.linspace(0.0, 1.0, 101)
    chance = [binom.ppf(q, n, levels) / n for q in (0.05, 0.95)]
    ax.fill_between(levels, *chance, color=PALE, alpha=0.5, linewidth=0, zorder=1)
    ax.plot([0, 1], [0, 1], color=INK, linewidth=0.8, zorder=2)
    ax.plot(_LEVELS, shares, "o", color=BLUE, markersize=5.5, zorder=3)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.02)
    return figure


def intervals(
    middle: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    truth: np.ndarray | None = None,
    *,
    most: int = 80,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Intervals of entries about their middle, sorted by width.

    Parameters
    ----------
    middle, low, high : array, shape (n,)
        What is predicted, and the ends of its interval.
    truth : array, shape (n,), optional
        What entries turned out to be; those outside of their intervals are drawn in red.
    most : int
        Of more entries as many are drawn, evenly spread over all widths.
    figure : Figure or SubFigure, optional
        Where to draw; a new figure by default.

    Raises
    ------
    ValueError
        If these are not finite vectors of one length.

    Examples
    --------
    >>> middle = np.array([1.0, 2.0, 3.0])
    >>> figure = intervals(middle, middle - [2, 1, 3], middle + [2, 1, 3], truth=[1.5, 2.5, 9.0])
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['predicted', 'inside: 2 of 3', 'outside: 1']
    """
    given = {"middle": middle, "low": low, "high": high}
    given |= {} if truth is None else {"truth": truth}
    columns = {name: vector(values, name) for name, values in given.items()}
    sizes = {name: values.size for name, values in columns.items()}
    if len(set(sizes.values())) > 1 or not columns["middle"].size:
        raise ValueError(f"as many numbers must be given of each, and at least one, got {sizes}")
    most = _checks.whole_number(most, "most", least=1)
    order = np.argsort(columns["high"] - columns["low"], kind="stable")
    if order.size > most:
        order = order[np.linspace(0, order.size - 1, most).round().astype(int)]
    title = f"Intervals of {order.size} entries"
    figure, ax = canvas(figure, title, "entry, by the width of its interval", "")
    x = np.arange(1, order.size + 1)
    centre, bottom, top = (columns[name][order] for name in ("middle", "low", "high"))
    ax.vlines(x, bottom, top, color=PALE, linewidth=max(1.4, 4.0 - 0.04 * x.size), zorder=1)
    ax.plot(x, centre, "_", color=INK, markersize=5, zorder=2, label="predicted")
    if truth is not None:
        real = columns["truth"][order]
        inside = (bottom <= real) & (real <= top)
        count = f"inside: {np.count_nonzero(inside)} of {inside.size}"
        ax.plot(x[inside], real[inside], "o", color=BLUE, markersize=3, label=count)
        if not inside.all():
            count = f"outside: {np.count_nonzero(~inside)}"
            ax.plot(x[~inside], real[~inside], "o", color=RED, markersize=3, label=count)
        ax.set_ylim(top=top.max() + 0.15 * float(np.ptp([bottom.min(), top.max()]) or 1.0))
        ax.legend(
            frameon=False, fontsize=8, labelcolor=INK, handlelength=1.0, ncols=3, loc="upper center"
        )
    count_along_x(ax, x.size)
    return figure


def column_variances(
    posterior: Posterior, *, figure: Figure | SubFigure | None = None
) -> Figure | SubFigure:
    r"""How much of the variance of an entry each direction holds, and the noise beside it.

    Of direction j of a draw that is :math:`s_j^2 / (n_1 n_2)`, with the singular values of the
    draw: the mean square of the entries is the sum of all. Directions that the prior emptied, those
    beyond the rank of the point estimate, lie near zero.

    Parameters
    ----------
    posterior : Posterior
        Points are medians over its draws, lines hold nine tenths of them.
    figure : Figure or SubFigure, optional
        Where to draw; a new figure by default.

    Raises
    ------
    ValueError
        If there are no columns.

    Examples
    --------
    >>> import leanrank as lr
    >>> inst = lr.simulate.matrix_completion((60, 40), 2, oversampling=4, random_state=0)
    >>> y = inst.y + 0.1 * np.random.default_rng(0).standard_normal(inst.op.size)
    >>> column_variances(lr.posterior(inst.op, y)).axes[0].get_yscale()
    'log'
    """
    n1, n2 = posterior.shape
    draws = [x.singular_values() for x in posterior.draws()]
    variances = np.asarray(draws, dtype=float) ** 2 / (n1 * n2)
    if not variances.shape[1]:
        raise ValueError("posterior has no columns: there is nothing to draw")
    low, middle, high = np.quantile(variances, [0.05, 0.5, 0.95], axis=0)
    figure, ax = canvas(figure, "Variance that directions hold", "direction", "")
    x, kept = np.arange(1, middle.size + 1), posterior.rank
    for at, colour, name in (
        (slice(0, kept), BLUE, f"of the estimate ({kept})"),
        (slice(kept, None), SKY, f"emptied by the prior ({middle.size - kept})"),
    ):
        if x[at].size:
            ax.vlines(x[at], low[at], high[at], color=colour, linewidth=1.4, zorder=2)
            ax.plot(x[at], middle[at], "o", color=colour, markersize=5.5, zorder=3, label=name)
    noise = float(np.mean(posterior.noise))
    if noise > 0:
        ax.axhline(noise, color=RED, linewidth=1.0, zorder=1, label="noise of one reading")
    ax.legend(frameon=False, fontsize=8, labelcolor=INK, handlelength=1.4)
    if middle[middle > 0].size:
        ax.set_yscale("log")
        ax.tick_params(which="minor", labelsize=7, color=PALE, labelcolor=INK)
    count_along_x(ax, middle.size)
    return figure

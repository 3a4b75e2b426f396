"""A fit as a page of HTML: what came out, how far to trust it, and pictures of it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure, SubFigure

from leanrank._display import certificate_html, html_table
from leanrank._files import PathLike, replacing
from leanrank.plotting import certainty, overview, rating_variances, singular_values
from leanrank.results import Result, Status

__all__ = ["page", "save_model_report", "save_report"]

_PAIRS = 2000
"""Pairs at random that a page about a model looks at."""

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #00694d; --bad: #a94400; }
@media (prefers-color-scheme: dark) { :root { --good: #4cc9a0; --bad: #ffa061; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid var(--line); }
.good { color: var(--good); } .bad { color: var(--bad); }
.verdict { font-size: 1.15rem; font-weight: 600; }
table { border-collapse: collapse; }
th, td { padding: .15rem 1.5rem .15rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; }
figure { margin: 1rem 0; overflow-x: auto; }
figure svg { background: #fff; border-radius: .3rem; min-width: 28rem; max-width: 100%;
  height: auto; }
figcaption { font-size: .9rem; opacity: .8; }
"""
"""Readable on a phone, on paper, and in the dark; pictures stay on white."""


def page(
    title: str,
    status: Status,
    message: str,
    numbers: Mapping[str, Any],
    *,
    certificate: Any = None,
    figures: Mapping[str, Figure | SubFigure] | None = None,
) -> str:
    """A whole page that needs nothing but itself: no script, no network.

    Parameters
    ----------
    title : str
    status : Status
    message : str
        Why the fit ended so, and what to do about it.
    numbers : mapping of str to number or str
        Underscores of names become spaces.
    certificate : Certificate, optional
        Shown with its numbers, reasons and notes.
    figures : mapping of str to Figure, optional
        By caption.

    Returns
    -------
    str
        HTML; everything is escaped but the pictures, which are SVG.
    """
    verdict = "good" if status.success else "bad"
    lines = [line for line in message.split("\n") if line]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="verdict {verdict}">{status.name}: {status.meaning}</p>',
        *(f"<p>{escape(line[:1].upper() + line[1:])}</p>" for line in lines),
        "<h2>In numbers</h2>",
        html_table("Fit", numbers),
        "" if certificate is None else certificate_html(certificate),
    ]
    if figures:
        parts.append("<h2>In pictures</h2>")
        parts += [_picture(caption, figure) for caption, figure in figures.items()]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def save_report(
    path: PathLike,
    result: Result,
    *,
    title: str = "leanrank",
    numbers: Mapping[str, Any] | None = None,
    figures: Mapping[str, Figure | SubFigure] | None = None,
) -> None:
    """Write a page about a result: status, certificate, notes, and pictures.

    Parameters
    ----------
    path : path
        An .html file; replaced once the page is whole.
    result : Result
    title : str
    numbers : mapping, optional
        Further numbers to put first.
    figures : mapping of str to Figure, optional
        Further pictures, by caption.

    Raises
    ------
    FileError
        If it cannot be written.

    Examples
    --------
    >>> import leanrank as lr, pathlib, tempfile
    >>> inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "report.html"
    >>> save_report(path, lr.recover(inst.op, inst.y))
    >>> "CONVERGED" in path.read_text(encoding="utf-8")
    True
    """
    n1, n2 = result.factors.shape
    shown = {"matrix": f"{n1} x {n2}", "rank": result.rank, **(numbers or {})}
    pictures: dict[str, Figure | SubFigure] = {}
    if len(result.history):
        pictures["The run: loss, singular values, column norms"] = overview(result)
    elif result.rank:
        pictures["Singular values"] = singular_values(result.factors)
    text = page(
        title,
        result.status,
        result.message,
        shown,
        certificate=result.certificate,
        figures=pictures | dict(figures or {}),
    )
    with replacing(path, "w") as file:
        file.write(text)


def save_model_report(
    path: PathLike, model: Any, *, title: str = "leanrank", numbers: Mapping[str, Any]
) -> None:
    """Write a page about a model of ratings: what explains one, and how sure predictions are.

    Parameters
    ----------
    path : path
        An .html file; replaced once the page is whole.
    model : MatrixFactorization
        Fitted.
    title : str
    numbers : mapping
        What came out.

    Raises
    ------
    FileError
        If it cannot be written.

    Examples
    --------
    >>> import leanrank as lr, pathlib, tempfile
    >>> rng = np.random.default_rng(0)
    >>> users, items = rng.integers(0, 60, 9000), rng.integers(0, 40, 9000)
    >>> taste, kind = rng.normal(size=(60, 1)), rng.normal(size=40)
    >>> y = 3.0 + (taste * kind)[users, items] + 0.5 * rng.normal(size=9000)
    >>> model = lr.MatrixFactorization(rank=1).fit(users, items, y)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "report.html"
    >>> save_model_report(path, model, numbers={"rank": model.rank_})
    >>> "explain of a rating" in path.read_text(encoding="utf-8")
    True
    """
    rng = np.random.default_rng(0)
    users, items = (
        labels[rng.integers(labels.size, size=_PAIRS)] for labels in (model.users_, model.items_)
    )
    middle, (low, high) = model.predict(users, items), model.predict_interval(users, items)
    names = list(zip(users.tolist(), items.tolist(), strict=True))
    figures = {
        "What users, items and factors explain of a rating": rating_variances(model),
        f"The surest and the least sure of {_PAIRS} pairs at random, with 95 % intervals": (
            certainty(middle, low, high, names)
        ),
    }
    text = page(title, model.status_, model.message_, numbers, figures=figures)
    with replacing(path, "w") as file:
        file.write(text)


def _picture(caption: str, figure: Figure | SubFigure) -> str:
    """A figure as SVG inside the page."""
    drawn = io.StringIO()
    with rc_context({"svg.hashsalt": caption}):  # the same names inside, whenever it is drawn
        figure.figure.savefig(drawn, format="svg", metadata={"Date": None})
    svg = drawn.getvalue()
    return (
        f'<figure role="img" aria-label="{escape(caption)}">{svg[svg.index("<svg") :]}'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )

"""What objects look like where they are shown: one line in a terminal, a small table in HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from html import escape
from typing import Any

__all__ = [
    "certificate_html",
    "certificate_line",
    "html_table",
    "number",
    "one_line",
    "operator_html",
    "percent",
    "values_of",
]

_STYLES = {
    True: "color:#00694d;color:light-dark(#00694d,#4cc9a0)",
    False: "color:#a94400;color:light-dark(#a94400,#ffa061)",
    None: "",
}
"""Of a verdict that is good, bad, or none; to be read on white, and in the dark where pages say
that they can be shown so."""


def one_line(name: str, *parts: Any, **named: Any) -> str:
    """``Name(part, key=value)``, numbers in three digits."""
    shown = [str(part) for part in parts] + [f"{key}={number(x)}" for key, x in named.items()]
    return f"{name}({', '.join(shown)})"


def number(x: Any) -> str:
    """A value as short as it can be read."""
    if isinstance(x, float):
        return f"{x:.3g}" if math.isfinite(x) else str(x)
    return str(x)


def percent(share: float) -> str:
    """A share in words, also one so small that it would round to nothing."""
    return f"{share:.1%}" if share == 0 or abs(share) >= 1e-3 else f"{100 * share:.1g}%"


def html_table(
    title: str,
    rows: Mapping[str, Any],
    *,
    verdict: str = "",
    good: bool | None = None,
    remarks: Iterable[str] = (),
    inside: str = "",
) -> str:
    """A table of names and values under a title, with a verdict, and remarks below.

    Everything is escaped but ``inside``, HTML that stands below the table. Underscores of names
    become spaces.
    """
    mark = f' <span style="{_STYLES[good]}">{escape(verdict)}</span>' if verdict else ""
    cells = "".join(
        f'<tr><th style="text-align:left">{escape(name.replace("_", " "))}</th>'
        f'<td style="text-align:left">{escape(number(value))}</td></tr>'
        for name, value in rows.items()
    )
    listed = "".join(f"<li>{escape(remark)}</li>" for remark in remarks)
    return (
        f"<div><strong>{escape(title)}</strong>{mark}<table>{cells}</table>"
        + (f"<ul>{listed}</ul>" if listed else "")
        + f"{inside}</div>"
    )


def values_of(record: Any) -> dict[str, Any]:
    """Fields of a dataclass that are numbers, or None, by name, flags left out."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {
        name: value
        for name, value in values.items()
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    }


def certificate_line(certificate: Any) -> str:
    """A certificate in one line: whether it holds, the rank, every error that it estimates."""
    numbers = values_of(certificate)
    shown = {name: x for name, x in numbers.items() if name == "rank" or name.endswith("_error")}
    shown |= {"error_estimate": numbers["error_estimate"]}
    known = {name: x for name, x in shown.items() if x is not None}
    return one_line("Certificate", holds=certificate.holds, **known)


def certificate_html(certificate: Any) -> str:
    """A certificate as a table of its numbers, with the verdict, reasons and notes."""
    return html_table(
        "Certificate",
        values_of(certificate),
        verdict="holds" if certificate.holds else "does not hold",
        good=certificate.holds,
        remarks=[*certificate.reasons, *(f"note: {note}" for note in certificate.notes)],
    )


def operator_html(op: Any) -> str:
    """A measurement operator as a table: what it measures, how often, in which arrays."""
    n1, n2 = op.shape
    rows = {
        "matrix": f"{n1} x {n2}" + (", symmetric part" if op.symmetric else ""),
        "measurements": f"{op.size}, {number(op.size / (n1 * n2))} for each entry",
        "arrays": f"{type(op.reference).__module__.partition('.')[0]}, {op.reference.dtype}",
    }
    return html_table(type(op).__name__, rows)

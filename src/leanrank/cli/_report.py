"""What a run came to, in words and numbers, for a terminal."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from leanrank.certificates import Certificate
from leanrank.results import Result, Status

__all__ = ["say", "show_result"]

Rows = dict[str, tuple[str, str]]

_COLOURS = {Status.CONVERGED: "green", Status.STOPPED: "yellow"}


def say(console: Console, text: str) -> None:
    """A line of prose, taken literally, and folded on a terminal only."""
    console.print(Text(text), soft_wrap=not console.is_terminal)


def show_result(console: Console, result: Result, rows: Rows) -> None:
    """Status and message, then numbers with what they mean.

    Parameters
    ----------
    console : rich.console.Console
    result : Result
    rows : dict
        Further numbers to put first: value and meaning by name.
    """
    colour = _COLOURS.get(result.status, "red")
    headline = Text(result.status.name, style=f"bold {colour}")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(style="dim")
    n1, n2 = result.factors.shape
    table.add_row("rank", str(result.rank), f"of a {n1} x {n2} matrix")
    for name, (value, meaning) in rows.items():
        table.add_row(name, value, meaning)
    if result.certificate is not None:
        for row in _certificate_rows(result.certificate):
            table.add_row(*row)
    table.add_row("passes", f"{result.history.passes:.0f}", "sweeps over the measurements")
    parts: list[RenderableType] = [
        headline,
        Padding(_sentences(result), (0, 0, 1, 2)),
        Padding(table, (0, 0, 0, 2)),
    ]
    console.print(Group(*parts))


def _sentences(result: Result) -> Text:
    certificate = result.certificate
    lines = [result.message]
    if certificate is not None and certificate.reasons:
        lines = list(certificate.reasons)
    if certificate is not None:
        lines += [f"Note: {note}" for note in certificate.notes]
    return Text("\n".join(line[:1].upper() + line[1:] for line in lines))


def _certificate_rows(c: Certificate) -> list[tuple[str, str, str]]:
    """The certificate's numbers that help to judge an answer, and what each of them says."""
    rows = [("certificate", "holds", "") if c.holds else ("certificate", "does not hold", "")]
    per_parameter = c.measurements / max(c.degrees_of_freedom, 1)
    rows.append(("measurements", f"{c.measurements}", f"{per_parameter:.1f} per free parameter"))
    rows.append(("residual", f"{c.relative_residual:.1e}", "what the answer leaves unexplained"))
    if c.held_out_error is not None:
        rows.append(("held-out error", f"{c.held_out_error:.1e}", "where nothing was fitted"))
    rows.append(("estimated error", f"{c.error_estimate:.1e}", "of the matrix, relative"))
    rows.append(("gap to noise", f"{c.noise_gap:.2f}", "up to about 1: nothing left to be found"))
    rows.append(("identifiability", f"{c.identifiability:.1e}", "0: other matrices fit as well"))
    rows.append(("condition", f"{c.condition_number:.1e}", "largest to least singular value"))
    return rows

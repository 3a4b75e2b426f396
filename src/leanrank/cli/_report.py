"""What a run came to, in words and numbers, for a terminal."""

from __future__ import annotations

import math

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from leanrank.evidence import Certificate
from leanrank.policy import EvidencePolicy
from leanrank.results import Result, Status

__all__ = ["say", "show_demo", "show_fit", "show_result"]

Rows = dict[str, tuple[str, str]]

_COLOURS = {Status.CONVERGED: "green", Status.APPROXIMATE: "green", Status.STOPPED: "yellow"}


def say(console: Console, text: str) -> None:
    """A line of prose, taken literally, and folded on a terminal only."""
    console.print(Text(text), soft_wrap=not console.is_terminal)


def show_result(console: Console, result: Result, rows: Rows, *, strict: bool = False) -> None:
    """Status and message, then numbers with what they mean.

    Parameters
    ----------
    console : rich.console.Console
    result : Result
    rows : dict
        Further numbers to put first: value and meaning by name.
    strict : bool
        Whether predictions are not enough, so that what speaks against the matrix as a whole is
        said of an APPROXIMATE answer, too.
    """
    colour = _COLOURS.get(result.status, "red")
    headline = Text.assemble((result.status.name, f"bold {colour}"))
    headline.append(f"  {result.status.meaning}")
    table = _table()
    n1, n2 = result.factors.shape
    table.add_row("rank", str(result.rank), f"of a {n1} x {n2} matrix")
    for name, (value, meaning) in rows.items():
        table.add_row(name, value, meaning)
    if result.certificate is not None:
        for row in _certificate_rows(result.certificate):
            table.add_row(*row)
    if result.history.passes:
        table.add_row("passes", f"{result.history.passes:.0f}", "sweeps over the measurements")
    parts: list[RenderableType] = [
        headline,
        Padding(_sentences(result, strict), (0, 0, 1, 2)),
        Padding(table, (0, 0, 0, 2)),
    ]
    console.print(Group(*parts))


def show_fit(console: Console, status: Status, message: str, rows: Rows) -> None:
    """What a fit of many entries came to: status and message, then numbers."""
    headline = Text(status.name, style=f"bold {_COLOURS.get(status, 'red')}")
    table = _table()
    for name, (value, meaning) in rows.items():
        table.add_row(name, value, meaning)
    words = Text(message[:1].upper() + message[1:])
    console.print(Group(headline, Padding(words, (0, 0, 1, 2)), Padding(table, (0, 0, 0, 2))))


def show_demo(
    console: Console, result: Result, psnr: float, psnr_of_mean: float, *, seconds: float
) -> None:
    """What became of the photograph, in sentences first.

    Parameters
    ----------
    console : rich.console.Console
    result : Result
        Of the matrix of patches.
    psnr, psnr_of_mean : float
        On the missing pixels, in dB: of what came back, and of the mean colour.
    seconds : float
    """
    c = result.certificate
    table = _table()
    n1, n2 = result.factors.shape
    table.add_row("rank", str(result.rank), f"of a {n1} x {n2} matrix, found from the pixels seen")
    meaning = f"on pixels that were not seen, the more the better (mean colour: {psnr_of_mean:.1f})"
    table.add_row("PSNR", f"{psnr:.1f} dB", meaning)
    if c is not None and c.held_out_error is not None:
        table.add_row("held-out error", f"{c.held_out_error:.0%}", "of the spread of colours")
    if c is not None:
        table.add_row("residual", f"{c.relative_residual:.0%}", "left unexplained where it was fit")
        table.add_row("gap to noise", f"{c.noise_gap:.2f}", "up to about 1: nothing left to find")
    table.add_row("time", f"{seconds:.1f} s", f"{result.history.passes:.0f} sweeps over the pixels")
    done = result.status is not Status.STOPPED
    headline = Text("The photograph is back." if done else "Stopped early.", style="bold")
    words = Padding(Text(_verdict(result, psnr - psnr_of_mean), overflow="fold"), (1, 0, 0, 2))
    console.print(Group(headline, Padding(table, (0, 0, 0, 2)), words))


def _verdict(result: Result, gained: float) -> str:
    """What was achieved, and what it is: ``gained`` decibels over the mean colour."""
    c = result.certificate
    if c is None:
        return "The picture shows the best factors so far; they are not certified."
    text = (
        f"Pixels that nobody saw are missed {10 ** (gained / 20):.1f} times less than by the mean "
        f"colour, by a matrix of rank {result.rank}, which nobody told."
    )
    if c.holds:
        return f"{text} What is left unexplained looks like noise, and the certificate holds."
    return (
        f"{text} That is an approximation, and leanrank says so ({result.status.name}, no "
        "certificate; --json has the reasons): of a photograph the finest detail is lost. A matrix "
        "that is exactly of low rank comes back to rounding error, and is certified."
    )


def _table() -> Table:
    """Name, value and meaning."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(style="dim")
    return table


def _sentences(result: Result, strict: bool) -> Text:
    certificate = result.certificate
    lines = [result.message]
    if certificate is not None and certificate.reasons:
        lines = list(certificate.reasons)
        if certificate.prediction is not None:
            limits = EvidencePolicy() if result.policy is None else result.policy.evidence
            of_unseen = certificate.prediction.reasons(limits)
            lines = [f"- {line}" for line in lines]
            about = "the matrix as a whole is not pinned down:"
            if result.status is Status.APPROXIMATE and not strict:
                about, lines = f"{about[:-1]}; --json, --summary and --report say why", []
            lines = [str(certificate.prediction), *of_unseen, about, *lines]
    if certificate is not None:
        lines += [f"Note: {note}" for note in certificate.notes]
    return Text("\n".join(line[:1].upper() + line[1:] for line in lines))


def _bounded(error: float) -> str:
    return f"{error:.1e}" if math.isfinite(error) else "unbounded"


def _certificate_rows(c: Certificate) -> list[tuple[str, str, str]]:
    """The certificate's numbers that help to judge an answer, and what each of them says."""
    verdict = "holds" if c.holds else "does not hold"
    rows = [("certificate", verdict, "of the matrix as a whole")]
    per_parameter = ""
    if c.rank:
        per_parameter = f"{c.measurements / c.degrees_of_freedom:.1f} per free parameter"
    rows.append(("measurements", f"{c.measurements}", per_parameter))
    rows.append(("residual", f"{c.relative_residual:.1e}", "what the answer leaves unexplained"))
    if c.held_out_error is not None:
        rows.append(("held-out error", f"{c.held_out_error:.1e}", "where nothing was fitted"))
    if c.rank:
        rows.append(("estimated error", _bounded(c.error_estimate), "of the matrix, relative"))
    if c.filled_error is not None:
        rows.append(
            ("filled-in error", _bounded(c.filled_error), "estimated, where nothing was seen")
        )
    rows.append(("gap to noise", f"{c.noise_gap:.2f}", "up to about 1: nothing left to be found"))
    if not c.rank:
        return rows
    rows.append(("identifiability", f"{c.identifiability:.1e}", "0: other matrices fit as well"))
    rows.append(("condition", f"{c.condition_number:.1e}", "largest to least singular value"))
    return rows

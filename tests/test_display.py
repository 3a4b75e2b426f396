"""What objects look like: short in one line, escaped in HTML, nothing forgotten."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields, make_dataclass, replace
from html.parser import HTMLParser

import numpy as np
import pytest

import leanrank as lr
from leanrank import _display


class Cells(HTMLParser):
    """Names and values of the rows of all tables, list items, and whether tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.texts.setdefault(tag, [])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts[self.open[-1]].append(data)

    @property
    def rows(self) -> dict[str, str]:
        return dict(zip(self.texts["th"], self.texts["td"], strict=True))


@pytest.fixture(scope="module")
def instance():
    return lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)


@pytest.fixture(scope="module")
def result(instance):
    return lr.recover(instance.op, instance.y)


def test_one_line():
    assert (
        _display.one_line("A", "x", b=1 / 3, c=(1, 2), d=math.inf)
        == "A(x, b=0.333, c=(1, 2), d=inf)"
    )


def test_html_is_escaped():
    html = _display.html_table(
        "<b>", {"<i>": "&<script>"}, verdict="<u>", good=False, remarks=["a < b"]
    )
    cells = Cells(html)
    assert cells.rows == {"<i>": "&<script>"}
    assert (cells.texts["strong"], cells.texts["span"], cells.texts["li"]) == (
        ["<b>"],
        ["<u>"],
        ["a < b"],
    )
    assert set(cells.texts) == {"div", "strong", "span", "table", "tr", "th", "td", "ul", "li"}


def test_a_certificate_in_one_line_and_at_length(result):
    certificate = result.certificate
    line = repr(certificate)
    assert line.startswith("Certificate(holds=True, rank=2, ")
    assert f"error_estimate={certificate.error_estimate:.3g}" in line
    assert len(line) < 120
    assert "\n" not in line
    assert len(str(certificate).splitlines()) > 5
    assert "held_out_error" not in repr(replace(certificate, held_out_error=None))
    assert "held_out_error=0.25" in repr(replace(certificate, held_out_error=0.25))


def test_a_certificate_in_html_shows_every_number_and_reason(result):
    certificate = replace(
        result.certificate, holds=False, reasons=("a < b", "c"), notes=("d",), held_out_error=None
    )
    cells = Cells(certificate._repr_html_())
    words = {"holds", "reasons", "notes"}
    numbers = {f.name.replace("_", " ") for f in fields(certificate) if f.name not in words}
    assert set(cells.rows) == numbers
    assert cells.rows["identifiability"] == f"{certificate.identifiability:.3g}"
    assert cells.rows["held out error"] == "None"
    assert cells.texts["span"] == ["does not hold"]
    colours = [re.search("color:(#[0-9a-f]+)", c._repr_html_())[1] for c in (result, certificate)]
    assert len(set(colours)) == 2
    assert cells.texts["li"] == ["a < b", "c", "note: d"]


def test_a_new_field_of_the_certificate_shows_itself(result):
    new, bases = [("other_error", float, 0.125)], (lr.Certificate,)
    more = make_dataclass("More", new, bases=bases, frozen=True, repr=False)
    certificate = more(**vars(result.certificate))
    assert "other_error=0.125" in repr(certificate)
    assert Cells(certificate._repr_html_()).rows["other error"] == "0.125"


def test_a_result(result):
    assert repr(result) == (
        "Result(rank=2, status=CONVERGED, Factors(U V^T, shape=(30, 20), width=2))"
    )
    cells = Cells(result._repr_html_())
    assert cells.rows["matrix"] == "30 x 20, rank 2"
    assert cells.rows["message"] == result.message
    assert cells.texts["strong"] == ["Result", "Certificate"]
    assert cells.texts["span"] == ["CONVERGED", "holds"]
    bare = replace(result, certificate=None, status=lr.Status.STOPPED, message="<stopped>")
    cells = Cells(bare._repr_html_())
    assert (cells.rows["message"], cells.texts["span"]) == ("<stopped>", ["STOPPED"])
    assert repr(result.history).startswith(f"History(records={result.n_iter}, passes=")


@pytest.mark.parametrize(
    ("op", "measurements", "matrix"),
    [
        (lr.operators.ObservedEntries([0, 1], [1, 2], (2, 4)), "2, 0.25 for each entry", "2 x 4"),
        (
            lr.operators.DenseSensing(np.ones((2, 2, 2)), symmetric=True),
            "2, 0.5 for each entry",
            "2 x 2, symmetric part",
        ),
        (lr.operators.FullObservation((3, 2)), "6, 1 for each entry", "3 x 2"),
        (
            lr.operators.RankOneSensing(np.ones((3, 2)), np.ones((3, 5))),
            "3, 0.3 for each entry",
            "2 x 5",
        ),
    ],
)
def test_operators(op, measurements, matrix):
    cells = Cells(op._repr_html_())
    assert cells.texts["strong"] == [type(op).__name__]
    assert (cells.rows["measurements"], cells.rows["matrix"]) == (measurements, matrix)
    assert cells.rows["arrays"] == "numpy, float64"
    assert repr(op) == f"{type(op).__name__}(shape={op.shape}, size={op.size})"


def test_an_operator_of_another_library(convert):
    op = lr.operators.DenseSensing(convert(np.ones((2, 3, 4), np.float32)))
    shown = Cells(op._repr_html_()).rows["arrays"]
    assert "float32" in shown
    assert not shown.startswith("numpy")


def test_numbers_of_a_record_leave_out_flags_and_words():
    @dataclass
    class Record:
        yes: bool = True
        word: str = "x"
        count: int = 3
        size: float | None = None

    assert _display.values_of(Record()) == {"count": 3, "size": None}


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0.0%"), (1e-3, "0.1%"), (0.5012, "50.1%"), (2, "200.0%"), (4.2e-4, "0.04%")],
)
def test_shares(share, said):
    assert _display.percent(share) == said


def test_no_share_is_said_to_be_nothing():
    for exponent in range(16):
        said = _display.percent(0.96 * 10.0**-exponent)
        assert float(said.removesuffix("%")) == pytest.approx(96 * 10.0**-exponent, rel=0.05)

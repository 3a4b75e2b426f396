"""Pages about fits."""

from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

import leanrank as lr
from leanrank.io import FileError
from leanrank.reporting import page, save_report
from leanrank.results import Status


class Seen(HTMLParser):
    """What a browser would make of a page."""

    VOID = ("meta", "br", "img", "link", "hr")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [x for name, x in attrs if name in ("src", "href", "xlink:href") and x]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [x for name, x in attrs if name in ("src", "href", "xlink:href") and x]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def result():
    inst = lr.simulate.matrix_completion((40, 30), 2, oversampling=4, noise=0.1, random_state=0)
    return lr.recover(inst.op, inst.y)


def test_a_page_needs_nothing_but_itself(result, tmp_path):
    path = tmp_path / "report.html"
    save_report(path, result, title="Sales", numbers={"held_out_error": 0.25})
    seen = Seen(path.read_text(encoding="utf-8"))
    assert not seen.open
    assert "script" not in seen.tags
    assert seen.tags.count("svg") == 1
    assert all(link.startswith(("#", "data:")) for link in seen.links)
    words = " ".join(seen.words)
    certificate = result.certificate
    for text in ("Sales", result.status.name, result.status.meaning, "held out error", "0.25"):
        assert text in words
    for line in (*certificate.reasons, *certificate.notes):
        assert line in words


def test_everything_is_escaped_but_pictures():
    hostile = '<script>alert("x")</script>'
    text = page(hostile, Status.STALLED, hostile, {hostile: hostile}, figures={hostile: Figure()})
    seen = Seen(text)
    assert "script" not in seen.tags
    assert sum(hostile in word for word in seen.words) >= 5


def test_the_same_fit_gives_the_same_page(result, tmp_path):
    paths = [tmp_path / name for name in ("a.html", "b.html")]
    for path in paths:
        save_report(path, result)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_result_without_a_history_shows_its_singular_values(result, tmp_path):
    lr.io.save_result(tmp_path / "r.npz", result)
    loaded = lr.io.load_result(tmp_path / "r.npz")
    save_report(tmp_path / "r.html", loaded)
    assert "Singular values" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_what_cannot_be_written_leaves_nothing_behind(result, tmp_path):
    with pytest.raises(FileError, match="nowhere"):
        save_report(tmp_path / "nowhere" / "r.html", result)

    class Broken(Figure):
        def savefig(self, *args, **kwargs):
            raise RuntimeError("no ink")

    (tmp_path / "r.html").write_text("before")
    with pytest.raises(RuntimeError, match="no ink"):
        save_report(tmp_path / "r.html", result, figures={"broken": Broken()})
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
    assert (tmp_path / "r.html").read_text() == "before"


@pytest.mark.parametrize("status", list(Status))
def test_every_status_says_what_it_means(status):
    assert status.meaning in page("t", status, "m", {"n": np.float64(1.0)})

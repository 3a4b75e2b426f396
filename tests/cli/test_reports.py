"""Pages that commands write about what they found."""

import numpy as np
import pytest
from typer.testing import CliRunner

from leanrank import simulate
from leanrank.cli import app


@pytest.fixture
def table(tmp_path, rng):
    X = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 5)) * 10.0 ** np.arange(5)
    X[rng.random(X.shape) < 0.2] = np.nan
    path = tmp_path / "table.csv"
    lines = [",".join("" if np.isnan(x) else f"{x:.6g}" for x in row) for row in X]
    path.write_text("\n".join(["a,b,c,d,<e>", *lines, ""]))
    return path


def test_complete_names_the_surest_cells(table, tmp_path, run):
    page = tmp_path / "page.html"
    run("complete", table, "--out", tmp_path / "out.csv", "--report", page, "--quiet")
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 3
    for words in ("table.csv", "Seen, and completed", "95% intervals", "standard deviations from"):
        assert words in text
    assert "<e>" not in text


def test_fit_says_what_explains_a_rating(tmp_path, rng):
    i, j = rng.integers(40, size=1500), rng.integers(30, size=1500)
    y = 3 + rng.standard_normal(40)[i] + 0.1 * rng.standard_normal(1500)
    path, page, picture = (tmp_path / name for name in ("r.csv", "page.html", "p.png"))
    lines = (f"u{a},{b},{c:.3f}" for a, b, c in zip(i, j, y, strict=True))
    path.write_text("\n".join(["user,item,rating", *lines, ""]))
    command = ("fit", path, "--out", tmp_path / "m.npz", "--report", page, "--plot", picture)
    CliRunner().invoke(app, [str(x) for x in command])
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 2
    assert "What users, items and factors explain" in text
    assert "held-out error" in text
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_recover_shows_the_run(tmp_path, run):
    inst = simulate.matrix_completion((20, 15), 1, oversampling=4, random_state=0)
    path, page = tmp_path / "problem.npz", tmp_path / "page.html"
    np.savez(path, rows=inst.op.rows, cols=inst.op.cols, y=inst.y, shape=inst.op.shape)
    run("recover", path, "--report", page, "--quiet")
    assert "CONVERGED" in page.read_text(encoding="utf-8")


def test_a_page_is_named_html(table, tmp_path, run):
    outcome = run("complete", table, "--report", tmp_path / "page.txt", code=2)
    assert "expected a name that ends in .html" in outcome.output

"""Interrupted commands: what was killed goes on from its checkpoint to the same answer."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from leanrank import simulate
from leanrank.cli import app
from leanrank.io import load_checkpoint, load_factors


@pytest.fixture
def table(tmp_path: Path) -> Path:
    inst = simulate.matrix_completion((40, 30), 2, oversampling=3, noise=0.2, random_state=0)
    path = tmp_path / "table.npz"
    np.savez(path, rows=inst.op.rows, cols=inst.op.cols, y=inst.y, shape=np.array(inst.op.shape))
    return path


def complete(table: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["complete", str(table), "--quiet", *options])
    return result.exit_code, result.output


def test_a_killed_run_goes_on_to_the_same_answer(table, tmp_path):
    whole, again, saved = (str(tmp_path / f"{name}.npz") for name in ("whole", "again", "saved"))
    code, _ = complete(table, "--factors", whole)
    command = [sys.executable, "-m", "leanrank.cli", "complete", str(table), "--quiet"]
    run = subprocess.Popen([*command, "--checkpoint", saved, "--checkpoint-every", "0"])
    while run.poll() is None and not Path(saved).exists():
        time.sleep(0.01)
    run.kill()
    run.wait()
    assert complete(table, "--resume", saved, "--factors", again)[0] == code
    one, other = load_factors(whole), load_factors(again)
    assert one.distance(other) <= 1e-10 * one.norm()
    # At its end the run is on disk, whole.
    assert load_checkpoint(saved).factors.distance(one) <= 1e-10 * one.norm()


def test_a_checkpoint_of_another_run_is_refused(table, tmp_path):
    saved = str(tmp_path / "saved.npz")
    complete(table, "--checkpoint", saved, "--rank", "2")
    for options in (("--seed", "1"), ("--rank", "1"), ()):
        code, output = complete(table, "--resume", saved, *options)
        assert code == 2
        assert "saved.npz: is the checkpoint of another run" in output
    assert complete(table, "--resume", saved, "--rank", "2")[0] in (0, 1)


def test_files_that_cannot_be_a_checkpoint(table, tmp_path):
    missing, text = tmp_path / "none.npz", tmp_path / "text.npz"
    text.write_text("no archive")
    for options, words in (
        (("--resume", str(missing)), "none.npz"),
        (("--resume", str(text)), "text.npz"),
        (("--resume", str(table)), "is the input, which is never overwritten"),
        (("--checkpoint", str(tmp_path / "c.txt")), "expected a name that ends in .npz"),
        (("--checkpoint", str(tmp_path / "no" / "c.npz")), "no folder"),
    ):
        code, output = complete(table, *options)
        assert (code, words in output) == (2, True), output

from __future__ import annotations

import io as text_io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

import leanrank as lr
from leanrank.callbacks import Checkpoint, Deadline, Progress
from leanrank.factors import Factors
from leanrank.io import FileError, load_factors
from leanrank.problem import Problem
from leanrank.solvers import GaussNewton, iterate, solve


@pytest.fixture
def inst():
    return lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)


@pytest.fixture
def states(inst):
    """Ten states of a solver, of decreasing loss."""
    rng = np.random.default_rng(0)
    start = Factors(rng.standard_normal((30, 2)), rng.standard_normal((20, 2)))
    run = iterate(GaussNewton(), Problem(inst.op, inst.y), start)
    return [next(run) for _ in range(4)]


class TestDeadline:
    def test_stops_when_time_is_over(self, states, monkeypatch):
        now = [100.0]
        monkeypatch.setattr("time.monotonic", lambda: now[0])
        deadline = Deadline(5.0)
        assert not deadline(states[0])
        now[0] = 104.9
        assert not deadline(states[0])
        now[0] = 105.0
        assert deadline(states[0])

    def test_run_is_stopped_with_factors(self, inst):
        result = lr.recover(inst.op, inst.y, callbacks=[Deadline(1e-9)])
        assert result.status is lr.Status.STOPPED
        assert result.rank >= 1

    @pytest.mark.parametrize("seconds", [0, -1, np.nan, np.inf])
    def test_refuses(self, seconds):
        with pytest.raises(ValueError, match="seconds must be"):
            Deadline(seconds)


class TestCheckpoint:
    def test_best_factors_of_a_solver_are_on_disk(self, tmp_path, inst, states):
        path = tmp_path / "c.npz"
        result = solve(
            GaussNewton(),
            Problem(inst.op, inst.y),
            states[0].factors,
            callbacks=[Checkpoint(path, every=0)],
        )
        assert np.array_equal(load_factors(path).W, result.factors.W)

    def test_writes_every_so_often_and_keeps_the_best(self, tmp_path, states, monkeypatch):
        now = [0.0]
        monkeypatch.setattr("time.monotonic", lambda: now[0])
        path = tmp_path / "c.npz"
        checkpoint = Checkpoint(path, every=10)
        first, best, worse = states[1], states[3], states[0]
        assert best.point.loss < first.point.loss < worse.point.loss
        checkpoint(first)
        now[0] = 5.0
        checkpoint(best)
        assert np.array_equal(load_factors(path).W, first.factors.W)
        now[0] = 10.0
        checkpoint(worse)
        assert np.array_equal(load_factors(path).W, best.factors.W)
        assert list(tmp_path.iterdir()) == [path]

    def test_validation_is_passed_over_and_refit_counts_most(self, tmp_path, states):
        path = tmp_path / "c.npz"
        checkpoint = Checkpoint(path, every=0)
        worst, middle, best = states[0], states[1], states[3]
        checkpoint(worst)
        checkpoint(replace(best, phase="validate"))
        assert np.array_equal(load_factors(path).W, worst.factors.W)
        checkpoint(replace(best, phase="grow"))
        checkpoint(replace(middle, phase="refit"))
        checkpoint(replace(best, phase="grow"))
        assert np.array_equal(load_factors(path).W, middle.factors.W)

    def test_factors_of_recover_are_in_the_units_of_y(self, tmp_path, inst):
        path = tmp_path / "c.npz"
        checkpoint = Checkpoint(path, every=0)
        result = lr.recover(inst.op, 1e6 * inst.y, callbacks=[checkpoint])
        assert load_factors(path).distance(result.factors) <= 1e-6 * result.factors.norm()

    def test_refuses_before_the_run(self, tmp_path):
        with pytest.raises(FileError, match="no folder"):
            Checkpoint(tmp_path / "no" / "c.npz")
        with pytest.raises(ValueError, match="every"):
            Checkpoint(tmp_path / "c.npz", every=-1)


class TestProgress:
    def test_line_says_phase_width_residual_passes(self, states):
        progress = Progress(zero_loss=4.0 * states[0].point.loss)
        text = progress.line(states[0]).plain
        assert "solve" in text
        assert "width 2" in text
        assert "residual 5.0e-01" in text
        assert f"passes {states[0].passes:.0f}" in text

    def test_largest_loss_stands_for_that_of_the_zero_matrix(self, states):
        progress = Progress(console=Console(file=text_io.StringIO()))
        for state in states:
            progress(state)
        expected = np.sqrt(states[-1].point.loss / states[0].point.loss)
        assert f"residual {expected:.1e}" in progress.line(states[-1]).plain

    def test_silent_in_a_pipe(self, states):
        file = text_io.StringIO()
        with Progress(console=Console(file=file)) as progress:
            progress(states[0])
        assert file.getvalue() == ""

    def test_drawn_on_a_terminal_and_taken_off(self, states):
        file = text_io.StringIO()
        console = Console(file=file, force_terminal=True, width=100)
        with Progress(console=console) as progress:
            progress(states[0])
        assert "width 2" in file.getvalue()
        # Show the cursor again: the terminal is as it was.
        assert file.getvalue().rstrip().endswith("\x1b[2K") or "\x1b[?25h" in file.getvalue()

    def test_never_stops_a_run(self, states):
        assert not Progress(console=Console(file=text_io.StringIO()))(states[0])

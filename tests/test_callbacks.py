from __future__ import annotations

import io as text_io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from sklearn.datasets import load_wine

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

    def test_writes_every_so_often(self, tmp_path, states, monkeypatch):
        now = [0.0]
        monkeypatch.setattr("time.monotonic", lambda: now[0])
        path = tmp_path / "c.npz"
        checkpoint = Checkpoint(path, every=10)
        for time, state, on_disk in ((0.0, 1, 1), (5.0, 3, 1), (10.0, 0, 0)):
            now[0] = time
            checkpoint(states[state])
            assert np.array_equal(load_factors(path).W, states[on_disk].factors.W)
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("count", [1, 7, 20, 33])
    def test_holds_what_a_stopped_run_returns(self, tmp_path, count):
        inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, noise=0.1, random_state=0)
        states = []

        def stop(state):
            states.append(state)
            if len(states) == count:
                found.append(load_factors(path))
            return len(states) == count

        path, found = tmp_path / "c.npz", []
        result = lr.recover(inst.op, inst.y, callbacks=[Checkpoint(path, every=0), stop])
        assert result.status is lr.Status.STOPPED
        np.testing.assert_array_equal(found[0].W, result.factors.W)
        np.testing.assert_array_equal(load_factors(path).W, result.factors.W)

    def test_the_end_is_written_whenever_the_next_write_is_due(self, tmp_path, inst):
        path = tmp_path / "c.npz"
        result = lr.recover(inst.op, inst.y, callbacks=[Checkpoint(path, every=1e6)])
        assert result.success
        np.testing.assert_array_equal(load_factors(path).W, result.factors.W)

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

    def test_plain_lines_in_a_pipe_now_and_then(self, states, monkeypatch):
        now, file = [100.0], text_io.StringIO()
        monkeypatch.setattr("time.monotonic", lambda: now[0])
        with Progress(console=Console(file=file), every=10, time_limit=60) as progress:
            for now[0] in (101.0, 111.0, 119.0, 122.0):
                progress(states[0])
        lines = file.getvalue().splitlines()
        assert [line.rpartition(" passes ")[2].split()[1] for line in lines] == ["11", "22"]
        assert lines[1].endswith("22 s, at most 38 s left")
        assert "\x1b" not in file.getvalue()

    def test_what_is_left_by_the_share_that_is_done(self, states, monkeypatch):
        now = [100.0]
        monkeypatch.setattr("time.monotonic", lambda: now[0])
        progress = Progress(console=Console(file=text_io.StringIO()), time_limit=60)
        now[0] = 120.0
        line = progress.line(replace(states[0], share=0.25)).plain
        assert line.endswith("20 s, about 60 s left")
        assert progress.line(replace(states[0], share=0.01)).plain.endswith("at most 40 s left")

    def test_held_out_error_is_shown_once_there_is_one(self, states):
        progress = Progress()
        assert "held-out" not in progress.line(states[0]).plain
        told = replace(states[0], held_out_error=0.25)
        assert "held-out error 2.5e-01" in progress.line(told).plain

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


class TestHeldOutErrors:
    def test_sweeps_with_priors_tell_theirs(self):
        inst = lr.simulate.matrix_completion((40, 30), 2, oversampling=4, noise=0.2, random_state=0)
        states = []
        result = lr.recover(inst.op, inst.y, callbacks=[states.append])
        told = [s.held_out_error for s in states if s.phase == "posterior"]
        assert told[-1] == pytest.approx(result.certificate.held_out_error, rel=0.1)
        assert any(e != told[-1] for e in told if e is not None)

    def test_tables_tell_theirs_from_the_first_round_on(self):
        full = load_wine().data
        X = np.where(np.random.default_rng(0).random(full.shape) < 0.2, np.nan, full)
        states = []
        imputer = lr.LowRankImputer(callbacks=[states.append]).fit(X)
        told = [s.held_out_error for s in states if s.phase == "posterior"]
        assert told[0] is None
        assert told[-1] == pytest.approx(imputer.held_out_error_, rel=0.2)
        shares = [s.share for s in states if s.share is not None]
        assert 0.1 < shares[0] < 0.5
        assert shares[-1] > 0.9
        assert len(shares) > len(states) / 2


def test_a_state_is_shown_in_a_line(states):
    assert repr(states[1]).startswith("State(phase='solve', iteration=1, passes=")
    assert "held_out" not in repr(states[1])
    assert "held_out_error=0.5" in repr(replace(states[1], held_out_error=0.5))

"""Saved runs: one that goes on from where another was cut ends where that one would have ended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import leanrank as lr
from leanrank import Factors, Status, recover, simulate
from leanrank.callbacks import Checkpoint
from leanrank.io import FileError, load_checkpoint, load_factors
from leanrank.research.deep import RidgeLadder
from leanrank.search import FinishedFits, SavedRun

PROBLEMS = {
    "exact": (lambda: simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0), {}),
    "noisy": (
        lambda: simulate.matrix_completion((30, 20), 2, oversampling=3, noise=0.3, random_state=0),
        {},
    ),
    "few": (
        lambda: simulate.rank_one_sensing(20, 2, m=80, symmetric=True, noise=0.1, random_state=1),
        {"symmetric": True},
    ),
    "rank": (
        lambda: simulate.dense_sensing((12, 9), 2, m=180, noise=0.1, random_state=0),
        {"rank": 2},
    ),
    "penalty": (
        lambda: simulate.dense_sensing((12, 9), 2, m=180, random_state=0),
        {"penalty": lr.GroupLasso(0.02, 0.01), "width": 5},
    ),
    "ladder": (
        lambda: simulate.matrix_completion(20, 2, oversampling=4, random_state=0),
        {"strategy": RidgeLadder(epochs=5)},
    ),
    "warm": (
        lambda: simulate.matrix_completion((30, 20), 2, oversampling=3, noise=0.3, random_state=0),
        {"start": Factors(np.ones((30, 3)) + np.eye(30, 3), np.ones((20, 3)) - np.eye(20, 3))},
    ),
}


class Cut:
    """Stops a run after some states, and keeps it."""

    def __init__(self, count: int) -> None:
        self.left = count

    def begin(self, saved) -> None:
        self.saved = saved

    def __call__(self, state) -> bool:
        self.left -= 1
        return self.left <= 0

    def end(self, result) -> None:
        self.run = self.saved()


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_same_answer_wherever_it_was_cut(name):
    make, options = PROBLEMS[name]
    inst = make()
    whole = recover(inst.op, inst.y, **options)
    total = len(whole.history)
    for count in np.random.default_rng(0).integers(1, total, size=5):
        cut = Cut(count)
        stopped = recover(inst.op, inst.y, callbacks=[cut], **options)
        assert stopped.status is Status.STOPPED
        np.testing.assert_array_equal(cut.run.factors.W, stopped.factors.W)
        resumed = recover(inst.op, inst.y, **(options | {"start": cut.run}))
        assert resumed.status is whole.status
        assert resumed.rank == whole.rank
        distance = resumed.factors.distance(whole.factors)
        assert distance <= 1e-10 * whole.factors.norm()
        assert len(resumed.history) <= total


def test_it_may_be_cut_again_and_again():
    inst = PROBLEMS["noisy"][0]()
    whole, start = recover(inst.op, inst.y), None
    for run in range(1, 10):
        cut = Cut(20 * run)
        result = recover(inst.op, inst.y, callbacks=[cut], start=start)
        if result.status is not Status.STOPPED:
            break
        start = cut.run
    assert 2 < run < 9
    assert result.factors.distance(whole.factors) <= 1e-10 * whole.factors.norm()


def test_what_is_finished_is_not_computed_again(tmp_path):
    inst, path = PROBLEMS["noisy"][0](), tmp_path / "so-far.npz"
    whole = recover(inst.op, inst.y, callbacks=[Checkpoint(path)])
    fits = len(load_checkpoint(path).fits)
    again = recover(inst.op, inst.y, start=load_checkpoint(path))
    again, whole = (
        [line for line in each.history if line.phase != "posterior"] for each in (again, whole)
    )
    assert len(again) <= fits < 0.5 * len(whole)


@pytest.mark.parametrize(
    "change",
    [
        {"rank": 2},
        {"random_state": 1},
        {"max_iter": 100},
        {"validation": 0.1},
        {"width": 3},
        {"policy": lr.Policy(patience=3)},
        {"solver": lr.solvers.LBFGS()},
    ],
)
def test_a_run_with_other_settings_does_not_go_on(change, tmp_path):
    inst, path = PROBLEMS["exact"][0](), tmp_path / "so-far.npz"
    recover(inst.op, inst.y, callbacks=[Checkpoint(path), Cut(5)])
    saved = load_checkpoint(path)
    with pytest.raises(ValueError, match="checkpoint of another run"):
        recover(inst.op, inst.y, start=saved, **change)
    with pytest.raises(ValueError, match="checkpoint of another run"):
        recover(inst.op, inst.y * 1.001, start=saved)
    assert recover(inst.op, inst.y, start=saved.factors, **change).rank == 2


def test_a_warm_start_takes_fewer_steps_and_finds_the_same():
    inst = simulate.matrix_completion((60, 50), 3, oversampling=3, random_state=0)
    cold = recover(inst.op, inst.y)
    some = inst.op.subset(np.arange(0, inst.op.size, 8))
    more = np.setdiff1d(np.arange(inst.op.size), np.arange(0, inst.op.size, 8))
    first = recover(inst.op.subset(more), inst.y[more])
    warm = recover(inst.op, inst.y, start=first.factors)
    assert some.size + more.size == inst.op.size
    assert warm.status is Status.CONVERGED
    assert inst.error(warm.factors) < 1e-9
    assert warm.history.passes < 0.5 * cold.history.passes


@pytest.mark.parametrize("width", [1, 5])
def test_a_start_of_the_wrong_width_does_not_decide_the_rank(width, rng):
    inst = simulate.dense_sensing((12, 9), 2, m=180, noise=0.1, random_state=0)
    start = Factors(rng.standard_normal((12, width)), rng.standard_normal((9, width)))
    cold, warm = recover(inst.op, inst.y), recover(inst.op, inst.y, start=start)
    assert (warm.rank, warm.status) == (2, Status.CONVERGED)
    assert inst.error(warm.factors) < 1.05 * inst.error(cold.factors)


def test_files_that_are_no_checkpoint(tmp_path):
    inst, path = PROBLEMS["exact"][0](), tmp_path / "c.npz"
    recover(inst.op, inst.y, callbacks=[Checkpoint(path, every=0), Cut(20)])
    arrays = dict(np.load(path))
    assert load_factors(path).shape == (30, 20)
    names = [name for name in arrays if name.startswith("fit: ")]
    assert len(names) > 1
    damaged = {
        "no fingerprint": {k: v for k, v in arrays.items() if k != "fingerprint"},
        "a fit is missing": {k: v for k, v in arrays.items() if k != names[0]},
        "a fit of another shape": arrays | {names[0]: np.ones((3, 1))},
        "a fit of one dimension": arrays | {names[0]: np.ones(len(arrays[names[0]]))},
        "a fit of three": arrays | {names[0]: arrays[names[0]][:, :, None]},
        "a fit that is not finite": arrays | {names[0]: np.full_like(arrays[names[0]], np.inf)},
        "factors that are not finite": arrays | {"U": np.full_like(arrays["U"], np.nan)},
    }
    for content in damaged.values():
        np.savez(path, **content)
        with pytest.raises(FileError, match="is not a checkpoint"):
            load_checkpoint(path)


def test_a_start_survives_the_file():
    factors = Factors(np.ones((3, 1)), np.ones((2, 1)))
    start = Factors(2 * np.ones((3, 2)), np.ones((2, 2)))
    saved = SavedRun(factors, "x", (("grow", np.zeros((5, 0))), ("grow", np.ones((5, 1)))), start)
    again = SavedRun.from_arrays(saved.arrays())
    assert again.start is not None
    np.testing.assert_array_equal(again.start.W, start.W)
    assert [phase for phase, _ in again.fits] == ["grow", "grow"]
    assert SavedRun.from_arrays(replace(saved, start=None).arrays()).start is None


def test_fits_of_another_order_are_not_taken():
    finished = FinishedFits((("grow", np.ones((5, 1))),))
    factors = Factors(np.ones((3, 1)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="phase 'grow', this run's of 'refit'"):
        finished.known_result("refit", factors)

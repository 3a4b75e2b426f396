"""Searches that were interrupted: they come to what they would have come to."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Status
from leanrank._files import FileError
from leanrank.posterior import Entries
from leanrank.search import AnotherRunError, checkpoints
from leanrank.search.factorising import Factorisation, Progress, factorise

SHAPE = (300, 200)


@pytest.fixture(autouse=True)
def every_sweep(monkeypatch):
    monkeypatch.setattr(checkpoints, "_SHARE", 1e9)


@pytest.fixture(scope="module")
def entries() -> Entries:
    """Of rank 20: twelve columns are too few, and 24 too many."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((SHAPE[0], 20)) @ rng.standard_normal((20, SHAPE[1])) / 20**0.5
    X += rng.standard_normal(SHAPE[1])
    rows, cols = np.divmod(rng.choice(X.size, 40_000, replace=False), SHAPE[1])
    y = X[rows, cols] + 0.1 * rng.standard_normal(rows.size)
    return Entries.of(rows, cols, y, SHAPE, dtype=np.float32)


@pytest.fixture(scope="module")
def whole(entries) -> tuple[Factorisation, list[Progress]]:
    """A search that is left alone, and what it showed."""
    seen: list[Progress] = []
    found = factorise(entries, rng=np.random.default_rng(0), watch=seen.append)
    assert {p.width for p in seen} >= {12, 24}
    return found, seen


class Killed(BaseException):
    """Nothing is to be done about it."""


def interrupted_at(sweep: int, entries: Entries, path) -> None:
    def watch(progress: Progress) -> None:
        if progress.sweep == sweep:
            raise Killed

    with pytest.raises(Killed):
        factorise(entries, rng=np.random.default_rng(0), watch=watch, checkpoint=path)


def test_an_interrupted_search_goes_on_to_the_same_end(entries, whole, tmp_path):
    found, seen = whole
    path = tmp_path / "search.npz"
    for last in range(2, len(seen) + 1, 3):
        interrupted_at(last, entries, path)
        later: list[Progress] = []
        # Another seed: that of the checkpoint holds.
        again = factorise(
            entries, rng=np.random.default_rng(7), watch=later.append, checkpoint=path
        )
        assert later[0].sweep <= last
        assert later == seen[later[0].sweep - 1 :]
        np.testing.assert_array_equal(again.state.rows, found.state.rows)
        np.testing.assert_array_equal(again.column_variances, found.column_variances)
        np.testing.assert_array_equal(again.scores, found.scores)
        assert (again.status, again.message, again.sweeps) == (
            found.status, found.message, found.sweeps,
        )  # fmt: skip
        assert not path.exists()


def test_a_checkpoint_of_other_entries_or_settings_is_refused(entries, tmp_path):
    path, rng = tmp_path / "search.npz", np.random.default_rng(0)
    interrupted_at(2, entries, path)
    other = Entries(entries.indptr, entries.cols, 2 * entries.y, entries.weights, SHAPE)
    with pytest.raises(AnotherRunError):
        factorise(other, rng=rng, checkpoint=path)
    with pytest.raises(AnotherRunError):
        factorise(entries, width=30, rng=rng, checkpoint=path)
    np.savez(path, a=np.ones(3))
    with pytest.raises(FileError, match="search.npz: is no checkpoint; choose another name"):
        factorise(entries, rng=rng, checkpoint=path)
    path.write_bytes(b"no file of arrays")
    with pytest.raises(FileError, match="not a readable file of arrays"):
        factorise(entries, rng=rng, checkpoint=path)


def test_writing_takes_a_small_share_of_the_time(entries, tmp_path, monkeypatch):
    """One that was slow is followed by sweeps that are not kept."""
    monkeypatch.setattr(checkpoints, "_SHARE", 1e-9)
    made: list[str] = []
    monkeypatch.setattr(checkpoints, "write_arrays", lambda path, *_, **__: made.append(path))
    factorise(entries, rng=np.random.default_rng(0), checkpoint=tmp_path / "search.npz")
    assert len(made) == 1


def test_a_search_that_was_stopped_can_go_on(entries, whole, tmp_path):
    path = tmp_path / "search.npz"
    found = factorise(
        entries, rng=np.random.default_rng(0), watch=lambda p: p.sweep == 3, checkpoint=path
    )
    assert found.status is Status.STOPPED
    again = factorise(entries, rng=np.random.default_rng(0), checkpoint=path)
    np.testing.assert_array_equal(again.state.rows, whole[0].state.rows)
    assert not path.exists()

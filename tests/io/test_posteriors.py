"""Posteriors on disk: everything comes back, and whatever else a file holds is refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leanrank import Factors, Posterior, io, recover, simulate
from leanrank.io import FileError

ARRAYS = ("left", "right", "noise", "centres", "scores")


@pytest.fixture
def post(rng) -> Posterior:
    left, right, centres = (rng.standard_normal((4, n, 3)) for n in (6, 5, 6))
    left, right, centres = (x.astype(np.float32) for x in (left, right, centres))
    point = Factors(rng.standard_normal((6, 2)), rng.standard_normal((5, 2)))
    scores = np.sort(rng.exponential(size=9))
    return Posterior(point, left, right, rng.random(5), centres, (-1.0, 2.5), scores)


def assert_same(one: Posterior, other: Posterior) -> None:
    for name in ARRAYS:
        a, b = getattr(one, name), getattr(other, name)
        if a is None:
            assert b is None
        else:
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.factors.U, other.factors.U)
    np.testing.assert_array_equal(one.factors.V, other.factors.V)
    assert (one.bounds, one.method) == (other.bounds, other.method)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"centres": None},
        {"scores": None, "bounds": (-np.inf, np.inf)},
        {"method": "perturbation", "centres": None, "scores": None},
    ],
)
def test_everything_comes_back(tmp_path, post, change):
    post = replace(post, **change)
    io.save_posterior(tmp_path / "p.npz", post)
    back = io.load_posterior(tmp_path / "p.npz")
    assert_same(post, back)
    i, j = np.indices((6, 5))
    for reading in (False, True):
        np.testing.assert_array_equal(
            post.interval(i, j, 0.8, reading=reading), back.interval(i, j, 0.8, reading=reading)
        )


def test_nothing_in_a_file_asks_for_pickle(tmp_path, post):
    io.save_posterior(tmp_path / "p.npz", post)
    with np.load(tmp_path / "p.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "fUi" for name in arrays)


def test_a_result_brings_its_posterior_if_it_was_drawn(tmp_path):
    inst = simulate.matrix_completion((30, 20), 2, oversampling=4, noise=0.3, random_state=0)
    path = tmp_path / "r.npz"
    result = recover(inst.op, inst.y)
    io.save_result(path, result)
    with pytest.raises(ValueError, match="no posterior: it was stopped, loaded without one"):
        _ = io.load_result(path).posterior
    drawn = result.posterior
    io.save_result(path, result)
    back = io.load_result(path)
    assert_same(drawn, back.posterior)
    assert back.certificate == result.certificate
    assert back.certificate.prediction is not None
    # And from there to another file.
    io.save_result(tmp_path / "again.npz", back)
    assert_same(drawn, io.load_result(tmp_path / "again.npz").posterior)
    # A result's file is a posterior's, too; a posterior is no result.
    assert_same(drawn, io.load_posterior(path))
    io.save_posterior(tmp_path / "p.npz", drawn)
    with pytest.raises(FileError):
        io.load_result(tmp_path / "p.npz")


def written(path: Path, post: Posterior, change: Callable[[dict], None]) -> Path:
    """A file of a posterior whose arrays were changed."""
    io.save_posterior(path, post)
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(path, **arrays)
    return path


def put(name: str, value) -> Callable[[dict], None]:
    return lambda arrays: arrays.update({"posterior: " + name: np.asarray(value)})


CHANGES = {
    "no left": lambda arrays: arrays.pop("posterior: left"),
    "no method": lambda arrays: arrays.pop("posterior: method"),
    "flat draws": put("left", np.ones((6, 3))),
    "other draws": put("right", np.ones((3, 5, 3))),
    "other width": put("right", np.ones((4, 5, 2))),
    "other rows": put("left", np.ones((4, 7, 3))),
    "other noise": put("noise", np.ones(6)),
    "a number as noise": put("noise", 1.0),
    "words": put("left", np.full((4, 6, 3), "a")),
    "one bound": put("bounds", [1.0]),
    "no bounds": put("bounds", 1.0),
    "words as bounds": put("bounds", ["a", "b"]),
    "crossed bounds": put("bounds", [2.0, 1.0]),
    "bounds that are no numbers": put("bounds", [np.nan, 1.0]),
    "NaN": put("left", np.full((4, 6, 3), np.nan)),
    "negative noise": put("noise", np.full(5, -1.0)),
    "flat centres": put("centres", np.ones((6, 3))),
    "other centres": put("centres", np.ones((4, 6, 2))),
    "a table of scores": put("scores", np.ones((3, 3))),
    "no scores": put("scores", np.zeros(0)),
    "words as scores": put("scores", ["a"]),
    "no draws": lambda arrays: [
        put(name, np.ones((0, n, 3)))(arrays)
        for name, n in (("left", 6), ("right", 5), ("centres", 6))
    ],
    "flat factors": put("U", np.ones(6)),
    "other factors": put("V", np.ones((5, 3))),
    "complex": put("right", np.ones((4, 5, 3), complex)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_no_posterior_is_refused(tmp_path, post, name):
    path = written(tmp_path / "p.npz", post, CHANGES[name])
    with pytest.raises(FileError, match=r"p\.npz: does not hold a posterior \("):
        io.load_posterior(path)


@pytest.mark.parametrize("name", CHANGES)
def test_a_result_with_a_bad_posterior_is_refused(tmp_path, post, name):
    inst = simulate.matrix_completion((6, 5), 1, fraction=1.0, random_state=0)
    io.save_result(tmp_path / "r.npz", recover(inst.op, inst.y))
    with np.load(written(tmp_path / "p.npz", post, CHANGES[name])) as file:
        own = {key: value for key, value in file.items() if key.startswith("posterior: ")}
    with np.load(tmp_path / "r.npz") as file:
        np.savez(tmp_path / "both.npz", **dict(file), **own)
    with pytest.raises(FileError, match="not a whole result"):
        io.load_result(tmp_path / "both.npz")


def test_other_files_are_refused_with_what_would_help(tmp_path, post):
    io.save_factors(tmp_path / "f.npz", post.factors)
    with pytest.raises(FileError, match="does not hold a posterior; see save_posterior"):
        io.load_posterior(tmp_path / "f.npz")
    with pytest.raises(FileError, match=r"none\.npz"):
        io.load_posterior(tmp_path / "none.npz")
    with pytest.raises(FileError):
        io.save_posterior(tmp_path / "no" / "folder.npz", post)


class Trap:
    """Says so if it is ever unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


@pytest.mark.parametrize("name", ["left", "method", "bounds"])
def test_pickled_objects_are_never_loaded(tmp_path, post, name):
    trap = Trap()
    trap.path = str(tmp_path / "sprung")
    path = written(tmp_path / "p.npz", post, put(name, np.array([trap], dtype=object)))
    with pytest.raises(FileError):
        io.load_posterior(path)
    assert not Path(trap.path).exists()
    pickle.loads(pickle.dumps(trap))  # it would have
    assert Path(trap.path).exists()


def test_cut_and_changed_bytes_are_read_or_refused(tmp_path, post):
    path, rng = tmp_path / "p.npz", np.random.default_rng(0)
    io.save_posterior(path, post)
    whole = path.read_bytes()
    for _ in range(150):
        data = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.3 else whole)
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(256)
        path.write_bytes(bytes(data))
        with suppress(FileError):
            io.load_posterior(path)

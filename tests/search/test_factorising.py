"""Factorising many entries: against the truth, against means, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leanrank import Status
from leanrank.posterior import Entries, EntriesOnDisk
from leanrank.search import sweeping
from leanrank.search.factorising import Progress, factorise

SHAPE = (300, 200)


def data(
    seed: int = 0, rank: int = 3, noise: float = 0.3, size: int = 12_000, intercepts: float = 0.0
) -> tuple[np.ndarray, Entries]:
    """A matrix, and some of its entries with noise."""
    rng = np.random.default_rng(seed)
    (n1, n2), scale = SHAPE, 1.0 / max(rank, 1) ** 0.5
    X = rng.standard_normal((n1, rank)) @ rng.standard_normal((rank, n2)) * scale
    X += intercepts * (rng.standard_normal((n1, 1)) + rng.standard_normal(n2) + 3.0)
    rows, cols = np.divmod(rng.choice(n1 * n2, size, replace=False), n2)
    y = X[rows, cols] + noise * rng.standard_normal(size)
    return X, Entries.of(rows, cols, y, SHAPE)


def dense(found) -> np.ndarray:
    return found.state.rows @ found.state.columns.mean.T


@pytest.mark.parametrize("seed", [0, 1])
def test_the_rank_is_found_and_the_matrix_about_as_well_as_its_freedom_allows(seed):
    X, entries = data(seed)
    found = factorise(entries, rng=np.random.default_rng(seed))
    assert found.state.width == 3
    assert found.status is Status.APPROXIMATE
    error = np.sqrt(np.mean((dense(found) - X) ** 2))
    freedom = 3 * (sum(SHAPE) - 3) / entries.size
    assert error < 1.15 * 0.3 * freedom**0.5
    assert found.held_out_error == pytest.approx(np.hypot(error, 0.3), rel=0.1)


def test_intercepts_are_taken_where_they_predict():
    X, entries = data(intercepts=1.0)
    found = factorise(entries, rng=np.random.default_rng(0))
    assert found.state.layout.row_intercepts
    assert found.state.layout.column_intercepts
    assert found.state.width == 3
    assert np.sqrt(np.mean((dense(found) - X) ** 2)) < 0.2
    assert not factorise(data()[1], rng=np.random.default_rng(0)).state.layout.row_intercepts


def test_noise_is_called_noise():
    _, entries = data(rank=0, noise=1.0)
    found = factorise(entries, rng=np.random.default_rng(0))
    assert found.status is Status.STALLED
    assert "means" in found.message
    assert np.sqrt(np.mean(dense(found) ** 2)) < 0.15
    assert found.prediction.error <= found.prediction.baseline * (1 + 1e-3)


def test_a_known_rank_is_kept():
    _, entries = data()
    assert factorise(entries, rank=2, rng=np.random.default_rng(0)).state.width == 2
    assert factorise(entries, rank=5, rng=np.random.default_rng(0)).state.width == 5
    assert factorise(entries, width=2, rng=np.random.default_rng(0)).state.width <= 2


def test_many_columns_are_found_by_widening():
    X, entries = data(rank=20, noise=0.1, size=40_000)
    found = factorise(entries, rng=np.random.default_rng(0))
    assert found.state.width == 20
    assert np.sqrt(np.mean((dense(found) - X) ** 2)) < 0.1


def test_intervals_of_new_readings_cover():
    X, entries = data()
    found = factorise(entries, held_out=0.1, rng=np.random.default_rng(0))
    rows, cols = np.indices(SHAPE).reshape(2, -1)
    reading = X[rows, cols] + 0.3 * np.random.default_rng(9).standard_normal(rows.size)
    multiple = np.quantile(found.scores, 0.95)
    half = multiple * found.deviation(rows, cols, reading=True)
    inside = np.abs(reading - dense(found).ravel()) <= half
    assert 0.93 < inside.mean() < 0.97


def test_it_can_be_watched_and_stopped():
    _, entries = data()
    seen: list[Progress] = []

    def watch(progress: Progress) -> bool:
        seen.append(progress)
        return progress.sweep == 2

    found = factorise(entries, watch=watch, rng=np.random.default_rng(0))
    assert [p.sweep for p in seen] == [1, 2]
    assert found.status is Status.STOPPED
    assert all(0 < p.share <= 1 and p.held_out_error > 0 for p in seen)
    late = factorise(entries, time_limit=0.0, rng=np.random.default_rng(0))
    assert late.status is Status.STOPPED


def test_an_interrupt_during_a_sweep_leaves_what_there_is(monkeypatch):
    X, entries = data()
    made = []

    def interrupted(*args, **kwargs):
        for state in sweeping_of(*args, **kwargs):
            made.append(state)
            yield state
            if len(made) == 3:
                raise KeyboardInterrupt

    sweeping_of = sweeping.sweeps
    monkeypatch.setattr(sweeping, "sweeps", interrupted)
    found = factorise(entries, rng=np.random.default_rng(0))
    assert found.status is Status.STOPPED
    assert found.sweeps == 3 + 2
    assert np.sqrt(np.mean((dense(found) - X) ** 2)) < 0.3 * np.std(X)


def test_the_number_of_threads_does_not_matter():
    _, entries = data()
    one, two = (factorise(entries, threads=n, rng=np.random.default_rng(0)) for n in (1, 2))
    np.testing.assert_array_equal(one.state.rows, two.state.rows)
    np.testing.assert_array_equal(one.scores, two.scores)


def test_weak_directions_beside_strong_ones_are_found():
    """Columns are dropped before the strong ones leave the weak ones to be seen."""
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((n, 5)))[0] * n**0.5 for n in SHAPE)
    X = (U * np.geomspace(1, 0.01, 5)) @ V.T
    rows, cols = np.divmod(rng.choice(X.size, 20_000, replace=False), SHAPE[1])
    y = X[rows, cols] + 1e-3 * rng.standard_normal(rows.size)
    found = factorise(Entries.of(rows, cols, y, SHAPE), rng=rng)
    assert found.state.width == 5
    assert np.sqrt(np.mean((dense(found) - X) ** 2)) < 1.5e-3 * (5 * 500 / 20_000) ** 0.5


def test_popular_columns_do_not_hide_the_others():
    """Entries where popular columns and busy rows meet; the held-out error falls from the start."""
    rng, (n1, n2) = np.random.default_rng(0), SHAPE
    X = 3.0 + rng.standard_normal((n1, 3)) @ rng.standard_normal((3, n2)) + rng.standard_normal(n2)
    chance = np.outer(rng.lognormal(0, 1, n1), np.arange(1, n2 + 1) ** -1.0).ravel()
    at = rng.choice(X.size, 12_000, replace=False, p=chance / chance.sum())
    rows, cols = np.divmod(at, n2)
    y, seen = X[rows, cols] + 0.5 * rng.standard_normal(at.size), []
    found = factorise(
        Entries.of(rows, cols, y, SHAPE, dtype=np.float32), rng=rng, watch=seen.append
    )
    assert found.state.width == 3
    assert seen[0].held_out_error < np.std(y)
    assert found.held_out_error < 0.6


def test_entries_on_disk_come_to_the_same_bit_by_bit(tmp_path):
    _, entries = data(intercepts=1.0)
    np.save(tmp_path / "indptr.npy", entries.indptr)
    np.save(tmp_path / "cols.npy", entries.cols)
    np.save(tmp_path / "values.npy", entries.y.astype(np.float32))
    single = replace(entries, y=entries.y.astype(np.float32), weights=np.empty(0, np.float32))
    on_disk = EntriesOnDisk.open(tmp_path, SHAPE[1])
    one, two = (factorise(e, rng=np.random.default_rng(0)) for e in (single, on_disk))
    np.testing.assert_array_equal(one.state.rows, two.state.rows)
    np.testing.assert_array_equal(one.row_variances, two.row_variances)
    assert one.held_out_error == two.held_out_error


def test_single_precision_is_enough():
    X, entries = data(noise=1e-3)
    single = replace(entries, y=entries.y.astype(np.float32), weights=np.empty(0, np.float32))
    errors = [
        np.sqrt(np.mean((dense(factorise(e, rng=np.random.default_rng(0))) - X) ** 2))
        for e in (single, entries)
    ]
    assert errors[0] == pytest.approx(errors[1], rel=1e-2)
    assert errors[0] < 1e-3


def test_the_share_that_is_done_grows():
    seen: list[Progress] = []
    factorise(data()[1], rng=np.random.default_rng(0), watch=seen.append)
    shares = [p.share for p in seen]
    assert all(0 < share < 1 for share in shares)
    assert shares == sorted(shares)
    assert shares[-1] > 0.7


def test_one_entry_is_too_few():
    with pytest.raises(ValueError, match="entries must be at least two, got 1"):
        factorise(
            Entries.of(np.zeros(1, int), np.zeros(1, int), np.ones(1), (2, 2)),
            rng=np.random.default_rng(0),
        )

"""Ratings that workers hold."""

import os
import time

import numpy as np
import pytest

from leanrank import MatrixFactorization, Status
from leanrank.cluster import shared_entries

dask = pytest.importorskip("dask", reason="it comes with leanrank[cluster]")
da = pytest.importorskip("dask.array")


def made(rng, users=120, items=60, m=2400):
    """Users that are strings to sort, items, ratings; in no order."""
    U, V = rng.standard_normal((users, 2)), rng.standard_normal((items, 2))
    cells = rng.permutation(users * items)[:m]
    i, j = np.divmod(cells, items)
    y = 3.0 + np.einsum("ek,ek->e", U[i], V[j]) + 0.2 * rng.standard_normal(m)
    return i + 1000, j, y


def table(i, j, y, *more):
    """An array of Dask in uneven pieces."""
    columns = np.column_stack([i, j, y, *more])
    return da.from_array(columns, chunks=((len(y) // 4, len(y) - len(y) // 4), 2))


def test_the_answer_is_that_of_one_machine(rng, cluster):
    i, j, y = made(rng)
    here = MatrixFactorization(random_state=0).fit(i, j, y)
    users, items = np.meshgrid(here.users_, here.items_, indexing="ij")
    pairs = users.ravel(), items.ravel()
    expected = here.predict(*pairs)
    for workers in (1, 2, 4):
        with cluster(workers, processes=False):
            there = MatrixFactorization(random_state=0).fit(table(i, j, y))
            assert there.status_ is Status.APPROXIMATE
            assert np.array_equal(there.users_, here.users_)
            np.testing.assert_allclose(there.predict(*pairs), expected, rtol=1e-8)
            np.testing.assert_allclose(there.held_out_error_, here.held_out_error_, rtol=1e-8)
            for a, b in zip(
                there.predict_interval(*pairs), here.predict_interval(*pairs), strict=True
            ):
                np.testing.assert_allclose(a, b, rtol=1e-5)


def test_frames_with_names_strings_and_weights(rng, client):
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    i, j, y = made(rng)
    w = rng.uniform(0.5, 2.0, y.size)
    frame = pd.DataFrame({"when": 0, "who": [f"u{x}" for x in i], "what": j, "stars": y, "w": w})
    columns = ("who", "what", "stars", "w")
    here = MatrixFactorization(random_state=0).fit(frame, columns=columns)
    there = MatrixFactorization(random_state=0)
    there.fit(dd.from_pandas(frame, npartitions=3), columns=columns)
    chosen = frame[["who", "what"]][:50]
    np.testing.assert_allclose(there.predict(chosen), here.predict(chosen), rtol=1e-7)
    with pytest.raises(ValueError, match="exclude_seen must be False"):
        there.recommend(["u1000"])
    assert there.recommend(["u1000"], 3, exclude_seen=False).items.shape == (3,)


def test_duplicates_are_averaged_wherever_they_are(rng, client):
    i, j, y = made(rng)
    twice = [np.concatenate([a, b]) for a, b in zip((i, j, y - 0.1), (i, j, y + 0.1), strict=True)]
    once = shared_entries(table(i, j, y))[2]
    both = shared_entries(table(*twice))[2]
    assert both.size == once.size
    places = np.arange(once.size)
    for got, expected in zip(both.at(places)[:3], once.at(places)[:3], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert (both.at(places)[3] == 1.0).all()  # all alike
    with pytest.raises(ValueError, match="got .* that are not the first"):
        shared_entries(table(*twice), duplicates="error")


def test_entries_are_dealt_out_by_users(rng, client):
    i, j, y = made(rng)
    users, items, entries = shared_entries(table(i, j, y))
    assert entries.shape == (users.size, items.size)
    rows, cols, values, weights = entries.at(np.arange(entries.size))
    order = np.lexsort((j, i))
    np.testing.assert_array_equal(users.values[rows], i[order])
    np.testing.assert_array_equal(items.values[cols], j[order])
    np.testing.assert_array_equal(values, y[order])
    assert (weights == 1.0).all()
    sizes = np.diff(entries.ends)
    assert sizes.max() < 1.3 * sizes.min()
    some = rng.permutation(entries.size)[:100]
    less = entries.without(np.sort(some))
    assert less.size == entries.size - 100
    kept = np.delete(y[order], np.sort(some))
    np.testing.assert_allclose(less.mean(), kept.mean(), rtol=1e-12)
    np.testing.assert_allclose(less.mean_square(), np.mean(kept**2), rtol=1e-12)


def test_goes_on_after_a_worker_has_died(rng, cluster):
    i, j, y = made(rng)
    expected = MatrixFactorization(random_state=0).fit(i, j, y).predict(i, j)
    with cluster(2) as client:
        killed = []

        def kill(progress):
            if progress.sweep == 2 and not killed:
                time.sleep(5.0)  # until the cluster has dropped spare copies
                (worker, process), *_ = client.run(os.getpid).items()
                killed.append(worker)
                os.kill(process, 9)

        model = MatrixFactorization(random_state=0, callbacks=[kill]).fit(table(i, j, y))
        assert killed
    np.testing.assert_allclose(model.predict(i, j), expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"columns": ("who", 1, 2)}, r"columns \['who'\] do not exist; there are \[0, 1, 2\]"),
        ({"y": np.nan}, "ratings must be finite, got nan in row 0"),
        ({"w": -1.0}, "weights must not be negative, got -1"),
    ],
)
def test_what_cannot_be_right_is_refused(rng, client, change, says):
    i, j, y = made(rng)
    y[0] = change.get("y", y[0])
    w = np.ones(y.size)
    w[0] = change.get("w", 1.0)
    source = table(i, j, y, w) if "w" in change else table(i, j, y)
    columns = change.get("columns", (0, 1, 2, 3) if "w" in change else None)
    with pytest.raises(ValueError, match=says):
        MatrixFactorization().fit(source, columns=columns)
